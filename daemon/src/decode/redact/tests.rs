//! What must never stand in a payload that is kept, and what should.

use super::*;

/// Neither is masked: whatever is lost beyond the secret shows.
const BEFORE: &str = "before-it";
const AFTER: &str = "after-it";

/// By kind: what is written with a secret in it, the secret as `#`, with nothing but the secret masked.
const PLACES: &[&str] = &[
    r##"{"a":"before-it","Authorization":"#","z":"after-it"}"##,
    r##"{"a":"before-it","headers":{"x-api-key":["#","#"]},"z":"after-it"}"##,
    r##"{"a":"before-it","headers":[{"name":"Cookie","value":"#"},{"name":"z","value":"after-it"}]}"##,
    r##"{"a":"before-it","headers":[{"value":"#","key":"X-Auth-Token"},{"value":"after-it","key":"z"}]}"##,
    r##"{"a":"before-it","headers":[["authorization","#"],["z","after-it"]]}"##,
    r##"{"a":"before-it","path":"/x?access_token=#&z=after-it"}"##,
    r##"{"a":"before-it","path":"/x?access_token=#\u0026z=after-it"}"##,
    r##"{"a":"before-it","to":"/x?next=https%3A%2F%2Fh%2F%3Fapi_key%3D#%26z%3Dafter-it"}"##,
    r##"{"a":"before-it","body":"{\"client_secret\":\"#\",\"z\":\"after-it\"}"}"##,
    r##"{"a":"before-it","body":"{\"b\":\"{\\\"refresh_token\\\":\\\"#\\\",\\\"z\\\":\\\"after-it\\\"}\"}"}"##,
    r##"{"a":"before-it","raw":"POST / HTTP/1.1\r\nAuthorization: #\r\nX-Z: after-it"}"##,
    "a: before-it\nauthorization: #\nz: after-it",
    "before-it password=# user=after-it",
    "before-it {password: #, z: after-it}",
    "before-it pass\\u0077ord=# user=after-it",
    r##"{"a":"before-it","password"  :  "#" , "z":"after-it"}"##,
    r##"{"a":"before-it","stage_variables":{"db.password":"#"},"z":"after-it"}"##,
    "before-it&grant_type=x&client_secret=#&z=after-it",
];

fn planted(place: &str, secret: &str) -> String {
    place.replace('#', secret)
}

fn check_hidden(input: &[u8], secret: &str, markers: &[&str]) {
    let shown = redact(input);
    let input = String::from_utf8_lossy(input);
    assert!(!shown.contains(secret), "{secret} in {shown} of {input}");
    for marker in markers {
        assert!(shown.contains(marker), "{marker} not in {shown} of {input}");
    }
}

#[test]
fn field_that_names_a_secret_is_masked_wherever_it_stands_and_nothing_beside_it() {
    for place in PLACES {
        for secret in ["hunter2", "p%40ss%2Bword", "x", "correct-horse.battery_staple"] {
            let secret = if secret == "x" { "Zq" } else { secret };
            check_hidden(planted(place, secret).as_bytes(), secret, &[BEFORE, AFTER]);
        }
    }
}

/// Secrets that are known by their form, made up.
fn forms() -> Vec<(&'static str, String)> {
    let long = "aB3dE5fG7hJ9kL1mN3pQ5rS7tU9vW1xY3zA5bC7d";
    let p = |prefix: &str| format!("{prefix}{long}");
    vec![
        ("AWS access key id", "AKIAFAKEFAKEFAKE0001".to_owned()),
        ("AWS temporary key id", "ASIAFAKEFAKEFAKE0001".to_owned()),
        ("AWS secret", "wJalrFAKEmi/K7MDENG+bPxRfiCYFAKEKEY1abcd".to_owned()),
        ("AWS session token", format!("IQoJb3JpZ2luX2VjE{long}/{long}+{long}")),
        ("JWT", format!("eyJhbGciOiJub25lIn0.eyJzdWIiOiJhIn0.{long}")),
        ("GitHub", p("ghp_")),
        ("GitHub, server", p("ghs_")),
        ("GitHub, fine-grained", p("github_pat_11A_")),
        ("GitLab", "glpat-aaaabbbbccccdddd".to_owned()),
        ("Slack bot", "xoxb-111111111111-222222222222-aaaabbbb".to_owned()),
        ("Slack app", "xapp-1-A111-222-aaaa".to_owned()),
        ("Slack webhook", "hooks.slack.com/services/T00000000/B00000000/aaaabbbbccccdddd".to_owned()),
        ("Stripe", "sk_live_aaaabbbbcccc".to_owned()),
        ("Stripe webhook", "whsec_aaaabbbbcccc".to_owned()),
        ("OpenAI", "sk-proj-aaaabbbbcccc".to_owned()),
        ("Anthropic", "sk-ant-api03-aaaabbbbcccc".to_owned()),
        ("Google API key", "AIzaSyaaaabbbbccccddddeeeeffff".to_owned()),
        ("Google access token", "ya29.a0aaaabbbbcccc".to_owned()),
        ("Google client secret", "GOCSPX-aaaabbbbcccc".to_owned()),
        ("Vault", "hvs.aaaabbbbcccc".to_owned()),
        ("npm", p("npm_")),
    ]
}

