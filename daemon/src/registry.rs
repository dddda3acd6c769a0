//! What governance decided: pilots, promotions, exceptions, owners, and the estate around them.
//!
//! In: a folder of TOML files (fixtures/registry explains every key) and of Backstage's catalog entities
//! (fixtures/backstage). Out: a [`Registry`], immutable, in which every fact has a validity and every lookup takes
//! event time in microseconds. Nothing here reads a clock, and a registry with one mistake is refused as a whole.

mod addresses;
mod backstage;
mod check;
mod entries;
pub(crate) mod errors;
pub mod facts;
mod load;
pub mod patterns;
mod published;
pub(crate) mod reader;
pub mod scope;
pub mod selectors;
mod tables;
mod yaml;

use std::collections::HashMap;
use std::net::IpAddr;
use std::path::Path;

use arrow::record_batch::RecordBatch;

pub use backstage::CatalogCounts;
pub use errors::{RegistryError, RegistryErrors};
pub(crate) use load::{read_texts, version_of};
#[cfg(test)]
pub(crate) use published::tests as network_files;
pub use published::{AutonomousSystem, CloudRange};

use crate::findings::{Owner, Severity};
use crate::folder::FromFolder;
use addresses::CidrIndex;
use entries::Parts;
use facts::{
    Addresses, Allowance, Exception, Group, Network, Person, Pilot, Policy, Production, ProductionKind,
    Promotion, Stage, Team, Validity, Workload,
};
use patterns::PatternIndex;
use published::Published;
use scope::{DataStore, Within};
use selectors::SelectorIndex;

/// A checked registry.
#[derive(Debug)]
pub struct Registry {
    version: String,
    warnings: Vec<RegistryError>,
    catalog: CatalogCounts,
    boundaries: Vec<i64>,
    people: Vec<Person>,
    groups: Vec<Group>,
    teams: Vec<Team>,
    pilots: Vec<Pilot>,
    policies: Vec<Policy>,
    promotions: Vec<Promotion>,
    exceptions: Vec<Exception>,
    services: Vec<Workload>,
    networks: Vec<Network>,
    pilot_numbers: HashMap<String, usize>,
    team_numbers: HashMap<String, usize>,
    /// Person and group ids.
    actors: HashMap<String, Actor>,
    by_email: HashMap<String, usize>,
    /// By person number: ids of the teams they are a member of, in id order.
    teams_of: Vec<Vec<String>>,
    /// By pilot number: its exceptions, with when each holds.
    allowances: Vec<Vec<(Allowance, Validity)>>,
    pilot_selectors: SelectorIndex,
    service_selectors: SelectorIndex,
    network_index: CidrIndex,
    /// By number: networks given as an autonomous system.
    networks_by_asn: HashMap<u32, Vec<usize>>,
    published: Published,
    production: HashMap<&'static str, PatternIndex<(Validity, f64)>>,
    name_patterns: Vec<Production>,
    shared: PatternIndex<Validity>,
}

#[derive(Debug, Clone, Copy)]
enum Actor {
    Person(usize),
    Group(usize),
}

impl Registry {
    /// Loads every `*.toml`, `*.yaml` and `*.yml` below `folder`; hidden files and folders are left out. Errors: every mistake.
    pub fn load(folder: &Path) -> Result<Self, RegistryErrors> {
        Self::read(folder).outcome
    }

    /// The same from texts in memory, each with the name that errors give: for cases that queries carry.
    pub fn from_texts(texts: Vec<(String, String)>) -> Result<Self, RegistryErrors> {
        load::from_texts(texts)
    }

    /// SHA-256 of the files' names and contents, hex.
    pub fn version(&self) -> &str {
        &self.version
    }

    /// What is allowed but probably not meant, in file and line order.
    pub fn warnings(&self) -> &[RegistryError] {
        &self.warnings
    }

    /// What the catalog entities of Backstage among the files came to.
    pub fn catalog(&self) -> CatalogCounts {
        self.catalog
    }

    /// The SQL tables that detections may join, by name. Times are `Timestamp(Microsecond)` without a zone.
    pub fn tables(&self) -> Vec<(&'static str, RecordBatch)> {
        tables::tables(self)
    }

    /// Every instant at which a fact starts or ends, microseconds, ascending, unique.
    pub fn boundaries(&self) -> Vec<i64> {
        self.boundaries.clone()
    }

    /// Number of boundaries at or before `at`: between two equal answers no lookup changes.
    pub fn epoch(&self, at: i64) -> usize {
        self.boundaries.partition_point(|b| *b <= at)
    }

    /// First and last microsecond of the epoch that holds `at`.
    pub fn epoch_bounds(&self, at: i64) -> (i64, i64) {
        let epoch = self.epoch(at);
        let first = if epoch == 0 { i64::MIN } else { self.boundaries[epoch - 1] };
        let last = self.boundaries.get(epoch).map_or(i64::MAX, |b| b - 1);
        (first, last)
    }

    /// Ids of all persons, in id order.
    pub fn people(&self) -> impl Iterator<Item = &str> {
        self.people.iter().map(|p| p.id.as_str())
    }

    /// All pilots, in id order; their place is their number.
    pub fn pilots(&self) -> &[Pilot] {
        &self.pilots
    }

    /// All services, in id order; their place is their number.
    pub fn services(&self) -> &[Workload] {
        &self.services
    }

