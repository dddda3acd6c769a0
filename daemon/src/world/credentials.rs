//! Credentials with a story: three that people and workloads share, and those that only look like it.
//!
//! In: a draft. Out: their events in AWS and Entra, the labels, and the quiet cases of DOMAIN's detection (c).

use std::ops::Range;
use std::sync::Arc;

use serde_json::json;

use super::cloudtrail::{Action, AwsUse, Delivery, Signer};
use super::company::{
    API_HOST, AZURE_IDENTITY, BOTO3, BROWSER, BROWSER_WINDOWS, CI, CLI_LINUX, CLI_MAC, CLOUD_SHELL, FARGATE,
    LAMBDA, PRODUCTION, TERRAFORM, TOOLING, email, role_arn,
};
use super::dice::Dice;
use super::draft::Draft;
use super::entra::{EntraUse, SignIn};
use super::envoy::{Answer, GatewayUse, Target};
use super::governance::text;
use super::pattern::{DAY, HOUR, Pattern};
use super::place::Place;
use super::{ExpectedSubject, SHARED_CREDENTIAL};

/// What a build runner calls itself.
const RUNNER: &str = "gitlab-runner 17.4.0 (17-4-stable; go1.22.7; linux/amd64)";
/// Always.
const EVER: Range<i64> = i64::MIN..i64::MAX;

/// Adds every credential with a story.
pub(super) fn add(draft: &mut Draft) {
    add_key_on_laptops(draft);
    add_session_in_console(draft);
    add_password_in_script(draft);
    add_first_week(draft);
    add_rotation(draft);
    add_break_glass(draft);
    add_person_running_builds(draft);
    add_declared(draft);
    add_same_role(draft);
    add_neutral(draft);
    add_one_address(draft);
    add_token_in_pipeline(draft);
    add_acting_application(draft);
}

/// One use of a credential: when, from where, with which clients.
struct Use {
    label: &'static str,
    pattern: Pattern,
    clients: &'static [&'static str],
    place: Place,
    within: Range<i64>,
}

/// Ten o'clock, so many days after the day on which the history starts.
fn morning(draft: &Draft, days: i64) -> i64 {
    (draft.start.div_euclid(DAY) + days) * DAY + 10 * HOUR
}

fn key_id(user: &str, generation: i64) -> String {
    Dice::of(8, user, generation).aws_id("AKIA", 20)
}

fn static_key(key: &str) -> ExpectedSubject {
    ExpectedSubject::Credential { kind: "static_key".to_owned(), secret: key.to_owned() }
}

fn role_session(role: &str, session: &str) -> ExpectedSubject {
    ExpectedSubject::Credential {
        kind: "role_session".to_owned(),
        secret: format!("{}:{session}", role_arn(role)),
    }
}

fn sign(draft: &mut Draft, account: &'static str, signer: &Signer, name: &str, uses: Vec<Use>) {
    for one in uses {
        let act = AwsUse {
            account,
            signer: signer.clone(),
            clients: one.clients.to_vec(),
            place: one.place,
            actions: Arc::new(storage_actions(name)),
        };
        let stream = draft.aws(&format!("{name} {}", one.label), one.pattern, act);
        *stream = stream.clone().within(one.within);
    }
}

pub(super) fn key_signer(user: &str, generation: i64) -> (Signer, ExpectedSubject) {
    let key = key_id(user, generation);
    let subject = static_key(&key);
    (Signer::Key { user: user.to_owned(), key }, subject)
}

fn session_signer(role: &str, session: &str, delivery: Delivery) -> Signer {
    Signer::Session { role: role.to_owned(), session: session.to_owned(), delivery }
}

/// What jobs and people do with stored files.
pub(super) fn storage_actions(bucket: &str) -> Vec<Action> {
    let bucket = json!({ "bucketName": format!("halden-{bucket}") });
    let group = json!({ "logGroupName": "/halden/jobs" });
    vec![
        Action::new("s3.amazonaws.com", "ListBuckets", true, json!(null)),
        Action::new("s3.amazonaws.com", "GetBucketLocation", true, bucket.clone()),
        Action::new("s3.amazonaws.com", "GetBucketPolicy", true, bucket),
        Action::new("sts.amazonaws.com", "GetCallerIdentity", true, json!(null)),
        Action::new("logs.amazonaws.com", "DescribeLogStreams", true, group),
    ]
}

