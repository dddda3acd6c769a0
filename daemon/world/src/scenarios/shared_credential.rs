//! One credential in the hands of people and of workloads, and what only looks like that.

use super::credential::{
    Credential, EVER, colleagues, job_name, learned, machine, round_the_clock, runtime, third_day, visits,
};
use super::{Chapter, Scenario};
use crate::company::{
    AZURE_IDENTITY, BOTO3, BROWSER_WINDOWS, CI, CLI_LINUX, CLOUD_SHELL, FARGATE, PRODUCTION, PYTHON, Person,
    TERRAFORM, TOOLING,
};
use crate::dice::Dice;
use crate::draft::Draft;
use crate::everyday::api_target;
use crate::formats::cloudtrail::Delivery;
use crate::formats::entra::{EntraUse, SignIn};
use crate::formats::okta::{OktaAccess, OktaUse};
use crate::formats::{Answer, Caller, Gateway, Request};
use crate::governance::text;
use crate::pattern::{DAY, HOUR, MINUTE, Pattern};
use crate::place::Place;
use crate::template::Alphabet;
use crate::{ExpectedSubject, SHARED_CREDENTIAL};

pub(super) const CHAPTER: Chapter = Chapter {
    detection: SHARED_CREDENTIAL,
    is_mission: true,
    incidents: &[
        Scenario { name: "a job's key in browsers and shells", days_min: 15, plant: key_on_laptops },
        Scenario { name: "a job's key looked at every other day", days_min: 15, plant: key_now_and_then },
        Scenario { name: "a desk's user with a script", days_min: 12, plant: password_in_script },
        Scenario { name: "one session name for container and console", days_min: 15, plant: fixed_session },
        Scenario { name: "a person's access token in a pipeline", days_min: 15, plant: token_in_pipeline },
        Scenario { name: "an integration's user that people sign in to", days_min: 12, plant: okta_user },
        Scenario { name: "a key handed round among people", days_min: 15, plant: handed_round },
        Scenario {
            name: "an instance's session pasted into a console",
            days_min: 15,
            plant: instance_session,
        },
    ],
    look_alikes: &[
        Scenario { name: "break-glass on one day", days_min: 12, plant: break_glass },
        Scenario { name: "people running builds as themselves", days_min: 9, plant: running_builds },
        Scenario { name: "sessions of different people", days_min: 9, plant: different_people },
        Scenario { name: "one role, two session names", days_min: 9, plant: same_role },
        Scenario { name: "people and a job behind one address", days_min: 9, plant: one_address },
        Scenario { name: "first week of a key", days_min: 9, plant: first_week },
        Scenario { name: "rotation and redeploy of a key", days_min: 12, plant: rotation },
        Scenario { name: "neutral tools everywhere", days_min: 9, plant: neutral },
        Scenario { name: "declared as shared", days_min: 9, plant: declared },
        Scenario { name: "application that acts for a person", days_min: 9, plant: acting_application },
        Scenario { name: "an administrator and the token she made", days_min: 9, plant: own_token },
        Scenario { name: "phones that refresh at night", days_min: 9, plant: refreshing },
    ],
};

/// What build runners call themselves.
const RUNNERS: &[&str] =
    &["gitlab-runner 17.4.0 (17-4-stable; go1.22.7; linux/amd64)", "GitHub-Actions/2.319.1"];

/// In that half of the day, which hour.
fn morning(dice: &mut Dice) -> i64 {
    dice.between(8, 12)
}

fn afternoon(dice: &mut Dice) -> i64 {
    dice.between(13, 17)
}

/// Analysts take a job's key to their browsers, and one of them to the cloud's own shell.
fn key_on_laptops(draft: &mut Draft, dice: &mut Dice) {
    let key = Credential::of_job(draft, dice);
    key.works(draft, dice);
    let since = draft.moment(dice, 3, -6);
    let count = dice.between(1, 4) as usize;
    let people = colleagues(draft, dice, count);
    let (early, late) = (morning(dice), afternoon(dice));
    for person in &people {
        let sittings = Pattern::Appointments(vec![early, late], dice.between(2, 8) as u32);
        let browser = key.stores(draft, (sittings, person.laptop()), &[person.browser()]);
        browser.by(&person.clock).within(since..i64::MAX);
        let typed = Pattern::Sittings(0.2, 5);
        let laptop = key.stores(draft, (typed, person.laptop()), &[person.command_line()]);
        laptop.by(&person.clock).within(since..i64::MAX);
    }
    let shell = (Pattern::Appointments(vec![late], 4), Place::Stranger(dice.between(0, 30) as u32));
    key.stores(draft, shell, &[CLOUD_SHELL]).by(&people[0].clock).within(since..i64::MAX);
    let why = "a job's static key in browsers and shells, every working day";
    let from = third_day(draft, &people[0].clock, since, early);
    draft.expect(SHARED_CREDENTIAL, &key.subject(), (since, from), why);
}

