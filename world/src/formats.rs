//! The providers' own log shapes, one file a format; here what a gateway sees of a request, whichever gateway it is.
//!
//! In: who does what, how. Out: records with blanks. Values are invented; what a field is called, and where it stands,
//! is the provider's (the page is named in each file).

pub(crate) mod approvals;
pub(crate) mod auth0;
pub(crate) mod azure;
pub(crate) mod bedrock;
pub(crate) mod cloudtrail;
pub(crate) mod entra;
pub(crate) mod envoy;
pub(crate) mod gcp;
pub(crate) mod keycloak;
pub(crate) mod kubernetes;
pub(crate) mod ocsf;
pub(crate) mod okta;
pub(crate) mod vault;
pub(crate) mod workspace;

use serde_json::Value;

use super::company::{HTTP_CLIENTS, Service};
use super::template::Mix;
use super::topics::Topic;

/// A gateway, by the log that it writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Gateway {
    /// Envoy without AI: any API.
    Envoy,
    /// Envoy AI Gateway.
    EnvoyAi,
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

impl Request {
    /// A production service posts to the target.
    pub(crate) fn of_service(service: &Service, target: &Target) -> Self {
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
}

impl Gateway {
    /// Where its log goes.
    pub(crate) fn topic(self) -> Topic {
        match self {
            Self::Envoy => Topic::Gateway,
            Self::EnvoyAi => Topic::AiGateway,
        }
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
            Self::Envoy | Self::EnvoyAi => envoy::record(request, status),
        }
    }

    /// What in the registry attributes requests for the target: kind and value of a selector.
    pub(crate) fn selector(self, target: &Target) -> (&'static str, String) {
        match self {
            Self::Envoy | Self::EnvoyAi => ("route", target.route.clone()),
        }
    }
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
