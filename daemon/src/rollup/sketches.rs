//! Sketches of one aggregate column, by slot: what [`crate::sketch`] writes, merged, within a bound.
//!
//! In: bytes of sketches. Out: the same, merged, as a column. Bytes that are no sketch are refused when they come in.

use arrow::array::BinaryArray;
use arrow::error::ArrowError;

use crate::limits::ROLLUP_SKETCH_BYTES_MAX;
use crate::sketch::{self, SketchError};

/// Sketches by slot; none where no value was seen.
#[derive(Debug, Default)]
pub(super) struct Sketches {
    slots: Vec<Option<Box<[u8]>>>,
    bytes: usize,
}

impl Sketches {
    /// Whether there is room for no more.
    pub(super) fn is_full(&self) -> bool {
        self.bytes >= ROLLUP_SKETCH_BYTES_MAX
    }

    /// Adds a slot.
    pub(super) fn push(&mut self, incoming: Option<&[u8]>) -> Result<(), ArrowError> {
        incoming.map_or(Ok(()), sketch::check).map_err(refused)?;
        self.bytes += incoming.map_or(0, <[u8]>::len);
        self.slots.push(incoming.map(Box::from));
        Ok(())
    }

    /// Merges into a slot; false where that would not fit.
    pub(super) fn merge(&mut self, slot: usize, incoming: &[u8]) -> Result<bool, ArrowError> {
        let merged = match &self.slots[slot] {
            Some(held) if **held == *incoming => return Ok(true),
            Some(held) => sketch::merged(held, incoming).map_err(refused)?,
            None => {
                sketch::check(incoming).map_err(refused)?;
                incoming.to_vec()
            }
        };
        let others = self.bytes - self.slots[slot].as_ref().map_or(0, |held| held.len());
        if others + merged.len() > ROLLUP_SKETCH_BYTES_MAX {
            return Ok(false);
        }
        self.bytes = others + merged.len();
        self.slots[slot] = Some(merged.into());
        Ok(true)
    }

    /// The sketches of these slots, in this order.
    pub(super) fn gather(&self, slots: &[u32]) -> BinaryArray {
        slots.iter().map(|slot| self.slots[*slot as usize].as_deref()).collect()
    }
}

