//! Which data store an event of a cloud's audit log touches, and how that and the tool it calls stand to the scope
//! of the pilot that acts.
//!
//! In: action and target as decode gives them. Out: a store, or nothing where no data was touched: settings of a
//! bucket, the schema of a table and lists of names are no data. A target that is itself written `scheme://name` is
//! that store whatever was done: layouts of the config tell of Kafka and others so.
//!
//! <https://docs.aws.amazon.com/awscloudtrail/latest/userguide/logging-data-events-with-cloudtrail.html>,
//! <https://cloud.google.com/storage/docs/audit-logging>, <https://cloud.google.com/bigquery/docs/reference/auditlogs>,
//! <https://learn.microsoft.com/en-us/azure/role-based-access-control/permissions/storage>

use crate::registry::Registry;
use crate::registry::scope::{DataStore, StoreKind, Within};

/// What a pilot that acts touched and used.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct Touched {
    /// As a query shows it.
    pub store: Option<String>,
    pub data: Option<Within>,
    pub tool: Option<Within>,
}

/// Judges what pilot number `pilot` did at `at`.
pub(super) fn touched(
    registry: &Registry,
    pilot: usize,
    action: Option<&str>,
    target: Option<&str>,
    tool: Option<&str>,
    at: i64,
) -> Touched {
    let store = target.and_then(|target| store(action.unwrap_or_default(), target));
    Touched {
        data: store.as_ref().and_then(|store| registry.data_within(pilot, store, at)),
        tool: tool.and_then(|tool| registry.tool_within(pilot, tool, at)),
        store: store.map(|store| store.to_string()),
    }
}

const S3_CALLS: [&str; 14] = [
    "GetObject",
    "HeadObject",
    "SelectObjectContent",
    "ListObjects",
    "ListObjectsV2",
    "ListObjectVersions",
    "PutObject",
    "CopyObject",
    "RestoreObject",
    "DeleteObject",
    "DeleteObjects",
    "CreateMultipartUpload",
    "UploadPart",
    "CompleteMultipartUpload",
];
const DYNAMODB_CALLS: [&str; 13] = [
    "GetItem",
    "BatchGetItem",
    "TransactGetItems",
    "Query",
    "Scan",
    "PutItem",
    "UpdateItem",
    "DeleteItem",
    "BatchWriteItem",
    "TransactWriteItems",
    "ExecuteStatement",
    "BatchExecuteStatement",
    "ExecuteTransaction",
];
/// What is done to objects of Cloud Storage, behind `storage.objects.`.
const GCS_CALLS: [&str; 8] = ["get", "list", "create", "insert", "update", "delete", "compose", "copy"];
/// Services of BigQuery that read and write rows; in their older names, without a version, in lower case.
const BIGQUERY_SERVICES: [&str; 6] = [
    "JobService.",
    "TableDataService.",
    "BigQueryRead.",
    "BigQueryWrite.",
    "jobservice.",
    "tabledataservice.",
];
/// Calls that hand out what opens a storage account.
const AZURE_STORAGE_CALLS: [&str; 4] = [
    "microsoft.storage/storageaccounts/listkeys/action",
    "microsoft.storage/storageaccounts/listaccountsas/action",
    "microsoft.storage/storageaccounts/listservicesas/action",
    "microsoft.storage/storageaccounts/blobservices/generateuserdelegationkey/action",
];

fn store(action: &str, target: &str) -> Option<DataStore> {
    if let Some(store) = DataStore::of_url(target) {
        return Some(store);
    }
    if AZURE_STORAGE_CALLS.contains(&action) {
        return DataStore::new(StoreKind::AzureStorage, behind(target, "/storageaccounts/")?);
    }
    let (service, call) = action.split_once(':')?;
    match service {
        "s3.amazonaws.com" if S3_CALLS.contains(&call) => aws(StoreKind::S3, target),
        "dynamodb.amazonaws.com" if DYNAMODB_CALLS.contains(&call) => aws(StoreKind::DynamoDb, target),
        "secretsmanager.amazonaws.com" if call == "GetSecretValue" => aws(StoreKind::Secret, target),
        "kinesis.amazonaws.com"
            if ["GetRecords", "SubscribeToShard", "PutRecord", "PutRecords"].contains(&call) =>
        {
            aws(StoreKind::Kinesis, target)
        }
        "sns.amazonaws.com" if ["Publish", "PublishBatch"].contains(&call) => aws(StoreKind::Sns, target),
        "sqs.amazonaws.com" if ["ReceiveMessage", "SendMessage", "SendMessageBatch"].contains(&call) => {
            aws(StoreKind::Sqs, target.rsplit('/').next()?)
        }
        "storage.googleapis.com" => {
            let done = call.rsplit_once("storage.objects.")?.1;
            GCS_CALLS.contains(&done).then(|| DataStore::new(StoreKind::Gcs, behind(target, "/buckets/")?))?
        }
        "bigquery.googleapis.com" if BIGQUERY_SERVICES.iter().any(|s| call.contains(s)) => table(target),
        "secretmanager.googleapis.com" if call.ends_with("AccessSecretVersion") => {
            let name = format!("{}/{}", behind(target, "projects/")?, behind(target, "/secrets/")?);
            DataStore::new(StoreKind::Secret, &name)
        }
        "pubsub.googleapis.com" if call.ends_with("Publish") => {
            let name = format!("{}/{}", behind(target, "projects/")?, behind(target, "/topics/")?);
            DataStore::new(StoreKind::PubSub, &name)
        }
        _ => None,
    }
}

