//! Notifying from the real store to a real HTTP listener, over real sockets.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::sync::mpsc::{self, Receiver as Inbox};

use serde_json::Value;
use tempfile::TempDir;
use tokio::sync::watch;

use super::*;
use crate::findings::{ChangeKind, FindingChange, Owner, Subject, Tracked};
use crate::store::{Commit, Store};

/// An Alertmanager of which only the door is there: it answers with these statuses, then with 200.
fn listener(statuses: &'static [u16]) -> (String, Inbox<Value>) {
    let socket = TcpListener::bind("127.0.0.1:0").unwrap();
    let base = format!("http://{}", socket.local_addr().unwrap());
    let (posts, inbox) = mpsc::channel();
    std::thread::spawn(move || {
        let mut statuses = statuses.iter();
        while let Ok((stream, _)) = socket.accept() {
            let mut reader = BufReader::new(stream);
            let mut length = 0;
            let mut line = String::new();
            while reader.read_line(&mut line).unwrap_or(0) > 2 {
                if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                    length = value.trim().parse().unwrap();
                }
                line.clear();
            }
            let mut body = vec![0; length];
            reader.read_exact(&mut body).unwrap();
            let status = statuses.next().unwrap_or(&200);
            let answer = format!("HTTP/1.1 {status} x\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
            reader.get_mut().write_all(answer.as_bytes()).unwrap();
            if posts.send(serde_json::from_slice(&body).unwrap()).is_err() {
                return;
            }
        }
    });
    (base, inbox)
}

struct House {
    store: Store,
    committed: watch::Sender<u64>,
    shutdown: watch::Sender<bool>,
    metrics: Arc<Metrics>,
    dir: TempDir,
}

impl House {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let (store, recovered) = Store::open(dir.path()).unwrap();
        Self {
            store,
            committed: watch::Sender::new(recovered.change_seq),
            shutdown: watch::Sender::new(false),
            metrics: Arc::new(Metrics::new()),
            dir,
        }
    }

    fn commit(&mut self, kind: ChangeKind, finding: Finding) {
        self.commit_all(kind, vec![finding]);
    }

    fn commit_all(&mut self, kind: ChangeKind, findings: Vec<Finding>) {
        let tracked = |finding: &Finding| Tracked {
            finding: finding.clone(),
            quiet_since: None,
            resolved_at: None,
            early_at: (!finding.confirmed).then_some(finding.last_seen),
        };
        let tracked = findings.iter().map(tracked).collect();
        let change = |finding: Finding| FindingChange { kind, at: finding.last_seen, finding };
        let changes = findings.into_iter().map(change).collect();
        let commit = Commit { changes, tracked, ..Commit::default() };
        self.committed.send_replace(self.store.commit(&commit).unwrap().change_seq);
    }

    fn notify(&self, alertmanagers: Vec<String>) -> Notifying {
        let settings = Settings::of(&NotifyConfig { alertmanagers, severity_min: None }).unwrap();
        let (committed, shutdown) = (self.committed.subscribe(), self.shutdown.subscribe());
        start(&settings, self.dir.path(), self.metrics.clone(), committed, shutdown).unwrap()
    }

    fn posts(&self, kind: &'static str) -> u64 {
        self.metrics.notify_posts.get_or_create(&KindLabel { kind }).get()
    }
}

fn finding(id: &str, severity: Severity) -> Finding {
    let time = "2026-01-05T08:00:00Z".parse().unwrap();
    Finding {
        finding_id: id.to_owned(),
        detection: "shared-credential".to_owned(),
        detection_version: 1,
        subject: Subject { kind: "credential".to_owned(), id: format!("c_{id}") },
        severity,
        score: 0.9,
        coverage: 1.0,
        state: FindingState::Open,
        owner: Owner { person: "mia".to_owned(), ..Owner::default() },
        confirmed: true,
        first_seen: time,
        last_seen: time,
        episode: 1,
        reopened: 0,
        evidence: Vec::new(),
        title: "shared".to_owned(),
        explanation: "x".to_owned(),
    }
}

/// finding id, confirmed, whether it still holds.
fn told(post: &Value) -> Vec<(String, String, bool)> {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let holds = |alert: &Value| text(&alert["endsAt"]).parse::<Timestamp>().unwrap() > Timestamp::now();
    post.as_array()
        .unwrap()
        .iter()
        .map(|a| (text(&a["labels"]["finding_id"]), text(&a["annotations"]["confirmed"]), holds(a)))
        .collect()
}

fn row(id: &str, confirmed: &str, holds: bool) -> (String, String, bool) {
    (id.to_owned(), confirmed.to_owned(), holds)
}

