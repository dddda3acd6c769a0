//! Not written yet.

/// A case that a query carries.
#[derive(Debug, Clone)]
pub struct Case {}
