//! Conditions taken apart: AND, OR, NOT and the comparisons between them.
//!
//! In: expressions of a detection. Out: [`Tree`]s whose leaves name the two sides of what is compared, and the
//! places of a SELECT in which conditions stand. Nothing here is evaluated.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    BinaryOperator, Expr, GroupByExpr, Query, Select, SelectItem, Spanned, UnaryOperator, Value, Visit,
    Visitor,
};

use super::folded;
use crate::query::functions::{DETECTION_AGGREGATES, MERGEABLE_AGGREGATES};

/// How the sides of a leaf are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::query) enum Compare {
    /// The first is at least the second.
    AtLeast,
    /// The first is more than the second.
    Above,
    /// The first is at most the second.
    AtMost,
    /// The first is less than the second.
    Below,
    /// The first equals the second.
    Equal,
    /// The first is within the second and the third, both included.
    Within,
    /// Anything else: only the first side is shown.
    Other,
}

/// A condition and the conditions it is made of.
#[derive(Debug, Clone)]
pub(in crate::query) struct Tree {
    /// As it was written.
    pub expr: Expr,
    /// What it is made of.
    pub shape: Shape,
}

/// What a condition is made of.
#[derive(Debug, Clone)]
pub(in crate::query) enum Shape {
    /// AND.
    All(Vec<Tree>),
    /// OR.
    Any(Vec<Tree>),
    /// NOT of a condition that has parts.
    Not(Box<Tree>),
    /// A comparison, a flag, an IS NULL: what has no parts.
    Leaf(Compare, Vec<Expr>),
}

/// A condition in a SELECT list: it drops no row, it decides what a column says.
#[derive(Debug, Clone)]
pub(in crate::query) struct Mark {
    /// The condition.
    pub expr: Expr,
    /// The output column that is this condition and nothing else.
    pub defines: Option<String>,
    /// Whether it is asked of each row although the SELECT groups: it stands inside an aggregate.
    pub in_aggregate: bool,
}

/// The parts of `expr`.
pub(in crate::query) fn tree(expr: &Expr) -> Tree {
    let shape = match expr {
        Expr::Nested(inner) => return tree(inner),
        Expr::BinaryOp { op: BinaryOperator::And, .. } => Shape::All(parts(expr, &BinaryOperator::And)),
        Expr::BinaryOp { op: BinaryOperator::Or, .. } => Shape::Any(parts(expr, &BinaryOperator::Or)),
        Expr::UnaryOp { op: UnaryOperator::Not, expr: inner } => match tree(inner) {
            Tree { shape: Shape::Leaf(compare, sides), expr } => match opposite(compare) {
                Some(opposite) => Shape::Leaf(opposite, sides),
                None => Shape::Leaf(Compare::Other, vec![expr]),
            },
            parted => Shape::Not(Box::new(parted)),
        },
        _ => leaf(expr),
    };
    Tree { expr: expr.clone(), shape }
}

fn parts(expr: &Expr, op: &BinaryOperator) -> Vec<Tree> {
    let mut exprs = Vec::new();
    flatten(expr, op, &mut exprs);
    exprs.iter().map(tree).collect()
}

fn flatten(expr: &Expr, op: &BinaryOperator, into: &mut Vec<Expr>) {
    match expr {
        Expr::Nested(inner) => flatten(inner, op, into),
        Expr::BinaryOp { left, op: found, right } if found == op => {
            flatten(left, op, into);
            flatten(right, op, into);
        }
        _ => into.push(expr.clone()),
    }
}

fn leaf(expr: &Expr) -> Shape {
    match expr {
        Expr::BinaryOp { left, op, right } if comparison(op).is_some() => {
            let compare = comparison(op).unwrap_or(Compare::Other);
            // The threshold stands on the right: what is measured is named first.
            if !parameters(left).is_empty() && parameters(right).is_empty() {
                return Shape::Leaf(turned(compare), vec![(**right).clone(), (**left).clone()]);
            }
            Shape::Leaf(compare, vec![(**left).clone(), (**right).clone()])
        }
        Expr::Between { expr, negated: false, low, high } => {
            Shape::Leaf(Compare::Within, vec![(**expr).clone(), (**low).clone(), (**high).clone()])
        }
        Expr::Between { expr, .. }
        | Expr::InList { expr, .. }
        | Expr::Like { expr, .. }
        | Expr::ILike { expr, .. }
        | Expr::IsNull(expr)
        | Expr::IsNotNull(expr)
        | Expr::IsTrue(expr)
        | Expr::IsNotTrue(expr)
        | Expr::IsFalse(expr)
        | Expr::IsNotFalse(expr) => Shape::Leaf(Compare::Other, vec![(**expr).clone()]),
        _ => Shape::Leaf(Compare::Other, vec![expr.clone()]),
    }
}

