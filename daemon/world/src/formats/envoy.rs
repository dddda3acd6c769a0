//! Envoy JSON access log lines, keys as in Envoy Gateway's default format plus the mTLS peer and, for AI
//! routes, the keys of Envoy AI Gateway (gateway.envoyproxy.io, "Proxy Access Logs"; aigateway.envoyproxy.io).

use serde_json::{Value, json};

use super::{Answer, Request, entra, upstream};
use crate::template::{Alphabet, Form, blank};

/// The access log line of a request that was answered so.
pub(super) fn record(request: &Request, status: u16) -> Value {
    let Request { caller, target, method, answer } = request;
    let (details, flags) = match status {
        503 if *answer == Answer::Fine => {
            ("upstream_reset_before_response_started{connection_termination}", "UC")
        }
        503 => ("no_healthy_upstream", "UH"),
        504 => ("upstream_response_timeout", "UT"),
        403 => ("rbac_access_denied_matched_policy[none]", "-"),
        _ => ("via_upstream", "-"),
    };
    let slowest = target.slowest();
    let mut line = json!({
        ":authority": target.host,
        "bytes_received": blank::integer(180, 4_180),
        "bytes_sent": blank::integer(240, 9_240),
        "connection_termination_details": null,
        "downstream_local_address": "10.20.0.4:10443",
        "downstream_peer_uri_san": caller.peer,
        "downstream_remote_address": format!("{}:{}", blank::address(), blank::number(32_768, 60_768)),
        "duration": blank::integer(4, slowest),
        "method": method,
        "protocol": "HTTP/2",
        "requested_server_name": target.host,
        "response_code": status,
        "response_code_details": details,
        "response_flags": flags,
        "route_name": target.route,
        "start_time": blank::time(Form::Millis),
        "upstream_cluster": format!("outbound|8080||{}", target.route),
        "upstream_host": upstream(),
        "upstream_local_address": format!("10.20.0.4:{}", blank::number(40_000, 60_000)),
        "upstream_transport_failure_reason": null,
        "user-agent": caller.user_agent,
        "x-envoy-origin-path": target.path,
        "x-envoy-upstream-service-time": (status == 200).then(|| blank::number(4, slowest)),
        "x-forwarded-for": blank::address(),
        "x-request-id": request.id(),
    });
    if let Some(user) = &caller.bearer {
        line["jwt_sub"] = json!(user);
        line["jwt_uti"] = json!(entra::access_token_of_an_hour_ago(user));
    }
    line
}

/// The same with what Envoy AI Gateway adds.
pub(super) fn ai_record(request: &Request, status: u16) -> Value {
    let mut line = record(request, status);
    if let Some(model) = &request.target.model {
        line["gen_ai.provider.name"] = json!("aws.bedrock");
        line["gen_ai.request.model"] = json!(model);
        line["gen_ai.usage.input_tokens"] = json!(blank::integer(120, 3_120));
        line["gen_ai.usage.output_tokens"] = json!(blank::integer(20, 920));
    }
    line
}

/// The access log line of a tool call through Envoy AI Gateway, which names a tool `server__tool`.
pub(crate) fn tool_call(request: &Request, status: u16, tool: &str) -> Value {
    let mut line = record(request, status);
    line["mcp.method.name"] = json!("tools/call");
    line["mcp.provider.name"] = json!(tool.split("__").next());
    line["mcp.session.id"] = json!(blank::periodic(&request.caller.name, 6, Alphabet::Hex, 32));
    line["mcp.tool.name"] = json!(tool);
    if let Some(key) = &request.caller.api_key_id {
        line["api_key_id"] = json!(key);
    }
    line
}
