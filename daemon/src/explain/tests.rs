//! Unit tests of what an explanation adds to what was observed.
