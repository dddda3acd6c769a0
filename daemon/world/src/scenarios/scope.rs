//! Pilots that touch data which nobody approved for them, and those that only seem to.

use serde_json::json;

use super::{Chapter, Scenario};
use crate::DATA_SCOPE;
use crate::company::{GO_SDK, LAMBDA, STAGING};
use crate::dice::Dice;
use crate::draft::Draft;
use crate::formats::cloudtrail::{Action, AwsUse, Delivery, Signer};
use crate::pattern::{DAY, HOUR, MINUTE, Pattern};
use crate::pilot::Pilot;
use crate::place::Place;

pub(super) const CHAPTER: Chapter = Chapter {
    detection: DATA_SCOPE,
    is_mission: false,
    incidents: &[
        Scenario { name: "a copy of another bucket", days_min: 4, plant: copied },
        Scenario { name: "a file a night", days_min: 8, plant: file_a_night },
        Scenario { name: "through its second role", days_min: 4, plant: second_role },
        Scenario { name: "a table that nobody approved", days_min: 4, plant: table },
        Scenario { name: "a secret of somebody else", days_min: 4, plant: secret },
    ],
    look_alikes: &[
        Scenario { name: "a migration under an exception", days_min: 4, plant: migration },
        Scenario { name: "a person in its role", days_min: 4, plant: person },
        Scenario { name: "files that are not there", days_min: 3, plant: not_there },
        Scenario { name: "another bucket denies it", days_min: 3, plant: denied },
        Scenario { name: "a scope with a wildcard", days_min: 2, plant: wildcard },
        Scenario { name: "settings of another bucket", days_min: 2, plant: settings },
    ],
};

/// What others keep and a pilot might like to read.
const STORES: &[&str] = &["payroll", "contracts", "claims-files", "ledger", "customer-mail", "dock-cameras"];

/// A pilot that runs in staging under a role of its own; not yet registered.
pub(super) struct Reader {
    pub(super) pilot: Pilot,
    pub(super) role: String,
    host: u32,
}

/// Such a pilot, which reads its own bucket.
pub(super) fn reader(draft: &mut Draft, dice: &mut Dice) -> Reader {
    let mut pilot = Pilot::new(draft, dice);
    let role = format!("{}-runtime", pilot.id);
    pilot.selectors = vec![("role", staging_role(&role))];
    let reader = Reader { role, host: dice.below(40) as u32, pilot };
    let own = objects(&format!("halden-{}", reader.pilot.id));
    let rate = dice.real(0.5, 4.0);
    reader.act(draft, Pattern::Office(rate), own, (i64::MIN, i64::MAX));
    reader
}

impl Reader {
    /// Acts so under its role.
    pub(super) fn act(&self, draft: &mut Draft, pattern: Pattern, actions: Vec<Action>, span: (i64, i64)) {
        self.act_as(draft, &self.role, pattern, actions, span);
    }

    fn act_as(
        &self,
        draft: &mut Draft,
        role: &str,
        pattern: Pattern,
        actions: Vec<Action>,
        (from, to): (i64, i64),
    ) {
        let session = self.pilot.id.clone();
        let signer = Signer::Session { role: role.to_owned(), session, delivery: Delivery::Assumed };
        let clients = vec![if self.host.is_multiple_of(2) { LAMBDA } else { GO_SDK }];
        let act = AwsUse { account: STAGING, signer, clients, actions };
        draft.aws(role, pattern, Place::Staging(self.host), &act).within(from..to);
    }
}

fn staging_role(role: &str) -> String {
    format!("arn:aws:iam::{STAGING}:role/{role}")
}

/// Reading files of a bucket.
pub(super) fn objects(bucket: &str) -> Vec<Action> {
    let object = json!({ "bucketName": bucket, "key": "2026/part-00017.parquet" });
    let listed = json!({ "bucketName": bucket, "prefix": "2026/" });
    vec![
        Action::new("s3.amazonaws.com", "GetObject", true, object),
        Action::new("s3.amazonaws.com", "ListObjects", true, listed),
    ]
}

/// A bucket of somebody else.
pub(super) fn other_bucket(dice: &mut Dice) -> String {
    format!("halden-{}", dice.pick(STORES))
}

