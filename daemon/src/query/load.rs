//! Query files: front matter, SQL and cases read, everything wrong with them said at once.
//!
//! In: a folder with `rollups/*.sql` and `detections/*.sql`, or the files built in. Out: [`QueryTexts`], or
//! [`QueryErrors`] that point into the files. Nothing here plans or runs SQL; `plan` does.

mod front;
mod lint;

use std::collections::BTreeMap;
use std::fmt;
use std::io::Read;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use super::cases;
pub use super::cases::Case;
use super::{DetectionQuery, Mode, QueryText, QueryTexts, RollupQuery};
use crate::folder::{FromFolder, Loaded};
use crate::limits::{DETECTION_GRID_MICROS_MAX, QUERIES_MAX, QUERY_BYTES_MAX, TEXT_FILE_BYTES_MAX};
use crate::registry::errors::{Place, Problems, nearest};
use front::{Halves, Keys};

const ROLLUPS: &str = "rollups";
const DETECTIONS: &str = "detections";
const CASES_SUFFIX: &str = ".cases.toml";
const DAY_SECONDS: i64 = 86_400;
/// Ten years: no window or retention is longer.
const DAYS_MAX: i64 = 3_650;

const BUILTIN_ROLLUPS: &[(&str, &str)] = &[
    ("approval-minute.sql", include_str!("../../../queries/rollups/approval-minute.sql")),
    (
        "contradictory-environment-day.sql",
        include_str!("../../../queries/rollups/contradictory-environment-day.sql"),
    ),
    ("credential-ai-day.sql", include_str!("../../../queries/rollups/credential-ai-day.sql")),
    ("credential-ai-slice.sql", include_str!("../../../queries/rollups/credential-ai-slice.sql")),
    ("credential-first-seen.sql", include_str!("../../../queries/rollups/credential-first-seen.sql")),
    ("credential-network-day.sql", include_str!("../../../queries/rollups/credential-network-day.sql")),
    ("credential-session.sql", include_str!("../../../queries/rollups/credential-session.sql")),
    ("pilot-caller-day.sql", include_str!("../../../queries/rollups/pilot-caller-day.sql")),
    ("pilot-data-day.sql", include_str!("../../../queries/rollups/pilot-data-day.sql")),
    ("pilot-failure-minute.sql", include_str!("../../../queries/rollups/pilot-failure-minute.sql")),
    ("purpose-caller-day.sql", include_str!("../../../queries/rollups/purpose-caller-day.sql")),
    ("purpose-caller-hour.sql", include_str!("../../../queries/rollups/purpose-caller-hour.sql")),
    ("source-hour.sql", include_str!("../../../queries/rollups/source-hour.sql")),
    ("stopped-pilot-day.sql", include_str!("../../../queries/rollups/stopped-pilot-day.sql")),
    ("target-caller-day.sql", include_str!("../../../queries/rollups/target-caller-day.sql")),
    ("target-failure-hour.sql", include_str!("../../../queries/rollups/target-failure-hour.sql")),
    ("token-issued.sql", include_str!("../../../queries/rollups/token-issued.sql")),
    ("token-session.sql", include_str!("../../../queries/rollups/token-session.sql")),
    ("unregistered-ai-day.sql", include_str!("../../../queries/rollups/unregistered-ai-day.sql")),
    ("unscoped-tool-minute.sql", include_str!("../../../queries/rollups/unscoped-tool-minute.sql")),
];

