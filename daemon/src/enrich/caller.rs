//! Who called: a service of the registry, else the verified peer, else the principal, else the gateway
//! consumer, else the network; and which teams that is.
//!
//! In: the fields that say who called, as of event time. Out: a name, its teams, and whether it is a
//! production workload. Two services that match equally well name nobody.

use std::net::IpAddr;

use super::attribution::{IDENTITY_KINDS, Strongest, strongest};
use crate::registry::Registry;
use crate::registry::facts::Stage;
use crate::registry::selectors::{Claim, SelectorIndex, SelectorKind};

/// What says who called.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Calling<'a> {
    pub peer: Option<&'a str>,
    pub principal: Option<&'a str>,
    pub consumer: Option<&'a str>,
    pub session_name: Option<&'a str>,
    pub source_ip: Option<&'a str>,
    /// Named network or prefix of `source_ip`.
    pub network: Option<&'a str>,
    pub at_gateway: bool,
}

/// Who called.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct Caller {
    pub name: Option<String>,
    /// In id order.
    pub teams: Vec<String>,
    pub is_production: bool,
    /// The pilot that itself acts, and how sure that is.
    pub acting: Option<(usize, f64)>,
}

impl Caller {
    /// The team to name: the pilot's own if it is among them, else the first.
    pub(super) fn team(&self, of_pilot: Option<&str>) -> Option<&str> {
        let own = self.teams.iter().find(|team| Some(team.as_str()) == of_pilot);
        own.or(self.teams.first()).map(String::as_str)
    }
}

/// Names the caller at `at`.
pub(super) fn caller(registry: &Registry, calling: &Calling<'_>, at: i64) -> Caller {
    let named = service(registry, calling, at)
        .or_else(|| pilot(registry, calling, at))
        .unwrap_or_else(|| unregistered(registry, calling, at));
    Caller { acting: acting(registry, calling, at), ..named }
}

/// The pilot whose identity, key or client called: at a gateway too, where another pilot may be what is called.
fn acting(registry: &Registry, calling: &Calling<'_>, at: i64) -> Option<(usize, f64)> {
    let mut claims = identity_claims(registry.pilot_selectors(), calling, at);
    consumer_claims(registry.pilot_selectors(), calling, at, &mut claims);
    match strongest(&claims) {
        Strongest::One(claim) => Some((claim.holder, claim.confidence)),
        Strongest::None | Strongest::Several => None,
    }
}

fn service(registry: &Registry, calling: &Calling<'_>, at: i64) -> Option<Caller> {
    let mut claims = identity_claims(registry.service_selectors(), calling, at);
    consumer_claims(registry.service_selectors(), calling, at, &mut claims);
    let address = calling.source_ip.and_then(|ip| ip.parse::<IpAddr>().ok());
    claims.extend(address.and_then(|ip| registry.service_selectors().find_network(ip, at)));
    let Strongest::One(claim) = strongest(&claims) else { return None };
    let service = &registry.services()[claim.holder];
    Some(Caller {
        name: Some(service.id.clone()),
        teams: vec![service.team.clone()],
        is_production: service.production,
        acting: None,
    })
}

/// A pilot that calls through a gateway. Elsewhere the pilot that acts is what the event is about.
fn pilot(registry: &Registry, calling: &Calling<'_>, at: i64) -> Option<Caller> {
    if !calling.at_gateway {
        return None;
    }
    let claims = identity_claims(registry.pilot_selectors(), calling, at);
    let Strongest::One(claim) = strongest(&claims) else { return None };
    let pilot = &registry.pilots()[claim.holder];
    Some(Caller {
        name: Some(pilot.id.clone()),
        teams: vec![pilot.team.clone()],
        is_production: pilot.stage_at(at) == Some(Stage::Production),
        acting: None,
    })
}

fn identity_claims(index: &SelectorIndex, calling: &Calling<'_>, at: i64) -> Vec<Claim> {
    let mut claims = Vec::new();
    if let Some(peer) = calling.peer {
        index.find(SelectorKind::Spiffe, peer, at, &mut claims);
    }
    if let Some(principal) = calling.principal {
        IDENTITY_KINDS.into_iter().for_each(|kind| index.find(kind, principal, at, &mut claims));
    }
    claims
}

fn consumer_claims(index: &SelectorIndex, calling: &Calling<'_>, at: i64, claims: &mut Vec<Claim>) {
    let Some(consumer) = calling.consumer else { return };
    for kind in [SelectorKind::ApiKey, SelectorKind::Consumer, SelectorKind::ClientId] {
        index.find(kind, consumer, at, claims);
    }
}

fn unregistered(registry: &Registry, calling: &Calling<'_>, at: i64) -> Caller {
    let names = [calling.peer, calling.principal, calling.consumer, calling.network];
    let persons = [calling.session_name, calling.principal, calling.consumer];
    let teams = persons.into_iter().flatten().find_map(|name| registry.teams_of(name, at));
    Caller {
        name: names.into_iter().flatten().next().map(str::to_owned),
        teams: teams.unwrap_or_default().to_vec(),
        is_production: false,
        acting: None,
    }
}
