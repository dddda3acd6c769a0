//! Cases that a detection carries: a few enriched events, an instant, and what must come of it.
//!
//! In: `<id>.cases.toml`. Out: [`Case`]s with their events spelt out, or mistakes with file and line; and
//! [`enriched`], which turns events given by column into a batch. Nothing here runs a query.
//!
//! A file holds `registry` (TOML as in fixtures/registry), `set` (columns of every event), `grid_seconds` and
//! `[[case]]`s.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use arrow::array::{
    ArrayRef, BooleanArray, Float64Array, Int64Array, StringArray, StringDictionaryBuilder,
    TimestampMicrosecondArray,
};
use arrow::datatypes::Int32Type;
use arrow::record_batch::RecordBatch;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use serde::Deserialize;
use toml::Spanned;

use crate::findings::Severity;
use crate::ingest::Position;
use crate::limits::CASE_EVENTS_MAX;
use crate::losses::{Loss, LossKey, LossKind, Losses};
use crate::registry::errors::{Place, Problems};
use crate::registry::reader::{TextFile, choices};
use crate::schema::{
    Column, ENRICHED_COLUMNS, ENRICHED_SCHEMA, EVENT_COLUMNS, EnrichedBatch, Kind, SECRET_COLUMNS,
};

/// What a case proves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CaseKind {
    /// It must be found.
    Firing,
    /// It resembles what must be found, and no finding may ever open.
    Quiet,
    /// Some events arrive behind the watermark: they must be counted and change nothing.
    Late,
}

impl CaseKind {
    /// The word it is written as.
    pub fn name(self) -> &'static str {
        match self {
            Self::Firing => "firing",
            Self::Quiet => "quiet",
            Self::Late => "late",
        }
    }
}

/// What a finding must look like at the end of a case. What is absent is not compared.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Expectation {
    /// Subject id.
    pub subject: String,
    /// Severity.
    #[serde(default)]
    pub severity: Option<Severity>,
    /// Open unless it says resolved.
    #[serde(default)]
    pub resolved: bool,
    /// Least score.
    #[serde(default)]
    pub score_min: Option<f64>,
    /// Greatest score.
    #[serde(default)]
    pub score_max: Option<f64>,
    /// Coverage, to four digits.
    #[serde(default)]
    pub coverage: Option<f64>,
    /// When the evidence begins.
    #[serde(default)]
    pub first_seen: Option<Timestamp>,
    /// A part of the explanation.
    #[serde(default)]
    pub explains: Option<String>,
}

/// A value of a column.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(untagged)]
pub enum Cell {
    /// For text columns; an empty one stands for null.
    Text(String),
    /// For integer columns.
    Int(i64),
    /// For number columns.
    Float(f64),
    /// For true or false.
    Flag(bool),
}

/// One enriched event; columns that are absent have a default: null, 0, false, outcome `success`.
#[derive(Debug, Clone, PartialEq)]
pub struct CaseEvent {
    /// Event time, microseconds.
    pub at: i64,
    /// Where it stands in its log.
    pub position: Position,
    /// Cells by column.
    pub cells: Arc<BTreeMap<String, Cell>>,
}

/// A case that a query carries.
#[derive(Debug, Clone)]
pub struct Case {
    /// Unique in its file; says what happens.
    pub name: String,
    /// What it proves.
    pub kind: CaseKind,
    /// File and line of the case, for messages.
    pub place: String,
    /// Registry, TOML.
    pub registry: String,
    /// Where the findings are looked at, microseconds.
    pub as_of: i64,
    /// Grid on which the case is evaluated up to `as_of`, seconds.
    pub grid_seconds: i64,
    /// The findings at `as_of`, all of them.
    pub expects: Vec<Expectation>,
    /// Evidence that was lost.
    pub losses: Losses,
    /// Events in time.
    pub events: Vec<CaseEvent>,
    /// Events that arrive after the grid has passed them.
    pub late: Vec<CaseEvent>,
}

type Cells = BTreeMap<String, Cell>;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct FileEntry {
    #[serde(default)]
    registry: String,
    #[serde(default = "six_hours")]
    grid_seconds: i64,
    #[serde(default)]
    set: Cells,
    #[serde(default, rename = "case")]
    cases: Vec<Spanned<CaseEntry>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct CaseEntry {
    name: String,
    kind: CaseKind,
    as_of: Timestamp,
    #[serde(default)]
    grid_seconds: Option<i64>,
    #[serde(default)]
    registry: String,
    #[serde(default)]
    expects: Vec<Expectation>,
    #[serde(default)]
    losses: Vec<LossEntry>,
    events: Vec<Spanned<EventsEntry>>,
}

/// Evidence that was lost: what came before `since` was seen.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct LossEntry {
    since: Timestamp,
    kind: LossKind,
    subject: String,
    #[serde(default = "once")]
    times: i64,
    #[serde(default)]
    amount: i64,
}

