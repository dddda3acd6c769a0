//! From payload bytes to events: one file a format, no generic JSON tree.
//!
//! In: a [`RawBatch`]. Out: an [`EventBatch`] and the rejects, which together account for everything that
//! came in: every message gives at least one event or one reject. Bad input is never an error and never takes
//! a neighbour down. Duplicates are not removed here; each event carries a hash to find them by.

pub mod dedupe;
mod apigee;
mod apisix;
mod arn;
mod auth0;
mod aws_api_gateway;
mod azure_activity;
mod azure_apim;
mod bedrock_invocation;
mod cloudflare_ai_gateway;
mod cloudtrail;
mod columns;
mod entra;
mod envelope;
mod envoy;
mod format;
mod gcp_audit;
mod google_workspace;
mod http;
mod inflate;
mod json;
mod keycloak;
mod kong;
mod kubernetes_audit;
mod litellm;
mod loose;
mod nginx;
mod ocsf;
mod okta;
mod own_layout;
mod redact;
mod time;
mod traefik;
mod vault_audit;

use std::sync::Arc;

use serde::de::IgnoredAny;
use xxhash_rust::xxh3::xxh3_64_with_seed;

pub use columns::FLOW_WORDS;
pub use format::{Family, Format};
pub use own_layout::OwnLayout;
pub use redact::{RejectedPayload, redact};

use crate::ingest::{Position, RawBatch, payload_hash};
use crate::limits::{
    BATCH_BYTES_MAX, BATCH_OUTCOMES_MAX, ENVELOPE_EVENTS_MAX, ENVELOPE_LEVELS_MAX, MESSAGE_BYTES_MAX,
};
use crate::schema::EventBatch;
use columns::{Columns, Place};
use envelope::Content;
use format::Row;
use json::{Items, Refusal};

/// Why something was not decoded: a closed set, also the metric label.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RejectReason {
    /// The message has no payload, or is an envelope of no events.
    Empty,
    /// Over MESSAGE_BYTES_MAX, or over INFLATED_BYTES_MAX once inflated.
    TooLarge,
    /// Nested deeper than JSON_DEPTH_MAX.
    TooDeep,
    /// Compressed with gzip, and damaged or cut off.
    BadGzip,
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
    /// A field has a form that cannot be read (time, number) or stands twice.
    BadField,
    /// More events in a message than ENVELOPE_EVENTS_MAX.
    EnvelopeTooLarge,
}

impl RejectReason {
    /// The reason of that name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|reason| reason.name() == name)
    }

    /// Every reason.
    pub const ALL: [Self; 11] = [
        Self::Empty,
        Self::TooLarge,
        Self::TooDeep,
        Self::BadGzip,
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
            Self::BadGzip => "bad_gzip",
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

/// One thing that was not decoded: a message, or one event of an envelope.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reject {
    /// The message it was in.
    pub position: Position,
    /// Index of the event in its envelope, 0 for a bare message.
    pub index: u32,
    /// Name of its source; empty where the config has none for its topic.
    pub source: String,
    /// Why.
    pub reason: RejectReason,
    /// What exactly, for a person: the field and the finding, never a value.
    pub detail: String,
    /// The format that it has or is expected to have, where that is known.
    pub format: Option<Format>,
    /// xxh3-64 of the whole message, to know it again.
    pub message_hash: u64,
    /// xxh3-64 of the JSON that was rejected, as [`Decoded::content_hashes`]: of one event of an envelope, its own.
    pub content_hash: u64,
    /// The payload, of which only a masked text of at most QUARANTINE_PAYLOAD_BYTES_MAX can be had.
    pub payload: RejectedPayload,
}

/// What the messages of one topic are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SourceFormat {
    /// Of whichever format: found out message by message.
    Auto,
    /// Of this one.
    Known(Format),
    /// In a layout of the user's own.
    Own(Arc<OwnLayout>),
}

impl SourceFormat {
    /// The one format of these messages, where that is said and is none of the user's own.
    pub fn known(&self) -> Option<Format> {
        match self {
            Self::Known(format) => Some(*format),
            Self::Auto | Self::Own(_) => None,
        }
    }
}

