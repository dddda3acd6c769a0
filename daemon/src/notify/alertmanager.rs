//! Alertmanager's v2 API: alerts out of open findings, and what it has to hear when they end.
//!
//! In: the open findings and the time. Out: the complete set of alerts, posted. Alerts that ended are told for
//! a while; what nobody tells any more ends by itself at its `endsAt`. No secret is in a finding or in here.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde::Serialize;

use super::NotifyError;
use crate::findings::Finding;
use crate::limits::ALERTS_PER_POST_MAX;

/// An alert holds for this long after it was told, so that it ends by itself where the daemon died.
pub const HOLDS: SignedDuration = SignedDuration::from_mins(3);
/// An alert that ended is told for this long, so that an Alertmanager that was away hears of it.
const ENDED_TOLD: SignedDuration = SignedDuration::from_mins(15);
/// One post, everything included.
const POST_TIMEOUT: Duration = Duration::from_secs(5);
/// Bytes of an Alertmanager's answer that are shown to a person.
const ANSWER_BYTES_MAX: u64 = 1_024;
/// The owner label of a finding that nobody owns; Alertmanager drops empty labels.
pub const NOBODY: &str = "nobody";

/// What identifies an alert: the same labels are the same alert.
type Labels = BTreeMap<&'static str, String>;

/// One alert as `POST /api/v2/alerts` takes it (Alertmanager's openapi.yaml, `postableAlert`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Alert {
    labels: Labels,
    annotations: Labels,
    starts_at: Timestamp,
    ends_at: Timestamp,
}

/// An alert and whether it ended.
#[derive(Debug)]
struct Known {
    annotations: Labels,
    starts_at: Timestamp,
    ended_at: Option<Timestamp>,
    /// The last [`Board::put`] that found it open.
    round: u64,
}

/// Everything one Alertmanager has to know.
#[derive(Debug, Default)]
pub struct Board {
    known: BTreeMap<Labels, Known>,
    round: u64,
    changed: bool,
}

impl Board {
    /// Takes the complete set of open findings: what is missing has ended.
    pub fn put(&mut self, open: &[Finding], now: Timestamp) {
        self.round += 1;
        for finding in open {
            self.put_open(finding, now);
        }
        for known in self.known.values_mut() {
            if known.round < self.round && known.ended_at.is_none() {
                known.ended_at = Some(now);
                self.changed = true;
            }
        }
    }

    fn put_open(&mut self, finding: &Finding, now: Timestamp) {
        let labels = labels(finding);
        let known = Known {
            annotations: annotations(finding),
            starts_at: finding.first_seen.min(now),
            ended_at: None,
            round: self.round,
        };
        let same = |before: &Known| {
            before.ended_at.is_none()
                && before.annotations.get("confirmed") == known.annotations.get("confirmed")
        };
        self.changed |= !self.known.get(&labels).is_some_and(same);
        self.known.insert(labels, known);
    }

    /// Whether an alert began, ended or was confirmed since the last delivery.
    pub fn changed(&self) -> bool {
        self.changed
    }

    /// The complete set: open ones hold for [`HOLDS`] from now on.
    pub fn alerts(&self, now: Timestamp) -> Vec<Alert> {
        let alert = |(labels, known): (&Labels, &Known)| Alert {
            labels: labels.clone(),
            annotations: known.annotations.clone(),
            starts_at: known.starts_at,
            ends_at: known.ended_at.unwrap_or(now + HOLDS),
        };
        self.known.iter().map(alert).collect()
    }

    /// The Alertmanager heard everything: forgets what ended long enough ago.
    pub fn delivered(&mut self, now: Timestamp) {
        self.changed = false;
        self.known
            .retain(|_, known| known.ended_at.is_none_or(|ended| now.duration_since(ended) < ENDED_TOLD));
    }
}

fn labels(finding: &Finding) -> Labels {
    let owner = if finding.owner.person.is_empty() { NOBODY } else { &finding.owner.person };
    Labels::from([
        ("alertname", finding.detection.clone()),
        ("detection", finding.detection.clone()),
        ("finding_id", finding.finding_id.clone()),
        ("owner", owner.to_owned()),
        ("severity", finding.severity.name().to_owned()),
        ("subject", finding.subject.id.clone()),
    ])
}

