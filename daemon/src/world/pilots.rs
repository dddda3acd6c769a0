//! The pilots: what the registry says of each, who calls it, and what must be found.
//!
//! In: a draft. Out: pilots at all stages; here those that are in production without promotion, in
//! [`quiet`] those that only resemble them, in [`scope`] those that touch other data.

mod quiet;
mod scope;

use super::cloudtrail::{Delivery, Signer};
use super::company::{AI_HOST, FARGATE, LAMBDA, PRODUCTION, person, profile_arn, role_arn};
use super::draft::{Draft, ai_route};
use super::envoy::Target;
use super::governance::{Literal, array, flag, inline, list, text, time};
use super::pattern::{DAY, HOUR, Pattern};
use super::{BUSINESS_DEPENDENCY, ExpectedSubject, UNPROMOTED};

const FILE: &str = "pilots.toml";
const CRITERIA: &[&str] = &["data_scope", "logging", "human_oversight", "rollback", "secrets_handling"];

/// What the registry says of one pilot.
struct Pilot<'a> {
    id: &'a str,
    purpose: &'a str,
    team: &'a str,
    /// Number of its owner; the other roles are held by the next three people.
    owner: u32,
    /// Stage and the instant it began, microseconds, in order.
    stages: &'a [(&'a str, i64)],
    selectors: &'a [(&'a str, &'a str)],
    /// Names of flags that are true.
    flags: &'a [&'a str],
}

/// Adds every pilot with its traffic.
pub(super) fn add(draft: &mut Draft) {
    add_quick_rollout(draft);
    add_refused(draft);
    add_nightly_coder(draft);
    add_relied_upon(draft);
    quiet::add(draft);
    scope::add(draft);
}

fn subject(pilot: &str) -> ExpectedSubject {
    ExpectedSubject::Pilot(pilot.to_owned())
}

fn register(draft: &mut Draft, pilot: &Pilot) {
    let stages = pilot.stages.iter().enumerate().map(|(index, (stage, from))| {
        let next = pilot.stages.get(index + 1).map(|(_, to)| ("to", time(*to)));
        let mut entries = vec![("stage", text(stage)), ("from", time(*from))];
        entries.extend(next);
        inline(&entries)
    });
    let stages = array(stages.collect());
    let selectors = pilot.selectors.iter().map(|(k, v)| inline(&[("kind", text(k)), ("value", text(v))]));
    let selectors = array(selectors.collect());
    let mut entries: Vec<(&str, Literal)> = vec![
        ("id", text(pilot.id)),
        ("name", text(&pilot.id.replace('-', " "))),
        ("purpose", text(pilot.purpose)),
        ("team", text(pilot.team)),
        ("owner", text(&person(pilot.owner))),
        ("data_owner", text(&person(pilot.owner + 1))),
        ("security_approver", text(&person(pilot.owner + 2))),
        ("control_owner", text(&person(pilot.owner + 3))),
        ("profile", text("standard")),
        ("environments", list(&["sandbox", "staging"])),
        ("data_scope", list(&[&format!("s3://halden-{}", pilot.id)])),
        ("tool_scope", list(&["read"])),
    ];
    entries.extend(pilot.flags.iter().map(|f| (*f, flag(true))));
    entries.extend([("stages", stages), ("selectors", selectors)]);
    draft.governance.table(FILE, "pilot", &entries);
}

fn decide(draft: &mut Draft, pilot: &str, decided_at: i64, outcome: &str, owner: u32) {
    let entries = [
        ("pilot", text(pilot)),
        ("requested_by", text(&person(owner))),
        ("decided_by", text(&person(owner + 3))),
        ("decided_at", time(decided_at)),
        ("outcome", text(outcome)),
        ("criteria", list(CRITERIA)),
    ];
    draft.governance.table(FILE, "promotion", &entries);
}

/// Two days ago two other teams' services were switched over; customers see the answers.
fn add_quick_rollout(draft: &mut Draft) {
    let id = "quote-writer";
    let stages = [("proposed", draft.start - 90 * DAY), ("pilot", draft.start - 30 * DAY)];
    let pilot = Pilot {
        id,
        purpose: "quote-drafting",
        team: "pricing",
        owner: 23,
        stages: &stages,
        selectors: &[("route", id)],
        flags: &["external_users"],
    };
    register(draft, &pilot);
    let recent = draft.end - 50 * HOUR..i64::MAX;
    for caller in ["customer-portal", "support-chat"] {
        let stream = draft.call(caller, &ai_route(id), Pattern::Steady(24.0));
        *stream = stream.clone().within(recent.clone());
        draft.call(caller, &ai_route("quote-templates"), Pattern::Customers(26.0));
    }
    draft.expect(UNPROMOTED, subject(id), "two services of other teams switched over two days ago");
}

