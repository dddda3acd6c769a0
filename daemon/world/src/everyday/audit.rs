//! Ordinary records of the other audit and identity logs: every service and every person has accounts of their own in
//! most of these systems, and no account is used by both.

mod clouds;
mod identities;
mod models;
mod platform;

use crate::draft::Draft;

/// Adds them.
pub(super) fn add(draft: &mut Draft) {
    clouds::add(draft);
    platform::add(draft);
    identities::add(draft);
    models::add(draft);
}
