//! Invented companies with known truth: registry, weeks of logs in the providers' own shapes, and the labels.
//!
//! In: a [`Plan`]: seed, scale, days, the instant at which the history ends. Out: registry files, messages in delivery
//! order (out of order by minutes, audit events sometimes twice), what must be found and what must stay quiet. The same
//! plan always gives the same bytes. No label ever stands in a log. Everything is made hour by hour, so weeks of an
//! enterprise need no more memory than one busy hour.

mod company;
mod dice;
mod draft;
mod everyday;
mod formats;
mod governance;
mod pattern;
mod pilot;
mod place;
mod roster;
mod scenarios;
mod stream;
mod template;
mod topics;

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::fs::File;
use std::io::{BufWriter, Write};
use std::ops::Range;
use std::path::Path;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use draft::Draft;
use pattern::{DAY, HOUR, MINUTE};
use stream::Stream;
use topics::Topic;

pub use topics::TOPICS;

/// Detection of DOMAIN section 3a.
pub const UNPROMOTED: &str = "unpromoted-production-traffic";
/// Detection of DOMAIN section 3b.
pub const BUSINESS_DEPENDENCY: &str = "business-dependency";
/// Detection of DOMAIN section 3c.
pub const SHARED_CREDENTIAL: &str = "shared-credential";
/// Detection of DOMAIN section 4: an exception that ran out is still in use.
pub const STALE_EXCEPTION: &str = "stale-exception-in-use";
/// Detection of DOMAIN section 4: promoted, and nobody controls it in production.
pub const CONTROL_OWNER: &str = "promotion-without-control-owner";
/// Detection of DOMAIN section 4: promoted without what policy requires.
pub const CRITERIA: &str = "promotion-criteria-missing";
/// Detection of DOMAIN section 4: one person holds duties that policy separates.
pub const DUTIES: &str = "duties-not-separated";
/// Detection of DOMAIN section 4: data outside the approved scope.
pub const DATA_SCOPE: &str = "data-outside-scope";
/// Detection of DOMAIN section 4: a tool outside the scope, and nobody approved it.
pub const OVERSIGHT: &str = "action-without-oversight";
/// Detection of DOMAIN section 4: a key stolen for its AI access.
pub const LLMJACKING: &str = "llmjacking";
/// Detection of DOMAIN section 4: suspended or revoked, and still called.
pub const REVOKED: &str = "revoked-still-called";
/// Detection of DOMAIN section 4: a workload calls AI and no pilot is registered for it.
pub const UNREGISTERED: &str = "unregistered-ai-workload";
/// Detection of DOMAIN section 2: sources contradict each other about production.
pub const CONTRADICTORY: &str = "contradictory-environment";
/// Detection of DOMAIN section 4: a source that had traffic has none.
pub const SILENCE: &str = "sensor-silence";
/// Every detection, in name order.
pub const DETECTIONS: [&str; 14] = [
    OVERSIGHT,
    BUSINESS_DEPENDENCY,
    CONTRADICTORY,
    DATA_SCOPE,
    DUTIES,
    LLMJACKING,
    CRITERIA,
    CONTROL_OWNER,
    REVOKED,
    SILENCE,
    SHARED_CREDENTIAL,
    STALE_EXCEPTION,
    UNPROMOTED,
    UNREGISTERED,
];

/// How large a company is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Scale {
    /// 64 people, 21 services: about 30,000 events a day.
    Small,
    /// 400 people, 90 services: about 95,000 events a day.
    Company,
    /// 6,000 people, 1,500 services: about a million events a day.
    Enterprise,
}

impl Scale {
    /// People, teams, services.
    fn size(self) -> (u32, usize, usize) {
        match self {
            Self::Small => (64, 10, 21),
            Self::Company => (400, 24, 90),
            Self::Enterprise => (6_000, 120, 1_500),
        }
    }
}

/// What decides a world.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Plan {
    /// Decides everything that is left to chance.
    pub seed: u64,
    /// How large the company is.
    pub scale: Scale,
    /// Days of history.
    pub days: u32,
    /// The instant after the last of the history; what is below a minute is cut off.
    pub end: Timestamp,
}

/// What a folder says of the world in it: `world.json`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// Seed of the plan.
    pub seed: u64,
    /// Scale of the plan.
    pub scale: Scale,
    /// First instant of the history.
    pub start: Timestamp,
    /// The instant after the last.
    pub end: Timestamp,
}

