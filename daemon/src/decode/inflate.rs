//! Messages that their sender compressed with gzip, before Kafka saw them.
//!
//! In: a payload that starts with gzip's magic. Out: what it inflates to, or why it does not. Nothing beyond
//! INFLATED_BYTES_MAX is ever inflated; members that stand one after the other are one stream (RFC 1952, 2.2).
//! What comes out may be several JSON values, with blanks, line breaks or nothing between them, each decoded by
//! itself: Amazon Data Firehose joins records "without any delimiters" and then compresses them
//! <https://docs.aws.amazon.com/firehose/latest/dev/basic-deliver.html>. No known producer does that uncompressed,
//! so there one message stays one value.

use std::io::Read;

use flate2::bufread::MultiGzDecoder;

use super::RejectReason;
use super::json::{self, Refusal};
use crate::limits::INFLATED_BYTES_MAX;

/// RFC 1952, 2.3.1: ID1, ID2. No JSON text and no UTF-8 text starts with them.
const MAGIC: [u8; 2] = [0x1f, 0x8b];

/// Whether `payload` says that it is gzip.
pub(super) fn is_gzip(payload: &[u8]) -> bool {
    payload.starts_with(&MAGIC)
}

/// Appends what `payload` inflates to; where it is refused, what came out before the fault.
pub(super) fn inflate(payload: &[u8], into: &mut Vec<u8>) -> Result<(), Refusal> {
    let bound = INFLATED_BYTES_MAX as u64 + 1;
    match MultiGzDecoder::new(payload).take(bound).read_to_end(into) {
        Ok(_) if into.len() > INFLATED_BYTES_MAX => {
            Err(Refusal::new(RejectReason::TooLarge, "gzip: inflated message over the bound"))
        }
        Ok(_) => Ok(()),
        Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => {
            Err(Refusal::new(RejectReason::BadGzip, "gzip: ends inside the stream"))
        }
        Err(_) => Err(Refusal::new(RejectReason::BadGzip, "gzip: damaged stream")),
    }
}

/// The value at the start of `text`, and what follows it. What is no JSON ends where a line starts with a value again:
/// it must not take its neighbours down (NGINX writes lines that are no JSON until they are repaired).
pub(super) fn split_first(text: &str) -> (&str, &str) {
    json::split_first(text).unwrap_or_else(|_| {
        let mut lines = text.match_indices('\n').map(|(at, _)| at + 1);
        let next = lines.find(|at| text[*at..].starts_with(['{', '[']));
        text.split_at(next.unwrap_or(text.len()))
    })
}
