//! Which formats a message may be in, by the field names that only that provider writes together.
//!
//! In: the text of one message. Out: candidates; the format's decoder has the last word. A name inside a
//! string value cannot match: its quotes are escaped there. Nothing is parsed here.

use std::sync::LazyLock;

use memchr::memmem::Finder;

use super::Format;

struct Signatures {
    cloudtrail: [Finder<'static>; 3],
    envoy: [Finder<'static>; 2],
    okta: [Finder<'static>; 3],
    entra: Finder<'static>,
}

static SIGNATURES: LazyLock<Signatures> = LazyLock::new(|| Signatures {
    cloudtrail: ["\"eventSource\"", "\"eventName\"", "\"CloudTrailEvent\""].map(Finder::new),
    envoy: ["\"start_time\"", "\"response_code\""].map(Finder::new),
    okta: ["\"published\"", "\"eventType\"", "\"actor\""].map(Finder::new),
    entra: Finder::new("SignInLogs\""),
});

/// Whether `text` holds the field names of `format`.
pub(super) fn carries(text: &str, format: Format) -> bool {
    let signatures = &*SIGNATURES;
    let has = |finder: &Finder<'_>| finder.find(text.as_bytes()).is_some();
    match format {
        Format::CloudTrail => {
            let [source, name, wrapped] = &signatures.cloudtrail;
            has(source) && has(name) || has(wrapped)
        }
        Format::Envoy => signatures.envoy.iter().all(has),
        Format::Okta => signatures.okta.iter().all(has),
        Format::EntraSignIn => has(&signatures.entra),
    }
}
