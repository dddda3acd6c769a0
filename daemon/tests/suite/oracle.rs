//! The oracle: incremental equals batch. Random streams, cut into random batches, spread over partitions,
//! out of order within the lateness, with duplicates and restarts, give the same history, id for id and body
//! for body, as one batch run of the same SQL over the same events on the same grid.
//!
//! The batch side shares no incremental state: at every grid point it rolls up all events before it from
//! nothing and evaluates every subject.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use arrow::array::{AsArray, BooleanArray};
use arrow::compute::filter_record_batch;
use arrow::datatypes::TimestampMicrosecondType;
use arrow::record_batch::RecordBatch;
use jiff::Timestamp;
use proptest::prelude::*;
use proptest::test_runner::{RngAlgorithm, TestRng, TestRunner};
use shadowprod::config::layout::LayoutConfig;
use shadowprod::config::{Clock, TimeConfig};
use shadowprod::decode::{Decoder, Format, OwnLayout, SourceFormat, SourceSpec};
use shadowprod::detect::{self, Context};
use shadowprod::enrich::{CredentialKey, Enricher, Signals};
use shadowprod::findings::lifecycle::{Evaluated, Lifecycle};
use shadowprod::findings::silence::Silence;
use shadowprod::findings::{ChangeKind, Evidence, Finding, FindingChange};
use shadowprod::ingest::{Position, RawBatch};
use shadowprod::metrics::Metrics;
use shadowprod::pipeline::{Parts, Pipeline, Rhythm};
use shadowprod::query::QueryTexts;
use shadowprod::query::plan::QuerySet;
use shadowprod::registry::Registry;
use shadowprod::rollup::{Rollups, View};
use shadowprod::schema::EnrichedBatch;
use shadowprod::store::Store;

const MINUTE: i64 = 60_000_000;
/// 2026-03-02, a Monday.
const START: i64 = 1_772_409_600_000_000;
const DAYS: i64 = 17;
/// The registry's first fact: 2026-03-01.
const REGISTRY_START: i64 = START - 24 * 60 * MINUTE;
const LATENESS_SECONDS: u32 = 1_800;
const GRID_SECONDS: u32 = 3_600;
/// Detections are evaluated this often here, so that the batch side stays affordable.
const DETECTION_GRID_SECONDS: i64 = 21_600;
const PARTITIONS: i32 = 3;

const BROWSER: &str =
    "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/537.36 Chrome/126.0 Safari/537.36";

const REGISTRY: &str = include_str!("oracle_registry.toml");

/// The layout of the log of approvals.
const APPROVALS: &str = r#"
principal_kind = "human"
[fields]
event_time = "time"
event_id = "id"
action = "what"
principal = "who"
consumer = "agent"
tool = "tool"
success = "ok"
"#;

/// One event before it has a place in a log.
#[derive(Debug, Clone)]
struct Event {
    at: i64,
    topic: u16,
    payload: String,
}

