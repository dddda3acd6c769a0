//! Takes pilots and their owners from catalog entities of Backstage, beside our own TOML tables.
//!
//! In: YAML files, and what the TOML files declared. Out: the same facts that `[[pilot]]`, `[[team]]`, `[[group]]`
//! and `[[person]]` become, through the same readers and checks. Only what carries `shadowprod.io/pilot` becomes
//! a pilot; everything else is skipped and counted. Nothing here says that a pilot was promoted: [[promotion]] does.

mod entity;
mod owners;
mod pilot;
#[cfg(test)]
mod tests;

use super::entries::Parts;
use super::errors::Problems;
use super::reader::TextFile;
use super::yaml;
use entity::Entity;
use owners::Owners;

/// What the documents of a registry's YAML files came to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CatalogCounts {
    /// All documents, those that are no entities included.
    pub entities: usize,
    /// Those that gave nothing: other kinds, components that are no pilots, users and groups that nobody could
    /// reach or that the TOML files declare.
    pub skipped: usize,
}

/// Reads `files` into `parts`, which holds all that the TOML files declare.
pub(super) fn read(files: &[TextFile], parts: &mut Parts, problems: &mut Problems) -> CatalogCounts {
    let mut documents = Vec::new();
    for file in files {
        documents.extend(yaml::documents(file, problems).into_iter().map(|root| (file, root)));
    }
    documents.retain(|(_, root)| !matches!(root.value, yaml::Value::Null));
    let found = documents.iter().filter_map(|(file, root)| Entity::read(file, root, problems));
    let entities: Vec<Entity<'_>> = found.collect();
    let mut owners = Owners::read(&entities, parts, problems);
    let mut used = owners.used();
    for entity in entities.iter().filter(|entity| !entity.is_owner()) {
        used += usize::from(pilot::read(entity, &mut owners, parts, problems));
    }
    owners.warn_of_strangers(problems);
    CatalogCounts { entities: documents.len(), skipped: documents.len() - used }
}
