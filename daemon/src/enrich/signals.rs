//! What the signal tables say: how much speaks for a person, how much for a workload, what is synthetic, what
//! is a call to an AI service.
//!
//! In: queries/signals/*.toml, built in or from a folder. Out: log-odds per family of signals, client
//! families, marks, AI calls. The tables are data: nothing here knows a provider.

use std::collections::HashSet;
use std::fmt;
use std::path::Path;

use crate::limits::SIGNALS_MAX;
use crate::registry::errors::Problems;
use crate::registry::read_texts;
use crate::registry::reader::{Entry, TextFile, each_entry};
use crate::registry::{RegistryErrors, version_of};

/// Columns that a signal may look at.
pub(super) const SIGNAL_COLUMNS: [&str; 10] = [
    "user_agent",
    "flow",
    "session_name",
    "principal",
    "principal_kind",
    "action",
    "format",
    "credential_kind",
    "network_kind",
    "client_family",
];
/// Columns that a synthetic mark may look at.
pub(super) const SYNTHETIC_COLUMNS: [&str; 3] = ["user_agent", "host", "target"];

/// Columns that an AI call is recognised by.
pub(super) const AI_CALL_COLUMNS: [&str; 5] = ["action", "host", "target", "route", "format"];
/// What an AI call does.
const OPERATIONS: [(&str, &str); 3] = [("invoke", "invoke"), ("list", "list"), ("manage", "manage")];

/// Families of signals, in the order of [`Weights`].
const FAMILIES: [(&str, usize); 3] = [("client", 0), ("network", 1), ("flow", 2)];

/// One family never says more than this: its signals are correlated.
const FAMILY_CAP: f64 = 4.0;

const BUILT_IN: [(&str, &str); 9] = [
    ("builtin:signals/ai_calls.toml", include_str!("../../../queries/signals/ai_calls.toml")),
    ("builtin:signals/aws.toml", include_str!("../../../queries/signals/aws.toml")),
    ("builtin:signals/client_families.toml", include_str!("../../../queries/signals/client_families.toml")),
    (
        "builtin:signals/clients_and_networks.toml",
        include_str!("../../../queries/signals/clients_and_networks.toml"),
    ),
    ("builtin:signals/entra.toml", include_str!("../../../queries/signals/entra.toml")),
    (
        "builtin:signals/gcp_and_kubernetes.toml",
        include_str!("../../../queries/signals/gcp_and_kubernetes.toml"),
    ),
    (
        "builtin:signals/identity_providers.toml",
        include_str!("../../../queries/signals/identity_providers.toml"),
    ),
    ("builtin:signals/okta.toml", include_str!("../../../queries/signals/okta.toml")),
    ("builtin:signals/synthetic.toml", include_str!("../../../queries/signals/synthetic.toml")),
];

/// The signal tables in force.
#[derive(Debug, Clone)]
pub struct Signals {
    version: String,
    signals: Vec<Signal>,
    uses: [bool; SIGNAL_COLUMNS.len()],
    client_families: Vec<(Test, String)>,
    synthetic: Vec<(usize, Test)>,
    ai_calls: Vec<(AiCall, Condition, Option<Condition>)>,
}

/// What a call to an AI service is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct AiCall {
    /// Whose models.
    pub provider: String,
    /// `invoke`, `list` or `manage`.
    pub operation: &'static str,
}

/// Every mistake in the signal tables.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(transparent)]
pub struct SignalErrors(#[from] pub RegistryErrors);

/// Log-odds of each family: client, network, flow; all 0 or more.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(super) struct Weights {
    pub human: [f64; 3],
    pub workload: [f64; 3],
}

#[derive(Debug, Clone)]
struct Signal {
    family: usize,
    condition: Condition,
    also: Option<Condition>,
    log_odds: f64,
}

#[derive(Debug, Clone)]
struct Condition {
    column: usize,
    test: Test,
}

/// How a value is compared; the text is in ASCII lower case.
#[derive(Debug, Clone)]
enum Test {
    Equals(String),
    Prefix(String),
    Suffix(String),
    Contains(String),
    Word(String),
}

type MakeTest = fn(String) -> Test;