impl LossEntry {
    fn loss(&self) -> Loss {
        let Self { since, kind, subject, times, amount } = self;
        let key = LossKey { since: since.as_microsecond(), kind: *kind, subject: subject.clone() };
        Loss { key, times: *times, amount: *amount, samples: None }
    }
}

/// Events at `from` and every `every` after it, `count` in all. Of these only those before `as_of`, in `hours`
/// (UTC, from, to) and, with `weekdays`, on Monday to Friday exist.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct EventsEntry {
    from: Timestamp,
    #[serde(default = "a_minute")]
    every: SignedDuration,
    #[serde(default = "one")]
    count: usize,
    #[serde(default)]
    weekdays: bool,
    #[serde(default = "all_day")]
    hours: (i8, i8),
    #[serde(default)]
    late: bool,
    #[serde(default)]
    set: Cells,
}

fn six_hours() -> i64 {
    21_600
}

fn a_minute() -> SignedDuration {
    SignedDuration::from_mins(1)
}

fn one() -> usize {
    1
}

fn once() -> i64 {
    1
}

fn all_day() -> (i8, i8) {
    (0, 24)
}

/// Reads a file of cases; mistakes go to `problems`.
pub(super) fn read(path: &str, text: &str, problems: &mut Problems) -> Vec<Case> {
    let file = TextFile::new(path, text.to_owned());
    let entry: FileEntry = match toml::from_str(text) {
        Ok(entry) => entry,
        Err(e) => {
            let place = file.place(e.span().unwrap_or(0..0));
            let message = format!("not a file of cases: {}", e.message().replace('\n', ", "));
            problems.error(&place, message, "correct it; query/cases.rs names every key".to_owned());
            return Vec::new();
        }
    };
    check_cells(&file.place(0..0), &entry.set, problems);
    let mut names = HashSet::new();
    let mut cases = Vec::new();
    for case in &entry.cases {
        let place = file.place(case.span());
        if !names.insert(case.get_ref().name.clone()) {
            let message = format!("a second case is named `{}`", case.get_ref().name);
            problems.error(&place, message, "give it a name of its own".to_owned());
        }
        cases.push(spell_out(&file, &place, &entry, case.get_ref(), problems));
    }
    cases
}

fn spell_out(
    file: &TextFile,
    place: &Place,
    all: &FileEntry,
    entry: &CaseEntry,
    problems: &mut Problems,
) -> Case {
    let as_of = entry.as_of.as_microsecond();
    let grid_seconds = entry.grid_seconds.unwrap_or(all.grid_seconds);
    if grid_seconds < 1 || as_of.rem_euclid(grid_seconds.max(1) * 1_000_000) != 0 {
        let message = format!("`as_of` is no point of a grid of {grid_seconds} s");
        problems.error(place, message, "move it, or set `grid_seconds` to a divisor".to_owned());
    }
    if (entry.kind == CaseKind::Firing) == entry.expects.is_empty() && entry.kind != CaseKind::Late {
        let message = format!("a {} case expects {} findings", entry.kind.name(), entry.expects.len());
        problems.error(place, message, "name subjects in `expects` of firing cases only".to_owned());
    }
    let mut case = Case {
        name: entry.name.clone(),
        kind: entry.kind,
        place: place.to_string(),
        registry: format!("{}\n{}", all.registry, entry.registry),
        as_of,
        grid_seconds: grid_seconds.max(1),
        expects: entry.expects.clone(),
        losses: entry.losses.iter().map(LossEntry::loss).collect(),
        events: Vec::new(),
        late: Vec::new(),
    };
    let mut offset = 0;
    for events in &entry.events {
        let (place, events) = (file.place(events.span()), events.get_ref());
        check_cells(&place, &events.set, problems);
        let mut cells = all.set.clone();
        cells.extend(events.set.clone());
        let cells = Arc::new(cells);
        for at in times(&place, events, as_of, problems) {
            let position = Position { topic: 0, partition: 0, offset };
            offset += 1;
            let kept = if events.late { &mut case.late } else { &mut case.events };
            kept.push(CaseEvent { at, position, cells: cells.clone() });
        }
    }
    check_times(place, &case, problems);
    case
}

fn times(place: &Place, entry: &EventsEntry, as_of: i64, problems: &mut Problems) -> Vec<i64> {
    let count = entry.count;
    let (Ok(every @ 1..), 1..=CASE_EVENTS_MAX) = (i64::try_from(entry.every.as_micros()), count) else {
        let message = format!("`every` must be above 0 and `count` from 1 to {CASE_EVENTS_MAX}");
        problems.error(place, message, "write `every = \"1h\"`, `count = 24`".to_owned());
        return Vec::new();
    };
    let start = entry.from.as_microsecond();
    let times = (0..count as i64).map(|n| start.saturating_add(every.saturating_mul(n)));
    times.filter(|at| *at < as_of && exists(entry, *at)).collect()
}

fn exists(entry: &EventsEntry, at: i64) -> bool {
    let Ok(instant) = Timestamp::from_microsecond(at) else { return false };
    let time = instant.to_zoned(TimeZone::UTC);
    let working = !entry.weekdays || time.weekday().to_monday_zero_offset() < 5;
    working && (entry.hours.0..entry.hours.1).contains(&time.hour())
}