    /// Selectors of pilots; holders are pilot numbers.
    pub fn pilot_selectors(&self) -> &SelectorIndex {
        &self.pilot_selectors
    }

    /// Selectors of services; holders are service numbers.
    pub fn service_selectors(&self) -> &SelectorIndex {
        &self.service_selectors
    }

    /// Whether pilot number `pilot` may take production traffic at `at` without being promoted: by an
    /// exception, or because it reaches production within its policy's grace.
    pub fn is_excepted(&self, pilot: usize, at: i64) -> bool {
        let excepted = self.allows(pilot, Allowance::ProductionTraffic, at);
        let pilot = &self.pilots[pilot];
        let waits = pilot.stage_at(at) != Some(Stage::Production);
        excepted || (waits && pilot.promoted_soon(at, self.policy(pilot).grace_micros))
    }

    fn allows(&self, pilot: usize, what: Allowance, at: i64) -> bool {
        self.allowances[pilot].iter().any(|(allowed, validity)| *allowed == what && validity.holds(at))
    }

    /// How `store` stands to the data scope of pilot number `pilot` at `at`; `None` where the scope does not speak
    /// of such stores.
    pub fn data_within(&self, pilot: usize, store: &DataStore, at: i64) -> Option<Within> {
        let covered = scope::data_within(&self.pilots[pilot].data_scope, store, at)?;
        Some(self.within(covered, pilot, Allowance::DataOutOfScope, at))
    }

    /// How `tool` stands to what pilot number `pilot` may do by itself at `at`; `None` where that is not declared.
    pub fn tool_within(&self, pilot: usize, tool: &str, at: i64) -> Option<Within> {
        let covered = scope::tool_within(&self.pilots[pilot].tool_scope, tool, at)?;
        Some(self.within(covered, pilot, Allowance::UnattendedActions, at))
    }

    fn within(&self, covered: bool, pilot: usize, otherwise: Allowance, at: i64) -> Within {
        match covered {
            true => Within::Inside,
            false if self.allows(pilot, otherwise, at) => Within::Excepted,
            false => Within::Outside,
        }
    }

    fn policy(&self, pilot: &Pilot) -> &Policy {
        self.policies.iter().find(|p| p.profile == pilot.profile).expect("every profile has a policy")
    }

    /// The longest named network that holds `address` at `at`.
    pub fn network(&self, address: IpAddr, at: i64) -> Option<&Network> {
        self.network_index.find(address, at).map(|i| &self.networks[i])
    }

    /// The network that was named for all addresses of autonomous system `number` at `at`.
    pub fn network_of_asn(&self, number: u32, at: i64) -> Option<&Network> {
        let named = self.networks_by_asn.get(&number)?.iter().map(|i| &self.networks[*i]);
        named.into_iter().find(|network| network.validity.holds(at))
    }

    /// The longest range that holds `address` among those that clouds publish.
    pub fn cloud(&self, address: IpAddr) -> Option<&CloudRange> {
        self.published.cloud(address)
    }

