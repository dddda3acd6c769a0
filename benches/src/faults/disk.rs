//! Disk operations that fail, and losses of power: what was not durable is gone.
//!
//! In: how many, dice. Out: what was violated. `disk.c` stands between the daemon and the system; a C compiler is there,
//! for SQLite is compiled too.

use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use fastrand::Rng;
use shadowprod_benches::Failure;

use super::outcome::Outcome;
use super::round::{End, Round};
use super::stand::Stand;

const FAULTS_A_ROUND: u64 = 5;
const MODES: [&str; 5] = ["enospc", "eio", "short", "fsync", SLOW];
const SLOW: &str = "slow";
/// Writes of an incarnation that reads everything are some two thousand, fsyncs some forty.
const WRITES: std::ops::Range<u64> = 1..800;
const SYNCS: std::ops::Range<u64> = 1..30;
const SIGKILL: i32 = 9;

/// `count` operations fail: no room, an error, half a write, an fsync. The daemon must end and say so, or go on as if
/// nothing had been. Or the disk is slow: then it must go on.
pub fn failures(stand: &Stand, count: u64, dice: &mut Rng) -> Result<Outcome, Failure> {
    let mut outcome = Outcome::default();
    let mut by_mode = MODES.map(|mode| (mode, 0_u64));
    run(stand, "disk", count, dice, &mut outcome, |round, dice, outcome| {
        let (mode, at) = any_failure(dice);
        let variables = variables(&round.stand.dir, &round.state(), mode, at, dice.u64(..))?;
        let mut count = || by_mode.iter_mut().filter(|(known, _)| *known == mode).for_each(|(_, n)| *n += 1);
        let incarnation = round.start(&variables)?;
        match round.wait(incarnation)? {
            End::Ended(status) if status.success() || mode == SLOW => {
                outcome.violations.push(format!("{mode} at {at}: ended: {status}"));
            }
            End::Ended(_) => count(),
            End::Finished(incarnation) if mode == SLOW => {
                count();
                incarnation.kill()?;
            }
            // The operation was not reached, or it was one of which the state does not hang.
            End::Finished(incarnation) => {
                incarnation.kill()?;
                return Ok(false);
            }
            End::Stuck(incarnation) => {
                incarnation.kill()?;
                outcome.violations.push(format!("{mode} at {at}: neither ended nor went on"));
            }
        }
        Ok(true)
    })?;
    let modes: Vec<String> = by_mode.iter().map(|(mode, count)| format!("{mode} {count}")).collect();
    outcome.note = modes.join(", ");
    Ok(outcome)
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
    while outcome.count < count {
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
    (mode, dice.u64(if mode == "fsync" { SYNCS } else { WRITES }))
}

/// What puts the shim between a daemon and the files of its state.
pub fn variables(
    dir: &Path,
    state: &Path,
    mode: &str,
    at: u64,
    seed: u64,
) -> Result<[(&'static str, String); 5], Failure> {
    Ok([
        ("LD_PRELOAD", shim(dir)?.display().to_string()),
        ("FAULT_DISK_DIR", state.display().to_string()),
        ("FAULT_DISK_MODE", mode.to_owned()),
        ("FAULT_DISK_AT", at.to_string()),
        ("FAULT_DISK_SEED", seed.to_string()),
    ])
}

/// Compiled once a run.
fn shim(dir: &Path) -> Result<PathBuf, Failure> {
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
