//! One pilot from one entity that opts in with the annotation `shadowprod.io/pilot`.
//!
//! In: an entity. Out: the table of a `[[pilot]]`, read as if it stood in a TOML file. An entity tells its present
//! lifecycle only, so the times of its stages are annotations, and production still asks for a [[promotion]].
//! Source: Backstage's page "Descriptor Format of Catalog Entities", annotations and kind Component.

use jiff::Timestamp;

use super::entity::{Entity, PREFIX, Table, Text};
use super::owners::Owners;
use crate::registry::entries::{PILOT_SELECTORS, Parts};
use crate::registry::errors::Problems;
use crate::registry::reader::{choices, shown};
use crate::registry::selectors::SelectorKind;

/// What our annotations may be called, selectors aside.
const NAMES: &[&str] = &[
    "pilot",
    "since",
    "production-since",
    "revoked-since",
    "purpose",
    "team",
    "data-owner",
    "security-approver",
    "control-owner",
    "profile",
    "environments",
    "data-scope",
    "tool-scope",
    "sensitive-data",
    "write-tools",
    "external-users",
];
const SELECTOR: &str = "selector.";

/// What YAML 1.1 took for true or false, and YAML 1.2 does not.
const FORMER_BOOLEANS: &[&str] = &["y", "n", "yes", "no", "on", "off"];

/// The lifecycles that Backstage's page names.
const LIFECYCLES: &[(&str, Lifecycle)] = &[
    ("experimental", Lifecycle::Experimental),
    ("production", Lifecycle::Production),
    ("deprecated", Lifecycle::Deprecated),
];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Lifecycle {
    Experimental,
    Production,
    /// Still there, about to go: no promotion is taken back by it, and none is given.
    Deprecated,
}

/// Reads `entity` into `parts` if it opts in, and says whether it does.
pub(super) fn read(
    entity: &Entity<'_>,
    owners: &mut Owners,
    parts: &mut Parts,
    problems: &mut Problems,
) -> bool {
    let notes = Annotations::read(entity, problems);
    let Some(id) = notes.pilot(problems) else { return false };
    let line = id.line;
    let mut table = Table::new(entity.file);
    let purpose = notes.text("purpose").cloned().unwrap_or_else(|| id.clone());
    table.text("id", id);
    table.text("name", entity.text(&["metadata", "title"], problems).unwrap_or(entity.name.clone()));
    table.text("purpose", purpose);
    let owned = add_owners(&notes, owners, &mut table, problems);
    let staged = add_stages(&notes, &mut table, problems);
    let profiled = notes.required("profile", "write regulated, standard or fast_moving", problems);
    if let Some(profile) = &profiled {
        table.text("profile", profile.clone());
    }
    for (name, key) in
        [("environments", "environments"), ("data-scope", "data_scope"), ("tool-scope", "tool_scope")]
    {
        if let Some(text) = notes.text(name) {
            table.texts(key, notes.parts_of(name, text, problems), text.line);
        }
    }
    for (name, key) in [
        ("sensitive-data", "sensitive_data"),
        ("write-tools", "write_tools"),
        ("external-users", "external_users"),
    ] {
        if let Some(text) = notes.text(name) {
            table.flag(key, notes.flag(name, text, problems), text.line);
        }
    }
    add_selectors(&notes, &mut table, problems);
    // Without these the reader of [[pilot]] would report once more what was reported here.
    if owned.is_some() && staged.is_some() && profiled.is_some() {
        table.read_as("pilot", &entity.kind, line, parts, problems);
    }
    true
}

fn add_owners(
    notes: &Annotations<'_>,
    owners: &mut Owners,
    table: &mut Table<'_>,
    problems: &mut Problems,
) -> Option<()> {
    let entity = notes.entity;
    for (name, key) in [
        ("data-owner", "data_owner"),
        ("security-approver", "security_approver"),
        ("control-owner", "control_owner"),
    ] {
        let Some(text) = notes.text(name) else { continue };
        if let Some(holder) = owners.resolve(entity, &format!("{PREFIX}{name}"), text, problems) {
            table.text(key, Text { value: holder.owner, line: text.line });
        }
    }
    let Some(text) = entity.text(&["spec", "owner"], problems) else {
        let fix = "add `owner: group:default/name` under `spec`".to_owned();
        problems.error(&entity.place(entity.root.line), "pilot lacks `spec.owner`".to_owned(), fix);
        return None;
    };
    let holder = owners.resolve(entity, "spec.owner", &text, problems)?;
    let team = match (notes.text("team"), holder.team) {
        (Some(named), _) => named_team(notes, named, owners, problems)?,
        (None, Some(team)) => Text { value: team, line: text.line },
        (None, None) => only_team(notes, &text, &holder.owner, owners, problems)?,
    };
    table.text("team", team);
    table.text("owner", Text { value: holder.owner, line: text.line });
    Some(())
}

