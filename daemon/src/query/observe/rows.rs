//! Conditions asked of rows: which hold where, and the row that comes closest.
//!
//! In: a SELECT without its conditions, and the conditions. Out: [`Rows`]: each condition with how many rows it
//! holds for, and both its sides on the row that fails the fewest. One question to the engine answers all of them.

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::compute::cast;
use arrow::datatypes::DataType;
use datafusion::sql::sqlparser::ast::{Expr, Select};

use super::ask::Desk;
use super::block::{Posed, line_in_file, one, unanswered};
use super::measure::{Scalar, measure, shortfall};
use super::{Condition, Join, Node, ObserveError};
use crate::limits::EXPLAIN_CLOSEST_MAX;
use crate::query::dissect::condition::{self, Compare, Shape, Tree};

/// Stage and condition that define a column.
type Define<'a> = Box<dyn Fn(&Expr) -> Option<(String, Node)> + 'a>;

/// Whom to ask.
pub(super) struct Asking<'a> {
    pub desk: &'a Desk<'a>,
    /// Number of the stage: it sees those before it.
    pub index: usize,
    /// Where a column that is a condition was defined.
    pub define: Define<'a>,
}

/// What came of it.
pub(super) struct Rows {
    /// Rows before any condition.
    pub count: u64,
    /// Rows for which every gate is true.
    pub left: u64,
    pub conditions: Vec<Condition>,
}

impl Rows {
    /// With the conditions that were asked before these, which dropped rows already.
    pub(super) fn after(mut self, before: Vec<Condition>) -> Self {
        if let Some(first) = before.first() {
            self.count = first.asked;
            self.conditions.splice(0..0, before);
        }
        self
    }
}

/// A condition and the columns that hold its values.
struct Placed {
    tree: Tree,
    parts: Vec<Placed>,
    /// For leaves: where their truth and their sides stand.
    truth: usize,
    sides: Vec<usize>,
}

