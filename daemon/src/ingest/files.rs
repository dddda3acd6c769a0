//! Messages from a folder: `<topic>.jsonl` is partition 0 of a topic, `<topic>.p<N>.jsonl` partition N; `.gz`
//! may follow, and gzip is inflated whatever the name.
//!
//! In: a folder. Out: the same [`RawBatch`]es as Kafka gives, one line one message, offset = line number from 0.
//! A blank line is an empty message, for decode to reject; nothing is skipped here and no payload is looked at.

use std::fs::File;
use std::io::{BufRead, BufReader, Cursor, Read};
use std::path::{Path, PathBuf};
use std::time::Duration;

use flate2::bufread::MultiGzDecoder;

use super::{Position, RawBatch, Source, SourceError, Topics};
use crate::limits;

/// Bytes read ahead of a file.
const READ_AHEAD_BYTES: usize = 1 << 18;

/// Reads the files of a folder in turn, one batch from each, until all are at their end.
pub struct FileSource {
    files: Vec<LogFile>,
    turn: usize,
    batch_messages: usize,
    begun: bool,
    missing: Vec<String>,
}

struct LogFile {
    path: PathBuf,
    reader: Box<dyn BufRead + Send>,
    next: Position,
    at_end: bool,
}

impl FileSource {
    /// Opens the files of the topics numbered `read` among `topics`. `batch_messages` lines, at least 1, make
    /// a batch. A topic without a file is fine while another has one: see [`FileSource::missing`].
    ///
    /// # Errors
    /// [`SourceError::File`] where the folder or a file cannot be read, [`SourceError::Folder`] where no topic
    /// has a file or a partition has two.
    pub fn open(
        dir: &Path,
        topics: &Topics,
        read: &[u16],
        batch_messages: usize,
    ) -> Result<Self, SourceError> {
        let names = file_names(dir)?;
        let mut found: Vec<(Position, String)> = Vec::new();
        let mut missing = Vec::new();
        for number in read {
            let topic = &topics[usize::from(*number)];
            let partitions: Vec<_> =
                names.iter().filter_map(|n| Some((partition_of(n, topic)?, n))).collect();
            if partitions.is_empty() {
                missing.push(topic.clone());
            }
            for (partition, name) in partitions {
                found.push((Position { topic: *number, partition, offset: 0 }, name.clone()));
            }
        }
        found.sort();
        refuse_twins(dir, &found)?;
        if found.is_empty() {
            return Err(nothing_there(dir, &missing));
        }
        let files = found.into_iter().map(|(next, name)| LogFile::open(dir.join(name), next));
        let files = files.collect::<Result<_, _>>()?;
        Ok(Self { files, turn: 0, batch_messages: batch_messages.max(1), begun: false, missing })
    }

    /// Configured topics without a file: worth a warning.
    pub fn missing(&self) -> &[String] {
        &self.missing
    }
}

impl Source for FileSource {
    fn next_batch(&mut self, _wait: Duration) -> Result<Option<RawBatch>, SourceError> {
        if self.files.iter().all(|f| f.at_end) {
            return Ok(None);
        }
        let mut batch = RawBatch::default();
        if !std::mem::replace(&mut self.begun, true) {
            batch.assigned = Some(self.files.iter().map(|f| f.next).collect());
        }
        while self.files[self.turn].at_end {
            self.turn = (self.turn + 1) % self.files.len();
        }
        self.files[self.turn].read(&mut batch, self.batch_messages)?;
        self.turn = (self.turn + 1) % self.files.len();
        batch.ends = self.files.iter().filter(|f| f.at_end).map(|f| f.next).collect();
        Ok(Some(batch))
    }

    fn committed(&mut self, _positions: &[Position]) {}

    fn close(self: Box<Self>, _deadline: Duration) {}
}

impl LogFile {
    fn open(path: PathBuf, next: Position) -> Result<Self, SourceError> {
        let file = File::open(&path).map_err(|source| file_error(&path, source))?;
        let reader = inflated(file).map_err(|source| file_error(&path, source))?;
        let mut opened = Self { path, reader, next, at_end: false };
        opened.look_ahead()?;
        Ok(opened)
    }

    fn read(&mut self, batch: &mut RawBatch, messages: usize) -> Result<(), SourceError> {
        for _ in 0..messages {
            if self.at_end || batch.payloads.len() >= limits::BATCH_BYTES_MAX {
                break;
            }
            let line = read_line(&mut self.reader).map_err(|source| file_error(&self.path, source))?;
            batch.push(self.next, None, &line);
            self.next.offset += 1;
            self.look_ahead()?;
        }
        Ok(())
    }

