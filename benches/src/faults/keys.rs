//! A flood of credentials that nobody has seen before, through a state whose memory is bounded.
//!
//! In: how many, the logs of a company. Out: what was violated: memory stays where the bound is, each group that found no
//! room is counted, and what was known before the flood is found as if there had been none.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use jiff::Timestamp;
use shadowprod::config::{Clock, Config};
use shadowprod::daemon::{self, wall_clock};
use shadowprod::ingest::{Position, RawBatch};
use shadowprod::metrics::{Metrics, QueryLabel};
use shadowprod::pipeline::Pipeline;
use shadowprod_benches::logs::access_key_event;
use shadowprod_benches::{Failure, resident_bytes};

use super::judge::unlike;
use super::options::{MEMORY_MIB_DEFAULT, Options};
use super::outcome::Outcome;
use super::stand::Stand;

/// What a batch, a commit and a merge of segments take for a moment, and what the allocator keeps.
const SLACK_MIB: usize = 192;
const BATCH: u64 = 8_192;
/// The logs come in so many parts; the flood after FLOOD_AFTER of them.
const PARTS: usize = 20;
const FLOOD_AFTER: usize = 14;
/// A partition that no log has.
const FLOOD_PARTITION: i32 = 999;
/// Says that rows found no room.
const STATE_FULL: &str = "state-full";
/// Counts each credential once.
const FIRST_SEEN: &str = "credential-first-seen";

pub fn run(options: &Options, count: u64) -> Result<Outcome, Failure> {
    let dir = tempfile::tempdir()?;
    let stand = Stand::prepare(options, dir.path(), "127.0.0.1:1")?;
    let mut config = Config::load(&stand.write_config("keys", "none")?)?;
    (config.time.clock, config.time.idle_after_ms) = (Clock::Log, 0);
    config.state.memory_mib = options.memory_mib;
    let metrics = Arc::new(Metrics::new());
    let open = || -> Result<Pipeline, Failure> {
        let mut parts = daemon::parts(&config, metrics.clone(), Some(&config.state.path))?;
        parts.rhythm.settle_for = None;
        Ok(Pipeline::open(parts)?)
    };
    let pipeline = open()?;
    let topics = pipeline.topics().to_vec();
    let mut company = Company { stand: &stand, topics, next: BTreeMap::new(), pipeline };
    let mut outcome = Outcome { count, ..Outcome::default() };
    (0..FLOOD_AFTER).try_for_each(|part| company.read(part))?;
    let at = company.flood(count, options, &metrics, &mut outcome)?;
    company.pipeline.commit(|| 0)?;
    let revisions = company.pipeline.history()?.len();
    let Company { next, topics, pipeline, .. } = company;
    drop(pipeline);
    let restarted = Instant::now();
    let mut company = Company { stand: &stand, topics, next, pipeline: open()? };
    let opened = restarted.elapsed();
    let begins = company.begin()?;
    company.step(&begins)?;
    let mut first_finding = None;
    for part in FLOOD_AFTER..PARTS {
        company.read(part)?;
        if first_finding.is_none() && company.pipeline.history()?.len() > revisions {
            first_finding = Some(restarted.elapsed());
        }
    }
    company.pipeline.commit(|| 0)?;
    let (full, findings): (Vec<_>, Vec<_>) =
        company.pipeline.findings()?.into_iter().partition(|finding| finding.detection == STATE_FULL);
    let expected = usize::from(first_seen_overflow(&metrics) > 0);
    if full.len() != expected {
        outcome
            .violations
            .push(format!("{} findings say that rows found no room, not {expected}", full.len()));
    }
    let known: Vec<_> = stand.expected.findings.iter().filter(|finding| finding.first_seen < at).collect();
    let found: Vec<_> = findings.iter().collect();
    outcome.violations.extend(unlike(known.iter().copied(), &found));
    if findings.len() > stand.expected.findings.len() {
        outcome.violations.push(format!(
            "{} findings, {} without the flood",
            findings.len(),
            stand.expected.findings.len()
        ));
    }
    outcome.note += &format!("; {} findings of subjects known before it unharmed", known.len());
    let first_finding = first_finding.ok_or("no finding after the flood")?;
    outcome.note += &format!("; a restart takes {opened:.1?}, to the first finding {first_finding:.1?}");
    Ok(outcome)
}

/// The company's logs on their way into a pipeline.
struct Company<'a> {
    stand: &'a Stand,
    topics: Vec<String>,
    /// Next offset by partition.
    next: BTreeMap<(u16, i32), i64>,
    pipeline: Pipeline,
}

