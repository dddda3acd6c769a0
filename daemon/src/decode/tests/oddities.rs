//! The oddest things that providers write, each in the layout of the format that writes it.
//!
//! In: one record or message. Out: what decode makes of it. What NGINX writes without `escape=json` stands with
//! its format.

use serde_json::{Value, json};

use super::{batch, check_event, decode_one, decoder, events};
use crate::decode::Format;

/// Checks every record against the same columns.
fn check_all(records: impl IntoIterator<Item = Value>, expect: &Value) {
    records.into_iter().for_each(|record| check_event(&record.to_string(), expect.clone()));
}

fn console_call(mfa: Value, from_console: Value) -> Value {
    json!({
        "eventVersion": "1.11",
        "userIdentity": {
            "type": "AssumedRole",
            "principalId": "AROAFAKEFAKEFAKE00001:mira",
            "arn": "arn:aws:sts::111122223333:assumed-role/analyst/mira",
            "accountId": "111122223333",
            "accessKeyId": "ASIAFAKEFAKEFAKE0001",
            "sessionContext": {
                "sessionIssuer": {"type": "Role", "arn": "arn:aws:iam::111122223333:role/analyst"},
                "attributes": {"creationDate": "2026-03-02T08:00:00Z", "mfaAuthenticated": mfa}
            }
        },
        "eventTime": "2026-03-02T08:00:05Z",
        "eventSource": "s3.amazonaws.com",
        "eventName": "ListBuckets",
        "sessionCredentialFromConsole": from_console
    })
}

#[test]
fn cloudtrail_writes_booleans_as_words_in_any_case() {
    let yes = [json!("true"), json!("True"), json!(true)];
    check_all(yes.map(|yes| console_call(yes.clone(), yes)), &json!({"flow": "console_session mfa"}));
    let no = [json!("false"), json!("False"), json!(false), json!(null)];
    check_all(no.map(|no| console_call(no.clone(), no)), &json!({"flow": null}));
}

#[test]
fn entra_writes_a_boolean_as_a_word_too() {
    let sign_in = |interactive: &str| {
        json!({
            "time": "2026-03-02T08:00:09.0000000Z", "category": "SignInLogs", "resultType": "0",
            "properties": {"userId": "u-1", "isInteractive": interactive, "status": {"errorCode": 0}}
        })
    };
    check_event(&sign_in("True").to_string(), json!({"flow": "interactive"}));
    check_event(&sign_in("False").to_string(), json!({"flow": "non_interactive"}));
}

#[test]
fn entra_writes_two_forms_of_time_into_one_record() {
    for created in ["2026-03-02T08:00:05.1230000+00:00", "2026-03-02 08:00:05.123"] {
        let record = json!({
            "time": "2026-03-02T08:07:31.0000000Z", "category": "NonInteractiveUserSignInLogs",
            "properties": {"createdDateTime": created, "userId": "u-1"}
        });
        check_event(&record.to_string(), json!({"event_time": "2026-03-02T08:00:05.123"}));
    }
    let american = json!({
        "time": "2026-03-02T08:07:31.0000000Z", "category": "SignInLogs",
        "properties": {"createdDateTime": "3/2/2026 9:00:05 AM +01:00", "userId": "u-1"}
    });
    check_event(&american.to_string(), json!({"event_time": "2026-03-02T08:00:05"}));
}

#[test]
fn litellm_writes_start_times_without_a_zone_and_as_seconds_with_a_fraction() {
    for start in [json!("2026-03-02 08:00:05.250000"), json!(1_772_438_405.25)] {
        let record = json!({
            "id": "chatcmpl-1", "call_type": "acompletion", "status": "success", "startTime": start
        });
        check_event(&record.to_string(), json!({"event_time": "2026-03-02T08:00:05.250"}));
    }
}

#[test]
fn microsoft_writes_properties_as_an_object_or_as_json_in_a_string() {
    let sign_in = json!({"id": "e-1", "servicePrincipalId": "sp-1", "status": {"errorCode": 7000215}});
    let entra = |properties: Value| {
        json!({
            "time": "2026-03-02T08:00:05Z", "category": "ServicePrincipalSignInLogs",
            "resultType": "7000215", "properties": properties
        })
    };
    let expect = json!({"event_id": "e-1", "principal": "sp-1", "outcome": "denied", "error": "7000215"});
    check_all([entra(sign_in.clone()), entra(sign_in.to_string().into())], &expect);
    let written = json!({"eventDataId": "e-2", "eventCategory": "Administrative", "statusCode": "Forbidden"});
    let azure = |properties: Value| {
        json!({
            "time": "2026-03-02T08:00:05Z", "resourceId": "/subscriptions/s-1", "category": "Administrative",
            "operationName": "Microsoft.Storage/storageAccounts/delete", "resultType": "Failure",
            "properties": properties
        })
    };
    let expect = json!({"event_id": "e-2", "status_code": 403, "outcome": "denied"});
    check_all([azure(written.clone()), azure(written.to_string().into())], &expect);
}

