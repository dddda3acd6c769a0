//! Apigee. In: a record of the analytics export, or what a MessageLogging policy wrote, alone or as the `jsonPayload`
//! of a Cloud Logging entry. Out: one event. The policy's keys are the operator's own: read are the names of flow
//! variables, however they are spelt, and those of Google's published sample. Bodies are never read. What analytics
//! call the client id is the API key itself: it becomes nothing but a keyed hash.
//!
//! <https://cloud.google.com/apigee/docs/api-platform/analytics/export-data>,
//! <https://cloud.google.com/apigee/docs/api-platform/analytics/analytics-reference>,
//! <https://cloud.google.com/apigee/docs/api-platform/analytics/obfuscate-user-data-for-analytics>,
//! <https://cloud.google.com/apigee/docs/api-platform/reference/variables-reference>,
//! cloud-logging/apiproxy/policies/ML-CloudLogging.xml in GoogleCloudPlatform/apigee-samples on GitHub

use std::cell::RefCell;
use std::net::IpAddr;
use std::thread::LocalKey;

use serde::Deserialize;

use super::RejectReason;
use super::columns::{Credential, CredentialKind, Fields, Joined};
use super::format::{Family, Layout, Row};
use super::http;
use super::json::{self, Nested, Refusal, Text, first_of};
use super::loose::{Fact, Loose, Names};
use super::time;

pub(super) const LAYOUT: Layout = Layout {
    name: "apigee",
    family: Family::Gateway,
    signatures: &[
        &["\"client_received_start_timestamp\"", "\"apiproxy\""],
        &["\"apiproxy.name\""],
        &["\"apiproxy\"", "\"environment\""],
        &["\"apiProxy\"", "\"environment\""],
        &["\"organization\"", "\"environment\"", "\"proxy\"", "\"verb\""],
    ],
    read,
};

/// An entry of Cloud Logging.
#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
struct LogEntry<'a> {
    #[serde(borrow)]
    json_payload: Nested<'a, Record<'a>>,
    timestamp: Text<'a>,
    insert_id: Text<'a>,
}

type Record<'a> = Loose<'a, Said>;

thread_local! {
    static NAMES: RefCell<Names> = RefCell::default();
}

#[derive(Clone, Copy)]
enum Said {
    Time,
    FlowId,
    Organization,
    Environment,
    Region,
    Proxy,
    Verb,
    Uri,
    Host,
    Status,
    Fault,
    ConsumerKey,
    AccessToken,
    App,
    Product,
    ResolvedIp,
    ForwardedFor,
    SeenIp,
    UserAgent,
    TargetHost,
    TargetUrl,
    Target,
    Traceparent,
}

impl Fact for Said {
    const COUNT: usize = Self::Traceparent as usize + 1;
    const NOTHING: &'static str = "(not set)";

    /// Dimensions of analytics, then flow variables, then short names; `client.ip` and `client_ip` are one name.
    fn of(name: &str) -> Option<(Self, u8)> {
        Some(match name {
            "clientreceivedstarttimestamp" => (Self::Time, 0),
            "systemtimestamp" => (Self::Time, 1),
            "timestamp" => (Self::Time, 2),
            "gatewayflowid" => (Self::FlowId, 0),
            "messageid" => (Self::FlowId, 1),
            "organizationname" => (Self::Organization, 0),
            "organization" => (Self::Organization, 1),
            "environmentname" => (Self::Environment, 0),
            "environment" => (Self::Environment, 1),
            "axdnregion" => (Self::Region, 0),
            "systemregionname" => (Self::Region, 1),
            "apiproxyname" => (Self::Proxy, 0),
            "apiproxy" => (Self::Proxy, 1),
            // In analytics the proxy's endpoint, in the sample the proxy.
            "proxy" => (Self::Proxy, 2),
            "requestverb" => (Self::Verb, 0),
            "verb" => (Self::Verb, 1),
            "requesturi" => (Self::Uri, 0),
            "requestpath" => (Self::Uri, 1),
            "requestheaderhost" => (Self::Host, 0),
            "host" => (Self::Host, 1),
            "responsestatuscode" => (Self::Status, 0),
            "statuscode" => (Self::Status, 1),
            "responsecode" => (Self::Status, 2),
            "axedgeexecutionfaultcode" => (Self::Fault, 0),
            "faultname" => (Self::Fault, 1),
            "clientid" => (Self::ConsumerKey, 0),
            "apikey" => (Self::ConsumerKey, 1),
            "accesstoken" => (Self::AccessToken, 0),
            "developerapp" => (Self::App, 0),
            "developerappname" => (Self::App, 1),
            "apiproduct" => (Self::Product, 0),
            "apiproductname" => (Self::Product, 1),
            "axresolvedclientip" => (Self::ResolvedIp, 0),
            "clientresolvedip" => (Self::ResolvedIp, 1),
            "xforwardedforip" => (Self::ForwardedFor, 0),
            "requestheaderxforwardedfor" => (Self::ForwardedFor, 1),
            "proxyclientip" => (Self::SeenIp, 0),
            "clientip" => (Self::SeenIp, 1),
            "useragent" => (Self::UserAgent, 0),
            "requestheaderuseragent" => (Self::UserAgent, 1),
            "targethost" => (Self::TargetHost, 0),
            "targeturl" => (Self::TargetUrl, 0),
            "target" => (Self::Target, 0),
            "targetname" => (Self::Target, 1),
            "requestheadertraceparent" => (Self::Traceparent, 0),
            _ => return None,
        })
    }

