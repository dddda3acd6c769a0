//! Decode as a whole: fixtures of every format, what a message may do wrong, and mutated input.
//!
//! In: fixtures/decode/<format>/input.jsonl. Out: expected.ndjson beside it; `UPDATE_EXPECT=1` rewrites it.

mod gateways;
mod oddities;

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::path::PathBuf;

use arrow::array::AsArray;
use arrow::datatypes::Int64Type;
use arrow::json::LineDelimitedWriter;
use serde_json::{Value, json};

use super::*;
use crate::limits::{INFLATED_BYTES_MAX, JSON_DEPTH_MAX, QUARANTINE_PAYLOAD_BYTES_MAX};

const MUTATED_INPUTS: usize = 10_000;

fn folder(format: Format) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../fixtures/decode").join(format.name())
}

fn inputs(format: Format) -> Vec<String> {
    let text = fs::read_to_string(folder(format).join("input.jsonl")).unwrap();
    text.lines().map(str::to_owned).collect()
}

fn decoder(name: &str, format: Option<Format>) -> Decoder {
    let account = Some("org-example".to_owned());
    Decoder::new(vec![Some(SourceSpec {
        name: name.to_owned(),
        format: format.into(),
        account,
        dedupe: true,
    })])
}

pub(super) fn batch<M: AsRef<[u8]>>(messages: &[M]) -> RawBatch {
    let mut batch = RawBatch::default();
    for (offset, message) in messages.iter().enumerate() {
        let position = Position { topic: 0, partition: 0, offset: offset as i64 };
        batch.push(position, None, message.as_ref());
    }
    batch
}

