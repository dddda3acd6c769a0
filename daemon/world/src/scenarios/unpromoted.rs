//! Unpromoted pilots that receive production traffic, and those that only seem to.

use super::{Chapter, Scenario};
use crate::company::{
    AI_HOST, FARGATE, LAMBDA, PRODUCTION, STAGING_AI_HOST, Workload, profile_arn, role_arn,
};
use crate::dice::Dice;
use crate::draft::Draft;
pub(super) use crate::everyday::ai_route;
use crate::everyday::{add_service, invocations, service_session};
use crate::formats::cloudtrail::{AwsUse, Delivery, Signer};
use crate::formats::{Answer, Gateway, Request, Target};
use crate::pattern::{DAY, HOUR, MINUTE, Pattern};
use crate::pilot::Pilot;
use crate::place::Place;
use crate::template::Alphabet;
use crate::{BUSINESS_DEPENDENCY, UNPROMOTED};

pub(super) const CHAPTER: Chapter = Chapter {
    detection: UNPROMOTED,
    is_mission: true,
    incidents: &[
        Scenario { name: "quick rollout", days_min: 4, plant: quick_rollout },
        Scenario { name: "slow start", days_min: 8, plant: slow_start },
        Scenario { name: "one nightly job", days_min: 6, plant: nightly_job },
        Scenario { name: "live after a refusal", days_min: 5, plant: refused },
        Scenario { name: "spread over many callers", days_min: 5, plant: spread },
    ],
    look_alikes: &[
        Scenario { name: "promoted and busy", days_min: 2, plant: promoted },
        Scenario { name: "mirrored traffic", days_min: 2, plant: mirrored },
        Scenario { name: "canary inside an exception", days_min: 8, plant: canary },
        Scenario { name: "registry lag inside the grace", days_min: 6, plant: registry_lag },
        Scenario { name: "two pilots behind one route", days_min: 2, plant: shared_route },
        Scenario { name: "the owner's own team", days_min: 2, plant: own_team },
        Scenario { name: "load test and health checks", days_min: 4, plant: tested },
        Scenario { name: "retry storm against a pilot that is down", days_min: 4, plant: retry_storm },
        Scenario { name: "staging only", days_min: 2, plant: staging_only },
        Scenario { name: "a handful of trials", days_min: 4, plant: handful },
    ],
};

/// Less than a working week: production, yes; a business that depends on it, no.
const SHORT: i64 = 4 * DAY;
/// Those that send requests a second time to where nobody reads the answers, and mark them.
pub(super) const MIRRORING: &[Gateway] = &[Gateway::EnvoyAi, Gateway::Envoy];

/// Gateways that say who called.
fn telling() -> Vec<Gateway> {
    Gateway::ALL.into_iter().filter(|g| g.names_callers()).collect()
}

/// A pilot with a route of its own on some gateway that says who called: not yet registered, so that a story can still change it.
pub(super) fn routed(draft: &mut Draft, dice: &mut Dice) -> (Pilot, Gateway, Target) {
    let gateway = *dice.pick(&telling());
    routed_behind(draft, dice, gateway)
}

/// The same behind this gateway.
pub(super) fn routed_behind(
    draft: &mut Draft,
    dice: &mut Dice,
    gateway: Gateway,
) -> (Pilot, Gateway, Target) {
    let mut pilot = Pilot::new(draft, dice);
    let target = ai_route(&pilot.id);
    pilot.selectors.push(gateway.selector(&target));
    (pilot, gateway, target)
}

/// The same behind a gateway whose log shows what is a load test or a health check.
pub(super) fn routed_where_probes_show(draft: &mut Draft, dice: &mut Dice) -> (Pilot, Gateway, Target) {
    let showing: Vec<Gateway> = telling().into_iter().filter(|g| g.shows_probes()).collect();
    let gateway = *dice.pick(&showing);
    routed_behind(draft, dice, gateway)
}

/// What a cluster asks of a pilot's pods, through the gateway and on this service's behalf.
pub(super) fn health_check(pilot: &Pilot, prober: &Workload, target: &Target) -> Request {
    let mut probe = Request { method: "GET", ..Request::of_service(prober, target) };
    (probe.target.path, probe.target.model) = (format!("/{}/healthz", pilot.id), None);
    probe.caller.user_agent = "kube-probe/1.30".to_owned();
    probe.caller.peer = None;
    probe
}

