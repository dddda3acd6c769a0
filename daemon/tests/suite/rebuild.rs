//! Facts about rollups whose query is newer than the state: they warm up, and a rebuild gives them their history.
//!
//! In: scenarios of fixtures/, the broker of [`crate::kafka`]. Out: rows and findings after a rebuild beside those of a
//! pipeline that had the query from the start.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::Arc;
use std::time::Duration;

use arrow::record_batch::RecordBatch;
use jiff::Timestamp;
use shadowprod::config::{Clock, Config};
use shadowprod::daemon;
use shadowprod::ingest::files::FileSource;
use shadowprod::ingest::{Position, RawBatch, Source, Topics};
use shadowprod::metrics::Metrics;
use shadowprod::pipeline::Pipeline;
use shadowprod::query::QueryTexts;
use shadowprod::query::plan::QuerySet;
use shadowprod::registry::Registry;
use shadowprod::rollup::{Rollups, View, segments};
use shadowprod::store::Store;

use crate::kafka::{Admin, shared, until};
use crate::process::{Daemon, Scenario};

const DAY: i64 = 86_400_000_000;
const ROLLUP: &str = "pilot-caller-day";

/// A state folder of its own over one scenario.
struct Install {
    dir: tempfile::TempDir,
    config: Config,
}

fn scenario() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures/scenarios/unpromoted-production-traffic")
}

/// Queries that the scenario is about, planned in a moment: [`ROLLUP`] and a detection that reads it, and another rollup.
const QUERIES: [&str; 4] = [
    "rollups/pilot-caller-day.sql",
    "rollups/source-hour.sql",
    "detections/unpromoted-production-traffic.sql",
    "detections/unpromoted-production-traffic.cases.toml",
];

fn today() -> QueryTexts {
    let mut texts = QueryTexts::builtin();
    let is_used = |id: &str| QUERIES.iter().any(|file| file.ends_with(&format!("/{id}.sql")));
    texts.rollups.retain(|r| is_used(&r.text.id));
    texts.detections.retain(|d| is_used(&d.text.id));
    texts
}

/// The same queries, but for a rollup that had another file: `also` is what it asked for besides.
fn former(also: &str) -> QueryTexts {
    let mut texts = today();
    let rollup = texts.rollups.iter_mut().find(|r| r.text.id == ROLLUP).unwrap();
    rollup.text.sha256 = "0f".repeat(32);
    rollup.text.sql =
        rollup.text.sql.replace("WHERE pilot IS NOT NULL", &format!("WHERE pilot IS NOT NULL {also}"));
    texts
}

