//! Stages with their conditions, for people.
//!
//! In: the stages of an explanation. Out: a table for each that the answer rests on: rows in, rows left condition by
//! condition, and both sides of each comparison on the row that comes closest.

use comfy_table::presets::NOTHING;
use comfy_table::{Attribute, Cell, CellAlignment, Color, ColumnConstraint, ContentArrangement, Table};
use jiff::Timestamp;

use crate::cli::findings::table::{WIDTH_DEFAULT, printable};
use crate::explain::{Explanation, Verdict};
use crate::query::observe::{Block, Condition, Join, Measure, Node, Role, Stage, Unit};

/// Whether there is colour.
#[derive(Debug, Clone, Copy)]
pub(super) struct Paint {
    pub on: bool,
}

impl Paint {
    fn with(self, code: &str, text: &str) -> String {
        if self.on { format!("\u{1b}[{code}m{text}\u{1b}[0m") } else { text.to_owned() }
    }

    pub(super) fn strong(self, text: &str) -> String {
        self.with("1", text)
    }

    pub(super) fn good(self, text: &str) -> String {
        self.with("1;32", text)
    }

    pub(super) fn warning(self, text: &str) -> String {
        self.with("1;33", text)
    }

    pub(super) fn faint(self, text: &str) -> String {
        self.with("2", text)
    }

    pub(super) fn cell_bad(self, text: &str) -> Cell {
        Cell::new(text).fg(Color::Red).add_attribute(Attribute::Bold)
    }
}

/// A table without lines, as wide as the terminal.
pub(super) fn plain_table(paint: Paint) -> Table {
    let mut table = Table::new();
    table.load_preset(NOTHING).set_content_arrangement(ContentArrangement::Dynamic);
    if table.width().is_none() {
        table.set_width(WIDTH_DEFAULT);
    }
    if !paint.on {
        table.force_no_tty();
    }
    table
}

/// Every stage of the subject that has a condition or lost its rows.
pub(super) fn text(explanation: &Explanation, paint: Paint) -> String {
    let mut text = format!("\n{}\n", paint.strong("Stage by stage"));
    for stage in &explanation.stages {
        for (number, block) in stage.blocks.iter().enumerate() {
            text.push_str(&heading(stage, block, number, paint));
            let conditions = conditions(explanation, block, paint);
            if conditions.row_count() > 0 {
                text.push_str(&format!("{conditions}\n"));
            }
        }
        if stage.blocks.is_empty() {
            text.push_str(&format!("  {}: {}\n", paint.strong(&printable(&stage.name)), counted(stage.rows)));
        }
    }
    text
}

fn heading(stage: &Stage, block: &Block, number: usize, paint: Paint) -> String {
    let source = |s: &crate::query::observe::Source| {
        let outer = if s.is_outer { ", if any" } else { "" };
        format!("{} ({}{outer})", printable(&s.name), s.rows)
    };
    let sources: Vec<String> = block.sources.iter().map(source).collect();
    let name = match stage.blocks.len() {
        0 | 1 => printable(&stage.name),
        many => format!("{}, branch {} of {many}", printable(&stage.name), number + 1),
    };
    let left = match block.groups {
        Some(1) => format!("{} in 1 group", counted(block.rows_left)),
        Some(groups) => format!("{} in {groups} groups", counted(block.rows_left)),
        None => counted(block.rows_left),
    };
    let rows = if block.rows_in == block.rows_left { left } else { format!("{} → {left}", block.rows_in) };
    let all = if stage.by_subject { "" } else { ", of all subjects" };
    format!(
        "  {}  {}  {}\n",
        paint.strong(&name),
        rows + all,
        paint.faint(&format!("from {}", sources.join(", ")))
    )
}

fn counted(rows: u64) -> String {
    if rows == 1 { "1 row".to_owned() } else { format!("{rows} rows") }
}

