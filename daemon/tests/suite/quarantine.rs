//! Facts about what could not be decoded: kept by the daemon's own pipeline, read by `shadowprod quarantine`.
//!
//! In: files of messages; for reading again from Kafka the broker of [`crate::kafka`]. Out: what the command prints.

use std::path::PathBuf;
use std::process::{Command, Output};
use std::time::Duration;

use serde_json::Value;
use shadowprod::config::Config;
use shadowprod::daemon;
use shadowprod::ingest::kafka::fetch;
use shadowprod::ingest::{Position, Source};
use shadowprod::pipeline::Pipeline;

use crate::house;
use crate::kafka::{Admin, kafka, new_producer, payloads, produce, shared, unique};

/// A folder with a config, one log and the state that a daemon left of it.
struct Place {
    dir: tempfile::TempDir,
}

impl Place {
    fn new(messages: &[&str]) -> Self {
        let place = Self { dir: tempfile::tempdir().unwrap() };
        std::fs::write(place.dir.path().join("audit.jsonl"), messages.join("\n") + "\n").unwrap();
        place
    }

    /// Writes the config: the log is said to be of this format.
    fn config(&self, format: &str) -> PathBuf {
        house::write_config(self.dir.path(), format)
    }

    /// What the daemon's thread does with the log, up to a commit. The pipeline keeps the state locked.
    fn ingest(&self, format: &str) -> Pipeline {
        let config = Config::load(&self.config(format)).unwrap();
        let mut pipeline = Pipeline::open(house::parts(&config)).unwrap();
        let mut source = house::log(self.dir.path(), &config, &pipeline, 2);
        while let Some(batch) = source.next_batch(Duration::ZERO).unwrap() {
            pipeline.step(&batch, daemon::wall_clock()).unwrap();
        }
        pipeline.commit(daemon::wall_clock).unwrap();
        pipeline
    }

    fn run(&self, arguments: &[&str]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_shadowprod"))
            .arg("quarantine")
            .args(arguments)
            .arg("--config")
            .arg(self.dir.path().join("shadowprod.toml"))
            .output()
            .unwrap()
    }

