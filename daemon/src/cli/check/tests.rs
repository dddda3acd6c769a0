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

[queries]
path = "queries"

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

const ROLLUP: &str = r#"-- ---
-- id = "calls"
-- version = 1
-- title = "Calls by pilot"
-- bucket = "hour"
-- bucket_seconds = 3600
-- subject = "pilot"
-- retention_days = 8
-- ---
SELECT
    date_bin(INTERVAL '1 hour', event_time) AS hour,
    pilot,
    caller,
    count(*) AS calls,
    min(event_time) AS first_seen,
    max(event_time) AS last_seen,
    min(position) AS sample_first,
    max(position) AS sample_last
FROM events
WHERE pilot IS NOT NULL
GROUP BY 1, 2, 3
"#;

const DETECTION: &str = r#"-- ---
-- id = "called-at-all"
-- version = 1
-- title = "A pilot is called"
-- subject_kind = "pilot"
-- window_days = 7
-- grid_seconds = 60
-- close_after_hours = 24
-- reopen_within_hours = 168
-- owner_role = "pilot_owner"
-- mode = "active"
-- frameworks = ["CSF ID.AM-08"]
--
-- [parameters]
-- calls_min = 3
-- ---
SELECT
    c.pilot AS subject,
    'fire' AS level,
    1.0 AS score,
    1.0 AS coverage,
    'low' AS severity,
    min(c.first_seen) AS first_seen,
    max(c.last_seen) AS last_seen,
    max(p.name) AS title,
    'Somebody calls it.' AS explanation,
    min(c.sample_first) AS sample_first,
    max(c.sample_last) AS sample_last,
    c.pilot AS owner_pilot,
    max(p.team) AS owner_team
FROM calls c
JOIN pilots p ON p.pilot = c.pilot
GROUP BY c.pilot
HAVING sum(c.calls) >= $calls_min
"#;

/// A folder with a config and a registry, each changed by (found, replacement).
fn folder(config: &[(&str, &str)], registry: &[(&str, &str)]) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("registry")).unwrap();
    fs::write(dir.path().join("shadowprod.toml"), changed(CONFIG, config)).unwrap();
    fs::write(dir.path().join("registry/company.toml"), changed(REGISTRY, registry)).unwrap();
    for kind in ["rollups", "detections"] {
        fs::create_dir_all(dir.path().join("queries").join(kind)).unwrap();
    }
    rollup(dir.path(), "calls", &[]);
    detection(dir.path(), "called-at-all", &[]);
    dir
}

fn rollup(dir: &Path, id: &str, changes: &[(&str, &str)]) {
    let text = changed(&ROLLUP.replace("\"calls\"", &format!("\"{id}\"")), changes);
    fs::write(dir.join(format!("queries/rollups/{id}.sql")), text).unwrap();
}

fn detection(dir: &Path, id: &str, changes: &[(&str, &str)]) {
    let text = changed(&DETECTION.replace("\"called-at-all\"", &format!("\"{id}\"")), changes);
    fs::write(dir.join(format!("queries/detections/{id}.sql")), text).unwrap();
}

