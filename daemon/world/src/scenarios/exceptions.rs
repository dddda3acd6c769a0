//! Exceptions that ran out, or that nobody looks at any more, and what they allowed goes on; and those in order.

use super::oversight::agent;
use super::scope::{objects, other_bucket, reader};
use super::unpromoted::{alternative, routed};
use super::{Chapter, Scenario};
use crate::company::Workload;
use crate::dice::Dice;
use crate::draft::Draft;
use crate::formats::{Answer, Gateway, Target};
use crate::pattern::{DAY, HOUR, MINUTE, Pattern};
use crate::pilot::Pilot;
use crate::{BUSINESS_DEPENDENCY, DATA_SCOPE, OVERSIGHT, STALE_EXCEPTION, UNPROMOTED};

pub(super) const CHAPTER: Chapter = Chapter {
    detection: STALE_EXCEPTION,
    is_mission: false,
    incidents: &[
        Scenario { name: "ran out and goes on", days_min: 7, plant: goes_on },
        Scenario { name: "used again after it ran out", days_min: 7, plant: used_again },
        Scenario { name: "granted long ago and never looked at", days_min: 6, plant: never_reviewed },
        Scenario { name: "looked at once, long ago", days_min: 6, plant: reviewed_once },
        Scenario { name: "still reads what it was lent", days_min: 5, plant: reads_on },
        Scenario { name: "still acts alone", days_min: 5, plant: acts_on },
    ],
    look_alikes: &[
        Scenario { name: "ran out, and nobody uses it", days_min: 5, plant: unused },
        Scenario { name: "ran out and was renewed", days_min: 5, plant: renewed },
        Scenario { name: "last calls as it ran out", days_min: 5, plant: last_calls },
        Scenario { name: "old and looked at", days_min: 3, plant: reviewed },
        Scenario { name: "its own team goes on", days_min: 5, plant: own_team },
        Scenario { name: "promoted before it ran out", days_min: 6, plant: promoted },
    ],
};

/// All of history.
const ALWAYS: (i64, i64) = (i64::MIN, i64::MAX);

/// A pilot, its route, and two services of other teams that try it on a small share of their traffic.
struct Canary {
    pilot: Pilot,
    gateway: Gateway,
    target: Target,
    callers: Vec<Workload>,
    /// Calls an hour of each.
    rate: f64,
}

fn canary(draft: &mut Draft, dice: &mut Dice) -> Canary {
    let (pilot, gateway, target) = routed(draft, dice);
    let callers = draft.services_outside(dice, &pilot.team, 2);
    Canary { pilot, gateway, target, callers, rate: dice.real(1.2, 4.0) }
}

impl Canary {
    /// Registers it and makes its callers call it from then to then.
    fn run(&self, draft: &mut Draft, (from, to): (i64, i64)) {
        self.pilot.register(draft);
        for caller in &self.callers {
            let pattern = Pattern::Steady(self.rate);
            draft.call(self.gateway, caller, &self.target, pattern, None).within(from..to);
        }
        alternative(draft, &self.pilot, self.gateway, &self.callers, &Pattern::Customers(self.rate * 4.0));
    }

    fn except(&self, draft: &mut Draft, dice: &mut Dice, term: (i64, i64), reviewed_at: Option<i64>) {
        self.pilot.except(draft, dice, "production_traffic", term, reviewed_at);
    }

    /// Production traffic that nothing allows from `since` on.
    fn uncovered(&self, draft: &mut Draft, since: i64, why: &str) {
        let subject = self.pilot.subject();
        draft.expect(STALE_EXCEPTION, &subject, (since, since + 90 * MINUTE), why);
        let why = "no exception covers its production traffic any more";
        draft.expect(UNPROMOTED, &subject, (since, since + DAY), why);
    }
}

