//! Cloudflare AI Gateway logs, as its API lists them (developers.cloudflare.com, "AI Gateway", "List logs"). They hold
//! neither address nor client nor host: nobody can say who called, nor for what but the model. No story that needs
//! callers happens here, and no pilot is known by it.

use serde_json::{Value, json};

use super::Request;
use crate::template::{Alphabet, Form, blank};

/// The log of a request that was answered so.
pub(super) fn record(request: &Request, status: u16) -> Value {
    let target = &request.target;
    let is_fine = status == 200;
    let tokens = |from, to| if is_fine { json!(blank::integer(from, to)) } else { json!(0) };
    json!({
        "id": format!("01{}", blank::letters(Alphabet::Upper, 24)),
        "created_at": blank::time(Form::Millis),
        "cached": false,
        "provider": "aws-bedrock",
        "model": target.model,
        "model_type": "chat",
        "path": format!("model/{}/converse", target.model.as_deref().unwrap_or_default()),
        "duration": blank::integer(120, target.slowest()),
        "success": is_fine,
        "status_code": status,
        "tokens_in": tokens(120, 3_120),
        "tokens_out": tokens(20, 920),
        "request_type": "chat",
        "request_content_type": "application/json",
        "response_content_type": "application/json",
        "step": 0,
        "metadata": null,
    })
}