/// One analyst looks into a job's bucket with the job's key, a few clicks every day or two.
fn key_now_and_then(draft: &mut Draft, dice: &mut Dice) {
    let key = Credential::of_job(draft, dice);
    let (client, place) = runtime(dice);
    let nightly = Pattern::Daily(dice.between(0, 6), dice.between(0, 40), dice.between(4, 30) as u32);
    let nightly = if dice.chance(0.5) { nightly } else { Pattern::Steady(dice.real(0.2, 0.6)) };
    key.stores(draft, (nightly, place), &[client]);
    let since = draft.moment(dice, 2, -10);
    let person = draft.anybody(dice);
    let starts = visits(draft, dice, &person.clock, since, 1..3);
    let moments = starts.iter().flat_map(|at| {
        let more = dice.between(0, 3);
        (0..=more).map(|n| at + n * 90 * 1_000_000).collect::<Vec<i64>>()
    });
    let looks = Pattern::At(moments.collect());
    key.stores(draft, (looks, person.laptop()), &[person.browser()]);
    let why = "a job's static key, in one person's browser every day or two";
    let third = starts.iter().filter(|at| **at >= learned(draft)).nth(2).expect("visits never end");
    draft.expect(SHARED_CREDENTIAL, &key.subject(), (starts[0], third + MINUTE), why);
}

/// A mailbox user that a desk's people sign in to and a script sends the password of.
fn password_in_script(draft: &mut Draft, dice: &mut Dice) {
    let name = format!("{}-desk", job_name(draft, dice));
    let script = EntraUse {
        id: dice.uuid(),
        name: format!("{name}@halden.example"),
        sign_in: SignIn::Password,
        application: "Dispatch Report Loader",
        user_agent: AZURE_IDENTITY,
    };
    let (_, place) = machine(dice);
    draft.entra(&name, Pattern::Steady(dice.real(1.5, 4.0)), place, &script);
    let desk = colleagues(draft, dice, 1).remove(0);
    let since = if dice.chance(0.5) { draft.start } else { draft.moment(dice, 1, -6) };
    let people = EntraUse {
        sign_in: SignIn::Interactive,
        application: "Office 365 Exchange Online",
        user_agent: BROWSER_WINDOWS,
        ..script
    };
    let (early, late) = (morning(dice), afternoon(dice));
    let sittings = Pattern::Appointments(vec![early, late], dice.between(1, 4) as u32);
    let signing_in = draft.entra(&format!("{name} people"), sittings, Place::Office(desk.site), &people);
    signing_in.by(&desk.clock).within(since..i64::MAX);
    let why = "a desk's user that people sign in to and a script has the password of";
    let from = third_day(draft, &desk.clock, since, early);
    draft.expect(SHARED_CREDENTIAL, &user_object(&people.id), (since, from), why);
}

fn user_object(id: &str) -> ExpectedSubject {
    ExpectedSubject::Credential { kind: "user_object".to_owned(), secret: id.to_owned() }
}

/// One fixed session name for a container and for people in the console.
fn fixed_session(draft: &mut Draft, dice: &mut Dice) {
    let role = job_name(draft, dice);
    let name = *dice.pick(&["exports", "operations", "admin", "session", "batch"]);
    let container = Credential::session(PRODUCTION, &role, name, Delivery::Assumed);
    container.works(draft, dice);
    let since = draft.moment(dice, 2, -6);
    let console = Credential::session(PRODUCTION, &role, name, Delivery::Person { console: true });
    let hour = dice.between(8, 17);
    let count = dice.between(1, 4) as usize;
    let people = colleagues(draft, dice, count);
    for person in &people {
        let sittings = Pattern::Appointments(vec![hour], dice.between(1, 6) as u32);
        let looking = console.stores(draft, (sittings, person.laptop()), &[person.browser()]);
        looking.by(&person.clock).within(since..i64::MAX);
    }
    let why = "one session name for a container and, once a day, for people in the console";
    let from = third_day(draft, &people[0].clock, since, hour);
    draft.expect(SHARED_CREDENTIAL, &console.subject(), (since, from), why);
}

