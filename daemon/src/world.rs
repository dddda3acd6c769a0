//! A small company that can be generated: registry, two weeks of logs, and the truth about them.
//!
//! In: a seed and the instant at which the history ends. Out: registry files, messages in delivery order
//! (out of order by minutes, audit events sometimes twice), and the labels. Everything is invented; the same
//! seed and end always give the same bytes. No label ever stands in a log.

mod cloudtrail;
mod company;
mod credentials;
mod dice;
mod draft;
mod entra;
mod envoy;
mod everyday;
mod governance;
mod okta;
mod pattern;
mod pilots;
mod place;
mod stolen;
mod stream;

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::fs::File;
use std::io::{BufWriter, Write};
use std::ops::Range;
use std::path::Path;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use draft::{Draft, HISTORY_DAYS};
use pattern::{DAY, HOUR, MINUTE};
use stream::Stream;

/// Detection of DOMAIN section 3a.
pub const UNPROMOTED: &str = "unpromoted-production-traffic";
/// Detection of DOMAIN section 3b.
pub const BUSINESS_DEPENDENCY: &str = "business-dependency";
/// Detection of DOMAIN section 3c.
pub const SHARED_CREDENTIAL: &str = "shared-credential";
/// Detection of DOMAIN section 4: a key stolen for its AI access.
pub const LLMJACKING: &str = "llmjacking";
/// Detection of DOMAIN section 4: a workload calls AI and no pilot is registered for it.
pub const UNREGISTERED: &str = "unregistered-ai-workload";
/// Detection of DOMAIN section 4: suspended or revoked, and still called.
pub const REVOKED: &str = "revoked-still-called";
/// Detection of DOMAIN section 4: data outside the approved scope.
pub const DATA_SCOPE: &str = "data-outside-scope";
/// Every topic, in name order.
pub const TOPICS: [&str; 4] = ["cloudtrail", "entra", "gateway", "okta"];

/// A generated company.
pub struct World {
    seed: u64,
    span: Range<i64>,
    registry: Vec<(String, String)>,
    streams: Vec<Stream>,
    expected: Vec<Label>,
    look_alikes: Vec<LookAlike>,
}

/// One message, ready to be sent.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct WorldEvent {
    /// Event time.
    pub at: Timestamp,
    /// One of [`TOPICS`].
    pub topic: &'static str,
    /// Decides the partition: the same for all events of one entity.
    pub key: u64,
    /// JSON, one line.
    pub payload: String,
}

/// What a detection must name, in terms that exist before enrichment.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(untagged)]
pub enum ExpectedSubject {
    /// Pilot id.
    Pilot(String),
    /// Column `caller`.
    Caller(String),
    /// Credential as decode writes it, before it is hashed.
    Credential {
        /// Column `credential_kind`.
        kind: String,
        /// Column `credential_secret`.
        secret: String,
    },
}

impl ExpectedSubject {
    /// `pilot`, `credential`, `caller` or `source`.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Pilot(_) => "pilot",
            Self::Caller(_) => "caller",
            Self::Credential { .. } => "credential",
        }
    }
}

/// One finding that must come out, and nothing else may.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Label {
    /// Detection id.
    pub detection: &'static str,
    /// `pilot`, `credential`, `caller` or `source`.
    pub subject_kind: &'static str,
    /// What it names.
    pub subject: ExpectedSubject,
    /// What was planted, in words.
    pub why: String,
}

/// Something that resembles an incident and must stay quiet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LookAlike {
    /// What it is, in words; several subjects can share one name.
    pub name: &'static str,
    /// Detection that must not fire.
    pub detection: &'static str,
    /// What it must not name.
    pub subject: ExpectedSubject,
}

impl World {
    /// Sixteen days that end at `end`; seconds are cut off.
    pub fn new(seed: u64, end: Timestamp) -> Self {
        let end = end.as_microsecond().div_euclid(MINUTE) * MINUTE;
        let mut draft = Draft::new(end - HISTORY_DAYS * DAY, end);
        everyday::add(&mut draft);
        pilots::add(&mut draft);
        credentials::add(&mut draft);
        stolen::add(&mut draft);
        Self {
            seed,
            span: draft.start..draft.end,
            registry: draft.governance.into_files(),
            streams: draft.streams,
            expected: draft.expected,
            look_alikes: draft.look_alikes,
        }
    }

