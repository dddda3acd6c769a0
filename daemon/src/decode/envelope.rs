//! Known envelopes of many events, and which format an event has.
//!
//! In: one JSON value. Out: each event's own JSON, and its format. One bad event never takes its neighbours
//! down; trailing bytes reject the message.

use std::sync::LazyLock;

use memchr::memmem::Finder;
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::decode::{Format, Problem, RejectReason};
use crate::limits;

#[derive(Deserialize)]
struct Envelope<'a> {
    #[serde(rename = "Records", alias = "records", borrow)]
    records: Option<&'a RawValue>,
    #[serde(borrow)]
    detail: Option<&'a RawValue>,
    #[serde(rename = "CloudTrailEvent")]
    cloud_trail_event: Option<String>,
}

static RECORDS: LazyLock<[Finder<'static>; 4]> =
    LazyLock::new(|| ["\"Records\"", "\"records\"", "\"detail\"", "\"CloudTrailEvent\""].map(Finder::new));

/// Calls `f` with each event's JSON: those of a known envelope, else the value itself.
pub(super) fn each(text: &str, mut f: impl FnMut(&str)) -> Result<(), Problem> {
    let text = text.trim_ascii();
    if text.starts_with('[') {
        return each_of(serde_json::from_str(text)?, f);
    }
    if !RECORDS.iter().any(|finder| finder.find(text.as_bytes()).is_some()) {
        f(text);
        return Ok(());
    }
    let Ok(envelope) = serde_json::from_str::<Envelope<'_>>(text) else {
        f(text);
        return Ok(());
    };
    match (envelope.records, envelope.detail, envelope.cloud_trail_event) {
        (Some(records), _, _) if records.get().starts_with('[') => {
            each_of(serde_json::from_str(records.get())?, f)
        }
        (_, Some(detail), _) if detail.get().starts_with('{') => {
            f(detail.get());
            Ok(())
        }
        (_, _, Some(event)) => {
            f(&event);
            Ok(())
        }
        _ => {
            f(text);
            Ok(())
        }
    }
}

fn each_of(records: Vec<&RawValue>, mut f: impl FnMut(&str)) -> Result<(), Problem> {
    if records.is_empty() {
        return Err(Problem::new(RejectReason::Empty, "the envelope holds no event"));
    }
    if records.len() > limits::ENVELOPE_EVENTS_MAX {
        return Err(Problem::new(RejectReason::EnvelopeTooLarge, format!("{} events", records.len())));
    }
    records.iter().for_each(|record| f(record.get()));
    Ok(())
}

/// Words that an event of a format holds: all of them.
static SIGNATURES: LazyLock<Vec<(Format, Vec<Finder<'static>>)>> = LazyLock::new(|| {
    let finders = |words: &[&'static str]| words.iter().copied().map(Finder::new).collect();
    vec![
        (Format::CloudTrail, finders(&["\"eventSource\"", "\"eventName\""])),
        (Format::Envoy, finders(&["\"start_time\"", "\"response_code\""])),
        (Format::Okta, finders(&["\"eventType\"", "\"published\""])),
        (Format::EntraSignIn, finders(&["SignInLogs\""])),
    ]
});

/// The format wanted, else the last one of the topic if the event looks like it, else the first it looks like.
pub(super) fn format_of(json: &str, wanted: Option<Format>, last: Option<Format>) -> Result<Format, Problem> {
    if let Some(format) = wanted {
        return Ok(format);
    }
    let looks_like = |format: Format| {
        let signature = SIGNATURES.iter().find(|(f, _)| *f == format);
        signature.is_some_and(|(_, words)| words.iter().all(|w| w.find(json.as_bytes()).is_some()))
    };
    if let Some(last) = last.filter(|f| looks_like(*f)) {
        return Ok(last);
    }
    let unknown = || Problem::new(RejectReason::UnknownFormat, "looks like none of the known formats");
    Format::ALL.into_iter().find(|f| looks_like(*f)).ok_or_else(unknown)
}