impl Install {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let state = dir.path().join("state");
        std::fs::create_dir(&state).unwrap();
        std::fs::write(state.join("credential.key"), [7; 32]).unwrap();
        let from = Path::new(env!("CARGO_MANIFEST_DIR")).join("../queries");
        for file in QUERIES {
            let to = dir.path().join("queries").join(file);
            std::fs::create_dir_all(to.parent().unwrap()).unwrap();
            std::fs::copy(from.join(file), to).unwrap();
        }
        let text = "[kafka]\nbrokers = \"127.0.0.1:1\"\n[[source]]\ntopic = \"gateway\"\n[[source]]\ntopic = \"cloudtrail\"\n";
        let registry = scenario().join("registry");
        let text = format!(
            "{text}[registry]\npath = {registry:?}\n[state]\npath = {state:?}\n[time]\nclock = \"log\"\n\
             [queries]\npath = \"queries\"\n"
        );
        std::fs::write(dir.path().join("shadowprod.toml"), text).unwrap();
        let mut config = Config::load(&dir.path().join("shadowprod.toml")).unwrap();
        config.time.clock = Clock::Log;
        config.time.idle_after_ms = 0;
        Self { dir, config }
    }

    fn open(&self, texts: QueryTexts) -> (Pipeline, Arc<Metrics>) {
        let metrics = Arc::new(Metrics::new());
        let mut parts = daemon::parts(&self.config, metrics.clone(), Some(&self.config.state.path)).unwrap();
        parts.texts = texts;
        (parts.rhythm.early_every, parts.rhythm.settle_for) = (None, None);
        (Pipeline::open(parts).unwrap(), metrics)
    }

    /// A pipeline over these batches of the scenario, committed and closed.
    fn run(&self, texts: QueryTexts, batches: std::ops::Range<usize>) {
        let (mut pipeline, _) = self.open(texts);
        let mut all = self.batches(&pipeline);
        let assigned = all[0].assigned.clone();
        all[batches.start].assigned = assigned;
        for batch in all.drain(batches) {
            pipeline.step(&batch, 0).unwrap();
            pipeline.commit(|| 0).unwrap();
        }
    }

    fn batches(&self, pipeline: &Pipeline) -> Vec<RawBatch> {
        let topics: Topics = pipeline.topics().into();
        let read = daemon::read_topics(&self.config, &topics);
        let mut source = FileSource::open(&scenario(), &topics, &read, 10).unwrap();
        std::iter::from_fn(|| source.next_batch(Duration::ZERO).unwrap()).collect()
    }

    fn rebuild(&self, arguments: &[&str]) -> Output {
        self.rebuild_from(&scenario(), arguments)
    }

    fn rebuild_from(&self, logs: &Path, arguments: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_shadowprod"));
        command
            .args(["rebuild", "--format", "json", "--config"])
            .arg(self.dir.path().join("shadowprod.toml"));
        command.arg("--input").arg(logs).args(arguments).output().unwrap()
    }

    /// As many messages as in the scenario, each of them another one.
    fn another_log(&self) -> PathBuf {
        let folder = self.dir.path().join("another");
        std::fs::create_dir(&folder).unwrap();
        for name in ["gateway.jsonl", "cloudtrail.jsonl"] {
            if let Ok(text) = std::fs::read_to_string(scenario().join(name)) {
                std::fs::write(folder.join(name), text.replace('\n', " \n")).unwrap();
            }
        }
        folder
    }

    /// Stored rows of every rollup of the built-in queries, settled ones and all.
    fn rows(&self) -> Vec<(String, RecordBatch, RecordBatch)> {
        let (store, recovered) = Store::open(&self.config.state.path).unwrap();
        let registry = Registry::load(&self.config.registry.path).unwrap();
        let queries = QuerySet::plan(&today(), &registry.tables()).unwrap();
        let mut rollups = Rollups::new(&queries);
        rollups.restore_settled(recovered.clock.watermark_micros);
        for segment in store.segments().unwrap() {
            let same = queries.rollups.iter().position(|r| r.query.text.sha256 == segment.sha256);
            for rows in same.iter().flat_map(|_| segments::decode(&segment.bytes).unwrap()) {
                rollups.load(same.unwrap(), &rows).unwrap();
            }
        }
        let as_of = recovered.clock.watermark_micros;
        let view = |index, view| rollups.view(index, "", None, view, as_of).unwrap();
        let all = queries.rollups.iter().enumerate();
        all.map(|(index, r)| {
            (r.query.text.id.clone(), view(index, View::Settled), view(index, View::Everything))
        })
        .collect()
    }

    /// Findings and history, as JSON.
    fn found(&self) -> (Vec<String>, Vec<String>) {
        let (pipeline, _) = self.open(today());
        let findings = pipeline.findings().unwrap();
        let history = pipeline.history().unwrap();
        let findings = findings.iter().map(|f| serde_json::to_string(f).unwrap());
        (findings.collect(), history.iter().map(|c| serde_json::to_string(c).unwrap()).collect())
    }

    fn stored(&self, sql: &str) -> i64 {
        let store = rusqlite::Connection::open(self.config.state.path.join("shadowprod.db")).unwrap();
        store.query_row(sql, [], |row| row.get(0)).unwrap()
    }
}

/// What it said to a person, on one line.
fn said(output: &Output) -> String {
    let text = String::from_utf8_lossy(&output.stderr);
    text.split_whitespace().filter(|word| *word != "│").collect::<Vec<_>>().join(" ")
}

/// The newest event time of these messages.
fn newest(batches: &[RawBatch]) -> i64 {
    let time = |payload: &[u8]| -> i64 {
        let event: serde_json::Value = serde_json::from_slice(payload).unwrap();
        let text = event.get("start_time").or(event.get("eventTime")).unwrap().as_str().unwrap();
        text.parse::<Timestamp>().unwrap().as_microsecond()
    };
    let payloads = batches.iter().flat_map(|b| b.messages.iter().map(|m| b.payload(m)));
    payloads.map(time).max().unwrap()
}