/// The day came and went; nobody turned the share of traffic back.
fn goes_on(draft: &mut Draft, dice: &mut Dice) {
    let canary = canary(draft, dice);
    let expires_at = draft.moment(dice, 1, -3);
    let term = (draft.start - dice.between(5, 60) * DAY, expires_at);
    canary.except(draft, dice, term, None);
    canary.run(draft, (draft.start, expires_at + dice.between(48, 90) * HOUR));
    canary.uncovered(draft, expires_at, "its exception ran out and its callers go on");
}

/// Turned on again as if the exception were still there.
fn used_again(draft: &mut Draft, dice: &mut Dice) {
    let canary = canary(draft, dice);
    let since = draft.moment(dice, 1, -3);
    let expired_at = draft.start - dice.between(2, 40) * DAY;
    let term = (expired_at - dice.between(10, 60) * DAY, expired_at);
    canary.except(draft, dice, term, None);
    canary.run(draft, (since, since + dice.between(48, 90) * HOUR));
    canary.uncovered(draft, since, "it is used again weeks after its exception ran out");
}

/// It ends only next year, and nobody has looked at it since it was granted.
fn never_reviewed(draft: &mut Draft, dice: &mut Dice) {
    let canary = canary(draft, dice);
    let since = draft.moment(dice, 1, -2);
    let term = (since - 90 * DAY, draft.end + dice.between(20, 200) * DAY);
    canary.except(draft, dice, term, None);
    forgotten(draft, &canary, since, "granted three months ago, used, and never looked at");
}

/// Somebody looked at it once, soon after it was granted.
fn reviewed_once(draft: &mut Draft, dice: &mut Dice) {
    let canary = canary(draft, dice);
    let since = draft.moment(dice, 1, -2);
    let granted_at = since - dice.between(120, 400) * DAY;
    let term = (granted_at, draft.end + dice.between(20, 200) * DAY);
    canary.except(draft, dice, term, Some(since - 90 * DAY));
    forgotten(draft, &canary, since, "last looked at three months ago, and used");
}

/// What it allows happens; `since` it has been left alone for too long.
fn forgotten(draft: &mut Draft, canary: &Canary, since: i64, why: &str) {
    canary.run(draft, ALWAYS);
    draft.expect(STALE_EXCEPTION, &canary.pilot.subject(), (since, since + 2 * HOUR), why);
    draft.look_alike(&[UNPROMOTED, BUSINESS_DEPENDENCY], &canary.pilot.subject());
}

/// It was lent a bucket for some weeks, and reads it still.
fn reads_on(draft: &mut Draft, dice: &mut Dice) {
    let reader = reader(draft, dice);
    let expires_at = draft.moment(dice, 1, -2);
    let term = (draft.start - dice.between(2, 40) * DAY, expires_at);
    reader.pilot.except(draft, dice, "data_out_of_scope", term, None);
    reader.pilot.register(draft);
    let (rate, bucket) = (dice.real(4.0, 40.0), other_bucket(dice));
    reader.act(draft, Pattern::Steady(rate), objects(&bucket), ALWAYS);
    let subject = reader.pilot.subject();
    let moments = (expires_at, expires_at + 90 * MINUTE);
    draft.expect(STALE_EXCEPTION, &subject, moments, "it reads what its exception allowed until then");
    draft.expect(DATA_SCOPE, &subject, moments, "nothing allows that bucket any more");
}

/// It was allowed to act alone for some weeks, and does so still.
fn acts_on(draft: &mut Draft, dice: &mut Dice) {
    let agent = agent(draft, dice);
    let expires_at = draft.moment(dice, 1, -2);
    let term = (draft.start - dice.between(2, 40) * DAY, expires_at);
    agent.pilot.except(draft, dice, "unattended_actions", term, None);
    agent.pilot.register(draft);
    let tool = agent.action(dice);
    agent.calls(draft, tool, Pattern::Steady(dice.real(4.0, 12.0)), Answer::Fine);
    let subject = agent.pilot.subject();
    let moments = (expires_at, expires_at + 90 * MINUTE);
    draft.expect(STALE_EXCEPTION, &subject, moments, "it acts alone as its exception allowed until then");
    draft.expect(OVERSIGHT, &subject, moments, "nothing lets it act alone any more");
}

