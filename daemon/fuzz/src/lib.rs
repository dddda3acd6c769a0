//! What holds for every input, whatever it is.
//!
//! In: the name of a target and bytes. Out: nothing, or a panic where something does not hold. Nothing here
//! knows what a format means: inputs are judged by their outcome in other places, in other wrappings, again.

pub mod config {
    //! The one file of the daemon's room of this name that decode uses.
    pub mod layout;
}
pub mod decode;
pub mod ingest {
    //! The one file of the daemon's room of this name that decode uses.
    mod batch;
    pub use batch::{Checkpoint, Position, RawBatch, RawMessage, SourceNotice, payload_hash};
}
pub mod limits;
pub mod schema;

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::ops::Range;
use std::sync::Arc;

use crate::config::layout::{LAYOUT_FIELDS, LayoutConfig};
use crate::decode::{
    Decoded, Decoder, Format, OwnLayout, Reject, RejectReason, SourceFormat, SourceSpec, redact,
};
use crate::ingest::{Position, RawBatch};
use crate::limits::{FIELD_BYTES_MAX, INFLATED_BYTES_MAX, MESSAGE_BYTES_MAX, QUARANTINE_PAYLOAD_BYTES_MAX};
use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::{DataType, Int32Type};
use flate2::Compression;
use flate2::bufread::MultiGzDecoder;
use flate2::write::GzEncoder;
use peak_alloc::PeakAlloc;
use serde::de::IgnoredAny;
use serde_json::json;

#[global_allocator]
static ALLOCATED: PeakAlloc = PeakAlloc;

/// Bytes that decoding one message of MESSAGE_BYTES_MAX may allocate; shorter ones in proportion.
const MESSAGE_ALLOCATED_BYTES_MAX: usize = 512 << 20;
/// Bytes that decoding may allocate beyond that: empty builders, and as many rejects as a message may give.
const OUTCOMES_BYTES_MAX: usize = 64 << 20;
/// Bytes of what a reject says of its message.
const DETAIL_BYTES_MAX: usize = 256;
/// Secrets, with what makes them known for one: an access key by itself, a password by its name.
const PLANTED: [(&str, &str, &str); 2] =
    [(" ", "AKIAFAKEFAKEFAKE0001", " "), ("\n{\"password\":\"", "larkfield-harbour", "\"}")];

/// Bytes that each of two parts of a record is repeated to: both together are well within MESSAGE_BYTES_MAX, and
/// work for each of the one on all of the other takes longer than the fuzzer waits.
const REPEATED_BYTES: usize = 2 << 20;

/// Checks what the target of that name is about: `auto`, `own_layout`, `envelopes`, `gzip`, `repeats`, `redact`, or
/// a format's name.
pub fn check(target: &str, input: &[u8]) {
    match target {
        "auto" => decodes(SourceFormat::Auto, input),
        "own_layout" => decodes(own_layout(), input),
        "envelopes" => unwraps(input),
        "gzip" => inflates(input),
        "repeats" => scales(input),
        "redact" => masks(input),
        format => {
            let format = Format::parse(format).expect("a target is named after a format");
            decodes(SourceFormat::Known(format), input);
        }
    }
}

/// A message is accounted for, within bounds, and gives the same again, whatever was decoded before it.
fn decodes(format: SourceFormat, input: &[u8]) {
    let mut decoder = decoder(format);
    let once = within_bound(input.len(), || decoder.decode(&batch(&[input])));
    accounts(&once);
    let twice = decoder.decode(&batch(&[input, input]));
    let rows = once.events.record_batch().num_rows();
    for copy in [0..rows, rows..2 * rows] {
        assert_eq!(rows_of(&twice, copy.clone()), rows_of(&once, 0..rows));
        assert_eq!(twice.content_hashes[copy], once.content_hashes);
    }
    assert_eq!(twice.rejects, [&once.rejects[..], &once.rejects[..]].concat());
    assert_eq!(twice.cut_fields, 2 * once.cut_fields);
}

