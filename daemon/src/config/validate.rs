//! What a config must fulfil beyond its form.
//!
//! In: a config and the document it was read from. Out: problems, each at the key it is about. Nothing here
//! changes the config or opens a connection.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;

use super::layout::{self, LAYOUT_CREDENTIAL_KINDS, LAYOUT_FIELDS, LAYOUT_PRINCIPAL_KINDS, LayoutConfig};
use super::read::{Problems, choices};
use super::tree::{Document, Step, label, steps};
use super::{Config, FORMATS, TimeConfig};
use crate::findings::Severity;
use crate::limits;

/// Events further out of order than this are not logs but imports.
const LATENESS_SECONDS_MAX: u32 = 86_400;
/// Kafka's own bound on topic names.
const TOPIC_BYTES_MAX: usize = 249;

/// Kafka properties that shadowprod sets itself, and what would break otherwise.
const OWN_PROPERTIES: &[(&str, &str)] = &[
    ("bootstrap.servers", "set kafka.brokers instead"),
    ("metadata.broker.list", "set kafka.brokers instead"),
    ("group.id", "set kafka.group instead"),
    ("group.instance.id", "partitions are assigned by hand, not by a group"),
    ("group.protocol", "partitions are assigned by hand, not by a group"),
    ("partition.assignment.strategy", "partitions are assigned by hand, not by a group"),
    ("enable.auto.commit", "offsets are committed with the findings; anything else loses or repeats events"),
    (
        "enable.auto.offset.store",
        "offsets are committed with the findings; anything else loses or repeats events",
    ),
    (
        "auto.offset.reset",
        "a lost offset must be an error: latest loses events in silence, earliest repeats them",
    ),
    ("isolation.level", "aborted transactions must never become findings"),
    ("check.crcs", "every byte that is read is checked"),
    ("allow.auto.create.topics", "reading must never create a topic"),
    ("enable.metrics.push", "nothing about this client is sent to the broker"),
    ("enable.partition.eof", "idle partitions are recognised by it"),
    ("enable.idempotence", "a dead letter is written once, however often it is sent"),
    ("acks", "a dead letter counts as delivered only when every replica has it"),
    ("message.timeout.ms", "dead letters wait for as long as the broker is away"),
    ("plugin.library.paths", "no foreign code runs in this process"),
];

/// Adds every rule that `config` breaks to `problems`.
pub(super) fn validate(config: &Config, document: &Document<'_>, problems: &mut Problems) {
    let mut rules = Rules { document, problems };
    rules.layouts(config);
    rules.sources(config);
    rules.kafka(config);
    rules.folder("registry", &config.registry.path);
    rules.folder("state", &config.state.path);
    rules.memory(config);
    if let Some(queries) = &config.queries {
        rules.folder("queries", &queries.path);
    }
    rules.time(config);
    rules.serve(config);
    rules.notify(config);
    rules.dead_letter(config);
}

struct Rules<'a, 't> {
    document: &'a Document<'t>,
    problems: &'a mut Problems,
}

impl Rules<'_, '_> {
    fn wrong(&mut self, path: &[Step], message: impl Into<String>, fix: impl Into<String>) {
        let place = self.document.place(&self.document.locate(path).value);
        self.problems.add(place, message, fix);
    }

    /// The key itself is the mistake, not its value.
    fn wrong_key(&mut self, path: &[Step], message: impl Into<String>, fix: impl Into<String>) {
        let place = self.document.place(&self.document.locate(path).key);
        self.problems.add(place, message, fix);
    }

    /// A key that must be there, unless a mistake in the same table may be what should have been it.
    fn missing(&mut self, path: &[Step], fix: &str) {
        let parent = self.document.locate(&path[..path.len() - 1]);
        if !self.problems.damaged.contains(&parent.value) {
            self.wrong_key(path, format!("`{}` is missing", label(path)), fix);
        }
    }