const BUILTIN_DETECTIONS: &[(&str, &str)] = &[
    (
        "action-without-oversight.cases.toml",
        include_str!("../../../queries/detections/action-without-oversight.cases.toml"),
    ),
    (
        "action-without-oversight.sql",
        include_str!("../../../queries/detections/action-without-oversight.sql"),
    ),
    (
        "business-dependency.cases.toml",
        include_str!("../../../queries/detections/business-dependency.cases.toml"),
    ),
    ("business-dependency.sql", include_str!("../../../queries/detections/business-dependency.sql")),
    (
        "contradictory-environment.cases.toml",
        include_str!("../../../queries/detections/contradictory-environment.cases.toml"),
    ),
    (
        "contradictory-environment.sql",
        include_str!("../../../queries/detections/contradictory-environment.sql"),
    ),
    (
        "data-outside-scope.cases.toml",
        include_str!("../../../queries/detections/data-outside-scope.cases.toml"),
    ),
    ("data-outside-scope.sql", include_str!("../../../queries/detections/data-outside-scope.sql")),
    (
        "duties-not-separated.cases.toml",
        include_str!("../../../queries/detections/duties-not-separated.cases.toml"),
    ),
    ("duties-not-separated.sql", include_str!("../../../queries/detections/duties-not-separated.sql")),
    ("evidence-lost.cases.toml", include_str!("../../../queries/detections/evidence-lost.cases.toml")),
    ("evidence-lost.sql", include_str!("../../../queries/detections/evidence-lost.sql")),
    ("llmjacking.cases.toml", include_str!("../../../queries/detections/llmjacking.cases.toml")),
    ("llmjacking.sql", include_str!("../../../queries/detections/llmjacking.sql")),
    (
        "promotion-criteria-missing.cases.toml",
        include_str!("../../../queries/detections/promotion-criteria-missing.cases.toml"),
    ),
    (
        "promotion-criteria-missing.sql",
        include_str!("../../../queries/detections/promotion-criteria-missing.sql"),
    ),
    (
        "promotion-without-control-owner.cases.toml",
        include_str!("../../../queries/detections/promotion-without-control-owner.cases.toml"),
    ),
    (
        "promotion-without-control-owner.sql",
        include_str!("../../../queries/detections/promotion-without-control-owner.sql"),
    ),
    (
        "revoked-still-called.cases.toml",
        include_str!("../../../queries/detections/revoked-still-called.cases.toml"),
    ),
    ("revoked-still-called.sql", include_str!("../../../queries/detections/revoked-still-called.sql")),
    ("sensor-silence.cases.toml", include_str!("../../../queries/detections/sensor-silence.cases.toml")),
    ("sensor-silence.sql", include_str!("../../../queries/detections/sensor-silence.sql")),
    (
        "shared-credential.cases.toml",
        include_str!("../../../queries/detections/shared-credential.cases.toml"),
    ),
    ("shared-credential.sql", include_str!("../../../queries/detections/shared-credential.sql")),
    (
        "stale-exception-in-use.cases.toml",
        include_str!("../../../queries/detections/stale-exception-in-use.cases.toml"),
    ),
    ("stale-exception-in-use.sql", include_str!("../../../queries/detections/stale-exception-in-use.sql")),
    ("state-full.cases.toml", include_str!("../../../queries/detections/state-full.cases.toml")),
    ("state-full.sql", include_str!("../../../queries/detections/state-full.sql")),
    (
        "unpromoted-production-traffic.cases.toml",
        include_str!("../../../queries/detections/unpromoted-production-traffic.cases.toml"),
    ),
    (
        "unpromoted-production-traffic.sql",
        include_str!("../../../queries/detections/unpromoted-production-traffic.sql"),
    ),
    (
        "unregistered-ai-workload.cases.toml",
        include_str!("../../../queries/detections/unregistered-ai-workload.cases.toml"),
    ),
    (
        "unregistered-ai-workload.sql",
        include_str!("../../../queries/detections/unregistered-ai-workload.sql"),
    ),
];

/// Tables that are not rollups: no rollup may take their names.
const TABLES: &[&str] = &[
    "events",
    "pilots",
    "pilot_stages",
    "promotions",
    "exceptions",
    "teams",
    "services",
    "pilot_roles",
    "holders",
];

/// One mistake, for a person.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueryError {
    /// File as it was named.
    pub file: String,
    /// Line from 1; 0 means the file or folder as a whole.
    pub line: usize,
    /// What was found and what was expected.
    pub message: String,
    /// What to do about it.
    pub fix: String,
}

impl fmt::Display for QueryError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "error: {}", self.message)?;
        match self.line {
            0 => writeln!(f, "  --> {}", self.file)?,
            line => writeln!(f, "  --> {}:{line}", self.file)?,
        }
        write!(f, "  fix: {}", self.fix)
    }
}

/// Every mistake of one load, in file and line order; at least one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueryErrors {
    /// The first REGISTRY_ERRORS_MAX of them.
    pub errors: Vec<QueryError>,
    /// How many more there were.
    pub more: usize,
}

