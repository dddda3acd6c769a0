//! The columns of an [`EventBatch`] while they are being filled.
//!
//! In: the [`Fields`] of one event, borrowed from its JSON. Out: an [`EventBatch`] and how many fields were cut.
//! A row is appended whole or not at all; nothing here reads JSON or decides what a field means.

mod dict;

use std::borrow::Cow;
use std::sync::Arc;

use arrow::array::{
    ArrayBuilder, ArrayRef, Float64Builder, Int64Builder, StringBuilder, TimestampMicrosecondBuilder,
};
use arrow::record_batch::RecordBatch;

use crate::limits::FIELD_BYTES_MAX;
use crate::schema::{EVENT_SCHEMA, EventBatch};
use dict::Dict;

/// The closed words of the column `flow`, in the order in which they are written, and what each states.
/// Weights are given to them in queries/signals; decode only states facts.
pub const FLOW_WORDS: &[(&str, &str)] = &[
    ("console_login", "CloudTrail: a ConsoleLogin event"),
    ("console_session", "CloudTrail: the session's credentials came from the console"),
    ("mfa", "CloudTrail, Entra, OCSF: the session or the sign-in used MFA"),
    ("cloudshell", "CloudTrail: the client ran in AWS CloudShell"),
    ("ec2_role_delivery", "CloudTrail: credentials were delivered by the EC2 metadata service"),
    ("instance_session", "CloudTrail: the session is named after an EC2 instance"),
    ("web_identity", "CloudTrail: a token of a workload's identity provider was exchanged for the session"),
    ("lambda_exec_env", "CloudTrail: the client ran in AWS Lambda"),
    ("ecs_exec_env", "CloudTrail: the client ran in Amazon ECS"),
    ("sso_session", "CloudTrail: a role of IAM Identity Center or SAML; its session name is a person"),
    ("source_identity", "CloudTrail: the session carries a source identity"),
    ("bearer_token", "CloudTrail: called with a Bedrock API key"),
    ("known_browser", "Okta: the client is a browser that Okta recognised"),
    ("interactive_factor", "Okta, Google Workspace, Auth0: a person passed a factor"),
    ("device_fingerprint", "Okta: the client sent a device fingerprint"),
    ("api_token", "Okta: an API token was used"),
    ("non_user_actor", "Okta: the actor is no user"),
    ("client_credentials", "Okta, Keycloak, Auth0: OAuth client credentials grant"),
    ("private_key_jwt", "Okta, Keycloak: the client authenticated by a signed JWT"),
    ("interactive", "Entra, Google Workspace, Keycloak, Auth0: a user's interactive sign-in"),
    ("non_interactive", "Entra, Keycloak, Auth0: a user's non-interactive sign-in"),
    ("device_id", "Entra: the user's device is known to the directory"),
    ("service_principal", "Entra: a service principal signed in; Azure: it called"),
    ("managed_identity", "Entra: a managed identity signed in; Azure: it called"),
    ("federated_credential", "Entra: a federated credential was used"),
    ("ropc", "Entra, Keycloak, Auth0: a user's password was sent by a program (ROPC)"),
    ("gcloud_interactive", "Google Cloud: gcloud in a terminal, not from a script"),
    ("cloud_shell", "Google Cloud: the client ran in Cloud Shell"),
    ("interactive_exec", "Kubernetes: exec, attach or port-forward into a pod"),
    ("leader_election", "Kubernetes: a lease was renewed, as controllers do"),
    ("oauth_app", "Google Workspace: an application used a token that a user had granted it"),
    ("person_auth", "Vault: the token comes from a method by which people sign in"),
    ("machine_auth", "Vault: the token comes from a method by which workloads sign in"),
    (
        "delegated",
        "Entra, Keycloak, Auth0: an application with an identity of its own got the token, to act for the user",
    ),
];

/// A member of [`FLOW_WORDS`], by its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum FlowWord {
    ConsoleLogin,
    ConsoleSession,
    Mfa,
    CloudShell,
    Ec2RoleDelivery,
    InstanceSession,
    WebIdentity,
    LambdaExecEnv,
    EcsExecEnv,
    SsoSession,
    SourceIdentity,
    BearerToken,
    KnownBrowser,
    InteractiveFactor,
    DeviceFingerprint,
    ApiToken,
    NonUserActor,
    ClientCredentials,
    PrivateKeyJwt,
    Interactive,
    NonInteractive,
    DeviceId,
    ServicePrincipal,
    ManagedIdentity,
    FederatedCredential,
    Ropc,
    GcloudInteractive,
    GoogleCloudShell,
    InteractiveExec,
    LeaderElection,
    OauthApp,
    PersonAuth,
    MachineAuth,
    Delegated,
}

