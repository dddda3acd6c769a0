//! Findings for people: a table on a terminal, one line each elsewhere, one in full.
//!
//! In: findings. Out: text on stdout. Titles and names may come out of logs: control characters in them never
//! reach the terminal. NO_COLOR is heard.

use std::io::{IsTerminal, Write};

use comfy_table::presets::UTF8_HORIZONTAL_ONLY;
use comfy_table::{Attribute, Cell, CellAlignment, Color, ColumnConstraint, ContentArrangement, Table};
use jiff::Timestamp;

use crate::findings::{Evidence, Finding, FindingState, Severity};

const HEADINGS: [&str; 6] = ["severity", "subject", "title", "owner", "score", "since, finding"];
/// Columns that are never broken over lines: severity, score, since.
const NEVER_WRAPPED: [usize; 3] = [0, 4, 5];
/// Characters of an id in a table: enough to tell findings apart, and `findings show` takes them.
const ID_SHOWN: usize = 12;
/// Columns assumed where the terminal does not say.
pub(in crate::cli) const WIDTH_DEFAULT: u16 = 100;

/// Prints findings on stdout: a table on a terminal, else one line each. An output that nobody reads any more
/// is no error.
pub fn print_findings_table(findings: &[Finding]) {
    if let Err(error) = write_findings(findings)
        && error.kind() != std::io::ErrorKind::BrokenPipe
    {
        eprintln!("cannot print findings: {error}");
    }
}

/// Writes what [`print_findings_table`] prints.
pub(super) fn write_findings(findings: &[Finding]) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    if out.is_terminal() && !findings.is_empty() {
        return writeln!(out, "{}", table(findings, coloured()));
    }
    findings.iter().try_for_each(|finding| writeln!(out, "{}", line(state_name(finding), finding)))
}

/// Writes one step in a finding's life.
pub(super) fn write_step(what: &str, finding: &Finding) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    if !out.is_terminal() {
        return writeln!(out, "{}", line(what, finding));
    }
    let Finding { severity, finding_id, .. } = finding;
    let (bright, plain) = if coloured() { (paint(*severity), "\u{1b}[0m") } else { ("", "") };
    let (severity, id) = (severity.name(), shortened(finding_id));
    let (kind, subject) = (printable(&finding.subject.kind), subject_shown(finding));
    let (title, owner) = (printable(&finding.title), owner(finding));
    writeln!(out, "{what:<9} {bright}{severity:<8}{plain} {id}  {kind} {subject}: {title}. Owner: {owner}")
}

/// One finding in one line, fields apart by tabs: severity, state or step, subject, title, owner, score, since, id.
fn line(what: &str, finding: &Finding) -> String {
    let Finding { severity, score, finding_id, .. } = finding;
    let subject = subject(finding);
    let title = printable(&finding.title);
    let (owner, since) = (owner(finding), minute(finding.first_seen));
    let (severity, id) = (severity.name(), printable(finding_id));
    format!("{severity}\t{what}\t{subject}\t{title}\t{owner}\t{score:.2}\t{since}\t{id}")
}

/// Writes everything about one finding.
pub(super) fn write_finding(finding: &Finding) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{}\n", printable(&finding.title))?;
    let Finding { score, coverage, episode, reopened, detection_version, .. } = finding;
    let contact = printable(&finding.owner.contact);
    let facts = [
        ("finding", finding.finding_id.clone()),
        ("state", state_name(finding).to_owned()),
        ("severity", finding.severity.name().to_owned()),
        ("subject", subject(finding)),
        ("owner", format!("{} ({}) {contact}", owner(finding), printable(&finding.owner.role))),
        ("score", format!("{score:.3}, of evidence covering {:.0}% of its weight", coverage * 100.0)),
        ("seen", format!("{} to {}", finding.first_seen, finding.last_seen)),
        ("episode", format!("{episode}, reopened {reopened} times")),
        ("detection", format!("{} version {detection_version}", finding.detection)),
    ];
    for (name, text) in facts {
        writeln!(out, "{name:<10} {text}")?;
    }
    writeln!(out, "\n{}\n\nevidence", printable(&finding.explanation))?;
    finding.evidence.iter().try_for_each(|evidence| writeln!(out, "  {}", evidence_line(evidence)))
}

fn table(findings: &[Finding], coloured: bool) -> Table {
    let mut table = Table::new();
    table.load_preset(UTF8_HORIZONTAL_ONLY).set_content_arrangement(ContentArrangement::Dynamic);
    if table.width().is_none() {
        table.set_width(WIDTH_DEFAULT);
    }
    if !coloured {
        table.force_no_tty();
    }
    table.set_header(HEADINGS);
    for finding in findings {
        table.add_row(row(finding));
    }
    for column in NEVER_WRAPPED {
        if let Some(column) = table.column_mut(column) {
            column.set_constraint(ColumnConstraint::ContentWidth);
        }
    }
    table
}

fn row(finding: &Finding) -> [Cell; 6] {
    let subject = format!("{}\n{}", printable(&finding.subject.kind), subject_shown(finding));
    let since = format!("{}\n{}", minute(finding.first_seen), shortened(&finding.finding_id));
    [
        severity_cell(finding.severity),
        Cell::new(subject),
        Cell::new(title(finding)),
        Cell::new(owner(finding)),
        Cell::new(format!("{:.2}", finding.score)).set_alignment(CellAlignment::Right),
        Cell::new(since),
    ]
}

