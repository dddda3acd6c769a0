//! Compares what was found with what was planted.
//!
//! In: labels, look-alikes, findings. Out: a [`Verdict`]. Open and resolved findings count alike: a
//! look-alike that fired and went quiet again was not quiet.

use std::collections::{BTreeSet, HashMap, HashSet};

use crate::findings::Finding;
use crate::world::{ExpectedSubject, Label, World};

/// What came out against what was planted.
#[derive(Debug)]
pub struct Verdict {
    /// Planted and found.
    pub found: Vec<Label>,
    /// Planted and not found.
    pub missed: Vec<Label>,
    /// Found and not planted, with the look-alike's name where it is one.
    pub unexpected: Vec<(Finding, Option<&'static str>)>,
    /// Names of look-alikes of which nothing fired, in name order.
    pub quiet: Vec<&'static str>,
}

impl Verdict {
    /// Exactly the planted incidents were found.
    pub fn is_exact(&self) -> bool {
        self.missed.is_empty() && self.unexpected.is_empty()
    }
}

/// Detection id and subject id, as findings carry them.
type Hit = (String, String);

/// `subject_id` turns a label's subject into the id that findings carry: credentials are hashed per install.
pub fn judge(
    world: &World,
    findings: &[Finding],
    subject_id: &dyn Fn(&ExpectedSubject) -> String,
) -> Verdict {
    let hits: HashSet<Hit> = findings.iter().map(hit).collect();
    let key = |detection: &str, subject: &ExpectedSubject| (detection.to_owned(), subject_id(subject));
    let planted: HashSet<Hit> = world.expected().iter().map(|l| key(l.detection, &l.subject)).collect();
    let tempting: HashMap<Hit, &'static str> =
        world.look_alikes().iter().map(|l| (key(l.detection, &l.subject), l.name)).collect();

    let (found, missed) =
        world.expected().into_iter().partition(|l| hits.contains(&key(l.detection, &l.subject)));
    let unexpected: Vec<_> = findings
        .iter()
        .filter(|f| !planted.contains(&hit(f)))
        .map(|f| (f.clone(), tempting.get(&hit(f)).copied()))
        .collect();
    let loud: HashSet<&str> = unexpected.iter().filter_map(|(_, name)| *name).collect();
    let names: BTreeSet<&'static str> = tempting.into_values().collect();
    Verdict { found, missed, unexpected, quiet: names.into_iter().filter(|n| !loud.contains(n)).collect() }
}

fn hit(finding: &Finding) -> Hit {
    (finding.detection.clone(), finding.subject.id.clone())
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;
    use crate::findings::{FindingState, Owner, Severity, Subject};
    use crate::world::UNPROMOTED;

    fn world() -> World {
        World::new(1, "2026-03-11T14:23:00Z".parse().unwrap())
    }

    fn id(subject: &ExpectedSubject) -> String {
        match subject {
            ExpectedSubject::Pilot(id) | ExpectedSubject::Caller(id) => id.clone(),
            ExpectedSubject::Credential { kind, secret } => format!("{kind}:{secret}"),
        }
    }

    fn finding(detection: &str, subject: &str) -> Finding {
        Finding {
            finding_id: format!("f_{detection}_{subject}"),
            detection: detection.to_owned(),
            detection_version: 1,
            subject: Subject { kind: "pilot".to_owned(), id: subject.to_owned() },
            severity: Severity::High,
            score: 1.0,
            coverage: 1.0,
            state: FindingState::Open,
            owner: Owner::default(),
            confirmed: true,
            first_seen: Timestamp::UNIX_EPOCH,
            last_seen: Timestamp::UNIX_EPOCH,
            episode: 1,
            reopened: 0,
            evidence: Vec::new(),
            title: String::new(),
            explanation: String::new(),
        }
    }

    fn all(world: &World) -> Vec<Finding> {
        world.expected().iter().map(|l| finding(l.detection, &id(&l.subject))).collect()
    }

    #[test]
    fn all_planted_and_nothing_else_is_exact() {
        let world = world();
        let verdict = judge(&world, &all(&world), &id);
        assert!(verdict.is_exact());
        assert_eq!(verdict.found.len(), world.expected().len());
        assert!(verdict.quiet.len() >= 6 && verdict.quiet.contains(&"mirrored traffic"));
    }

    #[test]
    fn a_missing_incident_is_named() {
        let world = world();
        let mut findings = all(&world);
        findings.retain(|f| f.subject.id != "quote-writer");
        let verdict = judge(&world, &findings, &id);
        assert!(!verdict.is_exact());
        assert_eq!(id(&verdict.missed[0].subject), "quote-writer");
    }

    #[test]
    fn a_look_alike_that_fires_is_unexpected_and_named() {
        let world = world();
        let mut findings = all(&world);
        findings.push(finding(UNPROMOTED, "dock-optimizer"));
        findings.push(finding("another-detection", "quote-writer"));
        let verdict = judge(&world, &findings, &id);
        let names: Vec<_> = verdict.unexpected.iter().map(|(_, name)| *name).collect();
        assert_eq!(names, [Some("mirrored traffic"), None]);
        assert!(!verdict.quiet.contains(&"mirrored traffic"));
    }
}