    fn layouts(&mut self, config: &Config) {
        if config.layouts.len() > limits::LAYOUTS_MAX {
            let message =
                format!("{} layouts, expected at most {}", config.layouts.len(), limits::LAYOUTS_MAX);
            self.wrong_key(&steps("layout"), message, "split them over several daemons");
        }
        for (name, layout) in &config.layouts {
            let table = [steps("layout"), vec![Step::Key(name.clone())]].concat();
            let legal = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
            if FORMATS.contains(&name.as_str()) {
                let message = format!("`{name}` is a format that shadowprod knows itself");
                self.wrong_key(&table, message, "give the layout a name of its own");
            } else if name.is_empty()
                || name.len() > limits::REGISTRY_ID_BYTES_MAX
                || !name.chars().all(legal)
            {
                let message = format!("`{}` is not a name for a layout", name.escape_debug());
                self.wrong_key(&table, message, "write lower-case letters, digits and `_`");
            }
            self.word(&table, "principal_kind", &layout.principal_kind, LAYOUT_PRINCIPAL_KINDS);
            self.word(&table, "credential_kind", &layout.credential_kind, LAYOUT_CREDENTIAL_KINDS);
            self.fields(&table, layout);
        }
    }

    fn word(&mut self, table: &[Step], key: &str, word: &str, allowed: &[&str]) {
        if !allowed.contains(&word) {
            let path = [table, &[Step::Key(key.to_owned())]].concat();
            self.wrong(&path, format!("unknown {key} `{}`", word.escape_debug()), choices(word, allowed));
        }
    }

    fn fields(&mut self, table: &[Step], layout: &LayoutConfig) {
        let fields = [table, &steps("fields")].concat();
        if !layout.fields.contains_key("event_time") {
            let path = [fields.as_slice(), &steps("event_time")].concat();
            self.missing(&path, "name the field that says when it happened");
        }
        let known = LAYOUT_FIELDS.map(|(name, _)| name);
        let mut places_count = 0;
        for (field, places) in &layout.fields {
            let path = [fields.as_slice(), &[Step::Key(field.clone())]].concat();
            if !known.contains(&field.as_str()) {
                let message = format!("a layout has no field `{}`", field.escape_debug());
                self.wrong_key(&path, message, choices(field, &known));
            }
            places_count += places.all().len();
            for place in places.all() {
                if let Err(what) = layout::keys(place) {
                    let message = format!("`{}` {what}, expected a field's name", place.escape_debug());
                    self.wrong(&path, message, "write user_agent, or /request/headers/user-agent");
                }
            }
        }
        if places_count > limits::LAYOUT_PLACES_MAX {
            let message = format!("{places_count} places, expected at most {}", limits::LAYOUT_PLACES_MAX);
            self.wrong_key(&fields, message, "name fewer alternatives");
        }
    }

    fn sources(&mut self, config: &Config) {
        if config.sources.is_empty() {
            self.missing(&steps("source"), "add a [[source]] with topic = \"...\"");
        }
        let (mut topics, mut names) = (BTreeMap::new(), BTreeMap::new());
        for (i, source) in config.sources.iter().enumerate() {
            let key = |key: &str| [steps("source"), vec![Step::Index(i), Step::Key(key.to_owned())]].concat();
            self.topic(&key("topic"), &source.topic);
            if !source.topic.is_empty() {
                self.unique(&mut topics, &source.topic, &key("topic"), "give each topic one [[source]]");
                self.unique(&mut names, source.name(), &key("name"), "give each source its own name");
            }
            if !FORMATS.contains(&source.format.as_str()) && !config.layouts.contains_key(&source.format) {
                let message = format!("unknown format `{}`", source.format);
                let known: Vec<&str> =
                    FORMATS.iter().copied().chain(config.layouts.keys().map(String::as_str)).collect();
                self.wrong(&key("format"), message, choices(&source.format, &known));
            }
        }
        if config.sources.len() > usize::from(limits::TOPICS_MAX) {
            let message =
                format!("{} sources, expected at most {}", config.sources.len(), limits::TOPICS_MAX);
            self.wrong_key(&steps("source"), message, "split them over several daemons");
        }
    }

    fn topic(&mut self, path: &[Step], topic: &str) {
        let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
        if topic.is_empty() && self.document.get(path).is_none() {
            self.missing(path, "add topic = \"...\"");
        } else if topic.is_empty() || topic.len() > TOPIC_BYTES_MAX || !topic.chars().all(legal) {
            let fix = format!("write 1 to {TOPIC_BYTES_MAX} letters, digits, `.`, `_` or `-`");
            self.wrong(path, format!("`{}` is not a Kafka topic name", topic.escape_debug()), fix);
        }
    }

