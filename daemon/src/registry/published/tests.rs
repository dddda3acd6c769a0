//! Files in the forms of their publishers, with invented content, and what becomes of them.
//!
//! The database is written by a small encoder of the MaxMind DB format 2.0, 24-bit records
//! (<https://maxmind.github.io/MaxMind-DB/>).

use std::fs;
use std::path::Path;

use ipnet::IpNet;

use crate::limits::{NETWORK_FILES_MAX, RANGES_FILE_BYTES_MAX};
use crate::registry::{Registry, RegistryErrors};

/// A value of the MaxMind DB format.
pub(crate) enum Value<'a> {
    Text(&'a str),
    Number(u32),
    Map(&'a [(&'a str, Value<'a>)]),
}

/// A database of these records, one a network.
pub(crate) fn database(records: &[(&str, Value<'_>)]) -> Vec<u8> {
    let mut section = Vec::new();
    let mut tree = Tree { nodes: vec![[Branch::Nothing; 2]] };
    for (network, value) in records {
        tree.insert(network.parse().unwrap(), section.len());
        encode(value, &mut section);
    }
    let mut bytes = tree.encoded();
    bytes.extend([0; 16]);
    bytes.extend(section);
    bytes.extend(b"\xab\xcd\xefMaxMind.com");
    bytes.extend(metadata(tree.nodes.len()));
    bytes
}

fn metadata(node_count: usize) -> Vec<u8> {
    let mut bytes = vec![0xe0 | 9];
    let mut key = |name: &str, value: &[u8]| {
        encode(&Value::Text(name), &mut bytes);
        bytes.extend(value);
    };
    let short = |number: u16| [&[0xa2][..], &number.to_be_bytes()].concat();
    let text = |text: &str| {
        let mut bytes = Vec::new();
        encode(&Value::Text(text), &mut bytes);
        bytes
    };
    key("binary_format_major_version", &short(2));
    key("binary_format_minor_version", &short(0));
    key("build_epoch", &[&[0x08, 0x02][..], &1_772_000_000_u64.to_be_bytes()].concat());
    key("database_type", &text("Invented-ASN"));
    key("description", &[&[0xe1][..], &text("en"), &text("Invented")].concat());
    key("ip_version", &short(6));
    key("languages", &[&[0x01, 0x04][..], &text("en")].concat());
    key("node_count", &[&[0xc4][..], &(node_count as u32).to_be_bytes()].concat());
    key("record_size", &short(24));
    bytes
}

fn encode(value: &Value<'_>, into: &mut Vec<u8>) {
    match value {
        Value::Text(text) => {
            match u8::try_from(text.len()).unwrap() {
                length @ ..29 => into.push(0x40 | length),
                length => into.extend([0x40 | 29, length - 29]),
            }
            into.extend(text.as_bytes());
        }
        Value::Number(number) => {
            into.push(0xc4);
            into.extend(number.to_be_bytes());
        }
        Value::Map(entries) => {
            into.push(0xe0 | u8::try_from(entries.len()).unwrap());
            for (key, value) in *entries {
                encode(&Value::Text(key), into);
                encode(value, into);
            }
        }
    }
}

#[derive(Clone, Copy)]
enum Branch {
    Nothing,
    Node(usize),
    Record(usize),
}

/// Bit by bit from the front of an IPv6 address; IPv4 lies below ::/96.
struct Tree {
    nodes: Vec<[Branch; 2]>,
}

impl Tree {
    fn insert(&mut self, network: IpNet, offset: usize) {
        let (bits, length) = match network {
            IpNet::V4(v4) => (u128::from(v4.addr().to_bits()), v4.prefix_len() + 96),
            IpNet::V6(v6) => (v6.addr().to_bits(), v6.prefix_len()),
        };
        let mut node = 0;
        for depth in 0..length {
            let side = usize::from(bits >> (127 - depth) & 1 == 1);
            if depth + 1 == length {
                self.nodes[node][side] = Branch::Record(offset);
                return;
            }
            if !matches!(self.nodes[node][side], Branch::Node(_)) {
                self.nodes.push([Branch::Nothing; 2]);
                self.nodes[node][side] = Branch::Node(self.nodes.len() - 1);
            }
            let Branch::Node(next) = self.nodes[node][side] else { unreachable!("set a moment ago") };
            node = next;
        }
    }

    fn encoded(&self) -> Vec<u8> {
        let number = |branch: &Branch| match branch {
            Branch::Nothing => self.nodes.len(),
            Branch::Node(node) => *node,
            Branch::Record(offset) => self.nodes.len() + 16 + offset,
        };
        let three_bytes = |branch| (number(branch) as u32).to_be_bytes()[1..].to_vec();
        self.nodes.iter().flatten().flat_map(three_bytes).collect()
    }
}

const AWS: &str = r#"{"syncToken": "1", "createDate": "2026-03-01-00-00-00",
 "prefixes": [
  {"ip_prefix": "198.51.100.0/24", "region": "eu-central-1", "service": "AMAZON", "network_border_group": "eu-central-1"},
  {"ip_prefix": "198.51.100.0/24", "region": "eu-central-1", "service": "EC2", "network_border_group": "eu-central-1"},
  {"ip_prefix": "198.51.100.128/25", "region": "us-east-1", "service": "EC2", "network_border_group": "us-east-1"},
  {"ip_prefix": "192.0.2.0/26", "region": "GLOBAL", "service": "CLOUDFRONT", "network_border_group": "GLOBAL"}],
 "ipv6_prefixes": [
  {"ipv6_prefix": "2001:db8:a::/48", "region": "eu-west-1", "service": "AMAZON", "network_border_group": "eu-west-1"}]}"#;
const GOOGLE: &str = r#"{"syncToken": "1", "creationTime": "2026-03-01T00:00:00", "prefixes": [
  {"ipv4Prefix": "203.0.113.0/25", "service": "Google Cloud", "scope": "europe-west1"},
  {"ipv6Prefix": "2001:db8:b::/48", "service": "Google Cloud", "scope": "global"}]}"#;
