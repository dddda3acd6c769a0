//! HashiCorp Vault audit device logs. In: one line, of a request or of its response. Out: one event each. Only
//! responses tell the outcome and count as a use of the credential: on requests the outcome is unknown and there
//! is no credential, or everything would count twice. Secrets are HMACs here already; data is never read.
//!
//! <https://developer.hashicorp.com/vault/docs/audit/schema>, audit/types.go in hashicorp/vault on GitHub,
//! <https://developer.hashicorp.com/vault/docs/concepts/response-wrapping>,
//! <https://developer.hashicorp.com/vault/docs/concepts/tokens#token-accessors>

use std::borrow::Cow;

use serde::Deserialize;

use super::RejectReason;
use super::columns::{Credential, CredentialKind, Fields, Flow, FlowWord, Joined, Outcome, PrincipalKind};
use super::format::{Family, Layout, Row};
use super::json::{self, First, Flag, Nested, Refusal, Text, first_of};
use super::{http, time};

pub(super) const LAYOUT: Layout = Layout {
    name: "vault_audit",
    family: Family::Identity,
    signatures: &[&["\"request\"", "\"operation\"", "\"path\"", "\"type\"", "\"time\""]],
    read,
};

#[derive(Deserialize, Default)]
#[serde(default)]
struct Line<'a> {
    #[serde(borrow)]
    time: Text<'a>,
    r#type: Text<'a>,
    error: Text<'a>,
    auth: Nested<'a, Auth<'a>>,
    request: Nested<'a, Request<'a>>,
    response: Nested<'a, Response<'a>>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Auth<'a> {
    #[serde(borrow)]
    accessor: Text<'a>,
    entity_id: Text<'a>,
    display_name: Text<'a>,
    metadata: Nested<'a, Metadata<'a>>,
    policy_results: Nested<'a, PolicyResults>,
}

/// What methods say of who signed in; every method has fields of its own.
#[derive(Deserialize, Default)]
#[serde(default)]
struct Metadata<'a> {
    /// Kubernetes.
    #[serde(borrow)]
    service_account_name: Text<'a>,
    /// AppRole.
    role_name: Text<'a>,
    /// Certificates.
    cert_name: Text<'a>,
    /// Passwords, LDAP, GitHub.
    username: Text<'a>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct PolicyResults {
    allowed: Flag,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Request<'a> {
    #[serde(borrow)]
    id: Text<'a>,
    operation: Text<'a>,
    path: Text<'a>,
    mount_point: Text<'a>,
    mount_type: Text<'a>,
    mount_class: Text<'a>,
    client_token_accessor: Text<'a>,
    remote_address: Text<'a>,
    namespace: Nested<'a, Namespace<'a>>,
    headers: Nested<'a, Headers<'a>>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Namespace<'a> {
    #[serde(borrow)]
    id: Text<'a>,
    path: Text<'a>,
}

/// Only what the operator configured; each header is a list of values.
#[derive(Deserialize, Default)]
#[serde(default)]
struct Headers<'a> {
    #[serde(borrow, rename = "user-agent", alias = "User-Agent")]
    user_agent: First<Text<'a>>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Response<'a> {
    #[serde(borrow)]
    auth: Nested<'a, Auth<'a>>,
    wrap_info: Nested<'a, WrapInfo<'a>>,
}

/// In place of an answer that was wrapped: the accessor of the token that unwraps it, and of a token inside.
#[derive(Deserialize, Default)]
#[serde(default)]
struct WrapInfo<'a> {
    #[serde(borrow)]
    accessor: Text<'a>,
    wrapped_accessor: Text<'a>,
}

/// Types of methods by which workloads sign in, and by which people do. They are the default names of their mounts
/// too, with which display names begin; `jwt` and `token` may be either's.
const MACHINE_METHODS: [&str; 9] =
    ["approle", "kubernetes", "aws", "azure", "gcp", "cert", "alicloud", "cf", "oci"];
const PERSON_METHODS: [&str; 7] = ["userpass", "ldap", "oidc", "okta", "github", "radius", "saml"];

fn read(text: &str, row: &mut Row<'_>) -> Result<(), Refusal> {
    let line: Line<'_> = json::parse(text)?;
    let response = match line.r#type.get() {
        "response" => true,
        "request" => false,
        _ => return Err(Refusal::new(RejectReason::UnknownFormat, "type: neither request nor response")),
    };
    let Some(request) = line.request.object() else {
        return Err(Refusal::new(RejectReason::MissingField, "request"));
    };
    let event_time = event_time(&line)?;
    let event_id = match request.id.get() {
        "" => String::new(),
        id => format!("{id}:{}", line.r#type.get()),
    };
    let fields = if response { answered(&line, request) } else { asked(&line, request) };
    row.append(&Fields { event_time, event_id: &event_id, ..fields });
    Ok(())
}

fn event_time(line: &Line<'_>) -> Result<i64, Refusal> {
    let text = line.time.get();
    if text.is_empty() {
        return Err(Refusal::new(RejectReason::MissingField, "time"));
    }
    time::micros(text).ok_or_else(|| Refusal::new(RejectReason::BadField, "time: not a time"))
}

