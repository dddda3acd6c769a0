//! Decode on one core, format by format, beside `serde_json::Value` and arrow-json over the same bytes:
//!
//!     cargo run --release -p shadowprod-benches --bin decode -- [--records N] [--rounds N] [--format NAME]... [--json]
//!
//! In: records in the shapes of fixtures/decode with varied values, one seed, as they come from Kafka: 8,192 in a
//! batch. Out: a table, or JSON; medians over rounds in which the contestants take turns, and medians of the ratios
//! within a round, which a noisy machine changes less. arrow-json reads every field (the inferred schema), and
//! only those without which decode's events change (`read`). `auto` finds the format out; `5 % bad` has one
//! malformed line in twenty. Everything runs on one thread; where the system moves threads, put taskset -c 1 before it.

use std::hint::black_box;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Instant;

use arrow::datatypes::{DataType, Field, FieldRef, Fields, Schema, SchemaRef};
use arrow::json::ReaderBuilder;
use arrow::json::reader::infer_json_schema_from_iterator;
use arrow::record_batch::RecordBatch;
use serde_json::{Value, json};
use shadowprod::decode::{Decoder, Format, SourceSpec};
use shadowprod::ingest::{Position, RawBatch, RawMessage};
use shadowprod::limits::BATCH_MESSAGES_MAX;
use shadowprod_benches::{Failure, exit_code, records};

/// The daemon's own, for all contestants.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

const SEED: u64 = 7;
/// One line in so many is malformed in the contest of that name.
const MALFORMED_EVERY: usize = 20;

struct Options {
    records: usize,
    rounds: usize,
    formats: Vec<Format>,
    json: bool,
}

fn main() -> ExitCode {
    exit_code(options().and_then(|options| run(&options)))
}

fn options() -> Result<Options, Failure> {
    let mut options = Options { records: 200_000, rounds: 7, formats: Vec::new(), json: false };
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        let mut value = || arguments.next().ok_or(format!("{argument} needs a value"));
        match argument.as_str() {
            "--records" => options.records = value()?.replace('_', "").parse()?,
            "--rounds" => options.rounds = value()?.parse()?,
            "--format" => {
                let name = value()?;
                options.formats.push(Format::parse(&name).ok_or(format!("no format is called {name}"))?);
            }
            "--json" => options.json = true,
            other => {
                return Err(format!("unknown argument {other}; see the top of benches/src/decode.rs").into());
            }
        }
    }
    if options.records < MALFORMED_EVERY || options.rounds == 0 {
        return Err(format!("at least {MALFORMED_EVERY} records and one round").into());
    }
    if options.formats.is_empty() {
        options.formats.extend(Format::all());
    }
    Ok(options)
}

fn run(options: &Options) -> Result<(), Failure> {
    let mut rows = Vec::new();
    if !options.json {
        println!(
            "{} records a format, {BATCH_MESSAGES_MAX} a batch, {} rounds",
            options.records, options.rounds
        );
        println!("{HEAD}");
    }
    for format in &options.formats {
        let row = measure(*format, options)?;
        if !options.json {
            println!("{}", row.line());
        }
        rows.push(row);
    }
    if options.json {
        println!("{:#}", Value::from_iter(rows.iter().map(Row::json)));
    }
    Ok(())
}

/// Seconds of each contestant in each round, in the order of [`CONTESTANTS`].
struct Row {
    format: Format,
    shapes: usize,
    records: usize,
    bytes: usize,
    rounds: Vec<[f64; CONTESTANTS.len()]>,
}

/// The first is what the others are compared with.
const CONTESTANTS: [&str; 6] =
    ["decode", "auto", "5 % bad", "serde_json::Value", "arrow-json, all", "arrow-json, read"];
const HEAD: &str = "format              shapes B/record | decode k/s  MB/s |  auto  5% bad | Value MB/s      x | arrow MB/s      x | read MB/s      x";

impl Row {
    fn seconds(&self, contestant: usize) -> f64 {
        median(self.rounds.iter().map(|round| round[contestant]))
    }

    /// How many times as long as decode.
    fn ratio(&self, contestant: usize) -> f64 {
        median(self.rounds.iter().map(|round| round[contestant] / round[0]))
    }

    fn megabytes_per_second(&self, contestant: usize) -> f64 {
        self.bytes as f64 / 1e6 / self.seconds(contestant)
    }