/// A set of flow words.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) struct Flow(u64);

impl Flow {
    /// Adds `word` if the fact holds.
    pub(super) fn set(&mut self, word: FlowWord, holds: bool) {
        self.0 |= u64::from(holds) << word as u8;
    }

    pub(super) fn has(self, word: FlowWord) -> bool {
        self.0 & (1 << word as u8) != 0
    }

    fn write(self, out: &mut String) {
        let mut left = self.0;
        while left != 0 {
            let (word, _) = FLOW_WORDS[left.trailing_zeros() as usize];
            if !out.is_empty() {
                out.push(' ');
            }
            out.push_str(word);
            left &= left - 1;
        }
    }
}

/// Members of the column `outcome`.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    Success,
    Failure,
    Denied,
    Throttled,
    Rejected,
    #[default]
    Unknown,
}

impl Outcome {
    fn name(self) -> &'static str {
        match self {
            Self::Success => "success",
            Self::Failure => "failure",
            Self::Denied => "denied",
            Self::Throttled => "throttled",
            Self::Rejected => "rejected",
            Self::Unknown => "unknown",
        }
    }

    /// What an HTTP status says; 0 is what gateways write where no answer was sent.
    pub(super) fn of_http(status: i64) -> Self {
        match status {
            100..=399 => Self::Success,
            401 | 403 => Self::Denied,
            429 => Self::Throttled,
            400..=499 => Self::Rejected,
            500..=599 => Self::Failure,
            _ => Self::Unknown,
        }
    }
}

/// Members of the column `principal_kind`.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) enum PrincipalKind {
    Human,
    Workload,
    Role,
    AwsService,
    Root,
    Unknown,
    #[default]
    None,
}

impl PrincipalKind {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Human => "human",
            Self::Workload => "workload",
            Self::Role => "role",
            Self::AwsService => "aws_service",
            Self::Root => "root",
            Self::Unknown => "unknown",
            Self::None => "none",
        }
    }
}

/// Members of the column `credential_kind`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum CredentialKind {
    StaticKey,
    RoleSession,
    Console,
    ApiToken,
    Session,
    ServicePrincipalKey,
    ServicePrincipal,
    UserObject,
    GatewayKey,
    ServiceAccountKey,
    Principal,
    VaultAccessor,
}

impl CredentialKind {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::StaticKey => "static_key",
            Self::RoleSession => "role_session",
            Self::Console => "console",
            Self::ApiToken => "api_token",
            Self::Session => "session",
            Self::ServicePrincipalKey => "service_principal_key",
            Self::ServicePrincipal => "service_principal",
            Self::UserObject => "user_object",
            Self::GatewayKey => "gateway_key",
            Self::ServiceAccountKey => "service_account_key",
            Self::Principal => "principal",
            Self::VaultAccessor => "vault_accessor",
        }
    }
}

/// Text of one or two parts, written `first:second`; absent where `first` is "".
#[derive(Debug, Default, Clone)]
pub(super) struct Joined<'r> {
    pub(super) first: Cow<'r, str>,
    pub(super) second: &'r str,
}

impl<'r> Joined<'r> {
    pub(super) fn one(first: &'r str) -> Self {
        Self { first: Cow::Borrowed(first), second: "" }
    }

    pub(super) fn two(first: &'r str, second: &'r str) -> Self {
        Self { first: Cow::Borrowed(first), second }
    }
}

/// The credential of an event.
#[derive(Debug, Clone)]
pub(super) struct Credential<'r> {
    pub(super) kind: CredentialKind,
    /// What identifies it, raw.
    pub(super) secret: Joined<'r>,
    /// How far it leaves open who used it: 1, or less where the session names a person.
    pub(super) attribution: f64,
}

impl<'r> Credential<'r> {
    /// A credential that names nobody; none where there is nothing to identify it by.
    pub(super) fn new(kind: CredentialKind, secret: Joined<'r>) -> Option<Self> {
        (!secret.first.is_empty()).then_some(Self { kind, secret, attribution: 1.0 })
    }
}

