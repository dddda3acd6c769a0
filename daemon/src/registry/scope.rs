//! What a pilot may touch and do: data stores and tools, and what of them a scope covers.
//!
//! In: texts of `data_scope` and `tool_scope`, the store or tool of an event. Out: inside or not; nothing where the
//! scope does not speak of it. A store is a bucket, table, topic, storage account or secret: what lies in a bucket is
//! not told apart, so a scope that names a part of one covers it.

use std::fmt;

use super::facts::{Validity, word_of};

/// Where data lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum StoreKind {
    /// Bucket of Amazon S3.
    S3,
    /// Bucket of Google Cloud Storage.
    Gcs,
    /// Table of BigQuery: project.dataset.table.
    BigQuery,
    /// Table of DynamoDB.
    DynamoDb,
    /// Storage account of Azure.
    AzureStorage,
    /// Topic of Kafka: only layouts of the config tell of them.
    Kafka,
    /// Topic of Pub/Sub: project/topic.
    PubSub,
    /// Stream of Kinesis.
    Kinesis,
    /// Topic of SNS.
    Sns,
    /// Queue of SQS.
    Sqs,
    /// Secret of a cloud's secret manager.
    Secret,
}

/// Kinds of store that a scope speaks of together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Class {
    /// Buckets and tables.
    AtRest,
    /// Topics, streams and queues.
    Flowing,
    /// What a workload signs in with.
    Secrets,
}

impl StoreKind {
    /// Every kind with the scheme that names it.
    pub const SCHEMES: &[(&'static str, Self)] = &[
        ("s3", Self::S3),
        ("gs", Self::Gcs),
        ("bigquery", Self::BigQuery),
        ("dynamodb", Self::DynamoDb),
        ("azure-storage", Self::AzureStorage),
        ("kafka", Self::Kafka),
        ("pubsub", Self::PubSub),
        ("kinesis", Self::Kinesis),
        ("sns", Self::Sns),
        ("sqs", Self::Sqs),
        ("secret", Self::Secret),
    ];

    fn of_scheme(scheme: &str) -> Option<Self> {
        Self::SCHEMES.iter().find(|(name, _)| *name == scheme).map(|(_, kind)| *kind)
    }

    /// What parts of its names stand behind.
    fn separator(self) -> char {
        if self == Self::BigQuery { '.' } else { '/' }
    }

    fn class(self) -> Class {
        match self {
            Self::S3 | Self::Gcs | Self::BigQuery | Self::DynamoDb | Self::AzureStorage => Class::AtRest,
            Self::Kafka | Self::PubSub | Self::Kinesis | Self::Sns | Self::Sqs => Class::Flowing,
            Self::Secret => Class::Secrets,
        }
    }
}

/// One store. Written `scheme://name`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct DataStore {
    /// What it is.
    pub kind: StoreKind,
    /// What it is called.
    pub name: String,
}

impl fmt::Display for DataStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", word_of(self.kind, StoreKind::SCHEMES), self.name)
    }
}

impl DataStore {
    /// A store by kind and name; `None` without a name.
    pub fn new(kind: StoreKind, name: &str) -> Option<Self> {
        (!name.is_empty()).then(|| Self { kind, name: name.to_owned() })
    }

    /// What `scheme://name` names; of a bucket what lies in it is left out.
    pub fn of_url(url: &str) -> Option<Self> {
        let (scheme, name) = url.split_once("://")?;
        let kind = StoreKind::of_scheme(scheme)?;
        Self::new(kind, if holds_paths(kind) { first_part(name) } else { name })
    }

    /// What an ARN names, where it is a store.
    ///
    /// <https://docs.aws.amazon.com/service-authorization/latest/reference/reference_policies_actions-resources-contextkeys.html>
    pub fn of_arn(arn: &str) -> Option<Self> {
        let mut parts = arn.strip_prefix("arn:")?.splitn(5, ':').skip(1);
        let (service, region) = (parts.next()?, parts.next()?);
        let resource = parts.nth(1)?;
        let named = |prefix| resource.strip_prefix(prefix).map(first_part);
        match service {
            // With a region it is an access point, whose bucket is not told.
            "s3" if region.is_empty() => Self::new(StoreKind::S3, first_part(resource)),
            "dynamodb" => Self::new(StoreKind::DynamoDb, named("table/")?),
            "kinesis" => Self::new(StoreKind::Kinesis, named("stream/")?),
            "sns" => Self::new(StoreKind::Sns, resource),
            "sqs" => Self::new(StoreKind::Sqs, resource),
            "secretsmanager" => Self::new(StoreKind::Secret, unsuffixed(resource.strip_prefix("secret:")?)),
            _ => None,
        }
    }
}

fn holds_paths(kind: StoreKind) -> bool {
    matches!(kind, StoreKind::S3 | StoreKind::Gcs | StoreKind::AzureStorage)
}

fn first_part(name: &str) -> &str {
    name.split('/').next().unwrap_or(name)
}