    fn unique<'c>(
        &mut self,
        seen: &mut BTreeMap<&'c str, Vec<Step>>,
        word: &'c str,
        path: &[Step],
        fix: &str,
    ) {
        let known_already = self.document.get(path).is_none();
        match seen.get(word) {
            Some(first) if !known_already => {
                let what = label(path);
                let first = match self.document.place(&self.document.locate(first).value) {
                    super::Place::Text { line, .. } => format!("line {line}"),
                    super::Place::Variable(name) => name,
                };
                self.wrong(path, format!("{what} `{word}` is taken already, by {first}"), fix);
            }
            Some(_) => {}
            None => drop(seen.insert(word, path.to_vec())),
        }
    }

    fn folder(&mut self, table: &str, path: &Path) {
        let key = steps(&format!("{table}.path"));
        if !path.as_os_str().is_empty() {
            return;
        }
        if self.document.get(&key).is_some() {
            self.wrong(&key, format!("`{table}.path` is empty, expected a folder"), "name a folder");
        } else {
            self.missing(&key, &format!("add [{table}] with path = \"...\""));
        }
    }

    fn memory(&mut self, config: &Config) {
        let (mib, min) = (config.state.memory_mib, limits::STATE_MEMORY_MIB_MIN);
        if mib < min {
            let message = format!("`state.memory_mib` is {mib}, expected at least {min}");
            let fix = format!("write {}, or leave it out", limits::STATE_MEMORY_MIB_DEFAULT);
            self.wrong(&steps("state.memory_mib"), message, &fix);
        }
    }

    fn kafka(&mut self, config: &Config) {
        let kafka = &config.kafka;
        if !kafka.brokers.is_empty() {
            for broker in kafka.brokers.split(',') {
                if !is_host_and_port(broker.trim()) {
                    let message = format!("`{}` is not a broker's address", broker.escape_debug());
                    self.wrong(&steps("kafka.brokers"), message, "write host:port,host:port");
                }
            }
        }
        if kafka.group.is_empty() {
            self.wrong(&steps("kafka.group"), "`kafka.group` is empty", "write a consumer group's name");
        }
        for name in kafka.properties.keys() {
            self.property("kafka.properties", name);
        }
        for (name, path) in &kafka.properties_file {
            self.property("kafka.properties_file", name);
            self.secret(name, path, kafka.properties.contains_key(name));
        }
    }

    fn property(&mut self, table: &str, name: &str) {
        let key = [steps(table), vec![Step::Key(name.to_owned())]].concat();
        if let Some((_, reason)) = OWN_PROPERTIES.iter().find(|(own, _)| *own == name) {
            self.wrong_key(
                &key,
                format!("Kafka property `{name}` is not yours to set: {reason}"),
                "remove the line",
            );
        } else if !is_property_name(name) {
            let message = format!("`{}` is not the name of a Kafka property", name.escape_debug());
            self.wrong_key(&key, message, "write \"security.protocol\" and the like, in quotes");
        }
    }

    fn secret(&mut self, name: &str, path: &Path, given_twice: bool) {
        let key = [steps("kafka.properties_file"), vec![Step::Key(name.to_owned())]].concat();
        if given_twice {
            let message = format!("`{name}` also stands in kafka.properties");
            self.wrong_key(&key, message, "remove one of the two");
        }
        if let Err(error) = std::fs::File::open(path) {
            let message = format!("the file with `{name}`, {}, cannot be read: {error}", path.display());
            self.wrong(&key, message, "create it, readable by this user, or correct the path");
        }
    }

    fn time(&mut self, config: &Config) {
        let time = &config.time;
        if !TimeConfig::is_grid(time.grid_seconds) {
            let message = format!("`time.grid_seconds` is {}, expected a divisor of 3600", time.grid_seconds);
            self.wrong(
                &steps("time.grid_seconds"),
                message,
                "write 60, or another divisor such as 10 or 300",
            );
        }
        if time.lateness_seconds > LATENESS_SECONDS_MAX {
            let message = format!(
                "`time.lateness_seconds` is {}, expected at most {LATENESS_SECONDS_MAX}",
                time.lateness_seconds
            );
            self.wrong(&steps("time.lateness_seconds"), message, "write 1800 for audit logs");
        }
        if time.idle_after_ms == 0 {
            let message = "`time.idle_after_ms` is 0: every partition would be idle between two reads";
            self.wrong(&steps("time.idle_after_ms"), message, "write 5000");
        }
    }

    fn serve(&mut self, config: &Config) {
        let serve = &config.serve;
        self.loopback("serve.grpc", serve.grpc);
        self.loopback("serve.http", serve.http);
        if serve.grpc == serve.http && serve.grpc.port() != 0 {
            let message = format!("`serve.http` and `serve.grpc` are both {}", serve.http);
            self.wrong(&steps("serve.http"), message, "give each its own port");
        }
    }

    fn loopback(&mut self, key: &str, address: SocketAddr) {
        if !address.ip().is_loopback() {
            let message = format!("`{key}` is {address}, expected a loopback address: there is no TLS yet");
            let fix = format!("write 127.0.0.1:{}, and put a proxy with TLS before it", address.port());
            self.wrong(&steps(key), message, fix);
        }
    }

    fn dead_letter(&mut self, config: &Config) {
        let Some(dead_letter) = &config.dead_letter else { return };
        let path = steps("dead_letter.topic");
        self.topic(&path, &dead_letter.topic);
        if !dead_letter.topic.is_empty() && config.sources.iter().any(|s| s.topic == dead_letter.topic) {
            let message = format!(
                "`dead_letter.topic` is `{}`, which a [[source]] reads: rejects would be rejected again without end",
                dead_letter.topic.escape_debug()
            );
            self.wrong(&path, message, "give dead letters a topic of their own");
        }
    }

    fn notify(&mut self, config: &Config) {
        for (i, url) in config.notify.alertmanagers.iter().enumerate() {
            let path = [steps("notify.alertmanagers"), vec![Step::Index(i)]].concat();
            if let Err(reason) = check_url(url) {
                let message = format!("not the base URL of an Alertmanager: {reason}");
                self.wrong(&path, message, "write http://host:port or https://host:port/prefix");
            }
        }
        if let Some(word) =
            config.notify.severity_min.as_deref().filter(|word| Severity::parse(word).is_none())
        {
            let message = format!("unknown severity `{}`", word.escape_debug());
            self.wrong(
                &steps("notify.severity_min"),
                message,
                choices(word, &Severity::ALL.map(Severity::name)),
            );
        }
    }
}