    /// Flow variables nested by their dots.
    fn is_group(name: &str) -> bool {
        matches!(name, "request" | "requestheader" | "response" | "client" | "developer" | "fault" | "system")
    }

    fn index(self) -> usize {
        self as usize
    }

    fn names() -> &'static LocalKey<RefCell<Names>> {
        &NAMES
    }
}

/// What the entry around a record says of it.
#[derive(Clone, Copy, Default)]
struct Around<'r> {
    timestamp: &'r str,
    insert_id: &'r str,
}

fn read(text: &str, row: &mut Row<'_>) -> Result<(), Refusal> {
    if text.contains("\"jsonPayload\"") {
        let entry: LogEntry<'_> = json::parse(text)?;
        if let Some(record) = entry.json_payload.object() {
            let around = Around { timestamp: entry.timestamp.get(), insert_id: entry.insert_id.get() };
            row.append(&fields(record, around)?);
            return Ok(());
        }
    }
    let record: Record<'_> = json::parse(text)?;
    row.append(&fields(&record, Around::default())?);
    Ok(())
}

fn fields<'r>(record: &'r Record<'_>, around: Around<'r>) -> Result<Fields<'r>, Refusal> {
    let status = record.number(Said::Status);
    let flow_id = record.get(Said::FlowId);
    let id = first_of(&[flow_id, around.insert_id]);
    Ok(Fields {
        event_time: event_time(record, around)?,
        event_id: id,
        action: Joined::one(record.get(Said::Verb)),
        outcome: http::outcome(status, "response_status_code: not a number")?,
        status_code: status.value(),
        error: record.get(Said::Fault),
        credential: Credential::new(CredentialKind::GatewayKey, Joined::one(record.get(Said::ConsumerKey))),
        token: record.get(Said::AccessToken),
        source_ip: source_ip(record),
        user_agent: record.get(Said::UserAgent),
        host: http::host(record.get(Said::Host)),
        route: first_of(&[record.get(Said::Proxy), http::first_segments(record.get(Said::Uri))]),
        account: record.get(Said::Organization),
        region: record.get(Said::Region),
        environment: record.get(Said::Environment),
        target: target(record),
        consumer: first_of(&[record.get(Said::App), record.get(Said::Product)]),
        trace_id: first_of(&[http::traceparent_id(record.get(Said::Traceparent)), id]),
        ..Fields::default()
    })
}

fn event_time(record: &Record<'_>, around: Around<'_>) -> Result<i64, Refusal> {
    if record.get(Said::Proxy).is_empty() {
        return Err(Refusal::new(RejectReason::UnknownFormat, "names no API proxy: not an Apigee record"));
    }
    let text = first_of(&[record.get(Said::Time), around.timestamp]);
    if text.is_empty() {
        return Err(Refusal::new(RejectReason::MissingField, "client_received_start_timestamp"));
    }
    let otherwise = "client_received_start_timestamp: not a time";
    time::micros(text).ok_or_else(|| Refusal::new(RejectReason::BadField, otherwise))
}

/// The address that Apigee itself resolved, else the first hop, else what its router saw. Where analytics obfuscate
/// addresses, these are hashes: no address at all.
fn source_ip<'r>(record: &'r Record<'_>) -> &'r str {
    let forwarded = http::client(record.get(Said::ForwardedFor), record.get(Said::SeenIp));
    let address = http::without_port(first_of(&[record.get(Said::ResolvedIp), forwarded]));
    if address.parse::<IpAddr>().is_ok() { address } else { "" }
}

/// The host behind the proxy, else the name of its target endpoint.
fn target<'r>(record: &'r Record<'_>) -> &'r str {
    let (host, _) = http::url_parts(record.get(Said::TargetUrl));
    first_of(&[record.get(Said::TargetHost), host, record.get(Said::Target)])
}
