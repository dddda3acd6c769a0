//! Which network an address belongs to.
//!
//! In: a source address as logged. Out: a name and a kind, the cloud, who announces it. The network that the
//! registry names by its addresses comes before the range that a cloud publishes, and that before the autonomous
//! system; without any of them the name is the /24 or /48 around it. What is no address belongs to none.

use std::net::{IpAddr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use crate::registry::Registry;
use crate::registry::facts::NetworkKind;

const UNKNOWN: &str = "unknown";

/// Where a client sits.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct ClientNetwork {
    pub name: Option<String>,
    /// Word of a network kind, or `unknown`; null without an address.
    pub kind: Option<&'static str>,
    /// Cloud that publishes the address as its own.
    pub cloud_provider: Option<&'static str>,
    /// Number of the autonomous system that announces the address, and who runs it.
    pub asn: Option<u32>,
    pub as_name: Option<String>,
}

/// The network of `source_ip` at `at`.
pub(super) fn network(registry: &Registry, source_ip: Option<&str>, at: i64) -> ClientNetwork {
    let Some(text) = source_ip else { return ClientNetwork::default() };
    match text.parse::<IpAddr>() {
        Ok(address) => network_of(registry, address, at),
        Err(_) => ClientNetwork { kind: Some(UNKNOWN), ..ClientNetwork::default() },
    }
}

fn network_of(registry: &Registry, address: IpAddr, at: i64) -> ClientNetwork {
    let cloud = registry.cloud(address);
    let system = registry.autonomous_system(address);
    let named = registry.network(address, at);
    let named_system = || registry.network_of_asn(system?.number, at);
    let (name, kind) = if let Some(named) = named {
        (named.name.clone(), Some(named.kind))
    } else if let Some(range) = cloud {
        (range.name.clone(), Some(NetworkKind::Cloud))
    } else if let Some(named) = named_system() {
        (named.name.clone(), Some(named.kind))
    } else if let Some(system) = system {
        (format!("AS{}", system.number), system.kind)
    } else {
        (prefix(address).to_string(), None)
    };
    ClientNetwork {
        name: Some(name),
        kind: Some(kind.map_or(UNKNOWN, NetworkKind::name)),
        cloud_provider: cloud.map(|range| range.provider),
        asn: system.map(|system| system.number),
        as_name: system.and_then(|system| system.name).map(str::to_owned),
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registry::network_files::{databases, write_registry};

    #[test]
    fn own_network_comes_before_a_clouds_and_that_before_who_announces_it() {
        let folder = tempfile::tempdir().unwrap();
        let [maxmind, ipinfo] = databases();
        let files: [(&str, &str, &[u8]); 3] = [
            ("cloudflare", "ips", b"192.0.2.192/26\n10.1.7.0/24\n"),
            ("asn", "maxmind.mmdb", &maxmind),
            ("asn", "ipinfo.mmdb", &ipinfo),
        ];
        let own = "
            [[network]]
            name = 'exit'
            cidr = '192.0.2.240/28'
            kind = 'vpn'
            to = '2026-03-01T00:00:00Z'
            [[network]]
            name = 'campus'
            asn = 64499
            kind = 'office'
            from = '2026-03-01T00:00:00Z'
        ";
        write_registry(folder.path(), &files, own);
        let registry = Registry::load(folder.path()).unwrap_or_else(|errors| panic!("{errors}"));
        let time = |text: &str| text.parse::<jiff::Timestamp>().unwrap().as_microsecond();
        let (before, after) = (time("2026-02-28T23:59:59Z"), time("2026-03-01T00:00:00Z"));
        let telecom = (Some(64_496), Some("Example Telecom"));
        for (address, at, name, kind, cloud, system) in [
            ("192.0.2.250", before, "exit", "vpn", Some("cloudflare"), telecom),
            ("192.0.2.250", after, "cloudflare", "cloud", Some("cloudflare"), telecom),
            ("192.0.2.200", before, "cloudflare", "cloud", Some("cloudflare"), telecom),
            ("192.0.2.130", before, "AS64496", "unknown", None, telecom),
            ("10.1.7.1", before, "cloudflare", "cloud", Some("cloudflare"), (Some(64_497), Some("Example"))),
            ("10.1.8.1", before, "AS64497", "residential", None, (Some(64_497), Some("Example"))),
            ("10.2.8.1", before, "AS64498", "cloud", None, (Some(64_498), Some("Example"))),
            ("2001:db8:e::1", before, "AS64499", "unknown", None, (Some(64_499), Some("Example"))),
            ("2001:db8:e::1", after, "campus", "office", None, (Some(64_499), Some("Example"))),
            ("198.51.100.9", before, "198.51.100.0/24", "unknown", None, (None, None)),
        ] {
            let found = network(&registry, Some(address), at);
            assert_eq!((found.name.as_deref(), found.kind), (Some(name), Some(kind)), "{address}");
            assert_eq!(found.cloud_provider, cloud, "{address}");
            assert_eq!((found.asn, found.as_name.as_deref()), system, "{address}");
        }
    }
}
