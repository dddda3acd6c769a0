//! The daemon's one TOML file, with environment overrides.
//!
//! In: a path, the process environment. Out: a validated [`Config`], or every mistake in it with its line, what
//! was found, what was expected and the fix. Values of Kafka properties never appear in errors or `Debug`.

mod environment;
pub mod layout;
mod read;
mod tree;
mod validate;

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use layout::LayoutConfig;

use crate::crash_points::CrashPoints;
use crate::limits;

/// Values of `source.format`: `auto`, then the names of the formats that decode knows.
pub const FORMATS: &[&str] = &[
    "auto",
    "cloudtrail",
    "bedrock_invocation",
    "gcp_audit",
    "azure_activity",
    "kubernetes_audit",
    "envoy",
    "traefik",
    "litellm",
    "kong",
    "apisix",
    "azure_apim",
    "aws_api_gateway",
    "nginx",
    "apigee",
    "cloudflare_ai_gateway",
    "okta",
    "entra_signin",
    "google_workspace",
    "keycloak",
    "auth0",
    "vault_audit",
    "ocsf",
];

/// Everything the daemon is told. Relative paths are relative to the config file's folder.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Broker and client settings.
    #[serde(default)]
    pub kafka: KafkaConfig,
    /// Layouts of the user's own, by name.
    #[serde(rename = "layout", default)]
    pub layouts: BTreeMap<String, LayoutConfig>,
    /// What to read.
    #[serde(rename = "source", default)]
    pub sources: Vec<SourceConfig>,
    /// What governance decided.
    #[serde(default)]
    pub registry: PathConfig,
    /// Rollups, detections and signals; absent: the ones built in.
    #[serde(default)]
    pub queries: Option<PathConfig>,
    /// Where state lives.
    #[serde(default)]
    pub state: StateConfig,
    /// Event time.
    #[serde(default)]
    pub time: TimeConfig,
    /// Addresses.
    #[serde(default)]
    pub serve: ServeConfig,
    /// Who hears of findings.
    #[serde(default)]
    pub notify: NotifyConfig,
    /// Where rejects are sent; absent: they are only kept.
    #[serde(default)]
    pub dead_letter: Option<DeadLetterConfig>,
    /// Where the process may be made to end, for tests; no key of the file.
    #[serde(skip)]
    pub crash: CrashPoints,
}

/// `[kafka]`.
#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct KafkaConfig {
    /// `host:port,host:port`.
    pub brokers: String,
    /// Group under which offsets are committed for lag displays only.
    pub group: String,
    /// Passed to librdkafka as they are: `"security.protocol" = "sasl_ssl"` and the like.
    pub properties: BTreeMap<String, String>,
    /// Properties whose value stands in a file: `"sasl.password" = "/run/secrets/kafka"`.
    pub properties_file: BTreeMap<String, PathBuf>,
}

impl Default for KafkaConfig {
    fn default() -> Self {
        Self {
            brokers: String::new(),
            group: "shadowprod".to_owned(),
            properties: BTreeMap::new(),
            properties_file: BTreeMap::new(),
        }
    }
}

impl KafkaConfig {
    /// All properties, those in files read now; a file's last line break is not part of its value.
    pub fn all_properties(&self) -> Result<BTreeMap<String, String>, ConfigError> {
        let mut all = self.properties.clone();
        for (name, path) in &self.properties_file {
            let text = std::fs::read_to_string(path)
                .map_err(|source| ConfigError::Read { path: path.clone(), source })?;
            let value = text.strip_suffix('\n').unwrap_or(&text);
            all.insert(name.clone(), value.strip_suffix('\r').unwrap_or(value).to_owned());
        }
        Ok(all)
    }
}

impl fmt::Debug for KafkaConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KafkaConfig")
            .field("brokers", &self.brokers)
            .field("group", &self.group)
            .field("properties", &self.properties.keys().collect::<Vec<_>>())
            .field("properties_file", &self.properties_file)
            .finish()
    }
}

/// `[[source]]`: one topic.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SourceConfig {
    /// Name in events and evidence; the topic's name where absent.
    #[serde(default)]
    pub name: Option<String>,
    /// Kafka topic; `replay` reads `<topic>.jsonl` and `<topic>.p<N>.jsonl`.
    #[serde(default)]
    pub topic: String,
    /// `auto`, a format's name, or a layout's.
    #[serde(default = "default_format")]
    pub format: String,
    /// Whether events with a known id and content are dropped; default on for audit and identity formats.
    #[serde(default)]
    pub dedupe: Option<bool>,
    /// Okta's org, an Envoy's cluster: what the records themselves do not say.
    #[serde(default)]
    pub account: Option<String>,
}

