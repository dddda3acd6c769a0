//! An explanation for people: the answer first, then what it rests on.
//!
//! In: an explanation. Out: text on stdout: what it says, what is short, each stage with its conditions, the rows
//! that were read, and for a finding the SQL. NO_COLOR is heard.

use std::io::{IsTerminal, Write};

use comfy_table::{Cell, CellAlignment, Table};

use comfy_table::presets::UTF8_HORIZONTAL_ONLY;

use super::stages::{self, Paint, distance, plain_table, value};
use crate::cli::findings::table::{coloured, printable};
use crate::explain::{Explanation, SeenTable, Short, Verdict};

/// Writes the explanation on stdout.
pub(super) fn write(explanation: &Explanation) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    let paint = Paint { on: out.is_terminal() && coloured() };
    let text = text(explanation, paint);
    out.write_all(text.as_bytes())
}

/// The whole page.
pub(super) fn text(explanation: &Explanation, paint: Paint) -> String {
    let mut page = head(explanation, paint);
    page.push_str(&answer(explanation, paint));
    for note in &explanation.notes {
        page.push_str(&format!("\n{} {}\n", paint.warning("note"), printable(note)));
    }
    page.push_str(&terms(explanation, paint));
    page.push_str(&stages::text(explanation, paint));
    page.push_str(&rows(explanation, paint));
    if explanation.finding.is_some() {
        page.push_str(&query(explanation, paint));
    }
    page
}

fn head(explanation: &Explanation, paint: Paint) -> String {
    let Explanation { detection, version, sha256, subject, as_of, file, .. } = explanation;
    let mut lines = Vec::new();
    if let Some(finding) = &explanation.finding {
        let (severity, score) = (finding.severity.name(), finding.score);
        lines.push(paint.strong(&printable(&finding.title)));
        lines.push(String::new());
        lines.push(format!(
            "finding    {}: {severity}, {}, score {score}",
            finding.finding_id,
            finding.state.name()
        ));
    }
    lines.push(format!("subject    {} {}", printable(&subject.kind), printable(&subject.id)));
    lines.push(format!("detection  {} version {version}, {}", printable(detection), printable(file)));
    lines.push(format!("           SHA-256 {sha256}"));
    lines.push(format!("as of      {as_of}"));
    lines.join("\n") + "\n"
}

fn answer(explanation: &Explanation, paint: Paint) -> String {
    let Explanation { detection, subject, verdict, short, ends, .. } = explanation;
    let subject = printable(&subject.id);
    let row = explanation.outcome.as_ref();
    let row = row.map(|o| format!(": {}, score {}", o.severity.name(), o.score)).unwrap_or_default();
    let said = match verdict {
        Verdict::Fires => paint.good(&format!("{detection} fires on {subject}{row}.")),
        Verdict::Holds => paint.warning(&format!(
            "{detection} does not fire on {subject}; it would hold a finding that is open{row}."
        )),
        Verdict::Silent => paint.warning(&format!("{detection} does not fire on {subject}.")),
    };
    let mut text = format!("\n{said}\n");
    if !short.is_empty() {
        text.push_str(&format!("\n{}\n{}\n", paint.strong("What is short"), shorts(short, paint)));
    }
    if !ends.is_empty() {
        text.push_str(&format!("\n{}\n", paint.strong("Where its rows end")));
        for end in ends {
            text.push_str(&format!("  in {}: {}\n", printable(&end.stage), printable(&end.why)));
        }
    }
    text
}

fn shorts(short: &[Short], paint: Paint) -> Table {
    let mut table = plain_table(paint);
    table.set_header(["", "condition", "seen", "needed", "short by", "where"].map(Cell::new));
    for short in short {
        let measure = short.node.measure.as_ref();
        let seen = measure.map_or_else(String::new, stages::seen);
        let (needed, by) = measure.map_or_else(Default::default, |m| (stages::needed(m), distance(m)));
        let place = format!("{}, line {}", short.stage, short.line);
        let of = if short.asked > 1 { format!("\nclosest of {}", short.asked) } else { String::new() };
        table.add_row([
            paint.cell_bad("✗"),
            Cell::new(printable(&format!(
                "{}{}",
                if short.is_alternative { "or: " } else { "" },
                short.node.text
            ))),
            Cell::new(seen),
            Cell::new(needed),
            Cell::new(by),
            Cell::new(format!("{}{of}", printable(&place))),
        ]);
    }
    table
}

