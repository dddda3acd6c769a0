//! A pilot as the registry has it: stages, roles, selectors, scopes, promotions, exceptions.
//!
//! In: what a story wants to be different from the ordinary. Out: tables of the registry.

use super::ExpectedSubject;
use super::company::Person;
use super::dice::Dice;
use super::draft::Draft;
use super::governance::{Literal, array, flag, inline, list, text, time};
use super::pattern::DAY;

const FILE: &str = "pilots.toml";
/// What every policy here asks for; regulated asks for `risk_sign_off` as well.
pub(crate) const CRITERIA: &[&str] =
    &["data_scope", "logging", "human_oversight", "rollback", "secrets_handling"];

/// What the registry says of one pilot; [`Pilot::new`] gives an ordinary one.
#[derive(Debug, Clone)]
pub(crate) struct Pilot {
    pub(crate) id: String,
    pub(crate) purpose: String,
    pub(crate) team: String,
    /// Person ids, or ids of groups.
    pub(crate) owner: String,
    pub(crate) data_owner: String,
    pub(crate) security_approver: String,
    pub(crate) control_owner: Option<String>,
    /// `standard`, `regulated` or `fast_moving`.
    pub(crate) profile: &'static str,
    pub(crate) environments: Vec<&'static str>,
    /// Stage and the instant it began, microseconds, in order.
    pub(crate) stages: Vec<(&'static str, i64)>,
    /// Kind and value.
    pub(crate) selectors: Vec<(&'static str, String)>,
    /// Names of flags that are true: `external_users`, `sensitive_data`, `write_tools`.
    pub(crate) flags: Vec<&'static str>,
    pub(crate) data_scope: Vec<String>,
    pub(crate) tool_scope: Vec<String>,
}

impl Pilot {
    /// A pilot of some team, in stage `pilot` since some weeks before the history begins, its four roles held by four
    /// people, with a policy that all duties fit; it has no selectors yet.
    pub(crate) fn new(draft: &mut Draft, dice: &mut Dice) -> Self {
        let id = draft.fresh_name(dice);
        let team = dice.pick(&draft.company.teams).clone();
        let roles: Vec<Person> = draft.people(dice, 4);
        Self {
            purpose: format!("{id}-work"),
            team,
            owner: roles[0].id.clone(),
            data_owner: roles[1].id.clone(),
            security_approver: roles[2].id.clone(),
            control_owner: Some(roles[3].id.clone()),
            profile: "standard",
            environments: vec!["sandbox", "staging"],
            stages: vec![("pilot", draft.start - dice.between(20, 120) * DAY)],
            selectors: Vec::new(),
            flags: Vec::new(),
            data_scope: vec![format!("s3://halden-{id}")],
            tool_scope: vec!["read".to_owned()],
            id,
        }
    }

    /// What labels name.
    pub(crate) fn subject(&self) -> ExpectedSubject {
        ExpectedSubject::Pilot(self.id.clone())
    }

    /// Writes it into the registry.
    pub(crate) fn register(&self, draft: &mut Draft) {
        let stages = self.stages.iter().enumerate().map(|(index, (stage, from))| {
            let next = self.stages.get(index + 1).map(|(_, to)| ("to", time(*to)));
            let mut entries = vec![("stage", text(stage)), ("from", time(*from))];
            entries.extend(next);
            inline(&entries)
        });
        let stages = array(stages.collect());
        let selectors = self
            .selectors
            .iter()
            .map(|(kind, value)| inline(&[("kind", text(kind)), ("value", text(value))]));
        let selectors = array(selectors.collect());
        let mut entries: Vec<(&str, Literal)> = vec![
            ("id", text(&self.id)),
            ("name", text(&self.id.replace('-', " "))),
            ("purpose", text(&self.purpose)),
            ("team", text(&self.team)),
            ("owner", text(&self.owner)),
            ("data_owner", text(&self.data_owner)),
            ("security_approver", text(&self.security_approver)),
        ];
        entries.extend(self.control_owner.as_ref().map(|owner| ("control_owner", text(owner))));
        entries.extend([
            ("profile", text(self.profile)),
            ("environments", list(&self.environments)),
            ("data_scope", list(&self.data_scope)),
            ("tool_scope", list(&self.tool_scope)),
        ]);
        entries.extend(self.flags.iter().map(|name| (*name, flag(true))));
        entries.extend([("stages", stages), ("selectors", selectors)]);
        draft.governance.table(FILE, "pilot", &entries);
    }

    /// Writes a decision on its promotion; `by` decided on what its owner had asked for.
    pub(crate) fn decide(&self, draft: &mut Draft, at: i64, outcome: &str, by: &str, criteria: &[&str]) {
        let entries = [
            ("pilot", text(&self.id)),
            ("requested_by", text(&self.owner)),
            ("decided_by", text(by)),
            ("decided_at", time(at)),
            ("outcome", text(outcome)),
            ("criteria", list(criteria)),
        ];
        draft.governance.table(FILE, "promotion", &entries);
    }

    /// Makes it promoted by the book at that instant: stage, decision, everything that policy asks for.
    pub(crate) fn promote(&mut self, draft: &mut Draft, at: i64) {
        // It was tried before, however long ago that is.
        if let [(_, tried_from)] = self.stages.as_mut_slice() {
            *tried_from = (*tried_from).min(at - 30 * DAY);
        }
        self.stages.push(("production", at));
        self.environments.push("production");
        let by = self.control_owner.clone().expect("who is promoted by the book has a control owner");
        let mut criteria = CRITERIA.to_vec();
        match self.profile {
            "regulated" => criteria.push("risk_sign_off"),
            "fast_moving" => criteria.push("staged_rollout"),
            _ => {}
        }
        self.decide(draft, at - DAY, "approved", &by, &criteria);
    }

    /// Writes an exception: what it allows, from when to when, when it was last reviewed.
    pub(crate) fn except(
        &self,
        draft: &mut Draft,
        dice: &mut Dice,
        allows: &str,
        (granted_at, expires_at): (i64, i64),
        reviewed_at: Option<i64>,
    ) {
        let granted_by = draft.anybody(dice).id;
        let mut entries = vec![
            ("id", text(&format!("EX-{}-{}", self.id, dice.between(100, 999)))),
            ("pilot", text(&self.id)),
            ("allows", text(allows)),
            ("granted_by", text(&granted_by)),
            ("granted_at", time(granted_at)),
            ("expires_at", time(expires_at)),
        ];
        entries.extend(reviewed_at.map(|at| ("reviewed_at", time(at))));
        draft.governance.table(FILE, "exception", &entries);
    }
}