/// What a request line says: everything but outcome and credential.
fn asked<'r>(line: &'r Line<'_>, request: &'r Request<'_>) -> Fields<'r> {
    let new = issued_auth(line);
    let told = |pick: fn(&'r Auth<'_>) -> &'r str| {
        first_of(&[line.auth.object().map_or("", pick), new.map_or("", pick)])
    };
    let name = told(|auth| auth.display_name.get());
    let method = Method::of(request, [line.auth.object(), new], name);
    let namespace = request.namespace.object();
    let agent = request.headers.object().and_then(|h| h.user_agent.0.as_ref());
    let who = first_of(&[told(|auth| auth.entity_id.get()), name]);
    Fields {
        action: Joined::two(request.operation.get(), mount(request)),
        error: complaint(line.error.get()),
        principal: Cow::Borrowed(who),
        principal_kind: if who.is_empty() { PrincipalKind::None } else { method.principal_kind(name) },
        source_ip: http::without_port(request.remote_address.get()),
        user_agent: agent.map_or("", Text::get),
        flow: method.flow(),
        namespace: namespace.map_or("", |n| first_of(&[n.path.get().trim_end_matches('/'), n.id.get()])),
        target: request.path.get(),
        trace_id: request.id.get(),
        ..Fields::default()
    }
}

/// What its response adds. The accessor in the answer to a login is the new token's: nothing presented it.
fn answered<'r>(line: &'r Line<'_>, request: &'r Request<'_>) -> Fields<'r> {
    let own = line.auth.object().map_or("", |auth| auth.accessor.get());
    let own = if new_token(line).is_empty() { own } else { "" };
    let accessor = first_of(&[request.client_token_accessor.get(), own]);
    Fields {
        outcome: outcome(line),
        credential: Credential::new(CredentialKind::VaultAccessor, Joined::one(accessor)),
        token: accessor,
        issued: first_of(&[new_token(line), wrap_info(line).map_or("", |wrap| wrap.accessor.get())]),
        ..asked(line, request)
    }
}

fn issued_auth<'r, 'a>(line: &'r Line<'a>) -> Option<&'r Auth<'a>> {
    line.response.object().and_then(|response| response.auth.object())
}

/// The token that a login made, wrapped or not.
fn new_token<'r>(line: &'r Line<'_>) -> &'r str {
    let open = issued_auth(line).map_or("", |auth| auth.accessor.get());
    first_of(&[open, wrap_info(line).map_or("", |wrap| wrap.wrapped_accessor.get())])
}

fn wrap_info<'r, 'a>(line: &'r Line<'a>) -> Option<&'r WrapInfo<'a>> {
    line.response.object().and_then(|response| response.wrap_info.object())
}

/// Policies refuse in so many words. Other errors are texts; these words of them are Vault's own.
fn outcome(line: &Line<'_>) -> Outcome {
    let error = line.error.get();
    let says = |words: &[&str]| words.iter().any(|word| error.contains(word));
    let policy = line.auth.object().and_then(|auth| auth.policy_results.object());
    match error {
        "" => Outcome::Success,
        _ if policy.is_some_and(|p| p.allowed == Flag(Some(false))) => Outcome::Denied,
        _ if says(&["permission denied", "invalid credentials", "missing client token"]) => Outcome::Denied,
        _ if says(&["rate limit", "lease count quota"]) => Outcome::Throttled,
        _ if says(&["internal error", "Vault is sealed", "context deadline"]) => Outcome::Failure,
        _ => Outcome::Rejected,
    }
}

/// `1 error occurred:\n\t* permission denied\n\n` without what is around it.
fn complaint(error: &str) -> &str {
    error.rsplit("* ").next().unwrap_or_default().trim()
}

/// Where the path's engine or method is mounted: newer versions tell it, else the path's first segment, two
/// below `auth/`.
fn mount<'r>(request: &'r Request<'_>) -> &'r str {
    let told = request.mount_point.get().trim_end_matches('/');
    let path = request.path.get();
    let segments = if path.starts_with("auth/") { 2 } else { 1 };
    let end = path.match_indices('/').nth(segments - 1).map_or(path.len(), |(at, _)| at);
    first_of(&[told, &path[..end]])
}

/// Who signs in by the method that made the token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Method {
    Machine,
    Person,
    Unknown,
}

impl Method {
    /// By the type of the method that is being logged in at, which Vault tells; else by what the method said of the
    /// caller; else by the display name, `<mount>-<name>`, which is a guess: it fails where a mount has another
    /// name than its method.
    fn of(request: &Request<'_>, auths: [Option<&Auth<'_>>; 2], display_name: &str) -> Self {
        let told = if request.mount_class.get() == "auth" { request.mount_type.get() } else { "" };
        match Self::named(told) {
            Self::Unknown => {}
            method => return method,
        }
        let mut metadata = auths.into_iter().flatten().filter_map(|auth| auth.metadata.object());
        match metadata.find_map(Metadata::method) {
            Some(method) => method,
            None => Self::named(display_name),
        }
    }

    /// `<method>` or `<method>-<name>`.
    fn named(name: &str) -> Self {
        let begins = |method: &&str| {
            name.strip_prefix(*method).is_some_and(|rest| rest.is_empty() || rest.starts_with('-'))
        };
        if MACHINE_METHODS.iter().any(begins) {
            return Self::Machine;
        }
        if PERSON_METHODS.iter().any(begins) { Self::Person } else { Self::Unknown }
    }

    fn principal_kind(self, display_name: &str) -> PrincipalKind {
        match self {
            Self::Machine => PrincipalKind::Workload,
            Self::Person => PrincipalKind::Human,
            Self::Unknown if display_name == "root" => PrincipalKind::Root,
            Self::Unknown => PrincipalKind::Unknown,
        }
    }

    fn flow(self) -> Flow {
        let mut flow = Flow::default();
        flow.set(FlowWord::PersonAuth, self == Self::Person);
        flow.set(FlowWord::MachineAuth, self == Self::Machine);
        flow
    }
}

impl Metadata<'_> {
    fn method(&self) -> Option<Method> {
        let machine = [&self.service_account_name, &self.role_name, &self.cert_name];
        if machine.iter().any(|field| !field.get().is_empty()) {
            return Some(Method::Machine);
        }
        (!self.username.get().is_empty()).then_some(Method::Person)
    }
}
