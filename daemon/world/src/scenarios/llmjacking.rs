//! Keys that somebody stole for the models they open, and keys that only seem stolen.

use serde_json::json;

use super::credential::{Credential, EVER, job_name, machine, promoted_key, round_the_clock, runtime};
use super::{Chapter, Scenario};
use crate::company::{BOTO3, CI, GO_SDK, PRODUCTION, PYTHON, SANDBOX, TERRAFORM, TOOLING};
use crate::dice::Dice;
use crate::draft::Draft;
use crate::everyday::desks::playground_profile;
use crate::everyday::{GITHUB, invocations};
use crate::formats::cloudtrail::{Action, Delivery, Signer};
use crate::pattern::{DAY, HOUR, MINUTE, Pattern};
use crate::pilot::Pilot;
use crate::place::Place;
use crate::template::Alphabet;
use crate::{LLMJACKING, UNREGISTERED};

pub(super) const CHAPTER: Chapter = Chapter {
    detection: LLMJACKING,
    is_mission: false,
    incidents: &[
        Scenario { name: "a storage job's key by night from afar", days_min: 4, plant: by_night },
        Scenario { name: "a careful thief, a little a day", days_min: 8, plant: careful },
        Scenario { name: "refused, refused, refused, answered", days_min: 4, plant: probing },
        Scenario { name: "a model key's user looks around elsewhere", days_min: 4, plant: looking_around },
        Scenario { name: "models unlocked as only the console does", days_min: 4, plant: unlocking },
        Scenario { name: "the log of model calls switched off", days_min: 4, plant: logging_off },
    ],
    look_alikes: &[
        Scenario { name: "evaluation of many models", days_min: 4, plant: evaluation },
        Scenario { name: "a new engineer's first models", days_min: 14, plant: new_engineer },
        Scenario { name: "a workload that moved", days_min: 6, plant: moved },
        Scenario { name: "models listed at every start", days_min: 9, plant: lists_at_start },
        Scenario { name: "another way out of the VPN", days_min: 6, plant: vpn_egress },
        Scenario { name: "terraform sets the log of model calls", days_min: 4, plant: terraform },
        Scenario { name: "refused while a policy is rolled out", days_min: 4, plant: policy_rollout },
        Scenario { name: "a new key from the old one's networks", days_min: 6, plant: renewed },
    ],
};

const BEDROCK: &str = "bedrock.amazonaws.com";
const MODELS: &[&str] = &[
    "anthropic.claude-3-5-sonnet-20240620-v1:0",
    "anthropic.claude-3-haiku-20240307-v1:0",
    "meta.llama3-70b-instruct-v1:0",
    "mistral.mistral-large-2402-v1:0",
    "cohere.command-r-plus-v1:0",
    "amazon.titan-text-express-v1",
];

fn a_model(dice: &mut Dice) -> &'static str {
    let model: &&'static str = dice.pick(MODELS);
    model
}

fn list_models() -> Action {
    Action::new(BEDROCK, "ListFoundationModels", true, json!(null))
}

fn availability(model: &str) -> Action {
    Action::new(BEDROCK, "GetFoundationModelAvailability", true, json!({ "modelId": model }))
}

/// A thief's machine: an address that nobody knows, and a client.
fn strange_machine(dice: &mut Dice) -> (&'static str, Place) {
    (*dice.pick(&[PYTHON, BOTO3, GO_SDK]), Place::Stranger(dice.between(0, 200) as u32))
}

/// A storage job's key that works where it always does; somebody else will use it, too.
fn storage_key(draft: &mut Draft, dice: &mut Dice) -> Credential {
    let key = Credential::of_job(draft, dice);
    let (client, place) = machine(dice);
    key.stores(draft, (round_the_clock(dice), place), &[client]);
    key
}

/// Some minute of some night.
fn a_night(draft: &Draft, dice: &mut Dice) -> i64 {
    let day = draft.moment(dice, 2, -1).div_euclid(DAY) * DAY;
    day + dice.between(0, 5) * HOUR + dice.below(35) * MINUTE
}