    /// Who announces `address`.
    pub fn autonomous_system(&self, address: IpAddr) -> Option<AutonomousSystem<'_>> {
        self.published.autonomous_system(address)
    }

    /// Files that the registry names: what they hold is part of it.
    pub fn network_files(&self) -> impl ExactSizeIterator<Item = &Path> {
        self.published.files.iter().map(|(path, _)| path.as_path())
    }

    /// Whether the production map looks at `kind` at all.
    pub fn maps_production_by(&self, kind: ProductionKind) -> bool {
        self.production.contains_key(word(kind))
    }

    /// The weight with which `value`, in any case, says production at `at`: the largest of the entries of that
    /// kind that match, else 0. For a name pattern, `value` may hold it anywhere.
    pub fn production_weight(&self, kind: ProductionKind, value: &str, at: i64) -> f64 {
        let value = &*value.to_ascii_lowercase();
        let largest = |weights: &mut dyn Iterator<Item = f64>| weights.fold(0.0, f64::max);
        if kind == ProductionKind::NamePattern {
            let held = self.name_patterns.iter().filter(|p| p.validity.holds(at));
            return largest(&mut held.filter(|p| value.contains(p.pattern.text())).map(|p| p.weight));
        }
        let Some(index) = self.production.get(word(kind)) else { return 0.0 };
        largest(&mut index.find(value).filter(|(v, _)| v.holds(at)).map(|(_, weight)| *weight))
    }

    /// Whether several people use `principal` by agreement at `at`.
    pub fn is_shared(&self, principal: &str, at: i64) -> bool {
        self.shared.find(principal).any(|v| v.holds(at))
    }

    /// Ids of the teams, in id order, of the person whose email or id is `name`, unless disabled at `at`.
    pub fn teams_of(&self, name: &str, at: i64) -> Option<&[String]> {
        let by_id = || match self.actors.get(name) {
            Some(Actor::Person(i)) => Some(*i),
            Some(Actor::Group(_)) | None => None,
        };
        let person = self.by_email.get(&name.to_ascii_lowercase()).copied().or_else(by_id)?;
        let works_here = self.people[person].disabled_at.is_none_or(|left| at < left);
        works_here.then_some(self.teams_of[person].as_slice())
    }

    /// Whom to page. Roles: `pilot_owner`, `data_owner`, `security_approver`, `control_owner`,
    /// `exception_grantor` (of the pilot's newest exception), `credential_owner` and `team_owner` (of `team`, else
    /// of the pilot's team). Where nobody holds the role: the pilot's owner, then the team's, then an empty
    /// [`Owner`], whose `role` stays what was asked for. Disabled persons are passed over.
    pub fn owner(&self, role: &str, pilot: Option<&str>, team: Option<&str>, severity: Severity) -> Owner {
        let pilot = pilot.and_then(|id| self.pilot_numbers.get(id)).map(|i| &self.pilots[*i]);
        let team_id = team.or(pilot.map(|p| p.team.as_str()));
        let team = team_id.and_then(|id| self.team_numbers.get(id)).map(|i| &self.teams[*i]);
        let asked = match role {
            "credential_owner" | "team_owner" => team.map(|t| t.owner.as_str()),
            "data_owner" => pilot.and_then(|p| p.data_owner.as_deref()),
            "security_approver" => pilot.and_then(|p| p.security_approver.as_deref()),
            "control_owner" => pilot.and_then(|p| p.control_owner.as_deref()),
            "exception_grantor" => pilot.and_then(|p| self.newest_grantor(&p.id)),
            _ => pilot.map(|p| p.owner.as_str()),
        };
        let candidates = [
            (role, asked),
            ("pilot_owner", pilot.map(|p| p.owner.as_str())),
            ("team_owner", team.map(|t| t.owner.as_str())),
        ];
        let holder = candidates.into_iter().find_map(|(role, id)| Some((role, self.first_enabled(id?)?)));
        let Some((role, person)) = holder else {
            return Owner { role: role.to_owned(), ..Owner::default() };
        };
        owner_of(role, person, severity)
    }

    /// Whom to page where `id`, a person or a group, is known to hold `role`; `None` where nobody of it is left.
    pub fn holder(&self, role: &str, id: &str, severity: Severity) -> Option<Owner> {
        self.first_enabled(id).map(|person| owner_of(role, person, severity))
    }

    fn newest_grantor(&self, pilot: &str) -> Option<&str> {
        let own = self.exceptions.iter().filter(|e| e.pilot == pilot);
        own.max_by_key(|e| (e.validity.from, &e.id)).map(|e| e.granted_by.as_str())
    }

    fn first_enabled(&self, id: &str) -> Option<&Person> {
        let person = |i: usize| Some(&self.people[i]).filter(|p| p.disabled_at.is_none());
        match *self.actors.get(id)? {
            Actor::Person(i) => person(i),
            Actor::Group(i) => self.groups[i].members.iter().find_map(|m| self.first_enabled(m)),
        }
    }

    /// Works everything out; `parts` was checked.
    fn new(
        mut parts: Parts,
        policies: Vec<Policy>,
        published: Published,
        version: String,
        warnings: Vec<RegistryError>,
    ) -> Self {
        parts.people.sort_by(|a, b| a.id.cmp(&b.id));
        parts.teams.sort_by(|a, b| a.id.cmp(&b.id));
        parts.services.sort_by(|a, b| a.id.cmp(&b.id));
        let mut pilots: Vec<Pilot> = std::mem::take(&mut parts.pilots).into_iter().map(|(p, _)| p).collect();
        pilots.sort_by(|a, b| a.id.cmp(&b.id));
        let promotions: Vec<Promotion> =
            std::mem::take(&mut parts.promotions).into_iter().map(|(p, _)| p).collect();
        let mut registry = Self {
            version,
            warnings,
            catalog: parts.catalog,
            boundaries: Vec::new(),
            pilot_numbers: numbers(pilots.iter().map(|p| &p.id)),
            team_numbers: numbers(parts.teams.iter().map(|t| &t.id)),
            actors: actors(&parts),
            by_email: numbers_of(parts.people.iter().map(|p| p.email.to_ascii_lowercase())),
            teams_of: teams_of(&parts.people, &parts.teams),
            allowances: allowances(&pilots, &parts.exceptions),
            pilot_selectors: SelectorIndex::new(pilots.iter().map(|p| (&p.selectors[..], Validity::ALWAYS))),
            service_selectors: SelectorIndex::new(
                parts.services.iter().map(|s| (&s.selectors[..], s.validity)),
            ),
            network_index: CidrIndex::default(),
            networks_by_asn: HashMap::new(),
            published,
            production: HashMap::new(),
            name_patterns: Vec::new(),
            shared: PatternIndex::default(),
            people: parts.people,
            groups: parts.groups,
            teams: parts.teams,
            pilots,
            policies,
            promotions,
            exceptions: parts.exceptions,
            services: parts.services,
            networks: parts.networks.into_iter().map(|(network, _)| network).collect(),
        };
        registry.index_estate(parts.production, &parts.shared);
        registry.boundaries.extend(registry.instants());
        registry.boundaries.retain(|b| *b != i64::MIN && *b != i64::MAX);
        registry.boundaries.sort_unstable();
        registry.boundaries.dedup();
        registry
    }

    fn index_estate(&mut self, production: Vec<Production>, shared: &[facts::SharedCredential]) {
        for (i, network) in self.networks.iter().enumerate() {
            match network.addresses {
                Addresses::Cidr(cidr) => self.network_index.insert(cidr, network.validity, i),
                Addresses::AutonomousSystem(number) => {
                    self.networks_by_asn.entry(number).or_default().push(i)
                }
            }
        }
        for credential in shared {
            self.shared.insert(&credential.principal, credential.validity);
            self.boundaries.extend([credential.validity.from, credential.validity.to]);
        }
        for entry in production {
            self.boundaries.extend([entry.validity.from, entry.validity.to]);
            if entry.kind == ProductionKind::NamePattern {
                self.name_patterns.push(entry);
            } else {
                let index = self.production.entry(word(entry.kind)).or_default();
                index.insert(&entry.pattern, (entry.validity, entry.weight));
            }
        }
    }

    /// Starts and ends of the facts that are kept whole; unsorted.
    fn instants(&self) -> Vec<i64> {
        let ends = |v: Validity| [v.from, v.to];
        let mut instants: Vec<i64> = Vec::new();
        for pilot in &self.pilots {
            let grace = self.policy(pilot).grace_micros;
            for span in &pilot.stages {
                instants.extend(ends(span.validity));
                if span.stage == Stage::Production {
                    instants.push(span.validity.from.saturating_sub(grace));
                }
            }
            instants.extend(pilot.selectors.iter().flat_map(|s| ends(s.validity)));
            let scopes = pilot.data_scope.iter().chain(&pilot.tool_scope);
            instants.extend(scopes.flat_map(|s| ends(s.validity)));
        }
        for service in &self.services {
            instants.extend(ends(service.validity));
            instants.extend(service.selectors.iter().flat_map(|s| ends(s.validity)));
        }
        instants.extend(self.networks.iter().flat_map(|n| ends(n.validity)));
        instants.extend(self.exceptions.iter().flat_map(|e| ends(e.validity)));
        instants.extend(self.promotions.iter().map(|p| p.decided_at));
        instants.extend(self.people.iter().filter_map(|p| p.disabled_at));
        instants
    }
}

