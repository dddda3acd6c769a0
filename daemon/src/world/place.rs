//! Where calls come from: addresses of the company's networks, all from documentation and private ranges
//! (RFC 5737, RFC 3849, RFC 1918).
//!
//! In: a place and a moment. Out: a client address. The same networks stand in the registry.

use super::pattern::{DAY, HOUR, hour_of_day};

/// Name, CIDR and kind of every network that the registry knows.
pub(super) const NETWORKS: &[(&str, &str, &str)] = &[
    ("office-lisbon", "203.0.113.0/26", "office"),
    ("office-gdansk", "203.0.113.64/26", "office"),
    ("vpn-egress", "203.0.113.128/25", "vpn"),
    ("aws-production-nat", "198.51.100.0/25", "cloud"),
    ("aws-staging-nat", "198.51.100.128/26", "cloud"),
    ("ci-runners", "198.51.100.192/26", "cloud"),
    ("colo-frankfurt", "192.0.2.0/25", "datacenter"),
    ("home-fibre", "192.0.2.128/25", "residential"),
    ("home-fibre-v6", "2001:db8:4000::/36", "residential"),
    ("mesh", "10.20.0.0/16", "cloud"),
];

/// A place to call from.
#[derive(Debug, Clone, Copy)]
pub(super) enum Place {
    /// A person's laptop: in the office from Tuesday to Thursday, at home else.
    Laptop(u32),
    /// The office, whoever it is.
    Office,
    /// The VPN's one egress address, shared by people and machines.
    Vpn,
    /// Production accounts' NAT.
    Production(u32),
    /// Staging accounts' NAT.
    Staging(u32),
    /// Hosted build runners.
    Ci(u32),
    /// Our own racks.
    Colo(u32),
    /// A pod in the service mesh.
    Pod(u32),
    /// An address that is nobody's in the registry.
    Stranger(u32),
}

impl Place {
    /// The address seen at this moment (microseconds since 1970).
    pub(super) fn address(self, at: i64) -> String {
        match self {
            Self::Laptop(person) if in_office(at) => format!("203.0.113.{}", 2 + person % 2 * 64),
            Self::Laptop(person) if person % 5 == 0 => {
                format!("2001:db8:40{:02x}::{:x}", person, 16 + person)
            }
            Self::Laptop(person) => format!("192.0.2.{}", 130 + person % 120),
            Self::Office => "203.0.113.2".to_owned(),
            Self::Vpn => "203.0.113.130".to_owned(),
            Self::Production(host) => format!("198.51.100.{}", 4 + host % 100),
            Self::Staging(host) => format!("198.51.100.{}", 130 + host % 50),
            Self::Ci(host) => format!("198.51.100.{}", 194 + host % 50),
            Self::Colo(host) => format!("192.0.2.{}", 4 + host % 100),
            Self::Stranger(host) => format!("2001:db8:9c4{:x}::{:x}", host % 16, 7 + host),
            Self::Pod(host) => format!("10.20.{}.{}", 1 + host / 200 % 200, 5 + host % 200),
        }
    }
}

/// Tuesday to Thursday, 8 to 18.
fn in_office(at: i64) -> bool {
    let weekday = (at.div_euclid(DAY) + 3).rem_euclid(7);
    (1..=3).contains(&weekday) && (8..18).contains(&hour_of_day(at.div_euclid(HOUR)))
}
