//! Records in a layout of the user's own: API Gateway, NGINX and Envoy let operators choose every key.
//!
//! In: a [`LayoutConfig`] once, then one record at a time. Out: one event. The record is walked once, along the
//! mapped keys only; everything else is skipped unread. An object that a producer wrote as a JSON string is
//! looked into as well. Not every record must have every field, only the time.

use std::borrow::Cow;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::RejectReason;
use super::columns::{Credential, CredentialKind, Fields, Joined, Outcome, PrincipalKind};
use super::format::Row;
use super::http;
use super::json::{self, Flag, Number, Refusal, Text, TextVisitor, first_of};
use super::nginx;
use super::time;
use crate::config::layout::{LAYOUT_FIELDS, LayoutConfig, keys};

/// A layout, ready to read records.
pub struct OwnLayout {
    name: String,
    principal_kind: PrincipalKind,
    credential_kind: CredentialKind,
    root: Node,
    /// By the place of a field's name in [`LAYOUT_FIELDS`]: the slots it may be in, first come first.
    slots: Vec<Vec<usize>>,
    slots_count: usize,
}

/// A field of [`LAYOUT_FIELDS`], by its place.
#[derive(Debug, Clone, Copy)]
#[repr(u8)]
enum Fact {
    EventTime,
    EventId,
    Action,
    RequestLine,
    StatusCode,
    Success,
    Error,
    Principal,
    SessionName,
    Credential,
    Token,
    IssuedToken,
    SourceIp,
    ForwardedFor,
    UserAgent,
    Host,
    Route,
    Path,
    Url,
    Account,
    Region,
    Namespace,
    Environment,
    Target,
    Model,
    Tool,
    Consumer,
    Peer,
    TraceId,
    Traceparent,
}

/// What is wanted of one JSON value: itself, and values inside it.
#[derive(Default)]
struct Node {
    slot: Option<usize>,
    /// By key; of an array, by the index in digits. Few, so a search from the start is the fastest.
    inside: Vec<(String, Node)>,
}

impl OwnLayout {
    /// `layout` has passed the config's validation: what it rejects is skipped here.
    pub fn new(name: &str, layout: &LayoutConfig) -> Self {
        let mut map = Self {
            name: name.to_owned(),
            principal_kind: principal_kind(&layout.principal_kind),
            credential_kind: credential_kind(&layout.credential_kind),
            root: Node::default(),
            slots: vec![Vec::new(); LAYOUT_FIELDS.len()],
            slots_count: 0,
        };
        for (number, (field, _)) in LAYOUT_FIELDS.iter().enumerate() {
            for place in layout.fields.get(*field).map_or(&[][..], |places| places.all()) {
                if let Ok(keys) = keys(place) {
                    let slot = map.root.slot_at(&keys, &mut map.slots_count);
                    map.slots[number].push(slot);
                }
            }
        }
        map
    }

    /// The layout's name, which is also what the column `format` holds.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Appends the event that `text` is.
    pub(super) fn read(&self, text: &str, row: &mut Row<'_>) -> Result<(), Refusal> {
        nginx::read_repaired(text, row, |text, row| self.read_json(text, row))
    }

    fn read_json(&self, text: &str, row: &mut Row<'_>) -> Result<(), Refusal> {
        json::check_depth(text)?;
        let values = json::parse_seed(text, Collect { node: &self.root, slots_count: self.slots_count })?;
        row.append(&self.fields(&Record { map: self, values: &values })?);
        Ok(())
    }

