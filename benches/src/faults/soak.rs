//! A company's logs for as long as wanted, at a steady pace, with a fault every half minute.
//!
//! In: how long, a plan of a company. Out: what was violated, and how lag and memory went. What is sent is read by an
//! undisturbed pipeline in this process at the same time; at the end the daemon's state is judged by it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::{Duration, Instant};

use clap::ValueEnum;
use fastrand::Rng;
use rdkafka::producer::Producer;
use shadowprod::cli::{generate, replay};
use shadowprod::config::Config;
use shadowprod::enrich::CredentialKey;
use shadowprod::ingest::{Position, RawBatch};
use shadowprod::metrics::Metrics;
use shadowprod::pipeline::Pipeline;
use shadowprod_benches::kafka::{create_topic, send};
use shadowprod_benches::{Failure, resident_bytes_of};
use shadowprod_world::{Plan, World};

use super::incarnation::Incarnation;
use super::lag::Lag;
use super::options::{Options, name_of};
use super::outcome::Outcome;
use super::round::keep;
use super::stand::{self, Expected, GARBAGE, GARBAGE_EVERY, Stand};
use super::watcher::Watcher;
use super::{broker, disk, judge};

const FAULT_EVERY: Duration = Duration::from_secs(30);
const SAMPLE_EVERY: Duration = Duration::from_millis(500);
const PARTITIONS: i32 = 2;
const STOP_PATIENCE: Duration = Duration::from_secs(30);
/// From the last message to the last finding: half a minute of silence, and what was behind.
const END_PATIENCE: Duration = Duration::from_secs(180);
/// How long a process or a broker is away.
const AWAY_MS: std::ops::Range<u64> = 500..6_000;
/// Longer than a question to the broker may take, sometimes.
const PAUSED_MS: std::ops::Range<u64> = 1_000..12_000;
/// Days pass in minutes here: what takes a second longer to arrive is hours late.
const LATENESS_SECONDS: u32 = 14_400;
/// Messages that are handed over and paced together.
const BATCH: usize = 1_024;
/// A queue of sent messages for the undisturbed pipeline: it may be some seconds behind.
const BATCHES_WAITING: usize = 64;

/// What happens, by the number of the dice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub enum Kind {
    #[value(name = "SIGKILL")]
    Killed,
    #[value(name = "SIGTERM")]
    Ended,
    #[value(name = "SIGHUP")]
    Reloaded,
    #[value(name = "SIGSTOP")]
    Stopped,
    #[value(name = "broker killed")]
    BrokerKilled,
    #[value(name = "broker paused")]
    BrokerPaused,
    /// Also in place of what needs the broker's control, where there is none.
    #[value(name = "disk")]
    Disk,
}

impl Kind {
    /// As the command line and the table have it.
    pub fn name(self) -> String {
        name_of(self)
    }
}

/// One message that was sent.
struct Sent {
    topic: &'static str,
    partition: i32,
    line: String,
}

/// What goes between the threads.
#[derive(Default)]
struct Pace {
    sent: AtomicI64,
    is_over: AtomicBool,
}

/// Runs for `seconds`.
pub fn run(options: &Options, dir: &Path, seconds: u64, dice: &mut Rng) -> Result<Outcome, Failure> {
    let plan =
        Plan { seed: options.seed, scale: options.scale.into(), days: options.days, end: generate::end() };
    let world = World::new(&plan);
    let total = world.events().count();
    let total = total + total / GARBAGE_EVERY;
    let home = dir.join("world");
    std::fs::create_dir_all(&home)?;
    generate::write_settings(&world, &home)?;
    let run = format!("soak-{}", std::process::id());
    let (config, topics) = stand::config_of(&home, &run, &options.brokers)?;
    let config = config.replace(
        "idle_after_ms = 1000",
        &format!("idle_after_ms = 30000\nlateness_seconds = {LATENESS_SECONDS}"),
    );
    let dead_letters = format!("dead-{run}");
    create_topic(&options.brokers, &dead_letters, 1)?;
    topics
        .iter()
        .try_for_each(|topic| create_topic(&options.brokers, &format!("{topic}-{run}"), PARTITIONS))?;
    let undisturbed = stand::write_config(&config, &dir.join("undisturbed"), &[], "none")?;
    // Both hash credentials under one key.
    let key = dir.join("undisturbed/state/credential.key");
    CredentialKey::from_file_or_create(&key)?;
    let config = stand::write_config(&config, &dir.join("soak"), &std::fs::read(key)?, &dead_letters)?;
    println!("{total} messages in {seconds} s: {} a second", total as u64 / seconds.max(1));
    let pace = Pace::default();
    let (to_reference, from_world) = sync_channel(BATCHES_WAITING);
    let taking = Duration::from_secs(seconds);
    std::thread::scope(|scope| {
        let sending = scope.spawn(|| {
            let sent = produce(&world, &options.brokers, &run, taking, total, &pace, to_reference);
            pace.is_over.store(true, Ordering::Release);
            sent.map_err(|e| e.to_string())
        });
        let (quiet, run) = (undisturbed.as_path(), run.as_str());
        let reference =
            scope.spawn(move || reference(quiet, run, from_world).map_err(|error| error.to_string()));
        let lag =
            Lag::new(&dir.join("soak/faults.log"), i64::try_from(total)? / i64::try_from(seconds.max(1))?)?;
        let mut soak = Soak::start(options, dir, config, dead_letters, &pace, lag)?;
        let disturbed = soak.disturb(dice);
        sending.join().map_err(|_| "the sending thread panicked")??;
        let (undisturbed, expected) = reference.join().map_err(|_| "the undisturbed run panicked")??;
        disturbed?;
        soak.finish(expected, undisturbed)
    })
}

