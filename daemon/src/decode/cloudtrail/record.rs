//! The fields of a CloudTrail record that are read.
//!
//! In: JSON. Out: borrowed structs. What the fields mean is decided one floor up.

use serde::Deserialize;

use crate::decode::json::{First, Flag, Nested, Number, Text, first_of};

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
pub(in crate::decode) struct Record<'a> {
    #[serde(borrow)]
    pub(super) event_time: Text<'a>,
    #[serde(rename = "@timestamp")]
    pub(super) logged_at: Text<'a>,
    #[serde(rename = "eventID")]
    pub(super) event_id: Text<'a>,
    #[serde(rename = "requestID")]
    pub(super) request_id: Text<'a>,
    pub(super) event_source: Text<'a>,
    pub(super) event_name: Text<'a>,
    pub(super) aws_region: Text<'a>,
    #[serde(rename = "sourceIPAddress")]
    pub(super) source_ip_address: Text<'a>,
    pub(super) user_agent: Text<'a>,
    pub(super) error_code: Text<'a>,
    pub(super) recipient_account_id: Text<'a>,
    pub(super) session_credential_from_console: Flag,
    pub(super) user_identity: Nested<'a, UserIdentity<'a>>,
    pub(super) request_parameters: Nested<'a, RequestParameters<'a>>,
    pub(super) response_elements: Nested<'a, ResponseElements<'a>>,
    pub(super) additional_event_data: Nested<'a, AdditionalEventData<'a>>,
    pub(super) resources: First<Nested<'a, Resource<'a>>>,
}

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct UserIdentity<'a> {
    #[serde(borrow)]
    pub(super) r#type: Text<'a>,
    pub(super) principal_id: Text<'a>,
    pub(super) arn: Text<'a>,
    pub(super) user_name: Text<'a>,
    pub(super) account_id: Text<'a>,
    pub(super) access_key_id: Text<'a>,
    pub(super) invoked_by: Text<'a>,
    pub(super) credential_id: Text<'a>,
    pub(super) identity_provider: Text<'a>,
    pub(super) session_context: Nested<'a, SessionContext<'a>>,
    pub(super) on_behalf_of: Nested<'a, OnBehalfOf<'a>>,
    pub(super) in_scope_of: Nested<'a, InScopeOf<'a>>,
}

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct SessionContext<'a> {
    #[serde(borrow)]
    pub(super) session_issuer: Nested<'a, SessionIssuer<'a>>,
    pub(super) web_id_federation_data: Nested<'a, WebIdFederationData<'a>>,
    pub(super) attributes: Nested<'a, Attributes>,
    pub(super) ec2_role_delivery: Text<'a>,
    pub(super) source_identity: Text<'a>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
pub(super) struct SessionIssuer<'a> {
    #[serde(borrow)]
    pub(super) arn: Text<'a>,
}

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct WebIdFederationData<'a> {
    #[serde(borrow)]
    pub(super) federated_provider: Text<'a>,
}

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct Attributes {
    pub(super) mfa_authenticated: Flag,
}

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct OnBehalfOf<'a> {
    #[serde(borrow)]
    pub(super) user_id: Text<'a>,
}

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct InScopeOf<'a> {
    #[serde(borrow)]
    pub(super) issuer_type: Text<'a>,
}

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct RequestParameters<'a> {
    #[serde(borrow)]
    model_id: Text<'a>,
    /// What `bedrock-mantle` calls it.
    model: Text<'a>,
    /// `bedrock-mantle` writes it here, `bedrock` into the additional event data.
    pub(super) call_with_bearer_token: Flag,
    body: Nested<'a, ToolCall<'a>>,
    bucket_name: Text<'a>,
    role_arn: Text<'a>,
    function_name: Text<'a>,
    table_name: Text<'a>,
    secret_id: Text<'a>,
    endpoint_name: Text<'a>,
    topic_arn: Text<'a>,
    queue_url: Text<'a>,
    key_id: Text<'a>,
}

/// The body of what is sent to an AgentCore gateway: JSON-RPC of the Model Context Protocol.
#[derive(Deserialize, Default)]
#[serde(default)]
struct ToolCall<'a> {
    #[serde(borrow)]
    method: Text<'a>,
    params: Nested<'a, ToolParams<'a>>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct ToolParams<'a> {
    #[serde(borrow)]
    name: Text<'a>,
}

impl RequestParameters<'_> {
    pub(super) fn model(&self) -> &str {
        first_of(&[self.model_id.get(), self.model.get()])
    }

    /// The tool that an agent called through a gateway.
    pub(super) fn tool(&self) -> &str {
        let call = self.body.object().filter(|call| call.method.get() == "tools/call");
        call.and_then(|call| call.params.object()).map_or("", |params| params.name.get())
    }

    /// The resource that the request names.
    pub(super) fn target(&self) -> &str {
        first_of(&[
            self.bucket_name.get(),
            self.role_arn.get(),
            self.function_name.get(),
            self.table_name.get(),
            self.secret_id.get(),
            self.endpoint_name.get(),
            self.topic_arn.get(),
            self.queue_url.get(),
            self.key_id.get(),
        ])
    }
}

#[derive(Deserialize, Default)]
#[serde(default)]
pub(super) struct ResponseElements<'a> {
    #[serde(borrow, rename = "ConsoleLogin")]
    pub(super) console_login: Text<'a>,
    /// HTTP status: AgentCore gateways write it where others have an `errorCode`.
    #[serde(rename = "statusCode")]
    pub(super) status_code: Number,
    credentials: Nested<'a, IssuedKey<'a>>,
    #[serde(rename = "accessKey")]
    access_key: Nested<'a, IssuedKey<'a>>,
}

/// Of AssumeRole and its kin (`credentials`), of CreateAccessKey (`accessKey`).
#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
struct IssuedKey<'a> {
    #[serde(borrow)]
    access_key_id: Text<'a>,
}

impl ResponseElements<'_> {
    /// Id of the access key that the call gave out.
    pub(super) fn issued_key(&self) -> &str {
        let issued = self.credentials.object().or(self.access_key.object());
        issued.map_or("", |key| key.access_key_id.get())
    }
}

#[derive(Deserialize, Default)]
#[serde(default)]
pub(super) struct AdditionalEventData<'a> {
    #[serde(borrow, rename = "MFAUsed")]
    pub(super) mfa_used: Text<'a>,
    #[serde(rename = "callWithBearerToken")]
    pub(super) call_with_bearer_token: Flag,
    jwt: Nested<'a, Jwt<'a>>,
}

/// The token by which an AgentCore gateway knew its caller.
#[derive(Deserialize, Default)]
#[serde(default)]
struct Jwt<'a> {
    #[serde(borrow)]
    claims: Nested<'a, Claims<'a>>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
pub(super) struct Claims<'a> {
    #[serde(borrow)]
    pub(super) iss: Text<'a>,
    pub(super) sub: Text<'a>,
    pub(super) jti: Text<'a>,
}

impl<'a> AdditionalEventData<'a> {
    pub(super) fn claims(&self) -> Option<&Claims<'a>> {
        self.jwt.object()?.claims.object()
    }
}

#[derive(Deserialize, Default)]
#[serde(default)]
pub(super) struct Resource<'a> {
    #[serde(borrow, rename = "ARN")]
    pub(super) arn: Text<'a>,
    #[serde(rename = "ARNPrefix")]
    pub(super) arn_prefix: Text<'a>,
}