/// Somebody whose access token is used by builds: what the sign-in log and the gateway see of it.
struct HandedOn {
    person: EntraUse,
    owner: Person,
    /// Hours of the owner's clock; builds run in the hours that follow.
    hours: Vec<i64>,
}

/// A person signs in for a token, and builds present it in the next hour.
fn hand_on(draft: &mut Draft, dice: &mut Dice, application: bool, since: i64) -> HandedOn {
    let owner = draft.anybody(dice);
    let name = format!("{}-lead", job_name(draft, dice));
    let person = EntraUse {
        id: dice.uuid(),
        name: format!("{name}@halden.example"),
        sign_in: SignIn::Granting { application },
        application: "Halden Planner",
        user_agent: owner.browser(),
    };
    let hours = vec![morning(dice), afternoon(dice)];
    let caller = Caller {
        name: format!("{name} builds"),
        peer: None,
        consumer: None,
        api_key_id: None,
        bearer: Some(person.id.clone()),
        user_agent: (*dice.pick(RUNNERS)).to_owned(),
    };
    let target = api_target(dice.pick(&draft.company.services));
    let request = Request { caller, target, method: "POST", answer: Answer::Fine };
    let place = owner.laptop();
    draft.entra(&name, Pattern::Appointments(hours.clone(), 1), place, &person).by(&owner.clock);
    let mail = EntraUse { sign_in: SignIn::Interactive, application: "Office Online", ..person.clone() };
    draft.entra(&format!("{name} mail"), Pattern::Sittings(0.12, 2), place, &mail).by(&owner.clock);
    let next = hours.iter().map(|hour| hour + 1).collect();
    let builds = Pattern::Appointments(next, dice.between(3, 12) as u32);
    let runner = Place::Ci(dice.between(0, 50) as u32);
    let requests = draft.request(Gateway::Envoy, &request, runner, builds);
    requests.by(&owner.clock).within(since..i64::MAX);
    HandedOn { person, owner, hours }
}

/// An engineer pastes an access token into a pipeline, morning and afternoon.
fn token_in_pipeline(draft: &mut Draft, dice: &mut Dice) {
    let since = draft.moment(dice, 2, -6);
    let handed = hand_on(draft, dice, false, since);
    let why = "a person's access token, from a sign-in on a laptop, presented by a build pipeline";
    let from = third_day(draft, &handed.owner.clock, since, handed.hours[0] + 1);
    draft.expect(SHARED_CREDENTIAL, &user_object(&handed.person.id), (since, from), why);
}

/// An integration signs in to Okta as a user, day and night; its makers sign in as that user, too.
fn okta_user(draft: &mut Draft, dice: &mut Dice) {
    let name = job_name(draft, dice);
    let program = OktaUse {
        id: dice.id("00u", Alphabet::Mixed, 20),
        login: format!("svc-{name}@halden.example"),
        name: format!("svc {name}"),
        access: OktaAccess::Password,
        user_agent: "okta-sdk-python/2.9.8 python/3.12.6 Linux/6.5.0",
    };
    let (_, place) = machine(dice);
    draft.okta(&name, Pattern::Steady(dice.real(1.5, 4.0)), place, &program);
    let since = if dice.chance(0.4) { draft.start } else { draft.moment(dice, 1, -6) };
    let hour = dice.between(8, 17);
    let count = dice.between(1, 3) as usize;
    let people = colleagues(draft, dice, count);
    for person in &people {
        let browser =
            OktaUse { access: OktaAccess::Browser, user_agent: person.browser(), ..program.clone() };
        let sittings = Pattern::Appointments(vec![hour], dice.between(2, 5) as u32);
        let signing_in = draft.okta(&format!("{name} {}", person.id), sittings, person.laptop(), &browser);
        signing_in.by(&person.clock).within(since..i64::MAX);
    }
    let why = "an integration's Okta user that people sign in to with a browser";
    let from = third_day(draft, &people[0].clock, since, hour);
    draft.expect(SHARED_CREDENTIAL, &user_object(&program.id), (since, from), why);
}