/// One event, borrowed; "" is absent. Meanings: [`crate::schema::EVENT_COLUMNS`].
#[derive(Debug, Default, Clone)]
pub(super) struct Fields<'r> {
    /// Microseconds since 1970.
    pub(super) event_time: i64,
    pub(super) event_id: &'r str,
    pub(super) action: Joined<'r>,
    pub(super) outcome: Outcome,
    pub(super) status_code: Option<i64>,
    pub(super) error: &'r str,
    pub(super) principal: Cow<'r, str>,
    pub(super) principal_kind: PrincipalKind,
    pub(super) session_name: &'r str,
    pub(super) credential: Option<Credential<'r>>,
    /// Raw, like the credential's.
    pub(super) token: &'r str,
    /// Raw, like the credential's.
    pub(super) issued: &'r str,
    pub(super) source_ip: &'r str,
    pub(super) user_agent: &'r str,
    pub(super) flow: Flow,
    pub(super) host: Cow<'r, str>,
    pub(super) route: &'r str,
    pub(super) account: &'r str,
    pub(super) region: &'r str,
    pub(super) namespace: &'r str,
    pub(super) environment: &'r str,
    pub(super) target: &'r str,
    pub(super) model: &'r str,
    pub(super) tool: &'r str,
    pub(super) consumer: &'r str,
    pub(super) peer: &'r str,
    pub(super) trace_id: &'r str,
}

/// What a row has besides the event's own facts.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place<'s> {
    /// Packed position.
    pub(super) position: i64,
    /// Name of the source.
    pub(super) source: &'s str,
    /// Name of the format.
    pub(super) format: &'s str,
    /// Account for formats whose records do not name one.
    pub(super) account: &'s str,
}

/// Builders of all event columns.
#[derive(Default)]
pub(super) struct Columns {
    event_time: TimestampMicrosecondBuilder,
    position: Int64Builder,
    source: Dict,
    format: Dict,
    event_id: StringBuilder,
    action: Dict,
    outcome: Dict,
    status_code: Int64Builder,
    error: Dict,
    principal: Dict,
    principal_kind: Dict,
    session_name: Dict,
    credential_kind: Dict,
    credential_secret: Dict,
    token_secret: Dict,
    issued_secret: Dict,
    credential_attribution: Float64Builder,
    source_ip: Dict,
    user_agent: Dict,
    flow: Dict,
    host: Dict,
    route: Dict,
    account: Dict,
    region: Dict,
    namespace: Dict,
    environment: Dict,
    target: Dict,
    model: Dict,
    tool: Dict,
    consumer: Dict,
    peer: Dict,
    trace_id: StringBuilder,
    /// Reused for joined text.
    joined: String,
    cut_fields: u64,
}

impl Columns {
    /// Appends one row.
    pub(super) fn append(&mut self, place: Place<'_>, fields: &Fields<'_>) {
        self.append_place(place, fields);
        self.append_identity(fields);
        let cut = &mut self.cut_fields;
        append(&mut self.source_ip, fields.source_ip, cut);
        append(&mut self.user_agent, fields.user_agent, cut);
        append(&mut self.host, &fields.host, cut);
        append(&mut self.route, fields.route, cut);
        let account = if fields.account.is_empty() { place.account } else { fields.account };
        append(&mut self.account, account, cut);
        append(&mut self.region, fields.region, cut);
        append(&mut self.namespace, fields.namespace, cut);
        append(&mut self.environment, fields.environment, cut);
        append(&mut self.target, fields.target, cut);
        append(&mut self.model, fields.model, cut);
        append(&mut self.tool, fields.tool, cut);
        append(&mut self.consumer, fields.consumer, cut);
        append(&mut self.peer, fields.peer, cut);
        append_text(&mut self.trace_id, fields.trace_id, cut);
    }

    fn append_place(&mut self, place: Place<'_>, fields: &Fields<'_>) {
        self.event_time.append_value(fields.event_time);
        self.position.append_value(place.position);
        self.source.append_value(place.source);
        self.format.append_value(place.format);
        append_text(&mut self.event_id, fields.event_id, &mut self.cut_fields);
        append_joined(&mut self.action, &fields.action, &mut self.joined, &mut self.cut_fields);
        self.outcome.append_value(fields.outcome.name());
        self.status_code.append_option(fields.status_code);
        append(&mut self.error, fields.error, &mut self.cut_fields);
    }

    fn append_identity(&mut self, fields: &Fields<'_>) {
        let cut = &mut self.cut_fields;
        append(&mut self.principal, &fields.principal, cut);
        self.principal_kind.append_value(fields.principal_kind.name());
        append(&mut self.session_name, fields.session_name, cut);
        append(&mut self.token_secret, fields.token, cut);
        append(&mut self.issued_secret, fields.issued, cut);
        match &fields.credential {
            Some(credential) => {
                self.credential_kind.append_value(credential.kind.name());
                append_joined(&mut self.credential_secret, &credential.secret, &mut self.joined, cut);
                self.credential_attribution.append_value(credential.attribution);
            }
            None => {
                self.credential_kind.append_null();
                self.credential_secret.append_null();
                self.credential_attribution.append_null();
            }
        }
        self.joined.clear();
        fields.flow.write(&mut self.joined);
        append(&mut self.flow, &self.joined, cut);
    }

    /// Rows so far.
    pub(super) fn rows(&self) -> usize {
        self.event_time.len()
    }

