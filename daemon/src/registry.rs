//! What governance decided: pilots, promotions, exceptions, owners, and the estate around them.
//!
//! In: a folder of TOML files (fixtures/registry explains every key). Out: a [`Registry`], immutable, in
//! which every fact has a validity and every lookup takes event time in microseconds. Nothing here reads a
//! clock, and a registry with one mistake is refused as a whole.

mod check;
mod entries;
pub(crate) mod errors;
pub mod facts;
mod load;
pub mod patterns;
pub(crate) mod reader;
pub mod selectors;
mod tables;
pub mod watch;

use std::collections::HashMap;
use std::net::IpAddr;
use std::path::Path;

use arrow::record_batch::RecordBatch;

pub use errors::{RegistryError, RegistryErrors};

use crate::findings::{Owner, Severity};
use entries::Parts;
use errors::Problems;
use facts::{
    Allowance, Exception, Group, Network, Person, Pilot, Policy, Production, ProductionKind, Promotion,
    Service, Stage, Team, Validity,
};
use patterns::PatternIndex;
use selectors::{CidrIndex, SelectorIndex};

/// A checked registry.
#[derive(Debug)]
pub struct Registry {
    version: String,
    warnings: Vec<RegistryError>,
    boundaries: Vec<i64>,
    people: Vec<Person>,
    groups: Vec<Group>,
    teams: Vec<Team>,
    pilots: Vec<Pilot>,
    policies: Vec<Policy>,
    promotions: Vec<Promotion>,
    exceptions: Vec<Exception>,
    services: Vec<Service>,
    networks: Vec<Network>,
    pilot_numbers: HashMap<String, usize>,
    team_numbers: HashMap<String, usize>,
    /// Person and group ids.
    actors: HashMap<String, Actor>,
    by_email: HashMap<String, usize>,
    /// By person number: ids of the teams they are a member of, in id order.
    teams_of: Vec<Vec<String>>,
    /// By pilot number: when an exception lets it take production traffic.
    traffic_exceptions: Vec<Vec<Validity>>,
    pilot_selectors: SelectorIndex,
    service_selectors: SelectorIndex,
    network_index: CidrIndex,
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
    /// Loads every `*.toml` below `folder`; hidden files and folders are left out. Errors: every mistake.
    pub fn load(folder: &Path) -> Result<Self, RegistryErrors> {
        load::load(folder)
    }

    /// The same from texts in memory, each with the name that errors give: for cases that queries carry.
    pub fn from_texts(texts: Vec<(String, String)>) -> Result<Self, RegistryErrors> {
        load::build(texts, "", Problems::default())
    }

    /// SHA-256 of the files' names and contents, hex.
    pub fn version(&self) -> &str {
        &self.version
    }

    /// What is allowed but probably not meant, in file and line order.
    pub fn warnings(&self) -> &[RegistryError] {
        &self.warnings
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
    pub fn services(&self) -> &[Service] {
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
        let excepted = self.traffic_exceptions[pilot].iter().any(|v| v.holds(at));
        let pilot = &self.pilots[pilot];
        let waits = pilot.stage_at(at) != Some(Stage::Production);
        excepted || (waits && pilot.promoted_soon(at, self.policy(pilot).grace_micros))
    }

    fn policy(&self, pilot: &Pilot) -> &Policy {
        self.policies.iter().find(|p| p.profile == pilot.profile).expect("every profile has a policy")
    }

    /// The longest named network that holds `address` at `at`.
    pub fn network(&self, address: IpAddr, at: i64) -> Option<&Network> {
        self.network_index.find(address, at).map(|i| &self.networks[i])
    }

    /// The weight with which `value` says production at `at`: the largest of the entries of that kind that
    /// match, else 0. For a name pattern, `value` may hold it anywhere.
    pub fn production_weight(&self, kind: ProductionKind, value: &str, at: i64) -> f64 {
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
        Owner {
            person: person.id.clone(),
            role: role.to_owned(),
            contact: person.contact(severity).to_owned(),
        }
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
    fn new(mut parts: Parts, policies: Vec<Policy>, version: String, warnings: Vec<RegistryError>) -> Self {
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
            boundaries: Vec::new(),
            pilot_numbers: numbers(pilots.iter().map(|p| &p.id)),
            team_numbers: numbers(parts.teams.iter().map(|t| &t.id)),
            actors: actors(&parts),
            by_email: numbers_of(parts.people.iter().map(|p| p.email.to_ascii_lowercase())),
            teams_of: teams_of(&parts.people, &parts.teams),
            traffic_exceptions: traffic_exceptions(&pilots, &parts.exceptions),
            pilot_selectors: SelectorIndex::new(pilots.iter().map(|p| (&p.selectors[..], Validity::ALWAYS))),
            service_selectors: SelectorIndex::new(
                parts.services.iter().map(|s| (&s.selectors[..], s.validity)),
            ),
            network_index: CidrIndex::default(),
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
            networks: parts.networks,
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
            self.network_index.insert(network.cidr, network.validity, i);
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

fn traffic_exceptions(pilots: &[Pilot], exceptions: &[Exception]) -> Vec<Vec<Validity>> {
    let number = numbers(pilots.iter().map(|p| &p.id));
    let mut by_pilot = vec![Vec::new(); pilots.len()];
    for exception in exceptions.iter().filter(|e| e.allows == Allowance::ProductionTraffic) {
        by_pilot[number[&exception.pilot]].push(exception.validity);
    }
    by_pilot
}
