//! A tick's time by how many credentials are kept: 10,000 of them changed each time.
//!
//!     cargo run --release -p shadowprod-benches --bin tick -- [--keys N[,N...]] [--changed N] [--ticks N] [--variants N]
//!
//! In: the built-in queries; for each kept credential one session and the fact that it was seen, a week old and older.
//! Out: a table: absorbing the events, the tick itself (settling them and evaluating what is due), what a restart
//! spends on finding out what is due when, bytes of memory a credential. With `--variants` each detection of credentials
//! is there so many times, each with one threshold changed: as people copy a detection.

use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow::array::{Array, ArrayRef, AsArray, StringArray, TimestampMicrosecondArray, UInt32Array};
use arrow::compute::take;
use arrow::record_batch::RecordBatch;
use jiff::Timestamp;
use shadowprod::decode::{Decoder, Format, SourceFormat, SourceSpec};
use shadowprod::detect::{Context, Round};
use shadowprod::enrich::{CredentialKey, Enricher, Signals};
use shadowprod::ingest::{Position, RawBatch};
use shadowprod::metrics::Metrics;
use shadowprod::query::QueryTexts;
use shadowprod::query::plan::QuerySet;
use shadowprod::registry::Registry;
use shadowprod::rollup::schedule::{Due, Schedule};
use shadowprod::rollup::{Rollups, SubjectId, View};
use shadowprod::schema::EnrichedBatch;
use shadowprod_benches::logs::access_key_event;
use shadowprod_benches::{Failure, exit_code, resident_bytes};

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// A Monday.
const START_MICROS: i64 = 1_772_409_600_000_000;
const DAY: i64 = 86_400_000_000;
/// A tick's share of event time: all whose session of one half hour grows old are due at once.
const STEP: i64 = 1_800_000_000;
const GRID_SECONDS: u32 = 60;
/// Rows put in at once.
const CHUNK: usize = 100_000;
/// Half hours over which what is kept is spread: the second week back.
const SLICES: usize = 7 * 48;

struct Options {
    keys: Vec<usize>,
    changed: usize,
    ticks: usize,
    variants: usize,
}

/// Everything that a tick needs.
struct World {
    queries: QuerySet,
    rollups: Rollups,
    /// Made once the rows are in.
    schedules: Vec<Schedule>,
    registry: Arc<Registry>,
    decoder: Decoder,
    enricher: Enricher,
    metrics: Metrics,
}

/// Of one size.
struct Measured {
    keys: usize,
    rows: usize,
    absorb: Duration,
    settle: Duration,
    evaluate: Duration,
    restart: Duration,
    bytes: usize,
    evaluated: usize,
}

fn main() -> ExitCode {
    exit_code(options().and_then(|options| run(&options)))
}

fn options() -> Result<Options, Failure> {
    let mut options =
        Options { keys: vec![10_000, 1_000_000, 10_000_000], changed: 10_000, ticks: 5, variants: 1 };
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        let value = arguments.next().ok_or(format!("{argument} needs a value"))?.replace('_', "");
        match argument.as_str() {
            "--keys" => options.keys = value.split(',').map(str::parse).collect::<Result<_, _>>()?,
            "--changed" => options.changed = value.parse()?,
            "--ticks" => options.ticks = value.parse()?,
            "--variants" => options.variants = value.parse()?,
            other => {
                return Err(format!("unknown argument {other}; see the top of benches/src/tick.rs").into());
            }
        }
    }
    Ok(options)
}

fn run(options: &Options) -> Result<(), Failure> {
    println!(
        "{} changed credentials a tick, medians of {} ticks, {} of each detection of credentials",
        options.changed, options.ticks, options.variants
    );
    println!(
        "credentials       rows | absorb ms | settle ms + evaluate ms = tick ms | evaluations | restart ms | B/credential"
    );
    for keys in &options.keys {
        let m = measure(*keys, options)?;
        let ms = |d: Duration| d.as_secs_f64() * 1e3;
        println!(
            "{:>11} {:>10} | {:>9.1} | {:>9.1} + {:>11.1} = {:>7.1} | {:>11} | {:>10.1} | {:>12}",
            m.keys,
            m.rows,
            ms(m.absorb),
            ms(m.settle),
            ms(m.evaluate),
            ms(m.settle + m.evaluate),
            m.evaluated,
            ms(m.restart),
            m.bytes / m.keys
        );
    }
    Ok(())
}

fn measure(keys: usize, options: &Options) -> Result<Measured, Failure> {
    let mut world = World::new(options.variants)?;
    let changed = options.changed.min(keys);
    let before = resident_bytes()?;
    let first = world.events(changed, START_MICROS)?;
    world.fill(keys, &first)?;
    let started = Instant::now();
    world.schedules = world.rollups.schedules(&world.queries);
    let restart = started.elapsed();
    let bytes = resident_bytes()?.saturating_sub(before);
    let rows = world.rollups.row_counts().sum();
    let (mut absorbed, mut settled, mut evaluated, mut evaluations) = (vec![], vec![], vec![], 0);
    for tick in 0..options.ticks {
        let at = START_MICROS + STEP * tick as i64;
        let events = world.events(changed, at + 1)?;
        let started = Instant::now();
        world.rollups.absorb(&world.queries, &events)?;
        absorbed.push(started.elapsed());
        let started = Instant::now();
        world.rollups.settle(at + STEP, &world.queries, &mut world.schedules)?;
        settled.push(started.elapsed());
        let started = Instant::now();
        evaluations = world.evaluate(at + STEP)?;
        evaluated.push(started.elapsed());
    }
    let [absorb, settle, evaluate] = [absorbed, settled, evaluated].map(median);
    Ok(Measured { keys, rows, absorb, settle, evaluate, restart, bytes, evaluated: evaluations })
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}

