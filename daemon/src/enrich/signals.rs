//! What the signal tables say: how much speaks for a person, how much for a workload, what is synthetic, what
//! is a call to an AI service.
//!
//! In: queries/signals/*.toml, built in or from a folder. Out: log-odds per family of signals, client
//! families, marks, AI calls. The tables are data: nothing here knows a provider.

mod ai_calls;
mod clients;
mod conditions;

use std::collections::HashSet;
use std::fmt;
use std::path::Path;

pub(super) use ai_calls::{AI_CALL_COLUMNS, AiCall};
use ai_calls::{AiCalls, GETS, OPERATIONS};
use clients::ClientFamilies;
use conditions::{Condition, Mark, Test};

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
pub(super) const SYNTHETIC_COLUMNS: [&str; 4] = ["user_agent", "host", "route", "target"];
/// Columns that an approval may be recognised by.
pub(super) const APPROVAL_COLUMNS: [&str; 4] = ["action", "format", "host", "route"];

/// Families of signals, in the order of [`Weights`].
const FAMILIES: [(&str, usize); 3] = [("client", 0), ("network", 1), ("flow", 2)];

/// One family never says more than this: its signals are correlated.
const FAMILY_CAP: f64 = 4.0;

const BUILT_IN: [(&str, &str); 10] = [
    ("builtin:signals/ai_calls.toml", include_str!("../../../queries/signals/ai_calls.toml")),
    ("builtin:signals/approvals.toml", include_str!("../../../queries/signals/approvals.toml")),
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
    /// Texts that values are compared with, in all tables together.
    compared: usize,
    clients: ClientFamilies,
    synthetic: Vec<Condition>,
    ai_calls: AiCalls,
    approvals: Vec<Mark>,
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
    mark: Mark,
    log_odds: f64,
}

impl Signals {
    /// The tables in `folder`; `None` for those built in. Errors: every mistake.
    pub fn load(folder: Option<&Path>) -> Result<Self, SignalErrors> {
        let mut problems = Problems::default();
        let (texts, root) = match folder {
            Some(folder) => (read_texts(folder, &["toml"], &mut problems), format!("{}/", folder.display())),
            None => (built_in(), "builtin:signals/".to_owned()),
        };
        Self::build(texts, &root, problems)
    }

    fn build(texts: Vec<(String, String)>, root: &str, mut problems: Problems) -> Result<Self, SignalErrors> {
        ClientFamilies::prepare();
        let mut signals = Self {
            version: version_of(&texts, root),
            signals: Vec::new(),
            uses: [false; SIGNAL_COLUMNS.len()],
            compared: 0,
            clients: ClientFamilies::default(),
            synthetic: Vec::new(),
            ai_calls: AiCalls::default(),
            approvals: Vec::new(),
        };
        let mut ids = HashSet::new();
        let kinds = ["signal", "client_family", "client_name", "synthetic", "ai_call", "approval"];
        for (name, text) in texts {
            let file = TextFile::new(&name, text);
            let document = file.parse(&mut problems);
            each_entry(&file, document.get_ref(), &kinds, &mut problems, |kind, mut entry, problems| {
                let compared_before = signals.compared;
                match kind {
                    "signal" => signals.signal(&mut entry, &mut ids, problems),
                    "client_family" => signals.client(&mut entry, ClientFamilies::add_user_agent, problems),
                    "client_name" => signals.client(&mut entry, ClientFamilies::add_name, problems),
                    "ai_call" => signals.ai_call(&mut entry, problems),
                    "approval" => signals.approval(&mut entry, &mut ids, problems),
                    _ => signals.synthetic(&mut entry, &mut ids, problems),
                }
                signals.check_size(compared_before, &entry, problems);
                entry.finish(problems);
            });
        }
        problems.finish()?;
        Ok(signals)
    }

    /// Reports the entry that passes the bound.
    fn check_size(&self, compared_before: usize, entry: &Entry<'_>, problems: &mut Problems) {
        if compared_before <= SIGNALS_MAX && self.compared > SIGNALS_MAX {
            let message = format!("more than {SIGNALS_MAX} texts to compare with in the signal tables");
            problems.error(&entry.place(), message, "remove entries or texts".to_owned());
        }
    }