fn named_team(
    notes: &Annotations<'_>,
    named: &Text,
    owners: &Owners,
    problems: &mut Problems,
) -> Option<Text> {
    match owners.team(&named.value) {
        Ok(team) => Some(Text { value: team.to_owned(), line: named.line }),
        Err(fix) => {
            let message = format!("`{PREFIX}team` names unknown team `{}`", shown(&named.value));
            problems.error(&notes.entity.place(named.line), message, fix);
            None
        }
    }
}

/// The team of a pilot that a person owns.
fn only_team(
    notes: &Annotations<'_>,
    owner: &Text,
    person: &str,
    owners: &Owners,
    problems: &mut Problems,
) -> Option<Text> {
    let teams = owners.teams_of(person);
    if let [team] = teams[..] {
        return Some(Text { value: team.to_owned(), line: owner.line });
    }
    let message = match teams.len() {
        0 => format!("`spec.owner` is `{}`, who is in no team", shown(&owner.value)),
        _ => format!("`spec.owner` is `{}`, who is in several teams", shown(&owner.value)),
    };
    let fix = match teams.len() {
        0 => format!("add the annotation `{PREFIX}team: name`, or let a group own it"),
        _ => format!("add the annotation `{PREFIX}team` with one of {}", teams.join(", ")),
    };
    problems.error(&notes.entity.place(owner.line), message, fix);
    None
}

/// `experimental` is stage pilot. `production` and `deprecated` claim production, from `production-since` or else
/// from the start; what counts of a claim is decided where promotions are, for all pilots alike.
fn add_stages(notes: &Annotations<'_>, table: &mut Table<'_>, problems: &mut Problems) -> Option<()> {
    let lifecycle = lifecycle(notes.entity, problems);
    let since =
        notes.required("since", "write the day from which it counts: \"2026-01-05T00:00:00Z\"", problems);
    let since = since.filter(|text| notes.time("since", text, problems).is_some())?;
    let production = notes.later("production-since", &since, problems)?;
    let revoked = notes.later("revoked-since", production.as_ref().unwrap_or(&since), problems)?;
    let lifecycle = lifecycle?;
    if let (Lifecycle::Experimental, Some(production)) = (lifecycle, &production) {
        let message = format!("`{PREFIX}production-since` stands beside lifecycle `experimental`");
        let fix = "remove the annotation, or correct `spec.lifecycle`".to_owned();
        problems.error(&notes.entity.place(production.line), message, fix);
        return None;
    }
    let claims = lifecycle != Lifecycle::Experimental;
    let first = if claims && production.is_none() { "production" } else { "pilot" };
    let later = [production.map(|from| ("production", from)), revoked.map(|from| ("revoked", from))];
    let line = since.line;
    let stages = std::iter::once((first, since)).chain(later.into_iter().flatten());
    let stages = stages.map(|(stage, from)| {
        let (mut span, line) = (Table::new(notes.entity.file), from.line);
        span.text("stage", Text { value: stage.to_owned(), line });
        span.text("from", from);
        (span, line)
    });
    table.tables("stages", stages.collect(), line);
    Some(())
}

fn lifecycle(entity: &Entity<'_>, problems: &mut Problems) -> Option<Lifecycle> {
    let names: Vec<&str> = LIFECYCLES.iter().map(|(name, _)| *name).collect();
    let Some(text) = entity.text(&["spec", "lifecycle"], problems) else {
        let fix = format!("add `lifecycle` under `spec`: one of {}", names.join(", "));
        problems.error(&entity.place(entity.root.line), "pilot lacks `spec.lifecycle`".to_owned(), fix);
        return None;
    };
    let found = LIFECYCLES.iter().find(|(name, _)| *name == text.value);
    if found.is_none() {
        let message =
            format!("`spec.lifecycle` is `{}`, expected one of {}", shown(&text.value), names.join(", "));
        problems.error(&entity.place(text.line), message, choices(&text.value, &names));
    }
    found.map(|(_, lifecycle)| *lifecycle)
}

/// Selectors hold from `since` on: before that, the pilot was not there.
fn add_selectors(notes: &Annotations<'_>, table: &mut Table<'_>, problems: &mut Problems) {
    let mut selectors = Vec::new();
    for (name, text) in &notes.found {
        let Some(kind) = name.strip_prefix(SELECTOR) else { continue };
        for value in notes.parts_of(name, text, problems) {
            let mut selector = Table::new(notes.entity.file);
            let line = value.line;
            selector.text("kind", Text { value: kind.to_owned(), line });
            selector.text("value", value);
            if let Some(since) = notes.text("since") {
                selector.text("from", since.clone());
            }
            selectors.push((selector, line));
        }
    }
    if let Some((_, line)) = selectors.first() {
        let line = *line;
        table.tables("selectors", selectors, line);
    }
}