impl fmt::Display for QueryErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let texts: Vec<String> = self.errors.iter().map(ToString::to_string).collect();
        f.write_str(&texts.join("\n\n"))?;
        if self.more > 0 { write!(f, "\n\nand {} more", self.more) } else { Ok(()) }
    }
}

impl std::error::Error for QueryErrors {}

const BASELINE_ROLLUPS: &[(&str, &str)] = &[(
    "credential-client-day.sql",
    include_str!("../../../queries/baselines/rollups/credential-client-day.sql"),
)];

const BASELINES: &[(&str, &str)] = &[
    ("any-production-hit.sql", include_str!("../../../queries/baselines/detections/any-production-hit.sql")),
    (
        "two-clients-on-one-key.sql",
        include_str!("../../../queries/baselines/detections/two-clients-on-one-key.sql"),
    ),
];

/// Files of one folder by name.
type Files = BTreeMap<String, String>;

impl QueryTexts {
    /// The queries of this repository.
    pub fn builtin() -> Self {
        read("builtin:", files(BUILTIN_ROLLUPS), files(BUILTIN_DETECTIONS), Problems::default())
            .expect("a test reads the built-in queries")
    }

    /// Rules as simple as people write them first, over the built-in rollups and some of their own: no part of any
    /// installation, but what `evaluate` compares the detections with.
    pub fn baselines() -> Self {
        read("builtin:", files(BASELINE_ROLLUPS), files(BASELINES), Problems::default())
            .expect("a test reads the built-in queries")
    }

    /// Reads `dir/rollups/*.sql`, `dir/detections/*.sql` and the cases beside them. Errors: every mistake.
    pub fn load(dir: &Path) -> Result<Self, QueryErrors> {
        match Self::examine(dir) {
            (texts, Ok(())) => Ok(texts),
            (_, Err(errors)) => Err(errors),
        }
    }

    /// Like [`QueryTexts::load`], with the queries that have no mistake of their own in spite of those in
    /// others: for `check`, which goes on to plan them.
    pub fn examine(dir: &Path) -> (Self, Result<(), QueryErrors>) {
        let mut problems = Problems::default();
        let rollups = read_folder(&dir.join(ROLLUPS), &mut problems);
        let detections = read_folder(&dir.join(DETECTIONS), &mut problems);
        let (mut texts, problems) = gather(&format!("{}/", dir.display()), rollups, detections, problems);
        let outcome = finish(problems);
        if let Err(errors) = &outcome {
            let is_sound = |text: &QueryText| !errors.errors.iter().any(|e| Path::new(&e.file) == text.path);
            texts.rollups.retain(|r| is_sound(&r.text));
            texts.detections.retain(|d| is_sound(&d.text));
        }
        (texts, outcome)
    }

    /// SHA-256 over the ids and contents of all queries, hex.
    pub fn version(&self) -> String {
        let texts = self.rollups.iter().map(|r| &r.text).chain(self.detections.iter().map(|d| &d.text));
        let mut hash = Sha256::new();
        texts.for_each(|t| hash.update(format!("{}\0{}\0", t.id, t.sha256)));
        hex(&hash.finalize())
    }
}

impl FromFolder for QueryTexts {
    type Errors = QueryErrors;

    fn read(folder: &Path) -> Loaded<Self> {
        Loaded { outcome: Self::load(folder), files: Vec::new() }
    }

    fn version(&self) -> String {
        self.version()
    }
}

fn files(list: &[(&str, &str)]) -> Files {
    list.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

fn folder_place(folder: &Path) -> Place {
    Place { file: folder.display().to_string().into(), line: 0 }
}

/// The `.sql` and `.cases.toml` files of a folder, hidden ones left out.
fn read_folder(folder: &Path, problems: &mut Problems) -> Files {
    let mut files = Files::new();
    let entries = match std::fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(e) => {
            let fix = "create the folder; it may be empty".to_owned();
            problems.error(&folder_place(folder), format!("cannot list the folder: {e}"), fix);
            return files;
        }
    };
    for path in entries.flatten().map(|e| e.path()) {
        let Some(name) = path.file_name().and_then(|n| n.to_str()) else { continue };
        let wanted = name.ends_with(".sql") || name.ends_with(CASES_SUFFIX);
        if name.starts_with('.') || !wanted {
            continue;
        }
        match read_file(&path) {
            Ok(text) => drop(files.insert(name.to_owned(), text)),
            Err(message) => {
                let fix = "make it a readable UTF-8 file of that size".to_owned();
                problems.error(&folder_place(&path), message, fix);
            }
        }
    }
    files
}

