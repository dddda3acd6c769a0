//! The address ranges of clouds, each in the form in which the cloud publishes them.
//!
//! In: a file's bytes. Out: an index from address to cloud and region. Where a file lists a network several
//! times, the entry that names a region counts.

use std::net::IpAddr;

use ipnet::IpNet;
use serde::Deserialize;

use super::Mistake;
use crate::limits::CLOUD_RANGES_MAX;
use crate::registry::addresses::PrefixIndex;
use crate::registry::reader::shown;

/// Who publishes ranges.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::registry) enum Publisher {
    /// <https://docs.aws.amazon.com/vpc/latest/userguide/aws-ip-syntax.html>
    Aws,
    /// <https://cloud.google.com/compute/docs/faq#find_ip_range>
    Google,
    /// <https://learn.microsoft.com/en-us/azure/virtual-network/service-tags-overview#service-tags-on-premises>
    Azure,
    /// <https://developers.cloudflare.com/api/resources/ips/>, or the plain list of <https://www.cloudflare.com/ips/>
    Cloudflare,
}

impl Publisher {
    fn name(self) -> &'static str {
        match self {
            Self::Aws => "aws",
            Self::Google => "google",
            Self::Azure => "azure",
            Self::Cloudflare => "cloudflare",
        }
    }

    /// Where to get such a file.
    pub(super) fn origin(self) -> &'static str {
        match self {
            Self::Aws => "https://ip-ranges.amazonaws.com/ip-ranges.json",
            Self::Google => "https://www.gstatic.com/ipranges/cloud.json",
            Self::Azure => {
                "ServiceTags_Public_<date>.json from https://www.microsoft.com/download/details.aspx?id=56519"
            }
            Self::Cloudflare => {
                "https://api.cloudflare.com/client/v4/ips, or the lists of https://www.cloudflare.com/ips/"
            }
        }
    }

    fn read(self, bytes: &[u8]) -> Result<Vec<Published>, Mistake> {
        match self {
            Self::Aws => aws(bytes),
            Self::Google => google(bytes),
            Self::Azure => azure(bytes),
            Self::Cloudflare if bytes.trim_ascii_start().starts_with(b"{") => cloudflare(bytes),
            Self::Cloudflare => list(bytes),
        }
    }
}

/// A cloud, and which part of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CloudRange {
    /// `aws`, `google`, `azure` or `cloudflare`.
    pub provider: &'static str,
    /// Provider and region, such as `aws-eu-central-1`; the provider where there is no region.
    pub name: String,
}

/// Finds the range of an address.
#[derive(Debug, Default)]
pub(super) struct CloudRanges {
    /// Places in `names`.
    index: PrefixIndex<u32>,
    names: Vec<CloudRange>,
    count: usize,
}

impl CloudRanges {
    /// Adds what a file lists.
    pub(super) fn add(&mut self, publisher: Publisher, bytes: &[u8]) -> Result<(), Mistake> {
        let mut published = publisher.read(bytes)?;
        if published.is_empty() {
            return Err(Mistake::whole(format!("no address range in the form of {}", publisher.name())));
        }
        self.count += published.len();
        if self.count > CLOUD_RANGES_MAX {
            return Err(Mistake::whole(format!("more than {CLOUD_RANGES_MAX} ranges in all files together")));
        }
        published.sort_by_key(|range| range.region.is_none());
        for range in published {
            let number = self.number(publisher, range.region.as_deref());
            self.index.entry(range.network, || number);
        }
        Ok(())
    }

    fn number(&mut self, publisher: Publisher, region: Option<&str>) -> u32 {
        let provider = publisher.name();
        let name = region.map_or_else(|| provider.to_owned(), |region| format!("{provider}-{region}"));
        let known = self.names.iter().rposition(|range| range.name == name);
        let number = known.unwrap_or_else(|| {
            self.names.push(CloudRange { provider, name });
            self.names.len() - 1
        });
        u32::try_from(number).expect("there are fewer names than ranges")
    }

    /// The longest range that holds `address`.
    pub(super) fn find(&self, address: IpAddr) -> Option<&CloudRange> {
        self.index.find(address).next().map(|number| &self.names[*number as usize])
    }
}

/// One line of a publisher's file.
struct Published {
    network: IpNet,
    region: Option<String>,
}