#[test]
fn secret_of_a_known_form_is_masked_in_any_field() {
    for (kind, secret) in forms() {
        for place in [
            "before-it # after-it".to_owned(),
            r##"{"a":"before-it","x":"user # did","z":"after-it"}"##.to_owned(),
            r##"{"a":"before-it","#":1,"z":"after-it"}"##.to_owned(),
            r##"{"a":"before-it","x":"https://h/x/#?q=1","z":"after-it"}"##.to_owned(),
            r##"{"a":"before-it","x":"{\"y\":\"#\",\"z\":\"after-it\"}"}"##.to_owned(),
            r##"["before-it","#","after-it"]"##.to_owned(),
        ] {
            check_hidden(planted(&place, &secret).as_bytes(), &secret, &[BEFORE, AFTER]);
        }
        assert!(!kind.is_empty());
    }
}

#[test]
fn secret_is_masked_in_broken_text_too() {
    let text = r##"{"a":"before-it","body":"{\"password\":\"#\"}","header":"Bearer #","z":"after-it"}"##;
    for (_, secret) in forms().into_iter().chain([("password", "hunter2hunter2".to_owned())]) {
        let whole = planted(text, &secret);
        let utf16: Vec<u8> = whole.encode_utf16().flat_map(u16::to_le_bytes).collect();
        check_hidden(&utf16, &secret, &[BEFORE, AFTER]);
        for cut in 0..whole.len() {
            check_hidden(&whole.as_bytes()[..cut], &secret, &[]);
            let mut invalid = whole.clone().into_bytes();
            invalid[cut] = 0xff;
            // What names a secret no more does not.
            let named =
                |name: &str| whole.match_indices(name).any(|(at, _)| (at..at + name.len()).contains(&cut));
            if !named("password") && !named(":") && !named("Bearer ") {
                check_hidden(&invalid, &secret, &[]);
            }
        }
    }
}

