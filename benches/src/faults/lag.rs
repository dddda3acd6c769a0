//! Messages that were sent and are not in the state yet, from one fault to the next.
//!
//! In: faults, and how many there are. Out: how long they waited, and a file with a line for each fault.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::time::{Duration, Instant};

use shadowprod_benches::Failure;

use super::soak::Kind;

/// Messages of so many seconds are no lag: they are under way.
const UNDER_WAY_SECONDS: i64 = 2;

/// Since the first message.
pub struct Lag {
    /// Messages sent a second.
    pace: i64,
    started: Instant,
    lines: File,
    /// The last fault, when it began and when it was over, until what waited because of it is read.
    since: Option<(Kind, Instant, Instant)>,
    most: i64,
    most_of_all: i64,
    gone_after: Vec<Duration>,
    left: BTreeMap<Kind, u64>,
}

impl Lag {
    /// None yet. `path`: where each fault is written down.
    pub fn new(path: &Path, pace: i64) -> Result<Self, Failure> {
        Ok(Self {
            pace,
            started: Instant::now(),
            lines: File::create(path)?,
            since: None,
            most: 0,
            most_of_all: 0,
            gone_after: Vec::new(),
            left: BTreeMap::new(),
        })
    }

    /// Whether what waited because of the last fault is not read yet.
    pub fn is_there(&self) -> bool {
        self.since.is_some()
    }

    /// A fault that began then is over now.
    pub fn fault(&mut self, kind: Kind, begun: Instant) {
        (self.since, self.most) = (Some((kind, begun, Instant::now())), 0);
    }

    /// So many messages wait.
    pub fn seen(&mut self, lag: i64) -> Result<(), Failure> {
        self.most = self.most.max(lag);
        self.most_of_all = self.most_of_all.max(lag);
        if lag <= UNDER_WAY_SECONDS * self.pace
            && let Some((kind, begun, ended)) = self.since.take()
        {
            self.gone_after.push(ended.elapsed());
            self.write(kind, begun, ended, "gone")?;
        }
        Ok(())
    }

    /// The next fault comes; what of the last one is still there waits in these partitions.
    pub fn left(&mut self, behind: &[String]) -> Result<(), Failure> {
        let Some((kind, begun, ended)) = self.since.take() else { return Ok(()) };
        *self.left.entry(kind).or_default() += 1;
        self.write(kind, begun, ended, &format!("in {}: still there", behind.join(", ")))
    }

    fn write(&mut self, kind: Kind, begun: Instant, ended: Instant, what: &str) -> Result<(), Failure> {
        let (at, took) = ((begun - self.started).as_secs_f64(), (ended - begun).as_secs_f64());
        let (most, after) = (self.most, ended.elapsed());
        let lag = format!("lag at most {most}, {what} after {after:.1?}");
        Ok(writeln!(self.lines, "{at:8.1} s  {:14} {took:5.1} s  {lag}", kind.name())?)
    }

    /// What must not be.
    pub fn violations(&self) -> Option<String> {
        let left = &self.left;
        let left: Vec<String> = left.iter().map(|(kind, count)| format!("{} {count}", kind.name())).collect();
        (!left.is_empty())
            .then(|| format!("a lag was still there when the next fault came: {}", left.join(", ")))
    }

    /// In words.
    pub fn summary(&self) -> String {
        let mut gone = self.gone_after.clone();
        gone.sort_unstable();
        let middle = gone.get(gone.len() / 2).copied().unwrap_or_default();
        let longest = gone.last().copied().unwrap_or_default();
        format!("lag at most {}, gone after {middle:.1?} (median), {longest:.1?} (longest)", self.most_of_all)
    }
}