    /// The rows so far as a batch, and how many fields were cut in them; leaves the builders empty.
    pub(super) fn finish(&mut self) -> (EventBatch, u64) {
        let arrays: Vec<ArrayRef> = vec![
            Arc::new(self.event_time.finish()),
            Arc::new(self.position.finish()),
            Arc::new(self.source.finish()),
            Arc::new(self.format.finish()),
            Arc::new(self.event_id.finish()),
            Arc::new(self.action.finish()),
            Arc::new(self.outcome.finish()),
            Arc::new(self.status_code.finish()),
            Arc::new(self.error.finish()),
            Arc::new(self.principal.finish()),
            Arc::new(self.principal_kind.finish()),
            Arc::new(self.session_name.finish()),
            Arc::new(self.credential_kind.finish()),
            Arc::new(self.credential_secret.finish()),
            Arc::new(self.token_secret.finish()),
            Arc::new(self.issued_secret.finish()),
            Arc::new(self.credential_attribution.finish()),
            Arc::new(self.source_ip.finish()),
            Arc::new(self.user_agent.finish()),
            Arc::new(self.flow.finish()),
            Arc::new(self.host.finish()),
            Arc::new(self.route.finish()),
            Arc::new(self.account.finish()),
            Arc::new(self.region.finish()),
            Arc::new(self.namespace.finish()),
            Arc::new(self.environment.finish()),
            Arc::new(self.target.finish()),
            Arc::new(self.model.finish()),
            Arc::new(self.tool.finish()),
            Arc::new(self.consumer.finish()),
            Arc::new(self.peer.finish()),
            Arc::new(self.trace_id.finish()),
        ];
        let batch = RecordBatch::try_new(EVENT_SCHEMA.clone(), arrays)
            .expect("builders are listed in the schema's order with its types");
        let batch = EventBatch::new(batch).expect("built from this very schema");
        (batch, std::mem::take(&mut self.cut_fields))
    }
}

fn append(column: &mut Dict, value: &str, cut: &mut u64) {
    if value.is_empty() {
        column.append_null();
    } else {
        column.append_value(clip(value, cut));
    }
}

fn append_text(column: &mut StringBuilder, value: &str, cut: &mut u64) {
    if value.is_empty() {
        column.append_null();
    } else {
        column.append_value(clip(value, cut));
    }
}

fn append_joined(column: &mut Dict, value: &Joined<'_>, scratch: &mut String, cut: &mut u64) {
    if value.second.is_empty() {
        return append(column, &value.first, cut);
    }
    scratch.clear();
    scratch.push_str(head(&value.first));
    scratch.push(':');
    scratch.push_str(head(value.second));
    append(column, scratch, cut);
}

/// Of a part of a text more than is kept of the whole, so that the whole is still cut and counted: what a record
/// of many events says once, however long, is not copied whole into each of them.
pub(super) fn head(part: &str) -> &str {
    &part[..part.floor_char_boundary(2 * FIELD_BYTES_MAX)]
}

fn clip<'v>(value: &'v str, cut: &mut u64) -> &'v str {
    if value.len() <= FIELD_BYTES_MAX {
        return value;
    }
    *cut += 1;
    &value[..value.floor_char_boundary(FIELD_BYTES_MAX)]
}

#[cfg(test)]
mod tests {
    use arrow::array::{Array, AsArray};
    use arrow::datatypes::Int32Type;

    use super::*;

    #[test]
    fn flow_words_are_written_in_table_order() {
        let mut flow = Flow::default();
        flow.set(FlowWord::Ropc, true);
        flow.set(FlowWord::Mfa, true);
        flow.set(FlowWord::ConsoleLogin, true);
        flow.set(FlowWord::ApiToken, false);
        let mut text = String::new();
        flow.write(&mut text);
        assert_eq!(text, "console_login mfa ropc");
        assert_eq!(FlowWord::Delegated as usize + 1, FLOW_WORDS.len());
    }

    #[test]
    fn long_field_is_cut_at_a_character_boundary_and_counted() {
        let mut columns = Columns::default();
        let long = "é".repeat(FIELD_BYTES_MAX);
        let agent = format!("x{long}");
        let fields = Fields { user_agent: &agent, ..Fields::default() };
        let place = Place { position: 7, source: "s", format: "okta", account: "org" };
        columns.append(place, &fields);
        let (batch, cut) = columns.finish();
        assert_eq!(cut, 1);
        let column = batch.record_batch().column_by_name("user_agent").unwrap();
        let values = column.as_dictionary::<Int32Type>().values().as_string::<i32>();
        assert_eq!(values.value(0).len(), FIELD_BYTES_MAX - 1);
        assert_eq!(values.len(), 1);
    }
}
