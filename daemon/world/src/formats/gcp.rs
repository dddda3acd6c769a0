//! Google Cloud audit log entries (cloud.google.com, "LogEntry", "AuditLog" and, for Vertex AI, "Audit logging
//! information"), one message an entry.

use serde_json::{Value, json};

use crate::company::Person;
use crate::template::{Alphabet, Form, Mix, blank};

/// gcloud in a terminal on a Mac.
const GCLOUD_MAC: &str = "google-cloud-sdk gcloud/512.0.0 command/gcloud.storage.ls invocation-id/8f1d2c environment/None environment-version/None client-os/MACOSX client-os-ver/24.1.0 client-pltf-arch/arm interactive/True from-script/False python/3.12.8 term/xterm-256color (Macintosh; Intel Mac OS X 24.1.0),gzip(gfe)";
/// gcloud in a terminal on Windows.
const GCLOUD_WINDOWS: &str = "google-cloud-sdk gcloud/512.0.0 command/gcloud.compute.instances.list invocation-id/3b90aa environment/None environment-version/None client-os/WINDOWS client-os-ver/10.0.22631 client-pltf-arch/x86_64 interactive/True from-script/False python/3.12.8 (Windows NT 10.0.22631),gzip(gfe)";
/// gcloud in Cloud Shell.
pub(crate) const GCLOUD_SHELL: &str = "google-cloud-sdk gcloud/512.0.0 command/gcloud.projects.get-iam-policy invocation-id/51e7cd environment/devshell environment-version/None client-os/LINUX client-os-ver/6.6.56 client-pltf-arch/x86_64 interactive/True from-script/False python/3.12.8 term/screen (Linux 6.6.56+),gzip(gfe)";
/// gcloud in a script on a Linux machine.
pub(crate) const GCLOUD_SCRIPT: &str = "google-cloud-sdk gcloud/512.0.0 command/gcloud.storage.cp invocation-id/d2c644 environment/None environment-version/None client-os/LINUX client-os-ver/6.1.0 client-pltf-arch/x86_64 interactive/False from-script/True python/3.12.8 (Linux 6.1.0-28-amd64),gzip(gfe)";
/// Client libraries.
pub(crate) const LIBRARY_PYTHON: &str =
    "gl-python/3.12.6 grpc/1.66.2 gax/2.21.0 gapic/3.26.0 gccl/3.26.0,gzip(gfe)";
pub(crate) const LIBRARY_GO: &str = "google-api-go-client/0.5 gl-go/1.23.2,gzip(gfe)";
pub(crate) const LIBRARY_JAVA: &str =
    "gcloud-java/2.43.1 gl-java/21.0.4__Eclipse-Adoptium__Temurin gax/2.54.1 gapic/2.43.1,gzip(gfe)";
/// The SDK for models.
pub(crate) const GEN_AI: &str = "google-genai-sdk/1.2.0 gl-python/3.12.6,gzip(gfe)";

/// gcloud in the terminal of that person's laptop.
pub(crate) fn gcloud_of(person: &Person) -> &'static str {
    if person.number.is_multiple_of(3) { GCLOUD_MAC } else { GCLOUD_WINDOWS }
}

/// Who calls.
#[derive(Debug, Clone)]
pub(crate) enum GcpActor {
    /// Email of a person.
    Person(String),
    /// Email of a service account; the id of the key that it signed in with, none where the platform gave it a token;
    /// email of the person who took it on.
    ServiceAccount { email: String, key: Option<String>, acting_for: Option<String> },
    /// Subject of an outside identity provider's token, which a workload identity pool let in.
    Federated(&'static str),
}

/// One API call. The model or endpoint that Vertex AI is asked for is the last part of its resource.
#[derive(Debug, Clone)]
pub(crate) struct GcpCall {
    pub(crate) service: &'static str,
    pub(crate) method: &'static str,
    pub(crate) resource: String,
    pub(crate) permission: &'static str,
    /// `data_access` or `activity`.
    pub(crate) log: &'static str,
    /// Code of google.rpc.Code: 0 is OK, 7 denied, 8 no quota.
    pub(crate) code: u8,
}

impl GcpCall {
    /// Data or settings are read, or data is written.
    pub(crate) fn access(
        service: &'static str,
        method: &'static str,
        resource: String,
        permission: &'static str,
    ) -> Self {
        Self { service, method, resource, permission, log: "data_access", code: 0 }
    }

    /// Something is made, changed or deleted.
    pub(crate) fn change(
        service: &'static str,
        method: &'static str,
        resource: String,
        permission: &'static str,
    ) -> Self {
        Self { log: "activity", ..Self::access(service, method, resource, permission) }
    }

    /// A prediction by an endpoint, whose whole name is [`endpoint`]'s.
    pub(crate) fn predict(endpoint: String) -> Self {
        let method = "google.cloud.aiplatform.v1.PredictionService.Predict";
        Self::access("aiplatform.googleapis.com", method, endpoint, "aiplatform.endpoints.predict")
    }

    /// A text by one of Google's models.
    pub(crate) fn generate(project: &str, model: &str) -> Self {
        let resource = format!("projects/{project}/locations/europe-west4/publishers/google/models/{model}");
        let method = "google.cloud.aiplatform.v1beta1.PredictionService.GenerateContent";
        Self::access("aiplatform.googleapis.com", method, resource, "aiplatform.endpoints.predict")
    }

