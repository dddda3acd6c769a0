//! Kong Gateway log, as its log plugins serialise it (developer.konghq.com, "HTTP Log" and "AI Gateway audit log
//! reference"). Callers are consumers that a key of theirs authenticated. Kong numbers every request itself: what is
//! tried again shares the trace that the client sent.

use serde_json::{Value, json};

use super::{Request, upstream};
use crate::dice::Dice;
use crate::template::{Alphabet, Form, blank};

/// The entry of a request that was answered so.
pub(super) fn record(request: &Request, status: u16) -> Value {
    let Request { caller, target, method, .. } = request;
    let id = |of: u64, name: &str| Dice::of(of, name, 0).uuid();
    let is_answered = status != 403;
    let server = upstream();
    let (address, _) = server.rsplit_once(':').expect("an address and a port");
    let mut entry = json!({
        "started_at": blank::time(Form::EpochMillis),
        "client_ip": blank::address(),
        "latencies": {
            "kong": blank::integer(1, 9),
            "proxy": if is_answered { json!(blank::integer(3, target.slowest())) } else { json!(-1) },
            "receive": 0,
            "request": blank::integer(4, target.slowest() + 9),
        },
        "request": {
            "id": blank::letters(Alphabet::Hex, 32),
            "method": method,
            "uri": target.path,
            "url": format!("https://{}:8443{}", target.host, target.path),
            "size": blank::integer(180, 4_180),
            "querystring": {},
            "headers": {
                "host": target.host,
                "user-agent": caller.user_agent,
                "accept": "*/*",
                "content-type": "application/json",
                "traceparent": request.traceparent(),
            },
        },
        "response": {
            "status": status,
            "size": blank::integer(240, 9_240),
            "headers": { "content-type": "application/json", "via": "1.1 kong/3.10.0.1-enterprise-edition" },
        },
        "route": {
            "id": id(31, &target.route),
            "name": target.route,
            "paths": [format!("/{}", target.route)],
            "protocols": ["https"],
        },
        "service": {
            "id": id(32, &target.route),
            "name": target.route,
            "host": format!("{}.internal.halden.example", target.route),
            "port": 8080,
            "protocol": "http",
        },
        "source": if is_answered { "upstream" } else { "exit" },
        "tries": [{ "ip": address, "port": 8080, "balancer_latency": 0 }],
        "upstream_status": if is_answered { json!(status.to_string()) } else { Value::Null },
        "upstream_uri": target.path,
        "workspace": id(33, "halden"),
        "workspace_name": "default",
    });
    if let Some(consumer) = &caller.consumer {
        let consumer_id = id(34, consumer);
        entry["authenticated_entity"] = json!({ "id": id(35, consumer), "consumer_id": consumer_id });
        entry["consumer"] = json!({ "id": consumer_id, "username": consumer, "custom_id": null });
    }
    if let Some(model) = &target.model {
        entry["ai"] = json!({ "proxy": ai(model) });
    }
    entry
}

/// What the AI proxy says of one call of a model.
fn ai(model: &str) -> Value {
    json!({
        "meta": {
            "plugin_id": Dice::of(36, model, 0).uuid(),
            "provider_name": "bedrock",
            "request_model": model,
            "response_model": model,
            "request_mode": "oneshot",
            "llm_latency": blank::integer(120, 2_400),
        },
        "usage": {
            "prompt_tokens": blank::integer(120, 3_120),
            "completion_tokens": blank::integer(20, 920),
        },
    })
}
