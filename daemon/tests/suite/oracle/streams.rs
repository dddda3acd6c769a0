//! What the oracle's streams are made of: events of many formats, and the order in which they arrive.
//!
//! In: proptest's choices, the golden records of fixtures/decode. Out: an [`Arrival`].

use std::sync::LazyLock;

use jiff::Timestamp;
use proptest::prelude::*;
use proptest::sample::select;

use super::world::{self, DAYS, LATENESS_SECONDS, MINUTE, PARTITIONS, START, VERSIONS};

const BROWSER: &str =
    "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/537.36 Chrome/126.0 Safari/537.36";
const DAY: i64 = 24 * 60 * MINUTE;
/// The topic whose source finds out the format of each record.
pub(super) const ANY_FORMAT: u16 = 5;

/// Another version takes effect once the step of batch `after` is committed.
#[derive(Debug, Clone)]
pub(super) struct Reload {
    pub(super) after: usize,
    pub(super) from: usize,
    pub(super) to: usize,
    /// By a restart with the new version, not while running.
    pub(super) by_restart: bool,
}

/// A stream and how it arrives.
#[derive(Debug, Clone)]
pub(super) struct Arrival {
    pub(super) events: Vec<(i32, Event)>,
    pub(super) cuts: Vec<usize>,
    pub(super) restarts: Vec<bool>,
    pub(super) early: bool,
    pub(super) reload: Option<Reload>,
    pub(super) losses: Vec<Loss>,
}

/// Messages that are gone when batch `after` comes.
#[derive(Debug, Clone)]
pub(super) struct Loss {
    pub(super) after: usize,
    pub(super) topic: u16,
    pub(super) partition: i32,
    /// How many; none: the topic was made anew.
    pub(super) lost: Option<i64>,
}

/// What an event is about; see the function that makes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Envoy,
    CloudTrail,
    Issue,
    Okta,
    Bedrock,
    AiCall,
    Staged,
    DataAccess,
    ToolCall,
    Approval,
    Outage,
    Served,
    Token,
    AnyFormat,
}

/// All kinds, each as often as the long streams have it.
const ALL: &[(u32, Kind)] = &[
    (8, Kind::Envoy),
    (3, Kind::CloudTrail),
    (1, Kind::Issue),
    (1, Kind::Okta),
    (2, Kind::Bedrock),
    (1, Kind::AiCall),
    (1, Kind::Staged),
    (2, Kind::DataAccess),
    (3, Kind::ToolCall),
    (1, Kind::Approval),
    (3, Kind::Outage),
    (1, Kind::Served),
    (1, Kind::Token),
    (2, Kind::AnyFormat),
];

/// One event before it has a place in a log.
#[derive(Debug, Clone)]
pub(super) struct Event {
    pub(super) at: i64,
    pub(super) topic: u16,
    pub(super) payload: String,
}

fn text(at: i64) -> String {
    Timestamp::from_microsecond(at).expect("within range").to_string()
}

fn envoy(at: i64, caller: u8, pilot: u8, status: u16) -> Event {
    let payload = format!(
        r#"{{"start_time":"{}","method":"POST",":authority":"pilot-{pilot}.ai.larkfield.example","x-envoy-origin-path":"/v1/run","route_name":"pilot-{pilot}","response_code":{status},"x-request-id":"r-{at}-{caller}","user-agent":"caller/{caller}","downstream_peer_uri_san":"spiffe://prod.larkfield.example/ns/shop/sa/caller-{caller}","downstream_remote_address":"10.1.2.{caller}:4711"}}"#,
        text(at)
    );
    Event { at, topic: 1, payload }
}

/// Who signs an AWS call: a user's key, or a role session by a key that somebody was given.
#[derive(Debug, Clone, Copy)]
enum Signer {
    Key(u8),
    Session { role: u8, token: u8 },
}

