//! What logs of HTTP gateways have in common.
//!
//! In: addresses, authorities, paths, headers as gateways write them. Out: the parts that events hold. Nothing
//! here is parsed beyond what the parts need, and nothing is resolved.

use std::borrow::Cow;

use super::RejectReason;
use super::columns::Outcome;
use super::json::{Number, Refusal, first_of};

/// `10.0.0.12:59292`, `[2001:db8::1]:443`, `2001:db8::1` and `10.0.0.12` without the port.
pub(super) fn without_port(address: &str) -> &str {
    if let Some(rest) = address.strip_prefix('[') {
        return rest.split(']').next().unwrap_or_default();
    }
    match address.split_once(':') {
        Some((host, port)) if !port.contains(':') => host,
        Some(_) | None => address,
    }
}

/// An authority in lower case without its port.
pub(super) fn host(authority: &str) -> Cow<'_, str> {
    let host = without_port(authority);
    if host.bytes().any(|b| b.is_ascii_uppercase()) {
        return Cow::Owned(host.to_ascii_lowercase());
    }
    Cow::Borrowed(host)
}

/// `/v1/chat/completions?user=7` gives `/v1/chat`.
pub(super) fn first_segments(path: &str) -> &str {
    let path = path.split(['?', '#']).next().unwrap_or_default();
    let third_slash = path.bytes().enumerate().filter(|(_, b)| *b == b'/').map(|(at, _)| at).nth(2);
    &path[..third_slash.unwrap_or(path.len())]
}

/// The first hop of X-Forwarded-For, else the address that the gateway itself saw; without port.
pub(super) fn client<'r>(forwarded_for: &'r str, seen: &'r str) -> &'r str {
    let first_hop = forwarded_for.split(',').next().unwrap_or_default().trim();
    without_port(first_of(&[first_hop, seen]))
}

/// The trace id of a W3C `traceparent`: `00-<32 hex>-<16 hex>-01`.
pub(super) fn traceparent_id(traceparent: &str) -> &str {
    let trace_id = traceparent.split('-').nth(1).unwrap_or_default();
    if trace_id.len() == 32 { trace_id } else { "" }
}

/// Method and target of `POST /v1/chat HTTP/1.1`.
pub(super) fn request_line(line: &str) -> (&str, &str) {
    let mut words = line.split(' ');
    (words.next().unwrap_or_default(), words.next().unwrap_or_default())
}

/// Authority and path of an absolute URL; of anything else no authority, and all of it as the path.
pub(super) fn url_parts(url: &str) -> (&str, &str) {
    let Some((_, rest)) = url.split_once("://") else { return ("", url) };
    rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()))
}

/// What the status says; `otherwise` names the field where it holds something that is no number.
pub(super) fn outcome(status: Number, otherwise: &'static str) -> Result<Outcome, Refusal> {
    match status {
        Number::Value(status) => Ok(Outcome::of_http(status)),
        Number::Absent => Ok(Outcome::Unknown),
        Number::Unreadable => Err(Refusal::new(RejectReason::BadField, otherwise)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn url_splits_into_authority_and_path() {
        for (url, expect) in [
            ("https://a.example:8443/v1/x?k=1", ("a.example:8443", "/v1/x?k=1")),
            ("https://a.example", ("a.example", "")),
            ("https://a.example?k=/b", ("a.example", "?k=/b")),
            ("/v1/x", ("", "/v1/x")),
            ("", ("", "")),
        ] {
            assert_eq!(url_parts(url), expect, "{url}");
        }
    }
}
