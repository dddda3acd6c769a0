//! Dead letters to their topic, from a thread of their own: at least once, never in the pipeline's way.
//!
//! In: letters that are durable, the number of the newest commit. Out: messages, and the number up to which the broker
//! has all of them, for the pipeline to remove them in its next commit. What was sent and not yet removed when the
//! process ended is sent again: its key is the same.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::runtime::Runtime;
use tokio::sync::watch::{self, Receiver};
use tokio::time::{Instant, sleep, timeout};

use super::{BACKOFF_MAX, GAP_MIN, NotifyError};
use crate::config::KafkaConfig;
use crate::ingest::kafka::Outgoing;
use crate::limits::{DEAD_LETTERS_IN_FLIGHT_MAX, DEAD_LETTERS_STUCK_MS};
use crate::metrics::{KindLabel, Metrics};
use crate::store::Reader;

/// Header of each message, with the reject reason.
const REASON_HEADER: &str = "shadowprod.reason";
/// Longest time for which the client is served while letters are under way.
const SERVE_FOR: Duration = Duration::from_millis(50);
/// At the end letters under way have this long to arrive; those that do not are sent again after the next start.
const END_DEADLINE: Duration = Duration::from_secs(2);

/// Hears up to which number letters are delivered; false: it cannot listen now, tell it again.
pub type OnDelivered = Box<dyn Fn(u64) -> bool + Send>;

/// The thread at work.
#[derive(Debug)]
pub struct Delivering {
    thread: JoinHandle<()>,
    stop: watch::Sender<bool>,
}

impl Delivering {
    /// Ends the thread: letters under way get a moment to arrive.
    pub fn end(self) {
        self.stop.send_replace(true);
        if self.thread.join().is_err() {
            tracing::error!("the thread that delivers dead letters has panicked");
        }
    }
}

/// Starts the thread. `outgoing` is made of `kafka` and `topic`, from which it is made again after a failure;
/// `committed` changes with every commit.
pub fn start(
    outgoing: Outgoing,
    (kafka, topic): (&KafkaConfig, &str),
    state_dir: &Path,
    metrics: Arc<Metrics>,
    committed: Receiver<u64>,
    on_delivered: OnDelivered,
) -> Result<Delivering, NotifyError> {
    let (stop, stopping) = watch::channel(false);
    let outbox = Outbox { dir: state_dir.to_owned(), reader: None };
    let postman = Postman {
        kafka: kafka.clone(),
        topic: topic.to_owned(),
        outbox,
        outgoing: Some(outgoing),
        metrics,
        committed,
        stopping,
        on_delivered,
        in_flight: BTreeSet::new(),
        waits_since: None,
        patience: Duration::from_millis(DEAD_LETTERS_STUCK_MS),
        sent: 0,
        told: 0,
        more: true,
        failures: 0,
    };
    let thread = std::thread::Builder::new().name("dead-letters".to_owned()).spawn(move || postman.run());
    let thread = thread.map_err(|source| NotifyError::Thread { url: format!("topic {topic}"), source })?;
    Ok(Delivering { thread, stop })
}

/// What waits in the store, read on a connection that is opened again after an error.
struct Outbox {
    dir: PathBuf,
    reader: Option<Reader>,
}

impl Outbox {
    fn reader(&mut self) -> Result<&Reader, String> {
        if self.reader.is_none() {
            self.reader = Some(Reader::open(&self.dir).map_err(|e| e.to_string())?);
        }
        self.reader.as_ref().ok_or_else(|| "no reader".to_owned())
    }
}

struct Postman {
    kafka: KafkaConfig,
    topic: String,
    outbox: Outbox,
    outgoing: Option<Outgoing>,
    metrics: Arc<Metrics>,
    committed: Receiver<u64>,
    stopping: Receiver<bool>,
    on_delivered: OnDelivered,
    /// Numbers of the letters that the client has.
    in_flight: BTreeSet<u64>,
    /// Letters are under way and none has arrived since.
    waits_since: Option<Instant>,
    /// A client that delivers none for so long may never do it again.
    patience: Duration,
    /// Every letter up to this number was handed to the client.
    sent: u64,
    /// The pipeline knows that letters up to this number are delivered.
    told: u64,
    /// More may wait in the store.
    more: bool,
    failures: u32,
}

