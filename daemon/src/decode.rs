//! From payload bytes to events: one file a format, no generic JSON tree.
//!
//! In: a [`RawBatch`]. Out: an [`EventBatch`] and the rejects, which together account for everything that
//! came in. Bad input is never an error and never takes a neighbour down.

mod cloudtrail;
mod columns;
pub mod dedupe;
mod entra;
mod envelope;
mod envoy;
mod json;
mod okta;
mod time;

use crate::ingest::{Position, RawBatch};
use crate::limits;
use crate::schema::EventBatch;
use columns::{Columns, Event};
use xxhash_rust::xxh3::xxh3_64;

/// A log format. `auto` is not one: it is a way to find one, message by message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Format {
    /// AWS CloudTrail: bare, `{"Records": [...]}`, EventBridge.
    CloudTrail,
    /// Envoy JSON access log.
    Envoy,
    /// Okta System Log.
    Okta,
    /// Microsoft Entra sign-in logs, all four categories.
    EntraSignIn,
}

/// Why something was not decoded: a closed set, also the metric label.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RejectReason {
    /// The message has no payload.
    Empty,
    /// Over MESSAGE_BYTES_MAX.
    TooLarge,
    /// Nested deeper than JSON_DEPTH_MAX.
    TooDeep,
    /// Not UTF-8.
    NotUtf8,
    /// Not one JSON value.
    NotJson,
    /// More bytes after the JSON value.
    TrailingBytes,
    /// JSON, but of no format the source may carry.
    UnknownFormat,
    /// A required field is missing.
    MissingField,
    /// A field has a form that cannot be read (time, number).
    BadField,
    /// More events than ENVELOPE_EVENTS_MAX.
    EnvelopeTooLarge,
}

/// One thing that was not decoded: a message, or one event of an envelope.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reject {
    /// The message it was in.
    pub position: Position,
    /// Index of the event in its envelope, 0 for a bare message.
    pub index: u32,
    /// Why.
    pub reason: RejectReason,
    /// What exactly, for a person: the field and the finding, never a value.
    pub detail: String,
    /// The payload with secrets masked, at most QUARANTINE_PAYLOAD_BYTES_MAX.
    pub payload: String,
}

impl Format {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::CloudTrail, Self::Envoy, Self::Okta, Self::EntraSignIn];

    /// The name in configs, events and metrics.
    pub fn name(self) -> &'static str {
        match self {
            Self::CloudTrail => "cloudtrail",
            Self::Envoy => "envoy",
            Self::Okta => "okta",
            Self::EntraSignIn => "entra_signin",
        }
    }

    /// Inverse of [`Format::name`].
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|f| f.name() == name)
    }

    /// Whether its events are redelivered with stable ids.
    pub fn is_audit_or_identity(self) -> bool {
        self != Self::Envoy
    }

    fn read(self, json: &str) -> Result<Event<'_>, Problem> {
        match self {
            Self::CloudTrail => cloudtrail::read(json),
            Self::Envoy => envoy::read(json),
            Self::Okta => okta::read(json),
            Self::EntraSignIn => entra::read(json),
        }
    }
}

impl RejectReason {
    /// All of them.
    pub const ALL: [Self; 10] = [
        Self::Empty,
        Self::TooLarge,
        Self::TooDeep,
        Self::NotUtf8,
        Self::NotJson,
        Self::TrailingBytes,
        Self::UnknownFormat,
        Self::MissingField,
        Self::BadField,
        Self::EnvelopeTooLarge,
    ];

    /// The metric label.
    pub fn name(self) -> &'static str {
        match self {
            Self::Empty => "empty",
            Self::TooLarge => "too_large",
            Self::TooDeep => "too_deep",
            Self::NotUtf8 => "not_utf8",
            Self::NotJson => "not_json",
            Self::TrailingBytes => "trailing_bytes",
            Self::UnknownFormat => "unknown_format",
            Self::MissingField => "missing_field",
            Self::BadField => "bad_field",
            Self::EnvelopeTooLarge => "envelope_too_large",
        }
    }
}

/// Why one event cannot be read.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Problem {
    reason: RejectReason,
    detail: String,
}

impl Problem {
    fn new(reason: RejectReason, detail: impl Into<String>) -> Self {
        Self { reason, detail: detail.into() }
    }

    fn missing(field: &str) -> Self {
        Self::new(RejectReason::MissingField, field)
    }

    fn bad(field: &str) -> Self {
        Self::new(RejectReason::BadField, field)
    }
}

impl From<serde_json::Error> for Problem {
    fn from(error: serde_json::Error) -> Self {
        let text = error.to_string();
        let reason = match error.classify() {
            serde_json::error::Category::Data => RejectReason::BadField,
            _ if text.starts_with("trailing characters") => RejectReason::TrailingBytes,
            _ => RejectReason::NotJson,
        };
        Self::new(reason, format!("line {} column {}", error.line(), error.column()))
    }
}