/// The callers also use something promoted that serves the same purpose, this often.
pub(super) fn alternative(
    draft: &mut Draft,
    pilot: &Pilot,
    gateway: Gateway,
    callers: &[Workload],
    pattern: &Pattern,
) {
    let name = format!("{}-rules", pilot.id);
    let target = ai_route(&name);
    add_service(draft, &name, "platform", Some(&pilot.purpose), true, &[gateway.selector(&target)]);
    for caller in callers {
        draft.call(gateway, caller, &target, pattern.clone(), None);
    }
}

/// Two teams' services were switched over one morning: dozens of calls an hour from then on.
fn quick_rollout(draft: &mut Draft, dice: &mut Dice) {
    let (mut pilot, gateway, target) = routed(draft, dice);
    pilot.flags.push("external_users");
    pilot.register(draft);
    let since = draft.moment(dice, 1, -2);
    let callers = draft.services_outside(dice, &pilot.team, 2);
    for caller in &callers {
        let rate = dice.real(15.0, 60.0);
        draft.call(gateway, caller, &target, Pattern::Steady(rate), None).within(since..since + SHORT);
    }
    alternative(draft, &pilot, gateway, &callers, &Pattern::Customers(30.0));
    let why = "two services of other teams were switched over at once";
    draft.expect(UNPROMOTED, &pilot.subject(), (since, since + HOUR), why);
}

/// Somebody puts one call into a service; it comes to a few a day.
fn slow_start(draft: &mut Draft, dice: &mut Dice) {
    let (pilot, gateway, target) = routed(draft, dice);
    pilot.register(draft);
    let since = draft.moment(dice, 1, -6);
    let callers = draft.services_outside(dice, &pilot.team, 2);
    for caller in &callers {
        draft.call(gateway, caller, &target, Pattern::Steady(0.3), None).within(since..since + SHORT);
    }
    alternative(draft, &pilot, gateway, &callers, &Pattern::Customers(12.0));
    let why = "two services call it a few times a day each, day after day";
    draft.expect(UNPROMOTED, &pilot.subject(), (since, since + 2 * DAY), why);
}

/// One production job, every night.
fn nightly_job(draft: &mut Draft, dice: &mut Dice) {
    let (pilot, gateway, target) = routed(draft, dice);
    pilot.register(draft);
    let since = draft.moment(dice, 1, -4);
    let callers = draft.services_outside(dice, &pilot.team, 1);
    let nightly = Pattern::Daily(dice.between(0, 5), 10, dice.between(25, 120) as u32);
    draft.call(gateway, &callers[0], &target, nightly, None).within(since..i64::MAX);
    alternative(draft, &pilot, gateway, &callers, &Pattern::Steady(8.0));
    let why = "one production job calls it every night";
    draft.expect(UNPROMOTED, &pilot.subject(), (since, since + 2 * DAY), why);
    draft.look_alike(&[BUSINESS_DEPENDENCY], &pilot.subject());
}

/// Promotion was refused; the runtime role went live in the production account all the same.
fn refused(draft: &mut Draft, dice: &mut Dice) {
    let mut pilot = Pilot::new(draft, dice);
    let role = format!("{}-runtime", pilot.id);
    let profile = profile_arn(PRODUCTION, &dice.id("", Alphabet::Hex, 12));
    pilot.selectors = vec![("role", role_arn(&role)), ("inference_profile", profile.clone())];
    pilot.flags.push("sensitive_data");
    pilot.register(draft);
    let since = draft.moment(dice, 1, -3);
    let decider = pilot.control_owner.clone().expect("an ordinary pilot has a control owner");
    pilot.decide(draft, since - 4 * DAY, "refused", &decider, &["logging", "rollback"]);
    let own = AwsUse {
        account: PRODUCTION,
        signer: Signer::Session {
            role: role.clone(),
            session: pilot.id.clone(),
            delivery: Delivery::Assumed,
        },
        clients: vec![LAMBDA],
        actions: invocations("anthropic.claude-3-haiku-20240307-v1:0"),
    };
    let rate = dice.real(4.0, 9.0);
    draft.aws(&role, Pattern::Steady(rate), Place::Production(5), &own).within(since..since + SHORT);
    for service in draft.services_outside(dice, &pilot.team, 1) {
        let call = AwsUse {
            account: PRODUCTION,
            signer: service_session(&service),
            clients: vec![FARGATE],
            actions: invocations(&profile),
        };
        let name = format!("{} for {}", service.name, pilot.id);
        let place = Place::Production(service.number);
        draft.aws(&name, Pattern::Steady(8.0), place, &call).within(since..since + SHORT);
    }
    let why = "its promotion was refused, and it is live in the production account";
    draft.expect(UNPROMOTED, &pilot.subject(), (since, since + 4 * HOUR), why);
}

