//! Disk operations that fail, and losses of power: what was not durable is gone.
//!
//! In: how many, dice. Out: what was violated. `disk.c` stands between the daemon and the system; a C compiler is there,
//! for SQLite is compiled too.

use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;
use std::time::Duration;

use fastrand::Rng;
use shadowprod_benches::Failure;

use super::outcome::Outcome;
use super::round::{End, Round};
use super::stand::Stand;

const FAULTS_A_ROUND: u64 = 5;
const MODES: [&str; 5] = ["enospc", "eio", "short", "fsync", SLOW];
const SLOW: &str = "slow";
/// An incarnation that reads everything writes more than twenty thousand times, most of it as often as a commit does.
const WRITES: std::ops::Range<u64> = 1..4_000;
const SYNCS: std::ops::Range<u64> = 1..30;
/// With these a new state begins, and each start.
const FIRST_SYNCS: std::ops::Range<u64> = 1..6;
/// How a machine that lost its power ends a process.
pub const SIGKILL: i32 = 9;
const STOP_PATIENCE: Duration = Duration::from_secs(30);

/// `count` operations fail: no room, an error, half a write, an fsync. The daemon must end and say so, or go on as if
/// nothing had been. Or the disk is slow: then it must go on.
pub fn failures(stand: &Stand, count: u64, dice: &mut Rng) -> Result<Outcome, Failure> {
    let mut outcome = Outcome::default();
    let mut by_mode = MODES.map(|mode| (mode, 0_u64));
    run(stand, "disk", count, dice, &mut outcome, |round, dice, outcome| {
        let (mode, at) = any_failure(dice);
        let happened = failure(round, mode, at, dice.u64(..), outcome)?;
        by_mode.iter_mut().filter(|(known, _)| happened && *known == mode).for_each(|(_, count)| *count += 1);
        Ok(happened)
    })?;
    let modes: Vec<String> = by_mode.iter().map(|(mode, count)| format!("{mode} {count}")).collect();
    outcome.note = modes.join(", ");
    Ok(outcome)
}

/// Whether the daemon met the failure of one operation. What it does then must be one of two things.
fn failure(
    round: &mut Round<'_>,
    mode: &str,
    at: u64,
    seed: u64,
    outcome: &mut Outcome,
) -> Result<bool, Failure> {
    let variables = variables(&round.stand.dir, &round.state(), mode, at, seed)?;
    let met = met(&round.state());
    let _absent = std::fs::remove_file(&met);
    let incarnation = round.start(&variables)?;
    match round.wait(incarnation)? {
        End::Ended(status) if status.success() || mode == SLOW => {
            outcome.violations.push(format!("{mode} at {at}: ended: {status}"));
        }
        End::Ended(status) if !met.exists() => {
            outcome.violations.push(format!("{mode} at {at}: ended before it came: {status}"));
        }
        End::Ended(_) => {}
        // A disk that is slow, an operation that was not reached, or one of which the state does not hang.
        End::Finished(incarnation) => {
            // What an fsync that failed was to make durable is gone when the process ends by itself.
            if mode == "fsync" { incarnation.stop(STOP_PATIENCE).map(drop) } else { incarnation.kill() }?;
            return Ok(mode == SLOW || met.exists());
        }
        End::Stuck(incarnation) => {
            incarnation.kill()?;
            outcome.violations.push(format!("{mode} at {at}: neither ended nor went on"));
        }
    }
    Ok(true)
}

/// Every `step`th write and each fsync fails, one after the other, as far as a daemon that reads everything gets. Writes
/// fail in each way in turn.
pub fn sweep(stand: &Stand, step: u64) -> Result<Outcome, Failure> {
    let mut outcome = Outcome::default();
    let step = usize::try_from(step)?;
    let writes = (1..).step_by(step).zip(["enospc", "eio", "short"].into_iter().cycle());
    let last_write = sweep_of(stand, "write", writes, &mut outcome)?;
    let fsyncs = (1..).zip(std::iter::repeat("fsync"));
    let last_fsync = sweep_of(stand, "fsync", fsyncs, &mut outcome)?;
    outcome.note = format!("to write {last_write} and fsync {last_fsync}, after which everything was read");
    Ok(outcome)
}

