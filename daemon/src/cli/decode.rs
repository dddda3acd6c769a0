//! `shadowprod decode`: what shadowprod sees in your logs.
//!
//! In: files of one message a line, or of one JSON document. Out: events as NDJSON on stdout, what was
//! rejected and the counts on stderr. No raw secret is printed: a credential shows as the start of its hash.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufRead, IsTerminal, Read, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, DictionaryArray, Int64Array, StringArray};
use arrow::datatypes::{DataType, Field, Int32Type, Int64Type, Schema, TimeUnit};
use arrow::json::LineDelimitedWriter;
use arrow::record_batch::RecordBatch;
use clap::builder::PossibleValuesParser;
use comfy_table::{CellAlignment, Table, presets};
use miette::{IntoDiagnostic, WrapErr};
use sha2::{Digest, Sha256};

use crate::config::Config;
use crate::decode::{Decoded, Decoder, Format, OwnLayout, Reject, SourceFormat, SourceSpec};
use crate::ingest::files::inflated;
use crate::ingest::{Position, RawBatch};
use crate::limits::{BATCH_BYTES_MAX, BATCH_MESSAGES_MAX, MESSAGE_BYTES_MAX};
use crate::schema::EVENT_COLUMNS;

/// Rejects told one by one unless all are asked for.
const REJECTS_SHOWN: u64 = 10;
/// Hex digits printed of a credential's hash: enough to tell credentials apart by eye.
const CREDENTIAL_HEX_DIGITS: usize = 12;

/// Arguments of `shadowprod decode`.
#[derive(Debug, clap::Args)]
#[command(long_about = "Shows what shadowprod sees in your logs.\n\n\
        Reads each file, one message a line (or one JSON document as a whole), inflated where it is gzip, and \
        prints every event it finds as one line of JSON on standard output. What could not be decoded, and why, and the counts go \
        to standard error. Nothing is sent anywhere, and no secret is printed: credentials are shown as the \
        start of a hash.\n\n\
        The exit status is 0 if at least one event was decoded, 1 if there was none, 2 if a file cannot be read.")]
pub struct DecodeArguments {
    /// Log files to read; a dash stands for standard input
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Format of the logs; auto finds it out message by message
    #[arg(long, value_name = "FORMAT", default_value = "auto", value_parser = format_names())]
    log_format: String,
    /// Read the logs in this layout of the config's, to try it out
    #[arg(long, value_name = "NAME", requires = "config", conflicts_with = "log_format")]
    layout: Option<String>,
    /// Config file that describes the layout
    #[arg(long, value_name = "FILE", requires = "layout")]
    config: Option<PathBuf>,
    /// Tell every rejected message on standard error, not only the first ten
    #[arg(long)]
    all_rejects: bool,
}

fn format_names() -> PossibleValuesParser {
    PossibleValuesParser::new(std::iter::once("auto").chain(Format::all().map(Format::name)))
}

/// Runs the command.
pub fn main(arguments: &DecodeArguments) -> miette::Result<ExitCode> {
    let format = source_format(arguments)?;
    let mut tally = Tally { rejects_shown_max: REJECTS_SHOWN, ..Tally::default() };
    if arguments.all_rejects {
        tally.rejects_shown_max = u64::MAX;
    }
    let mut out = io::BufWriter::new(io::stdout().lock());
    for path in &arguments.files {
        match decode_file(path, &format, &mut out, &mut tally) {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => break,
            outcome => outcome.into_diagnostic().wrap_err_with(|| path.display().to_string())?,
        }
    }
    drop(out);
    tally.print();
    Ok(if tally.decoded.is_empty() { ExitCode::from(1) } else { ExitCode::SUCCESS })
}

