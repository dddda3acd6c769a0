//! Cloudflare AI Gateway logs, as its API lists them. In: one log. Out: one event. The log holds neither
//! address nor client; who called is known only where the caller said so in `metadata`, which the caller
//! chooses freely: it names a consumer and proves nothing, so it is no credential.
//!
//! <https://developers.cloudflare.com/api/resources/ai_gateway/subresources/logs/methods/list/>,
//! <https://developers.cloudflare.com/ai-gateway/observability/custom-metadata/>

use serde::Deserialize;

use super::RejectReason;
use super::columns::{Fields, Joined, Outcome};
use super::format::{Family, Layout, Row};
use super::http;
use super::json::{self, Flag, Nested, Number, Refusal, Text, first_of};
use super::time;

pub(super) const LAYOUT: Layout = Layout {
    name: "cloudflare_ai_gateway",
    family: Family::Gateway,
    signatures: &[
        &["\"created_at\"", "\"provider\"", "\"tokens_in\""],
        &["\"created_at\"", "\"provider\"", "\"status_code\"", "\"success\""],
    ],
    read,
};

#[derive(Deserialize, Default)]
#[serde(default)]
struct Log<'a> {
    #[serde(borrow)]
    id: Text<'a>,
    created_at: Text<'a>,
    provider: Text<'a>,
    model: Text<'a>,
    path: Text<'a>,
    request_type: Text<'a>,
    status_code: Number,
    success: Flag,
    metadata: Nested<'a, Metadata<'a>>,
}

/// The keys that Cloudflare's own examples give to the caller.
#[derive(Deserialize, Default)]
#[serde(default)]
struct Metadata<'a> {
    #[serde(borrow)]
    user: Text<'a>,
    #[serde(rename = "userId")]
    user_id: Text<'a>,
    #[serde(rename = "user_id")]
    user_id_snake: Text<'a>,
    team: Text<'a>,
}

/// Metadata may be an object or JSON in a string; the caller wrote it, so what is no JSON names nobody and must not
/// make the call disappear.
fn read(text: &str, row: &mut Row<'_>) -> Result<(), Refusal> {
    let log: Log<'_> = json::parse(text)?;
    match &log.metadata {
        Nested::Object(metadata) => row.append(&fields(&log, metadata)?),
        Nested::Written(written) => {
            let metadata = json::parse_written(written, "metadata: not JSON").unwrap_or_default();
            row.append(&fields(&log, &metadata)?);
        }
        Nested::Absent => row.append(&fields(&log, &Metadata::default())?),
    }
    Ok(())
}

fn fields<'r>(log: &'r Log<'_>, metadata: &'r Metadata<'_>) -> Result<Fields<'r>, Refusal> {
    let id = log.id.get();
    Ok(Fields {
        event_time: event_time(log)?,
        event_id: id,
        action: Joined::one(log.request_type.get()),
        outcome: outcome(log)?,
        status_code: log.status_code.value(),
        route: http::first_segments(log.path.get()),
        target: log.provider.get(),
        model: log.model.get(),
        consumer: first_of(&[
            metadata.user.get(),
            metadata.user_id.get(),
            metadata.user_id_snake.get(),
            metadata.team.get(),
        ]),
        trace_id: id,
        ..Fields::default()
    })
}

fn event_time(log: &Log<'_>) -> Result<i64, Refusal> {
    if log.provider.get().is_empty() && log.model.get().is_empty() {
        return Err(Refusal::new(
            RejectReason::UnknownFormat,
            "no provider and no model: not an AI Gateway log",
        ));
    }
    let text = log.created_at.get();
    if text.is_empty() {
        return Err(Refusal::new(RejectReason::MissingField, "created_at"));
    }
    time::micros(text).ok_or_else(|| Refusal::new(RejectReason::BadField, "created_at: not a time"))
}

/// The status says more than `success`, and is not always there.
fn outcome(log: &Log<'_>) -> Result<Outcome, Refusal> {
    let outcome = http::outcome(log.status_code, "status_code: not a number")?;
    Ok(match (outcome, log.success) {
        (Outcome::Unknown, Flag(Some(true))) => Outcome::Success,
        (Outcome::Unknown, Flag(Some(false))) => Outcome::Failure,
        (outcome, _) => outcome,
    })
}
