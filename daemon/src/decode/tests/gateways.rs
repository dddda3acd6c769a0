//! What gateways have in common: forms of time and status, empty ids, raw keys; and that no format takes the records
//! of another one.
//!
//! In: records in the layouts of several gateways, and every format's fixtures. Out: what decode makes of them.

use serde_json::{Value, json};

use super::{batch, check_event, decode_one, decoder, events, gzip, inputs};
use crate::decode::{Family, Format, RejectReason};

/// What fixtures hold where a raw key or token stands, and where decode must not look at all.
const RAW: [&str; 2] = ["RAWKEY", "RAWTOKEN"];
const NEVER_READ: [&str; 4] = ["NEVERREAD", "never read", "never.read", "never-read"];
const SECRET_COLUMNS: [&str; 3] = ["credential_secret", "token_secret", "issued_secret"];

/// One record of each gateway, with a time and a status in its own places.
fn record(format: &str, time: &Value, status: &Value) -> Value {
    match format {
        "envoy" => json!({"start_time": time, "response_code": status, "response_flags": "-"}),
        "traefik" => json!({"StartUTC": time, "DownstreamStatus": status, "RequestMethod": "GET"}),
        "kong" => json!({
            "started_at": time, "latencies": {"kong": 1}, "request": {"method": "GET"}, "response": {"status": status}
        }),
        "apisix" => json!({
            "start_time": time, "apisix_latency": 1, "request": {"method": "GET"}, "response": {"status": status}
        }),
        "azure_apim" => json!({
            "time": time, "category": "GatewayLogs", "correlationId": "c-1", "properties": {"responseCode": status}
        }),
        "aws_api_gateway" => {
            json!({"requestTime": time, "requestId": "r-1", "httpMethod": "GET", "status": status})
        }
        "nginx" => json!({"time_local": time, "remote_addr": "192.0.2.1", "status": status}),
        "apigee" => json!({
            "client_received_start_timestamp": time, "apiproxy": "claims", "response_status_code": status
        }),
        "cloudflare_ai_gateway" => json!({
            "created_at": time, "provider": "example-ai", "tokens_in": 1, "status_code": status
        }),
        other => panic!("no record of {other}"),
    }
}

/// Gateways whose log holds the status of an answer.
fn gateways() -> impl Iterator<Item = &'static str> {
    let gateways = Format::all().filter(|format| format.family() == Family::Gateway).map(Format::name);
    gateways.filter(|name| *name != "litellm")
}

#[test]
fn gateways_write_one_instant_in_many_forms() {
    for time in [
        json!("2026-03-02T08:00:05Z"),
        json!("2026-03-02T09:00:05.000000000+01:00"),
        json!("2026-03-02 08:00:05"),
        json!("2026-03-02 08:00:05.000 UTC"),
        json!("02/Mar/2026:09:00:05 +0100"),
        json!("1772438405"),
        json!(1_772_438_405),
        json!("1772438405.000"),
        json!(1_772_438_405_000_i64),
        json!("1772438405000"),
    ] {
        for format in gateways() {
            let record = record(format, &time, &json!(200)).to_string();
            check_event(&record, json!({"format": format, "event_time": "2026-03-02T08:00:05"}));
        }
    }
}

#[test]
fn gateways_write_a_status_as_a_number_as_text_or_not_at_all() {
    let time = json!("2026-03-02T08:00:05Z");
    for (status, code, outcome) in [
        (json!(200), json!(200), "success"),
        (json!("204"), json!(204), "success"),
        (json!("401"), json!(401), "denied"),
        (json!("429"), json!(429), "throttled"),
        (json!(404), json!(404), "rejected"),
        (json!("503"), json!(503), "failure"),
        (json!(0), json!(0), "unknown"),
        (json!("000"), json!(0), "unknown"),
        (json!("-"), Value::Null, "unknown"),
        (json!(""), Value::Null, "unknown"),
        (Value::Null, Value::Null, "unknown"),
    ] {
        for format in gateways() {
            let record = record(format, &time, &status).to_string();
            check_event(&record, json!({"format": format, "status_code": code, "outcome": outcome}));
        }
    }
}

#[test]
fn empty_ids_are_no_ids() {
    let absent = ["event_id", "credential_kind", "consumer", "target", "trace_id", "route", "principal"];
    let expect: Value = absent.iter().map(|column| ((*column).to_owned(), Value::Null)).collect();
    let records = [
        json!({
            "started_at": 1_772_438_405_123_i64, "latencies": {}, "request": {"id": "", "uri": ""},
            "response": {"status": 200}, "service": {"id": "", "name": "", "host": ""}, "route": {"name": ""},
            "consumer": {"id": "", "username": "", "custom_id": ""}, "authenticated_entity": {"id": ""},
            "upstream_status": ""
        }),
        json!({
            "start_time": 1_772_438_405_123_i64, "apisix_latency": 1, "route_id": "", "service_id": "", "upstream": "",
            "request": {"uri": "", "headers": {"x-request-id": ""}}, "response": {"status": 200},
            "consumer": {"username": ""}
        }),
        json!({
            "time": "2026-03-02T08:00:05Z", "category": "GatewayLogs", "correlationId": "", "properties": {
                "apiId": "", "apimSubscriptionId": "", "productId": "", "userId": "", "backendUrl": "", "url": ""
            }
        }),
        json!({
            "requestTime": "02/Mar/2026:08:00:05 +0000", "requestId": "-", "extendedRequestId": "", "status": "200",
            "identity": {"apiKeyId": "-", "apiKey": "", "user": "-", "userArn": "-"}, "authorizer": {"principalId": ""},
            "apiId": "-", "resourcePath": "-"
        }),
        json!({
            "msec": "1772438405.123", "remote_addr": "192.0.2.1", "status": "200", "request_id": "", "remote_user": "-",
            "upstream_addr": "-", "request": ""
        }),
    ];
    records.iter().for_each(|record| check_event(&record.to_string(), expect.clone()));
}