const AZURE: &str = r#"{"changeNumber": 1, "cloud": "Public", "values": [
  {"name": "AzureCloud", "id": "AzureCloud", "properties": {"changeNumber": 1, "region": "", "regionId": 0,
   "platform": "Azure", "systemService": "", "addressPrefixes": ["203.0.113.128/25", "2001:db8:c::/48"], "networkFeatures": null}},
  {"name": "AzureCloud.westeurope", "id": "AzureCloud.westeurope", "properties": {"changeNumber": 1,
   "region": "westeurope", "regionId": 18, "platform": "Azure", "systemService": "",
   "addressPrefixes": ["203.0.113.128/25"], "networkFeatures": ["API", "NSG"]}}]}"#;
const CLOUDFLARE: &str = r#"{"result": {"ipv4_cidrs": ["192.0.2.64/26"], "ipv6_cidrs": ["2001:db8:d::/48"], "etag": "1"}, "success": true}"#;

/// A database in MaxMind's schema with one network, and in IPinfo's with three.
pub(crate) fn databases() -> [Vec<u8>; 2] {
    let maxmind = Value::Map(&[
        ("autonomous_system_number", Value::Number(64_496)),
        ("autonomous_system_organization", Value::Text("Example Telecom")),
    ]);
    let ipinfo = |asn, kind| {
        [("asn", Value::Text(asn)), ("name", Value::Text("Example")), ("type", Value::Text(kind))]
    };
    let (isp, hosting, business) =
        (ipinfo("AS64497", "isp"), ipinfo("AS64498", "hosting"), ipinfo("AS64499", "business"));
    [
        database(&[("192.0.2.128/25", maxmind)]),
        database(&[
            ("10.1.0.0/16", Value::Map(&isp)),
            ("10.2.0.0/16", Value::Map(&hosting)),
            ("2001:db8:e::/48", Value::Map(&business)),
        ]),
    ]
}

/// Puts `files` and a registry that names all of them into `folder`, each with its format.
pub(crate) fn write_registry(folder: &Path, files: &[(&str, &str, &[u8])], more: &str) {
    let mut text = more.to_owned();
    for (format, name, bytes) in files {
        fs::write(folder.join(name), bytes).unwrap();
        text += &format!("[[network_file]]\nformat = \"{format}\"\npath = \"{name}\"\n");
    }
    fs::write(folder.join("estate.toml"), text).unwrap();
}

fn load(files: &[(&str, &str, &[u8])]) -> Result<Registry, RegistryErrors> {
    let folder = tempfile::tempdir().unwrap();
    write_registry(folder.path(), files, "");
    Registry::load(folder.path())
}

