//! `shadowprod test --conditions`: which conditions of a detection no case would miss.
//!
//! In: queries and detections with cases. Out: a [`Verdict`] for each condition: the query without it runs the
//! cases, the one that decided last first, until one does not hold. Nothing is stored.

use std::process::ExitCode;

use miette::miette;
use serde::Serialize;

use super::OutputFormat;
use super::run::{self, Stand};
use crate::query::conditions::{Condition, DECLARATION, conditions};
use crate::query::{DetectionQuery, QueryTexts};

/// What becomes of the cases without a condition.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Outcome {
    /// A case does not hold without it.
    Decided,
    /// The query cannot be planned without it.
    Refused,
    /// All hold without it, and its line says why no case can decide it.
    Declared,
    /// All hold without it.
    Undecided,
    /// Its line says that no case can decide it, but cases decide all conditions of that line.
    Stale,
}

/// What was found out about one condition; also one line of `--format json`.
#[derive(Debug, Serialize)]
struct Verdict<'a> {
    detection: &'a str,
    place: String,
    condition: String,
    outcome: Outcome,
    /// The case that does not hold, why the query does not plan, or the declared reason.
    because: Option<String>,
    #[serde(skip)]
    line: usize,
}

/// Runs the command for `detections` of `texts`.
pub(super) fn main(
    texts: &QueryTexts,
    detections: &[&DetectionQuery],
    format: OutputFormat,
) -> miette::Result<ExitCode> {
    let mut open = 0_usize;
    for detection in detections {
        let mut failure = None;
        let verdicts = verdicts(texts, detection, |verdict| {
            failure = failure.take().or(print(verdict, format).err());
        });
        let verdicts = verdicts.map_err(|e| miette!("{e}"))?;
        failure.map_or(Ok(()), Err)?;
        open += verdicts.iter().filter(|v| matches!(v.outcome, Outcome::Undecided | Outcome::Stale)).count();
        if format == OutputFormat::Text {
            println!("{}", summary_of(&detection.text.id, &verdicts));
        }
    }
    Ok(ExitCode::from(u8::from(open > 0)))
}

fn print(verdict: &Verdict<'_>, format: OutputFormat) -> miette::Result<()> {
    match format {
        OutputFormat::Json => println!("{}", serde_json::to_string(verdict).map_err(|e| miette!("{e}"))?),
        OutputFormat::Text => print!("{}", text_of(verdict)),
    }
    Ok(())
}

/// One for each condition of `detection`, told to `tell` as soon as it is there: all of them take minutes. Errors: the
/// cases do not hold as it is.
fn verdicts<'a>(
    texts: &QueryTexts,
    detection: &'a DetectionQuery,
    mut tell: impl FnMut(&Verdict<'a>),
) -> Result<Vec<Verdict<'a>>, String> {
    let (conditions, whole) = conditions(&detection.text)
        .ok_or_else(|| format!("{}: not one SELECT", detection.text.path.display()))?;
    let mut order: Vec<usize> = (0..detection.cases.len()).collect();
    let file = detection.text.path.display();
    if let Some(case) = first_failure(texts, detection, &whole, &mut order)? {
        return Err(format!(
            "{file}: case `{case}` does not hold with all conditions in place; \
             run `shadowprod test {}` and correct that first",
            detection.text.id
        ));
    }
    let mut verdicts = Vec::new();
    for condition in &conditions {
        let (outcome, because) = tried(texts, detection, condition, &mut order);
        let verdict = Verdict {
            detection: &detection.text.id,
            place: format!("{file}:{}", condition.line),
            condition: condition.text.clone(),
            outcome,
            because,
            line: condition.line,
        };
        tell(&verdict);
        verdicts.push(verdict);
    }
    for verdict in stale(detection, &verdicts) {
        tell(&verdict);
        verdicts.push(verdict);
    }
    Ok(verdicts)
}

fn tried(
    texts: &QueryTexts,
    detection: &DetectionQuery,
    condition: &Condition,
    order: &mut Vec<usize>,
) -> (Outcome, Option<String>) {
    match (first_failure(texts, detection, &condition.sql, order), &condition.declared) {
        (Ok(Some(case)), _) => (Outcome::Decided, Some(case)),
        (Err(why), _) => (Outcome::Refused, Some(why)),
        (Ok(None), Some(reason)) => (Outcome::Declared, Some(reason.clone())),
        (Ok(None), None) => (Outcome::Undecided, None),
    }
}

/// The first case in `order` that does not hold with `sql`; it comes first from now on: what one condition is missed
/// by, its neighbours often are. Errors: the query does not plan.
fn first_failure(
    texts: &QueryTexts,
    detection: &DetectionQuery,
    sql: &str,
    order: &mut Vec<usize>,
) -> Result<Option<String>, String> {
    let mut other = detection.clone();
    other.text.sql = sql.to_owned();
    let mut stand = Stand::new(texts, &other)?;
    for place in 0..order.len() {
        let case = &other.cases[order[place]];
        if !run::run_case(&mut stand, &other, case).failures.is_empty() {
            let index = order.remove(place);
            order.insert(0, index);
            return Ok(Some(case.name.clone()));
        }
    }
    Ok(None)
}

/// Declarations on lines that hold no condition, or only such as a case decides.
fn stale<'a>(detection: &'a DetectionQuery, verdicts: &[Verdict<'_>]) -> Vec<Verdict<'a>> {
    let text = &detection.text;
    let declarations = text.sql.lines().enumerate().filter(|(_, line)| line.contains(DECLARATION));
    let lines = declarations.map(|(index, line)| (text.sql_line + index, line));
    let is_needed = |line| verdicts.iter().any(|v| v.line == line && v.outcome == Outcome::Declared);
    let stale = lines.filter(|(line, _)| !is_needed(*line)).map(|(line, written)| Verdict {
        detection: &text.id,
        place: format!("{}:{line}", text.path.display()),
        condition: written.trim().to_owned(),
        outcome: Outcome::Stale,
        because: None,
        line,
    });
    stale.collect()
}

fn text_of(verdict: &Verdict<'_>) -> String {
    let Verdict { detection, place, condition, .. } = verdict;
    match verdict.outcome {
        Outcome::Decided | Outcome::Refused | Outcome::Declared => String::new(),
        Outcome::Undecided => format!(
            "UNDECIDED {detection}: all cases hold without `{condition}`\n       --> {place}\n       \
             fix: add a case that differs only in this; where none can, end the line with `{DECLARATION}<reason>`\n"
        ),
        Outcome::Stale => format!(
            "STALE  {detection}: cases decide what is declared to have none\n       --> {place}\n       \
             fix: remove the comment from `{condition}`\n"
        ),
    }
}

fn summary_of(detection: &str, verdicts: &[Verdict<'_>]) -> String {
    let count = |outcome| verdicts.iter().filter(|v| v.outcome == outcome).count();
    let [decided, refused, declared, undecided, stale] =
        [Outcome::Decided, Outcome::Refused, Outcome::Declared, Outcome::Undecided, Outcome::Stale]
            .map(count);
    let word = if undecided + stale == 0 { "ok    " } else { "FAILED" };
    let mut text = format!(
        "{word} {detection}: {} conditions, {decided} decided by cases",
        decided + refused + declared + undecided
    );
    for (count, what) in [
        (refused, "without which it does not plan"),
        (declared, "declared to have no case"),
        (undecided, "undecided"),
        (stale, "declarations out of date"),
    ] {
        if count > 0 {
            text.push_str(&format!(", {count} {what}"));
        }
    }
    text
}

#[cfg(test)]
mod tests;
