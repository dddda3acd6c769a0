//! Who owns what, from entities of kind `User` and `Group` and from what the TOML files declare.
//!
//! In: entities. Out: a person for each user with an email; for each group a team, and whom to page for it: its
//! mailbox, else its members. What a TOML file declares under the same id stands. Source: Backstage's page
//! "Descriptor Format of Catalog Entities", kinds Group and User.

use std::collections::{HashMap, HashSet};

use super::entity::{Entity, Reference, Table, Text};
use crate::registry::entries::Parts;
use crate::registry::errors::{Place, Problems, nearest};
use crate::registry::reader::{choices, shown};

/// Whom references may name. Ids are kept by their lower case: Backstage compares without regard to case.
#[derive(Default)]
pub(super) struct Owners {
    people: HashMap<String, String>,
    /// Groups of the TOML files.
    groups: HashMap<String, String>,
    /// Id of each team, and who is paged for it.
    teams: HashMap<String, Holder>,
    /// Ids of the teams that list a person, in the order found.
    teams_of: HashMap<String, Vec<String>>,
    /// Users and groups that nobody could reach.
    silent: HashSet<(IsUser, String)>,
    /// Members of a group that are no person, with the group's place.
    strangers: HashMap<String, (Place, Vec<String>)>,
    /// Groups that own a pilot.
    referred: HashSet<String>,
    used: usize,
}

type IsUser = bool;

/// Whom a reference names.
#[derive(Debug, Clone)]
pub(super) struct Holder {
    /// The team, where it names a group.
    pub team: Option<String>,
    /// Person or group.
    pub owner: String,
}

