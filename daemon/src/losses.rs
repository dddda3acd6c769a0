//! Evidence that nobody will see: messages that were gone before they were read, rows for which there was no room.
//!
//! In: each loss as it is noticed. Out: the table `losses`, from which detections tell it, and rows for the store. Event
//! time is that up to which everything had been seen by then, so that a replay of the journal tells the same.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, LazyLock};

use arrow::array::{ArrayRef, Int64Array, StringArray, TimestampMicrosecondArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use arrow::record_batch::RecordBatch;
use serde::Deserialize;

use crate::limits::LOSSES_MAX;

/// Name of the table that detections read.
pub const TABLE: &str = "losses";

/// Its columns.
pub static SCHEMA: LazyLock<SchemaRef> = LazyLock::new(|| {
    let time = DataType::Timestamp(TimeUnit::Microsecond, None);
    let columns = [
        ("since", time, false),
        ("kind", DataType::Utf8, false),
        ("subject", DataType::Utf8, false),
        ("times", DataType::Int64, false),
        ("amount", DataType::Int64, false),
        ("sample_first", DataType::Int64, true),
        ("sample_last", DataType::Int64, true),
    ];
    Arc::new(Schema::new(columns.map(|(name, kind, null)| Field::new(name, kind, null)).to_vec()))
});

/// How evidence was lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LossKind {
    /// Retention deleted messages before they were read. The amount is how many, exactly; a time is a partition.
    RetentionGap,
    /// A topic was deleted and made anew: how much was in it and not read nobody knows. A time is a partition.
    TopicRecreated,
    /// No room for new subjects' rows. The amount is how many rows were not kept; a time is a commit.
    Overflow,
}

impl LossKind {
    const ALL: [Self; 3] = [Self::RetentionGap, Self::TopicRecreated, Self::Overflow];

    /// The word that queries compare with.
    pub fn name(self) -> &'static str {
        match self {
            Self::RetentionGap => "retention_gap",
            Self::TopicRecreated => "topic_recreated",
            Self::Overflow => "overflow",
        }
    }

    /// Inverse of [`LossKind::name`].
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }
}

/// Which loss: what else is lost of the same subject at the same instant is added to it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct LossKey {
    /// Event time, microseconds since 1970: everything before it was seen, of what comes after something is missing.
    pub since: i64,
    /// How.
    pub kind: LossKind,
    /// Of what: name of the source; where rows had no room, id of the rollup.
    pub subject: String,
}

/// Evidence that was lost.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Loss {
    /// Which.
    pub key: LossKey,
    /// How often.
    pub times: i64,
    /// How much; 0 where nobody knows.
    pub amount: i64,
    /// The lowest and highest packed position at which reading went on, where it is about messages.
    pub samples: Option<(i64, i64)>,
}

impl Loss {
    /// Adds another loss of the same.
    fn add(&mut self, other: &Self) {
        self.times = self.times.saturating_add(other.times);
        self.amount = self.amount.saturating_add(other.amount);
        let both = self.samples.zip(other.samples);
        let both = both.map(|(a, b)| (a.0.min(b.0), a.1.max(b.1)));
        self.samples = both.or(self.samples).or(other.samples);
    }
}

/// Losses that are remembered.
#[derive(Debug, Default, Clone)]
pub struct Losses {
    known: BTreeMap<LossKey, Loss>,
    unsaved: BTreeSet<LossKey>,
    since: i64,
}

impl Losses {
    /// Those that were stored.
    pub fn restore(stored: Vec<Loss>) -> Self {
        let known = stored.into_iter().map(|loss| (loss.key.clone(), loss)).collect();
        Self { known, ..Self::default() }
    }

    /// Remembers one. Beyond LOSSES_MAX the oldest is forgotten, which was told long ago.
    pub fn note(&mut self, loss: Loss) {
        self.unsaved.insert(loss.key.clone());
        match self.known.get_mut(&loss.key) {
            Some(known) => known.add(&loss),
            None => drop(self.known.insert(loss.key.clone(), loss)),
        }
        if self.known.len() > LOSSES_MAX
            && let Some((oldest, _)) = self.known.first_key_value()
        {
            self.forget_before(oldest.since.saturating_add(1));
        }
    }

