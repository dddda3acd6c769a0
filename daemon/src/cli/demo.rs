//! `shadowprod demo`: everything at work on one machine, with traffic whose truth is known.
//!
//! In: a seed. Out: findings, and whether they are exactly what was planted. Nothing leaves the machine.

pub mod folder;
pub mod report;
pub mod send;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use miette::{IntoDiagnostic, miette};
use shadowprod_world::{Plan, Scale, TOPICS, World, WorldEvent};

use self::folder::{DemoFolder, Settings};
use self::report::{NextSteps, VerdictText};
use self::send::{send_history, send_live};
use super::generate;
use super::judge::{Verdict, judge, sightings, subject_id};
use super::progress::Progress;
use crate::config::{Clock, Config};
use crate::daemon::{self, RunningDaemon};
use crate::enrich::CredentialKey;
use crate::findings::Finding;
use crate::ingest::embedded::{EmbeddedBroker, TrafficProducer};
use crate::limits;
use crate::metrics::TopicLabel;
use crate::store::{ListQuery, Reader};

/// Long enough for two weeks of evidence.
const HISTORY_DAYS: u32 = 16;
/// Partitions of each topic of the embedded broker.
const PARTITIONS: i32 = 2;
/// Longest wait for the daemon to have read, settled and committed what was sent.
const SETTLE_DEADLINE: Duration = Duration::from_secs(120);
/// How often the daemon is asked whether it has.
const SETTLE_POLL: Duration = Duration::from_millis(50);

/// Arguments of `shadowprod demo`.
#[derive(Debug, clap::Args)]
pub struct DemoArguments {
    /// Stop when everything was read: exit 0 only if exactly the planted incidents were found
    #[arg(long)]
    pub once: bool,
    /// Seed of the generated company: the same seed makes the same traffic
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub seed: u64,
    /// Address for metrics and health
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:9464")]
    pub http: SocketAddr,
    /// Address for gRPC
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:50551")]
    pub grpc: SocketAddr,
    /// Alertmanager to notify, such as http://127.0.0.1:9093; may be given several times
    #[arg(long, value_name = "URL")]
    pub alertmanager: Vec<String>,
    /// Keep registry, config and state in this folder
    #[arg(long, value_name = "DIR")]
    pub keep: Option<PathBuf>,
}

/// Runs the command.
pub fn main(arguments: &DemoArguments) -> miette::Result<ExitCode> {
    super::start_quiet_logging();
    // What is judged is the same on every day; what goes on live ends now.
    let end = if arguments.once { generate::end() } else { Timestamp::now() };
    run(arguments, &world(arguments.seed, end))
}

/// The company of a demo.
pub(super) fn world(seed: u64, end: Timestamp) -> World {
    World::new(&Plan { seed, scale: Scale::Small, days: HISTORY_DAYS, end })
}

