//! Google Workspace activities (Admin SDK Reports API). In: one activity, raw with `events[]`, or split by an
//! exporter so that the one event's fields stand at the top and its parameters are an object. Out: one event for
//! each of its events, all or none of them. The parameters' values are read only where a column holds them.
//!
//! <https://developers.google.com/workspace/admin/reports/reference/rest/v1/activities/list>,
//! <https://developers.google.com/workspace/admin/reports/v1/appendix/activity/login>,
//! <https://developers.google.com/workspace/admin/reports/v1/appendix/activity/saml>,
//! <https://developers.google.com/workspace/admin/reports/v1/appendix/activity/token>

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::{fmt, mem};

use serde::Deserialize;
use serde::de::{Deserializer, SeqAccess, Visitor};

use super::RejectReason;
use super::columns::{
    Credential, CredentialKind, Fields, Flow, FlowWord, Joined, Outcome, PrincipalKind, head,
};
use super::format::{Family, Layout, Row};
use super::json::{self, First, Items, Nested, Raw, Refusal, Text, first_of};
use super::time;

pub(super) const LAYOUT: Layout = Layout {
    name: "google_workspace",
    family: Family::Identity,
    signatures: &[&["admin#reports#activity\""], &["\"applicationName\"", "\"actor\""]],
    read,
};

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
struct Activity<'a> {
    #[serde(borrow)]
    id: Nested<'a, Id<'a>>,
    actor: Nested<'a, Actor<'a>>,
    ip_address: Text<'a>,
    events: Option<Raw<'a>>,
    name: Text<'a>,
    r#type: Text<'a>,
    parameters: Option<Raw<'a>>,
}

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
struct Id<'a> {
    #[serde(borrow)]
    time: Text<'a>,
    unique_qualifier: Text<'a>,
    application_name: Text<'a>,
    customer_id: Text<'a>,
}

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
struct Actor<'a> {
    #[serde(borrow)]
    email: Text<'a>,
    profile_id: Text<'a>,
    caller_type: Text<'a>,
    key: Text<'a>,
}

/// The profile id of every actor that has none.
const PLACEHOLDER_PROFILE: &str = "105250506097979753968";

impl Actor<'_> {
    fn profile_id(&self) -> &str {
        let id = self.profile_id.get();
        if id == PLACEHOLDER_PROFILE { "" } else { id }
    }
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Event<'a> {
    #[serde(borrow)]
    name: Text<'a>,
    r#type: Text<'a>,
    parameters: Option<Raw<'a>>,
}

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
struct Parameter<'a> {
    #[serde(borrow)]
    name: Text<'a>,
    value: Text<'a>,
    int_value: Text<'a>,
    bool_value: Text<'a>,
    multi_value: First<Text<'a>>,
}

/// The parameters of a list that say something, by name. The others take no memory: an empty one is written in
/// two bytes.
struct Listed<'a>(Vec<(String, Text<'a>)>);

/// One event with its parameters by name.
struct Told<'a> {
    event: Event<'a>,
    parameters: Vec<(String, Text<'a>)>,
}

impl Told<'_> {
    fn get(&self, name: &str) -> &str {
        self.parameters.iter().find(|(known, _)| known == name).map_or("", |(_, value)| value.get())
    }
}

/// Appends after everything was read, so that a bad event cannot leave half an activity behind.
fn read(text: &str, row: &mut Row<'_>) -> Result<(), Refusal> {
    let mut activity: Activity<'_> = json::parse(text)?;
    let (raw, told) = events(&mut activity)?;
    let Some(id) = activity.id.object().filter(|id| !id.application_name.get().is_empty()) else {
        return Err(Refusal::new(
            RejectReason::UnknownFormat,
            "no id.applicationName: not a Workspace activity",
        ));
    };
    let event_time = event_time(id)?;
    if told.iter().any(|told| told.event.name.get().is_empty()) {
        return Err(Refusal::new(RejectReason::MissingField, "events[].name or name"));
    }
    for (index, told) in told.iter().enumerate() {
        let event_id = event_id(id, raw, index);
        row.append(&Fields { event_time, event_id: &event_id, ..fields(&activity, id, told) });
    }
    Ok(())
}