pub(super) fn events(decoded: &Decoded) -> Vec<Value> {
    let mut writer = LineDelimitedWriter::new(Vec::new());
    writer.write(decoded.events.record_batch()).unwrap();
    let text = String::from_utf8(writer.into_inner()).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn rejects(decoded: &Decoded) -> Vec<Value> {
    let to_json = |r: &Reject| {
        let (offset, reason) = (r.position.offset, r.reason.name());
        json!({"rejected": offset, "index": r.index, "reason": reason, "detail": r.detail})
    };
    decoded.rejects.iter().map(to_json).collect()
}

fn decode_one(format: Option<Format>, message: &[u8]) -> Decoded {
    decoder("test", format).decode(&batch(&[message]))
}

/// Checks one message: the named columns of its one event (null where absent).
fn check_event(message: &str, expect: Value) {
    let decoded = decode_one(None, message.as_bytes());
    let events = events(&decoded);
    assert_eq!((events.len(), &decoded.rejects[..]), (1, &[][..]), "{message}");
    for (column, value) in expect.as_object().unwrap() {
        assert_eq!(events[0].get(column).unwrap_or(&Value::Null), value, "{column} of {message}");
    }
}

fn check_reject(format: Option<Format>, message: &[u8], reason: RejectReason, detail: &str) {
    let decoded = decode_one(format, message);
    let found: Vec<_> = decoded.rejects.iter().map(|r| (r.reason, r.detail.as_str())).collect();
    let shown = String::from_utf8_lossy(&message[..message.len().min(200)]).into_owned();
    assert_eq!(found, [(reason, detail)], "{shown}");
    assert_eq!(decoded.events.record_batch().num_rows(), 0, "{shown}");
}

fn check_golden(format: Format) {
    let decoded = decoder(format.name(), Some(format)).decode(&batch(&inputs(format)));
    let found: Vec<Value> = events(&decoded).into_iter().chain(rejects(&decoded)).collect();
    let path = folder(format).join("expected.ndjson");
    if std::env::var_os("UPDATE_EXPECT").is_some() {
        let lines: String = found.iter().map(|value| format!("{value}\n")).collect();
        fs::write(&path, lines).unwrap();
    }
    let text = fs::read_to_string(&path).unwrap();
    let expected: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    for (line, (found, expected)) in found.iter().zip(&expected).enumerate() {
        assert_eq!(found, expected, "{}:{}", path.display(), line + 1);
    }
    assert_eq!(found.len(), expected.len(), "{}", path.display());
}

#[test]
fn fixtures_decode_as_expected() {
    Format::all().for_each(check_golden);
}

#[test]
fn auto_detection_finds_the_same_events_message_by_message() {
    let mut mixed = Vec::new();
    let mut expected = Vec::new();
    for format in Format::all() {
        let messages = inputs(format);
        let decoded = decoder("mixed", Some(format)).decode(&batch(&messages));
        let base = mixed.len() as i64;
        for mut event in events(&decoded) {
            let position = event["position"].as_i64().unwrap() + base;
            event["position"] = position.into();
            expected.push(event);
        }
        mixed.extend(messages);
    }
    let mut decoder = decoder("mixed", None);
    assert_eq!(events(&decoder.decode(&batch(&mixed))), expected);
    assert_eq!(events(&decoder.decode(&batch(&mixed))), expected, "with a remembered format");
}

#[test]
fn message_that_is_no_event_is_rejected_with_its_reason() {
    let cloudtrail = Format::parse("cloudtrail");
    let deep = format!(
        r#"{{"eventSource":"a","eventName":"b","x":{}1{}}}"#,
        "[".repeat(JSON_DEPTH_MAX),
        "]".repeat(JSON_DEPTH_MAX)
    );
    let huge = vec![b' '; MESSAGE_BYTES_MAX + 1];
    check_reject(None, b"", RejectReason::Empty, "no payload");
    check_reject(None, b" \n", RejectReason::Empty, "no payload");
    check_reject(None, b"[]", RejectReason::Empty, "envelope of no events");
    check_reject(None, &huge, RejectReason::TooLarge, "message over the bound");
    check_reject(None, b"\"\xff\"", RejectReason::NotUtf8, "message: not UTF-8");
    check_reject(None, b"null", RejectReason::UnknownFormat, "no known format's field names");
    check_reject(None, br#"{"a":1}"#, RejectReason::UnknownFormat, "no known format's field names");
    check_reject(None, b"{'a':1}", RejectReason::NotJson, "not JSON at line 1 column 2");
    check_reject(None, br#"{"a":"#, RejectReason::NotJson, "ends inside the JSON value at line 1 column 5");
    check_reject(
        None,
        br#"{"a":1} {"a":1}"#,
        RejectReason::TrailingBytes,
        "more bytes after the JSON value at line 1 column 9",
    );
    check_reject(None, deep.as_bytes(), RejectReason::TooDeep, "nested deeper than the bound");
    check_reject(cloudtrail, b"7", RejectReason::UnknownFormat, "not a JSON object at line 1 column 1");
    check_reject(
        cloudtrail,
        br#"{"eventSource":"a","eventName":"b","eventName":"c"}"#,
        RejectReason::BadField,
        "duplicate field `eventName` at line 1 column 46",
    );
    check_reject(
        None,
        br#"{"start_time":"2026-03-02T08:00:05Z","response_code":1e999}"#,
        RejectReason::BadField,
        "number out of range at line 1 column 58",
    );
}

fn gzip(text: impl AsRef<[u8]>) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    encoder.write_all(text.as_ref()).unwrap();
    encoder.finish().unwrap()
}

#[test]
fn compressed_message_gives_the_events_that_it_was_made_of() {
    for format in Format::all() {
        let plain = inputs(format);
        let expected = decoder("test", Some(format)).decode(&batch(&plain));
        let packed: Vec<Vec<u8>> = plain.iter().map(gzip).collect();
        let found = decoder("test", Some(format)).decode(&batch(&packed));
        assert_eq!(events(&found), events(&expected), "{}", format.name());
        assert_eq!(rejects(&found), rejects(&expected), "{}", format.name());
        assert_eq!(found.content_hashes, expected.content_hashes, "{}", format.name());
    }
}

#[test]
fn compressed_message_may_be_of_several_members_and_of_several_values() {
    let format = Format::parse("cloudtrail");
    let mut records = inputs(format.unwrap());
    records.retain(|record| events(&decode_one(format, record.as_bytes())).len() == 1);
    let (a, b) = (&records[0], &records[1]);
    let expected = decoder("test", format).decode(&batch(&[a, b])).content_hashes;
    let half = a.len() / 2;
    let members = [gzip(&a[..half]), gzip(&a[half..]), gzip(""), gzip(b)].concat();
    let lines = gzip(format!("{a}\r\n\n{b}\n"));
    let nothing_between = gzip(format!("{a}{b}"));
    let envelopes = gzip(format!(r#"{{"Records":[{a}]}}{{"Records":[{b}]}}"#));
    for message in [members, lines, nothing_between, envelopes] {
        let decoded = decode_one(format, &message);
        assert_eq!((&decoded.content_hashes, &decoded.rejects[..]), (&expected, &[][..]));
    }
    let broken = decode_one(format, &gzip(format!("{a}{{\"cut\":{b}")));
    let found: Vec<_> = broken.rejects.iter().map(|r| (r.index, r.reason)).collect();
    assert_eq!((broken.content_hashes.len(), &found[..]), (1, &[(1, RejectReason::NotJson)][..]));
    check_reject(
        format,
        format!("{a}{b}").as_bytes(),
        RejectReason::TrailingBytes,
        &format!("more bytes after the JSON value at line 1 column {}", a.len() + 1),
    );
}

#[test]
fn compressed_message_that_does_not_inflate_is_rejected_with_what_came_out() {
    let whole = gzip(r#"{"harmless":"beginning","password":"hunter2"}"#);
    let mut damaged = whole.clone();
    let checksum = damaged.len() - 8;
    damaged[checksum] ^= 1;
    let bomb = gzip(vec![b' '; INFLATED_BYTES_MAX + 1]);
    let exact = gzip(vec![b' '; INFLATED_BYTES_MAX]);
    check_reject(None, &whole[..checksum], RejectReason::BadGzip, "gzip: ends inside the stream");
    check_reject(None, &whole[..4], RejectReason::BadGzip, "gzip: ends inside the stream");
    check_reject(None, &damaged, RejectReason::BadGzip, "gzip: damaged stream");
    check_reject(
        None,
        &[&whole[..], b"something else"].concat(),
        RejectReason::BadGzip,
        "gzip: damaged stream",
    );
    check_reject(None, &bomb, RejectReason::TooLarge, "gzip: inflated message over the bound");
    check_reject(None, &exact, RejectReason::Empty, "no payload");
    check_reject(None, &gzip(""), RejectReason::Empty, "no payload");
    check_reject(None, &gzip(&whole), RejectReason::NotUtf8, "inflated message: not UTF-8");
    let kept = decode_one(None, &damaged).rejects.swap_remove(0).payload.masked().into_owned();
    assert_eq!(kept, r#"{"harmless":"beginning","password":"[masked]"}"#);
}

#[test]
fn batch_that_inflates_to_more_than_a_batch_is_decoded_in_parts_and_gives_the_same() {
    let record = inputs(Format::parse("cloudtrail").unwrap()).swap_remove(0);
    let padded = gzip([" ".repeat(BATCH_BYTES_MAX / 2).as_bytes(), record.as_bytes()].concat());
    let batch = batch(&[gzip(&record), padded.clone(), padded.clone(), padded, gzip(&record)]);
    let whole = decoder("test", None).decode(&batch).content_hashes;
    let (mut decoder, mut parts, mut hashes, mut next) = (decoder("test", None), 0, Vec::new(), 0);
    while next < batch.messages.len() {
        let (decoded, to) = decoder.decode_from(&batch, next);
        hashes.extend(decoded.content_hashes);
        (parts, next) = (parts + 1, to);
    }
    assert_eq!((parts, hashes), (2, whole));
}

#[test]
fn message_of_too_many_events_keeps_the_first_and_rejects_the_rest_once() {
    let half = format!("[{}1]", "1,".repeat(ENVELOPE_EVENTS_MAX / 2));
    let decoded = decode_one(None, gzip(format!("{half}{half}{half}")).as_slice());
    assert_eq!(decoded.rejects.len(), ENVELOPE_EVENTS_MAX + 1);
    let last = decoded.rejects.last().unwrap();
    assert_eq!((last.index as usize, last.reason), (ENVELOPE_EVENTS_MAX, RejectReason::EnvelopeTooLarge));
}

#[test]
fn envelope_of_too_many_events_is_one_reject() {
    let many = format!("[{}1]", "1,".repeat(ENVELOPE_EVENTS_MAX));
    check_reject(
        None,
        many.as_bytes(),
        RejectReason::EnvelopeTooLarge,
        "envelope of more events than the bound",
    );
}

#[test]
fn envelopes_in_envelopes_end_at_the_bound() {
    let nested = format!("{}1{}", "[".repeat(50_000), "]".repeat(50_000));
    check_reject(None, nested.as_bytes(), RejectReason::TooDeep, "envelopes in envelopes");
}

#[test]
fn topic_without_a_source_is_rejected() {
    let decoded = Decoder::new(vec![None]).decode(&batch(&["{}"]));
    assert_eq!(decoded.rejects[0].reason, RejectReason::UnknownFormat);
    let decoded = Decoder::new(Vec::new()).decode(&batch(&["{}"]));
    assert_eq!(decoded.rejects[0].detail, "topic without a source in the config");
}

#[test]
fn same_record_has_the_same_hash_however_it_is_wrapped() {
    let record = inputs(Format::parse("cloudtrail").unwrap()).swap_remove(0);
    let wrapped = format!(r#"{{"Records":[{record}, {record}]}}"#);
    let bridged = format!(r#"{{"detail-type":"x","detail": {record}}}"#);
    let written = Value::from(record.as_str());
    let shipped = json!({"@timestamp": "2026-03-02T08:00:05Z", "message": record}).to_string();
    let logged = json!({"stream": "stdout", "log": record}).to_string();
    let subscribed = format!(
        r#"{{"messageType":"DATA_MESSAGE","logGroup":"g","logEvents":[{{"id":"1","timestamp":1,"message":{written}}}]}}"#
    );
    let looked_up = format!(r#"{{"Events":[{{"EventId":"e","CloudTrailEvent":{written}}}]}}"#);
    let exported = format!(r#"{{"records":[{record}]}}"#);
    let hooked = format!(r#"{{"eventType":"com.okta.event_hook","data":{{"events":[{record}]}}}}"#);
    let listed = format!(r#"{{"kind":"list","items":[{record}]}}"#);
    let messages =
        [record, wrapped, bridged, shipped, logged, subscribed, looked_up, exported, hooked, listed];
    for format in [None, Format::parse("cloudtrail")] {
        let decoded = decoder("test", format).decode(&batch(&messages));
        assert_eq!(decoded.rejects, []);
        assert_eq!(decoded.content_hashes, [decoded.content_hashes[0]; 11]);
    }
}

#[test]
fn words_for_nothing_and_booleans_in_any_form_are_understood() {
    let base = |identity: &str, rest: &str| {
        format!(
            r#"{{"eventTime":"2026-03-02T08:00:05Z","eventSource":"x","eventName":"y","userIdentity":{identity}{rest}}}"#
        )
    };
    let session = |mfa: &str| {
        let attributes = format!(r#"{{"mfaAuthenticated":{mfa}}}"#);
        format!(r#"{{"type":"IAMUser","arn":"a","sessionContext":{{"attributes":{attributes}}}}}"#)
    };
    for (mfa, flow) in [
        (r#""true""#, json!("mfa")),
        (r#""True""#, json!("mfa")),
        ("true", json!("mfa")),
        (r#""false""#, Value::Null),
        (r#""False""#, Value::Null),
        ("false", Value::Null),
        (r#""null""#, Value::Null),
        ("null", Value::Null),
        (r#"{"a":[1]}"#, Value::Null),
    ] {
        check_event(&base(&session(mfa), ""), json!({"flow": flow}));
    }
    check_event(
        &base("null", r#","userAgent":"-","awsRegion":"Unknown","recipientAccountId":111122223333"#),
        json!({"user_agent": null, "region": null, "account": "111122223333", "principal": null, "principal_kind": "none"}),
    );
    check_event(
        &base(r#""somebody""#, r#","sessionCredentialFromConsole":[],"requestParameters":7"#),
        json!({"principal": null, "target": null}),
    );
}

#[test]
fn role_path_survives_and_escapes_are_read() {
    check_event(
        r#"{"eventTime":"2026-03-02T08:00:05Z","eventSource":"x","eventName":"caf\u00e9","userAgent":"a\"b\\c"}"#,
        json!({"action": "x:café", "user_agent": "a\"b\\c", "event_id": null}),
    );
}

/// Every message gives an event or a reject; indices count through; nothing outgrows its bound.
fn check_conservation(messages: &[Vec<u8>], decoded: &Decoded) {
    let events = decoded.events.record_batch();
    assert_eq!(events.num_rows(), decoded.content_hashes.len());
    let mut units: BTreeMap<i64, Vec<u32>> = BTreeMap::new();
    let mut counts: BTreeMap<i64, u32> = BTreeMap::new();
    for position in events.column_by_name("position").unwrap().as_primitive::<Int64Type>().values() {
        *counts.entry(*position).or_default() += 1;
    }
    for reject in &decoded.rejects {
        *counts.entry(reject.position.pack()).or_default() += 1;
        units.entry(reject.position.pack()).or_default().push(reject.index);
        assert!(reject.payload.masked().len() <= QUARANTINE_PAYLOAD_BYTES_MAX);
    }
    assert_eq!(counts.len(), messages.len(), "every message is accounted for");
    for (position, mut indices) in units {
        let before = indices.len();
        indices.dedup();
        assert!(
            indices.is_sorted() && indices.len() == before && *indices.last().unwrap() < counts[&position]
        );
    }
}

fn mutate(random: &mut fastrand::Rng, corpus: &[String]) -> Vec<u8> {
    let mut bytes = corpus[random.usize(..corpus.len())].clone().into_bytes();
    for _ in 0..random.usize(1..4) {
        let at = random.usize(..=bytes.len());
        let end = (at + random.usize(..64)).min(bytes.len());
        let deep = random.usize(1..5_000);
        match random.u8(..10) {
            0 if at < bytes.len() => bytes[at] ^= 1 << random.u8(..8),
            1 => bytes.truncate(at),
            2 => bytes.insert(at, random.u8(..)),
            3 => drop(bytes.drain(at..end)),
            4 => insert(&mut bytes, at, &[b"[".repeat(deep), b"]".repeat(deep)].concat()),
            5 => insert(&mut bytes, 1, br#""eventTime":1,"eventTime":"x","category":{},"actor":[],"#),
            6 => insert(&mut bytes, at, &b"9".repeat(400)),
            7 => insert(&mut bytes, at, b"1e999"),
            8 => bytes = gzip(bytes),
            _ => {
                let other = corpus[random.usize(..corpus.len())].as_bytes();
                insert(&mut bytes, at, &other[..random.usize(..=other.len())]);
            }
        }
    }
    bytes
}

fn insert(bytes: &mut Vec<u8>, at: usize, what: &[u8]) {
    let at = at.min(bytes.len());
    bytes.splice(at..at, what.iter().copied());
}

#[test]
fn mutated_input_never_stops_decode_and_is_all_accounted_for() {
    let seed = std::env::var("SHADOWPROD_TEST_SEED").ok().and_then(|s| s.parse().ok());
    let seed = seed.unwrap_or_else(|| fastrand::u64(..));
    eprintln!("SHADOWPROD_TEST_SEED={seed}");
    let mut random = fastrand::Rng::with_seed(seed);
    let corpus: Vec<String> = Format::all().flat_map(inputs).collect();
    let good = corpus[0].as_bytes().to_vec();
    let mut decoders: Vec<Decoder> =
        [None].into_iter().chain(Format::all().map(Some)).map(|format| decoder("fuzz", format)).collect();
    for _ in 0..MUTATED_INPUTS / 10 {
        let mut messages = vec![good.clone()];
        messages.extend((0..10).map(|_| mutate(&mut random, &corpus)));
        messages.push(good.clone());
        let which = random.usize(..decoders.len());
        let decoded = decoders[which].decode(&batch(&messages));
        check_conservation(&messages, &decoded);
        if which < 2 {
            let hashes = &decoded.content_hashes;
            assert_eq!(hashes.first(), hashes.last(), "a bad message took its neighbour down");
        }
    }
}

/// (credential_kind, credential_secret) of a message's one event, from a source of that account.
fn credential_of(account: &str, message: &Value) -> (String, String) {
    let spec = SourceSpec {
        name: "test".to_owned(),
        format: SourceFormat::Auto,
        account: Some(account.to_owned()),
        dedupe: false,
    };
    let decoded = Decoder::new(vec![Some(spec)]).decode(&batch(&[message.to_string()]));
    let events = events(&decoded);
    let text = |column: &str| events[0][column].as_str().unwrap_or_default().to_owned();
    (text("credential_kind"), text("credential_secret"))
}

#[test]
fn user_of_a_cluster_is_another_credential_in_the_next_and_a_person_is_not() {
    let get = |user: &str| {
        let time = "2026-03-02T08:00:00.000001Z";
        json!({"auditID": "a", "stage": "ResponseComplete", "verb": "get", "requestURI": "/version",
            "requestReceivedTimestamp": time, "user": {"username": user}, "responseStatus": {"code": 200}})
    };
    for (user, same) in [
        ("kubernetes-admin", false),
        ("system:serviceaccount:default:builder", false),
        ("ada@example.com", true),
    ] {
        let (one, other) = (credential_of("east", &get(user)), credential_of("west", &get(user)));
        assert_eq!(one.0, "principal");
        assert_eq!(one == other, same, "{user}: {one:?} {other:?}");
    }
}

#[test]
fn key_that_two_gateways_saw_is_one_credential() {
    let key = "9c1e6f0ab1d24c7f";
    let envoy = json!({"start_time": "2026-03-02T08:00:00Z", "response_code": 200, "consumer": "desk",
        "api_key_id": key});
    let litellm = json!({"call_type": "acompletion", "startTime": "2026-03-02 08:00:00", "api_key": key,
        "metadata": {"user_api_key_alias": "desk"}});
    assert_eq!(credential_of("", &envoy), credential_of("", &litellm));
    assert_eq!(credential_of("", &envoy), ("gateway_key".to_owned(), key.to_owned()));
}