fn owner_of(role: &str, person: &Person, severity: Severity) -> Owner {
    let contact = person.contact(severity).to_owned();
    Owner { person: person.id.clone(), role: role.to_owned(), contact }
}

fn word(kind: ProductionKind) -> &'static str {
    facts::word_of(kind, ProductionKind::WORDS)
}

fn numbers<'a>(ids: impl Iterator<Item = &'a String>) -> HashMap<String, usize> {
    numbers_of(ids.cloned())
}

fn numbers_of(ids: impl Iterator<Item = String>) -> HashMap<String, usize> {
    let mut numbers = HashMap::new();
    for (number, id) in ids.enumerate() {
        numbers.entry(id).or_insert(number);
    }
    numbers
}

fn actors(parts: &Parts) -> HashMap<String, Actor> {
    let people = parts.people.iter().enumerate().map(|(i, p)| (p.id.clone(), Actor::Person(i)));
    let groups = parts.groups.iter().enumerate().map(|(i, g)| (g.id.clone(), Actor::Group(i)));
    people.chain(groups).collect()
}

fn teams_of(people: &[Person], teams: &[Team]) -> Vec<Vec<String>> {
    let number = numbers(people.iter().map(|p| &p.id));
    let mut teams_of = vec![Vec::new(); people.len()];
    for (team, member) in teams.iter().flat_map(|t| t.members.iter().map(move |m| (t, m))) {
        let of_member: &mut Vec<String> = &mut teams_of[number[member]];
        if of_member.last() != Some(&team.id) {
            of_member.push(team.id.clone());
        }
    }
    teams_of
}

fn allowances(pilots: &[Pilot], exceptions: &[Exception]) -> Vec<Vec<(Allowance, Validity)>> {
    let number = numbers(pilots.iter().map(|p| &p.id));
    let mut by_pilot = vec![Vec::new(); pilots.len()];
    for exception in exceptions {
        by_pilot[number[&exception.pilot]].push((exception.allows, exception.validity));
    }
    by_pilot
}

#[cfg(test)]
mod tests {
    use super::*;

    const BASE: &str = r#"
[[person]]
id = "ann"
name = "Ann"
email = "Ann@a.example"
contact = { medium = "m", critical = "c" }
[[person]]
id = "bob"
name = "Bob"
email = "bob@a.example"
contact = "everywhere"
[[person]]
id = "gone"
name = "Gone"
email = "gone@a.example"
disabled_at = "2026-01-01T00:00:00Z"
[[group]]
id = "control"
members = ["gone", "bob"]
[[team]]
id = "t"
name = "T"
owner = "ann"
members = ["ann", "gone"]
[[policy]]
profile = "fast_moving"
criteria = ["rollback"]
grace_minutes = 20
"#;

    fn pilot(rest: &str) -> String {
        format!(
            "[[pilot]]\nid = \"p\"\nname = \"P\"\npurpose = \"x\"\nteam = \"t\"\nowner = \"bob\"\nprofile = \"fast_moving\"\n{rest}\n"
        )
    }

    fn load(text: &str) -> Result<Registry, RegistryErrors> {
        Registry::from_texts(vec![
            ("base.toml".to_owned(), BASE.to_owned()),
            ("x.toml".to_owned(), text.to_owned()),
        ])
    }

    fn micros(time: &str) -> i64 {
        time.parse::<jiff::Timestamp>().unwrap().as_microsecond()
    }

