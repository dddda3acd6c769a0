//! What stories about credentials share: keys and role sessions, jobs that use them, people who use them, when.
//!
//! In: a draft and dice. Out: streams of events that one credential signs, and the names that labels give it. Nothing
//! here is an incident yet.

use std::ops::Range;

use crate::ExpectedSubject;
use crate::company::{BOTO3, FARGATE, GO_SDK, LAMBDA, PRODUCTION, Person};
use crate::dice::Dice;
use crate::draft::Draft;
use crate::everyday::storage_actions;
use crate::formats::cloudtrail::{Action, AwsUse, Delivery, Signer};
use crate::pattern::{Clock, DAY, HOUR, MINUTE, Pattern};
use crate::pilot::Pilot;
use crate::place::Place;
use crate::stream::Stream;
use crate::template::Alphabet;

/// Always.
pub(super) const EVER: Range<i64> = i64::MIN..i64::MAX;
/// What jobs do, as their users and roles are called.
const JOBS: &[&str] =
    &["exports", "loader", "sync", "cleanup", "mirror", "snapshots", "imports", "archive", "totals"];

/// A credential of AWS.
#[derive(Debug, Clone)]
pub(super) struct Credential {
    pub(super) account: &'static str,
    pub(super) signer: Signer,
    /// Name of its user or role.
    pub(super) name: String,
}

impl Credential {
    /// A long-lived key of an IAM user.
    pub(super) fn key(dice: &mut Dice, account: &'static str, user: &str) -> Self {
        let key = dice.id("AKIA", Alphabet::Upper, 20);
        Self { account, signer: Signer::Key { user: user.to_owned(), key }, name: user.to_owned() }
    }

    /// A role session.
    pub(super) fn session(account: &'static str, role: &str, session: &str, delivery: Delivery) -> Self {
        let signer = Signer::Session { role: role.to_owned(), session: session.to_owned(), delivery };
        Self { account, signer, name: role.to_owned() }
    }

    /// The key of a job that nobody has told stories about.
    pub(super) fn of_job(draft: &Draft, dice: &mut Dice) -> Self {
        let name = job_name(draft, dice);
        Self::key(dice, PRODUCTION, &name)
    }

    /// What labels name.
    pub(super) fn subject(&self) -> ExpectedSubject {
        let (kind, secret) = match &self.signer {
            Signer::Key { key, .. } => ("static_key", key.clone()),
            Signer::Session { session, .. } => ("role_session", format!("{}:{session}", self.arn())),
            Signer::Bearer { .. } => ("api_token", self.arn()),
            Signer::Service(name) => ("", (*name).to_owned()),
        };
        ExpectedSubject::Credential { kind: kind.to_owned(), secret }
    }

    /// Who calls with it, where the registry does not know a better name.
    pub(super) fn caller(&self) -> ExpectedSubject {
        ExpectedSubject::Caller(self.arn())
    }

    /// ARN of its user or role.
    pub(super) fn arn(&self) -> String {
        let kind = if matches!(self.signer, Signer::Session { .. }) { "role" } else { "user" };
        format!("arn:aws:iam::{}:{kind}/{}", self.account, self.name)
    }

    /// The credential is used for this.
    pub(super) fn calls<'d>(
        &self,
        draft: &'d mut Draft,
        (pattern, place): (Pattern, Place),
        clients: &[&'static str],
        actions: Vec<Action>,
    ) -> &'d mut Stream {
        let act =
            AwsUse { account: self.account, signer: self.signer.clone(), clients: clients.to_vec(), actions };
        draft.aws(&self.name, pattern, place, &act)
    }

    /// The credential is used for stored files.
    pub(super) fn stores<'d>(
        &self,
        draft: &'d mut Draft,
        when_and_where: (Pattern, Place),
        clients: &[&'static str],
    ) -> &'d mut Stream {
        self.calls(draft, when_and_where, clients, storage_actions(&self.name))
    }

    /// A job uses it for stored files, in whatever runtime, day and night.
    pub(super) fn works<'d>(&self, draft: &'d mut Draft, dice: &mut Dice) -> &'d mut Stream {
        let (client, place) = runtime(dice);
        self.stores(draft, (round_the_clock(dice), place), &[client])
    }
}

/// Name of a job's user or role: `order-intake-exports-37`.
pub(super) fn job_name(draft: &Draft, dice: &mut Dice) -> String {
    let service = &dice.pick(&draft.company.services).name;
    format!("{service}-{}-{}", dice.pick(JOBS), dice.between(10, 99))
}

/// What runs a production job, and where.
pub(super) fn runtime(dice: &mut Dice) -> (&'static str, Place) {
    let client = if dice.chance(0.5) { LAMBDA } else { FARGATE };
    (client, Place::Production(dice.between(0, 100) as u32))
}

/// A program that shows no runtime, on a machine in production or in the racks.
pub(super) fn machine(dice: &mut Dice) -> (&'static str, Place) {
    let client = if dice.chance(0.6) { BOTO3 } else { GO_SDK };
    let host = dice.between(0, 100) as u32;
    (client, if dice.chance(0.5) { Place::Colo(host) } else { Place::Production(host) })
}

/// What a job does all day and night.
pub(super) fn round_the_clock(dice: &mut Dice) -> Pattern {
    match dice.below(3) {
        0 => Pattern::Steady(dice.real(0.8, 4.0)),
        1 => Pattern::Hourly(dice.between(0, 59)),
        _ => Pattern::Every(dice.between(12, 50)),
    }
}

/// So many people of one site, so that one clock is theirs; at least one.
pub(super) fn colleagues(draft: &Draft, dice: &mut Dice, count: usize) -> Vec<Person> {
    let site = draft.anybody(dice).site;
    let mut people: Vec<Person> = draft.company.people.iter().filter(|p| p.site == site).cloned().collect();
    dice.shuffle(&mut people);
    people.truncate(count);
    people
}

/// The first instant after a credential that the history begins with has been watched for a week.
pub(super) fn learned(draft: &Draft) -> i64 {
    draft.start + 7 * DAY
}

/// When people who come every working day in this hour have been seen on three days since both moments.
pub(super) fn third_day(draft: &Draft, clock: &Clock, since: i64, hour: i64) -> i64 {
    let first = since.max(learned(draft));
    (0..3).fold(first, |from, _| clock.working_day(from, hour) + HOUR)
}

/// One moment on a working day, again and again with so many days between, until long after the history.
pub(super) fn visits(draft: &Draft, dice: &mut Dice, clock: &Clock, since: i64, gap: Range<i64>) -> Vec<i64> {
    let mut visits = Vec::new();
    let mut from = since;
    while from < draft.end + 60 * DAY {
        let hour = dice.between(9, 17);
        let visit = clock.working_day(from, hour) + dice.below(40 * MINUTE);
        visits.push(visit);
        from = (visit.div_euclid(DAY) + dice.between(gap.start, gap.end)) * DAY;
    }
    visits
}

/// A promoted pilot that acts with the key of a user in the production account.
pub(super) fn promoted_key(draft: &mut Draft, dice: &mut Dice) -> Credential {
    let mut pilot = Pilot::new(draft, dice);
    let key = Credential::key(dice, PRODUCTION, &format!("{}-worker", pilot.id));
    pilot.stages = vec![("pilot", draft.start - 160 * DAY), ("approved", draft.start - 60 * DAY)];
    pilot.selectors.push(("role", key.arn()));
    pilot.promote(draft, draft.start - 50 * DAY);
    pilot.register(draft);
    key
}
