//! Payloads that nobody could decode, made fit to be kept: whatever looks like a secret is masked.
//!
//! In: any bytes. Out: at most QUARANTINE_PAYLOAD_BYTES_MAX bytes of text. It errs on the side of masking;
//! what it must never do is let a key, a token, a cookie or a password through because the JSON is broken.

use crate::limits::QUARANTINE_PAYLOAD_BYTES_MAX;

/// What stands in the place of a secret.
const MASK: &str = "[masked]";
/// A field whose name contains one of these holds a secret; names are compared without case, `-` and `_`.
const SECRET_NAMES: [&str; 20] = [
    "authorization",
    "cookie",
    "password",
    "passwd",
    "passphrase",
    "secret",
    "token",
    "apikey",
    "accesskey",
    "privatekey",
    "credential",
    "bearer",
    "assertion",
    "signature",
    "sessionid",
    "jwt",
    "otp",
    "clientcert",
    // Bodies of Kubernetes requests: what a Secret holds is named as its owner likes.
    "requestobject",
    "responseobject",
];
/// Field names that contain such a word and hold no secret.
const HARMLESS_NAMES: [&str; 5] = [
    "sessioncredentialfromconsole",
    "tokenissuertype",
    "incomingtokentype",
    "clientcredentialtype",
    "mfatype",
];
/// Starts of secrets that are known by their form, wherever they stand.
const SECRET_PREFIXES: [&str; 15] = [
    "AKIA",
    "ASIA",
    "ABIA",
    "ACCA",
    "ABSK",
    "eyJ",
    "sk-",
    "xoxb-",
    "xoxp-",
    "ghp_",
    "gho_",
    "ghs_",
    "github_pat_",
    "glpat-",
    "AIza",
];
/// Words of an Authorization header after which the credential follows.
const SCHEMES: [&str; 4] = ["bearer", "basic", "ssws", "digest"];
/// Shorter runs are words, not keys.
const PREFIXED_BYTES_MIN: usize = 12;
/// A run this long that mixes upper case, lower case and digits is taken for a key (an AWS secret has 40).
const OPAQUE_BYTES_MIN: usize = 32;

/// `payload` as text (invalid UTF-8 replaced), cut, secrets masked.
pub fn redact(payload: &[u8]) -> String {
    // A secret may be cut in two by the bound: masking sees the text before it is cut to size.
    let head = &payload[..payload.len().min(2 * QUARANTINE_PAYLOAD_BYTES_MAX)];
    let text = String::from_utf8_lossy(head);
    let mut masked = mask(&text);
    masked.truncate(masked.floor_char_boundary(QUARANTINE_PAYLOAD_BYTES_MAX));
    masked.shrink_to_fit();
    masked
}

fn mask(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut state = State::Plain;
    let mut rest = text;
    while !rest.is_empty() {
        let (piece, tail) = rest.split_at(piece_len(rest));
        state = match piece.starts_with(is_run) {
            true => state.after_word(piece, tail, &mut out),
            false => state.after_symbol(piece, &mut out),
        };
        rest = tail;
    }
    out
}

/// Characters that keys, tokens and field names are made of.
fn is_run(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.' | '/' | '+' | '~' | '%' | '*')
}

/// A run, else one character, else a backslash and what it escapes.
fn piece_len(rest: &str) -> usize {
    let run = rest.find(|c: char| !is_run(c)).unwrap_or(rest.len());
    if run > 0 {
        return run;
    }
    let count = if rest.starts_with('\\') { 2 } else { 1 };
    rest.chars().take(count).map(char::len_utf8).sum()
}

/// What the text so far makes of the next piece.
#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Plain,
    /// A secret field's name was read: its separator follows.
    Name,
    /// The separator was read: the secret follows.
    Value,
    /// In an unquoted secret value, up to a delimiter.
    Bare,
    /// In a quoted secret value; `escaped` where the quote that opened it was.
    Quoted {
        escaped: bool,
    },
    /// In a secret object or array.
    Tree {
        depth: u32,
        quoted: bool,
    },
    /// An authentication scheme was read: the credential follows.
    Credential,
}

