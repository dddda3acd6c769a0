//! Workloads that call models and are in no registry, and calls that need no registration.

use super::credential::{Credential, job_name, machine, promoted_key, runtime};
use super::unpromoted::{ai_route, routed};
use super::{Chapter, Scenario};
use crate::company::{DOMAIN, FARGATE, PRODUCTION, SANDBOX, profile_arn};
use crate::dice::Dice;
use crate::draft::Draft;
use crate::everyday::{add_service, invocations, service_session};
use crate::formats::cloudtrail::{Action, AwsUse, Delivery};
use crate::formats::entra::{EntraUse, SignIn};
use crate::formats::{Answer, Caller, Gateway, Request, Target};
use crate::pattern::{DAY, HOUR, MINUTE, Pattern};
use crate::pilot::Pilot;
use crate::place::Place;
use crate::template::Alphabet;
use crate::{ExpectedSubject, UNREGISTERED};

pub(super) const CHAPTER: Chapter = Chapter {
    detection: UNREGISTERED,
    is_mission: false,
    incidents: &[
        Scenario { name: "a role that nobody listed", days_min: 3, plant: unlisted_role },
        Scenario { name: "a user's key in the racks", days_min: 3, plant: key_in_racks },
        Scenario { name: "a call on each of two days", days_min: 4, plant: two_days },
        Scenario { name: "a model route that is nobody's", days_min: 3, plant: through_gateway },
        Scenario { name: "heavy use in the sandbox", days_min: 3, plant: sandbox_user },
        Scenario { name: "a known service calls a model by itself", days_min: 3, plant: known_service },
    ],
    look_alikes: &[
        Scenario { name: "a few calls on one day", days_min: 3, plant: few_calls },
        Scenario { name: "a role that a selector names", days_min: 2, plant: selected_role },
        Scenario { name: "a registered profile invoked by a role", days_min: 2, plant: selected_profile },
        Scenario { name: "health checks of a model route", days_min: 2, plant: health_checks },
        Scenario { name: "people's chat in a registered tool", days_min: 2, plant: people_chat },
        Scenario { name: "an inventory that only lists models", days_min: 2, plant: inventory },
        Scenario { name: "refused and never answered", days_min: 2, plant: always_refused },
        Scenario { name: "a load test of a model route", days_min: 3, plant: load_test },
        Scenario { name: "a registered service answers", days_min: 2, plant: service_answers },
    ],
};

const HAIKU: &str = "anthropic.claude-3-haiku-20240307-v1:0";

/// When ten calls at so many an hour have been made.
fn after_ten(since: i64, rate: f64) -> i64 {
    since + (12.0 / rate * HOUR as f64) as i64
}

/// A role in the production account, in no registry, that runs in some cloud runtime.
fn unlisted(draft: &Draft, dice: &mut Dice) -> Credential {
    let name = job_name(draft, dice);
    Credential::session(PRODUCTION, &name, &name, Delivery::Assumed)
}

/// A function's or container's role, which nobody listed, invokes a model day and night.
fn unlisted_role(draft: &mut Draft, dice: &mut Dice) {
    let role = unlisted(draft, dice);
    let (client, place) = runtime(dice);
    let since = draft.moment(dice, 1, -1);
    let rate = dice.real(1.5, 12.0);
    let calls = role.calls(draft, (Pattern::Steady(rate), place), &[client], invocations(HAIKU));
    calls.within(since..i64::MAX);
    let why = "a role that nobody listed invokes a model day and night";
    draft.expect(UNREGISTERED, &role.caller(), (since, after_ten(since, rate)), why);
}

/// A program on a machine in the racks, with a user's long-lived key.
fn key_in_racks(draft: &mut Draft, dice: &mut Dice) {
    let key = Credential::of_job(draft, dice);
    let (client, place) = machine(dice);
    let since = draft.moment(dice, 1, -2);
    let hourly = Pattern::Hourly(dice.between(0, 59));
    key.calls(draft, (hourly, place), &[client], invocations(HAIKU)).within(since..i64::MAX);
    let why = "a program invokes a model every hour with a user's long-lived key";
    draft.expect(UNREGISTERED, &key.caller(), (since, since + 11 * HOUR), why);
}