fn is_property_name(name: &str) -> bool {
    !name.is_empty()
        && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '.' | '_' | '-'))
}

/// `host:port`, `[v6]:port`, or Kafka's `PROTOCOL://host:port`.
fn is_host_and_port(address: &str) -> bool {
    let address = address.split_once("://").map_or(address, |(_, rest)| rest);
    let Some((host, port)) = address.rsplit_once(':') else { return false };
    let bracketed = host.starts_with('[') && host.ends_with(']') && host.len() > 2;
    let plain = !host.is_empty() && !host.contains([':', '/', '@', ' ', '[', ']']);
    (plain || bracketed) && port.parse::<u16>().is_ok_and(|port| port > 0)
}

/// Why `url` is not a base URL. A password in it is refused, so the URL may be shown from then on.
fn check_url(url: &str) -> Result<(), &'static str> {
    let rest = url.strip_prefix("http://").or_else(|| url.strip_prefix("https://"));
    let rest = rest.ok_or("it starts with neither http:// nor https://")?;
    let authority = rest.split('/').next().unwrap_or("");
    if url.contains(|c: char| c.is_whitespace() || c.is_control()) {
        return Err("it holds a blank");
    }
    if authority.contains('@') {
        return Err("a user or password does not belong into a URL");
    }
    if url.contains(['?', '#']) {
        return Err("it holds ? or #");
    }
    let with_port = if authority.ends_with(']') || !authority.contains(':') {
        format!("{authority}:80")
    } else {
        authority.to_owned()
    };
    is_host_and_port(&with_port).then_some(()).ok_or("its host or port is malformed")
}