fn check_times(place: &Place, case: &Case, problems: &mut Problems) {
    if case.kind == CaseKind::Late && case.late.is_empty() {
        let fix = "add `late = true` to events that come too late".to_owned();
        problems.error(place, "a late case without late events".to_owned(), fix);
    }
    if case.events.is_empty() {
        let message = "no event stands before `as_of`".to_owned();
        problems.error(place, message, "correct `from`, `hours` or `as_of`".to_owned());
    }
}

/// Columns that a case may set: all but those that follow from time and place.
fn settable() -> impl Iterator<Item = &'static Column> {
    let computed = ["event_time", "position", "grid_time"];
    let is_settable = move |c: &&Column| !computed.contains(&c.name) && !SECRET_COLUMNS.contains(&c.name);
    EVENT_COLUMNS.iter().chain(ENRICHED_COLUMNS).filter(is_settable)
}

fn check_cells(place: &Place, cells: &Cells, problems: &mut Problems) {
    for (name, cell) in cells {
        let Some(column) = settable().find(|c| c.name == name) else {
            let names: Vec<&str> = settable().map(|c| c.name).collect();
            problems.error(place, format!("`set` names no column: `{name}`"), choices(name, &names));
            continue;
        };
        if !fits(column.kind, cell) {
            let message = format!("`set` gives column `{name}` {cell:?}, expected {:?}", column.kind);
            problems.error(place, message, format!("the column means: {}", column.meaning));
        }
    }
}

fn fits(kind: Kind, cell: &Cell) -> bool {
    match cell {
        Cell::Text(_) => matches!(kind, Kind::Text | Kind::Dict),
        Cell::Int(_) => matches!(kind, Kind::Int | Kind::Float | Kind::Time),
        Cell::Float(_) => kind == Kind::Float,
        Cell::Flag(_) => kind == Kind::Bool,
    }
}

/// Events as the batch that rollups take; grid points every `grid_seconds`. Cells of a wrong kind and unknown
/// columns count as absent.
pub fn enriched(events: &[CaseEvent], grid_seconds: i64) -> EnrichedBatch {
    let columns = ENRICHED_SCHEMA.fields().iter().map(|field| {
        let column = EVENT_COLUMNS.iter().chain(ENRICHED_COLUMNS).find(|c| c.name == field.name());
        array_of(column.expect("the schema is made of these columns"), events, grid_seconds * 1_000_000)
    });
    let batch = RecordBatch::try_new(ENRICHED_SCHEMA.clone(), columns.collect());
    EnrichedBatch::new(batch.expect("every column has a value or is nullable"))
        .expect("built from its schema")
}

fn array_of(column: &Column, events: &[CaseEvent], grid: i64) -> ArrayRef {
    let cells = || events.iter().map(|e| e.cells.get(column.name));
    match column.kind {
        Kind::Dict => {
            let mut builder = StringDictionaryBuilder::<Int32Type>::new();
            cells().for_each(|cell| builder.append_option(text_of(column, cell)));
            Arc::new(builder.finish())
        }
        Kind::Text => Arc::new(cells().map(|cell| text_of(column, cell)).collect::<StringArray>()),
        Kind::Int if column.name == "position" => {
            Arc::new(events.iter().map(|e| Some(e.position.pack())).collect::<Int64Array>())
        }
        Kind::Int => Arc::new(cells().map(|cell| int_of(column, cell)).collect::<Int64Array>()),
        Kind::Float => Arc::new(cells().map(|cell| float_of(column, cell)).collect::<Float64Array>()),
        Kind::Bool => Arc::new(cells().map(|c| Some(c == Some(&Cell::Flag(true)))).collect::<BooleanArray>()),
        Kind::Time => Arc::new(
            events.iter().map(|e| Some(time_of(column, e, grid))).collect::<TimestampMicrosecondArray>(),
        ),
    }
}

fn text_of<'a>(column: &Column, cell: Option<&'a Cell>) -> Option<&'a str> {
    match cell {
        Some(Cell::Text(text)) if !text.is_empty() => Some(text),
        _ if column.nullable => None,
        _ if column.name == "outcome" => Some("success"),
        _ => Some("unknown"),
    }
}

fn int_of(column: &Column, cell: Option<&Cell>) -> Option<i64> {
    match cell {
        Some(Cell::Int(number)) => Some(*number),
        _ => (!column.nullable).then_some(0),
    }
}

fn float_of(column: &Column, cell: Option<&Cell>) -> Option<f64> {
    match cell {
        Some(Cell::Float(number)) => Some(*number),
        Some(Cell::Int(number)) => Some(*number as f64),
        _ => (!column.nullable).then_some(0.0),
    }
}

/// The grid point of an event is the first after it.
fn time_of(column: &Column, event: &CaseEvent, grid: i64) -> i64 {
    match column.name {
        "grid_time" => event.at.div_euclid(grid) * grid + grid,
        _ => event.at,
    }
}