/// Our annotations on one entity, without the prefix.
struct Annotations<'a> {
    entity: &'a Entity<'a>,
    found: Vec<(String, Text)>,
}

impl<'a> Annotations<'a> {
    fn read(entity: &'a Entity<'a>, problems: &mut Problems) -> Self {
        let pairs = entity.at(&["metadata", "annotations"]).map_or(&[][..], |node| node.pairs());
        let words = SelectorKind::WORDS.iter().filter(|(_, kind)| PILOT_SELECTORS.contains(kind));
        let selectors: Vec<String> = words.map(|(word, _)| format!("{SELECTOR}{word}")).collect();
        let known: Vec<&str> = NAMES.iter().copied().chain(selectors.iter().map(String::as_str)).collect();
        let mut found = Vec::new();
        for (key, node) in pairs {
            let Some(name) = key.text.strip_prefix(PREFIX) else { continue };
            if !known.contains(&name) {
                let message = format!("unknown annotation `{}`", shown(&key.text));
                problems.error(&entity.place(key.line), message, choices(name, &known));
            } else if let Some(text) = entity.text_of(&key.text, node, problems) {
                found.push((name.to_owned(), text));
            }
        }
        Self { entity, found }
    }

    fn text(&self, name: &str) -> Option<&Text> {
        self.found.iter().find(|(found, _)| found == name).map(|(_, text)| text)
    }

    fn required(&self, name: &str, fix: &str, problems: &mut Problems) -> Option<Text> {
        let found = self.text(name).cloned();
        if found.is_none() {
            let message = format!("pilot lacks the annotation `{PREFIX}{name}`");
            problems.error(&self.entity.place(self.entity.name.line), message, fix.to_owned());
        }
        found
    }

    /// The pilot's id if this is one.
    fn pilot(&self, problems: &mut Problems) -> Option<Text> {
        let Some(text) = self.text("pilot") else {
            if let Some((name, text)) = self.found.first() {
                let message = format!("annotation `{PREFIX}{name}` stands on an entity that is no pilot");
                let fix = format!("add `{PREFIX}pilot: \"true\"`, or remove the annotation");
                problems.error(&self.entity.place(text.line), message, fix);
            }
            return None;
        };
        let word = text.value.to_lowercase();
        match &*word {
            "true" => Some(self.entity.name.clone()),
            "false" => None,
            former if FORMER_BOOLEANS.contains(&former) => {
                let message = format!("`{PREFIX}pilot` is `{}`, which is no boolean in YAML 1.2", text.value);
                let fix = "write \"true\", \"false\" or the id of the pilot".to_owned();
                problems.error(&self.entity.place(text.line), message, fix);
                None
            }
            _ => Some(text.clone()),
        }
    }

    fn flag(&self, name: &str, text: &Text, problems: &mut Problems) -> bool {
        let flag = text.value.parse::<bool>();
        if flag.is_err() {
            let message = format!("`{PREFIX}{name}` is `{}`, expected true or false", shown(&text.value));
            problems.error(&self.entity.place(text.line), message, "write \"true\" or \"false\"".to_owned());
        }
        flag.unwrap_or(false)
    }

    fn time(&self, name: &str, text: &Text, problems: &mut Problems) -> Option<Timestamp> {
        let time = text.value.parse::<Timestamp>();
        if time.is_err() {
            let message =
                format!("`{PREFIX}{name}` is `{}`, expected a time with an offset", shown(&text.value));
            let fix = "write \"2026-01-05T00:00:00Z\"".to_owned();
            problems.error(&self.entity.place(text.line), message, fix);
        }
        time.ok()
    }

    /// The time `name`, which may be absent and has to be after `earlier`; `None` after an error.
    fn later(&self, name: &str, earlier: &Text, problems: &mut Problems) -> Option<Option<Text>> {
        let Some(text) = self.text(name) else { return Some(None) };
        let time = self.time(name, text, problems)?;
        if earlier.value.parse::<Timestamp>().is_ok_and(|earlier| time <= earlier) {
            let message = format!("`{PREFIX}{name}` is not after `{}`", shown(&earlier.value));
            let fix = "make it later than the stage before it".to_owned();
            problems.error(&self.entity.place(text.line), message, fix);
            return None;
        }
        Some(Some(text.clone()))
    }

    /// What stands between the commas.
    fn parts_of(&self, name: &str, text: &Text, problems: &mut Problems) -> Vec<Text> {
        let parts: Vec<&str> = text.value.split(',').map(str::trim).collect();
        if parts.iter().any(|part| part.is_empty()) {
            let message = format!("`{PREFIX}{name}` has nothing before or after a comma");
            problems.error(&self.entity.place(text.line), message, "write `one, another`".to_owned());
        }
        let kept = parts.into_iter().filter(|part| !part.is_empty());
        kept.map(|part| Text { value: part.to_owned(), line: text.line }).collect()
    }
}