/// Keyed hashes are shortened, names are not.
fn subject_shown(finding: &Finding) -> String {
    let id = &finding.subject.id;
    if id.starts_with("c_") { shortened(id) } else { printable(id) }
}

fn shortened(id: &str) -> String {
    printable(&id.chars().take(ID_SHOWN).collect::<String>())
}

fn severity_cell(severity: Severity) -> Cell {
    let cell = Cell::new(severity.name());
    match severity {
        Severity::Critical => cell.fg(Color::Red).add_attribute(Attribute::Bold),
        Severity::High => cell.fg(Color::Red),
        Severity::Medium => cell.fg(Color::Yellow),
        Severity::Low => cell,
    }
}

fn paint(severity: Severity) -> &'static str {
    match severity {
        Severity::Critical => "\u{1b}[1;31m",
        Severity::High => "\u{1b}[31m",
        Severity::Medium => "\u{1b}[33m",
        Severity::Low => "",
    }
}

/// `NO_COLOR` set to anything turns colour off (no-color.org).
pub(in crate::cli) fn coloured() -> bool {
    std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

fn title(finding: &Finding) -> String {
    let title = printable(&finding.title);
    match (finding.state, finding.confirmed) {
        (FindingState::Resolved, _) => format!("{title} (resolved)"),
        (FindingState::Open, false) => format!("{title} (not yet confirmed)"),
        (FindingState::Open, true) => title,
    }
}

/// `early` is an open finding that the grid has not confirmed.
pub(super) fn state_name(finding: &Finding) -> &'static str {
    match (finding.state, finding.confirmed) {
        (FindingState::Resolved, _) => "resolved",
        (FindingState::Open, true) => "open",
        (FindingState::Open, false) => "early",
    }
}

fn subject(finding: &Finding) -> String {
    printable(&format!("{} {}", finding.subject.kind, finding.subject.id))
}

fn owner(finding: &Finding) -> String {
    if finding.owner.person.is_empty() { "nobody".to_owned() } else { printable(&finding.owner.person) }
}

/// A time as tables show it.
pub(in crate::cli) fn minute(time: Timestamp) -> String {
    time.strftime("%Y-%m-%d %H:%MZ").to_string()
}

fn evidence_line(evidence: &Evidence) -> String {
    match evidence {
        Evidence::Term { name, value: Some(value) } => format!("{name} = {value}"),
        Evidence::Term { name, value: None } => format!("{name} could not be observed"),
        Evidence::Fact { name, value } => format!("{name}: {}", printable(value)),
        Evidence::Query { id, version, sha256, parameters } => {
            let parameters: Vec<String> =
                parameters.iter().map(|p| format!("{} = {}", p.name, p.value)).collect();
            format!("query {id} version {version}, SHA-256 {sha256}, with {}", parameters.join(", "))
        }
        Evidence::Range { from, to } => format!("events from {from} to {to}"),
        Evidence::Sample { topic, partition, offset } => {
            format!("message {} partition {partition} offset {offset}", printable(topic))
        }
    }
}

/// Control characters, also those that turn the direction of text, as `?`.
pub(in crate::cli) fn printable(text: &str) -> String {
    let hidden = |c: char| {
        c.is_control()
            || matches!(c, '\u{200e}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    text.chars().map(|c| if hidden(c) { '?' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::findings::{Owner, Subject};

    fn finding(title: &str) -> Finding {
        let time = "2026-01-05T08:07:06Z".parse().unwrap();
        Finding {
            finding_id: "f_0a".to_owned(),
            detection: "unpromoted-production-traffic".to_owned(),
            detection_version: 1,
            subject: Subject { kind: "pilot".to_owned(), id: "claims-triage".to_owned() },
            severity: Severity::Critical,
            score: 0.931,
            coverage: 1.0,
            state: FindingState::Open,
            owner: Owner::default(),
            confirmed: true,
            first_seen: time,
            last_seen: time,
            episode: 1,
            reopened: 0,
            evidence: Vec::new(),
            title: title.to_owned(),
            explanation: String::new(),
        }
    }

    #[test]
    fn finding_is_one_line_of_fields_apart_by_tabs() {
        assert_eq!(
            line("open", &finding("in production")),
            "critical\topen\tpilot claims-triage\tin production\tnobody\t0.93\t2026-01-05 08:07Z\tf_0a"
        );
    }

    #[test]
    fn control_characters_of_a_log_never_reach_the_terminal() {
        let hostile = finding("a\u{1b}[2Jb\nc\td\u{202e}e\u{7f}");
        assert!(line("open", &hostile).contains("\ta?[2Jb?c?d?e?\t"), "{:?}", line("open", &hostile));
        let shown = table(&[hostile], false).to_string();
        assert!(!shown.contains('\u{1b}') && !shown.contains('\u{202e}'), "{shown:?}");
    }

    #[test]
    fn table_keeps_to_the_width_of_the_terminal() {
        let long = finding(&"very long words about a pilot in production ".repeat(10));
        for width in [60, 80, 132] {
            let mut table = table(&[long.clone(), finding("short")], false);
            table.set_width(width);
            let widest = table.lines().map(|l| l.chars().count()).max();
            assert!(widest <= Some(width.into()), "{table}");
        }
    }
}