/// Both findings of a stolen key: as stolen at one moment, as a workload that nobody registered at another.
fn stolen(draft: &mut Draft, key: &Credential, since: i64, (seen, known): (i64, i64), why: &str) {
    draft.expect(LLMJACKING, &key.subject(), (since, seen), why);
    let workload = "whoever stole the key invokes models, and no pilot is registered for it";
    draft.expect(UNREGISTERED, &key.caller(), (since, known), workload);
}

/// Somebody lists models, looks which are unlocked and uses what works, in minutes.
fn by_night(draft: &mut Draft, dice: &mut Dice) {
    let key = storage_key(draft, dice);
    let model = a_model(dice);
    let mut actions = invocations(model);
    actions.extend([list_models(), availability(model)]);
    let (client, place) = strange_machine(dice);
    let night = a_night(draft, dice);
    let storm = Pattern::Storm(night, dice.between(50, 150) as u32);
    key.calls(draft, (storm, place), &[client], actions.clone());
    if dice.chance(0.4) {
        let again = Pattern::Storm(night + DAY, dice.between(50, 300) as u32);
        key.calls(draft, (again, place), &[client], actions);
    }
    let done = night + 20 * MINUTE;
    let why = "a storage job's key, used from afar to look for models and to invoke them";
    stolen(draft, &key, night, (done, done), why);
}

/// A few calls a day, over days: the list first, then one or two of the models.
fn careful(draft: &mut Draft, dice: &mut Dice) {
    let key = storage_key(draft, dice);
    let (client, place) = strange_machine(dice);
    let first = draft.moment(dice, 2, -4).div_euclid(DAY);
    let (gap, count) = (dice.between(1, 3), dice.between(3, 7));
    let visits: Vec<i64> = (0..count)
        .map(|n| (first + n * gap) * DAY + dice.between(0, 23) * HOUR + dice.below(40 * MINUTE))
        .collect();
    let mut uses = Vec::new();
    for visit in &visits {
        let calls = dice.between(1, 4);
        uses.extend((0..calls).map(|n| visit + (2 + n * 2) * MINUTE + dice.below(MINUTE)));
    }
    key.calls(draft, (Pattern::At(visits.clone()), place), &[client], vec![list_models()]);
    let model = a_model(dice);
    key.calls(draft, (Pattern::At(uses), place), &[client], invocations(model));
    let why = "a storage job's key, used from afar to list models and invoke one, a little every day or two";
    let quarter = 15 * MINUTE;
    stolen(draft, &key, visits[0], (visits[0] + quarter, visits[1] + quarter), why);
}

/// A list of models is tried until one answers.
fn probing(draft: &mut Draft, dice: &mut Dice) {
    let key = storage_key(draft, dice);
    let (client, place) = strange_machine(dice);
    let since = draft.moment(dice, 2, -1);
    let count = dice.between(4, 10);
    let step = dice.between(10, 45) * 1_000_000;
    let tries = Pattern::At((0..count).map(|n| since + n * step).collect());
    let refused = MODELS.iter().flat_map(|model| invocations(model)).map(|action| {
        let error = *dice.pick(&["AccessDeniedException", "ValidationException"]);
        action.refused(error)
    });
    key.calls(draft, (tries, place), &[client], refused.collect());
    let works = since + count * step + dice.between(1, 40) * MINUTE;
    let storm = Pattern::Storm(works, dice.between(20, 90) as u32);
    key.calls(draft, (storm, place), &[client], invocations(a_model(dice)));
    let why = "a storage job's key, tried from afar on many models until one answered";
    stolen(draft, &key, since, (since + count * step, works + 20 * MINUTE), why);
}

