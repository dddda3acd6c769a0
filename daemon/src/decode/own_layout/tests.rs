//! What a layout of the user's own reads, and what it refuses.

use std::sync::Arc;

use serde_json::{Value, json};

use super::*;
use crate::config::layout::{LAYOUT_CREDENTIAL_KINDS, LAYOUT_PRINCIPAL_KINDS};
use crate::decode::tests::{batch, events};
use crate::decode::{Decoded, Decoder, SourceFormat, SourceSpec};

/// An API Gateway of some operator's: his own keys, some nested, some with alternatives.
const LAYOUT: &str = r#"
principal_kind = "human"
credential_kind = "api_token"
[fields]
event_time = ["ts", "/meta/time"]
event_id = "id"
request_line = "req"
status_code = "st"
success = "ok"
error = "err"
principal = "/who/name"
session_name = "as"
credential = "/who/key~1id"
token = "jti"
issued_token = "new_jti"
source_ip = "ip"
forwarded_for = "xff"
user_agent = "/headers/0/value"
url = "url"
account = "acct"
region = "reg"
namespace = "ns"
environment = "stage"
target = "upstream"
model = "gen_ai.request.model"
tool = "tool"
consumer = "app"
peer = "spiffe"
traceparent = "tp"
"#;

fn decode(layout: &str, messages: &[Value]) -> Decoded {
    let messages: Vec<String> = messages.iter().map(Value::to_string).collect();
    decode_text(layout, &messages)
}

fn decode_text<M: AsRef<[u8]>>(layout: &str, messages: &[M]) -> Decoded {
    let layout: LayoutConfig = toml::from_str(layout).unwrap();
    let format = SourceFormat::Own(Arc::new(OwnLayout::new("edge", &layout)));
    let spec = SourceSpec { name: "s".to_owned(), format, account: None, dedupe: false };
    Decoder::new(vec![Some(spec)]).decode(&batch(messages))
}

#[track_caller]
fn check(record: Value, expect: Value) {
    let decoded = decode(LAYOUT, &[record]);
    assert_eq!(decoded.rejects, []);
    let event = events(&decoded).remove(0);
    for (column, value) in expect.as_object().unwrap() {
        assert_eq!(event.get(column).unwrap_or(&Value::Null), value, "{column}");
    }
}

#[track_caller]
fn check_refused(record: &str, expect: (RejectReason, &str)) {
    let layout: LayoutConfig = toml::from_str(LAYOUT).unwrap();
    let format = SourceFormat::Own(Arc::new(OwnLayout::new("edge", &layout)));
    let spec = SourceSpec { name: "s".to_owned(), format, account: None, dedupe: false };
    let decoded = Decoder::new(vec![Some(spec)]).decode(&batch(&[record]));
    let found: Vec<_> = decoded.rejects.iter().map(|r| (r.reason, r.detail.as_str())).collect();
    assert_eq!(found, [expect], "{record}");
    assert_eq!(decoded.events.record_batch().num_rows(), 0);
}

#[test]
fn every_mapped_field_reaches_its_column() {
    let record = json!({
        "ts": "19/Jan/2026:21:13:26 +0100", "id": "r-1", "req": "POST /v1/chat/completions?k=1 HTTP/1.1",
        "st": "403", "err": "quota", "who": {"name": "mira", "key/id": "k-9", "other": [1, {"x": 2}]},
        "as": "bob", "jti": "j-1", "new_jti": "j-2", "ip": "10.0.0.7:5511", "xff": "192.0.2.7, 10.0.0.7",
        "headers": [{"value": "curl/8.5"}, {"value": "second"}], "url": "https://API.example:8443/v2/other/x",
        "acct": "4711", "reg": "eu-1", "ns": "shop", "stage": "prod", "upstream": "10.1.1.1:80",
        "gen_ai.request.model": "m-large", "tool": "search", "app": "portal", "spiffe": "spiffe://a/b",
        "tp": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "unmapped": {"secret": "s"}
    });
    check(
        record,
        json!({
            "event_time": "2026-01-19T20:13:26", "source": "s", "format": "edge", "event_id": "r-1", "action": "POST",
            "outcome": "denied", "status_code": 403, "error": "quota", "principal": "mira",
            "principal_kind": "human", "session_name": "bob", "credential_kind": "api_token",
            "credential_secret": "k-9", "credential_attribution": 1.0, "token_secret": "j-1",
            "issued_secret": "j-2", "source_ip": "192.0.2.7", "user_agent": "curl/8.5",
            "host": "api.example", "route": "/v2/other", "account": "4711", "region": "eu-1",
            "namespace": "shop", "environment": "prod", "target": "10.1.1.1:80", "model": "m-large",
            "tool": "search", "consumer": "portal", "peer": "spiffe://a/b",
            "trace_id": "0af7651916cd43dd8448eb211c80319c"
        }),
    );
}

