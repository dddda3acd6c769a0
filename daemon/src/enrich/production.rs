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
    pub namespace: Option<&'a str>,
    /// A gateway's stage, or what else the source says of where it is.
    pub environment: Option<&'a str>,
    pub caller_is_production: bool,
}

impl Touched<'_> {
    fn at_gateway(&self) -> bool {
        self.host.is_some() || self.route.is_some()
    }
}

/// The probability, 0..1.
pub(super) fn probability(registry: &Registry, touched: &Touched<'_>, at: i64) -> f64 {
    let weight =
        |kind, value: Option<&str>| value.map_or(0.0, |value| registry.production_weight(kind, value, at));
    let largest = |kind, values: [Option<&str>; 3]| {
        values.into_iter().map(|value| weight(kind, value)).fold(0.0, f64::max)
    };
    let host = largest(ProductionKind::Host, [touched.host, touched.target, None]);
    let route = weight(ProductionKind::Route, touched.route);
    let stage = weight(ProductionKind::Stage, touched.environment.filter(|_| touched.at_gateway()));
    let domains = [touched.peer.and_then(trust_domain), touched.target.and_then(trust_domain), None];
    let namespace = weight(ProductionKind::Namespace, touched.namespace);
    let families = [
        weight(ProductionKind::Account, touched.account),
        host.max(route).max(stage),
        largest(ProductionKind::TrustDomain, domains).max(namespace),
        if touched.caller_is_production { CALLER_WEIGHT } else { 0.0 },
        // What counted as a stage is not evidence a second time.
        if stage > 0.0 { 0.0 } else { weight(ProductionKind::Environment, touched.environment) },
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
