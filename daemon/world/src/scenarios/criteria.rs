//! Promotions that were approved without what policy asks for, and decisions that only look like it.

use super::unpromoted::routed;
use super::{Chapter, Scenario};
use crate::dice::Dice;
use crate::draft::Draft;
use crate::formats::{Gateway, Target};
use crate::pattern::{DAY, HOUR, Pattern};
use crate::pilot::{CRITERIA as STANDARD, Pilot};
use crate::{CRITERIA, UNPROMOTED};

pub(super) const CHAPTER: Chapter = Chapter {
    detection: CRITERIA,
    is_mission: false,
    incidents: &[
        Scenario { name: "nobody signed for the risk", days_min: 5, plant: no_risk_sign_off },
        Scenario { name: "no staged rollout", days_min: 5, plant: no_staged_rollout },
        Scenario { name: "approved to make good later", days_min: 5, plant: make_good_later },
        Scenario { name: "live on an incomplete approval", days_min: 6, plant: live },
        Scenario { name: "decided again after some days", days_min: 8, plant: decided_again },
    ],
    look_alikes: &[
        Scenario { name: "refused for what was missing", days_min: 3, plant: refused },
        Scenario { name: "all that was asked for", days_min: 3, plant: complete },
        Scenario { name: "a whole approval stands behind it", days_min: 3, plant: stands_behind },
        Scenario { name: "refused first, approved whole later", days_min: 4, plant: second_try },
        Scenario { name: "no risk to sign for", days_min: 3, plant: standard },
        Scenario { name: "paper that came after the end", days_min: 3, plant: after_the_end },
    ],
};

/// Who decides on it.
fn decider(pilot: &Pilot) -> String {
    pilot.control_owner.clone().expect("an ordinary pilot has a control owner")
}

/// What it shows without one to three of what every policy asks for.
fn some_of_standard(dice: &mut Dice) -> Vec<&'static str> {
    let mut shown = STANDARD.to_vec();
    dice.shuffle(&mut shown);
    shown.truncate(STANDARD.len() - dice.between(1, 4) as usize);
    shown
}

/// Its own team tries it.
fn tried(draft: &mut Draft, dice: &mut Dice, pilot: &Pilot, (gateway, target): (Gateway, &Target)) {
    let rate = dice.real(1.0, 6.0);
    for caller in draft.services_of(&pilot.team).into_iter().take(2) {
        draft.call(gateway, &caller, target, Pattern::Office(rate), None);
    }
}

/// Approved at some moment with these criteria; from then on in stage `approved`, and only its own team uses it.
fn approved(draft: &mut Draft, dice: &mut Dice, profile: &'static str, shown: &[&str], why: &str) {
    let (mut pilot, gateway, target) = routed(draft, dice);
    pilot.profile = profile;
    let at = draft.moment(dice, 1, -1);
    pilot.stages.push(("approved", at));
    let by = decider(&pilot);
    pilot.decide(draft, at, "approved", &by, shown);
    pilot.register(draft);
    tried(draft, dice, &pilot, (gateway, &target));
    draft.expect(CRITERIA, &pilot.subject(), (at, at), why);
    draft.look_alike(&[UNPROMOTED], &pilot.subject());
}

/// Everything but the formal sign-off that regulated work needs.
fn no_risk_sign_off(draft: &mut Draft, dice: &mut Dice) {
    let why = "a regulated pilot was approved without a risk sign-off";
    approved(draft, dice, "regulated", STANDARD, why);
}

/// Fast-moving work may go live in stages only.
fn no_staged_rollout(draft: &mut Draft, dice: &mut Dice) {
    let why = "a fast-moving pilot was approved without a staged rollout";
    approved(draft, dice, "fast_moving", STANDARD, why);
}

/// Approved on the promise that the rest will follow.
fn make_good_later(draft: &mut Draft, dice: &mut Dice) {
    let shown = some_of_standard(dice);
    let why = "approved although not all that policy asks for was shown";
    approved(draft, dice, "standard", &shown, why);
}

/// The registry calls it production, and other teams rely on it; its approval is incomplete, so it is no promotion.
fn live(draft: &mut Draft, dice: &mut Dice) {
    let (mut pilot, gateway, target) = routed(draft, dice);
    let at = draft.moment(dice, 1, -4);
    let live_at = at + dice.between(2, 20) * HOUR;
    pilot.stages.extend([("approved", at), ("production", live_at)]);
    pilot.environments.push("production");
    let (by, shown) = (decider(&pilot), some_of_standard(dice));
    pilot.decide(draft, at, "approved", &by, &shown);
    pilot.register(draft);
    let until = live_at + dice.between(2, 4) * DAY;
    let rate = dice.real(4.0, 20.0);
    for caller in draft.services_outside(dice, &pilot.team, 2) {
        draft.call(gateway, &caller, &target, Pattern::Steady(rate), None).within(live_at..until);
    }
    draft.expect(CRITERIA, &pilot.subject(), (at, at), "approved without all that policy asks for");
    let why = "its promotion is incomplete, so its production traffic has none";
    draft.expect(UNPROMOTED, &pilot.subject(), (live_at, live_at + 12 * HOUR), why);
}

