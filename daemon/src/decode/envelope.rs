//! What wraps records on their way: every envelope of every provider, once.
//!
//! In: a JSON value that is no record itself. Out: the values in it, to be decoded one by one: a bad one never
//! takes its neighbours down. Envelopes may stand in envelopes; the caller bounds how deep.
//! <https://docs.aws.amazon.com/awscloudtrail/latest/userguide/cloudtrail-log-file-examples.html> (`Records`),
//! <https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-events-structure.html> (`detail`),
//! <https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/SubscriptionFilters.html> (`logEvents`),
//! <https://learn.microsoft.com/en-us/azure/azure-monitor/platform/stream-monitoring-data-event-hubs> (`records`),
//! <https://developer.okta.com/docs/concepts/event-hooks/> (`data.events`),
//! <https://developers.google.com/workspace/admin/reports/reference/rest/v1/activities/list> (`items`)

use serde::Deserialize;

use super::json::{self, Items, Nested, Raw, Refusal, Text};

/// What stands in an envelope.
pub(super) enum Content<'t> {
    /// Values, as they were written.
    Items(Items<'t>),
    /// JSON, or a line of a log, that was written as a string.
    Written(String),
}

/// First keys of messages that are nothing but envelopes: they are opened before any format is tried.
const OPENINGS: [&str; 5] = [
    "[",
    "{\"Records\":",
    "{\"records\":",
    "{\"messageType\":\"DATA_MESSAGE\"",
    "{\"version\":\"0\",\"id\":",
];

/// End of the kind of a list of Google Workspace activities, which is documented with and without `admin#` before
/// it. Where there were none, its `items` are missing or null.
const GOOGLE_LIST: &str = "reports#activities";

/// Whether `text` is an envelope at first glance. Others are opened after no format wanted them.
pub(super) fn is_obvious(text: &str) -> bool {
    OPENINGS.iter().any(|opening| text.starts_with(opening))
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Envelope<'a> {
    #[serde(borrow, alias = "Records", alias = "records", alias = "Events", alias = "logEvents")]
    items: List<'a>,
    detail: Option<Raw<'a>>,
    data: Nested<'a, Hook<'a>>,
    kind: Text<'a>,
    #[serde(rename = "CloudTrailEvent")]
    cloud_trail_event: Text<'a>,
    #[serde(alias = "log")]
    message: Text<'a>,
}

/// An array, or anything else, which is then no list.
#[derive(Default)]
struct List<'a>(Option<Raw<'a>>);

impl<'de: 'a, 'a> Deserialize<'de> for List<'a> {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Raw::deserialize(deserializer).map(|raw| Self(Some(raw)))
    }
}

/// What Okta's event hooks put around their events.
#[derive(Deserialize, Default)]
#[serde(default)]
struct Hook<'a> {
    #[serde(borrow)]
    events: Option<Raw<'a>>,
}

/// What `text` wraps; `None` where it is no known envelope. Refused is an array that is no JSON.
pub(super) fn open(text: &str) -> Result<Option<Content<'_>>, Refusal> {
    if text.starts_with('[') {
        return json::parse(text).map(Content::Items).map(Some);
    }
    let Ok(envelope) = json::parse::<Envelope<'_>>(text) else { return Ok(None) };
    let hook = envelope.data.object().and_then(|data| data.events);
    let lists = [envelope.items.0, hook];
    if let Some(list) = lists.into_iter().flatten().find(|list| list.0.starts_with('[')) {
        return json::parse(list.0).map(Content::Items).map(Some);
    }
    if envelope.kind.get().ends_with(GOOGLE_LIST) {
        return Ok(Some(Content::Items(Items::default())));
    }
    if let Some(detail) = envelope.detail.filter(|detail| detail.0.starts_with('{')) {
        return Ok(Some(Content::Items(Items::one(detail.0))));
    }
    let written = json::first_of(&[envelope.cloud_trail_event.get(), envelope.message.get()]);
    Ok(written.trim_start().starts_with(['{', '[']).then(|| Content::Written(written.trim().to_owned())))
}
