//! librdkafka's settings: what a person may set, and what correctness fixes.
//!
//! In: `[kafka]` of the config, secret files. Out: a checked client configuration. No connection is made here.

use rdkafka::ClientConfig;

use super::SourceError;
use crate::config::KafkaConfig;
use crate::limits;

/// Why each is fixed: DESIGN of the source. Offsets live in our own store; a reset must be noticed, never
/// followed; corrupt and aborted records must not pass; a topic must not appear because we asked for it.
const FIXED: &[(&str, &str)] = &[
    ("enable.auto.commit", "false"),
    ("enable.auto.offset.store", "false"),
    ("auto.offset.reset", "error"),
    ("check.crcs", "true"),
    ("isolation.level", "read_committed"),
    ("allow.auto.create.topics", "false"),
    ("enable.partition.eof", "true"),
    ("statistics.interval.ms", "1000"),
];

/// Set in every client unless the config says otherwise.
const DEFAULTS: &[(&str, &str)] =
    &[("client.id", "shadowprod"), ("enable.metrics.push", "false"), ("reconnect.backoff.max.ms", "2000")];

/// The same in clients that read. A short `fetch.queue.backoff.ms` because our prefetch queues are small:
/// with librdkafka's 1,000 ms each full queue would idle for a second.
const READING_DEFAULTS: &[(&str, &str)] = &[
    ("fetch.max.bytes", "4194304"),
    ("fetch.wait.max.ms", "100"),
    ("fetch.queue.backoff.ms", "5"),
    ("fetch.error.backoff.ms", "100"),
];

/// Of the client that writes: durable at all replicas before a message counts as delivered, no repeats of its own
/// making, tries without end while the broker is away.
const WRITING: &[(&str, &str)] =
    &[("enable.idempotence", "true"), ("acks", "all"), ("message.timeout.ms", "0")];

/// Of the same client unless the config says otherwise. The partitioner is that of Java's clients.
const WRITING_DEFAULTS: &[(&str, &str)] =
    &[("linger.ms", "20"), ("compression.type", "lz4"), ("partitioner", "murmur2_random")];

/// Keys with a place of their own in the config.
const ELSEWHERE: &[(&str, &str)] = &[("bootstrap.servers", "brokers"), ("group.id", "group")];

/// Settings of a client that reads messages from `partitions` partitions.
pub(super) fn reading(kafka: &KafkaConfig, partitions: usize) -> Result<ClientConfig, SourceError> {
    let mut client = asking(kafka)?;
    let kbytes = (limits::PREFETCH_KBYTES_MAX / partitions.max(1)).max(limits::PREFETCH_PARTITION_KBYTES_MIN);
    client.set("group.id", &kafka.group);
    for (key, value) in FIXED {
        client.set(*key, *value);
    }
    set_unless_given(&mut client, kafka, "queued.max.messages.kbytes", &kbytes.to_string());
    let fetch_bytes = (kbytes << 10).min(1 << 20);
    set_unless_given(&mut client, kafka, "max.partition.fetch.bytes", &fetch_bytes.to_string());
    Ok(client)
}

/// Settings of a client that only asks for metadata and watermarks.
pub(super) fn asking(kafka: &KafkaConfig) -> Result<ClientConfig, SourceError> {
    let mut client = ClientConfig::new();
    for (key, value) in READING_DEFAULTS {
        set_unless_given(&mut client, kafka, key, value);
    }
    client.set("isolation.level", "read_committed").set("allow.auto.create.topics", "false");
    connecting(kafka, client)
}

/// Settings of a client that writes.
pub(super) fn writing(kafka: &KafkaConfig) -> Result<ClientConfig, SourceError> {
    let mut client = ClientConfig::new();
    client.set("queue.buffering.max.messages", limits::DEAD_LETTERS_IN_FLIGHT_MAX.to_string());
    for (key, value) in WRITING_DEFAULTS {
        set_unless_given(&mut client, kafka, key, value);
    }
    let mut client = connecting(kafka, client)?;
    for (key, value) in WRITING {
        client.set(*key, *value);
    }
    Ok(client)
}

