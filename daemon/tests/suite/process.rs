//! Facts about the daemon as a process: what a person runs, ended as a machine ends it.
//!
//! In: the broker of [`crate::kafka`], the scenarios in fixtures/. Out: the findings of `shadowprod run` beside
//! those of `shadowprod replay` over the same messages.

use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use crate::kafka::{Admin, alone, new_producer, produce, shared, unique, until};

/// One topic of a scenario: its name at the broker, its format, the messages.
struct Log {
    topic: String,
    format: &'static str,
    lines: Vec<String>,
}

/// A scenario of fixtures/ with topics of its own, and a folder for config, logs and state.
pub struct Scenario {
    dir: tempfile::TempDir,
    logs: Vec<Log>,
}

impl Scenario {
    pub fn new(name: &str, address: &str) -> Self {
        let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures/scenarios").join(name);
        let mut logs = Vec::new();
        for (file, format) in [("gateway", "envoy"), ("cloudtrail", "cloudtrail")] {
            if let Ok(text) = std::fs::read_to_string(fixtures.join(file).with_extension("jsonl")) {
                let lines = text.lines().map(str::to_owned).collect();
                logs.push(Log { topic: unique(file), format, lines });
            }
        }
        let scenario = Self { dir: tempfile::tempdir().unwrap(), logs };
        std::fs::write(scenario.config(), scenario.toml(address, &fixtures.join("registry"))).unwrap();
        for log in &scenario.logs {
            let path = scenario.dir.path().join(format!("{}.jsonl", log.topic));
            std::fs::write(path, log.lines.join("\n") + "\n").unwrap();
        }
        scenario
    }

    pub fn config(&self) -> PathBuf {
        self.dir.path().join("shadowprod.toml")
    }

    fn toml(&self, address: &str, registry: &Path) -> String {
        let mut text = format!("[kafka]\nbrokers = {address:?}\ngroup = {:?}\n", unique("daemon"));
        for Log { topic, format, .. } in &self.logs {
            text += &format!("[[source]]\nname = {format:?}\ntopic = {topic:?}\nformat = {format:?}\n");
        }
        text += &format!("[registry]\npath = {registry:?}\n[state]\npath = \"state\"\n");
        // No partition is idle before all of it is there: only the logs move the clock.
        text += "[time]\nclock = \"log\"\nidle_after_ms = 5000\n";
        text + "[serve]\ngrpc = \"127.0.0.1:0\"\nhttp = \"127.0.0.1:0\"\n"
    }

    /// The first topic.
    pub fn topic(&self) -> &str {
        &self.logs[0].topic
    }

    /// Copies of these files of queries/, which its daemon reads instead of the built-in ones.
    pub fn own_queries(&self, files: &[&str]) -> PathBuf {
        let from = Path::new(env!("CARGO_MANIFEST_DIR")).join("../queries");
        let to = self.dir.path().join("queries");
        for file in files {
            let copy = to.join(file);
            std::fs::create_dir_all(copy.parent().unwrap()).unwrap();
            std::fs::copy(from.join(file), copy).unwrap();
        }
        let config = std::fs::read_to_string(self.config()).unwrap();
        std::fs::write(self.config(), config + "[queries]\npath = \"queries\"\n").unwrap();
        to
    }

    pub fn create_topics(&self, address: &str) {
        let admin = Admin::new(address);
        for log in &self.logs {
            admin.create(&log.topic, 1);
        }
    }

    /// Sends the part of every log between two shares of it.
    pub fn produce(&self, address: &str, from: f64, to: f64) {
        let producer = new_producer(address);
        for log in &self.logs {
            let at = |share: f64| (log.lines.len() as f64 * share) as usize;
            produce(&producer, &log.topic, 0, log.lines[at(from)..at(to)].iter().cloned());
        }
    }

    pub fn messages(&self) -> usize {
        self.messages_until(1.0)
    }

