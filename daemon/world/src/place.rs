//! Where calls come from: addresses of the company's networks, all from documentation and private ranges
//! (RFC 5737, RFC 3849, RFC 1918).
//!
//! In: a place and a moment. Out: a client address. The same networks stand in the registry.

use std::fmt::Write as _;

use super::pattern::{DAY, HOUR, hour_of_day};

/// Name, CIDR and kind of every network that the registry knows.
pub(crate) const NETWORKS: &[(&str, &str, &str)] = &[
    ("office-lisbon", "203.0.113.0/27", "office"),
    ("office-gdansk", "203.0.113.32/27", "office"),
    ("office-toronto", "203.0.113.64/27", "office"),
    ("office-singapore", "203.0.113.96/27", "office"),
    ("vpn-egress", "203.0.113.128/25", "vpn"),
    ("aws-production-nat", "198.51.100.0/25", "cloud"),
    ("aws-staging-nat", "198.51.100.128/26", "cloud"),
    ("ci-runners", "198.51.100.192/26", "cloud"),
    ("colo-frankfurt", "192.0.2.0/25", "datacenter"),
    ("home-fibre", "192.0.2.128/25", "residential"),
    ("home-fibre-v6", "2001:db8:4000::/36", "residential"),
    ("mesh", "10.20.0.0/14", "cloud"),
];

/// Sites with an office: name and hours ahead of UTC.
pub(crate) const SITES: &[(&str, i64)] = &[("lisbon", 0), ("gdansk", 1), ("toronto", -5), ("singapore", 8)];

/// A place to call from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    /// A person's laptop: in the office of their site from Tuesday to Thursday, at home else.
    Laptop {
        /// Number of the person.
        person: u32,
        /// Index in [`SITES`].
        site: usize,
    },
    /// The office of a site, whoever it is.
    Office(usize),
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
    /// No address is logged.
    Nowhere,
}

impl Place {
    /// Appends the address seen at this moment (microseconds since 1970).
    pub(crate) fn write_address(self, at: i64, out: &mut String) {
        match self {
            Self::Laptop { site, .. } if in_office(at, site) => Self::Office(site).write_address(at, out),
            Self::Laptop { person, .. } if person % 5 == 0 || person >= 120 => {
                { write!(out, "2001:db8:4{:03x}::{:x}", person >> 4 & 0xfff, 16 + person) }
                    .expect("writing to a String cannot fail")
            }
            Self::Laptop { person, .. } => last(out, "192.0.2.", 130 + person),
            Self::Office(site) => last(out, "203.0.113.", 2 + 32 * site as u32),
            Self::Vpn => out.push_str("203.0.113.130"),
            Self::Production(host) => last(out, "198.51.100.", 4 + host % 100),
            Self::Staging(host) => last(out, "198.51.100.", 130 + host % 50),
            Self::Ci(host) => last(out, "198.51.100.", 194 + host % 50),
            Self::Colo(host) => last(out, "192.0.2.", 4 + host % 100),
            Self::Stranger(host) => {
                write!(out, "2001:db8:9c4{:x}::{:x}", host % 16, 7 + host)
                    .expect("writing to a String cannot fail");
            }
            Self::Pod(host) => {
                last(out, "10.", 20 + host / 40_000 % 4);
                last(out, ".", host / 200 % 200);
                last(out, ".", 5 + host % 200);
            }
            Self::Nowhere => {}
        }
    }

    /// The address seen at this moment (microseconds since 1970).
    pub(crate) fn address(self, at: i64) -> String {
        let mut out = String::new();
        self.write_address(at, &mut out);
        out
    }
}

fn last(out: &mut String, start: &str, number: u32) {
    write!(out, "{start}{number}").expect("writing to a String cannot fail");
}

/// Tuesday to Thursday, 8 to 18 by the site's clock.
fn in_office(at: i64, site: usize) -> bool {
    let local = at + SITES[site].1 * HOUR;
    let weekday = (local.div_euclid(DAY) + 3).rem_euclid(7);
    (1..=3).contains(&weekday) && (8..18).contains(&hour_of_day(local.div_euclid(HOUR)))
}
