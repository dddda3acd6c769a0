//! Which pilot an event belongs to, and what its purpose is.
//!
//! In: the fields that selectors look at, as of event time. Out: at most one pilot. The strongest precedence
//! that matches decides; two pilots in it are ambiguous, and nobody gets the event.
//!
//! At a gateway the pilot is what is called: what the caller is must not attribute the event. Elsewhere (cloud
//! audit, sign-in) the pilot is who acts.

use crate::registry::Registry;
use crate::registry::facts::Stage;
use crate::registry::selectors::{Claim, SelectorKind};

/// The kinds that name who acts.
pub(super) const IDENTITY_KINDS: [SelectorKind; 4] =
    [SelectorKind::Spiffe, SelectorKind::Role, SelectorKind::EntraApp, SelectorKind::ServiceAccount];

/// What selectors look at.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Called<'a> {
    pub principal: Option<&'a str>,
    pub consumer: Option<&'a str>,
    pub host: Option<&'a str>,
    pub route: Option<&'a str>,
    pub target: Option<&'a str>,
    pub model: Option<&'a str>,
    pub user_agent: Option<&'a str>,
}

impl Called<'_> {
    fn at_gateway(&self) -> bool {
        self.host.is_some() || self.route.is_some()
    }
}

/// What is known of the pilot of an event.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Attribution {
    /// Number in the registry.
    pub pilot: Option<usize>,
    pub stage: Option<Stage>,
    pub kind: Option<SelectorKind>,
    pub confidence: Option<f64>,
    pub excepted: bool,
    pub purpose: Option<String>,
    /// For the metric: a selector kind, `none` or `ambiguous`.
    pub label: &'static str,
}

/// Attributes what was `called` at `at`.
pub(super) fn attribute(registry: &Registry, called: &Called<'_>, at: i64) -> Attribution {
    let claims = claims(registry, called, at);
    match strongest(&claims) {
        Strongest::One(claim) => {
            let pilot = &registry.pilots()[claim.holder];
            Attribution {
                pilot: Some(claim.holder),
                stage: pilot.stage_at(at),
                kind: Some(claim.kind),
                confidence: Some(claim.confidence),
                excepted: registry.is_excepted(claim.holder, at),
                purpose: Some(pilot.purpose.clone()),
                label: claim.kind.name(),
            }
        }
        Strongest::None => unattributed("none", purpose(registry, called, at)),
        Strongest::Several => unattributed("ambiguous", None),
    }
}

fn unattributed(label: &'static str, purpose: Option<String>) -> Attribution {
    Attribution { pilot: None, stage: None, kind: None, confidence: None, excepted: false, purpose, label }
}

/// What the claims of the strongest precedence agree on.
#[derive(Debug, PartialEq)]
pub(super) enum Strongest {
    None,
    /// The surest claim of the only holder.
    One(Claim),
    Several,
}

/// Looks at the strongest precedence only.
pub(super) fn strongest(claims: &[Claim]) -> Strongest {
    let Some(precedence) = claims.iter().map(|c| c.kind.precedence()).min() else { return Strongest::None };
    let mut best: Option<Claim> = None;
    for claim in claims.iter().filter(|c| c.kind.precedence() == precedence) {
        match best {
            Some(found) if found.holder != claim.holder => return Strongest::Several,
            Some(found) if found.confidence >= claim.confidence => {}
            Some(_) | None => best = Some(*claim),
        }
    }
    best.map_or(Strongest::None, Strongest::One)
}

fn claims(registry: &Registry, called: &Called<'_>, at: i64) -> Vec<Claim> {
    let index = registry.pilot_selectors();
    let mut claims = Vec::new();
    let mut look = |kind, value: Option<&str>| {
        if let Some(value) = value {
            index.find(kind, value, at, &mut claims);
        }
    };
    if called.at_gateway() {
        look(SelectorKind::Spiffe, called.target);
    } else {
        IDENTITY_KINDS.into_iter().for_each(|kind| look(kind, called.principal));
    }
    look(SelectorKind::ApiKey, called.consumer);
    look(SelectorKind::Consumer, called.consumer);
    look(SelectorKind::InferenceProfile, called.model);
    look(SelectorKind::InferenceProfile, called.target);
    look(SelectorKind::Route, called.route);
    look(SelectorKind::Host, called.host);
    look(SelectorKind::Host, called.target);
    look(SelectorKind::Header, called.user_agent);
    look(SelectorKind::Model, called.model);
    claims
}

/// The purpose of the service that was called, of the first one in id order that has one.
fn purpose(registry: &Registry, called: &Called<'_>, at: i64) -> Option<String> {
    let mut claims = Vec::new();
    let index = registry.service_selectors();
    for (kind, value) in [
        (SelectorKind::Route, called.route),
        (SelectorKind::Host, called.host),
        (SelectorKind::Host, called.target),
    ] {
        if let Some(value) = value {
            index.find(kind, value, at, &mut claims);
        }
    }
    claims.sort_by_key(|claim| claim.holder);
    claims.iter().find_map(|claim| registry.services()[claim.holder].purpose.clone())
}
