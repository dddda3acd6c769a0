//! Compares what was found with what was planted.
//!
//! In: labels, look-alikes, findings. Out: a [`Verdict`]. Open and resolved findings count alike: a
//! look-alike that fired and went quiet again was not quiet. What a detection says of one subject counts once, however
//! many episodes it has.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use jiff::Timestamp;
use shadowprod_world::{ExpectedSubject, Label, LookAlike};

use crate::enrich::CredentialKey;
use crate::findings::{Finding, FindingChange, FindingState, Severity};

/// What one detection said of one subject.
#[derive(Debug, Clone)]
pub struct Sighting {
    /// The finding as it is at last; of several episodes the last.
    pub finding: Finding,
    /// Event time at which it was first told.
    pub opened: Timestamp,
    /// Event time at which it was resolved; `None` while it is open.
    pub resolved: Option<Timestamp>,
    /// The worst that it ever was.
    pub worst: Severity,
    /// Everybody who was its owner, in order.
    pub owners: Vec<String>,
}

/// A planted incident that was found.
#[derive(Debug, Clone)]
pub struct Found {
    /// What was planted.
    pub label: Label,
    /// What was found.
    pub sighting: Sighting,
}

impl Found {
    /// From the first moment at which it could be known; an incident seen earlier took no time. Seconds.
    pub fn time_to_detect(&self) -> f64 {
        self.sighting.opened.duration_since(self.label.from).as_secs_f64().max(0.0)
    }
}

/// A finding that nobody planted.
#[derive(Debug, Clone)]
pub struct Unexpected {
    /// What was found.
    pub sighting: Sighting,
    /// The look-alike's name where it is one.
    pub look_alike: Option<String>,
}

/// What came out against what was planted.
#[derive(Debug, Clone, Default)]
pub struct Verdict {
    /// Planted and found.
    pub found: Vec<Found>,
    /// Planted and not found.
    pub missed: Vec<Label>,
    /// Found and not planted.
    pub unexpected: Vec<Unexpected>,
    /// Names of look-alikes of which nothing fired, in name order.
    pub quiet: Vec<String>,
}

impl Verdict {
    /// Exactly the planted incidents were found.
    pub fn is_exact(&self) -> bool {
        self.missed.is_empty() && self.unexpected.is_empty()
    }
}

/// Detection and subject id of a finding.
type Hit = (String, String);

fn hit(finding: &Finding) -> Hit {
    (finding.detection.clone(), finding.subject.id.clone())
}

/// What a history says of each subject, in order of detection and subject.
pub fn sightings(history: &[FindingChange]) -> Vec<Sighting> {
    let mut all: BTreeMap<Hit, Sighting> = BTreeMap::new();
    for FindingChange { at, finding, .. } in history {
        let new = || Sighting {
            finding: finding.clone(),
            opened: *at,
            resolved: None,
            worst: finding.severity,
            owners: Vec::new(),
        };
        let sighting = all.entry(hit(finding)).or_insert_with(new);
        sighting.worst = sighting.worst.max(finding.severity);
        sighting.resolved = (finding.state == FindingState::Resolved).then_some(*at);
        if !sighting.owners.contains(&finding.owner.person) {
            sighting.owners.push(finding.owner.person.clone());
        }
        sighting.finding = finding.clone();
    }
    all.into_values().collect()
}

/// What findings call a label's subject: credentials are hashed per install.
pub fn subject_id(key: &CredentialKey) -> impl Fn(&ExpectedSubject) -> String {
    |subject| match subject {
        ExpectedSubject::Pilot(id) | ExpectedSubject::Caller(id) | ExpectedSubject::Source(id) => id.clone(),
        ExpectedSubject::Credential { kind, secret } => key.id(kind, secret),
    }
}

