//! Explanations of every case that the detections carry: what fires is explained without a failing condition, and
//! what is quiet names what it lacks.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use super::*;
use crate::explain::{self, Ask, Explanation, Verdict, When};
use crate::limits::EXPLAIN_SECONDS_MAX;
use crate::query::observe::Role;

impl Run {
    /// As `explain` and `why-not` do, with the state as the case left it.
    fn explain(&self, subject: &str, when: When, finding: Option<&Finding>) -> Explanation {
        let ask = Ask { detection: self.rule.detection.clone(), subject: subject.to_owned(), when };
        let snapshot =
            explain::take(&self.queries, &self.rollups, &self.registry, &ask).expect("rows are there");
        let give_up = Instant::now() + Duration::from_secs(EXPLAIN_SECONDS_MAX);
        explain::explain(&snapshot, finding, give_up).expect("every detection can be explained")
    }

    /// Whoever the events or the registry name.
    fn known_subjects(&self) -> BTreeSet<String> {
        let kind = &self.rule.subject_kind;
        let subjects = self.rollups.subjects(kind).into_iter();
        let mut names: BTreeSet<String> =
            subjects.flat_map(|s| s.all().map(|id| s.name(id).to_string())).collect();
        if kind == "pilot" {
            names.extend(self.registry.pilots().iter().map(|p| p.id.clone()));
        }
        names
    }
}

fn each_case(detections: &[&str], check: impl Fn(&mut Run, &Case)) {
    let texts = QueryTexts::builtin();
    for detection in texts.detections.iter().filter(|d| detections.contains(&d.text.id.as_str())) {
        for case in &detection.cases {
            let mut run = Run::start(&texts, detection, case).expect("the case is valid");
            run.absorb(&case.events, case).expect("absorbed");
            run.walk(case.as_of).expect("walked");
            check(&mut run, case);
        }
    }
}

/// Every deciding condition that does not hold, in a stage that no row can do without.
fn failing(explanation: &Explanation) -> Vec<String> {
    let required = explanation.stages.iter().filter(|s| s.required && s.blocks.len() == 1);
    let conditions = required.flat_map(|stage| stage.blocks[0].conditions.iter().map(move |c| (stage, c)));
    let fails = conditions.filter(|(_, c)| match c.role {
        Role::Join | Role::Where | Role::Having => c.left == 0,
        Role::Level => c.node.holds != Some(true),
        Role::Mark => false,
    });
    fails.map(|(stage, c)| format!("{}: {}", stage.name, c.node.text)).collect()
}

fn every_case_is_explained(detection: &str) {
    each_case(&[detection], |run, case| {
        let findings: Vec<Finding> = run.lifecycle.all().map(|t| t.finding.clone()).collect();
        for finding in &findings {
            let at = explain::made_at(finding).expect("a finding has a range").as_microsecond();
            let explanation = run.explain(&finding.subject.id, When::Grid(at), Some(finding));
            println!("CASE {} {}\n{:#?}", run.rule.detection, case.name, explanation.notes);
            if explanation.verdict == Verdict::Fires {
                assert_eq!(failing(&explanation), Vec::<String>::new(), "{}", case.name);
                assert!(
                    explanation.short.is_empty() && explanation.ends.is_empty(),
                    "{:#?}",
                    explanation.short
                );
            }
        }
        for subject in run.known_subjects() {
            let now = run.explain(&subject, When::Now, None);
            let hits = run.evaluate(None, now.as_of.as_microsecond()).expect("evaluated");
            let hit = hits.iter().find(|h| h.subject == subject);
            assert_eq!(now.outcome.as_ref().map(|o| o.score), hit.map(|h| h.score), "{}", case.name);
            let fires = hit.is_some_and(|h| h.level == Level::Fire);
            assert_eq!(now.verdict == Verdict::Fires, fires, "{}", case.name);
            let lacks = !now.short.is_empty() || !now.ends.is_empty();
            println!("NOW {} `{}` {subject} {:?}", run.rule.detection, case.name, now.verdict);
            for s in &now.short {
                println!(
                    "   SHORT {} {:?} line {} of {}: {} {:?}",
                    s.stage,
                    s.role,
                    s.line,
                    s.asked,
                    s.node.text,
                    s.node.measure.as_ref().map(|m| (&m.actual, &m.compare, &m.wanted, m.margin))
                );
            }
            for e in &now.ends {
                println!("   END {} {}", e.stage, e.why);
            }
            assert_eq!(lacks, !fires, "{} {subject}: {:#?}", case.name, now.stages);
        }
    });
}

#[test]
fn every_case_of_every_detection_is_explained() {
    let texts = QueryTexts::builtin();
    let waiting = std::sync::Mutex::new(texts.detections.iter().map(|d| d.text.id.as_str()));
    let next = || waiting.lock().expect("a test that panics has failed").next();
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(|| {
                std::iter::from_fn(next).for_each(|id| {
                    let t = std::time::Instant::now();
                    every_case_is_explained(id);
                    println!("TIME {id} {:?}", t.elapsed());
                })
            });
        }
    });
}