fn read_file(path: &Path) -> Result<String, String> {
    let is_sql = path.extension().is_some_and(|e| e == "sql");
    let bytes_max = if is_sql { QUERY_BYTES_MAX as u64 } else { TEXT_FILE_BYTES_MAX };
    let file = std::fs::File::open(path).map_err(|e| format!("cannot read the file: {e}"))?;
    let mut text = String::new();
    let read = file.take(bytes_max + 1).read_to_string(&mut text);
    read.map_err(|e| format!("cannot read the file: {e}"))?;
    if text.len() as u64 > bytes_max {
        return Err(format!("the file has more than {bytes_max} bytes"));
    }
    Ok(text)
}

fn read(
    prefix: &str,
    rollups: Files,
    detections: Files,
    problems: Problems,
) -> Result<QueryTexts, QueryErrors> {
    let (texts, problems) = gather(prefix, rollups, detections, problems);
    finish(problems).map(|()| texts)
}

/// The queries and everything that is wrong with them; one with a mistake stands in with what could be read.
fn gather(prefix: &str, rollups: Files, detections: Files, mut problems: Problems) -> (QueryTexts, Problems) {
    let mut texts = QueryTexts::default();
    for (kind, files) in [(ROLLUPS, &rollups), (DETECTIONS, &detections)] {
        let count = files.keys().filter(|name| name.ends_with(".sql")).count();
        if count > QUERIES_MAX {
            let place = Place { file: format!("{prefix}{kind}").into(), line: 0 };
            let fix = "remove those that nobody needs".to_owned();
            problems.error(&place, format!("{count} queries, at most {QUERIES_MAX} are allowed"), fix);
        }
    }
    for (name, text) in sql_files(&rollups) {
        texts.rollups.extend(read_rollup(&format!("{prefix}{ROLLUPS}/{name}"), name, text, &mut problems));
    }
    for (name, text) in sql_files(&detections) {
        let path = format!("{prefix}{DETECTIONS}/{name}");
        let Some(mut query) = read_detection(&path, name, text, &mut problems) else { continue };
        let cases_name = name.replace(".sql", CASES_SUFFIX);
        if let Some(cases) = detections.get(&cases_name) {
            query.cases = cases::read(&format!("{prefix}{DETECTIONS}/{cases_name}"), cases, &mut problems);
        }
        texts.detections.push(query);
    }
    report_stray_cases(prefix, &detections, &mut problems);
    texts.rollups.sort_by(|a, b| a.text.id.cmp(&b.text.id));
    texts.detections.sort_by(|a, b| a.text.id.cmp(&b.text.id));
    (texts, problems)
}

fn sql_files(files: &Files) -> impl Iterator<Item = (&str, &str)> {
    files.iter().filter(|(name, _)| name.ends_with(".sql")).map(|(n, t)| (n.as_str(), t.as_str()))
}

fn report_stray_cases(prefix: &str, files: &Files, problems: &mut Problems) {
    for name in files.keys().filter_map(|n| n.strip_suffix(CASES_SUFFIX)) {
        if !files.contains_key(&format!("{name}.sql")) {
            let place = Place { file: format!("{prefix}{DETECTIONS}/{name}{CASES_SUFFIX}").into(), line: 0 };
            let stems = files.keys().filter_map(|n| n.strip_suffix(".sql"));
            let fix = match nearest(name, stems) {
                Some(near) => format!("rename it to {near}{CASES_SUFFIX}"),
                None => format!("add {name}.sql, or remove it"),
            };
            problems.error(&place, format!("cases without a query `{name}.sql` beside them"), fix);
        }
    }
}

