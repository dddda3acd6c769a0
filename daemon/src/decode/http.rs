//! What logs of HTTP gateways have in common.
//!
//! In: addresses, authorities, paths, headers as gateways write them. Out: the parts that events hold. Nothing
//! here is parsed beyond what the parts need, and nothing is resolved.

use std::borrow::Cow;

use memchr::memchr;

use super::RejectReason;
use super::columns::Outcome;
use super::json::{Number, Refusal, first_of};

/// `10.0.0.12:59292`, `[2001:db8::1]:443`, `2001:db8::1` and `10.0.0.12` without the port.
pub(super) fn without_port(address: &str) -> &str {
    if let Some(rest) = address.strip_prefix('[') {
        return rest.split(']').next().unwrap_or_default();
    }
    let mut colons = address.bytes().enumerate().filter(|(_, b)| *b == b':');
    match (colons.next(), colons.next()) {
        (Some((at, _)), None) => &address[..at],
        (Some(_) | None, _) => address,
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

/// `/v1/chat/completions?user=7` gives `/v1/chat`; `v1/chat/completions` gives `v1/chat`.
pub(super) fn first_segments(path: &str) -> &str {
    let mut slashes_left = 2 + usize::from(path.starts_with('/'));
    let ends_it = |b: u8| {
        slashes_left -= usize::from(b == b'/');
        slashes_left == 0 || matches!(b, b'?' | b'#')
    };
    &path[..path.bytes().position(ends_it).unwrap_or(path.len())]
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

/// Authority and path of an absolute URL; of anything else no authority, and all of it as the path.
pub(super) fn url_parts(url: &str) -> (&str, &str) {
    match url.split_once("://") {
        Some((scheme, rest)) if !scheme.contains(['/', '?']) => {
            rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()))
        }
        Some(_) | None => ("", url),
    }
}

/// Method and target of `POST /v1/chat HTTP/1.1`; neither where the client spoke something else than HTTP.
pub(super) fn request_line(line: &str) -> (&str, &str) {
    let end = line.bytes().position(|b| !(b.is_ascii_alphabetic() || matches!(b, b'-' | b'_')));
    let (method, rest) = line.split_at(end.unwrap_or(line.len()));
    match rest.strip_prefix(' ') {
        Some(rest) => (method, &rest[..memchr(b' ', rest.as_bytes()).unwrap_or(rest.len())]),
        None if rest.is_empty() => (method, ""),
        None => ("", ""),
    }
}

/// The last of `502, 200` or of `192.0.2.1:80, 192.0.2.2:80 : 192.0.2.9:80`: NGINX and what is built on it list the
/// servers that a request was tried on so, and what each answered; groups of servers are set off by a colon.
pub(super) fn last_tried(list: &str) -> &str {
    list.rsplit([',', ' ']).next().unwrap_or_default()
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
            ("/v1/x?to=https://b.example/y", ("", "/v1/x?to=https://b.example/y")),
            ("", ("", "")),
        ] {
            assert_eq!(url_parts(url), expect, "{url}");
        }
    }
    #[test]
    fn route_is_the_first_two_segments_with_or_without_a_slash_before_them() {
        for (path, expect) in [
            ("/v1/chat/completions?user=7", "/v1/chat"),
            ("v1/chat/completions", "v1/chat"),
            ("/v1/chat/", "/v1/chat"),
            ("/v1?a=/b/c", "/v1"),
            ("v1", "v1"),
            ("/", "/"),
            ("", ""),
        ] {
            assert_eq!(first_segments(path), expect, "{path}");
        }
    }

    #[test]
    fn request_line_of_no_http_says_nothing() {
        assert_eq!(request_line("POST /v1/chat HTTP/1.1"), ("POST", "/v1/chat"));
        assert_eq!(request_line("VERSION-CONTROL /"), ("VERSION-CONTROL", "/"));
        assert_eq!(request_line("GET"), ("GET", ""));
        assert_eq!(request_line("\u{16}\u{3}\u{1} /x"), ("", ""));
        assert_eq!(request_line(""), ("", ""));
    }

    #[test]
    fn last_server_tried_is_the_one_that_answered() {
        for (list, expect) in [
            ("192.0.2.1:80", "192.0.2.1:80"),
            ("192.0.2.1:80, 192.0.2.2:80, unix:/tmp/sock", "unix:/tmp/sock"),
            ("192.0.2.1:80, 192.0.2.2:80 : 192.0.2.9:80", "192.0.2.9:80"),
            ("502, 200", "200"),
            ("", ""),
        ] {
            assert_eq!(last_tried(list), expect, "{list}");
        }
    }
}
