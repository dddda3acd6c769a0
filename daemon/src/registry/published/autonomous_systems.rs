//! Who announces an address: the autonomous system, from a database in the MaxMind DB format.
//!
//! In: the bytes of a database whose records follow MaxMind's ASN schema
//! (<https://dev.maxmind.com/geoip/docs/databases/asn/>) or IPinfo's
//! (<https://ipinfo.io/developers/asn-database>). Out: number, organisation and, where the database tells, what
//! kind of network it is. A record that cannot be read names nobody.

use std::net::IpAddr;

use maxminddb::{Reader, WithinOptions};
use serde::Deserialize;

use super::Mistake;
use crate::limits::AS_DATABASE_PROBES_MAX;
use crate::registry::facts::NetworkKind;
use crate::registry::reader::shown;

/// An autonomous system.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AutonomousSystem<'a> {
    /// Its number.
    pub number: u32,
    /// The organisation that runs it.
    pub name: Option<&'a str>,
    /// What its addresses are used for.
    pub kind: Option<NetworkKind>,
}

/// One database, held in memory.
#[derive(Debug)]
pub(super) struct Database {
    reader: Reader<Vec<u8>>,
}

/// What both schemas may hold; a record has the keys of one of them.
#[derive(Deserialize)]
struct Record<'a> {
    autonomous_system_number: Option<u32>,
    autonomous_system_organization: Option<&'a str>,
    /// `AS64496`.
    asn: Option<&'a str>,
    as_name: Option<&'a str>,
    name: Option<&'a str>,
    /// `isp`, `hosting`, `business`, `education`.
    #[serde(rename = "type")]
    kind: Option<&'a str>,
}

impl<'a> Record<'a> {
    fn autonomous_system(&self) -> Option<AutonomousSystem<'a>> {
        let digits = |asn: &str| asn.trim_start_matches(['A', 'S', 'a', 's']).parse().ok();
        let number = self.autonomous_system_number.or_else(|| digits(self.asn?))?;
        let names = [self.autonomous_system_organization, self.as_name, self.name];
        let kind = match self.kind {
            Some("isp") => Some(NetworkKind::Residential),
            Some("hosting") => Some(NetworkKind::Cloud),
            Some(_) | None => None,
        };
        Some(AutonomousSystem { number, name: names.into_iter().flatten().find(|n| !n.is_empty()), kind })
    }
}

impl Database {
    /// Opens a database and makes sure that it tells autonomous systems at all.
    pub(super) fn open(bytes: Vec<u8>) -> Result<Self, Mistake> {
        let broken = |error| Mistake::whole(format!("not a readable MaxMind DB: {error}"));
        let reader = Reader::from_source(bytes).map_err(broken)?;
        let options = WithinOptions::default().include_networks_without_data();
        for found in reader.networks(options).map_err(broken)?.take(AS_DATABASE_PROBES_MAX) {
            let record = found.map_err(broken)?.decode::<Record<'_>>().map_err(broken)?;
            if record.is_some_and(|record| record.autonomous_system().is_some()) {
                return Ok(Self { reader });
            }
        }
        let kind = shown(&reader.metadata().database_type);
        Err(Mistake::whole(format!("no autonomous system in the first records of this `{kind}` database")))
    }

    /// Who announces `address`, if the database knows.
    pub(super) fn find(&self, address: IpAddr) -> Option<AutonomousSystem<'_>> {
        let found = self.reader.lookup(address.to_canonical()).ok()?;
        found.decode::<Record<'_>>().ok()??.autonomous_system()
    }
}