/// One or two calls on one day, one or two on a later one, no more.
fn two_days(draft: &mut Draft, dice: &mut Dice) {
    let role = unlisted(draft, dice);
    let (client, place) = runtime(dice);
    let first = draft.moment(dice, 1, -2).div_euclid(DAY) * DAY;
    let second = first + dice.between(1, 8) * DAY;
    let hour = dice.between(1, 14) * HOUR;
    let mut moments = Vec::new();
    for day in [first, second] {
        let calls = dice.between(1, 3);
        moments.extend((0..calls).map(|n| day + hour + n * 17 * MINUTE));
    }
    let last = second + hour;
    let calls = Pattern::At(moments);
    role.calls(draft, (calls, place), &[client], invocations(HAIKU));
    let why = "a role that nobody listed invokes a model on two days";
    draft.expect(UNREGISTERED, &role.caller(), (first + hour, last + MINUTE), why);
}

/// A workload of the mesh that no service of the registry is, and the number of its pod.
fn unlisted_peer(draft: &Draft, dice: &mut Dice) -> (Caller, Place) {
    let name = job_name(draft, dice);
    let team = dice.pick(&draft.company.teams).clone();
    let peer = format!("spiffe://prod.{DOMAIN}/ns/{team}/sa/{name}");
    let caller = Caller {
        name,
        peer: Some(peer),
        consumer: None,
        api_key_id: None,
        bearer: None,
        user_agent: "python-httpx/0.27.2".to_owned(),
    };
    (caller, Place::Pod(dice.between(36_000, 39_000) as u32))
}

fn peer_of(caller: &Caller) -> ExpectedSubject {
    ExpectedSubject::Caller(caller.peer.clone().expect("made with a peer"))
}

/// A model route of the production gateway that no pilot and no service claims.
fn through_gateway(draft: &mut Draft, dice: &mut Dice) {
    let target = ai_route(&draft.fresh_name(dice));
    let (caller, pod) = unlisted_peer(draft, dice);
    let since = draft.moment(dice, 1, -1);
    let rate = dice.real(1.5, 12.0);
    let request = Request { caller, target, method: "POST", answer: Answer::Fine };
    let calls = draft.request(Gateway::EnvoyAi, &request, pod, Pattern::Steady(rate));
    calls.within(since..i64::MAX);
    let why = "a workload calls a model through a route that no selector attributes";
    draft.expect(UNREGISTERED, &peer_of(&request.caller), (since, after_ten(since, rate)), why);
}

/// A user of the sandbox account runs a program that invokes models all the time.
fn sandbox_user(draft: &mut Draft, dice: &mut Dice) {
    let name = job_name(draft, dice);
    let key = Credential::key(dice, SANDBOX, &name);
    let since = draft.moment(dice, 1, -1);
    let rate = dice.real(20.0, 45.0);
    let (client, place) = machine(dice);
    let busy = Pattern::Steady(rate);
    key.calls(draft, (busy, place), &[client], invocations(HAIKU)).within(since..i64::MAX);
    let why = "a user of the sandbox invokes models dozens of times an hour";
    draft.expect(UNREGISTERED, &key.caller(), (since, after_ten(since, rate)), why);
}

