//! Explanations of cases that the detections carry: what fires is explained without a failing condition, and
//! what is quiet names what it lacks.

use std::collections::BTreeSet;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use super::*;
use crate::explain::{self, Ask, Explanation, Verdict, When};
use crate::query::observe::Role;

/// What a test waits for one explanation: unoptimised, on a machine that does other things too, it takes its time.
const A_WHILE: Duration = Duration::from_secs(600);

impl Run<'_> {
    /// As `explain` and `why-not` do, with the state as the case left it.
    fn explain(&self, subject: &str, when: When, finding: Option<&Finding>) -> Explanation {
        let ask = Ask { detection: self.rule.detection.clone(), subject: subject.to_owned(), when };
        let snapshot =
            explain::take(self.queries, &self.rollups, &self.registry, &ask).expect("rows are there");
        let give_up = Instant::now() + A_WHILE;
        explain::explain(&snapshot, finding, give_up).expect("every detection can be explained")
    }

    /// Whoever the events name.
    fn seen_subjects(&self) -> BTreeSet<String> {
        let subjects = self.rollups.subjects(&self.rule.subject_kind).into_iter();
        subjects.flat_map(|s| s.all().map(|id| s.name(id).to_string())).collect()
    }

    /// Pilots of the registry that no event names, where the detection is about pilots.
    fn unseen_pilots(&self) -> BTreeSet<String> {
        let pilots = self.registry.pilots().iter().filter(|_| self.rule.subject_kind == "pilot");
        let seen = self.seen_subjects();
        pilots.map(|p| p.id.clone()).filter(|id| !seen.contains(id)).collect()
    }
}

/// The state as `case` leaves it.
fn run_to_the_end<'s>(stand: &'s mut Stand, case: &Case) -> Run<'s> {
    let mut run = Run::start(stand, case).expect("the case is valid");
    run.absorb(&case.events, case).expect("absorbed");
    run.walk(case.as_of).expect("walked");
    run
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

/// Explains every finding of a case as of when it was made; returns how many are the same, number by number.
fn findings_are_explained(run: &Run<'_>, case: &Case) -> usize {
    let findings: Vec<Finding> = run.lifecycle.all().map(|t| t.finding.clone()).collect();
    let mut compared = 0;
    for finding in &findings {
        let at = explain::made_at(finding).expect("a finding has a range").as_microsecond();
        let explanation = run.explain(&finding.subject.id, When::Grid(at), Some(finding));
        if explanation.verdict == Verdict::Fires {
            assert_eq!(failing(&explanation), Vec::<String>::new(), "{}", case.name);
            assert!(explanation.short.is_empty() && explanation.ends.is_empty(), "{:#?}", explanation.short);
        }
        let is_same = explanation.outcome.is_some_and(|outcome| {
            let terms: Vec<Evidence> = outcome.terms.into_iter().map(term).collect();
            outcome.score == finding.score && finding.evidence.starts_with(&terms)
        });
        let says_otherwise = ["differ from", "the score is", "gives no row"];
        let is_said = explanation.notes.iter().any(|n| says_otherwise.iter().any(|part| n.contains(part)));
        assert_ne!(is_same, is_said, "{}: {:?}", case.name, explanation.notes);
        compared += usize::from(is_same);
    }
    compared
}

fn term(term: explain::Term) -> Evidence {
    Evidence::Term { name: term.name, value: term.value }
}

/// Asks for everybody, as of the end of a case.
fn everybody_is_explained(run: &Run<'_>, case: &Case) {
    let hits = run.evaluate(None, case.as_of).expect("evaluated");
    let seen = run.seen_subjects();
    for subject in seen.iter().chain(&run.unseen_pilots()) {
        let now = run.explain(subject, When::Now, None);
        let hit = hits.iter().find(|h| h.subject == *subject);
        assert_eq!(now.outcome.as_ref().map(|o| o.score), hit.map(|h| h.score), "{} {subject}", case.name);
        let fires = hit.is_some_and(|h| h.level == Level::Fire);
        assert_eq!(now.verdict == Verdict::Fires, fires, "{} {subject}", case.name);
        let lacks = !now.short.is_empty() || !now.ends.is_empty();
        assert_eq!(lacks, !fires, "{} {subject}: {:#?}", case.name, now.stages);
        let is_table = now.ends.first().is_some_and(|end| end.why.contains(&format!("no row of {subject}")));
        if !seen.contains(subject) && now.ends.len() == 1 && is_table {
            // What one that was never seen lacks, the others lack as well.
            return;
        }
    }
}