/// Sends the world's messages at a steady pace, and each that was handed to the client also to the undisturbed run.
fn produce(
    world: &World,
    brokers: &str,
    run: &str,
    taking: Duration,
    total: usize,
    pace: &Pace,
    to: SyncSender<Vec<Sent>>,
) -> Result<(), Failure> {
    let producer = stand::producer(brokers)?;
    let names: BTreeMap<&str, String> =
        shadowprod_world::TOPICS.iter().map(|topic| (*topic, format!("{topic}-{run}"))).collect();
    let started = Instant::now();
    let (mut count, mut batch) = (0_usize, Vec::new());
    for (index, event) in world.events().enumerate() {
        let partition = i32::try_from(event.key % PARTITIONS as u64)?;
        let garbage = (index % GARBAGE_EVERY == GARBAGE_EVERY / 2)
            .then(|| GARBAGE[index / GARBAGE_EVERY % GARBAGE.len()].to_owned());
        for line in [Some(event.payload), garbage].into_iter().flatten() {
            send(&producer, &names[event.topic], partition, &line)?;
            batch.push(Sent { topic: event.topic, partition, line });
            count += 1;
        }
        if batch.len() >= BATCH {
            pace.sent.store(i64::try_from(count)?, Ordering::Release);
            to.send(std::mem::take(&mut batch)).map_err(|_| "the undisturbed run is gone")?;
            let due = taking.mul_f64(count as f64 / total.max(1) as f64);
            while let Some(wait) = due.checked_sub(started.elapsed()).filter(|wait| !wait.is_zero()) {
                producer.poll(wait.min(Duration::from_millis(50)));
            }
        }
    }
    producer.flush(Duration::from_secs(120))?;
    pace.sent.store(i64::try_from(count)?, Ordering::Release);
    to.send(batch).map_err(|_| "the undisturbed run is gone".into())
}

/// The same messages through a pipeline that nothing happens to.
fn reference(config: &Path, run: &str, from: Receiver<Vec<Sent>>) -> Result<(Pipeline, Expected), Failure> {
    let config = Config::load(config)?;
    let metrics = Arc::new(Metrics::new());
    let mut pipeline = replay::open(&config, metrics.clone(), None)?;
    let numbers: BTreeMap<String, u16> = (0..).zip(pipeline.topics()).map(|(n, t)| (t.clone(), n)).collect();
    let mut next: BTreeMap<(u16, i32), i64> = BTreeMap::new();
    for topic in numbers.values() {
        next.extend((0..PARTITIONS).map(|partition| ((*topic, partition), 0)));
    }
    let places = |next: &BTreeMap<(u16, i32), i64>| -> Vec<Position> {
        let place =
            |(&(topic, partition), &offset): (&(u16, i32), &i64)| Position { topic, partition, offset };
        next.iter().map(place).collect()
    };
    // As a broker says it: a partition that is empty so far is not waited for.
    let first = RawBatch { assigned: Some(places(&next)), ends: places(&next), ..RawBatch::default() };
    pipeline.step(&first, 0)?;
    let mut messages = 0;
    for sent in from {
        let mut batch = RawBatch::default();
        for Sent { topic, partition, line } in sent {
            let topic = numbers[&format!("{topic}-{run}")];
            let offset = next.entry((topic, partition)).or_default();
            batch.push(Position { topic, partition, offset: *offset }, None, line.as_bytes());
            *offset += 1;
            messages += 1;
        }
        pipeline.step(&batch, 0)?;
        if pipeline.commit_is_due(messages) {
            pipeline.commit(|| 0)?;
        }
    }
    pipeline.step(&RawBatch { ends: places(&next), ..RawBatch::default() }, 0)?;
    pipeline.commit(|| 0)?;
    let expected = stand::expected(&pipeline, &metrics, messages)?;
    Ok((pipeline, expected))
}

