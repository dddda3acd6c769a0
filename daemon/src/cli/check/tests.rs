//! What `check` prints of planted mistakes.

use std::fs;
use std::path::Path;

use super::*;

const CONFIG: &str = r#"
[kafka]
brokers = "127.0.0.1:9092"

[[source]]
topic = "gateway.envoy"
format = "envoy"

[registry]
path = "registry"

[state]
path = "state"
"#;

const REGISTRY: &str = r#"
[[person]]
id = "ada"
name = "Ada"
email = "ada@example.com"
contact = "ada@example.com"

[[team]]
id = "support"
name = "Support"
owner = "ada"
members = ["ada"]

[[pilot]]
id = "triage"
name = "Ticket triage"
purpose = "triage"
team = "support"
owner = "ada"
control_owner = "ada"
profile = "standard"
environments = ["staging"]
data_scope = []
tool_scope = []
stages = [{ stage = "pilot", from = "2026-01-05T00:00:00Z" }]
selectors = [{ kind = "host", value = "triage.example.com" }]
"#;

/// A folder with a config and a registry, each changed by (found, replacement).
fn folder(config: &[(&str, &str)], registry: &[(&str, &str)]) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("registry")).unwrap();
    fs::write(dir.path().join("shadowprod.toml"), changed(CONFIG, config)).unwrap();
    fs::write(dir.path().join("registry/company.toml"), changed(REGISTRY, registry)).unwrap();
    dir
}

fn changed(text: &str, changes: &[(&str, &str)]) -> String {
    changes.iter().fold(text.to_owned(), |text, (found, replacement)| {
        assert_eq!(text.matches(found).count(), 1, "{found}");
        text.replace(found, replacement)
    })
}

fn inspected(dir: &Path) -> Report {
    inspect::inspect(&dir.join("shadowprod.toml"), false).unwrap()
}

#[test]
fn a_good_config_and_registry_give_a_summary_only() {
    let dir = folder(&[], &[]);
    let report = inspected(dir.path());
    let mut text = Vec::new();
    write_text(&mut text, &report, false).unwrap();
    let text = String::from_utf8(text).unwrap();
    assert!(text.starts_with("checked 1 source, 1 pilot, "), "{text}");
    assert!(text.ends_with(": no errors, no warnings\n"), "{text}");
}

#[test]
fn a_problem_is_shown_with_its_line_a_caret_and_the_fix() {
    let dir = folder(&[("brokers = ", "brokerz = ")], &[]);
    let report = inspected(dir.path());
    let file = dir.path().join("shadowprod.toml");
    let expected = format!(
        "error: unknown key `kafka.brokerz`\n --> {}:3:1\n  |\n3 | brokerz = \"127.0.0.1:9092\"\n  | ^^^^^^^\n  \
         = fix: did you mean `brokers`?\n",
        file.display()
    );
    assert_eq!(report.problems[0].rendered(false), expected);
    assert!(report.problems[0].rendered(true).contains("\u{1b}[1;31m^^^^^^^\u{1b}[0m"));
    let json = report.problems[0].json();
    assert_eq!((json["line"].as_u64(), json["column"].as_u64()), (Some(3), Some(1)));
    assert_eq!(json["fix"], "did you mean `brokers`?");
}

#[test]
fn mistakes_in_config_and_registry_are_all_found() {
    let dir = folder(
        &[("format = \"envoy\"", "format = \"envoi\""), ("path = \"state\"", "path = 5")],
        &[
            ("owner = \"ada\"\nmembers", "owner = \"bob\"\nmembers"),
            ("\"2026-01-05T00:00:00Z\"", "\"yesterday\""),
        ],
    );
    let report = inspected(dir.path());
    let places: Vec<(String, usize)> =
        report.problems.iter().map(|p| (p.place.rsplit('/').next().unwrap().to_owned(), p.line)).collect();
    for place in [("shadowprod.toml", 7), ("shadowprod.toml", 13), ("company.toml", 11), ("company.toml", 25)]
    {
        assert!(places.contains(&(place.0.to_owned(), place.1)), "{place:?} in {places:?}");
    }
    let mut json = Vec::new();
    write_json(&mut json, &report).unwrap();
    let lines: Vec<serde_json::Value> =
        String::from_utf8(json).unwrap().lines().map(|l| serde_json::from_str(l).unwrap()).collect();
    assert_eq!(lines.last().unwrap()["summary"]["errors"], report.errors());
    assert_eq!(lines.len(), report.problems.len() + 1);
}

#[test]
fn lines_with_secrets_are_shown_without_them() {
    let secret = "hunter2";
    for line in [
        format!("[kafka.properties]\n\"sasl.password\" = [\"{secret}\"]\n"),
        format!("[kafka.properties]\n\"ssl.key.pem\" = [\"{secret}\"]\n"),
        format!("[notify]\nalertmanagers = [\"http://u:{secret}@host:1\"]\n"),
    ] {
        let dir = folder(&[("[registry]", &format!("{line}[registry]"))], &[]);
        let report = inspected(dir.path());
        assert_eq!(report.errors(), 1);
        let shown = report.problems[0].rendered(false);
        assert!(shown.contains("***") && !shown.contains(secret), "{shown}");
    }
}

#[test]
fn a_missing_registry_is_one_clear_error() {
    let dir = folder(&[("path = \"registry\"", "path = \"registri\"")], &[]);
    let report = inspected(dir.path());
    assert_eq!(report.errors(), 1, "{:?}", report.problems);
    assert!(report.problems[0].rendered(false).contains("registri"));
}
