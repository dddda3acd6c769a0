//! A detection taken apart: its CTEs and its final SELECT, what each reads, and the conditions in each.
//!
//! In: the parsed statement of a detection. Out: [`StageText`]s in the order in which they are computed. Nothing
//! here runs or plans anything, and nothing here knows a detection: every query is taken apart alike.

pub(super) mod condition;
pub(super) mod lineage;

use std::collections::HashSet;

use datafusion::sql::sqlparser::ast::{
    Expr, Ident, Join, JoinConstraint, JoinOperator, ObjectName, Query, Select, SelectItem, SetExpr,
    SetOperator, TableAlias, TableFactor, TableWithJoins,
};

/// Name of the last stage, which no CTE has: it holds a space.
pub(super) const RESULT: &str = "final SELECT";

/// One CTE, one query in a FROM, or the final SELECT.
#[derive(Debug, Clone)]
pub(super) struct StageText {
    /// Under this name later stages read it.
    pub name: String,
    /// Names of its columns where the CTE's alias gives some.
    pub columns: Vec<String>,
    /// What computes it from earlier stages and tables; without WITH.
    pub query: Query,
    /// Its SELECTs: one, or one for each branch of a UNION. None where it is something else.
    pub blocks: Vec<Select>,
}

/// One table or stage that a SELECT reads.
#[derive(Debug, Clone)]
pub(super) struct Relation {
    /// Table, rollup or stage.
    pub name: String,
    /// How the SELECT calls it.
    pub alias: String,
    /// Whether a row may do without it: the right side of a LEFT JOIN.
    pub is_outer: bool,
    /// What joins it, AND by AND.
    pub on: Vec<Expr>,
}

/// The stages of a query, the final SELECT last.
pub(super) fn stages_of(query: &Query) -> Vec<StageText> {
    let mut taken = Taken::default();
    for cte in query.with.iter().flat_map(|with| &with.cte_tables) {
        let columns = cte.alias.columns.iter().map(|c| folded(&c.name)).collect();
        taken.take(folded(&cte.alias.name), columns, &cte.query);
    }
    let last = Query { with: None, ..query.clone() };
    taken.take(RESULT.to_owned(), Vec::new(), &last);
    taken.stages
}

#[derive(Default)]
struct Taken {
    stages: Vec<StageText>,
    names: HashSet<String>,
}

impl Taken {
    fn take(&mut self, name: String, columns: Vec<String>, query: &Query) {
        let mut query = query.clone();
        let mut blocks = Vec::new();
        // A WITH of its own has names that only it sees: it is computed whole.
        if query.with.is_none() && self.hoist(&name, &mut query.body, 0).is_some() {
            selects_of(&query.body, &mut blocks);
        }
        self.names.insert(name.clone());
        self.stages.push(StageText { name, columns, query, blocks });
    }

    /// Turns queries in FROM into stages of their own. `None` where the body is no SELECT or UNION.
    fn hoist(&mut self, name: &str, body: &mut SetExpr, count: usize) -> Option<usize> {
        match body {
            SetExpr::Select(select) => {
                let factors = select.from.iter_mut().flat_map(|from| {
                    std::iter::once(&mut from.relation)
                        .chain(from.joins.iter_mut().map(|join| &mut join.relation))
                });
                let mut count = count;
                for factor in factors {
                    count += usize::from(self.hoist_factor(name, factor, count));
                }
                Some(count)
            }
            SetExpr::SetOperation { op: SetOperator::Union, left, right, .. } => {
                let count = self.hoist(name, left, count)?;
                self.hoist(name, right, count)
            }
            _ => None,
        }
    }

    fn hoist_factor(&mut self, name: &str, factor: &mut TableFactor, count: usize) -> bool {
        let TableFactor::Derived { lateral: false, subquery, alias, .. } = factor else { return false };
        let inner = format!("{name} part {}", count + 1);
        let columns = alias.iter().flat_map(|a| &a.columns).map(|c| folded(&c.name)).collect();
        self.take(inner.clone(), columns, &subquery.clone());
        let called = alias.as_ref().map_or_else(|| quoted(&inner), |alias| alias.name.clone());
        *factor = table_factor(quoted(&inner), called);
        true
    }
}

fn table_factor(name: Ident, called: Ident) -> TableFactor {
    TableFactor::Table {
        name: ObjectName::from(vec![name]),
        alias: Some(TableAlias { explicit: true, name: called, columns: Vec::new(), at: None }),
        args: None,
        with_hints: Vec::new(),
        version: None,
        with_ordinality: false,
        partitions: Vec::new(),
        json_path: None,
        sample: None,
        index_hints: Vec::new(),
    }
}

fn selects_of(body: &SetExpr, blocks: &mut Vec<Select>) {
    match body {
        SetExpr::Select(select) => blocks.push((**select).clone()),
        SetExpr::SetOperation { left, right, .. } => {
            selects_of(left, blocks);
            selects_of(right, blocks);
        }
        _ => {}
    }
}