fn source_format(arguments: &DecodeArguments) -> miette::Result<SourceFormat> {
    let (Some(name), Some(path)) = (&arguments.layout, &arguments.config) else {
        return Ok(Format::parse(&arguments.log_format).into());
    };
    let config = Config::load(path).into_diagnostic()?;
    match config.layouts.get(name) {
        Some(layout) => Ok(SourceFormat::Own(Arc::new(OwnLayout::new(name, layout)))),
        None => {
            let known: Vec<&str> = config.layouts.keys().map(String::as_str).collect();
            Err(miette::miette!(
                "{} has no layout `{name}`; it has: {}",
                path.display(),
                if known.is_empty() { "none".to_owned() } else { known.join(", ") }
            ))
        }
    }
}

fn decode_file(
    path: &Path,
    format: &SourceFormat,
    out: &mut impl Write,
    tally: &mut Tally,
) -> io::Result<()> {
    let name = file_name(path);
    let source = SourceSpec { name: name.clone(), format: format.clone(), account: None, dedupe: false };
    let mut decoder = Decoder::new(vec![Some(source)]);
    let mut messages = Messages::open(path)?;
    loop {
        let batch = messages.next_batch()?;
        if batch.messages.is_empty() {
            return out.flush();
        }
        let decoded = decoder.decode(&batch);
        tally.count(&name, &decoded);
        write_events(&decoded, out)?;
    }
}

fn file_name(path: &Path) -> String {
    if path == Path::new("-") { "standard input".to_owned() } else { path.display().to_string() }
}

/// Lines of a file as batches; the line number is the offset.
struct Messages {
    reader: Box<dyn BufRead>,
    line: i64,
    buffer: Vec<u8>,
}

impl Messages {
    fn open(path: &Path) -> io::Result<Self> {
        let reader: Box<dyn BufRead> = match path == Path::new("-") {
            true => inflated(io::stdin())?,
            false => inflated(File::open(path)?)?,
        };
        Ok(Self { reader, line: 0, buffer: Vec::new() })
    }

    fn next_batch(&mut self) -> io::Result<RawBatch> {
        let mut batch = RawBatch::default();
        while batch.messages.len() < BATCH_MESSAGES_MAX && batch.payloads.len() < BATCH_BYTES_MAX {
            if !self.read_line()? {
                break;
            }
            if !self.buffer.trim_ascii().is_empty() {
                let position = Position { topic: 0, partition: 0, offset: self.line };
                batch.push(position, None, &self.buffer);
            }
            self.line += 1;
        }
        Ok(batch)
    }

    /// Reads a line, or the whole document if the first line is only its start. At most one byte more than
    /// a message may have is kept; decode rejects it as too large.
    fn read_line(&mut self) -> io::Result<bool> {
        self.buffer.clear();
        let bound = MESSAGE_BYTES_MAX as u64 + 1;
        let read = self.reader.by_ref().take(bound).read_until(b'\n', &mut self.buffer)?;
        if self.line == 0 && ends_early(&self.buffer) {
            self.reader.by_ref().take(bound).read_to_end(&mut self.buffer)?;
        }
        if self.buffer.len() > MESSAGE_BYTES_MAX && self.buffer.last() != Some(&b'\n') {
            self.reader.skip_until(b'\n')?;
        }
        Ok(read > 0)
    }
}

fn ends_early(line: &[u8]) -> bool {
    let parsed = serde_json::from_slice::<serde::de::IgnoredAny>(line);
    !line.trim_ascii().is_empty() && parsed.is_err_and(|error| error.is_eof())
}

fn write_events(decoded: &Decoded, out: &mut impl Write) -> io::Result<()> {
    let batch = printable(decoded.events.record_batch());
    let mut writer = LineDelimitedWriter::new(out);
    writer.write(&batch).map_err(io::Error::other)
}

/// The event columns with the line for the position and hashes for what is secret.
fn printable(events: &RecordBatch) -> RecordBatch {
    let mut fields = Vec::with_capacity(EVENT_COLUMNS.len());
    let mut columns: Vec<ArrayRef> = Vec::with_capacity(EVENT_COLUMNS.len());
    for (column, array) in EVENT_COLUMNS.iter().zip(events.columns()) {
        let (name, array) = match column.name {
            "event_time" => ("event_time", zoned(array)),
            "position" => ("line", lines(array)),
            "credential_secret" => ("credential", hashed(array)),
            "token_secret" => ("token", hashed(array)),
            "issued_secret" => ("issued_token", hashed(array)),
            name => (name, array.clone()),
        };
        fields.push(Field::new(name, array.data_type().clone(), true));
        columns.push(array);
    }
    RecordBatch::try_new(Arc::new(Schema::new(fields)), columns).expect("fields are made from the columns")
}

