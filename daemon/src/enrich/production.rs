//! How likely it is that an event touches production.
//!
//! In: the fields that the production map looks at, as of event time. Out: 1 - prod(1 - w) over families of
//! evidence; of each family only the heaviest entry counts, and a name pattern never counts alone.

use crate::registry::Registry;
use crate::registry::facts::ProductionKind;

/// Weight of a caller that is itself a production workload: a starting value of our own.
const CALLER_WEIGHT: f64 = 0.7;

/// What the production map looks at.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Touched<'a> {
    pub account: Option<&'a str>,
    pub host: Option<&'a str>,
    pub route: Option<&'a str>,
    pub target: Option<&'a str>,
    pub peer: Option<&'a str>,
    pub environment: Option<&'a str>,
    pub caller_is_production: bool,
}

/// The probability, 0..1.
pub(super) fn probability(registry: &Registry, touched: &Touched<'_>, at: i64) -> f64 {
    let weight = |kind, value: Option<&str>| {
        value.map_or(0.0, |v| registry.production_weight(kind, &v.to_ascii_lowercase(), at))
    };
    let largest = |kind, values: [Option<&str>; 3]| {
        values.into_iter().map(|value| weight(kind, value)).fold(0.0, f64::max)
    };
    let account = touched.account.map_or(0.0, |a| registry.production_weight(ProductionKind::Account, a, at));
    let host = largest(ProductionKind::Host, [touched.host, touched.target, None]);
    let route = weight(ProductionKind::Route, touched.route);
    let domains = [touched.peer.and_then(trust_domain), touched.target.and_then(trust_domain), None];
    let families = [
        account,
        host.max(route),
        largest(ProductionKind::TrustDomain, domains),
        if touched.caller_is_production { CALLER_WEIGHT } else { 0.0 },
        weight(ProductionKind::Environment, touched.environment),
    ];
    let unlikely: f64 = families.iter().map(|w| 1.0 - w).product();
    if families.iter().all(|w| *w == 0.0) {
        return 0.0;
    }
    let name = largest(ProductionKind::NamePattern, [touched.host, touched.route, touched.target]);
    1.0 - unlikely * (1.0 - name)
}

fn trust_domain(spiffe_id: &str) -> Option<&str> {
    let rest = spiffe_id.strip_prefix("spiffe://")?;
    Some(rest.split_once('/').map_or(rest, |(domain, _)| domain))
}
