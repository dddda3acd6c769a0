//! Pages of findings: from what a client writes to what the store reads. Shared by gRPC and HTTP.
//!
//! In: a filter in words. Out: findings and the next page's token, or the field that cannot be used.

use std::sync::Arc;

use tonic::Status;

use super::reads::Reads;
use super::refusal;
use crate::findings::{FindingState, Severity};
use crate::limits::PAGE_SIZE_MAX;
use crate::store::{ListQuery, Page, StoreError};

/// Findings in a page whose size the client left open.
pub(super) const PAGE_SIZE_DEFAULT: u32 = 100;

/// A word that is not in a field's closed set.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct BadField {
    /// The field.
    pub(super) field: &'static str,
    /// What was found and expected.
    pub(super) problem: String,
}

impl From<BadField> for Status {
    fn from(bad: BadField) -> Self {
        refusal::bad_field(bad.field, &bad.problem)
    }
}

/// `None` for the empty text.
pub(super) fn wanted(text: String) -> Option<String> {
    (!text.is_empty()).then_some(text)
}

/// The least severity that is asked for.
pub(super) fn severity(word: &str) -> Result<Option<Severity>, BadField> {
    let names = Severity::ALL.map(Severity::name);
    member("severity_min", word, Severity::parse, &names)
}

/// The state that is asked for.
pub(super) fn state(word: &str) -> Result<Option<FindingState>, BadField> {
    let names = FindingState::ALL.map(FindingState::name);
    member("state", word, FindingState::parse, &names)
}

/// A size within bounds; 0 is the default.
pub(super) fn size(asked: u32) -> u32 {
    if asked == 0 { PAGE_SIZE_DEFAULT } else { asked.min(PAGE_SIZE_MAX) }
}

/// Reads one page.
pub(super) async fn read(reads: &Arc<Reads>, query: ListQuery) -> Result<Page, Status> {
    reads.read(move |reader| reader.list(&query)).await.map_err(|error| match error {
        StoreError::BadPageToken => refusal::bad_field("page_token", &StoreError::BadPageToken.to_string()),
        other => refusal::store_failed(&other),
    })
}

fn member<T>(
    field: &'static str,
    word: &str,
    parse: fn(&str) -> Option<T>,
    names: &[&str],
) -> Result<Option<T>, BadField> {
    if word.is_empty() {
        return Ok(None);
    }
    let problem = || format!("`{word}` is none of {}", names.join(", "));
    parse(word).map(Some).ok_or_else(|| BadField { field, problem: problem() })
}