    fn text(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    /// One JSON object a line, whatever the exit code.
    fn json(&self, arguments: &[&str]) -> Vec<Value> {
        let output = self.run(&[arguments, &["--format", "json"]].concat());
        let text = String::from_utf8(output.stdout).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

fn ids(rejects: &[Value]) -> Vec<&str> {
    rejects.iter().map(|reject| reject["id"].as_str().unwrap()).collect()
}

fn outcomes(rejects: &[Value]) -> Vec<&str> {
    rejects.iter().map(|reject| reject["retry"]["outcome"].as_str().unwrap()).collect()
}

const RECORD: &str = r#"{"eventTime":"2026-03-02T08:00:05Z","eventSource":"s3.amazonaws.com","eventName":"GetObject","eventID":"1f0c5a3e-0000-4000-8000-000000000001","userIdentity":{"type":"IAMUser","arn":"arn:aws:iam::111122223333:user/ada"}}"#;

fn messages() -> [String; 4] {
    [
        RECORD.to_owned(),
        format!(r#"{{"Records":[{RECORD},{{"eventSource":"x","password":"hunter2","note":"harmless"}}]}}"#),
        r#"{"cut":"off"#.to_owned(),
        RECORD.replace("GetObject", "PutObject"),
    ]
}

#[test]
fn rejects_are_listed_and_shown_while_the_state_is_in_use() {
    let messages = messages();
    let place = Place::new(&messages.each_ref().map(String::as_str));
    let _running = place.ingest("cloudtrail");
    let all = place.json(&["list"]);
    assert_eq!(ids(&all), ["audit/0/1/1", "audit/0/2/0"]);
    assert_eq!(all[0]["reason"], "missing_field");
    assert_eq!((&all[0]["source"], &all[0]["format"]), (&"cloud".into(), &"cloudtrail".into()));
    assert_eq!(ids(&place.json(&["list", "--reason", "not_json"])), ["audit/0/2/0"]);
    assert_eq!(place.json(&["list", "--source", "cloud", "--since", "1h"]).len(), 2);
    assert_eq!(place.json(&["list", "--source", "audit"]).len(), 2);
    assert_eq!(place.json(&["list", "--source", "other"]), Vec::<Value>::new());
    assert_eq!(place.json(&["list", "--since", "2999-01-01T00:00:00Z"]), Vec::<Value>::new());
    let lines = place.text(&["list"]);
    assert!(lines.lines().next().unwrap().contains("\tcloud\tmissing_field\taudit/0/1/1\t-\t"), "{lines}");
    let shown = place.text(&["show", "audit/0/1/1"]);
    for expected in ["missing_field", "offset     1", "index      1", "never", r#""note":"harmless""#] {
        assert!(shown.contains(expected), "{expected} in {shown}");
    }
    assert!(!shown.contains("hunter2"), "{shown}");
    let unknown = place.run(&["show", "audit/0/9/0"]);
    assert_eq!(unknown.status.code(), Some(1));
    let refused = place.run(&["list", "--reason", "bad_luck"]);
    assert_eq!(refused.status.code(), Some(2));
}

#[test]
fn retry_says_what_decodes_with_the_config_of_today_and_remembers_it() {
    let messages = messages();
    let place = Place::new(&messages.each_ref().map(String::as_str));
    let _running = place.ingest("envoy");
    let input = place.dir.path().to_str().unwrap();
    assert_eq!(place.json(&["list"]).len(), 5, "nothing is of that format");
    let again = place.json(&["retry", "--input", input]);
    assert_eq!(outcomes(&again), ["rejected"; 5]);
    place.config("cloudtrail");
    let output = place.run(&["retry", "--input", input]);
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).starts_with("3 of 5 decode now"), "{output:?}");
    let remembered = place.json(&["list"]);
    assert_eq!(outcomes(&remembered), ["decodes", "decodes", "rejected", "rejected", "decodes"]);
    assert_eq!(remembered[2]["retry"]["detail"], "missing_field: eventTime");
    assert!(place.text(&["show", "audit/0/0/0"]).contains(", decodes\n"));
    let one = place.run(&["retry", "audit/0/3/0", "--input", input]);
    assert_eq!(one.status.code(), Some(0), "{one:?}");
    assert_eq!(place.run(&["retry", "audit/0/77/0", "--input", input]).status.code(), Some(2));
}

#[test]
fn retry_notices_messages_that_are_gone_or_replaced() {
    let messages = messages();
    let place = Place::new(&messages.each_ref().map(String::as_str));
    let _running = place.ingest("cloudtrail");
    let input = place.dir.path().to_str().unwrap();
    std::fs::write(place.dir.path().join("audit.jsonl"), format!("{RECORD}\n{RECORD}\n")).unwrap();
    assert_eq!(outcomes(&place.json(&["retry", "--input", input])), ["replaced", "gone"]);
}

#[test]
fn state_folder_without_a_state_is_named() {
    let place = Place::new(&[]);
    place.config("auto");
    let output = place.run(&["list"]);
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(2));
    assert!(told.contains("no state in it") && told.contains("state.path"), "{told}");
}

#[test]
fn messages_are_read_again_by_their_positions_and_the_deleted_are_gone() {
    let Some((address, _shared)) = shared() else { return };
    let (admin, producer) = (Admin::new(&address), new_producer(&address));
    let topics = [unique("again"), unique("missing")];
    admin.create(&topics[0], 2);
    produce(&producer, &topics[0], 0, payloads(0..5_000));
    produce(&producer, &topics[0], 1, payloads(100..110));
    admin.delete_before(&topics[0], 0, 7);
    let places =
        [(0, 0, 6), (0, 0, 7), (0, 0, 8), (0, 0, 4_321), (0, 0, 5_000), (0, 1, 9), (0, 2, 0), (1, 0, 0)];
    let wanted = places.map(|(topic, partition, offset)| Position { topic, partition, offset });
    let mut found = Vec::new();
    let each = |position: Position, message: Option<&[u8]>| {
        found.push((position, message.map(|m| String::from_utf8(m.to_vec()).unwrap())));
    };
    fetch(&kafka(&address), &topics, &wanted, each).unwrap();
    found.sort();
    let texts: Vec<Option<&str>> = found.iter().map(|(_, text)| text.as_deref()).collect();
    let message = |text| Some(text);
    assert_eq!(
        texts,
        [
            None,
            message(r#"{"message":7}"#),
            message(r#"{"message":8}"#),
            message(r#"{"message":4321}"#),
            None,
            message(r#"{"message":109}"#),
            None,
            None
        ]
    );
    assert_eq!(found.iter().map(|(position, _)| *position).collect::<Vec<_>>(), wanted);
}