fn annotations(finding: &Finding) -> Labels {
    Labels::from([
        ("confirmed", finding.confirmed.to_string()),
        ("contact", finding.owner.contact.clone()),
        ("explanation", finding.explanation.clone()),
        ("owner_role", finding.owner.role.clone()),
        ("score", format!("{:.2}", finding.score)),
        ("title", finding.title.clone()),
    ])
}

/// Where alerts are posted, from an Alertmanager's base URL.
pub fn url(base: &str) -> Result<String, NotifyError> {
    let bad = |problem: String| NotifyError::Url { found: base.to_owned(), problem };
    let uri: ureq::http::Uri = base.parse().map_err(|error| bad(format!("is no URL ({error})")))?;
    if !matches!(uri.scheme_str(), Some("http" | "https")) {
        return Err(bad("does not begin with http:// or https://".to_owned()));
    }
    if uri.query().is_some() {
        return Err(bad("has a query".to_owned()));
    }
    Ok(format!("{}/api/v2/alerts", base.trim_end_matches('/')))
}

/// Posts alerts to one Alertmanager.
#[derive(Debug)]
pub struct Poster {
    url: String,
    agent: ureq::Agent,
}

impl Poster {
    /// For a URL made by [`url`]. Goes there directly: no proxy, no redirect.
    pub fn new(url: String) -> Self {
        let config = ureq::Agent::config_builder()
            .timeout_global(Some(POST_TIMEOUT))
            .http_status_as_error(false)
            .max_redirects(0)
            .proxy(None)
            .user_agent(concat!("shadowprod/", env!("CARGO_PKG_VERSION")))
            .build();
        Self { url, agent: config.new_agent() }
    }

    /// Where it posts.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Posts all alerts, ALERTS_PER_POST_MAX at a time. An error is a text for a person.
    pub fn post(&self, alerts: &[Alert]) -> Result<(), String> {
        alerts.chunks(ALERTS_PER_POST_MAX).try_for_each(|some| self.post_some(some))
    }

