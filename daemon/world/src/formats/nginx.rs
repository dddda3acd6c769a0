//! NGINX access log, JSON, its keys named after the variables (nginx.org, "ngx_http_log_module", "Embedded
//! variables"). Callers are users of its basic authentication or the subject of a token. It knows no routes: paths
//! stand for them, and a model is not seen. What it mirrors it does not log a second time.

use serde_json::{Value, json};

use super::{Request, entra, upstream};
use crate::template::{Form, blank};

/// The access log line of a request that was answered so.
pub(super) fn record(request: &Request, status: u16) -> Value {
    let Request { caller, target, method, .. } = request;
    let is_answered = status != 403;
    let mut line = json!({
        "msec": blank::time(Form::EpochSeconds),
        "time_local": blank::time(Form::Common),
        "remote_addr": blank::address(),
        "remote_user": caller.consumer.as_deref().unwrap_or_default(),
        "request": format!("{method} {} HTTP/1.1", target.path),
        "request_method": method,
        "request_uri": target.path,
        "request_id": request.hex(32),
        "request_length": blank::integer(180, 4_180),
        "request_time": format!("0.{}", blank::number(100, 999)),
        "status": status,
        "body_bytes_sent": blank::integer(240, 9_240),
        "http_host": target.host,
        "http_user_agent": caller.user_agent,
        "http_traceparent": request.traceparent(),
        "server_name": target.host,
        "upstream_addr": if is_answered { upstream() } else { String::new() },
        "upstream_status": if is_answered { status.to_string() } else { String::new() },
        "ssl_protocol": "TLSv1.3",
        "ssl_client_verify": "NONE",
        "ssl_client_s_dn": "",
    });
    if let Some(user) = &caller.bearer {
        line["jwt_claim_sub"] = json!(user);
        line["jwt_claim_uti"] = json!(entra::access_token_of_an_hour_ago(user));
    }
    line
}