    fn look_ahead(&mut self) -> Result<(), SourceError> {
        let ahead = self.reader.fill_buf().map_err(|source| file_error(&self.path, source))?;
        self.at_end = ahead.is_empty();
        Ok(())
    }
}

/// What `file` holds, inflated where it is gzip; its first two bytes say so.
///
/// # Errors
/// Where its beginning cannot be read. A damaged stream is an error of the reader, at the damage.
pub fn inflated(file: impl Read + Send + 'static) -> std::io::Result<Box<dyn BufRead + Send>> {
    let mut file = BufReader::with_capacity(READ_AHEAD_BYTES, file);
    let mut magic = Vec::new();
    file.by_ref().take(2).read_to_end(&mut magic)?;
    let is_gzip = magic == [0x1f, 0x8b];
    let whole = Cursor::new(magic).chain(file);
    if !is_gzip {
        return Ok(Box::new(whole));
    }
    Ok(Box::new(BufReader::with_capacity(READ_AHEAD_BYTES, MultiGzDecoder::new(whole))))
}

/// One line without its end. Of a line beyond MESSAGE_BYTES_MAX one byte more than that is kept, so that decode
/// rejects it by its size; the rest is read over.
fn read_line(reader: &mut dyn BufRead) -> std::io::Result<Vec<u8>> {
    let mut line = Vec::new();
    // Room for a line of the greatest length, its end, and the one byte that shows it is longer.
    (&mut *reader).take(limits::MESSAGE_BYTES_MAX as u64 + 3).read_until(b'\n', &mut line)?;
    if line.ends_with(b"\n") {
        line.pop();
    } else if line.len() > limits::MESSAGE_BYTES_MAX {
        reader.skip_until(b'\n')?;
    }
    if line.ends_with(b"\r") {
        line.pop();
    }
    line.truncate(limits::MESSAGE_BYTES_MAX + 1);
    Ok(line)
}

fn file_names(dir: &Path) -> Result<Vec<String>, SourceError> {
    let entries = std::fs::read_dir(dir).map_err(|source| file_error(dir, source))?;
    let mut names = Vec::new();
    for entry in entries {
        let entry = entry.map_err(|source| file_error(dir, source))?;
        names.extend(entry.file_name().into_string());
    }
    Ok(names)
}

/// Which partition of `topic` a file is, if it is one.
fn partition_of(name: &str, topic: &str) -> Option<i32> {
    let name = name.strip_suffix(".gz").unwrap_or(name);
    let rest = name.strip_suffix(".jsonl")?.strip_prefix(topic)?;
    if rest.is_empty() {
        return Some(0);
    }
    let digits = rest.strip_prefix(".p").filter(|d| d.bytes().all(|b| b.is_ascii_digit()))?;
    digits.parse().ok().filter(|partition| *partition < limits::PARTITIONS_MAX)
}

fn refuse_twins(dir: &Path, found: &[(Position, String)]) -> Result<(), SourceError> {
    match found.windows(2).find(|pair| pair[0].0 == pair[1].0) {
        None => Ok(()),
        Some(pair) => Err(SourceError::Folder {
            path: dir.display().to_string(),
            reason: format!(
                "{} and {} are both partition {}; keep one",
                pair[0].1, pair[1].1, pair[0].0.partition
            ),
        }),
    }
}

fn nothing_there(dir: &Path, missing: &[String]) -> SourceError {
    let expected: Vec<String> = missing.iter().map(|topic| format!("{topic}.jsonl")).collect();
    SourceError::Folder {
        path: dir.display().to_string(),
        reason: format!(
            "holds no log of a configured topic; expected at least one of {} (one JSON message a line)",
            expected.join(", ")
        ),
    }
}

