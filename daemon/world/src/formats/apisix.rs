//! Apache APISIX log in the default layout of its logger plugins (apisix.apache.org, "http-logger" and "ai-proxy";
//! apisix/utils/log-util.lua in apache/apisix on GitHub). Callers are consumers that a key of theirs authenticated.

use serde_json::{Value, json};

use super::{Request, upstream};
use crate::template::{Form, blank};

/// The entry of a request that was answered so.
pub(super) fn record(request: &Request, status: u16) -> Value {
    let Request { caller, target, method, .. } = request;
    let slowest = target.slowest();
    let mut entry = json!({
        "apisix_latency": blank::integer(1, 9),
        "client_ip": blank::address(),
        "latency": blank::integer(4, slowest),
        "request": {
            "method": method,
            "uri": target.path,
            "url": format!("https://{}:9443{}", target.host, target.path),
            "size": blank::integer(180, 4_180),
            "querystring": {},
            "headers": {
                "host": target.host,
                "user-agent": caller.user_agent,
                "accept": "*/*",
                "content-type": "application/json",
                "traceparent": request.traceparent(),
                "x-request-id": request.id(),
            },
        },
        "response": {
            "status": status,
            "size": blank::integer(240, 9_240),
            "headers": { "content-type": "application/json", "server": "APISIX/3.13.0" },
        },
        "route_id": target.route,
        "server": { "hostname": "apisix-7f9c5d6b4-x2x9q", "version": "3.13.0" },
        "service_id": "",
        "start_time": blank::time(Form::EpochMillis),
    });
    if status != 403 {
        entry["upstream"] = json!(upstream());
        entry["upstream_latency"] = json!(blank::integer(3, slowest));
    }
    if let Some(consumer) = &caller.consumer {
        entry["consumer"] = json!({ "username": consumer });
    }
    if let Some(model) = &target.model {
        entry["llm_summary"] = json!({
            "request_model": model,
            "model": model,
            "duration": blank::integer(120, slowest),
            "prompt_tokens": blank::integer(120, 3_120),
            "completion_tokens": blank::integer(20, 920),
            "stream": false,
        });
    }
    entry
}