    /// (file name, TOML) of the registry.
    pub fn registry_files(&self) -> Vec<(String, String)> {
        self.registry.clone()
    }

    /// The whole history in delivery order.
    pub fn events(&self) -> impl Iterator<Item = WorldEvent> + use<'_> {
        Events::new(self, self.span.clone())
    }

    /// What happens in this stretch of time, also after the history's end: the same for the same stretch.
    pub fn events_between(
        &self,
        from: Timestamp,
        to: Timestamp,
    ) -> impl Iterator<Item = WorldEvent> + use<'_> {
        Events::new(self, from.as_microsecond()..to.as_microsecond())
    }

    /// Exactly what must be found.
    pub fn expected(&self) -> Vec<Label> {
        self.expected.clone()
    }

    /// What must stay quiet, and why it is tempting.
    pub fn look_alikes(&self) -> &[LookAlike] {
        &self.look_alikes
    }

    /// First instant of the history.
    pub fn start(&self) -> Timestamp {
        Timestamp::from_microsecond(self.span.start).unwrap_or_default()
    }

    /// The instant after the last of the history.
    pub fn end(&self) -> Timestamp {
        Timestamp::from_microsecond(self.span.end).unwrap_or_default()
    }

    /// Writes `<topic>.jsonl`, `registry/*.toml` and `expected.ndjson`; returns the number of messages.
    pub fn write_dir(&self, dir: &Path) -> std::io::Result<u64> {
        self.write_registry(&dir.join("registry"))?;
        self.write_expected(&dir.join("expected.ndjson"))?;
        let mut files = BTreeMap::new();
        for topic in TOPICS {
            files.insert(topic, BufWriter::new(File::create(dir.join(format!("{topic}.jsonl")))?));
        }
        let mut count = 0;
        for event in self.events() {
            let file = files.get_mut(event.topic).expect("every event's topic is one of TOPICS");
            writeln!(file, "{}", event.payload)?;
            count += 1;
        }
        for file in files.values_mut() {
            file.flush()?;
        }
        Ok(count)
    }

    /// Writes the registry's files into `dir`, which is made.
    pub fn write_registry(&self, dir: &Path) -> std::io::Result<()> {
        std::fs::create_dir_all(dir)?;
        for (name, text) in &self.registry {
            std::fs::write(dir.join(name), text)?;
        }
        Ok(())
    }

    fn write_expected(&self, path: &Path) -> std::io::Result<()> {
        let mut file = BufWriter::new(File::create(path)?);
        for label in &self.expected {
            writeln!(file, "{}", serde_json::to_string(label)?)?;
        }
        file.flush()
    }
}

/// Hour by hour: makes an hour's events, hands out those that no later hour can precede.
struct Events<'w> {
    world: &'w World,
    span: Range<i64>,
    /// Next hour to make.
    hour: i64,
    /// By delivery time; the sequence number keeps ties in making order.
    waiting: BinaryHeap<Reverse<(i64, u64, WorldEvent)>>,
    made: u64,
}

impl<'w> Events<'w> {
    fn new(world: &'w World, span: Range<i64>) -> Self {
        let hour = span.start.div_euclid(HOUR);
        Self { world, span, hour, waiting: BinaryHeap::new(), made: 0 }
    }

    fn make_hour(&mut self) {
        let mut events = Vec::new();
        for stream in &self.world.streams {
            stream.hour(self.world.seed, self.hour, &self.span, &mut events);
        }
        for (delivered, event) in events {
            self.waiting.push(Reverse((delivered, self.made, event)));
            self.made += 1;
        }
        self.hour += 1;
    }

    /// An event of a later hour is delivered within or after that hour.
    fn is_settled(&self) -> bool {
        let next_hour = self.hour * HOUR;
        next_hour >= self.span.end || self.waiting.peek().is_some_and(|Reverse((at, _, _))| *at < next_hour)
    }
}

