//! Between findings and `shadowprod.v1`: the one place that knows both.
//!
//! In: a domain value or a message. Out: the other. Domain to message never fails; a message may come from a
//! newer server and then fails with the field that cannot be read.

mod explanation;

use jiff::Timestamp;
use shadowprod_proto::v1;

pub use explanation::{explanation, explanation_message};

use crate::findings::{
    ChangeKind, Evidence, Finding, FindingChange, FindingState, Owner, Parameter, Severity, Subject,
};

/// Why a message is not a value of the domain.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConvertError {
    /// A field that is never absent is absent.
    #[error("the server sent no {field}; is it older or newer than this program?")]
    Missing {
        /// Its name.
        field: &'static str,
    },
    /// A field holds a word or a time that this program does not know.
    #[error("the server sent {field} = `{value}`, which this program does not know; is the server newer?")]
    Unknown {
        /// Its name.
        field: &'static str,
        /// What was sent.
        value: String,
    },
}

/// The message of a finding.
pub fn finding_message(finding: &Finding) -> v1::Finding {
    v1::Finding {
        finding_id: finding.finding_id.clone(),
        detection: finding.detection.clone(),
        detection_version: finding.detection_version,
        subject: Some(v1::Subject { kind: finding.subject.kind.clone(), id: finding.subject.id.clone() }),
        severity: finding.severity.name().to_owned(),
        score: finding.score,
        coverage: finding.coverage,
        state: finding.state.name().to_owned(),
        owner: Some(v1::Owner {
            person: finding.owner.person.clone(),
            role: finding.owner.role.clone(),
            contact: finding.owner.contact.clone(),
        }),
        confirmed: finding.confirmed,
        first_seen: Some(time_message(finding.first_seen)),
        last_seen: Some(time_message(finding.last_seen)),
        episode: finding.episode,
        reopened: finding.reopened,
        evidence: finding.evidence.iter().map(evidence_message).collect(),
        title: finding.title.clone(),
        explanation: finding.explanation.clone(),
    }
}

/// The message of a change.
pub fn change_message(change: &FindingChange) -> v1::FindingChange {
    v1::FindingChange {
        kind: change.kind.name().to_owned(),
        at: Some(time_message(change.at)),
        finding: Some(finding_message(&change.finding)),
    }
}

/// The finding of a message.
pub fn finding(message: v1::Finding) -> Result<Finding, ConvertError> {
    Ok(Finding {
        finding_id: message.finding_id,
        detection: message.detection,
        detection_version: message.detection_version,
        subject: subject(message.subject)?,
        severity: word("severity", &message.severity, Severity::parse)?,
        score: message.score,
        coverage: message.coverage,
        state: word("state", &message.state, FindingState::parse)?,
        owner: owner(message.owner)?,
        confirmed: message.confirmed,
        first_seen: time("first_seen", message.first_seen)?,
        last_seen: time("last_seen", message.last_seen)?,
        episode: message.episode,
        reopened: message.reopened,
        evidence: message.evidence.into_iter().map(evidence).collect::<Result<_, _>>()?,
        title: message.title,
        explanation: message.explanation,
    })
}

/// The change of a message.
pub fn change(message: v1::FindingChange) -> Result<FindingChange, ConvertError> {
    Ok(FindingChange {
        kind: word("kind", &message.kind, ChangeKind::parse)?,
        at: time("at", message.at)?,
        finding: finding(message.finding.ok_or(ConvertError::Missing { field: "finding" })?)?,
    })
}

fn subject(message: Option<v1::Subject>) -> Result<Subject, ConvertError> {
    let v1::Subject { kind, id } = message.ok_or(ConvertError::Missing { field: "subject" })?;
    Ok(Subject { kind, id })
}

fn owner(message: Option<v1::Owner>) -> Result<Owner, ConvertError> {
    let v1::Owner { person, role, contact } = message.ok_or(ConvertError::Missing { field: "owner" })?;
    Ok(Owner { person, role, contact })
}

fn evidence_message(evidence: &Evidence) -> v1::Evidence {
    use v1::evidence::{Fact, Kind, Query, Range, Sample, Term};
    let kind = match evidence.clone() {
        Evidence::Term { name, value } => Kind::Term(Term { name, value }),
        Evidence::Fact { name, value } => Kind::Fact(Fact { name, value }),
        Evidence::Query { id, version, sha256, parameters } => {
            let parameters = parameters.into_iter().map(parameter_message).collect();
            Kind::Query(Query { id, version, sha256, parameters })
        }
        Evidence::Range { from, to } => {
            Kind::Range(Range { from: Some(time_message(from)), to: Some(time_message(to)) })
        }
        Evidence::Sample { topic, partition, offset } => Kind::Sample(Sample { topic, partition, offset }),
    };
    v1::Evidence { kind: Some(kind) }
}

