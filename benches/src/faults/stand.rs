//! A generated company's logs in topics of a broker, and what a run without any fault finds in them.
//!
//! In: a folder, a broker. Out: a [`Stand`] for any number of rounds. Every 400th message of a topic is no event, so that
//! rejects, quarantine and dead letters take part; every fifth of CloudTrail comes again a few messages later, so that a
//! daemon ends between an event and its copy.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arrow::record_batch::RecordBatch;
use rdkafka::ClientConfig;
use rdkafka::producer::{BaseProducer, Producer};
use shadowprod::cli::replay;
use shadowprod::config::Config;
use shadowprod::findings::{Finding, FindingChange};
use shadowprod::limits::BATCH_MESSAGES_MAX;
use shadowprod::metrics::{KindLabel, Metrics};
use shadowprod::pipeline::Pipeline;
use shadowprod::store::StoredSegment;
use shadowprod_benches::Failure;
use shadowprod_benches::kafka::{create_topic, send};

use super::options::Options;

/// A partition of the mock cluster keeps 5 MiB; the real broker gets as many.
const PARTITION_BYTES_MAX: usize = 3 << 20;
pub const GARBAGE_EVERY: usize = 400;
pub const GARBAGE: [&str; 4] = ["{", "no JSON at all", "{\"a\":1}{\"a\":2}", "[[[[[[[[[["];
/// An audit log, delivered at least once, and so dense that a copy is never late.
const COPIED: &str = "cloudtrail";
/// One message in so many of its partitions comes again.
const COPY_EVERY: usize = 5;
/// Messages between it and its copy; the copy is not copied.
const COPY_AFTER: usize = 3;
const SEND_PATIENCE: Duration = Duration::from_secs(120);

/// What one partition holds.
pub struct Partition {
    pub topic: String,
    pub number: i32,
    pub lines: Vec<String>,
}

/// What an undisturbed run says.
pub struct Expected {
    /// In id order.
    pub findings: Vec<Finding>,
    pub history: Vec<FindingChange>,
    /// By rollup.
    pub rows: BTreeMap<String, RecordBatch>,
    pub rejects: u64,
    pub messages: i64,
}

pub struct Stand {
    pub dir: PathBuf,
    pub binary: PathBuf,
    /// Longest that one incarnation may take to find everything.
    pub patience: Duration,
    /// A fault is not tried any more once so many violations were found.
    pub violations_max: usize,
    pub brokers: String,
    pub control: Option<String>,
    pub partitions: Vec<Partition>,
    pub expected: Expected,
    /// The undisturbed run, at its end.
    undisturbed: Mutex<Pipeline>,
    /// The config, with STATE and DEAD_LETTERS in place of what each round has of its own.
    config: String,
    key: Vec<u8>,
}

impl Stand {
    /// At the real broker: creates the topics and fills them.
    pub fn at_broker(options: &Options, dir: &Path) -> Result<Self, Failure> {
        if options.brokers.is_empty() {
            return Err(
                "no broker: `.ci/kafka start DIR 19092`, then SHADOWPROD_TEST_KAFKA=127.0.0.1:19092".into()
            );
        }
        let stand = Self::prepare(options, dir, &options.brokers)?;
        for (topic, partitions) in stand.topics() {
            create_topic(&options.brokers, &topic, partitions)?;
        }
        stand.produce()?;
        Ok(stand)
    }