#[test]
fn raw_keys_reach_secret_columns_only_and_bodies_none() {
    let mut raw_keys = 0;
    for format in Format::all().filter(|format| format.family() == Family::Gateway) {
        for message in inputs(format) {
            for event in events(&decode_one(Some(format), message.as_bytes())) {
                for (column, value) in event.as_object().unwrap() {
                    let value = value.to_string();
                    assert!(!NEVER_READ.iter().any(|word| value.contains(word)), "{column} of {message}");
                    if RAW.iter().any(|word| value.contains(word)) {
                        assert!(SECRET_COLUMNS.contains(&column.as_str()), "{column} of {message}");
                        raw_keys += 1;
                    }
                }
            }
        }
    }
    assert!(raw_keys >= 4, "fixtures hold raw keys of API Gateway and Apigee, found {raw_keys}");
}

#[test]
fn consumer_key_of_a_rejected_apigee_record_is_masked() {
    let record =
        r#"{"apiproxy":"claims","environment":"prod","client_id":"6gFAKERCKp0UCOZ8o9Q5S7X88nI5hgizGQ"}"#;
    let decoded = decode_one(None, record.as_bytes());
    assert_eq!(decoded.rejects[0].reason, RejectReason::MissingField);
    let kept = decoded.rejects[0].payload.masked();
    assert!(!kept.contains("6gFAKE"), "{kept}");
}

#[test]
fn nginx_lines_without_json_escapes_are_repaired_in_compressed_files_too() {
    let line = |path: &str| {
        format!(
            r#"{{"time_local":"02/Mar/2026:09:00:05 +0100","remote_addr":"192.0.2.1","request":"GET {path} HTTP/1.1","status":"200"}}"#
        )
    };
    let (odd, plain, cut) = (line(r"/caf\xC3\xA9"), line("/a"), line("/b").replace('}', ""));
    let file = gzip(format!("{odd}\n{plain}\n{cut}\n{odd}\n"));
    let decoded = decode_one(None, &file);
    let routes: Vec<Value> = events(&decoded).iter().map(|event| event["route"].clone()).collect();
    assert_eq!(routes, ["/café", "/a", "/café"]);
    assert_eq!(decoded.rejects.len(), 1);
    let hash = |message: &str| decode_one(None, message.as_bytes()).content_hashes[0];
    assert_eq!(decoded.content_hashes, [hash(&odd), hash(&plain), hash(&odd)]);
}

/// Whichever format was seen before on a topic is tried first.
#[test]
fn no_format_takes_a_record_of_another() {
    for format in Format::all() {
        for message in inputs(format) {
            if decode_one(Some(format), message.as_bytes()).events.record_batch().num_rows() == 0 {
                continue;
            }
            for other in Format::all().filter(|other| *other != format && other.is_likely(&message)) {
                let decoded = decode_one(Some(other), message.as_bytes());
                let refused = decoded.rejects.iter().all(|r| r.reason == RejectReason::UnknownFormat);
                assert!(
                    refused && events(&decoded).is_empty(),
                    "{other:?} takes what {format:?} wrote: {message}"
                );
            }
        }
    }
}

/// Found by fuzzing: names of two formats, and no record of either.
#[test]
fn reason_why_no_format_wants_a_record_does_not_depend_on_the_message_before() {
    let nobody = r#"{"time":"2026-03-02T08:00:05Z","operationName":"Microsoft.ApiManagement/GatewayLogs","catego2y":"GatewayLogs","callerIpAddress":"192.0.2.10","correlationId":"c-1","properties":{"method":"POST","responseCode":200,"apiId":"claims-api"},"resourceId":"/SUBSCRIPTIONS/S/PROVIDERS/MICROSOFT.APIMANAGEMENT/SERVICE/A"}"#;
    let reasons = |before: &[String]| {
        let mut messages = before.to_vec();
        messages.push(nobody.to_owned());
        let decoded = decoder("any", None).decode(&batch(&messages));
        decoded.rejects.last().map(|reject| (reject.reason, reject.detail.clone()))
    };
    let alone = reasons(&[]);
    assert_eq!(alone, Some((RejectReason::UnknownFormat, "category: not of the activity log".to_owned())));
    for format in Format::all() {
        assert_eq!(reasons(&inputs(format)[..1]), alone, "after {format:?}");
    }
}
