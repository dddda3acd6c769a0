//! Not written yet.
pub mod sqlite;
pub mod segments;
