//! The report for people: a table, what went wrong, who was paged.

use std::fmt::{self, Display, Formatter};

use comfy_table::presets::UTF8_HORIZONTAL_ONLY;
use comfy_table::{CellAlignment, ContentArrangement, Table};

use super::interval::Share;
use super::report::{Figures, Report};

const HEADINGS: [&str; 9] = [
    "detection",
    "found",
    "missed",
    "false",
    "precision (95%)",
    "recall (95%)",
    "time to detect",
    "a day",
    "evaluated",
];

/// A report as text.
pub(super) struct Text<'a>(pub(super) &'a Report);

impl Display for Text<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let report = self.0;
        let events: u64 = report.worlds.iter().map(|w| w.events).sum();
        let days: f64 = report.worlds.iter().map(|w| w.days).sum();
        let seeds: Vec<String> = report.worlds.iter().map(|w| w.seed.to_string()).collect();
        writeln!(
            f,
            "{} worlds (seeds {}), {days:.0} days, {events} events",
            report.worlds.len(),
            seeds.join(", ")
        )?;
        let mut table = Table::new();
        table.load_preset(UTF8_HORIZONTAL_ONLY).set_content_arrangement(ContentArrangement::Disabled);
        table.set_header(HEADINGS);
        for (id, figures) in &report.detections {
            table.add_row(row(id, figures));
        }
        for (id, baseline) in &report.baselines {
            table.add_row(row(&format!("{id}, a simple rule"), &baseline.figures));
        }
        for index in 1..HEADINGS.len() {
            if let Some(column) = table.column_mut(index) {
                column.set_cell_alignment(CellAlignment::Right);
            }
        }
        writeln!(f, "{table}")?;
        let Report { pages_per_week, pages_false_per_week, paged_people, .. } = report;
        writeln!(
            f,
            "Pages a week and company: {pages_per_week:.2}, of them false: {pages_false_per_week:.2}. People paged: \
             {paged_people}. By role: {}",
            report.paged_roles.iter().map(|(r, n)| format!("{r} {n}")).collect::<Vec<_>>().join(", ")
        )?;
        for (id, figures) in &report.detections {
            for wrong in &figures.wrong {
                let variant = wrong.variant.as_deref().unwrap_or("nobody's");
                writeln!(f, "{:<6} {id} [{variant}] {}: {}", wrong.how, wrong.world, wrong.subject)?;
                writeln!(f, "       {} {}", wrong.at, wrong.text)?;
            }
        }
        Ok(())
    }
}

fn row(id: &str, figures: &Figures) -> Vec<String> {
    vec![
        id.to_owned(),
        figures.true_positives.to_string(),
        figures.false_negatives.to_string(),
        figures.false_positives.to_string(),
        share(figures.precision_interval),
        share(figures.recall_interval),
        figures.time_to_detect_s.map_or_else(|| "-".to_owned(), duration),
        format!("{:.2}", figures.findings_per_day),
        format!("{} times, {:.1} s", figures.evaluations, figures.evaluation_seconds),
    ]
}

/// `0.96 (0.91 to 0.99)`
pub(super) fn share(share: Option<Share>) -> String {
    share.map_or_else(
        || "-".to_owned(),
        |Share { value, low, high }| format!("{value:.2} ({low:.2} to {high:.2})"),
    )
}

/// The largest unit that leaves a number above one: `7 min`.
pub(super) fn duration(seconds: f64) -> String {
    match seconds {
        s if s < 120.0 => format!("{s:.0} s"),
        s if s < 7_200.0 => format!("{:.0} min", s / 60.0),
        s if s < 172_800.0 => format!("{:.1} h", s / 3_600.0),
        s => format!("{:.1} d", s / 86_400.0),
    }
}
