//! One SELECT as the subject's rows meet it.
//!
//! In: a SELECT, and the stages before it as tables. Out: a [`Block`]: what it reads, and every condition asked of
//! every row. Conditions of inner joins that are no plain `a.x = b.y` are asked like WHERE; where joining leaves
//! nothing, all of them are, so that the one that has no match is named.

use datafusion::sql::sqlparser::ast::{BinaryOperator, Expr, GroupByExpr, Select, SelectItem, Value};

use super::ask::Desk;
use super::rows::{Asking, Rows};
use super::{Block, Condition, Looked, ObserveError, Role, Source};
use crate::limits::EXPLAIN_PAIRS_MAX;
use crate::query::dissect::condition::{self, Fires, Mark};
use crate::query::dissect::lineage;
use crate::query::dissect::{self, Relation, folded};

/// A condition and what it does.
pub(super) struct Posed {
    pub role: Role,
    pub expr: Expr,
    pub defines: Option<String>,
}

impl Posed {
    fn gate(role: Role, expr: Expr) -> Self {
        Self { role, expr, defines: None }
    }
}

/// A SELECT at work.
struct View<'a> {
    desk: &'a Desk<'a>,
    looked: &'a Looked<'a>,
    index: usize,
    select: &'a Select,
    relations: Vec<Relation>,
    subject: Option<Expr>,
    sources: Vec<Source>,
}

/// Looks at `select`, one of stage number `index`.
pub(super) fn look(
    desk: &Desk<'_>,
    looked: &Looked<'_>,
    index: usize,
    select: &Select,
) -> Result<Block, ObserveError> {
    let Some(relations) = dissect::relations_of(select) else {
        return Ok(Block {
            sources: Vec::new(),
            rows_in: 0,
            rows_left: 0,
            groups: None,
            conditions: Vec::new(),
        });
    };
    let columns = desk.columns();
    let subject = lineage::subject_of(&looked.texts[index], select, &relations, looked.lineage, columns);
    let sources = sources_of(desk, select, &relations, subject.as_ref());
    let view = View { desk, looked, index, select, relations, subject, sources };
    view.block()
}

fn sources_of(
    desk: &Desk<'_>,
    select: &Select,
    relations: &[Relation],
    subject: Option<&Expr>,
) -> Vec<Source> {
    let joined = subject.map(|s| lineage::equal_to(s, select, relations, desk.columns())).unwrap_or_default();
    let source = |relation: &Relation| {
        let column = joined.iter().find(|(alias, _)| *alias == relation.alias).map(|(_, c)| c.as_str());
        Source {
            name: relation.name.clone(),
            is_stage: desk.is_stage(&relation.name),
            is_outer: relation.is_outer,
            by_subject: column.is_some(),
            rows: desk.rows_of(&relation.name, column),
        }
    };
    relations.iter().map(source).collect()
}

