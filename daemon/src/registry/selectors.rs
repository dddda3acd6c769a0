//! Which events belong to whom: selectors, their precedence, and the index that finds them by value.
//!
//! In: checked selectors of pilots or services. Out: the claims on one value as of a time. An index is built
//! once a registry; a lookup costs one hash for the exact value and one for each distinct prefix length.

use std::borrow::Cow;
use std::collections::HashMap;
use std::net::IpAddr;

use ipnet::IpNet;

use super::addresses::CidrIndex;
use super::facts::{Validity, word_of};
use super::patterns::{Pattern, PatternIndex};

/// What a selector looks at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SelectorKind {
    /// SPIFFE id.
    Spiffe,
    /// Cloud role, without session.
    Role,
    /// Entra application, agent or service principal id.
    EntraApp,
    /// Service account of a cloud or of Kubernetes.
    ServiceAccount,
    /// Gateway API key id.
    ApiKey,
    /// Gateway consumer.
    Consumer,
    /// OAuth or OpenID Connect client.
    ClientId,
    /// Application inference profile.
    InferenceProfile,
    /// Gateway route.
    Route,
    /// Gateway host.
    Host,
    /// Tool that an agent called.
    Tool,
    /// Cloud account, project, subscription or tenant.
    Account,
    /// Namespace of a cluster, a mesh or Vault, workspace of a gateway.
    Namespace,
    /// User agent: anyone can send it.
    Header,
    /// Model id: shared by many.
    Model,
    /// Client address; services only.
    Ip,
}

impl SelectorKind {
    /// Every kind with the words for it; the first one names it.
    pub const WORDS: &[(&'static str, Self)] = &[
        ("spiffe", Self::Spiffe),
        ("role", Self::Role),
        ("entra_app", Self::EntraApp),
        ("service_account", Self::ServiceAccount),
        ("api_key", Self::ApiKey),
        ("consumer", Self::Consumer),
        ("client_id", Self::ClientId),
        ("inference_profile", Self::InferenceProfile),
        ("route", Self::Route),
        ("host", Self::Host),
        ("tool", Self::Tool),
        ("account", Self::Account),
        ("project", Self::Account),
        ("subscription", Self::Account),
        ("namespace", Self::Namespace),
        ("header", Self::Header),
        ("model", Self::Model),
        ("ip", Self::Ip),
    ];

    /// The word for it; also a metric label.
    pub fn name(self) -> &'static str {
        word_of(self, Self::WORDS)
    }

    /// Smaller is stronger; kinds of one precedence compete.
    pub fn precedence(self) -> u8 {
        match self {
            Self::Spiffe | Self::Role | Self::EntraApp | Self::ServiceAccount => 0,
            Self::ApiKey | Self::Consumer | Self::ClientId => 1,
            Self::InferenceProfile => 2,
            Self::Route | Self::Host | Self::Tool => 3,
            Self::Account | Self::Namespace => 4,
            Self::Header => 5,
            Self::Model => 6,
            Self::Ip => 7,
        }
    }

    /// How sure a match is where the registry does not say: starting values of our own. From 0.6 on it is enough
    /// for a finding about the pilot; an account or a namespace holds more than the pilot unless somebody says so.
    pub fn default_confidence(self) -> f64 {
        match self {
            Self::Spiffe | Self::Role | Self::EntraApp | Self::ServiceAccount => 0.99,
            Self::ApiKey | Self::Consumer | Self::ClientId => 0.95,
            Self::InferenceProfile => 0.9,
            Self::Route => 0.85,
            Self::Host | Self::Tool => 0.8,
            Self::Ip => 0.6,
            Self::Account | Self::Namespace | Self::Header => 0.5,
            Self::Model => 0.3,
        }
    }