/// File, line, message and fix of every problem.
fn listed(report: &Report) -> Vec<String> {
    let line = |p: &Problem| {
        let file = p.place.rsplit('/').next().unwrap_or("");
        format!("{file}:{} {}; {}", p.line, p.message, p.fix)
    };
    report.problems.iter().map(line).collect()
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
    assert!(text.starts_with("checked 1 source, 1 pilot, 1 rollup, 1 detection: "), "{text}");
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
    for place in [("shadowprod.toml", 7), ("shadowprod.toml", 16), ("company.toml", 11), ("company.toml", 25)]
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
fn files_of_networks_are_looked_at_with_the_registry_that_names_them() {
    let file =
        |format: &str, path: &str| format!("[[network_file]]\nformat = \"{format}\"\npath = \"{path}\"\n");
    let named = file("aws", "ip-ranges.json") + &file("google", "cloud.json");
    let dir = folder(&[], &[("\n[[person]]", &format!("{named}\n[[person]]"))]);
    let registry = dir.path().join("registry");
    let aws = "{\"prefixes\": [{\"ip_prefix\": \"192.0.2.0/24\", \"region\": \"eu-west-1\"}], \"ipv6_prefixes\": []}";
    fs::write(registry.join("ip-ranges.json"), aws).unwrap();
    fs::write(registry.join("cloud.json"), "{\"prefixes\": [{\"ipv4Prefix\": \"198.51.100.0/24\"}]}")
        .unwrap();
    let report = inspected(dir.path());
    assert_eq!(report.problems.len(), 0, "{:?}", report.problems);
    assert!(report.looked_at.contains(&"2 network files".to_owned()), "{:?}", report.looked_at);

    fs::remove_file(registry.join("cloud.json")).unwrap();
    fs::write(registry.join("ip-ranges.json"), format!("{{\"pre\": \"{}\"}}", "x".repeat(10_000))).unwrap();
    let report = inspected(dir.path());
    let found = listed(&report);
    assert!(
        found[0].starts_with("company.toml:6 [[network_file]] ")
            && found[0].contains("cloud.json: cannot be read")
    );
    assert!(found[1].starts_with("ip-ranges.json:1 not in the publisher's form: missing field `prefixes`"));
    assert!(
        found[1].ends_with("; download it again: https://ip-ranges.amazonaws.com/ip-ranges.json"),
        "{found:?}"
    );
    assert!(report.problems.iter().all(|p| p.rendered(false).len() < 500), "{found:?}");
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

#[test]
fn ten_mistakes_across_config_registry_and_queries_are_each_found_at_their_line() {
    let dir = folder(
        &[
            ("brokers = ", "brokerz = "),
            ("format = \"envoy\"", "format = \"envoi\""),
            ("[state]", "[time]\ngrid_seconds = 7\n\n[state]"),
        ],
        &[
            ("owner = \"ada\"\nmembers", "owner = \"bob\"\nmembers"),
            ("profile = \"standard\"", "profile = \"standart\""),
        ],
    );
    rollup(dir.path(), "floats", &[("count(*) AS calls", "sum(p_production) AS calls")]);
    rollup(dir.path(), "clock", &[("min(event_time)", "min(now())")]);
    detection(dir.path(), "column", &[("p.team", "p.teem")]);
    detection(dir.path(), "table", &[("FROM calls c", "FROM cals c")]);
    detection(dir.path(), "output", &[("    'fire' AS level,\n", "")]);
    detection(dir.path(), "parameter", &[("$calls_min", "$calls_mim")]);
    detection(dir.path(), "syntax", &[("GROUP BY c.pilot", "GRUP BY c.pilot")]);
    let found = listed(&inspected(dir.path()));
    let expected = [
        "shadowprod.toml:3 unknown key `kafka.brokerz`; did you mean `brokers`?",
        "shadowprod.toml:7 unknown format `envoi`; did you mean `envoy`?",
        "shadowprod.toml:16 `time.grid_seconds` is 7, expected a divisor of 3600; ",
        "company.toml:11 ",
        "company.toml:21 ",
        "floats.sql:14 `calls` sums floating-point numbers: the result would depend on their order; scale to integers first",
        "clock.sql:15 `now` is not allowed in a query; use as_of()",
        "column.sql:30 there is no column `p.teem` here; did you mean `team`?",
        "table.sql:31 there is no table `cals`; did you mean `calls`?",
        "output.sql:17 the query returns no column `level`",
        "parameter.sql:34 parameter `$calls_mim` is not declared; ",
        "syntax.sql:33 not valid SQL: Expected: end of statement, found: GRUP; correct the syntax",
    ];
    assert!(found.iter().all(|p| !p.ends_with("; ")), "each has a fix:\n{}", found.join("\n"));
    for mistake in expected {
        assert!(found.iter().any(|p| p.starts_with(mistake)), "{mistake:?} in\n{}", found.join("\n"));
    }
    assert_eq!(found.len(), expected.len() + 1, "and one for the unused parameter:\n{}", found.join("\n"));
}

#[test]
fn a_broken_rollup_is_one_error_whatever_reads_it() {
    let dir = folder(&[], &[]);
    rollup(dir.path(), "calls", &[("    pilot,\n", "    pilott,\n")]);
    let found = listed(&inspected(dir.path()));
    assert_eq!(found, ["calls.sql:12 there is no column `pilott` here; did you mean `pilot`?"]);
}

#[test]
fn an_unreachable_broker_is_one_clear_error_at_its_line() {
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let dir = folder(&[("127.0.0.1:9092", &format!("127.0.0.1:{port}"))], &[]);
    let mut report = Report::default();
    let path = dir.path().join("shadowprod.toml");
    let (config, _) = crate::config::Config::examine(&path).unwrap();
    inspect::ask_brokers(&path, &config.unwrap(), std::time::Duration::from_millis(300), &mut report);
    let found = listed(&report);
    assert_eq!(found.len(), 1);
    assert!(
        found[0].starts_with(&format!("shadowprod.toml:3 no broker answers at 127.0.0.1:{port}: ")),
        "{found:?}"
    );
}

#[test]
fn the_config_knows_every_format_that_decode_knows() {
    let known: Vec<&str> = crate::decode::Format::all().map(crate::decode::Format::name).collect();
    assert_eq!(crate::config::FORMATS[0], "auto");
    assert_eq!(crate::config::FORMATS[1..], known);
}
