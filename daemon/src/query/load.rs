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
use crate::limits::{QUERIES_MAX, QUERY_BYTES_MAX, TEXT_FILE_BYTES_MAX};
use crate::registry::errors::{Place, Problems, nearest};
use front::{Halves, Keys};

const ROLLUPS: &str = "rollups";
const DETECTIONS: &str = "detections";
const CASES_SUFFIX: &str = ".cases.toml";
const DAY_SECONDS: i64 = 86_400;
/// Ten years: no window or retention is longer.
const DAYS_MAX: i64 = 3_650;

const BUILTIN_ROLLUPS: &[(&str, &str)] = &[
    ("credential-first-seen.sql", include_str!("../../../queries/rollups/credential-first-seen.sql")),
    ("credential-session.sql", include_str!("../../../queries/rollups/credential-session.sql")),
    ("pilot-caller-day.sql", include_str!("../../../queries/rollups/pilot-caller-day.sql")),
    ("purpose-caller-day.sql", include_str!("../../../queries/rollups/purpose-caller-day.sql")),
];

const BUILTIN_DETECTIONS: &[(&str, &str)] = &[
    (
        "business-dependency.cases.toml",
        include_str!("../../../queries/detections/business-dependency.cases.toml"),
    ),
    ("business-dependency.sql", include_str!("../../../queries/detections/business-dependency.sql")),
    (
        "shared-credential.cases.toml",
        include_str!("../../../queries/detections/shared-credential.cases.toml"),
    ),
    ("shared-credential.sql", include_str!("../../../queries/detections/shared-credential.sql")),
    (
        "unpromoted-production-traffic.cases.toml",
        include_str!("../../../queries/detections/unpromoted-production-traffic.cases.toml"),
    ),
    (
        "unpromoted-production-traffic.sql",
        include_str!("../../../queries/detections/unpromoted-production-traffic.sql"),
    ),
];

/// Tables that are not rollups: no rollup may take their names.
const TABLES: &[&str] =
    &["events", "pilots", "pilot_stages", "promotions", "exceptions", "teams", "services"];

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

/// Files of one folder by name.
type Files = BTreeMap<String, String>;

impl QueryTexts {
    /// The queries of this repository.
    pub fn builtin() -> Self {
        let files = |list: &[(&str, &str)]| -> Files {
            list.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect()
        };
        read("builtin:", files(BUILTIN_ROLLUPS), files(BUILTIN_DETECTIONS), Problems::default())
            .expect("a test reads the built-in queries")
    }

    /// Reads `dir/rollups/*.sql`, `dir/detections/*.sql` and the cases beside them. Errors: every mistake.
    pub fn load(dir: &Path) -> Result<Self, QueryErrors> {
        let mut problems = Problems::default();
        let rollups = read_folder(&dir.join(ROLLUPS), &mut problems);
        let detections = read_folder(&dir.join(DETECTIONS), &mut problems);
        read(&format!("{}/", dir.display()), rollups, detections, problems)
    }

    /// SHA-256 over the ids and contents of all queries, hex.
    pub fn version(&self) -> String {
        let texts = self.rollups.iter().map(|r| &r.text).chain(self.detections.iter().map(|d| &d.text));
        let mut hash = Sha256::new();
        texts.for_each(|t| hash.update(format!("{}\0{}\0", t.id, t.sha256)));
        hex(&hash.finalize())
    }
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
    mut problems: Problems,
) -> Result<QueryTexts, QueryErrors> {
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
    finish(texts, problems)
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

fn finish(texts: QueryTexts, problems: Problems) -> Result<QueryTexts, QueryErrors> {
    let errors = match problems.finish() {
        Ok(_) => return Ok(texts),
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
    if TABLES.contains(&text.id.replace('-', "_").as_str()) {
        let message = format!("`{}` is the name of a table that exists already", text.id);
        problems.error(&keys.place("id"), message, "choose another id".to_owned());
    }
    keys.text("title", problems);
    let query = RollupQuery {
        bucket: keys.text("bucket", problems),
        bucket_seconds: keys.whole("bucket_seconds", 1..=DAYS_MAX * DAY_SECONDS, problems),
        subject: keys.text("subject", problems),
        retention_seconds: keys.whole("retention_days", 1..=DAYS_MAX, problems) * DAY_SECONDS,
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
        grid_seconds: keys.whole("grid_seconds", 1..=DAY_SECONDS, problems),
        all_subjects: keys.flag("all_subjects", problems),
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
