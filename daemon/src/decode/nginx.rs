//! NGINX access log, JSON. In: one entry. Out: one event. NGINX has no JSON layout of its own: read are keys named
//! after its variables, and those of ingress-nginx's documented example. Other keys: a layout of the user's own.
//! Without `escape=json` NGINX writes `\xHH`, which is no JSON: such a line is repaired, others pay nothing for it.
//!
//! <https://nginx.org/en/docs/http/ngx_http_log_module.html#log_format>,
//! <https://nginx.org/en/docs/http/ngx_http_core_module.html#variables> (and of the modules upstream, ssl, auth_jwt, otel),
//! <https://kubernetes.github.io/ingress-nginx/user-guide/nginx-configuration/log-format/>,
//! <https://kubernetes.github.io/ingress-nginx/user-guide/nginx-configuration/configmap/#log-format-upstream>

use memchr::memchr;
use serde::Deserialize;

use super::RejectReason;
use super::columns::{Credential, CredentialKind, Fields, Joined, Outcome};
use super::format::{Family, Layout, Row, read_record};
use super::http;
use super::json::{Number, Refusal, Text, first_of};
use super::time;

pub(super) const LAYOUT: Layout = Layout {
    name: "nginx",
    family: Family::Gateway,
    signatures: &[
        &["\"remote_addr\"", "\"status\""],
        &["\"remote_addr\"", "\"request\""],
        &["\"time_iso8601\"", "\"status\""],
        &["\"time_local\"", "\"status\""],
    ],
    read: |text, row| read_repaired(text, row, |text, row| read_record(text, row, fields)),
};

#[derive(Deserialize, Default)]
#[serde(default)]
struct Entry<'a> {
    #[serde(borrow)]
    time_iso8601: Text<'a>,
    #[serde(rename = "@timestamp")]
    at_timestamp: Text<'a>,
    timestamp: Text<'a>,
    time: Text<'a>,
    time_local: Text<'a>,
    msec: Text<'a>,
    remote_addr: Text<'a>,
    remote_user: Text<'a>,
    request: Text<'a>,
    request_method: Text<'a>,
    method: Text<'a>,
    request_uri: Text<'a>,
    uri: Text<'a>,
    path: Text<'a>,
    status: Number,
    request_id: Text<'a>,
    http_user_agent: Text<'a>,
    http_x_forwarded_for: Text<'a>,
    x_forwarded_for: Text<'a>,
    http_host: Text<'a>,
    host: Text<'a>,
    vhost: Text<'a>,
    server_name: Text<'a>,
    upstream_addr: Text<'a>,
    http_traceparent: Text<'a>,
    otel_trace_id: Text<'a>,
    ssl_client_verify: Text<'a>,
    ssl_client_s_dn: Text<'a>,
    jwt_claim_sub: Text<'a>,
    jwt_claim_jti: Text<'a>,
    jwt_claim_uti: Text<'a>,
    // Of ingress-nginx.
    namespace: Text<'a>,
    service_name: Text<'a>,
    proxy_upstream_name: Text<'a>,
}

fn fields<'r>(entry: &'r Entry<'_>) -> Result<Fields<'r>, Refusal> {
    let (method, target) = http::request_line(entry.request.get());
    let outcome = http::outcome(entry.status, "status: not a number")?;
    let consumer = first_of(&[entry.jwt_claim_sub.get(), entry.remote_user.get()]);
    Ok(Fields {
        event_time: event_time(entry)?,
        event_id: entry.request_id.get(),
        action: Joined::one(first_of(&[entry.request_method.get(), entry.method.get(), method])),
        outcome,
        status_code: entry.status.value(),
        credential: if outcome == Outcome::Denied { None } else { credential(consumer) },
        token: first_of(&[entry.jwt_claim_uti.get(), entry.jwt_claim_jti.get()]),
        source_ip: http::client(
            first_of(&[entry.http_x_forwarded_for.get(), entry.x_forwarded_for.get()]),
            entry.remote_addr.get(),
        ),
        user_agent: entry.http_user_agent.get(),
        host: http::host(host(entry)),
        route: http::first_segments(path(entry, target)),
        namespace: entry.namespace.get(),
        target: first_of(&[
            http::last_tried(entry.upstream_addr.get()),
            entry.service_name.get(),
            entry.proxy_upstream_name.get(),
        ]),
        consumer,
        peer: peer(entry),
        trace_id: first_of(&[
            http::traceparent_id(entry.http_traceparent.get()),
            entry.otel_trace_id.get(),
            entry.request_id.get(),
        ]),
        ..Fields::default()
    })
}

fn event_time(entry: &Entry<'_>) -> Result<i64, Refusal> {
    if entry.status == Number::Absent && entry.remote_addr.get().is_empty() {
        return Err(Refusal::new(RejectReason::UnknownFormat, "no field of an NGINX access log"));
    }
    // Milliseconds stand in one form only.
    let text = first_of(&[
        entry.msec.get(),
        entry.time_iso8601.get(),
        entry.at_timestamp.get(),
        entry.timestamp.get(),
        entry.time.get(),
        entry.time_local.get(),
    ]);
    if text.is_empty() {
        return Err(Refusal::new(RejectReason::MissingField, "time_iso8601, msec and time_local"));
    }
    time::micros(text).ok_or_else(|| Refusal::new(RejectReason::BadField, "time_iso8601: not a time"))
}