/// Promotion was refused; the runtime role went live in the production account all the same.
fn add_refused(draft: &mut Draft) {
    let id = "claims-triage";
    let role = "claims-triage-runtime";
    let profile = profile_arn(PRODUCTION, "q7n2x0c4v1tz");
    let stages = [("pilot", draft.start - 80 * DAY)];
    let pilot = Pilot {
        id,
        purpose: "claims-triage",
        team: "lab",
        owner: 24,
        stages: &stages,
        selectors: &[("role", &role_arn(role)), ("inference_profile", &profile)],
        flags: &["sensitive_data"],
    };
    register(draft, &pilot);
    decide(draft, id, draft.start - 12 * DAY, "refused", 24);
    let recent = draft.end - 30 * HOUR..i64::MAX;
    let own = Signer::Session {
        role: role.to_owned(),
        session: "claims-triage".to_owned(),
        delivery: Delivery::Assumed,
    };
    let model = "anthropic.claude-3-haiku-20240307-v1:0";
    let stream = draft.bedrock(role, own, LAMBDA, model, Pattern::Steady(6.0));
    *stream = stream.clone().within(recent.clone());
    let desk = service_session("claims-desk");
    let stream = draft.bedrock("claims-desk for triage", desk, FARGATE, &profile, Pattern::Steady(8.0));
    *stream = stream.clone().within(recent);
    draft.call("claims-desk", &ai_route("claims-rules"), Pattern::Steady(12.0));
    draft.expect(
        UNPROMOTED,
        subject(id),
        "refused twelve days before the log begins, live in the production account",
    );
}

/// One batch job, a call an hour: unpromoted, yes; a business that depends on it, no.
fn add_nightly_coder(draft: &mut Draft) {
    let id = "customs-coder";
    let stages = [("pilot", draft.start - 45 * DAY)];
    let pilot = Pilot {
        id,
        purpose: "customs-coding",
        team: "trade",
        owner: 25,
        stages: &stages,
        selectors: &[("route", id)],
        flags: &[],
    };
    register(draft, &pilot);
    draft.call("reporting-batch", &ai_route(id), Pattern::Hourly(17));
    for caller in ["reporting-batch", "customs-filing"] {
        draft.call(caller, &ai_route("tariff-codes"), Pattern::Steady(7.0));
    }
    draft.expect(UNPROMOTED, subject(id), "one production batch job calls it every hour, day after day");
    draft.look_alike("one batch job", &[BUSINESS_DEPENDENCY], &subject(id));
}

/// A production service's own role session in AWS.
fn service_session(service: &str) -> Signer {
    Signer::Session {
        role: format!("{service}-runtime"),
        session: service.to_owned(),
        delivery: Delivery::Web(
            "arn:aws:iam::604417720931:oidc-provider/oidc.eks.eu-west-1.amazonaws.com/id/4C1F0B7A92DE",
        ),
    }
}

/// Three pilots that working days no longer do without.
fn add_relied_upon(draft: &mut Draft) {
    let since = draft.start - 40 * DAY;
    let host = format!("eta-predictor.{AI_HOST}");
    let profile = profile_arn(PRODUCTION, "w3k8m5r1ydh0");
    let stages = &[("pilot", since)][..];
    for pilot in [
        Pilot {
            id: "eta-predictor",
            purpose: "arrival-estimates",
            team: "logistics",
            owner: 26,
            stages,
            selectors: &[("host", &host)],
            flags: &["external_users"],
        },
        Pilot {
            id: "doc-extract",
            purpose: "document-extraction",
            team: "freight-data",
            owner: 27,
            stages,
            selectors: &[("route", "doc-extract")],
            flags: &["sensitive_data"],
        },
        Pilot {
            id: "reply-drafts",
            purpose: "reply-drafting",
            team: "lab",
            owner: 28,
            stages,
            selectors: &[("inference_profile", &profile)],
            flags: &[],
        },
    ] {
        register(draft, &pilot);
        let id = pilot.id;
        draft.expect(
            UNPROMOTED,
            subject(id),
            "production services of several teams call it every working day",
        );
        draft.expect(
            BUSINESS_DEPENDENCY,
            subject(id),
            "several teams' services rely on it every working day",
        );
    }
    let estimates = Target { host, route: "eta".to_owned(), path: "/v1/estimate".to_owned(), model: None };
    for caller in
        ["order-tracking", "customer-portal", "support-chat", "notification-hub", "invoice-run", "search-api"]
    {
        draft.call(caller, &estimates, Pattern::Office(13.0));
    }
    for caller in ["customs-filing", "invoice-run", "claims-desk"] {
        draft.call(caller, &ai_route("doc-extract"), Pattern::Office(8.0));
        draft.call(caller, &ai_route("document-reader"), Pattern::Office(1.5));
    }
    for caller in ["support-mail", "carrier-portal", "credit-control", "crew-roster"] {
        let name = format!("{caller} for replies");
        draft.bedrock(&name, service_session(caller), FARGATE, &profile, Pattern::Office(4.0));
    }
}