/// Maps every fact to a field of its name at the top, else inside `inner`, which may be an object written as a string.
fn own_layout() -> SourceFormat {
    let fields =
        LAYOUT_FIELDS.iter().map(|(field, _)| (*field, [(*field).to_owned(), format!("/inner/{field}")]));
    let layout: LayoutConfig =
        serde_json::from_value(json!({ "fields": fields.collect::<BTreeMap<_, _>>() }))
            .expect("the map is one that a config may hold");
    SourceFormat::Own(Arc::new(OwnLayout::new("own", &layout)))
}

fn decoder(format: SourceFormat) -> Decoder {
    let account = Some("org-example".to_owned());
    Decoder::new(vec![Some(SourceSpec { name: "fuzz".to_owned(), format, account, dedupe: true })])
}

/// All at the same position, so that copies of one message give equal rows.
fn batch(messages: &[&[u8]]) -> RawBatch {
    let mut batch = RawBatch::default();
    for message in messages {
        batch.push(Position { topic: 0, partition: 0, offset: 0 }, None, message);
    }
    batch
}

/// `bytes` that are read may not take more than their share of memory.
fn within_bound<T>(bytes: usize, work: impl FnOnce() -> T) -> T {
    ALLOCATED.reset_peak_usage();
    let before = ALLOCATED.current_usage();
    let outcome = work();
    let allocated = ALLOCATED.peak_usage() - before;
    let bound = bytes * (MESSAGE_ALLOCATED_BYTES_MAX / MESSAGE_BYTES_MAX) + OUTCOMES_BYTES_MAX;
    assert!(allocated <= bound, "{allocated} bytes allocated for {bytes}, at most {bound}");
    outcome
}

fn rows_of(decoded: &Decoded, rows: Range<usize>) -> RecordBatch {
    decoded.events.record_batch().slice(rows.start, rows.len())
}

/// One message gave at least one event or reject, its indices count through, every text is within its bound.
fn accounts(decoded: &Decoded) {
    let events = decoded.events.record_batch();
    let outcomes = events.num_rows() + decoded.rejects.len();
    assert!(outcomes > 0, "neither an event nor a reject");
    assert_eq!(decoded.content_hashes.len(), events.num_rows());
    let indices: Vec<usize> = decoded.rejects.iter().map(|reject| reject.index as usize).collect();
    assert!(indices.is_sorted_by(|a, b| a < b), "indices of rejects do not rise: {indices:?}");
    assert!(indices.last().is_none_or(|last| *last < outcomes), "an index of nothing: {indices:?}");
    for reject in &decoded.rejects {
        let kept = reject.payload.masked().len();
        assert!(kept <= QUARANTINE_PAYLOAD_BYTES_MAX, "{kept} bytes kept");
        assert!(reject.detail.len() <= DETAIL_BYTES_MAX, "{}", reject.detail);
    }
    events.columns().iter().for_each(|column| texts_within_bound(column));
}

fn texts_within_bound(column: &dyn Array) {
    let texts = match column.data_type() {
        DataType::Utf8 => column.as_string::<i32>(),
        DataType::Dictionary(..) => column.as_dictionary::<Int32Type>().values().as_string::<i32>(),
        _ => return,
    };
    assert!(texts.iter().flatten().all(|text| text.len() <= FIELD_BYTES_MAX), "a field over its bound");
}

/// A record gives the same in whatever it is wrapped. The first byte says in what.
fn unwraps(input: &[u8]) {
    let Some((wrapping, record)) = input.split_first() else { return };
    let Ok(record) = std::str::from_utf8(record) else { return };
    let record = record.trim_ascii();
    if !record.starts_with('{') || serde_json::from_str::<IgnoredAny>(record).is_err() {
        return;
    }
    let wrapped = wrap(*wrapping, record);
    let bare = decoder(SourceFormat::Auto).decode(&batch(&[record.as_bytes()]));
    let found = decoder(SourceFormat::Auto).decode(&batch(&[wrapped.as_bytes()]));
    accounts(&found);
    let is_deep = |reject: &Reject| reject.reason == RejectReason::TooDeep;
    if bare.rejects.iter().chain(&found.rejects).any(is_deep) {
        return;
    }
    assert_same(&found, &bare);
}

