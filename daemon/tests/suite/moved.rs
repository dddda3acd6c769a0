//! Facts about a state that is carried to another place: the daemon there goes on as if nothing had happened.
//!
//! In: the broker of [`crate::kafka`], scenarios of fixtures/. Out: findings of a daemon that read one half here and of one
//! that read the other half there, beside those of `shadowprod replay` over all of it.

use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use crate::kafka::{shared, unique, until};
use crate::process::{Daemon, Scenario};

fn shadowprod(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_shadowprod")).args(arguments).output().unwrap()
}

fn succeeds(arguments: &[&str]) -> serde_json::Value {
    let output = shadowprod(arguments);
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// Another config: state folder, consumer group and place of its own, the same topics and registry.
fn elsewhere(scenario: &Scenario) -> PathBuf {
    let config = scenario.config();
    let dir = config.parent().unwrap().join("elsewhere");
    std::fs::create_dir(&dir).unwrap();
    let text = std::fs::read_to_string(&config).unwrap();
    let lines = text.lines().map(|line| match line {
        line if line.starts_with("group = ") => format!("group = {:?}", unique("elsewhere")),
        "path = \"state\"" => "path = \"kept/here\"".to_owned(),
        line => line.to_owned(),
    });
    std::fs::write(dir.join("shadowprod.toml"), lines.collect::<Vec<_>>().join("\n")).unwrap();
    dir.join("shadowprod.toml")
}

/// Watches until the first line that `is_wanted`; that line, and what the watcher complained of.
fn watch(
    daemon: &Daemon,
    resume: &str,
    is_wanted: fn(&serde_json::Value) -> bool,
) -> (serde_json::Value, String) {
    let mut child = Command::new(env!("CARGO_BIN_EXE_shadowprod"))
        .args(["findings", "watch", "--format", "json", "--server", &daemon.grpc, "--resume", resume])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut parsed = lines.map(|line| serde_json::from_str(&line.unwrap()).unwrap());
    let line = parsed.find(is_wanted).expect("the watcher goes on until it is ended");
    child.kill().unwrap();
    child.wait().unwrap();
    let mut complaint = String::new();
    child.stderr.take().unwrap().read_to_string(&mut complaint).unwrap();
    (line, complaint)
}

/// Messages of the first half of a scenario.
fn first_half(scenario: &Scenario) -> usize {
    let dir = scenario.config();
    let files = std::fs::read_dir(dir.parent().unwrap()).unwrap().map(|entry| entry.unwrap().path());
    let logs = files.filter(|path| path.extension().is_some_and(|e| e == "jsonl"));
    logs.map(|path| std::fs::read_to_string(path).unwrap().lines().count() / 2).sum()
}

#[test]
fn daemon_elsewhere_goes_on_and_finds_what_replay_finds_byte_for_byte() {
    let Some((address, _shared)) = shared() else { return };
    for name in ["unpromoted-production-traffic", "shared-credential"] {
        let scenario = Scenario::new(name, &address);
        let expected = scenario.replayed();
        assert!(!expected.is_empty(), "{name} plants something");
        scenario.create_topics(&address);
        scenario.produce(&address, 0.0, 0.5);
        let first_half = first_half(&scenario);
        let daemon = Daemon::start(&scenario.config());
        let read = |daemon: &Daemon| daemon.metric("shadowprod_ingest_messages_total") as usize;
        until("the first half is read", || (read(&daemon) == first_half).then_some(()));
        let dir = scenario.config().parent().unwrap().to_owned();
        let path = |name: &str| dir.join(name).to_str().unwrap().to_owned();
        let (here, live, copy) = (path("shadowprod.toml"), path("live"), path("copy"));
        let while_it_runs =
            succeeds(&["state", "export", "--config", &here, "--out", &live, "--format", "json"]);
        let refused = shadowprod(&["state", "import", "--config", &here, "--from", &live]);
        assert_eq!(refused.status.code(), Some(2));
        let said = String::from_utf8(refused.stderr).unwrap();
        assert!(said.contains("in use by") && said.contains("process"), "{said}");
        let is_bookmark = |line: &serde_json::Value| line.get("bookmark").is_some();
        let (bookmark, _) = watch(&daemon, "", is_bookmark);
        let token = bookmark["resume_token"].as_str().unwrap();
        daemon.stop();
        let exported = succeeds(&["state", "export", "--config", &here, "--out", &copy, "--format", "json"]);
        assert_eq!(while_it_runs["manifest"]["schema"], exported["manifest"]["schema"]);
        let next = exported["manifest"]["next_offsets"].as_object().unwrap();
        let next = next.values().flat_map(|partitions| partitions.as_object().unwrap().values());
        assert_eq!(next.map(|next| next.as_u64().unwrap()).sum::<u64>(), first_half as u64);

        let there = elsewhere(&scenario);
        let config = there.to_str().unwrap();
        let imported =
            succeeds(&["state", "import", "--config", config, "--from", &copy, "--format", "json"]);
        assert_eq!(imported["manifest"], exported["manifest"]);
        let daemon = Daemon::start(&there);
        let (first, complaint) = watch(&daemon, token, |_| true);
        assert!(first.get("current").is_none() && complaint.is_empty(), "{first} {complaint}");
        scenario.produce(&address, 0.5, 1.0);
        until("the daemon there has what replay has", || (daemon.confirmed() == expected).then_some(()));
        assert_eq!(read(&daemon), scenario.messages() - first_half, "nothing is read twice");
        daemon.stop();
        let sound = succeeds(&["verify", "--config", config, "--format", "json"]);
        assert_eq!(sound["sound"], true);
    }
}

#[test]
fn damaged_copy_exits_with_1_and_says_what_to_do() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
    let (state, copy, other) = (path("state"), path("copy"), path("other"));
    drop(shadowprod::store::Store::open(Path::new(&state)).unwrap());
    std::fs::write(Path::new(&state).join("credential.key"), [7; 32]).unwrap();
    let exported = shadowprod(&["state", "export", "--state", &state, "--out", &copy]);
    assert!(exported.status.success());
    let table = String::from_utf8(exported.stdout).unwrap();
    for word in ["findings   0", "credential.key             32 B", "shadowprod.db", "history    0000"] {
        assert!(table.contains(word), "{word} in\n{table}");
    }
    std::fs::write(Path::new(&copy).join("credential.key"), [8; 32]).unwrap();
    let refused = shadowprod(&["state", "import", "--state", &other, "--from", &copy]);
    assert_eq!(refused.status.code(), Some(1));
    let said = String::from_utf8(refused.stderr).unwrap();
    assert!(said.contains("exported with") && said.contains("export it again"), "{said}");
    assert_eq!(shadowprod(&["state", "export", "--state", &state, "--out", &copy]).status.code(), Some(2));
    assert_eq!(shadowprod(&["state", "import", "--from", &copy]).status.code(), Some(2));
}