impl Signer {
    fn identity(self, mfa: bool) -> String {
        let account = "111122223333";
        match self {
            Self::Key(key) => format!(
                r#"{{"type":"IAMUser","principalId":"AIDAEXAMPLE{key}","arn":"arn:aws:iam::{account}:user/u{key}","accountId":"{account}","accessKeyId":"AKIAORACLE{key:010}","userName":"u{key}","sessionContext":{{"attributes":{{"mfaAuthenticated":"{mfa}"}}}}}}"#
            ),
            Self::Session { role, token } => format!(
                r#"{{"type":"AssumedRole","principalId":"AROAEXAMPLE{role}:job","arn":"arn:aws:sts::{account}:assumed-role/r{role}/job","accountId":"{account}","accessKeyId":"ASIAORACLE{token:010}","sessionContext":{{"sessionIssuer":{{"type":"Role","arn":"arn:aws:iam::{account}:role/r{role}"}},"attributes":{{"mfaAuthenticated":"{mfa}"}}}}}}"#
            ),
        }
    }
}

/// A call that a person or a function makes; with `issued`, one that gives out the key of a role session.
fn cloudtrail(at: i64, signer: Signer, human: bool, issued: Option<u8>) -> Event {
    let (agent, ip) = if human {
        (BROWSER, "198.51.100.7")
    } else {
        ("Boto3/1.34.1 md/Botocore#1.34.1 exec-env/AWS_Lambda_python3.12", "10.9.0.4")
    };
    let (source, name) = if issued.is_some() { ("sts", "AssumeRole") } else { ("s3", "GetObject") };
    let bucket = at / MINUTE % 3;
    let response = issued.map_or("null".to_owned(), |token| {
        format!(r#"{{"credentials":{{"accessKeyId":"ASIAORACLE{token:010}"}}}}"#)
    });
    let payload = format!(
        r#"{{"eventVersion":"1.09","eventTime":"{}","eventID":"e-{at}-{signer:?}-{human}-{issued:?}","eventSource":"{source}.amazonaws.com","eventName":"{name}","awsRegion":"eu-west-1","sourceIPAddress":"{ip}","userAgent":"{agent}","recipientAccountId":"111122223333","requestParameters":{{"bucketName":"b-{bucket}"}},"responseElements":{response},"userIdentity":{}}}"#,
        text(at / 1_000_000 * 1_000_000),
        signer.identity(human)
    );
    Event { at: at / 1_000_000 * 1_000_000, topic: 0, payload }
}

/// A long-lived key and a model: calls that look, use, unlock and hide, some of them refused.
fn bedrock(at: i64, key: u8, network: u8, call: usize, refused: bool) -> Event {
    const CALLS: [&str; 6] = [
        "ListFoundationModels",
        "InvokeModel",
        "Converse",
        "GetFoundationModelAvailability",
        "CreateFoundationModelAgreement",
        "DeleteModelInvocationLoggingConfiguration",
    ];
    let at = at / 1_000_000 * 1_000_000;
    let error = if refused { r#""errorCode":"ValidationException","# } else { "" };
    let payload = format!(
        r#"{{"eventVersion":"1.11","eventTime":"{}","eventID":"b-{at}-{key}-{network}-{call}-{refused}",{error}"eventSource":"bedrock.amazonaws.com","eventName":"{}","awsRegion":"eu-west-1","sourceIPAddress":"203.0.{network}.9","userAgent":"Boto3/1.34.1","recipientAccountId":"111122223333","responseElements":null,"userIdentity":{}}}"#,
        text(at),
        CALLS[call % CALLS.len()],
        Signer::Key(key).identity(false)
    );
    Event { at, topic: 0, payload }
}

/// A person's program gets an access token.
fn okta(at: i64, user: u8, token: u8) -> Event {
    let payload = format!(
        r#"{{"uuid":"o-{at}-{user}-{token}","published":"{}","eventType":"app.oauth2.as.token.grant.access_token","actor":{{"id":"0oa1","type":"PublicClientApp"}},"client":{{"userAgent":{{"rawUserAgent":"Mozilla/5.0 (X11)","browser":"FIREFOX"}},"ipAddress":"198.51.100.7"}},"outcome":{{"result":"SUCCESS"}},"debugContext":{{"debugData":{{"clientAuthType":"none"}}}},"target":[{{"id":"00u{user}","type":"User"}},{{"id":"AT.{token}","type":"access_token"}}]}}"#,
        text(at)
    );
    Event { at, topic: 2, payload }
}

/// Somebody presents it at the gateway.
fn envoy_with_token(at: i64, user: u8, token: u8, human: bool) -> Event {
    let (agent, ip) =
        if human { ("Mozilla/5.0 (X11)", "198.51.100.7") } else { ("github-actions/2", "10.9.0.9") };
    let payload = format!(
        r#"{{"start_time":"{}","method":"POST",":authority":"models.larkfield.example","response_code":200,"x-request-id":"g-{at}-{user}-{token}","user-agent":"{agent}","downstream_remote_address":"{ip}:4711","jwt_sub":"u{user}","jwt_jti":"AT.{token}"}}"#,
        text(at)
    );
    Event { at, topic: 1, payload }
}

/// A model is called, or somebody looks which there are; no selector says whose calls these are.
fn ai_call(at: i64, signer: Signer, name: &str) -> Event {
    let payload = format!(
        r#"{{"eventVersion":"1.09","eventTime":"{}","eventID":"b-{at}-{signer:?}-{name}","eventSource":"bedrock.amazonaws.com","eventName":"{name}","awsRegion":"eu-west-1","sourceIPAddress":"10.9.0.4","userAgent":"Boto3/1.34.1","recipientAccountId":"111122223333","requestParameters":{{"modelId":"m-1"}},"userIdentity":{}}}"#,
        text(at / 1_000_000 * 1_000_000),
        signer.identity(false)
    );
    Event { at: at / 1_000_000 * 1_000_000, topic: 0, payload }
}

/// A pilot calls a tool through a gateway.
fn tool_call(at: i64, pilot: u8, tool: u8) -> Event {
    let payload = format!(
        r#"{{"start_time":"{}","method":"POST",":authority":"tools.larkfield.example","response_code":200,"x-request-id":"t-{at}-{pilot}-{tool}","user-agent":"agent/1","downstream_peer_uri_san":"spiffe://lab.larkfield.example/sa/agent-{pilot}","downstream_remote_address":"10.1.2.9:4711","mcp.tool.name":"tool-{tool}"}}"#,
        text(at)
    );
    Event { at, topic: 1, payload }
}

/// A person approves what a pilot asked for: one tool, or any.
fn approval(at: i64, pilot: u8, tool: Option<u8>) -> Event {
    let tool = tool.map_or(String::new(), |tool| format!(r#""tool":"tool-{tool}","#));
    let payload = format!(
        r#"{{"time":"{}","id":"a-{at}-{pilot}",{tool}"what":"approval.granted","agent":"agent-{pilot}","who":"ben@larkfield.example","ok":true}}"#,
        text(at)
    );
    Event { at, topic: 4, payload }
}

/// A call through a gateway that names the stage it is.
fn staged(at: i64, pilot: u8, stage: &str) -> Event {
    let payload = format!(
        r#"{{"requestId":"s-{at}-{pilot}-{stage}","requestTimeEpoch":{},"httpMethod":"POST","resourcePath":"/v1/run","status":200,"stage":"{stage}","domainName":"pilot-{pilot}.ai.larkfield.example","apiId":"a1","accountId":"999900001111","apiKeyId":"k-{pilot}","sourceIp":"10.1.2.9"}}"#,
        at / 1_000
    );
    Event { at, topic: 3, payload }
}

/// A registered service is called, by another one or by a person's browser.
fn served(at: i64, service: u8, caller: u8, person: bool, status: u16) -> Event {
    let who = if person {
        format!(r#""user-agent":"{BROWSER}","jwt_sub":"u{caller}""#)
    } else {
        format!(r#""downstream_peer_uri_san":"spiffe://prod.larkfield.example/ns/shop/sa/caller-{caller}""#)
    };
    let payload = format!(
        r#"{{"start_time":"{}","method":"GET",":authority":"caller-{service}.larkfield.example","response_code":{status},"x-request-id":"c-{at}-{service}-{caller}",{who},"downstream_remote_address":"198.51.100.7:4711"}}"#,
        text(at)
    );
    Event { at, topic: 1, payload }
}

/// The golden records of every format that decode without a reject to events within the streams' days.
static GOLDEN: LazyLock<Vec<Event>> = LazyLock::new(|| {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures/decode");
    let mut folders: Vec<_> = std::fs::read_dir(folder)
        .expect("the golden records are there")
        .map(|f| f.expect("readable").path().join("input.jsonl"))
        .collect();
    folders.sort_unstable();
    let mut golden = Vec::new();
    for file in &folders {
        let text = std::fs::read_to_string(file).expect("readable");
        let usable: Vec<Event> = text.lines().filter_map(golden_event).collect();
        assert!(!usable.is_empty(), "no record of {} is sent", file.display());
        golden.extend(usable);
    }
    golden
});

fn golden_event(record: &str) -> Option<Event> {
    let times = world::times_of(ANY_FORMAT, record)?;
    let (first, last) = (*times.iter().min()?, *times.iter().max()?);
    let is_near = last - first < i64::from(LATENESS_SECONDS) * 1_000_000 / 4;
    let is_within = first >= START && last < START + DAYS * DAY;
    (is_near && is_within).then(|| Event { at: last, topic: ANY_FORMAT, payload: record.to_owned() })
}

/// Around a few instants pilots fail, their callers try again, and fail who calls them.
fn outage(from: i64, days: i64) -> impl Strategy<Value = Event> {
    let outages = (days * 24 / 27).clamp(1, 8);
    let at = (0..outages, 0..150_i64).prop_map(move |(outage, second)| {
        from + (outage * 1_620 + 1_738).min(days * 24 * 60 - 10) * MINUTE + second * 1_000_000
    });
    let status = prop_oneof![3 => Just(503_u16), 1 => Just(429), 1 => Just(200)];
    prop_oneof![
        2 => (at.clone(), 0..2_u8, prop_oneof![Just(0_u8), Just(2)], status)
            .prop_map(|(at, caller, pilot, status)| envoy(at, caller, pilot, status)),
        1 => (at, 0..2_u8, 0..3_u8).prop_map(|(at, service, caller)| served(at, service, caller, false, 502)),
    ]
}

fn signer() -> impl Strategy<Value = Signer> {
    prop_oneof![
        2 => (0..3_u8).prop_map(Signer::Key),
        3 => (0..4_u8, 0..6_u8).prop_map(|(role, token)| Signer::Session { role, token }),
    ]
}

/// An event of a kind within `days` days from `from` on.
fn event(kind: Kind, from: i64, days: i64) -> BoxedStrategy<Event> {
    let at = (0..days * 24 * 60, 0..60_i64)
        .prop_map(move |(minute, second)| from + minute * MINUTE + second * 1_000_000);
    match kind {
        Kind::Envoy => {
            (at, 0..4_u8, 0..6_u8, prop_oneof![8 => Just(200_u16), 1 => Just(503), 1 => Just(403)])
                .prop_map(|(at, caller, pilot, status)| envoy(at, caller, pilot, status))
                .boxed()
        }
        Kind::CloudTrail => (at, signer(), any::<bool>())
            .prop_map(|(at, signer, human)| cloudtrail(at, signer, human, None))
            .boxed(),
        Kind::Issue => (at, signer(), prop::bool::weighted(0.8), 0..6_u8)
            .prop_map(|(at, signer, human, token)| cloudtrail(at, signer, human, Some(token)))
            .boxed(),
        Kind::Okta => (at, 0..2_u8, 0..4_u8).prop_map(|(at, user, token)| okta(at, user, token)).boxed(),
        Kind::Bedrock => (at, 0..3_u8, 0..4_u8, 0..6_usize, prop::bool::weighted(0.3))
            .prop_map(|(at, key, network, call, refused)| bedrock(at, key, network, call, refused))
            .boxed(),
        Kind::AiCall => {
            (at, signer(), prop_oneof![4 => Just("InvokeModel"), 1 => Just("ListFoundationModels")])
                .prop_map(|(at, signer, name)| ai_call(at, signer, name))
                .boxed()
        }
        Kind::Staged => (at, 0..6_u8, prop_oneof![3 => Just("test"), 1 => Just("prod")])
            .prop_map(|(at, pilot, stage)| staged(at, pilot, stage))
            .boxed(),
        // The role of pilot 2, whose scope is one bucket, later two.
        Kind::DataAccess => {
            at.prop_map(|at| cloudtrail(at, Signer::Session { role: 7, token: 7 }, false, None)).boxed()
        }
        Kind::ToolCall => {
            (at, 4..6_u8, 0..3_u8).prop_map(|(at, pilot, tool)| tool_call(at, pilot, tool)).boxed()
        }
        Kind::Approval => (at, 4..6_u8, prop::option::of(0..3_u8))
            .prop_map(|(at, pilot, tool)| approval(at, pilot, tool))
            .boxed(),
        Kind::Outage => outage(from, days).boxed(),
        Kind::Served => (at, 0..2_u8, 0..4_u8, any::<bool>())
            .prop_map(|(at, service, caller, person)| served(at, service, caller, person, 200))
            .boxed(),
        Kind::Token => (at, 0..2_u8, 0..4_u8, prop::bool::weighted(0.2))
            .prop_map(|(at, user, token, human)| envoy_with_token(at, user, token, human))
            .boxed(),
        Kind::AnyFormat => select(GOLDEN.as_slice()).boxed(),
    }
}

fn any_of(kinds: &[(u32, Kind)], from: i64, days: i64) -> BoxedStrategy<Event> {
    let weighted = kinds.iter().map(|(weight, kind)| (*weight, event(*kind, from, days)));
    prop::strategy::Union::new_weighted(weighted.collect()).boxed()
}

/// A stream of all kinds over all days, without a reload.
pub(super) fn long_arrival() -> impl Strategy<Value = Arrival> {
    arrival(any_of(ALL, START, DAYS), 120..300, Just(None).boxed())
}

/// A short stream, mostly of these kinds, over some `days` of all; in two of five something is reloaded.
pub(super) fn short_arrival(
    kinds: &'static [(u32, Kind)],
    days: i64,
    length: std::ops::Range<usize>,
) -> impl Strategy<Value = Arrival> {
    let reload =
        (0..64_usize, 0..VERSIONS, 1..VERSIONS, any::<bool>()).prop_map(|(after, from, step, by)| Reload {
            after,
            from,
            to: (from + step) % VERSIONS,
            by_restart: by,
        });
    let reload = prop::option::weighted(0.4, reload).boxed();
    (0..=DAYS - days).prop_flat_map(move |first| {
        let driving = any_of(kinds, START + first * DAY, days);
        let events = prop_oneof![12 => driving, 1 => any_of(ALL, START + first * DAY, days)].boxed();
        arrival(events, length.clone(), reload.clone())
    })
}

/// Now and then messages are gone before they are read.
fn losses() -> impl Strategy<Value = Vec<Loss>> {
    let loss = (0..64_usize, 0..=ANY_FORMAT, 0..PARTITIONS, prop::option::weighted(0.7, 1..1_000_i64));
    let loss = loss.prop_map(|(after, topic, partition, lost)| Loss { after, topic, partition, lost });
    prop::collection::vec(loss, 0..4)
}

/// Events in time order but for disorder within the lateness; each twice, in another partition and before or after,
/// where a copy is sent.
fn arrival(
    event: BoxedStrategy<Event>,
    length: std::ops::Range<usize>,
    reload: BoxedStrategy<Option<Reload>>,
) -> impl Strategy<Value = Arrival> {
    let jitter = i64::from(LATENESS_SECONDS) * 1_000_000 / 2;
    let copy = prop::option::weighted(0.08, (0..PARTITIONS, 0..jitter));
    let one = (event, 0..PARTITIONS, 0..jitter, copy);
    let cuts = prop::collection::vec((1..(length.end / 4), prop::bool::weighted(0.15)), length.end);
    (prop::collection::vec(one, length), cuts, any::<bool>(), reload, losses()).prop_map(
        |(events, cuts, early, reload, losses)| {
            let mut placed: Vec<(i64, i32, Event)> = Vec::new();
            for (event, partition, jitter, copy) in events {
                if let Some((partition, jitter)) = copy {
                    placed.push((event.at + jitter, partition, event.clone()));
                }
                placed.push((event.at + jitter, partition, event));
            }
            placed.sort_by_key(|(arrives, partition, event)| (*arrives, *partition, event.payload.clone()));
            Arrival {
                events: placed.into_iter().map(|(_, partition, event)| (partition, event)).collect(),
                cuts: cuts.iter().map(|(n, _)| *n).collect(),
                restarts: cuts.iter().map(|(_, r)| *r).collect(),
                early,
                reload,
                losses,
            }
        },
    )
}