/// What must stay quiet of a canary in order.
fn in_order(draft: &mut Draft, canary: &Canary) {
    draft.look_alike(&[STALE_EXCEPTION, UNPROMOTED, BUSINESS_DEPENDENCY], &canary.pilot.subject());
}

/// The share was turned back in time.
fn unused(draft: &mut Draft, dice: &mut Dice) {
    let canary = canary(draft, dice);
    let expires_at = draft.moment(dice, 2, -1);
    let term = (draft.start - dice.between(5, 60) * DAY, expires_at);
    canary.except(draft, dice, term, None);
    canary.run(draft, (draft.start, expires_at - dice.between(1, 20) * HOUR));
    in_order(draft, &canary);
}

/// A second exception follows on the first.
fn renewed(draft: &mut Draft, dice: &mut Dice) {
    let canary = canary(draft, dice);
    let expires_at = draft.moment(dice, 1, -1);
    let term = (draft.start - dice.between(5, 60) * DAY, expires_at);
    canary.except(draft, dice, term, None);
    let next = (expires_at - dice.between(1, 60) * HOUR, draft.end + dice.between(5, 60) * DAY);
    canary.except(draft, dice, next, None);
    canary.run(draft, ALWAYS);
    in_order(draft, &canary);
}

/// Turned back on the day: a few requests come in the minutes after.
fn last_calls(draft: &mut Draft, dice: &mut Dice) {
    let canary = canary(draft, dice);
    let expires_at = draft.moment(dice, 1, -1);
    let term = (draft.start - dice.between(5, 60) * DAY, expires_at);
    canary.except(draft, dice, term, None);
    canary.run(draft, (draft.start, expires_at + dice.between(10, 45) * MINUTE));
    in_order(draft, &canary);
}

/// Granted long ago, for long, and looked at every few weeks.
fn reviewed(draft: &mut Draft, dice: &mut Dice) {
    let canary = canary(draft, dice);
    let term = (draft.start - dice.between(100, 400) * DAY, draft.end + dice.between(5, 90) * DAY);
    let reviewed_at = draft.start - dice.between(1, 30) * DAY;
    canary.except(draft, dice, term, Some(reviewed_at));
    canary.run(draft, ALWAYS);
    in_order(draft, &canary);
}

/// Who builds it uses it on; that needs no exception.
fn own_team(draft: &mut Draft, dice: &mut Dice) {
    let mut canary = canary(draft, dice);
    canary.pilot.team = dice.pick(&draft.company.services).team.clone();
    canary.callers.retain(|caller| caller.team != canary.pilot.team);
    let expires_at = draft.moment(dice, 1, -1);
    let term = (draft.start - dice.between(5, 60) * DAY, expires_at);
    canary.except(draft, dice, term, None);
    canary.run(draft, (draft.start, expires_at - dice.between(1, 20) * HOUR));
    for caller in draft.services_of(&canary.pilot.team).into_iter().take(2) {
        draft.call(canary.gateway, &caller, &canary.target, Pattern::Office(6.0), None);
    }
    in_order(draft, &canary);
}

/// It was promoted some days before.
fn promoted(draft: &mut Draft, dice: &mut Dice) {
    let mut canary = canary(draft, dice);
    let expires_at = draft.moment(dice, 3, -1);
    let term = (draft.start - dice.between(5, 60) * DAY, expires_at);
    canary.except(draft, dice, term, None);
    canary.pilot.promote(draft, expires_at - dice.between(1, 50) * HOUR);
    canary.rate = dice.real(3.0, 9.0);
    canary.run(draft, ALWAYS);
    in_order(draft, &canary);
}