    fn fields<'r>(&self, record: &Record<'r>) -> Result<Fields<'r>, Refusal> {
        let (method, target) = http::request_line(record.get(Fact::RequestLine));
        let (authority, url_path) = http::url_parts(record.get(Fact::Url));
        let path = first_of(&[record.get(Fact::Path), url_path, target]);
        let principal = record.get(Fact::Principal);
        let (status, outcome) = record.outcome()?;
        Ok(Fields {
            event_time: record.event_time()?,
            event_id: record.get(Fact::EventId),
            action: Joined::one(first_of(&[record.get(Fact::Action), method])),
            outcome,
            status_code: status,
            error: record.get(Fact::Error),
            principal: Cow::Borrowed(principal),
            principal_kind: if principal.is_empty() { PrincipalKind::None } else { self.principal_kind },
            session_name: record.get(Fact::SessionName),
            credential: Credential::new(self.credential_kind, Joined::one(record.get(Fact::Credential))),
            token: record.get(Fact::Token),
            issued: record.get(Fact::IssuedToken),
            source_ip: http::client(record.get(Fact::ForwardedFor), record.get(Fact::SourceIp)),
            user_agent: record.get(Fact::UserAgent),
            host: http::host(first_of(&[record.get(Fact::Host), authority])),
            route: first_of(&[record.get(Fact::Route), http::first_segments(path)]),
            account: record.get(Fact::Account),
            region: record.get(Fact::Region),
            namespace: record.get(Fact::Namespace),
            environment: record.get(Fact::Environment),
            target: record.get(Fact::Target),
            model: record.get(Fact::Model),
            tool: record.get(Fact::Tool),
            consumer: record.get(Fact::Consumer),
            peer: record.get(Fact::Peer),
            trace_id: first_of(&[
                record.get(Fact::TraceId),
                http::traceparent_id(record.get(Fact::Traceparent)),
            ]),
            ..Fields::default()
        })
    }
}

impl fmt::Debug for OwnLayout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("OwnLayout").field(&self.name).finish()
    }
}

/// Layouts of one config differ by name.
impl PartialEq for OwnLayout {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl Eq for OwnLayout {}

impl Node {
    /// The slot for what stands at `keys`, a new one where nothing was wanted there so far.
    fn slot_at(&mut self, keys: &[String], slots_count: &mut usize) -> usize {
        let mut node = self;
        for key in keys {
            let known = node.inside.iter().position(|(name, _)| name == key);
            let at = known.unwrap_or_else(|| {
                node.inside.push((key.clone(), Node::default()));
                node.inside.len() - 1
            });
            node = &mut node.inside[at].1;
        }
        *node.slot.get_or_insert_with(|| {
            *slots_count += 1;
            *slots_count - 1
        })
    }

    fn get(&self, key: &str) -> Option<&Self> {
        self.inside.iter().find(|(name, _)| name == key).map(|(_, node)| node)
    }
}

/// One of LAYOUT_PRINCIPAL_KINDS.
fn principal_kind(word: &str) -> PrincipalKind {
    let kinds = [PrincipalKind::Human, PrincipalKind::Workload, PrincipalKind::Role];
    kinds.into_iter().find(|kind| kind.name() == word).unwrap_or(PrincipalKind::Unknown)
}

/// One of LAYOUT_CREDENTIAL_KINDS.
fn credential_kind(word: &str) -> CredentialKind {
    let kinds = [
        CredentialKind::StaticKey,
        CredentialKind::ApiToken,
        CredentialKind::Session,
        CredentialKind::ServiceAccountKey,
        CredentialKind::Principal,
    ];
    kinds.into_iter().find(|kind| kind.name() == word).unwrap_or(CredentialKind::GatewayKey)
}

/// What one record holds of what is mapped.
struct Record<'r> {
    map: &'r OwnLayout,
    values: &'r [Text<'r>],
}

impl<'r> Record<'r> {
    /// The first of the field's places that holds something; "" where none does.
    fn get(&self, fact: Fact) -> &'r str {
        self.text(fact).map_or("", Text::get)
    }

    fn text(&self, fact: Fact) -> Option<&'r Text<'r>> {
        let slots = &self.map.slots[fact as usize];
        slots.iter().map(|slot| &self.values[*slot]).find(|value| !value.get().is_empty())
    }

    fn event_time(&self) -> Result<i64, Refusal> {
        let name = &self.map.name;
        let refusal =
            |reason, what: &str| Refusal { reason, detail: Cow::Owned(format!("layout {name}: {what}")) };
        if self.values.iter().all(|value| value.get().is_empty()) {
            return Err(refusal(RejectReason::UnknownFormat, "none of its fields"));
        }
        match self.get(Fact::EventTime) {
            "" => Err(refusal(RejectReason::MissingField, "event_time")),
            text => {
                time::micros(text).ok_or_else(|| refusal(RejectReason::BadField, "event_time: not a time"))
            }
        }
    }

    fn outcome(&self) -> Result<(Option<i64>, Outcome), Refusal> {
        let status = self.text(Fact::StatusCode).map_or(Number::Absent, Text::number);
        let outcome = http::outcome(status, "status_code: not a number")?;
        let success = self.text(Fact::Success).map_or(Flag(None), Text::flag);
        let outcome = match (outcome, success) {
            (Outcome::Unknown, Flag(Some(true))) => Outcome::Success,
            (Outcome::Unknown, Flag(Some(false))) => Outcome::Failure,
            (outcome, _) => outcome,
        };
        Ok((status.value(), outcome))
    }
}

