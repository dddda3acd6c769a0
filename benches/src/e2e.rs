//! End to end on a real broker: CPU seconds per million events of the whole daemon, everything on, beside a
//! Python consumer that does one detection, over the same topics in the same run.
//!
//! In: `--events N [--rate PER_SECOND] [--brokers HOST:PORT] [--binary PATH] [--no-python]`; the broker also from
//! SHADOWPROD_TEST_KAFKA (`.ci/kafka start DIR PORT` makes one). Out: a table with batch size and data.
//! CPU is user + system time of each process from its start until all is consumed (for the daemon: durable and
//! told to the broker), from /proc. The daemon's own crate is not linked here: its release binary is run.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use rdkafka::ClientConfig;
use rdkafka::TopicPartitionList;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::RDKafkaErrorCode;
use rdkafka::producer::{BaseProducer, Producer};
use shadowprod_benches::kafka::{create_topic, send};
use shadowprod_benches::logs::{Log, Logs};
use shadowprod_benches::{Failure, exit_code};

const SEED: u64 = 7;
const PARTITIONS: i32 = 2;
/// Kernel ticks in a second: fixed at 100 in Linux's /proc.
const TICKS: f64 = 100.0;
/// What a broker answers while a group has no coordinator yet.
const COORDINATOR_SOUGHT: [RDKafkaErrorCode; 3] = [
    RDKafkaErrorCode::NotCoordinator,
    RDKafkaErrorCode::CoordinatorNotAvailable,
    RDKafkaErrorCode::CoordinatorLoadInProgress,
];
/// Longest that one side may take.
const PATIENCE: Duration = Duration::from_secs(1_800);

struct Options {
    events: u64,
    /// Events a second of event time: decides how many grid points the run has.
    rate: u32,
    brokers: String,
    binary: PathBuf,
    python: bool,
}

struct Measured {
    name: &'static str,
    cpu_seconds: f64,
    wall_seconds: f64,
}

fn main() -> ExitCode {
    exit_code(options().and_then(|options| run(&options)))
}

fn options() -> Result<Options, Failure> {
    let mut options = Options {
        events: 1_000_000,
        rate: 1_000,
        brokers: std::env::var("SHADOWPROD_TEST_KAFKA").unwrap_or_default(),
        binary: std::env::current_exe()?.with_file_name("shadowprod"),
        python: true,
    };
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        let mut value = || arguments.next().ok_or(format!("{argument} needs a value"));
        match argument.as_str() {
            "--events" => options.events = value()?.replace('_', "").parse()?,
            "--rate" => options.rate = value()?.replace('_', "").parse()?,
            "--brokers" => options.brokers = value()?,
            "--binary" => options.binary = value()?.into(),
            "--no-python" => options.python = false,
            other => {
                return Err(format!("unknown argument {other}; see the top of benches/src/e2e.rs").into());
            }
        }
    }
    if options.brokers.is_empty() {
        return Err("no broker: run `.ci/kafka start DIR 19092`, then --brokers 127.0.0.1:19092".into());
    }
    if !options.binary.exists() {
        let path = options.binary.display();
        return Err(format!("{path} does not exist: run `cargo build --release --workspace` first").into());
    }
    Ok(options)
}

fn run(options: &Options) -> Result<(), Failure> {
    let nanos = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH)?.as_nanos();
    let topics = [format!("bench-gateway-{nanos}"), format!("bench-cloudtrail-{nanos}")];
    topics.iter().try_for_each(|topic| create_topic(&options.brokers, topic, PARTITIONS))?;
    let bytes = produce(options, &topics)?;
    let mut rows = vec![daemon(options, &topics)?];
    if options.python {
        rows.push(python(options, &topics)?);
    }
    print(options, bytes, &rows);
    Ok(())
}

fn print(options: &Options, bytes: u64, rows: &[Measured]) {
    let events = options.events as f64;
    println!(
        "{} events, mean {:.0} B, lz4, 2 topics of {PARTITIONS} partitions: 94 % Envoy, 6 % CloudTrail, seed {SEED}, \
         {} events a second of event time; micro-batches of at most 8,192 messages; every step durable",
        options.events,
        bytes as f64 / events,
        options.rate
    );
    println!("{:<40}{:>16}{:>12}{:>12}", "", "CPU-s/M events", "events/s", "wall s");
    for row in rows {
        println!(
            "{:<40}{:>16.2}{:>12.0}{:>12.1}",
            row.name,
            row.cpu_seconds / events * 1e6,
            events / row.wall_seconds,
            row.wall_seconds
        );
    }
}

/// Sends all events; returns their bytes.
fn produce(options: &Options, topics: &[String; 2]) -> Result<u64, Failure> {
    let producer: BaseProducer = ClientConfig::new()
        .set("bootstrap.servers", &options.brokers)
        .set("compression.type", "lz4")
        .set("linger.ms", "50")
        .set("batch.size", "262144")
        .set("queue.buffering.max.messages", "500000")
        .set("acks", "all")
        .create()?;
    let mut logs = Logs::new(SEED, options.rate);
    let mut bytes = 0;
    for event in 0..options.events {
        let (log, line) = logs.next_line();
        let topic = match log {
            Log::Gateway => &topics[0],
            Log::CloudTrail => &topics[1],
        };
        bytes += line.len() as u64;
        send(&producer, topic, (event % PARTITIONS as u64) as i32, &line)?;
    }
    producer.flush(PATIENCE)?;
    Ok(bytes)
}

