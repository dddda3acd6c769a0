//! Which network holds an address.
//!
//! In: networks in CIDR notation, each leading to something. Out: what the longest one that holds an address
//! leads to. Addresses are kept as IPv6, IPv4 ones as mapped; a lookup costs one hash a distinct prefix length.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;

use ipnet::IpNet;

use super::facts::Validity;

/// What is filed under networks, found by address.
#[derive(Debug)]
pub struct PrefixIndex<T> {
    /// By prefix length, in order; looked through from the longest.
    lengths: BTreeMap<u8, HashMap<u128, T, ahash::RandomState>>,
}

impl<T> Default for PrefixIndex<T> {
    fn default() -> Self {
        Self { lengths: BTreeMap::new() }
    }
}

impl<T> PrefixIndex<T> {
    /// What is filed under `cidr`, made by `make` if there is nothing yet.
    pub fn entry(&mut self, cidr: IpNet, make: impl FnOnce() -> T) -> &mut T {
        let length = cidr.prefix_len() + if cidr.addr().is_ipv4() { 96 } else { 0 };
        let start = masked(bits(cidr.addr()), length);
        self.lengths.entry(length).or_default().entry(start).or_insert_with(make)
    }

    /// What is filed under the networks that hold `address`, from the longest to the shortest.
    pub fn find(&self, address: IpAddr) -> impl Iterator<Item = &T> {
        let bits = bits(address);
        self.lengths.iter().rev().filter_map(move |(length, starts)| starts.get(&masked(bits, *length)))
    }
}

/// Finds the longest network that holds an address at a time.
#[derive(Debug, Default)]
pub struct CidrIndex {
    prefixes: PrefixIndex<Vec<(Validity, usize)>>,
}

impl CidrIndex {
    /// Adds a network that leads to `id`.
    pub fn insert(&mut self, cidr: IpNet, validity: Validity, id: usize) {
        self.prefixes.entry(cidr, Vec::new).push((validity, id));
    }

    /// The id of the longest network; the first inserted among equals.
    pub fn find(&self, address: IpAddr, at: i64) -> Option<usize> {
        let held = self.prefixes.find(address).flatten().find(|(validity, _)| validity.holds(at));
        held.map(|(_, id)| *id)
    }
}

fn bits(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(v4) => v4.to_ipv6_mapped().to_bits(),
        IpAddr::V6(v6) => v6.to_bits(),
    }
}

fn masked(bits: u128, length: u8) -> u128 {
    let host_bits = 128 - u32::from(length);
    bits.checked_shr(host_bits).and_then(|b| b.checked_shl(host_bits)).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn longest_network_names_an_address() {
        let mut index = CidrIndex::default();
        let nets = ["10.0.0.0/8", "10.1.0.0/16", "0.0.0.0/0", "2001:db8::/32", "10.1.2.3/32"];
        for (id, net) in nets.iter().enumerate() {
            index.insert(net.parse().unwrap(), Validity::ALWAYS, id);
        }
        for (address, expected) in [
            ("10.2.0.1", Some(0)),
            ("10.1.0.1", Some(1)),
            ("10.1.2.3", Some(4)),
            ("::ffff:10.1.0.1", Some(1)),
            ("192.0.2.1", Some(2)),
            ("2001:db8::1", Some(3)),
            ("2001:db9::1", None),
        ] {
            assert_eq!(index.find(address.parse().unwrap(), 0), expected, "{address}");
        }
    }

    #[test]
    fn longer_network_hides_a_shorter_one_only_while_it_holds() {
        let mut index = CidrIndex::default();
        index.insert("10.0.0.0/8".parse().unwrap(), Validity::ALWAYS, 0);
        index.insert("10.1.0.0/16".parse().unwrap(), Validity { from: 10, to: 20 }, 1);
        for (at, expected) in [(9, 0), (10, 1), (19, 1), (20, 0)] {
            assert_eq!(index.find("10.1.0.1".parse().unwrap(), at), Some(expected), "{at}");
        }
    }
}
