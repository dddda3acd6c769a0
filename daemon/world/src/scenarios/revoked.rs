//! Pilots that were suspended or revoked and are called all the same, and those whose end was respected.

use super::unpromoted::{MIRRORING, health_check, routed, routed_behind, routed_where_probes_show};
use super::{Chapter, Scenario};
use crate::company::{LAMBDA, PRODUCTION, STAGING_AI_HOST, role_arn};
use crate::dice::Dice;
use crate::draft::Draft;
use crate::everyday::invocations;
use crate::formats::cloudtrail::{AwsUse, Delivery, Signer};
use crate::formats::{Answer, Gateway, Request, Target};
use crate::pattern::{DAY, HOUR, MINUTE, Pattern};
use crate::pilot::Pilot;
use crate::place::Place;
use crate::{REVOKED, UNPROMOTED};

pub(super) const CHAPTER: Chapter = Chapter {
    detection: REVOKED,
    is_mission: false,
    incidents: &[
        Scenario { name: "the route still answers", days_min: 5, plant: still_answers },
        Scenario { name: "callers were not told", days_min: 5, plant: stranded },
        Scenario { name: "its role still works", days_min: 5, plant: role_works },
        Scenario { name: "a nightly job that everybody forgot", days_min: 6, plant: nightly },
        Scenario { name: "it lives on in staging", days_min: 5, plant: in_staging },
        Scenario { name: "its own team cannot let go", days_min: 5, plant: own_team },
    ],
    look_alikes: &[
        Scenario { name: "revoked and left alone", days_min: 3, plant: left_alone },
        Scenario { name: "requests in flight", days_min: 3, plant: in_flight },
        Scenario { name: "health checks go on", days_min: 3, plant: probed },
        Scenario { name: "its own team looks for the fault", days_min: 3, plant: looked_into },
        Scenario { name: "suspended for a while", days_min: 6, plant: resumed },
        Scenario { name: "nothing answers any more", days_min: 3, plant: down },
        Scenario { name: "mirrored after the end", days_min: 3, plant: mirrored },
    ],
};

/// A promoted pilot that was stopped at `at`; not yet registered.
fn stopped(draft: &mut Draft, dice: &mut Dice, stage: &'static str, at: i64) -> (Pilot, Gateway, Target) {
    let (mut pilot, gateway, target) = routed(draft, dice);
    stop(draft, dice, &mut pilot, stage, at);
    (pilot, gateway, target)
}

/// Promoted before the history begins, stopped at `at`.
fn stop(draft: &mut Draft, dice: &mut Dice, pilot: &mut Pilot, stage: &'static str, at: i64) {
    pilot.promote(draft, draft.start - dice.between(10, 90) * DAY);
    pilot.stages.push((stage, at));
}

fn either(dice: &mut Dice) -> &'static str {
    dice.pick::<&str>(&["suspended", "revoked"])
}

/// The registry says it is over; the route says nothing.
fn still_answers(draft: &mut Draft, dice: &mut Dice) {
    let (stage, at) = (either(dice), draft.moment(dice, 1, -2));
    let (pilot, gateway, target) = stopped(draft, dice, stage, at);
    pilot.register(draft);
    let until = at + dice.between(20, 80) * HOUR;
    let rate = dice.real(3.0, 14.0);
    for caller in draft.services_outside(dice, &pilot.team, 3) {
        draft.call(gateway, &caller, &target, Pattern::Steady(rate), None).within(i64::MIN..until);
    }
    let why = "it was stopped and answers its callers";
    draft.expect(REVOKED, &pilot.subject(), (at, at + HOUR), why);
    draft.look_alike(&[UNPROMOTED], &pilot.subject());
}

/// The gateway refuses; its callers go on asking.
fn stranded(draft: &mut Draft, dice: &mut Dice) {
    let (stage, at) = (either(dice), draft.moment(dice, 1, -2));
    let (pilot, gateway, target) = stopped(draft, dice, stage, at);
    pilot.register(draft);
    let until = at + dice.between(10, 60) * HOUR;
    let rate = dice.real(3.0, 14.0);
    let count = dice.between(1, 5) as usize;
    for caller in draft.services_outside(dice, &pilot.team, count) {
        draft.call(gateway, &caller, &target, Pattern::Steady(rate), None).within(i64::MIN..at);
        let denied = Request { answer: Answer::Denied, ..Request::of_service(&caller, &target) };
        draft.request(gateway, &denied, caller.pod(), Pattern::Steady(rate)).within(at..until);
    }
    let why = "it was stopped, and its callers are refused for hours";
    draft.expect(REVOKED, &pilot.subject(), (at, at + 3 * HOUR), why);
}