/// A store of AWS by its name or its ARN; an ARN of something else is none.
fn aws(kind: StoreKind, target: &str) -> Option<DataStore> {
    if target.starts_with("arn:") {
        return DataStore::of_arn(target).filter(|store| store.kind == kind);
    }
    DataStore::new(kind, target)
}

/// The part of a path that follows `marker`.
fn behind<'a>(path: &'a str, marker: &str) -> Option<&'a str> {
    path.split_once(marker)?.1.split('/').next()
}

/// A table without its partition and snapshot. Datasets that begin with `_` hold what queries answered, for a day.
fn table(target: &str) -> Option<DataStore> {
    let (project, dataset) = (behind(target, "projects/")?, behind(target, "/datasets/")?);
    let table = behind(target, "/tables/")?.split(['$', '@']).next()?;
    if dataset.starts_with('_') {
        return None;
    }
    DataStore::new(StoreKind::BigQuery, &format!("{project}.{dataset}.{table}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_that_touch_data_name_their_store() {
        let gcs = "projects/_/buckets/claims/objects/2026/a.pdf";
        let bigquery = "projects/wh/datasets/pricing/tables";
        let azure = "/subscriptions/1/resourcegroups/g/providers/microsoft.storage/storageaccounts/claims";
        for (action, target, expected) in [
            ("s3.amazonaws.com:GetObject", "claims", Some("s3://claims")),
            ("s3.amazonaws.com:GetObject", "arn:aws:s3:::claims/a.pdf", Some("s3://claims")),
            ("s3.amazonaws.com:GetObject", "arn:aws:s3:eu-west-1:1:accesspoint/claims", None),
            ("s3.amazonaws.com:GetBucketPolicy", "claims", None),
            ("s3.amazonaws.com:GetObjectAcl", "claims", None),
            ("dynamodb.amazonaws.com:Query", "orders", Some("dynamodb://orders")),
            ("dynamodb.amazonaws.com:DescribeTable", "orders", None),
            (
                "secretsmanager.amazonaws.com:GetSecretValue",
                "arn:aws:secretsmanager:eu-west-1:1:secret:db-A1b2C3",
                Some("secret://db"),
            ),
            ("secretsmanager.amazonaws.com:ListSecrets", "db", None),
            (
                "kinesis.amazonaws.com:GetRecords",
                "arn:aws:kinesis:eu-west-1:1:stream/clicks",
                Some("kinesis://clicks"),
            ),
            ("sns.amazonaws.com:Publish", "arn:aws:sns:eu-west-1:1:alerts", Some("sns://alerts")),
            (
                "sqs.amazonaws.com:ReceiveMessage",
                "https://sqs.eu-west-1.amazonaws.com/1/jobs",
                Some("sqs://jobs"),
            ),
            ("lambda.amazonaws.com:Invoke", "claims", None),
            ("storage.googleapis.com:storage.objects.get", gcs, Some("gs://claims")),
            ("storage.googleapis.com:google.storage.objects.get", gcs, Some("gs://claims")),
            ("storage.googleapis.com:storage.buckets.get", gcs, None),
            (
                "bigquery.googleapis.com:JobService.InsertJob",
                &format!("{bigquery}/rates$20260301"),
                Some("bigquery://wh.pricing.rates"),
            ),
            ("bigquery.googleapis.com:JobService.InsertJob", "projects/wh/jobs/j1", None),
            ("bigquery.googleapis.com:JobService.Query", "projects/wh/datasets/_a1/tables/anon", None),
            ("bigquery.googleapis.com:TableService.GetTable", &format!("{bigquery}/rates"), None),
            (
                "secretmanager.googleapis.com:SecretManagerService.AccessSecretVersion",
                "projects/7/secrets/db/versions/1",
                Some("secret://7/db"),
            ),
            ("pubsub.googleapis.com:Publisher.Publish", "projects/wh/topics/t", Some("pubsub://wh/t")),
            ("microsoft.storage/storageaccounts/listkeys/action", azure, Some("azure-storage://claims")),
            ("microsoft.storage/storageaccounts/write", azure, None),
            ("consume", "kafka://claims.intake", Some("kafka://claims.intake")),
            ("GET", "https://claims.example", None),
        ] {
            let found = store(action, target).map(|store| store.to_string());
            assert_eq!(found.as_deref(), expected, "{action} of {target}");
        }
    }
}