impl State {
    fn after_symbol(self, symbol: &str, out: &mut String) -> Self {
        let quote = matches!(symbol, "\"" | "\\\"");
        let next = match self {
            Self::Name if symbol.ends_with([':', '=']) => Self::Value,
            Self::Value if quote => Self::Quoted { escaped: symbol.len() == 2 },
            Self::Value if matches!(symbol, "{" | "[") => Self::Tree { depth: 1, quoted: false },
            Self::Value | Self::Bare if matches!(symbol, "," | "}" | "]" | "&" | "\n") => Self::Plain,
            Self::Bare if quote => Self::Plain,
            Self::Quoted { escaped } if symbol == "\"" || (quote && escaped) => Self::Plain,
            Self::Tree { depth, quoted } => Self::in_tree(depth, quoted, symbol),
            Self::Credential if !matches!(symbol, " " | "\t" | ":" | "=") => Self::Plain,
            state => state,
        };
        self.write_symbol(symbol, next, out);
        next
    }

    fn in_tree(depth: u32, quoted: bool, symbol: &str) -> Self {
        match symbol {
            "\"" => Self::Tree { depth, quoted: !quoted },
            "{" | "[" if !quoted => Self::Tree { depth: depth + 1, quoted },
            "}" | "]" if !quoted && depth == 1 => Self::Plain,
            "}" | "]" if !quoted => Self::Tree { depth: depth - 1, quoted },
            _ => Self::Tree { depth, quoted },
        }
    }

    /// Inside a quoted secret not even its punctuation is written.
    fn write_symbol(self, symbol: &str, next: Self, out: &mut String) {
        match (self, next) {
            (Self::Quoted { .. }, Self::Quoted { .. }) => {}
            (Self::Tree { quoted: true, .. }, Self::Tree { quoted: true, .. }) => {}
            (_, Self::Quoted { .. }) => {
                out.push_str(symbol);
                out.push_str(MASK);
            }
            _ => out.push_str(symbol),
        }
    }

    fn after_word(self, word: &str, tail: &str, out: &mut String) -> Self {
        let (written, next) = match self {
            Self::Quoted { .. } => return self,
            Self::Value if is_literal(word) => (word, Self::Plain),
            Self::Value | Self::Bare => (MASK, Self::Bare),
            Self::Tree { .. } => (MASK, self),
            Self::Credential => (MASK, Self::Plain),
            Self::Plain if names_secret(word, tail) => (word, Self::Name),
            Self::Plain if SCHEMES.iter().any(|s| word.eq_ignore_ascii_case(s)) => (word, Self::Credential),
            Self::Plain if looks_secret(word) => (MASK, Self::Plain),
            Self::Plain | Self::Name => (word, Self::Plain),
        };
        out.push_str(written);
        next
    }
}

fn is_literal(word: &str) -> bool {
    matches!(word, "null" | "true" | "false")
}

/// A name is a run with a separator behind it: `"name":`, `\"name\":`, `name=`, `name: `.
fn names_secret(word: &str, tail: &str) -> bool {
    let after = tail.trim_start_matches(['\\', '"', '\'']).trim_start();
    if !after.starts_with([':', '=']) {
        return false;
    }
    let name: String =
        word.chars().filter(char::is_ascii_alphanumeric).map(|c| c.to_ascii_lowercase()).collect();
    !HARMLESS_NAMES.contains(&name.as_str()) && SECRET_NAMES.iter().any(|secret| name.contains(secret))
}

fn looks_secret(word: &str) -> bool {
    let prefixed = |prefix: &&str| {
        word.find(*prefix).is_some_and(|at| !word[..at].ends_with(|c: char| c.is_ascii_alphanumeric()))
    };
    word.len() >= PREFIXED_BYTES_MIN && SECRET_PREFIXES.iter().any(prefixed)
        || word.split(['-', '_', '.', '~', '%', '*']).any(is_opaque)
        || word.split('/').any(is_opaque)
}

