//! HashiCorp Vault audit device logs. In: one line, of a request or of its response. Out: one event each. Only
//! responses tell the outcome and count as a use of the credential: on requests the outcome is unknown and there
//! is no credential, or everything would count twice. Secrets are HMACs here already; data is never read.
//!
//! <https://developer.hashicorp.com/vault/docs/audit/schema>,
//! <https://developer.hashicorp.com/vault/docs/concepts/tokens#token-accessors>

use std::borrow::Cow;

use serde::Deserialize;

use super::RejectReason;
use super::columns::{Credential, CredentialKind, Fields, Flow, FlowWord, Joined, Outcome, PrincipalKind};
use super::format::{Family, Layout, Row};
use super::json::{self, First, Nested, Refusal, Text, first_of};
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
}

/// Methods by which workloads sign in, and by which people do: the default names of their mounts, with which
/// display names begin.
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
    let method = Method::of(name, request.mount_type.get());
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
    let issued = issued_auth(line).map_or("", |auth| auth.accessor.get());
    let own = line.auth.object().map_or("", |auth| auth.accessor.get());
    let own = if issued.is_empty() { own } else { "" };
    let accessor = first_of(&[request.client_token_accessor.get(), own]);
    Fields {
        outcome: outcome(line.error.get()),
        credential: Credential::new(CredentialKind::VaultAccessor, Joined::one(accessor)),
        token: accessor,
        issued,
        ..asked(line, request)
    }
}

fn issued_auth<'r, 'a>(line: &'r Line<'a>) -> Option<&'r Auth<'a>> {
    line.response.object().and_then(|response| response.auth.object())
}

/// Errors are texts; these words of them are Vault's own.
fn outcome(error: &str) -> Outcome {
    let says = |words: &[&str]| words.iter().any(|word| error.contains(word));
    match error {
        "" => Outcome::Success,
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
    /// By the display name, `<mount>-<name>`, else by the type of the mount that is being logged in at.
    fn of(display_name: &str, mount_type: &str) -> Self {
        let name = first_of(&[display_name, mount_type]);
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
