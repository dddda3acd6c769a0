//! Not written yet.
pub mod load;
pub mod watch;