fn run(arguments: &DemoArguments, world: &World) -> miette::Result<ExitCode> {
    let folder = DemoFolder::create(arguments.keep.as_deref())?;
    let broker =
        EmbeddedBroker::start(&TOPICS.map(|topic| (topic, PARTITIONS))).map_err(|e| miette!("{e}"))?;
    let settings = Settings {
        brokers: broker.bootstrap_servers(),
        grpc: arguments.grpc,
        http: arguments.http,
        alertmanagers: arguments.alertmanager.clone(),
        // Live traffic goes on: only the wall clock never closes a minute that is still running.
        clock: if arguments.once { Clock::Log } else { Clock::Wall },
    };
    folder.write(world, &settings)?;
    let config = Config::load(&folder.config()).map_err(|e| miette!("{e}"))?;
    let running = daemon::start(&config).map_err(|e| miette!("{e}"))?;
    eprintln!(
        "An embedded broker on {}, a company of {} planted incidents, the daemon beside it.",
        settings.brokers,
        world.expected().len()
    );

    let producer = broker.producer().map_err(|e| miette!("{e}"))?;
    let mut line = BrokerLine { producer, running: &running };
    let mut progress = Progress::new(world.start(), world.end(), "sent");
    let sent = send_history(world, &mut |event| line.produce(event), &mut progress)?;
    progress.finish();
    wait_until_settled(&running, &sent, world.end())?;

    let findings = all_findings(&folder.state())?;
    let verdict = judge_all(world, &folder.state())?;
    super::findings::print_findings_table(&findings);
    println!("{}", VerdictText(&verdict));
    if !arguments.once {
        let (grpc, http) = running.addresses();
        println!("{}", NextSteps { grpc, http, config: folder.config() });
        go_on(world, &mut line)?;
    }
    running.stop().map_err(|e| miette!("{e}"))?;
    Ok(if arguments.once && !verdict.is_exact() { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// The embedded broker, and what the daemon has read of it.
struct BrokerLine<'a> {
    producer: TrafficProducer,
    running: &'a RunningDaemon,
}

impl BrokerLine<'_> {
    fn tell_what_was_read(&mut self) {
        for (topic, partition, next) in self.running.durable() {
            self.producer.consumed(&topic, partition, next);
        }
    }

    fn produce(&mut self, event: &WorldEvent) -> miette::Result<()> {
        let partition = (event.key % PARTITIONS as u64) as i32;
        let started = Instant::now();
        while !self
            .producer
            .send(event.topic, partition, None, event.payload.as_bytes())
            .map_err(|e| miette!("{e}"))?
        {
            if !self.running.is_running() || started.elapsed() > SETTLE_DEADLINE {
                miette::bail!("the daemon reads no more: see the message above");
            }
            std::thread::sleep(SETTLE_POLL);
            self.tell_what_was_read();
        }
        Ok(())
    }
}

fn messages_read(running: &RunningDaemon, topic: &str) -> u64 {
    running.metrics.ingest_messages.get_or_create(&TopicLabel { topic: topic.to_owned() }).get()
}

/// Everything sent was read, and the grid has passed the end of the history.
fn wait_until_settled(
    running: &RunningDaemon,
    sent: &BTreeMap<&'static str, u64>,
    end: Timestamp,
) -> miette::Result<()> {
    let started = Instant::now();
    let settled = || {
        let all_read = sent.iter().all(|(topic, count)| messages_read(running, topic) >= *count);
        all_read
            && running.metrics.rollup_watermark_seconds.get() + limits::DEMO_END_SLACK_SECONDS
                >= end.as_second() as f64
    };
    while !settled() {
        if !running.is_running() {
            miette::bail!("the daemon stopped: see the message above");
        }
        if started.elapsed() > SETTLE_DEADLINE {
            miette::bail!("the daemon did not finish within {} s", SETTLE_DEADLINE.as_secs());
        }
        std::thread::sleep(SETTLE_POLL);
    }
    wait_for_two_steps(running);
    Ok(())
}

/// A commit follows the step that made it necessary, before the next step: two more steps and it is durable.
fn wait_for_two_steps(running: &RunningDaemon) {
    let steps = running.metrics.pipeline_steps.get();
    while running.is_running() && running.metrics.pipeline_steps.get() < steps + 2 {
        std::thread::sleep(SETTLE_POLL);
    }
}

fn all_findings(state: &Path) -> miette::Result<Vec<Finding>> {
    let reader = Reader::open(state).map_err(|e| miette!("{e}"))?;
    let mut findings = Vec::new();
    let mut query = ListQuery { page_size: limits::PAGE_SIZE_MAX, ..ListQuery::default() };
    loop {
        let page = reader.list(&query).map_err(|e| miette!("{e}"))?;
        findings.extend(page.findings);
        query.page_token = page.next_page_token;
        if query.page_token.is_none() {
            return Ok(findings);
        }
    }
}

/// Credentials are hashed with the key of this install, so labels are too.
fn judge_all(world: &World, state: &Path) -> miette::Result<Verdict> {
    let key =
        CredentialKey::from_file_or_create(&state.join("credential.key")).map_err(|e| miette!("{e}"))?;
    let reader = Reader::open(state).map_err(|e| miette!("{e}"))?;
    let history = reader.history().map_err(|e| miette!("{e}"))?;
    let history: Vec<_> = history.into_iter().map(|revision| revision.change).collect();
    Ok(judge(world.expected(), world.look_alikes(), &sightings(&history), &subject_id(&key)))
}

/// Live traffic until Ctrl-C.
fn go_on(world: &World, line: &mut BrokerLine<'_>) -> miette::Result<()> {
    let stop = Arc::new(AtomicBool::new(false));
    let told = stop.clone();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .into_diagnostic()?;
    runtime.spawn(async move {
        super::run::stop_signal().await;
        told.store(true, Ordering::Relaxed);
    });
    send_live(world, world.end(), &mut |event| line.produce(event), &stop)
}