fn zoned(times: &ArrayRef) -> ArrayRef {
    let utc = DataType::Timestamp(TimeUnit::Microsecond, Some("+00:00".into()));
    let data = times.to_data().into_builder().data_type(utc);
    arrow::array::make_array(data.build().expect("a zone changes no value"))
}

fn lines(positions: &ArrayRef) -> ArrayRef {
    let line = |packed: i64| Position::unpack(packed).offset + 1;
    let lines: Int64Array = positions.as_primitive::<Int64Type>().unary(line);
    Arc::new(lines)
}

fn hashed(secrets: &ArrayRef) -> ArrayRef {
    let secrets: &DictionaryArray<Int32Type> = secrets.as_dictionary();
    let values = secrets.values().as_string::<i32>().iter().flatten();
    let hashes: StringArray = values.map(|secret| Some(hash(secret))).collect();
    Arc::new(secrets.with_values(Arc::new(hashes)))
}

fn hash(secret: &str) -> String {
    let digest = Sha256::digest(secret.as_bytes());
    let hex: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("sha256:{}", &hex[..CREDENTIAL_HEX_DIGITS])
}

/// What was found so far.
#[derive(Default)]
struct Tally {
    decoded: BTreeMap<String, u64>,
    rejected: BTreeMap<&'static str, u64>,
    cut_fields: u64,
    rejects_shown: u64,
    rejects_shown_max: u64,
}

impl Tally {
    fn count(&mut self, file: &str, decoded: &Decoded) {
        let column = decoded.events.record_batch().column_by_name("format");
        let formats = column.expect("in the schema").as_dictionary::<Int32Type>();
        let names = formats.values().as_string::<i32>();
        for key in formats.keys().iter().flatten() {
            let name = names.value(key as usize);
            match self.decoded.get_mut(name) {
                Some(count) => *count += 1,
                None => drop(self.decoded.insert(name.to_owned(), 1)),
            }
        }
        for reject in &decoded.rejects {
            *self.rejected.entry(reject.reason.name()).or_default() += 1;
            self.tell(file, reject);
        }
        self.cut_fields += decoded.cut_fields;
    }

    fn tell(&mut self, file: &str, reject: &Reject) {
        if self.rejects_shown < self.rejects_shown_max {
            let (line, reason) = (reject.position.offset + 1, reject.reason.name());
            eprintln!("{file}:{line}: event {}: {reason}: {}", reject.index, reject.detail);
        }
        self.rejects_shown += 1;
    }

    fn print(&self) {
        if self.rejects_shown > self.rejects_shown_max {
            let more = self.rejects_shown - self.rejects_shown_max;
            eprintln!("... and {more} more rejected; --all-rejects tells them all");
        }
        let mut table = Table::new();
        let style = if io::stderr().is_terminal() { presets::UTF8_FULL_CONDENSED } else { presets::NOTHING };
        table.load_preset(style);
        table.set_header(["", "format or reason", "count"]);
        self.rows().iter().for_each(|(what, kind, count)| {
            table.add_row([*what, *kind, count.to_string().as_str()]);
        });
        table.column_mut(2).expect("three columns").set_cell_alignment(CellAlignment::Right);
        eprintln!("{}", table.trim_fmt());
    }

    fn rows(&self) -> Vec<(&'static str, &str, u64)> {
        let decoded = self.decoded.iter().map(|(format, count)| ("decoded", format.as_str(), *count));
        let rejected = self.rejected.iter().map(|(reason, count)| ("rejected", *reason, *count));
        let cut = (self.cut_fields > 0).then_some(("cut", "long fields", self.cut_fields));
        decoded.chain(rejected).chain(cut).collect()
    }
}
