//! Promotions that nobody controls, that lack what policy asks for, or that are one person's: and those that only
//! look like it.

use super::unpromoted::{alternative, routed};
use super::{Chapter, Scenario};
use crate::dice::Dice;
use crate::draft::Draft;
use crate::formats::{Gateway, Target};
use crate::pattern::{DAY, HOUR, Pattern};
use crate::pilot::{CRITERIA, Pilot};
use crate::roster::{group, leaver};
use crate::{BUSINESS_DEPENDENCY, CONTROL_OWNER, UNPROMOTED};

pub(super) const CHAPTER: Chapter = Chapter {
    detection: CONTROL_OWNER,
    is_mission: false,
    incidents: &[
        Scenario { name: "nobody was named", days_min: 5, plant: nobody_named },
        Scenario { name: "who was named has left", days_min: 5, plant: owner_left },
        Scenario { name: "the last of a group has left", days_min: 5, plant: group_emptied },
    ],
    look_alikes: &[
        Scenario { name: "one of a group is still there", days_min: 2, plant: one_is_left },
        Scenario { name: "suspended before its owner left", days_min: 6, plant: suspended_before },
        Scenario { name: "nobody named for a trial", days_min: 2, plant: trial },
        Scenario { name: "a notice that has not run out", days_min: 2, plant: notice },
    ],
};

/// Promoted at that instant by decision of `by`, with all that its profile asks for.
fn promoted_by(draft: &mut Draft, pilot: &mut Pilot, at: i64, by: &str) {
    pilot.stages.push(("production", at));
    pilot.environments.push("production");
    pilot.decide(draft, at - DAY, "approved", by, CRITERIA);
}

/// Two teams' services use it, since its promotion.
fn serve(draft: &mut Draft, dice: &mut Dice, team: &str, (gateway, target): (Gateway, &Target), since: i64) {
    let rate = dice.real(1.0, 5.0);
    for caller in draft.services_outside(dice, team, 2) {
        draft.call(gateway, &caller, target, Pattern::Customers(rate), None).within(since..i64::MAX);
    }
}

/// The form has a field for who controls it in production; it was left empty.
fn nobody_named(draft: &mut Draft, dice: &mut Dice) {
    let (mut pilot, gateway, target) = routed(draft, dice);
    let since = draft.moment(dice, 2, -2);
    let by = pilot.control_owner.take().expect("an ordinary pilot has a control owner");
    if dice.chance(0.3) {
        pilot.flags.push("sensitive_data");
    }
    promoted_by(draft, &mut pilot, since, &by);
    pilot.register(draft);
    serve(draft, dice, &pilot.team, (gateway, &target), since);
    let why = "promoted, and the registry names nobody who controls it";
    draft.expect(CONTROL_OWNER, &pilot.subject(), (since, since), why);
    draft.look_alike(&[UNPROMOTED], &pilot.subject());
}

/// In production for months; then who controlled it left the company.
fn owner_left(draft: &mut Draft, dice: &mut Dice) {
    let (mut pilot, gateway, target) = routed(draft, dice);
    let left_at = draft.moment(dice, 1, -2);
    pilot.control_owner = Some(leaver(draft, dice, left_at));
    let promoted_at = draft.start - dice.between(3, 15) * DAY;
    pilot.promote(draft, promoted_at);
    pilot.register(draft);
    serve(draft, dice, &pilot.team, (gateway, &target), promoted_at);
    let why = "who controlled it in production left";
    draft.expect(CONTROL_OWNER, &pilot.subject(), (left_at, left_at), why);
    draft.look_alike(&[UNPROMOTED], &pilot.subject());
}

/// A group controls it; its people left one after the other.
fn group_emptied(draft: &mut Draft, dice: &mut Dice) {
    let (mut pilot, gateway, target) = routed(draft, dice);
    let last_left_at = draft.moment(dice, 1, -2);
    let members: Vec<String> = (0..dice.between(2, 5))
        .map(|index| {
            let left_at = last_left_at - index * dice.between(2, 60) * DAY;
            leaver(draft, dice, left_at)
        })
        .collect();
    pilot.control_owner = Some(group(draft, dice, &members));
    let promoted_at = draft.start - dice.between(3, 15) * DAY;
    pilot.promote(draft, promoted_at);
    pilot.register(draft);
    serve(draft, dice, &pilot.team, (gateway, &target), promoted_at);
    let why = "the last of the group that controlled it left";
    draft.expect(CONTROL_OWNER, &pilot.subject(), (last_left_at, last_left_at), why);
}

/// Of the group that controls it all but one have left.
fn one_is_left(draft: &mut Draft, dice: &mut Dice) {
    let (mut pilot, gateway, target) = routed(draft, dice);
    let mut members = vec![draft.anybody(dice).id];
    for _ in 0..dice.between(1, 4) {
        let left_at = draft.moment(dice, 1, -1);
        members.push(leaver(draft, dice, left_at));
    }
    dice.shuffle(&mut members);
    pilot.control_owner = Some(group(draft, dice, &members));
    let promoted_at = draft.start - dice.between(5, 90) * DAY;
    pilot.promote(draft, promoted_at);
    pilot.register(draft);
    serve(draft, dice, &pilot.team, (gateway, &target), promoted_at);
    draft.look_alike(&[CONTROL_OWNER, UNPROMOTED], &pilot.subject());
}

/// It was taken back before the person who controlled it left.
fn suspended_before(draft: &mut Draft, dice: &mut Dice) {
    let (mut pilot, gateway, target) = routed(draft, dice);
    let suspended_at = draft.moment(dice, 2, -3);
    let left_at = suspended_at + dice.between(2, 47) * HOUR;
    pilot.control_owner = Some(leaver(draft, dice, left_at));
    pilot.promote(draft, draft.start - 40 * DAY);
    pilot.stages.push(("suspended", suspended_at));
    pilot.register(draft);
    for caller in draft.services_outside(dice, &pilot.team, 2) {
        let before = i64::MIN..suspended_at - HOUR;
        draft.call(gateway, &caller, &target, Pattern::Customers(3.0), None).within(before);
    }
    draft.look_alike(&[CONTROL_OWNER], &pilot.subject());
}

/// Nobody controls it in production, where it is not.
fn trial(draft: &mut Draft, dice: &mut Dice) {
    let (mut pilot, gateway, target) = routed(draft, dice);
    pilot.team = dice.pick(&draft.company.services).team.clone();
    pilot.control_owner = None;
    pilot.register(draft);
    for caller in draft.services_of(&pilot.team).into_iter().take(2) {
        draft.call(gateway, &caller, &target, Pattern::Office(4.0), None);
    }
    draft.look_alike(&[CONTROL_OWNER, UNPROMOTED, BUSINESS_DEPENDENCY], &pilot.subject());
}

/// Who controls it has given notice: the last day is after today.
fn notice(draft: &mut Draft, dice: &mut Dice) {
    let (mut pilot, gateway, target) = routed(draft, dice);
    let last_day = draft.end + dice.between(1, 40) * DAY;
    pilot.control_owner = Some(leaver(draft, dice, last_day));
    let promoted_at = draft.moment(dice, 0, -1);
    pilot.promote(draft, promoted_at);
    pilot.register(draft);
    let callers = draft.services_outside(dice, &pilot.team, 2);
    for caller in &callers {
        let stream = draft.call(gateway, caller, &target, Pattern::Customers(3.0), None);
        stream.within(promoted_at..i64::MAX);
    }
    alternative(draft, &pilot, gateway, &callers, &Pattern::Customers(3.0));
    draft.look_alike(&[CONTROL_OWNER, UNPROMOTED], &pilot.subject());
}