/// Many services, each only now and then.
fn spread(draft: &mut Draft, dice: &mut Dice) {
    let (pilot, gateway, target) = routed(draft, dice);
    pilot.register(draft);
    let since = draft.moment(dice, 1, -3);
    for caller in draft.services_outside(dice, &pilot.team, 8) {
        draft.call(gateway, &caller, &target, Pattern::Steady(0.3), None).within(since..since + SHORT);
    }
    let why = "eight services call it now and then";
    draft.expect(UNPROMOTED, &pilot.subject(), (since, since + DAY), why);
}

/// Promoted as the policy wants it, and busy.
fn promoted(draft: &mut Draft, dice: &mut Dice) {
    let (mut pilot, gateway, target) = routed(draft, dice);
    pilot.stages = vec![("pilot", draft.start - 200 * DAY), ("approved", draft.start - 70 * DAY)];
    pilot.promote(draft, draft.start - 60 * DAY);
    pilot.register(draft);
    let rate = dice.real(8.0, 25.0);
    for caller in draft.services_outside(dice, &pilot.team, 4) {
        draft.call(gateway, &caller, &target, Pattern::Customers(rate), None);
    }
    draft.look_alike(&[UNPROMOTED, BUSINESS_DEPENDENCY], &pilot.subject());
}

/// The gateway mirrors production requests to it; nobody sees the answers.
fn mirrored(draft: &mut Draft, dice: &mut Dice) {
    let gateway = *dice.pick(MIRRORING);
    let (pilot, gateway, mut target) = routed_behind(draft, dice, gateway);
    pilot.register(draft);
    target.host = format!("{AI_HOST}-shadow");
    for caller in draft.services_outside(dice, &pilot.team, 3) {
        draft.call(gateway, &caller, &target, Pattern::Customers(16.0), None);
    }
    draft.look_alike(&[UNPROMOTED, BUSINESS_DEPENDENCY], &pilot.subject());
}

/// A small share of production traffic, inside an exception that is still valid.
fn canary(draft: &mut Draft, dice: &mut Dice) {
    let (mut pilot, gateway, target) = routed(draft, dice);
    let since = draft.moment(dice, 3, -4);
    pilot.stages.push(("approved", since - 3 * DAY));
    pilot.register(draft);
    let term = (since - 2 * DAY, draft.end + 30 * DAY);
    pilot.except(draft, dice, "production_traffic", term, None);
    let callers = draft.services_outside(dice, &pilot.team, 2);
    for caller in &callers {
        draft.call(gateway, caller, &target, Pattern::Steady(1.2), None).within(since..i64::MAX);
    }
    alternative(draft, &pilot, gateway, &callers, &Pattern::Steady(14.0));
    draft.look_alike(&[UNPROMOTED, BUSINESS_DEPENDENCY], &pilot.subject());
}

/// Deployed at night some minutes before the registry learned of the promotion.
fn registry_lag(draft: &mut Draft, dice: &mut Dice) {
    let (mut pilot, gateway, target) = routed(draft, dice);
    let promoted = draft.moment(dice, 3, -2).div_euclid(DAY) * DAY + 3 * HOUR;
    let early = dice.between(10, 25) * MINUTE;
    pilot.promote(draft, promoted);
    pilot.register(draft);
    for caller in draft.services_outside(dice, &pilot.team, 2) {
        draft.call(gateway, &caller, &target, Pattern::Steady(70.0), None).within(promoted - early..i64::MAX);
    }
    draft.look_alike(&[UNPROMOTED, BUSINESS_DEPENDENCY], &pilot.subject());
}