const TESTS: [(&str, MakeTest); 5] = [
    ("equals", Test::Equals),
    ("prefix", Test::Prefix),
    ("suffix", Test::Suffix),
    ("contains", Test::Contains),
    ("word", Test::Word),
];

impl Test {
    /// `value` is in ASCII lower case.
    fn matches(&self, value: &str) -> bool {
        match self {
            Self::Equals(text) => value == text,
            Self::Prefix(text) => value.starts_with(text.as_str()),
            Self::Suffix(text) => value.ends_with(text.as_str()),
            Self::Contains(text) => value.contains(text.as_str()),
            Self::Word(text) => value.split(' ').any(|word| word == text),
        }
    }
}

impl Signals {
    /// The tables in `folder`; `None` for those built in. Errors: every mistake.
    pub fn load(folder: Option<&Path>) -> Result<Self, SignalErrors> {
        let mut problems = Problems::default();
        let (texts, root) = match folder {
            Some(folder) => (read_texts(folder, &mut problems), format!("{}/", folder.display())),
            None => (built_in(), "builtin:signals/".to_owned()),
        };
        Self::build(texts, &root, problems)
    }

    fn build(texts: Vec<(String, String)>, root: &str, mut problems: Problems) -> Result<Self, SignalErrors> {
        let mut signals = Self {
            version: version_of(&texts, root),
            signals: Vec::new(),
            uses: [false; SIGNAL_COLUMNS.len()],
            client_families: Vec::new(),
            synthetic: Vec::new(),
            ai_calls: Vec::new(),
        };
        let mut ids = HashSet::new();
        let kinds = ["signal", "client_family", "synthetic", "ai_call"];
        for (name, text) in texts {
            let file = TextFile::new(&name, text);
            let document = file.parse(&mut problems);
            each_entry(&file, document.get_ref(), &kinds, &mut problems, |kind, mut entry, problems| {
                signals.check_size(&entry, problems);
                match kind {
                    "signal" => signals.signal(&mut entry, &mut ids, problems),
                    "client_family" => signals.client_family(&mut entry, problems),
                    "ai_call" => signals.ai_call(&mut entry, problems),
                    _ => signals.synthetic(&mut entry, &mut ids, problems),
                }
                entry.finish(problems);
            });
        }
        problems.finish()?;
        Ok(signals)
    }

    fn check_size(&self, entry: &Entry<'_>, problems: &mut Problems) {
        let marks = self.synthetic.len() + self.ai_calls.len();
        let entries = self.signals.len() + self.client_families.len() + marks;
        if entries == SIGNALS_MAX {
            let message = format!("more than {SIGNALS_MAX} entries in the signal tables");
            problems.error(&entry.place(), message, "remove entries".to_owned());
        }
    }

    /// SHA-256 of the tables' names and contents, hex.
    pub fn version(&self) -> &str {
        &self.version
    }

    fn signal(&mut self, entry: &mut Entry<'_>, ids: &mut HashSet<String>, problems: &mut Problems) {
        unique_id(entry, ids, problems);
        let family = entry.word("family", &FAMILIES, problems);
        let condition = condition(entry, &SIGNAL_COLUMNS, problems);
        let log_odds = entry.number_required("log_odds", -FAMILY_CAP..=FAMILY_CAP, problems);
        let also = also(entry, &SIGNAL_COLUMNS, problems);
        entry.text_if_any("note", problems);
        let (Some(family), Some(condition), Some(log_odds)) = (family, condition, log_odds) else { return };
        if log_odds == 0.0 {
            return;
        }
        for used in [Some(&condition), also.as_ref()].into_iter().flatten() {
            self.uses[used.column] = true;
        }
        self.signals.push(Signal { family, condition, also, log_odds });
    }

    fn client_family(&mut self, entry: &mut Entry<'_>, problems: &mut Problems) {
        let family = entry.id("family", problems).value;
        entry.text_if_any("note", problems);
        if let Some(test) = test(entry, problems) {
            self.client_families.push((test, family));
        }
    }