impl World {
    fn new(variants: usize) -> Result<Self, Failure> {
        let registry = Arc::new(Registry::from_texts(Vec::new())?);
        let queries = QuerySet::plan(&texts(variants), &registry.tables());
        let queries = queries.map_err(|errors| format!("{errors:?}"))?;
        let mut rollups = Rollups::new(&queries);
        rollups.restore_settled(START_MICROS);
        let source = SourceSpec {
            name: "cloudtrail".into(),
            format: SourceFormat::from(Format::parse("cloudtrail")),
            account: None,
            dedupe: false,
        };
        let enricher = Enricher::new(
            registry.clone(),
            Arc::new(Signals::load(None)?),
            CredentialKey::from_bytes([7; 32]),
            GRID_SECONDS,
        );
        let decoder = Decoder::new(vec![Some(source)]);
        let (schedules, metrics) = (Vec::new(), Metrics::default());
        Ok(Self { queries, rollups, schedules, registry, decoder, enricher, metrics })
    }

    /// One event of each of `count` access keys.
    fn events(&mut self, count: usize, at: i64) -> Result<EnrichedBatch, Failure> {
        let time = Timestamp::from_microsecond(at)?;
        let mut batch = RawBatch::default();
        for key in 0..count {
            let position = Position { topic: 0, partition: 0, offset: key as i64 };
            batch.push(position, None, access_key_event(key, time).as_bytes());
        }
        let decoded = self.decoder.decode(&batch);
        Ok(self.enricher.enrich(decoded.events, &self.metrics)?)
    }

    /// Puts in rows of `keys` credentials, those of `events` first: one row each in every rollup that `events` have rows
    /// in.
    fn fill(&mut self, keys: usize, events: &EnrichedBatch) -> Result<(), Failure> {
        let events = events.record_batch();
        let known = events.column_by_name("credential").ok_or("no credential")?.as_string::<i32>().clone();
        for index in 0..self.queries.rollups.len() {
            let layout = self.rollups.layout(index).clone();
            let rows = self.queries.run_rollup(index, &events.slice(0, 1))?;
            let Some(shape) = rows.iter().find(|rows| rows.num_rows() == 1) else { continue };
            if layout.schema.field(layout.subject).name() != "credential" {
                continue;
            }
            for first in (0..keys).step_by(CHUNK) {
                let numbers = first..(first + CHUNK).min(keys);
                let name = |key: usize| match key < known.len() {
                    true => known.value(key).to_owned(),
                    false => format!("c_{key:032x}"),
                };
                let names: StringArray = numbers.clone().map(|key| Some(name(key))).collect();
                let ages = numbers.map(|key| 7 * DAY + (key % SLICES) as i64 * DAY / 48);
                let buckets: TimestampMicrosecondArray = ages.map(|age| Some(START_MICROS - age)).collect();
                let replaced =
                    [(layout.subject, Arc::new(names) as ArrayRef), (layout.bucket, Arc::new(buckets))];
                self.rollups.load(index, &repeated(shape, &replaced)?)?;
            }
        }
        Ok(())
    }

    /// Evaluates what is due; how many subjects that were.
    fn evaluate(&mut self, at: i64) -> Result<usize, Failure> {
        let (mut evaluated, mut round) = (0, Round::new(View::Settled, at));
        for index in 0..self.queries.detections.len() {
            let Some(due) = self.schedules[index].take(at, &self.rollups) else { continue };
            let mut ids: Option<Vec<SubjectId>> = match due {
                Due::All => None,
                Due::Some(ids) => Some(ids.into_iter().collect()),
            };
            ids.iter_mut().for_each(|ids| ids.sort_unstable());
            evaluated += ids.as_ref().map_or(0, Vec::len);
            let context = Context { registry: &self.registry, topics: &[] };
            let (queries, rollups) = (&self.queries, &self.rollups);
            round.evaluate(queries, index, rollups, ids.as_deref(), context)?;
        }
        Ok(evaluated)
    }
}

/// The row of `shape` as often as the replaced columns are long.
fn repeated(shape: &RecordBatch, replaced: &[(usize, ArrayRef)]) -> Result<RecordBatch, Failure> {
    let zeros = UInt32Array::from_value(0, replaced[0].1.len());
    let mut columns: Vec<ArrayRef> =
        shape.columns().iter().map(|column| take(column, &zeros, None)).collect::<Result<_, _>>()?;
    for (index, column) in replaced {
        columns[*index] = column.clone();
    }
    let grid = columns.len() - 1;
    columns[grid] = Arc::new(TimestampMicrosecondArray::from_value(START_MICROS, zeros.len()));
    Ok(RecordBatch::try_new(shape.schema(), columns)?)
}

/// The built-in queries; detections of credentials `variants` times, each with one other threshold.
fn texts(variants: usize) -> QueryTexts {
    let mut texts = QueryTexts::builtin();
    let originals = texts.detections.clone();
    for variant in 1..variants {
        for query in originals.iter().filter(|q| q.subject_kind == "credential") {
            let mut query = query.clone();
            query.text.id = format!("{}-{variant}", query.text.id);
            let place = variant % query.text.parameters.len().max(1);
            if let Some(threshold) = query.text.parameters.values_mut().nth(place) {
                *threshold *= 1.0 + variant as f64 / 1_000.0;
            }
            texts.detections.push(query);
        }
    }
    texts
}