fn finish(problems: Problems) -> Result<(), QueryErrors> {
    let errors = match problems.finish() {
        Ok(_) => return Ok(()),
        Err(errors) => errors,
    };
    let error = |e: crate::registry::RegistryError| QueryError {
        file: e.file,
        line: e.line,
        message: e.message,
        fix: e.fix,
    };
    Err(QueryErrors { errors: errors.errors.into_iter().map(error).collect(), more: errors.more })
}

/// What both kinds of query have in common, and the rest of the front matter.
fn read_text(
    path: &str,
    name: &str,
    text: &str,
    halves: &Halves,
    keys: &mut Keys<'_>,
    problems: &mut Problems,
) -> QueryText {
    let id = keys.text("id", problems);
    let stem = name.trim_end_matches(".sql");
    if !id.is_empty() && id != stem {
        let message = format!("front matter id `{id}` differs from the file's name `{name}`");
        problems.error(
            &keys.place("id"),
            message,
            format!("write `-- id = \"{stem}\"`, or rename the file to {id}.sql"),
        );
    }
    if !stem.starts_with(|c: char| c.is_ascii_lowercase())
        || !stem.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
    {
        let message = format!("`{stem}` is no query id: it also names a table");
        problems.error(
            &keys.place("id"),
            message,
            "use lower-case letters, digits and `-`, a letter first".to_owned(),
        );
    }
    let version = u32::try_from(keys.whole("version", 1..=i64::from(u32::MAX), problems)).unwrap_or(1);
    let parameters = keys.parameters(problems);
    lint::check(path, &halves.sql, halves.sql_line, &parameters, problems);
    QueryText {
        id: stem.to_owned(),
        version,
        path: PathBuf::from(path),
        sql: halves.sql.clone(),
        sql_line: halves.sql_line,
        sha256: hex(&Sha256::digest(text)),
        parameters: parameters.into_iter().map(|(name, (value, _))| (name, value)).collect(),
    }
}

fn read_rollup(path: &str, name: &str, text: &str, problems: &mut Problems) -> Option<RollupQuery> {
    let halves = front::cut(path, text, problems)?;
    let document = halves.front.parse(problems);
    let mut keys = Keys::new(&halves.front, document.get_ref());
    let text = read_text(path, name, text, &halves, &mut keys, problems);
    if TABLES.contains(&text.table().as_str()) {
        let message = format!("`{}` is the name of a table that exists already", text.id);
        problems.error(&keys.place("id"), message, "choose another id".to_owned());
    }
    keys.text("title", problems);
    let query = RollupQuery {
        bucket: keys.text("bucket", problems),
        bucket_seconds: keys.whole("bucket_seconds", 1..=DAYS_MAX * DAY_SECONDS, problems),
        subject: keys.text("subject", problems),
        retention_seconds: keys.whole("retention_days", 1..=DAYS_MAX, problems) * DAY_SECONDS,
        issues: keys.optional("issues", problems),
        presents: keys.optional("presents", problems),
        text,
    };
    keys.finish(problems);
    Some(query)
}