impl SourceConfig {
    /// Name in events and evidence: its own, else the topic's.
    pub fn name(&self) -> &str {
        self.name.as_deref().unwrap_or(&self.topic)
    }
}

/// A table with one path.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PathConfig {
    /// Folder.
    pub path: PathBuf,
}

/// `[state]`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct StateConfig {
    /// Folder.
    pub path: PathBuf,
    /// MiB that rows of rollups may take in memory, all together; the process needs some 200 more.
    pub memory_mib: usize,
}

impl Default for StateConfig {
    fn default() -> Self {
        Self { path: PathBuf::new(), memory_mib: limits::STATE_MEMORY_MIB_DEFAULT }
    }
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

impl TimeConfig {
    /// Whether there can be a base grid of so many seconds: its points fall on every full hour.
    pub fn is_grid(seconds: u32) -> bool {
        seconds != 0 && 3_600 % seconds == 0
    }
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

/// `[dead_letter]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DeadLetterConfig {
    /// Kafka topic on the brokers of `[kafka]`; it must exist, and no source may read it.
    #[serde(default)]
    pub topic: String,
}

fn default_format() -> String {
    "auto".to_owned()
}

impl Config {
    /// Reads, overlays the process's environment, validates, resolves paths.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        Self::parse(path, &read_text(path)?, environment::process())
    }

    /// Like [`Config::load`], of a text and variables handed in. `path` names it in errors, and its folder is
    /// what relative paths are relative to.
    pub fn parse(
        path: &Path,
        text: &str,
        variables: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Self, ConfigError> {
        let (config, problems) = read::read(text, variables, folder_of(path));
        match config {
            Some(config) if problems.is_empty() => Ok(config),
            Some(_) | None => Err(ConfigError::Invalid { path: path.to_owned(), problems }),
        }
    }

    /// What could be read in spite of mistakes, and the mistakes: for `check`, which goes on to look at what the
    /// config names. `None` where the text is no TOML.
    pub fn examine(path: &Path) -> Result<(Option<Self>, Vec<ConfigProblem>), ConfigError> {
        Ok(read::read(&read_text(path)?, environment::process(), folder_of(path)))
    }

    /// Folder of the signal tables: `signals` beside the queries; `None` for those built in.
    pub fn signals_path(&self) -> Option<PathBuf> {
        let folder = self.queries.as_ref()?.path.join("signals");
        folder.is_dir().then_some(folder)
    }
}

fn folder_of(path: &Path) -> &Path {
    path.parent().unwrap_or(Path::new(""))
}

fn read_text(path: &Path) -> Result<String, ConfigError> {
    let failed = |source| ConfigError::Read { path: path.to_owned(), source };
    let bytes = std::fs::metadata(path).map_err(failed)?.len();
    if bytes > crate::limits::TEXT_FILE_BYTES_MAX {
        let source = std::io::Error::new(std::io::ErrorKind::FileTooLarge, "too large for a config file");
        return Err(failed(source));
    }
    std::fs::read_to_string(path).map_err(failed)
}

/// Where a mistake stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// In the file; line and column count from 1, the column and the length in characters.
    Text {
        /// Line.
        line: usize,
        /// Column.
        column: usize,
        /// How many characters of the line it covers, at least 1.
        length: usize,
    },
    /// In an environment variable of this name.
    Variable(String),
}

/// One mistake.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigProblem {
    /// Where.
    pub place: Place,
    /// What was found and what was expected.
    pub message: String,
    /// What to write instead.
    pub fix: String,
}

/// Why a config cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file, or a file with a secret that it names, cannot be read.
    #[error("{}: {source}", path.display())]
    Read {
        /// Which.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// The text is not a config; every mistake, in line order.
    #[error("{}", listed(path, problems))]
    Invalid {
        /// Which.
        path: PathBuf,
        /// At least one.
        problems: Vec<ConfigProblem>,
    },
}

fn listed(path: &Path, problems: &[ConfigProblem]) -> String {
    let line = |p: &ConfigProblem| match &p.place {
        Place::Text { line, column, .. } => {
            format!("{}:{line}:{column}: {}; {}", path.display(), p.message, p.fix)
        }
        Place::Variable(name) => format!("environment variable {name}: {}; {}", p.message, p.fix),
    };
    problems.iter().map(line).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests;