impl Company<'_> {
    fn number(&self, topic: &str) -> Result<u16, Failure> {
        let number = self.topics.iter().position(|t| t == topic).ok_or("a topic of the config")?;
        Ok(u16::try_from(number)?)
    }

    /// Part `part` of each log.
    fn read(&mut self, part: usize) -> Result<(), Failure> {
        if part == 0 {
            let first = self.begin()?;
            self.step(&first)?;
        }
        for partition in &self.stand.partitions {
            let topic = self.number(&partition.topic)?;
            let share = |part: usize| partition.lines.len() * part / PARTS;
            let lines = &partition.lines[share(part)..share(part + 1)];
            let next = self.next.entry((topic, partition.number)).or_default();
            let mut batch = RawBatch::default();
            for line in lines {
                let position = Position { topic, partition: partition.number, offset: *next };
                batch.push(position, None, line.as_bytes());
                *next += 1;
            }
            batch.ends = self.ends()?;
            self.step(&batch)?;
        }
        Ok(())
    }

    /// Every partition is assigned, the flood's too.
    fn begin(&mut self) -> Result<RawBatch, Failure> {
        let mut assigned = Vec::new();
        for partition in &self.stand.partitions {
            let topic = self.number(&partition.topic)?;
            assigned.push(Position { topic, partition: partition.number, offset: 0 });
        }
        assigned.push(Position { topic: self.cloudtrail()?, partition: FLOOD_PARTITION, offset: 0 });
        let ends = self.ends()?;
        Ok(RawBatch { assigned: Some(assigned), ends, ..RawBatch::default() })
    }

    fn cloudtrail(&self) -> Result<u16, Failure> {
        let partition = self.stand.partitions.iter().find(|p| p.topic.starts_with("cloudtrail-"));
        self.number(&partition.ok_or("a company with CloudTrail")?.topic)
    }

    /// Partitions that have come to their end: the flood's always has.
    fn ends(&self) -> Result<Vec<Position>, Failure> {
        let (topic, partition) = (self.cloudtrail()?, FLOOD_PARTITION);
        let offset = self.next.get(&(topic, partition)).copied().unwrap_or(0);
        let mut ends = vec![Position { topic, partition, offset }];
        for log in &self.stand.partitions {
            let topic = self.number(&log.topic)?;
            let offset = self.next.get(&(topic, log.number)).copied().unwrap_or(0);
            if usize::try_from(offset)? == log.lines.len() {
                ends.push(Position { topic, partition: log.number, offset });
            }
        }
        Ok(ends)
    }

    fn step(&mut self, batch: &RawBatch) -> Result<(), Failure> {
        // Commits come with the clock, as in a daemon.
        let now = wall_clock();
        self.pipeline.step(batch, now)?;
        if self.pipeline.commit_is_due(now) {
            self.pipeline.commit(|| 0)?;
        }
        Ok(())
    }

    /// `count` new credentials at the time of the logs' part FLOOD_AFTER; returns that time.
    fn flood(
        &mut self,
        count: u64,
        options: &Options,
        metrics: &Metrics,
        outcome: &mut Outcome,
    ) -> Result<Timestamp, Failure> {
        let (topic, at) = (self.cloudtrail()?, self.time_of(FLOOD_AFTER)?);
        self.pipeline.commit(|| 0)?;
        let before = resident_bytes()?;
        let rows_before = first_seen_rows(metrics);
        let (mut key, mut most, mut half) = (0, before, 0);
        while key < count {
            let mut batch = RawBatch::default();
            for _ in 0..BATCH.min(count - key) {
                let next = self.next.entry((topic, FLOOD_PARTITION)).or_default();
                let position = Position { topic, partition: FLOOD_PARTITION, offset: *next };
                batch.push(position, None, access_key_event(usize::try_from(key)?, at).as_bytes());
                (*next, key) = (*next + 1, key + 1);
            }
            batch.ends = self.ends()?;
            self.step(&batch)?;
            most = most.max(resident_bytes()?);
            if key >= count / 2 && half == 0 {
                half = most;
            }
        }
        self.pipeline.commit(|| 0)?;
        let (used, max) = (self.pipeline.memory().used(), self.pipeline.memory().max());
        let mib = |bytes: usize| bytes >> 20;
        if used > max {
            outcome.violations.push(format!("rows take {} of {} MiB", mib(used), mib(max)));
        }
        if most - before > (options.memory_mib + SLACK_MIB) << 20 {
            outcome.violations.push(format!("the process grew by {} MiB", mib(most - before)));
        }
        let kept = first_seen_rows(metrics) - rows_before;
        let overflow = first_seen_overflow(metrics);
        if kept + overflow != count {
            outcome
                .violations
                .push(format!("{count} credentials: {kept} kept, {overflow} counted as overflow"));
        }
        if overflow == 0 && options.memory_mib <= MEMORY_MIB_DEFAULT {
            outcome.violations.push("there was room for all: take more".to_owned());
        }
        outcome.note = format!(
            "{kept} kept, {overflow} overflow; rows {} of {} MiB; the process grew by {} MiB, {} of it in the second half",
            mib(used),
            mib(max),
            mib(most - before),
            mib(most - half)
        );
        Ok(at)
    }

    /// When the first CloudTrail record of a part happened.
    fn time_of(&self, part: usize) -> Result<Timestamp, Failure> {
        let logs = self.stand.partitions.iter().filter(|p| p.topic.starts_with("cloudtrail-"));
        let times =
            logs.flat_map(|log| log.lines[log.lines.len() * part / PARTS..].iter()).filter_map(|line| {
                let (_, rest) = line.split_once("\"eventTime\":\"")?;
                rest.split_once('"')?.0.parse().ok()
            });
        Ok(times.min().ok_or("a CloudTrail record with a time")?)
    }
}

fn first_seen_overflow(metrics: &Metrics) -> u64 {
    metrics.rollup_overflow.get_or_create(&QueryLabel { query: FIRST_SEEN.to_owned() }).get()
}

fn first_seen_rows(metrics: &Metrics) -> u64 {
    let label = QueryLabel { query: FIRST_SEEN.to_owned() };
    u64::try_from(metrics.rollup_rows.get_or_create(&label).get()).unwrap_or(0)
}