/// `$remote_user` is whom the client called itself, and a claim may be of a token that was refused: of a call that was
/// let through only they are what it was let through with.
fn credential(consumer: &str) -> Option<Credential<'_>> {
    Credential::new(CredentialKind::GatewayKey, Joined::one(consumer))
}

fn host<'r>(entry: &'r Entry<'_>) -> &'r str {
    first_of(&[entry.http_host.get(), entry.vhost.get(), entry.host.get(), entry.server_name.get()])
}

/// What was asked for; `$uri` is what rewrites and internal redirects made of it.
fn path<'r>(entry: &'r Entry<'_>, target: &'r str) -> &'r str {
    let (_, target) = http::url_parts(target);
    first_of(&[entry.request_uri.get(), target, entry.uri.get(), entry.path.get()])
}

/// The subject of the client's certificate, if NGINX verified that.
fn peer<'r>(entry: &'r Entry<'_>) -> &'r str {
    if entry.ssl_client_verify.get() == "SUCCESS" { entry.ssl_client_s_dn.get() } else { "" }
}

/// Reads `text`; where it is no JSON for its `\xHH`, with these as JSON has them.
pub(super) fn read_repaired(
    text: &str,
    row: &mut Row<'_>,
    read: impl Fn(&str, &mut Row<'_>) -> Result<(), Refusal>,
) -> Result<(), Refusal> {
    if has_hex_escape(text) { read(&without_hex_escapes(text), row) } else { read(text, row) }
}

/// Whether a backslash that is no escape's second character stands before an `x`: that is no JSON.
fn has_hex_escape(text: &str) -> bool {
    let bytes = text.as_bytes();
    let mut from = 0;
    while let Some(at) = memchr(b'\\', &bytes[from..]) {
        match bytes.get(from + at + 1) {
            Some(b'x') => return true,
            Some(_) => from += at + 2,
            None => return false,
        }
    }
    false
}

/// What `\xHH` stands for, as JSON escapes it. NGINX writes so each byte below 32 and above 126, the quote and the
/// backslash; bytes in a row may be one character. What is no UTF-8 becomes U+FFFD.
fn without_hex_escapes(text: &str) -> String {
    let mut repaired = String::with_capacity(text.len());
    let (mut rest, mut bytes) = (text, Vec::new());
    while let Some(at) = rest.find('\\') {
        let (plain, escaped) = rest.split_at(at);
        if !plain.is_empty() {
            write_bytes(&mut bytes, &mut repaired);
            repaired.push_str(plain);
        }
        rest = match hex_byte(escaped) {
            Some(byte) => {
                bytes.push(byte);
                &escaped[4..]
            }
            // An escape of the layout itself: its next character is not looked at again.
            None => {
                write_bytes(&mut bytes, &mut repaired);
                let next = escaped.char_indices().nth(2).map_or(escaped.len(), |(end, _)| end);
                repaired.push_str(&escaped[..next]);
                &escaped[next..]
            }
        };
    }
    write_bytes(&mut bytes, &mut repaired);
    repaired.push_str(rest);
    repaired
}

fn hex_byte(escaped: &str) -> Option<u8> {
    let digits = escaped.strip_prefix("\\x")?.get(..2)?;
    if digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
        u8::from_str_radix(digits, 16).ok()
    } else {
        None
    }
}

fn write_bytes(bytes: &mut Vec<u8>, into: &mut String) {
    for character in String::from_utf8_lossy(bytes).chars() {
        match character {
            '"' | '\\' => into.extend(['\\', character]),
            control if control < ' ' => {
                let digit = |n: u32| char::from_digit(n, 16).expect("below 16");
                into.extend(['\\', 'u', '0', '0', digit(control as u32 >> 4), digit(control as u32 & 15)]);
            }
            other => into.push(other),
        }
    }
    bytes.clear();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hex_escapes_become_json() {
        for (written, expect) in [
            (r#"{"a":"x\x22y\x5Cz"}"#, r#"{"a":"x\"y\\z"}"#),
            (r#"{"a":"M\xC3\xBCnchen"}"#, "{\"a\":\"München\"}"),
            (r#"{"a":"\x0A\x1F"}"#, r#"{"a":"\u000a\u001f"}"#),
            (r#"{"a":"\xFF\xC3 \xBC"}"#, "{\"a\":\"\u{FFFD}\u{FFFD} \u{FFFD}\"}"),
            (r#"{"a":"\"kept\\x41\n"}"#, r#"{"a":"\"kept\\x41\n"}"#),
            (r#"{"a":"\xZZ\x4"}"#, r#"{"a":"\xZZ\x4"}"#),
            ("\\", "\\"),
            ("\\é", "\\é"),
        ] {
            assert_eq!(without_hex_escapes(written), expect, "{written}");
        }
    }
}
