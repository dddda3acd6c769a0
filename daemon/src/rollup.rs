//! Not written yet.
pub mod state;
pub mod watermark;