/// The route is gone; the function goes on working through its role.
fn role_works(draft: &mut Draft, dice: &mut Dice) {
    let (stage, at) = (either(dice), draft.moment(dice, 1, -2));
    let (mut pilot, ..) = stopped(draft, dice, stage, at);
    let role = format!("{}-runtime", pilot.id);
    pilot.selectors = vec![("role", role_arn(&role))];
    pilot.register(draft);
    let signer =
        Signer::Session { role: role.clone(), session: pilot.id.clone(), delivery: Delivery::Assumed };
    let own = AwsUse {
        account: PRODUCTION,
        signer,
        clients: vec![LAMBDA],
        actions: invocations("anthropic.claude-3-haiku-20240307-v1:0"),
    };
    let rate = dice.real(3.0, 12.0);
    draft.aws(&role, Pattern::Steady(rate), Place::Production(dice.below(60) as u32), &own);
    let why = "it was stopped, and its role still invokes models";
    draft.expect(REVOKED, &pilot.subject(), (at, at + HOUR), why);
    draft.look_alike(&[UNPROMOTED], &pilot.subject());
}

/// One job a night, and it gets its answers.
fn nightly(draft: &mut Draft, dice: &mut Dice) {
    let (stage, at) = (either(dice), draft.moment(dice, 1, -3));
    let (pilot, gateway, target) = stopped(draft, dice, stage, at);
    pilot.register(draft);
    let hour = at.div_euclid(DAY) * DAY + dice.between(0, 6) * HOUR;
    let nights: Vec<i64> = (-20..20).map(|night| hour + night * DAY).collect();
    let first =
        nights.iter().copied().find(|night| *night > at + HOUR).expect("nights follow on any instant");
    let moments = nights.iter().flat_map(|night| (0..8).map(move |n| night + n * 40_000_000));
    let caller = draft.services_outside(dice, &pilot.team, 1).remove(0);
    draft.call(gateway, &caller, &target, Pattern::At(moments.collect()), None);
    let why = "it was stopped, and a nightly job gets its answers";
    // The night of the stop may count already.
    draft.expect(REVOKED, &pilot.subject(), (at, first), why);
}

/// Nobody thought of the copy in staging: nothing may call what was revoked.
fn in_staging(draft: &mut Draft, dice: &mut Dice) {
    let at = draft.moment(dice, 1, -2);
    let (pilot, gateway, mut target) = stopped(draft, dice, "revoked", at);
    pilot.register(draft);
    for caller in draft.services_outside(dice, &pilot.team, 2) {
        draft.call(gateway, &caller, &target, Pattern::Customers(3.0), None).within(i64::MIN..at);
    }
    target.host = STAGING_AI_HOST.to_owned();
    let rate = dice.real(2.0, 9.0);
    for caller in draft.services_outside(dice, &pilot.team, 2) {
        let mut request = Request::of_service(&caller, &target);
        request.caller.peer = Some(caller.staging_peer());
        (request.caller.consumer, request.caller.api_key_id) = (Some(caller.staging_name()), None);
        draft.request(gateway, &request, Place::Pod(38_000 + caller.number), Pattern::Steady(rate));
    }
    let why = "it was revoked and answers in staging";
    draft.expect(REVOKED, &pilot.subject(), (at, at + 2 * HOUR), why);
}

/// What was revoked is over for those who built it as well.
fn own_team(draft: &mut Draft, dice: &mut Dice) {
    let at = draft.moment(dice, 1, -2);
    let (mut pilot, gateway, target) = stopped(draft, dice, "revoked", at);
    pilot.team = dice.pick(&draft.company.services).team.clone();
    pilot.register(draft);
    let rate = dice.real(2.0, 9.0);
    for caller in draft.services_of(&pilot.team).into_iter().take(2) {
        draft.call(gateway, &caller, &target, Pattern::Steady(rate), None);
    }
    let why = "it was revoked, and the team that built it uses it on";
    draft.expect(REVOKED, &pilot.subject(), (at, at + 2 * HOUR), why);
}

/// Two services of other teams use it until then.
fn until(draft: &mut Draft, dice: &mut Dice, pilot: &Pilot, (gateway, target): (Gateway, &Target), to: i64) {
    let rate = dice.real(1.0, 5.0);
    for caller in draft.services_outside(dice, &pilot.team, 2) {
        draft.call(gateway, &caller, target, Pattern::Steady(rate), None).within(i64::MIN..to);
    }
}

/// The callers went first.
fn left_alone(draft: &mut Draft, dice: &mut Dice) {
    let (stage, at) = (either(dice), draft.moment(dice, 1, -1));
    let (pilot, gateway, target) = stopped(draft, dice, stage, at);
    pilot.register(draft);
    let last = at - dice.between(0, 30) * HOUR;
    until(draft, dice, &pilot, (gateway, &target), last);
    draft.look_alike(&[REVOKED, UNPROMOTED], &pilot.subject());
}