/// A program in the racks and, for some days each, one person after the other.
fn handed_round(draft: &mut Draft, dice: &mut Dice) {
    let key = Credential::of_job(draft, dice);
    let host = Place::Colo(dice.between(0, 100) as u32);
    key.stores(draft, (Pattern::Steady(dice.real(1.5, 5.0)), host), &[BOTO3]);
    let since = draft.moment(dice, 2, -6);
    let people = colleagues(draft, dice, 4);
    let hour = dice.between(8, 17);
    let days = dice.between(1, 4);
    let mut from = since;
    for person in people.iter().cycle().take(60) {
        let sittings = Pattern::Appointments(vec![hour], dice.between(2, 7) as u32);
        let turn = key.stores(draft, (sittings, person.laptop()), &[person.browser()]);
        turn.by(&person.clock).within(from..from + days * DAY);
        from += days * DAY;
    }
    let why = "a program's static key, in the browsers of several people by turns";
    let from = third_day(draft, &people[0].clock, since, hour);
    draft.expect(SHARED_CREDENTIAL, &key.subject(), (since, from), why);
}

/// Engineers paste the credentials of an instance into the console's sign-in, again and again.
fn instance_session(draft: &mut Draft, dice: &mut Dice) {
    let role = job_name(draft, dice);
    let name = dice.id("i-", Alphabet::Hex, 19);
    let instance = Credential::session(PRODUCTION, &role, &name, Delivery::Instance);
    let host = Place::Production(dice.between(0, 100) as u32);
    instance.stores(draft, (round_the_clock(dice), host), &[BOTO3]);
    let since = draft.moment(dice, 2, -6);
    let console = Credential::session(PRODUCTION, &role, &name, Delivery::Person { console: true });
    let person = draft.anybody(dice);
    let hour = dice.between(8, 17);
    let sittings = Pattern::Appointments(vec![hour], dice.between(2, 7) as u32);
    let looking = console.stores(draft, (sittings, person.laptop()), &[person.browser()]);
    looking.by(&person.clock).within(since..i64::MAX);
    let why = "an instance's own session, opened in the console by a person every day";
    let from = third_day(draft, &person.clock, since, hour);
    draft.expect(SHARED_CREDENTIAL, &console.subject(), (since, from), why);
}

/// Checked by a function every day, used by a person on the day of an outage.
fn break_glass(draft: &mut Draft, dice: &mut Dice) {
    let name = format!("{}-emergency", job_name(draft, dice));
    let key = Credential::key(dice, PRODUCTION, &name);
    let (client, place) = runtime(dice);
    key.stores(draft, (Pattern::Steady(dice.real(0.2, 1.0)), place), &[client]);
    let person = draft.anybody(dice);
    let day = draft.moment(dice, 8, -2).div_euclid(DAY) * DAY;
    let outage = day + dice.between(7, 14) * HOUR;
    for round in 0..dice.between(1, 5) {
        let storm = Pattern::Storm(outage + round * HOUR, dice.between(10, 40) as u32);
        key.stores(draft, (storm, person.laptop()), &[person.browser()]);
    }
    draft.look_alike(&[SHARED_CREDENTIAL], &key.subject());
}

fn builder_role(dice: &mut Dice) -> String {
    let set = dice.pick(&["Builder", "Engineer", "Release", "Delivery"]);
    format!("aws-reserved/sso.amazonaws.com/AWSReservedSSO_{set}_{}", dice.id("", Alphabet::Hex, 16))
}

/// An engineer's own SSO session: console, laptop, and builds started by hand on a runner.
fn running_builds(draft: &mut Draft, dice: &mut Dice) {
    let (role, person) = (builder_role(dice), draft.anybody(dice));
    let console = Credential::session(PRODUCTION, &role, &person.email, Delivery::Person { console: true });
    let build = Credential::session(PRODUCTION, &role, &person.email, Delivery::Assumed);
    let (early, late) = (morning(dice), afternoon(dice));
    let browsing = (Pattern::Appointments(vec![early, late], 5), person.laptop());
    console.stores(draft, browsing, &[person.browser()]).by(&person.clock);
    let building = (Pattern::Appointments(vec![early + 1, late + 1], 8), Place::Ci(person.number));
    build.stores(draft, building, &[CI]).by(&person.clock);
    draft.look_alike(&[SHARED_CREDENTIAL], &console.subject());
}

