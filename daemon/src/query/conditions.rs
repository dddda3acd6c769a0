//! A query without one of its conditions, for each of them.
//!
//! In: the SQL of a query. Out: its [`Condition`]s, each with the SQL that is left where it decides nothing: an
//! operand of AND, a WHERE, HAVING, ON, FILTER or CASE WHEN became TRUE, an operand of OR became FALSE. What only
//! words a title or an explanation is no condition here. Nothing is planned or run.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    BinaryOperator, Expr, FunctionArguments, JoinConstraint, JoinOperator, Query, Select, SelectItem,
    SetExpr, Spanned, Statement, Value, VisitMut, VisitorMut,
};
use datafusion::sql::sqlparser::dialect::GenericDialect;
use datafusion::sql::sqlparser::parser::Parser;

use super::QueryText;
use super::dissect::folded;

/// Ends the line of a condition that no case can decide; why not follows.
pub const DECLARATION: &str = "-- no case: ";

/// Columns of the final SELECT that people read and nothing goes by.
const WORDING: [&str; 2] = ["title", "explanation"];

/// One condition of a query.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Condition {
    /// Line of the file on which it starts, from 1.
    pub line: usize,
    /// As the parser writes it.
    pub text: String,
    /// The query without it.
    pub sql: String,
    /// Why no case decides it, where its line says so.
    pub declared: Option<String>,
}

/// The conditions of a query in the order of its lines, and the query as the parser writes it. `None` where it is
/// not one SELECT: planning says what is wrong with it.
pub fn conditions(query: &QueryText) -> Option<(Vec<Condition>, String)> {
    let mut statements = Parser::parse_sql(&GenericDialect {}, &query.sql).ok()?;
    let (Some(Statement::Query(parsed)), true) = (statements.pop(), statements.is_empty()) else {
        return None;
    };
    let mut found = Taker { target: usize::MAX, seen: Vec::new() };
    take(&mut parsed.clone(), &mut found);
    let lines: Vec<&str> = query.sql.lines().collect();
    let condition = |(target, (line, text)): (usize, &(usize, String))| {
        let mut left = parsed.clone();
        take(&mut left, &mut Taker { target, seen: Vec::new() });
        let written = line.checked_sub(1).and_then(|index| lines.get(index));
        let declared = written.and_then(|l| l.split_once(DECLARATION)).map(|(_, why)| why.trim().to_owned());
        let line = (query.sql_line + line).saturating_sub(1);
        Condition { line, text: text.clone(), sql: left.to_string(), declared }
    };
    let mut conditions: Vec<Condition> = found.seen.iter().enumerate().map(condition).collect();
    conditions.sort_by_key(|c| c.line);
    Some((conditions, parsed.to_string()))
}

/// Shows `taker` all of `query` but the wording of its final SELECT.
fn take(query: &mut Query, taker: &mut Taker) {
    let mut wording = Vec::new();
    if let SetExpr::Select(select) = query.body.as_mut() {
        for (index, item) in select.projection.iter_mut().enumerate() {
            if let SelectItem::ExprWithAlias { expr, alias } = item
                && WORDING.contains(&folded(alias).as_str())
            {
                wording.push((index, std::mem::replace(expr, value(Value::Null))));
            }
        }
    }
    // It never breaks.
    let _ = VisitMut::visit(query, taker);
    if let SetExpr::Select(select) = query.body.as_mut() {
        for (index, words) in wording {
            if let SelectItem::ExprWithAlias { expr, .. } = &mut select.projection[index] {
                *expr = words;
            }
        }
    }
}

fn value(value: Value) -> Expr {
    Expr::Value(value.with_empty_span())
}

/// Counts conditions as the visitor comes upon them and takes out the one of that number.
struct Taker {
    target: usize,
    /// Line in the SQL and text of each.
    seen: Vec<(usize, String)>,
}

impl Taker {
    /// What stands alone where a condition is asked for: AND is no condition but several.
    fn root(&mut self, expr: &mut Expr) {
        if !is_op(expr, &BinaryOperator::And) {
            self.condition(expr, true);
        }
    }

    fn condition(&mut self, expr: &mut Expr, left: bool) {
        if self.seen.len() == self.target {
            *expr = value(Value::Boolean(left));
            self.seen.push((0, String::new()));
            return;
        }
        let line = usize::try_from(expr.span().start.line).unwrap_or(0);
        self.seen.push((line, expr.to_string()));
    }

