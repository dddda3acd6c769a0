//! Facts about `shadowprod run` under a supervisor: what it says at `$NOTIFY_SOCKET`, and what signals do to it.
//!
//! In: the broker of [`crate::kafka`] or none, a datagram socket in place of systemd's. Out: words and exit codes.

use std::cell::RefCell;
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::kafka::{DEADLINE, shared, until};
use crate::process::{Daemon, Scenario};

/// systemd's end of the socket.
struct Supervisor {
    socket: UnixDatagram,
    path: String,
    /// The newest STATUS.
    status: RefCell<String>,
}

impl Supervisor {
    fn new(scenario: &Scenario) -> Self {
        let path = dir(scenario).join("notify");
        let socket = UnixDatagram::bind(&path).unwrap();
        Self { socket, path: path.to_str().unwrap().to_owned(), status: RefCell::default() }
    }

    /// A daemon that has not yet started.
    fn spawn(&self, scenario: &Scenario) -> Daemon {
        Daemon::spawn_in(&scenario.config(), &[("NOTIFY_SOCKET", &self.path)])
    }

    /// A daemon that is to answer the watchdog once in this time.
    fn start(&self, scenario: &Scenario, watchdog: Duration) -> Daemon {
        let micros = watchdog.as_micros().to_string();
        Daemon::start_in(&scenario.config(), &[("NOTIFY_SOCKET", &self.path), ("WATCHDOG_USEC", &micros)])
    }

    /// The next datagram within `wait`.
    fn next(&self, wait: Duration) -> Option<String> {
        let mut buffer = [0; 4_096];
        self.socket.set_read_timeout(Some(wait.max(Duration::from_millis(1)))).unwrap();
        let length = self.socket.recv(&mut buffer).ok()?;
        let said = String::from_utf8(buffer[..length].to_vec()).unwrap();
        if said.starts_with("STATUS=") {
            self.status.replace(said.clone());
        }
        Some(said)
    }

    /// Waits until the newest status says so.
    fn status_says(&self, words: &str) {
        while !self.status.borrow().contains(words) {
            self.hears("STATUS=");
        }
    }

    /// The next datagram that begins with `word`.
    fn hears(&self, word: &str) -> String {
        let end = Instant::now() + DEADLINE;
        loop {
            let said = self.next(end.saturating_duration_since(Instant::now()));
            let said = said.unwrap_or_else(|| panic!("no {word} within {DEADLINE:?}"));
            if said.starts_with(word) {
                return said;
            }
        }
    }

    /// Waits until no watchdog was answered for `quiet`.
    fn hears_no_watchdog_for(&self, quiet: Duration) {
        let end = Instant::now() + DEADLINE;
        let mut since = Instant::now();
        while since.elapsed() < quiet {
            assert!(Instant::now() < end, "the watchdog is answered although the pipeline hangs");
            let said = self.next(quiet.saturating_sub(since.elapsed()));
            if said.is_some_and(|said| said.contains("WATCHDOG")) {
                since = Instant::now();
            }
        }
    }

    /// SIGHUP, and its end.
    fn reload(&self, daemon: &Daemon) {
        daemon.signal("HUP");
        let said = self.hears("RELOADING=1\n");
        let micros = said.strip_prefix("RELOADING=1\nMONOTONIC_USEC=").unwrap().trim();
        assert!(micros.parse::<u64>().unwrap() > 0, "{said}");
        self.hears("READY=1");
    }
}

fn dir(scenario: &Scenario) -> PathBuf {
    scenario.config().parent().unwrap().to_owned()
}

/// Few queries, which are planned in a moment.
fn with_few_queries(scenario: &Scenario) {
    scenario.own_queries(&[
        "rollups/pilot-caller-day.sql",
        "rollups/source-hour.sql",
        "detections/unpromoted-production-traffic.sql",
        "detections/unpromoted-production-traffic.cases.toml",
    ]);
}

