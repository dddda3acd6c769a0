//! One function a kind of table: from a TOML table to a fact.
//!
//! In: an [`Entry`] of a file. Out: facts, the ids they declare and the ids they refer to, in [`Parts`].
//! What can only be judged with all files read is left to `check`.

mod selectors;

use super::backstage::CatalogCounts;
use super::errors::{Place, Problems};
use super::facts::{
    Addresses, Allowance, Criterion, Exception, Group, Network, NetworkKind, Person, Pilot, Policy,
    Production, ProductionKind, Profile, Promotion, SharedCredential, Stage, StageSpan, Team, Validity,
    Workload,
};
use super::published::{FileFormat, NetworkFile};
use super::reader::{Entry, Located, shown};
use super::scope::ScopeEntry;
pub(super) use selectors::PILOT_SELECTORS;
use selectors::{SERVICE_SELECTORS, cidr_of, pattern, selectors};

/// A set of ids within which each is unique.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Space {
    Person,
    Group,
    Team,
    Pilot,
    Exception,
    Service,
    Network,
    Profile,
}

impl Space {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Person => "person",
            Self::Group => "group",
            Self::Team => "team",
            Self::Pilot => "pilot",
            Self::Exception => "exception",
            Self::Service => "service",
            Self::Network => "network",
            Self::Profile => "policy",
        }
    }
}

/// An id that must have been declared in one of `spaces`.
#[derive(Debug)]
pub(crate) struct Reference {
    /// What refers, such as ``[[pilot]] `x` owner``.
    pub by: String,
    pub spaces: &'static [Space],
    pub id: Located<String>,
}

const PERSON: &[Space] = &[Space::Person];
const OWNER: &[Space] = &[Space::Person, Space::Group];
const TEAM: &[Space] = &[Space::Team];
const PILOT: &[Space] = &[Space::Pilot];

/// Everything read so far, from all files.
#[derive(Debug, Default)]
pub(crate) struct Parts {
    pub people: Vec<Person>,
    pub groups: Vec<Group>,
    pub teams: Vec<Team>,
    pub pilots: Vec<(Pilot, Place)>,
    pub policies: Vec<Policy>,
    pub promotions: Vec<(Promotion, Place)>,
    pub exceptions: Vec<Exception>,
    pub services: Vec<Workload>,
    pub production: Vec<Production>,
    pub networks: Vec<(Network, Place)>,
    pub network_files: Vec<NetworkFile>,
    pub shared: Vec<SharedCredential>,
    pub declared: Vec<(Space, Located<String>)>,
    pub references: Vec<Reference>,
    pub catalog: CatalogCounts,
}