/// Somebody makes an access key for the user that AWS made for a Bedrock API key, and sees what it opens.
fn looking_around(draft: &mut Draft, dice: &mut Dice) {
    let user = format!("BedrockAPIKey-{}", dice.id("", Alphabet::Hex, 4));
    let bearer =
        Credential { account: SANDBOX, signer: Signer::Bearer { user: user.clone() }, name: user.clone() };
    let owner = draft.anybody(dice);
    let trials = (Pattern::Sittings(0.4, 8), owner.laptop());
    let models = invocations(&playground_profile());
    bearer.calls(draft, trials, &[PYTHON], models).by(&owner.clock);
    let key = Credential::key(dice, SANDBOX, &user);
    let (client, place) = strange_machine(dice);
    let since = draft.moment(dice, 2, -1);
    let nothing = json!(null);
    let elsewhere = vec![
        Action::new("sts.amazonaws.com", "GetCallerIdentity", true, nothing.clone()),
        Action::new("iam.amazonaws.com", "ListRoles", true, nothing.clone()),
        Action::new("kms.amazonaws.com", "DescribeKey", true, json!({ "keyId": "alias/halden" })),
        Action::new("ec2.amazonaws.com", "DescribeVpcs", true, nothing.clone()),
        Action::new("ec2.amazonaws.com", "DescribeSubnets", true, nothing),
    ];
    key.calls(draft, (Pattern::Storm(since, dice.between(8, 30) as u32), place), &[client], elsewhere);
    let listed = since + dice.between(21, 120) * MINUTE;
    let used = listed + dice.between(1, 10) * MINUTE;
    key.calls(draft, (Pattern::At(vec![listed]), place), &[client], vec![list_models()]);
    let calls = (0..dice.between(12, 60)).map(|n| used + n * 20 * 1_000_000).collect();
    key.calls(draft, (Pattern::At(calls), place), &[client], invocations(a_model(dice)));
    let why = "an access key of a Bedrock API key's user looks around in the account and invokes models";
    stolen(draft, &key, since, (used + MINUTE, used + 5 * MINUTE), why);
}

/// Models are unlocked with calls that the console makes and programs do not, then invoked.
fn unlocking(draft: &mut Draft, dice: &mut Dice) {
    let key = storage_key(draft, dice);
    let (client, place) = strange_machine(dice);
    let model = a_model(dice);
    let parameters = json!({ "modelId": model });
    let write = |name| Action::new(BEDROCK, name, false, parameters.clone());
    let console = vec![
        Action::new(BEDROCK, "GetUseCaseForModelAccess", true, json!(null)),
        availability(model),
        write("PutUseCaseForModelAccess"),
        write("CreateFoundationModelAgreement"),
        write("PutFoundationModelEntitlement"),
    ];
    let since = draft.moment(dice, 2, -1);
    key.calls(draft, (Pattern::Storm(since, dice.between(6, 20) as u32), place), &[client], console);
    let used = since + dice.between(21, 300) * MINUTE;
    let storm = Pattern::Storm(used, dice.between(20, 120) as u32);
    key.calls(draft, (storm, place), &[client], invocations(model));
    let why = "a storage job's key, used from afar to unlock a model as the console does, and to invoke it";
    stolen(draft, &key, since, (used + 5 * MINUTE, used + 20 * MINUTE), why);
}

/// Credentials taken off an instance delete the log of invocations; then models are invoked.
fn logging_off(draft: &mut Draft, dice: &mut Dice) {
    let role = job_name(draft, dice);
    let name = dice.id("i-", Alphabet::Hex, 19);
    let session = Credential::session(PRODUCTION, &role, &name, Delivery::Instance);
    let host = Place::Production(dice.between(0, 100) as u32);
    session.stores(draft, (round_the_clock(dice), host), &[GO_SDK]);
    let (client, place) = strange_machine(dice);
    let since = draft.moment(dice, 2, -1);
    let delete = Action::new(BEDROCK, "DeleteModelInvocationLoggingConfiguration", false, json!(null));
    let look = Action::new(BEDROCK, "GetModelInvocationLoggingConfiguration", true, json!(null));
    session.calls(draft, (Pattern::At(vec![since]), place), &[client], vec![look]);
    let off = since + dice.between(1, 9) * MINUTE;
    session.calls(draft, (Pattern::At(vec![off]), place), &[client], vec![delete]);
    let used = off + dice.between(1, 200) * MINUTE;
    let storm = Pattern::Storm(used, dice.between(20, 200) as u32);
    session.calls(draft, (storm, place), &[client], invocations(a_model(dice)));
    let why = "an instance's session, used from afar to delete the log of model calls and to invoke one";
    stolen(draft, &session, since, (used + 5 * MINUTE, used + 20 * MINUTE), why);
}