fn file_error(path: &Path, source: std::io::Error) -> SourceError {
    SourceError::File { path: path.display().to_string(), source }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        for (name, text) in files {
            std::fs::write(dir.path().join(name), text).unwrap();
        }
        dir
    }

    fn topics() -> Topics {
        vec!["a".to_owned(), "b".to_owned()].into()
    }

    fn open(dir: &Path, batch_messages: usize) -> Result<FileSource, SourceError> {
        FileSource::open(dir, &topics(), &[0, 1], batch_messages)
    }

    fn drain(mut source: FileSource) -> Vec<RawBatch> {
        std::iter::from_fn(|| source.next_batch(Duration::ZERO).unwrap()).collect()
    }

    fn lines(batches: &[RawBatch]) -> Vec<(u16, i32, i64, String)> {
        let mut lines: Vec<_> = batches
            .iter()
            .flat_map(|b| b.messages.iter().map(move |m| (m.position, b.payload(m))))
            .map(|(p, text)| (p.topic, p.partition, p.offset, String::from_utf8(text.to_vec()).unwrap()))
            .collect();
        lines.sort();
        lines
    }

    #[test]
    fn every_line_is_a_message_in_any_batch_size() {
        let dir = folder(&[
            ("a.jsonl", "1\n\n3\r\n"),
            ("a.p1.jsonl", "x"),
            ("b.p7.jsonl", ""),
            ("c.jsonl", "no\n"),
        ]);
        let message = |partition, offset, text: &str| (0, partition, offset, text.to_owned());
        let expect = vec![message(0, 0, "1"), message(0, 1, ""), message(0, 2, "3"), message(1, 0, "x")];
        for batch_messages in 0..5 {
            let batches = drain(open(dir.path(), batch_messages).unwrap());
            assert_eq!(lines(&batches), expect, "batches of {batch_messages}");
            let ends: Vec<i64> = batches.last().unwrap().ends.iter().map(|p| p.offset).collect();
            assert_eq!(ends, [3, 1, 0]);
            assert_eq!(batches[0].assigned.as_ref().unwrap().len(), 3);
        }
    }

    #[test]
    fn compressed_file_gives_the_lines_that_it_was_made_of() {
        let dir = folder(&[]);
        let gzip = |text: &str| {
            let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
            encoder.write_all(text.as_bytes()).unwrap();
            encoder.finish().unwrap()
        };
        std::fs::write(dir.path().join("a.jsonl.gz"), [gzip("1\n2"), gzip("3\n4\n")].concat()).unwrap();
        std::fs::write(dir.path().join("a.p1.jsonl"), gzip("x")).unwrap();
        let message = |partition, offset, text: &str| (0, partition, offset, text.to_owned());
        let expect = [message(0, 0, "1"), message(0, 1, "23"), message(0, 2, "4"), message(1, 0, "x")];
        assert_eq!(lines(&drain(open(dir.path(), 2).unwrap())), expect);
        let whole = gzip("some text that is cut off");
        std::fs::write(dir.path().join("a.jsonl.gz"), &whole[..whole.len() - 9]).unwrap();
        let mut source = open(dir.path(), 2).unwrap();
        let error = source.next_batch(Duration::ZERO).unwrap_err().to_string();
        assert!(error.contains("a.jsonl.gz"), "{error}");
        std::fs::write(dir.path().join("a.jsonl"), "1\n").unwrap();
        assert!(open(dir.path(), 1).err().unwrap().to_string().contains("both partition 0"));
    }

    #[test]
    fn files_take_turns() {
        let dir = folder(&[("a.jsonl", "1\n2\n3\n"), ("b.jsonl", "4\n5\n")]);
        let batches = drain(open(dir.path(), 1).unwrap());
        let order: Vec<u16> = batches.iter().map(|b| b.messages[0].position.topic).collect();
        assert_eq!(order, [0, 1, 0, 1, 0]);
    }

    #[test]
    fn topic_without_a_file_is_named_and_a_folder_without_any_is_refused() {
        let dir = folder(&[("b.jsonl", "1\n")]);
        assert_eq!(open(dir.path(), 1).unwrap().missing(), ["a"]);
        let error = open(folder(&[]).path(), 1).err().unwrap().to_string();
        assert!(error.contains("a.jsonl, b.jsonl"), "{error}");
        let gone = open(&dir.path().join("gone"), 1).err().unwrap().to_string();
        assert!(gone.contains("gone"), "{gone}");
    }

    #[test]
    fn two_files_for_one_partition_are_refused() {
        let dir = folder(&[("a.jsonl", "1\n"), ("a.p0.jsonl", "1\n")]);
        assert!(open(dir.path(), 1).err().unwrap().to_string().contains("both partition 0"));
    }

    #[test]
    fn line_beyond_the_bound_stays_recognisable_and_takes_no_neighbour_down() {
        let long = "x".repeat(limits::MESSAGE_BYTES_MAX + 10);
        let exact = "y".repeat(limits::MESSAGE_BYTES_MAX);
        let dir = folder(&[("a.jsonl", &format!("{long}\r\n{exact}\r\n2\n"))]);
        let lengths: Vec<usize> =
            drain(open(dir.path(), 1).unwrap()).iter().map(|b| b.payloads.len()).collect();
        assert_eq!(lengths, [limits::MESSAGE_BYTES_MAX + 1, limits::MESSAGE_BYTES_MAX, 1]);
    }
}