    /// How many are sent of this share of every log.
    pub fn messages_until(&self, share: f64) -> usize {
        self.logs.iter().map(|log| (log.lines.len() as f64 * share) as usize).sum()
    }

    /// What `replay` finds in the same messages, one JSON object a finding, by id.
    pub fn replayed(&self) -> Vec<String> {
        let output = Command::new(env!("CARGO_BIN_EXE_shadowprod"))
            .args(["replay", "--config"])
            .arg(self.config())
            .arg("--input")
            .arg(self.dir.path())
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        sorted(&String::from_utf8(output.stdout).unwrap())
    }

    /// What the history in the state folder says was opened, and the messages that were rejected.
    fn history(&self) -> (i64, i64) {
        let path = self.dir.path().join("state/shadowprod.db");
        let store = rusqlite::Connection::open(path).unwrap();
        let count = |sql| store.query_row(sql, [], |row| row.get(0)).unwrap();
        (
            count("SELECT count(*) FROM revision WHERE kind = 'opened'"),
            count("SELECT count(DISTINCT finding_id) FROM revision WHERE kind = 'opened'"),
        )
    }
}

fn sorted(ndjson: &str) -> Vec<String> {
    let mut lines: Vec<String> = ndjson.lines().map(str::to_owned).collect();
    lines.sort();
    lines
}

/// A running `shadowprod run`; ended when dropped.
pub struct Daemon {
    child: Child,
    pub http: String,
    pub grpc: String,
    log: Arc<Mutex<String>>,
    logging: Option<JoinHandle<()>>,
}

impl Daemon {
    pub fn start(config: &Path) -> Self {
        Self::start_at_level(config, "info")
    }

    /// The level of its log as in RUST_LOG.
    pub fn start_at_level(config: &Path, level: &str) -> Self {
        Self::start_in(config, &[("RUST_LOG", level)])
    }

    /// With these variables in its environment.
    pub fn start_in(config: &Path, variables: &[(&str, &str)]) -> Self {
        let mut daemon = Self::spawn_in(config, variables);
        (daemon.grpc, daemon.http) = until("the daemon says where it answers", || daemon.addresses());
        daemon
    }

    /// The same, not yet started.
    pub fn spawn_in(config: &Path, variables: &[(&str, &str)]) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_shadowprod"))
            .args(["run", "--config"])
            .arg(config)
            .env("RUST_LOG", "info")
            .envs(variables.iter().copied())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let stderr = child.stderr.take().unwrap();
        let log = Arc::new(Mutex::new(String::new()));
        let written = log.clone();
        let logging = std::thread::spawn(move || {
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                *written.lock().unwrap() += &(line + "\n");
            }
        });
        Self { child, http: String::new(), grpc: String::new(), log, logging: Some(logging) }
    }

    /// Waits until it has logged these words.
    pub fn has_logged(&self, words: &str) {
        until(words, || self.log.lock().unwrap().contains(words).then_some(()));
    }

    fn addresses(&self) -> Option<(String, String)> {
        let log = self.log.lock().unwrap();
        let line = log.lines().find(|line| line.contains("metrics and health on "))?;
        let (before, http) = line.split_once(", metrics and health on ")?;
        let (_, grpc) = before.split_once("gRPC on ")?;
        Some((grpc.to_owned(), http.trim().to_owned()))
    }

    pub fn get(&self, path: &str) -> String {
        let mut body = String::new();
        // Whoever is not ready says so with 503, and why.
        let request = ureq::get(format!("{}{path}", self.http)).config().http_status_as_error(false).build();
        let answer = request.call();
        answer.unwrap().body_mut().as_reader().read_to_string(&mut body).unwrap();
        body
    }

    /// Sum of one counter over its labels.
    pub fn metric(&self, name: &str) -> f64 {
        let text = self.get("/metrics");
        let samples =
            text.lines().filter(|l| l.strip_prefix(name).is_some_and(|r| r.starts_with(['{', ' '])));
        samples.filter_map(|l| l.rsplit_once(' ')?.1.parse::<f64>().ok()).sum()
    }

    pub fn confirmed(&self) -> Vec<String> {
        let all = self.get("/api/v1/findings?format=ndjson");
        sorted(&all).into_iter().filter(|line| line.contains("\"confirmed\":true")).collect()
    }

    /// `kill -s NAME`.
    pub fn signal(&self, name: &str) {
        let sent = Command::new("kill").args(["-s", name]).arg(self.child.id().to_string()).status();
        assert!(sent.unwrap().success());
    }

    /// Waits for its end: the exit code, and all that it ever logged.
    pub fn ended(mut self) -> (Option<i32>, String) {
        let code = self.child.wait().unwrap().code();
        self.logging.take().unwrap().join().unwrap();
        (code, std::mem::take(&mut self.log.lock().unwrap()))
    }

    /// SIGTERM: everything is committed and closed. All that it ever logged.
    pub fn stop(self) -> String {
        self.signal("TERM");
        let (code, log) = self.ended();
        assert_eq!(code, Some(0), "{log}");
        log
    }

    /// SIGKILL: no handler runs, nothing is flushed.
    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // Already ended where a test ended it.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