/// Fast: a job's long-lived key that analysts took to their browsers and shells a week ago.
fn add_key_on_laptops(draft: &mut Draft) {
    let (signer, subject) = key_signer("etl-exports", 0);
    let lately = draft.end - 7 * DAY..i64::MAX;
    let job = Use {
        label: "job",
        pattern: Pattern::Steady(1.5),
        clients: &[LAMBDA],
        place: Place::Production(11),
        within: EVER,
    };
    let browser = Use {
        label: "browser",
        pattern: Pattern::Appointments(&[9, 11, 15], 6),
        clients: &[BROWSER, BROWSER_WINDOWS],
        place: Place::Laptop(12),
        within: lately.clone(),
    };
    let shell = Use {
        label: "shell",
        pattern: Pattern::Appointments(&[14], 4),
        clients: &[CLOUD_SHELL, CLI_MAC],
        place: Place::Laptop(13),
        within: lately,
    };
    sign(draft, PRODUCTION, &signer, "etl-exports", vec![job, browser, shell]);
    draft.expect(
        SHARED_CREDENTIAL,
        subject,
        "a function's static key, for a week in browsers and shells too",
    );
}

/// Slow and low: one fixed session name for a container and for people in the console, once a day.
fn add_session_in_console(draft: &mut Draft) {
    let (role, name) = ("ledger-exports", "exports");
    let container = Use {
        label: "container",
        pattern: Pattern::Steady(0.8),
        clients: &[FARGATE],
        place: Place::Production(17),
        within: EVER,
    };
    let console = Use {
        label: "console",
        pattern: Pattern::Appointments(&[10], 4),
        clients: &[BROWSER_WINDOWS],
        place: Place::Laptop(34),
        within: EVER,
    };
    sign(draft, PRODUCTION, &session_signer(role, name, Delivery::Assumed), role, vec![container]);
    let person = session_signer(role, name, Delivery::Person { console: true });
    sign(draft, PRODUCTION, &person, role, vec![console]);
    draft.expect(
        SHARED_CREDENTIAL,
        role_session(role, name),
        "one session name for a container and, once a day, for people in the console",
    );
}

/// Spread over identity logs: a mailbox user that people sign in to and a script in the racks logs in as.
fn add_password_in_script(draft: &mut Draft) {
    let id = Dice::of(9, "dispatch-desk", 0).uuid();
    let user = EntraUse {
        id: id.clone(),
        name: "dispatch-desk@halden.example".to_owned(),
        sign_in: SignIn::Password,
        application: "Dispatch Report Loader",
        user_agent: AZURE_IDENTITY,
        place: Place::Production(23),
    };
    let people = EntraUse {
        sign_in: SignIn::Interactive,
        application: "Office 365 Exchange Online",
        user_agent: BROWSER_WINDOWS,
        place: Place::Office,
        ..user.clone()
    };
    draft.entra("dispatch-desk script", Pattern::Steady(2.0), user);
    draft.entra("dispatch-desk people", Pattern::Appointments(&[8, 13], 3), people);
    let subject = ExpectedSubject::Credential { kind: "user_object".to_owned(), secret: id };
    draft.expect(
        SHARED_CREDENTIAL,
        subject,
        "a desk's user that people sign in to and a script has the password of",
    );
}

/// Four days old and used from everywhere while it is set up.
fn add_first_week(draft: &mut Draft) {
    let (signer, subject) = key_signer("yard-sensors", 0);
    let lately = draft.end - 4 * DAY..i64::MAX;
    let job = Use {
        label: "job",
        pattern: Pattern::Steady(2.0),
        clients: &[LAMBDA],
        place: Place::Production(29),
        within: lately.clone(),
    };
    let person = Use {
        label: "person",
        pattern: Pattern::Sittings(0.5, 5),
        clients: &[BROWSER],
        place: Place::Laptop(41),
        within: lately,
    };
    sign(draft, PRODUCTION, &signer, "yard-sensors", vec![job, person]);
    draft.look_alike("first week of a key", &[SHARED_CREDENTIAL], &subject);
}