    /// SHA-256 of the tables' names and contents, hex.
    pub fn version(&self) -> &str {
        &self.version
    }

    fn signal(&mut self, entry: &mut Entry<'_>, ids: &mut HashSet<String>, problems: &mut Problems) {
        unique_id(entry, ids, problems);
        let family = entry.word("family", &FAMILIES, problems);
        let condition = self.condition(entry, &SIGNAL_COLUMNS, problems);
        let log_odds = entry.number_required("log_odds", -FAMILY_CAP..=FAMILY_CAP, problems);
        let also = self.also(entry, &SIGNAL_COLUMNS, problems);
        entry.text_if_any("note", problems);
        let (Some(family), Some(condition), Some(log_odds)) = (family, condition, log_odds) else { return };
        if log_odds == 0.0 {
            return;
        }
        for used in [Some(&condition), also.as_ref()].into_iter().flatten() {
            self.uses[used.column] = true;
        }
        self.signals.push(Signal { family, mark: Mark { condition, also }, log_odds });
    }

    fn client(
        &mut self,
        entry: &mut Entry<'_>,
        add: fn(&mut ClientFamilies, Test, String),
        problems: &mut Problems,
    ) {
        let family = entry.id("family", problems).value;
        entry.text_if_any("note", problems);
        if let Some(test) = Test::read(entry, problems) {
            self.compared += test.text_count();
            add(&mut self.clients, test, family);
        }
    }

    fn synthetic(&mut self, entry: &mut Entry<'_>, ids: &mut HashSet<String>, problems: &mut Problems) {
        unique_id(entry, ids, problems);
        entry.text_if_any("note", problems);
        let condition = self.condition(entry, &SYNTHETIC_COLUMNS, problems);
        self.synthetic.extend(condition);
    }

    fn ai_call(&mut self, entry: &mut Entry<'_>, problems: &mut Problems) {
        let provider = entry.id("provider", problems).value;
        let operation = entry.word("operation", &OPERATIONS, problems);
        let condition = self.condition(entry, &AI_CALL_COLUMNS, problems);
        let also = self.also(entry, &AI_CALL_COLUMNS, problems);
        let get = if entry.has("get") { entry.word("get", &GETS, problems) } else { Some(ai_calls::LIST) };
        entry.text_if_any("note", problems);
        if let (Some(operation), Some(condition), Some(get)) = (operation, condition, get) {
            self.ai_calls.add(AiCall { provider, operation }, get, Mark { condition, also });
        }
    }

    fn approval(&mut self, entry: &mut Entry<'_>, ids: &mut HashSet<String>, problems: &mut Problems) {
        unique_id(entry, ids, problems);
        entry.text_if_any("note", problems);
        let condition = self.condition(entry, &APPROVAL_COLUMNS, problems);
        let also = self.also(entry, &APPROVAL_COLUMNS, problems);
        self.approvals.extend(condition.map(|condition| Mark { condition, also }));
    }

