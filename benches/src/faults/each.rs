//! Every disk operation of a store, one after the other, in every way that one can fail.
//!
//! In: a step. Out: what was violated. What is broken is a small store's life: it is made, and takes a few commits with
//! findings, rows, rejects and dead letters, enough for a checkpoint of its log. It runs in a process of its own, this
//! program's, so that each of some thousands of operations can have its turn.

use std::collections::BTreeSet;
use std::io::Write;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Command, ExitStatus};

use jiff::Timestamp;
use shadowprod::decode::{Reject, RejectReason, RejectedPayload};
use shadowprod::findings::{
    ChangeKind, Evidence, Finding, FindingChange, FindingState, Owner, Severity, Subject, Tracked,
};
use shadowprod::ingest::{Checkpoint, Position, Seam, payload_hash};
use shadowprod::store::verify::verify;
use shadowprod::store::{
    ClockState, Commit, DeadLetters, NewSegment, QuarantineQuery, Quarantined, Rejects, Store,
};
use shadowprod_benches::Failure;

use super::disk;
use super::outcome::Outcome;

const COMMITS: i64 = 8;
/// Eight of them fill the store's log once.
const SEGMENT_BYTES: usize = 600_000;
/// Segments that one takes the place of.
const MERGED: usize = 3;
const TOPIC: &str = "gateway";
const ROLLUP: &str = "pilot-caller-hour";
/// Ways in which an operation fails. `power`: any operation; `fsync`: fsyncs; the others: writes.
const MODES: [&str; 5] = ["enospc", "eio", "short", "fsync", "power"];

/// Each `step`th operation fails in each way. Whatever the store's process says then, everything of which it had said
/// before that it is durable must be there, all else must not be there in part, and the rest can be done.
pub fn run(dir: &Path, step: u64, violations_max: usize) -> Result<Outcome, Failure> {
    let mut outcome = Outcome::default();
    let whole = dir.join("whole");
    let (status, _) = life(&whole, &[])?;
    if !status.success() {
        return Err(format!("a store that nothing happens to ended: {status}").into());
    }
    let expected = contents(&whole)?;
    let mut last = Vec::new();
    for mode in MODES {
        let mut at = 1;
        loop {
            let state = dir.join("each");
            let met = failure(dir, &state, mode, at, &expected, &mut outcome)?;
            std::fs::remove_dir_all(&state)?;
            if !met || outcome.has_shown(violations_max) {
                break;
            }
            outcome.count += 1;
            at += step;
        }
        last.push(format!("{mode} up to {}", at.saturating_sub(step)));
    }
    outcome.note = last.join(", ");
    Ok(outcome)
}

/// Whether the operation came.
fn failure(
    dir: &Path,
    state: &Path,
    mode: &str,
    at: u64,
    expected: &BTreeSet<String>,
    outcome: &mut Outcome,
) -> Result<bool, Failure> {
    std::fs::create_dir_all(state)?;
    let variables = disk::variables(dir, state, mode, at, at)?;
    let met = disk::met(state);
    let _absent = std::fs::remove_file(&met);
    let (status, told) = life(state, &variables)?;
    if !met.exists() {
        return Ok(false);
    }
    let mut wrong = |what: String| outcome.violations.push(format!("{mode} at {at}: {what}"));
    if mode == "power" && status.signal() != Some(disk::SIGKILL) {
        wrong(format!("ended: {status}"));
    }
    let (status, after) = life(state, &[])?;
    if !status.success() {
        wrong(format!("the next start ended: {status}"));
        return Ok(true);
    }
    // The first line says what was there.
    let (found, durable) =
        (after.first().copied().unwrap_or_default(), told.last().copied().unwrap_or_default());
    if found < durable {
        wrong(format!("{durable} commits were durable, {found} are there"));
    }
    let damage = verify(state)?.parts.into_iter().flat_map(|part| part.damage);
    damage.for_each(|damage| wrong(format!("verify: {damage}")));
    let there = contents(state)?;
    let (lost, more) = (expected.difference(&there).count(), there.difference(expected).count());
    if lost + more > 0 {
        wrong(format!("{lost} things are not there, {more} should not be"));
    }
    Ok(true)
}

/// One process of a store, from where it is to its last commit: how it ended, and how many commits it said were durable,
/// at its start and after each.
fn life(state: &Path, variables: &[(&str, String)]) -> Result<(ExitStatus, Vec<i64>), Failure> {
    std::fs::create_dir_all(state)?;
    let output = Command::new(std::env::current_exe()?)
        .arg("--store-life")
        .arg(state)
        .envs(variables.iter().map(|(name, value)| (name, value)))
        .output()?;
    let said = String::from_utf8_lossy(&output.stdout);
    Ok((output.status, said.lines().filter_map(|line| line.parse().ok()).collect()))
}