/// Registries `one` and `two`, valid, and `broken`, behind a link that nobody watches.
fn linked_registries(scenario: &Scenario) {
    let dir = dir(scenario);
    let text = std::fs::read_to_string(scenario.config()).unwrap();
    let (before, after) = text.split_once("[registry]\npath = \"").unwrap();
    let (from, after) = after.split_once('"').unwrap();
    for (name, also) in [
        ("one", ""),
        ("two", "\n[[person]]\nid = \"zoe\"\nname = \"Zoe\"\nemail = \"zoe@a.example\"\n"),
        ("broken", "\n[[person]]\nid = 1\n"),
    ] {
        std::fs::create_dir(dir.join(name)).unwrap();
        for file in std::fs::read_dir(from).unwrap().map(|file| file.unwrap()) {
            let mut text = std::fs::read_to_string(file.path()).unwrap();
            if file.file_name() == "people.toml" {
                text += also;
            }
            std::fs::write(dir.join(name).join(file.file_name()), text).unwrap();
        }
    }
    link(scenario, "one", "registry");
    std::fs::write(scenario.config(), format!("{before}[registry]\npath = \"registry\"{after}")).unwrap();
}

/// Queries behind such a link, and `next-queries`, in which one has another title.
fn linked_queries(scenario: &Scenario) {
    let dir = dir(scenario);
    std::fs::rename(dir.join("queries"), dir.join("former-queries")).unwrap();
    for folder in ["rollups", "detections"] {
        std::fs::create_dir_all(dir.join("next-queries").join(folder)).unwrap();
        let files = std::fs::read_dir(dir.join("former-queries").join(folder)).unwrap();
        for file in files.map(|file| file.unwrap()) {
            let text = std::fs::read_to_string(file.path()).unwrap();
            let text = text.replace("is in production without promotion", "runs in production");
            std::fs::write(dir.join("next-queries").join(folder).join(file.file_name()), text).unwrap();
        }
    }
    link(scenario, "former-queries", "queries");
}

/// Puts another folder in place of the present one, at once.
fn link(scenario: &Scenario, name: &str, place: &str) {
    let dir = dir(scenario);
    symlink(dir.join(name), dir.join("link")).unwrap();
    std::fs::rename(dir.join("link"), dir.join(place)).unwrap();
}

fn reloads(daemon: &Daemon, of: &str) -> (String, String) {
    let metrics = daemon.get("/metrics");
    let count = |kind: &str| {
        let name = format!("shadowprod_{of}_reloads_total{{kind=\"{kind}\"}} ");
        metrics.lines().find_map(|line| line.strip_prefix(&name)).unwrap_or("0").to_owned()
    };
    (count("applied"), count("refused"))
}

/// A lock for which the pipeline's next commit waits, ten seconds at most.
fn hold_state(scenario: &Scenario) -> rusqlite::Connection {
    let state = rusqlite::Connection::open(Path::new(&dir(scenario)).join("state/shadowprod.db")).unwrap();
    state.busy_timeout(DEADLINE).unwrap();
    state.execute_batch("BEGIN IMMEDIATE").unwrap();
    state
}

#[test]
fn supervisor_hears_of_start_reload_and_stop() {
    let Some((address, _shared)) = shared() else { return };
    let scenario = Scenario::new("unpromoted-production-traffic", &address);
    with_few_queries(&scenario);
    linked_registries(&scenario);
    linked_queries(&scenario);
    scenario.create_topics(&address);
    let supervisor = Supervisor::new(&scenario);
    let daemon = supervisor.start(&scenario, Duration::from_secs(10));
    supervisor.hears("READY=1");
    assert_eq!(daemon.get("/healthz"), "ok\n", "ready once the addresses answer");
    until("the broker answers", || (daemon.metric("shadowprod_ingest_broker_up") == 1.0).then_some(()));
    let counts = |applied: &str, refused: &str| (applied.to_owned(), refused.to_owned());
    assert_eq!(reloads(&daemon, "registry"), counts("0", "0"));

    link(&scenario, "two", "registry");
    supervisor.reload(&daemon);
    assert_eq!(reloads(&daemon, "registry"), counts("1", "0"), "in force when READY comes");
    link(&scenario, "broken", "registry");
    supervisor.reload(&daemon);
    assert_eq!(reloads(&daemon, "registry"), counts("1", "1"));
    assert!(daemon.get("/readyz").contains("\"registry\":{\"status\":\"degraded\""));
    supervisor.status_says("registry refused, see the log");
    supervisor.reload(&daemon);
    assert_eq!(reloads(&daemon, "registry"), counts("1", "2"), "said again");
    link(&scenario, "two", "registry");
    supervisor.reload(&daemon);
    assert_eq!(reloads(&daemon, "registry"), counts("2", "2"));
    supervisor.reload(&daemon);
    assert_eq!(reloads(&daemon, "registry"), counts("2", "2"), "nothing has changed");
    assert_eq!(reloads(&daemon, "query"), counts("0", "0"));
    link(&scenario, "next-queries", "queries");
    supervisor.reload(&daemon);
    assert_eq!(reloads(&daemon, "query"), counts("1", "0"), "in force when READY comes");

    scenario.produce(&address, 0.0, 0.5);
    supervisor.status_says("=0 messages behind; last commit 20");
    daemon.signal("TERM");
    supervisor.hears("STOPPING=1");
    let (code, log) = daemon.ended();
    assert_eq!(code, Some(0), "{log}");
    assert!(log.contains("registry refused, the last good one stays in force"), "{log}");
}

