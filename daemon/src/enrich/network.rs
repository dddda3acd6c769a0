//! Which network an address belongs to.
//!
//! In: a source address as logged. Out: the named network, else the /24 or /48 around it. What is no address
//! belongs to none.

use std::net::{IpAddr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use crate::registry::Registry;

const UNKNOWN: &str = "unknown";

/// Where a client sits.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct ClientNetwork {
    pub name: Option<String>,
    /// Word of a network kind, or `unknown`; null without an address.
    pub kind: Option<&'static str>,
}

/// The network of `source_ip` at `at`.
pub(super) fn network(registry: &Registry, source_ip: Option<&str>, at: i64) -> ClientNetwork {
    let Some(text) = source_ip else { return ClientNetwork::default() };
    let Ok(address) = text.parse::<IpAddr>() else {
        return ClientNetwork { name: None, kind: Some(UNKNOWN) };
    };
    match registry.network(address, at) {
        Some(named) => ClientNetwork { name: Some(named.name.clone()), kind: Some(named.kind.name()) },
        None => ClientNetwork { name: Some(prefix(address).to_string()), kind: Some(UNKNOWN) },
    }
}

fn prefix(address: IpAddr) -> IpNet {
    match address.to_canonical() {
        IpAddr::V4(v4) => Ipv4Net::new(v4, 24).expect("24 is at most 32").trunc().into(),
        IpAddr::V6(v6) => v6_prefix(v6).into(),
    }
}

fn v6_prefix(address: Ipv6Addr) -> Ipv6Net {
    Ipv6Net::new(address, 48).expect("48 is at most 128").trunc()
}