impl View<'_> {
    fn block(self) -> Result<Block, ObserveError> {
        let is_grouped = condition::is_grouped(self.select);
        let marks = condition::marks(self.select);
        let (of_rows, of_groups): (Vec<Mark>, Vec<Mark>) =
            marks.into_iter().partition(|mark| !is_grouped || mark.in_aggregate);
        let level = self.level();
        let (level_of_rows, level_of_groups) = if is_grouped { (None, level) } else { (level, None) };
        let narrow = self.narrow();
        let mut rows = self.rows(narrow, &of_rows, level_of_rows.as_ref())?;
        if rows.count == 0 && self.could_pair() {
            rows = self.rows(self.wide(), &of_rows, level_of_rows.as_ref())?;
        }
        let mut groups = None;
        if is_grouped && rows.left > 0 {
            let grouped = self.groups(&of_groups, level_of_groups.as_ref())?;
            rows.conditions.extend(grouped.conditions);
            groups = Some(grouped.count);
        }
        Ok(Block {
            sources: self.sources,
            rows_in: rows.count,
            rows_left: rows.left,
            groups,
            conditions: rows.conditions,
        })
    }

    /// Whether an inner join found nothing although each side has rows, few enough to be paired.
    fn could_pair(&self) -> bool {
        let inner = || self.sources.iter().filter(|s| !s.is_outer);
        let pairs = inner().fold(1_u64, |pairs, source| pairs.saturating_mul(source.rows));
        self.subject.is_some() && inner().count() > 1 && pairs > 0 && pairs <= EXPLAIN_PAIRS_MAX
    }

    /// ON that stays with the join, and the conditions asked of its rows.
    fn narrow(&self) -> (Vec<Vec<Expr>>, Vec<Posed>) {
        let columns = self.desk.columns();
        let joins = |on: &Expr| lineage::equal_columns(on, &self.relations, columns).is_some();
        self.split(|relation, on| relation.is_outer || joins(on) || !relation.on.iter().any(joins))
    }

    /// Like [`View::narrow`], but only the subject joins.
    fn wide(&self) -> (Vec<Vec<Expr>>, Vec<Posed>) {
        let columns = self.desk.columns();
        let subject = self.subject.as_ref();
        let found = subject.map(|s| lineage::equal_to(s, self.select, &self.relations, columns));
        let found = found.unwrap_or_default();
        let is_subject = |on: &Expr| {
            let pair = lineage::equal_columns(on, &self.relations, columns);
            pair.is_some_and(|(a, b)| found.contains(&a) && found.contains(&b))
        };
        self.split(|relation, on| relation.is_outer || is_subject(on))
    }

    fn split(&self, stays: impl Fn(&Relation, &Expr) -> bool) -> (Vec<Vec<Expr>>, Vec<Posed>) {
        let mut asked = Vec::new();
        let mut kept = Vec::with_capacity(self.relations.len());
        for relation in &self.relations {
            let (stay, ask): (Vec<Expr>, Vec<Expr>) =
                relation.on.iter().cloned().partition(|on| stays(relation, on));
            kept.push(stay);
            asked.extend(ask.into_iter().map(|on| Posed::gate(Role::Join, on)));
        }
        let mut filters = Vec::new();
        self.select.selection.iter().for_each(|filter| condition::conjuncts(filter, &mut filters));
        asked.extend(filters.into_iter().map(|filter| Posed::gate(Role::Where, filter)));
        (kept, asked)
    }

    fn is_subject(&self) -> Option<Expr> {
        let subject = self.subject.clone()?;
        Some(Expr::BinaryOp {
            left: Box::new(Expr::Nested(Box::new(subject))),
            op: BinaryOperator::Eq,
            right: Box::new(Desk::subject()),
        })
    }

    fn rows(
        &self,
        (on, gates): (Vec<Vec<Expr>>, Vec<Posed>),
        marks: &[Mark],
        level: Option<&Expr>,
    ) -> Result<Rows, ObserveError> {
        let (inquiries, gates): (Vec<Posed>, Vec<Posed>) =
            gates.into_iter().partition(|gate| condition::has_query(&gate.expr));
        let bare = Select {
            from: dissect::from_with(self.select, &on),
            selection: self.is_subject(),
            group_by: GroupByExpr::Expressions(Vec::new(), Vec::new()),
            having: None,
            ..self.select.clone()
        };
        let asking = self.asking();
        let (before, select) = asking.with_queries(bare, inquiries)?;
        let rows = asking.rows(&select, gates, posed_after(marks, level))?;
        Ok(rows.after(before))
    }

    /// Groups of the rows that WHERE leaves, asked for HAVING.
    fn groups(&self, marks: &[Mark], level: Option<&Expr>) -> Result<Rows, ObserveError> {
        let mut having = Vec::new();
        if let Some(expr) = &self.select.having {
            condition::conjuncts(&self.without_aliases(expr), &mut having);
        }
        let filters = self.select.selection.clone().into_iter().chain(self.is_subject());
        let select = Select {
            selection: condition::all_of(filters),
            group_by: self.group_by(),
            having: None,
            ..self.select.clone()
        };
        let gates = having.into_iter().map(|expr| Posed::gate(Role::Having, expr)).collect();
        self.asking().rows(&select, gates, posed_after(marks, level))
    }

    fn asking(&self) -> Asking<'_> {
        let define = |expr: &Expr| {
            let columns = self.desk.columns();
            let (alias, name) = lineage::place_of(expr, &self.relations, columns)?;
            let relation = self.relations.iter().find(|r| r.alias == alias)?;
            let (stage, condition) = self.looked.definition(columns, &relation.name, &name)?;
            Some((stage.name.clone(), condition.node.clone()))
        };
        Asking { desk: self.desk, index: self.index, define: Box::new(define) }
    }

    /// When the row is 'fire', where this stage is the one that says so.
    fn level(&self) -> Option<Expr> {
        let texts = self.looked.texts;
        let (mut stage, mut column) = (texts.len() - 1, "level".to_owned());
        loop {
            let [select] = texts[stage].blocks.as_slice() else { return None };
            let relations = dissect::relations_of(select)?;
            let columns = self.desk.columns();
            let place = columns.get(&texts[stage].name)?.iter().position(|c| *c == column)?;
            let expr = dissect::output(select, &relations, &column, place)?;
            match condition::fires(&expr) {
                Fires::Where(expr) => return (stage == self.index).then_some(*expr),
                Fires::Always | Fires::Unknown => return None,
                Fires::Column => {
                    let (alias, name) = lineage::place_of(&expr, &relations, columns)?;
                    let relation = relations.iter().find(|r| r.alias == alias)?;
                    let below = texts[..stage].iter().position(|text| text.name == relation.name)?;
                    (stage, column) = (below, name);
                }
            }
        }
    }

    /// GROUP BY with the expressions that `GROUP BY 1, 2` and names of the SELECT list stand for.
    fn group_by(&self) -> GroupByExpr {
        let GroupByExpr::Expressions(by, modifiers) = &self.select.group_by else {
            return self.select.group_by.clone();
        };
        let numbered = |expr: &Expr| -> Option<Expr> {
            let Expr::Value(value) = expr else { return None };
            let Value::Number(digits, _) = &value.value else { return None };
            let number = digits.parse::<usize>().ok()?.checked_sub(1)?;
            condition::item_of(self.select.projection.get(number)?).cloned()
        };
        let by = by.iter().map(|expr| numbered(expr).unwrap_or_else(|| self.without_aliases(expr)));
        GroupByExpr::Expressions(by.collect(), modifiers.clone())
    }

    /// An expression with names of the SELECT list, which a question has not, replaced by what they stand for.
    fn without_aliases(&self, expr: &Expr) -> Expr {
        use datafusion::sql::sqlparser::ast::visit_expressions_mut;
        let mut expr = expr.clone();
        let _ = visit_expressions_mut(&mut expr, |part: &mut Expr| {
            let known = lineage::place_of(part, &self.relations, self.desk.columns()).is_some();
            let item = match part {
                Expr::Identifier(name) if !known => self.item_named(&folded(name)),
                _ => None,
            };
            if let Some(item) = item {
                *part = Expr::Nested(Box::new(item));
            }
            std::ops::ControlFlow::<()>::Continue(())
        });
        expr
    }

    fn item_named(&self, name: &str) -> Option<Expr> {
        self.select.projection.iter().find_map(|item| match item {
            SelectItem::ExprWithAlias { expr, alias } if folded(alias) == name => Some(expr.clone()),
            _ => None,
        })
    }
}