#[test]
fn envoy_ai_gateway_writes_flat_keys_with_dots_and_colons_in_them() {
    let record = json!({
        ":authority": "models.example.com", "gen_ai.provider.name": "default/x", "gen_ai.request.model": "example-large",
        "gen_ai.request.model_override": null, "gen_ai.usage.input_tokens": 15, "mcp.method.name": "tools/call",
        "mcp.tool.name": "claims__list", "method": "POST", "response_code": 200, "response_flags": "-",
        "start_time": "2026-03-02T08:00:05.894Z", "x-envoy-origin-path": "/v1/chat/completions"
    });
    let expect = json!({"host": "models.example.com", "model": "example-large", "tool": "claims__list"});
    check_event(&record.to_string(), expect);
}

#[test]
fn kubernetes_names_extra_fields_and_annotations_with_slashes_and_dots() {
    let record = json!({
        "kind": "Event", "apiVersion": "audit.k8s.io/v1", "level": "Metadata", "stage": "ResponseComplete",
        "auditID": "d0000000-0000-4000-8000-000000000001", "verb": "create",
        "requestURI": "/api/v1/namespaces/scoring/serviceaccounts/pilot/token",
        "user": {
            "username": "system:node:n1",
            "extra": {"authentication.kubernetes.io/credential-id": ["X509SHA256=00"]}
        },
        "objectRef": {"resource": "serviceaccounts", "subresource": "token", "name": "pilot"},
        "responseStatus": {"metadata": {}, "code": 201},
        "requestReceivedTimestamp": "2026-03-02T08:00:05.000001Z",
        "annotations": {"authentication.kubernetes.io/issued-credential-id": "JTI=1"}
    });
    check_event(&record.to_string(), json!({"token_secret": "X509SHA256=00", "issued_secret": "JTI=1"}));
}

#[test]
fn ocsf_time_in_seconds_is_the_same_instant_as_in_milliseconds() {
    let activity = |time: Value| {
        json!({
            "class_uid": 6003, "activity_id": 2, "type_uid": 600_302, "status_id": 1, "time": time,
            "metadata": {"uid": "o-1", "version": "1.1.0"}, "api": {"operation": "GetObject"}
        })
    };
    let times = [json!(1_772_438_405), json!(1_772_438_405_000_i64), json!("1772438405000")];
    check_all(times.map(activity), &json!({"event_time": "2026-03-02T08:00:05"}));
}

#[test]
fn azure_writes_one_operation_and_one_resource_in_any_case() {
    let call = |operation: Value, resource: &str| {
        json!({
            "time": "2026-03-02T08:00:05.1234567Z", "resourceId": resource, "operationName": operation,
            "category": "Administrative", "resultType": "Success", "correlationId": "c-1"
        })
    };
    let shouted = "MICROSOFT.COGNITIVESERVICES/ACCOUNTS/LISTKEYS/ACTION";
    let plain = "Microsoft.CognitiveServices/accounts/listKeys/action";
    check_all(
        [
            call(json!(shouted), "/SUBSCRIPTIONS/S-1/RESOURCEGROUPS/CLAIMS"),
            call(json!(plain), "/subscriptions/s-1/resourceGroups/Claims"),
            call(
                json!({"value": plain, "localizedValue": "List keys"}),
                "/subscriptions/S-1/resourcegroups/claims",
            ),
        ],
        &json!({
            "action": "microsoft.cognitiveservices/accounts/listkeys/action",
            "target": "/subscriptions/s-1/resourcegroups/claims", "account": "s-1"
        }),
    );
}

#[test]
fn events_without_an_id_are_kept_and_told_apart_by_their_content() {
    let okta = |result: &str| {
        let record = json!({
            "published": "2026-03-02T08:00:05.123Z", "eventType": "user.session.start",
            "actor": {"id": "00uFAKE00000000001", "type": "User"}, "outcome": {"result": result}
        });
        record.to_string()
    };
    let kubernetes = json!({
        "kind": "Event", "verb": "get", "requestURI": "/version", "user": {"username": "ada@example.com"},
        "stageTimestamp": "2026-03-02T08:00:05.000001Z"
    });
    let messages = [okta("SUCCESS"), okta("FAILURE"), kubernetes.to_string()];
    let decoded = decoder("mixed", None).decode(&batch(&messages));
    assert_eq!(decoded.rejects, []);
    assert!(events(&decoded).iter().all(|event| event.get("event_id").is_none()));
    let mut hashes = decoded.content_hashes;
    hashes.sort_unstable();
    hashes.dedup();
    assert_eq!(hashes.len(), messages.len());
}