    fn synthetic(&mut self, entry: &mut Entry<'_>, ids: &mut HashSet<String>, problems: &mut Problems) {
        unique_id(entry, ids, problems);
        entry.text_if_any("note", problems);
        if let Some(condition) = condition(entry, &SYNTHETIC_COLUMNS, problems) {
            self.synthetic.push((condition.column, condition.test));
        }
    }

    fn ai_call(&mut self, entry: &mut Entry<'_>, problems: &mut Problems) {
        let provider = entry.id("provider", problems).value;
        let operation = entry.word("operation", &OPERATIONS, problems);
        let condition = condition(entry, &AI_CALL_COLUMNS, problems);
        let also = also(entry, &AI_CALL_COLUMNS, problems);
        entry.text_if_any("note", problems);
        if let (Some(operation), Some(condition)) = (operation, condition) {
            self.ai_calls.push((AiCall { provider, operation }, condition, also));
        }
    }

    /// What AI call an event is, given values of [`AI_CALL_COLUMNS`]; the first entry that matches decides.
    pub(super) fn ai_call_of(&self, values: &[Option<&str>; AI_CALL_COLUMNS.len()]) -> Option<&AiCall> {
        let lower = values.map(|value| value.map(str::to_ascii_lowercase));
        let holds = |c: &Condition| lower[c.column].as_deref().is_some_and(|v| c.test.matches(v));
        let is_met = |also: &Option<Condition>| also.as_ref().is_none_or(holds);
        let found = self.ai_calls.iter().find(|(_, condition, also)| holds(condition) && is_met(also));
        found.map(|(call, ..)| call)
    }

    /// Whether any signal looks at `SIGNAL_COLUMNS[column]`.
    pub(super) fn uses(&self, column: usize) -> bool {
        self.uses[column]
    }

    /// The coarse family of a client; `unknown` where no table names it.
    pub(super) fn client_family_of(&self, user_agent: &str) -> &str {
        let lower = user_agent.to_ascii_lowercase();
        let found = self.client_families.iter().find(|(test, _)| test.matches(&lower));
        found.map_or("unknown", |(_, family)| family)
    }

    /// Whether values of [`SYNTHETIC_COLUMNS`] mark an event as synthetic.
    pub(super) fn is_synthetic(&self, values: &[Option<&str>; SYNTHETIC_COLUMNS.len()]) -> bool {
        let lower = values.map(|value| value.map(str::to_ascii_lowercase));
        let holds =
            |(column, test): &(usize, Test)| lower[*column].as_deref().is_some_and(|v| test.matches(v));
        self.synthetic.iter().any(holds)
    }

    /// The strongest signal each way of each family, given values of [`SIGNAL_COLUMNS`].
    pub(super) fn weigh(&self, values: &[Option<&str>; SIGNAL_COLUMNS.len()]) -> Weights {
        let lower = values.map(|value| value.map(str::to_ascii_lowercase));
        let holds = |c: &Condition| lower[c.column].as_deref().is_some_and(|v| c.test.matches(v));
        let mut weights = Weights::default();
        for signal in &self.signals {
            if holds(&signal.condition) && signal.also.as_ref().is_none_or(holds) {
                let side = if signal.log_odds > 0.0 { &mut weights.human } else { &mut weights.workload };
                side[signal.family] = side[signal.family].max(signal.log_odds.abs());
            }
        }
        weights
    }
}

impl fmt::Display for Signals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (signals, families) = (self.signals.len(), self.client_families.len());
        let (marks, calls) = (self.synthetic.len(), self.ai_calls.len());
        write!(f, "{signals} signals, {families} client families, {marks} synthetic marks, {calls} AI calls")
    }
}

fn built_in() -> Vec<(String, String)> {
    BUILT_IN.map(|(name, text)| (name.to_owned(), text.to_owned())).into()
}

fn unique_id(entry: &mut Entry<'_>, ids: &mut HashSet<String>, problems: &mut Problems) {
    let id = entry.id("id", problems);
    if !id.value.is_empty() && !ids.insert(id.value.clone()) {
        let message = format!("id `{}` is already taken, expected one of its own", id.value);
        problems.error(&id.place, message, "rename one of the two, or remove it".to_owned());
    }
}

