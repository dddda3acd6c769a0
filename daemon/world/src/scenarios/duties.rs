//! Duties of one pilot that one person holds although policy separates them, and those that may be together.

use super::unpromoted::routed;
use super::{Chapter, Scenario};
use crate::dice::Dice;
use crate::draft::Draft;
use crate::formats::{Gateway, Target};
use crate::pattern::{DAY, Pattern};
use crate::pilot::{CRITERIA, Pilot};
use crate::roster::{group, leaver};
use crate::{DUTIES, UNPROMOTED};

pub(super) const CHAPTER: Chapter = Chapter {
    detection: DUTIES,
    is_mission: false,
    incidents: &[
        Scenario { name: "two roles of one person", days_min: 4, plant: two_roles },
        Scenario { name: "a group of one", days_min: 4, plant: group_of_one },
        Scenario { name: "the rest of the group has left", days_min: 5, plant: rest_left },
        Scenario { name: "decided on one's own request", days_min: 5, plant: own_request },
        Scenario { name: "one's own board decided", days_min: 5, plant: own_board },
    ],
    look_alikes: &[
        Scenario { name: "policy does not separate them", days_min: 2, plant: not_separated_by_policy },
        Scenario { name: "a group shares a member", days_min: 2, plant: shared_member },
        Scenario { name: "owner and controller", days_min: 2, plant: controller },
        Scenario { name: "only proposed", days_min: 2, plant: proposed },
        Scenario { name: "refused one's own request", days_min: 3, plant: refused_own },
        Scenario { name: "decided by a board with others on it", days_min: 3, plant: mixed_board },
    ],
};

/// A regulated pilot that its own team tries, in stage `pilot` from that instant on.
fn regulated(draft: &mut Draft, dice: &mut Dice, since: i64) -> (Pilot, Gateway, Target) {
    let (mut pilot, gateway, target) = routed(draft, dice);
    pilot.profile = "regulated";
    pilot.stages = vec![("proposed", since - dice.between(5, 60) * DAY), ("pilot", since)];
    let rate = dice.real(1.0, 5.0);
    for caller in draft.services_of(&pilot.team).into_iter().take(2) {
        draft.call(gateway, &caller, &target, Pattern::Office(rate), None).within(since..i64::MAX);
    }
    (pilot, gateway, target)
}

/// Gives the second of two of the three roles whoever holds the first.
fn join_roles(pilot: &mut Pilot, dice: &mut Dice, holder: &str) {
    let roles = [&mut pilot.owner, &mut pilot.data_owner, &mut pilot.security_approver];
    let spared = dice.below(3) as usize;
    for (index, role) in roles.into_iter().enumerate() {
        if index != spared {
            holder.clone_into(role);
        }
    }
}

/// The same name stands twice.
fn two_roles(draft: &mut Draft, dice: &mut Dice) {
    let since = draft.moment(dice, 1, -1);
    let (mut pilot, ..) = regulated(draft, dice, since);
    let person = draft.anybody(dice).id;
    let spare = draft.people(dice, 3).into_iter().find(|p| p.id != person).expect("three people differ").id;
    (pilot.owner, pilot.data_owner, pilot.security_approver) = (spare.clone(), spare.clone(), spare);
    join_roles(&mut pilot, dice, &person);
    pilot.register(draft);
    let why = "one person holds two of the roles that a regulated pilot separates";
    draft.expect(DUTIES, &pilot.subject(), (since, since), why);
}

/// One of the roles is a group's, and the group is the person who has another.
fn group_of_one(draft: &mut Draft, dice: &mut Dice) {
    let since = draft.moment(dice, 1, -1);
    let (mut pilot, ..) = regulated(draft, dice, since);
    pilot.security_approver = group(draft, dice, std::slice::from_ref(&pilot.owner));
    pilot.register(draft);
    let why = "the board that approves its security is its owner alone";
    draft.expect(DUTIES, &pilot.subject(), (since, since), why);
}

/// A group separated the roles, until all but the owner had left it.
fn rest_left(draft: &mut Draft, dice: &mut Dice) {
    let since = draft.start - dice.between(10, 90) * DAY;
    let (mut pilot, ..) = regulated(draft, dice, since);
    let left_at = draft.moment(dice, 1, -2);
    let mut members = vec![pilot.owner.clone()];
    for index in 0..dice.between(1, 4) {
        let earlier = left_at - index * dice.between(1, 30) * DAY;
        members.push(leaver(draft, dice, earlier));
    }
    dice.shuffle(&mut members);
    pilot.data_owner = group(draft, dice, &members);
    pilot.register(draft);
    let why = "of the group that owned its data only its owner is left";
    draft.expect(DUTIES, &pilot.subject(), (left_at, left_at), why);
}

/// Promoted by whoever asked for it.
fn own_request(draft: &mut Draft, dice: &mut Dice) {
    let (mut pilot, gateway, target) = routed(draft, dice);
    let by = pilot.owner.clone();
    live(draft, dice, &mut pilot, (gateway, &target), &by);
}

