//! A world under construction: governance, streams and labels, added by the parts of the cast.
//!
//! In: one call a fact. Out: what [`super::World`] keeps. Labels never reach the logs.

use std::sync::Arc;

use serde_json::json;
use xxhash_rust::xxh3::xxh3_64;

use super::cloudtrail::{Action, AwsUse, Signer};
use super::company::{AI_HOST, HTTP_CLIENTS, PRODUCTION, peer};
use super::entra::EntraUse;
use super::envoy::{Answer, GatewayUse, Target};
use super::governance::Governance;
use super::okta::OktaUse;
use super::pattern::Pattern;
use super::place::Place;
use super::stream::{Act, Stream};
use super::{ExpectedSubject, Label, LookAlike};

/// Days of history before `end`.
pub(super) const HISTORY_DAYS: i64 = 16;

/// Everything collected so far.
pub(super) struct Draft {
    /// First instant, microseconds.
    pub(super) start: i64,
    /// The instant after the last, microseconds.
    pub(super) end: i64,
    pub(super) governance: Governance,
    pub(super) streams: Vec<Stream>,
    pub(super) expected: Vec<Label>,
    pub(super) look_alikes: Vec<LookAlike>,
}

impl Draft {
    pub(super) fn new(start: i64, end: i64) -> Self {
        Self {
            start,
            end,
            governance: Governance::default(),
            streams: Vec::new(),
            expected: Vec::new(),
            look_alikes: Vec::new(),
        }
    }

    /// This must be found.
    pub(super) fn expect(&mut self, detection: &'static str, subject: ExpectedSubject, why: &str) {
        let subject_kind = subject.kind();
        self.expected.push(Label { detection, subject_kind, subject, why: why.to_owned() });
    }

    /// This must stay quiet for each of these detections.
    pub(super) fn look_alike(
        &mut self,
        name: &'static str,
        detections: &[&'static str],
        subject: &ExpectedSubject,
    ) {
        for detection in detections {
            self.look_alikes.push(LookAlike { name, detection, subject: subject.clone() });
        }
    }

    /// A production service calls a target through the gateway.
    pub(super) fn call(&mut self, caller: &str, target: &Target, pattern: Pattern) -> &mut Stream {
        let user_agent = HTTP_CLIENTS[caller.len() % HTTP_CLIENTS.len()];
        self.request(caller, Some(peer(caller)), user_agent, "POST", target, Answer::Fine, pattern)
    }

    /// Someone asks a target through the gateway; `caller` names the stream and picks the address.
    #[expect(clippy::too_many_arguments, reason = "each is one independent property of a request")]
    pub(super) fn request(
        &mut self,
        caller: &str,
        peer: Option<String>,
        user_agent: &'static str,
        method: &'static str,
        target: &Target,
        answer: Answer,
        pattern: Pattern,
    ) -> &mut Stream {
        let place = Place::Pod(xxh3_64(caller.as_bytes()) as u32 % 40_000);
        let target = target.clone();
        let act = GatewayUse { peer, bearer: None, user_agent, place, method, target, answer };
        self.gateway(caller, pattern, act)
    }

    /// Someone asks through the gateway, whatever they show there.
    pub(super) fn gateway(&mut self, caller: &str, pattern: Pattern, act: GatewayUse) -> &mut Stream {
        let name = format!("{caller} > {}{}", act.target.host, act.target.path);
        self.stream(name, caller, pattern, Act::Gateway(act))
    }

    /// Someone calls AWS.
    pub(super) fn aws(&mut self, name: &str, pattern: Pattern, act: AwsUse) -> &mut Stream {
        self.stream(format!("{name} @ aws"), name, pattern, Act::Aws(act))
    }

    /// A production role session calls models through this inference profile or model id.
    pub(super) fn bedrock(
        &mut self,
        name: &str,
        signer: Signer,
        client: &'static str,
        model: &str,
        pattern: Pattern,
    ) -> &mut Stream {
        let actions = Arc::new(invocations(model));
        let place = Place::Production(xxh3_64(name.as_bytes()) as u32 % 90);
        self.aws(name, pattern, AwsUse { account: PRODUCTION, signer, clients: vec![client], place, actions })
    }

    /// Someone acts in Okta.
    pub(super) fn okta(&mut self, name: &str, pattern: Pattern, act: OktaUse) -> &mut Stream {
        self.stream(format!("{name} @ okta"), name, pattern, Act::Okta(act))
    }

    /// Someone signs in to Entra.
    pub(super) fn entra(&mut self, name: &str, pattern: Pattern, act: EntraUse) -> &mut Stream {
        self.stream(format!("{name} @ entra"), name, pattern, Act::Entra(act))
    }

    fn stream(&mut self, name: String, entity: &str, pattern: Pattern, act: Act) -> &mut Stream {
        self.streams.push(Stream::new(name, xxh3_64(entity.as_bytes()), pattern, act));
        self.streams.last_mut().expect("a stream was pushed in the line above")
    }
}

/// A route of the production AI gateway.
pub(super) fn ai_route(route: &str) -> Target {
    Target {
        host: AI_HOST.to_owned(),
        route: route.to_owned(),
        path: format!("/{route}/v1/chat/completions"),
        model: Some("anthropic.claude-3-5-sonnet-20240620-v1:0"),
    }
}

/// The two calls that applications make to a model.
pub(super) fn invocations(model: &str) -> Vec<Action> {
    let parameters = json!({ "modelId": model });
    vec![
        Action::new("bedrock.amazonaws.com", "InvokeModel", true, parameters.clone()),
        Action::new("bedrock.amazonaws.com", "Converse", true, parameters),
    ]
}