    /// Forgets what is older than `instant`, microseconds.
    pub fn forget_before(&mut self, instant: i64) {
        self.since = self.since.max(instant);
        self.known.retain(|key, _| key.since >= instant);
        self.unsaved.retain(|key| key.since >= instant);
    }

    /// Event time, microseconds since 1970, of before which none is remembered.
    pub fn since(&self) -> i64 {
        self.since
    }

    /// New ones and those that grew since this was last asked, in order.
    pub fn take_unsaved(&mut self) -> Vec<Loss> {
        let unsaved = std::mem::take(&mut self.unsaved);
        unsaved.iter().filter_map(|key| self.known.get(key)).cloned().collect()
    }

    /// All of them, oldest first.
    pub fn all(&self) -> impl Iterator<Item = &Loss> {
        self.known.values()
    }

    /// As detections see them, oldest first.
    pub fn table(&self) -> RecordBatch {
        let all = || self.known.values();
        let columns: Vec<ArrayRef> = vec![
            Arc::new(TimestampMicrosecondArray::from_iter_values(all().map(|loss| loss.key.since))),
            Arc::new(StringArray::from_iter_values(all().map(|loss| loss.key.kind.name()))),
            Arc::new(StringArray::from_iter_values(all().map(|loss| &loss.key.subject))),
            Arc::new(Int64Array::from_iter_values(all().map(|loss| loss.times))),
            Arc::new(Int64Array::from_iter_values(all().map(|loss| loss.amount))),
            Arc::new(all().map(|loss| loss.samples.map(|(first, _)| first)).collect::<Int64Array>()),
            Arc::new(all().map(|loss| loss.samples.map(|(_, last)| last)).collect::<Int64Array>()),
        ];
        RecordBatch::try_new(SCHEMA.clone(), columns).expect("each column has a value a loss, of its type")
    }
}

/// Each noted.
impl FromIterator<Loss> for Losses {
    fn from_iter<I: IntoIterator<Item = Loss>>(all: I) -> Self {
        let mut losses = Self::default();
        all.into_iter().for_each(|loss| losses.note(loss));
        losses
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn loss(since: i64, subject: &str, amount: i64, sample: i64) -> Loss {
        let key = LossKey { since, kind: LossKind::RetentionGap, subject: subject.to_owned() };
        Loss { key, times: 1, amount, samples: Some((sample, sample)) }
    }

    fn seen(losses: &Losses) -> Vec<(i64, &str, i64, i64)> {
        losses.all().map(|l| (l.key.since, l.key.subject.as_str(), l.times, l.amount)).collect()
    }

    #[test]
    fn losses_of_one_instant_and_subject_are_one_row_and_add_up() {
        let mut losses = Losses::default();
        for (partition, amount) in [(4, 10), (2, 7), (3, 1)] {
            losses.note(loss(5, "gateway", amount, partition));
        }
        losses.note(loss(5, "okta", 1, 9));
        assert_eq!(seen(&losses), [(5, "gateway", 3, 18), (5, "okta", 1, 1)]);
        assert_eq!(losses.all().next().and_then(|l| l.samples), Some((2, 4)));
        assert_eq!(losses.table().num_rows(), 2);
        assert_eq!(losses.take_unsaved().len(), 2);
        losses.note(loss(5, "okta", 2, 9));
        assert_eq!(losses.take_unsaved().iter().map(|l| l.amount).collect::<Vec<_>>(), [3]);
        assert_eq!(losses.take_unsaved(), []);
    }

    #[test]
    fn beyond_the_bound_the_oldest_is_forgotten() {
        let mut losses = Losses::default();
        (0..=LOSSES_MAX as i64).for_each(|since| losses.note(loss(since, "gateway", 1, since)));
        assert_eq!((losses.all().count(), losses.since()), (LOSSES_MAX, 1));
        assert_eq!(losses.all().next().map(|l| l.key.since), Some(1));
        losses.forget_before(10);
        losses.forget_before(5);
        assert_eq!((losses.all().count(), losses.since()), (LOSSES_MAX - 9, 10));
        assert_eq!(losses.take_unsaved().len(), LOSSES_MAX - 9);
    }

    #[test]
    fn every_kind_is_read_back_by_its_name() {
        for kind in LossKind::ALL {
            assert_eq!(LossKind::parse(kind.name()), Some(kind));
        }
        assert_eq!(LossKind::parse("none"), None);
    }
}
