//! The life of findings: open, refreshed, resolved, reopened.
//!
//! In: hits of one detection at one grid point (or of an early look), and which subjects were evaluated.
//! Out: changes, and when to look again. Pure: the same hits on the same grid give the same history.

use std::collections::BTreeMap;

use jiff::Timestamp;
use sha2::{Digest, Sha256};

use crate::findings::silence::Silence;
use crate::findings::{
    ChangeKind, Evidence, Finding, FindingChange, FindingState, Hit, Level, Owner, Severity, Subject, Tracked,
};

/// What of a detection its findings depend on.
#[derive(Debug, Clone)]
pub struct Rule {
    /// Detection id.
    pub detection: String,
    /// Its version.
    pub version: u32,
    /// `pilot`, `credential` or `source`.
    pub subject_kind: String,
    /// How long the evidence must be gone before the finding resolves, microseconds.
    pub close_after: i64,
    /// How long after resolving a hit reopens the same episode, microseconds.
    pub reopen_within: i64,
}

/// Subjects that an evaluation covered.
#[derive(Debug, Clone, Copy)]
pub enum Evaluated<'a> {
    /// These, in order; who has no finding may be left out.
    Some(&'a [String]),
    /// All.
    All,
}

/// What an evaluation did.
#[derive(Debug, Default, PartialEq)]
pub struct Outcome {
    /// In subject order.
    pub changes: Vec<FindingChange>,
    /// Subjects to be evaluated again at or after an instant (microseconds), because they wait to close.
    pub wakes: Vec<(i64, String)>,
    /// Subjects that began or ceased to wait for their end: nothing to tell, but to be stored.
    pub waiting: Vec<String>,
    /// Early findings that this evaluation confirmed.
    pub confirmed: u64,
}

/// The newest episode of every subject of every detection.
#[derive(Debug, Default)]
pub struct Lifecycle {
    tracked: BTreeMap<String, BTreeMap<String, Tracked>>,
}

impl Lifecycle {
    /// Puts back what was stored; of several episodes of a subject the newest counts.
    pub fn restore(tracked: Vec<Tracked>) -> Self {
        let mut all = Self::default();
        for entry in tracked {
            let of_detection = all.tracked.entry(entry.finding.detection.clone()).or_default();
            let kept = of_detection.get(&entry.finding.subject.id);
            if kept.is_none_or(|k| k.finding.episode < entry.finding.episode) {
                of_detection.insert(entry.finding.subject.id.clone(), entry);
            }
        }
        all
    }

    /// What is remembered of a subject.
    pub fn get(&self, detection: &str, subject: &str) -> Option<&Tracked> {
        self.tracked.get(detection)?.get(subject)
    }

    /// Of how many subjects one detection has findings.
    pub fn count(&self, detection: &str) -> usize {
        self.tracked.get(detection).map_or(0, BTreeMap::len)
    }

    /// What is remembered of one detection, in subject order.
    pub fn of(&self, detection: &str) -> impl Iterator<Item = &Tracked> {
        self.tracked.get(detection).into_iter().flat_map(BTreeMap::values)
    }

    /// Everything remembered.
    pub fn all(&self) -> impl Iterator<Item = &Tracked> {
        self.tracked.values().flat_map(BTreeMap::values)
    }

    /// When open findings that have gone quiet, and early ones, are to be looked at again.
    pub fn wakes(&self, rule: &Rule) -> Vec<(i64, String)> {
        let entries = self.tracked.get(&rule.detection).into_iter().flatten();
        let closes = |t: &Tracked| t.quiet_since.map(|q| q.as_microsecond() + rule.close_after);
        let wake = |(id, t): (&String, &Tracked)| {
            t.early_at.map(judged_at).or_else(|| closes(t)).map(|at| (at, id.clone()))
        };
        entries.filter_map(wake).collect()
    }

    /// How many open findings have gone quiet and wait, because a topic of theirs is silent as of `at`.
    pub fn held(&self, at: i64, silence: &Silence) -> usize {
        let waits = |t: &&Tracked| t.quiet_since.is_some() && silence.of(&t.finding) == Some(at);
        self.all().filter(waits).count()
    }