impl Postman {
    fn run(mut self) {
        let runtime = match tokio::runtime::Builder::new_current_thread().enable_time().build() {
            Ok(runtime) => runtime,
            Err(error) => {
                return tracing::error!(%error, "cannot wait for commits; no dead letter is delivered");
            }
        };
        while !*self.stopping.borrow() {
            let goes_on = match self.turn() {
                Ok(()) if self.is_idle() => self.wait_for_commit(&runtime),
                Ok(()) => true,
                Err(problem) => self.start_over(&problem, &runtime),
            };
            if !goes_on {
                break;
            }
        }
        self.finish();
    }

    /// Hands on what waits, as far as there is room, and hears what became of it.
    fn turn(&mut self) -> Result<(), String> {
        if self.committed.has_changed().unwrap_or(false) {
            self.committed.mark_unchanged();
            self.more = true;
        }
        if self.more && self.in_flight.len() < DEAD_LETTERS_IN_FLIGHT_MAX {
            self.send()?;
        }
        if !self.in_flight.is_empty() {
            self.hear(SERVE_FOR)?;
        }
        self.tell();
        self.check_patience()
    }

    /// librdkafka 2.12.1 can keep a partition without a leader for good after a broker was fenced (its issue 5430), and
    /// says no error: only another client delivers again.
    fn check_patience(&mut self) -> Result<(), String> {
        if self.in_flight.is_empty() {
            self.waits_since = None;
            return Ok(());
        }
        let waited = self.waits_since.get_or_insert_with(Instant::now).elapsed();
        if waited < self.patience {
            Ok(())
        } else {
            Err(format!("none has arrived for {} s", waited.as_secs()))
        }
    }

    fn is_idle(&self) -> bool {
        !self.more && self.in_flight.is_empty()
    }

    fn send(&mut self) -> Result<(), String> {
        let room = DEAD_LETTERS_IN_FLIGHT_MAX - self.in_flight.len();
        let reader = self.outbox.reader()?;
        let letters = reader.dead_letters(self.sent, room).map_err(|e| e.to_string())?;
        let waiting = reader.dead_letters_waiting().map_err(|e| e.to_string())?;
        self.metrics.notify_dead_letters_waiting.set(waiting as i64);
        self.more = letters.len() == room;
        for (number, letter) in letters {
            let outgoing = match &self.outgoing {
                Some(outgoing) => outgoing,
                None => {
                    let opened = Outgoing::open(&self.kafka, &self.topic).map_err(|e| e.to_string())?;
                    self.outgoing.insert(opened)
                }
            };
            if !outgoing.send(number, &letter.id, (REASON_HEADER, &letter.reason), &letter.body)? {
                self.more = true;
                break;
            }
            self.in_flight.insert(number);
            self.sent = number;
        }
        Ok(())
    }

    fn hear(&mut self, wait: Duration) -> Result<(), String> {
        let deliveries = self.outgoing.as_ref().map(|outgoing| outgoing.deliveries(wait)).unwrap_or_default();
        let mut problem = None;
        for (number, outcome) in deliveries {
            match outcome {
                Ok(()) => {
                    self.in_flight.remove(&number);
                    self.waits_since = None;
                    self.count("delivered");
                    if std::mem::take(&mut self.failures) > 0 {
                        tracing::info!(topic = self.topic, "dead letters are delivered again");
                    }
                }
                Err(reason) => {
                    self.count("failed");
                    problem.get_or_insert(reason);
                }
            }
        }
        problem.map_or(Ok(()), Err)
    }

    /// Every letter up to the first one under way has arrived.
    fn tell(&mut self) {
        let delivered = self.in_flight.first().map_or(self.sent, |first| first - 1).min(self.sent);
        if delivered > self.told && (self.on_delivered)(delivered) {
            self.told = delivered;
        }
    }

    fn count(&self, kind: &'static str) {
        self.metrics.notify_dead_letters.get_or_create(&KindLabel { kind }).inc();
    }