/// A service of the registry invokes a model on its own account, and no pilot is registered for that.
fn known_service(draft: &mut Draft, dice: &mut Dice) {
    let service = draft.services_outside(dice, "lab", 1).remove(0);
    let since = draft.moment(dice, 1, -1);
    let rate = dice.real(2.0, 12.0);
    if dice.chance(0.5) {
        let act = AwsUse {
            account: PRODUCTION,
            signer: service_session(&service),
            clients: vec![FARGATE],
            actions: invocations(HAIKU),
        };
        let name = format!("{} models", service.name);
        let place = Place::Production(service.number);
        draft.aws(&name, Pattern::Steady(rate), place, &act).within(since..i64::MAX);
    } else {
        let target = ai_route(&draft.fresh_name(dice));
        let calls = draft.call(Gateway::EnvoyAi, &service, &target, Pattern::Steady(rate), None);
        calls.within(since..i64::MAX);
    }
    let why = "a registered service invokes a model that no selector attributes to a pilot";
    let subject = ExpectedSubject::Caller(service.name);
    draft.expect(UNREGISTERED, &subject, (since, after_ten(since, rate)), why);
}

/// Somebody tries a model from a job, a handful of times within hours of one day.
fn few_calls(draft: &mut Draft, dice: &mut Dice) {
    let role = unlisted(draft, dice);
    let (client, place) = runtime(dice);
    let day = draft.moment(dice, 1, -1).div_euclid(DAY) * DAY;
    let first = day + dice.between(1, 12) * HOUR;
    let moments = (0..dice.between(2, 9)).map(|n| first + n * dice.between(3, 30) * MINUTE);
    let calls = Pattern::At(moments.collect());
    role.calls(draft, (calls, place), &[client], invocations(HAIKU));
    draft.look_alike(&[UNREGISTERED], &role.caller());
}

/// The key of a promoted pilot, which its selector names.
fn selected_role(draft: &mut Draft, dice: &mut Dice) {
    let key = promoted_key(draft, dice);
    let (client, place) = machine(dice);
    let busy = Pattern::Steady(dice.real(2.0, 12.0));
    key.calls(draft, (busy, place), &[client], invocations(HAIKU));
    draft.look_alike(&[UNREGISTERED], &key.caller());
}

/// A role that nobody listed invokes the inference profile of a pilot in the sandbox.
fn selected_profile(draft: &mut Draft, dice: &mut Dice) {
    let mut pilot = Pilot::new(draft, dice);
    let profile = profile_arn(SANDBOX, &dice.id("", Alphabet::Hex, 12));
    pilot.selectors.push(("inference_profile", profile.clone()));
    pilot.register(draft);
    let name = job_name(draft, dice);
    let role = Credential::session(SANDBOX, &name, &name, Delivery::Assumed);
    let (client, place) = runtime(dice);
    let busy = Pattern::Steady(dice.real(2.0, 12.0));
    role.calls(draft, (busy, place), &[client], invocations(&profile));
    draft.look_alike(&[UNREGISTERED], &role.caller());
}

/// The gateway asks its models for a word now and then, to know that they live.
fn health_checks(draft: &mut Draft, dice: &mut Dice) {
    let target = ai_route(&draft.fresh_name(dice));
    let (mut caller, pod) = unlisted_peer(draft, dice);
    caller.user_agent = (*dice.pick(&["Envoy/HC", "kube-probe/1.30", "Blackbox Exporter/0.25.0"])).to_owned();
    let probe = Request { caller, target, method: "POST", answer: Answer::Fine };
    let pattern = Pattern::Every(dice.between(5, 30));
    draft.request(Gateway::EnvoyAi, &probe, pod, pattern);
    draft.look_alike(&[UNREGISTERED], &peer_of(&probe.caller));
}