#[test]
fn range_of_each_cloud_names_provider_and_region() {
    let files: [(&str, &str, &[u8]); 4] = [
        ("aws", "ip-ranges.json", AWS.as_bytes()),
        ("google", "cloud.json", GOOGLE.as_bytes()),
        ("azure", "ServiceTags_Public.json", AZURE.as_bytes()),
        ("cloudflare", "ips.json", CLOUDFLARE.as_bytes()),
    ];
    let registry = load(&files).unwrap_or_else(|errors| panic!("{errors}"));
    for (address, expected) in [
        ("198.51.100.7", Some(("aws", "aws-eu-central-1"))),
        ("198.51.100.200", Some(("aws", "aws-us-east-1"))),
        ("192.0.2.1", Some(("aws", "aws"))),
        ("2001:db8:a::1", Some(("aws", "aws-eu-west-1"))),
        ("203.0.113.1", Some(("google", "google-europe-west1"))),
        ("2001:db8:b::1", Some(("google", "google"))),
        ("203.0.113.200", Some(("azure", "azure-westeurope"))),
        ("2001:db8:c::1", Some(("azure", "azure"))),
        ("192.0.2.65", Some(("cloudflare", "cloudflare"))),
        ("::ffff:192.0.2.65", Some(("cloudflare", "cloudflare"))),
        ("2001:db8:d::1", Some(("cloudflare", "cloudflare"))),
        ("192.0.2.200", None),
    ] {
        let found = registry.cloud(address.parse().unwrap());
        assert_eq!(found.map(|range| (range.provider, range.name.as_str())), expected, "{address}");
    }
    let text = [("cloudflare", "ips-v4", &b"192.0.2.0/25\n198.51.100.0/24\n"[..])];
    assert!(load(&text).unwrap().cloud("198.51.100.1".parse().unwrap()).is_some());
    let marked = [&b"\xef\xbb\xbf"[..], AZURE.as_bytes()].concat();
    assert!(load(&[("azure", "tags.json", &marked)]).is_ok(), "a byte order mark, as some tools write it");
}

#[test]
fn autonomous_system_is_read_in_both_schemas() {
    let [maxmind, ipinfo] = databases();
    let registry = load(&[("asn", "GeoLite2-ASN.mmdb", &maxmind), ("asn", "ipinfo_asn.mmdb", &ipinfo)]);
    let registry = registry.unwrap_or_else(|errors| panic!("{errors}"));
    for (address, expected) in [
        ("192.0.2.200", Some((64_496, Some("Example Telecom"), None))),
        ("::ffff:192.0.2.200", Some((64_496, Some("Example Telecom"), None))),
        ("10.1.2.3", Some((64_497, Some("Example"), Some("residential")))),
        ("10.2.2.3", Some((64_498, Some("Example"), Some("cloud")))),
        ("2001:db8:e::1", Some((64_499, Some("Example"), None))),
        ("192.0.2.1", None),
        ("2001:db8:f::1", None),
    ] {
        let found = registry.autonomous_system(address.parse().unwrap());
        let found = found.map(|system| (system.number, system.name, system.kind.map(|kind| kind.name())));
        assert_eq!(found, expected, "{address}");
    }
}

#[test]
fn mistake_in_a_file_names_it_and_where_to_get_another() {
    let no_numbers = database(&[("192.0.2.0/24", Value::Map(&[("country", Value::Text("DK"))]))]);
    let cut = &databases()[0][..60];
    for (format, content, line, message, fix) in [
        ("aws", &b"{}"[..], 1, "missing field `prefixes`", "https://ip-ranges.amazonaws.com/ip-ranges.json"),
        ("aws", b"{\"prefixes\": [],\n\"ipv6_prefixes\": [1]}", 2, "invalid type", "ip-ranges.amazonaws.com"),
        (
            "aws",
            b"{\"prefixes\": [], \"ipv6_prefixes\": []}",
            0,
            "no address range in the form of aws",
            "ip-ranges",
        ),
        (
            "aws",
            b"{\"prefixes\": [{\"ip_prefix\": \"10.0.0.0/99\", \"region\": \"x\"}], \"ipv6_prefixes\": []}",
            0,
            "`10.0.0.0/99` is not a network",
            "ip-ranges",
        ),
        (
            "google",
            AZURE.as_bytes(),
            6,
            "missing field `prefixes`",
            "https://www.gstatic.com/ipranges/cloud.json",
        ),
        ("azure", GOOGLE.as_bytes(), 3, "missing field `values`", "ServiceTags_Public"),
        ("cloudflare", b"192.0.2.0/25\n\n<html>\n", 3, "`<html>` is not a network", "cloudflare.com/ips"),
        ("cloudflare", b"\n", 0, "no address range", "cloudflare.com/ips"),
        ("cloudflare", b"\xff", 0, "neither JSON nor a text", "cloudflare.com/ips"),
        ("asn", b"not a database", 0, "not a readable MaxMind DB", "GeoLite2-ASN"),
        ("asn", cut, 0, "not a readable MaxMind DB", "GeoLite2-ASN"),
        (
            "asn",
            &no_numbers,
            0,
            "no autonomous system in the first records of this `Invented-ASN` database",
            "IPinfo",
        ),
    ] {
        let errors = load(&[(format, "file", content)]).unwrap_err();
        let found = &errors.errors[0];
        assert!(found.message.contains(message) && found.fix.contains(fix), "{format}: {errors}");
        assert!(found.file.ends_with("/file") && found.line == line, "{format}: {errors}");
    }
}