/// Two firing cases and four quiet ones; with SHADOWPROD_EXPLAIN_ALL in the environment every case, which takes a
/// quarter of an hour unoptimised.
fn chosen(detection: &DetectionQuery) -> impl Iterator<Item = &Case> {
    let all = std::env::var_os("SHADOWPROD_EXPLAIN_ALL").is_some();
    let of = move |kind: CaseKind, few: usize| {
        detection.cases.iter().filter(move |c| c.kind == kind).take(if all { usize::MAX } else { few })
    };
    of(CaseKind::Firing, 2).chain(of(CaseKind::Quiet, 4)).chain(of(CaseKind::Late, 0))
}

#[test]
fn cases_of_every_detection_are_explained() {
    let texts = QueryTexts::builtin();
    let waiting = Mutex::new(texts.detections.iter());
    let next = || waiting.lock().expect("a test that panics has failed").next();
    let explain_all = |detection: &DetectionQuery| {
        let mut compared = 0;
        let mut stand = Stand::new(&texts, detection).expect("built-in queries plan");
        for case in chosen(detection) {
            let run = run_to_the_end(&mut stand, case);
            compared += findings_are_explained(&run, case);
            everybody_is_explained(&run, case);
        }
        assert!(compared > 0, "no finding of {} is the same, number by number", detection.text.id);
    };
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(|| std::iter::from_fn(next).for_each(explain_all));
        }
    });
}

/// Detection, case, subject, and what is short: stage, condition, both sides, by how much.
type Miss = (&'static str, &'static str, &'static str, &'static [Lack]);
type Lack = (&'static str, &'static str, Option<&'static str>, Option<&'static str>, Option<f64>);

const NEAR_MISSES: &[Miss] = &[
    (
        "unpromoted-production-traffic",
        "nineteen_requests_are_too_few",
        "answers",
        &[("final SELECT", "q.answered >= $requests_min", Some("19"), Some("20"), Some(-1.0))],
    ),
    (
        "unpromoted-production-traffic",
        "one_caller_on_one_day_is_a_trial",
        "answers",
        &[
            ("final SELECT", "c.callers >= $callers_min", Some("1"), Some("2"), Some(-1.0)),
            ("final SELECT", "q.days >= $days_min", Some("1"), Some("2"), Some(-1.0)),
        ],
    ),
    (
        "unpromoted-production-traffic",
        "shared_gateway_key_belongs_to_no_pilot_for_certain",
        "answers",
        &[("qualified", "t.confidence >= $confidence_min", Some("0.5"), Some("0.6"), Some(-0.1))],
    ),
    (
        "business-dependency",
        "two_services_tried_it_for_two_days",
        "eta",
        &[("final SELECT", "business_days >= $business_days_min", Some("2"), Some("6"), Some(-4.0))],
    ),
    (
        "contradictory-environment",
        "forty_nine_calls_are_a_slip",
        "answers",
        &[("final SELECT", "q.calls >= $calls_min", Some("49"), Some("50"), Some(-1.0))],
    ),
    (
        "duties-not-separated",
        "only_proposed_or_already_revoked",
        "l",
        &[(
            "running",
            "s.valid_from <= as_of()",
            Some("2026-04-02T00:00:00Z"),
            Some("2026-03-11T12:00:00Z"),
            Some(-1_857_600.0),
        )],
    ),
    (
        "promotion-criteria-missing",
        "complete_for_its_profile",
        "f",
        &[("judged", "NOT d.promoted", Some("true"), None, None)],
    ),
];

#[test]
fn near_miss_names_the_condition_that_fails_and_by_how_much() {
    let texts = QueryTexts::builtin();
    for (id, name, subject, expected) in NEAR_MISSES {
        let detection = texts.detections.iter().find(|d| d.text.id == *id).expect("a built-in detection");
        let case = detection.cases.iter().find(|c| c.name == *name).expect("a case of it");
        let mut stand = Stand::new(&texts, detection).expect("built-in queries plan");
        let explanation = run_to_the_end(&mut stand, case).explain(subject, When::Now, None);
        let lack = |short: &explain::Short| {
            let measure = short.node.measure.clone().expect("it was asked");
            (short.stage.clone(), short.node.text.clone(), measure.actual, measure.wanted, measure.margin)
        };
        let owned = |text: &Option<&str>| text.map(str::to_owned);
        let expected: Vec<_> = expected
            .iter()
            .map(|(stage, text, actual, wanted, margin)| {
                ((*stage).to_owned(), (*text).to_owned(), owned(actual), owned(wanted), *margin)
            })
            .collect();
        assert_eq!(explanation.short.iter().map(lack).collect::<Vec<_>>(), expected, "{id} {name}");
        assert!(explanation.ends.is_empty(), "{id} {name}: {:?}", explanation.ends);
    }
}