/// A secret's name without the hyphen and six characters that AWS puts behind it in an ARN.
fn unsuffixed(name: &str) -> &str {
    match name.rsplit_once('-') {
        Some((head, tail)) if tail.len() == 6 && tail.bytes().all(|b| b.is_ascii_alphanumeric()) => head,
        Some(_) | None => name,
    }
}

/// How what a pilot did stands to its scope.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Within {
    /// The scope covers it.
    Inside,
    /// The scope does not, and an exception valid at the time does.
    Excepted,
    /// Neither does.
    Outside,
}

impl Within {
    /// The word for it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Inside => "inside",
            Self::Excepted => "excepted",
            Self::Outside => "outside",
        }
    }
}

/// One text of a scope and when it holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScopeEntry {
    /// As it was written.
    pub text: String,
    /// When.
    pub validity: Validity,
}

/// What the text of a data scope names.
enum Named<'a> {
    /// A store of this kind.
    Store(StoreKind, &'a str),
    /// A name without a scheme: a store of any kind.
    Any(&'a str),
    /// A scheme that no log tells of: data at rest somewhere else.
    Elsewhere,
}

impl ScopeEntry {
    fn named(&self) -> Named<'_> {
        let text = self.text.as_str();
        if let Some(account) = azure_account(text) {
            return Named::Store(StoreKind::AzureStorage, account);
        }
        if let Some(kind) = DataStore::of_arn(text).map(|store| store.kind) {
            return Named::Store(kind, arn_name(text, kind));
        }
        match text.split_once("://") {
            Some((scheme, name)) => {
                StoreKind::of_scheme(scheme).map_or(Named::Elsewhere, |kind| Named::Store(kind, name))
            }
            None => Named::Any(text),
        }
    }

    fn speaks_of(&self, class: Class) -> bool {
        match self.named() {
            Named::Store(kind, _) => kind.class() == class,
            Named::Any(_) | Named::Elsewhere => class == Class::AtRest,
        }
    }

    fn covers(&self, store: &DataStore) -> bool {
        match self.named() {
            Named::Store(kind, name) => kind == store.kind && is_covered(name, store),
            Named::Any(name) => is_covered(name, store),
            Named::Elsewhere => false,
        }
    }
}

/// The account of `https://account.blob.core.windows.net/...` or `abfss://container@account.dfs.core.windows.net/...`.
fn azure_account(text: &str) -> Option<&str> {
    let host = text.split_once("://")?.1.split('/').next()?;
    let host = host.rsplit('@').next()?;
    host.ends_with(".core.windows.net").then(|| host.split('.').next()).flatten()
}

/// The name in the ARN of a scope, with what lies in the store.
fn arn_name(arn: &str, kind: StoreKind) -> &str {
    let resource = arn.splitn(6, ':').nth(5).unwrap_or_default();
    match kind {
        StoreKind::Secret => unsuffixed(resource.strip_prefix("secret:").unwrap_or(resource)),
        StoreKind::DynamoDb | StoreKind::Kinesis => resource.split_once('/').map_or(resource, |(_, n)| n),
        _ => resource,
    }
}

/// Whether `name`, exact or the start of names with a `*`, is the store, what holds it, or a part of it.
fn is_covered(name: &str, store: &DataStore) -> bool {
    let (name, is_start) = name.strip_suffix('*').map_or((name, false), |start| (start, true));
    let separator = store.kind.separator();
    let bare = name.strip_suffix(separator).unwrap_or(name);
    let holds = |outer: &str, inner: &str| {
        inner.strip_prefix(outer).is_some_and(|rest| rest.is_empty() || rest.starts_with(separator))
    };
    (is_start && store.name.starts_with(name)) || holds(bare, &store.name) || holds(&store.name, bare)
}

/// Whether `scope` covers `store` at `at`; `None` where it does not speak of such stores at all.
pub(super) fn data_within(scope: &[ScopeEntry], store: &DataStore, at: i64) -> Option<bool> {
    let class = store.kind.class();
    if !scope.iter().any(|entry| entry.speaks_of(class)) {
        return None;
    }
    Some(scope.iter().any(|entry| entry.validity.holds(at) && entry.covers(store)))
}

/// Whether `scope` covers `tool` at `at`; `None` where it is not declared. `a:b`, `a/b`, `a.b` and `a__b` are one
/// name: gateways join the server and its tool in ways of their own.
pub(super) fn tool_within(scope: &[ScopeEntry], tool: &str, at: i64) -> Option<bool> {
    if scope.is_empty() {
        return None;
    }
    let tool = joined(tool);
    let covers = |entry: &ScopeEntry| match joined(&entry.text).strip_suffix('*') {
        Some(start) => tool.starts_with(start),
        None => tool == joined(&entry.text),
    };
    Some(scope.iter().any(|entry| entry.validity.holds(at) && covers(entry)))
}