/// The daemon, from its start until the broker knows that everything is durable.
fn daemon(options: &Options, topics: &[String; 2]) -> Result<Measured, Failure> {
    let dir = tempfile::tempdir()?;
    let config = dir.path().join("shadowprod.toml");
    let group = topics[0].replace("gateway", "group");
    std::fs::write(&config, toml(&options.brokers, &group, topics))?;
    let started = Instant::now();
    let child = Command::new(&options.binary)
        .args(["run", "--config"])
        .arg(&config)
        .env("RUST_LOG", std::env::var("RUST_LOG").unwrap_or("warn".into()))
        .stdout(Stdio::null())
        .spawn()?;
    let mut child = Ended(child);
    let watching: BaseConsumer =
        ClientConfig::new().set("bootstrap.servers", &options.brokers).set("group.id", &group).create()?;
    loop {
        if committed(&watching, topics)? >= options.events as i64 {
            break;
        }
        if let Some(status) = child.0.try_wait()? {
            return Err(format!("shadowprod ended by itself: {status}").into());
        }
        patience(started, "the daemon")?;
        std::thread::sleep(Duration::from_millis(100));
    }
    let wall_seconds = started.elapsed().as_secs_f64();
    Ok(Measured { name: "shadowprod run, all detections", cpu_seconds: cpu_seconds(&child.0)?, wall_seconds })
}

fn toml(brokers: &str, group: &str, topics: &[String; 2]) -> String {
    let registry = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures/registry");
    format!(
        r#"
[kafka]
brokers = "{brokers}"
group = "{group}"
[[source]]
name = "gateway"
topic = "{}"
format = "envoy"
[[source]]
name = "cloudtrail"
topic = "{}"
format = "cloudtrail"
[registry]
path = "{}"
[state]
path = "state"
[time]
clock = "log"
[serve]
grpc = "127.0.0.1:0"
http = "127.0.0.1:0"
"#,
        topics[0],
        topics[1],
        registry.display()
    )
}

/// Messages that the daemon told the broker are durable; none while the broker still looks for the group's
/// coordinator, as a new one does at its first commit.
fn committed(watching: &BaseConsumer, topics: &[String; 2]) -> Result<i64, Failure> {
    let mut list = TopicPartitionList::new();
    for topic in topics {
        list.add_partition_range(topic, 0, PARTITIONS - 1);
    }
    let committed = match watching.committed_offsets(list, Duration::from_secs(10)) {
        Err(error) if error.rdkafka_error_code().is_some_and(|code| COORDINATOR_SOUGHT.contains(&code)) => {
            return Ok(0);
        }
        committed => committed?,
    };
    Ok(committed.elements().iter().filter_map(|e| e.offset().to_raw()).map(|offset| offset.max(0)).sum())
}

/// The Python consumer, from its start until it has seen everything.
fn python(options: &Options, topics: &[String; 2]) -> Result<Measured, Failure> {
    let interpreter = interpreter()?;
    let started = Instant::now();
    let mut child = Command::new(interpreter)
        .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("consumer.py"))
        .args([&options.brokers, &topics.join(","), &options.events.to_string()])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()?;
    let output = child.stdout.take().ok_or("the consumer has no output")?;
    let child = Ended(child);
    let mut found = String::new();
    BufReader::new(output).read_line(&mut found)?;
    if found.is_empty() {
        return Err("the Python consumer ended without a result".into());
    }
    let wall_seconds = started.elapsed().as_secs_f64();
    Ok(Measured { name: "consumer.py, one detection", cpu_seconds: cpu_seconds(&child.0)?, wall_seconds })
}

/// Python with confluent-kafka and msgspec, in an environment outside the checkout that is made once.
fn interpreter() -> Result<PathBuf, Failure> {
    let home = std::env::var("HOME")?;
    let cache = std::env::var("XDG_CACHE_HOME").unwrap_or(format!("{home}/.cache"));
    let venv = Path::new(&cache).join("shadowprod/bench-python");
    let python = venv.join("bin/python");
    if !venv.join("complete").exists() {
        checked(Command::new("python3").args(["-m", "venv"]).arg(&venv))?;
        checked(Command::new(&python).args(["-m", "pip", "install", "-q", "confluent-kafka", "msgspec"]))?;
        std::fs::write(venv.join("complete"), "")?;
    }
    Ok(python)
}

fn checked(command: &mut Command) -> Result<(), Failure> {
    let status = command.status()?;
    if status.success() { Ok(()) } else { Err(format!("{command:?}: {status}").into()) }
}

fn patience(started: Instant, who: &str) -> Result<(), Failure> {
    if started.elapsed() < PATIENCE {
        Ok(())
    } else {
        Err(format!("{who} took longer than {PATIENCE:?}").into())
    }
}

/// User and system time of a living process.
fn cpu_seconds(child: &Child) -> Result<f64, Failure> {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", child.id()))?;
    // The command's name may hold blanks; after its closing bracket utime and stime are the 12th and 13th.
    let fields: Vec<&str> = stat.rsplit_once(')').ok_or("unreadable stat")?.1.split_whitespace().collect();
    Ok((fields[11].parse::<f64>()? + fields[12].parse::<f64>()?) / TICKS)
}

/// A process that does not outlive the bench.
struct Ended(Child);

impl Drop for Ended {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