    fn line(&self) -> String {
        let rate = |contestant| self.megabytes_per_second(contestant);
        let more = |contestant| (self.ratio(contestant) - 1.0) * 100.0;
        format!(
            "{:<19} {:>6} {:>8} | {:>10.0} {:>5.0} | {:>+4.0}% {:>+6.1}% | {:>10.0} {:>6.2} | {:>10.0} {:>6.2} | {:>9.0} {:>6.2}",
            self.format.name(),
            self.shapes,
            self.bytes / self.records,
            self.records as f64 / 1e3 / self.seconds(0),
            rate(0),
            more(1),
            more(2),
            rate(3),
            self.ratio(3),
            rate(4),
            self.ratio(4),
            rate(5),
            self.ratio(5),
        )
    }

    fn json(&self) -> Value {
        let contestants = CONTESTANTS.iter().enumerate().map(|(at, name)| {
            json!({
                "name": name,
                "records_per_second": self.records as f64 / self.seconds(at),
                "megabytes_per_second": self.megabytes_per_second(at),
                "times_the_time_of_decode": self.ratio(at),
            })
        });
        json!({
            "format": self.format.name(),
            "shapes": self.shapes,
            "records": self.records,
            "bytes": self.bytes,
            "rounds": self.rounds.len(),
            "contestants": Value::from_iter(contestants),
        })
    }
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_unstable_by(f64::total_cmp);
    values[values.len() / 2]
}

fn measure(format: Format, options: &Options) -> Result<Row, Failure> {
    let shapes = shapes(format)?;
    let lines = records::lines(&shapes, options.records, SEED);
    let bad_lines = records::with_malformed(&lines, MALFORMED_EVERY);
    let (good, bad) = (batches(&lines), batches(&bad_lines));
    let all = schema(&values(&shapes)?)?;
    let read = Arc::new(Schema::new(read_fields(format, &shapes, &all)?));
    let malformed = options.records / MALFORMED_EVERY;
    let mut row = Row {
        format,
        shapes: shapes.len(),
        records: lines.len(),
        bytes: lines.iter().map(String::len).sum(),
        rounds: Vec::new(),
    };
    for number in 0..options.rounds {
        let mut seconds = [0.0; CONTESTANTS.len()];
        for turn in 0..CONTESTANTS.len() {
            let contestant = (number + turn) % CONTESTANTS.len();
            let started = Instant::now();
            match contestant {
                0 => decode(Some(format), &good, 0)?,
                1 => decode(None, &good, 0)?,
                2 => decode(Some(format), &bad, malformed)?,
                3 => parse_values(&good)?,
                4 => read_arrow(&all, &good)?,
                _ => read_arrow(&read, &good)?,
            }
            seconds[contestant] = started.elapsed().as_secs_f64();
        }
        row.rounds.push(seconds);
    }
    Ok(row)
}

/// The fixture's lines that are one event each, bare, and whose fields have the same types, as arrow-json asks.
fn shapes(format: Format) -> Result<Vec<String>, Failure> {
    let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures/decode").join(format.name());
    let text = std::fs::read_to_string(fixture.join("input.jsonl"))?;
    let mut kept: Vec<String> = Vec::new();
    for line in text.lines().filter(|line| is_one_event(format, line)) {
        kept.push(line.to_owned());
        let agree = schema(&values(&kept)?).and_then(|schema| read_arrow(&schema, &batches(&kept)));
        if agree.is_err() {
            kept.pop();
        }
    }
    if kept.is_empty() {
        return Err(format!("{}: no line is one event", fixture.display()).into());
    }
    Ok(kept)
}

/// Whether `line` is one event by itself: an envelope's event stands in one of its values.
fn is_one_event(format: Format, line: &str) -> bool {
    let events = |text: &str| {
        let decoded = decoder(Some(format)).decode(&batches(&[text.to_owned()])[0]);
        (decoded.events.record_batch().num_rows(), decoded.rejects.len())
    };
    let Ok(Value::Object(fields)) = serde_json::from_str(line) else { return false };
    let wraps = fields.values().any(|value| match value {
        Value::Array(_) | Value::Object(_) => events(&value.to_string()).0 > 0,
        Value::String(text) => events(text).0 > 0,
        Value::Null | Value::Bool(_) | Value::Number(_) => false,
    });
    !wraps && events(line) == (1, 0)
}

fn values(lines: &[String]) -> Result<Vec<Value>, Failure> {
    Ok(lines.iter().map(|line| serde_json::from_str(line)).collect::<Result<_, _>>()?)
}

fn schema(values: &[Value]) -> Result<SchemaRef, Failure> {
    Ok(Arc::new(infer_json_schema_from_iterator(values.iter().map(Ok))?))
}

