//! Services calling each other's APIs through gateways, and using what is made with AI as everybody does.
//!
//! In: a draft. Out: the requests that every gateway logs all day.

use super::{add_service, pace};
use crate::company::{AI_HOST, API_HOST, Workload};
use crate::draft::Draft;
use crate::formats::{Gateway, Target};
use crate::pattern::Pattern;
use crate::stream::Outages;

/// Gateways in front of APIs, each as often as teams chose it over the years.
const API_GATEWAYS: [Gateway; 16] = [
    Gateway::Envoy,
    Gateway::Kong,
    Gateway::Apim,
    Gateway::Envoy,
    Gateway::Traefik,
    Gateway::Aws,
    Gateway::Kong,
    Gateway::Envoy,
    Gateway::Apisix,
    Gateway::Nginx,
    Gateway::Envoy,
    Gateway::Apigee,
    Gateway::Kong,
    Gateway::Traefik,
    Gateway::Envoy,
    Gateway::Apisix,
];
/// Gateways in front of models.
const AI_GATEWAYS: [Gateway; 3] = [Gateway::EnvoyAi, Gateway::LiteLlm, Gateway::CloudflareAi];

pub(super) fn add(draft: &mut Draft) {
    add_apis(draft);
    add_assistants(draft);
}

/// Who is called has an outage now and then, and its callers fail with it.
fn add_apis(draft: &mut Draft) {
    let services = draft.company.services.clone();
    let rate = 5.0 * pace(draft);
    for (index, caller) in services.iter().enumerate() {
        for step in [3, 7] {
            let callee = &services[(index + step) % services.len()];
            let target = api_target(callee);
            let outages = Outages { of: callee.name.clone(), per_week: 0.5 };
            draft.call(gateway_of(callee), caller, &target, Pattern::Customers(rate), Some(&outages));
        }
    }
}

/// What is made with AI and has long been promoted: services like others, which a few services use.
fn add_assistants(draft: &mut Draft) {
    let services = draft.company.services.clone();
    let rate = 4.0 * pace(draft);
    for index in 0..AI_GATEWAYS.len() * (1 + services.len() / 60) {
        let mut dice = draft.dice(&format!("assistant {index}"));
        let gateway = AI_GATEWAYS[index % AI_GATEWAYS.len()];
        let name = draft.fresh_name(&mut dice);
        let target = ai_route(&name);
        let selectors: &[_] = if gateway.names_callers() { &[gateway.selector(&target)] } else { &[] };
        add_service(draft, &name, "platform", Some(&format!("{name}-work")), true, selectors);
        for _ in 0..3 {
            let caller = dice.pick(&services);
            draft.call(gateway, caller, &target, Pattern::Customers(rate), None);
        }
    }
}

/// The gateway in front of a service's API: teams chose different ones over the years.
pub(crate) fn gateway_of(service: &Workload) -> Gateway {
    API_GATEWAYS[service.number as usize % API_GATEWAYS.len()]
}

/// A service's API.
pub(crate) fn api_target(service: &Workload) -> Target {
    Target {
        host: API_HOST.to_owned(),
        route: service.name.clone(),
        path: format!("/{}/v2/records", service.name),
        model: None,
    }
}

/// A route of its own on one of the production AI gateways.
pub(crate) fn ai_route(route: &str) -> Target {
    Target {
        host: AI_HOST.to_owned(),
        route: route.to_owned(),
        path: format!("/{route}/v1/chat/completions"),
        model: Some("anthropic.claude-3-5-sonnet-20240620-v1:0".to_owned()),
    }
}
