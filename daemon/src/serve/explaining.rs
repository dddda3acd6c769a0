//! Explanations for clients: the pipeline copies rows between two batches, the work is done here.
//!
//! In: a detection and a subject. Out: an explanation, or why there is none. One is worked on at a time, on a
//! blocking thread, for at most EXPLAIN_SECONDS_MAX. The pipeline never waits for it.

use std::sync::Arc;
use std::sync::mpsc::SyncSender;
use std::time::{Duration, Instant};

use shadowprod_proto::{Message, v1};
use tokio::sync::{Semaphore, oneshot};
use tonic::Status;

use super::convert::explanation_message;
use super::refusal;
use crate::explain::{self, Ask, ExplainError, Explanation, Question};
use crate::findings::Finding;
use crate::limits::{EXPLAIN_SECONDS_MAX, PAGE_BYTES_MAX};
use crate::metrics::{KindLabel, Metrics};

/// The message of an explanation, small enough for clients: without rows where they are too long.
pub(super) fn message(mut explanation: Explanation) -> v1::Explanation {
    let message = explanation_message(&explanation);
    if message.encoded_len() <= PAGE_BYTES_MAX {
        return message;
    }
    explanation.tables.iter_mut().for_each(|table| table.rows.clear());
    explanation
        .notes
        .push("The rows that were read are too long to be sent and are only counted.".to_owned());
    explanation_message(&explanation)
}

/// The way to the pipeline.
pub(super) struct Explaining {
    questions: SyncSender<Question>,
    place: Arc<Semaphore>,
    metrics: Arc<Metrics>,
}

impl Explaining {
    /// Nobody asks yet.
    pub(super) fn new(questions: SyncSender<Question>, metrics: Arc<Metrics>) -> Self {
        Self { questions, place: Arc::new(Semaphore::new(1)), metrics }
    }

    /// Explains; every outcome is counted.
    pub(super) async fn explain(&self, ask: Ask, finding: Option<Finding>) -> Result<Explanation, Status> {
        let answer = self.answer(ask, finding).await;
        let kind = if answer.is_ok() { "answered" } else { "refused" };
        self.metrics.serve_explanations.get_or_create(&KindLabel { kind }).inc();
        answer
    }

    async fn answer(&self, ask: Ask, finding: Option<Finding>) -> Result<Explanation, Status> {
        let place = self.place.clone().try_acquire_owned().map_err(|_| refusal::explaining_another())?;
        let give_up = Instant::now() + Duration::from_secs(EXPLAIN_SECONDS_MAX);
        let no_answer = || refusal::not_explained(&ExplainError::NoAnswer);
        let (reply, snapshot) = oneshot::channel();
        self.questions.try_send(Question { ask, reply }).map_err(|_| no_answer())?;
        let snapshot = tokio::time::timeout_at(give_up.into(), snapshot).await;
        let snapshot = snapshot.map_err(|_| no_answer())?.map_err(|_| no_answer())?;
        let snapshot = snapshot.map_err(|error| refusal::not_explained(&error))?;
        let work = tokio::task::spawn_blocking(move || {
            let explanation = explain::explain(&snapshot, finding.as_ref(), give_up);
            drop(place);
            explanation
        });
        match work.await {
            Ok(explanation) => explanation.map_err(|error| refusal::not_explained(&error)),
            Err(error) => match error.try_into_panic() {
                Ok(panic) => std::panic::resume_unwind(panic),
                Err(_) => Err(refusal::shutting_down()),
            },
        }
    }
}