/// The gateway learns of it some minutes later.
fn in_flight(draft: &mut Draft, dice: &mut Dice) {
    let (stage, at) = (either(dice), draft.moment(dice, 1, -1));
    let (pilot, gateway, target) = stopped(draft, dice, stage, at);
    pilot.register(draft);
    let last = at + dice.between(1, 13) * MINUTE;
    until(draft, dice, &pilot, (gateway, &target), last);
    draft.look_alike(&[REVOKED, UNPROMOTED], &pilot.subject());
}

/// Its pods are still asked whether they live.
fn probed(draft: &mut Draft, dice: &mut Dice) {
    let (stage, at) = (either(dice), draft.moment(dice, 1, -1));
    let (mut pilot, gateway, target) = routed_where_probes_show(draft, dice);
    stop(draft, dice, &mut pilot, stage, at);
    pilot.register(draft);
    until(draft, dice, &pilot, (gateway, &target), at - HOUR);
    let prober = draft.services_outside(dice, &pilot.team, 1).remove(0);
    let probe = health_check(&pilot, &prober, &target);
    draft.request(gateway, &probe, Place::Pod(39_001), Pattern::Steady(dice.real(1.0, 6.0)));
    draft.look_alike(&[REVOKED, UNPROMOTED], &pilot.subject());
}

/// Those who built it find out what went wrong while it is suspended.
fn looked_into(draft: &mut Draft, dice: &mut Dice) {
    let at = draft.moment(dice, 1, -1);
    let (mut pilot, gateway, target) = stopped(draft, dice, "suspended", at);
    pilot.team = dice.pick(&draft.company.services).team.clone();
    pilot.register(draft);
    until(draft, dice, &pilot, (gateway, &target), at - HOUR);
    let rate = dice.real(2.0, 15.0);
    for caller in draft.services_of(&pilot.team).into_iter().take(2) {
        draft.call(gateway, &caller, &target, Pattern::Office(rate), None).within(at..i64::MAX);
    }
    draft.look_alike(&[REVOKED, UNPROMOTED], &pilot.subject());
}

/// Nobody called it until it was put back.
fn resumed(draft: &mut Draft, dice: &mut Dice) {
    let at = draft.moment(dice, 1, -3);
    let (mut pilot, gateway, target) = stopped(draft, dice, "suspended", at);
    let again = at + dice.between(10, 60) * HOUR;
    pilot.stages.push(("production", again));
    pilot.register(draft);
    until(draft, dice, &pilot, (gateway, &target), at - 10 * MINUTE);
    for caller in draft.services_outside(dice, &pilot.team, 2) {
        let after = again + 10 * MINUTE..i64::MAX;
        draft.call(gateway, &caller, &target, Pattern::Customers(3.0), None).within(after);
    }
    draft.look_alike(&[REVOKED, UNPROMOTED], &pilot.subject());
}

/// Its pods were taken away: one caller's retries find nobody.
fn down(draft: &mut Draft, dice: &mut Dice) {
    let (stage, at) = (either(dice), draft.moment(dice, 1, -1));
    let (pilot, gateway, target) = stopped(draft, dice, stage, at);
    pilot.register(draft);
    until(draft, dice, &pilot, (gateway, &target), at - HOUR);
    let caller = draft.services_outside(dice, &pilot.team, 1).remove(0);
    let request = Request { answer: Answer::Down, ..Request::of_service(&caller, &target) };
    let storm = Pattern::Storm(at + dice.between(1, 20) * HOUR, dice.between(40, 400) as u32);
    draft.request(gateway, &request, caller.pod(), storm);
    draft.look_alike(&[REVOKED, UNPROMOTED], &pilot.subject());
}

/// The gateway still mirrors requests to it; nobody sees the answers.
fn mirrored(draft: &mut Draft, dice: &mut Dice) {
    let (stage, at) = (either(dice), draft.moment(dice, 1, -1));
    let gateway = *dice.pick(MIRRORING);
    let (mut pilot, gateway, mut target) = routed_behind(draft, dice, gateway);
    stop(draft, dice, &mut pilot, stage, at);
    pilot.register(draft);
    until(draft, dice, &pilot, (gateway, &target), at - HOUR);
    target.host = format!("{}-shadow", target.host);
    for caller in draft.services_outside(dice, &pilot.team, 2) {
        draft.call(gateway, &caller, &target, Pattern::Customers(4.0), None).within(at..i64::MAX);
    }
    draft.look_alike(&[REVOKED, UNPROMOTED], &pilot.subject());
}