#[test]
fn damaged_files_are_refused_or_read_and_never_panic() {
    let [maxmind, ipinfo] = databases();
    let whole = [("aws", AWS.as_bytes()), ("azure", AZURE.as_bytes()), ("asn", &maxmind), ("asn", &ipinfo)];
    for seed in 0..200 {
        let mut random = fastrand::Rng::with_seed(seed);
        let (format, bytes) = random.choice(whole).unwrap();
        let mut bytes = bytes.to_vec();
        for _ in 0..random.usize(1..6) {
            let place = random.usize(..bytes.len());
            match random.u8(..3) {
                0 => bytes.truncate(place.max(1)),
                1 => bytes[place] = random.u8(..),
                _ => drop(bytes.remove(place.min(bytes.len() - 1))),
            }
        }
        if let Ok(registry) = load(&[(format, "file", &bytes)]) {
            for address in ["10.1.2.3", "192.0.2.200", "198.51.100.7", "2001:db8:e::1"] {
                let _ = registry.cloud(address.parse().unwrap());
                let _ = registry.autonomous_system(address.parse().unwrap());
            }
        }
    }
}

#[test]
fn what_names_a_file_says_so_where_it_cannot_be_had() {
    let folder = tempfile::tempdir().unwrap();
    let entry = "[[network_file]]\nformat = \"aws\"\npath = \"absent.json\"\n";
    fs::write(folder.path().join("estate.toml"), entry).unwrap();
    let error = Registry::load(folder.path()).unwrap_err().errors.remove(0);
    assert!(error.message.contains("absent.json: cannot be read") && error.line == 3, "{error}");
    let in_memory = Registry::from_texts(vec![("case.toml".to_owned(), entry.to_owned())]).unwrap_err();
    assert!(in_memory.to_string().contains("outside a registry's folder"), "{in_memory}");
    let unknown = entry.replace("aws", "azur");
    let error = Registry::from_texts(vec![("case.toml".to_owned(), unknown)]).unwrap_err();
    assert!(error.to_string().contains("did you mean `azure`?"), "{error}");
}

#[test]
fn file_beyond_the_bound_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    write_registry(folder.path(), &[("aws", "ranges", b"")], "");
    fs::File::create(folder.path().join("ranges")).unwrap().set_len(RANGES_FILE_BYTES_MAX + 1).unwrap();
    let errors = Registry::load(folder.path()).unwrap_err();
    assert!(errors.to_string().contains("ranges: is larger than 33554432 bytes"), "{errors}");
    let many: Vec<String> = (0..=NETWORK_FILES_MAX).map(|i| format!("ips-{i}")).collect();
    let many: Vec<(&str, &str, &[u8])> =
        many.iter().map(|name| ("cloudflare", &name[..], &b"192.0.2.0/24"[..])).collect();
    let errors = load(&many).unwrap_err();
    assert!(errors.to_string().contains("more than 16 [[network_file]] entries"), "{errors}");
}

#[test]
fn content_of_files_is_part_of_the_version() {
    let folder = tempfile::tempdir().unwrap();
    write_registry(folder.path(), &[("cloudflare", "ips", b"192.0.2.0/24")], "");
    let version = || Registry::load(folder.path()).unwrap().version().to_owned();
    let before = version();
    assert_eq!(before, version());
    fs::write(folder.path().join("ips"), "192.0.2.0/25").unwrap();
    assert_ne!(before, version());
}
