//! The providers' own log shapes, one file a format; here what a gateway sees of a request, whichever gateway it is.
//!
//! In: who does what, how. Out: records with blanks. Values are invented; what a field is called, and where it stands,
//! is the provider's (the page is named in each file).

mod apigee;
pub(crate) mod apim;
mod apisix;
pub(crate) mod approvals;
pub(crate) mod auth0;
mod aws_gateway;
pub(crate) mod azure;
pub(crate) mod bedrock;
mod cloudflare;
pub(crate) mod cloudtrail;
pub(crate) mod entra;
pub(crate) mod envoy;
pub(crate) mod gcp;
pub(crate) mod keycloak;
mod kong;
pub(crate) mod kubernetes;
pub(crate) mod litellm;
mod nginx;
pub(crate) mod ocsf;
pub(crate) mod okta;
mod traefik;
pub(crate) mod vault;
pub(crate) mod workspace;

use serde_json::Value;

use super::company::{HTTP_CLIENTS, Workload};
use super::template::{Alphabet, Mix, blank};
use super::topics::Topic;

/// A gateway, by the log that it writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Gateway {
    /// Envoy without AI: any API.
    Envoy,
    /// Envoy AI Gateway.
    EnvoyAi,
    /// Traefik Proxy.
    Traefik,
    /// Kong Gateway, with its AI proxy where a model is asked for.
    Kong,
    /// Apache APISIX, with its AI proxy where a model is asked for.
    Apisix,
    /// Azure API Management.
    Apim,
    /// Amazon API Gateway.
    Aws,
    /// NGINX.
    Nginx,
    /// Apigee.
    Apigee,
    /// LiteLLM proxy.
    LiteLlm,
    /// Cloudflare AI Gateway.
    CloudflareAi,
}

/// Who asks, in all the ways in which gateways name callers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Caller {
    /// Names the stream; shown to no gateway.
    pub(crate) name: String,
    /// SPIFFE id of the mTLS peer.
    pub(crate) peer: Option<String>,
    /// Name of the consumer.
    pub(crate) consumer: Option<String>,
    /// Id of the API key.
    pub(crate) api_key_id: Option<String>,
    /// Entra user whose access token, got an hour ago, is presented.
    pub(crate) bearer: Option<String>,
    pub(crate) user_agent: String,
}

/// Where a request goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Target {
    pub(crate) host: String,
    /// Name of the route, in whatever the gateway calls a route.
    pub(crate) route: String,
    pub(crate) path: String,
    /// Model asked for on AI routes.
    pub(crate) model: Option<String>,
}

/// How the gateway answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Answer {
    /// 200, but for a few in a thousand.
    Fine,
    /// 403.
    Denied,
    /// 503 and 429; what is tried again within a minute has the same request id.
    Down,
}

/// A kind of request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Request {
    pub(crate) caller: Caller,
    pub(crate) target: Target,
    pub(crate) method: &'static str,
    pub(crate) answer: Answer,
}

impl Target {
    /// Whether this is not production but staging.
    fn is_staging(&self) -> bool {
        self.host.contains(".stage.")
    }

    /// Everything below the first segment of the path, as selectors write it.
    fn below_first_segment(&self) -> String {
        let first = self.path.split('/').nth(1).unwrap_or_default();
        format!("/{first}/*")
    }

    /// Milliseconds that the slowest answer takes.
    fn slowest(&self) -> i64 {
        if self.model.is_some() { 2_400 } else { 120 }
    }
}

impl Request {
    /// A production service posts to the target.
    pub(crate) fn of_service(service: &Workload, target: &Target) -> Self {
        let caller = Caller {
            name: service.name.clone(),
            peer: Some(service.peer()),
            consumer: Some(service.name.clone()),
            api_key_id: Some(service.api_key_id()),
            bearer: None,
            user_agent: HTTP_CLIENTS[service.number as usize % HTTP_CLIENTS.len()].to_owned(),
        };
        Self { caller, target: target.clone(), method: "POST", answer: Answer::Fine }
    }

    /// The id that the client gives its request; the same when it tries again.
    fn id(&self) -> String {
        match self.answer {
            Answer::Fine | Answer::Denied => blank::uuid(),
            Answer::Down => blank::periodic_uuid(&self.name(), 1),
        }
    }

    /// Hex digits of an id that the client gives its request; the same when it tries again.
    fn hex(&self, count: usize) -> String {
        match self.answer {
            Answer::Fine | Answer::Denied => blank::letters(Alphabet::Hex, count),
            Answer::Down => blank::periodic_hex(&self.name(), 1, count),
        }
    }