/// Key two replaces key one; the engineer tries the new one in a browser on the day of the change.
fn add_rotation(draft: &mut Draft) {
    let changed = morning(draft, 7);
    for (generation, within) in [(0, i64::MIN..changed), (1, changed..i64::MAX)] {
        let (signer, subject) = key_signer("rate-feed", generation);
        let label = if generation == 0 { "first" } else { "second" };
        let job = Use {
            label,
            pattern: Pattern::Steady(1.6),
            clients: &[LAMBDA],
            place: Place::Production(31),
            within,
        };
        sign(draft, PRODUCTION, &signer, "rate-feed", vec![job]);
        draft.look_alike("key rotation", &[SHARED_CREDENTIAL], &subject);
    }
    let tried = Use {
        label: "tried",
        pattern: Pattern::Storm(changed + HOUR, 8),
        clients: &[BROWSER],
        place: Place::Laptop(42),
        within: EVER,
    };
    let (signer, _) = key_signer("rate-feed", 1);
    sign(draft, PRODUCTION, &signer, "rate-feed", vec![tried]);
}

/// Checked by a function every day, used by a person on the day of an outage.
fn add_break_glass(draft: &mut Draft) {
    let (signer, subject) = key_signer("break-glass", 0);
    let check = Use {
        label: "check",
        pattern: Pattern::Steady(0.3),
        clients: &[LAMBDA],
        place: Place::Production(37),
        within: EVER,
    };
    let outage = Use {
        label: "outage",
        pattern: Pattern::Storm(morning(draft, 11), 25),
        clients: &[BROWSER, CLOUD_SHELL],
        place: Place::Laptop(43),
        within: EVER,
    };
    sign(draft, PRODUCTION, &signer, "break-glass", vec![check, outage]);
    draft.look_alike("break-glass", &[SHARED_CREDENTIAL], &subject);
}

/// An engineer's own SSO session: console, laptop, and builds run by hand on a runner.
fn add_person_running_builds(draft: &mut Draft) {
    let (role, person) =
        ("aws-reserved/sso.amazonaws.com/AWSReservedSSO_Builder_77d1e0c2a9b34f58", email(44));
    let console = session_signer(role, &person, Delivery::Person { console: true });
    let laptop = session_signer(role, &person, Delivery::Assumed);
    let browsing = Use {
        label: "browsing",
        pattern: Pattern::Appointments(&[9, 14], 5),
        clients: &[BROWSER],
        place: Place::Laptop(44),
        within: EVER,
    };
    let building = Use {
        label: "building",
        pattern: Pattern::Appointments(&[11, 16], 8),
        clients: &[CI],
        place: Place::Ci(7),
        within: EVER,
    };
    sign(draft, PRODUCTION, &console, "builder", vec![browsing]);
    sign(draft, PRODUCTION, &laptop, "builder", vec![building]);
    draft.look_alike("people running CI", &[SHARED_CREDENTIAL], &role_session(role, &person));
}

/// The registry says that people share it.
fn add_declared(draft: &mut Draft) {
    let (role, name) = ("night-operations", "night-desk");
    let entries = [
        ("principal", text(&role_arn(role))),
        ("reason", text("the night desk's one session, on a shared terminal")),
    ];
    draft.governance.table("networks.toml", "shared_credential", &entries);
    let desk = Use {
        label: "desk",
        pattern: Pattern::Appointments(&[9, 17], 4),
        clients: &[BROWSER],
        place: Place::Office,
        within: EVER,
    };
    let probe = Use {
        label: "probe",
        pattern: Pattern::Steady(0.7),
        clients: &[FARGATE],
        place: Place::Production(47),
        within: EVER,
    };
    sign(
        draft,
        PRODUCTION,
        &session_signer(role, name, Delivery::Person { console: true }),
        role,
        vec![desk],
    );
    sign(draft, PRODUCTION, &session_signer(role, name, Delivery::Assumed), role, vec![probe]);
    draft.look_alike("declared as shared", &[SHARED_CREDENTIAL], &role_session(role, name));
}