/// A generated company.
pub struct World {
    seed: u64,
    scale: Scale,
    span: Range<i64>,
    registry: Vec<(String, String)>,
    streams: Vec<Stream>,
    /// What never arrived: a topic and the stretch of event time.
    mutes: Vec<(Topic, Range<i64>)>,
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
#[serde(rename_all = "snake_case")]
pub enum ExpectedSubject {
    /// Pilot id.
    Pilot(String),
    /// Column `caller`.
    Caller(String),
    /// Name of a source: its topic.
    Source(String),
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
            Self::Source(_) => "source",
            Self::Credential { .. } => "credential",
        }
    }
}

/// One finding that must come out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Label {
    /// Detection id.
    pub detection: String,
    /// What it names.
    pub subject: ExpectedSubject,
    /// The incident began: nothing about it can be found before.
    pub since: Timestamp,
    /// The first moment at which what happened until then is what the detection is about: time to detect counts from
    /// here.
    pub from: Timestamp,
    /// Which of the planted stories it is.
    pub variant: String,
    /// What was planted, in words.
    pub why: String,
}

/// Something that resembles an incident and must stay quiet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LookAlike {
    /// Detection that must not fire.
    pub detection: String,
    /// What it must not name.
    pub subject: ExpectedSubject,
    /// What it is, in words; several subjects can share one name.
    pub variant: String,
}

impl World {
    /// The world of this plan.
    pub fn new(plan: &Plan) -> Self {
        let end = plan.end.as_microsecond().div_euclid(MINUTE) * MINUTE;
        let mut draft = Draft::new(plan.seed, plan.scale, end - i64::from(plan.days) * DAY, end);
        everyday::add(&mut draft);
        scenarios::plant(&mut draft);
        Self {
            seed: plan.seed,
            scale: plan.scale,
            span: draft.start..draft.end,
            registry: draft.governance.into_files(),
            streams: draft.streams,
            mutes: draft.mutes,
            expected: draft.expected,
            look_alikes: draft.look_alikes,
        }
    }

    /// (file name, TOML) of the registry.
    pub fn registry_files(&self) -> Vec<(String, String)> {
        self.registry.clone()
    }

    /// `[[source]]` of every topic, as the daemon's config has them.
    pub fn sources(&self) -> String {
        topics::sources()
    }

