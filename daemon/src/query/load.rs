//! Stub until the loader lands.

/// A case that a query carries.
#[derive(Debug, Clone)]
pub struct Case {}