impl Asking<'_> {
    /// Asks for conditions with queries in them, which the engine takes in WHERE only, one after the other. Returns
    /// them, and `select` with them.
    pub(super) fn with_queries(
        &self,
        mut select: Select,
        posed: Vec<Posed>,
    ) -> Result<(Vec<Condition>, Select), ObserveError> {
        let mut conditions = Vec::new();
        for posed in posed {
            let asked = self.count(&select)?;
            let filters = select.selection.clone().into_iter().chain([posed.expr.clone()]);
            let narrowed = Select { selection: condition::all_of(filters), ..select.clone() };
            let passed = self.count(&narrowed)?;
            let (Ok(asked), Ok(passed)) = (asked, passed) else {
                conditions.push(unanswered(self.desk, &posed, 0));
                continue;
            };
            let mut condition = unanswered(self.desk, &posed, asked);
            (condition.passed, condition.left, condition.unknown) = (passed, passed, 0);
            condition.node.holds = Some(passed > 0);
            conditions.push(condition);
            select = narrowed;
        }
        Ok((conditions, select))
    }

    fn count(&self, select: &Select) -> Result<Result<u64, String>, ObserveError> {
        let values = self.desk.values(self.index, select, &[one()])?;
        Ok(values.map(|columns| columns.first().map_or(0, |c| c.len() as u64)))
    }

    /// Asks `gates` of all rows and `after` of those that pass them, or of all where none does.
    pub(super) fn rows(
        &self,
        select: &Select,
        gates: Vec<Posed>,
        after: Vec<Posed>,
    ) -> Result<Rows, ObserveError> {
        let gate_count = gates.len();
        let posed: Vec<Posed> = gates.into_iter().chain(after).collect();
        let mut exprs = vec![one()];
        let placed: Vec<Placed> = posed.iter().map(|p| place(condition::tree(&p.expr), &mut exprs)).collect();
        let columns = match self.desk.values(self.index, select, &exprs)? {
            Ok(columns) => columns,
            Err(words) => return self.one_by_one(select, posed, &words),
        };
        let table = Table::new(columns);
        let gates = &placed[..gate_count];
        let (left, passing) = table.walk(gates);
        let closest = table.closest(&placed, &posed, gate_count);
        let among: Vec<usize> = if passing.is_empty() { (0..table.len).collect() } else { passing };
        let mut conditions = Vec::with_capacity(posed.len());
        for (index, (posed, placed)) in posed.iter().zip(&placed).enumerate() {
            let all: Vec<usize> = (0..table.len).collect();
            let (asked, left) = if index < gate_count { (&all, left[index]) } else { (&among, 0) };
            let row = if posed.role == super::Role::Mark { table.closest_of(placed, asked) } else { closest };
            let holds = |row: &&usize| table.truth(placed, **row);
            conditions.push(Condition {
                role: posed.role,
                defines: posed.defines.clone(),
                line: line_in_file(self.desk, &posed.expr),
                asked: asked.len() as u64,
                passed: asked.iter().filter(|row| holds(row) == Some(true)).count() as u64,
                unknown: asked.iter().filter(|row| holds(row).is_none()).count() as u64,
                left,
                node: self.node(&table, placed, row),
            });
        }
        let left = left.last().copied().unwrap_or(table.len as u64);
        Ok(Rows { count: table.len as u64, left, conditions })
    }

    /// One of the conditions cannot be asked of every row: the others can.
    fn one_by_one(&self, select: &Select, posed: Vec<Posed>, words: &str) -> Result<Rows, ObserveError> {
        tracing::debug!(words, "conditions are asked one by one");
        let count = self.count(select)?.unwrap_or(0);
        if posed.len() <= 1 {
            let conditions = posed.iter().map(|p| unanswered(self.desk, p, count)).collect();
            return Ok(Rows { count, left: count, conditions });
        }
        let (mut conditions, mut left) = (Vec::new(), count);
        let mut select = select.clone();
        for posed in posed {
            let is_gate = posed.role.is_gate();
            let expr = posed.expr.clone();
            let (gates, after) = if is_gate { (vec![posed], Vec::new()) } else { (Vec::new(), vec![posed]) };
            let rows = self.rows(&select, gates, after)?;
            if is_gate {
                let filters = select.selection.clone().into_iter().chain([expr]);
                select.selection = condition::all_of(filters);
                left = rows.left;
            }
            conditions.extend(rows.conditions);
        }
        Ok(Rows { count, left, conditions })
    }

    fn node(&self, table: &Table, placed: &Placed, row: Option<usize>) -> Node {
        let mut node = bare_node(&placed.tree.expr);
        node.holds = row.and_then(|row| table.truth(placed, row));
        node.parts = placed.parts.iter().map(|part| self.node(table, part, row)).collect();
        match &placed.tree.shape {
            Shape::All(_) => node.join = Join::All,
            Shape::Any(_) => node.join = Join::Any,
            Shape::Not(_) => node.join = Join::Not,
            Shape::Leaf(compare, sides) => {
                let parameters = condition::parameters(&placed.tree.expr);
                node.measure = row.map(|row| measure(*compare, &table.sides(placed, row), parameters));
                let is_column = sides.len() == 1 && sides[0] == placed.tree.expr;
                if is_column && let Some((stage, definition)) = (self.define)(&placed.tree.expr) {
                    node.parts = vec![definition];
                    node.defined_in = Some(stage);
                }
            }
        }
        node
    }
}

/// A condition of which nothing is known.
pub(super) fn bare_node(expr: &Expr) -> Node {
    let text = expr.to_string();
    Node { text, join: Join::Itself, holds: None, measure: None, defined_in: None, parts: Vec::new() }
}

fn place(tree: Tree, exprs: &mut Vec<Expr>) -> Placed {
    let parts = match &tree.shape {
        Shape::All(parts) | Shape::Any(parts) => parts.clone(),
        Shape::Not(part) => vec![(**part).clone()],
        Shape::Leaf(..) => Vec::new(),
    };
    let mut add = |expr: &Expr| {
        exprs.push(expr.clone());
        exprs.len() - 1
    };
    let (truth, sides) = match &tree.shape {
        Shape::Leaf(_, sides) => (add(&tree.expr), sides.iter().map(&mut add).collect()),
        Shape::All(_) | Shape::Any(_) | Shape::Not(_) => (0, Vec::new()),
    };
    Placed { tree, parts: parts.into_iter().map(|part| place(part, exprs)).collect(), truth, sides }
}

/// The engine's answer.
struct Table {
    columns: Vec<ArrayRef>,
    len: usize,
}

impl Table {
    fn new(columns: Vec<ArrayRef>) -> Self {
        let len = columns.first().map_or(0, |column| column.len());
        Self { columns, len }
    }

