//! Selectors and the texts and networks that they compare.
//!
//! In: the keys of a table. Out: checked selectors, patterns and networks. Which kinds a table may hold is given
//! by the caller.

use ipnet::IpNet;

use crate::registry::errors::Problems;
use crate::registry::patterns::Pattern;
use crate::registry::reader::{Entry, Located, shown};
use crate::registry::selectors::{Selector, SelectorKind, SelectorValue};

/// What may say that an event is a pilot's.
pub(in crate::registry) const PILOT_SELECTORS: &[SelectorKind] = &[
    SelectorKind::Spiffe,
    SelectorKind::Role,
    SelectorKind::EntraApp,
    SelectorKind::ServiceAccount,
    SelectorKind::ApiKey,
    SelectorKind::Consumer,
    SelectorKind::ClientId,
    SelectorKind::InferenceProfile,
    SelectorKind::Route,
    SelectorKind::Host,
    SelectorKind::Tool,
    SelectorKind::Account,
    SelectorKind::Namespace,
    SelectorKind::Header,
    SelectorKind::Model,
];

/// What may say that a service calls or is called.
pub(super) const SERVICE_SELECTORS: &[SelectorKind] = &[
    SelectorKind::Spiffe,
    SelectorKind::Role,
    SelectorKind::EntraApp,
    SelectorKind::ServiceAccount,
    SelectorKind::ApiKey,
    SelectorKind::Consumer,
    SelectorKind::ClientId,
    SelectorKind::Ip,
    SelectorKind::Route,
    SelectorKind::Host,
    SelectorKind::Tool,
];

pub(super) fn selectors(
    entry: &mut Entry<'_>,
    allowed: &[SelectorKind],
    problems: &mut Problems,
) -> Vec<Selector> {
    let words = SelectorKind::WORDS.iter().filter(|(_, kind)| allowed.contains(kind));
    let words: Vec<(&'static str, SelectorKind)> = words.copied().collect();
    let mut found = Vec::new();
    entry.tables("selectors", problems, |mut table, problems| {
        let kind = table.word("kind", &words, problems);
        let value = kind.and_then(|kind| selector_value(kind, &mut table, problems));
        let _ = table.has("value");
        let confidence = table.number("confidence", 0.0..=1.0, problems);
        let validity = table.validity(problems);
        table.finish(problems);
        let (Some(kind), Some(value)) = (kind, value) else { return };
        let confidence = confidence.unwrap_or(kind.default_confidence());
        found.push(Selector { kind, value, confidence, validity });
    });
    found
}

fn selector_value(
    kind: SelectorKind,
    table: &mut Entry<'_>,
    problems: &mut Problems,
) -> Option<SelectorValue> {
    match kind {
        SelectorKind::Ip => {
            let text = table.text("value", problems);
            cidr_of(&text, problems).map(SelectorValue::Network)
        }
        SelectorKind::Header => {
            let text = table.text("value", problems);
            let value = header_pattern(&text, problems)?;
            Some(SelectorValue::Text(value))
        }
        SelectorKind::Spiffe
        | SelectorKind::Role
        | SelectorKind::EntraApp
        | SelectorKind::ServiceAccount
        | SelectorKind::ApiKey
        | SelectorKind::Consumer
        | SelectorKind::ClientId
        | SelectorKind::InferenceProfile
        | SelectorKind::Route
        | SelectorKind::Host
        | SelectorKind::Tool
        | SelectorKind::Account
        | SelectorKind::Namespace
        | SelectorKind::Model => {
            let value = pattern(table, "value", problems)?;
            Some(SelectorValue::Text(if kind.ignores_case() { value.to_lower() } else { value }))
        }
    }
}

fn header_pattern(text: &Located<String>, problems: &mut Problems) -> Option<Pattern> {
    if text.value.is_empty() {
        return None;
    }
    let name_and_value = text.value.split_once(':');
    let value = name_and_value.filter(|(name, _)| name.trim().eq_ignore_ascii_case("user-agent"));
    let read = value.and_then(|(_, v)| Pattern::parse(v.trim()));
    if read.is_none() {
        let message = format!(
            "header selector is `{}`, expected `user-agent: text` or `user-agent: text*`: logs carry no other",
            shown(&text.value)
        );
        problems.error(&text.place, message, "write `value = \"user-agent: name/*\"`".to_owned());
    }
    read
}

pub(super) fn pattern(entry: &mut Entry<'_>, key: &'static str, problems: &mut Problems) -> Option<Pattern> {
    let text = entry.text(key, problems);
    if text.value.is_empty() {
        return None;
    }
    let read = Pattern::parse(&text.value);
    if read.is_none() {
        let message = format!("`{key}` is `{}`, expected a text or the start of one", shown(&text.value));
        problems.error(
            &text.place,
            message,
            "use `*` at the end only, after at least one character".to_owned(),
        );
    }
    read
}

pub(super) fn cidr_of(text: &Located<String>, problems: &mut Problems) -> Option<IpNet> {
    if text.value.is_empty() {
        return None;
    }
    let read = text.value.parse::<IpNet>();
    if read.is_err() {
        let message = format!("`{}` is not a network", shown(&text.value));
        problems.error(&text.place, message, "write address/length, such as 10.20.0.0/16".to_owned());
    }
    read.ok()
}
