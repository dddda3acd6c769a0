//! Every way in which the gRPC service says no, with google.rpc details for programs.
//!
//! In: what is wrong. Out: a `Status` whose message names the finding and the fix. No internal error text
//! but the store's own reaches a client.

use std::collections::HashMap;

use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt};

use super::token::TokenError;
use crate::explain::ExplainError;
use crate::limits::{CHANGES_KEPT_MAX, WATCHERS_MAX};
use crate::query::observe::ObserveError;
use crate::store::StoreError;

/// `domain` of every ErrorInfo.
const DOMAIN: &str = "shadowprod";
/// Reason of an OUT_OF_RANGE that asks for a new watch; tonic itself uses the code for large messages.
pub(super) const TOKEN_EXPIRED: &str = "RESUME_TOKEN_EXPIRED";
const RETRY_AFTER: std::time::Duration = std::time::Duration::from_secs(5);

/// A field of the request cannot be used.
pub(super) fn bad_field(field: &str, problem: &str) -> Status {
    let mut details = ErrorDetails::with_bad_request_violation(field, problem);
    set_reason(&mut details, "BAD_FIELD", &[("field", field)]);
    Status::with_error_details(Code::InvalidArgument, format!("{field}: {problem}"), details)
}

/// No finding has this id.
pub(super) fn unknown_finding(id: &str) -> Status {
    let problem = "no finding has this id; an early finding that was not confirmed disappears";
    let mut details = ErrorDetails::with_resource_info("shadowprod.v1.Finding", id, "", problem);
    set_reason(&mut details, "FINDING_NOT_FOUND", &[("finding_id", id)]);
    Status::with_error_details(Code::NotFound, format!("{id}: {problem}"), details)
}

/// The resume token is not usable as text, or belongs elsewhere.
pub(super) fn bad_token(error: TokenError) -> Status {
    match error {
        TokenError::Malformed => bad_field("resume_token", "not a resume token of shadowprod"),
        TokenError::OtherStore => expired_token("the token comes from another state folder"),
    }
}

/// The changes after the token are not there. The watcher's last token is in the last response that it got.
pub(super) fn expired_token(why: &str) -> Status {
    let kept = CHANGES_KEPT_MAX.to_string();
    let mut details = ErrorDetails::new();
    set_reason(&mut details, TOKEN_EXPIRED, &[("changes_kept_max", &kept)]);
    let fix = "list the findings, or watch again without a token to begin with the open ones";
    Status::with_error_details(Code::OutOfRange, format!("{why}; {fix}"), details)
}

/// WATCHERS_MAX are connected.
pub(super) fn too_many_watchers() -> Status {
    let problem = format!("{WATCHERS_MAX} watchers are connected; close one or try again later");
    let mut details = ErrorDetails::with_quota_failure_violation("watchers", &problem);
    details.set_retry_info(Some(RETRY_AFTER));
    set_reason(&mut details, "TOO_MANY_WATCHERS", &[("watchers_max", &WATCHERS_MAX.to_string())]);
    Status::with_error_details(Code::ResourceExhausted, problem, details)
}

/// The daemon ends; the watcher's last token stays good.
pub(super) fn shutting_down() -> Status {
    let mut details = ErrorDetails::with_retry_info(Some(RETRY_AFTER));
    set_reason(&mut details, "SHUTTING_DOWN", &[]);
    Status::with_error_details(Code::Unavailable, "the daemon is shutting down", details)
}

/// One explanation is worked on at a time.
pub(super) fn explaining_another() -> Status {
    let problem = "another explanation is being worked on; ask again when it is done";
    let mut details = ErrorDetails::with_quota_failure_violation("explanations", problem);
    details.set_retry_info(Some(RETRY_AFTER));
    set_reason(&mut details, "EXPLAINING_ANOTHER", &[]);
    Status::with_error_details(Code::ResourceExhausted, problem, details)
}

/// There is no explanation.
pub(super) fn not_explained(error: &ExplainError) -> Status {
    let (code, reason) = match error {
        ExplainError::NoDetection { .. } => return bad_field("detection", &error.to_string()),
        ExplainError::TooEarly => (Code::FailedPrecondition, "NOTHING_READ_YET"),
        ExplainError::TooLarge { .. } => (Code::FailedPrecondition, "STATE_TOO_LARGE"),
        ExplainError::NoAnswer => (Code::Unavailable, "PIPELINE_BUSY"),
        ExplainError::Observe(ObserveError::TooLate) => (Code::DeadlineExceeded, "OUT_OF_TIME"),
        ExplainError::Observe(ObserveError::Query(_)) | ExplainError::Detect(_) | ExplainError::Rollup(_) => {
            (Code::Internal, "QUERY_FAILED")
        }
    };
    let mut details = ErrorDetails::new();
    set_reason(&mut details, reason, &[]);
    Status::with_error_details(code, error.to_string(), details)
}

/// The store refuses to be read.
pub(super) fn store_failed(error: &StoreError) -> Status {
    tracing::error!(%error, "cannot read the store");
    let mut details = ErrorDetails::new();
    set_reason(&mut details, "STORE_FAILED", &[]);
    Status::with_error_details(Code::Internal, format!("cannot read the store: {error}"), details)
}

fn set_reason(details: &mut ErrorDetails, reason: &str, metadata: &[(&str, &str)]) {
    let metadata: HashMap<String, String> =
        metadata.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    details.set_error_info(reason, DOMAIN, metadata);
}