    /// Everything but the topics.
    pub fn prepare(options: &Options, dir: &Path, brokers: &str) -> Result<Self, Failure> {
        let run = format!("{}-{}", std::process::id(), unix_millis()?);
        let world = dir.join("world");
        std::fs::create_dir_all(dir)?;
        let generate = Command::new(&options.binary)
            .args(["generate", "--scale", &options.scale_name(), "--seed", &options.seed.to_string()])
            .args(["--days", &options.days.to_string(), "--out"])
            .arg(&world)
            .output()?;
        if !generate.status.success() {
            return Err(String::from_utf8_lossy(&generate.stderr).into_owned().into());
        }
        let (config, topics) = config_of(&world, &run, brokers)?;
        let partitions = split(&world, &topics, &run)?;
        let written = write_config(&config, &dir.join("undisturbed"), &[], "none")?;
        let (undisturbed, expected, key) = replay(&written, &world, &partitions)?;
        let (findings, revisions) = (expected.findings.len(), expected.history.len());
        let messages = expected.messages;
        println!("{messages} messages; undisturbed: {findings} findings, {revisions} revisions");
        if findings == 0 || expected.rejects == 0 {
            return Err("a company without findings or rejects shows nothing: take more --days".into());
        }
        Ok(Self {
            dir: dir.to_owned(),
            binary: options.binary.clone(),
            patience: options.patience,
            violations_max: options.violations_max,
            brokers: brokers.to_owned(),
            control: options.control.clone(),
            partitions,
            expected,
            undisturbed: Mutex::new(undisturbed),
            config,
            key,
        })
    }

    /// Of messages that were sent otherwise: what a state is judged by.
    pub fn of_run(options: &Options, dir: &Path, expected: Expected, undisturbed: Pipeline) -> Self {
        Self {
            dir: dir.to_owned(),
            binary: options.binary.clone(),
            patience: options.patience,
            violations_max: options.violations_max,
            brokers: options.brokers.clone(),
            control: options.control.clone(),
            partitions: Vec::new(),
            expected,
            undisturbed: Mutex::new(undisturbed),
            config: String::new(),
            key: Vec::new(),
        }
    }

    /// By rollup, the rows of stored segments.
    pub fn rows_of(&self, stored: &[StoredSegment]) -> Result<BTreeMap<String, RecordBatch>, Failure> {
        Ok(self.undisturbed.lock().unwrap_or_else(PoisonError::into_inner).rows_of(stored)?)
    }

    /// Topics and their partitions.
    pub fn topics(&self) -> BTreeMap<String, i32> {
        let mut topics = BTreeMap::new();
        self.partitions.iter().for_each(|p| *topics.entry(p.topic.clone()).or_default() += 1);
        topics
    }

    /// Sends every message; returns once the broker has all of them.
    pub fn produce(&self) -> Result<(), Failure> {
        let producer = producer(&self.brokers)?;
        for Partition { topic, number, lines } in &self.partitions {
            lines.iter().try_for_each(|line| send(&producer, topic, *number, line))?;
        }
        Ok(producer.flush(SEND_PATIENCE)?)
    }

    /// A config with a state of its own, which has the credential key of the undisturbed run.
    pub fn write_config(&self, name: &str, dead_letters: &str) -> Result<PathBuf, Failure> {
        write_config(&self.config, &self.dir.join(name), &self.key, dead_letters)
    }
}

/// What sends each message once.
pub fn producer(brokers: &str) -> Result<BaseProducer, Failure> {
    let mut settings = ClientConfig::new();
    settings.set("bootstrap.servers", brokers).set("acks", "all").set("enable.idempotence", "true");
    Ok(settings.set("compression.type", "lz4").create()?)
}

/// A config with a state of its own in `home`.
pub fn write_config(config: &str, home: &Path, key: &[u8], dead_letters: &str) -> Result<PathBuf, Failure> {
    let state = home.join("state");
    std::fs::create_dir_all(&state)?;
    if !key.is_empty() {
        std::fs::write(state.join("credential.key"), key)?;
    }
    let text = config.replace("STATE", &state.display().to_string());
    let path = home.join("shadowprod.toml");
    std::fs::write(&path, text.replace("DEAD_LETTERS", dead_letters))?;
    Ok(path)
}