fn comparison(op: &BinaryOperator) -> Option<Compare> {
    Some(match op {
        BinaryOperator::GtEq => Compare::AtLeast,
        BinaryOperator::Gt => Compare::Above,
        BinaryOperator::LtEq => Compare::AtMost,
        BinaryOperator::Lt => Compare::Below,
        BinaryOperator::Eq => Compare::Equal,
        BinaryOperator::NotEq => Compare::Other,
        _ => return None,
    })
}

/// What is true where a comparison is false.
fn opposite(compare: Compare) -> Option<Compare> {
    match compare {
        Compare::AtLeast => Some(Compare::Below),
        Compare::Above => Some(Compare::AtMost),
        Compare::AtMost => Some(Compare::Above),
        Compare::Below => Some(Compare::AtLeast),
        Compare::Equal | Compare::Within | Compare::Other => None,
    }
}

fn turned(compare: Compare) -> Compare {
    match compare {
        Compare::AtLeast => Compare::AtMost,
        Compare::Above => Compare::Below,
        Compare::AtMost => Compare::AtLeast,
        Compare::Below => Compare::Above,
        Compare::Equal | Compare::Within | Compare::Other => compare,
    }
}

/// Whether an expression is true or false by its form; a column or a call may be as well, but does not show it.
fn is_condition(expr: &Expr) -> bool {
    match expr {
        Expr::BinaryOp { op, .. } => {
            matches!(op, BinaryOperator::And | BinaryOperator::Or) || comparison(op).is_some()
        }
        Expr::UnaryOp { op, .. } => *op == UnaryOperator::Not,
        Expr::Nested(inner) => is_condition(inner),
        _ => matches!(
            expr,
            Expr::Between { .. }
                | Expr::InList { .. }
                | Expr::InSubquery { .. }
                | Expr::Like { .. }
                | Expr::ILike { .. }
                | Expr::IsNull(_)
                | Expr::IsNotNull(_)
                | Expr::IsTrue(_)
                | Expr::IsNotTrue(_)
                | Expr::IsFalse(_)
                | Expr::IsNotFalse(_)
        ),
    }
}

/// What AND joins at the top of `expr`.
pub(in crate::query) fn conjuncts(expr: &Expr, into: &mut Vec<Expr>) {
    flatten(expr, &BinaryOperator::And, into);
}

/// AND of all; `None` where there is none.
pub(in crate::query) fn all_of(exprs: impl IntoIterator<Item = Expr>) -> Option<Expr> {
    joined(exprs, &BinaryOperator::And)
}

fn joined(exprs: impl IntoIterator<Item = Expr>, op: &BinaryOperator) -> Option<Expr> {
    let nested = |expr: Expr| Expr::Nested(Box::new(expr));
    exprs.into_iter().reduce(|a, b| Expr::BinaryOp {
        left: Box::new(nested(a)),
        op: op.clone(),
        right: Box::new(nested(b)),
    })
}

/// Names of parameters in an expression, without `$`, in order and each once.
pub(in crate::query) fn parameters(expr: &Expr) -> Vec<String> {
    #[derive(Default)]
    struct Names(Vec<String>);
    impl Visitor for Names {
        type Break = ();
        fn pre_visit_value(
            &mut self,
            value: &datafusion::sql::sqlparser::ast::ValueWithSpan,
        ) -> ControlFlow<()> {
            if let Value::Placeholder(name) = &value.value {
                let name = name.trim_start_matches('$').to_owned();
                if !self.0.contains(&name) {
                    self.0.push(name);
                }
            }
            ControlFlow::Continue(())
        }
    }
    let mut names = Names::default();
    let _ = expr.visit(&mut names);
    names.0
}

/// Whether an expression holds a query of its own.
pub(in crate::query) fn has_query(expr: &Expr) -> bool {
    struct Finds;
    impl Visitor for Finds {
        type Break = ();
        fn pre_visit_query(&mut self, _: &Query) -> ControlFlow<()> {
            ControlFlow::Break(())
        }
    }
    expr.visit(&mut Finds).is_break()
}

/// Line of the query's text on which an expression begins, from 1; 0 where it is our own.
pub(in crate::query) fn line(expr: &Expr) -> u64 {
    expr.span().start.line
}

/// Whether a call is an aggregate over the rows of its group.
fn is_aggregate(expr: &Expr) -> bool {
    let Expr::Function(call) = expr else { return false };
    let name = call.name.to_string().to_lowercase();
    let known = |list: &[&str]| list.contains(&name.as_str());
    call.over.is_none() && (known(MERGEABLE_AGGREGATES) || known(DETECTION_AGGREGATES))
}