/// A name that is taken as it is written.
pub(super) fn quoted(name: &str) -> Ident {
    Ident::with_quote('"', name)
}

/// A name as the planner reads it: lower case unless it is quoted.
pub(super) fn folded(name: &Ident) -> String {
    if name.quote_style.is_some() { name.value.clone() } else { name.value.to_lowercase() }
}

/// What a SELECT reads, in order. `None` where it joins in a way that conditions cannot be followed through.
pub(super) fn relations_of(select: &Select) -> Option<Vec<Relation>> {
    let mut relations = Vec::new();
    for from in &select.from {
        relations.push(relation(&from.relation, false, Vec::new())?);
        for join in &from.joins {
            let (is_outer, on) = joined_by(&join.join_operator)?;
            let mut conditions = Vec::new();
            on.iter().for_each(|on| condition::conjuncts(on, &mut conditions));
            relations.push(relation(&join.relation, is_outer, conditions)?);
        }
    }
    Some(relations)
}

fn joined_by(operator: &JoinOperator) -> Option<(bool, Option<Expr>)> {
    let (is_outer, constraint) = match operator {
        JoinOperator::Join(c) | JoinOperator::Inner(c) | JoinOperator::CrossJoin(c) => (false, c),
        JoinOperator::Left(c) | JoinOperator::LeftOuter(c) => (true, c),
        _ => return None,
    };
    match constraint {
        JoinConstraint::On(on) => Some((is_outer, Some(on.clone()))),
        JoinConstraint::None => Some((is_outer, None)),
        JoinConstraint::Using(_) | JoinConstraint::Natural => None,
    }
}

fn relation(factor: &TableFactor, is_outer: bool, on: Vec<Expr>) -> Option<Relation> {
    let TableFactor::Table { name, alias, args: None, .. } = factor else { return None };
    let name = folded(name.0.last()?.as_ident()?);
    let alias = alias.as_ref().map_or_else(|| name.clone(), |alias| folded(&alias.name));
    Some(Relation { name, alias, is_outer, on })
}

/// FROM with other ON conditions: `on` by relation, in order.
pub(super) fn from_with(select: &Select, on: &[Vec<Expr>]) -> Vec<TableWithJoins> {
    let mut on = on.iter();
    let mut with = |from: &TableWithJoins| {
        on.next();
        let joins = from.joins.iter().map(|join| with_on(join, on.next().map_or(&[], Vec::as_slice)));
        TableWithJoins { relation: from.relation.clone(), joins: joins.collect() }
    };
    select.from.iter().map(&mut with).collect()
}

fn with_on(join: &Join, on: &[Expr]) -> Join {
    let constraint = condition::all_of(on.iter().cloned()).map(JoinConstraint::On);
    let join_operator = match (&join.join_operator, constraint) {
        (JoinOperator::Left(_) | JoinOperator::LeftOuter(_), Some(on)) => JoinOperator::Left(on),
        (JoinOperator::Left(_) | JoinOperator::LeftOuter(_), None) => join.join_operator.clone(),
        (_, Some(on)) => JoinOperator::Inner(on),
        (_, None) => JoinOperator::CrossJoin(JoinConstraint::None),
    };
    Join { join_operator, ..join.clone() }
}

/// The expression of the output column `name`, which is number `index` of the stage's columns.
pub(super) fn output(select: &Select, relations: &[Relation], name: &str, index: usize) -> Option<Expr> {
    let named = |item: &SelectItem| match item {
        SelectItem::ExprWithAlias { expr, alias } if folded(alias) == name => Some(expr.clone()),
        SelectItem::UnnamedExpr(expr) if plain_column(expr).is_some_and(|(_, column)| column == name) => {
            Some(expr.clone())
        }
        _ => None,
    };
    if let Some(expr) = select.projection.iter().find_map(named) {
        return Some(expr);
    }
    let is_wild =
        |item: &SelectItem| matches!(item, SelectItem::Wildcard(_) | SelectItem::QualifiedWildcard(..));
    if !select.projection.iter().any(is_wild) {
        return match select.projection.get(index)? {
            SelectItem::ExprWithAlias { expr, .. } | SelectItem::UnnamedExpr(expr) => Some(expr.clone()),
            _ => None,
        };
    }
    match (select.projection.iter().find(|item| is_wild(item))?, relations) {
        (SelectItem::QualifiedWildcard(of, _), _) => {
            let alias = of.to_string().trim_end_matches(".*").to_owned();
            Some(Expr::CompoundIdentifier(vec![Ident::new(alias), quoted(name)]))
        }
        _ => Some(Expr::Identifier(quoted(name))),
    }
}

/// Alias, where it is written, and name of a column that stands for itself.
pub(super) fn plain_column(expr: &Expr) -> Option<(Option<String>, String)> {
    match expr {
        Expr::Identifier(name) => Some((None, folded(name))),
        Expr::CompoundIdentifier(parts) => match parts.as_slice() {
            [alias, name] => Some((Some(folded(alias)), folded(name))),
            _ => None,
        },
        Expr::Nested(inner) => plain_column(inner),
        _ => None,
    }
}