impl Owners {
    /// Reads users and groups into `parts`.
    pub(super) fn read(entities: &[Entity<'_>], parts: &mut Parts, problems: &mut Problems) -> Self {
        let mut owners = Self::declared(parts);
        let is_free = |known: &Self, e: &Entity<'_>| !known.people.contains_key(&e.id().to_lowercase());
        let users: Vec<_> = entities.iter().filter(|e| e.is("user") && is_free(&owners, e)).collect();
        let is_free = |known: &Self, e: &Entity<'_>| !known.teams.contains_key(&e.id().to_lowercase());
        let groups: Vec<_> = entities.iter().filter(|e| e.is("group") && is_free(&owners, e)).collect();
        for user in users {
            owners.read_user(user, parts, problems);
        }
        let mut members_of = memberships(entities, problems);
        for group in groups {
            let members = members_of.remove(&group.id().to_lowercase()).unwrap_or_default();
            owners.read_group(group, members, parts, problems);
        }
        owners
    }

    /// What the TOML files declare.
    fn declared(parts: &Parts) -> Self {
        let by_id = |id: &String| (id.to_lowercase(), id.clone());
        let mut owners = Self {
            people: parts.people.iter().map(|p| by_id(&p.id)).collect(),
            groups: parts.groups.iter().map(|g| by_id(&g.id)).collect(),
            ..Self::default()
        };
        for team in &parts.teams {
            owners.add_team(&team.id, &team.owner, &team.members);
        }
        owners
    }

    fn add_team(&mut self, id: &str, owner: &str, members: &[String]) {
        let holder = Holder { team: Some(id.to_owned()), owner: owner.to_owned() };
        self.teams.insert(id.to_lowercase(), holder);
        for member in members {
            self.teams_of.entry(member.to_lowercase()).or_default().push(id.to_owned());
        }
    }

    /// How many entities became facts.
    pub(super) fn used(&self) -> usize {
        self.used
    }

    /// A user without an email is skipped: no log could name them and nobody could page them.
    fn read_user(&mut self, user: &Entity<'_>, parts: &mut Parts, problems: &mut Problems) {
        let (id, line) = (user.id(), user.name.line);
        let Some(email) = user.text(&["spec", "profile", "email"], problems) else {
            self.silent.insert((true, id.to_lowercase()));
            return;
        };
        self.people.insert(id.to_lowercase(), id.clone());
        add_person(user, Text { value: id, line }, email, parts, problems);
        self.used += 1;
    }

    /// Members are those that the group lists, then the users that say they are its members.
    fn read_group(
        &mut self,
        group: &Entity<'_>,
        claimed: Vec<String>,
        parts: &mut Parts,
        problems: &mut Problems,
    ) {
        let (id, line) = (group.id(), group.name.line);
        let listed = group.texts(&["spec", "members"], problems);
        let listed = listed.iter().filter_map(|m| reference(group, "spec.members", m, true, problems));
        let mut members: Vec<String> = Vec::new();
        for name in listed.map(|r| r.id).chain(claimed) {
            match self.people.get(&name.to_lowercase()) {
                Some(person) if members.contains(person) => {}
                Some(person) => members.push(person.clone()),
                None => {
                    let empty = || (group.place(line), Vec::new());
                    self.strangers.entry(id.to_lowercase()).or_insert_with(empty).1.push(name);
                }
            }
        }
        let text = |value: &String| Text { value: value.clone(), line };
        let mailbox = group.text(&["spec", "profile", "email"], problems);
        let is_declared = self.groups.contains_key(&id.to_lowercase());
        if members.is_empty() && mailbox.is_none() && !is_declared {
            self.silent.insert((false, id.to_lowercase()));
            return;
        }
        self.add_team(&id, &id, &members);
        self.used += 1;
        let mut team = Table::new(group.file);
        team.text("id", text(&id));
        team.text("name", display_name(group, problems));
        team.text("owner", text(&id));
        team.texts("members", members.iter().map(text).collect(), line);
        team.read_as("team", "Group", line, parts, problems);
        match mailbox {
            _ if is_declared => {}
            Some(email) => add_person(group, text(&id), email, parts, problems),
            None => {
                let mut table = Table::new(group.file);
                table.text("id", text(&id));
                table.texts("members", members.iter().map(text).collect(), line);
                table.read_as("group", "Group", line, parts, problems);
            }
        }
    }

    /// Whom `text` of `field` names; what cannot be resolved is reported.
    pub(super) fn resolve(
        &mut self,
        entity: &Entity<'_>,
        field: &str,
        text: &Text,
        problems: &mut Problems,
    ) -> Option<Holder> {
        let named = reference(entity, field, text, false, problems)?;
        let id = named.id.to_lowercase();
        let person = || Some(Holder { team: None, owner: self.people.get(&id)?.clone() });
        let group = || Some(Holder { team: None, owner: self.groups.get(&id)?.clone() });
        let found = if named.is_user { person() } else { self.teams.get(&id).cloned().or_else(group) };
        if found.is_none() {
            self.report_unknown(entity, field, text, &named, problems);
        } else if !named.is_user {
            self.referred.insert(id);
        }
        found
    }

    fn report_unknown(
        &self,
        entity: &Entity<'_>,
        field: &str,
        text: &Text,
        named: &Reference,
        problems: &mut Problems,
    ) {
        let place = entity.place(text.line);
        let (kind, id) = (if named.is_user { "user" } else { "group" }, named.id.to_lowercase());
        let shown_text = shown(&text.value);
        if self.silent.contains(&(named.is_user, id.clone())) {
            let message = format!("`{field}` names {kind} `{shown_text}`, whom nobody could reach");
            let fix = match named.is_user {
                true => "give it a `spec.profile.email`, or declare a [[person]] with that id in a TOML file",
                false => "give it a `spec.profile.email`, or at least one member with one",
            };
            problems.error(&place, message, fix.to_owned());
            return;
        }
        let message = format!("`{field}` names unknown {kind} `{shown_text}`");
        let fix = if !named.is_user && self.people.contains_key(&id) {
            format!("write `user:{shown_text}`: without a kind, a group is meant")
        } else if !problems.has_room() {
            String::new()
        } else {
            let known: Vec<&str> = match named.is_user {
                true => self.people.values().map(String::as_str).collect(),
                false => self.teams.values().filter_map(|h| h.team.as_deref()).collect(),
            };
            let table = if named.is_user { "[[person]]" } else { "[[team]]" };
            match nearest(&named.id, known) {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("add the {kind}'s entity to the folder, or declare a {table} in a TOML file"),
            }
        };
        problems.error(&place, message, fix);
    }

    /// Teams that list `person`, sorted.
    pub(super) fn teams_of(&self, person: &str) -> Vec<&str> {
        let teams = self.teams_of.get(&person.to_lowercase());
        let mut teams: Vec<&str> = teams.into_iter().flatten().map(String::as_str).collect();
        teams.sort_unstable();
        teams.dedup();
        teams
    }

    /// The id of team `id` in any case, or what to write instead.
    pub(super) fn team(&self, id: &str) -> Result<&str, String> {
        let known = self.teams.get(&id.to_lowercase()).and_then(|holder| holder.team.as_deref());
        let all = || self.teams.values().filter_map(|h| h.team.as_deref()).collect::<Vec<_>>();
        known.ok_or_else(|| choices(id, &all()))
    }

    /// Says which members of a pilot's team are unknown: their calls count as somebody else's.
    pub(super) fn warn_of_strangers(&self, problems: &mut Problems) {
        for group in &self.referred {
            let Some((place, names)) = self.strangers.get(group) else { continue };
            let names: Vec<String> = names.iter().map(|name| format!("`{}`", shown(name))).collect();
            let message = format!(
                "group `{}` has members without an entity or an email: {}; their calls count as another team's",
                shown(group),
                names.join(", ")
            );
            let fix = "add their `kind: User` with `spec.profile.email`, or a [[person]] in a TOML file";
            problems.warning(place, message, fix.to_owned());
        }
    }
}

/// By group: the users that say in `spec.memberOf` that they are its members.
fn memberships(entities: &[Entity<'_>], problems: &mut Problems) -> HashMap<String, Vec<String>> {
    let mut members: HashMap<String, Vec<String>> = HashMap::new();
    for user in entities.iter().filter(|e| e.is("user")) {
        for group in user.texts(&["spec", "memberOf"], problems) {
            let Some(group) = reference(user, "spec.memberOf", &group, false, problems) else { continue };
            members.entry(group.id.to_lowercase()).or_default().push(user.id());
        }
    }
    members
}

fn reference(
    entity: &Entity<'_>,
    field: &str,
    text: &Text,
    expects_user: bool,
    problems: &mut Problems,
) -> Option<Reference> {
    let read = Reference::parse(&text.value, expects_user, &entity.namespace);
    if read.is_none() {
        let message = format!("`{field}` is `{}`, expected a group or a user", shown(&text.value));
        let fix = "write `group:default/name`, `user:default/name`, or the name alone";
        problems.error(&entity.place(text.line), message, fix.to_owned());
    }
    read
}

fn add_person(entity: &Entity<'_>, id: Text, email: Text, parts: &mut Parts, problems: &mut Problems) {
    let line = id.line;
    let mut table = Table::new(entity.file);
    table.text("id", id);
    table.text("name", display_name(entity, problems));
    table.text("email", email);
    table.read_as("person", &entity.kind, line, parts, problems);
}

fn display_name(entity: &Entity<'_>, problems: &mut Problems) -> Text {
    let shown = entity.text(&["spec", "profile", "displayName"], problems);
    let titled = shown.or_else(|| entity.text(&["metadata", "title"], problems));
    titled.unwrap_or_else(|| entity.name.clone())
}
