//! `[layout.<name>]`: a log layout of the user's own, as a map from facts to the fields that hold them.
//!
//! In: what serde read of the table. Out: a [`LayoutConfig`] whose places parse. Records are read by
//! [`crate::decode::OwnLayout`]; nothing here sees one.

use std::collections::BTreeMap;

use serde::Deserialize;

/// What a layout may map, and what the value is. The names are those of [`crate::schema::EVENT_COLUMNS`] wherever
/// the value goes into a column as it is.
pub const LAYOUT_FIELDS: [(&str, &str); 30] = [
    ("event_time", "when it happened; every form of time that the formats know. Required"),
    ("event_id", "the record's own id"),
    ("action", "what was done; else the method of `request_line`"),
    ("request_line", "`GET /v1/chat HTTP/1.1`: gives what action and path lack"),
    ("status_code", "HTTP status; says the outcome"),
    ("success", "true or false: says the outcome where there is no status"),
    ("error", "word or code for what went wrong"),
    ("principal", "who acted"),
    ("session_name", "whom a delegation names"),
    ("credential", "what identifies the credential, raw: only its keyed hash is kept"),
    ("token", "id of the short-lived token that was presented, raw: only its keyed hash is kept"),
    ("issued_token", "id of the token that was issued, raw: only its keyed hash is kept"),
    ("source_ip", "address of the client, with or without port"),
    ("forwarded_for", "X-Forwarded-For: its first hop goes before source_ip"),
    ("user_agent", "as sent"),
    ("host", "authority asked for, with or without port; else that of `url`"),
    ("route", "the route's name; else the start of `path`"),
    ("path", "path asked for; its first two segments are kept"),
    ("url", "absolute URL: gives what host and path lack"),
    ("account", "cloud account, subscription or tenant of the target"),
    ("region", "cloud region"),
    ("namespace", "partition inside the account"),
    ("environment", "environment that the record itself names"),
    ("target", "resource acted on"),
    ("model", "AI model asked for"),
    ("tool", "tool that an agent called"),
    ("consumer", "name of the gateway's consumer or id of its key, shown as it is: never map a secret here"),
    ("peer", "verified identity of the calling workload"),
    ("trace_id", "id that links retries; else the trace id of `traceparent`"),
    ("traceparent", "W3C traceparent header"),
];

/// Values of `layout.<name>.principal_kind`.
pub const LAYOUT_PRINCIPAL_KINDS: &[&str] = &["unknown", "human", "workload", "role"];

/// Values of `layout.<name>.credential_kind`.
pub const LAYOUT_CREDENTIAL_KINDS: &[&str] =
    &["gateway_key", "static_key", "api_token", "session", "service_account_key", "principal"];

/// One `[layout.<name>]`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LayoutConfig {
    /// From a name of [`LAYOUT_FIELDS`] to where it stands.
    #[serde(default)]
    pub fields: BTreeMap<String, Places>,
    /// What a principal of these records is.
    #[serde(default = "unknown")]
    pub principal_kind: String,
    /// What a credential of these records is.
    #[serde(default = "gateway_key")]
    pub credential_kind: String,
}

fn unknown() -> String {
    LAYOUT_PRINCIPAL_KINDS[0].to_owned()
}

fn gateway_key() -> String {
    LAYOUT_CREDENTIAL_KINDS[0].to_owned()
}

/// Where one fact may stand; the first place that holds something decides.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(untagged, expecting = "expected the name of a field in quotes, or a list of names in [ ]")]
pub enum Places {
    /// The only place.
    One(String),
    /// In the order in which they are looked at.
    Several(Vec<String>),
}

impl Places {
    /// All of them.
    pub fn all(&self) -> &[String] {
        match self {
            Self::One(place) => std::slice::from_ref(place),
            Self::Several(places) => places,
        }
    }
}

/// The keys from the record's top down to a value. A text that starts with `/` is a JSON Pointer (RFC 6901); any
/// other is the name of one field at the top, dots included: `user_agent`, `gen_ai.request.model`,
/// `/request/headers/user-agent`. `Err` says what is wrong with it.
pub fn keys(place: &str) -> Result<Vec<String>, &'static str> {
    let Some(pointer) = place.strip_prefix('/') else {
        return if place.is_empty() { Err("is empty") } else { Ok(vec![place.to_owned()]) };
    };
    pointer.split('/').map(unescaped).collect()
}

/// `~1` stands for `/` and `~0` for `~`; nothing else follows a tilde.
fn unescaped(key: &str) -> Result<String, &'static str> {
    let parts: Vec<&str> = key.split('~').collect();
    if parts[1..].iter().any(|part| !part.starts_with(['0', '1'])) {
        return Err("has a `~` that is neither `~0` nor `~1`");
    }
    Ok(key.replace("~1", "/").replace("~0", "~"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn place_is_a_name_or_a_json_pointer() {
        for (place, expect) in [
            ("user_agent", Ok(vec!["user_agent"])),
            ("gen_ai.request.model", Ok(vec!["gen_ai.request.model"])),
            ("/request/headers/user-agent", Ok(vec!["request", "headers", "user-agent"])),
            ("/a~1b/m~0n/~01/0", Ok(vec!["a/b", "m~n", "~1", "0"])),
            ("/", Ok(vec![""])),
            ("", Err("is empty")),
            ("/a~2", Err("has a `~` that is neither `~0` nor `~1`")),
            ("/a~", Err("has a `~` that is neither `~0` nor `~1`")),
        ] {
            let expect = expect.map(|keys| keys.into_iter().map(str::to_owned).collect());
            assert_eq!(keys(place), expect, "{place}");
        }
    }
}