/// Neither stolen nor unknown.
fn innocent(draft: &mut Draft, key: &Credential) {
    draft.look_alike(&[LLMJACKING], &key.subject());
    draft.look_alike(&[UNREGISTERED], &key.caller());
}

/// A pilot that compares models, with a key of its own in the tooling account.
fn tooling_key(draft: &mut Draft, dice: &mut Dice) -> Credential {
    let mut pilot = Pilot::new(draft, dice);
    let key = Credential::key(dice, TOOLING, &format!("{}-runs", pilot.id));
    pilot.selectors.push(("role", key.arn()));
    pilot.register(draft);
    key
}

/// A pilot's key, which always invokes models from the racks, tries many more from a build runner one morning.
fn evaluation(draft: &mut Draft, dice: &mut Dice) {
    let key = tooling_key(draft, dice);
    let racks = Place::Colo(dice.between(0, 100) as u32);
    key.calls(draft, (Pattern::Hourly(dice.between(0, 59)), racks), &[BOTO3], invocations(MODELS[0]));
    let morning = draft.moment(dice, 2, -1).div_euclid(DAY) * DAY + dice.between(7, 13) * HOUR;
    let comparison = Pattern::Storm(morning, dice.between(40, 200) as u32);
    let runner = Place::Ci(dice.between(0, 50) as u32);
    let models = MODELS.iter().flat_map(|model| invocations(model)).collect();
    key.calls(draft, (comparison, runner), &[CI, BOTO3], models);
    innocent(draft, &key);
}

/// For weeks an engineer's own key did other things, at the office and at home; then come the first models.
fn new_engineer(draft: &mut Draft, dice: &mut Dice) {
    let person = draft.anybody(dice);
    let user = format!("{}-{}", person.id, dice.between(10, 99));
    let key = Credential::key(dice, SANDBOX, &user);
    let (place, clock) = (person.laptop(), &person.clock);
    let sittings = Pattern::Appointments(vec![9, 11, 14, 16], 6);
    key.stores(draft, (sittings, place), &[BOTO3, person.command_line()]).by(clock);
    let first = draft.moment(dice, 11, -2);
    let (listed, used) = (clock.working_day(first, 10), clock.working_day(first, 10) + 5 * MINUTE);
    key.calls(draft, (Pattern::At(vec![listed, listed + DAY]), place), &[BOTO3], vec![list_models()]);
    let models = invocations(&playground_profile());
    let trials = Pattern::Storm(used, dice.between(4, 40) as u32);
    key.calls(draft, (trials, place), &[BOTO3], models.clone()).by(clock);
    let daily = key.calls(draft, (Pattern::Appointments(vec![11, 15], 6), place), &[BOTO3], models);
    daily.by(clock).within(used..i64::MAX);
    innocent(draft, &key);
}

/// A promoted workload, which has invoked models for long, is deployed to another network.
fn moved(draft: &mut Draft, dice: &mut Dice) {
    let key = promoted_key(draft, dice);
    let at = draft.moment(dice, 3, -1);
    let before = Place::Colo(dice.between(0, 100) as u32);
    let after = match dice.below(3) {
        0 => Place::Stranger(dice.between(0, 200) as u32),
        1 => Place::Staging(dice.between(0, 50) as u32),
        _ => Place::Production(dice.between(0, 100) as u32),
    };
    let rate = Pattern::Steady(dice.real(2.0, 9.0));
    let model = a_model(dice);
    for (place, within) in [(before, i64::MIN..at), (after, at..i64::MAX)] {
        key.calls(draft, (rate.clone(), place), &[BOTO3], invocations(model)).within(within);
    }
    innocent(draft, &key);
}