#[test]
fn address_keeps_its_host_and_loses_user_and_password() {
    for (input, expect) in [
        (
            "postgres://app:hunter2@db.example:5432/x after-it",
            "postgres://[masked]@db.example:5432/x after-it",
        ),
        ("redis://:hunter2@h:6379/0", "redis://[masked]@h:6379/0"),
        ("mongodb+srv://u:p/w?x#y@h/db", "mongodb+srv://[masked]@h/db"),
        ("https://u:p@ss/w@h/x", "https://[masked]@ss/w@h/x"),
        ("https://u:p/w@h/x", "https://[masked]@h/x"),
        ("https://hunter2@github.example/x", "https://[masked]@github.example/x"),
        ("https://h:443/u@x", "https://h:443/u@x"),
        ("https://h/u:1@x", "https://h/u:1@x"),
        (r#"{"x":"https:\/\/u:hunter2@h\/"}"#, r#"{"x":"https:\/\/[masked]@h\/"}"#),
        ("https%3A%2F%2Fu%3Ahunter2%40h%2Fx", "https%3A%2F%2F[masked]%40h%2Fx"),
        ("app:hunter2@tcp(db:3306)/x", "app:[masked]@tcp(db:3306)/x"),
        ("user:ada@example.com", "user:ada@example.com"),
        (
            "Server=tcp:h,1433;User Id=a;Password=p,w;d;Encrypt=True",
            "Server=tcp:h,1433;User Id=a;Password=[masked];Encrypt=True",
        ),
        (
            "AccountName=a;AccountKey=YWJj+/==;EndpointSuffix=x",
            "AccountName=a;AccountKey=[masked];EndpointSuffix=x",
        ),
        (
            "https://a.blob.example/c?sv=2024&se=2026&sr=b&sp=r&sig=abc%2Bd%3D&z=1",
            "https://a.blob.example/c?sv=2024&se=2026&sr=b&sp=r&sig=[masked]&z=1",
        ),
        ("/o?X-Amz-Date=2026&X-Amz-Signature=00ff&z=1", "/o?X-Amz-Date=2026&X-Amz-Signature=[masked]&z=1"),
    ] {
        assert_eq!(redact(input.as_bytes()), expect, "{input}");
    }
}

#[test]
fn private_key_is_masked_whole_however_its_lines_are_broken() {
    let key = "-----BEGIN RSA PRIVATE KEY-----\nMIIEaaaa\nbbbb\n-----END RSA PRIVATE KEY-----";
    for breaks in ["\n", "\\n", "\\\\n", "\r\n", "%0A", " "] {
        let written = format!(r#"{{"a":"before-it","x":"{}","z":"after-it"}}"#, key.replace('\n', breaks));
        check_hidden(written.as_bytes(), "MIIEaaaa", &[BEFORE, AFTER]);
        check_hidden(written.as_bytes(), "bbbb", &["END RSA"]);
        let cut = &written.as_bytes()[..written.find("bbbb").unwrap() + 3];
        check_hidden(cut, "bbb", &[BEFORE]);
    }
    check_hidden(key.replace(' ', "+").as_bytes(), "MIIEaaaa", &[]);
    let public = "-----BEGIN PUBLIC KEY-----\nMIIBaaaa\n-----END PUBLIC KEY-----";
    assert_eq!(redact(public.as_bytes()), public);
}

#[test]
fn what_a_kubernetes_object_holds_is_masked_in_either_order() {
    for object in [
        r#"{"kind":"Secret","apiVersion":"v1","metadata":{"name":"before-it"},"data":{"db":"aHVudGVyMg=="},"type":"after-it"}"#,
        r#"{"apiVersion":"v1","stringData":{"db":"aHVudGVyMg=="},"kind":"Secret","metadata":{"name":"before-it"},"type":"after-it"}"#,
    ] {
        let escaped = serde_json::to_string(object).unwrap();
        for written in [
            format!(r#"{{"verb":"create","requestObject":{object},"responseObject":{object}}}"#),
            format!(r#"{{"verb":"create","annotations":{{"last-applied":{escaped}}}}}"#),
        ] {
            check_hidden(written.as_bytes(), "aHVudGVyMg", &[BEFORE, AFTER, "create"]);
        }
    }
    let other = r#"{"type":"s","data":{"ip":"192.0.2.1","client_id":"after-it"}}"#;
    assert_eq!(redact(other.as_bytes()), other);
}

#[test]
fn secrets_are_masked_and_the_rest_stays_readable() {
    for (input, expect) in [
        (r#"{"a":"b","n":1,"at":"2026-03-02T08:00:05Z"}"#, r#"{"a":"b","n":1,"at":"2026-03-02T08:00:05Z"}"#),
        (r#"{"accessKeyId":"AKIAFAKEFAKEFAKE0001"}"#, r#"{"accessKeyId":"[masked]"}"#),
        (r#"{"x":"user AKIAFAKEFAKEFAKE0001 did"}"#, r#"{"x":"user [masked] did"}"#),
        (r#"{"x":"ASIAFAKEFAKEFAKE0001"}"#, r#"{"x":"[masked]"}"#),
        (r#"{"x":"wJalrFAKEmi/K7MDENG+bPxRfiCYFAKEKEY1abcd"}"#, r#"{"x":"[masked]"}"#),
        (r#"{"Authorization":"Bearer abc.def ghi"}"#, r#"{"Authorization":"[masked]"}"#),
        (
            "authorization: Bearer abc.def
host: x",
            "authorization: [masked]
host: x",
        ),
        (r#"{"h":"Bearer abc"}"#, r#"{"h":"Bearer [masked]"}"#),
        (r#"{"h":"SSWS 00abc"}"#, r#"{"h":"SSWS [masked]"}"#),
        (r#"{"Set-Cookie":"sid=1; b=\"2\"; c=3","z":1}"#, r#"{"Set-Cookie":"[masked]","z":1}"#),
        (r#"{"password":"p@ss \"w,o}rd\"","z":"y"}"#, r#"{"password":"[masked]","z":"y"}"#),
        (r#"{"user_password":12345,"z":"y"}"#, r#"{"user_password":[masked],"z":"y"}"#),
        (r#"{"token":null,"z":"y"}"#, r#"{"token":null,"z":"y"}"#),
        (r#"{"clientSecret":{"a":"} b","c":["d"]},"z":"y"}"#, r#"{"clientSecret":[masked],"z":"y"}"#),
        (
            r#"{"p":"{\"api_key\":\"k1 k2\",\"z\":\"y\"}"}"#,
            r#"{"p":"{\"api_key\":\"[masked]\",\"z\":\"y\"}"}"#,
        ),
        ("password\\:hunter2", "password\\:[masked]"),
        ("{\"pwd\":\"cut o\n{\"password\":\"hunter2\"}", "{\"pwd\":\"[masked]\":\"[masked]\"}"),
        ("GET /x?access_token=abc&page=2", "GET /x?access_token=[masked]&page=2"),
        (r#"{"x":"eyJhbGciOiJub25lIn0.eyJzdWIiOiJhIn0.c2ln"}"#, r#"{"x":"[masked]"}"#),
        (r#"{"x":"sk-abcdefghijkl","y":"risk-assessment"}"#, r#"{"x":"[masked]","y":"risk-assessment"}"#),
        (r#"{"password":"cut off in the mid"#, r#"{"password":"[masked]"#),
        (
            r#"{"eventID":"1f0c5a3e-0000-4000-8000-000000000001"}"#,
            r#"{"eventID":"1f0c5a3e-0000-4000-8000-000000000001"}"#,
        ),
        (r#"{"sessionCredentialFromConsole":"true"}"#, r#"{"sessionCredentialFromConsole":"true"}"#),
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