/// Random enough for a key: ids in hex have one case.
fn is_opaque(word: &str) -> bool {
    word.len() >= OPAQUE_BYTES_MIN
        && word.bytes().any(|b| b.is_ascii_lowercase())
        && word.bytes().any(|b| b.is_ascii_uppercase())
        && word.bytes().any(|b| b.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_masked_and_the_rest_stays_readable() {
        for (input, expect) in [
            (
                r#"{"a":"b","n":1,"at":"2026-03-02T08:00:05Z"}"#,
                r#"{"a":"b","n":1,"at":"2026-03-02T08:00:05Z"}"#,
            ),
            (r#"{"accessKeyId":"AKIAFAKEFAKEFAKE0001"}"#, r#"{"accessKeyId":"[masked]"}"#),
            (r#"{"x":"user AKIAFAKEFAKEFAKE0001 did"}"#, r#"{"x":"user [masked] did"}"#),
            (r#"{"x":"ASIAFAKEFAKEFAKE0001"}"#, r#"{"x":"[masked]"}"#),
            (r#"{"x":"wJalrFAKEmi/K7MDENG+bPxRfiCYFAKEKEY1abcd"}"#, r#"{"x":"[masked]"}"#),
            (r#"{"Authorization":"Bearer abc.def ghi"}"#, r#"{"Authorization":"[masked]"}"#),
            (
                "authorization: Bearer abc.def
host: x",
                "authorization: [masked] [masked]
host: x",
            ),
            (r#"{"h":"Bearer abc"}"#, r#"{"h":"Bearer [masked]"}"#),
            (r#"{"h":"SSWS 00abc"}"#, r#"{"h":"SSWS [masked]"}"#),
            (r#"{"Set-Cookie":"sid=1; b=\"2\"; c=3","z":1}"#, r#"{"Set-Cookie":"[masked]","z":1}"#),
            (r#"{"password":"p@ss \"w,o}rd\"","z":"y"}"#, r#"{"password":"[masked]","z":"y"}"#),
            (r#"{"user_password":12345,"z":"y"}"#, r#"{"user_password":[masked],"z":"y"}"#),
            (r#"{"token":null,"z":"y"}"#, r#"{"token":null,"z":"y"}"#),
            (
                r#"{"clientSecret":{"a":"} b","c":["d"]},"z":"y"}"#,
                r#"{"clientSecret":{"[masked]":"[masked]","[masked]":["[masked]"]},"z":"y"}"#,
            ),
            (
                r#"{"p":"{\"api_key\":\"k1 k2\",\"z\":\"y\"}"}"#,
                r#"{"p":"{\"api_key\":\"[masked]\",\"z\":\"y\"}"}"#,
            ),
            ("password\\:hunter2", "password\\:[masked]"),
            ("GET /x?access_token=abc&page=2", "GET /x?access_token=[masked]&page=2"),
            (r#"{"x":"eyJhbGciOiJub25lIn0.eyJzdWIiOiJhIn0.c2ln"}"#, r#"{"x":"[masked]"}"#),
            (r#"{"x":"sk-abcdefghijkl","y":"risk-assessment"}"#, r#"{"x":"[masked]","y":"risk-assessment"}"#),
            (r#"{"password":"cut off in the mid"#, r#"{"password":"[masked]"#),
            (
                r#"{"eventID":"1f0c5a3e-0000-4000-8000-000000000001"}"#,
                r#"{"eventID":"1f0c5a3e-0000-4000-8000-000000000001"}"#,
            ),
            (r#"{"sessionCredentialFromConsole":"true"}"#, r#"{"sessionCredentialFromConsole":"true"}"#),
            (
                r#"{"requestObject":{"kind":"Secret","data":{"pin":"MTIzNA=="}},"verb":"create"}"#,
                r#"{"requestObject":{"[masked]":"[masked]","[masked]":{"[masked]":"[masked]"}},"verb":"create"}"#,
            ),
            ("{\"a\":\"\\", "{\"a\":\"\\"),
        ] {
            assert_eq!(redact(input.as_bytes()), expect, "{input}");
        }
    }

    #[test]
    fn payload_is_cut_and_invalid_bytes_are_replaced() {
        let long = "é".repeat(QUARANTINE_PAYLOAD_BYTES_MAX);
        assert_eq!(redact(long.as_bytes()).len(), QUARANTINE_PAYLOAD_BYTES_MAX);
        assert_eq!(redact(b"a\xff\xfeb"), "a\u{fffd}\u{fffd}b");
    }

    #[test]
    fn secret_that_the_bound_cuts_in_two_stays_masked() {
        let lead = " ".repeat(QUARANTINE_PAYLOAD_BYTES_MAX - 4);
        let kept = redact(format!("{lead}AKIAFAKEFAKEFAKE0001").as_bytes());
        assert!(kept.ends_with("[mas"), "{}", &kept[kept.len() - 8..]);
    }
}
