//! The exposition: OpenMetrics 1.0, and Prometheus' older text format made from it.
//!
//! In: the registered metrics, the latency histogram. Out: text. The latency is a summary, a type that
//! prometheus-client does not have, so its lines are written here.

use std::fmt::{Error, Write};

use hdrhistogram::Histogram;
use prometheus_client::encoding::text::{encode_eof, encode_registry};
use prometheus_client::registry::Registry;

/// 1 h.
const MICROS_MAX: u64 = 3_600_000_000;
const DIGITS: u8 = 3;
const QUANTILES: [(&str, f64); 4] = [("0.5", 0.5), ("0.9", 0.9), ("0.99", 0.99), ("1", 1.0)];

/// Event time to durable finding, in microseconds.
pub(super) struct Latency {
    histogram: Histogram<u64>,
    sum_micros: u64,
}

impl Latency {
    /// Of nothing.
    pub(super) fn new() -> Self {
        let histogram = Histogram::new_with_bounds(1, MICROS_MAX, DIGITS).expect("constant bounds are valid");
        Self { histogram, sum_micros: 0 }
    }

    /// Counts one in; what is over an hour counts as an hour.
    pub(super) fn record(&mut self, micros: u64) {
        let micros = micros.clamp(1, MICROS_MAX);
        self.histogram.saturating_record(micros);
        self.sum_micros += micros;
    }

    fn encode(&self, text: &mut String) -> Result<(), Error> {
        let name = "shadowprod_findings_latency_seconds";
        writeln!(text, "# HELP {name} Event time to durable finding, from an hdrhistogram.")?;
        writeln!(text, "# TYPE {name} summary")?;
        writeln!(text, "# UNIT {name} seconds")?;
        for (quantile, q) in QUANTILES {
            let seconds = if self.histogram.is_empty() {
                "NaN".to_owned()
            } else {
                (self.histogram.value_at_quantile(q) as f64 / 1e6).to_string()
            };
            writeln!(text, "{name}{{quantile=\"{quantile}\"}} {seconds}")?;
        }
        writeln!(text, "{name}_sum {}", self.sum_micros as f64 / 1e6)?;
        writeln!(text, "{name}_count {}", self.histogram.len())
    }
}

/// Writes everything in OpenMetrics 1.0.
pub(super) fn encode(text: &mut String, registry: &Registry, latency: &Latency) -> Result<(), Error> {
    encode_registry(text, registry)?;
    latency.encode(text)?;
    encode_eof(text)
}

/// Prometheus' text format 0.0.4 of an OpenMetrics text: there a counter's family has its samples' name,
/// and there are no units and no end mark.
pub(super) fn classic(openmetrics: &str) -> String {
    let mut text = String::with_capacity(openmetrics.len());
    let mut help = None;
    for line in openmetrics.lines() {
        let mut words = line.splitn(4, ' ');
        match (words.next(), words.next(), words.next(), words.next()) {
            (Some("#"), Some("HELP"), Some(_), Some(words)) => help = Some(words),
            (Some("#"), Some("TYPE"), Some(name), Some(kind)) => {
                let suffix = if kind == "counter" { "_total" } else { "" };
                let help = help.take().unwrap_or_default();
                text += &format!("# HELP {name}{suffix} {help}\n# TYPE {name}{suffix} {kind}\n");
            }
            (Some("#"), ..) => {}
            _ => {
                text += line;
                text.push('\n');
            }
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use crate::metrics::{KindLabel, Metrics};

    #[test]
    fn classic_counter_family_has_its_samples_name() {
        let metrics = Metrics::new();
        metrics.decode_rejects.get_or_create(&KindLabel { kind: "not_json" }).inc();
        let text = metrics.encode_classic();
        assert!(
            text.contains(
                "# HELP shadowprod_decode_rejects_total Rejects by reason.\n\
                 # TYPE shadowprod_decode_rejects_total counter\n\
                 shadowprod_decode_rejects_total{kind=\"not_json\"} 1\n"
            ),
            "{text}"
        );
        assert!(!text.contains("# UNIT") && !text.contains("# EOF"), "{text}");
    }

    #[test]
    fn openmetrics_ends_with_its_mark_and_names_units() {
        let text = Metrics::new().encode();
        assert!(text.contains("# UNIT shadowprod_store_size_bytes bytes\n"), "{text}");
        assert!(text.ends_with("# EOF\n"), "{text}");
    }

    #[test]
    fn member_of_a_closed_set_is_zero_before_it_happens() {
        let text = Metrics::new().encode();
        assert!(text.contains("shadowprod_notify_posts_total{kind=\"failed\"} 0\n"), "{text}");
    }

    #[test]
    fn latency_is_a_summary_without_quantiles_of_nothing() {
        let metrics = Metrics::new();
        assert!(metrics.encode().contains("shadowprod_findings_latency_seconds{quantile=\"0.99\"} NaN\n"));
        metrics.record_latency(250_000);
        metrics.record_latency(750_000);
        let text = metrics.encode();
        assert!(text.contains("# TYPE shadowprod_findings_latency_seconds summary\n"), "{text}");
        assert!(text.contains("shadowprod_findings_latency_seconds_sum 1\n"), "{text}");
        assert!(text.contains("shadowprod_findings_latency_seconds_count 2\n"), "{text}");
    }
}