#[test]
fn finding_is_told_when_it_opens_when_it_is_confirmed_and_when_it_ends() {
    let mut house = House::new();
    house.commit(ChangeKind::Early, Finding { confirmed: false, ..finding("f_1", Severity::High) });
    let (base, inbox) = listener(&[]);
    let notifying = house.notify(vec![base]);
    assert_eq!(told(&inbox.recv().unwrap()), [row("f_1", "false", true)]);
    house.commit(ChangeKind::Opened, finding("f_1", Severity::High));
    assert_eq!(told(&inbox.recv().unwrap()), [row("f_1", "true", true)]);
    let ended = Finding { state: FindingState::Resolved, ..finding("f_1", Severity::High) };
    house.commit(ChangeKind::Resolved, ended);
    assert_eq!(told(&inbox.recv().unwrap()), [row("f_1", "true", false)]);
    house.shutdown.send_replace(true);
    notifying.ended();
    assert_eq!((house.posts("delivered"), house.posts("failed")), (3, 0));
}

#[test]
fn only_severe_findings_page() {
    let mut house = House::new();
    house.commit(ChangeKind::Opened, finding("f_low", Severity::Medium));
    house.commit(ChangeKind::Opened, finding("f_high", Severity::High));
    let (base, inbox) = listener(&[]);
    house.notify(vec![base]);
    assert_eq!(told(&inbox.recv().unwrap()), [row("f_high", "true", true)]);
    house.shutdown.send_replace(true);
}

#[test]
fn refused_post_is_counted_and_tried_again() {
    let mut house = House::new();
    house.commit(ChangeKind::Opened, finding("f_1", Severity::High));
    let (base, inbox) = listener(&[500]);
    let notifying = house.notify(vec![base]);
    let first = inbox.recv().unwrap();
    assert_eq!(told(&first), told(&inbox.recv().unwrap()));
    house.shutdown.send_replace(true);
    notifying.ended();
    assert_eq!((house.posts("delivered"), house.posts("failed")), (1, 1));
}

#[test]
fn instance_that_never_answers_delays_no_other() {
    let mut house = House::new();
    house.commit(ChangeKind::Opened, finding("f_1", Severity::High));
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let (base, inbox) = listener(&[]);
    house.notify(vec![format!("http://{}", silent.local_addr().unwrap()), base]);
    assert_eq!(told(&inbox.recv().unwrap()), [row("f_1", "true", true)]);
    assert_eq!(house.posts("failed"), 0);
    house.shutdown.send_replace(true);
}

#[test]
fn many_alerts_are_told_in_several_posts() {
    let mut house = House::new();
    let count = crate::limits::ALERTS_PER_POST_MAX + 1;
    let findings = (0..count).map(|number| finding(&format!("f_{number}"), Severity::High)).collect();
    house.commit_all(ChangeKind::Opened, findings);
    let (base, inbox) = listener(&[]);
    house.notify(vec![base]);
    let sizes = [inbox.recv().unwrap(), inbox.recv().unwrap()].map(|post| told(&post).len());
    assert_eq!(sizes, [count - 1, 1]);
    house.shutdown.send_replace(true);
}

#[test]
fn findings_beyond_what_an_alertmanager_is_told_of_are_counted() {
    let mut house = House::new();
    let count = crate::limits::ALERTS_MAX + 3;
    let findings = (0..count).map(|number| finding(&format!("f_{number}"), Severity::High)).collect();
    house.commit_all(ChangeKind::Opened, findings);
    let (base, inbox) = listener(&[]);
    let notifying = house.notify(vec![base]);
    let posts = crate::limits::ALERTS_MAX / crate::limits::ALERTS_PER_POST_MAX;
    let sent: usize = (0..posts).map(|_| told(&inbox.recv().unwrap()).len()).sum();
    house.shutdown.send_replace(true);
    notifying.ended();
    assert_eq!((sent, house.metrics.notify_untold.get()), (crate::limits::ALERTS_MAX, 3));
}

#[test]
fn wrong_settings_name_the_finding_and_the_fix() {
    let wrong = NotifyConfig { alertmanagers: vec![], severity_min: Some("loud".to_owned()) };
    let error = Settings::of(&wrong).unwrap_err().to_string();
    assert!(error.contains("severity_min = \"loud\"") && error.contains("critical"), "{error}");
    let wrong = NotifyConfig { alertmanagers: vec!["am:9093".to_owned()], severity_min: None };
    let error = Settings::of(&wrong).unwrap_err().to_string();
    assert!(error.contains("`am:9093`") && error.contains("http://127.0.0.1:9093"), "{error}");
}
