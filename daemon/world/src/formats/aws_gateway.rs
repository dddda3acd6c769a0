//! Amazon API Gateway access log of REST APIs, its keys named after the `$context` variables
//! (docs.aws.amazon.com, "Variables for access logging for API Gateway"). Every value but the epoch time is a text, as
//! in AWS's own examples. Callers are keys of a usage plan or the subject of a token. API Gateway numbers every request
//! itself: what is tried again shares its X-Ray trace.

use serde_json::{Value, json};

use super::{Request, entra};
use crate::company::{PRODUCTION, STAGING};
use crate::dice::Dice;
use crate::template::{Alphabet, Form, blank};

/// The entry of a request that was answered so.
pub(super) fn record(request: &Request, status: u16) -> Value {
    let Request { caller, target, method, .. } = request;
    let is_staging = target.is_staging();
    let error = match status {
        200 | 404 => "-",
        403 => "ACCESS_DENIED",
        429 => "THROTTLED",
        504 => "INTEGRATION_TIMEOUT",
        _ => "INTEGRATION_FAILURE",
    };
    let mut entry = json!({
        "accountId": if is_staging { STAGING } else { PRODUCTION },
        "apiId": Dice::of(37, &target.route, 0).id("", Alphabet::Hex, 10),
        "apiKeyId": caller.api_key_id.as_deref().unwrap_or("-"),
        "domainName": target.host,
        "errorResponseType": error,
        "extendedRequestId": format!("{}=", blank::letters(Alphabet::Mixed, 15)),
        "httpMethod": method,
        "integrationStatus": if status == 403 { "-".to_owned() } else { status.to_string() },
        "path": target.path,
        "protocol": "HTTP/1.1",
        "requestId": blank::uuid(),
        "requestTime": blank::time(Form::Common),
        "requestTimeEpoch": blank::time(Form::EpochMillis),
        "resourcePath": target.path,
        "responseLatency": blank::number(4, target.slowest()),
        "responseLength": blank::number(240, 9_240),
        "sourceIp": blank::address(),
        "stage": if is_staging { "stage" } else { "prod" },
        "status": status.to_string(),
        "userAgent": caller.user_agent,
        "xrayTraceId": format!("1-{}-{}", request.hex(8), request.hex(24)),
    });
    if let Some(user) = &caller.bearer {
        let claims = json!({ "sub": user, "uti": entra::access_token_of_an_hour_ago(user) });
        entry["authorizer"] = json!({ "claims": claims });
    }
    entry
}