    /// An evaluation at grid point `at`: the only thing that writes history. `hits` are in subject order. While a
    /// topic of a finding's samples is silent the finding does not resolve: its quiet counts from the end of that.
    pub fn apply_grid(
        &mut self,
        rule: &Rule,
        at: Timestamp,
        evaluated: Evaluated<'_>,
        hits: Vec<Hit>,
        silence: &Silence,
    ) -> Outcome {
        let of_detection = self.tracked.entry(rule.detection.clone()).or_default();
        let quiet = quiet_subjects(of_detection, evaluated, &hits);
        let mut outcome = Outcome::default();
        for hit in hits {
            let early = of_detection.get(&hit.subject).is_some_and(|t| t.early_at.is_some());
            outcome.confirmed += u64::from(early && hit.level == Level::Fire);
            let waited = of_detection.get(&hit.subject).is_some_and(|t| t.quiet_since.is_some());
            outcome.waiting.extend(waited.then(|| hit.subject.clone()));
            outcome.changes.extend(apply_hit(of_detection, rule, at, hit));
        }
        for subject in quiet {
            apply_quiet(of_detection, rule, at, &subject, silence, &mut outcome);
        }
        outcome.changes.sort_by(|a, b| a.finding.subject.cmp(&b.finding.subject));
        outcome
    }

    /// Ends what is open of detections that are not active: nobody looks at it any more.
    pub fn end_inactive(&mut self, at: Timestamp, is_active: impl Fn(&str) -> bool) -> Vec<FindingChange> {
        let mut changes = Vec::new();
        let inactive = self.tracked.iter_mut().filter(|(detection, _)| !is_active(detection));
        for (_, of_detection) in inactive {
            of_detection.retain(|_, entry| {
                if entry.early_at.is_some() {
                    let finding = entry.finding.clone();
                    changes.push(FindingChange { kind: ChangeKind::Withdrawn, at, finding });
                    return false;
                }
                if entry.resolved_at.is_none() {
                    changes.push(resolved(entry, at));
                }
                true
            });
        }
        changes
    }

    /// An early look as of the newest event: opens what is not known yet, unconfirmed, and nothing else.
    pub fn apply_early(&mut self, rule: &Rule, at: Timestamp, hits: Vec<Hit>) -> Vec<FindingChange> {
        let of_detection = self.tracked.entry(rule.detection.clone()).or_default();
        let mut changes = Vec::new();
        for hit in hits.into_iter().filter(|h| h.level == Level::Fire) {
            if of_detection.contains_key(&hit.subject) {
                continue;
            }
            let mut entry = open(rule, at, 1, &hit);
            entry.finding.confirmed = false;
            entry.early_at = Some(at);
            changes.push(FindingChange { kind: ChangeKind::Early, at, finding: entry.finding.clone() });
            of_detection.insert(hit.subject, entry);
        }
        changes
    }
}

/// An early finding is confirmed or withdrawn by the first grid point from this instant on, microseconds.
pub fn judged_at(early_at: Timestamp) -> i64 {
    early_at.as_microsecond() + 1
}

fn quiet_subjects(
    of_detection: &BTreeMap<String, Tracked>,
    evaluated: Evaluated<'_>,
    hits: &[Hit],
) -> Vec<String> {
    let hit = |subject: &String| hits.binary_search_by(|h| h.subject.cmp(subject)).is_ok();
    match evaluated {
        Evaluated::All => of_detection.keys().filter(|s| !hit(s)).cloned().collect(),
        Evaluated::Some(subjects) => subjects.iter().filter(|s| !hit(s)).cloned().collect(),
    }
}

