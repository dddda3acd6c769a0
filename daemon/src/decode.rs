//! From payload bytes to events: one file a format, no generic JSON tree.
//!
//! In: a [`RawBatch`]. Out: an [`EventBatch`] and the rejects, which together account for everything that
//! came in. Bad input is never an error and never takes a neighbour down.

pub mod dedupe;

use crate::ingest::Position;

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
    /// Stub.
    pub fn name(self) -> &'static str {
        "x"
    }
    /// Stub.
    pub fn parse(_: &str) -> Option<Self> {
        None
    }
    /// Stub.
    pub fn is_audit_or_identity(self) -> bool {
        true
    }
}
impl RejectReason {
    /// Stub.
    pub const ALL: [Self; 1] = [Self::Empty];
    /// Stub.
    pub fn name(self) -> &'static str {
        "x"
    }
}
/// Stub.
#[derive(Debug, Clone)]
pub struct SourceSpec {
    /// S
    pub name: String,
    /// S
    pub format: Option<Format>,
    /// S
    pub account: Option<String>,
    /// S
    pub dedupe: bool,
}
/// Stub.
pub struct Decoder;
/// Stub.
pub struct Decoded {
    /// S
    pub events: crate::schema::EventBatch,
    /// S
    pub rejects: Vec<Reject>,
    /// S
    pub cut_fields: u64,
    /// S
    pub content_hashes: Vec<u64>,
}
impl Decoder {
    /// S
    pub fn new(_: Vec<Option<SourceSpec>>) -> Self {
        Self
    }
    /// S
    pub fn decode(&mut self, _: &crate::ingest::RawBatch) -> Decoded {
        panic!()
    }
}