/// The daemon, from one fault to the next.
struct Soak<'a> {
    options: &'a Options,
    dir: &'a Path,
    config: PathBuf,
    dead_letters: String,
    pace: &'a Pace,
    watcher: Watcher,
    daemon: Option<Incarnation>,
    starts: usize,
    outcome: Outcome,
    kinds: BTreeMap<Kind, u64>,
    lag: Lag,
    resident: Vec<usize>,
}

impl<'a> Soak<'a> {
    fn start(
        options: &'a Options,
        dir: &'a Path,
        config: PathBuf,
        dead_letters: String,
        pace: &'a Pace,
        lag: Lag,
    ) -> Result<Self, Failure> {
        let mut soak = Self {
            options,
            dir,
            config,
            dead_letters,
            pace,
            watcher: Watcher::default(),
            daemon: None,
            starts: 0,
            outcome: Outcome::default(),
            kinds: BTreeMap::new(),
            lag,
            resident: Vec::new(),
        };
        soak.replace(Incarnation::kill, &[])?;
        Ok(soak)
    }

    fn state(&self) -> PathBuf {
        self.dir.join("soak/state")
    }

    /// A fault every FAULT_EVERY until everything is sent.
    fn disturb(&mut self, dice: &mut Rng) -> Result<(), Failure> {
        let mut next = Instant::now() + FAULT_EVERY;
        while !self.pace.is_over.load(Ordering::Acquire) {
            if Instant::now() >= next {
                if self.lag.is_there() {
                    let unknown = |error| vec![format!("partitions unknown: {error}")];
                    self.lag.left(&judge::behind(&self.config).unwrap_or_else(unknown))?;
                }
                let begun = Instant::now();
                let kind = self.fault(dice)?;
                self.outcome.count += 1;
                *self.kinds.entry(kind).or_default() += 1;
                self.lag.fault(kind, begun);
                // A broker that was killed is taken back by its cluster up to twelve seconds after it is there again
                // (broker.session.timeout.ms): what waited has its time after that too.
                let ended = Instant::now();
                let rest = if kind == Kind::BrokerKilled { FAULT_EVERY } else { FAULT_EVERY / 2 };
                next = (begun + FAULT_EVERY).max(ended + rest);
            }
            if self.look()? {
                // The disk failed only now: what waits because of it has its time from here.
                let now = Instant::now();
                self.lag.fault(Kind::Disk, now);
                next = next.max(now + FAULT_EVERY / 2);
            }
            std::thread::sleep(SAMPLE_EVERY);
        }
        Ok(())
    }

    /// One fault.
    fn fault(&mut self, dice: &mut Rng) -> Result<Kind, Failure> {
        let (kinds, only) = (Kind::value_variants(), &self.options.soak_only);
        let kind = loop {
            let kind = kinds[dice.u8(..kinds.len() as u8) as usize];
            if only.is_empty() || only.contains(&kind) {
                break kind;
            }
        };
        match (kind, &self.options.control) {
            (Kind::Killed, _) => self.replace(Incarnation::kill, &[])?,
            (Kind::Ended, _) => {
                let end = |daemon: Incarnation| match daemon.stop(STOP_PATIENCE)? {
                    Some(status) if status.success() => Ok(()),
                    other => Err(format!("SIGTERM: {other:?}").into()),
                };
                self.replace(end, &[])?;
            }
            (Kind::Reloaded, _) => self.signal("HUP")?,
            (Kind::Stopped, _) => {
                self.signal("STOP")?;
                std::thread::sleep(Duration::from_millis(dice.u64(AWAY_MS)));
                self.signal("CONT")?;
            }
            (Kind::BrokerKilled, Some(control)) => {
                broker::control(control, "kill")?;
                std::thread::sleep(Duration::from_millis(dice.u64(AWAY_MS)));
                broker::control(control, "restart")?;
            }
            // Its connections outlive it: what was written meanwhile comes at once, before anybody has looked around.
            (Kind::BrokerPaused, Some(control)) => {
                broker::control(control, "pause")?;
                std::thread::sleep(Duration::from_millis(dice.u64(PAUSED_MS)));
                broker::control(control, "resume")?;
            }
            // The daemon ends by itself at some disk operation, and is started again by look().
            (Kind::Disk, _) | (Kind::BrokerKilled | Kind::BrokerPaused, None) => {
                let (mode, at) = disk::any_failure(dice);
                let variables = disk::variables(self.dir, &self.state(), mode, at, dice.u64(..))?;
                self.replace(Incarnation::kill, &variables)?;
                return Ok(Kind::Disk);
            }
        }
        Ok(kind)
    }

