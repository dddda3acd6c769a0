//! Stub.
use crate::registry::Registry;
use crate::schema::*;
use std::path::Path;
use std::sync::Arc;
/// S
#[derive(Debug, thiserror::Error)]
pub enum EnrichError {
    /// S
    #[error("x")]
    X,
}
/// S
pub struct Signals;
impl Signals {
    /// S
    pub fn load(_: Option<&Path>) -> Result<Self, EnrichError> {
        Ok(Self)
    }
}
/// S
pub struct CredentialKey;
impl CredentialKey {
    /// S
    pub fn from_file_or_create(_: &Path) -> Result<Self, EnrichError> {
        Ok(Self)
    }
    /// S
    pub fn from_bytes(_: [u8; 32]) -> Self {
        Self
    }
}
/// S
pub struct Enricher;
impl Enricher {
    /// S
    pub fn new(_: Arc<Registry>, _: Arc<Signals>, _: CredentialKey, _: u32) -> Self {
        Self
    }
    /// S
    pub fn enrich(
        &mut self,
        _: EventBatch,
        _: &crate::metrics::Metrics,
    ) -> Result<EnrichedBatch, EnrichError> {
        Err(EnrichError::X)
    }
    /// S
    pub fn replace_registry(&mut self, _: Arc<Registry>) {}
}
