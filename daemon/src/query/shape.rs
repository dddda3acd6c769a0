//! What a rollup query may look like, and how its partial rows merge.
//!
//! In: logical plans. Out: merge rules and plain schemas, or a refusal that names the file and the fix.
//! Nothing here runs a query.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::error::DataFusionError;
use datafusion::logical_expr::{Aggregate, Expr, LogicalPlan, LogicalPlanBuilder, Projection};
use datafusion::prelude::col;

use crate::query::functions;
use crate::query::plan::{GRID_COLUMN, Merge, PlanError};
use crate::query::{QueryText, RollupQuery};

/// Refuses functions outside the allow-list, in sub-queries too.
pub(super) fn check_functions(text: &QueryText, plan: &LogicalPlan) -> Result<(), PlanError> {
    match first_in(text, plan, refused_function)? {
        Some(name) => Err(PlanError::refused(
            text,
            format!("function `{name}` is not allowed here; see the list in query/functions.rs"),
        )),
        None => Ok(()),
    }
}

/// What `look` first finds in the plan's expressions, in sub-queries too.
fn first_in<T>(
    text: &QueryText,
    plan: &LogicalPlan,
    look: impl Fn(&Expr) -> Option<T>,
) -> Result<Option<T>, PlanError> {
    let mut found = None;
    let visit = |node: &LogicalPlan| {
        for expression in node.expressions() {
            expression.apply(|e| {
                if found.is_none() {
                    found = look(e);
                }
                Ok(TreeNodeRecursion::Continue)
            })?;
        }
        Ok(TreeNodeRecursion::Continue)
    };
    plan.apply_with_subqueries(visit).map_err(|e| PlanError::refused(text, e))?;
    Ok(found)
}

fn refused_function(expression: &Expr) -> Option<String> {
    let known = |name: &str, lists: &[&[&str]]| lists.iter().any(|l| l.contains(&name));
    match expression {
        Expr::ScalarFunction(f) if !known(f.name(), &[functions::SCALAR_FUNCTIONS]) => {
            Some(f.name().to_owned())
        }
        Expr::AggregateFunction(f)
            if !known(f.func.name(), &[functions::MERGEABLE_AGGREGATES, functions::DETECTION_AGGREGATES]) =>
        {
            Some(f.func.name().to_owned())
        }
        _ => None,
    }
}

/// Refuses whatever is no part of a SELECT over registered tables: DESCRIBE, EXPLAIN, functions that make tables.
pub(super) fn check_nodes(
    text: &QueryText,
    plan: &LogicalPlan,
    is_registered: impl Fn(&str) -> bool,
) -> Result<(), PlanError> {
    let mut refused = None;
    let visit = |node: &LogicalPlan| {
        let found = match node {
            LogicalPlan::TableScan(scan) => {
                let name = scan.table_name.table();
                (!is_registered(name)).then(|| format!("`{name}` is no table; see `shadowprod schema`"))
            }
            LogicalPlan::Projection(_)
            | LogicalPlan::Filter(_)
            | LogicalPlan::Window(_)
            | LogicalPlan::Aggregate(_)
            | LogicalPlan::Sort(_)
            | LogicalPlan::Join(_)
            | LogicalPlan::Union(_)
            | LogicalPlan::EmptyRelation(_)
            | LogicalPlan::Subquery(_)
            | LogicalPlan::SubqueryAlias(_)
            | LogicalPlan::Limit(_)
            | LogicalPlan::Values(_)
            | LogicalPlan::Distinct(_) => None,
            _ => Some("a query is one SELECT, and this is or holds something else; take it out".to_owned()),
        };
        refused = refused.take().or(found);
        Ok(TreeNodeRecursion::Continue)
    };
    plan.apply_with_subqueries(visit).map_err(|e| PlanError::refused(text, e))?;
    refused.map_or(Ok(()), |message| Err(PlanError::refused(text, message)))
}

/// Refuses `as_of()` in a rollup: rows are made once, whenever their events come.
pub(super) fn check_timeless(text: &QueryText, plan: &LogicalPlan) -> Result<(), PlanError> {
    let is_as_of = |e: &Expr| matches!(e, Expr::ScalarFunction(f) if f.name() == "as_of").then_some(());
    if first_in(text, plan, is_as_of)?.is_some() {
        let message = "`as_of()` is not allowed in a rollup, whose rows are made once: compare with it in the detection";
        return Err(PlanError::refused(text, message));
    }
    Ok(())
}

const SHAPE: &str = "a rollup is SELECT group columns and aggregates FROM events [WHERE ...] GROUP BY ...: no HAVING, ORDER BY, LIMIT, joins or computation on aggregates (do that in the detection)";

/// The projection and the aggregate that a rollup is made of.
pub(super) fn shape_of<'a>(
    text: &QueryText,
    plan: &'a LogicalPlan,
) -> Result<(&'a Projection, &'a Aggregate), PlanError> {
    if let LogicalPlan::Projection(projection) = plan
        && let LogicalPlan::Aggregate(aggregate) = projection.input.as_ref()
    {
        return Ok((projection, aggregate));
    }
    Err(PlanError::refused(text, SHAPE))
}