/// Adds what every client needs to reach the brokers.
fn connecting(kafka: &KafkaConfig, mut client: ClientConfig) -> Result<ClientConfig, SourceError> {
    refuse_fixed(kafka)?;
    if kafka.brokers.trim().is_empty() {
        return Err(settings("`brokers` under [kafka] is empty; expected `host:port,host:port`".to_owned()));
    }
    client.set("bootstrap.servers", kafka.brokers.trim());
    for (key, value) in DEFAULTS {
        set_unless_given(&mut client, kafka, key, value);
    }
    for (key, value) in &kafka.properties {
        client.set(key, value);
    }
    for (key, path) in &kafka.properties_file {
        let secret = std::fs::read_to_string(path)
            .map_err(|source| SourceError::File { path: path.display().to_string(), source })?;
        client.set(key, secret.trim_end_matches(['\r', '\n']));
    }
    client.create_native_config().map_err(|e| settings(format!("{e}; correct [kafka.properties]")))?;
    Ok(client)
}

/// Checks `[kafka]` without a connection: unknown keys, wrong values, fixed keys, unreadable secret files.
pub fn validate(kafka: &KafkaConfig) -> Result<(), SourceError> {
    asking(kafka).map(|_| ())
}

fn set_unless_given(client: &mut ClientConfig, kafka: &KafkaConfig, key: &str, value: &str) {
    if !kafka.properties.contains_key(key) {
        client.set(key, value);
    }
}

fn refuse_fixed(kafka: &KafkaConfig) -> Result<(), SourceError> {
    for key in kafka.properties.keys().chain(kafka.properties_file.keys()) {
        if let Some((_, value)) = FIXED.iter().find(|(fixed, _)| fixed == key) {
            return Err(settings(format!(
                "[kafka.properties] sets `{key}`, which is always `{value}` so that no message is lost or read twice; remove it"
            )));
        }
        if let Some((_, own)) = ELSEWHERE.iter().find(|(taken, _)| taken == key) {
            return Err(settings(format!(
                "[kafka.properties] sets `{key}`; set `{own}` under [kafka] instead"
            )));
        }
        if kafka.properties.contains_key(key) && kafka.properties_file.contains_key(key) {
            return Err(settings(format!(
                "`{key}` stands in [kafka.properties] and in [kafka.properties_file]; keep one"
            )));
        }
    }
    Ok(())
}

pub(super) fn settings(reason: String) -> SourceError {
    SourceError::Settings { reason }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kafka(properties: &[(&str, &str)]) -> KafkaConfig {
        KafkaConfig {
            brokers: "127.0.0.1:9092".into(),
            group: "g".into(),
            properties: properties.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect(),
            ..KafkaConfig::default()
        }
    }

    fn refused(properties: &[(&str, &str)]) -> String {
        reading(&kafka(properties), 1).unwrap_err().to_string()
    }

    #[test]
    fn fixed_setting_is_refused_by_name() {
        assert!(refused(&[("auto.offset.reset", "latest")]).contains("always `error`"));
        assert!(refused(&[("group.id", "x")]).contains("`group` under [kafka]"));
    }

    #[test]
    fn unknown_setting_is_named() {
        assert!(refused(&[("auto.ofset.reset", "x")]).contains("auto.ofset.reset"));
    }

    #[test]
    fn tls_and_sasl_pass_through_and_secrets_come_from_files() {
        let dir = tempfile::tempdir().unwrap();
        let secret = dir.path().join("password");
        std::fs::write(&secret, "s3cret\n").unwrap();
        let mut kafka = kafka(&[("security.protocol", "sasl_ssl"), ("sasl.mechanism", "PLAIN")]);
        kafka.properties_file.insert("sasl.password".into(), secret);
        let client = reading(&kafka, 1).unwrap();
        assert_eq!(client.get("sasl.password"), Some("s3cret"));
        assert_eq!(client.get("security.protocol"), Some("sasl_ssl"));
    }

    #[test]
    fn prefetch_is_shared_by_partitions() {
        let kbytes = |partitions| {
            reading(&kafka(&[]), partitions)
                .unwrap()
                .get("queued.max.messages.kbytes")
                .unwrap()
                .parse::<usize>()
                .unwrap()
        };
        assert_eq!(kbytes(1), limits::PREFETCH_KBYTES_MAX);
        assert_eq!(kbytes(16), limits::PREFETCH_KBYTES_MAX / 16);
        assert_eq!(kbytes(5_000), limits::PREFETCH_PARTITION_KBYTES_MIN);
    }

    #[test]
    fn missing_secret_file_is_named() {
        let mut kafka = kafka(&[]);
        kafka.properties_file.insert("sasl.password".into(), "/nowhere/password".into());
        assert!(validate(&kafka).unwrap_err().to_string().contains("/nowhere/password"));
    }
}
