//! Messages that are none: cut, damaged, doubled, deep, huge, of wrong types and impossible numbers.
//!
//! In: how many, dice. Out: what was violated. They go through a whole pipeline with its state; beside it a decoder says
//! what each message is, and nothing may be lost between the two: exact for each partition and topic.

use std::collections::BTreeMap;
use std::sync::Arc;

use fastrand::Rng;
use shadowprod::config::{Clock, Config};
use shadowprod::decode::Decoder;
use shadowprod::ingest::{Position, RawBatch};
use shadowprod::metrics::Metrics;
use shadowprod::pipeline::Pipeline;
use shadowprod::store::{QuarantineQuery, Store};
use shadowprod::{daemon, decode::SourceSpec};
use shadowprod_benches::Failure;

use arrow::array::AsArray;
use arrow::datatypes::Int64Type;

use super::options::Options;
use super::outcome::Outcome;
use super::stand::{Partition, Stand};

const BATCH: u64 = 1_000;
const HUGE_BYTES: usize = 2 << 20;
const DEPTHS: [usize; 4] = [65, 129, 5_000, 200_000];
const NUMBERS: [&str; 12] = [
    "1e999",
    "-1e999",
    "-0",
    "1e-999",
    "9223372036854775808",
    "-9223372036854775809",
    "99999999999999999999999",
    "0.1e1",
    "01",
    "NaN",
    "+1",
    "1.7976931348623157e309",
];
const VALUES: [&str; 10] = [
    "null",
    "true",
    "[]",
    "{}",
    "\"\"",
    "\"\\ud800\"",
    "\"\\u0000\"",
    "\"\\q\"",
    "-",
    "{\"a\":{\"b\":[1,{}]}}",
];

/// What came of the messages of one partition.
#[derive(Default, Clone, Copy)]
struct Count {
    messages: i64,
    events: u64,
    rejects: u64,
    /// Messages of which neither came.
    silent: u64,
}

pub fn run(options: &Options, count: u64, dice: &mut Rng) -> Result<Outcome, Failure> {
    let dir = tempfile::tempdir()?;
    let stand = Stand::prepare(options, dir.path(), "127.0.0.1:1")?;
    let mut config = Config::load(&stand.write_config("hostile", "none")?)?;
    (config.time.clock, config.time.idle_after_ms) = (Clock::Log, 0);
    let metrics = Arc::new(Metrics::new());
    let mut pipeline = Pipeline::open(daemon::parts(&config, metrics.clone(), Some(&config.state.path))?)?;
    let topics = pipeline.topics().to_vec();
    let mut beside = Decoder::new(specs(&config, &topics));
    let mut counts: BTreeMap<(u16, i32), Count> = BTreeMap::new();
    let logs: Vec<&Partition> = stand.partitions.iter().filter(|p| !p.lines.is_empty()).collect();
    let mut sent = 0;
    while sent < count {
        let mut batch = RawBatch::default();
        for _ in 0..BATCH.min(count - sent) {
            let partition = logs[dice.usize(..logs.len())];
            let line = &partition.lines[dice.usize(..partition.lines.len())];
            let topic =
                topics.iter().position(|t| *t == partition.topic).ok_or("a topic of the config")? as u16;
            let of = counts.entry((topic, partition.number)).or_default();
            let position = Position { topic, partition: partition.number, offset: of.messages };
            of.messages += 1;
            batch.push(position, None, &mutated(line.as_bytes(), dice));
        }
        sent += batch.messages.len() as u64;
        tally(&mut beside, &batch, &mut counts)?;
        pipeline.step(&batch, 0)?;
        if pipeline.commit_is_due(0) {
            pipeline.commit(|| 0)?;
        }
    }
    pipeline.commit(|| 0)?;
    drop(pipeline);
    let mut outcome = Outcome { count: sent, ..Outcome::default() };
    let events: u64 = counts.values().map(|c| c.events).sum();
    let (rolled_up, late) = (metrics.rollup_events.get(), metrics.rollup_late_events.get());
    let (future, duplicates) = (metrics.rollup_future_events.get(), metrics.decode_duplicates.get());
    if rolled_up + late + future + duplicates != events {
        outcome.violations.push(format!(
            "{events} events became {rolled_up} rolled up, {late} late, {future} too far ahead and {duplicates} \
             duplicates"
        ));
    }
    judge(&config, &topics, &counts, &mut outcome)?;
    let rejects: u64 = counts.values().map(|c| c.rejects).sum();
    outcome.note = format!(
        "{} partitions; {events} events, {rejects} rejects; {late} late, {future} too far ahead, {duplicates} duplicates",
        counts.len()
    );
    Ok(outcome)
}

fn specs(config: &Config, topics: &[String]) -> Vec<Option<SourceSpec>> {
    let spec = |topic: &String| {
        config.sources.iter().find(|s| s.topic == *topic).map(|source| daemon::source_spec(source, config))
    };
    topics.iter().map(spec).collect()
}