/// People chat with a promoted tool, each with a sign-in of their own.
fn people_chat(draft: &mut Draft, dice: &mut Dice) {
    let (mut pilot, gateway, target) = routed(draft, dice);
    pilot.stages = vec![("pilot", draft.start - 200 * DAY), ("approved", draft.start - 70 * DAY)];
    pilot.promote(draft, draft.start - 60 * DAY);
    pilot.register(draft);
    let count = dice.between(3, 12) as usize;
    for person in draft.people(dice, count) {
        let id = dice.uuid();
        let sign_in = EntraUse {
            id: id.clone(),
            name: format!("{}-{}@{DOMAIN}", person.id, dice.between(10, 99)),
            sign_in: SignIn::Granting { application: false },
            application: "Halden Chat",
            user_agent: person.browser(),
        };
        let name = format!("{} chat {}", person.id, pilot.id);
        let hours = vec![9, 11, 14, 16];
        let signing_in = Pattern::Appointments(hours.iter().map(|hour| hour - 1).collect(), 1);
        draft.entra(&name, signing_in, person.laptop(), &sign_in).by(&person.clock);
        let caller = Caller {
            name,
            peer: None,
            consumer: None,
            api_key_id: None,
            bearer: Some(id.clone()),
            user_agent: person.browser().to_owned(),
        };
        let request = Request { caller, target: target.clone(), method: "POST", answer: Answer::Fine };
        let chat = Pattern::Appointments(hours, dice.between(3, 12) as u32);
        draft.request(gateway, &request, person.laptop(), chat).by(&person.clock);
        draft.look_alike(&[UNREGISTERED], &ExpectedSubject::Caller(id));
    }
}

/// Every morning somebody's tool writes down which models there are and how they are set up.
fn inventory(draft: &mut Draft, dice: &mut Dice) {
    let role = unlisted(draft, dice);
    let (client, place) = machine(dice);
    let read = |name| Action::new("bedrock.amazonaws.com", name, true, serde_json::json!(null));
    let actions = vec![
        read("ListFoundationModels"),
        read("ListCustomModels"),
        read("ListGuardrails"),
        read("GetModelInvocationLoggingConfiguration"),
    ];
    let daily = Pattern::Daily(dice.between(0, 23), 20, dice.between(10, 60) as u32);
    role.calls(draft, (daily, place), &[client], actions);
    draft.look_alike(&[UNREGISTERED], &role.caller());
}

/// A program that may not invoke anything, and tries every hour.
fn always_refused(draft: &mut Draft, dice: &mut Dice) {
    let role = unlisted(draft, dice);
    let refused = invocations(HAIKU).into_iter().map(|a| a.refused("AccessDeniedException")).collect();
    let (client, place) = runtime(dice);
    role.calls(draft, (Pattern::Hourly(dice.between(0, 59)), place), &[client], refused);
    draft.look_alike(&[UNREGISTERED], &role.caller());
}

/// A model route is put under load for an hour.
fn load_test(draft: &mut Draft, dice: &mut Dice) {
    let target = ai_route(&draft.fresh_name(dice));
    let (mut caller, pod) = unlisted_peer(draft, dice);
    caller.user_agent = (*dice.pick(&["k6/0.54.0 (https://k6.io/)", "locust/2.31.8"])).to_owned();
    let test = Request { caller, target, method: "POST", answer: Answer::Fine };
    let begin = draft.moment(dice, 1, -1);
    for part in 0..3 {
        let storm = Pattern::Storm(begin + part * 20 * MINUTE, dice.between(100, 600) as u32);
        draft.request(Gateway::EnvoyAi, &test, pod, storm);
    }
    draft.look_alike(&[UNREGISTERED], &peer_of(&test.caller));
}

/// A workload that nobody listed calls a service of the registry whose answers a model writes.
fn service_answers(draft: &mut Draft, dice: &mut Dice) {
    let name = draft.fresh_name(dice);
    let target: Target = ai_route(&name);
    let gateway = Gateway::EnvoyAi;
    add_service(draft, &name, "platform", Some(&format!("{name}-work")), true, &[gateway.selector(&target)]);
    let (caller, pod) = unlisted_peer(draft, dice);
    let request = Request { caller, target, method: "POST", answer: Answer::Fine };
    draft.request(gateway, &request, pod, Pattern::Customers(dice.real(3.0, 30.0)));
    draft.look_alike(&[UNREGISTERED], &peer_of(&request.caller));
}