/// Whether a SELECT returns groups and not rows.
pub(in crate::query) fn is_grouped(select: &Select) -> bool {
    let by = match &select.group_by {
        GroupByExpr::All(_) => true,
        GroupByExpr::Expressions(by, _) => !by.is_empty(),
    };
    by || select.having.is_some()
        || select.projection.iter().any(|item| item_of(item).is_some_and(aggregates))
}

fn aggregates(expr: &Expr) -> bool {
    struct Finds;
    impl Visitor for Finds {
        type Break = ();
        fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<()> {
            if is_aggregate(expr) { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        }
    }
    expr.visit(&mut Finds).is_break()
}

/// The expression of an item that is no wildcard.
pub(in crate::query) fn item_of(item: &SelectItem) -> Option<&Expr> {
    match item {
        SelectItem::UnnamedExpr(expr) | SelectItem::ExprWithAlias { expr, .. } => Some(expr),
        _ => None,
    }
}

/// The conditions of a SELECT list that compare with a parameter, and the columns that are conditions.
pub(in crate::query) fn marks(select: &Select) -> Vec<Mark> {
    let mut marks = Vec::new();
    for item in &select.projection {
        let Some(expr) = item_of(item) else { continue };
        let alias = match item {
            SelectItem::ExprWithAlias { alias, .. } => Some(folded(alias)),
            _ => None,
        };
        if is_condition(expr) && alias.is_some() {
            marks.push(Mark { expr: expr.clone(), defines: alias, in_aggregate: false });
            continue;
        }
        let mut finder = Marks { marks: &mut marks, inside: 0, aggregates: 0 };
        let _ = expr.visit(&mut finder);
    }
    marks
}

/// Finds the outermost conditions with a parameter.
struct Marks<'a> {
    marks: &'a mut Vec<Mark>,
    /// Levels inside a condition that was taken, or inside a query of its own.
    inside: usize,
    aggregates: usize,
}

impl Visitor for Marks<'_> {
    type Break = ();

    fn pre_visit_query(&mut self, _: &Query) -> ControlFlow<()> {
        self.inside += 1;
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, _: &Query) -> ControlFlow<()> {
        self.inside -= 1;
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<()> {
        self.aggregates += usize::from(is_aggregate(expr));
        let takes = is_condition(expr);
        let known = |m: &Mark| m.expr == *expr && m.in_aggregate == (self.aggregates > 0);
        if takes && self.inside == 0 && !parameters(expr).is_empty() && !self.marks.iter().any(known) {
            let in_aggregate = self.aggregates > 0;
            self.marks.push(Mark { expr: expr.clone(), defines: None, in_aggregate });
        }
        self.inside += usize::from(takes);
        ControlFlow::Continue(())
    }

    fn post_visit_expr(&mut self, expr: &Expr) -> ControlFlow<()> {
        self.inside -= usize::from(is_condition(expr));
        self.aggregates -= usize::from(is_aggregate(expr));
        ControlFlow::Continue(())
    }
}

/// When an expression that says 'fire' or 'hold' says 'fire'.
#[derive(Debug, Clone)]
pub(in crate::query) enum Fires {
    /// Always.
    Always,
    /// Where this is true.
    Where(Box<Expr>),
    /// It is a column: whoever computes it says when.
    Column,
    /// It is written in a way that is not followed.
    Unknown,
}

/// Reads the column `level`.
pub(in crate::query) fn fires(level: &Expr) -> Fires {
    match level {
        Expr::Nested(inner) => fires(inner),
        Expr::Value(_) if says_fire(level) => Fires::Always,
        Expr::Identifier(_) | Expr::CompoundIdentifier(_) => Fires::Column,
        Expr::Case { operand: None, conditions, else_result, .. } => {
            let results = conditions.iter().map(|when| &when.result).chain(else_result.as_deref());
            if !results.clone().all(|result| matches!(result, Expr::Value(_))) {
                return Fires::Unknown;
            }
            let (mut ways, mut before) = (Vec::new(), Vec::new());
            for when in conditions {
                if says_fire(&when.result) {
                    let this = std::iter::once(when.condition.clone());
                    ways.extend(all_of(this.chain(before.iter().map(not))));
                }
                before.push(when.condition.clone());
            }
            if else_result.as_deref().is_some_and(says_fire) {
                ways.extend(all_of(before.iter().map(not)));
            }
            joined(ways, &BinaryOperator::Or).map_or(Fires::Unknown, |expr| Fires::Where(Box::new(expr)))
        }
        _ => Fires::Unknown,
    }
}

fn not(expr: &Expr) -> Expr {
    Expr::UnaryOp { op: UnaryOperator::Not, expr: Box::new(Expr::Nested(Box::new(expr.clone()))) }
}

fn says_fire(expr: &Expr) -> bool {
    matches!(expr, Expr::Value(value) if matches!(&value.value, Value::SingleQuotedString(text) if text == "fire"))
}