/// Promoted by a board on which only the one who asked has a seat.
fn own_board(draft: &mut Draft, dice: &mut Dice) {
    let (mut pilot, gateway, target) = routed(draft, dice);
    let by = group(draft, dice, std::slice::from_ref(&pilot.owner));
    live(draft, dice, &mut pilot, (gateway, &target), &by);
}

/// A complete promotion, decided by `by` on the owner's request.
fn live(
    draft: &mut Draft,
    dice: &mut Dice,
    pilot: &mut Pilot,
    (gateway, target): (Gateway, &Target),
    by: &str,
) {
    pilot.profile = "regulated";
    let at = draft.moment(dice, 1, -1);
    pilot.stages.push(("production", at));
    pilot.decide(draft, at, "approved", by, &[CRITERIA, &["risk_sign_off"]].concat());
    pilot.register(draft);
    for caller in draft.services_outside(dice, &pilot.team, 2) {
        draft.call(gateway, &caller, target, Pattern::Steady(2.0), None).within(at..i64::MAX);
    }
    let why = "who asked for its promotion decided on it";
    draft.expect(DUTIES, &pilot.subject(), (at, at), why);
    draft.look_alike(&[UNPROMOTED], &pilot.subject());
}

/// A standard pilot of a small team: its owner has all the roles, and promoted it.
fn not_separated_by_policy(draft: &mut Draft, dice: &mut Dice) {
    let (mut pilot, gateway, target) = routed(draft, dice);
    pilot.profile = *dice.pick(&["standard", "fast_moving"]);
    let owner = pilot.owner.clone();
    (pilot.data_owner, pilot.security_approver) = (owner.clone(), owner.clone());
    pilot.control_owner = Some(owner);
    let at = draft.start - dice.between(2, 50) * DAY;
    pilot.promote(draft, at);
    pilot.register(draft);
    for caller in draft.services_outside(dice, &pilot.team, 2) {
        draft.call(gateway, &caller, &target, Pattern::Customers(3.0), None);
    }
    draft.look_alike(&[DUTIES, UNPROMOTED], &pilot.subject());
}

/// The owner sits in the group that approves, and so do others.
fn shared_member(draft: &mut Draft, dice: &mut Dice) {
    let since = draft.start - dice.between(2, 60) * DAY;
    let (mut pilot, ..) = regulated(draft, dice, since);
    let mut members = vec![pilot.owner.clone(), pilot.control_owner.clone().unwrap_or_default()];
    let left_at = draft.moment(dice, 1, -1);
    members.push(leaver(draft, dice, left_at));
    dice.shuffle(&mut members);
    pilot.security_approver = group(draft, dice, &members);
    pilot.register(draft);
    draft.look_alike(&[DUTIES], &pilot.subject());
}

/// Its owner also controls it: that is none of the duties that are separated.
fn controller(draft: &mut Draft, dice: &mut Dice) {
    let since = draft.moment(dice, 0, -1);
    let (mut pilot, ..) = regulated(draft, dice, since);
    pilot.control_owner = Some(pilot.owner.clone());
    pilot.register(draft);
    draft.look_alike(&[DUTIES], &pilot.subject());
}

/// A proposal that one person wrote; the roles are given when it begins.
fn proposed(draft: &mut Draft, dice: &mut Dice) {
    let mut pilot = Pilot::new(draft, dice);
    pilot.profile = "regulated";
    pilot.stages = vec![("proposed", draft.moment(dice, 0, -1))];
    pilot.data_owner = pilot.owner.clone();
    pilot.register(draft);
    draft.look_alike(&[DUTIES], &pilot.subject());
}

/// Whoever asked withdrew it.
fn refused_own(draft: &mut Draft, dice: &mut Dice) {
    let since = draft.start - dice.between(10, 60) * DAY;
    let (pilot, ..) = regulated(draft, dice, since);
    let at = draft.moment(dice, 0, -1);
    pilot.decide(draft, at, "refused", &pilot.owner, &["logging"]);
    pilot.register(draft);
    draft.look_alike(&[DUTIES], &pilot.subject());
}

/// Whoever asked sits on the board that decided, and so do others.
fn mixed_board(draft: &mut Draft, dice: &mut Dice) {
    let (mut pilot, gateway, target) = routed(draft, dice);
    pilot.profile = "regulated";
    let other = pilot.control_owner.clone().unwrap_or_default();
    let board = group(draft, dice, &[pilot.owner.clone(), other]);
    let at = draft.moment(dice, 1, -1);
    pilot.stages.push(("production", at));
    pilot.decide(draft, at, "approved", &board, &[CRITERIA, &["risk_sign_off"]].concat());
    pilot.register(draft);
    for caller in draft.services_outside(dice, &pilot.team, 2) {
        draft.call(gateway, &caller, &target, Pattern::Steady(2.0), None).within(at..i64::MAX);
    }
    draft.look_alike(&[DUTIES, UNPROMOTED], &pilot.subject());
}