fn apply_hit(
    of_detection: &mut BTreeMap<String, Tracked>,
    rule: &Rule,
    at: Timestamp,
    hit: Hit,
) -> Option<FindingChange> {
    let Some(entry) = of_detection.get_mut(&hit.subject) else {
        return (hit.level == Level::Fire).then(|| opened(of_detection, rule, at, 1, &hit));
    };
    if let Some(early_at) = entry.early_at {
        return match hit.level {
            Level::Fire => Some(opened(of_detection, rule, at, 1, &hit)),
            Level::Hold => withdrawn(of_detection, at, early_at, &hit.subject),
        };
    }
    if let Some(resolved_at) = entry.resolved_at {
        if hit.level == Level::Hold {
            return None;
        }
        if at.as_microsecond() - resolved_at.as_microsecond() > rule.reopen_within {
            let episode = entry.finding.episode + 1;
            return Some(opened(of_detection, rule, at, episode, &hit));
        }
        return Some(reopened(entry, rule, at, &hit));
    }
    entry.quiet_since = None;
    refreshed(entry, rule, at, &hit)
}

fn opened(
    of_detection: &mut BTreeMap<String, Tracked>,
    rule: &Rule,
    at: Timestamp,
    episode: u32,
    hit: &Hit,
) -> FindingChange {
    let entry = open(rule, at, episode, hit);
    let finding = entry.finding.clone();
    of_detection.insert(hit.subject.clone(), entry);
    FindingChange { kind: ChangeKind::Opened, at, finding }
}

fn withdrawn(
    of_detection: &mut BTreeMap<String, Tracked>,
    at: Timestamp,
    early_at: Timestamp,
    subject: &str,
) -> Option<FindingChange> {
    if at <= early_at {
        return None;
    }
    let entry = of_detection.remove(subject)?;
    Some(FindingChange { kind: ChangeKind::Withdrawn, at, finding: entry.finding })
}

fn reopened(entry: &mut Tracked, rule: &Rule, at: Timestamp, hit: &Hit) -> FindingChange {
    let reopened = entry.finding.reopened + 1;
    *entry = open(rule, at, entry.finding.episode, hit);
    entry.finding.reopened = reopened;
    FindingChange { kind: ChangeKind::Reopened, at, finding: entry.finding.clone() }
}

fn refreshed(entry: &mut Tracked, rule: &Rule, at: Timestamp, hit: &Hit) -> Option<FindingChange> {
    let mut next = open(rule, at, entry.finding.episode, hit).finding;
    next.reopened = entry.finding.reopened;
    if same_but_range(&next, &entry.finding) {
        return None;
    }
    let kind = if is_material(&next, &entry.finding) { ChangeKind::Updated } else { ChangeKind::Refreshed };
    entry.finding = next;
    Some(FindingChange { kind, at, finding: entry.finding.clone() })
}

/// A change that belongs to the history: severity, owner, version, or a step of a tenth in the score.
fn is_material(next: &Finding, last: &Finding) -> bool {
    let step = |f: &Finding| (f.score * 10.0).floor();
    let facts =
        |f: &Finding| -> (Severity, Owner, u32) { (f.severity, f.owner.clone(), f.detection_version) };
    facts(next) != facts(last) || step(next) != step(last)
}

/// The range ends at the grid point that looked: on its own it is no news.
fn same_but_range(a: &Finding, b: &Finding) -> bool {
    let bare = |f: &Finding| {
        let mut f = f.clone();
        f.evidence.retain(|e| !matches!(e, Evidence::Range { .. }));
        f
    };
    bare(a) == bare(b)
}

fn apply_quiet(
    of_detection: &mut BTreeMap<String, Tracked>,
    rule: &Rule,
    at: Timestamp,
    subject: &str,
    silence: &Silence,
    outcome: &mut Outcome,
) {
    let Some(entry) = of_detection.get_mut(subject) else { return };
    if let Some(early_at) = entry.early_at {
        outcome.changes.extend(withdrawn(of_detection, at, early_at, subject));
        return;
    }
    if entry.resolved_at.is_some() {
        return;
    }
    if entry.quiet_since.is_none() {
        outcome.waiting.push(subject.to_owned());
    }
    let since = *entry.quiet_since.get_or_insert(at);
    let heard_since =
        silence.of(&entry.finding).map_or(since.as_microsecond(), |s| s.max(since.as_microsecond()));
    let closes = heard_since.saturating_add(rule.close_after);
    if at.as_microsecond() < closes {
        outcome.wakes.push((closes, subject.to_owned()));
        return;
    }
    outcome.changes.push(resolved(entry, at));
}