#[test]
fn kubernetes_stages_of_one_request_share_an_id_and_count_once() {
    let stage = |stage: &str, status: Value| {
        json!({
            "level": "Metadata", "auditID": "d0000000-0000-4000-8000-000000000002", "stage": stage, "verb": "watch",
            "requestURI": "/api/v1/pods?watch=true", "user": {"username": "ada@example.com"},
            "objectRef": {"resource": "pods"}, "responseStatus": status,
            "requestReceivedTimestamp": "2026-03-02T08:00:05.000001Z", "stageTimestamp": "2026-03-02T08:10:00.000001Z"
        })
    };
    let stages = [
        stage("RequestReceived", Value::Null),
        stage("ResponseStarted", json!({"code": 200})),
        stage("ResponseComplete", json!({"code": 200})),
    ];
    let list = json!({"kind": "EventList", "apiVersion": "audit.k8s.io/v1", "metadata": {}, "items": stages});
    let decoded = decode_one(Format::parse("kubernetes_audit"), list.to_string().as_bytes());
    let column =
        |name: &str| -> Vec<Value> { events(&decoded).iter().map(|event| event[name].clone()).collect() };
    assert_eq!(column("outcome"), ["unknown", "unknown", "success"]);
    assert_eq!(column("trace_id"), ["d0000000-0000-4000-8000-000000000002"; 3]);
    let ids = ["RequestReceived", "ResponseStarted", "ResponseComplete"];
    assert_eq!(column("event_id"), ids.map(|stage| format!("d0000000-0000-4000-8000-000000000002:{stage}")));
}

#[test]
fn vault_writes_a_request_and_its_response_under_one_id() {
    let line = |kind: &str| {
        let line = json!({
            "time": "2026-03-02T08:00:05.123456789Z", "type": kind,
            "auth": {"accessor": "hmac-sha256:a1", "display_name": "approle", "entity_id": "e-1"},
            "request": {
                "id": "a0000000-0000-4000-8000-000000000001", "operation": "read", "path": "secret/data/app",
                "client_token_accessor": "hmac-sha256:a1", "remote_address": "192.0.2.44"
            }
        });
        line.to_string()
    };
    check_event(&line("request"), json!({"outcome": "unknown", "credential_kind": null}));
    check_event(&line("response"), json!({"outcome": "success", "credential_kind": "vault_accessor"}));
}

#[test]
fn okta_writes_the_words_null_and_unknown_for_nothing() {
    let record = json!({
        "uuid": "null", "published": "2026-03-02T08:00:05.123Z", "eventType": "user.session.start",
        "actor": {"id": "00uFAKE00000000001", "type": "User", "alternateId": "unknown"},
        "client": {
            "zone": "null", "id": "null", "ipAddress": "unknown",
            "userAgent": {"rawUserAgent": "null", "os": "Unknown", "browser": "UNKNOWN"}
        },
        "authenticationContext": {"externalSessionId": "unknown"},
        "debugContext": {"debugData": {"deviceFingerprint": "null"}},
        "transaction": {"id": "unknown", "detail": {"requestApiTokenId": "null"}},
        "outcome": {"result": "SUCCESS", "reason": "null"}
    });
    let absent = ["event_id", "source_ip", "user_agent", "flow", "token_secret", "trace_id", "error"];
    let mut expect = json!({"principal": "00uFAKE00000000001", "credential_kind": "user_object"});
    absent.iter().for_each(|column| expect[*column] = Value::Null);
    check_event(&record.to_string(), expect);
}

#[test]
fn ocsf_status_code_none_is_no_error() {
    let record = json!({
        "class_uid": 6003, "activity_id": 2, "status_id": 2, "status_code": "None", "time": 1_772_438_405_123_i64,
        "metadata": {"uid": "o-1", "version": "1.5.0"}, "api": {"operation": "GetObject"}
    });
    check_event(&record.to_string(), json!({"outcome": "rejected", "status_code": null, "error": null}));
}

#[test]
fn nginx_writes_bytes_as_hex_which_is_no_json() {
    let record = r#"{"time_local":"02/Mar/2026:09:00:05 +0100","remote_addr":"192.0.2.44","request":"GET /caf\xC3\xA9 HTTP/1.1","status":"200","http_user_agent":"\x22quoted\x22"}"#;
    assert!(serde_json::from_str::<Value>(record).is_err());
    let expect = json!({"event_time": "2026-03-02T08:00:05", "route": "/café", "user_agent": "\"quoted\"", "format": "nginx"});
    check_event(record, expect);
}

#[test]
fn api_gateway_writes_a_dash_for_nothing_and_numbers_as_text() {
    let record = json!({
        "requestTime": "02/Mar/2026:09:00:05 +0100", "httpMethod": "GET", "status": "200", "user": "-",
        "caller": "-", "apiKeyId": "-", "requestId": "r-1"
    });
    let expect = json!({"status_code": 200, "principal": null, "consumer": null, "credential_kind": null});
    check_event(&record.to_string(), expect);
}