#[test]
fn facts_stand_in_the_order_of_their_names() {
    assert_eq!(Fact::Traceparent as usize + 1, LAYOUT_FIELDS.len());
    let layout = LAYOUT_FIELDS.map(|(name, _)| format!("{name} = \"{name}\"\n")).concat();
    let record = json!({
        "event_time": 1_772_438_405, "event_id": "event_id", "action": "action", "request_line": "GET /r",
        "status_code": 200, "error": "error", "principal": "principal", "session_name": "session_name",
        "credential": "credential", "token": "token", "issued_token": "issued", "source_ip": "10.0.0.1",
        "user_agent": "user_agent", "host": "host", "route": "route", "path": "/path", "url": "http://u/u",
        "account": "account", "region": "region", "namespace": "namespace", "environment": "environment",
        "target": "target", "model": "model", "tool": "tool", "consumer": "consumer", "peer": "peer",
        "trace_id": "trace_id"
    });
    let decoded = decode(&format!("[fields]\n{layout}"), &[record]);
    let event = events(&decoded).remove(0);
    let as_named = [
        "event_id",
        "action",
        "error",
        "principal",
        "session_name",
        "user_agent",
        "host",
        "route",
        "account",
        "region",
        "namespace",
        "environment",
        "target",
        "model",
        "tool",
        "consumer",
        "peer",
        "trace_id",
    ];
    as_named.iter().for_each(|name| assert_eq!(event[name], *name));
    assert_eq!(event["event_time"], "2026-03-02T08:00:05");
    assert_eq!((&event["outcome"], &event["principal_kind"]), (&json!("success"), &json!("unknown")));
    assert_eq!(event["credential_kind"], "gateway_key");
}

#[test]
fn words_of_the_config_are_kinds_of_events() {
    LAYOUT_PRINCIPAL_KINDS.iter().for_each(|word| assert_eq!(principal_kind(word).name(), *word));
    LAYOUT_CREDENTIAL_KINDS.iter().for_each(|word| assert_eq!(credential_kind(word).name(), *word));
}

#[test]
fn second_place_counts_where_the_first_is_empty() {
    check(json!({"ts": "-", "meta": {"time": 1_772_438_405}}), json!({"event_time": "2026-03-02T08:00:05"}));
    check(
        json!({"ts": null, "meta": {"time": "1772438405.5"}}),
        json!({"event_time": "2026-03-02T08:00:05.500"}),
    );
}

#[test]
fn object_written_as_a_string_is_looked_into() {
    let record =
        json!({"ts": 1_772_438_405, "who": "{\"name\": \"mi\\\"ra\"}", "headers": "[{\"value\": \"curl\"}]"});
    check(record, json!({"principal": "mi\"ra", "user_agent": "curl"}));
    check(json!({"ts": 1_772_438_405, "who": "{not JSON"}), json!({"principal": null}));
    check(json!({"ts": 1_772_438_405, "who": "plain"}), json!({"principal": null}));
}

#[test]
fn outcome_follows_the_status_then_success() {
    for (record, outcome) in [
        (json!({"ts": 1_772_438_405, "st": 200, "ok": false}), "success"),
        (json!({"ts": 1_772_438_405, "st": "0", "ok": "no"}), "failure"),
        (json!({"ts": 1_772_438_405, "ok": true}), "success"),
        (json!({"ts": 1_772_438_405}), "unknown"),
    ] {
        check(record, json!({"outcome": outcome}));
    }
}

#[test]
fn refusal_names_layout_and_field() {
    use RejectReason::{BadField, MissingField, NotJson, UnknownFormat};
    check_refused("{\"x\": 1}", (UnknownFormat, "layout edge: none of its fields"));
    check_refused("7", (UnknownFormat, "layout edge: none of its fields"));
    check_refused("{\"id\": \"a\"}", (MissingField, "layout edge: event_time"));
    check_refused("{\"ts\": \"soon\"}", (BadField, "layout edge: event_time: not a time"));
    check_refused("{\"ts\": 1772438405, \"st\": \"x\"}", (BadField, "status_code: not a number"));
    check_refused(
        "{\"ts\": 1772438405, \"ts\": 1772438406}",
        (BadField, "duplicate field at line 1 column 35"),
    );
    check_refused("{\"ts\": 17", (NotJson, "ends inside the JSON value at line 1 column 9"));
}

#[test]
fn line_that_nginx_wrote_without_json_escapes_is_repaired() {
    let line =
        r#"{"ts":"02/Mar/2026:09:00:05 +0100","req":"GET /caf\xC3\xA9 HTTP/1.1","app":"\x22a\x5Cb\x22"}"#;
    let decoded = decode_text(LAYOUT, &[line]);
    assert_eq!(decoded.rejects, []);
    let event = events(&decoded).remove(0);
    assert_eq!((&event["route"], &event["consumer"]), (&json!("/café"), &json!("\"a\\b\"")));
}

#[test]
fn records_in_an_envelope_are_read_like_bare_ones() {
    let decoded =
        decode(LAYOUT, &[json!({"Records": [{"ts": 1_772_438_405}, {"x": 1}, {"ts": 1_772_438_406}]})]);
    assert_eq!(events(&decoded).len(), 2);
    assert_eq!(decoded.rejects.len(), 1);
}