fn conditions(explanation: &Explanation, block: &Block, paint: Paint) -> Table {
    let mut table = plain_table(paint);
    for condition in block.conditions.iter().filter(|condition| condition.asked > 0) {
        let matters = explanation.verdict != Verdict::Fires;
        add(&mut table, condition, &condition.node, 0, matters, paint);
    }
    for index in [0, 1, 3] {
        if let Some(column) = table.column_mut(index) {
            column.set_constraint(ColumnConstraint::ContentWidth);
        }
    }
    if let Some(column) = table.column_mut(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table
}

/// One row of the table for a condition and for each of its parts.
fn add(table: &mut Table, condition: &Condition, node: &Node, depth: usize, matters: bool, paint: Paint) {
    let is_root = depth == 0;
    let line = if is_root && condition.line > 0 { condition.line.to_string() } else { String::new() };
    let count = if is_root { rows_of(condition) } else { String::new() };
    let sides = node.measure.as_ref().filter(|_| node.parts.is_empty());
    let sides = sides.map(sides_shown).unwrap_or_default();
    let name = match (&condition.defines, is_root) {
        (Some(column), true) => format!("{column}: "),
        _ => String::new(),
    };
    let written = match (node.join, node.parts.is_empty()) {
        (Join::All, false) => "all of".to_owned(),
        (Join::Any, false) => "one of".to_owned(),
        (Join::Not, false) => "not".to_owned(),
        (Join::Itself, false) => {
            format!("{}, defined in {}", node.text, node.defined_in.as_deref().unwrap_or("it"))
        }
        (_, true) => node.text.clone(),
    };
    let fails = matters && node.holds != Some(true);
    let is_bad = fails && condition.role != Role::Mark;
    let mark = match node.holds {
        Some(true) => Cell::new("  ✓").fg(Color::Green),
        Some(false) if is_bad => paint.cell_bad("  ✗"),
        Some(false) => Cell::new("  –"),
        None => Cell::new("  ?").fg(Color::Yellow),
    };
    let text = format!("{}{name}{written}", "  ".repeat(depth));
    table.add_row([mark, Cell::new(line), Cell::new(printable(&text)), Cell::new(count), Cell::new(sides)]);
    let is_told = node.defined_in.is_some() && node.holds == Some(true) && condition.role != Role::Level;
    for part in node.parts.iter().filter(|_| !is_told) {
        // Of an OR that is true, a part that is not is no lack.
        let matters = matters && node.holds != Some(true);
        add(table, condition, part, depth + 1, matters, paint);
    }
}

fn rows_of(condition: &Condition) -> String {
    let Condition { asked, passed, left, role, .. } = condition;
    match role {
        _ if *asked <= 1 => String::new(),
        Role::Join | Role::Where | Role::Having if left != passed => {
            format!("{passed} of {asked}, {left} left")
        }
        Role::Join | Role::Where | Role::Having | Role::Level | Role::Mark => format!("{passed} of {asked}"),
    }
}

fn sides_shown(measure: &Measure) -> String {
    let needed = needed(measure);
    let seen = seen(measure);
    match (needed.is_empty(), measure.margin) {
        (true, _) => seen,
        (false, Some(margin)) if margin < 0.0 => {
            format!("{seen}, needs {needed}: short by {}", distance(measure))
        }
        (false, _) => format!("{seen} {needed}"),
    }
}

/// The first side; where nothing is compared, a null is a value like others.
pub(super) fn seen(measure: &Measure) -> String {
    match (&measure.actual, measure.compare.is_empty()) {
        (None, true) => "null".to_owned(),
        (actual, _) => value(actual.as_deref()),
    }
}

/// The second side with how it is compared.
pub(super) fn needed(measure: &Measure) -> String {
    match (measure.compare.as_str(), &measure.wanted) {
        ("", _) => String::new(),
        (compare, wanted) => format!("{compare} {}", value(wanted.as_deref())),
    }
}

/// How far apart the sides are, in words.
pub(super) fn distance(measure: &Measure) -> String {
    match (measure.margin.map(f64::abs), measure.unit) {
        (None, _) => String::new(),
        (Some(0.0), _) => "0: equal is not enough".to_owned(),
        (Some(number), Unit::Number) => number.to_string(),
        (Some(seconds), Unit::Seconds) => duration(seconds),
    }
}

fn duration(seconds: f64) -> String {
    let mut rest = seconds;
    let mut words = Vec::new();
    for (size, unit) in [(86_400.0, "d"), (3_600.0, "h"), (60.0, "min")] {
        let whole = (rest / size).floor();
        if whole > 0.0 {
            words.push(format!("{whole} {unit}"));
            rest -= whole * size;
        }
    }
    if rest > 0.0 || words.is_empty() {
        words.push(format!("{rest} s"));
    }
    words.join(" ")
}

/// A value as tables show it: times short, keyed hashes cut, a null said.
pub(super) fn value(text: Option<&str>) -> String {
    let Some(text) = text else { return "not observed".to_owned() };
    if let Some(time) = text.strip_suffix('Z').and_then(|_| text.parse::<Timestamp>().ok()) {
        let zoned = time.to_zoned(jiff::tz::TimeZone::UTC);
        let is_day = time.as_microsecond().rem_euclid(86_400_000_000) == 0;
        return zoned.strftime(if is_day { "%Y-%m-%d" } else { "%Y-%m-%d %H:%M:%SZ" }).to_string();
    }
    let is_hash =
        text.len() > 20 && text.starts_with("c_") && text[2..].bytes().all(|b| b.is_ascii_hexdigit());
    if is_hash { format!("{}…", &text[..12]) } else { printable(text) }
}
