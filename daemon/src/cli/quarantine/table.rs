//! Rejects for people: a table on a terminal, one line each elsewhere, one in full.
//!
//! In: rejects. Out: text on stdout. Payloads come from strangers: control characters in them never reach the
//! terminal.

use std::collections::BTreeMap;
use std::io::{IsTerminal, Write};

use comfy_table::presets::UTF8_HORIZONTAL_ONLY;
use comfy_table::{ColumnConstraint, ContentArrangement, Table};
use jiff::Timestamp;

use crate::cli::findings::table::{minute, printable};
use crate::store::{Quarantined, Retry};

const HEADINGS: [&str; 5] = ["read", "source", "reason", "detail", "id"];
/// Columns that are never broken over lines: time, reason.
const NEVER_WRAPPED: [usize; 2] = [0, 2];
/// Columns assumed where the terminal does not say.
const WIDTH_DEFAULT: u16 = 100;

/// Writes a table on a terminal, else one line each.
pub(super) fn write_rejects(
    rejects: &[Quarantined],
    retries: &BTreeMap<String, Retry>,
) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    if out.is_terminal() && !rejects.is_empty() {
        return writeln!(out, "{}", table(rejects, retries));
    }
    rejects.iter().try_for_each(|r| writeln!(out, "{}", line(r, retries.get(&r.id()))))
}

fn table(rejects: &[Quarantined], retries: &BTreeMap<String, Retry>) -> Table {
    let mut table = Table::new();
    table.load_preset(UTF8_HORIZONTAL_ONLY).set_content_arrangement(ContentArrangement::Dynamic);
    if table.width().is_none() {
        table.set_width(WIDTH_DEFAULT);
    }
    table.set_header(HEADINGS);
    for reject in rejects {
        let outcome = retries.get(&reject.id()).map(|retry| format!("\n{} when retried", retry.outcome));
        table.add_row([
            minute(reject.at()),
            printable(&reject.reject.source),
            reject.reject.reason.name().to_owned(),
            printable(&reject.reject.detail) + &outcome.unwrap_or_default(),
            printable(&reject.id()),
        ]);
    }
    for column in NEVER_WRAPPED {
        if let Some(column) = table.column_mut(column) {
            column.set_constraint(ColumnConstraint::ContentWidth);
        }
    }
    table
}

/// One reject in one line, fields apart by tabs: time, source, reason, id, outcome of the last retry, detail.
fn line(reject: &Quarantined, retry: Option<&Retry>) -> String {
    let (at, reason) = (reject.at(), reject.reject.reason.name());
    let (source, id) = (printable(&reject.reject.source), printable(&reject.id()));
    let outcome = retry.map_or("-", |retry| retry.outcome.as_str());
    format!("{at}\t{source}\t{reason}\t{id}\t{outcome}\t{}", printable(&reject.reject.detail))
}

/// Writes everything that is kept of one reject.
pub(super) fn write_reject(kept: &Quarantined, retry: Option<&Retry>) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    let reject = &kept.reject;
    let facts = [
        ("id", printable(&kept.id())),
        ("reason", reject.reason.name().to_owned()),
        ("detail", printable(&reject.detail)),
        ("source", printable(&reject.source)),
        ("format", reject.format.map_or("not known", |format| format.name()).to_owned()),
        ("topic", printable(&kept.topic)),
        ("partition", reject.position.partition.to_string()),
        ("offset", reject.position.offset.to_string()),
        ("index", format!("{} in the message", reject.index)),
        ("read", kept.at().to_string()),
        ("retried", retry.map_or("never".to_owned(), retried)),
    ];
    for (name, text) in facts {
        writeln!(out, "{name:<10} {text}")?;
    }
    writeln!(out, "\npayload, secrets masked:")?;
    reject.payload.masked().lines().try_for_each(|line| writeln!(out, "{}", printable(line)))
}

fn retried(retry: &Retry) -> String {
    let at = Timestamp::from_microsecond(retry.at_micros).unwrap_or(Timestamp::UNIX_EPOCH);
    let detail =
        if retry.detail.is_empty() { String::new() } else { format!(": {}", printable(&retry.detail)) };
    format!("{at}, {}{detail}", retry.outcome)
}
