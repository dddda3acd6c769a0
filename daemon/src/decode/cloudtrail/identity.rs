//! Who a CloudTrail record says acted, with which credential, and how it was obtained.
//!
//! In: a record. Out: the identity part of [`Fields`]. The key of a credential is the long-lived access key,
//! else the session's issuer and name; never the rotating ASIA... key.

use std::borrow::Cow;

use super::record::{AdditionalEventData, Claims, Record, RequestParameters, SessionContext, UserIdentity};
use crate::decode::arn;
use crate::decode::columns::{
    Credential, CredentialKind, Fields, Flow, FlowWord, Joined, Outcome, PrincipalKind,
};
use crate::decode::json::first_of;

/// Providers of tokens that people sign in with; any other one issues tokens to workloads. Cognito is documented
/// as `cognito-identity.amazon.com` and calls itself `cognito-identity.amazonaws.com`.
const CONSUMER_PROVIDERS: [&str; 4] =
    ["accounts.google.com", "graph.facebook.com", "www.amazon.com", "cognito-identity.amazon"];
/// Account ids of a caller that AWS did not authenticate.
const ANONYMOUS: [&str; 2] = ["anonymous", "ANONYMOUS_PRINCIPAL"];
/// Written in place of a name that nobody has: a person may have typed a password there.
const HIDDEN_NAME: &str = "HIDDEN_DUE_TO_SECURITY_REASONS";
/// The session names a person: the finding is worth a fifth.
const ATTRIBUTION_NAMED: f64 = 0.2;
/// A delegation names a person.
const ATTRIBUTION_DELEGATED: f64 = 0.3;

/// Fills the identity columns.
pub(super) fn fill<'r>(record: &'r Record<'_>, fields: &mut Fields<'r>) {
    let Some(user) = record.user_identity.object() else {
        fields.account = record.recipient_account_id.get();
        fields.source_ip = record.source_ip_address.get();
        return;
    };
    if is_nobody(user) {
        return fill_from_token(record, fields);
    }
    let session = Session::of(user);
    let by_service = is_service(record, user, &session);
    fields.account = first_of(&[record.recipient_account_id.get(), user.account_id.get()]);
    fields.flow = flow(record, user, &session);
    fields.session_name = session.label();
    fields.principal_kind = kind(user, &session, fields.flow, by_service);
    fields.principal = principal(user, &session);
    if by_service {
        return;
    }
    fields.source_ip = record.source_ip_address.get();
    fields.token = first_of(&[session_key(user), user.credential_id.get()]);
    if !is_failed_sign_in(record, fields.outcome) {
        fields.credential = credential(user, &session, fields.flow);
    }
}

fn is_nobody(user: &UserIdentity<'_>) -> bool {
    let anonymous = ANONYMOUS.contains(&user.account_id.get()) || user.user_name.get() == HIDDEN_NAME;
    anonymous && user.principal_id.get().is_empty()
}

/// AWS knows nobody; AgentCore gateways know the subject of the token that their own authoriser accepted.
fn fill_from_token<'r>(record: &'r Record<'_>, fields: &mut Fields<'r>) {
    fields.account = record.recipient_account_id.get();
    fields.source_ip = record.source_ip_address.get();
    let Some(claims) = record.additional_event_data.object().and_then(AdditionalEventData::claims) else {
        return;
    };
    let Claims { iss, sub, jti } = claims;
    fields.principal = Cow::Borrowed(sub.get());
    fields.principal_kind = PrincipalKind::Unknown;
    fields.token = jti.get();
    fields.credential = Credential::new(CredentialKind::Principal, Joined::two(sub.get(), iss.get()));
}

/// Whoever failed to sign in did not use the credential.
fn is_failed_sign_in(record: &Record<'_>, outcome: Outcome) -> bool {
    record.event_name.get() == "ConsoleLogin" && outcome != Outcome::Success
}

/// The role session of an event, empty for other identities.
struct Session<'r> {
    /// ARN of the role (or of the user, for federated users).
    issuer: Cow<'r, str>,
    name: &'r str,
    source_identity: &'r str,
    context: Option<&'r SessionContext<'r>>,
}