    fn post_some(&self, alerts: &[Alert]) -> Result<(), String> {
        let mut answer = self.agent.post(&self.url).send_json(alerts).map_err(|error| error.to_string())?;
        if answer.status().is_success() {
            return Ok(());
        }
        let body = answer.body_mut().with_config().limit(ANSWER_BYTES_MAX).read_to_string();
        Err(format!("{}: {}", answer.status(), body.unwrap_or_default().trim()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::findings::{FindingState, Owner, Severity, Subject};

    fn at(minute: i64) -> Timestamp {
        Timestamp::from_second(1_767_600_000 + 60 * minute).unwrap()
    }

    fn finding(id: &str, severity: Severity) -> Finding {
        Finding {
            finding_id: id.to_owned(),
            detection: "shared-credential".to_owned(),
            detection_version: 1,
            subject: Subject { kind: "credential".to_owned(), id: "c_1".to_owned() },
            severity,
            score: 0.876,
            coverage: 1.0,
            state: FindingState::Open,
            owner: Owner {
                person: "mia".to_owned(),
                role: "credential_owner".to_owned(),
                contact: "#ai".to_owned(),
            },
            confirmed: true,
            first_seen: at(-10),
            last_seen: at(0),
            episode: 1,
            reopened: 0,
            evidence: Vec::new(),
            title: "people and workloads share a key".to_owned(),
            explanation: "Both used it.".to_owned(),
        }
    }

    /// finding id, severity, minutes until it ends.
    fn told(board: &Board, now: Timestamp) -> Vec<(String, String, i64)> {
        let alerts = board.alerts(now);
        alerts
            .iter()
            .map(|a| {
                (
                    a.labels["finding_id"].clone(),
                    a.labels["severity"].clone(),
                    a.ends_at.duration_since(now).as_mins(),
                )
            })
            .collect()
    }

    #[test]
    fn alert_is_what_alertmanager_takes() {
        let mut board = Board::default();
        board.put(&[finding("f_1", Severity::High)], at(0));
        let json = serde_json::to_value(board.alerts(at(0))).unwrap();
        assert_eq!(
            json,
            serde_json::json!([{
                "labels": {"alertname": "shared-credential", "detection": "shared-credential", "finding_id": "f_1",
                           "owner": "mia", "severity": "high", "subject": "c_1"},
                "annotations": {"confirmed": "true", "contact": "#ai", "explanation": "Both used it.",
                                "owner_role": "credential_owner", "score": "0.88",
                                "title": "people and workloads share a key"},
                "startsAt": at(-10).to_string(),
                "endsAt": at(3).to_string(),
            }])
        );
    }

    #[test]
    fn finding_without_owner_is_nobodys() {
        let mut board = Board::default();
        board.put(&[Finding { owner: Owner::default(), ..finding("f_1", Severity::High) }], at(0));
        assert_eq!(board.alerts(at(0))[0].labels["owner"], NOBODY);
    }

    #[test]
    fn open_finding_holds_anew_each_time() {
        let mut board = Board::default();
        for minute in [0, 1, 60] {
            board.put(&[finding("f_1", Severity::High)], at(minute));
            assert_eq!(told(&board, at(minute)), [("f_1".to_owned(), "high".to_owned(), 3)]);
        }
    }

    #[test]
    fn resolved_finding_is_told_for_a_quarter_of_an_hour() {
        let mut board = Board::default();
        board.put(&[finding("f_1", Severity::High)], at(0));
        board.delivered(at(0));
        board.put(&[], at(1));
        assert!(board.changed());
        board.delivered(at(1));
        board.put(&[], at(15));
        assert_eq!(told(&board, at(15)), [("f_1".to_owned(), "high".to_owned(), -14)]);
        board.delivered(at(15));
        assert!(!board.changed());
        board.put(&[], at(16));
        board.delivered(at(16));
        assert!(board.alerts(at(16)).is_empty());
    }

    #[test]
    fn undelivered_end_is_kept_until_it_is_delivered() {
        let mut board = Board::default();
        board.put(&[finding("f_1", Severity::High)], at(0));
        board.put(&[], at(1));
        board.put(&[], at(60));
        assert!(board.changed());
        assert_eq!(board.alerts(at(60)).len(), 1);
    }

    #[test]
    fn change_of_severity_ends_one_alert_and_begins_another() {
        let mut board = Board::default();
        board.put(&[finding("f_1", Severity::High)], at(0));
        board.put(&[finding("f_1", Severity::Critical)], at(1));
        let expected =
            [("f_1".to_owned(), "critical".to_owned(), 3), ("f_1".to_owned(), "high".to_owned(), 0)];
        assert_eq!(told(&board, at(1)), expected);
    }

    #[test]
    fn confirmation_is_a_change_and_another_score_is_not() {
        let mut board = Board::default();
        let early = Finding { confirmed: false, ..finding("f_1", Severity::High) };
        board.put(std::slice::from_ref(&early), at(0));
        assert_eq!(board.alerts(at(0))[0].annotations["confirmed"], "false");
        board.delivered(at(0));
        board.put(&[Finding { score: 0.9, ..early }], at(0));
        assert!(!board.changed());
        board.put(&[finding("f_1", Severity::High)], at(0));
        assert!(board.changed());
    }

    #[test]
    fn event_ahead_of_the_clock_starts_now() {
        let mut board = Board::default();
        board.put(&[finding("f_1", Severity::High)], at(-30));
        assert_eq!(board.alerts(at(-30))[0].starts_at, at(-30));
    }

    #[test]
    fn base_url_is_checked() {
        let good = [
            ("http://127.0.0.1:9093", "http://127.0.0.1:9093/api/v2/alerts"),
            ("https://am.example/prefix/", "https://am.example/prefix/api/v2/alerts"),
        ];
        for (base, expected) in good {
            assert_eq!(url(base).unwrap(), expected);
        }
        for bad in ["", "127.0.0.1:9093", "ftp://x", "http://", "http://x?y=1", "/api"] {
            assert!(url(bad).is_err(), "{bad}");
        }
    }
}
