//! Golden: one test per folder in fixtures/scenarios, replayed whole. The findings are those in
//! `findings.ndjson`, byte for byte, in whatever batches the logs are read; UPDATE_EXPECT=1 rewrites them.
//! They are also exactly the planted ones of `expected.ndjson`.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use proptest::prelude::*;
use serde::Deserialize;
use shadowprod::cli::replay::replay;
use shadowprod::config::{Config, PathConfig};
use shadowprod::enrich::CredentialKey;
use shadowprod::findings::Finding;
use shadowprod::metrics::{DetectionKindLabel, Metrics};

/// Credentials are hashed under this key in golden files.
const KEY: [u8; 32] = [7; 32];

#[derive(Deserialize)]
struct Label {
    detection: String,
    subject: LabelSubject,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum LabelSubject {
    Id(String),
    Credential { kind: String, secret: String },
}

fn scenarios() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures/scenarios");
    let mut all: Vec<PathBuf> =
        std::fs::read_dir(folder).expect("fixtures/scenarios").map(|e| e.expect("an entry").path()).collect();
    all.sort();
    assert!(all.len() >= 3, "one scenario per detection");
    all
}

fn findings(scenario: &Path, batch_messages: usize) -> (Vec<Finding>, Arc<Metrics>) {
    let config = Config::load(&scenario.join("shadowprod.toml")).expect("a valid config");
    replayed(config, scenario, batch_messages)
}

fn replayed(mut config: Config, scenario: &Path, batch_messages: usize) -> (Vec<Finding>, Arc<Metrics>) {
    let state = tempfile::tempdir().expect("a temporary folder");
    std::fs::write(state.path().join("credential.key"), KEY).expect("written");
    config.state.path = state.path().to_owned();
    let metrics = Arc::new(Metrics::new());
    let found = replay(&config, scenario, batch_messages, metrics.clone()).expect("the replay runs");
    (found, metrics)
}

fn ndjson(findings: &[Finding]) -> String {
    findings.iter().map(|f| serde_json::to_string(f).expect("serialisable") + "\n").collect()
}

fn planted(scenario: &Path) -> BTreeSet<(String, String)> {
    let text = std::fs::read_to_string(scenario.join("expected.ndjson")).expect("labels");
    let key = CredentialKey::from_bytes(KEY);
    let labels = text.lines().map(|line| serde_json::from_str::<Label>(line).expect("a label"));
    let subject = |subject| match subject {
        LabelSubject::Id(id) => id,
        LabelSubject::Credential { kind, secret } => key.id(&kind, &secret),
    };
    labels.map(|l| (l.detection, subject(l.subject))).collect()
}

#[test]
fn each_scenario_gives_exactly_its_findings() {
    for scenario in scenarios() {
        let (found, metrics) = findings(&scenario, 8_192);
        let pairs: BTreeSet<_> = found.iter().map(|f| (f.detection.clone(), f.subject.id.clone())).collect();
        assert_eq!(pairs, planted(&scenario), "{}", scenario.display());
        // One at a time: a family's guard is held until the end of its statement.
        let gateway = metrics.ingest_messages.get_or_create(&topic("gateway")).get();
        let messages = gateway + metrics.ingest_messages.get_or_create(&topic("cloudtrail")).get();
        let accounted = metrics.rollup_events.get()
            + metrics.rollup_late_events.get()
            + metrics.rollup_future_events.get()
            + metrics.decode_duplicates.get();
        assert_eq!(messages, accounted, "nothing is dropped uncounted: {}", scenario.display());
        let golden = scenario.join("findings.ndjson");
        if std::env::var_os("UPDATE_EXPECT").is_some() {
            std::fs::write(&golden, ndjson(&found)).expect("written");
        }
        let expected = std::fs::read_to_string(&golden).expect("run with UPDATE_EXPECT=1 to make it");
        assert_eq!(ndjson(&found), expected, "{}", scenario.display());
    }
}

fn topic(name: &str) -> shadowprod::metrics::TopicLabel {
    shadowprod::metrics::TopicLabel { topic: name.to_owned() }
}

#[test]
fn findings_do_not_depend_on_the_batch_size() {
    let all: Vec<(PathBuf, String)> =
        scenarios().into_iter().map(|s| (s.clone(), ndjson(&findings(&s, 8_192).0))).collect();
    let config = ProptestConfig { cases: 6, failure_persistence: None, ..ProptestConfig::default() };
    proptest!(config, |(batch in 1..200_usize, which in 0..3_usize)| {
        let (scenario, expected) = &all[which];
        prop_assert_eq!(&ndjson(&findings(scenario, batch).0), expected);
    });
}

#[test]
fn detection_in_shadow_mode_is_counted_and_tells_nobody() {
    const SHADOWED: &str = "unpromoted-production-traffic";
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let queries = tempfile::tempdir().expect("a temporary folder");
    for folder in ["rollups", "detections", "signals"] {
        let target = queries.path().join(folder);
        std::fs::create_dir(&target).expect("made");
        for entry in std::fs::read_dir(root.join("queries").join(folder)).expect("the built-in queries") {
            let path = entry.expect("an entry").path();
            let name = path.file_name().expect("a file");
            std::fs::copy(&path, target.join(name)).expect("copied");
        }
    }
    let file = queries.path().join("detections").join(format!("{SHADOWED}.sql"));
    let active = std::fs::read_to_string(&file).expect("the detection");
    let shadow = active.replacen("-- mode = \"active\"", "-- mode = \"shadow\"", 1);
    assert_ne!(active, shadow, "the front matter says its mode");
    std::fs::write(&file, shadow).expect("written");

    let scenario = root.join("fixtures/scenarios").join(SHADOWED);
    let mut config = Config::load(&scenario.join("shadowprod.toml")).expect("a valid config");
    config.queries = Some(PathConfig { path: queries.path().to_owned() });
    let (shadowed, metrics) = replayed(config, &scenario, 8_192);
    let (told, _) = findings(&scenario, 8_192);
    let others: Vec<Finding> = told.iter().filter(|f| f.detection != SHADOWED).cloned().collect();
    assert!(others.len() < told.len(), "the scenario has findings of it");
    assert_eq!(ndjson(&shadowed), ndjson(&others), "all others are told as ever");
    let label = DetectionKindLabel { detection: SHADOWED.to_owned(), kind: "opened" };
    let opened = metrics.findings_changes.get_or_create(&label).get();
    assert_eq!(opened as usize, told.len() - others.len(), "what it would have told is counted");
}