/// One permission set, a session for each of several people; one of them has a development container in the cloud.
fn different_people(draft: &mut Draft, dice: &mut Dice) {
    let role = builder_role(dice);
    let people = draft.people(dice, 4);
    for (index, person) in people.iter().enumerate() {
        let session = &person.email;
        let console = Credential::session(PRODUCTION, &role, session, Delivery::Person { console: true });
        let sittings = (Pattern::Sittings(0.3, 5), person.laptop());
        console.stores(draft, sittings, &[person.browser()]).by(&person.clock);
        if index == 0 {
            let container = Credential::session(PRODUCTION, &role, session, Delivery::Assumed);
            let place = Place::Production(person.number);
            container.stores(draft, (Pattern::Office(2.0), place), &[FARGATE]).by(&person.clock);
        }
        draft.look_alike(&[SHARED_CREDENTIAL], &console.subject());
    }
}

/// A server and a laptop assume the same role under their own session names.
fn same_role(draft: &mut Draft, dice: &mut Dice) {
    let (role, person) = (job_name(draft, dice), draft.anybody(dice));
    let name = dice.id("i-", Alphabet::Hex, 19);
    let server = Credential::session(PRODUCTION, &role, &name, Delivery::Instance);
    let host = Place::Production(dice.between(0, 100) as u32);
    server.stores(draft, (round_the_clock(dice), host), &[BOTO3]);
    let laptop = Credential::session(PRODUCTION, &role, &person.email, Delivery::Person { console: false });
    let sittings = (Pattern::Appointments(vec![10, 15], 4), person.laptop());
    laptop.stores(draft, sittings, &[person.command_line(), person.browser()]).by(&person.clock);
    draft.look_alike(&[SHARED_CREDENTIAL], &server.subject());
    draft.look_alike(&[SHARED_CREDENTIAL], &laptop.subject());
}

/// People's browsers and a job's key leave through one VPN address.
fn one_address(draft: &mut Draft, dice: &mut Dice) {
    let key = Credential::of_job(draft, dice);
    let (client, _) = runtime(dice);
    key.stores(draft, (round_the_clock(dice), Place::Vpn), &[client]);
    let role = job_name(draft, dice);
    let count = dice.between(1, 4) as usize;
    for person in draft.people(dice, count) {
        let console =
            Credential::session(PRODUCTION, &role, &person.email, Delivery::Person { console: true });
        let sittings = (Pattern::Appointments(vec![9, 12, 15], 4), Place::Vpn);
        console.stores(draft, sittings, &[person.browser()]).by(&person.clock);
        draft.look_alike(&[SHARED_CREDENTIAL], &console.subject());
    }
    draft.look_alike(&[SHARED_CREDENTIAL], &key.subject());
}

/// Used from everywhere while it is set up; later, if there is a later, by its job alone.
fn first_week(draft: &mut Draft, dice: &mut Dice) {
    let key = Credential::of_job(draft, dice);
    let made = draft.moment(dice, 1, -1);
    key.works(draft, dice).within(made..i64::MAX);
    let person = draft.anybody(dice);
    let trying = (Pattern::Sittings(0.5, 5), person.laptop());
    let setting_up = key.stores(draft, trying, &[person.browser()]);
    setting_up.by(&person.clock).within(made..made + 6 * DAY);
    draft.look_alike(&[SHARED_CREDENTIAL], &key.subject());
}

/// Key two replaces key one, in another runtime; the engineer tries the new one in a browser on that day.
fn rotation(draft: &mut Draft, dice: &mut Dice) {
    let name = job_name(draft, dice);
    let changed = draft.moment(dice, 5, -2).div_euclid(DAY) * DAY + dice.between(8, 15) * HOUR;
    let keys = [0, 1].map(|_| Credential::key(dice, PRODUCTION, &name));
    for (key, within) in keys.iter().zip([i64::MIN..changed, changed..i64::MAX]) {
        key.works(draft, dice).within(within);
        draft.look_alike(&[SHARED_CREDENTIAL], &key.subject());
    }
    let person = draft.anybody(dice);
    for (key, at) in keys.iter().zip([changed - 2 * HOUR, changed + HOUR]) {
        let tried = Pattern::Storm(at, dice.between(4, 15) as u32);
        key.stores(draft, (tried, person.laptop()), &[person.browser()]);
    }
}

