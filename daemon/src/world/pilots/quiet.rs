//! Pilots that look like trouble and are none: what detections (a) and (b) must not be confused with.
//!
//! In: a draft. Out: their governance, traffic and look-alike labels.

use super::{FILE, Pilot, decide, register, subject};
use crate::world::company::{AI_HOST, PYTHON, SANDBOX, peer, person, profile_arn, staging_peer};
use crate::world::draft::{Draft, ai_route};
use crate::world::envoy::Answer;
use crate::world::governance::{text, time};
use crate::world::pattern::{DAY, HOUR, MINUTE, Pattern};
use crate::world::{BUSINESS_DEPENDENCY, REVOKED, UNPROMOTED};

/// Adds every pilot that must stay quiet.
pub(super) fn add(draft: &mut Draft) {
    add_promoted(draft);
    add_mirrored(draft);
    add_canary(draft);
    add_registry_lag(draft);
    add_shared_key(draft);
    add_own_team(draft);
    add_tested(draft);
    add_outage(draft);
    add_out_of_production(draft);
    add_staging(draft);
    add_stranded_caller(draft);
}

/// Promoted as the policy wants it, and busy.
fn add_promoted(draft: &mut Draft) {
    let start = draft.start;
    let promoted = [
        ("invoice-matcher", "invoice-matching", "finance", 20, 24.0),
        ("support-summaries", "ticket-summaries", "support", 21, 20.0),
        ("pallet-counter", "pallet-counting", "logistics", 22, 12.0),
    ];
    for (id, purpose, team, owner, rate) in promoted {
        let stages =
            [("pilot", start - 200 * DAY), ("approved", start - 70 * DAY), ("production", start - 60 * DAY)];
        let selectors = [("route", id)];
        register(
            draft,
            &Pilot { id, purpose, team, owner, stages: &stages, selectors: &selectors, flags: &[] },
        );
        decide(draft, id, start - 61 * DAY, "approved", owner);
        for caller in ["order-intake", "customer-portal", "support-mail", "rate-cards"] {
            draft.call(caller, &ai_route(id), Pattern::Customers(rate));
        }
        draft.look_alike("promoted and busy", &[UNPROMOTED, BUSINESS_DEPENDENCY], &subject(id));
    }
}

/// The gateway mirrors production requests to it; nobody sees the answers.
fn add_mirrored(draft: &mut Draft) {
    let id = "dock-optimizer";
    let stages = [("pilot", draft.start - 25 * DAY)];
    let pilot = Pilot {
        id,
        purpose: "dock-planning",
        team: "lab",
        owner: 29,
        stages: &stages,
        selectors: &[("route", id)],
        flags: &[],
    };
    register(draft, &pilot);
    let mut target = ai_route(id);
    target.host = format!("{AI_HOST}-shadow");
    for caller in ["order-tracking", "dock-schedule", "carrier-portal"] {
        draft.call(caller, &target, Pattern::Customers(16.0));
    }
    draft.look_alike("mirrored traffic", &[UNPROMOTED, BUSINESS_DEPENDENCY], &subject(id));
}

/// A small share of production traffic, inside an exception that is still valid.
fn add_canary(draft: &mut Draft) {
    let id = "fraud-scorer";
    let stages = [("pilot", draft.start - 60 * DAY), ("approved", draft.start - 5 * DAY)];
    let pilot = Pilot {
        id,
        purpose: "fraud-scoring",
        team: "freight-data",
        owner: 30,
        stages: &stages,
        selectors: &[("route", id)],
        flags: &["sensitive_data"],
    };
    register(draft, &pilot);
    let exception = [
        ("id", text("EX-0147")),
        ("pilot", text(id)),
        ("allows", text("production_traffic")),
        ("granted_by", text(&person(33))),
        ("granted_at", time(draft.start - 4 * DAY)),
        ("expires_at", time(draft.end + 30 * DAY)),
    ];
    draft.governance.table(FILE, "exception", &exception);
    let recent = draft.end - 6 * DAY..i64::MAX;
    for caller in ["quote-desk", "credit-control"] {
        let stream = draft.call(caller, &ai_route(id), Pattern::Steady(1.2));
        *stream = stream.clone().within(recent.clone());
        draft.call(caller, &ai_route("fraud-rules"), Pattern::Steady(14.0));
    }
    draft.look_alike("canary inside an exception", &[UNPROMOTED, BUSINESS_DEPENDENCY], &subject(id));
}

