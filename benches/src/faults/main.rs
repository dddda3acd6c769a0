//! Everything that may go wrong around a daemon, done to it, and its findings beside those of an undisturbed run.
//!
//! In: how many of each fault, a seed, the broker of SHADOWPROD_TEST_KAFKA (and SHADOWPROD_TEST_KAFKA_CONTROL to end it).
//! Out: a table of fault, count, violations; the same as JSON in the last line; exit code 1 on any violation. The
//! daemon is the release binary beside this one, a process of its own; what it reads is a generated company.

mod broker;
mod disk;
mod flips;
mod hostile;
mod incarnation;
mod judge;
mod keys;
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

use fastrand::Rng;
use shadowprod_benches::Failure;

use options::Options;
use outcome::Outcome;
use stand::Stand;

/// The daemon's own: memory is measured here too.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    match Options::of(std::env::args().skip(1)).and_then(|options| run(&options)) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::from(2)
        }
    }
}

/// One fault: its name on the table, how many, and what does them.
type Fault<'a> = (&'static str, u64, &'a dyn Fn(u64, &mut Rng) -> Result<Outcome, Failure>);

fn run(options: &Options) -> Result<bool, Failure> {
    println!("seed {}: {} days of a company, {}", options.seed, options.days, options.scale_name());
    let dir = tempfile::tempdir()?;
    let real = || Stand::at_broker(options, &dir.path().join("real"));
    let stand = options.needs_broker().then(real).transpose()?;
    let stand =
        || stand.as_ref().ok_or_else(|| Failure::from("no broker: set SHADOWPROD_TEST_KAFKA=host:port"));
    let (at_mock, at_soak) = (dir.path().join("mock"), dir.path().join("soak"));
    let faults: [Fault<'_>; 11] = [
        ("kill -9 at random instants", options.kills, &|n, dice| kills::at_random(stand()?, n, dice)),
        ("crash at each named point", options.crash_points, &|n, dice| kills::at_points(stand()?, n, dice)),
        ("failed disk operations", options.disk, &|n, dice| disk::failures(stand()?, n, dice)),
        ("each disk operation", options.disk_every, &|step, _| disk::sweep(stand()?, step)),
        ("power losses", options.power, &|n, dice| disk::power_losses(stand()?, n, dice)),
        ("bit flips and torn tails", options.flips, &|n, dice| flips::run(stand()?, n, dice)),
        ("broker faults (mock cluster)", options.broker, &|n, dice| broker::mock(options, &at_mock, n, dice)),
        ("broker killed", options.broker_kills(), &|n, dice| broker::killed(stand()?, n, dice)),
        ("hostile messages", options.hostile, &|n, dice| hostile::run(options, n, dice)),
        ("new keys under a memory limit", options.keys, &|n, _| keys::run(options, n)),
        ("a fault every half minute", options.soak, &|n, dice| soak::run(options, &at_soak, n, dice)),
    ];
    let mut done = Vec::new();
    if let Some(built) = &options.planted {
        let started = Instant::now();
        let outcome = planted::run(options, built)?;
        outcome.violations.iter().for_each(|violation| println!("    {violation}"));
        done.push(("planted bugs", outcome, started.elapsed()));
    }
    for (name, count, fault) in faults.into_iter().filter(|(_, count, _)| *count > 0) {
        let started = Instant::now();
        // Each fault has dice of its own: leaving one out changes no other.
        let mut dice = Rng::with_seed(options.seed ^ shadowprod::ingest::payload_hash(name.as_bytes()));
        let outcome = fault(count, &mut dice)?;
        println!("{}", outcome.line(name, started.elapsed()));
        outcome.violations.iter().take(outcome::SHOWN_MAX).for_each(|violation| println!("    {violation}"));
        done.push((name, outcome, started.elapsed()));
    }
    outcome::print(options.seed, &done);
    Ok(done.iter().all(|(_, outcome, _)| outcome.violations.is_empty()))
}
