//! Traefik access log, JSON, with the headers that its operators keep (doc.traefik.io, "Logs & AccessLogs";
//! pkg/middlewares/accesslog in traefik/traefik on GitHub). Callers are the users of its basic authentication. What it
//! mirrors it does not log a second time.

use serde_json::{Value, json};

use super::{Request, Target, upstream};
use crate::template::{Form, blank};

/// Name of the router for a target: Traefik names who configured it.
pub(super) fn router(target: &Target) -> String {
    format!("{}@kubernetes", target.route)
}

/// The access log line of a request that was answered so.
pub(super) fn record(request: &Request, status: u16) -> Value {
    let Request { caller, target, method, .. } = request;
    let slowest = target.slowest() * 1_000_000;
    let server = upstream();
    let is_refused = status == 403;
    json!({
        "ClientAddr": format!("{}:{}", blank::address(), blank::number(32_768, 60_768)),
        "ClientHost": blank::address(),
        "ClientPort": blank::number(32_768, 60_768),
        "ClientUsername": caller.consumer.as_deref().unwrap_or("-"),
        "DownstreamContentSize": blank::integer(240, 9_240),
        "DownstreamStatus": status,
        "Duration": blank::integer(4_000_000, slowest),
        "OriginContentSize": if is_refused { json!(0) } else { json!(blank::integer(240, 9_240)) },
        "OriginDuration": if is_refused { json!(0) } else { json!(blank::integer(3_000_000, slowest)) },
        "OriginStatus": if is_refused { 0 } else { status },
        "Overhead": blank::integer(40_000, 900_000),
        "RequestAddr": target.host,
        "RequestContentSize": blank::integer(180, 4_180),
        "RequestCount": blank::integer(1_000, 900_000),
        "RequestHost": target.host,
        "RequestMethod": method,
        "RequestPath": target.path,
        "RequestPort": "-",
        "RequestProtocol": "HTTP/2.0",
        "RequestScheme": "https",
        "RetryAttempts": 0,
        "RouterName": router(target),
        "ServiceAddr": server,
        "ServiceName": format!("{}-8080@kubernetes", target.route),
        "StartUTC": blank::time(Form::Nanos),
        "TLSCipher": "TLS_AES_128_GCM_SHA256",
        "TLSVersion": "1.3",
        "entryPointName": "websecure",
        "level": "info",
        "msg": "",
        "request_Traceparent": request.traceparent(),
        "request_User-Agent": caller.user_agent,
        "request_X-Request-Id": request.id(),
        "time": blank::time(Form::Seconds),
    })
}