    /// Whether values that differ in ASCII case only are the same: host names, ids that are GUIDs.
    pub fn ignores_case(self) -> bool {
        match self {
            Self::Host | Self::EntraApp | Self::ClientId | Self::Account => true,
            Self::Spiffe
            | Self::Role
            | Self::ServiceAccount
            | Self::ApiKey
            | Self::Consumer
            | Self::InferenceProfile
            | Self::Route
            | Self::Tool
            | Self::Namespace
            | Self::Header
            | Self::Model
            | Self::Ip => false,
        }
    }
}

/// What a selector compares.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SelectorValue {
    /// A text of the event.
    Text(Pattern),
    /// The client address.
    Network(IpNet),
}

/// One selector of a pilot or a service.
#[derive(Debug, Clone, PartialEq)]
pub struct Selector {
    /// What it looks at.
    pub kind: SelectorKind,
    /// What that must be.
    pub value: SelectorValue,
    /// How sure a match is, 0..1.
    pub confidence: f64,
    /// When.
    pub validity: Validity,
}

/// A selector that matched, and whose it is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Claim {
    /// Index of the pilot or service in the registry.
    pub holder: usize,
    /// What was looked at.
    pub kind: SelectorKind,
    /// How sure, 0..1.
    pub confidence: f64,
    /// When.
    pub validity: Validity,
}

/// Finds claims by value.
#[derive(Debug, Default)]
pub struct SelectorIndex {
    kinds: HashMap<SelectorKind, PatternIndex<Claim>>,
    networks: CidrIndex,
    network_claims: Vec<Claim>,
}

impl SelectorIndex {
    /// Builds the index; `holders` gives each holder's selectors and its own validity, in holder order.
    pub fn new<'a>(holders: impl Iterator<Item = (&'a [Selector], Validity)>) -> Self {
        let mut index = Self::default();
        for (holder, (selectors, validity)) in holders.enumerate() {
            for selector in selectors {
                index.insert(holder, selector, validity);
            }
        }
        index
    }

    fn insert(&mut self, holder: usize, selector: &Selector, of_holder: Validity) {
        let validity = Validity {
            from: selector.validity.from.max(of_holder.from),
            to: selector.validity.to.min(of_holder.to),
        };
        let claim = Claim { holder, kind: selector.kind, confidence: selector.confidence, validity };
        match &selector.value {
            SelectorValue::Network(cidr) => {
                self.networks.insert(*cidr, validity, self.network_claims.len());
                self.network_claims.push(claim);
            }
            SelectorValue::Text(pattern) => {
                self.kinds.entry(selector.kind).or_default().insert(pattern, claim);
            }
        }
    }

    /// Whether any selector is of this kind.
    pub fn has(&self, kind: SelectorKind) -> bool {
        self.kinds.contains_key(&kind)
    }

    /// Adds the claims of `kind` on `value` that hold at `at`.
    pub fn find(&self, kind: SelectorKind, value: &str, at: i64, into: &mut Vec<Claim>) {
        let Some(index) = self.kinds.get(&kind) else { return };
        let value =
            if kind.ignores_case() { Cow::Owned(value.to_ascii_lowercase()) } else { Cow::Borrowed(value) };
        into.extend(index.find(&value).filter(|claim| claim.validity.holds(at)));
    }

    /// The claim of the longest network that holds `address` at `at`.
    pub fn find_network(&self, address: IpAddr, at: i64) -> Option<Claim> {
        self.networks.find(address, at).map(|i| self.network_claims[i])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn claim_holds_within_both_validities() {
        let selector = Selector {
            kind: SelectorKind::Host,
            value: SelectorValue::Text(Pattern::parse("h*").unwrap()),
            confidence: 0.8,
            validity: Validity { from: 10, to: 30 },
        };
        let index = SelectorIndex::new(
            [(std::slice::from_ref(&selector), Validity { from: 20, to: 40 })].into_iter(),
        );
        for (at, expected) in [(9, 0), (10, 0), (20, 1), (29, 1), (30, 0)] {
            let mut found = Vec::new();
            index.find(SelectorKind::Host, "host", at, &mut found);
            assert_eq!(found.len(), expected, "{at}");
        }
    }
}
