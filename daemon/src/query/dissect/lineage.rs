//! Which column of each stage holds the subject, and which stages a row cannot do without.
//!
//! In: stages and the columns that each returned. Out: [`Lineage`]: found from the final SELECT's `subject` column
//! backwards, through plain columns and through equal columns of joined tables.

use std::collections::{BTreeMap, BTreeSet};

use datafusion::sql::sqlparser::ast::{BinaryOperator, Expr, Select};

use super::{Relation, StageText, condition, output, plain_column, relations_of};

/// Columns by stage or table.
pub(in crate::query) type Columns = BTreeMap<String, Vec<String>>;

/// Where the subject is found.
#[derive(Debug, Default)]
pub(in crate::query) struct Lineage {
    /// By stage or table: the column that holds the subject.
    pub subject: BTreeMap<String, String>,
    /// Stages and tables without whose rows the final SELECT has none.
    pub required: BTreeSet<String>,
}

/// Alias and column.
type Place = (String, String);

/// Follows the column `subject` of the final SELECT through `stages`.
pub(in crate::query) fn of(stages: &[StageText], columns: &Columns) -> Lineage {
    let mut lineage = Lineage::default();
    let Some(last) = stages.last() else { return lineage };
    lineage.subject.insert(last.name.clone(), "subject".to_owned());
    lineage.required.insert(last.name.clone());
    for stage in stages.iter().rev() {
        for select in &stage.blocks {
            let Some(relations) = relations_of(select) else { continue };
            if lineage.required.contains(&stage.name) && stage.blocks.len() == 1 {
                let needed = relations.iter().filter(|r| !r.is_outer).map(|r| r.name.clone());
                lineage.required.extend(needed);
            }
            let Some(subject) = subject_of(stage, select, &relations, &lineage, columns) else { continue };
            for (alias, column) in equal_to(&subject, select, &relations, columns) {
                let Some(relation) = relations.iter().find(|r| r.alias == alias) else { continue };
                lineage.subject.entry(relation.name.clone()).or_insert(column);
            }
        }
    }
    lineage
}

/// The expression that gives a SELECT's row its subject.
pub(in crate::query) fn subject_of(
    stage: &StageText,
    select: &Select,
    relations: &[Relation],
    lineage: &Lineage,
    columns: &Columns,
) -> Option<Expr> {
    let name = lineage.subject.get(&stage.name)?;
    let index = columns.get(&stage.name)?.iter().position(|column| column == name)?;
    output(select, relations, name, index)
}

/// Columns of the relations that are the subject or are joined to it by `=`.
pub(in crate::query) fn equal_to(
    subject: &Expr,
    select: &Select,
    relations: &[Relation],
    columns: &Columns,
) -> BTreeSet<Place> {
    let mut conditions: Vec<Expr> = relations.iter().flat_map(|r| r.on.clone()).collect();
    select.selection.iter().for_each(|filter| condition::conjuncts(filter, &mut conditions));
    let pairs: Vec<(Place, Place)> =
        conditions.iter().filter_map(|c| equal_columns(c, relations, columns)).collect();
    let mut found: BTreeSet<Place> = place_of(subject, relations, columns).into_iter().collect();
    loop {
        let linked = pairs.iter().flat_map(|(a, b)| match (found.contains(a), found.contains(b)) {
            (true, false) => Some(b.clone()),
            (false, true) => Some(a.clone()),
            _ => None,
        });
        let linked: Vec<Place> = linked.collect();
        if linked.is_empty() {
            return found;
        }
        found.extend(linked);
    }
}

/// The two columns of an `a.x = b.y`.
pub(in crate::query) fn equal_columns(
    expr: &Expr,
    relations: &[Relation],
    columns: &Columns,
) -> Option<(Place, Place)> {
    match expr {
        Expr::Nested(inner) => equal_columns(inner, relations, columns),
        Expr::BinaryOp { left, op: BinaryOperator::Eq, right } => {
            Some((place_of(left, relations, columns)?, place_of(right, relations, columns)?))
        }
        _ => None,
    }
}

/// Whose column a plain column is.
pub(in crate::query) fn place_of(expr: &Expr, relations: &[Relation], columns: &Columns) -> Option<Place> {
    let (alias, name) = plain_column(expr)?;
    if let Some(alias) = alias {
        return Some((alias, name));
    }
    let has = |r: &&Relation| columns.get(&r.name).is_some_and(|columns| columns.contains(&name));
    relations.iter().find(has).map(|r| (r.alias.clone(), name.clone()))
}