    fn truth(&self, placed: &Placed, row: usize) -> Option<bool> {
        let mut parts = placed.parts.iter().map(|part| self.truth(part, row));
        match &placed.tree.shape {
            Shape::Leaf(..) => self.flag(placed.truth, row),
            Shape::Not(_) => parts.next().flatten().map(|truth| !truth),
            Shape::All(_) => parts
                .try_fold(Some(true), |all, part| match part {
                    Some(false) => None,
                    None => Some(None),
                    Some(true) => Some(all),
                })
                .unwrap_or(Some(false)),
            Shape::Any(_) => parts
                .try_fold(Some(false), |any, part| match part {
                    Some(true) => None,
                    None => Some(None),
                    Some(false) => Some(any),
                })
                .unwrap_or(Some(true)),
        }
    }

    fn flag(&self, column: usize, row: usize) -> Option<bool> {
        let column = &self.columns[column];
        if *column.data_type() == DataType::Boolean {
            let flags = column.as_boolean();
            return flags.is_valid(row).then(|| flags.value(row));
        }
        let value = cast(&column.slice(row, 1), &DataType::Boolean).ok()?;
        let flags = value.as_boolean();
        flags.is_valid(0).then(|| flags.value(0))
    }

    fn sides(&self, placed: &Placed, row: usize) -> Vec<Scalar> {
        placed.sides.iter().map(|side| Scalar::at(&self.columns[*side], row)).collect()
    }

    /// After each gate, how many rows are left; and which are left after all.
    fn walk(&self, gates: &[Placed]) -> (Vec<u64>, Vec<usize>) {
        let mut rows: Vec<usize> = (0..self.len).collect();
        let mut left = Vec::with_capacity(gates.len());
        for gate in gates {
            rows.retain(|row| self.truth(gate, *row) == Some(true));
            left.push(rows.len() as u64);
        }
        (left, rows)
    }

    /// The row that fails the fewest gates, and among these the level by the least; the first of equals.
    fn closest(&self, placed: &[Placed], posed: &[Posed], gate_count: usize) -> Option<usize> {
        let decides = |index: usize| index < gate_count || posed[index].role == super::Role::Level;
        let deciding: Vec<&Placed> =
            placed.iter().enumerate().filter(|(i, _)| decides(*i)).map(|(_, p)| p).collect();
        let failing = |row: &usize| deciding.iter().map(|p| self.failing(p, *row)).sum::<usize>();
        let fewest = (0..self.len).map(|row| failing(&row)).min()?;
        let candidates = (0..self.len).filter(|row| failing(row) == fewest).take(EXPLAIN_CLOSEST_MAX);
        let short = |row: &usize| deciding.iter().map(|p| self.short(p, *row)).sum::<f64>();
        candidates.min_by(|a, b| short(a).total_cmp(&short(b)))
    }

    fn closest_of(&self, placed: &Placed, rows: &[usize]) -> Option<usize> {
        let fewest = rows.iter().map(|row| self.failing(placed, *row)).min()?;
        let candidates = rows.iter().filter(|row| self.failing(placed, **row) == fewest);
        let short = |row: &&usize| self.short(placed, **row);
        candidates.take(EXPLAIN_CLOSEST_MAX).min_by(|a, b| short(a).total_cmp(&short(b))).copied()
    }

    /// How many leaves would have to change for the condition to be true.
    fn failing(&self, placed: &Placed, row: usize) -> usize {
        if self.truth(placed, row) == Some(true) {
            return 0;
        }
        let parts = placed.parts.iter().map(|part| self.failing(part, row));
        match &placed.tree.shape {
            Shape::All(_) => parts.sum(),
            Shape::Any(_) => parts.min().unwrap_or(1),
            Shape::Not(_) | Shape::Leaf(..) => 1,
        }
    }

    fn short(&self, placed: &Placed, row: usize) -> f64 {
        if self.truth(placed, row) == Some(true) {
            return 0.0;
        }
        match &placed.tree.shape {
            Shape::All(_) => placed.parts.iter().map(|part| self.short(part, row)).sum(),
            Shape::Any(_) => {
                let parts = placed.parts.iter().map(|part| self.short(part, row));
                parts.min_by(f64::total_cmp).unwrap_or(1.0)
            }
            Shape::Leaf(compare, _) if *compare != Compare::Other => {
                shortfall(*compare, &self.sides(placed, row))
            }
            Shape::Not(_) | Shape::Leaf(..) => 1.0,
        }
    }
}
