//! The daemon's one TOML file, with environment overrides.
//!
//! In: a path, the process environment. Out: a validated [`Config`] or errors that name line, finding and fix.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use serde::Deserialize;

/// Everything the daemon is told. Relative paths are relative to the config file's folder.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Broker and client settings.
    #[serde(default)]
    pub kafka: KafkaConfig,
    /// What to read.
    #[serde(rename = "source")]
    pub sources: Vec<SourceConfig>,
    /// What governance decided.
    pub registry: PathConfig,
    /// Rollups, detections and signals; absent: the ones built in.
    #[serde(default)]
    pub queries: Option<PathConfig>,
    /// Where state lives.
    pub state: PathConfig,
    /// Event time.
    #[serde(default)]
    pub time: TimeConfig,
    /// Addresses.
    #[serde(default)]
    pub serve: ServeConfig,
    /// Who hears of findings.
    #[serde(default)]
    pub notify: NotifyConfig,
}

/// `[kafka]`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KafkaConfig {
    /// `host:port,host:port`.
    #[serde(default)]
    pub brokers: String,
    /// Group under which offsets are committed for lag displays only.
    #[serde(default = "default_group")]
    pub group: String,
    /// Passed to librdkafka as they are: `"security.protocol" = "sasl_ssl"` and the like.
    #[serde(default)]
    pub properties: BTreeMap<String, String>,
    /// Properties whose value stands in a file: `"sasl.password" = "/run/secrets/kafka"`.
    #[serde(default)]
    pub properties_file: BTreeMap<String, PathBuf>,
}

/// `[[source]]`: one topic.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SourceConfig {
    /// Name in events and evidence; the topic's name where absent.
    #[serde(default)]
    pub name: Option<String>,
    /// Kafka topic; `replay` reads `<topic>.jsonl` and `<topic>.p<N>.jsonl`.
    pub topic: String,
    /// `auto` or a format's name.
    #[serde(default = "default_format")]
    pub format: String,
    /// Whether events with a known id and content are dropped; default on for audit and identity formats.
    #[serde(default)]
    pub dedupe: Option<bool>,
    /// Okta's org, an Envoy's cluster: what the records themselves do not say.
    #[serde(default)]
    pub account: Option<String>,
}

/// A table with one path.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PathConfig {
    /// Folder.
    pub path: PathBuf,
}

/// What moves the watermark when the logs are quiet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Clock {
    /// The wall clock, once every partition is idle and caught up: for live logs.
    Wall,
    /// The logs alone, closed at their newest event once everything is idle: for replays and back-dated logs.
    Log,
}

/// `[time]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TimeConfig {
    /// What moves the watermark when the logs are quiet.
    pub clock: Clock,
    /// Base grid of on-time evaluation, seconds.
    pub grid_seconds: u32,
    /// How far events may be out of order, seconds: audit logs arrive 5 to 15 minutes late.
    pub lateness_seconds: u32,
    /// A partition at its end of log counts as idle after this much silence, milliseconds.
    pub idle_after_ms: u32,
}

impl Default for TimeConfig {
    fn default() -> Self {
        Self { clock: Clock::Wall, grid_seconds: 60, lateness_seconds: 1_800, idle_after_ms: 5_000 }
    }
}

/// `[serve]`. Loopback only: anything else is refused until TLS is configured.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ServeConfig {
    /// gRPC.
    pub grpc: SocketAddr,
    /// HTTP: metrics, health.
    pub http: SocketAddr,
}

impl Default for ServeConfig {
    fn default() -> Self {
        Self {
            grpc: SocketAddr::from(([127, 0, 0, 1], 50551)),
            http: SocketAddr::from(([127, 0, 0, 1], 9464)),
        }
    }
}

/// `[notify]`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct NotifyConfig {
    /// Base URLs of all Alertmanager instances.
    pub alertmanagers: Vec<String>,
    /// Severities from this one on are sent.
    pub severity_min: Option<String>,
}

fn default_group() -> String {
    "shadowprod".to_owned()
}

fn default_format() -> String {
    "auto".to_owned()
}

impl Config {
    /// Reads, overlays the environment, validates.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        let text = std::fs::read_to_string(path)
            .map_err(|source| ConfigError::Read { path: path.to_owned(), source })?;
        Self::parse(path, &text)
    }

    fn parse(path: &Path, text: &str) -> Result<Self, ConfigError> {
        toml::from_str(text)
            .map_err(|e| ConfigError::Invalid { path: path.to_owned(), message: e.to_string() })
    }
}

/// Why a config cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("{}: {source}", path.display())]
    Read {
        /// Which.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// The text is not a config.
    #[error("{}: {message}", path.display())]
    Invalid {
        /// Which.
        path: PathBuf,
        /// Line, finding, fix.
        message: String,
    },
}