/// Deployed at night twenty minutes before the registry learned of the promotion.
fn add_registry_lag(draft: &mut Draft) {
    let id = "label-reader";
    let promoted = (draft.start + 10 * DAY).div_euclid(DAY) * DAY + 3 * HOUR;
    let stages = [("pilot", draft.start - 50 * DAY), ("production", promoted)];
    let pilot = Pilot {
        id,
        purpose: "label-reading",
        team: "logistics",
        owner: 31,
        stages: &stages,
        selectors: &[("route", id)],
        flags: &[],
    };
    register(draft, &pilot);
    decide(draft, id, promoted, "approved", 31);
    for caller in ["order-intake", "carrier-portal"] {
        let stream = draft.call(caller, &ai_route(id), Pattern::Steady(70.0));
        *stream = stream.clone().within(promoted - 20 * MINUTE..promoted + 2 * HOUR);
        let (name, peer) = (format!("{caller} since"), Some(peer(caller)));
        let later = Pattern::Customers(12.0);
        let stream = draft.request(&name, peer, PYTHON, "POST", &ai_route(id), Answer::Fine, later);
        *stream = stream.clone().within(promoted + 2 * HOUR..i64::MAX);
        draft.call(caller, &ai_route("label-ocr"), Pattern::Steady(10.0));
    }
    draft.look_alike("registry lag inside the grace", &[UNPROMOTED, BUSINESS_DEPENDENCY], &subject(id));
}

/// Two pilots behind one route: nobody can say whose request it was.
fn add_shared_key(draft: &mut Draft) {
    for (id, purpose, owner) in
        [("tender-bot", "tender-answers", 32), ("contract-review", "contract-review", 33)]
    {
        let stages = [("pilot", draft.start - 35 * DAY)];
        let selectors = [("route", "llm-shared")];
        register(
            draft,
            &Pilot { id, purpose, team: "lab", owner, stages: &stages, selectors: &selectors, flags: &[] },
        );
        draft.look_alike("shared gateway key", &[UNPROMOTED, BUSINESS_DEPENDENCY], &subject(id));
    }
    for caller in ["quote-desk", "support-mail", "credit-control"] {
        draft.call(caller, &ai_route("llm-shared"), Pattern::Customers(9.0));
    }
}

/// The team that builds it uses it heavily.
fn add_own_team(draft: &mut Draft) {
    let id = "route-advisor";
    let stages = [("pilot", draft.start - 33 * DAY)];
    let pilot = Pilot {
        id,
        purpose: "route-planning",
        team: "logistics",
        owner: 34,
        stages: &stages,
        selectors: &[("route", id)],
        flags: &["write_tools"],
    };
    register(draft, &pilot);
    for caller in ["route-planner", "fleet-telemetry", "dock-schedule"] {
        draft.call(caller, &ai_route(id), Pattern::Office(24.0));
    }
    draft.look_alike("the owner's own team", &[UNPROMOTED, BUSINESS_DEPENDENCY], &subject(id));
}

/// Load tests and health checks only.
fn add_tested(draft: &mut Draft) {
    let id = "search-rerank";
    let stages = [("pilot", draft.start - 28 * DAY), ("approved", draft.start + 2 * DAY)];
    let pilot = Pilot {
        id,
        purpose: "search-ranking",
        team: "freight-data",
        owner: 35,
        stages: &stages,
        selectors: &[("route", id)],
        flags: &[],
    };
    register(draft, &pilot);
    let target = ai_route(id);
    let mut probe = target.clone();
    (probe.path, probe.model) = (format!("/{id}/healthz"), None);
    for day in [6, 13] {
        let caller = format!("traffic-generator-{day}");
        let peer = Some(peer("traffic-generator"));
        let storm = Pattern::Storm(draft.start + day * DAY + 5 * HOUR, 900);
        draft.request(&caller, peer, "k6/0.54.0 (https://k6.io/)", "POST", &target, Answer::Fine, storm);
    }
    let probes = Pattern::Steady(6.0);
    draft.request("kubelet", None, "kube-probe/1.30", "GET", &probe, Answer::Fine, probes);
    draft.look_alike("load test and health checks", &[UNPROMOTED, BUSINESS_DEPENDENCY], &subject(id));
}