/// The generated config for these topics and brokers, and the topics' names as generated.
pub fn config_of(world: &Path, run: &str, brokers: &str) -> Result<(String, Vec<String>), Failure> {
    let mut topics = Vec::new();
    let mut config = String::new();
    for line in std::fs::read_to_string(world.join("shadowprod.toml"))?.lines() {
        let line = match line.split_once(" = ") {
            Some(("brokers", _)) => format!("brokers = {brokers:?}\ngroup = \"faults-{run}\""),
            Some(("topic", name)) => {
                let name = name.trim_matches('"');
                topics.push(name.to_owned());
                format!("topic = \"{name}-{run}\"")
            }
            Some(("path", "\"registry\"")) => format!("path = {:?}", world.join("registry")),
            Some(("path", "\"state\"")) => "path = \"STATE\"".to_owned(),
            Some(("clock", _)) => {
                "clock = \"log\"\ngrid_seconds = 3600\nidle_after_ms = 1000\n[dead_letter]\ntopic = \
                 \"DEAD_LETTERS\"\n[serve]\ngrpc = \"127.0.0.1:0\"\nhttp = \"127.0.0.1:0\""
                    .to_owned()
            }
            _ => line.to_owned(),
        };
        config += &(line + "\n");
    }
    Ok((config, topics))
}

/// Each generated file as one file for each partition of its topic.
fn split(world: &Path, topics: &[String], run: &str) -> Result<Vec<Partition>, Failure> {
    let mut partitions = Vec::new();
    for topic in topics {
        let path = world.join(format!("{topic}.jsonl"));
        let text = std::fs::read_to_string(&path)?;
        std::fs::remove_file(&path)?;
        let count = 1 + text.len() / PARTITION_BYTES_MAX;
        let mut parts: Vec<Vec<String>> = vec![Vec::new(); count];
        for (index, line) in text.lines().enumerate() {
            let part = &mut parts[index % count];
            part.push(line.to_owned());
            if index % GARBAGE_EVERY == GARBAGE_EVERY / 2 {
                part.push(GARBAGE[index / GARBAGE_EVERY % GARBAGE.len()].to_owned());
            }
            if topic == COPIED && part.len().is_multiple_of(COPY_EVERY) {
                part.push(part[part.len() - 1 - COPY_AFTER].clone());
            }
        }
        for (number, lines) in parts.into_iter().enumerate() {
            let name = format!("{topic}-{run}");
            let text: String = lines.iter().flat_map(|line| [line.as_str(), "\n"]).collect();
            std::fs::write(world.join(format!("{name}.p{number}.jsonl")), text)?;
            partitions.push(Partition { topic: name, number: i32::try_from(number)?, lines });
        }
    }
    Ok(partitions)
}

/// One batch run over the files.
fn replay(
    config: &Path,
    world: &Path,
    partitions: &[Partition],
) -> Result<(Pipeline, Expected, Vec<u8>), Failure> {
    let config = Config::load(config)?;
    let metrics = Arc::new(Metrics::new());
    let mut pipeline = replay::open(&config, metrics.clone(), None)?;
    replay::read_files(&mut pipeline, &config, world, BATCH_MESSAGES_MAX)?;
    let messages = i64::try_from(partitions.iter().map(|partition| partition.lines.len()).sum::<usize>())?;
    let expected = expected(&pipeline, &metrics, messages)?;
    Ok((pipeline, expected, std::fs::read(config.state.path.join("credential.key"))?))
}

/// What a pipeline that nothing happened to says at the end of so many messages.
pub fn expected(pipeline: &Pipeline, metrics: &Metrics, messages: i64) -> Result<Expected, Failure> {
    let mut findings = pipeline.findings()?;
    findings.sort_by(|a, b| a.finding_id.cmp(&b.finding_id));
    let count = |reason: &shadowprod::decode::RejectReason| {
        metrics.decode_rejects.get_or_create(&KindLabel { kind: reason.name() }).get()
    };
    let rejects = shadowprod::decode::RejectReason::ALL.iter().map(count).sum();
    let rows = pipeline.rows_of(&pipeline.stored_segments()?)?;
    Ok(Expected { findings, history: pipeline.history()?, rows, rejects, messages })
}

fn unix_millis() -> Result<u128, Failure> {
    Ok(std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH)?.as_millis())
}