fn terms(explanation: &Explanation, paint: Paint) -> String {
    let Some(outcome) = explanation.outcome.as_ref().filter(|o| !o.terms.is_empty()) else {
        return String::new();
    };
    let mut table = plain_table(paint);
    for term in &outcome.terms {
        let number = term.value.map(|number| number.to_string());
        let number = Cell::new(value(number.as_deref())).set_alignment(CellAlignment::Right);
        table.add_row([Cell::new(format!("  {}", printable(&term.name))), number]);
    }
    let coverage = outcome.coverage * 100.0;
    format!("\n{} (coverage {coverage:.0}%)\n{table}\n", paint.strong("Terms"))
}

fn rows(explanation: &Explanation, paint: Paint) -> String {
    let mut text = format!("\n{}\n", paint.strong("Rows that the query read"));
    for table in &explanation.tables {
        text.push_str(&seen(table, paint));
    }
    text
}

fn seen(table: &SeenTable, paint: Paint) -> String {
    let (name, all) = (printable(&table.name), table.all_rows);
    let Some(column) = &table.subject_column else {
        return format!("  {name}: {all} rows, not told apart by subject\n");
    };
    if table.rows.is_empty() && table.subject_rows > 0 {
        return format!("  {name}: {} of {all} rows, not sent\n", table.subject_rows);
    }
    if table.rows.is_empty() {
        return format!("  {name}: none of {all} rows has this {}\n", printable(column));
    }
    let mut text = format!("  {name}: {} of {all} rows\n", table.subject_rows);
    // Positions are packed into numbers that mean nothing to people; the JSON has them.
    let shown = (0..table.columns.len()).filter(|index| !table.columns[*index].starts_with("sample_"));
    let same = |index: usize| table.rows.iter().all(|row| row.get(index) == table.rows[0].get(index));
    let (constant, differing): (Vec<usize>, Vec<usize>) = shown.partition(|index| same(*index));
    let pair = |index: &usize| format!("{} {}", table.columns[*index], cell(&table.rows[0], *index));
    let constant: Vec<String> = constant.iter().map(pair).collect();
    if !constant.is_empty() {
        let every = if table.rows.len() > 1 { "    in every row: " } else { "    " };
        text.push_str(&format!("{every}{}\n", printable(&constant.join(", "))));
    }
    if !differing.is_empty() {
        let mut grid = plain_table(paint);
        grid.load_preset(UTF8_HORIZONTAL_ONLY);
        grid.set_header(differing.iter().map(|index| Cell::new(printable(&table.columns[*index]))));
        for row in &table.rows {
            grid.add_row(differing.iter().map(|index| aligned(cell(row, *index))));
        }
        text.push_str(&format!("{grid}\n"));
    }
    let more = table.subject_rows.saturating_sub(table.rows.len() as u64);
    if more > 0 {
        text.push_str(&format!("    {more} more\n"));
    }
    text
}

/// A null of a table is written as a dash: it is no measurement that is missing.
fn cell(row: &[Option<String>], index: usize) -> String {
    row.get(index).and_then(Option::as_deref).map_or_else(|| "–".to_owned(), |text| value(Some(text)))
}

fn aligned(text: String) -> Cell {
    let is_number = text.parse::<f64>().is_ok();
    Cell::new(text).set_alignment(if is_number { CellAlignment::Right } else { CellAlignment::Left })
}

fn query(explanation: &Explanation, paint: Paint) -> String {
    let mut text = String::new();
    if !explanation.parameters.is_empty() {
        let mut table = plain_table(paint);
        for parameter in &explanation.parameters {
            let number = Cell::new(parameter.value).set_alignment(CellAlignment::Right);
            table.add_row([Cell::new(format!("  ${}", printable(&parameter.name))), number]);
        }
        text.push_str(&format!("\n{}\n{table}\n", paint.strong("Parameters")));
    }
    text.push_str(&format!("\n{} ({})\n", paint.strong("SQL"), printable(&explanation.file)));
    for (line, sql) in (explanation.sql_line..).zip(explanation.sql.trim_end().lines()) {
        text.push_str(&format!("{} {}\n", paint.faint(&format!("{line:>5} │")), printable(sql)));
    }
    text
}