fn condition(entry: &mut Entry<'_>, columns: &[&'static str], problems: &mut Problems) -> Option<Condition> {
    let words: Vec<(&'static str, usize)> = columns.iter().enumerate().map(|(i, name)| (*name, i)).collect();
    let column = entry.word("column", &words, problems);
    let test = test(entry, problems);
    Some(Condition { column: column?, test: test? })
}

/// The second condition of an entry, if it has one.
fn also(entry: &mut Entry<'_>, columns: &[&'static str], problems: &mut Problems) -> Option<Condition> {
    let mut also = None;
    let asked_for_more = entry.has("also");
    let is_table = entry.table_if_any("also", |mut table| {
        also = condition(&mut table, columns, problems);
        table.finish(problems);
    });
    if asked_for_more && !is_table {
        let fix = "write also = { column = \"...\", equals = \"...\" }".to_owned();
        problems.error(&entry.place(), "`also` is not a table".to_owned(), fix);
    }
    also
}

fn test(entry: &mut Entry<'_>, problems: &mut Problems) -> Option<Test> {
    let mut found = Vec::new();
    for (key, make) in TESTS {
        if let Some(text) = entry.text_if_any(key, problems) {
            found.push(make(text.value.to_ascii_lowercase()));
        }
    }
    if found.len() != 1 {
        let message = format!("{} comparisons, expected exactly one", found.len());
        let fix = "give one of equals, prefix, suffix, contains, word".to_owned();
        problems.error(&entry.place(), message, fix);
        return None;
    }
    found.pop()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(text: &str) -> Result<Signals, SignalErrors> {
        Signals::build(vec![("s.toml".to_owned(), text.to_owned())], "", Problems::default())
    }

    #[test]
    fn mistake_names_line_finding_and_fix() {
        let head = "[[signal]]\nid = \"a\"\nfamily = \"flow\"\ncolumn = \"flow\"\n";
        for (text, line, message, fix) in [
            (format!("{head}word = \"x\"\n"), 1, "lacks `log_odds`", "add"),
            (format!("{head}word = \"x\"\nlog_odds = 5"), 6, "expected -4 to 4", "-4 to 4"),
            (format!("{head}log_odds = 1"), 1, "0 comparisons, expected exactly one", "give one of"),
            (format!("{head}word = \"x\"\nprefix = \"y\"\nlog_odds = 1"), 1, "2 comparisons", "give one of"),
            (format!("{head}word = \"x\"\nlog_odds = 1\nalso = 1"), 1, "`also` is not a table", "write also"),
            (
                format!("{head}word = \"x\"\nlog_odds = 1\nalso = {{ column = \"flw\", word = \"y\" }}"),
                7,
                "unknown column `flw`",
                "did you mean `flow`?",
            ),
            (
                head.replace("flow", "cadence") + "word = \"x\"\nlog_odds = 1",
                3,
                "unknown family `cadence`",
                "use one of client",
            ),
            (
                "[[synthetic]]\nid = \"a\"\ncolumn = \"flow\"\nequals = \"x\"".to_owned(),
                3,
                "unknown column `flow`",
                "use one of",
            ),
            ("[[sgnal]]\nid = \"a\"".to_owned(), 1, "unknown table `sgnal`", "did you mean `signal`?"),
        ] {
            let SignalErrors(errors) = load(&text).unwrap_err();
            let found = errors.errors.iter().find(|e| e.message.contains(message));
            let found = found.unwrap_or_else(|| panic!("{text}\n{errors}"));
            assert_eq!(found.line, line, "{text}\n{errors}");
            assert!(found.fix.contains(fix), "{text}\n{errors}");
        }
        let twice = format!("{head}word = \"x\"\nlog_odds = 1\n").repeat(2);
        assert!(load(&twice).unwrap_err().to_string().contains("id `a` is already taken"));
    }

    #[test]
    fn folder_and_built_in_tables_are_the_same() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../queries/signals");
        let (from_folder, built_in) = (Signals::load(Some(&folder)).unwrap(), Signals::load(None).unwrap());
        assert_eq!(from_folder.version(), built_in.version());
        assert_eq!(from_folder.to_string(), built_in.to_string());
    }
}