fn resolved(entry: &mut Tracked, at: Timestamp) -> FindingChange {
    entry.quiet_since = None;
    entry.resolved_at = Some(at);
    entry.finding.state = FindingState::Resolved;
    FindingChange { kind: ChangeKind::Resolved, at, finding: entry.finding.clone() }
}

fn open(rule: &Rule, at: Timestamp, episode: u32, hit: &Hit) -> Tracked {
    let mut evidence = hit.evidence.clone();
    let range = Evidence::Range { from: hit.first_seen, to: at };
    let place = evidence.iter().position(|e| matches!(e, Evidence::Sample { .. })).unwrap_or(evidence.len());
    evidence.insert(place, range);
    let finding = Finding {
        finding_id: finding_id(&rule.detection, &rule.subject_kind, &hit.subject, episode),
        detection: rule.detection.clone(),
        detection_version: rule.version,
        subject: Subject { kind: rule.subject_kind.clone(), id: hit.subject.clone() },
        severity: hit.severity,
        score: hit.score,
        coverage: hit.coverage,
        state: FindingState::Open,
        owner: hit.owner.clone(),
        confirmed: true,
        first_seen: hit.first_seen,
        last_seen: hit.last_seen,
        episode,
        reopened: 0,
        evidence,
        title: hit.title.clone(),
        explanation: hit.explanation.clone(),
    };
    Tracked { finding, quiet_since: None, resolved_at: None, early_at: None }
}

