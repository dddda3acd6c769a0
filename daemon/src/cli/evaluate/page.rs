//! The report as one page: no script, no network, plots as SVG.

use std::fmt::Write as _;

use super::interval::Share;
use super::report::{Figures, Report};
use super::table::{duration, share};

const STYLE: &str = "body{font:15px/1.5 system-ui,sans-serif;max-width:70rem;margin:2rem auto;padding:0 1rem;color:#1b1f24}\
h1{font-size:1.5rem}h2{font-size:1.15rem;margin-top:2.2rem}table{border-collapse:collapse;width:100%}\
th,td{text-align:right;padding:.25rem .6rem;border-bottom:1px solid #d8dee4;white-space:nowrap}\
th:first-child,td:first-child,td.left,th.left{text-align:left;white-space:normal}tr.rule td{color:#8c4a00}\
svg text{font:12px system-ui,sans-serif;fill:#1b1f24}.small{color:#57606a}td.bad{color:#b3261e}";
/// Left edge, width and row height of the plots, pixels.
const LEFT: f64 = 250.0;
const WIDTH: f64 = 600.0;
const ROW: f64 = 26.0;

/// The whole page.
pub(super) fn html(report: &Report) -> String {
    let events: u64 = report.worlds.iter().map(|w| w.events).sum();
    let days: f64 = report.worlds.iter().map(|w| w.days).sum();
    let seeds: Vec<String> = report.worlds.iter().map(|w| w.seed.to_string()).collect();
    let mut out = String::new();
    let mut put = |text: &str| out.push_str(text);
    put(
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width\">",
    );
    put(&format!("<title>shadowprod: what the detections find</title><style>{STYLE}</style>"));
    put("<h1>What the detections find, and what they get wrong</h1>");
    put(&format!(
        "<p>{} generated companies (seeds {}), {days:.0} days, {events} events. Found is a planted incident that was \
         told after it began; false is a finding that nobody planted. Bars are Wilson's 95% intervals.</p>",
        report.worlds.len(),
        seeds.join(", ")
    ));
    put(&format!(
        "<p><b>{:.2}</b> pages a week and company, <b>{:.2}</b> of them false; {} people paged.</p>",
        report.pages_per_week, report.pages_false_per_week, report.paged_people
    ));
    put(&figures_table(report));
    put("<h2>Precision</h2>");
    put(&shares_plot(report, |f| f.precision_interval));
    put("<h2>Recall</h2>");
    put(&shares_plot(report, |f| f.recall_interval));
    put(
        "<h2>Time to detect</h2><p class=\"small\">From the first moment at which an incident could be known, in event \
         time; each dot is one incident, the bar their median.</p>",
    );
    put(&times_plot(report));
    put("<h2>Planted, by kind</h2>");
    put(&variants_table(report));
    put("<h2>Everything that went wrong</h2>");
    put(&wrong_table(report));
    out.push_str("</html>\n");
    out
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

/// Detections, then simple rules: id, whether it is a rule, figures.
fn lines(report: &Report) -> Vec<(String, bool, &Figures)> {
    let detections = report.detections.iter().map(|(id, figures)| (id.clone(), false, figures));
    let rules = report.baselines.iter().map(|(id, b)| (id.clone(), true, &b.figures));
    detections.chain(rules).collect()
}

fn figures_table(report: &Report) -> String {
    let mut out = String::from(
        "<table><tr><th>detection<th>found<th>missed<th>false<th>precision (95%)<th>recall (95%)<th>median time to \
         detect<th>90%<th>findings a day</tr>",
    );
    for (id, is_rule, figures) in lines(report) {
        let class = if is_rule { " class=\"rule\"" } else { "" };
        let name = if is_rule { format!("{id}, a simple rule") } else { id };
        let time = |t: Option<f64>| t.map_or_else(|| "-".to_owned(), duration);
        write!(
            out,
            "<tr{class}><td>{}<td>{}<td>{}<td>{}<td>{}<td>{}<td>{}<td>{}<td>{:.2}</tr>",
            escaped(&name),
            figures.true_positives,
            figures.false_negatives,
            figures.false_positives,
            share(figures.precision_interval),
            share(figures.recall_interval),
            time(figures.time_to_detect_s),
            time(figures.time_to_detect_p90_s),
            figures.findings_per_day
        )
        .expect("writing to a String cannot fail");
    }
    out + "</table>"
}

fn svg(rows: usize, axis: &[(f64, String)], body: &str) -> String {
    let bottom = ROW * rows as f64 + 8.0;
    let (width, height) = (LEFT + WIDTH + 60.0, bottom + 24.0);
    let mut out = format!("<svg viewBox=\"0 0 {width} {height}\" role=\"img\" width=\"100%\">");
    for (x, name) in axis {
        write!(
            out,
            "<line x1=\"{x:.1}\" y1=\"4\" x2=\"{x:.1}\" y2=\"{bottom}\" stroke=\"#d8dee4\"/>\
             <text x=\"{x:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{name}</text>",
            bottom + 16.0
        )
        .expect("writing to a String cannot fail");
    }
    out + body + "</svg>"
}

fn name_text(row: usize, name: &str) -> String {
    let y = ROW * row as f64 + 22.0;
    format!("<text x=\"{:.1}\" y=\"{y:.1}\" text-anchor=\"end\">{}</text>", LEFT - 10.0, escaped(name))
}

fn shares_plot(report: &Report, of: fn(&Figures) -> Option<Share>) -> String {
    let x = |value: f64| LEFT + WIDTH * value;
    let axis: Vec<(f64, String)> =
        [0.0, 0.25, 0.5, 0.75, 0.9, 1.0].into_iter().map(|v| (x(v), format!("{v}"))).collect();
    let lines = lines(report);
    let mut body = String::new();
    for (row, (id, is_rule, figures)) in lines.iter().enumerate() {
        body += &name_text(row, id);
        let Some(Share { value, low, high }) = of(figures) else { continue };
        let (y, colour) = (ROW * row as f64 + 18.0, if *is_rule { "#bf6b00" } else { "#0b6bcb" });
        write!(
            body,
            "<line x1=\"{:.1}\" y1=\"{y}\" x2=\"{:.1}\" y2=\"{y}\" stroke=\"{colour}\" stroke-width=\"3\" opacity=\".45\"/>\
             <circle cx=\"{:.1}\" cy=\"{y}\" r=\"5\" fill=\"{colour}\"><title>{value:.3} ({low:.3} to {high:.3})</title></circle>",
            x(low),
            x(high),
            x(value)
        )
        .expect("writing to a String cannot fail");
    }
    svg(lines.len(), &axis, &body)
}

/// Ten seconds to two weeks, logarithmic.
fn times_plot(report: &Report) -> String {
    let (from, to) = (10.0_f64.ln(), 1_209_600.0_f64.ln());
    let x = |seconds: f64| LEFT + WIDTH * (seconds.clamp(10.0, 1_209_600.0).ln() - from) / (to - from);
    let axis: Vec<(f64, String)> = [
        (10.0, "10 s"),
        (60.0, "1 min"),
        (600.0, "10 min"),
        (3_600.0, "1 h"),
        (21_600.0, "6 h"),
        (86_400.0, "1 d"),
        (604_800.0, "7 d"),
    ]
    .into_iter()
    .map(|(v, name)| (x(v), name.to_owned()))
    .collect();
    let mut body = String::new();
    for (row, (id, figures)) in report.detections.iter().enumerate() {
        let y = ROW * row as f64 + 18.0;
        body += &name_text(row, id);
        for time in &figures.times {
            write!(
                body,
                "<circle cx=\"{:.1}\" cy=\"{y}\" r=\"4\" fill=\"#0b6bcb\" opacity=\".35\"><title>{}</title></circle>",
                x(*time),
                duration(*time)
            )
            .expect("writing to a String cannot fail");
        }
        if let Some(median) = figures.time_to_detect_s {
            let x = x(median);
            write!(
                body,
                "<line x1=\"{x:.1}\" y1=\"{:.1}\" x2=\"{x:.1}\" y2=\"{:.1}\" stroke=\"#b3261e\" stroke-width=\"2\"/>",
                y - 9.0,
                y + 9.0
            )
            .expect("writing to a String cannot fail");
        }
    }
    svg(report.detections.len(), &axis, &body)
}

fn variants_table(report: &Report) -> String {
    let mut out =
        String::from("<table><tr><th>detection<th class=\"left\">what was planted<th>found<th>of</tr>");
    for (id, figures) in &report.detections {
        for (variant, (found, planted)) in &figures.variants {
            let class = if found < planted { " class=\"bad\"" } else { "" };
            write!(
                out,
                "<tr><td>{}<td class=\"left\">{}<td{class}>{found}<td>{planted}</tr>",
                escaped(id),
                escaped(variant)
            )
            .expect("writing to a String cannot fail");
        }
    }
    out + "</table>"
}

fn wrong_table(report: &Report) -> String {
    let mut out = String::from(
        "<table><tr><th>detection<th class=\"left\">how<th class=\"left\">what it is<th class=\"left\">world<th \
         class=\"left\">subject, what is said</tr>",
    );
    for (id, figures) in &report.detections {
        for wrong in &figures.wrong {
            let severity = wrong.severity.map(|s| format!(", {s}")).unwrap_or_default();
            write!(
                out,
                "<tr><td>{}<td class=\"left\">{}{severity}<td class=\"left\">{}<td class=\"left\">{}, {}<td \
                 class=\"left\">{}: <span class=\"small\">{}</span></tr>",
                escaped(id),
                wrong.how,
                escaped(wrong.variant.as_deref().unwrap_or("nobody's")),
                escaped(&wrong.world),
                wrong.at,
                escaped(&wrong.subject),
                escaped(&wrong.text)
            )
            .expect("writing to a String cannot fail");
        }
    }
    out + "</table>"
}