#[test]
fn changed_rollup_says_until_when_it_warms_and_its_former_rows_are_removed() {
    let install = Install::new();
    install.run(former(""), 0..8);
    let (mut pipeline, metrics) = install.open(today());
    let batches = install.batches(&pipeline);
    let grid = i64::from(install.config.time.grid_seconds) * 1_000_000;
    let since = (newest(&batches[..8]).div_euclid(grid) + 1) * grid;
    let warming = pipeline.warming();
    assert_eq!(warming.len(), 1, "{warming:?}");
    assert_eq!((warming[0].rollup.as_str(), warming[0].since), (ROLLUP, since));
    assert!(warming[0].detections.contains(&("unpromoted-production-traffic".to_owned(), since + 7 * DAY)));
    assert_eq!(Some(warming[0].until), warming[0].detections.iter().map(|(_, until)| *until).max());
    let series =
        |until: f64| format!("shadowprod_rollup_warming_until_seconds{{rollup=\"{ROLLUP}\"}} {until:?}");
    assert!(metrics.encode().contains(&series(warming[0].until as f64 / 1e6)), "{}", metrics.encode());
    let former_rows =
        format!("SELECT count(*) FROM segment WHERE rollup = '{ROLLUP}' AND sha256 LIKE '0f0f%'");
    assert!(install.stored(&former_rows) > 0);
    pipeline.commit(|| 0).unwrap();
    assert_eq!(install.stored(&former_rows), 0);
    drop(pipeline);
    let (mut pipeline, metrics) = install.open(today());
    assert_eq!(pipeline.warming(), warming, "it is remembered");
    // The same request, long after.
    let topic = pipeline.topics().iter().position(|t| t == "gateway").unwrap() as u16;
    let first = batches.iter().find(|b| b.messages.iter().any(|m| m.position.topic == topic)).unwrap();
    let message = first.messages.iter().find(|m| m.position.topic == topic).unwrap();
    let text = String::from_utf8(first.payload(message).to_vec()).unwrap().replace("2026-03-", "2026-06-");
    let mut late = RawBatch::default();
    late.push(Position { topic, partition: 0, offset: 100_000 }, None, text.as_bytes());
    late.ends = pipeline.checkpoints().unwrap().iter().map(|c| c.position).collect();
    late.assigned = Some(late.ends.clone());
    pipeline.step(&late, 0).unwrap();
    let ends = late.ends.clone();
    pipeline.step(&RawBatch { ends, ..RawBatch::default() }, 0).unwrap();
    assert_eq!(pipeline.warming(), []);
    assert!(metrics.encode().contains(&series(0.0)), "{}", metrics.encode());
    pipeline.commit(|| 0).unwrap();
    assert_eq!(install.stored("SELECT count(*) FROM rollup_start"), 0);
}

#[test]
fn reloaded_rollup_warms_up_as_a_restarted_one_does() {
    let install = Install::new();
    let (mut pipeline, _) = install.open(today());
    for batch in install.batches(&pipeline).drain(..8) {
        pipeline.step(&batch, 0).unwrap();
        pipeline.commit(|| 0).unwrap();
    }
    assert_eq!(pipeline.warming(), []);
    pipeline.replace_queries(&former(""), 0).unwrap().unwrap();
    let warming = pipeline.warming();
    assert_eq!(warming.iter().map(|w| w.rollup.as_str()).collect::<Vec<_>>(), [ROLLUP]);
    pipeline.commit(|| 0).unwrap();
    assert_eq!(install.stored(&format!("SELECT count(*) FROM segment WHERE rollup = '{ROLLUP}'")), 0);
    drop(pipeline);
    let (mut pipeline, _) = install.open(former(""));
    assert_eq!(pipeline.warming(), warming);
    // Back again: what the first one had is gone, and nobody takes what is left of it for whole.
    pipeline.replace_queries(&today(), 0).unwrap().unwrap();
    assert_eq!(pipeline.warming(), warming);
}

#[test]
fn rebuilt_rows_are_those_of_a_pipeline_that_had_the_query_from_the_start() {
    let half = 9;
    let from_start = Install::new();
    from_start.run(today(), 0..half);
    let expected = from_start.rows();
    assert!(expected.iter().any(|(id, _, all)| id == ROLLUP && all.num_rows() > 0));
    for also in ["", "AND pilot < ''"] {
        let install = Install::new();
        install.run(former(also), 0..half);
        assert_ne!(install.rows(), expected, "rows of the former query are not those of the new one");
        let output = install.rebuild(&[]);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let told: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!((told["rollup"].as_str(), told["rows_before"].as_i64()), (Some(ROLLUP), Some(0)));
        assert!(told["complete_since"].is_null() && told["warming_until"].is_null(), "{told}");
        assert_eq!(install.rows(), expected);
        assert_eq!(install.open(today()).0.warming(), []);
        let again = install.rebuild(&[]);
        assert!(String::from_utf8_lossy(&again.stderr).contains("nothing to rebuild"), "{again:?}");
        assert!(install.rebuild(&[ROLLUP]).status.success());
        assert_eq!(install.rows(), expected, "rows that were there are replaced, not added to");
    }
}