/// One morning it begins to copy everything.
fn copied(draft: &mut Draft, dice: &mut Dice) {
    let mut reader = reader(draft, dice);
    if dice.chance(0.5) {
        reader.pilot.flags.push("sensitive_data");
    }
    reader.pilot.register(draft);
    let since = draft.moment(dice, 1, -1);
    let until = since + dice.between(2, 40) * HOUR;
    let (rate, bucket) = (dice.real(20.0, 90.0), other_bucket(dice));
    reader.act(draft, Pattern::Steady(rate), objects(&bucket), (since, until));
    let why = "approved for its own bucket, it copies another";
    draft.expect(DATA_SCOPE, &reader.pilot.subject(), (since, since + 15 * MINUTE), why);
}

/// One or two files, night after night.
fn file_a_night(draft: &mut Draft, dice: &mut Dice) {
    let reader = reader(draft, dice);
    reader.pilot.register(draft);
    let since = draft.moment(dice, 1, -6);
    let nights = (0..dice.between(4, 7)).map(|n| since + n * DAY);
    let moments: Vec<i64> = nights
        .flat_map(|night| (0..dice.between(1, 3)).map(|n| night + n * MINUTE).collect::<Vec<_>>())
        .collect();
    reader.act(draft, Pattern::At(moments), objects(&other_bucket(dice)), (i64::MIN, i64::MAX));
    let why = "a file or two a night from a bucket that is not in its scope";
    draft.expect(DATA_SCOPE, &reader.pilot.subject(), (since, since + 3 * DAY), why);
}

/// A job of the pilot has a role of its own, which may read more.
fn second_role(draft: &mut Draft, dice: &mut Dice) {
    let mut reader = reader(draft, dice);
    let role = format!("{}-batch", reader.pilot.id);
    reader.pilot.selectors.push(("role", staging_role(&role)));
    reader.pilot.register(draft);
    let since = draft.moment(dice, 1, -2);
    let rate = dice.real(1.0, 12.0);
    let bucket = other_bucket(dice);
    reader.act_as(draft, &role, Pattern::Steady(rate), objects(&bucket), (since, i64::MAX));
    let why = "its batch role reads a bucket that is not in its scope";
    draft.expect(DATA_SCOPE, &reader.pilot.subject(), (since, since + 3 * HOUR), why);
}

/// Rows instead of files.
fn table(draft: &mut Draft, dice: &mut Dice) {
    let mut reader = reader(draft, dice);
    reader.pilot.data_scope.push(format!("dynamodb://{}", reader.pilot.id));
    reader.pilot.register(draft);
    let since = draft.moment(dice, 1, -2);
    let actions = rows(dice.pick::<&str>(STORES));
    reader.act(draft, Pattern::Steady(dice.real(1.0, 30.0)), actions, (since, i64::MAX));
    let own = rows(&reader.pilot.id);
    reader.act(draft, Pattern::Steady(3.0), own, (i64::MIN, i64::MAX));
    let why = "it queries a table that is not in its scope";
    draft.expect(DATA_SCOPE, &reader.pilot.subject(), (since, since + 3 * HOUR), why);
}

fn rows(table: &str) -> Vec<Action> {
    let parameters = json!({ "tableName": table });
    vec![
        Action::new("dynamodb.amazonaws.com", "Query", true, parameters.clone()),
        Action::new("dynamodb.amazonaws.com", "GetItem", true, parameters),
    ]
}

/// Its scope names the secret that it may read; it reads another, once.
fn secret(draft: &mut Draft, dice: &mut Dice) {
    let mut reader = reader(draft, dice);
    let own = format!("{}/database", reader.pilot.id);
    reader.pilot.data_scope.push(format!("secret://{own}"));
    reader.pilot.register(draft);
    reader.act(draft, Pattern::Hourly(dice.between(0, 60)), value_of(&own), (i64::MIN, i64::MAX));
    let since = draft.moment(dice, 1, -1);
    let other = format!("{}/database", dice.pick(STORES));
    reader.act(draft, Pattern::At(vec![since]), value_of(&other), (i64::MIN, i64::MAX));
    let why = "it reads a secret of somebody else";
    draft.expect(DATA_SCOPE, &reader.pilot.subject(), (since, since), why);
}

fn value_of(secret: &str) -> Vec<Action> {
    let parameters = json!({ "secretId": secret });
    vec![Action::new("secretsmanager.amazonaws.com", "GetSecretValue", true, parameters)]
}