/// The activity's events, and whether they stood in a list.
fn events<'a>(activity: &mut Activity<'a>) -> Result<(bool, Vec<Told<'a>>), Refusal> {
    let Some(list) = activity.events.filter(|events| events.0.starts_with('[')) else {
        let (name, r#type) = (mem::take(&mut activity.name), mem::take(&mut activity.r#type));
        return Ok((false, vec![told(Event { name, r#type, parameters: activity.parameters })?]));
    };
    let items: Items<'a> = json::parse(list.0)?;
    if items.overflowed {
        return Err(Refusal::new(RejectReason::EnvelopeTooLarge, "events: more than the bound"));
    }
    if items.elements.is_empty() {
        return Err(Refusal::new(RejectReason::MissingField, "events"));
    }
    let one = |text: &&'a str| {
        let event = json::parse(text);
        told(event.map_err(|_| Refusal::new(RejectReason::BadField, "events: not a list of objects"))?)
    };
    Ok((true, items.elements.iter().map(one).collect::<Result<_, _>>()?))
}

/// Raw activities list their parameters, split ones have an object of them.
fn told(event: Event<'_>) -> Result<Told<'_>, Refusal> {
    let text = event.parameters.map_or("", |raw| raw.0);
    let parameters = match text.as_bytes().first() {
        Some(b'[') => json::parse::<Listed<'_>>(text)?.0,
        Some(b'{') => {
            let map: BTreeMap<String, Raw<'_>> = json::parse(text)?;
            map.into_iter().map(|(name, value)| Ok((name, word(value)?))).collect::<Result<_, Refusal>>()?
        }
        Some(_) | None => Vec::new(),
    };
    Ok(Told { event, parameters })
}

fn listed<'a>(parameter: Nested<'a, Parameter<'a>>) -> Option<(String, Text<'a>)> {
    let Nested::Object(Parameter { name, value, int_value, bool_value, multi_value }) = parameter else {
        return None;
    };
    let values = [Some(value), Some(int_value), Some(bool_value), multi_value.0];
    let value = values.into_iter().flatten().find(|value| !value.get().is_empty())?;
    Some((name.get().to_owned(), value))
}

impl<'de: 'a, 'a> Deserialize<'de> for Listed<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_seq(ListedVisitor)
    }
}

struct ListedVisitor;

impl<'de> Visitor<'de> for ListedVisitor {
    type Value = Listed<'de>;

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("an array")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Listed<'de>, A::Error> {
        let mut parameters = Vec::new();
        while let Some(parameter) = seq.next_element()? {
            parameters.extend(listed(parameter));
        }
        Ok(Listed(parameters))
    }
}

/// A value, or the first of several.
fn word(value: Raw<'_>) -> Result<Text<'_>, Refusal> {
    if value.0.starts_with('[') {
        return json::parse::<First<Text<'_>>>(value.0).map(|first| first.0.unwrap_or_default());
    }
    json::parse(value.0)
}

fn event_time(id: &Id<'_>) -> Result<i64, Refusal> {
    let text = id.time.get();
    if text.is_empty() {
        return Err(Refusal::new(RejectReason::MissingField, "id.time"));
    }
    time::micros(text).ok_or_else(|| Refusal::new(RejectReason::BadField, "id.time: not a time"))
}

/// The qualifier names the activity; an event in a list has its place besides.
fn event_id(id: &Id<'_>, raw: bool, index: usize) -> String {
    match id.unique_qualifier.get() {
        "" => String::new(),
        qualifier if raw => format!("{}:{index}", head(qualifier)),
        qualifier => qualifier.to_owned(),
    }
}

/// All but the time and the id.
fn fields<'r>(activity: &'r Activity<'_>, id: &'r Id<'_>, told: &'r Told<'_>) -> Fields<'r> {
    let actor = activity.actor.object();
    let outcome = outcome(told);
    let who = actor.map_or("", |a| first_of(&[a.email.get(), a.profile_id(), a.key.get()]));
    let kind = principal_kind(actor, who);
    Fields {
        action: Joined::two(id.application_name.get(), told.event.name.get()),
        outcome,
        error: if outcome == Outcome::Success { "" } else { failure(told) },
        principal: Cow::Borrowed(who),
        principal_kind: kind,
        credential: (outcome == Outcome::Success).then(|| credential(actor, kind)).flatten(),
        source_ip: activity.ip_address.get(),
        user_agent: told.get("user_agent"),
        flow: flow(id, told, outcome),
        account: id.customer_id.get(),
        target: target(told),
        consumer: told.get("client_id"),
        ..Fields::default()
    }
}

/// Why a login failed, of Google's own and of SAML.
fn failure<'r>(told: &'r Told<'_>) -> &'r str {
    first_of(&[told.get("login_failure_type"), told.get("failure_type")])
}

/// What is written was done, but for what says that it failed, was blocked, or only warns.
fn outcome(told: &Told<'_>) -> Outcome {
    let name = told.event.name.get().to_ascii_lowercase();
    let challenge = told.get("login_challenge_status").to_ascii_lowercase();
    if name == "login_failure" || name.ends_with("_blocked") || challenge.contains("failed") {
        return Outcome::Denied;
    }
    if name.ends_with("_failed") || name.ends_with("_failure") {
        return Outcome::Rejected;
    }
    if told.event.r#type.get().ends_with("_warning") || name.ends_with("_warning") {
        return Outcome::Unknown;
    }
    Outcome::Success
}

/// KEY is a robot account or two-legged OAuth; many applications name no caller type for people.
fn principal_kind(actor: Option<&Actor<'_>>, who: &str) -> PrincipalKind {
    match actor.map_or("", |a| a.caller_type.get()) {
        _ if who.is_empty() => PrincipalKind::None,
        _ if who.ends_with(".gserviceaccount.com") => PrincipalKind::Workload,
        "KEY" | "APPLICATION" => PrincipalKind::Workload,
        "USER" | "" => PrincipalKind::Human,
        _ => PrincipalKind::Unknown,
    }
}

/// A person's account, by the id that outlives a renaming; else the robot's own name.
fn credential<'r>(actor: Option<&'r Actor<'_>>, kind: PrincipalKind) -> Option<Credential<'r>> {
    let actor = actor?;
    let id = first_of(&[actor.profile_id(), actor.email.get()]);
    match kind {
        PrincipalKind::Workload => {
            let robot = first_of(&[actor.key.get(), id]);
            Credential::new(CredentialKind::ServicePrincipal, Joined::one(robot))
        }
        PrincipalKind::Human
        | PrincipalKind::Role
        | PrincipalKind::AwsService
        | PrincipalKind::Root
        | PrincipalKind::Unknown
        | PrincipalKind::None => Credential::new(CredentialKind::UserObject, Joined::one(id)),
    }
}

/// Parameters that name what was acted on, the narrower first.
const TARGETS: [&str; 7] = [
    "app_name",
    "doc_id",
    "calendar_id",
    "application_name",
    "APPLICATION_NAME",
    "USER_EMAIL",
    "SETTING_NAME",
];

fn target<'r>(told: &'r Told<'_>) -> &'r str {
    first_of(&TARGETS.map(|name| told.get(name)))
}

/// A challenge of "none" or the password alone is no second factor.
fn flow(id: &Id<'_>, told: &Told<'_>, outcome: Outcome) -> Flow {
    let (application, name) = (id.application_name.get(), told.event.name.get());
    let login = application == "login" && name == "login_success" && outcome == Outcome::Success;
    let method = told.get("login_challenge_method");
    let factor = !matches!(method, "" | "none" | "password" | "other");
    let mut flow = Flow::default();
    flow.set(FlowWord::Interactive, login && told.get("login_type") != "exchange");
    flow.set(FlowWord::InteractiveFactor, application == "login" && factor && outcome == Outcome::Success);
    flow.set(FlowWord::OauthApp, application == "token" && name == "activity");
    flow
}