/// What a topic carries.
#[derive(Debug, Clone)]
pub struct SourceSpec {
    /// Name in events and evidence.
    pub name: String,
    /// `None`: found message by message.
    pub format: Option<Format>,
    /// What the records do not say: Okta's org.
    pub account: Option<String>,
    /// Whether repeats are dropped.
    pub dedupe: bool,
}

/// What a batch of messages held. Conservation: each message gave at least one event or reject.
pub struct Decoded {
    /// In message order.
    pub events: EventBatch,
    /// xxh3-64 of each event's own JSON.
    pub content_hashes: Vec<u64>,
    /// In message order.
    pub rejects: Vec<Reject>,
    /// Text fields cut at FIELD_BYTES_MAX.
    pub cut_fields: u64,
}

/// Decodes batches; remembers only which format a topic carried last.
pub struct Decoder {
    sources: Vec<Option<SourceSpec>>,
    last_formats: Vec<Option<Format>>,
    columns: Columns,
}

impl Decoder {
    /// `sources` by topic number; a topic without one is decoded as `auto`.
    pub fn new(sources: Vec<Option<SourceSpec>>) -> Self {
        Self { last_formats: vec![None; sources.len()], sources, columns: Columns::default() }
    }

    /// Decodes every message of a batch.
    pub fn decode(&mut self, batch: &RawBatch) -> Decoded {
        let mut rejects = Vec::new();
        let mut content_hashes = Vec::with_capacity(batch.messages.len());
        for message in &batch.messages {
            let payload = batch.payload(message);
            if let Err(problem) = self.message(message.position, payload, &mut content_hashes, &mut rejects) {
                rejects.push(reject(message.position, 0, problem, payload));
            }
        }
        let (events, cut_fields) = self.columns.finish();
        Decoded { events, content_hashes, rejects, cut_fields }
    }

    fn message(
        &mut self,
        position: Position,
        payload: &[u8],
        hashes: &mut Vec<u64>,
        rejects: &mut Vec<Reject>,
    ) -> Result<(), Problem> {
        let text = checked(payload)?;
        let topic = usize::from(position.topic);
        let source = self.sources.get(topic).and_then(Option::as_ref);
        let wanted = source.and_then(|s| s.format);
        let name = source.map_or("unknown", |s| s.name.as_str());
        let account = source.and_then(|s| s.account.as_deref());
        let last = &mut self.last_formats[topic];
        let columns = &mut self.columns;
        let mut index = 0;
        envelope::each(text, |json| {
            let read = envelope::format_of(json, wanted, *last).and_then(|format| {
                *last = Some(format);
                format.read(json).map(|event| (format, event))
            });
            match read {
                Ok((format, mut event)) => {
                    if event.account.is_none() {
                        event.account = account.map(Into::into);
                    }
                    columns.push(position.pack(), name, format.name(), &event);
                    hashes.push(xxh3_64(json.as_bytes()));
                }
                Err(problem) => rejects.push(reject(position, index, problem, json.as_bytes())),
            }
            index += 1;
        })
    }
}

fn reject(position: Position, index: u32, problem: Problem, payload: &[u8]) -> Reject {
    Reject { position, index, reason: problem.reason, detail: problem.detail, payload: redact(payload) }
}

fn checked(payload: &[u8]) -> Result<&str, Problem> {
    if payload.is_empty() {
        return Err(Problem::new(RejectReason::Empty, "no payload"));
    }
    if payload.len() > limits::MESSAGE_BYTES_MAX {
        return Err(Problem::new(RejectReason::TooLarge, format!("{} bytes", payload.len())));
    }
    if is_too_deep(payload) {
        return Err(Problem::new(RejectReason::TooDeep, format!("over {} levels", limits::JSON_DEPTH_MAX)));
    }
    std::str::from_utf8(payload)
        .map_err(|e| Problem::new(RejectReason::NotUtf8, format!("byte {}", e.valid_up_to())))
}

/// Few records open as many brackets as are allowed levels: only those are walked.
fn is_too_deep(payload: &[u8]) -> bool {
    if memchr::memchr2_iter(b'{', b'[', payload).nth(limits::JSON_DEPTH_MAX).is_none() {
        return false;
    }
    let (mut depth, mut in_string, mut escaped) = (0_usize, false, false);
    for byte in payload {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_string => escaped = true,
            b'"' => in_string = !in_string,
            b'{' | b'[' if !in_string => depth += 1,
            b'}' | b']' if !in_string => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth > limits::JSON_DEPTH_MAX {
            return true;
        }
    }
    false
}

/// The payload as it may be kept.
pub fn redact(payload: &[u8]) -> String {
    String::from_utf8_lossy(&payload[..payload.len().min(16)]).into_owned()
}