/// What that process does.
pub fn live(state: &Path) -> Result<(), Failure> {
    let (mut store, recovered) = Store::open(state)?;
    let mut out = std::io::stdout().lock();
    let done = recovered.checkpoints.first().map_or(0, |checkpoint| checkpoint.position.offset);
    writeln!(out, "{done}")?;
    out.flush()?;
    store.register_topics(&[TOPIC.to_owned()])?;
    store.bind_credential_key("a key")?;
    for number in done + 1..=COMMITS {
        let kept = store.segments_of(&[ROLLUP.to_owned()])?;
        store.commit(&commit(number, kept))?;
        writeln!(out, "{number}")?;
        out.flush()?;
    }
    Ok(())
}

/// The `number`th commit, from 1 on: opens a finding, refreshes the one before and resolves the one before that.
fn commit(number: i64, kept: Vec<i64>) -> Commit {
    let position = Position { topic: 0, partition: 0, offset: number };
    let change = |kind, of: i64, state| (of > 0).then(|| change(kind, of, number, state));
    let changes: Vec<FindingChange> = [
        change(ChangeKind::Opened, number, FindingState::Open),
        change(ChangeKind::Refreshed, number - 1, FindingState::Open),
        change(ChangeKind::Resolved, number - 2, FindingState::Resolved),
    ]
    .into_iter()
    .flatten()
    .collect();
    let track = |change: &FindingChange| Tracked {
        finding: change.finding.clone(),
        quiet_since: None,
        resolved_at: None,
        early_at: None,
    };
    let (mut rejects, mut dead_letters) = (Rejects::default(), DeadLetters::default());
    dead_letters.add(&reject(position));
    rejects.add(reject(position));
    let bytes = (0..SEGMENT_BYTES).map(|index| (index as i64 * number) as u8).collect();
    let segment = NewSegment { rollup: ROLLUP.to_owned(), version: 1, sha256: "ab".repeat(32), bytes };
    Commit {
        checkpoints: vec![Checkpoint {
            position,
            seam: Some(Seam { offset: number - 1, payload_hash: number as u64, timestamp_ms: Some(number) }),
        }],
        segments: vec![segment],
        dropped_segments: if kept.len() >= MERGED { kept } else { Vec::new() },
        tracked: changes.iter().map(track).collect(),
        changes,
        rejects,
        dead_letters,
        clock: ClockState {
            watermark_micros: number,
            partitions: vec![(position, number, false)],
            newest_event_micros: number,
        },
        ..Commit::default()
    }
}

fn change(kind: ChangeKind, of: i64, number: i64, state: FindingState) -> FindingChange {
    let at = |number: i64| Timestamp::UNIX_EPOCH + jiff::SignedDuration::from_hours(number);
    let finding = Finding {
        finding_id: format!("f_{of}"),
        detection: "unpromoted-production-traffic".to_owned(),
        detection_version: 1,
        subject: Subject { kind: "pilot".to_owned(), id: format!("pilot-{of}") },
        severity: Severity::High,
        score: 0.5,
        coverage: 1.0,
        state,
        owner: Owner { person: "ada".to_owned(), role: "owner".to_owned(), contact: String::new() },
        confirmed: true,
        first_seen: at(of),
        last_seen: at(number),
        episode: 1,
        reopened: 0,
        evidence: vec![Evidence::Term { name: "requests".to_owned(), value: Some(number as f64) }],
        title: format!("Pilot {of}"),
        explanation: "e".repeat(300),
    };
    FindingChange { kind, at: at(number), finding }
}

fn reject(position: Position) -> Quarantined {
    let reject = Reject {
        position,
        index: 0,
        source: TOPIC.to_owned(),
        reason: RejectReason::NotJson,
        detail: "expected a value".to_owned(),
        format: None,
        message_hash: position.offset as u64,
        content_hash: position.offset as u64,
        payload: RejectedPayload::of_masked("{".to_owned()),
    };
    Quarantined { topic: TOPIC.to_owned(), reject, at_micros: position.offset }
}

/// All that a store tells, a line each.
fn contents(state: &Path) -> Result<BTreeSet<String>, Failure> {
    let (store, recovered) = Store::open(state)?;
    let reader = store.reader()?;
    let mut lines: Vec<String> = recovered.tracked.iter().map(|tracked| format!("{tracked:?}")).collect();
    lines.extend(store.history()?.iter().map(|revision| format!("{revision:?}")));
    lines.extend(recovered.checkpoints.iter().map(|checkpoint| format!("{checkpoint:?}")));
    lines.push(format!("{:?} {}", recovered.clock, recovered.change_seq));
    lines.push(format!("{:?}", store.reject_totals()?));
    lines.extend(reader.quarantined(&QuarantineQuery::default())?.0.iter().map(|kept| format!("{kept:?}")));
    lines.extend(reader.dead_letters(0, usize::MAX >> 1)?.iter().map(|letter| format!("{letter:?}")));
    for segment in store.segments()? {
        lines.push(format!("{} {:x}", segment.rollup, payload_hash(&segment.bytes)));
    }
    Ok(lines.into_iter().collect())
}
