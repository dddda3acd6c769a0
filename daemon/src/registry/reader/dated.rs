//! Lists of texts of which each may have a time of its own.
//!
//! In: a key of an entry. Out: texts with their validity, or what is wrong with them.

use crate::limits::REGISTRY_LIST_MAX;
use crate::registry::errors::Problems;
use crate::registry::facts::Validity;
use crate::registry::reader::{Entry, Located};

impl Entry<'_> {
    /// Texts that may be there; each alone, or a table of `value`, `from` and `to`.
    pub(crate) fn dated(
        &mut self,
        key: &'static str,
        problems: &mut Problems,
    ) -> Vec<(Located<String>, Validity)> {
        let Some(found) = self.get(key) else { return Vec::new() };
        let Some(items) = found.get_ref().as_array() else {
            self.wrong_type(key, found, "a list of texts", problems);
            return Vec::new();
        };
        self.short_enough(key, found, items.len(), problems);
        let label = format!("{} {key}", self.label);
        let mut dated = Vec::new();
        for item in items.iter().take(REGISTRY_LIST_MAX) {
            match Entry::new(self.file, &label, item) {
                Some(mut table) => {
                    let text = table.text("value", problems);
                    let validity = table.validity(problems);
                    table.finish(problems);
                    dated.push((text, validity));
                }
                None => dated.extend(self.read_text(key, item, problems).map(|t| (t, Validity::ALWAYS))),
            }
        }
        dated
    }
}
