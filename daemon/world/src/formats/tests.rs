//! Every gateway's records, status by status.
//!
//! In: kinds of requests. Out: facts about the records; nothing here knows the daemon.

use serde_json::{Value, json};

use super::*;
use crate::dice::Dice;
use crate::place::Place;
use crate::template::{Moment, Template};

fn request(answer: Answer, model: Option<&str>) -> Request {
    let service = Workload { number: 7, name: "cargo-desk".to_owned(), team: "orders".to_owned() };
    let target = Target {
        host: "ai.halden.example".to_owned(),
        route: "memo-writer".to_owned(),
        path: "/memo-writer/v1/chat/completions".to_owned(),
        model: model.map(str::to_owned),
    };
    Request { answer, ..Request::of_service(&service, &target) }
}

fn written(gateway: Gateway, request: &Request, status: u16, at: i64) -> Value {
    let mut dice = Dice::of(1, "test", at);
    let mut moment = Moment { at, place: Place::Pod(7), dice: &mut dice };
    let line = Template::new(&gateway.record(request, status)).write(&mut moment);
    serde_json::from_str(&line).unwrap_or_else(|error| panic!("{gateway:?}: {error}: {line}"))
}

/// The value there, and whether it is a number.
fn status_of(gateway: Gateway, record: &Value) -> (&Value, bool) {
    let (pointer, is_number) = match gateway {
        Gateway::Envoy | Gateway::EnvoyAi => ("/response_code", true),
        Gateway::Traefik => ("/DownstreamStatus", true),
        Gateway::Kong | Gateway::Apisix => ("/response/status", true),
        Gateway::Apim => ("/records/0/properties/responseCode", true),
        Gateway::Aws => ("/status", false),
        Gateway::Nginx => ("/status", true),
        Gateway::Apigee if record.get("jsonPayload").is_some() => {
            ("/jsonPayload/response.status.code", false)
        }
        Gateway::Apigee => ("/response_status_code", true),
        Gateway::LiteLlm => ("/error_information/error_code", false),
        Gateway::CloudflareAi => ("/status_code", true),
    };
    (record.pointer(pointer).unwrap_or(&Value::Null), is_number)
}

#[test]
fn every_status_stands_in_the_record_as_its_gateway_writes_it() {
    for gateway in Gateway::ALL {
        for model in [None, Some("a-model")] {
            for (answer, statuses) in [
                (Answer::Fine, &[200, 404, 503, 504][..]),
                (Answer::Denied, &[403]),
                (Answer::Down, &[503, 429]),
            ] {
                for status in statuses {
                    let record = written(gateway, &request(answer, model), *status, 1_772_352_245_123_456);
                    assert!(record.is_object(), "{gateway:?}");
                    let (found, is_number) = status_of(gateway, &record);
                    // LiteLLM names no status of what went well.
                    let expected = match (gateway, is_number, *status) {
                        (Gateway::LiteLlm, _, 200) => json!(""),
                        (_, true, status) => json!(status),
                        (_, false, status) => json!(status.to_string()),
                    };
                    assert_eq!(found, &expected, "{gateway:?} {record}");
                }
            }
        }
    }
}

#[test]
fn times_and_amounts_are_numbers_where_the_provider_writes_numbers() {
    let numbers: [(Gateway, &[&str]); 9] = [
        (Gateway::Envoy, &["/duration", "/bytes_sent"]),
        (Gateway::Traefik, &["/Duration", "/OriginDuration", "/RequestCount"]),
        (Gateway::Kong, &["/started_at", "/latencies/proxy", "/ai/proxy/usage/prompt_tokens"]),
        (Gateway::Apisix, &["/start_time", "/latency", "/llm_summary/completion_tokens"]),
        (Gateway::Apim, &["/records/0/durationMs", "/records/1/properties/promptTokens"]),
        (Gateway::Aws, &["/requestTimeEpoch"]),
        (Gateway::Nginx, &["/msec", "/body_bytes_sent"]),
        (Gateway::Apigee, &["/jsonPayload/system.timestamp"]),
        (Gateway::LiteLlm, &["/startTime", "/prompt_tokens"]),
    ];
    for (gateway, pointers) in numbers {
        let record = written(gateway, &request(Answer::Fine, Some("a-model")), 200, 1_772_352_245_123_456);
        for pointer in pointers {
            assert!(record.pointer(pointer).is_some_and(Value::is_number), "{gateway:?} {pointer} {record}");
        }
    }
}

#[test]
fn what_is_tried_again_within_a_minute_shares_an_id_where_the_client_gives_one() {
    let pointers = [
        (Gateway::Envoy, "/x-request-id"),
        (Gateway::Traefik, "/request_X-Request-Id"),
        (Gateway::Apisix, "/request/headers/x-request-id"),
        (Gateway::Aws, "/xrayTraceId"),
        (Gateway::Nginx, "/request_id"),
        (Gateway::LiteLlm, "/trace_id"),
    ];
    for (gateway, pointer) in pointers {
        let id = |answer, at| {
            let record = written(gateway, &request(answer, Some("a-model")), 503, at);
            record.pointer(pointer).and_then(Value::as_str).map(str::to_owned)
        };
        let minute = 1_772_352_240_000_000;
        assert!(id(Answer::Down, minute).is_some(), "{gateway:?}");
        assert_eq!(id(Answer::Down, minute), id(Answer::Down, minute + 50_000_000), "{gateway:?}");
        assert_ne!(id(Answer::Down, minute), id(Answer::Down, minute + 60_000_000), "{gateway:?}");
        assert_ne!(id(Answer::Fine, minute), id(Answer::Fine, minute + 50_000_000), "{gateway:?}");
    }
}

#[test]
fn records_of_one_call_at_api_management_share_its_id() {
    let record = written(Gateway::Apim, &request(Answer::Fine, Some("a-model")), 200, 1_772_352_245_123_456);
    let id = |of: &str| record.pointer(of).and_then(Value::as_str).map(str::to_owned);
    assert!(id("/records/0/correlationId").is_some());
    assert_eq!(id("/records/0/correlationId"), id("/records/1/correlationId"));
}

#[test]
fn every_gateway_names_the_caller_that_it_knows() {
    for gateway in Gateway::ALL {
        let record = written(gateway, &request(Answer::Fine, Some("a-model")), 200, 1_772_352_245_123_456);
        let line = record.to_string();
        let service = Workload { number: 7, name: "cargo-desk".to_owned(), team: "orders".to_owned() };
        let mut names = consumer_names(&service.name).to_vec();
        names.extend([service.api_key_id(), service.peer()]);
        let is_named = names.iter().any(|name| line.contains(&format!("\"{name}\"")));
        assert_eq!(is_named, gateway.names_callers(), "{gateway:?} {line}");
    }
}