/// Compares. `subject_id` turns a label's subject into the id that findings carry: credentials are hashed per install.
pub fn judge(
    labels: &[Label],
    look_alikes: &[LookAlike],
    sightings: &[Sighting],
    subject_id: &dyn Fn(&ExpectedSubject) -> String,
) -> Verdict {
    let key = |detection: &str, subject: &ExpectedSubject| (detection.to_owned(), subject_id(subject));
    let seen: HashMap<Hit, &Sighting> = sightings.iter().map(|s| (hit(&s.finding), s)).collect();
    let tempting: HashMap<Hit, &str> =
        look_alikes.iter().map(|l| (key(&l.detection, &l.subject), l.variant.as_str())).collect();

    let mut verdict = Verdict::default();
    let mut explained: BTreeSet<Hit> = BTreeSet::new();
    for label in labels {
        let key = key(&label.detection, &label.subject);
        // What was told and over before the incident began says nothing of it.
        match seen.get(&key).filter(|s| s.resolved.is_none_or(|at| at >= label.since)) {
            Some(sighting) => {
                if sighting.opened >= label.since {
                    explained.insert(key);
                }
                verdict.found.push(Found { label: label.clone(), sighting: (*sighting).clone() });
            }
            None => verdict.missed.push(label.clone()),
        }
    }
    for sighting in sightings.iter().filter(|s| !explained.contains(&hit(&s.finding))) {
        let look_alike = tempting.get(&hit(&sighting.finding)).map(|name| (*name).to_owned());
        verdict.unexpected.push(Unexpected { sighting: sighting.clone(), look_alike });
    }
    let loud: BTreeSet<&str> = verdict.unexpected.iter().filter_map(|u| u.look_alike.as_deref()).collect();
    let names: BTreeSet<&str> = tempting.into_values().collect();
    verdict.quiet = names.into_iter().filter(|n| !loud.contains(n)).map(str::to_owned).collect();
    verdict
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::findings::{ChangeKind, Owner, Subject};

    const UNPROMOTED: &str = "unpromoted-production-traffic";

    fn at(text: &str) -> Timestamp {
        text.parse().expect("a constant time")
    }

    fn label(pilot: &str) -> Label {
        Label {
            detection: UNPROMOTED.to_owned(),
            subject: ExpectedSubject::Pilot(pilot.to_owned()),
            since: at("2026-03-01T00:00:00Z"),
            from: at("2026-03-01T06:00:00Z"),
            variant: "quick".to_owned(),
            why: String::new(),
        }
    }

    fn look_alike(pilot: &str) -> LookAlike {
        LookAlike {
            detection: UNPROMOTED.to_owned(),
            subject: ExpectedSubject::Pilot(pilot.to_owned()),
            variant: format!("like {pilot}"),
        }
    }

    fn change(pilot: &str, opened: &str, severity: Severity) -> FindingChange {
        let finding = Finding {
            finding_id: format!("f_{pilot}"),
            detection: UNPROMOTED.to_owned(),
            detection_version: 1,
            subject: Subject { kind: "pilot".to_owned(), id: pilot.to_owned() },
            severity,
            score: 1.0,
            coverage: 1.0,
            state: FindingState::Open,
            owner: Owner::default(),
            confirmed: true,
            first_seen: at(opened),
            last_seen: at(opened),
            episode: 1,
            reopened: 0,
            evidence: Vec::new(),
            title: String::new(),
            explanation: String::new(),
        };
        FindingChange { kind: ChangeKind::Opened, at: at(opened), finding }
    }

    fn verdict(changes: &[FindingChange]) -> Verdict {
        let id = |subject: &ExpectedSubject| match subject {
            ExpectedSubject::Pilot(id) => id.clone(),
            _ => String::new(),
        };
        let look_alikes = [look_alike("calm"), look_alike("loud")];
        judge(&[label("planted")], &look_alikes, &sightings(changes), &id)
    }

    #[test]
    fn all_planted_and_nothing_else_is_exact() {
        let exact = verdict(&[
            change("planted", "2026-03-01T07:00:00Z", Severity::Medium),
            change("planted", "2026-03-02T07:00:00Z", Severity::High),
        ]);
        assert!(exact.is_exact());
        assert_eq!(exact.found[0].time_to_detect(), 3_600.0);
        assert_eq!(exact.found[0].sighting.worst, Severity::High);
        assert_eq!(exact.quiet, ["like calm", "like loud"]);
    }

    #[test]
    fn a_missing_incident_is_named() {
        let verdict = verdict(&[]);
        assert!(!verdict.is_exact());
        assert_eq!(verdict.missed[0], label("planted"));
    }

    #[test]
    fn a_look_alike_that_fires_is_unexpected_and_named() {
        let verdict = verdict(&[
            change("loud", "2026-03-01T07:00:00Z", Severity::Low),
            change("other", "2026-03-01T07:00:00Z", Severity::Low),
        ]);
        let names: Vec<_> = verdict.unexpected.iter().map(|u| u.look_alike.as_deref()).collect();
        assert_eq!(names, [Some("like loud"), None]);
        assert_eq!(verdict.quiet, ["like calm"]);
    }

    #[test]
    fn what_is_told_before_an_incident_begins_is_unexpected() {
        let mut end = change("planted", "2026-02-02T00:00:00Z", Severity::Low);
        (end.kind, end.finding.state) = (ChangeKind::Resolved, FindingState::Resolved);
        let over = verdict(&[change("planted", "2026-02-01T00:00:00Z", Severity::Low), end]);
        assert_eq!((over.missed.len(), over.unexpected.len()), (1, 1));
        let goes_on = verdict(&[
            change("planted", "2026-02-01T00:00:00Z", Severity::Low),
            change("planted", "2026-03-01T07:00:00Z", Severity::Low),
        ]);
        assert_eq!((goes_on.found.len(), goes_on.unexpected.len()), (1, 1));
        assert_eq!(goes_on.found[0].time_to_detect(), 0.0);
    }
}