    /// `text` has exactly one mistake: on `line`, with these words in message and fix.
    fn check(text: &str, line: usize, message: &str, fix: &str) {
        let errors = load(text).expect_err(text).errors;
        assert_eq!(errors.len(), 1, "{text}\n{errors:#?}");
        let error = &errors[0];
        assert_eq!((error.file.as_str(), error.line), ("x.toml", line), "{text}\n{error}");
        assert!(error.message.contains(message), "{text}\n{error}");
        assert!(error.fix.contains(fix), "{text}\n{error}");
    }

    /// A pilot with a stage, and `line` as line 9.
    fn with(line: &str) -> String {
        pilot(&format!("stages = [{{ stage = \"pilot\", from = \"2026-01-01T00:00:00Z\" }}]\n{line}"))
    }

    #[test]
    fn mistake_in_a_key_of_a_pilot_names_line_finding_and_fix() {
        for (text, line, message, fix) in [
            (with("ower = \"bob\""), 9, "unknown key `ower`", "did you mean `owner`?"),
            (with("zzz = 1"), 9, "unknown key `zzz`", "use one of"),
            (
                with("data_owner = \"bobb\""),
                9,
                "data_owner names unknown person or group `bobb`",
                "did you mean `bob`?",
            ),
            (with("control_owner = \"nobody-here\""), 9, "unknown person or group", "declare it"),
            (
                with("sensitive_data = \"yes\""),
                9,
                "is a text, expected true or false",
                "sensitive_data = true",
            ),
            (with("data_scope = \"all\""), 9, "expected a list of texts", "[\"...\"]"),
        ] {
            check(&text, line, message, fix);
        }
    }

    #[test]
    fn mistake_in_a_stage_names_line_finding_and_fix() {
        for (text, line, message, fix) in [
            (pilot(""), 1, "has no stage", "add `stages"),
            (pilot("stages = []"), 1, "has no stage", "add `stages"),
            (
                pilot(
                    "stages = [{ stage = \"live\", from = \"2026-01-01T00:00:00Z\" }, { stage = \"pilot\", from = \"2025-01-01T00:00:00Z\" }]",
                ),
                8,
                "unknown stage `live`",
                "use one of approved, pilot",
            ),
            (
                pilot(
                    "stages = [{ stage = \"prodution\", from = 2026-01-01T00:00:00Z }, { stage = \"pilot\", from = 2025-01-01T00:00:00Z }]",
                ),
                8,
                "unknown stage `prodution`",
                "did you mean `production`?",
            ),
            (
                pilot(
                    "stages = [\n{ stage = \"pilot\", from = \"2026-01-01T00:00:00Z\", to = \"2026-03-01T00:00:00Z\" },\n{ stage = \"approved\", from = \"2026-02-01T00:00:00Z\" }]",
                ),
                10,
                "stage `approved` starts before stage `pilot` has ended",
                "follow each other",
            ),
            (
                pilot(
                    "stages = [\n{ stage = \"pilot\", from = \"2026-01-01T00:00:00Z\" },\n{ stage = \"approved\", from = \"2026-01-01T00:00:00Z\" }]",
                ),
                10,
                "starts before",
                "follow each other",
            ),
            (
                pilot(
                    "stages = [{ stage = \"pilot\", from = \"2026-02-01T00:00:00Z\", to = \"2026-01-01T00:00:00Z\" }]",
                ),
                8,
                "`to` at or before `from`",
                "make `to` later",
            ),
            (
                pilot("stages = [{ stage = \"pilot\", from = \"2026-01-01\" }]"),
                8,
                "`2026-01-01`, expected a time with an offset",
                "2026-01-05T00:00:00Z",
            ),
            (
                pilot("stages = [{ stage = \"pilot\", from = 2026-01-01T00:00:00 }]"),
                8,
                "expected a time with an offset",
                "from =",
            ),
        ] {
            check(&text, line, message, fix);
        }
    }

    #[test]
    fn mistake_in_a_selector_names_line_finding_and_fix() {
        for (text, line, message, fix) in [
            (
                with("selectors = [{ kind = \"rol\", value = \"a\" }]"),
                9,
                "unknown kind `rol`",
                "did you mean `role`?",
            ),
            (
                with("selectors = [{ kind = \"ip\", value = \"10.0.0.0/8\" }]"),
                9,
                "unknown kind `ip`",
                "use one of",
            ),
            (
                with("selectors = [{ kind = \"host\", value = \"a*b\" }]"),
                9,
                "the start of one",
                "`*` at the end only",
            ),
            (
                with("selectors = [{ kind = \"host\", value = \"*\" }]"),
                9,
                "the start of one",
                "`*` at the end only",
            ),
            (
                with("selectors = [{ kind = \"header\", value = \"x-pilot: p\" }]"),
                9,
                "expected `user-agent",
                "user-agent: name",
            ),
            (
                with("selectors = [{ kind = \"host\", value = \"h\", confidence = 2 }]"),
                9,
                "out of range, expected 0 to 1",
                "from 0 to 1",
            ),
            (with("selectors = [{ kind = \"host\" }]"), 9, "lacks `value`", "add `value"),
            (with("selectors = [\"host\"]"), 9, "holds a text, expected a table", "{ key = value"),
        ] {
            check(&text, line, message, fix);
        }
    }