    /// After a failure: a new client, and everything again that has not surely arrived. False when the daemon ends.
    fn start_over(&mut self, problem: &str, runtime: &Runtime) -> bool {
        self.tell();
        self.outgoing = None;
        self.outbox.reader = None;
        self.in_flight.clear();
        self.waits_since = None;
        (self.sent, self.more) = (self.told, true);
        if self.failures == 0 {
            tracing::warn!(
                topic = self.topic,
                problem,
                "dead letters were not delivered; they are kept and sent again"
            );
        }
        self.failures = self.failures.saturating_add(1);
        let pause = GAP_MIN.saturating_mul(1 << (self.failures - 1).min(16)).min(BACKOFF_MAX);
        runtime.block_on(async { timeout(pause, self.stopping.wait_for(|stop| *stop)).await.is_err() })
    }

    /// Or, while the pipeline does not listen, for a moment. False when the daemon ends.
    fn wait_for_commit(&mut self, runtime: &Runtime) -> bool {
        let untold = self.told < self.sent;
        runtime.block_on(async {
            tokio::select! {
                commit = self.committed.changed() => {
                    self.more = true;
                    commit.is_ok()
                }
                () = sleep(GAP_MIN), if untold => true,
                _ = self.stopping.wait_for(|stop| *stop) => false,
            }
        })
    }

    fn finish(&mut self) {
        let deadline = Instant::now() + END_DEADLINE;
        while !self.in_flight.is_empty() && Instant::now() < deadline && self.hear(SERVE_FOR).is_ok() {}
        self.tell();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use rdkafka::mocking::MockCluster;

    use super::*;
    use crate::decode::{Reject, RejectReason, RejectedPayload};
    use crate::ingest::Position;
    use crate::store::{Commit, DeadLetters, Quarantined, Store};

    fn rejected() -> Quarantined {
        Quarantined {
            topic: "gateway".to_owned(),
            reject: Reject {
                position: Position { topic: 0, partition: 0, offset: 3 },
                index: 0,
                source: "gateway".to_owned(),
                reason: RejectReason::NotJson,
                detail: "expected a value".to_owned(),
                format: None,
                message_hash: 1,
                content_hash: 2,
                payload: RejectedPayload::of_masked("{".to_owned()),
            },
            at_micros: 1_770_000_000_000_000,
        }
    }

    #[test]
    fn client_that_delivers_nothing_is_replaced_by_another() {
        let dir = tempfile::tempdir().expect("a folder");
        let (mut store, _) = Store::open(dir.path()).expect("a store");
        store.register_topics(&["gateway".to_owned()]).expect("a topic");
        let mut dead_letters = DeadLetters::default();
        dead_letters.add(&rejected());
        store.commit(&Commit { dead_letters, ..Commit::default() }).expect("a commit");
        // A port that was free a moment ago: the first client reaches nobody, as one that is stuck.
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        let nobody = listener.local_addr().expect("an address").to_string();
        drop(listener);
        let cluster = MockCluster::new(1).expect("a mock cluster");
        cluster.create_topic("dead", 1, 1).expect("a topic");
        let kafka = |brokers| KafkaConfig { brokers, ..KafkaConfig::default() };
        let stuck = Outgoing::open(&kafka(nobody), "dead").expect("a client");
        let ((stop, stopping), (_committed, committed)) = (watch::channel(false), watch::channel(0));
        let (delivered, deliveries) = mpsc::channel();
        let postman = Postman {
            kafka: kafka(cluster.bootstrap_servers()),
            topic: "dead".to_owned(),
            outbox: Outbox { dir: dir.path().to_owned(), reader: None },
            outgoing: Some(stuck),
            metrics: Arc::new(Metrics::new()),
            committed,
            stopping,
            on_delivered: Box::new(move |up_to| delivered.send(up_to).is_ok()),
            in_flight: BTreeSet::new(),
            waits_since: None,
            patience: Duration::from_secs(4),
            sent: 0,
            told: 0,
            more: true,
            failures: 0,
        };
        let thread = std::thread::spawn(move || postman.run());
        assert_eq!(deliveries.recv_timeout(Duration::from_secs(60)), Ok(1));
        stop.send_replace(true);
        thread.join().expect("it ends");
    }
}