    fn condition(
        &mut self,
        entry: &mut Entry<'_>,
        columns: &[&'static str],
        problems: &mut Problems,
    ) -> Option<Condition> {
        let condition = Condition::read(entry, columns, problems);
        self.compared += condition.as_ref().map_or(0, |c| c.test.text_count());
        condition
    }

    fn also(
        &mut self,
        entry: &mut Entry<'_>,
        columns: &[&'static str],
        problems: &mut Problems,
    ) -> Option<Condition> {
        let also = Condition::read_also(entry, columns, problems);
        self.compared += also.as_ref().map_or(0, |c| c.test.text_count());
        also
    }

    /// What AI call an event is, given values of [`AI_CALL_COLUMNS`]; the first entry that matches decides.
    pub(super) fn ai_call_of(&self, values: &[Option<&str>; AI_CALL_COLUMNS.len()]) -> Option<AiCall> {
        self.ai_calls.find(values)
    }

    /// Whether any signal looks at `SIGNAL_COLUMNS[column]`.
    pub(super) fn uses(&self, column: usize) -> bool {
        self.uses[column]
    }

    /// The coarse family of a client; `unknown` where no table names it.
    pub(super) fn client_family_of(&self, user_agent: &str) -> &str {
        self.clients.family_of(user_agent)
    }

    /// Whether values of [`SYNTHETIC_COLUMNS`] mark an event as synthetic.
    pub(super) fn is_synthetic(&self, values: &[Option<&str>; SYNTHETIC_COLUMNS.len()]) -> bool {
        let lower = values.map(|value| value.map(str::to_ascii_lowercase));
        self.synthetic.iter().any(|condition| condition.holds(&lower))
    }

    /// Whether values of [`APPROVAL_COLUMNS`] mark an event as an approval.
    pub(super) fn is_approval(&self, values: &[Option<&str>; APPROVAL_COLUMNS.len()]) -> bool {
        let lower = values.map(|value| value.map(str::to_ascii_lowercase));
        self.approvals.iter().any(|mark| mark.holds(&lower))
    }

    /// The strongest signal each way of each family, given values of [`SIGNAL_COLUMNS`].
    pub(super) fn weigh(&self, values: &[Option<&str>; SIGNAL_COLUMNS.len()]) -> Weights {
        let lower = values.map(|value| value.map(str::to_ascii_lowercase));
        let mut weights = Weights::default();
        for signal in &self.signals {
            if signal.mark.holds(&lower) {
                let side = if signal.log_odds > 0.0 { &mut weights.human } else { &mut weights.workload };
                side[signal.family] = side[signal.family].max(signal.log_odds.abs());
            }
        }
        weights
    }
}

impl fmt::Display for Signals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (signals, families) = (self.signals.len(), self.clients.len());
        let (marks, calls) = (self.synthetic.len(), self.ai_calls.len());
        let approvals = self.approvals.len();
        write!(
            f,
            "{signals} signals, {families} client families, {marks} synthetic marks, {calls} AI calls, {approvals} approvals"
        )
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
            (format!("{head}present = false\nlog_odds = 1"), 1, "0 comparisons", "present = true"),
            (format!("{head}present = true\nword = \"x\"\nlog_odds = 1"), 1, "2 comparisons", "give one of"),
            (
                "[[ai_call]]\nprovider = \"p\"\noperation = \"invoke\"\ncolumn = \"host\"\nequals = \"h\"\nget = \"manage\"".to_owned(),
                6,
                "unknown get `manage`",
                "use one of invoke, list",
            ),
            (format!("{head}word = []\nlog_odds = 1"), 5, "is an empty list", "at least one text"),
            (
                format!("{head}word = [\"x\", 1]\nlog_odds = 1"),
                5,
                "is a number, expected text",
                "word = \"...\"",
            ),
            (
                format!("{head}word = [\"x\"]\nprefix = \"y\"\nlog_odds = 1"),
                1,
                "2 comparisons",
                "give one of",
            ),
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
    fn any_text_of_a_list_will_do() {
        let signals = load("[[client_family]]\nfamily = \"tool\"\nprefix = [\"One/\", \"two\"]\n").unwrap();
        for (user_agent, family) in [("ONE/1", "tool"), ("two", "tool"), ("three one/", "unknown")] {
            assert_eq!(signals.client_family_of(user_agent), family, "{user_agent}");
        }
    }

    #[test]
    fn texts_of_all_entries_together_are_bounded() {
        let entry = |count: usize| {
            let texts: Vec<String> = (0..count).map(|i| format!("\"t{i}\"")).collect();
            format!("[[client_family]]\nfamily = \"f\"\nequals = [{}]\n", texts.join(", "))
        };
        assert!(load(&entry(SIGNALS_MAX)).is_ok());
        let SignalErrors(errors) = load(&(entry(SIGNALS_MAX) + &entry(1) + &entry(1))).unwrap_err();
        assert_eq!(errors.errors.len(), 1, "{errors}");
        assert_eq!(errors.errors[0].line, 4, "{errors}");
    }

    #[test]
    fn folder_and_built_in_tables_are_the_same() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../queries/signals");
        let (from_folder, built_in) = (Signals::load(Some(&folder)).unwrap(), Signals::load(None).unwrap());
        assert_eq!(from_folder.version(), built_in.version());
        assert_eq!(from_folder.to_string(), built_in.to_string());
    }
}