    /// The same call, with this code.
    pub(crate) fn refused(self, code: u8) -> Self {
        Self { code, ..self }
    }
}

/// Name of an endpoint of Vertex AI.
pub(crate) fn endpoint(project: &str, id: &str) -> String {
    format!("projects/{project}/locations/europe-west4/endpoints/{id}")
}

/// One actor's use of one project.
#[derive(Debug, Clone)]
pub(crate) struct GcpUse {
    pub(crate) project: &'static str,
    pub(crate) actor: GcpActor,
    /// User agents, each as likely.
    pub(crate) clients: Vec<&'static str>,
    /// Each as likely.
    pub(crate) calls: Vec<GcpCall>,
}

impl GcpUse {
    /// The records of these calls.
    pub(crate) fn mix(&self) -> Mix {
        self.calls.iter().fold(Mix::default(), |mix, call| mix.and(1, &self.entry(call)))
    }

    fn entry(&self, call: &GcpCall) -> Value {
        let granted = call.code != 7;
        let mut status = json!({});
        if call.code != 0 {
            status = json!({ "code": call.code, "message": "The request was refused." });
        }
        json!({
            "protoPayload": {
                "@type": "type.googleapis.com/google.cloud.audit.AuditLog",
                "status": status,
                "authenticationInfo": self.authentication(),
                "requestMetadata": {
                    "callerIp": blank::address(),
                    "callerSuppliedUserAgent": blank::one_of(&self.clients),
                    "requestAttributes": { "time": blank::time(Form::Nanos), "auth": {} },
                    "destinationAttributes": {},
                },
                "serviceName": call.service,
                "methodName": call.method,
                "authorizationInfo": [{
                    "resource": call.resource,
                    "permission": call.permission,
                    "granted": granted,
                    "resourceAttributes": {},
                }],
                "resourceName": call.resource,
                "resourceLocation": { "currentLocations": ["europe-west4"] },
            },
            "insertId": blank::letters(Alphabet::Mixed, 14),
            "resource": self.resource(call),
            "timestamp": blank::time(Form::Nanos),
            "severity": if call.code == 0 { "INFO" } else { "ERROR" },
            "logName": format!("projects/{}/logs/cloudaudit.googleapis.com%2F{}", self.project, call.log),
            "receiveTimestamp": blank::time(Form::Nanos),
        })
    }

    fn authentication(&self) -> Value {
        match &self.actor {
            GcpActor::Person(email) => json!({
                "principalEmail": email,
                "principalSubject": format!("user:{email}"),
                "oauthInfo": { "oauthClientId": "32555940559.apps.googleusercontent.com" },
            }),
            GcpActor::ServiceAccount { email, key, acting_for } => {
                let mut info = json!({
                    "principalEmail": email,
                    "principalSubject": format!("serviceAccount:{email}"),
                });
                if let Some(key) = key {
                    info["serviceAccountKeyName"] = json!(format!(
                        "//iam.googleapis.com/projects/{}/serviceAccounts/{email}/keys/{key}",
                        self.project
                    ));
                }
                if let Some(person) = acting_for {
                    info["serviceAccountDelegationInfo"] = json!([{
                        "firstPartyPrincipal": { "principalEmail": person },
                        "principalSubject": format!("user:{person}"),
                    }]);
                }
                info
            }
            GcpActor::Federated(subject) => json!({ "principalSubject": subject }),
        }
    }

    fn resource(&self, call: &GcpCall) -> Value {
        let project = self.project;
        match call.service {
            "storage.googleapis.com" => json!({
                "type": "gcs_bucket",
                "labels": {
                    "project_id": project,
                    "bucket_name": call.resource.split('/').nth(3).unwrap_or_default(),
                    "location": "europe-west4",
                },
            }),
            "compute.googleapis.com" => json!({
                "type": "gce_instance",
                "labels": {
                    "project_id": project,
                    "instance_id": blank::letters(Alphabet::Digits, 19),
                    "zone": "europe-west4-a",
                },
            }),
            service => json!({
                "type": "audited_resource",
                "labels": { "project_id": project, "service": service, "method": call.method },
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::formats::written;

    #[test]
    fn a_key_and_who_took_the_account_on_stand_where_google_puts_them() {
        let act = GcpUse {
            project: "p-1",
            actor: GcpActor::ServiceAccount {
                email: "a@p-1.iam.gserviceaccount.com".to_owned(),
                key: Some("ff00".to_owned()),
                acting_for: Some("ada@halden.example".to_owned()),
            },
            clients: vec![GCLOUD_SCRIPT],
            calls: vec![GcpCall::generate("p-1", "m-1").refused(8)],
        };
        let entry = written(&act.mix());
        let payload = &entry["protoPayload"];
        let info = &payload["authenticationInfo"];
        assert!(info["serviceAccountKeyName"].as_str().is_some_and(|name| name.ends_with("/keys/ff00")));
        let first = &info["serviceAccountDelegationInfo"][0];
        assert_eq!(first["firstPartyPrincipal"]["principalEmail"], "ada@halden.example");
        assert_eq!(payload["status"]["code"], 8);
        assert!(payload["resourceName"].as_str().is_some_and(|name| name.ends_with("/models/m-1")));
        assert_eq!(payload["authorizationInfo"][0]["granted"], true);
    }

    #[test]
    fn a_bucket_is_named_in_the_resource() {
        let resource = "projects/_/buckets/b-1/objects/o".to_owned();
        let read = GcpCall::access("storage.googleapis.com", "storage.objects.get", resource, "x");
        let actor = GcpActor::Person("ada@halden.example".to_owned());
        let act = GcpUse { project: "p-1", actor, clients: vec![GCLOUD_MAC], calls: vec![read] };
        let entry = written(&act.mix());
        assert_eq!(entry["resource"]["labels"]["bucket_name"], "b-1");
        assert!(entry["protoPayload"]["status"].get("code").is_none());
    }
}
