//! Ordinary records of the other audit and identity logs.

use crate::draft::Draft;

/// Adds them.
pub(super) fn add(_draft: &mut Draft) {}