fn read_detection(path: &str, name: &str, text: &str, problems: &mut Problems) -> Option<DetectionQuery> {
    let halves = front::cut(path, text, problems)?;
    let document = halves.front.parse(problems);
    let mut keys = Keys::new(&halves.front, document.get_ref());
    let query = DetectionQuery {
        text: read_text(path, name, text, &halves, &mut keys, problems),
        title: keys.text("title", problems),
        subject_kind: keys.text("subject_kind", problems),
        window_seconds: keys.whole("window_days", 1..=DAYS_MAX, problems) * DAY_SECONDS,
        revisit_seconds: keys.wholes("revisit_days", problems).iter().map(|d| d * DAY_SECONDS).collect(),
        background: keys.texts("background", problems),
        candidates: keys.texts("candidates", problems),
        grid_seconds: keys.whole("grid_seconds", 1..=DETECTION_GRID_MICROS_MAX / 1_000_000, problems),
        all_subjects: keys.flag("all_subjects", problems),
        every_grid_point: keys.flag("every_grid_point", problems),
        tells_silence: keys.flag("tells_silence", problems),
        close_after_seconds: keys.whole("close_after_hours", 0..=DAYS_MAX * 24, problems) * 3_600,
        reopen_within_seconds: keys.whole("reopen_within_hours", 0..=DAYS_MAX * 24, problems) * 3_600,
        owner_role: keys.text("owner_role", problems),
        mode: match keys.word("mode", &["active", "shadow"], problems) {
            "shadow" => Mode::Shadow,
            _ => Mode::Active,
        },
        frameworks: keys.texts("frameworks", problems),
        cases: Vec::new(),
    };
    keys.finish(problems);
    Some(query)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::query::plan::QuerySet;
    use crate::registry::Registry;

    const DETECTION: &str = r#"-- ---
-- id = "stale"
-- version = 1
-- title = "Stale"
-- subject_kind = "pilot"
-- window_days = 7
-- grid_seconds = 60
-- close_after_hours = 1
-- reopen_within_hours = 1
-- owner_role = "pilot_owner"
-- [parameters]
-- calls_min = 3
-- ---
SELECT pilot AS subject
FROM pilot_caller_day
WHERE requests >= $calls_min
"#;

    const CASES: &str = r#"[[case]]
name = "one"
kind = "quiet"
as_of = "2026-03-02T06:00:00Z"
[[case.events]]
from = "2026-03-02T00:00:00Z"
set = { pilot = "p" }
"#;

    /// Reads one detection with its cases and compares (file, line, part of the message or fix).
    fn check(sql: &str, cases: &str, expected: &[(&str, usize, &str)]) {
        let files = [("stale.sql", sql), ("stale.cases.toml", cases)];
        let detections = files.iter().map(|(n, t)| ((*n).to_owned(), (*t).to_owned())).collect();
        let errors = read("q/", Files::new(), detections, Problems::default()).err();
        let errors = errors.map(|e| e.errors).unwrap_or_default();
        let shown: Vec<String> = errors.iter().map(ToString::to_string).collect();
        assert_eq!(errors.len(), expected.len(), "{}", shown.join("\n"));
        for (error, (file, line, part)) in errors.iter().zip(expected) {
            assert_eq!(
                (error.file.as_str(), error.line),
                (format!("q/detections/{file}").as_str(), *line),
                "{error}"
            );
            assert!(error.to_string().contains(part), "{error}");
        }
    }

    #[test]
    fn valid_query_is_read_with_its_case() {
        check(DETECTION, CASES, &[]);
    }

    #[test]
    fn each_mistake_points_at_its_line() {
        let wrong = |from: &str, to: &str, line, part: &str| {
            assert!(DETECTION.contains(from), "{from}");
            check(&DETECTION.replacen(from, to, 1), CASES, &[("stale.sql", line, part)]);
        };
        wrong("\"stale\"", "\"stalest\"", 2, "write `-- id = \"stale\"`");
        wrong("version = 1", "version = \"1\"", 3, "a whole number from 1");
        wrong("window_days = 7", "window_days = 0", 6, "from 1 to 3650");
        wrong("owner_role = \"pilot_owner\"", "", 1, "`owner_role` is missing");
        wrong("-- owner_role", "-- mode = \"activ\"\n-- owner_role", 10, "did you mean `active`");
        wrong("-- [parameters]", "-- frameworks = [1]\n-- [parameters]", 11, "a list of texts");
        wrong("calls_min = 3", "calls_min = \"3\"", 12, "expected a number");
        wrong("$calls_min", "$call_min AND $calls_min = 1", 16, "did you mean `calls_min`");
        wrong("requests >=", "day > now() OR requests >=", 16, "as_of()");
        wrong("-- title = \"Stale\"", "-- title = \"Stale", 4, "not valid TOML");
        wrong("-- window_days", "window_days", 6, "not a comment");
        wrong("-- ---", "-- --", 1, "the front matter is missing");
    }

    #[test]
    fn all_mistakes_are_said_at_once() {
        let sql = DETECTION.replacen("window_days", "window_dais", 1).replacen("$calls_min", "random()", 1);
        let expected = [
            ("stale.sql", 1, "`window_days` is missing"),
            ("stale.sql", 6, "did you mean `window_days`"),
            ("stale.sql", 12, "never used"),
            ("stale.sql", 16, "`random` is not allowed"),
        ];
        check(&sql, CASES, &expected);
    }

    #[test]
    fn mistakes_in_cases_point_into_their_file() {
        let wrong = |from: &str, to: &str, line, part: &str| {
            check(DETECTION, &CASES.replacen(from, to, 1), &[("stale.cases.toml", line, part)]);
        };
        wrong("\"quiet\"", "\"silent\"", 3, "unknown variant");
        wrong("as_of", "asof", 4, "unknown field");
        wrong("pilot = \"p\"", "pilt = \"p\"", 5, "did you mean `pilot`");
        wrong("pilot = \"p\"", "synthetic = \"p\"", 5, "expected Bool");
        wrong("06:00:00Z\"", "05:00:00Z\"", 1, "no point of a grid");
        wrong("\"quiet\"", "\"firing\"", 1, "expects 0 findings");
        wrong("\"quiet\"", "\"late\"", 1, "without late events");
        let none = CASES.replacen("set =", "count = 0\nset =", 1);
        let expected =
            [("stale.cases.toml", 1, "no event stands before"), ("stale.cases.toml", 5, "`count` from 1")];
        check(DETECTION, &none, &expected);
    }

    #[test]
    fn cases_without_their_query_are_said() {
        let detections = [("stale.sql", DETECTION), ("stael.cases.toml", CASES)];
        let detections = detections.iter().map(|(n, t)| ((*n).to_owned(), (*t).to_owned())).collect();
        let errors =
            read("q/", Files::new(), detections, Problems::default()).expect_err("cases without a query");
        assert!(errors.to_string().contains("rename it to stale.cases.toml"), "{errors}");
    }

    #[test]
    fn built_in_queries_are_those_of_the_folder() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../queries");
        let mut problems = Problems::default();
        assert_eq!(read_folder(&folder.join(ROLLUPS), &mut problems), files(BUILTIN_ROLLUPS));
        assert_eq!(read_folder(&folder.join(DETECTIONS), &mut problems), files(BUILTIN_DETECTIONS));
        let simple = folder.join("baselines");
        assert_eq!(read_folder(&simple.join(ROLLUPS), &mut problems), files(BASELINE_ROLLUPS));
        assert_eq!(read_folder(&simple.join(DETECTIONS), &mut problems), files(BASELINES));
        assert_eq!(QueryTexts::load(&folder).map(|t| t.version()), Ok(QueryTexts::builtin().version()));
    }

    #[test]
    fn simple_rules_are_detections_beside_the_built_in_rollups() {
        let (mut texts, simple) = (QueryTexts::builtin(), QueryTexts::baselines());
        assert_eq!(simple.detections.len(), 2);
        texts.detections = simple.detections;
        texts.rollups.extend(simple.rollups);
        let tables = Registry::from_texts(Vec::new()).expect("an empty registry is one").tables();
        QuerySet::plan(&texts, &tables).expect("they plan");
    }

    #[test]
    fn detections_look_at_points_of_the_base_grid_only() {
        let texts = QueryTexts::builtin();
        let tables = Registry::from_texts(Vec::new()).expect("an empty registry is one").tables();
        let mut queries = QuerySet::plan(&texts, &tables).expect("they plan");
        let grids =
            |queries: &QuerySet| queries.detections.iter().map(|d| d.query.grid_seconds).collect::<Vec<_>>();
        let own = grids(&queries);
        queries.look_on(60);
        assert_eq!(grids(&queries), own, "each is a multiple of a minute");
        queries.look_on(720);
        for (own, used) in own.into_iter().zip(grids(&queries)) {
            assert_eq!(used % 720, 0);
            assert!((own..own + 720).contains(&used), "{own} became {used}");
        }
    }

    #[test]
    fn file_that_is_too_large_and_folder_that_is_missing_are_refused() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        std::fs::create_dir(dir.path().join(DETECTIONS)).expect("created");
        std::fs::write(dir.path().join("detections/big.sql"), "-".repeat(QUERY_BYTES_MAX + 1))
            .expect("written");
        let errors = QueryTexts::load(dir.path()).expect_err("nothing here is right").to_string();
        assert!(
            errors.contains("more than 65536 bytes") && errors.contains("cannot list the folder"),
            "{errors}"
        );
    }
}
