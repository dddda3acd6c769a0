//! Azure API Management resource logs as diagnostic settings deliver them (learn.microsoft.com, "Gateway log schema
//! reference" and "Log large language model API usage"). Headers are not logged, as is the default: there is no user
//! agent. Callers are subscriptions. A call of a model is two records of one correlation id, which API Management
//! gives to every request anew, also to one that is tried again.

use serde_json::{Value, json};

use super::Request;
use crate::company::{AZURE_PRODUCTION, AZURE_STAGING};
use crate::dice::Dice;
use crate::template::{Alphabet, Form, blank};

/// Id of the subscription that a consumer has: API Management made it up.
pub(crate) fn subscription(consumer: &str) -> String {
    Dice::of(22, consumer, 0).id("", Alphabet::Hex, 24)
}

/// What is sent for a request that was answered so.
pub(super) fn record(request: &Request, status: u16) -> Value {
    let gateway = around(request, status, "GatewayLogs", &gateway_properties(request, status));
    match &request.target.model {
        None => json!({ "records": [gateway] }),
        Some(model) => {
            let usage = json!({
                "sequenceNumber": 0,
                "requestId": blank::uuid(),
                "deploymentName": "",
                "modelName": model,
                "isStreamCompletion": false,
                "promptTokens": blank::integer(120, 3_120),
                "completionTokens": blank::integer(20, 920),
            });
            json!({ "records": [gateway, around(request, status, "GatewayLlmLogs", &usage)] })
        }
    }
}

fn around(request: &Request, status: u16, category: &str, properties: &Value) -> Value {
    let (account, service) = match request.target.is_staging() {
        true => (AZURE_STAGING, "HALDEN-APIM-STAGE"),
        false => (AZURE_PRODUCTION, "HALDEN-APIM"),
    };
    let mut record = json!({
        "Level": if status < 400 { 4 } else { 2 },
        "isRequestSuccess": status < 400,
        "time": blank::time(Form::Ticks),
        "operationName": format!("Microsoft.ApiManagement/{category}"),
        "category": category,
        "correlationId": blank::event_uuid(&request.name()),
        "location": "West Europe",
        "properties": properties,
        "resourceId": format!(
            "/SUBSCRIPTIONS/{}/RESOURCEGROUPS/INTEGRATION/PROVIDERS/MICROSOFT.APIMANAGEMENT/SERVICE/{service}",
            account.to_uppercase()
        ),
    });
    if category == "GatewayLogs" {
        record["callerIpAddress"] = json!(blank::address());
        record["durationMs"] = json!(blank::integer(4, request.target.slowest()));
    }
    record
}

fn gateway_properties(request: &Request, status: u16) -> Value {
    let Request { caller, target, method, .. } = request;
    let subscription = caller.consumer.as_deref().map(subscription);
    let backend = match &target.model {
        Some(model) => format!("https://bedrock-runtime.eu-west-1.amazonaws.com/model/{model}/converse"),
        None => format!("https://{}.internal.halden.example{}", target.route, target.path),
    };
    let mut properties = json!({
        "method": method,
        "url": format!("https://{}{}", target.host, target.path),
        "responseCode": status,
        "responseSize": blank::integer(240, 9_240),
        "requestSize": blank::integer(180, 4_180),
        "cache": "none",
        "clientTime": blank::integer(0, 4),
        "clientProtocol": "HTTP/1.1",
        "clientTlsVersion": "1.3",
        "apiId": target.route,
        "apiRevision": "1",
        "operationId": method.to_lowercase(),
        "productId": "internal",
        "userId": "1",
        "apimSubscriptionId": subscription.unwrap_or_default(),
    });
    if status == 403 {
        let error =
            json!({ "elapsed": 1, "source": "authorization", "section": "inbound", "reason": "Forbidden" });
        properties["lastError"] = error.clone();
        properties["errors"] = json!([error]);
    } else {
        properties["backendMethod"] = json!(method);
        properties["backendProtocol"] = json!("HTTP/1.1");
        properties["backendResponseCode"] = json!(status);
        properties["backendTime"] = json!(blank::integer(3, target.slowest()));
        properties["backendUrl"] = json!(backend);
    }
    properties
}
