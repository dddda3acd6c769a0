//! Ends of the process: SIGKILL at random instants, and at each named crash point.
//!
//! In: how many, dice. Out: what was violated. Several ends make one round, then one incarnation goes on to the end.

use std::os::unix::process::ExitStatusExt;
use std::time::Duration;

use fastrand::Rng;
use shadowprod::crash_points::{CRASH_AT, CrashPoint};
use shadowprod_benches::Failure;

use super::outcome::Outcome;
use super::round::{End, Round};
use super::stand::Stand;

const ENDS_A_ROUND: u64 = 6;
/// A start takes a fifth of a second, the whole of the logs a few.
const LIFE_MS: std::ops::Range<u64> = 20..1_500;
/// Passes of a crash point before the process ends there: most points are passed some hundred times.
const PASSES: std::ops::RangeInclusive<u32> = 1..=12;
const SIGABRT: i32 = 6;

/// SIGKILL at `count` random instants, under the load of logs that wait to be read.
pub fn at_random(stand: &Stand, count: u64, dice: &mut Rng) -> Result<Outcome, Failure> {
    let mut outcome = Outcome::default();
    while !outcome.is_over(count, stand.violations_max) {
        let mut round = Round::new(stand, format!("kill-{}", outcome.count))?;
        for _ in 0..ENDS_A_ROUND.min(count - outcome.count) {
            let incarnation = round.start(&[])?;
            std::thread::sleep(Duration::from_millis(dice.u64(LIFE_MS)));
            incarnation.kill()?;
            outcome.count += 1;
        }
        outcome.violations.extend(round.finish()?);
    }
    Ok(outcome)
}

/// Each point `times` times, in random order; a point that is not reached is tried once more, first in a fresh folder, and
/// is a violation if it is not reached then either.
pub fn at_points(stand: &Stand, times: u64, dice: &mut Rng) -> Result<Outcome, Failure> {
    let mut outcome = Outcome { note: format!("{} points", CrashPoint::ALL.len()), ..Outcome::default() };
    let mut plan: Vec<(CrashPoint, u32)> = (0..times)
        .flat_map(|time| CrashPoint::ALL.map(|point| (point, time)))
        .map(|(point, time)| (point, if time == 0 { 1 } else { dice.u32(PASSES) }))
        .collect();
    dice.shuffle(&mut plan);
    let mut again: Vec<CrashPoint> = Vec::new();
    let mut rounds = 0;
    while !(plan.is_empty() && again.is_empty() || outcome.has_shown(stand.violations_max)) {
        let mut round = Round::new(stand, format!("crash-{rounds}"))?;
        rounds += 1;
        if let Some(point) = again.pop() {
            match crash(&mut round, point, 1)? {
                true => outcome.count += 1,
                false => outcome.violations.push(format!("{point} is not reached")),
            }
        }
        let ends = plan.split_off(plan.len().saturating_sub(ENDS_A_ROUND as usize));
        for (point, passes) in ends {
            match crash(&mut round, point, passes)? {
                true => outcome.count += 1,
                false => again.push(point),
            }
        }
        outcome.violations.extend(round.finish()?);
    }
    Ok(outcome)
}

/// Whether the process ended at this point; if it came to the end of the logs first it is killed there.
fn crash(round: &mut Round<'_>, point: CrashPoint, passes: u32) -> Result<bool, Failure> {
    let incarnation = round.start(&[(CRASH_AT, format!("{point}:{passes}"))])?;
    match round.wait(incarnation)? {
        End::Ended(status) if status.signal() == Some(SIGABRT) => Ok(true),
        End::Ended(status) => Err(format!("at {point} the daemon ended otherwise: {status}").into()),
        End::Finished(incarnation) | End::Stuck(incarnation) => {
            incarnation.kill()?;
            Ok(false)
        }
    }
}