    /// The whole history in delivery order.
    pub fn events(&self) -> impl Iterator<Item = WorldEvent> + use<'_> {
        Events::new(self, self.span.clone())
    }

    fn is_muted(&self, event: &WorldEvent) -> bool {
        let at = event.at.as_microsecond();
        self.mutes.iter().any(|(topic, span)| topic.name() == event.topic && span.contains(&at))
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
    pub fn expected(&self) -> &[Label] {
        &self.expected
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

    /// Writes `registry/*.toml`, `world.json`, `expected.ndjson` and `look_alikes.ndjson` into `dir`, which is made.
    pub fn write_truth(&self, dir: &Path) -> std::io::Result<()> {
        self.write_registry(&dir.join("registry"))?;
        let Self { seed, scale, .. } = *self;
        let manifest = Manifest { seed, scale, start: self.start(), end: self.end() };
        write_lines(&dir.join("world.json"), &[manifest])?;
        write_lines(&dir.join("expected.ndjson"), &self.expected)?;
        write_lines(&dir.join("look_alikes.ndjson"), &self.look_alikes)
    }

    /// Writes `<topic>.jsonl` of every topic into `dir`; returns the number of messages. `told` hears of every message.
    pub fn write_logs(&self, dir: &Path, told: &mut dyn FnMut(&WorldEvent)) -> std::io::Result<u64> {
        let mut files = BTreeMap::new();
        for topic in TOPICS {
            let file = File::create(dir.join(format!("{topic}.jsonl")))?;
            files.insert(topic, BufWriter::with_capacity(1 << 18, file));
        }
        let mut count = 0;
        for event in self.events() {
            let file = files.get_mut(event.topic).expect("every event's topic is one of TOPICS");
            file.write_all(event.payload.as_bytes())?;
            file.write_all(b"\n")?;
            told(&event);
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
}

fn write_lines<T: Serialize>(path: &Path, lines: &[T]) -> std::io::Result<()> {
    let mut file = BufWriter::new(File::create(path)?);
    for line in lines {
        serde_json::to_writer(&mut file, line)?;
        file.write_all(b"\n")?;
    }
    file.flush()
}

/// Hour by hour: makes an hour's events, hands out those that no later hour can precede.
struct Events<'w> {
    world: &'w World,
    span: Range<i64>,
    /// Next hour to make.
    hour: i64,
    /// By delivery time; the number keeps ties in making order and says where the event is.
    waiting: BinaryHeap<Reverse<(i64, u64)>>,
    events: std::collections::HashMap<u64, WorldEvent>,
    made: u64,
}

impl<'w> Events<'w> {
    fn new(world: &'w World, span: Range<i64>) -> Self {
        // A call that fails at the end of an hour is tried again in the next.
        let hour = span.start.div_euclid(HOUR) - 1;
        Self { world, span, hour, waiting: BinaryHeap::new(), events: Default::default(), made: 0 }
    }

    fn make_hour(&mut self) {
        let mut events = Vec::new();
        for stream in &self.world.streams {
            stream.hour(self.world.seed, self.hour, &self.span, &mut events);
        }
        events.retain(|(_, event)| !self.world.is_muted(event));
        for (delivered, event) in events {
            self.waiting.push(Reverse((delivered, self.made)));
            self.events.insert(self.made, event);
            self.made += 1;
        }
        self.hour += 1;
    }

    /// An event of a later hour is delivered within or after that hour.
    fn is_settled(&self) -> bool {
        let next_hour = self.hour * HOUR;
        next_hour >= self.span.end || self.waiting.peek().is_some_and(|Reverse((at, _))| *at < next_hour)
    }
}

impl Iterator for Events<'_> {
    type Item = WorldEvent;

    fn next(&mut self) -> Option<WorldEvent> {
        while !self.is_settled() {
            self.make_hour();
        }
        let Reverse((_, number)) = self.waiting.pop()?;
        self.events.remove(&number)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeSet, HashMap};

    use serde_json::Value;

    use super::*;

    fn plan(seed: u64) -> Plan {
        let end = "2026-03-11T14:23:00Z".parse().expect("a constant time");
        Plan { seed, scale: Scale::Small, days: 16, end }
    }

    fn world(seed: u64) -> World {
        World::new(&plan(seed))
    }

    #[test]
    fn same_plan_gives_the_same_bytes_and_another_seed_does_not() {
        let events: Vec<_> = world(7).events().take(5_000).collect();
        assert_eq!(events, world(7).events().take(5_000).collect::<Vec<_>>());
        assert_ne!(events, world(8).events().take(5_000).collect::<Vec<_>>());
        assert_eq!(world(7).registry_files(), world(7).registry_files());
        assert_ne!(world(7).registry_files(), world(8).registry_files());
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
        assert!((300_000..700_000).contains(&total), "{counts:?}");
    }

    #[test]
    fn a_stretch_holds_the_same_events_as_the_whole() {
        let world = world(5);
        let from: Timestamp = "2026-03-02T09:30:00Z".parse().expect("a constant time");
        let to: Timestamp = "2026-03-02T11:10:00Z".parse().expect("a constant time");
        let mut part: Vec<_> = world.events_between(from, to).collect();
        let mut whole: Vec<_> = world.events().filter(|e| e.at >= from && e.at < to).collect();
        part.sort();
        whole.sort();
        assert_eq!(part, whole);
    }

    #[test]
    fn no_subject_is_both_planted_and_quiet() {
        for seed in 1..20 {
            let world = world(seed);
            for quiet in world.look_alikes() {
                let planted = world
                    .expected()
                    .iter()
                    .any(|l| l.detection == quiet.detection && l.subject == quiet.subject);
                assert!(!planted, "seed {seed}: {quiet:?}");
            }
            let labels: BTreeSet<_> = world.expected().iter().map(|l| (&l.detection, &l.subject)).collect();
            assert_eq!(labels.len(), world.expected().len(), "seed {seed}: a label stands twice");
        }
    }

    #[test]
    fn every_line_is_one_json_object_and_no_label_leaks() {
        let world = world(3);
        let words: BTreeSet<String> =
            ["incident", "quiet", "alike", "planted", "expected", "label\"", "scenario"]
                .into_iter()
                .map(str::to_owned)
                .chain(world.expected().iter().flat_map(|l| [l.variant.clone(), l.detection.clone()]))
                .chain(world.look_alikes().iter().map(|l| l.variant.clone()))
                .collect();
        let from: Timestamp = "2026-03-05T05:00:00Z".parse().expect("a constant time");
        let to: Timestamp = "2026-03-06T20:00:00Z".parse().expect("a constant time");
        for event in world.events_between(from, to) {
            let value: Value = serde_json::from_str(&event.payload).expect("a line is JSON");
            assert!(value.is_object());
            let line = event.payload.to_lowercase();
            let leak = words.iter().find(|word| line.contains(word.as_str()));
            assert!(leak.is_none(), "{leak:?} in {line}");
        }
    }
}
