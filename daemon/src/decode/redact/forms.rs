//! What secrets look like: names of fields that hold one, and forms that are known wherever they stand.
//!
//! In: a word. Out: whether it names or is a secret. Lists err on the side of masking.

use std::sync::LazyLock;

/// A field whose name contains one of these holds a secret; names are compared without case, `-`, `_` and the like.
const SECRET_NAMES: [&str; 29] = [
    "authorization",
    "cookie",
    "password",
    "passwd",
    "passphrase",
    "passcode",
    "secret",
    "token",
    "apikey",
    "accesskey",
    "privatekey",
    "accountkey",
    "sharedkey",
    "signingkey",
    "encryptionkey",
    "masterkey",
    "authkey",
    "subscriptionkey",
    "functionskey",
    "credential",
    "connectionstring",
    "bearer",
    "assertion",
    "signature",
    "sessionid",
    "samlresponse",
    "jwt",
    "otp",
    "clientcert",
];
/// Whole names of the same kind; as parts of others they say nothing.
const WHOLE_NAMES: [&str; 8] = ["pwd", "pass", "pw", "psk", "pin", "sig", "dsn", "sid"];
/// Whole names that hold a secret in query strings and forms, and anything elsewhere.
const QUERY_NAMES: [&str; 3] = ["code", "key", "auth"];
/// Field names that contain such a word and hold no secret.
const HARMLESS_NAMES: [&str; 9] = [
    "sessioncredentialfromconsole",
    "tokenissuertype",
    "incomingtokentype",
    "clientcredentialtype",
    "tokentype",
    "signatureversion",
    "authorizationk8siodecision",
    "authorizationk8sioreason",
    "mfatype",
];
/// Fields of Kubernetes objects that hold secrets where the object is a Secret.
const KUBERNETES_NAMES: [&str; 3] = ["data", "stringdata", "binarydata"];
/// Starts of secrets that are known by their form, wherever they stand, from their issuers' own documentation.
const SECRET_PREFIXES: [&str; 55] = [
    "AKIA",
    "ASIA",
    "ABIA",
    "ACCA",
    "ABSK",
    "eyJ",
    "sk-",
    "sk_live_",
    "sk_test_",
    "rk_live_",
    "rk_test_",
    "whsec_",
    "xoxa-",
    "xoxb-",
    "xoxc-",
    "xoxd-",
    "xoxe-",
    "xoxe.",
    "xoxo-",
    "xoxp-",
    "xoxr-",
    "xoxs-",
    "xapp-",
    "ghp_",
    "gho_",
    "ghu_",
    "ghs_",
    "ghr_",
    "github_pat_",
    "glpat-",
    "gldt-",
    "glrt-",
    "glptt-",
    "glcbt-",
    "glsoat-",
    "glagent-",
    "AIza",
    "ya29.",
    "1//0",
    "GOCSPX-",
    "npm_",
    "pypi-",
    "dckr_pat_",
    "hf_",
    "SG.",
    "shpat_",
    "dop_v1_",
    "hvs.",
    "hvb.",
    "hvr.",
    "dapi",
    "ATATT",
    "lin_api_",
    "PMAK-",
    "sqp_",
];
/// Parts of addresses whose path is the secret.
const SECRET_PLACES: [&str; 2] = ["hooks.slack.com/services/", "discord.com/api/webhooks/"];
/// Words of an Authorization header after which the credential follows.
const SCHEMES: [&str; 7] = ["bearer", "basic", "ssws", "digest", "negotiate", "apikey", "dpop"];
/// Shorter runs are words, not keys.
const PREFIXED_BYTES_MIN: usize = 12;
/// A run this long that mixes upper case, lower case and digits is taken for a key (an AWS secret has 40).
const OPAQUE_BYTES_MIN: usize = 32;

/// Words by their first byte, so that a place in a text is compared with few of them.
struct Starts([Vec<&'static str>; 256]);

impl Starts {
    fn new(words: &[&'static str]) -> Self {
        let mut starts = Self(std::array::from_fn(|_| Vec::new()));
        for word in words {
            starts.0[usize::from(word.as_bytes()[0])].push(word);
        }
        starts
    }

    fn any_at(&self, text: &[u8]) -> bool {
        text.first().is_some_and(|b| self.0[usize::from(*b)].iter().any(|w| text.starts_with(w.as_bytes())))
    }
}

static NAMES: LazyLock<Starts> = LazyLock::new(|| Starts::new(&SECRET_NAMES));
static PREFIXES: LazyLock<Starts> = LazyLock::new(|| Starts::new(&SECRET_PREFIXES));

/// What follows a name decides with it.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Context {
    /// `=` and not `:`.
    pub(super) query: bool,
    /// The value is a number.
    pub(super) number: bool,
    /// The payload has to do with Kubernetes.
    pub(super) kubernetes: bool,
}

/// Whether a field of this name holds a secret.
pub(super) fn names_secret(word: &str, context: Context) -> bool {
    let name = bare(word);
    if HARMLESS_NAMES.contains(&name.as_str()) || context.number && name.ends_with("tokens") {
        return false;
    }
    // In `/login/pwd` and `user.pwd` the last part is the name.
    let last = bare(word.rsplit(['/', '.', '+', '%']).next().unwrap_or(word));
    (0..name.len()).any(|at| NAMES.any_at(&name.as_bytes()[at..]))
        || WHOLE_NAMES.contains(&last.as_str())
        || context.query && QUERY_NAMES.contains(&last.as_str())
        || context.kubernetes && KUBERNETES_NAMES.contains(&last.as_str())
}

/// Whether a field of this name holds the value of a pair whose name stands in another field.
pub(super) fn names_value_of_pair(word: &str) -> bool {
    matches!(bare(word).as_str(), "value" | "values" | "val" | "v" | "stringvalue" | "rawvalue")
}

fn bare(word: &str) -> String {
    word.chars().filter(char::is_ascii_alphanumeric).map(|c| c.to_ascii_lowercase()).collect()
}

/// Whether a credential follows this word.
pub(super) fn is_scheme(word: &str) -> bool {
    let word = word.trim_matches(char::REPLACEMENT_CHARACTER);
    SCHEMES.iter().any(|scheme| word.eq_ignore_ascii_case(scheme))
}

/// Whether `word` is a secret by its form.
pub(super) fn looks_secret(word: &str) -> bool {
    if word.len() < PREFIXED_BYTES_MIN {
        return false;
    }
    let bytes = word.as_bytes();
    let starts = |at: &usize| *at == 0 || !bytes[at - 1].is_ascii_alphanumeric();
    (0..=bytes.len() - PREFIXED_BYTES_MIN).filter(starts).any(|at| PREFIXES.any_at(&bytes[at..]))
        || SECRET_PLACES.iter().any(|place| word.contains(place))
        || word.len() >= OPAQUE_BYTES_MIN
            && (word.split(['-', '_', '.', '~', '%', '*']).any(is_opaque)
                || word.split(['/', '.']).any(is_opaque))
}

/// Random enough for a key: ids in hex have one case.
fn is_opaque(word: &str) -> bool {
    word.len() >= OPAQUE_BYTES_MIN
        && word.bytes().any(|b| b.is_ascii_lowercase())
        && word.bytes().any(|b| b.is_ascii_uppercase())
        && word.bytes().any(|b| b.is_ascii_digit())
}