/// Tools that people and pipelines run alike say nothing about who runs them.
fn neutral(draft: &mut Draft, dice: &mut Dice) {
    let name = job_name(draft, dice);
    let key = Credential::key(dice, TOOLING, &name);
    let tools = [TERRAFORM, BOTO3, CLI_LINUX];
    let person = draft.anybody(dice);
    let sittings = Pattern::Appointments(vec![9, 13, 16], dice.between(2, 9) as u32);
    let office = key.stores(draft, (sittings, Place::Office(person.site)), &tools);
    office.by(&person.clock);
    let racks = Place::Colo(dice.between(0, 100) as u32);
    key.stores(draft, (Pattern::Steady(dice.real(0.3, 1.0)), racks), &tools).within(EVER);
    draft.look_alike(&[SHARED_CREDENTIAL], &key.subject());
}

/// The registry says that people share it with a job.
fn declared(draft: &mut Draft, dice: &mut Dice) {
    let role = job_name(draft, dice);
    let name = *dice.pick(&["night-desk", "control-room", "duty"]);
    let desk = Credential::session(PRODUCTION, &role, name, Delivery::Person { console: true });
    let entries = [
        ("principal", text(&desk.arn())),
        ("reason", text("the duty desk's one session, on a shared terminal")),
    ];
    draft.governance.table("networks.toml", "shared_credential", &entries);
    let person = draft.anybody(dice);
    let sittings = (Pattern::Appointments(vec![9, 17], 4), Place::Office(person.site));
    desk.stores(draft, sittings, &[person.browser()]).by(&person.clock);
    let probe = Credential::session(PRODUCTION, &role, name, Delivery::Assumed);
    probe.works(draft, dice);
    draft.look_alike(&[SHARED_CREDENTIAL], &desk.subject());
}

/// A build service that people sign in to, with a secret of its own, calls for them.
fn acting_application(draft: &mut Draft, dice: &mut Dice) {
    let handed = hand_on(draft, dice, true, i64::MIN);
    draft.look_alike(&[SHARED_CREDENTIAL], &user_object(&handed.person.id));
}

/// An administrator signs in with a browser; an integration holds an API token that she made: two credentials.
fn own_token(draft: &mut Draft, dice: &mut Dice) {
    let (name, person) = (job_name(draft, dice), draft.anybody(dice));
    let browser = OktaUse {
        id: dice.id("00u", Alphabet::Mixed, 20),
        login: format!("adm-{name}@halden.example"),
        name: format!("adm {name}"),
        access: OktaAccess::Browser,
        user_agent: person.browser(),
    };
    let id = dice.id("00T", Alphabet::Mixed, 20);
    let token = OktaUse { access: OktaAccess::Token(id.clone()), user_agent: PYTHON, ..browser.clone() };
    let sittings = Pattern::Sittings(0.25, 4);
    draft.okta(&format!("adm-{name}"), sittings, person.laptop(), &browser).by(&person.clock);
    let (_, place) = machine(dice);
    draft.okta(&format!("adm-{name} token"), Pattern::Steady(dice.real(0.5, 3.0)), place, &token);
    let secret = format!("{id}:{}", browser.id);
    draft.look_alike(&[SHARED_CREDENTIAL], &user_object(&browser.id));
    let subject = ExpectedSubject::Credential { kind: "api_token".to_owned(), secret };
    draft.look_alike(&[SHARED_CREDENTIAL], &subject);
}

/// A person's devices refresh their sign-in day and night, from wherever they are.
fn refreshing(draft: &mut Draft, dice: &mut Dice) {
    let (name, person) = (job_name(draft, dice), draft.anybody(dice));
    let interactive = EntraUse {
        id: dice.uuid(),
        name: format!("{name}-guest@halden.example"),
        sign_in: SignIn::Interactive,
        application: "Office 365 Exchange Online",
        user_agent: person.browser(),
    };
    let refresh = EntraUse { sign_in: SignIn::Refresh, ..interactive.clone() };
    let sittings = Pattern::Sittings(0.2, 2);
    draft.entra(&format!("{name} guest"), sittings, person.laptop(), &interactive).by(&person.clock);
    let places = [person.laptop(), Place::Stranger(dice.between(0, 30) as u32), Place::Vpn];
    for place in places {
        draft.entra(&format!("{name} devices"), Pattern::Every(dice.between(25, 70)), place, &refresh);
    }
    draft.look_alike(&[SHARED_CREDENTIAL], &user_object(&interactive.id));
}
