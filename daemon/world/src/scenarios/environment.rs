//! Pilots of which two sources say different things about production, and those of which they do not.
//!
//! Amazon API Gateway names its stage in each line (docs.aws.amazon.com, "Variables for access logging"), Apigee its
//! environment (cloud.google.com, "Analytics metrics, dimensions, and filters reference").

use serde_json::{Value, json};

use super::{Chapter, Scenario};
use crate::company::{AI_HOST, API_HOST, STAGING_AI_HOST, Workload};
use crate::dice::Dice;
use crate::draft::Draft;
use crate::pattern::{DAY, HOUR, Pattern};
use crate::pilot::Pilot;
use crate::template::{Alphabet, Form, Mix, blank};
use crate::topics::Topic;
use crate::{CONTRADICTORY, UNPROMOTED};

pub(super) const CHAPTER: Chapter = Chapter {
    detection: CONTRADICTORY,
    is_mission: false,
    incidents: &[
        Scenario { name: "promoted behind a stage for tests", days_min: 4, plant: promoted },
        Scenario { name: "a trial on the production host", days_min: 4, plant: trial },
        Scenario { name: "a canary behind a stage for tests", days_min: 4, plant: canary },
    ],
    look_alikes: &[
        Scenario { name: "a stage for production", days_min: 2, plant: named_production },
        Scenario { name: "a stage that says nothing", days_min: 2, plant: neutral },
        Scenario { name: "a stage for tests on the host for tests", days_min: 2, plant: tests_on_tests },
        Scenario { name: "a load test before the release", days_min: 3, plant: load_test },
        Scenario { name: "a rehearsal", days_min: 3, plant: rehearsal },
    ],
};

/// Words of teams for what is not production.
const TESTS: &[&str] = &["test", "staging", "uat", "dev", "qa", "Stage"];

/// A gateway that says in which environment it is.
#[derive(Clone, Copy)]
enum Teller {
    AwsApi,
    Apigee,
}

/// A pilot behind such a gateway; not yet registered.
struct Told {
    pilot: Pilot,
    teller: Teller,
    route: String,
}

fn told(draft: &mut Draft, dice: &mut Dice) -> Told {
    let mut pilot = Pilot::new(draft, dice);
    let teller = *dice.pick(&[Teller::AwsApi, Teller::Apigee]);
    let route = match teller {
        Teller::AwsApi => format!("/{}/answers", pilot.id),
        Teller::Apigee => format!("{}-proxy", pilot.id),
    };
    pilot.selectors.push(("route", route.clone()));
    Told { pilot, teller, route }
}

impl Told {
    /// A service calls it, from then to then.
    fn call(
        &self,
        draft: &mut Draft,
        (caller, client): (&Workload, &str),
        (host, word): (&str, &str),
        pattern: Pattern,
        (from, to): (i64, i64),
    ) {
        let (topic, line) = match self.teller {
            Teller::AwsApi => (Topic::AwsGateway, self.aws_line(caller, client, host, word)),
            Teller::Apigee => (Topic::Apigee, self.apigee_line(caller, client, host, word)),
        };
        let name = format!("{} > {} {word}", caller.name, self.route);
        let mix = Mix::of(&line);
        draft.stream(&name, &caller.name, topic, pattern, caller.pod(), mix).within(from..to);
    }

    fn aws_line(&self, caller: &Workload, client: &str, host: &str, word: &str) -> Value {
        json!({
            "requestTime": blank::time(Form::Common),
            "requestTimeEpoch": blank::time(Form::EpochMillis),
            "requestId": blank::uuid(),
            "extendedRequestId": format!("{}=", blank::letters(Alphabet::Mixed, 15)),
            "httpMethod": "POST",
            "resourcePath": self.route,
            "path": format!("/{word}{}", self.route),
            "stage": word,
            "domainName": host,
            "apiId": Dice::of(31, &self.pilot.id, 0).id("", Alphabet::Hex, 10),
            "status": "200",
            "protocol": "HTTP/1.1",
            "responseLength": blank::number(200, 9_000),
            "responseLatency": blank::number(200, 4_000),
            "identity": {
                "sourceIp": blank::address(),
                "userAgent": client,
                "apiKeyId": caller.api_key_id(),
                "caller": "-",
                "userArn": "-",
            },
        })
    }

    fn apigee_line(&self, caller: &Workload, client: &str, host: &str, word: &str) -> Value {
        json!({
            "client_received_start_timestamp": blank::time(Form::EpochMillis),
            "gateway_flow_id": blank::uuid(),
            "organization": "halden",
            "environment": word,
            "apiproxy": self.route,
            "api_product": format!("{}-product", self.pilot.id),
            "developer_app": caller.name,
            "client_id": caller.api_key_id(),
            "request_verb": "POST",
            "request_uri": format!("/{}/answers", self.pilot.id),
            "host": host,
            "ax_resolved_client_ip": blank::address(),
            "useragent": client,
            "response_status_code": 200,
            "total_response_time": blank::integer(200, 4_000),
        })
    }

    /// So many services of other teams call it steadily.
    fn serve(
        &self,
        draft: &mut Draft,
        dice: &mut Dice,
        (host, word): (&str, &str),
        rate: f64,
        (from, to): (i64, i64),
    ) {
        for caller in draft.services_outside(dice, &self.pilot.team, 2) {
            let who = (&caller, "okhttp/4.12.0");
            self.call(draft, who, (host, word), Pattern::Steady(rate), (from, to));
        }
    }
}

/// Either production host.
fn production_host(dice: &mut Dice) -> &'static str {
    dice.pick::<&str>(&[AI_HOST, API_HOST])
}