fn joined(tool: &str) -> String {
    tool.replace("___", ".").replace("__", ".").replace([':', '/'], ".")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scope(texts: &[&str]) -> Vec<ScopeEntry> {
        let entry = |text: &&str| ScopeEntry { text: (*text).to_owned(), validity: Validity::ALWAYS };
        texts.iter().map(entry).collect()
    }

    #[test]
    fn scope_covers_stores_in_the_ways_people_write_them() {
        for (text, store, expected) in [
            ("s3://claims", "s3://claims", Some(true)),
            ("s3://claims/", "s3://claims", Some(true)),
            ("s3://claims/2026/*", "s3://claims", Some(true)),
            ("s3://claims", "s3://claims-backup", Some(false)),
            ("s3://claims", "s3://claims.backup", Some(false)),
            ("s3://claims-*", "s3://claims-backup", Some(true)),
            ("s3://claims", "gs://claims", Some(false)),
            ("claims", "gs://claims", Some(true)),
            ("arn:aws:s3:::claims/*", "s3://claims", Some(true)),
            ("arn:aws:s3:::claims-*", "s3://claims-a", Some(true)),
            ("warehouse.pricing.*", "bigquery://warehouse.pricing.rates", Some(true)),
            ("warehouse.pricing", "bigquery://warehouse.pricing.rates", Some(true)),
            ("warehouse.pricing", "bigquery://warehouse.pricing_old.rates", Some(false)),
            ("bigquery://warehouse.pricing.rates", "bigquery://warehouse.pricing.other", Some(false)),
            ("arn:aws:dynamodb:eu-west-1:1:table/orders", "dynamodb://orders", Some(true)),
            ("https://claims.blob.core.windows.net/inbox", "azure-storage://claims", Some(true)),
            ("abfss://inbox@claims.dfs.core.windows.net/", "azure-storage://claims", Some(true)),
            ("snowflake://claims", "s3://claims", Some(false)),
            ("s3://claims", "secret://claims", None),
            ("s3://claims", "kafka://claims", None),
            ("kafka://claims.*", "kafka://claims.intake", Some(true)),
            ("kafka://claims.*", "s3://claims", None),
            ("secret://claims/db", "secret://claims/db", Some(true)),
            ("secret://claims", "secret://billing/db", Some(false)),
            ("arn:aws:secretsmanager:eu-west-1:1:secret:claims/db-A1b2C3", "secret://claims/db", Some(true)),
        ] {
            let store = DataStore::of_url(store).expect("a store");
            assert_eq!(data_within(&scope(&[text]), &store, 0), expected, "{text} and {store}");
        }
        let store = DataStore::of_url("s3://claims").expect("a store");
        assert_eq!(data_within(&[], &store, 0), None, "a scope that nobody declared");
    }

    #[test]
    fn arn_names_a_store_or_nothing() {
        for (arn, expected) in [
            ("arn:aws:s3:::claims/2026/a.pdf", Some("s3://claims")),
            ("arn:aws:s3:eu-west-1:1:accesspoint/claims", None),
            ("arn:aws:dynamodb:eu-west-1:1:table/orders/index/by-day", Some("dynamodb://orders")),
            ("arn:aws:kinesis:eu-west-1:1:stream/clicks", Some("kinesis://clicks")),
            ("arn:aws:sns:eu-west-1:1:alerts", Some("sns://alerts")),
            ("arn:aws:sqs:eu-west-1:1:jobs", Some("sqs://jobs")),
            ("arn:aws:secretsmanager:eu-west-1:1:secret:db-A1b2C3", Some("secret://db")),
            ("arn:aws:secretsmanager:eu-west-1:1:secret:db-main", Some("secret://db-main")),
            ("arn:aws:iam::1:role/claims", None),
            ("claims", None),
        ] {
            let found = DataStore::of_arn(arn).map(|store| store.to_string());
            assert_eq!(found.as_deref(), expected, "{arn}");
        }
    }

    #[test]
    fn entry_of_a_scope_holds_in_its_time_only() {
        let validity = Validity { from: 10, to: 20 };
        let scope = [ScopeEntry { text: "s3://claims".to_owned(), validity }];
        let store = DataStore::of_url("s3://claims").expect("a store");
        let at = [9, 10, 19, 20].map(|at| data_within(&scope, &store, at));
        assert_eq!(at, [Some(false), Some(true), Some(true), Some(false)]);
        let tools = [ScopeEntry { text: "tickets:read".to_owned(), validity }];
        let at = [9, 10, 19, 20].map(|at| tool_within(&tools, "tickets.read", at));
        assert_eq!(at, [Some(false), Some(true), Some(true), Some(false)]);
    }

    #[test]
    fn tool_is_one_name_however_it_is_joined() {
        for (text, tool, expected) in [
            ("tickets:read", "tickets.read", true),
            ("tickets:read", "tickets___read", true),
            ("tickets:read", "tickets__read", true),
            ("tickets:read", "tickets/read", true),
            ("tickets:read", "tickets.read_all", false),
            ("tickets:*", "tickets.close", true),
            ("tickets:*", "ticketsclose", false),
        ] {
            assert_eq!(tool_within(&scope(&[text]), tool, 0), Some(expected), "{text} and {tool}");
        }
        assert_eq!(tool_within(&[], "tickets.read", 0), None, "a scope that nobody declared");
    }
}
