//! Envoy JSON access log lines, keys as in Envoy Gateway's default format plus the mTLS peer and, for AI
//! routes, the keys of Envoy AI Gateway (gateway.envoyproxy.io, "Proxy Access Logs"; aigateway.envoyproxy.io).
//!
//! In: who calls what. Out: one line. Values are invented.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::dice::Dice;
use super::entra;
use super::pattern::{HOUR, MINUTE};
use super::place::Place;

/// Where a request goes: host, route name and path of a gateway listener.
#[derive(Debug, Clone)]
pub(super) struct Target {
    pub(super) host: String,
    pub(super) route: String,
    pub(super) path: String,
    /// Model asked for on AI routes.
    pub(super) model: Option<&'static str>,
}

/// How the gateway answers.
#[derive(Debug, Clone, Copy)]
pub(super) enum Answer {
    /// 200, but for a few in a thousand.
    Fine,
    /// 403.
    Denied,
    /// 503 and 429; retries of one call share its request id.
    Down,
}

/// One caller's use of one target.
#[derive(Debug, Clone)]
pub(super) struct GatewayUse {
    /// SPIFFE id of the mTLS peer, null where the caller has none.
    pub(super) peer: Option<String>,
    /// Entra user whose access token of an hour ago is presented.
    pub(super) bearer: Option<String>,
    pub(super) user_agent: &'static str,
    pub(super) place: Place,
    pub(super) method: &'static str,
    pub(super) target: Target,
    pub(super) answer: Answer,
}

impl GatewayUse {
    /// The access log line of one request.
    pub(super) fn line(&self, at: i64, dice: &mut Dice) -> String {
        let mut line = self.request(at, dice);
        self.add_response(&mut line, dice);
        if let Some(user) = &self.bearer {
            line["jwt_sub"] = json!(user);
            line["jwt_uti"] = json!(entra::access_token(user, at - HOUR));
        }
        if let Some(model) = self.target.model {
            add_model(&mut line, model, dice);
        }
        line.to_string()
    }

    fn request(&self, at: i64, dice: &mut Dice) -> Value {
        let from = self.place.address(at);
        let time = Timestamp::from_microsecond(at).unwrap_or_default();
        json!({
            ":authority": self.target.host,
            "bytes_received": 180 + dice.below(4_000),
            "bytes_sent": 240 + dice.below(9_000),
            "connection_termination_details": null,
            "downstream_local_address": "10.20.0.4:10443",
            "downstream_peer_uri_san": self.peer,
            "downstream_remote_address": format!("{from}:{}", 32_768 + dice.below(28_000)),
            "method": self.method,
            "protocol": "HTTP/2",
            "requested_server_name": self.target.host,
            "route_name": self.target.route,
            "start_time": format!("{time:.3}"),
            "user-agent": self.user_agent,
            "x-envoy-origin-path": self.target.path,
            "x-forwarded-for": from,
            "x-request-id": self.request_id(at, dice),
        })
    }

    fn request_id(&self, at: i64, dice: &mut Dice) -> String {
        match self.answer {
            Answer::Fine | Answer::Denied => dice.uuid(),
            Answer::Down => Dice::of(0, &self.target.route, at.div_euclid(MINUTE)).uuid(),
        }
    }

    fn add_response(&self, line: &mut Value, dice: &mut Dice) {
        let (code, details, flags) = match self.answer {
            Answer::Fine => match dice.below(1_000) {
                0 => (503, "upstream_reset_before_response_started{connection_termination}", "UC"),
                1 => (504, "upstream_response_timeout", "UT"),
                2..=4 => (404, "via_upstream", "-"),
                _ => (200, "via_upstream", "-"),
            },
            Answer::Denied => (403, "rbac_access_denied_matched_policy[none]", "-"),
            Answer::Down if dice.chance(0.2) => (429, "via_upstream", "-"),
            Answer::Down => (503, "no_healthy_upstream", "UH"),
        };
        let duration = 4 + dice.below(if self.target.model.is_some() { 2_400 } else { 120 });
        line["response_code"] = json!(code);
        line["response_code_details"] = json!(details);
        line["response_flags"] = json!(flags);
        line["duration"] = json!(duration);
        line["x-envoy-upstream-service-time"] = json!((code == 200).then(|| duration.to_string()));
        line["upstream_cluster"] = json!(format!("outbound|8080||{}", self.target.route));
        line["upstream_host"] = json!(format!("10.20.{}.{}:8080", 210 + dice.below(4), 2 + dice.below(40)));
        line["upstream_local_address"] = json!(format!("10.20.0.4:{}", 40_000 + dice.below(20_000)));
        line["upstream_transport_failure_reason"] = Value::Null;
    }
}

fn add_model(line: &mut Value, model: &str, dice: &mut Dice) {
    let (input, output) = (120 + dice.below(3_000), 20 + dice.below(900));
    line["gen_ai.provider.name"] = json!("aws.bedrock");
    line["gen_ai.request.model"] = json!(model);
    line["gen_ai.usage.input_tokens"] = json!(input);
    line["gen_ai.usage.output_tokens"] = json!(output);
    line["gen_ai.usage.total_tokens"] = json!(input + output);
}