fn evidence(message: v1::Evidence) -> Result<Evidence, ConvertError> {
    use v1::evidence::{Fact, Kind, Query, Sample, Term};
    Ok(match message.kind.ok_or(ConvertError::Missing { field: "evidence.kind" })? {
        Kind::Term(Term { name, value }) => Evidence::Term { name, value },
        Kind::Fact(Fact { name, value }) => Evidence::Fact { name, value },
        Kind::Query(Query { id, version, sha256, parameters }) => {
            let parameters = parameters.into_iter().map(parameter).collect();
            Evidence::Query { id, version, sha256, parameters }
        }
        Kind::Range(range) => {
            Evidence::Range { from: time("range.from", range.from)?, to: time("range.to", range.to)? }
        }
        Kind::Sample(Sample { topic, partition, offset }) => Evidence::Sample { topic, partition, offset },
    })
}

fn parameter_message(Parameter { name, value }: Parameter) -> v1::evidence::Parameter {
    v1::evidence::Parameter { name, value }
}

fn parameter(v1::evidence::Parameter { name, value }: v1::evidence::Parameter) -> Parameter {
    Parameter { name, value }
}

fn word<T>(field: &'static str, value: &str, parse: fn(&str) -> Option<T>) -> Result<T, ConvertError> {
    parse(value).ok_or_else(|| ConvertError::Unknown { field, value: value.to_owned() })
}

/// Nanoseconds of the message are never negative, also before 1970.
fn time_message(time: Timestamp) -> prost_types::Timestamp {
    let mut seconds = time.as_second();
    let mut nanos = time.subsec_nanosecond();
    if nanos < 0 {
        seconds -= 1;
        nanos += 1_000_000_000;
    }
    prost_types::Timestamp { seconds, nanos }
}

fn time(field: &'static str, message: Option<prost_types::Timestamp>) -> Result<Timestamp, ConvertError> {
    let prost_types::Timestamp { seconds, nanos } = message.ok_or(ConvertError::Missing { field })?;
    Timestamp::new(seconds, nanos)
        .map_err(|_| ConvertError::Unknown { field, value: format!("{seconds} s {nanos} ns") })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn time_of(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn every_kind_of_evidence() -> Vec<Evidence> {
        vec![
            Evidence::Term { name: "breadth".into(), value: Some(0.25) },
            Evidence::Term { name: "propagation".into(), value: None },
            Evidence::Fact { name: "callers".into(), value: "billing, web".into() },
            Evidence::Query {
                id: "unpromoted-production-traffic".into(),
                version: 3,
                sha256: "ab".repeat(32),
                parameters: vec![Parameter { name: "requests_min".into(), value: 20.0 }],
            },
            Evidence::Range {
                from: time_of("1969-12-31T23:59:59.25Z"),
                to: time_of("2026-01-05T09:00:00.000001Z"),
            },
            Evidence::Sample { topic: "gateway".into(), partition: 7, offset: 1 << 39 },
        ]
    }

    fn sample_finding() -> Finding {
        Finding {
            finding_id: format!("f_{}", "0".repeat(32)),
            detection: "unpromoted-production-traffic".into(),
            detection_version: 3,
            subject: Subject { kind: "pilot".into(), id: "claims-triage".into() },
            severity: Severity::Critical,
            score: 0.93,
            coverage: 1.0,
            state: FindingState::Open,
            owner: Owner { person: "mia".into(), role: "pilot_owner".into(), contact: "#ai".into() },
            confirmed: true,
            first_seen: time_of("2026-01-05T08:00:00Z"),
            last_seen: time_of("2026-01-05T09:00:00.5Z"),
            episode: 1,
            reopened: 0,
            evidence: every_kind_of_evidence(),
            title: "claims-triage is in production".into(),
            explanation: "Nobody promoted it.".into(),
        }
    }

    #[test]
    fn change_survives_the_wire() {
        for kind in ChangeKind::ALL {
            let told = FindingChange { kind, at: time_of("2026-01-05T09:00:00Z"), finding: sample_finding() };
            assert_eq!(change(change_message(&told)), Ok(told));
        }
    }

    #[test]
    fn words_on_the_wire_are_the_words_of_json() {
        fn json(value: impl serde::Serialize) -> String {
            serde_json::to_string(&value).unwrap().trim_matches('"').to_owned()
        }
        assert!(Severity::ALL.iter().all(|s| json(s) == s.name()));
        assert!(FindingState::ALL.iter().all(|s| json(s) == s.name()));
        assert!(ChangeKind::ALL.iter().all(|k| json(k) == k.name()));
    }

    #[test]
    fn unknown_word_is_named() {
        let message = v1::Finding { severity: "apocalyptic".into(), ..finding_message(&sample_finding()) };
        let error = finding(message).unwrap_err();
        assert_eq!(error, ConvertError::Unknown { field: "severity", value: "apocalyptic".into() });
    }

    #[test]
    fn absent_finding_is_named() {
        let message = v1::FindingChange { kind: "opened".into(), at: None, finding: None };
        assert_eq!(change(message).unwrap_err(), ConvertError::Missing { field: "at" });
    }
}
