//! The reading thread: fills batches from every partition in turn and hands them over.
//!
//! In: messages, end-of-log events and errors of each partition's own queue; discoveries. Out: batches.
//! While the pipeline is busy it keeps serving the client, reads no further, and pauses after a while.
//! A partition is never sought or reset: where it must start elsewhere it is assigned again.

mod standing;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{SyncSender, TrySendError};
use std::time::{Duration, Instant};

use rdkafka::consumer::{CommitMode, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::{BorrowedMessage, Message};
use rdkafka::{Offset, TopicPartitionList};

use super::Shared;
use super::client::{self, Client};
use super::discovery::{Discovery, Found, Line, Question};
use super::open_batch::OpenBatch;
use super::partition::{Partition, Placement, place};
use super::slot::{Lost, Polled, Slot, poll, take};
use super::turns::Turns;
use crate::config::KafkaConfig;
use crate::ingest::{Checkpoint, RawBatch, SourceNotice, Topics};
use crate::limits;

/// The thread's state.
pub(super) struct Reader {
    topics: Topics,
    checkpoints: HashMap<(u16, i32), Checkpoint>,
    line: Line,
    batches: SyncSender<RawBatch>,
    shared: Arc<Shared>,
    /// Above the client: queues must go before it.
    slots: Vec<Slot>,
    client: Client,
    /// Slot whose turn it is.
    turn: usize,
    open: OpenBatch,
    stalled_since: Option<Instant>,
    paused: bool,
    broker_up: Option<bool>,
    looked: bool,
    /// As of the last look: topics that cannot be read, and those and others of which not all can be read.
    missing: BTreeSet<u16>,
    awaited: BTreeSet<u16>,
    /// As of the last look, of partitions that are read: also of those that the client has stopped fetching.
    log_ends: BTreeMap<(u16, i32), i64>,
    last_commit: Instant,
    turns: Turns,
}

impl Reader {
    pub(super) fn new(
        kafka: &KafkaConfig,
        topics: Topics,
        checkpoints: Vec<Checkpoint>,
        batches: SyncSender<RawBatch>,
        shared: Arc<Shared>,
        line: Line,
    ) -> Self {
        let checkpoints =
            checkpoints.into_iter().map(|c| ((c.position.topic, c.position.partition), c)).collect();
        Self {
            topics,
            checkpoints,
            line,
            batches,
            shared,
            slots: Vec::new(),
            client: Client::new(kafka),
            turn: 0,
            open: OpenBatch::default(),
            stalled_since: None,
            paused: false,
            broker_up: None,
            looked: false,
            missing: BTreeSet::new(),
            awaited: BTreeSet::new(),
            log_ends: BTreeMap::new(),
            last_commit: Instant::now(),
            turns: Turns::new(),
        }
    }

    /// Reads until told to stop. `Err` is why it cannot go on.
    pub(super) fn run(mut self) -> Result<(), String> {
        while !self.shared.stopped() {
            self.notice_leap();
            self.discover()?;
            self.serve()?;
            self.place_lost()?;
            let read = if self.open.full() { false } else { self.read()? };
            if self.turns.ends_are_due() && !self.ends().is_empty() {
                self.open.touch();
            }
            let sent = self.hand_over()?;
            self.commit(Duration::from_millis(limits::BROKER_COMMIT_INTERVAL_MS));
            if !read && !sent {
                self.sleep();
            }
        }
        self.commit(Duration::ZERO);
        Ok(())
    }

    /// Nothing that was known of the logs holds: connections may be gone without a word.
    fn notice_leap(&mut self) {
        if let Some(away) = self.turns.leap() {
            tracing::warn!(
                seconds = away.as_secs(),
                "this process was stopped; each log is looked at afresh"
            );
            self.look_afresh();
        }
    }

    /// Each log may have been cut or replaced, and its end is told again only to a partition that is placed again.
    fn look_afresh(&mut self) {
        for slot in &mut self.slots {
            slot.partition.leave_end();
            slot.lost = Lost::Unasked;
        }
    }

    /// Until something arrives, the linger ends, or a moment has passed.
    fn sleep(&self) {
        let most = Duration::from_millis(limits::READER_SLEEP_MS);
        let left = self.open.linger_left().filter(|left| !left.is_zero());
        std::thread::park_timeout(left.map_or(most, |left| left.min(most)));
    }

    fn discover(&mut self) -> Result<(), String> {
        while let Ok(discovery) = self.line.discoveries.try_recv() {
            match discovery {
                Discovery::Unreachable(reason) => self.broker_lost(reason),
                Discovery::Looked { found, unreadable, missing, incomplete, ends, stuck } => {
                    self.broker_answers();
                    self.log_ends = ends;
                    if !stuck.is_empty() {
                        self.renew(&stuck);
                    }
                    for (topic, reason) in unreadable {
                        self.open.notice(SourceNotice::TopicUnreadable { topic, reason });
                    }
                    if !found.is_empty() {
                        self.assign(&found)?;
                    }
                    self.tell_assigned(!found.is_empty(), missing, &incomplete);
                    self.looked = true;
                }
            }
        }
        Ok(())
    }

    fn broker_lost(&mut self, reason: String) {
        if self.broker_up != Some(false) {
            self.broker_up = Some(false);
            self.shared.change_standing(|s| s.broker_up = false);
            self.open.notice(SourceNotice::BrokerDown { reason });
            for slot in &mut self.slots {
                slot.partition.leave_end();
            }
        }
    }

    /// Only a fresh answer counts: messages that were prefetched still arrive from a broker that is gone.
    fn broker_answers(&mut self) {
        if self.broker_up == Some(false) {
            self.open.notice(SourceNotice::BrokerUp);
            self.look_afresh();
        }
        self.broker_up = Some(true);
        self.shared.change_standing(|s| s.broker_up = true);
    }

    fn assign(&mut self, found: &[Found]) -> Result<(), String> {
        let consumer = self.client.get_or_make(found.len().max(self.checkpoints.len()))?;
        let mut starts = TopicPartitionList::new();
        let mut stops = TopicPartitionList::new();
        for found in found {
            let start = match self.slots.iter().position(|s| s.is(found.topic, found.partition)) {
                Some(slot) => {
                    let Some(start) = self.place_again(slot, found) else { continue };
                    if std::mem::replace(&mut self.slots[slot].assigned, true) {
                        self.add_to(&mut stops, found, Offset::Invalid)?;
                    }
                    start
                }
                None => self.place_new(&consumer, found)?,
            };
            self.add_to(&mut starts, found, start)?;
        }
        if stops.count() > 0 {
            consumer.incremental_unassign(&stops).map_err(|e| e.to_string())?;
        }
        if starts.count() > 0 {
            consumer.incremental_assign(&starts).map_err(|e| e.to_string())?;
            if self.paused {
                consumer.pause(&starts).map_err(|e| e.to_string())?;
            }
        }
        Ok(())
    }

    fn add_to(&self, list: &mut TopicPartitionList, found: &Found, offset: Offset) -> Result<(), String> {
        list.add_partition_offset(&self.topics[usize::from(found.topic)], found.partition, offset)
            .map_err(|e| e.to_string())
    }

    /// Only another client reads on; each partition is placed again in it.
    fn renew(&mut self, stuck: &[(u16, i32)]) {
        for (topic, partition) in stuck {
            let topic_name = &self.topics[usize::from(*topic)];
            if let Some(slot) = self.slots.iter().find(|s| s.is(*topic, *partition)) {
                let position = slot.partition.position();
                tracing::warn!(
                    topic = topic_name,
                    partition,
                    next = position.offset,
                    "nothing arrives of a log that goes on; the Kafka client is made anew"
                );
                self.open.notice(SourceNotice::PartitionStuck { position });
            }
        }
        match self.another_client() {
            Ok((consumer, queues)) => {
                for (slot, queue) in self.slots.iter_mut().zip(queues) {
                    slot.queue = queue;
                    slot.assigned = false;
                }
                client::close(self.client.replace(consumer));
                self.look_afresh();
            }
            // Other partitions are read meanwhile; this one is told again.
            Err(error) => tracing::warn!(%error, "no other Kafka client can be made; it is tried again"),
        }
    }

    fn another_client(&self) -> Result<(client::Consumer, Vec<client::Queue>), String> {
        let consumer = self.client.make(self.slots.len())?;
        let partitions = self.slots.iter().map(|slot| &slot.partition);
        let queue = |p: &Partition| client::queue(&consumer, &self.topics[usize::from(p.topic)], p.partition);
        let queues = partitions.map(queue).collect::<Result<_, _>>()?;
        Ok((consumer, queues))
    }

    fn place_new(&mut self, consumer: &client::Consumer, found: &Found) -> Result<Offset, String> {
        let checkpoint = self.checkpoints.remove(&(found.topic, found.partition));
        let placement = place(checkpoint.as_ref(), found.log);
        let partition = Partition::new(found.topic, found.partition, found.log.low, &placement);
        if checkpoint.is_none() {
            // What retention takes from it from now on is missed, even if nothing was read of it before.
            self.open.batch.skipped_to.push(partition.checkpoint());
            self.open.touch();
            if self.looked {
                self.open.notice(SourceNotice::PartitionAdded { position: partition.position() });
            }
        }
        let queue = client::queue(consumer, &self.topics[usize::from(found.topic)], found.partition)?;
        let (lost, assigned) = (Lost::No, true);
        self.slots.push(Slot {
            partition,
            queue,
            assigned,
            asks_at: 0,
            last_message: None,
            lost,
            told: None,
        });
        Ok(self.noticed(placement))
    }

    /// Where to start anew, if that can be said yet.
    fn place_again(&mut self, slot: usize, found: &Found) -> Option<Offset> {
        let batch = &self.open.batch;
        let slot = &mut self.slots[slot];
        slot.remember_last(batch);
        let Some(placement) = found.placement(&slot.partition.checkpoint(), slot.lost) else {
            slot.lost = Lost::Unasked;
            return None;
        };
        slot.partition.restart(found.log.low, &placement);
        slot.lost = Lost::No;
        Some(self.noticed(placement))
    }

    fn noticed(&mut self, placement: Placement) -> Offset {
        if let Some(notice) = placement.notice {
            self.open.notice(notice);
        }
        placement.start
    }

    /// Serves the client's own events; messages arrive in the partitions' queues.
    fn serve(&mut self) -> Result<(), String> {
        let Some(consumer) = self.client.get() else { return Ok(()) };
        while let Some(event) = consumer.poll(Duration::ZERO) {
            match event {
                Ok(message) => self.take_stray(&message)?,
                Err(KafkaError::MessageConsumptionFatal(code)) => return Err(format!("fatal: {code}")),
                Err(error) => tracing::debug!(%error, "Kafka client"),
            }
        }
        if consumer.context().take_all_down() {
            // The reason may not have arrived yet; the addresses are known.
            let words = consumer.context().last_words();
            self.broker_lost(
                words.unwrap_or_else(|| format!("no connection to {} is left", self.client.brokers())),
            );
            // A full line means that it is about to look anyway.
            let _ = self.line.questions.try_send(Question::Look);
        }
        if let Some(statistics) = consumer.context().take_statistics() {
            self.weigh(&statistics);
        }
        Ok(())
    }

    /// A message outside its partition's queue: read like any other.
    fn take_stray(&mut self, message: &BorrowedMessage<'_>) -> Result<(), String> {
        let topics = self.topics.clone();
        let slot = self.slots.iter_mut().position(|s| {
            topics[usize::from(s.partition.topic)] == message.topic()
                && s.partition.partition == message.partition()
        });
        match slot {
            Some(slot) if self.slots[slot].lost == Lost::No => {
                take(&mut self.slots[slot], &mut self.open, message).then(|| self.start_over(slot))
            }
            Some(_) | None => None,
        }
        .unwrap_or(Ok(()))
    }

    fn place_lost(&mut self) -> Result<(), String> {
        for slot in self.slots.iter_mut().filter(|s| s.lost == Lost::Unasked) {
            let question = Question::Watermarks(slot.partition.topic, slot.partition.partition);
            match self.line.questions.try_send(question) {
                Ok(()) => slot.lost = Lost::Asked,
                Err(TrySendError::Full(_)) => return Ok(()),
                Err(TrySendError::Disconnected(_)) => return Err("its helper thread ended".to_owned()),
            }
        }
        Ok(())
    }

    /// One turn of every partition, or until the batch is full. True if anything was read.
    fn read(&mut self) -> Result<bool, String> {
        let mut read = false;
        for _ in 0..self.slots.len() {
            self.turn = (self.turn + 1) % self.slots.len();
            read |= self.read_turn(self.turn)?;
            if self.open.full() {
                break;
            }
        }
        Ok(read)
    }

    fn read_turn(&mut self, index: usize) -> Result<bool, String> {
        for taken in 0..limits::PARTITION_TURN_MESSAGES_MAX {
            let slot = &mut self.slots[index];
            if slot.lost != Lost::No {
                return Ok(taken > 0);
            }
            let another_log = match poll(slot, &mut self.open) {
                Polled::Nothing => return Ok(taken > 0),
                Polled::Fatal(reason) => return Err(reason),
                Polled::Event => false,
                Polled::AnotherLog => true,
            };
            if another_log {
                self.start_over(index)?;
                return Ok(true);
            }
            if self.open.full() {
                break;
            }
        }
        Ok(true)
    }

    /// At the seam stood another message: the whole log is new.
    fn start_over(&mut self, index: usize) -> Result<(), String> {
        let slot = &mut self.slots[index];
        let (low, placement) = slot.partition.beginning();
        slot.partition.restart(low, &placement);
        slot.last_message = None;
        let (topic, partition) = (slot.partition.topic, slot.partition.partition);
        let consumer = self.client.get_or_make(1)?;
        let mut list = TopicPartitionList::new();
        list.add_partition(&self.topics[usize::from(topic)], partition);
        consumer.incremental_unassign(&list).map_err(|e| e.to_string())?;
        list.set_all_offsets(placement.start).map_err(|e| e.to_string())?;
        consumer.incremental_assign(&list).map_err(|e| e.to_string())?;
        self.noticed(placement);
        Ok(())
    }

    /// Hands the batch over when it is due. True if it went.
    fn hand_over(&mut self) -> Result<bool, String> {
        if !self.open.ready() {
            return Ok(false);
        }
        let mut batch = std::mem::take(&mut self.open.batch);
        for slot in &mut self.slots {
            slot.remember_last(&batch);
        }
        batch.ends = self.ends();
        match self.batches.try_send(batch) {
            Ok(()) => {
                self.open.since = None;
                self.turns.ends_are_told();
                self.resume()?;
                Ok(true)
            }
            Err(TrySendError::Full(batch)) => {
                self.open.batch = batch;
                self.stall()?;
                Ok(false)
            }
            Err(TrySendError::Disconnected(_)) => {
                self.shared.stop.store(true, Ordering::Release);
                Ok(false)
            }
        }
    }

    fn stall(&mut self) -> Result<(), String> {
        let since = *self.stalled_since.get_or_insert_with(Instant::now);
        let patience = Duration::from_millis(limits::STALL_BEFORE_PAUSE_MS);
        if !self.paused && since.elapsed() >= patience {
            self.set_paused(true)?;
        }
        Ok(())
    }

    fn resume(&mut self) -> Result<(), String> {
        self.stalled_since = None;
        if self.paused {
            self.set_paused(false)?;
        }
        Ok(())
    }

    fn set_paused(&mut self, paused: bool) -> Result<(), String> {
        if let Some(consumer) = self.client.get() {
            let mut list = TopicPartitionList::new();
            for Slot { partition, .. } in self.slots.iter().filter(|slot| slot.assigned) {
                list.add_partition(&self.topics[usize::from(partition.topic)], partition.partition);
            }
            let done = if paused { consumer.pause(&list) } else { consumer.resume(&list) };
            done.map_err(|e| e.to_string())?;
        }
        // What was prefetched is gone, with it what lies between the end that was read and the one that the client saw.
        self.slots.iter_mut().filter(|_| paused).for_each(|slot| slot.partition.leave_end());
        self.paused = paused;
        self.shared.change_standing(|s| s.paused = paused);
        Ok(())
    }

    /// Tells the broker what is durable; an error only leaves its lag display behind.
    fn commit(&mut self, interval: Duration) {
        let Some(consumer) = self.client.get().filter(|_| self.last_commit.elapsed() >= interval) else {
            return;
        };
        self.last_commit = Instant::now();
        let mut list = TopicPartitionList::new();
        for ((topic, partition), next) in self.shared.take_durable() {
            let topic = &self.topics[usize::from(topic)];
            // Only an offset that cannot be expressed is refused, and these were read.
            let _ = list.add_partition_offset(topic, partition, Offset::Offset(next));
        }
        if list.count() > 0
            && let Err(error) = consumer.commit(&list, CommitMode::Async)
        {
            tracing::debug!(%error, "offsets not committed to the broker");
        }
    }
}