impl<'r> Session<'r> {
    fn of(user: &'r UserIdentity<'_>) -> Self {
        let context = user.session_context.object();
        let named = context.and_then(|c| c.session_issuer.object()).map_or("", |i| i.arn.get());
        let session_arn = user.arn.get();
        let issuer = match named {
            "" => arn::role_arn(session_arn).unwrap_or_default(),
            issuer => Cow::Borrowed(issuer),
        };
        let name = if issuer.is_empty() { "" } else { session_name(user) };
        let source_identity = context.map_or("", |c| c.source_identity.get());
        Self { issuer, name, source_identity, context }
    }

    /// The source identity outlives role chaining; the session name does not.
    fn label(&self) -> &'r str {
        first_of(&[self.source_identity, self.name])
    }

    fn role_name(&self) -> &str {
        self.issuer.rsplit('/').next().unwrap_or_default()
    }

    fn is_sso(&self) -> bool {
        self.role_name().starts_with("AWSReservedSSO_")
    }
}

/// After `:` in the principal id, else the last part of the session's ARN.
fn session_name<'r>(user: &'r UserIdentity<'_>) -> &'r str {
    let after_colon = user.principal_id.get().split_once(':').map_or("", |(_, name)| name);
    first_of(&[after_colon, arn::session_of(user.arn.get())])
}

/// AWS itself, or a service on behalf of somebody: never evidence of who holds a credential.
fn is_service(record: &Record<'_>, user: &UserIdentity<'_>, session: &Session<'_>) -> bool {
    let address = record.source_ip_address.get();
    user.r#type.get() == "AWSService"
        || !user.invoked_by.get().is_empty()
        || address.starts_with("AWS Internal")
        || address.ends_with(".amazonaws.com")
        || session.issuer.contains(":role/aws-service-role/")
        || session.role_name().starts_with("AWSServiceRoleFor")
}

fn kind(user: &UserIdentity<'_>, session: &Session<'_>, flow: Flow, by_service: bool) -> PrincipalKind {
    let console = flow.has(FlowWord::ConsoleLogin) || flow.has(FlowWord::ConsoleSession);
    match user.r#type.get() {
        _ if by_service => PrincipalKind::AwsService,
        "Root" => PrincipalKind::Root,
        "AssumedRole" | "Role" => PrincipalKind::Role,
        "FederatedUser" => PrincipalKind::Unknown,
        "IdentityCenterUser" | "SAMLUser" => PrincipalKind::Human,
        "WebIdentityUser" if flow.has(FlowWord::WebIdentity) => PrincipalKind::Workload,
        "IAMUser" if console => PrincipalKind::Human,
        _ if !session.issuer.is_empty() => PrincipalKind::Role,
        _ => PrincipalKind::Unknown,
    }
}

fn principal<'r>(user: &'r UserIdentity<'_>, session: &Session<'r>) -> Cow<'r, str> {
    if !session.issuer.is_empty() {
        return session.issuer.clone();
    }
    let delegate = user.on_behalf_of.object().map_or("", |o| o.user_id.get());
    Cow::Borrowed(first_of(&[
        user.arn.get(),
        delegate,
        user.principal_id.get(),
        user.user_name.get(),
        user.invoked_by.get(),
        user.account_id.get(),
    ]))
}

fn credential<'r>(user: &'r UserIdentity<'_>, session: &Session<'r>, flow: Flow) -> Option<Credential<'r>> {
    let (key, arn) = (user.access_key_id.get(), user.arn.get());
    if is_long_lived(key) {
        return Credential::new(CredentialKind::StaticKey, Joined::one(key));
    }
    if !session.issuer.is_empty() {
        return role_session(user, session);
    }
    let delegate = user.on_behalf_of.object().map_or("", |o| o.user_id.get());
    match user.r#type.get() {
        "SAMLUser" | "WebIdentityUser" => None,
        "IdentityCenterUser" => Credential::new(CredentialKind::UserObject, Joined::one(delegate)),
        "AWSAccount" => Credential::new(CredentialKind::RoleSession, Joined::one(user.principal_id.get())),
        _ if flow.has(FlowWord::BearerToken) => Credential::new(CredentialKind::ApiToken, Joined::one(arn)),
        _ if flow.has(FlowWord::ConsoleLogin) || flow.has(FlowWord::ConsoleSession) => {
            Credential::new(CredentialKind::Console, Joined::one(arn))
        }
        _ => Credential::new(CredentialKind::Session, Joined::one(arn)),
    }
}

/// `AKIA...`, unless masked: then it is nobody's key.
fn is_long_lived(key: &str) -> bool {
    key.starts_with("AKIA") && key.bytes().all(|b| b.is_ascii_alphanumeric())
}