const SCENARIOS: [&str; 3] = ["unpromoted-production-traffic", "shared-credential", "business-dependency"];

#[test]
fn daemon_finds_in_kafka_what_replay_finds_in_files_byte_for_byte() {
    let Some((address, _shared)) = shared() else { return };
    for name in SCENARIOS {
        let scenario = Scenario::new(name, &address);
        let expected = scenario.replayed();
        assert!(!expected.is_empty(), "{name} plants something");
        scenario.create_topics(&address);
        scenario.produce(&address, 0.0, 1.0);
        let daemon = Daemon::start(&scenario.config());
        until("the daemon has what replay has", || (daemon.confirmed() == expected).then_some(()));
        assert_eq!(daemon.metric("shadowprod_ingest_messages_total") as usize, scenario.messages());
    }
}

#[test]
fn daemon_killed_in_the_middle_finds_the_same_and_nothing_twice() {
    let Some((address, _shared)) = shared() else { return };
    for name in SCENARIOS {
        let scenario = Scenario::new(name, &address);
        let expected = scenario.replayed();
        scenario.create_topics(&address);
        for step in 0..4 {
            let (from, to) = (f64::from(step) / 4.0, f64::from(step + 1) / 4.0);
            scenario.produce(&address, from, to);
            let daemon = Daemon::start(&scenario.config());
            until("the daemon reads", || {
                (daemon.metric("shadowprod_ingest_messages_total") > 0.0).then_some(())
            });
            daemon.kill();
        }
        let daemon = Daemon::start(&scenario.config());
        until("the daemon has what replay has", || (daemon.confirmed() == expected).then_some(()));
        let (opened, findings) = scenario.history();
        assert_eq!((opened, findings), (expected.len() as i64, expected.len() as i64), "{name}");
    }
}

#[test]
fn daemon_outlives_the_broker_and_says_so() {
    let Some((address, control, _alone)) = alone() else { return };
    let scenario = Scenario::new(SCENARIOS[0], &address);
    let expected = scenario.replayed();
    scenario.create_topics(&address);
    scenario.produce(&address, 0.0, 0.5);
    let daemon = Daemon::start(&scenario.config());
    until("the first half is read", || {
        (daemon.metric("shadowprod_ingest_messages_total") > 0.0).then_some(())
    });
    control.run("kill");
    until("the loss shows", || (daemon.metric("shadowprod_ingest_broker_up") == 0.0).then_some(()));
    // However long it is gone, no log is closed meanwhile: the second half is not late.
    control.run("restart");
    scenario.produce(&address, 0.5, 1.0);
    until("the return shows", || (daemon.metric("shadowprod_ingest_broker_up") == 1.0).then_some(()));
    until("the daemon has what replay has", || (daemon.confirmed() == expected).then_some(()));
}