    fn join(&mut self, operator: &mut JoinOperator) {
        if let JoinOperator::Join(JoinConstraint::On(on))
        | JoinOperator::Inner(JoinConstraint::On(on))
        | JoinOperator::Left(JoinConstraint::On(on))
        | JoinOperator::LeftOuter(JoinConstraint::On(on)) = operator
        {
            self.root(on);
        }
    }
}

/// Whether `expr`, taken out of its parentheses, is made of operands by `op`.
fn is_op(expr: &Expr, op: &BinaryOperator) -> bool {
    match expr {
        Expr::Nested(inner) => is_op(inner, op),
        Expr::BinaryOp { op: found, .. } => found == op,
        _ => false,
    }
}

impl VisitorMut for Taker {
    type Break = ();

    fn pre_visit_select(&mut self, select: &mut Select) -> ControlFlow<()> {
        select.selection.iter_mut().chain(select.having.iter_mut()).for_each(|expr| self.root(expr));
        let joins = select.from.iter_mut().flat_map(|from| &mut from.joins);
        joins.for_each(|join| self.join(&mut join.join_operator));
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        match expr {
            Expr::BinaryOp { left, op: op @ (BinaryOperator::And | BinaryOperator::Or), right } => {
                for side in [left, right] {
                    if !is_op(side, op) {
                        self.condition(side, *op == BinaryOperator::And);
                    }
                }
            }
            Expr::Case { operand: None, conditions, .. } => {
                conditions.iter_mut().for_each(|when| self.root(&mut when.condition));
            }
            Expr::Function(function) if !matches!(function.args, FunctionArguments::Subquery(_)) => {
                function.filter.iter_mut().for_each(|filter| self.root(filter));
            }
            _ => {}
        }
        ControlFlow::Continue(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(sql: &str, expected: &[(usize, &str, &str)]) {
        let text = QueryText {
            id: "tried".to_owned(),
            version: 1,
            path: "tried.sql".into(),
            sql: sql.to_owned(),
            sql_line: 11,
            sha256: String::new(),
            parameters: std::collections::BTreeMap::new(),
        };
        let (found, _) = conditions(&text).expect("one SELECT");
        let found: Vec<(usize, &str, &str)> =
            found.iter().map(|c| (c.line, c.text.as_str(), c.sql.as_str())).collect();
        assert_eq!(found, expected, "{sql}");
    }

    #[test]
    fn each_condition_is_taken_out_by_itself() {
        check(
            "SELECT a FROM t\nWHERE a > 1\n  AND NOT b",
            &[
                (12, "a > 1", "SELECT a FROM t WHERE true AND NOT b"),
                (13, "NOT b", "SELECT a FROM t WHERE a > 1 AND true"),
            ],
        );
        check(
            "SELECT a FROM t WHERE a > 1 AND (b\nOR c)",
            &[
                (11, "a > 1", "SELECT a FROM t WHERE true AND (b OR c)"),
                (11, "(b OR c)", "SELECT a FROM t WHERE a > 1 AND true"),
                (11, "b", "SELECT a FROM t WHERE a > 1 AND (false OR c)"),
                (12, "c", "SELECT a FROM t WHERE a > 1 AND (b OR false)"),
            ],
        );
        check(
            "SELECT count(*) FILTER (WHERE b) AS n FROM t\nLEFT JOIN u ON u.a = t.a\nHAVING count(*) > 1",
            &[
                (
                    11,
                    "b",
                    "SELECT count(*) FILTER (WHERE true) AS n FROM t LEFT JOIN u ON u.a = t.a HAVING count(*) > 1",
                ),
                (
                    12,
                    "u.a = t.a",
                    "SELECT count(*) FILTER (WHERE b) AS n FROM t LEFT JOIN u ON true HAVING count(*) > 1",
                ),
                (
                    13,
                    "count(*) > 1",
                    "SELECT count(*) FILTER (WHERE b) AS n FROM t LEFT JOIN u ON u.a = t.a HAVING true",
                ),
            ],
        );
    }

    #[test]
    fn wording_holds_no_condition() {
        check(
            "SELECT CASE WHEN a THEN 1 ELSE 2 END AS score, CASE WHEN a THEN 'x' ELSE 'y' END AS title FROM t",
            &[(
                11,
                "a",
                "SELECT CASE WHEN true THEN 1 ELSE 2 END AS score, CASE WHEN a THEN 'x' ELSE 'y' END AS title FROM t",
            )],
        );
    }
}