/// A stream and how it arrives.
#[derive(Debug, Clone)]
struct Arrival {
    events: Vec<(i32, Event)>,
    cuts: Vec<usize>,
    restarts: Vec<bool>,
    early: bool,
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

/// Around a few instants pilots fail, their callers try again, and fail who calls them.
fn outage() -> impl Strategy<Value = Event> {
    let at = (0..8_i64, 0..150_i64)
        .prop_map(|(outage, second)| START + (outage * 1_620 + 1_738) * MINUTE + second * 1_000_000);
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

fn event() -> impl Strategy<Value = Event> {
    let at = (0..DAYS * 24 * 60, 0..60_i64)
        .prop_map(|(minute, second)| START + minute * MINUTE + second * 1_000_000);
    prop_oneof![
        8 => (at.clone(), 0..4_u8, 0..6_u8, prop_oneof![8 => Just(200_u16), 1 => Just(503), 1 => Just(403)])
            .prop_map(|(at, caller, pilot, status)| envoy(at, caller, pilot, status)),
        3 => (at.clone(), signer(), any::<bool>())
            .prop_map(|(at, signer, human)| cloudtrail(at, signer, human, None)),
        1 => (at.clone(), signer(), prop::bool::weighted(0.8), 0..6_u8)
            .prop_map(|(at, signer, human, token)| cloudtrail(at, signer, human, Some(token))),
        1 => (at.clone(), 0..2_u8, 0..4_u8).prop_map(|(at, user, token)| okta(at, user, token)),
        2 => (at.clone(), 0..3_u8, 0..4_u8, 0..6_usize, prop::bool::weighted(0.3))
            .prop_map(|(at, key, network, call, refused)| bedrock(at, key, network, call, refused)),
        1 => (at.clone(), signer(), prop_oneof![4 => Just("InvokeModel"), 1 => Just("ListFoundationModels")])
            .prop_map(|(at, signer, name)| ai_call(at, signer, name)),
        1 => (at.clone(), 0..6_u8, prop_oneof![3 => Just("test"), 1 => Just("prod")])
            .prop_map(|(at, pilot, stage)| staged(at, pilot, stage)),
        // The role of pilot 2, whose scope is one bucket, later two.
        2 => at.clone().prop_map(|at| cloudtrail(at, Signer::Session { role: 7, token: 7 }, false, None)),
        3 => (at.clone(), 4..6_u8, 0..3_u8).prop_map(|(at, pilot, tool)| tool_call(at, pilot, tool)),
        1 => (at.clone(), 4..6_u8, prop::option::of(0..3_u8))
            .prop_map(|(at, pilot, tool)| approval(at, pilot, tool)),
        3 => outage(),
        1 => (at.clone(), 0..2_u8, 0..4_u8, any::<bool>())
            .prop_map(|(at, service, caller, person)| served(at, service, caller, person, 200)),
        1 => (at, 0..2_u8, 0..4_u8, prop::bool::weighted(0.2))
            .prop_map(|(at, user, token, human)| envoy_with_token(at, user, token, human)),
    ]
}

/// Events in time order but for disorder within the lateness; each twice where a duplicate is sent.
fn arrival() -> impl Strategy<Value = Arrival> {
    let jitter = i64::from(LATENESS_SECONDS) * 1_000_000 / 2;
    let one = (event(), 0..PARTITIONS, 0..jitter, prop::bool::weighted(0.05));
    (
        prop::collection::vec(one, 120..300),
        prop::collection::vec((1..60_usize, prop::bool::weighted(0.15)), 300),
        any::<bool>(),
    )
        .prop_map(|(events, cuts, early)| {
            let mut placed: Vec<(i64, i32, Event)> = Vec::new();
            for (event, partition, jitter, twice) in events {
                placed.push((event.at + jitter, partition, event.clone()));
                if twice {
                    placed.push((event.at + jitter + 1, partition, event));
                }
            }
            placed.sort_by_key(|(arrives, partition, event)| (*arrives, *partition, event.payload.clone()));
            Arrival {
                events: placed.into_iter().map(|(_, partition, event)| (partition, event)).collect(),
                cuts: cuts.iter().map(|(n, _)| *n).collect(),
                restarts: cuts.iter().map(|(_, r)| *r).collect(),
                early,
            }
        })
}

struct World {
    registry: Arc<Registry>,
    signals: Arc<Signals>,
    texts: QueryTexts,
}

impl World {
    fn new() -> Self {
        let dir = tempfile::tempdir().expect("a temporary folder");
        std::fs::write(dir.path().join("oracle.toml"), REGISTRY).expect("written");
        let mut texts = QueryTexts::builtin();
        for detection in &mut texts.detections {
            detection.grid_seconds = DETECTION_GRID_SECONDS;
        }
        // Thresholds low enough that two hundred events reach them.
        for (detection, parameter, value) in LOW_THRESHOLDS {
            let found =
                texts.detections.iter_mut().find(|d| d.text.id == *detection).expect("a built-in detection");
            let known = found.text.parameters.get_mut(*parameter);
            *known.unwrap_or_else(|| panic!("{detection} has no parameter {parameter}")) = *value;
        }
        Self {
            registry: Arc::new(Registry::load(dir.path()).expect("the oracle's registry is valid")),
            signals: Arc::new(Signals::load(None).expect("built-in signals are valid")),
            texts,
        }
    }

    fn sources() -> Vec<(String, SourceSpec)> {
        let envoy = Format::parse("envoy").expect("a format");
        let spec = |name: &str, format, dedupe| SourceSpec {
            name: name.to_owned(),
            format: SourceFormat::Known(format),
            account: None,
            dedupe,
        };
        let layout: LayoutConfig = toml::from_str(APPROVALS).expect("the layout is valid");
        let approvals = SourceFormat::Own(Arc::new(OwnLayout::new("approvals", &layout)));
        vec![
            ("aws".to_owned(), spec("aws", Format::parse("cloudtrail").expect("a format"), true)),
            ("gateway".to_owned(), spec("gateway", envoy, false)),
            ("okta".to_owned(), spec("okta", Format::parse("okta").expect("a format"), true)),
            ("stages".to_owned(), spec("stages", Format::parse("aws_api_gateway").expect("a format"), false)),
            // The store numbers topics by name: the order here is that one.
            ("tickets".to_owned(), SourceSpec { format: approvals, ..spec("tickets", envoy, false) }),
        ]
    }

    fn time() -> TimeConfig {
        TimeConfig {
            clock: Clock::Log,
            grid_seconds: GRID_SECONDS,
            lateness_seconds: LATENESS_SECONDS,
            idle_after_ms: 0,
        }
    }

    fn key() -> CredentialKey {
        CredentialKey::from_bytes([7; 32])
    }

    fn open(&self, dir: &Path, early: bool) -> Pipeline {
        let (store, recovered) = Store::open(dir).expect("the state opens");
        Pipeline::open(Parts {
            sources: Self::sources(),
            time: Self::time(),
            rhythm: Rhythm { early_every: early.then_some(0), commit_every: 0 },
            texts: self.texts.clone(),
            registry: self.registry.clone(),
            signals: self.signals.clone(),
            key: Self::key(),
            metrics: Arc::new(Metrics::new()),
            store,
            recovered,
        })
        .expect("the pipeline opens")
    }
}

/// Every partition of every topic.
fn partitions() -> Vec<Position> {
    let of_topic = |topic| (0..PARTITIONS).map(move |partition| Position { topic, partition, offset: 0 });
    (0..World::sources().len() as u16).flat_map(of_topic).collect()
}

/// The messages of an arrival, cut into batches, the last one at the end of every partition's log.
fn batches(arrival: &Arrival) -> Vec<RawBatch> {
    let mut offsets: BTreeMap<(u16, i32), i64> = BTreeMap::new();
    let all = partitions();
    let mut batches = vec![RawBatch { assigned: Some(all.clone()), ..RawBatch::default() }];
    let mut cuts = arrival.cuts.iter().copied().cycle();
    let mut room = cuts.next().unwrap_or(1);
    for (partition, event) in &arrival.events {
        let offset = offsets.entry((event.topic, *partition)).or_default();
        let position = Position { topic: event.topic, partition: *partition, offset: *offset };
        *offset += 1;
        if room == 0 {
            batches.push(RawBatch::default());
            room = cuts.next().unwrap_or(1);
        }
        room -= 1;
        batches.last_mut().expect("never empty").push(position, None, event.payload.as_bytes());
    }
    let next =
        |p: &Position| Position { offset: offsets.get(&(p.topic, p.partition)).copied().unwrap_or(0), ..*p };
    batches.push(RawBatch { ends: all.iter().map(next).collect(), ..RawBatch::default() });
    batches
}

/// History and final findings of the real pipeline, restarted where the arrival says so.
fn incremental(world: &World, arrival: &Arrival) -> (Vec<FindingChange>, Vec<Finding>) {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let mut pipeline = world.open(dir.path(), arrival.early);
    for (index, batch) in batches(arrival).iter().enumerate() {
        pipeline.step(batch, index as i64).expect("a step never fails on input");
        pipeline.commit(|| 0).expect("the commit succeeds");
        if arrival.restarts[index % arrival.restarts.len()] {
            drop(pipeline);
            pipeline = world.open(dir.path(), arrival.early);
            let assigned = RawBatch { assigned: Some(partitions()), ..RawBatch::default() };
            pipeline.step(&assigned, index as i64).expect("a step never fails on input");
        }
    }
    let findings = pipeline.findings().expect("findings are readable");
    let history = pipeline.history().expect("revisions are readable");
    (history, findings)
}

/// The same SQL over the same events, from nothing at every grid point.
fn batch(world: &World, arrival: &Arrival) -> (Vec<FindingChange>, Vec<Finding>) {
    let events = enriched(world, arrival);
    let queries = QuerySet::plan(&world.texts, &world.registry.tables()).expect("built-in queries plan");
    let topics: Vec<String> = World::sources().into_iter().map(|(t, _)| t).collect();
    let mut lifecycle = Lifecycle::default();
    let (mut history, mut findings) = (Vec::new(), BTreeMap::new());
    let grid = DETECTION_GRID_SECONDS * 1_000_000;
    let newest = times(events.record_batch()).into_iter().max().unwrap_or(START);
    let close = newest.div_euclid(i64::from(GRID_SECONDS) * 1_000_000) * i64::from(GRID_SECONDS) * 1_000_000
        + i64::from(GRID_SECONDS) * 1_000_000;
    // The registry says things before the first event does.
    let mut at = REGISTRY_START;
    while at <= close {
        let mut rollups = Rollups::new(&queries);
        rollups.absorb(&queries, &before(&events, at)).expect("rollups absorb");
        let mut schedules = rollups.schedules(&queries);
        rollups.settle(at, &queries, &mut schedules).expect("rollups settle");
        let tells = |index: &usize| queries.detections[*index].query.tells_silence;
        let all = 0..queries.detections.len();
        let (first, others): (Vec<usize>, Vec<usize>) = all.partition(tells);
        for index in first.into_iter().chain(others) {
            let context = Context { registry: &world.registry, topics: &topics };
            let hits = detect::evaluate(&queries, index, &rollups, None, View::Settled, at, context)
                .expect("detections run");
            let query = &queries.detections[index].query;
            let rule = query.rule();
            let instant = Timestamp::from_microsecond(at).expect("within range");
            let silence = match query.tells_silence {
                true => Silence::default(),
                false => silence_as_of(world, at, &lifecycle),
            };
            for change in lifecycle.apply_grid(&rule, instant, Evaluated::All, hits, &silence).changes {
                findings.insert(change.finding.finding_id.clone(), change.finding.clone());
                if change.kind.is_history() {
                    history.push(change);
                }
            }
        }
        at += grid;
    }
    (history, findings.into_values().collect())
}

fn silence_as_of(world: &World, at: i64, lifecycle: &Lifecycle) -> Silence {
    let detections = world.texts.detections.iter().filter(|d| d.tells_silence);
    let sources = World::sources();
    let topics = sources.iter().map(|(topic, source)| (topic.as_str(), source.name.as_str()));
    Silence::as_of(at, lifecycle, detections.map(|d| d.text.id.as_str()), topics)
}

fn enriched(world: &World, arrival: &Arrival) -> EnrichedBatch {
    let specs = World::sources().into_iter().map(|(_, s)| Some(s)).collect();
    let mut all = RawBatch::default();
    let mut seen = std::collections::HashSet::new();
    for raw in batches(arrival) {
        for message in &raw.messages {
            let payload = raw.payload(message);
            let dedupes = World::sources()[usize::from(message.position.topic)].1.dedupe;
            if !dedupes || seen.insert(payload.to_vec()) {
                all.push(message.position, None, payload);
            }
        }
    }
    let decoded = Decoder::new(specs).decode(&all);
    assert!(decoded.rejects.is_empty(), "the oracle sends only good events: {:?}", decoded.rejects);
    let mut enricher =
        Enricher::new(world.registry.clone(), world.signals.clone(), World::key(), GRID_SECONDS);
    enricher.enrich(decoded.events, &Metrics::new()).expect("enrichment never fails on input")
}

fn times(batch: &RecordBatch) -> Vec<i64> {
    let column = batch.column_by_name("event_time").expect("a column of the schema");
    column.as_primitive::<TimestampMicrosecondType>().values().to_vec()
}

fn before(events: &EnrichedBatch, at: i64) -> EnrichedBatch {
    let keep: BooleanArray = times(events.record_batch()).into_iter().map(|t| Some(t < at)).collect();
    EnrichedBatch::new(filter_record_batch(events.record_batch(), &keep).expect("filtering works"))
        .expect("same schema")
}

/// A finding that only an early look has seen is no part of the history; the end of the log confirms or
/// withdraws all but those after the last grid point.
fn confirmed(findings: Vec<Finding>) -> Vec<String> {
    let mut lines: Vec<String> = findings
        .iter()
        .filter(|f| f.confirmed)
        .map(|f| serde_json::to_string(f).expect("serialisable"))
        .collect();
    lines.sort_unstable();
    lines
}

fn lines(history: Vec<FindingChange>) -> Vec<String> {
    let mut lines: Vec<String> =
        history.iter().map(|c| serde_json::to_string(c).expect("serialisable")).collect();
    lines.sort_unstable();
    lines
}

const LOW_THRESHOLDS: &[(&str, &str, f64)] = &[
    ("unpromoted-production-traffic", "requests_min", 4.0),
    ("unpromoted-production-traffic", "hold_requests_min", 2.0),
    ("business-dependency", "open_at", 0.2),
    ("business-dependency", "hold_at", 0.1),
    ("llmjacking", "habit_days_min", 1.0),
    ("llmjacking", "actions_share_above", 0.1),
    ("llmjacking", "probes_min", 1.0),
    ("sensor-silence", "intervals_min", 0.5),
    ("sensor-silence", "events_min", 1.0),
    ("business-dependency", "business_days_min", 2.0),
    ("business-dependency", "outages_min", 1.0),
    ("business-dependency", "calm_minutes_min", 1.0),
    ("business-dependency", "lift_z", 0.0),
    ("business-dependency", "growth_days_min", 2.0),
    ("business-dependency", "forecast_days_min", 2.0),
    ("shared-credential", "human_at", 1.0),
    ("shared-credential", "workload_at", 1.0),
    ("shared-credential", "days_full", 1.0),
    ("shared-credential", "sessions_scale", 1.0),
    ("revoked-still-called", "denied_min", 2.0),
    ("stale-exception-in-use", "calls_min", 2.0),
    ("unregistered-ai-workload", "calls_min", 3.0),
    ("action-without-oversight", "calls_min", 1.0),
    ("data-outside-scope", "touches_min", 2.0),
    ("contradictory-environment", "calls_min", 2.0),
    ("contradictory-environment", "hold_calls_min", 1.0),
];

#[test]
fn incremental_equals_batch() {
    let world = World::new();
    let (opened, linked) = (RefCell::new(BTreeSet::new()), std::cell::Cell::new(0_usize));
    let observed = RefCell::new(BTreeSet::new());
    let config = ProptestConfig { cases: cases(), failure_persistence: None, ..ProptestConfig::default() };
    let seed = seed();
    println!("seed {seed}; SHADOWPROD_ORACLE_SEED sets another");
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &bytes);
    let mut runner = TestRunner::new_with_rng(config, rng);
    let outcome = runner.run(&arrival(), |arrival| {
        let (history, findings) = incremental(&world, &arrival);
        let (expected_history, expected) = batch(&world, &arrival);
        linked.set(linked.get() + expected.iter().filter(|f| is_linked(f)).count());
        observed.borrow_mut().extend(expected_history.iter().flat_map(|c| terms(&c.finding)));
        let new = expected_history.iter().filter(|c| c.kind == ChangeKind::Opened);
        opened.borrow_mut().extend(new.map(|c| c.finding.detection.clone()));
        prop_assert_eq!(confirmed(findings), confirmed(expected));
        prop_assert_eq!(lines(history), lines(expected_history));
        Ok(())
    });
    outcome.unwrap_or_else(|failure| panic!("{failure}"));
    let all: BTreeSet<String> = world.texts.detections.iter().map(|d| d.text.id.clone()).collect();
    assert_eq!(opened.into_inner(), all, "a detection that never fires is not compared");
    for term in ["failure_behaviour", "lift", "people_within_two_hops", "callers_a_week"] {
        assert!(observed.borrow().contains(term), "`{term}` is never observed, so it is not compared");
    }
    assert!(linked.get() > 0, "streams without a finding that follows a token prove too little");
}

/// Names of the terms that were observed.
fn terms(finding: &Finding) -> impl Iterator<Item = String> + '_ {
    finding.evidence.iter().filter_map(|e| match e {
        Evidence::Term { name, value: Some(_) } => Some(name.clone()),
        _ => None,
    })
}

/// Whether what one credential gave out to another is in the evidence.
fn is_linked(finding: &Finding) -> bool {
    finding.evidence.iter().any(|e| matches!(e, Evidence::Fact { name, .. } if name == "chain"))
}

/// Cases of one run; SHADOWPROD_ORACLE_CASES asks for more.
fn cases() -> u32 {
    std::env::var("SHADOWPROD_ORACLE_CASES").ok().and_then(|n| n.parse().ok()).unwrap_or(3)
}

fn seed() -> u64 {
    std::env::var("SHADOWPROD_ORACLE_SEED").ok().and_then(|n| n.parse().ok()).unwrap_or(1)
}