/// It reads the old archive until the move is done, by an exception that is valid.
fn migration(draft: &mut Draft, dice: &mut Dice) {
    let reader = reader(draft, dice);
    let since = draft.moment(dice, 1, -2);
    let until = since + dice.between(6, 48) * HOUR;
    let term = (since - dice.between(1, 9) * DAY, until + dice.between(2, 20) * DAY);
    reader.pilot.except(draft, dice, "data_out_of_scope", term, None);
    reader.pilot.register(draft);
    let (rate, bucket) = (dice.real(2.0, 60.0), other_bucket(dice));
    reader.act(draft, Pattern::Steady(rate), objects(&bucket), (since, until));
    draft.look_alike(&[DATA_SCOPE], &reader.pilot.subject());
}

/// Somebody took on its role to look for a fault, and looked elsewhere as well.
fn person(draft: &mut Draft, dice: &mut Dice) {
    let reader = reader(draft, dice);
    reader.pilot.register(draft);
    let person = draft.anybody(dice);
    let delivery = Delivery::Person { console: dice.chance(0.5) };
    let client = match delivery {
        Delivery::Person { console: true } => person.browser(),
        _ => person.command_line(),
    };
    let signer = Signer::Session { role: reader.role.clone(), session: person.email.clone(), delivery };
    let actions = objects(&other_bucket(dice));
    let act = AwsUse { account: STAGING, signer, clients: vec![client], actions };
    let name = format!("{} as {}", person.id, reader.role);
    let count = dice.between(5, 25) as u32;
    for _ in 0..dice.between(1, 4) {
        let moment = draft.moment(dice, 1, -1);
        let at = person.clock.working_day(moment - DAY, dice.between(9, 17));
        draft.aws(&name, Pattern::Storm(at, count), person.laptop(), &act);
    }
    draft.look_alike(&[DATA_SCOPE], &reader.pilot.subject());
}

/// It asks whether somebody has put files there; nobody has.
fn not_there(draft: &mut Draft, dice: &mut Dice) {
    refused(draft, dice, "NoSuchKey");
}

/// It tries; the control works.
fn denied(draft: &mut Draft, dice: &mut Dice) {
    refused(draft, dice, "AccessDenied");
}

fn refused(draft: &mut Draft, dice: &mut Dice, error: &'static str) {
    let reader = reader(draft, dice);
    reader.pilot.register(draft);
    let first = objects(&other_bucket(dice)).remove(0).refused(error);
    let rate = dice.real(0.3, 4.0);
    let since = draft.moment(dice, 0, -1);
    reader.act(draft, Pattern::Steady(rate), vec![first], (since, i64::MAX));
    draft.look_alike(&[DATA_SCOPE], &reader.pilot.subject());
}

/// All buckets that begin with its name are its own.
fn wildcard(draft: &mut Draft, dice: &mut Dice) {
    let mut reader = reader(draft, dice);
    reader.pilot.data_scope = vec![format!("s3://halden-{}*", reader.pilot.id)];
    reader.pilot.register(draft);
    for part in ["archive", "models", "logs"] {
        let bucket = format!("halden-{}-{part}", reader.pilot.id);
        let rate = dice.real(0.3, 2.0);
        reader.act(draft, Pattern::Steady(rate), objects(&bucket), (i64::MIN, i64::MAX));
    }
    draft.look_alike(&[DATA_SCOPE], &reader.pilot.subject());
}

/// It looks which buckets there are and where they lie, and reads none of them.
fn settings(draft: &mut Draft, dice: &mut Dice) {
    let reader = reader(draft, dice);
    reader.pilot.register(draft);
    let bucket = json!({ "bucketName": other_bucket(dice) });
    let actions = vec![
        Action::new("s3.amazonaws.com", "ListBuckets", true, json!(null)),
        Action::new("s3.amazonaws.com", "GetBucketLocation", true, bucket.clone()),
        Action::new("s3.amazonaws.com", "GetBucketTagging", true, bucket),
    ];
    let rate = dice.real(0.3, 2.0);
    reader.act(draft, Pattern::Steady(rate), actions, (i64::MIN, i64::MAX));
    draft.look_alike(&[DATA_SCOPE], &reader.pilot.subject());
}