impl Iterator for Events<'_> {
    type Item = WorldEvent;

    fn next(&mut self) -> Option<WorldEvent> {
        while !self.is_settled() {
            self.make_hour();
        }
        self.waiting.pop().map(|Reverse((_, _, event))| event)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeSet, HashMap};

    use arrow::array::AsArray;
    use arrow::datatypes::DataType;
    use serde_json::Value;

    use super::stream::Act;
    use super::*;
    use crate::decode::{Decoded, Decoder, SourceFormat, SourceSpec};
    use crate::ingest::{Position, RawBatch};
    use crate::registry::Registry;

    fn world(seed: u64) -> World {
        World::new(seed, "2026-03-11T14:23:00Z".parse().expect("a constant time"))
    }

    #[test]
    fn same_seed_gives_the_same_bytes_and_another_seed_does_not() {
        let events: Vec<_> = world(7).events().take(5_000).collect();
        assert_eq!(events, world(7).events().take(5_000).collect::<Vec<_>>());
        assert_ne!(events, world(8).events().take(5_000).collect::<Vec<_>>());
        assert_eq!(world(7).registry_files(), world(7).registry_files());
    }

    #[test]
    fn stream_names_are_unique() {
        let world = world(1);
        let mut names = BTreeSet::new();
        for stream in &world.streams {
            assert!(names.insert(&stream.name), "{} twice", stream.name);
        }
    }

    #[test]
    fn volume_and_disorder_stay_within_their_bounds() {
        let world = world(1);
        let mut counts: HashMap<&str, u64> = HashMap::new();
        let mut newest = world.start();
        for event in world.events() {
            assert!(event.at >= world.start() && event.at < world.end());
            assert!(newest.duration_since(event.at).as_mins() < 15, "{} after {newest}", event.at);
            newest = newest.max(event.at);
            *counts.entry(event.topic).or_default() += 1;
        }
        let total: u64 = counts.values().sum();
        assert!((150_000..300_000).contains(&total), "{counts:?}");
        assert_eq!(counts.len(), TOPICS.len());
    }

    #[test]
    fn a_stretch_holds_the_same_events_as_the_whole() {
        let world = world(5);
        let from: Timestamp = "2026-03-02T09:30:00Z".parse().expect("a constant time");
        let to: Timestamp = "2026-03-02T11:10:00Z".parse().expect("a constant time");
        let day: Timestamp = "2026-03-02T00:00:00Z".parse().expect("a constant time");
        let mut part: Vec<_> = world.events_between(from, to).collect();
        let mut whole: Vec<_> = world
            .events_between(day, world.end())
            .take(9_000)
            .filter(|e| e.at >= from && e.at < to)
            .collect();
        part.sort();
        whole.sort();
        assert_eq!(part, whole);
    }

    #[test]
    fn cast_is_as_large_as_promised() {
        let world = world(1);
        let text: String = world.registry_files().into_iter().map(|(_, text)| text).collect();
        assert!(text.matches("[[pilot]]").count() >= 12);
        for stage in ["proposed", "pilot", "approved", "production", "suspended", "revoked"] {
            assert!(text.contains(&format!("stage = \"{stage}\"")), "{stage}");
        }
        for detection in [UNPROMOTED, BUSINESS_DEPENDENCY, SHARED_CREDENTIAL] {
            assert!(world.expected().iter().filter(|l| l.detection == detection).count() >= 3, "{detection}");
        }
        assert!([LLMJACKING, DATA_SCOPE].iter().all(|d| world.expected().iter().any(|l| l.detection == *d)));
        assert!(world.look_alikes().iter().any(|l| l.detection == LLMJACKING));
        let names: BTreeSet<_> = world.look_alikes().iter().map(|l| l.name).collect();
        assert!(names.len() >= 6, "{names:?}");
    }

    #[test]
    fn registry_is_valid_and_promotions_are_complete() {
        let registry =
            Registry::from_texts(world(1).registry_files()).expect("a generated registry is valid");
        // The look-alike of a shared gateway key is two pilots behind one selector: that alone is warned of.
        let shared = |w: &crate::registry::RegistryError| w.message.contains("share a");
        assert!(registry.warnings().iter().all(shared), "{:?}", registry.warnings());
        assert!(registry.pilots().len() >= 12);
    }

    #[test]
    fn scenarios_have_valid_registries() {
        let scenarios = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures/scenarios");
        for detection in [UNPROMOTED, BUSINESS_DEPENDENCY, SHARED_CREDENTIAL] {
            let registry = Registry::load(&scenarios.join(detection).join("registry"));
            let registry = registry.unwrap_or_else(|errors| panic!("{detection}: {errors}"));
            assert!(registry.warnings().is_empty(), "{detection}: {:?}", registry.warnings());
        }
    }

    #[test]
    fn no_subject_is_both_planted_and_quiet() {
        let world = world(1);
        for quiet in world.look_alikes() {
            let planted =
                world.expected().iter().any(|l| l.detection == quiet.detection && l.subject == quiet.subject);
            assert!(!planted, "{quiet:?}");
        }
    }

    #[test]
    fn credentials_and_callers_are_many() {
        let world = world(1);
        let (mut credentials, mut peers) = (BTreeSet::new(), BTreeSet::new());
        for stream in &world.streams {
            match &stream.act {
                Act::Aws(act) => _ = credentials.insert(format!("{:?}", act.signer)),
                Act::Okta(act) => _ = credentials.insert(act.id.clone()),
                Act::Entra(act) => _ = credentials.insert(act.id.clone()),
                Act::Gateway(act) => peers.extend(act.peer.clone()),
            }
        }
        assert!(credentials.len() >= 200, "{}", credentials.len());
        assert!(peers.len() >= 15, "{}", peers.len());
    }

    #[test]
    fn every_line_is_one_json_object_and_no_label_leaks() {
        const WORDS: [&str; 8] =
            ["incident", "quiet", "look-alike", "lookalike", "planted", "expected", "label\"", "demo"];
        let from: Timestamp = "2026-03-05T05:00:00Z".parse().expect("a constant time");
        let to: Timestamp = "2026-03-06T20:00:00Z".parse().expect("a constant time");
        for event in world(3).events_between(from, to) {
            let value: Value = serde_json::from_str(&event.payload).expect("a line is JSON");
            assert!(value.is_object());
            let line = event.payload.to_lowercase();
            let leak = WORDS.iter().find(|word| line.contains(**word));
            assert!(leak.is_none(), "{leak:?} in {line}");
        }
    }

    fn raw_batch(world: &World, from: &str, to: &str) -> RawBatch {
        let (from, to) = (from.parse().expect("a constant time"), to.parse().expect("a constant time"));
        let mut batch = RawBatch::default();
        for (offset, event) in (0..).zip(world.events_between(from, to)) {
            let topic = TOPICS.iter().position(|t| *t == event.topic).expect("a topic of TOPICS") as u16;
            batch.push(Position { topic, partition: 0, offset }, None, event.payload.as_bytes());
        }
        batch
    }

    fn decode(batch: &RawBatch) -> Decoded {
        let source = |topic: &str| SourceSpec {
            name: topic.to_owned(),
            format: SourceFormat::Auto,
            account: None,
            dedupe: false,
        };
        Decoder::new(TOPICS.iter().map(|t| Some(source(t))).collect()).decode(batch)
    }

    fn texts(decoded: &Decoded, column: &str) -> Vec<Option<String>> {
        let column = decoded.events.record_batch().column_by_name(column).expect("a column of the schema");
        let column = arrow::compute::cast(column, &DataType::Utf8).expect("a dictionary of texts");
        column.as_string::<i32>().iter().map(|text| text.map(str::to_owned)).collect()
    }

    #[test]
    fn every_message_decodes_and_labelled_credentials_are_among_them() {
        let world = world(1);
        let batch = raw_batch(&world, "2026-03-09T07:00:00Z", "2026-03-10T19:00:00Z");
        let decoded = decode(&batch);
        assert!(decoded.rejects.is_empty(), "{:?}", decoded.rejects[0]);
        assert_eq!(decoded.events.record_batch().num_rows(), batch.messages.len());
        let credentials: BTreeSet<_> = texts(&decoded, "credential_kind")
            .into_iter()
            .zip(texts(&decoded, "credential_secret"))
            .collect();
        assert!(credentials.len() >= 200, "{}", credentials.len());
        for label in world.expected() {
            if let ExpectedSubject::Credential { kind, secret } = label.subject {
                assert!(credentials.contains(&(Some(kind), Some(secret))), "{}", label.why);
            }
        }
    }
}