/// `ASIA...`: rotates with the session, and is what AssumeRole said it gave out.
fn session_key<'r>(user: &'r UserIdentity<'_>) -> &'r str {
    let key = user.access_key_id.get();
    if key.starts_with("ASIA") { key } else { "" }
}

fn role_session<'r>(user: &UserIdentity<'_>, session: &Session<'r>) -> Option<Credential<'r>> {
    let secret = Joined { first: session.issuer.clone(), second: session.label() };
    let mut credential = Credential::new(CredentialKind::RoleSession, secret)?;
    let delegated = user.on_behalf_of.object().is_some_and(|o| !o.user_id.get().is_empty());
    credential.attribution = match () {
        () if !session.source_identity.is_empty() || session.is_sso() => ATTRIBUTION_NAMED,
        () if delegated => ATTRIBUTION_DELEGATED,
        () => 1.0,
    };
    Some(credential)
}

fn flow(record: &Record<'_>, user: &UserIdentity<'_>, session: &Session<'_>) -> Flow {
    let additional = record.additional_event_data.object();
    let mfa_in_session =
        session.context.and_then(|c| c.attributes.object()).is_some_and(|a| a.mfa_authenticated.is_set());
    let mfa_at_sign_in = additional.is_some_and(AdditionalEventData::used_mfa);
    let delivery = session.context.map_or("", |c| c.ec2_role_delivery.get());
    let mut flow = Flow::default();
    flow.set(FlowWord::ConsoleLogin, record.event_name.get() == "ConsoleLogin");
    flow.set(FlowWord::ConsoleSession, record.session_credential_from_console.is_set());
    flow.set(FlowWord::Mfa, mfa_in_session || mfa_at_sign_in);
    flow.set(FlowWord::Ec2RoleDelivery, !delivery.is_empty());
    flow.set(FlowWord::InstanceSession, is_instance(session.name));
    flow.set(FlowWord::WebIdentity, is_workload_token(user, session));
    flow.set(FlowWord::SsoSession, session.is_sso() || user.r#type.get() == "SAMLUser");
    flow.set(FlowWord::SourceIdentity, !session.source_identity.is_empty());
    flow.set(FlowWord::BearerToken, is_by_bearer_token(record));
    set_execution_environment(&mut flow, record.user_agent.get(), user);
    flow
}

fn is_by_bearer_token(record: &Record<'_>) -> bool {
    let additional = record.additional_event_data.object();
    let parameters: Option<&RequestParameters<'_>> = record.request_parameters.object();
    additional.is_some_and(|a| a.call_with_bearer_token.is_set())
        || parameters.is_some_and(|p| p.call_with_bearer_token.is_set())
}

/// SDKs and the CLI write `exec-env/<AWS_EXECUTION_ENV>` into their user agent.
fn set_execution_environment(flow: &mut Flow, user_agent: &str, user: &UserIdentity<'_>) {
    let issuer_type = user.in_scope_of.object().map_or("", |scope| scope.issuer_type.get());
    let environment = user_agent.split_once("exec-env/").map_or("", |(_, rest)| rest);
    flow.set(FlowWord::CloudShell, environment.starts_with("CloudShell"));
    let lambda = environment.starts_with("AWS_Lambda") || issuer_type.contains("Lambda");
    flow.set(FlowWord::LambdaExecEnv, lambda);
    flow.set(FlowWord::EcsExecEnv, environment.starts_with("AWS_ECS"));
}

/// `i-` and eight or seventeen hex digits: the name that EC2 gives to an instance's session.
fn is_instance(session_name: &str) -> bool {
    session_name
        .strip_prefix("i-")
        .is_some_and(|id| matches!(id.len(), 8 | 17) && id.bytes().all(|b| b.is_ascii_hexdigit()))
}

fn is_workload_token(user: &UserIdentity<'_>, session: &Session<'_>) -> bool {
    let federation = session.context.and_then(|c| c.web_id_federation_data.object());
    let mut provider = federation.map_or("", |f| f.federated_provider.get());
    if user.r#type.get() == "WebIdentityUser" {
        provider = first_of(&[user.identity_provider.get(), provider]);
    }
    !provider.is_empty() && !CONSUMER_PROVIDERS.iter().any(|consumer| provider.contains(consumer))
}

impl AdditionalEventData<'_> {
    fn used_mfa(&self) -> bool {
        self.mfa_used.get().eq_ignore_ascii_case("yes")
    }
}