    #[test]
    fn mistake_elsewhere_names_line_finding_and_fix() {
        let pilot = pilot("stages = [{ stage = \"pilot\", from = \"2026-01-01T00:00:00Z\" }]");
        let exception = "[[exception]]\nid = \"e\"\npilot = \"p\"\nallows = \"production_traffic\"\ngranted_by = \"ann\"\ngranted_at = \"2026-01-01T00:00:00Z\"\n";
        let promotion = "[[promotion]]\npilot = \"p\"\nrequested_by = \"ann\"\ndecided_by = \"bob\"\ndecided_at = \"2026-01-01T00:00:00Z\"\noutcome = \"approved\"\n";
        for (text, line, message, fix) in [
            (exception.to_owned(), 1, "lacks `expires_at`", "add `expires_at"),
            (format!("{exception}expires_at = \"2025-01-01T00:00:00Z\"\n"), 7, "`expires_at` at or before `granted_at`", "later"),
            (promotion.to_owned(), 1, "lacks `criteria`", "add `criteria"),
            (format!("{promotion}criteria = [\"loging\"]\n"), 7, "unknown criterion `loging`", "did you mean `logging`?"),
            ("[[group]]\nid = \"g\"\nmembers = []\n".to_owned(), 1, "has no members", "name at least one"),
            ("[[group]]\nid = \"ann\"\nmembers = [\"bob\"]\n".to_owned(), 2, "id `ann` is already taken, expected one of its own: base.toml:3", "rename"),
            ("[[team]]\nid = \"t\"\nname = \"T\"\nowner = \"ann\"\n".to_owned(), 2, "team id `t` is already taken", "rename"),
            ("[[team]]\nid = \"u v\"\nname = \"T\"\nowner = \"ann\"\n".to_owned(), 2, "without blanks", "letters"),
            ("[[team]]\nid = \"u\"\nname = \"T\"\nowner = \"ann\"\nmembers = [\"control\"]\n".to_owned(), 5, "unknown person `control`", "declare it"),
            ("[[service]]\nid = \"s\"\nteam = \"t\"\n".to_owned(), 1, "lacks `production`", "add"),
            ("[[service]]\nid = \"s\"\nteam = \"t\"\nproduction = true\nselectors = [{ kind = \"ip\", value = \"10.0.0.0/99\" }]\n".to_owned(), 5, "`10.0.0.0/99` is not a network", "10.20.0.0/16"),
            ("[[network]]\nname = \"n\"\ncidr = \"office\"\nkind = \"office\"\n".to_owned(), 3, "is not a network", "address/length"),
            ("[[network]]\nname = \"n\"\nkind = \"office\"\n".to_owned(), 1, "has none of `cidr` and `asn`", "give `cidr"),
            ("[[network]]\nname = \"n\"\ncidr = \"10.0.0.0/8\"\nasn = 1\nkind = \"office\"\n".to_owned(), 1, "has both of `cidr` and `asn`", "give `cidr"),
            ("[[network]]\nname = \"n\"\nasn = 64496.5\nkind = \"office\"\n".to_owned(), 3, "is no whole number", "write a number"),
            ("[[network]]\nname = \"n\"\nasn = 0\nkind = \"office\"\n".to_owned(), 3, "out of range, expected 1 to 4294967295", "1 to"),
            ("[[network]]\nname = \"n\"\ncidr = \"10.0.0.0/8\"\nkind = \"offce\"\n".to_owned(), 4, "unknown kind `offce`", "did you mean `office`?"),
            ("[[policy]]\nprofile = \"standard\"\ncriteria = []\ngrace_minutes = 5\n".to_owned(), 4, "expected 15 to 60", "15 to 60"),
            ("[[policy]]\nprofile = \"fast_moving\"\ncriteria = []\ngrace_minutes = 15\n".to_owned(), 1, "`fast_moving` is already taken", "rename"),
            ("[[production]]\nkind = \"account\"\nvalue = \"1\"\nweight = 7\n".to_owned(), 4, "expected 0 to 1", "0 to 1"),
            ("[[pilots]]\nid = \"q\"\n".to_owned(), 1, "unknown table `pilots`", "did you mean `pilot`?"),
            ("[policy]\nprofile = \"standard\"\n".to_owned(), 1, "is a table, expected an array of tables", "two brackets"),
            ("[[team]\nid = 1".to_owned(), 1, "not valid TOML", "toml.io"),
        ] {
            let line_of = |line: usize| line + if text.contains("\"p\"") { pilot.lines().count() } else { 0 };
            let text_with_pilot = if text.contains("\"p\"") { format!("{pilot}{text}") } else { text.clone() };
            if message == "not valid TOML" {
                let errors = load(&text_with_pilot).unwrap_err();
                assert!(errors.errors[0].message.contains(message), "{errors}");
                continue;
            }
            check(&text_with_pilot, line_of(line), message, fix);
        }
    }

    #[test]
    fn all_mistakes_are_reported_together_in_line_order() {
        let text = "[[team]]\nid = \"u\"\nowner = \"nobody\"\nzzz = 1\n[[network]]\nname = \"n\"\ncidr = \"x\"\nkind = \"y\"\n";
        let errors = load(text).unwrap_err();
        let lines: Vec<usize> = errors.errors.iter().map(|e| e.line).collect();
        assert_eq!(lines, [1, 3, 4, 7, 8], "{errors}");
        let printed = errors.to_string();
        assert!(
            printed.starts_with("error: [[team]] lacks `name`\n  --> x.toml:1\n  fix: add `name = ...`"),
            "{printed}"
        );
    }