type Read = fn(&mut Parts, &mut Entry<'_>, &mut Problems);

/// The tables a file may hold.
pub(crate) const KINDS: &[(&str, Read)] = &[
    ("person", Parts::person),
    ("group", Parts::group),
    ("team", Parts::team),
    ("pilot", Parts::pilot),
    ("policy", Parts::policy),
    ("promotion", Parts::promotion),
    ("exception", Parts::exception),
    ("service", Parts::service),
    ("production", Parts::production),
    ("network", Parts::network),
    ("network_file", Parts::network_file),
    ("shared_credential", Parts::shared_credential),
];

impl Parts {
    /// Reads one table; `kind` is one of [`KINDS`].
    pub(crate) fn read(&mut self, kind: &str, mut entry: Entry<'_>, problems: &mut Problems) {
        let (_, read) = KINDS.iter().find(|(k, _)| *k == kind).expect("the reader passes known kinds only");
        read(self, &mut entry, problems);
        entry.finish(problems);
    }

    fn declare(&mut self, space: Space, id: &Located<String>) {
        if !id.value.is_empty() {
            self.declared.push((space, id.clone()));
        }
    }

    fn refer(&mut self, by: &str, key: &str, spaces: &'static [Space], id: Located<String>) -> String {
        let value = id.value.clone();
        if !value.is_empty() {
            self.references.push(Reference { by: format!("{by} {key}"), spaces, id });
        }
        value
    }

    fn refer_all(
        &mut self,
        by: &str,
        key: &str,
        spaces: &'static [Space],
        ids: Vec<Located<String>>,
    ) -> Vec<String> {
        ids.into_iter().map(|id| self.refer(by, key, spaces, id)).collect()
    }

    fn person(&mut self, entry: &mut Entry<'_>, problems: &mut Problems) {
        let id = entry.id("id", problems);
        self.declare(Space::Person, &id);
        self.people.push(Person {
            id: id.value,
            name: entry.text("name", problems).value,
            email: entry.text("email", problems).value,
            contacts: contacts(entry, problems),
            disabled_at: entry.time_if_any("disabled_at", problems),
        });
    }

    fn group(&mut self, entry: &mut Entry<'_>, problems: &mut Problems) {
        let id = entry.id("id", problems);
        self.declare(Space::Group, &id);
        let members = entry.list_required("members", problems);
        if members.is_empty() && entry.has("members") {
            let message =
                format!("[[group]] `{}` has no members: nobody would hold its roles", shown(&id.value));
            problems.error(
                &entry.place(),
                message,
                "name at least one person, or remove the group".to_owned(),
            );
        }
        let by = format!("[[group]] `{}`", id.value);
        let members = self.refer_all(&by, "members", PERSON, members);
        self.groups.push(Group { id: id.value, members });
    }

    fn team(&mut self, entry: &mut Entry<'_>, problems: &mut Problems) {
        let id = entry.id("id", problems);
        self.declare(Space::Team, &id);
        let by = format!("[[team]] `{}`", id.value);
        let name = entry.text("name", problems).value;
        let owner = entry.text("owner", problems);
        let owner = self.refer(&by, "owner", OWNER, owner);
        let members = entry.list("members", problems);
        let members = self.refer_all(&by, "members", PERSON, members);
        self.teams.push(Team { id: id.value, name, owner, members });
    }

    fn pilot(&mut self, entry: &mut Entry<'_>, problems: &mut Problems) {
        let id = entry.id("id", problems);
        self.declare(Space::Pilot, &id);
        let by = format!("[[pilot]] `{}`", id.value);
        let team = entry.text("team", problems);
        let owner = entry.text("owner", problems);
        let mut role = |key| {
            let holder = entry.text_if_any(key, problems)?;
            Some(self.refer(&by, key, OWNER, holder))
        };
        let (data_owner, security_approver, control_owner) =
            (role("data_owner"), role("security_approver"), role("control_owner"));
        let pilot = Pilot {
            id: id.value,
            name: entry.text("name", problems).value,
            purpose: entry.text("purpose", problems).value,
            team: self.refer(&by, "team", TEAM, team),
            owner: self.refer(&by, "owner", OWNER, owner),
            data_owner,
            security_approver,
            control_owner,
            profile: entry.word("profile", Profile::WORDS, problems).unwrap_or(Profile::Standard),
            environments: values(entry.list("environments", problems)),
            data_scope: scope(entry.dated("data_scope", problems)),
            tool_scope: scope(entry.dated("tool_scope", problems)),
            sensitive_data: entry.flag("sensitive_data", problems),
            write_tools: entry.flag("write_tools", problems),
            external_users: entry.flag("external_users", problems),
            stages: stages(&by, entry, problems),
            selectors: selectors(entry, PILOT_SELECTORS, problems),
        };
        self.pilots.push((pilot, entry.place()));
    }

    fn policy(&mut self, entry: &mut Entry<'_>, problems: &mut Problems) {
        let place = entry.place();
        let profile = entry.word("profile", Profile::WORDS, problems);
        let criteria = criteria(entry, problems);
        let minutes = entry.number_required("grace_minutes", 15.0..=60.0, problems);
        let separate_duties = entry.has("separate_duties").then(|| entry.flag("separate_duties", problems));
        let (Some(profile), Some(minutes)) = (profile, minutes) else { return };
        self.declare(Space::Profile, &Located { value: profile.name().to_owned(), place });
        let separate_duties = separate_duties.unwrap_or(Policy::of(profile).separate_duties);
        let grace_micros = (minutes * 60e6) as i64;
        self.policies.push(Policy { profile, criteria, grace_micros, separate_duties });
    }

    fn promotion(&mut self, entry: &mut Entry<'_>, problems: &mut Problems) {
        let pilot = entry.text("pilot", problems);
        let by = format!("[[promotion]] of `{}`", shown(&pilot.value));
        let requested_by = entry.text("requested_by", problems);
        let decided_by = entry.text("decided_by", problems);
        let outcomes = &[("approved", true), ("refused", false)];
        let promotion = Promotion {
            pilot: self.refer(&by, "pilot", PILOT, pilot),
            requested_by: self.refer(&by, "requested_by", PERSON, requested_by),
            decided_by: self.refer(&by, "decided_by", OWNER, decided_by),
            decided_at: entry.time("decided_at", problems),
            approved: entry.word("outcome", outcomes, problems).unwrap_or(false),
            criteria: criteria(entry, problems),
            complete: false,
        };
        self.promotions.push((promotion, entry.place()));
    }

    fn exception(&mut self, entry: &mut Entry<'_>, problems: &mut Problems) {
        let id = entry.id("id", problems);
        self.declare(Space::Exception, &id);
        let by = format!("[[exception]] `{}`", id.value);
        let pilot = entry.text("pilot", problems);
        let granted_by = entry.text("granted_by", problems);
        let granted_at = entry.time("granted_at", problems);
        let expires_at = entry.time("expires_at", problems);
        if granted_at != 0 && expires_at != 0 {
            entry.ordered("granted_at", granted_at, "expires_at", expires_at, problems);
        }
        let exception = Exception {
            id: id.value,
            pilot: self.refer(&by, "pilot", PILOT, pilot),
            allows: entry.word("allows", Allowance::WORDS, problems).unwrap_or(Allowance::ProductionTraffic),
            granted_by: self.refer(&by, "granted_by", PERSON, granted_by),
            validity: Validity { from: granted_at, to: expires_at },
            reviewed_at: entry.time_if_any("reviewed_at", problems),
        };
        self.exceptions.push(exception);
    }

    fn service(&mut self, entry: &mut Entry<'_>, problems: &mut Problems) {
        let id = entry.id("id", problems);
        self.declare(Space::Service, &id);
        let by = format!("[[service]] `{}`", id.value);
        let team = entry.text("team", problems);
        let service = Workload {
            id: id.value,
            team: self.refer(&by, "team", TEAM, team),
            purpose: entry.text_if_any("purpose", problems).map(|p| p.value),
            production: entry.flag_required("production", problems),
            validity: entry.validity(problems),
            selectors: selectors(entry, SERVICE_SELECTORS, problems),
        };
        self.services.push(service);
    }

    fn production(&mut self, entry: &mut Entry<'_>, problems: &mut Problems) {
        let kind = entry.word("kind", ProductionKind::WORDS, problems);
        let pattern = pattern(entry, "value", problems);
        let weight = entry.number("weight", 0.0..=1.0, problems);
        let validity = entry.validity(problems);
        let (Some(kind), Some(pattern)) = (kind, pattern) else { return };
        self.production.push(Production {
            kind,
            pattern: pattern.to_lower(),
            weight: weight.unwrap_or(kind.default_weight()),
            validity,
        });
    }

    fn network(&mut self, entry: &mut Entry<'_>, problems: &mut Problems) {
        let name = entry.id("name", problems);
        self.declare(Space::Network, &name);
        let addresses = addresses(entry, problems);
        let kind = entry.word("kind", NetworkKind::WORDS, problems);
        let validity = entry.validity(problems);
        let (Some(addresses), Some(kind)) = (addresses, kind) else { return };
        let network = Network { name: name.value, addresses, kind, validity };
        self.networks.push((network, entry.place()));
    }

    fn network_file(&mut self, entry: &mut Entry<'_>, problems: &mut Problems) {
        let format = entry.word("format", FileFormat::WORDS, problems);
        let path = entry.text("path", problems);
        let Some(format) = format.filter(|_| !path.value.is_empty()) else { return };
        self.network_files.push(NetworkFile { format, path: path.value.into(), place: path.place });
    }

    fn shared_credential(&mut self, entry: &mut Entry<'_>, problems: &mut Problems) {
        let principal = pattern(entry, "principal", problems);
        let reason = entry.text("reason", problems).value;
        let validity = entry.validity(problems);
        let Some(principal) = principal else { return };
        self.shared.push(SharedCredential { principal, reason, validity });
    }
}

/// The addresses of a network: `cidr` or `asn`.
fn addresses(entry: &mut Entry<'_>, problems: &mut Problems) -> Option<Addresses> {
    let cidr = entry.text_if_any("cidr", problems);
    let asn = entry.whole_number("asn", 1.0..=f64::from(u32::MAX), problems);
    let has_cidr = entry.has("cidr");
    if has_cidr == entry.has("asn") {
        let message =
            format!("[[network]] has {} of `cidr` and `asn`", if has_cidr { "both" } else { "none" });
        let fix = "give `cidr = \"address/length\"`, or `asn = number` where a [[network_file]] tells them";
        problems.error(&entry.place(), message, fix.to_owned());
        return None;
    }
    match cidr {
        Some(text) => cidr_of(&text, problems).map(Addresses::Cidr),
        None => asn.map(|number| Addresses::AutonomousSystem(number as u32)),
    }
}

fn values(located: Vec<Located<String>>) -> Vec<String> {
    located.into_iter().map(|l| l.value).collect()
}

fn scope(dated: Vec<(Located<String>, Validity)>) -> Vec<ScopeEntry> {
    dated.into_iter().map(|(text, validity)| ScopeEntry { text: text.value, validity }).collect()
}

fn contacts(entry: &mut Entry<'_>, problems: &mut Problems) -> [Option<String>; 4] {
    let mut contacts = [None, None, None, None];
    let is_table = entry.table_if_any("contact", |mut by_severity| {
        for (slot, key) in contacts.iter_mut().zip(["low", "medium", "high", "critical"]) {
            *slot = by_severity.text_if_any(key, problems).map(|t| t.value);
        }
        by_severity.finish(problems);
    });
    if !is_table && let Some(text) = entry.text_if_any("contact", problems) {
        contacts.fill(Some(text.value));
    }
    contacts
}

fn criteria(entry: &mut Entry<'_>, problems: &mut Problems) -> Vec<Criterion> {
    let located = entry.list_required("criteria", problems);
    located.iter().filter_map(|c| one_of(c, "criterion", Criterion::WORDS, problems)).collect()
}

fn one_of<T: Copy>(
    text: &Located<String>,
    what: &str,
    words: &[(&'static str, T)],
    problems: &mut Problems,
) -> Option<T> {
    let found = words.iter().find(|(name, _)| *name == text.value);
    if found.is_none() {
        let names: Vec<&str> = words.iter().map(|(name, _)| *name).collect();
        let message = format!("unknown {what} `{}`", shown(&text.value));
        problems.error(&text.place, message, super::reader::choices(&text.value, &names));
    }
    found.map(|(_, member)| *member)
}

/// Stages in time order; one without `to` ends where the next starts.
fn stages(by: &str, entry: &mut Entry<'_>, problems: &mut Problems) -> Vec<StageSpan> {
    let mut found: Vec<(StageSpan, Place)> = Vec::new();
    entry.tables("stages", problems, |mut table, problems| {
        let stage = table.word("stage", Stage::WORDS, problems);
        let from = table.time("from", problems);
        let to = table.time_if_any("to", problems).unwrap_or(i64::MAX);
        table.ordered("from", from, "to", to, problems);
        if let Some(stage) = stage {
            found.push((StageSpan { stage, validity: Validity { from, to } }, table.place()));
        }
        table.finish(problems);
    });
    if found.is_empty() {
        let fix = "add `stages = [{ stage = \"pilot\", from = \"2026-01-05T00:00:00Z\" }]`".to_owned();
        problems.error(&entry.place(), format!("{by} has no stage"), fix);
    }
    found.sort_by_key(|(span, _)| span.validity.from);
    follow_each_other(by, &mut found, problems);
    found.into_iter().map(|(span, _)| span).collect()
}

fn follow_each_other(by: &str, stages: &mut [(StageSpan, Place)], problems: &mut Problems) {
    for i in 1..stages.len() {
        let (next, place) = stages[i].clone();
        let previous = &mut stages[i - 1].0;
        if previous.validity.to == i64::MAX && previous.validity.from < next.validity.from {
            previous.validity.to = next.validity.from;
        } else if previous.validity.to > next.validity.from {
            let (early, late) = (previous.stage.name(), next.stage.name());
            let message = format!("{by}: stage `{late}` starts before stage `{early}` has ended");
            let fix = "let stages follow each other; leave out `to` to end one where the next starts";
            problems.error(&place, message, fix.to_owned());
        }
    }
}
