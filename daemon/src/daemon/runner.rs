//! The pipeline's thread: what comes in, step, commit, what goes out, again.
//!
//! In: batches of the source, commands, questions. Out: what is durable, told to whoever waits for it. Nothing is told
//! before its commit.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, TryRecvError};
use std::time::Duration;

use tokio::sync::watch;

use super::reload::refuse_queries;
use super::{CLOSE_DEADLINE, Command, DaemonError, Progress, wall_clock};
use crate::crash_points::{CrashPoint, CrashPoints};
use crate::explain::Question;
use crate::ingest::{Position, RawBatch, Source, SourceError, Topics};
use crate::metrics::{Metrics, TopicLabel};
use crate::pipeline::{Committed, Pipeline};
use crate::query::QueryTexts;
use crate::rollup::Partition;
use crate::serve::Health;

/// Longest wait for a batch before the clock is looked at again.
const BATCH_WAIT: Duration = Duration::from_millis(50);
/// The same while a commit is on its way, of which people wait to be told.
const COMMIT_WAIT: Duration = Duration::from_millis(1);

/// The pipeline's thread.
pub(super) struct Runner {
    pub(super) pipeline: Pipeline,
    pub(super) source: Box<dyn Source>,
    pub(super) commands: Receiver<Command>,
    pub(super) questions: Receiver<Question>,
    pub(super) told: watch::Sender<u64>,
    pub(super) seen: watch::Sender<Progress>,
    pub(super) positions: watch::Sender<BTreeMap<Partition, i64>>,
    pub(super) topics: Topics,
    pub(super) metrics: Arc<Metrics>,
    pub(super) health: Arc<Health>,
    pub(super) crash: CrashPoints,
}

impl Runner {
    /// Until it is told to stop, or something fails.
    pub(super) fn run(mut self) -> Result<(), DaemonError> {
        let outcome = self.read_until_stopped();
        if let Err(error) = &outcome {
            tracing::error!(%error, "the pipeline stopped; the state is that of the last commit");
            self.health.set("pipeline", Err(error.to_string()));
        }
        self.source.close(CLOSE_DEADLINE);
        outcome
    }

    fn read_until_stopped(&mut self) -> Result<(), DaemonError> {
        self.health.set("pipeline", Ok(()));
        self.show_warming();
        loop {
            if !self.obey()? {
                break;
            }
            self.answer();
            let Some(batch) = self.next_batch()? else { break };
            self.crash.pass(CrashPoint::BatchRead);
            let now = wall_clock();
            self.pipeline.step(&batch, now)?;
            self.show_source();
            self.show_warming();
            self.show_memory();
            if let Some(committed) = self.pipeline.committed(wall_clock)? {
                self.tell(&committed);
            }
            if self.pipeline.commit_is_due(now) {
                self.pipeline.begin_commit(wall_clock)?;
            }
            self.seen.send_modify(|progress| progress.turns += 1);
        }
        let committed = self.pipeline.commit(wall_clock)?;
        self.tell(&committed);
        Ok(())
    }

    /// None of the source while the grid is too far behind: it waits at its own bound.
    fn next_batch(&mut self) -> Result<Option<RawBatch>, SourceError> {
        if self.pipeline.is_outrun() {
            return Ok(Some(RawBatch::default()));
        }
        self.source.next_batch(self.patience())
    }

    /// How long to wait for a batch, if none is there.
    fn patience(&self) -> Duration {
        if self.pipeline.is_behind() {
            Duration::ZERO
        } else if self.pipeline.is_committing() {
            COMMIT_WAIT
        } else {
            BATCH_WAIT
        }
    }

    /// Copies the rows that one question is about; nobody else waits for it.
    fn answer(&self) {
        if let Ok(Question { ask, reply }) = self.questions.try_recv() {
            // Who asked may have gone.
            let _ = reply.send(self.pipeline.snapshot(&ask));
        }
    }

    /// What is durable may leave the process.
    fn tell(&mut self, committed: &Committed) {
        self.source.committed(&committed.positions);
        self.crash.pass(CrashPoint::BrokerTold);
        let next = |p: &Position| ((p.topic, p.partition), p.offset);
        self.positions.send_modify(|all| all.extend(committed.positions.iter().map(next)));
        self.told.send_replace(committed.change_seq);
        self.crash.pass(CrashPoint::WatchersTold);
        self.seen.send_modify(|progress| progress.committed_micros = wall_clock());
    }

    fn show_source(&self) {
        let standing = self.source.standing();
        self.metrics.ingest_paused.set(i64::from(standing.paused));
        self.metrics.ingest_broker_up.set(i64::from(standing.broker_up));
        self.seen.send_modify(|progress| {
            progress.lag = standing.lag.iter().map(|(_, lag)| lag).sum();
            progress.broker_up = standing.broker_up;
        });
        for (topic, lag) in standing.lag {
            let topic = TopicLabel { topic: self.topics[usize::from(topic)].clone() };
            self.metrics.ingest_lag_messages.get_or_create(&topic).set(lag);
        }
        let broker = if standing.broker_up {
            Ok(())
        } else {
            Err("the broker does not answer; it is tried again".to_owned())
        };
        self.health.set("broker", broker);
    }

    /// Without room for new subjects the others are still watched.
    fn show_memory(&self) {
        let memory = self.pipeline.memory();
        let mib = |bytes: usize| bytes >> 20;
        match memory.has_room(false) {
            true => self.health.set("memory", Ok(())),
            false => self.health.degrade(
                "memory",
                format!(
                    "rows take {} of {} MiB: new subjects are not kept; raise state.memory_mib",
                    mib(memory.used()),
                    mib(memory.max())
                ),
            ),
        }
    }

    /// Rollups whose history is short are no reason not to be ready.
    fn show_warming(&self) {
        let warming: Vec<String> = self.pipeline.warming().iter().map(ToString::to_string).collect();
        match warming.is_empty() {
            true => self.health.set("rollups", Ok(())),
            false => self.health.warming("rollups", warming.join("; ")),
        }
    }

    /// Applies what came from outside; false: stop.
    fn obey(&mut self) -> Result<bool, DaemonError> {
        loop {
            match self.commands.try_recv() {
                Ok(Command::Registry(registry)) => self.pipeline.replace_registry(registry, wall_clock()),
                Ok(Command::Queries(texts)) => self.reload(&texts)?,
                Ok(Command::DeadLettersDelivered(up_to)) => {
                    self.crash.pass(CrashPoint::DeadLettersDelivered);
                    self.pipeline.dead_letters_delivered(up_to);
                }
                // Who asked may have gone.
                Ok(Command::Applied(reply)) => drop(reply.send(())),
                Ok(Command::Stop) | Err(TryRecvError::Disconnected) => return Ok(false),
                Err(TryRecvError::Empty) => return Ok(true),
            }
        }
    }

    fn reload(&mut self, texts: &QueryTexts) -> Result<(), DaemonError> {
        match self.pipeline.replace_queries(texts, wall_clock())? {
            Ok(()) => {
                tracing::info!("new queries are in force");
                self.metrics.query_current.set(1);
                self.health.set("queries", Ok(()));
            }
            Err(errors) => {
                let reason: Vec<String> = errors.iter().map(ToString::to_string).collect();
                refuse_queries(&self.metrics, &self.health, &reason.join("\n"));
            }
        }
        Ok(())
    }
}