#[test]
fn findings_after_a_rebuild_are_those_of_a_pipeline_that_had_the_query_from_the_start() {
    let from_start = Install::new();
    from_start.run(today(), 0..9);
    let all = from_start.batches(&from_start.open(today()).0).len();
    from_start.run(today(), 9..all);
    let expected = from_start.found();
    assert!(!expected.0.is_empty());
    let install = Install::new();
    install.run(former(""), 0..9);
    assert!(install.rebuild(&[]).status.success());
    install.run(today(), 9..all);
    assert_eq!(install.found(), expected);
    // A query that found nobody: the rows that the rebuild gives are looked at after the next start.
    let install = Install::new();
    install.run(former("AND pilot < ''"), 0..all - 1);
    assert_eq!(install.found().0, Vec::<String>::new());
    assert!(install.rebuild(&[]).status.success());
    install.run(today(), all - 1..all);
    let ids = |found: &[String]| -> Vec<String> {
        let id =
            |line: &String| serde_json::from_str::<serde_json::Value>(line).unwrap()["subject"].to_string();
        found.iter().map(id).collect()
    };
    assert_eq!(ids(&install.found().0), ids(&expected.0));
}

#[test]
fn rebuild_beside_a_running_daemon_or_of_another_log_changes_nothing_and_says_why() {
    let install = Install::new();
    install.run(former(""), 0..8);
    let before = install.rows();
    let (pipeline, _) = install.open(today());
    let refused_from = |logs: &Path, arguments: &[&str], why: &str| {
        let output = install.rebuild_from(logs, arguments);
        let said = said(&output);
        assert_eq!(output.status.code(), Some(2), "{said}");
        assert!(said.contains(why), "{said}");
    };
    let refused = |arguments: &[&str], why: &str| refused_from(&scenario(), arguments, why);
    refused(&[], &format!("is in use by process {}", std::process::id()));
    drop(pipeline);
    refused(&["no-such-rollup"], "there is no rollup `no-such-rollup`");
    refused_from(&install.another_log(), &[], "the topic was recreated");
    assert_eq!(install.rows(), before);
}

#[test]
fn daemon_warms_up_after_a_reload_and_is_warm_after_a_rebuild_from_kafka() {
    let Some((address, _shared)) = shared() else { return };
    let scenario = Scenario::new("shared-credential", &address);
    let queries = scenario.own_queries(&[
        "rollups/credential-first-seen.sql",
        "rollups/credential-network-day.sql",
        "rollups/credential-session.sql",
        "rollups/token-issued.sql",
        "rollups/token-session.sql",
        "detections/shared-credential.sql",
        "detections/shared-credential.cases.toml",
    ]);
    let expected = scenario.replayed();
    scenario.create_topics(&address);
    scenario.produce(&address, 0.0, 0.5);
    let read = |daemon: &Daemon, messages: usize| {
        until("all is read", || {
            (daemon.metric("shadowprod_ingest_messages_total") as usize >= messages).then_some(())
        });
    };
    let daemon = Daemon::start(&scenario.config());
    read(&daemon, scenario.messages() / 2);
    until("all is idle", || (daemon.metric("shadowprod_rollup_watermark_seconds") > 0.0).then_some(()));
    let is_warm = |daemon: &Daemon| daemon.get("/readyz").contains(r#""rollups":{"status":"ready"}"#);
    until("no rollup warms up", || is_warm(&daemon).then_some(()));
    let file = queries.join("rollups/credential-session.sql");
    let text = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, text + "-- Another word, the same question.\n").unwrap();
    let ready = until("the reload shows", || {
        Some(daemon.get("/readyz")).filter(|ready| ready.contains(r#""status":"warming""#))
    });
    assert!(
        ready.starts_with(r#"{"ready":true"#) && ready.contains("credential-session has rows since"),
        "{ready}"
    );
    assert!(daemon.metric("shadowprod_rollup_warming_until_seconds") > 0.0);
    let rebuild = |arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_shadowprod"));
        command.args(["rebuild", "--format", "json", "--config"]).arg(scenario.config()).args(arguments);
        command.output().unwrap()
    };
    let refused = rebuild(&[]);
    assert!(
        !refused.status.success() && String::from_utf8_lossy(&refused.stderr).contains("in use by process")
    );
    daemon.stop();
    let output = rebuild(&[]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let told: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(told["rollup"], "credential-session");
    assert!(told["rows_after"].as_i64() > Some(0) && told["warming_until"].is_null(), "{told}");
    scenario.produce(&address, 0.5, 1.0);
    let daemon = Daemon::start(&scenario.config());
    until("the daemon has what replay has", || (daemon.confirmed() == expected).then_some(()));
    assert!(is_warm(&daemon), "{}", daemon.get("/readyz"));
    daemon.stop();
    Admin::new(&address).delete_before(scenario.topic(), 0, scenario.messages() as i64 / 2);
    let refused = rebuild(&["credential-session"]);
    assert!(said(&refused).contains("--force"), "{refused:?}");
    let output = rebuild(&["credential-session", "--force"]);
    let told: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(told["complete_since"].is_string() && told["warming_until"].is_string(), "{told}");
}