/// Returns the last operation that was reached.
fn sweep_of(
    stand: &Stand,
    name: &str,
    failures: impl Iterator<Item = (u64, &'static str)>,
    outcome: &mut Outcome,
) -> Result<u64, Failure> {
    let mut last = 0;
    let mut rounds = 0;
    let mut new_round = || {
        rounds += 1;
        Round::new(stand, format!("{name}-{rounds}"))
    };
    let (mut round, mut faults) = (new_round()?, 0);
    for (at, mode) in failures {
        let mut happened = faults < FAULTS_A_ROUND && failure(&mut round, mode, at, at, outcome)?;
        if !happened {
            // A state that is nearly through has no such operation left.
            let through = std::mem::replace(&mut round, new_round()?);
            outcome.violations.extend(through.finish()?);
            faults = 0;
            happened = failure(&mut round, mode, at, at, outcome)?;
        }
        if !happened || outcome.has_shown(stand.violations_max) {
            break;
        }
        (last, faults, outcome.count) = (at, faults + 1, outcome.count + 1);
    }
    outcome.violations.extend(round.finish()?);
    Ok(last)
}

/// The machine ends at `count` operations.
pub fn power_losses(stand: &Stand, count: u64, dice: &mut Rng) -> Result<Outcome, Failure> {
    let mut outcome = Outcome::default();
    run(stand, "power", count, dice, &mut outcome, |round, dice, outcome| {
        let at = dice.u64(WRITES);
        let variables = variables(&round.stand.dir, &round.state(), "power", at, dice.u64(..))?;
        let incarnation = round.start(&variables)?;
        match round.wait(incarnation)? {
            End::Ended(status) if status.signal() == Some(SIGKILL) => Ok(true),
            End::Ended(status) => {
                outcome.violations.push(format!("power at {at}: ended by itself: {status}"));
                Ok(true)
            }
            End::Finished(incarnation) | End::Stuck(incarnation) => {
                incarnation.kill()?;
                Ok(false)
            }
        }
    })?;
    Ok(outcome)
}

/// Rounds of some faults each, until `count` have happened; three in four that do not happen are too many.
fn run(
    stand: &Stand,
    name: &str,
    count: u64,
    dice: &mut Rng,
    outcome: &mut Outcome,
    mut fault: impl FnMut(&mut Round<'_>, &mut Rng, &mut Outcome) -> Result<bool, Failure>,
) -> Result<(), Failure> {
    let (mut rounds, mut tried) = (0, 0);
    while !outcome.is_over(count, stand.violations_max) {
        let mut round = Round::new(stand, format!("{name}-{rounds}"))?;
        rounds += 1;
        for _ in 0..FAULTS_A_ROUND.min(count - outcome.count) {
            tried += 1;
            outcome.count += u64::from(fault(&mut round, dice, outcome)?);
        }
        outcome.violations.extend(round.finish()?);
        if tried > 20 + 4 * count {
            return Err(format!("{name}: of {tried} tries only {} did anything", outcome.count).into());
        }
    }
    Ok(())
}

/// A mode, and at which operation.
pub fn any_failure(dice: &mut Rng) -> (&'static str, u64) {
    let mode = MODES[dice.usize(..MODES.len())];
    let operations = match mode {
        "fsync" if dice.bool() => FIRST_SYNCS,
        "fsync" => SYNCS,
        _ => WRITES,
    };
    (mode, dice.u64(operations))
}

/// What puts the shim between a daemon and the files of its state.
pub fn variables(
    dir: &Path,
    state: &Path,
    mode: &str,
    at: u64,
    seed: u64,
) -> Result<[(&'static str, String); 6], Failure> {
    Ok([
        ("LD_PRELOAD", shim(dir)?.display().to_string()),
        ("FAULT_DISK_DIR", state.display().to_string()),
        ("FAULT_DISK_MODE", mode.to_owned()),
        ("FAULT_DISK_AT", at.to_string()),
        ("FAULT_DISK_SEED", seed.to_string()),
        ("FAULT_DISK_MET", met(state).display().to_string()),
    ])
}

/// The file that says that the operation came.
pub fn met(state: &Path) -> PathBuf {
    state.with_file_name("disk-met")
}

/// Compiled once a run, whoever comes first.
fn shim(dir: &Path) -> Result<PathBuf, Failure> {
    static COMPILING: Mutex<()> = Mutex::new(());
    let _one = COMPILING.lock();
    let library = dir.join("disk.so");
    if !library.exists() {
        let source = concat!(env!("CARGO_MANIFEST_DIR"), "/src/faults/disk.c");
        let status = Command::new("cc")
            .args(["-shared", "-fPIC", "-O1", "-Wall", "-o"])
            .arg(&library)
            .args([source, "-ldl"])
            .status()?;
        if !status.success() {
            return Err(format!("cc {source}: {status}").into());
        }
    }
    Ok(library)
}
