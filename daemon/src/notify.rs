//! Not written yet.
pub mod alertmanager;