/// `f_` and the first 128 bits of SHA-256 over detection, subject kind, subject and episode.
pub fn finding_id(detection: &str, subject_kind: &str, subject: &str, episode: u32) -> String {
    let digest = Sha256::digest(format!("{detection}\0{subject_kind}\0{subject}\0{episode}"));
    let hex: String = digest[..16].iter().map(|b| format!("{b:02x}")).collect();
    format!("f_{hex}")
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: i64 = 3_600_000_000;

    fn rule() -> Rule {
        Rule {
            detection: "d".to_owned(),
            version: 1,
            subject_kind: "pilot".to_owned(),
            close_after: 2 * HOUR,
            reopen_within: 10 * HOUR,
        }
    }

    fn at(hours: i64) -> Timestamp {
        Timestamp::from_microsecond(hours * HOUR).expect("small")
    }

    fn hit(level: Level, score: f64) -> Hit {
        Hit {
            subject: "p".to_owned(),
            level,
            score,
            coverage: 1.0,
            severity: Severity::High,
            owner: Owner::default(),
            first_seen: at(0),
            last_seen: at(0),
            title: String::new(),
            explanation: String::new(),
            evidence: Vec::new(),
        }
    }

    /// Evaluates `p` at each hour with the hit given, and names what happened.
    fn check(steps: &[(i64, Option<Hit>)], expected: &[Option<ChangeKind>]) -> Lifecycle {
        let mut lifecycle = Lifecycle::default();
        let subjects = ["p".to_owned()];
        let kinds: Vec<_> = steps
            .iter()
            .map(|(hour, hit)| {
                let hits = hit.iter().cloned().collect();
                let outcome = lifecycle.apply_grid(
                    &rule(),
                    at(*hour),
                    Evaluated::Some(&subjects),
                    hits,
                    &Silence::default(),
                );
                outcome.changes.first().map(|c| c.kind)
            })
            .collect();
        assert_eq!(kinds, expected);
        lifecycle
    }

    #[test]
    fn finding_resolves_only_after_it_was_quiet_long_enough() {
        let fire = || Some(hit(Level::Fire, 0.6));
        check(
            &[(1, fire()), (2, None), (3, None), (4, None), (5, None)],
            &[Some(ChangeKind::Opened), None, None, Some(ChangeKind::Resolved), None],
        );
    }

    #[test]
    fn hold_keeps_open_but_opens_nothing() {
        let hold = || Some(hit(Level::Hold, 0.4));
        check(&[(1, hold())], &[None]);
        let steps =
            [(1, Some(hit(Level::Fire, 0.6))), (2, None), (3, hold()), (4, None), (5, None), (6, None)];
        let opened = Some(ChangeKind::Opened);
        let updated = Some(ChangeKind::Updated);
        check(&steps, &[opened, None, updated, None, None, Some(ChangeKind::Resolved)]);
    }

    #[test]
    fn return_soon_reopens_and_return_late_is_a_new_episode() {
        let fire = || Some(hit(Level::Fire, 0.6));
        let opened = Some(ChangeKind::Opened);
        let resolved = Some(ChangeKind::Resolved);
        let soon = [(1, fire()), (2, None), (4, None), (14, fire())];
        let lifecycle = check(&soon, &[opened, None, resolved, Some(ChangeKind::Reopened)]);
        assert_eq!(lifecycle.get("d", "p").map(|t| (t.finding.episode, t.finding.reopened)), Some((1, 1)));
        let late = [(1, fire()), (2, None), (4, None), (15, fire())];
        let lifecycle = check(&late, &[opened, None, resolved, opened]);
        assert_eq!(lifecycle.get("d", "p").map(|t| (t.finding.episode, t.finding.reopened)), Some((2, 0)));
    }

    #[test]
    fn same_content_is_no_change_and_keeps_its_range() {
        let fire = || Some(hit(Level::Fire, 0.6));
        let lifecycle = check(&[(1, fire()), (2, fire())], &[Some(ChangeKind::Opened), None]);
        let range = Evidence::Range { from: at(0), to: at(1) };
        assert_eq!(lifecycle.get("d", "p").map(|t| t.finding.evidence.clone()), Some(vec![range]));
    }

    #[test]
    fn early_finding_ends_confirmed_or_withdrawn() {
        for (level, expected) in [(Some(Level::Fire), ChangeKind::Opened), (None, ChangeKind::Withdrawn)] {
            let mut lifecycle = Lifecycle::default();
            let subjects = ["p".to_owned()];
            let early = lifecycle.apply_early(&rule(), at(5), vec![hit(Level::Fire, 0.6)]);
            assert_eq!(
                early.iter().map(|c| (c.kind, c.finding.confirmed)).collect::<Vec<_>>(),
                [(ChangeKind::Early, false)]
            );
            let wakes = lifecycle.wakes(&rule());
            assert_eq!(wakes, [(5 * HOUR + 1, "p".to_owned())], "the first grid point behind it is to look");
            let before =
                lifecycle.apply_grid(&rule(), at(5), Evaluated::Some(&subjects), vec![], &Silence::default());
            assert_eq!(before, Outcome::default(), "the grid has not passed the early look yet");
            let hits = level.map(|l| hit(l, 0.6)).into_iter().collect();
            let after =
                lifecycle.apply_grid(&rule(), at(6), Evaluated::Some(&subjects), hits, &Silence::default());
            assert_eq!(after.changes.first().map(|c| c.kind), Some(expected));
        }
    }

    #[test]
    fn findings_end_with_their_detection() {
        let mut lifecycle =
            check(&[(1, Some(hit(Level::Fire, 0.6))), (2, None)], &[Some(ChangeKind::Opened), None]);
        let early = Hit { subject: "q".to_owned(), ..hit(Level::Fire, 0.6) };
        lifecycle.apply_early(&rule(), at(2), vec![early]);
        assert_eq!(lifecycle.end_inactive(at(3), |detection| detection == "d"), []);
        let ended = lifecycle.end_inactive(at(3), |_| false);
        let ended: Vec<_> =
            ended.iter().map(|c| (c.finding.subject.id.as_str(), c.kind, c.finding.state)).collect();
        let (open, resolved) = (FindingState::Open, FindingState::Resolved);
        assert_eq!(ended, [("p", ChangeKind::Resolved, resolved), ("q", ChangeKind::Withdrawn, open)]);
        assert_eq!(lifecycle.end_inactive(at(4), |_| false), [], "they have ended");
        assert_eq!(lifecycle.wakes(&rule()), []);
    }

    #[test]
    fn beginning_and_ceasing_to_wait_is_to_be_stored() {
        let mut lifecycle = Lifecycle::default();
        let subjects = ["p".to_owned()];
        for (hour, hit, waiting) in [
            (1, Some(hit(Level::Fire, 0.6)), &[][..]),
            (2, None, &subjects[..]),
            (3, None, &[]),
            (4, Some(hit(Level::Fire, 0.6)), &subjects),
            (5, Some(hit(Level::Fire, 0.6)), &[]),
        ] {
            let hits = hit.into_iter().collect();
            let outcome = lifecycle.apply_grid(
                &rule(),
                at(hour),
                Evaluated::Some(&subjects),
                hits,
                &Silence::default(),
            );
            assert_eq!(outcome.waiting, waiting, "hour {hour}");
        }
    }

    fn sample(topic: &str) -> Evidence {
        Evidence::Sample { topic: topic.to_owned(), partition: 0, offset: 1 }
    }

    /// Finding `p` of topic `topic` goes quiet at hour 2; source `s` of topic `t` is silent in the hours given.
    fn resolves_at(topic: &str, silent: &[i64]) -> Option<i64> {
        let mut lifecycle = Lifecycle::default();
        let sources = Rule { detection: "silence".to_owned(), close_after: 0, ..rule() };
        let subjects = ["p".to_owned()];
        (1..20).find(|hour| {
            let said = Hit { subject: "s".to_owned(), ..hit(Level::Fire, 0.9) };
            let said = silent.contains(hour).then_some(said).into_iter().collect();
            lifecycle.apply_grid(&sources, at(*hour), Evaluated::All, said, &Silence::default());
            let topics = [("t", "s"), ("u", "v")];
            let instant = at(*hour).as_microsecond();
            let silence = Silence::as_of(instant, &lifecycle, ["silence"].into_iter(), topics.into_iter());
            let seen = Hit { evidence: vec![sample("x"), sample(topic)], ..hit(Level::Fire, 0.6) };
            let hits = if *hour == 1 { vec![seen] } else { Vec::new() };
            let outcome =
                lifecycle.apply_grid(&rule(), at(*hour), Evaluated::Some(&subjects), hits, &silence);
            let told = silent.contains(hour) || silent.contains(&(hour - 1));
            let is_held = topic == "t" && *hour > 1 && told;
            assert_eq!(lifecycle.held(instant, &silence), usize::from(is_held), "hour {hour}");
            outcome.changes.first().is_some_and(|c| c.kind == ChangeKind::Resolved)
        })
    }

    #[test]
    fn finding_does_not_resolve_while_its_topic_is_silent() {
        assert_eq!(resolves_at("t", &[]), Some(4));
        assert_eq!(resolves_at("t", &[3, 4, 5, 6]), Some(9), "quiet counts from the end of the silence");
        assert_eq!(resolves_at("t", &[2]), Some(5), "silence that ended in between counts too");
        assert_eq!(resolves_at("t", &(1..20).collect::<Vec<_>>()), None);
        assert_eq!(resolves_at("u", &[3, 4, 5, 6]), Some(4), "another topic's silence says nothing");
    }

    #[test]
    fn restart_goes_on_as_if_nothing_had_happened() {
        let lifecycle =
            check(&[(1, Some(hit(Level::Fire, 0.6))), (2, None)], &[Some(ChangeKind::Opened), None]);
        let restored = Lifecycle::restore(lifecycle.all().cloned().collect());
        assert_eq!(restored.wakes(&rule()), vec![(4 * HOUR, "p".to_owned())]);
    }
}