/// What `node` wants of one JSON value, by slot.
#[derive(Clone, Copy)]
struct Collect<'m> {
    node: &'m Node,
    slots_count: usize,
}

impl<'t> DeserializeSeed<'t> for Collect<'_> {
    type Value = Vec<Text<'t>>;

    fn deserialize<D: Deserializer<'t>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        let mut values = Vec::new();
        values.resize_with(self.slots_count, Text::default);
        Walk { node: self.node, values: &mut values }.deserialize(deserializer)?;
        Ok(values)
    }
}

/// Collects what `node` wants of one JSON value.
struct Walk<'m, 'v, 't> {
    node: &'m Node,
    values: &'v mut [Text<'t>],
}

impl<'t> Walk<'_, '_, 't> {
    /// Which of two fields of one name is meant, nobody can say.
    fn keep<E: Error>(self, value: Text<'t>) -> Result<(), E> {
        let Some(slot) = self.node.slot else { return Ok(()) };
        if !self.values[slot].get().is_empty() {
            return Err(E::custom("duplicate field"));
        }
        self.values[slot] = value;
        Ok(())
    }

    /// Looks into the JSON object or array that a string holds. What looks like one and is none is only text.
    fn look_into(&mut self, written: &str) {
        let starts_as_json = written.trim_ascii_start().starts_with(['{', '[']);
        if self.node.inside.is_empty() || !starts_as_json || json::check_depth(written).is_err() {
            return;
        }
        let collect = Collect { node: self.node, slots_count: self.values.len() };
        if let Ok(found) = json::parse_seed(written, collect) {
            let found = found.into_iter().enumerate().filter(|(_, value)| !value.get().is_empty());
            found.for_each(|(slot, value)| self.values[slot] = value.into_owned());
        }
    }
}

impl<'t> DeserializeSeed<'t> for Walk<'_, '_, 't> {
    type Value = ();

    fn deserialize<D: Deserializer<'t>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'t> Visitor<'t> for Walk<'_, '_, 't> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_map<A: MapAccess<'t>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(wanted) = map.next_key_seed(Key(self.node))? {
            match wanted {
                Some(node) => map.next_value_seed(Walk { node, values: &mut *self.values })?,
                None => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'t>>(self, mut seq: A) -> Result<(), A::Error> {
        for index in 0_usize.. {
            let more = match self.node.get(&index.to_string()) {
                Some(node) => seq.next_element_seed(Walk { node, values: &mut *self.values })?.is_some(),
                None => seq.next_element::<IgnoredAny>()?.is_some(),
            };
            if !more {
                break;
            }
        }
        Ok(())
    }

    fn visit_borrowed_str<E: Error>(mut self, v: &'t str) -> Result<(), E> {
        self.look_into(v);
        TextVisitor.visit_borrowed_str(v).and_then(|text| self.keep(text))
    }

    fn visit_str<E: Error>(mut self, v: &str) -> Result<(), E> {
        self.look_into(v);
        TextVisitor.visit_str(v).and_then(|text| self.keep(text))
    }

    fn visit_bool<E: Error>(self, v: bool) -> Result<(), E> {
        TextVisitor.visit_bool(v).and_then(|text| self.keep(text))
    }

    fn visit_i64<E: Error>(self, v: i64) -> Result<(), E> {
        TextVisitor.visit_i64(v).and_then(|text| self.keep(text))
    }

    fn visit_u64<E: Error>(self, v: u64) -> Result<(), E> {
        TextVisitor.visit_u64(v).and_then(|text| self.keep(text))
    }

    fn visit_f64<E: Error>(self, v: f64) -> Result<(), E> {
        TextVisitor.visit_f64(v).and_then(|text| self.keep(text))
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        Ok(())
    }
}

/// What a node wants of the field of this name.
struct Key<'m>(&'m Node);

impl<'t, 'm> DeserializeSeed<'t> for Key<'m> {
    type Value = Option<&'m Node>;

    fn deserialize<D: Deserializer<'t>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<'m> Visitor<'_> for Key<'m> {
    type Value = Option<&'m Node>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a field's name")
    }

    fn visit_str<E: Error>(self, name: &str) -> Result<Self::Value, E> {
        Ok(self.0.get(name))
    }
}

#[cfg(test)]
mod tests;
