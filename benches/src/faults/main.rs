//! Everything that may go wrong around a daemon, done to it, and its findings beside those of an undisturbed run.
//!
//! In: how many of each fault, a seed, the broker of SHADOWPROD_TEST_KAFKA (and SHADOWPROD_TEST_KAFKA_CONTROL to end it).
//! Out: a table of fault, count, violations; the same as JSON in the last line; exit code 1 on any violation. The
//! daemon is the release binary beside this one, a process of its own; what it reads is a generated company.

mod broker;
mod disk;
mod each;
mod flips;
mod hostile;
mod incarnation;
mod judge;
mod keys;
mod lag;
mod kills;
mod options;
mod outcome;
mod planted;
mod round;
mod soak;
mod stand;
mod watcher;

use std::process::ExitCode;
use std::time::Instant;

use clap::Parser;
use fastrand::Rng;
use shadowprod_benches::Failure;

use options::Options;
use outcome::{Done, Outcome};
use stand::Stand;

/// The daemon's own: memory is measured here too.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    let options = Options::parse();
    let done = match &options.store_life {
        Some(state) => each::live(state).map(|()| true),
        None => run(&options),
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::from(2)
        }
    }
}

/// One kind of fault.
struct Fault<'a> {
    /// On the table.
    name: &'static str,
    count: u64,
    /// Whether others go on at the same time: not where the machine, the broker or this process's memory is looked at.
    beside: bool,
    run: Box<Run<'a>>,
}

/// What does so many, with dice.
type Run<'a> = dyn Fn(u64, &mut Rng) -> Result<Outcome, Failure> + Sync + 'a;

impl<'a> Fault<'a> {
    fn beside(
        name: &'static str,
        count: Option<u64>,
        run: impl Fn(u64, &mut Rng) -> Result<Outcome, Failure> + Sync + 'a,
    ) -> Self {
        Self { name, count: count.unwrap_or(0), beside: true, run: Box::new(run) }
    }

    fn alone(
        name: &'static str,
        count: Option<u64>,
        run: impl Fn(u64, &mut Rng) -> Result<Outcome, Failure> + Sync + 'a,
    ) -> Self {
        Self { beside: false, ..Self::beside(name, count, run) }
    }

    /// Does it, and says what came of it.
    fn done(&self, seed: u64) -> Result<Done, String> {
        let started = Instant::now();
        // Each fault has dice of its own: leaving one out changes no other.
        let mut dice = Rng::with_seed(seed ^ shadowprod::ingest::payload_hash(self.name.as_bytes()));
        let outcome = (self.run)(self.count, &mut dice).map_err(|error| {
            println!("{} could not be tried to its end", self.name);
            format!("{}: {error}", self.name)
        })?;
        let mut said = outcome.line(self.name, started.elapsed());
        outcome.violations.iter().take(outcome::SHOWN_MAX).for_each(|v| said += &format!("\n    {v}"));
        println!("{said}");
        Ok((self.name, outcome, started.elapsed()))
    }
}

fn run(options: &Options) -> Result<bool, Failure> {
    println!("seed {}: {} days of a company, {}", options.seed, options.days, options.scale_name());
    let dir = tempfile::tempdir()?;
    let real = || Stand::at_broker(options, &dir.path().join("real"));
    let stand = options.needs_broker().then(real).transpose()?;
    let stand =
        || stand.as_ref().ok_or_else(|| Failure::from("no broker: set SHADOWPROD_TEST_KAFKA=host:port"));
    let (at_mock, at_soak) = (dir.path().join("mock"), dir.path().join("soak"));
    let faults = [
        Fault::beside("kill -9 at random instants", options.kills, |n, dice| {
            kills::at_random(stand()?, n, dice)
        }),
        Fault::beside("crash at each named point", options.crash_points, |n, dice| {
            kills::at_points(stand()?, n, dice)
        }),
        Fault::beside("failed disk operations", options.disk, |n, dice| disk::failures(stand()?, n, dice)),
        Fault::beside("each disk operation", options.disk_every, |step, _| disk::sweep(stand()?, step)),
        Fault::beside("each operation of a store", options.store_every, |step, _| {
            each::run(dir.path(), step, options.violations_max)
        }),
        Fault::beside("power losses", options.power, |n, dice| disk::power_losses(stand()?, n, dice)),
        Fault::beside("bit flips and torn tails", options.flips, |n, dice| flips::run(stand()?, n, dice)),
        Fault::beside("broker faults (mock cluster)", options.broker, |n, dice| {
            broker::mock(options, &at_mock, n, dice)
        }),
        Fault::alone("broker killed", options.broker_kills(), |n, dice| broker::killed(stand()?, n, dice)),
        Fault::alone("hostile messages", options.hostile, |n, dice| hostile::run(options, n, dice)),
        Fault::alone("new keys under a memory limit", options.keys, |n, _| keys::run(options, n)),
        Fault::alone("a fault every half minute", options.soak, |n, dice| {
            soak::run(options, &at_soak, n, dice)
        }),
    ];
    let mut done = Vec::new();
    if let Some(built) = &options.planted {
        let started = Instant::now();
        let outcome = planted::run(options, built)?;
        outcome.violations.iter().for_each(|violation| println!("    {violation}"));
        done.push(("planted bugs", outcome, started.elapsed()));
    }
    let wanted = faults.iter().filter(|fault| fault.count > 0);
    let (beside, alone): (Vec<_>, Vec<_>) = wanted.partition(|fault| fault.beside);
    let mut tried = std::thread::scope(|scope| -> Result<Vec<_>, Failure> {
        let running: Vec<_> = beside.iter().map(|fault| scope.spawn(|| fault.done(options.seed))).collect();
        let joined = running.into_iter().map(std::thread::ScopedJoinHandle::join);
        joined.map(|ended| ended.map_err(|_| "a thread with faults panicked".into())).collect()
    })?;
    tried.extend(alone.into_iter().map(|fault| fault.done(options.seed)));
    // One kind that cannot be tried takes nothing from what the others showed.
    let mut failed = Vec::new();
    for kind in tried {
        kind.map_or_else(|error| failed.push(error), |kind| done.push(kind));
    }
    outcome::print(options.seed, &done);
    if !failed.is_empty() {
        return Err(failed.join("\n").into());
    }
    Ok(done.iter().all(|(_, outcome, _)| outcome.violations.is_empty()))
}