/// The same events, rejected for the same reasons.
fn assert_same(found: &Decoded, expected: &Decoded) {
    assert_eq!(found.events.record_batch(), expected.events.record_batch());
    assert_eq!(found.content_hashes, expected.content_hashes);
    let reasons = |decoded: &Decoded| decoded.rejects.iter().map(|r| r.reason).collect::<Vec<_>>();
    assert_eq!(reasons(found), reasons(expected));
}

fn wrap(wrapping: u8, record: &str) -> String {
    match wrapping % 10 {
        0 => format!("[{record}]"),
        1 => format!(r#"{{"Records":[{record}]}}"#),
        2 => format!(r#"{{"records" : [ {record} ]}}"#),
        3 => format!(r#"{{"version":"0","id":"e","detail-type":"x","detail":{record}}}"#),
        4 => format!(r#"{{"eventType":"com.okta.event_hook","data":{{"events":[{record}]}}}}"#),
        5 => format!(r#"{{"kind":"admin#reports#activities","items":[{record}]}}"#),
        6 => json!({"@timestamp": "2026-03-02T08:00:05Z", "message": record}).to_string(),
        7 => json!({"stream": "stdout", "log": record}).to_string(),
        8 => json!({"Events": [{"EventId": "e", "CloudTrailEvent": record}]}).to_string(),
        _ => {
            json!({"messageType": "DATA_MESSAGE", "logEvents": [{"id": "1", "message": record}]}).to_string()
        }
    }
}

/// What a sender compressed gives what it gives uncompressed; anything that says it is gzip is accounted for. The
/// first byte says which of both the input is.
fn inflates(input: &[u8]) {
    match input.split_first() {
        Some((0, text)) if serde_json::from_slice::<IgnoredAny>(text).is_ok() => {
            let bare = decoder(SourceFormat::Auto).decode(&batch(&[text]));
            assert_same(&decoder(SourceFormat::Auto).decode(&batch(&[&compressed(text)])), &bare);
        }
        Some((1, tail)) => {
            let message = [&[0x1f, 0x8b], tail].concat();
            let mut inflated = Vec::new();
            // How much came out before the fault is all that is asked.
            let _ =
                MultiGzDecoder::new(&message[..]).take(INFLATED_BYTES_MAX as u64).read_to_end(&mut inflated);
            let bytes = message.len() + inflated.len();
            accounts(&within_bound(bytes, || decoder(SourceFormat::Auto).decode(&batch(&[&message]))));
        }
        Some(_) | None => {}
    }
}

fn compressed(text: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(text).expect("a vector takes all");
    encoder.finish().expect("a vector takes all")
}

/// A record stays cheap when there is much of two of its parts. The first bytes say of which.
fn scales(input: &[u8]) {
    let Some((places, record)) = input.split_at_checked(8) else { return };
    let place = |at: usize| usize::from(u16::from_le_bytes([places[at], places[at + 1]])).min(record.len());
    let [a, b, c, d] = [0, 2, 4, 6].map(place);
    if !(a < b && b <= c && c < d) {
        return;
    }
    let many = |part: &[u8]| part.repeat(REPEATED_BYTES / part.len());
    let parts = [&record[..a], &many(&record[a..b]), &record[b..c], &many(&record[c..d]), &record[d..]];
    let message = parts.concat();
    accounts(&within_bound(message.len(), || decoder(SourceFormat::Auto).decode(&batch(&[&message]))));
}

/// What is kept is within its bound, and a secret in any surroundings is not kept. The first byte says where.
fn masks(input: &[u8]) {
    let kept = redact(input);
    assert!(kept.len() <= QUARANTINE_PAYLOAD_BYTES_MAX, "{} bytes kept", kept.len());
    assert_eq!(kept, redact(input));
    let Some((place, around)) = input.split_first() else { return };
    let (head, tail) = around.split_at(around.len() * usize::from(*place) / 256);
    for (before, secret, after) in PLANTED {
        let with_secret = [head, before.as_bytes(), secret.as_bytes(), after.as_bytes(), tail].concat();
        // Zero bytes are left out of what is kept: most of them make UTF-16 of it.
        let alone = String::from_utf8_lossy(around).replace('\0', "");
        assert!(alone.contains(secret) || !redact(&with_secret).contains(secret), "{secret} was kept");
    }
}