/// One environment contradicts the map from `since` on.
fn contradicted(draft: &mut Draft, told: &Told, since: i64, why: &str) {
    draft.expect(CONTRADICTORY, &told.pilot.subject(), (since, since + 6 * HOUR), why);
    draft.look_alike(&[UNPROMOTED], &told.pilot.subject());
}

/// It went live as it was: behind the stage on which it was tried.
fn promoted(draft: &mut Draft, dice: &mut Dice) {
    let mut told = told(draft, dice);
    let since = draft.moment(dice, 1, -2);
    told.pilot.promote(draft, since - dice.between(2, 20) * HOUR);
    told.pilot.register(draft);
    let (host, word, rate) = (production_host(dice), dice_word(dice), dice.real(8.0, 20.0));
    told.serve(draft, dice, (host, word), rate, (since, i64::MAX));
    contradicted(draft, &told, since, "in production by host and promotion; its gateway calls it a test");
}

fn dice_word(dice: &mut Dice) -> &'static str {
    dice.pick::<&str>(TESTS)
}

/// Its own team tries it behind the production host.
fn trial(draft: &mut Draft, dice: &mut Dice) {
    let mut told = told(draft, dice);
    told.pilot.team = dice.pick(&draft.company.services).team.clone();
    told.pilot.register(draft);
    let since = draft.moment(dice, 1, -2);
    let (host, word, rate) = (production_host(dice), dice_word(dice), dice.real(15.0, 30.0));
    for caller in draft.services_of(&told.pilot.team).into_iter().take(2) {
        let who = (&caller, "axios/1.7.7");
        told.call(draft, who, (host, word), Pattern::Steady(rate), (since, i64::MAX));
    }
    contradicted(draft, &told, since, "its own team tries it on a host that the map calls production");
}

/// A share of production traffic, by an exception; its gateway calls that a test.
fn canary(draft: &mut Draft, dice: &mut Dice) {
    let told = told(draft, dice);
    let since = draft.moment(dice, 1, -2);
    let term = (since - dice.between(1, 9) * DAY, draft.end + dice.between(3, 30) * DAY);
    told.pilot.except(draft, dice, "production_traffic", term, None);
    told.pilot.register(draft);
    let (host, word, rate) = (production_host(dice), dice_word(dice), dice.real(8.0, 20.0));
    told.serve(draft, dice, (host, word), rate, (since, i64::MAX));
    contradicted(draft, &told, since, "excepted production traffic; its gateway calls it a test");
}

/// Both say production.
fn named_production(draft: &mut Draft, dice: &mut Dice) {
    agreed(draft, dice, &["prod", "production", "live"]);
}

/// The gateway's word says neither.
fn neutral(draft: &mut Draft, dice: &mut Dice) {
    agreed(draft, dice, &["v2", "blue", "default", "eu"]);
}

fn agreed(draft: &mut Draft, dice: &mut Dice, words: &[&'static str]) {
    let mut told = told(draft, dice);
    told.pilot.promote(draft, draft.start - dice.between(3, 60) * DAY);
    told.pilot.register(draft);
    let (host, word, rate) = (production_host(dice), *dice.pick(words), dice.real(1.0, 6.0));
    told.serve(draft, dice, (host, word), rate, (i64::MIN, i64::MAX));
    draft.look_alike(&[CONTRADICTORY, UNPROMOTED], &told.pilot.subject());
}

/// The map does not know that host, and the callers are those of staging: neither says production.
fn tests_on_tests(draft: &mut Draft, dice: &mut Dice) {
    let told = told(draft, dice);
    told.pilot.register(draft);
    let word = dice_word(dice);
    for mut caller in draft.services_outside(dice, &told.pilot.team, 2) {
        caller.name = format!("{}-stage", caller.name);
        caller.number += 38_000;
        let who = (&caller, "okhttp/4.12.0");
        let rate = dice.real(1.0, 6.0);
        told.call(draft, who, (STAGING_AI_HOST, word), Pattern::Steady(rate), (i64::MIN, i64::MAX));
    }
    draft.look_alike(&[CONTRADICTORY, UNPROMOTED], &told.pilot.subject());
}

/// A load test through the stage for tests, on the host that will be production's.
fn load_test(draft: &mut Draft, dice: &mut Dice) {
    let told = told(draft, dice);
    told.pilot.register(draft);
    let (host, word) = (production_host(dice), dice_word(dice));
    let tester = draft.services_outside(dice, &told.pilot.team, 1).remove(0);
    let storm = Pattern::Storm(draft.moment(dice, 1, -1), dice.between(100, 500) as u32);
    let who = (&tester, "k6/0.54.0 (https://k6.io/)");
    told.call(draft, who, (host, word), storm, (i64::MIN, i64::MAX));
    draft.look_alike(&[CONTRADICTORY, UNPROMOTED], &told.pilot.subject());
}

/// A handful of calls on the eve of the promotion.
fn rehearsal(draft: &mut Draft, dice: &mut Dice) {
    let mut told = told(draft, dice);
    let promoted_at = draft.moment(dice, 2, -1);
    told.pilot.promote(draft, promoted_at);
    told.pilot.register(draft);
    let (host, word) = (production_host(dice), dice_word(dice));
    let caller = draft.services_outside(dice, &told.pilot.team, 1).remove(0);
    let storm = Pattern::Storm(promoted_at - dice.between(2, 30) * HOUR, dice.between(3, 12) as u32);
    told.call(draft, (&caller, "axios/1.7.7"), (host, word), storm, (i64::MIN, i64::MAX));
    told.serve(draft, dice, (host, "prod"), 2.0, (promoted_at, i64::MAX));
    draft.look_alike(&[CONTRADICTORY, UNPROMOTED], &told.pilot.subject());
}