    /// Ends the daemon somehow, if there is one, and starts the next.
    fn replace(
        &mut self,
        end: impl FnOnce(Incarnation) -> Result<(), Failure>,
        variables: &[(&str, String)],
    ) -> Result<(), Failure> {
        self.starts += 1;
        self.daemon.take().map_or(Ok(()), end)?;
        let log = self.dir.join(format!("soak/{}.log", self.starts));
        let next = Incarnation::start(&self.options.binary, &self.config, log, variables)?;
        self.watcher.follow(next.log().to_owned())?;
        self.daemon = Some(next);
        Ok(())
    }

    fn signal(&self, name: &str) -> Result<(), Failure> {
        self.daemon.as_ref().map_or(Ok(()), |daemon| daemon.signal(name))
    }

    /// Whether it is there, how far it is, and what it holds. True: it had ended by itself, and the next is started.
    fn look(&mut self) -> Result<bool, Failure> {
        let has_ended = self.daemon.as_mut().map_or(Ok(None), Incarnation::ended)?.is_some();
        if has_ended {
            self.replace(Incarnation::kill, &[])?;
        }
        if let Ok(read) = judge::messages_read(&self.state()) {
            self.lag.seen(self.pace.sent.load(Ordering::Acquire) - read)?;
        }
        let bytes = self.daemon.as_ref().and_then(|daemon| resident_bytes_of(&daemon.id()).ok());
        self.resident.extend(bytes);
        Ok(has_ended)
    }

    /// The end of the logs, and all that is wrong then.
    fn finish(mut self, expected: Expected, undisturbed: Pipeline) -> Result<Outcome, Failure> {
        let end = Instant::now() + END_PATIENCE;
        let mut is_done = false;
        while !is_done && Instant::now() < end {
            self.look()?;
            let has_all = |daemon| judge::has_all(&expected, daemon, &self.state());
            is_done = self.daemon.as_ref().map_or(Ok(false), has_all)?;
            std::thread::sleep(SAMPLE_EVERY);
        }
        if !is_done {
            self.outcome.violations.push(format!("not all findings {END_PATIENCE:?} after the last message"));
        }
        std::thread::sleep(Duration::from_secs(2));
        let state = self.state();
        let Self {
            options, dir, dead_letters, mut watcher, daemon, mut outcome, kinds, lag, resident, ..
        } = self;
        let status = daemon.map(|daemon| daemon.stop(STOP_PATIENCE)).transpose()?.flatten();
        if !status.is_some_and(|status| status.success()) {
            outcome.violations.push("SIGTERM: no graceful end".to_owned());
        }
        watcher.leave();
        outcome.violations.extend(lag.violations());
        let stand = Stand::of_run(options, dir, expected, undisturbed);
        outcome.violations.extend(judge::state(&stand, &state, &watcher.heard())?);
        outcome.violations.extend(judge::dead_letters(&stand, &dead_letters, &state)?);
        outcome.note = note(&stand.expected, &kinds, &lag, &resident);
        if !outcome.violations.is_empty() {
            keep("soak", &[&dir.join("soak"), &dir.join("soak/state")])?;
        }
        Ok(outcome)
    }
}

fn note(expected: &Expected, kinds: &BTreeMap<Kind, u64>, lag: &Lag, resident: &[usize]) -> String {
    let quarter = |n: usize| {
        let mut part = resident[resident.len() * n / 4..resident.len() * (n + 1) / 4].to_vec();
        part.sort_unstable();
        [part.get(part.len() / 2), part.last()].map(|bytes| bytes.copied().unwrap_or_default() >> 20)
    };
    let kinds: Vec<String> = kinds.iter().map(|(kind, count)| format!("{} {count}", kind.name())).collect();
    format!(
        "{}; {} messages, {} findings; {}; MiB by quarter, median and most {:?}",
        kinds.join(", "),
        expected.messages,
        expected.findings.len(),
        lag.summary(),
        [0, 1, 2, 3].map(quarter)
    )
}