    #[test]
    fn hostile_text_is_printed_harmless() {
        let text =
            format!("[[team]]\nid = \"\\u001b[2J{}\"\nname = \"T\"\nowner = \"ann\"\n", "x".repeat(1000));
        let errors = load(&text).unwrap_err().to_string();
        assert!(!errors.contains('\u{1b}') && errors.len() < 400, "{errors}");
    }

    #[test]
    fn production_counts_only_from_a_complete_approval_on() {
        let stages = "stages = [{ stage = \"pilot\", from = \"2026-01-01T00:00:00Z\" }, { stage = \"production\", from = \"2026-02-01T00:00:00Z\" }]";
        let promotion = |at: &str, outcome: &str, criteria: &str| {
            format!(
                "[[promotion]]\npilot = \"p\"\nrequested_by = \"ann\"\ndecided_by = \"control\"\ndecided_at = \"{at}\"\noutcome = \"{outcome}\"\ncriteria = [{criteria}]\n"
            )
        };
        let early = "2026-01-20T00:00:00Z";
        for (decision, before, after, warnings) in [
            (promotion(early, "approved", "\"rollback\""), Stage::Production, Stage::Production, 0),
            (
                promotion("2026-02-10T00:00:00Z", "approved", "\"rollback\""),
                Stage::Pilot,
                Stage::Production,
                1,
            ),
            (promotion(early, "approved", "\"logging\""), Stage::Pilot, Stage::Pilot, 2),
            (promotion(early, "refused", "\"rollback\""), Stage::Pilot, Stage::Pilot, 1),
            (String::new(), Stage::Pilot, Stage::Pilot, 1),
        ] {
            let registry = load(&format!("{}{decision}", pilot(stages))).unwrap();
            let at = |time| registry.pilots()[0].stage_at(micros(time));
            assert_eq!(at("2025-12-31T23:59:59Z"), None, "{decision}");
            assert_eq!(at("2026-01-31T23:59:59.999999Z"), Some(Stage::Pilot), "{decision}");
            assert_eq!(at("2026-02-01T00:00:00Z"), Some(before), "{decision}");
            assert_eq!(at("2026-02-10T00:00:00Z"), Some(after), "{decision}");
            assert_eq!(registry.warnings().len(), warnings, "{decision}");
        }
    }

    #[test]
    fn exception_and_grace_excuse_only_within_their_time() {
        let text = pilot(
            "stages = [{ stage = \"pilot\", from = \"2026-01-01T00:00:00Z\" }, { stage = \"production\", from = \"2026-02-01T00:00:00Z\" }]",
        ) + "[[promotion]]\npilot = \"p\"\nrequested_by = \"ann\"\ndecided_by = \"bob\"\ndecided_at = \"2026-01-02T00:00:00Z\"\noutcome = \"approved\"\ncriteria = [\"rollback\"]\n"
            + "[[exception]]\nid = \"e\"\npilot = \"p\"\nallows = \"production_traffic\"\ngranted_by = \"ann\"\ngranted_at = \"2026-01-10T00:00:00Z\"\nexpires_at = \"2026-01-11T00:00:00Z\"\n"
            + "[[exception]]\nid = \"f\"\npilot = \"p\"\nallows = \"shared_credential\"\ngranted_by = \"bob\"\ngranted_at = \"2026-01-12T00:00:00Z\"\nexpires_at = \"2026-01-13T00:00:00Z\"\n";
        let registry = load(&text).unwrap();
        for (time, expected) in [
            ("2026-01-09T23:59:59Z", false),
            ("2026-01-10T00:00:00Z", true),
            ("2026-01-10T23:59:59.999999Z", true),
            ("2026-01-11T00:00:00Z", false),
            ("2026-01-12T12:00:00Z", false),
            ("2026-01-31T23:39:59.999999Z", false),
            ("2026-01-31T23:40:00Z", true),
            ("2026-01-31T23:59:59Z", true),
            ("2026-02-01T00:00:00Z", false),
        ] {
            assert_eq!(registry.is_excepted(0, micros(time)), expected, "{time}");
            let (first, last) = registry.epoch_bounds(micros(time));
            assert_eq!(registry.is_excepted(0, first.max(0)), expected, "start of the epoch of {time}");
            assert_eq!(registry.is_excepted(0, last), expected, "end of the epoch of {time}");
        }
        assert_eq!(registry.owner("exception_grantor", Some("p"), None, Severity::Low).person, "bob");
    }

    #[test]
    fn owner_is_the_first_who_can_be_paged() {
        let text = pilot(
            "control_owner = \"control\"\nsecurity_approver = \"gone\"\nstages = [{ stage = \"pilot\", from = \"2026-01-01T00:00:00Z\" }]",
        );
        let registry = load(&text).unwrap();
        for (role, pilot, team, severity, expected) in [
            ("pilot_owner", Some("p"), None, Severity::High, ("bob", "pilot_owner", "everywhere")),
            ("control_owner", Some("p"), None, Severity::Low, ("bob", "control_owner", "everywhere")),
            ("security_approver", Some("p"), None, Severity::Low, ("bob", "pilot_owner", "everywhere")),
            ("data_owner", Some("p"), None, Severity::Low, ("bob", "pilot_owner", "everywhere")),
            ("credential_owner", None, Some("t"), Severity::High, ("ann", "credential_owner", "m")),
            ("credential_owner", Some("p"), None, Severity::Low, ("ann", "credential_owner", "m")),
            ("credential_owner", None, Some("t"), Severity::Critical, ("ann", "credential_owner", "c")),
            ("pilot_owner", None, Some("t"), Severity::Critical, ("ann", "team_owner", "c")),
            ("pilot_owner", Some("unknown"), None, Severity::Low, ("", "pilot_owner", "")),
        ] {
            let owner = registry.owner(role, pilot, team, severity);
            let found = (owner.person.as_str(), owner.role.as_str(), owner.contact.as_str());
            assert_eq!(found, expected, "{role} {pilot:?} {team:?}");
        }
        assert_eq!(registry.people().collect::<Vec<_>>(), ["ann", "bob", "gone"]);
        assert_eq!(registry.teams_of("ann@A.example", 0), Some(&["t".to_owned()][..]));
        assert_eq!(registry.teams_of("gone", micros("2025-12-31T00:00:00Z")), Some(&["t".to_owned()][..]));
        assert_eq!(registry.teams_of("gone", micros("2026-01-01T00:00:00Z")), None);
    }