/// The gap was seen, and some days later the decision was made again, complete.
fn decided_again(draft: &mut Draft, dice: &mut Dice) {
    let (mut pilot, gateway, target) = routed(draft, dice);
    let at = draft.moment(dice, 1, -6);
    let (by, shown) = (decider(&pilot), some_of_standard(dice));
    pilot.stages.push(("approved", at));
    pilot.decide(draft, at, "approved", &by, &shown);
    let complete_at = at + dice.between(1, 5) * DAY;
    pilot.decide(draft, complete_at, "approved", &by, STANDARD);
    pilot.register(draft);
    tried(draft, dice, &pilot, (gateway, &target));
    let why = "approved without all that policy asks for, until the decision was made again";
    draft.expect(CRITERIA, &pilot.subject(), (at, at), why);
}

/// The same gap, and the answer was no.
fn refused(draft: &mut Draft, dice: &mut Dice) {
    let (mut pilot, gateway, target) = routed(draft, dice);
    pilot.profile = *dice.pick(&["standard", "regulated", "fast_moving"]);
    let at = draft.moment(dice, 0, -1);
    let (by, shown) = (decider(&pilot), some_of_standard(dice));
    pilot.decide(draft, at, "refused", &by, &shown);
    pilot.register(draft);
    tried(draft, dice, &pilot, (gateway, &target));
    draft.look_alike(&[CRITERIA, UNPROMOTED], &pilot.subject());
}

/// Registered, and in production by right since then.
fn live_since(
    draft: &mut Draft,
    dice: &mut Dice,
    pilot: &Pilot,
    (gateway, target): (Gateway, &Target),
    since: i64,
) {
    pilot.register(draft);
    for caller in draft.services_outside(dice, &pilot.team, 2) {
        draft.call(gateway, &caller, target, Pattern::Steady(2.0), None).within(since..i64::MAX);
    }
    draft.look_alike(&[CRITERIA, UNPROMOTED], &pilot.subject());
}

/// All that its profile asks for.
fn complete(draft: &mut Draft, dice: &mut Dice) {
    let (mut pilot, gateway, target) = routed(draft, dice);
    pilot.profile = *dice.pick(&["regulated", "fast_moving"]);
    let at = draft.moment(dice, 1, -1);
    pilot.promote(draft, at);
    live_since(draft, dice, &pilot, (gateway, &target), at);
}

/// Promoted by the book long ago; a later note of approval for the same pilot leaves things out.
fn stands_behind(draft: &mut Draft, dice: &mut Dice) {
    let (mut pilot, gateway, target) = routed(draft, dice);
    pilot.promote(draft, draft.start - dice.between(5, 60) * DAY);
    let (by, shown) = (decider(&pilot), some_of_standard(dice));
    let at = draft.moment(dice, 1, -1);
    pilot.decide(draft, at, "approved", &by, &shown);
    pilot.register(draft);
    for caller in draft.services_outside(dice, &pilot.team, 2) {
        draft.call(gateway, &caller, &target, Pattern::Customers(3.0), None);
    }
    draft.look_alike(&[CRITERIA, UNPROMOTED], &pilot.subject());
}

/// Sent back for what was missing, and approved when it was there.
fn second_try(draft: &mut Draft, dice: &mut Dice) {
    let (mut pilot, gateway, target) = routed(draft, dice);
    let at = draft.moment(dice, 2, -1);
    let (by, shown) = (decider(&pilot), some_of_standard(dice));
    pilot.decide(draft, at - dice.between(2, 9) * DAY, "refused", &by, &shown);
    pilot.promote(draft, at);
    live_since(draft, dice, &pilot, (gateway, &target), at);
}

/// A standard pilot needs neither the sign-off nor the stages.
fn standard(draft: &mut Draft, dice: &mut Dice) {
    let (mut pilot, gateway, target) = routed(draft, dice);
    let at = draft.moment(dice, 1, -1);
    pilot.promote(draft, at);
    live_since(draft, dice, &pilot, (gateway, &target), at);
}

/// It had been revoked when somebody filed an approval of it.
fn after_the_end(draft: &mut Draft, dice: &mut Dice) {
    let (mut pilot, ..) = routed(draft, dice);
    let at = draft.moment(dice, 0, -1);
    pilot.stages.push(("revoked", at - dice.between(1, 12) * DAY));
    let (by, shown) = (decider(&pilot), some_of_standard(dice));
    pilot.decide(draft, at, "approved", &by, &shown);
    pilot.register(draft);
    draft.look_alike(&[CRITERIA], &pilot.subject());
}