/// A promoted workload lists models whenever it starts, every morning; some day it starts in another network.
fn lists_at_start(draft: &mut Draft, dice: &mut Dice) {
    let key = promoted_key(draft, dice);
    let at = if dice.chance(0.5) { i64::MAX } else { draft.moment(dice, 6, -1) };
    let hour = dice.between(3, 9);
    let rate = Pattern::Steady(dice.real(2.0, 9.0));
    let model = a_model(dice);
    let places = [Place::Colo(dice.between(0, 100) as u32), Place::Production(dice.between(0, 100) as u32)];
    for (place, within) in places.into_iter().zip([i64::MIN..at, at..i64::MAX]) {
        let start = Pattern::Daily(hour, dice.between(0, 40), dice.between(1, 3) as u32);
        let starts = key.calls(draft, (start, place), &[BOTO3], vec![list_models()]);
        starts.within(within.clone());
        key.calls(draft, (rate.clone(), place), &[BOTO3], invocations(model)).within(within);
    }
    innocent(draft, &key);
}

/// A desk's program leaves through the VPN; the VPN's way out gets an address that the registry does not know.
fn vpn_egress(draft: &mut Draft, dice: &mut Dice) {
    let key = promoted_key(draft, dice);
    let at = draft.moment(dice, 3, -1);
    let clock = draft.anybody(dice).clock;
    let rate = Pattern::Office(dice.real(2.0, 12.0));
    let model = a_model(dice);
    let after = Place::Stranger(dice.between(0, 200) as u32);
    for (place, within) in [(Place::Vpn, i64::MIN..at), (after, at..i64::MAX)] {
        let desk = key.calls(draft, (rate.clone(), place), &[BOTO3], invocations(model));
        desk.by(&clock).within(within);
    }
    innocent(draft, &key);
}

/// Terraform takes the log of invocations away and puts it back, from whichever runner is free.
fn terraform(draft: &mut Draft, dice: &mut Dice) {
    let role = format!("{}-infrastructure", job_name(draft, dice));
    let session = Credential::session(PRODUCTION, &role, "terraform", Delivery::Web(GITHUB));
    let change = |name, reads| Action::new(BEDROCK, name, reads, json!(null));
    let actions = vec![
        change("GetModelInvocationLoggingConfiguration", true),
        change("DeleteModelInvocationLoggingConfiguration", false),
        change("PutModelInvocationLoggingConfiguration", false),
    ];
    let clock = draft.anybody(dice).clock;
    for _ in 0..3 {
        let runs = (Pattern::Sittings(0.15, 5), Place::Ci(dice.between(0, 50) as u32));
        session.calls(draft, runs, &[TERRAFORM], actions.clone()).by(&clock);
    }
    innocent(draft, &session);
}

/// For some hours a workload is refused where it always was, because a policy is being rolled out.
fn policy_rollout(draft: &mut Draft, dice: &mut Dice) {
    let key = promoted_key(draft, dice);
    let (_, place) = runtime(dice);
    let rate = Pattern::Steady(dice.real(4.0, 12.0));
    let at = draft.moment(dice, 2, -1);
    let until = at + dice.between(1, 8) * HOUR;
    let model = a_model(dice);
    let refused: Vec<Action> =
        invocations(model).into_iter().map(|action| action.refused("AccessDeniedException")).collect();
    for within in [EVER.start..at, until..EVER.end] {
        key.calls(draft, (rate.clone(), place), &[BOTO3], invocations(model)).within(within);
    }
    key.calls(draft, (rate, place), &[BOTO3], refused).within(at..until);
    innocent(draft, &key);
}

/// The key is replaced; the new one goes on from two networks, one after the other, and its owner lists models once.
fn renewed(draft: &mut Draft, dice: &mut Dice) {
    let old = promoted_key(draft, dice);
    let new = Credential::key(dice, old.account, &old.name);
    let changed = draft.moment(dice, 3, -1);
    let places = [Place::Colo(dice.between(0, 100) as u32), Place::Production(dice.between(0, 100) as u32)];
    let model = a_model(dice);
    for place in places {
        let rate = Pattern::Steady(dice.real(2.0, 10.0));
        for (key, within) in [(&old, i64::MIN..changed), (&new, changed..i64::MAX)] {
            key.calls(draft, (rate.clone(), place), &[BOTO3], invocations(model)).within(within);
        }
    }
    innocent(draft, &old);
    draft.look_alike(&[LLMJACKING], &new.subject());
}
