//! LiteLLM proxy: the standard logging payload that its callbacks send (docs.litellm.ai, "StandardLoggingPayload
//! Specification"). It knows neither hosts nor paths: a model group is what a route is elsewhere, and where the models
//! run tells staging from production. Callers are virtual keys, by alias. Only calls of models are logged: no health
//! check is.

use serde_json::{Value, json};

use super::Request;
use crate::dice::Dice;
use crate::template::{Alphabet, Form, blank};

/// Where the models of production run, and those of staging.
pub(crate) const PRODUCTION_MODELS: &str = "https://models.halden.example/v1";
const STAGING_MODELS: &str = "https://models.stage.halden.example/v1";

/// Alias of the virtual key that a consumer has.
pub(crate) fn key_alias(consumer: &str) -> String {
    format!("{consumer}-models")
}

/// The payload of a call that was answered so.
pub(super) fn record(request: &Request, status: u16) -> Value {
    let Request { caller, target, .. } = request;
    let is_fine = status == 200;
    let error = match status {
        200 => json!({ "error_code": "", "error_class": "", "llm_provider": "" }),
        _ => {
            json!({ "error_code": status.to_string(), "error_class": error_class(status), "llm_provider": "bedrock" })
        }
    };
    let alias = caller.consumer.as_deref().map(key_alias);
    let hash = alias.as_ref().map(|alias| Dice::of(38, alias, 0).id("", Alphabet::Hex, 64));
    let tokens = |from, to| if is_fine { json!(blank::integer(from, to)) } else { json!(0) };
    json!({
        "id": format!("chatcmpl-{}", blank::uuid()),
        "trace_id": request.id(),
        "call_type": "acompletion",
        "stream": false,
        "status": if is_fine { "success" } else { "failure" },
        "custom_llm_provider": "bedrock",
        "startTime": blank::time(Form::EpochSeconds),
        "model": target.model,
        "model_group": target.route,
        "model_id": Dice::of(39, &target.route, 0).id("", Alphabet::Hex, 64),
        "api_base": if target.is_staging() { STAGING_MODELS } else { PRODUCTION_MODELS },
        "prompt_tokens": tokens(120, 3_120),
        "completion_tokens": tokens(20, 920),
        "cache_hit": null,
        "end_user": "",
        "requester_ip_address": blank::address(),
        "request_tags": [],
        "error_information": error,
        "metadata": {
            "user_api_key_hash": hash,
            "user_api_key_alias": alias,
            "user_api_key_user_id": null,
            "user_api_key_team_id": null,
            "user_api_key_team_alias": null,
            "requester_ip_address": blank::address(),
            "user_agent": caller.user_agent,
        },
    })
}

fn error_class(status: u16) -> &'static str {
    match status {
        403 => "PermissionDeniedError",
        404 => "NotFoundError",
        429 => "RateLimitError",
        504 => "Timeout",
        _ => "ServiceUnavailableError",
    }
}