fn refused(error: SketchError) -> ArrowError {
    ArrowError::ExternalError(Box::new(error))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::sync::Arc;

    use arrow::array::{ArrayRef, AsArray};
    use arrow::datatypes::Int64Type;
    use arrow::record_batch::RecordBatch;

    use crate::ingest::Position;
    use crate::query::cases::{CaseEvent, Cell, enriched};
    use crate::query::plan::QuerySet;
    use crate::query::{QueryTexts, Worked};
    use crate::registry::Registry;
    use crate::rollup::segments::{self, Part};
    use crate::rollup::{Rollups, View};
    use crate::sketch::Sketch;

    const MINUTE: i64 = 60_000_000;
    const DAY: i64 = 24 * 60 * MINUTE;
    /// 2026-03-02.
    const START: i64 = 1_772_409_600_000_000;
    const DAYS: i64 = 3;
    const DETECTION: &str = "SELECT target AS subject, hll_estimate(hll_merge(people)) AS people,
        hll_estimate(hll_merge(people) FILTER (WHERE people IS NULL)) AS nobody
        FROM target_caller_day GROUP BY target ORDER BY target";

    /// The rollup that counts people, and a detection that asks for their number.
    fn queries() -> QuerySet {
        let mut texts = QueryTexts::builtin();
        texts.rollups.retain(|rollup| rollup.text.id == "target-caller-day");
        texts.detections.truncate(1);
        let detection = &mut texts.detections[0];
        detection.text.sql = DETECTION.to_owned();
        detection.text.parameters.clear();
        detection.background.clear();
        detection.window_seconds = 86_400;
        let registry = Registry::from_texts(Vec::new()).expect("an empty registry");
        QuerySet::plan(&texts, &registry.tables()).expect("legal SQL")
    }

    /// Who uses which service, when.
    type Use = (u8, u32, i64);

    /// One service that many use, and some that few do.
    fn uses(dice: &mut fastrand::Rng) -> Vec<Use> {
        let mut use_of = |service: u8, people: u32| {
            let at = START + dice.i64(0..DAYS * 24 * 60) * MINUTE;
            (service, dice.u32(0..people), at)
        };
        let crowd: Vec<Use> = (0..900).map(|_| use_of(0, 2_000)).collect();
        let few = (0..300).map(|n| use_of(1 + (n % 3) as u8, 60));
        crowd.into_iter().chain(few).collect()
    }

    fn event((service, person, at): Use) -> CaseEvent {
        let cells = [
            ("service", format!("service-{service}")),
            ("principal", format!("person-{person}")),
            ("principal_kind", "human".to_owned()),
        ];
        let cells = cells.map(|(name, text)| (name.to_owned(), Cell::Text(text)));
        CaseEvent {
            at,
            position: Position { topic: 0, partition: 0, offset: 0 },
            cells: Arc::new(cells.into()),
        }
    }

    fn absorb(queries: &QuerySet, rollups: &mut Rollups, uses: &[Use]) {
        let events: Vec<CaseEvent> = uses.iter().copied().map(event).collect();
        rollups.absorb(queries, &enriched(&events, 3_600)).expect("absorbed");
    }

    fn rows(rollups: &Rollups) -> RecordBatch {
        rollups.view(0, "target", None, View::Everything, START + DAYS * DAY).expect("rows")
    }

    /// In random cuts, with random restarts from what was stored, at times folded.
    fn incremental(queries: &QuerySet, dice: &mut fastrand::Rng, mut uses: Vec<Use>) -> RecordBatch {
        dice.shuffle(&mut uses);
        let mut rollups = Rollups::new(queries);
        let mut stored: Vec<Vec<u8>> = Vec::new();
        let mut rest = uses.as_slice();
        while !rest.is_empty() {
            let (batch, after) = rest.split_at(dice.usize(1..=rest.len().min(200)));
            rest = after;
            absorb(queries, &mut rollups, batch);
            if dice.bool() {
                let unsaved = rollups.take_unsaved().expect("rows to store");
                stored.extend(
                    unsaved.iter().map(|(_, rows)| segments::encode(rows, Part::default()).expect("encoded")),
                );
            }
            if dice.u8(..3) == 0 {
                let unsaved = rollups.take_unsaved().expect("rows to store");
                stored.extend(
                    unsaved.iter().map(|(_, rows)| segments::encode(rows, Part::default()).expect("encoded")),
                );
                let mut read: Vec<RecordBatch> =
                    stored.iter().flat_map(|bytes| segments::decode(bytes).expect("decoded")).collect();
                if dice.bool() {
                    let mut folding = rollups.folding(0);
                    read.iter().for_each(|rows| folding.add(rows).expect("added"));
                    read = vec![folding.finish().expect("folded")];
                    stored = vec![segments::encode(&read[0], Part::default()).expect("encoded")];
                }
                rollups = Rollups::new(queries);
                read.iter().for_each(|rows| rollups.load(0, rows).expect("loaded"));
            }
        }
        rows(&rollups)
    }

    fn counts(batches: &[RecordBatch], column: &str) -> Vec<i64> {
        let column = |batch: &RecordBatch| batch.column_by_name(column).expect("returned").clone();
        batches.iter().flat_map(|b| column(b).as_primitive::<Int64Type>().values().to_vec()).collect()
    }

    #[test]
    fn cuts_order_and_restarts_change_no_byte_and_days_merge_to_their_union() {
        let queries = queries();
        for seed in 1..=3 {
            println!("seed {seed}");
            let mut dice = fastrand::Rng::with_seed(seed);
            let uses = uses(&mut dice);
            let mut whole = Rollups::new(&queries);
            absorb(&queries, &mut whole, &uses);
            let whole = rows(&whole);
            assert_eq!(whole.num_rows(), 4 * DAYS as usize);
            assert_eq!(incremental(&queries, &mut dice, uses.clone()), whole);

            let mut worked = Worked::default();
            worked.views.insert(0, whole);
            let answer = queries.run_detection(0, START, &mut worked).expect("the detection runs");
            let people = |service: u8| {
                let of_service = uses.iter().filter(|(s, ..)| *s == service);
                of_service.map(|(_, person, _)| *person).collect::<BTreeSet<_>>()
            };
            let mut crowd = Sketch::default();
            people(0).iter().for_each(|person| crowd.add_text(&format!("person-{person}")));
            let few = (1..4).map(|service| people(service).len() as i64);
            let expected: Vec<i64> = std::iter::once(crowd.estimate()).chain(few).collect();
            assert_eq!(counts(&answer, "people"), expected);
            assert_eq!(counts(&answer, "nobody"), [0; 4]);
        }
    }

    #[test]
    fn stored_bytes_that_are_no_sketch_are_refused() {
        let queries = queries();
        let mut rollups = Rollups::new(&queries);
        absorb(&queries, &mut rollups, &uses(&mut fastrand::Rng::with_seed(1)));
        let (_, rows) = rollups.take_unsaved().expect("rows to store").remove(0);
        let people = rows.schema().index_of("people").expect("the rollup has it");
        let cut = rows.column(people).as_binary::<i32>().iter().map(|b| b.map(|b| &b[..b.len() - 1]));
        let cut: ArrayRef = Arc::new(cut.collect::<super::BinaryArray>());
        let mut columns = rows.columns().to_vec();
        columns[people] = cut;
        let damaged = RecordBatch::try_new(rows.schema(), columns).expect("of the same types");
        let error = Rollups::new(&queries).load(0, &damaged).expect_err("no sketch is a byte short");
        assert!(error.to_string().contains("not a sketch"), "{error}");
    }
}