    #[test]
    fn example_registry_is_free_of_mistakes_and_warnings() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures/registry");
        let registry = Registry::load(&folder).unwrap_or_else(|errors| panic!("{errors}"));
        assert_eq!(registry.warnings(), []);
        assert_eq!(registry.pilots().len(), 8);
        let again = Registry::load(&folder).unwrap();
        assert_eq!(registry.version(), again.version());
        assert_eq!(registry.version().len(), 64);
    }

    #[test]
    fn folder_without_files_and_missing_folder_are_mistakes() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join(".hidden.toml"), "zzz").unwrap();
        let errors = Registry::load(folder.path()).unwrap_err();
        assert!(errors.to_string().contains("no *.toml, *.yaml or *.yml file"), "{errors}");
        let errors = Registry::load(&folder.path().join("absent")).unwrap_err();
        assert!(errors.to_string().contains("cannot read this folder"), "{errors}");
        std::fs::write(folder.path().join("a.toml"), [0xff, 0xfe]).unwrap();
        let errors = Registry::load(folder.path()).unwrap_err();
        assert!(errors.to_string().contains("UTF-8"), "{errors}");
    }

    #[test]
    fn number_that_no_file_tells_is_a_warning() {
        let registry = load("[[network]]\nname = \"n\"\nasn = 64496\nkind = \"office\"\n").unwrap();
        let warning = &registry.warnings()[0];
        assert!(warning.message.contains("AS64496, but no file tells") && warning.line == 1, "{warning}");
    }

    #[test]
    fn twin_selectors_are_a_warning() {
        let twin = |id: &str, validity: &str| {
            pilot(&format!("stages = [{{ stage = \"pilot\", from = \"2026-01-01T00:00:00Z\" }}]\nselectors = [{{ kind = \"host\", value = \"h\"{validity} }}]"))
                .replace("\"p\"", &format!("\"{id}\""))
        };
        for (validity, expected) in [("", 1), (", from = \"2026-02-01T00:00:00Z\"", 1)] {
            let registry = load(&(twin("p", "") + &twin("q", validity))).unwrap();
            assert_eq!(registry.warnings().len(), expected, "{validity}");
        }
        let apart =
            twin("p", ", to = \"2026-02-01T00:00:00Z\"") + &twin("q", ", from = \"2026-02-01T00:00:00Z\"");
        assert_eq!(load(&apart).unwrap().warnings(), []);
    }

    #[test]
    fn tables_say_what_counts() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures/registry");
        let registry = Registry::load(&folder).unwrap();
        let tables = registry.tables();
        let sizes: Vec<(&str, usize)> = tables.iter().map(|(name, t)| (*name, t.num_rows())).collect();
        let expected = [
            ("pilots", 8),
            ("pilot_stages", 15),
            ("promotions", 2),
            ("exceptions", 2),
            ("teams", 5),
            ("services", 6),
            ("pilot_roles", 24),
            ("holders", 19),
        ];
        assert_eq!(sizes, expected);
        let refused = tables[0].1.column_by_name("promotion_refused_at").unwrap();
        assert_eq!(refused.null_count(), 7);
        let ascending = registry.boundaries().windows(2).all(|pair| pair[0] < pair[1]);
        assert!(ascending);
    }

    #[test]
    fn damaged_files_are_refused_or_loaded_and_never_panic() {
        const MARKS: [char; 14] = ['[', ']', '{', '}', '=', '"', '\'', '\n', ',', '.', '#', '*', '\0', 'é'];
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures/registry");
        let whole = load::read_texts(&folder, &["toml"], &mut errors::Problems::default());
        for seed in 0..400 {
            let mut random = fastrand::Rng::with_seed(seed);
            let mut texts = whole.clone();
            let (name, text) = &mut texts[random.usize(..whole.len())];
            let mut characters: Vec<char> = text.chars().collect();
            for _ in 0..random.usize(1..8) {
                let place = random.usize(..characters.len());
                match random.u8(..4) {
                    0 => drop(characters.remove(place)),
                    1 => characters.insert(place, random.choice(MARKS).unwrap()),
                    2 => characters.truncate(place.max(1)),
                    _ => characters[place] = random.char(..),
                }
            }
            *text = characters.into_iter().collect();
            let name = name.clone();
            if let Err(errors) = Registry::from_texts(texts) {
                assert!(!errors.errors.is_empty(), "seed {seed}, {name}");
            }
        }
    }
}