impl Published {
    fn new(network: &str, region: &str) -> Result<Self, Mistake> {
        let read = network.parse::<IpNet>();
        let network = read
            .map_err(|_| Mistake::whole(format!("`{}` is not a network in CIDR notation", shown(network))))?;
        let named = !region.is_empty() && !region.eq_ignore_ascii_case("global");
        Ok(Self { network, region: named.then(|| region.to_ascii_lowercase()) })
    }
}

fn parse<'a, T: Deserialize<'a>>(bytes: &'a [u8]) -> Result<T, Mistake> {
    serde_json::from_slice(bytes).map_err(|error| Mistake {
        line: error.line(),
        message: format!("not in the publisher's form: {error}"),
    })
}

fn aws(bytes: &[u8]) -> Result<Vec<Published>, Mistake> {
    #[derive(Deserialize)]
    struct Ranges<'a> {
        #[serde(borrow)]
        prefixes: Vec<V4<'a>>,
        #[serde(borrow)]
        ipv6_prefixes: Vec<V6<'a>>,
    }
    #[derive(Deserialize)]
    struct V4<'a> {
        ip_prefix: &'a str,
        region: &'a str,
    }
    #[derive(Deserialize)]
    struct V6<'a> {
        ipv6_prefix: &'a str,
        region: &'a str,
    }
    let ranges: Ranges<'_> = parse(bytes)?;
    let v4 = ranges.prefixes.iter().map(|p| Published::new(p.ip_prefix, p.region));
    let v6 = ranges.ipv6_prefixes.iter().map(|p| Published::new(p.ipv6_prefix, p.region));
    v4.chain(v6).collect()
}

fn google(bytes: &[u8]) -> Result<Vec<Published>, Mistake> {
    #[derive(Deserialize)]
    struct Ranges<'a> {
        #[serde(borrow)]
        prefixes: Vec<Prefix<'a>>,
    }
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Prefix<'a> {
        ipv4_prefix: Option<&'a str>,
        ipv6_prefix: Option<&'a str>,
        #[serde(default)]
        scope: &'a str,
    }
    let ranges: Ranges<'_> = parse(bytes)?;
    let each =
        ranges.prefixes.iter().flat_map(|p| [p.ipv4_prefix, p.ipv6_prefix].map(|n| Some((n?, p.scope))));
    each.flatten().map(|(network, scope)| Published::new(network, scope)).collect()
}

fn azure(bytes: &[u8]) -> Result<Vec<Published>, Mistake> {
    #[derive(Deserialize)]
    struct Tags<'a> {
        #[serde(borrow)]
        values: Vec<Tag<'a>>,
    }
    #[derive(Deserialize)]
    struct Tag<'a> {
        #[serde(borrow)]
        properties: Properties<'a>,
    }
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Properties<'a> {
        #[serde(default)]
        region: &'a str,
        #[serde(borrow)]
        address_prefixes: Vec<&'a str>,
    }
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let tags: Tags<'_> = parse(bytes)?;
    let of_tag = |tag: &Tag<'_>| {
        let region = tag.properties.region;
        let networks = tag.properties.address_prefixes.iter();
        networks.map(|network| Published::new(network, region)).collect::<Vec<_>>()
    };
    tags.values.iter().flat_map(of_tag).collect()
}

fn cloudflare(bytes: &[u8]) -> Result<Vec<Published>, Mistake> {
    #[derive(Deserialize)]
    struct Answer<'a> {
        #[serde(borrow)]
        result: Networks<'a>,
    }
    #[derive(Deserialize)]
    struct Networks<'a> {
        #[serde(borrow)]
        ipv4_cidrs: Vec<&'a str>,
        #[serde(borrow)]
        ipv6_cidrs: Vec<&'a str>,
    }
    let Answer { result } = parse(bytes)?;
    result.ipv4_cidrs.iter().chain(&result.ipv6_cidrs).map(|network| Published::new(network, "")).collect()
}

fn list(bytes: &[u8]) -> Result<Vec<Published>, Mistake> {
    let text =
        std::str::from_utf8(bytes).map_err(|_| Mistake::whole("neither JSON nor a text with networks"))?;
    let lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
    let read = lines.map(|(i, line)| {
        Published::new(line.trim(), "").map_err(|mistake| Mistake { line: i + 1, ..mistake })
    });
    read.collect()
}