#[test]
fn watchdog_is_answered_while_the_pipeline_turns_and_not_while_it_hangs() {
    let Some((address, _shared)) = shared() else { return };
    let scenario = Scenario::new("unpromoted-production-traffic", &address);
    with_few_queries(&scenario);
    scenario.create_topics(&address);
    let supervisor = Supervisor::new(&scenario);
    let daemon = supervisor.start(&scenario, Duration::from_secs(1));
    supervisor.hears("READY=1");
    for _ in 0..4 {
        // Nothing to read, and it turns.
        supervisor.hears("WATCHDOG=1");
    }
    let held = hold_state(&scenario);
    scenario.produce(&address, 0.0, 0.5);
    supervisor.hears_no_watchdog_for(Duration::from_secs(2));
    assert_eq!(daemon.get("/healthz"), "ok\n", "the process is alive all the while");
    held.execute_batch("ROLLBACK").unwrap();
    supervisor.hears("WATCHDOG=1");
    daemon.stop();
}

#[test]
fn second_signal_ends_a_stop_that_hangs_and_nothing_is_lost() {
    let Some((address, _shared)) = shared() else { return };
    let scenario = Scenario::new("unpromoted-production-traffic", &address);
    let expected = scenario.replayed();
    scenario.create_topics(&address);
    let supervisor = Supervisor::new(&scenario);
    let daemon = supervisor.start(&scenario, Duration::from_secs(1));
    supervisor.hears("WATCHDOG=1");
    let held = hold_state(&scenario);
    scenario.produce(&address, 0.0, 0.5);
    supervisor.hears_no_watchdog_for(Duration::from_secs(1));
    daemon.signal("TERM");
    supervisor.hears("STOPPING=1");
    daemon.signal("INT");
    let (code, log) = daemon.ended();
    assert_eq!(code, Some(1), "{log}");
    assert!(log.contains("a second signal: ending at once; the state is that of the last commit"), "{log}");
    drop(held);
    scenario.produce(&address, 0.5, 1.0);
    let daemon = Daemon::start(&scenario.config());
    until("it goes on", || (daemon.confirmed() == expected).then_some(()));
    daemon.stop();
}

#[test]
fn daemon_without_a_broker_is_ready_turns_and_stops() {
    let scenario = Scenario::new("unpromoted-production-traffic", "127.0.0.1:1");
    with_few_queries(&scenario);
    let supervisor = Supervisor::new(&scenario);
    let daemon = supervisor.start(&scenario, Duration::from_secs(1));
    supervisor.hears("READY=1");
    supervisor.status_says("the broker does not answer; it is tried again; nothing committed yet");
    for _ in 0..4 {
        supervisor.hears("WATCHDOG=1");
    }
    daemon.stop();
    supervisor.hears("STOPPING=1");
}

#[test]
fn daemon_that_is_still_starting_outlives_a_hang_up_and_ends_when_told_to() {
    let scenario = Scenario::new("unpromoted-production-traffic", "127.0.0.1:1");
    drop(shadowprod::store::Store::open(&dir(&scenario).join("state")).unwrap());
    // Numbering the topics waits for it.
    let held = hold_state(&scenario);
    let supervisor = Supervisor::new(&scenario);
    let daemon = supervisor.spawn(&scenario);
    daemon.has_logged("reading 2 topics");
    daemon.signal("HUP");
    daemon.signal("TERM");
    let said = supervisor.hears("");
    assert!(said.starts_with("STOPPING=1\n"), "the first that it says: {said}");
    let (code, log) = daemon.ended();
    assert_eq!(code, Some(0), "{log}");
    assert!(log.contains("stopped before it had started"), "{log}");
    drop(held);
}