/// One caller's retries against a pilot that is down: many lines, hardly an answer.
fn add_outage(draft: &mut Draft) {
    let id = "mail-sorter";
    let stages = [("pilot", draft.start - 21 * DAY)];
    let pilot = Pilot {
        id,
        purpose: "mail-routing",
        team: "lab",
        owner: 36,
        stages: &stages,
        selectors: &[("route", id)],
        flags: &[],
    };
    register(draft, &pilot);
    let caller = "notification-hub";
    let moment = (draft.start + 9 * DAY).div_euclid(DAY) * DAY + 2 * HOUR + 5 * MINUTE;
    let peer = Some(peer(caller));
    let storm = Pattern::Storm(moment, 900);
    draft.request(
        "notification-hub-retry",
        peer,
        "okhttp/4.12.0",
        "POST",
        &ai_route(id),
        Answer::Down,
        storm,
    );
    draft.call(caller, &ai_route(id), Pattern::Storm(moment, 6));
    draft.call(caller, &ai_route("mail-rules"), Pattern::Customers(12.0));
    draft.look_alike("retry storm", &[UNPROMOTED, BUSINESS_DEPENDENCY], &subject(id));
}

/// Pilots that are where they should be: staging, sandbox, nowhere.
fn add_out_of_production(draft: &mut Draft) {
    let start = draft.start;
    let profile = profile_arn(SANDBOX, "e5b1z9u6fop2");
    for pilot in [
        Pilot {
            id: "warehouse-vision",
            purpose: "shelf-scanning",
            team: "lab",
            owner: 37,
            stages: &[("approved", start - 15 * DAY)],
            selectors: &[("route", "warehouse-vision")],
            flags: &[],
        },
        Pilot {
            id: "bid-helper",
            purpose: "bid-writing",
            team: "pricing",
            owner: 38,
            stages: &[("proposed", start - 9 * DAY)],
            selectors: &[("inference_profile", &profile)],
            flags: &[],
        },
        Pilot {
            id: "crew-chat",
            purpose: "crew-questions",
            team: "crew",
            owner: 39,
            stages: &[("pilot", start - 99 * DAY), ("revoked", start - 19 * DAY)],
            selectors: &[("route", "crew-chat")],
            flags: &[],
        },
        Pilot {
            id: "lane-forecast",
            purpose: "lane-forecasting",
            team: "freight-data",
            owner: 40,
            stages: &[("pilot", start - 88 * DAY), ("suspended", start - 8 * DAY)],
            selectors: &[("route", "lane-forecast")],
            flags: &[],
        },
    ] {
        register(draft, &pilot);
    }
}

/// Staging's services call a pilot in staging.
fn add_staging(draft: &mut Draft) {
    let mut staging = ai_route("warehouse-vision");
    staging.host = "ai.stage.halden.example".to_owned();
    for caller in ["dock-schedule", "search-api", "order-intake"] {
        let peer = Some(staging_peer(caller));
        let name = format!("{caller}-stage");
        draft.request(
            &name,
            peer,
            "Go-http-client/2.0",
            "POST",
            &staging,
            Answer::Fine,
            Pattern::Office(9.0),
        );
    }
    draft.look_alike("staging only", &[UNPROMOTED, BUSINESS_DEPENDENCY], &subject("warehouse-vision"));
}

/// A caller that was never told: every call of a revoked pilot is refused. No production, but a stranded caller.
fn add_stranded_caller(draft: &mut Draft) {
    let peer = Some(peer("carrier-portal"));
    let denied = Pattern::Steady(0.5);
    draft.request(
        "carrier-portal",
        peer,
        "axios/1.7.7",
        "POST",
        &ai_route("crew-chat"),
        Answer::Denied,
        denied,
    );
    draft.look_alike("revoked and denied", &[UNPROMOTED, BUSINESS_DEPENDENCY], &subject("crew-chat"));
    draft.expect(REVOKED, subject("crew-chat"), "revoked before the log begins, and a caller was never told");
}