/// How each output column merges, the grid column last.
pub(super) fn merges_of(
    text: &QueryText,
    projection: &Projection,
    aggregate: &Aggregate,
) -> Result<Vec<Merge>, PlanError> {
    let mut merges = Vec::with_capacity(projection.expr.len() + 1);
    for expression in &projection.expr {
        let Expr::Column(column) = expression.clone().unalias_nested().data else {
            return Err(PlanError::refused(text, format!("`{expression}`: {SHAPE}")));
        };
        let index = aggregate.schema.index_of_column(&column).map_err(|e| PlanError::refused(text, e))?;
        merges.push(match index.checked_sub(aggregate.group_expr.len()) {
            None => Merge::Key,
            Some(i) => merge_of(text, &aggregate.aggr_expr[i])?,
        });
    }
    merges.push(Merge::Key);
    Ok(merges)
}

fn merge_of(text: &QueryText, expression: &Expr) -> Result<Merge, PlanError> {
    let Expr::AggregateFunction(function) = expression.clone().unalias_nested().data else {
        return Err(PlanError::refused(text, format!("`{expression}` is not an aggregate")));
    };
    if function.params.distinct {
        return Err(PlanError::refused(
            text,
            "DISTINCT does not merge: keep `hll_sketch(value)` and ask `hll_estimate` in the detection, or group by the value and count rows there",
        ));
    }
    match function.func.name() {
        "count" | "sum" => Ok(Merge::Sum),
        "min" => Ok(Merge::Min),
        "max" => Ok(Merge::Max),
        "bool_or" | "bit_or" => Ok(Merge::Or),
        "hll_sketch" => Ok(Merge::Sketch),
        name => Err(PlanError::refused(
            text,
            format!(
                "aggregate `{name}` does not merge; a rollup may use {:?}",
                functions::MERGEABLE_AGGREGATES
            ),
        )),
    }
}

/// The same query, grouped by the grid column as well.
pub(super) fn with_grid(
    projection: &Projection,
    aggregate: &Aggregate,
) -> Result<LogicalPlan, DataFusionError> {
    let mut groups = aggregate.group_expr.clone();
    groups.push(col(GRID_COLUMN));
    let mut output = projection.expr.clone();
    output.push(col(GRID_COLUMN));
    LogicalPlanBuilder::from(aggregate.input.as_ref().clone())
        .aggregate(groups, aggregate.aggr_expr.clone())?
        .project(output)?
        .build()
}

fn plain_type(data_type: &DataType) -> DataType {
    match data_type {
        DataType::Dictionary(_, value) => plain_type(value),
        DataType::Utf8View | DataType::LargeUtf8 => DataType::Utf8,
        other => other.clone(),
    }
}

/// The output schema without dictionaries and views; refuses types that state cannot keep.
pub(super) fn plain_schema(
    text: &QueryText,
    schema: &Schema,
    merges: &[Merge],
) -> Result<SchemaRef, PlanError> {
    let mut fields = Vec::new();
    for (field, merge) in schema.fields().iter().zip(merges) {
        let data_type = plain_type(field.data_type());
        let sum_of_floats = *merge == Merge::Sum && data_type == DataType::Float64;
        if sum_of_floats {
            let message = format!(
                "`{}` sums floating-point numbers: the result would depend on their order; scale to integers first",
                field.name()
            );
            return Err(PlanError::refused(text, message));
        }
        let is_sketch = *merge == Merge::Sketch && data_type == DataType::Binary;
        if !is_sketch && !is_supported(&data_type) {
            let message = format!(
                "`{}` has type {data_type}; cast it to BIGINT, DOUBLE, BOOLEAN, VARCHAR or TIMESTAMP",
                field.name()
            );
            return Err(PlanError::refused(text, message));
        }
        fields.push(Field::new(field.name(), data_type, true));
    }
    Ok(Arc::new(Schema::new(fields)))
}

fn is_supported(data_type: &DataType) -> bool {
    matches!(
        data_type,
        DataType::Int64
            | DataType::Float64
            | DataType::Boolean
            | DataType::Utf8
            | DataType::Timestamp(TimeUnit::Microsecond, None)
    )
}

/// The front matter names group columns.
pub(super) fn check_named_columns(
    query: &RollupQuery,
    schema: &SchemaRef,
    merges: &[Merge],
) -> Result<(), PlanError> {
    let is_key = |name: &str| schema.index_of(name).is_ok_and(|i| merges[i] == Merge::Key);
    let named = [("bucket", Some(&query.bucket)), ("subject", Some(&query.subject))];
    let linking = [("issues", query.issues.as_ref()), ("presents", query.presents.as_ref())];
    for (role, name) in named.into_iter().chain(linking) {
        let Some(name) = name else { continue };
        if !is_key(name) {
            return Err(PlanError::refused(
                &query.text,
                format!(
                    "front matter says {role} = \"{name}\", but the query does not group by a column of that name"
                ),
            ));
        }
    }
    for (role, name) in [("subject", Some(&query.subject))].into_iter().chain(linking) {
        let field = name.and_then(|name| schema.field_with_name(name).ok());
        if let Some(field) = field.filter(|f| *f.data_type() != DataType::Utf8) {
            let message = format!("{role} `{}` must be text", field.name());
            return Err(PlanError::refused(&query.text, message));
        }
    }
    let bucket = schema.field_with_name(&query.bucket).map(|f| f.data_type().clone());
    if bucket.is_ok_and(|t| t != DataType::Timestamp(TimeUnit::Microsecond, None)) {
        return Err(PlanError::refused(
            &query.text,
            format!("bucket `{}` must be date_bin(INTERVAL ..., event_time)", query.bucket),
        ));
    }
    Ok(())
}