impl From<Option<Format>> for SourceFormat {
    /// `None` finds out.
    fn from(format: Option<Format>) -> Self {
        format.map_or(Self::Auto, Self::Known)
    }
}

/// What the config says of one topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceSpec {
    /// Name in the column `source`.
    pub name: String,
    /// What its messages are.
    pub format: SourceFormat,
    /// Fills the column `account` where a record names none.
    pub account: Option<String>,
    /// Whether later stages drop events with a known id and content.
    pub dedupe: bool,
}

/// What became of one [`RawBatch`].
#[derive(Debug)]
pub struct Decoded {
    /// One row an event, in message order, in an envelope's order.
    pub events: EventBatch,
    /// What gave no event.
    pub rejects: Vec<Reject>,
    /// Text fields cut at FIELD_BYTES_MAX.
    pub cut_fields: u64,
    /// xxh3-64 of each event's own JSON, one a row: the same however it was wrapped. Rows of one record that
    /// holds several events differ by the seed, their place in it.
    pub content_hashes: Vec<u64>,
}

/// Decodes batches. Keeps builders between batches, and the format last seen on each topic.
pub struct Decoder {
    sources: Vec<Option<SourceSpec>>,
    last_formats: Vec<Option<Format>>,
    columns: Columns,
    content_hashes: Vec<u64>,
    rejects: Vec<Reject>,
    inflated: Inflated,
}

/// Room for one inflated message, and how much was inflated since events were last given out.
#[derive(Default)]
struct Inflated {
    text: Vec<u8>,
    bytes: usize,
}

impl Decoder {
    /// `sources` by the topic number of [`Position`]; a message of a topic without one is rejected.
    pub fn new(sources: Vec<Option<SourceSpec>>) -> Self {
        Self {
            last_formats: vec![None; sources.len()],
            sources,
            columns: Columns::default(),
            content_hashes: Vec::new(),
            rejects: Vec::new(),
            inflated: Inflated::default(),
        }
    }

    /// Decodes every message of `batch`.
    pub fn decode(&mut self, batch: &RawBatch) -> Decoded {
        batch
            .messages
            .iter()
            .for_each(|message| self.decode_message(message.position, batch.payload(message)));
        self.finish()
    }

    /// Decodes messages of `batch` from number `first` on, and says with which to go on: fewer than all where
    /// what compressed ones inflate to is as much as a batch may hold, or what came of them is.
    pub fn decode_from(&mut self, batch: &RawBatch, first: usize) -> (Decoded, usize) {
        let mut next = first;
        while next < batch.messages.len() && self.has_room() {
            let message = &batch.messages[next];
            self.decode_message(message.position, batch.payload(message));
            next += 1;
        }
        (self.finish(), next)
    }

    fn has_room(&self) -> bool {
        let outcomes = self.columns.rows() + self.rejects.len();
        self.inflated.bytes < BATCH_BYTES_MAX && outcomes < BATCH_OUTCOMES_MAX
    }

    fn decode_message(&mut self, position: Position, payload: &[u8]) {
        let topic = usize::from(position.topic);
        let mut pass = MessagePass {
            source: self.sources.get(topic).and_then(Option::as_ref),
            last_format: self.last_formats.get(topic).copied().flatten(),
            refused_by: None,
            position,
            index: 0,
            overflowed: false,
            columns: &mut self.columns,
            content_hashes: &mut self.content_hashes,
            rejects: &mut self.rejects,
            inflated: &mut self.inflated,
        };
        let known = pass.rejects.len();
        pass.decode(payload);
        let seen = pass.last_format;
        if self.rejects.len() > known {
            let message_hash = payload_hash(payload);
            self.rejects[known..].iter_mut().for_each(|reject| reject.message_hash = message_hash);
        }
        if let Some(last) = self.last_formats.get_mut(topic) {
            *last = seen;
        }
    }