fn posed_after(marks: &[Mark], level: Option<&Expr>) -> Vec<Posed> {
    let level = level.map(|expr| Posed { role: Role::Level, expr: expr.clone(), defines: None });
    let same = |mark: &&Mark| level.as_ref().is_none_or(|level| level.expr != mark.expr);
    let marks = marks.iter().filter(same);
    let marks: Vec<Posed> = marks
        .map(|mark| Posed { role: Role::Mark, expr: mark.expr.clone(), defines: mark.defines.clone() })
        .collect();
    level.into_iter().chain(marks).collect()
}

/// A condition's line in the file.
pub(super) fn line_in_file(desk: &Desk<'_>, expr: &Expr) -> u64 {
    match condition::line(expr) {
        0 => 0,
        line => desk.sql_line() + line - 1,
    }
}

/// What is said of a condition that the engine could not be asked about.
pub(super) fn unanswered(desk: &Desk<'_>, posed: &Posed, asked: u64) -> Condition {
    Condition {
        role: posed.role,
        defines: posed.defines.clone(),
        line: line_in_file(desk, &posed.expr),
        asked,
        passed: 0,
        unknown: asked,
        left: 0,
        node: super::rows::bare_node(&posed.expr),
    }
}

/// A column that every FROM has: a constant, for counting rows.
pub(super) fn one() -> Expr {
    Expr::Value(Value::Boolean(true).into())
}