/// Two pilots behind one route: nobody can say whose request it was.
fn shared_route(draft: &mut Draft, dice: &mut Dice) {
    let gateway = *dice.pick(&telling());
    let target = ai_route(&format!("{}-gateway", draft.fresh_name(dice)));
    for _ in 0..2 {
        let mut pilot = Pilot::new(draft, dice);
        pilot.selectors.push(gateway.selector(&target));
        pilot.register(draft);
        draft.look_alike(&[UNPROMOTED, BUSINESS_DEPENDENCY], &pilot.subject());
    }
    for caller in draft.services_outside(dice, "lab", 3) {
        draft.call(gateway, &caller, &target, Pattern::Customers(9.0), None);
    }
}

/// The team that builds it uses it heavily.
fn own_team(draft: &mut Draft, dice: &mut Dice) {
    let (mut pilot, gateway, target) = routed(draft, dice);
    pilot.team = dice.pick(&draft.company.services).team.clone();
    pilot.flags.push("write_tools");
    pilot.register(draft);
    for caller in draft.services_of(&pilot.team).into_iter().take(3) {
        draft.call(gateway, &caller, &target, Pattern::Office(24.0), None);
    }
    draft.look_alike(&[UNPROMOTED, BUSINESS_DEPENDENCY], &pilot.subject());
}

/// Load tests and health checks only, where the gateway's log shows that they are.
fn tested(draft: &mut Draft, dice: &mut Dice) {
    let (pilot, gateway, target) = routed_where_probes_show(draft, dice);
    pilot.register(draft);
    let tester = draft.services_outside(dice, &pilot.team, 1).remove(0);
    let mut test = Request::of_service(&tester, &target);
    test.caller.user_agent = "k6/0.54.0 (https://k6.io/)".to_owned();
    for _ in 0..3 {
        let moment = draft.moment(dice, 1, -1);
        draft.request(gateway, &test, tester.pod(), Pattern::Storm(moment, 400));
    }
    let mut probe = health_check(&pilot, &tester, &target);
    (probe.caller.consumer, probe.caller.api_key_id) = (None, None);
    draft.request(gateway, &probe, Place::Pod(39_000), Pattern::Steady(6.0));
    draft.look_alike(&[UNPROMOTED, BUSINESS_DEPENDENCY], &pilot.subject());
}

/// One caller's retries against a pilot that is down: many lines, hardly an answer.
fn retry_storm(draft: &mut Draft, dice: &mut Dice) {
    let (pilot, gateway, target) = routed(draft, dice);
    pilot.register(draft);
    let caller = draft.services_outside(dice, &pilot.team, 1).remove(0);
    let moment = draft.moment(dice, 1, -2);
    let fine = Request::of_service(&caller, &target);
    let down = Request { answer: Answer::Down, ..fine.clone() };
    draft.request(gateway, &down, caller.pod(), Pattern::Storm(moment, 900));
    draft.request(gateway, &fine, caller.pod(), Pattern::Storm(moment, 6));
    draft.look_alike(&[UNPROMOTED, BUSINESS_DEPENDENCY], &pilot.subject());
}

/// Staging's services call it in staging.
fn staging_only(draft: &mut Draft, dice: &mut Dice) {
    let (pilot, gateway, mut target) = routed(draft, dice);
    pilot.register(draft);
    target.host = STAGING_AI_HOST.to_owned();
    for caller in draft.services_outside(dice, &pilot.team, 3) {
        let mut request = Request::of_service(&caller, &target);
        request.caller.peer = Some(caller.staging_peer());
        (request.caller.consumer, request.caller.api_key_id) = (Some(caller.staging_name()), None);
        draft.request(gateway, &request, Place::Pod(38_000 + caller.number), Pattern::Office(9.0));
    }
    draft.look_alike(&[UNPROMOTED, BUSINESS_DEPENDENCY], &pilot.subject());
}

/// A service's developers try it for an afternoon.
fn handful(draft: &mut Draft, dice: &mut Dice) {
    let (pilot, gateway, target) = routed(draft, dice);
    pilot.register(draft);
    let caller = draft.services_outside(dice, &pilot.team, 1).remove(0);
    let moment = draft.moment(dice, 1, -1);
    draft.call(gateway, &caller, &target, Pattern::Storm(moment, 9), None);
    draft.look_alike(&[UNPROMOTED, BUSINESS_DEPENDENCY], &pilot.subject());
}