    /// The W3C trace context that the client sends.
    fn traceparent(&self) -> String {
        format!("00-{}-{}-01", self.hex(32), blank::letters(Alphabet::Hex, 16))
    }

    fn name(&self) -> String {
        format!("{} {}", self.caller.name, self.target.route)
    }
}

/// Address and port of one of the servers behind a gateway.
fn upstream() -> String {
    format!("10.20.21{}.{}:8080", blank::number(0, 4), blank::number(2, 42))
}

impl Gateway {
    /// Every gateway.
    pub(crate) const ALL: [Self; 11] = [
        Self::EnvoyAi,
        Self::Envoy,
        Self::Traefik,
        Self::Kong,
        Self::Apisix,
        Self::Apim,
        Self::Aws,
        Self::Nginx,
        Self::Apigee,
        Self::LiteLlm,
        Self::CloudflareAi,
    ];

    /// Where its log goes.
    pub(crate) fn topic(self) -> Topic {
        match self {
            Self::Envoy => Topic::Gateway,
            Self::EnvoyAi => Topic::AiGateway,
            Self::Traefik => Topic::Traefik,
            Self::Kong => Topic::Kong,
            Self::Apisix => Topic::Apisix,
            Self::Apim => Topic::Apim,
            Self::Aws => Topic::AwsGateway,
            Self::Nginx => Topic::Nginx,
            Self::Apigee => Topic::Apigee,
            Self::LiteLlm => Topic::LiteLlm,
            Self::CloudflareAi => Topic::CloudflareAi,
        }
    }

    /// Whether its log says who called: what needs callers happens at no other.
    pub(crate) fn names_callers(self) -> bool {
        self != Self::CloudflareAi
    }

    /// Whether its log shows user agents, and of all requests: else nobody can tell a load test or a health check.
    pub(crate) fn shows_probes(self) -> bool {
        !matches!(self, Self::Apim | Self::LiteLlm | Self::CloudflareAi)
    }

    /// The records of such requests.
    pub(crate) fn mix(self, request: &Request) -> Mix {
        let statuses: &[(u32, u16)] = match request.answer {
            Answer::Fine => &[(995, 200), (3, 404), (1, 503), (1, 504)],
            Answer::Denied => &[(1, 403)],
            Answer::Down => &[(4, 503), (1, 429)],
        };
        statuses
            .iter()
            .fold(Mix::default(), |mix, (weight, status)| mix.and(*weight, &self.record(request, *status)))
    }

    fn record(self, request: &Request, status: u16) -> Value {
        match self {
            Self::Envoy => envoy::record(request, status),
            Self::EnvoyAi => envoy::ai_record(request, status),
            Self::Traefik => traefik::record(request, status),
            Self::Kong => kong::record(request, status),
            Self::Apisix => apisix::record(request, status),
            Self::Apim => apim::record(request, status),
            Self::Aws => aws_gateway::record(request, status),
            Self::Nginx => nginx::record(request, status),
            Self::Apigee => apigee::record(request, status),
            Self::LiteLlm => litellm::record(request, status),
            Self::CloudflareAi => cloudflare::record(request, status),
        }
    }

    /// What in the registry attributes requests for the target: kind and value of a selector.
    pub(crate) fn selector(self, target: &Target) -> (&'static str, String) {
        match self {
            Self::Envoy
            | Self::EnvoyAi
            | Self::Kong
            | Self::Apisix
            | Self::Apim
            | Self::Apigee
            | Self::LiteLlm => ("route", target.route.clone()),
            Self::Traefik => ("route", traefik::router(target)),
            // They know no routes by name: their paths stand for them.
            Self::Aws | Self::Nginx => ("route", target.below_first_segment()),
            Self::CloudflareAi => ("model", target.model.clone().unwrap_or_default()),
        }
    }
}

/// Names by which gateways know a consumer, each one of its own.
pub(crate) fn consumer_names(consumer: &str) -> [String; 3] {
    [consumer.to_owned(), apim::subscription(consumer), litellm::key_alias(consumer)]
}

/// One record of a mix.
#[cfg(test)]
pub(crate) fn written(mix: &Mix) -> Value {
    written_by(mix, 0)
}

/// The record that these dice draw from a mix.
#[cfg(test)]
pub(crate) fn written_by(mix: &Mix, number: i64) -> Value {
    let mut dice = super::dice::Dice::of(1, "test", number);
    let place = super::place::Place::Vpn;
    let mut moment = super::template::Moment { at: 1_772_352_245_123_456, place, dice: &mut dice };
    serde_json::from_str(&mix.write(&mut moment)).expect("a record is JSON")
}

#[cfg(test)]
mod tests;