/// A server and a laptop assume the same role under their own session names.
fn add_same_role(draft: &mut Draft) {
    let role = "fleet-diagnostics";
    let (server, person) = ("i-0c41d7be92f05a683", email(45));
    let host = Use {
        label: "host",
        pattern: Pattern::Steady(0.8),
        clients: &[BOTO3],
        place: Place::Production(53),
        within: EVER,
    };
    let laptop = Use {
        label: "laptop",
        pattern: Pattern::Appointments(&[10, 15], 4),
        clients: &[CLI_MAC],
        place: Place::Laptop(45),
        within: EVER,
    };
    sign(draft, PRODUCTION, &session_signer(role, server, Delivery::Instance), role, vec![host]);
    sign(
        draft,
        PRODUCTION,
        &session_signer(role, &person, Delivery::Person { console: false }),
        role,
        vec![laptop],
    );
    draft.look_alike("one role, two session names", &[SHARED_CREDENTIAL], &role_session(role, server));
    draft.look_alike("one role, two session names", &[SHARED_CREDENTIAL], &role_session(role, &person));
}

/// Tools that people and pipelines run alike say nothing about who runs them.
fn add_neutral(draft: &mut Draft) {
    let (signer, subject) = key_signer("infra-apply", 0);
    let office = Use {
        label: "office",
        pattern: Pattern::Appointments(&[9, 13, 16], 6),
        clients: &[TERRAFORM, BOTO3, CLI_LINUX],
        place: Place::Office,
        within: EVER,
    };
    let racks = Use {
        label: "racks",
        pattern: Pattern::Steady(0.6),
        clients: &[TERRAFORM, BOTO3, CLI_LINUX],
        place: Place::Colo(9),
        within: EVER,
    };
    sign(draft, TOOLING, &signer, "infra-apply", vec![office, racks]);
    draft.look_alike("neutral tools", &[SHARED_CREDENTIAL], &subject);
}

/// A person's browser and a job's key leave through the same VPN address.
fn add_one_address(draft: &mut Draft) {
    let (signer, subject) = key_signer("branch-printers", 0);
    let job = Use {
        label: "job",
        pattern: Pattern::Steady(0.7),
        clients: &[LAMBDA],
        place: Place::Vpn,
        within: EVER,
    };
    sign(draft, PRODUCTION, &signer, "branch-printers", vec![job]);
    let console = session_signer("branch-support", &email(46), Delivery::Person { console: true });
    let person = Use {
        label: "person",
        pattern: Pattern::Appointments(&[9, 12, 15], 4),
        clients: &[BROWSER_WINDOWS],
        place: Place::Vpn,
        within: EVER,
    };
    sign(draft, PRODUCTION, &console, "branch-support", vec![person]);
    draft.look_alike("shared VPN address", &[SHARED_CREDENTIAL], &subject);
    draft.look_alike("shared VPN address", &[SHARED_CREDENTIAL], &role_session("branch-support", &email(46)));
}

/// An engineer pastes her access token into a pipeline, morning and afternoon: Entra sees her, the gateway the pipeline.
fn add_token_in_pipeline(draft: &mut Draft) {
    let subject = add_handed_on(draft, "berth-tests", SignIn::Granting { application: false });
    draft.expect(
        SHARED_CREDENTIAL,
        subject,
        "a person's access token, from a sign-in on her laptop, presented by a build pipeline",
    );
}

/// A build service that people sign in to, with a secret of its own, calls for them.
fn add_acting_application(draft: &mut Draft) {
    let subject = add_handed_on(draft, "berth-builds", SignIn::Granting { application: true });
    draft.look_alike("application that acts for a person", &[SHARED_CREDENTIAL], &subject);
}

/// A person signs in for a token, and builds present it in the next hour.
fn add_handed_on(draft: &mut Draft, name: &str, sign_in: SignIn) -> ExpectedSubject {
    let id = Dice::of(9, name, 0).uuid();
    let person = EntraUse {
        id: id.clone(),
        name: format!("{name}-lead@halden.example"),
        sign_in,
        application: "Berth Planner",
        user_agent: BROWSER,
        place: Place::Laptop(48),
    };
    let builds = GatewayUse {
        peer: None,
        bearer: Some(id.clone()),
        user_agent: RUNNER,
        place: Place::Ci(9),
        method: "POST",
        target: Target {
            host: API_HOST.to_owned(),
            route: "berth-plans".to_owned(),
            path: "/berth-plans/v2/plans".to_owned(),
            model: None,
        },
        answer: Answer::Fine,
    };
    draft.entra(&format!("{name} person"), Pattern::Appointments(&[9, 14], 1), person);
    draft.gateway(&format!("{name} builds"), Pattern::Appointments(&[10, 15], 8), builds);
    ExpectedSubject::Credential { kind: "user_object".to_owned(), secret: id }
}