/// What each message is, by a decoder that nothing else feeds.
fn tally(
    decoder: &mut Decoder,
    batch: &RawBatch,
    counts: &mut BTreeMap<(u16, i32), Count>,
) -> Result<(), Failure> {
    let mut outcomes: BTreeMap<(u16, i32, i64), u64> = BTreeMap::new();
    let mut next = 0;
    while next < batch.messages.len() {
        let (decoded, to) = decoder.decode_from(batch, next);
        next = to;
        let positions = decoded.events.record_batch().column_by_name("position").ok_or("a position")?;
        for packed in positions.as_primitive::<Int64Type>().values() {
            let at = Position::unpack(*packed);
            counts.entry((at.topic, at.partition)).or_default().events += 1;
            *outcomes.entry((at.topic, at.partition, at.offset)).or_default() += 1;
        }
        for reject in &decoded.rejects {
            let at = reject.position;
            counts.entry((at.topic, at.partition)).or_default().rejects += 1;
            *outcomes.entry((at.topic, at.partition, at.offset)).or_default() += 1;
        }
    }
    for message in &batch.messages {
        let at = message.position;
        if !outcomes.contains_key(&(at.topic, at.partition, at.offset)) {
            counts.entry((at.topic, at.partition)).or_default().silent += 1;
        }
    }
    Ok(())
}

/// Beside the state: offsets by partition, rejects by topic.
fn judge(
    config: &Config,
    topics: &[String],
    counts: &BTreeMap<(u16, i32), Count>,
    outcome: &mut Outcome,
) -> Result<(), Failure> {
    let (store, recovered) = Store::open(&config.state.path)?;
    let reader = store.reader()?;
    for ((topic, partition), count) in counts {
        let name = &topics[usize::from(*topic)];
        let place = |c: &&shadowprod::ingest::Checkpoint| {
            (c.position.topic, c.position.partition) == (*topic, *partition)
        };
        let offset = recovered.checkpoints.iter().find(place).map_or(0, |c| c.position.offset);
        if offset != count.messages {
            outcome.violations.push(format!("{name}/{partition}: {} sent, {offset} read", count.messages));
        }
        if count.silent > 0 {
            let silent = count.silent;
            outcome.violations.push(format!("{name}/{partition}: {silent} messages became nothing"));
        }
    }
    for (number, name) in topics.iter().enumerate() {
        let of = counts.iter().filter(|((topic, _), _)| usize::from(*topic) == number);
        let expected: u64 = of.map(|(_, count)| count.rejects).sum();
        let query = QuarantineQuery { source: Some(name.clone()), ..QuarantineQuery::default() };
        let (kept, counted) = reader.quarantined(&query)?;
        if counted != expected {
            outcome.violations.push(format!("{name}: {expected} rejects, {counted} counted"));
        }
        if kept.is_empty() != (expected == 0) {
            outcome.violations.push(format!("{name}: {} of {expected} rejects kept", kept.len()));
        }
    }
    Ok(())
}

fn mutated(line: &[u8], dice: &mut Rng) -> Vec<u8> {
    let mut bytes = line.to_vec();
    let place = dice.usize(..bytes.len().max(1));
    match dice.u8(..14) {
        0 => bytes.truncate(place),
        1 => bytes.iter_mut().skip(place).take(1).for_each(|byte| *byte = dice.u8(..)),
        2 => (0..8).for_each(|_| {
            let place = dice.usize(..line.len().max(1));
            bytes.iter_mut().skip(place).take(1).for_each(|byte| *byte ^= 1 << dice.u8(..8));
        }),
        3 => bytes.extend_from_slice(line),
        4 => bytes.extend_from_slice(&b"]}, \0\xff"[dice.usize(..7)..]),
        5 => {
            let depth = DEPTHS[dice.usize(..DEPTHS.len())];
            let open: &[u8] = if dice.bool() { b"[" } else { b"{\"a\":" };
            bytes = open.repeat(depth);
        }
        6 if dice.u8(..50) == 0 => {
            bytes = format!("{{\"a\":\"{}\"}}", "x".repeat(HUGE_BYTES)).into_bytes();
        }
        6 | 7 => {
            bytes = with_value(line, place, NUMBERS[dice.usize(..NUMBERS.len())], |b| b.is_ascii_digit())
        }
        8 => bytes = with_value(line, place, VALUES[dice.usize(..VALUES.len())], |b| b.is_ascii_digit()),
        9 => bytes = with_text(line, place, VALUES[dice.usize(..VALUES.len())]),
        10 => bytes.clear(),
        11 => bytes = (0..dice.usize(1..300)).map(|_| dice.u8(..)).collect(),
        12 => bytes = [&[0x1f, 0x8b][..], line].concat(),
        _ => {}
    }
    bytes
}

/// The first run of such bytes after `place` replaced.
fn with_value(line: &[u8], place: usize, value: &str, is_part: impl Fn(&u8) -> bool) -> Vec<u8> {
    let Some(start) = line.iter().skip(place).position(&is_part).map(|at| at + place) else {
        return line.to_vec();
    };
    let length = line[start..].iter().take_while(|byte| is_part(byte)).count();
    [&line[..start], value.as_bytes(), &line[start + length..]].concat()
}

/// The first string after `place` replaced, quotes and all; it may be a key.
fn with_text(line: &[u8], place: usize, value: &str) -> Vec<u8> {
    let quote = |from: usize| line.iter().skip(from).position(|byte| *byte == b'"').map(|at| at + from);
    match quote(place).and_then(|start| Some((start, quote(start + 1)?))) {
        Some((start, end)) => [&line[..start], value.as_bytes(), &line[end + 1..]].concat(),
        None => line.to_vec(),
    }
}