/// Those fields of `all` without which decode's events change, one after the other taken out of the records.
fn read_fields(format: Format, shapes: &[String], all: &Schema) -> Result<Fields, Failure> {
    let mut values = values(shapes)?;
    let full = events(format, &values);
    Ok(read_of(&all.fields, &mut Vec::new(), &mut values, &|values| events(format, values) == full))
}

fn events(format: Format, values: &[Value]) -> (RecordBatch, usize) {
    let lines: Vec<String> = values.iter().map(Value::to_string).collect();
    let decoded = decoder(Some(format)).decode(&batches(&lines)[0]);
    (decoded.events.record_batch().clone(), decoded.rejects.len())
}

fn read_of<'f>(
    fields: &'f Fields,
    path: &mut Vec<&'f str>,
    values: &mut Vec<Value>,
    unchanged: &dyn Fn(&[Value]) -> bool,
) -> Fields {
    let mut read: Vec<FieldRef> = Vec::new();
    for field in fields {
        let mut without = values.clone();
        without.iter_mut().for_each(|value| remove(value, path, field.name()));
        if unchanged(&without) {
            *values = without;
            continue;
        }
        let DataType::Struct(inner) = field.data_type() else {
            read.push(field.clone());
            continue;
        };
        path.push(field.name());
        let inner = read_of(inner, path, values, unchanged);
        path.pop();
        read.push(Arc::new(Field::new(field.name(), DataType::Struct(inner), true)));
    }
    read.into()
}

fn remove(value: &mut Value, path: &[&str], name: &str) {
    let parent = path.iter().try_fold(value, |value, name| value.get_mut(name));
    if let Some(Value::Object(fields)) = parent {
        fields.remove(name);
    }
}

/// Lines as Kafka delivers them, with a newline between two for the contestants that need one.
fn batches(lines: &[String]) -> Vec<RawBatch> {
    let batch = |(number, lines): (usize, &[String])| {
        let mut batch = RawBatch::default();
        for (at, line) in lines.iter().enumerate() {
            let offset = (number * BATCH_MESSAGES_MAX + at) as i64;
            let position = Position { topic: 0, partition: 0, offset };
            let start = batch.payloads.len();
            batch.messages.push(RawMessage { position, timestamp_ms: None, start, len: line.len() });
            batch.payloads.extend_from_slice(line.as_bytes());
            batch.payloads.push(b'\n');
        }
        batch
    };
    lines.chunks(BATCH_MESSAGES_MAX).enumerate().map(batch).collect()
}

fn decoder(format: Option<Format>) -> Decoder {
    let account = Some("org-example".to_owned());
    Decoder::new(vec![Some(SourceSpec {
        name: "bench".to_owned(),
        format: format.into(),
        account,
        dedupe: false,
    })])
}

fn decode(format: Option<Format>, batches: &[RawBatch], malformed: usize) -> Result<(), Failure> {
    let mut decoder = decoder(format);
    let (mut events, mut rejects) = (0, Vec::new());
    for batch in batches {
        let decoded = black_box(decoder.decode(batch));
        events += decoded.events.record_batch().num_rows();
        rejects.extend(decoded.rejects);
    }
    let lines: usize = batches.iter().map(|batch| batch.messages.len()).sum();
    if events + malformed != lines || rejects.len() != malformed {
        let first = rejects.first().map(|reject| (&reject.detail, &reject.payload));
        return Err(
            format!("{lines} lines gave {events} events, {} rejects: {first:?}", rejects.len()).into()
        );
    }
    Ok(())
}

fn parse_values(batches: &[RawBatch]) -> Result<(), Failure> {
    for batch in batches {
        for message in &batch.messages {
            black_box(serde_json::from_slice::<Value>(batch.payload(message))?);
        }
    }
    Ok(())
}

fn read_arrow(schema: &SchemaRef, batches: &[RawBatch]) -> Result<(), Failure> {
    let builder = ReaderBuilder::new(schema.clone()).with_batch_size(BATCH_MESSAGES_MAX);
    let mut reader = builder.with_coerce_primitive(true).build_decoder()?;
    for batch in batches {
        let read = reader.decode(&batch.payloads)?;
        let rows = black_box(reader.flush()?).map_or(0, |rows| rows.num_rows());
        if read != batch.payloads.len() || rows != batch.messages.len() {
            return Err(format!("arrow-json read {rows} of {} lines", batch.messages.len()).into());
        }
    }
    Ok(())
}
