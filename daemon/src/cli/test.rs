//! `shadowprod test`: runs the cases that detections carry through the real rollups, detections and findings.

mod conditions;
mod run;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use miette::miette;
use serde::Serialize;

use self::run::CaseReport;
use super::OutputFormat;
use crate::query::{DetectionQuery, QueryTexts};
use crate::registry::errors::nearest;

/// Runs the cases that detections carry and says which do not hold.
///
/// A detection's cases stand beside it in <id>.cases.toml: events after enrichment, an instant, and the
/// findings that must be open then. Each case runs through the same rollups, detections and finding states as
/// live events do. Exit code 0 if all hold, 1 if one does not, 2 if the queries cannot be read or planned.
///
/// With --conditions each condition is taken out of its query in turn: an operand of AND or OR, a WHERE, HAVING,
/// ON, FILTER or CASE WHEN. Some case must then fail, or nobody would notice if the condition were wrong. Where no
/// case can tell, end its line with `-- no case: <reason>`. Exit code 1 if no case misses some condition.
#[derive(Debug, clap::Args)]
pub struct TestArguments {
    /// Detections to test, such as shared-credential; all if none is given
    #[arg(value_name = "QUERY")]
    queries: Vec<String>,
    /// Folder with rollups/ and detections/; the built-in queries if absent
    #[arg(long = "queries", value_name = "DIR")]
    folder: Option<PathBuf>,
    /// Say instead which conditions of a query no case would miss if they were taken out; takes minutes for all
    #[arg(long)]
    conditions: bool,
    /// How to print: text for people, json (one object a line) for programs
    #[arg(long, value_enum, default_value_t = OutputFormat::Text)]
    format: OutputFormat,
}

/// Runs the command.
pub fn main(arguments: &TestArguments) -> miette::Result<ExitCode> {
    let texts = read(arguments.folder.as_deref())?;
    let detections = selected(&texts, &arguments.queries)?;
    run::plan(&texts).map_err(|e| miette!("{e}"))?;
    if arguments.conditions {
        return conditions::main(&texts, &detections, arguments.format);
    }
    let (mut held, mut failed, mut without) = (0_usize, 0_usize, Vec::new());
    for detection in detections {
        if detection.cases.is_empty() {
            without.push(detection.text.id.as_str());
        }
        let mut stand = run::Stand::new(&texts, detection).map_err(|e| miette!("{e}"))?;
        for case in &detection.cases {
            let report = run::run_case(&mut stand, detection, case);
            if report.failures.is_empty() {
                held += 1
            } else {
                failed += 1
            }
            print(&report, arguments.format)?;
        }
    }
    if arguments.format == OutputFormat::Text {
        println!("{}", summary(held, failed, &without));
    }
    Ok(ExitCode::from(u8::from(failed > 0)))
}

pub(super) fn read(folder: Option<&Path>) -> miette::Result<QueryTexts> {
    match folder {
        Some(folder) => QueryTexts::load(folder).map_err(|e| miette!("{e}")),
        None => Ok(QueryTexts::builtin()),
    }
}

/// The detections of these ids; all if none is given.
pub(super) fn selected<'a>(
    texts: &'a QueryTexts,
    names: &[String],
) -> miette::Result<Vec<&'a DetectionQuery>> {
    let ids = || texts.detections.iter().map(|d| d.text.id.as_str());
    for name in names {
        if !ids().any(|id| id == name) {
            let known = ids().collect::<Vec<_>>().join(", ");
            let hint = nearest(name, ids()).map(|near| format!("; did you mean `{near}`?"));
            return Err(miette!(
                "there is no detection `{name}`{}\nknown: {known}",
                hint.unwrap_or_default()
            ));
        }
    }
    let wanted = |d: &&DetectionQuery| names.is_empty() || names.contains(&d.text.id);
    Ok(texts.detections.iter().filter(wanted).collect())
}

fn summary(held: usize, failed: usize, without: &[&str]) -> String {
    let mut summary = match (held, failed) {
        (0, 0) => "no case to run".to_owned(),
        (held, 0) => format!("{held} cases hold"),
        (held, failed) => format!("{failed} of {} cases do not hold", held + failed),
    };
    if !without.is_empty() {
        summary.push_str(&format!("; without cases: {}", without.join(", ")));
    }
    summary
}

/// One line of `--format json`.
#[derive(Serialize)]
struct CaseLine<'a> {
    detection: &'a str,
    case: &'a str,
    kind: &'a str,
    place: &'a str,
    holds: bool,
    failures: &'a [String],
}

fn print(report: &CaseReport, format: OutputFormat) -> miette::Result<()> {
    let holds = report.failures.is_empty();
    match format {
        OutputFormat::Json => {
            let line = CaseLine {
                detection: &report.detection,
                case: &report.case,
                kind: report.kind.name(),
                place: &report.place,
                holds,
                failures: &report.failures,
            };
            println!("{}", serde_json::to_string(&line).map_err(|e| miette!("{e}"))?);
        }
        OutputFormat::Text => print!("{}", text_of(report)),
    }
    Ok(())
}

fn text_of(report: &CaseReport) -> String {
    let word = if report.failures.is_empty() { "ok    " } else { "FAILED" };
    let mut text = format!("{word} {} {} {}\n", report.detection, report.kind.name(), report.case);
    for failure in &report.failures {
        for line in failure.lines() {
            text.push_str(&format!("       {line}\n"));
        }
    }
    if !report.failures.is_empty() {
        text.push_str(&format!("       --> {}\n", report.place));
    }
    text
}

#[cfg(test)]
mod tests {
    use std::fmt::Write;

    use super::*;
    use crate::query::cases::CaseKind;

    #[test]
    fn cases_of_built_in_detections_hold() {
        let texts = QueryTexts::builtin();
        let mut failures = String::new();
        for detection in &texts.detections {
            let mut stand = run::Stand::new(&texts, detection).expect("built-in queries plan");
            for case in &detection.cases {
                let report = run::run_case(&mut stand, detection, case);
                if !report.failures.is_empty() {
                    writeln!(failures, "{}", text_of(&report)).expect("writing to a String cannot fail");
                }
            }
        }
        assert!(failures.is_empty(), "\n{failures}");
    }

    #[test]
    fn every_built_in_detection_carries_cases_of_each_kind() {
        for detection in QueryTexts::builtin().detections {
            let count = |kind| detection.cases.iter().filter(|c| c.kind == kind).count();
            let counts = [CaseKind::Firing, CaseKind::Quiet, CaseKind::Late].map(count);
            assert!(counts[0] >= 2 && counts[1] >= 4 && counts[2] >= 1, "{}: {counts:?}", detection.text.id);
        }
    }

    #[test]
    fn unknown_query_is_refused_with_the_nearest_name() {
        let texts = QueryTexts::builtin();
        let error = selected(&texts, &["shared-credentials".to_owned()]).expect_err("no such query");
        assert!(error.to_string().contains("did you mean `shared-credential`"), "{error}");
    }
}