    fn finish(&mut self) -> Decoded {
        self.inflated.bytes = 0;
        self.inflated.text.shrink_to(BATCH_BYTES_MAX);
        let (events, cut_fields) = self.columns.finish();
        Decoded {
            events,
            cut_fields,
            rejects: std::mem::take(&mut self.rejects),
            content_hashes: std::mem::take(&mut self.content_hashes),
        }
    }
}

/// One message on its way into the columns.
struct MessagePass<'d> {
    source: Option<&'d SourceSpec>,
    last_format: Option<Format>,
    /// The format whose record the value at hand is, though not a whole one.
    refused_by: Option<Format>,
    position: Position,
    /// Of the next event or reject in the message.
    index: u32,
    /// More than ENVELOPE_EVENTS_MAX were in it: the rest is one reject.
    overflowed: bool,
    columns: &'d mut Columns,
    content_hashes: &'d mut Vec<u64>,
    rejects: &'d mut Vec<Reject>,
    inflated: &'d mut Inflated,
}

/// What one JSON value turned out to be.
enum Value<'t> {
    /// An event, whose row was appended; or several that share one record.
    Event,
    /// Something that wraps others.
    Envelope(Content<'t>),
}

impl MessagePass<'_> {
    fn decode(&mut self, payload: &[u8]) {
        if payload.len() > MESSAGE_BYTES_MAX {
            let refusal = Refusal::new(RejectReason::TooLarge, "message over the bound");
            return self.reject(&refusal, payload);
        }
        if inflate::is_gzip(payload) {
            return self.decode_gzip(payload);
        }
        match std::str::from_utf8(payload) {
            Ok(text) => self.decode_value(text.trim_ascii(), 0),
            Err(_) => self.reject(&Refusal::new(RejectReason::NotUtf8, "message: not UTF-8"), payload),
        }
    }

    /// What a sender compressed may be several JSON values: see [`inflate`].
    fn decode_gzip(&mut self, payload: &[u8]) {
        let mut bytes = std::mem::take(&mut self.inflated.text);
        bytes.clear();
        let outcome = inflate::inflate(payload, &mut bytes);
        self.inflated.bytes += bytes.len();
        match (outcome, std::str::from_utf8(&bytes)) {
            (Ok(()), Ok(text)) => self.decode_sequence(text.trim_ascii()),
            (Ok(()), Err(_)) => {
                self.reject(&Refusal::new(RejectReason::NotUtf8, "inflated message: not UTF-8"), &bytes);
            }
            (Err(refusal), _) => self.reject(&refusal, &bytes),
        }
        self.inflated.text = bytes;
    }

    fn decode_sequence(&mut self, mut text: &str) {
        loop {
            let (value, rest) = inflate::split_first(text);
            self.decode_value(value.trim_ascii_end(), 0);
            text = rest.trim_ascii_start();
            if text.is_empty() || self.overflowed {
                return;
            }
        }
    }

    fn decode_value(&mut self, text: &str, level: usize) {
        if self.index as usize >= ENVELOPE_EVENTS_MAX {
            return self.overflow(text);
        }
        match self.read_value(text) {
            Ok(Value::Event) => {
                let rows = self.columns.rows() - self.content_hashes.len();
                for row in 0..rows as u64 {
                    self.content_hashes.push(xxh3_64_with_seed(text.as_bytes(), row));
                    self.index += 1;
                }
            }
            Ok(Value::Envelope(_)) if level >= ENVELOPE_LEVELS_MAX => {
                let refusal = Refusal::new(RejectReason::TooDeep, "envelopes in envelopes");
                self.reject(&refusal, text.as_bytes());
            }
            Ok(Value::Envelope(Content::Items(items))) => self.decode_items(&items, text, level),
            Ok(Value::Envelope(Content::Written(inner))) => self.decode_value(&inner, level + 1),
            Err(refusal) => self.reject(&refusal, text.as_bytes()),
        }
    }

    fn decode_items(&mut self, items: &Items<'_>, text: &str, level: usize) {
        let refusal = if items.overflowed {
            Refusal::new(RejectReason::EnvelopeTooLarge, "envelope of more events than the bound")
        } else if items.elements.is_empty() {
            Refusal::new(RejectReason::Empty, "envelope of no events")
        } else {
            return items.elements.iter().for_each(|element| self.decode_value(element, level + 1));
        };
        self.reject(&refusal, text.as_bytes());
    }

    /// Of what is beyond the bound the first value stands for all.
    fn overflow(&mut self, text: &str) {
        if !std::mem::replace(&mut self.overflowed, true) {
            let refusal =
                Refusal::new(RejectReason::EnvelopeTooLarge, "message of more events than the bound");
            self.reject(&refusal, text.as_bytes());
        }
    }

    fn read_value<'t>(&mut self, text: &'t str) -> Result<Value<'t>, Refusal> {
        self.refused_by = None;
        let Some(source) = self.source else {
            return Err(Refusal::new(RejectReason::UnknownFormat, "topic without a source in the config"));
        };
        if text.is_empty() {
            return Err(Refusal::new(RejectReason::Empty, "no payload"));
        }
        if envelope::is_obvious(text)
            && let Some(content) = envelope::open(text)?
        {
            return Ok(Value::Envelope(content));
        }
        let refusal = match self.read_record(text, source) {
            Ok(()) => return Ok(Value::Event),
            Err(refusal) => refusal,
        };
        if refusal.reason == RejectReason::UnknownFormat
            && let Some(content) = envelope::open(text)?
        {
            return Ok(Value::Envelope(content));
        }
        Err(refusal)
    }

    /// Appends the event that `text` is in the source's format, or in whichever wants it.
    fn read_record(&mut self, text: &str, source: &SourceSpec) -> Result<(), Refusal> {
        match &source.format {
            SourceFormat::Auto => self.read_as_likely(text, source),
            SourceFormat::Known(format) => self.read_as(*format, text, source),
            SourceFormat::Own(layout) => {
                let place = self.place(layout.name(), source);
                layout.read(text, &mut Row { place, columns: self.columns })
            }
        }
    }

    /// Tries the format of the message before, then others whose names `text` holds; the first of all says why none wants it.
    fn read_as_likely(&mut self, text: &str, source: &SourceSpec) -> Result<(), Refusal> {
        let last = self.last_format;
        let mut refused: Option<(Format, Refusal)> = None;
        let others = Format::all().filter(|format| Some(*format) != last);
        for format in last.into_iter().chain(others).filter(|format| format.is_likely(text)) {
            match self.read_as(format, text, source) {
                Err(refusal) if refusal.reason == RejectReason::UnknownFormat => {
                    let first = refused.take().filter(|(by, _)| *by < format);
                    refused = first.or(Some((format, refusal)));
                }
                outcome => {
                    self.last_format = Some(format);
                    self.refused_by = Some(format);
                    return outcome;
                }
            }
        }
        json::check_depth(text)?;
        json::parse::<IgnoredAny>(text)?;
        let unknown = Refusal::new(RejectReason::UnknownFormat, "no known format's field names");
        Err(refused.map_or(unknown, |(_, refusal)| refusal))
    }

    fn read_as(&mut self, format: Format, text: &str, source: &SourceSpec) -> Result<(), Refusal> {
        let place = self.place(format.name(), source);
        format.read(text, &mut Row { place, columns: self.columns })
    }

    fn place<'s>(&self, format: &'s str, source: &'s SourceSpec) -> Place<'s> {
        Place {
            position: self.position.pack(),
            source: &source.name,
            format,
            account: source.account.as_deref().unwrap_or_default(),
        }
    }

    fn reject(&mut self, refusal: &Refusal, payload: &[u8]) {
        self.rejects.push(Reject {
            position: self.position,
            index: self.index,
            source: self.source.map(|source| source.name.clone()).unwrap_or_default(),
            reason: refusal.reason,
            detail: refusal.detail.to_string(),
            format: self.refused_by.or(self.source.and_then(|source| source.format.known())),
            message_hash: 0,
            content_hash: xxh3_64_with_seed(payload, 0),
            payload: RejectedPayload::new(payload),
        });
        self.index += 1;
    }
}

#[cfg(test)]
mod tests;
