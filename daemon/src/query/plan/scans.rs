//! Which tables and columns a plan reads.
//!
//! In: a logical plan. Out: its scans; of an optimised plan only the columns that anything asks for.

use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::logical_expr::LogicalPlan;

/// Names of the tables that a plan reads.
pub(crate) fn tables_of(plan: &LogicalPlan) -> Vec<String> {
    scans_of(plan).into_iter().map(|scan| scan.table).collect()
}

/// A table that a plan reads, and which of its columns.
pub(crate) struct Scan {
    pub(crate) table: String,
    pub(crate) columns: Vec<usize>,
}

/// What a plan reads; a table may come more than once.
pub(super) fn scans_of(plan: &LogicalPlan) -> Vec<Scan> {
    let mut scans = Vec::new();
    let visit = |node: &LogicalPlan| {
        if let LogicalPlan::TableScan(scan) = node {
            let all = || (0..scan.source.schema().fields().len()).collect();
            let columns = scan.projection.clone().unwrap_or_else(all);
            scans.push(Scan { table: scan.table_name.table().to_owned(), columns });
        }
        Ok(TreeNodeRecursion::Continue)
    };
    plan.apply_with_subqueries(visit).expect("the visitor never fails");
    scans
}
