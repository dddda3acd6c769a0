//! Kubernetes audit events (kubernetes.io, "kube-apiserver Audit Configuration (v1)"; docs.aws.amazon.com for what EKS
//! adds): bare, or as a webhook sends them, in an `EventList`. The policy leaves out the stage RequestReceived.

use serde_json::{Value, json};

use crate::template::{Alphabet, Form, Mix, blank};

pub(crate) const KUBECTL_MAC: &str = "kubectl/v1.31.2 (darwin/arm64) kubernetes/5864a46";
pub(crate) const KUBECTL_WINDOWS: &str = "kubectl/v1.31.2 (windows/amd64) kubernetes/5864a46";
pub(crate) const CLIENT_GO: &str = "operator/v0.0.0 (linux/amd64) kubernetes/$Format";
pub(crate) const CLIENT_JAVA: &str = "Kubernetes Java Client/21.0.1";

/// Who asks.
#[derive(Debug, Clone)]
pub(crate) enum KubernetesUser {
    /// A person known by email to the identity provider.
    Person(String),
    /// A pod's service account.
    ServiceAccount { namespace: String, name: String },
    /// Part of the cluster itself: `system:kube-scheduler`.
    Component(&'static str),
    /// A role session of AWS, on EKS.
    Session { account: &'static str, role: &'static str, session: String },
}

/// One request.
#[derive(Debug, Clone)]
pub(crate) struct KubernetesCall {
    pub(crate) verb: &'static str,
    pub(crate) resource: &'static str,
    /// `exec`, `portforward`, `log`; "" where there is none.
    pub(crate) subresource: &'static str,
    pub(crate) namespace: String,
    pub(crate) code: u16,
}

impl KubernetesCall {
    pub(crate) fn new(verb: &'static str, resource: &'static str, namespace: &str) -> Self {
        let code = if verb == "create" { 201 } else { 200 };
        Self { verb, resource, subresource: "", namespace: namespace.to_owned(), code }
    }

    /// The same of a part of it; a shell or a tunnel switches protocols.
    pub(crate) fn of(self, subresource: &'static str) -> Self {
        let opens = matches!(subresource, "exec" | "attach" | "portforward");
        Self { subresource, code: if opens { 101 } else { self.code }, ..self }
    }

    /// The same, which no role allows.
    pub(crate) fn forbidden(self) -> Self {
        Self { code: 403, ..self }
    }
}

/// One user at work in the cluster.
#[derive(Debug, Clone)]
pub(crate) struct KubernetesUse {
    pub(crate) user: KubernetesUser,
    /// Email of the person for whom it acts.
    pub(crate) acts_for: Option<String>,
    pub(crate) client: &'static str,
    /// Each as likely.
    pub(crate) calls: Vec<KubernetesCall>,
}

impl KubernetesUse {
    /// The records of these requests.
    pub(crate) fn mix(&self) -> Mix {
        let mut mix = Mix::default();
        for call in &self.calls {
            mix = mix.and(18, &self.event(call, "ResponseComplete"));
            if call.verb == "watch" || call.code == 101 {
                mix = mix.and(18, &self.event(call, "ResponseStarted"));
            }
        }
        let first = self.calls.first().expect("a use has calls");
        let item = self.event(first, "ResponseComplete");
        let list =
            json!({ "kind": "EventList", "apiVersion": "audit.k8s.io/v1", "metadata": {}, "items": [item] });
        mix.and(1, &list)
    }

    fn event(&self, call: &KubernetesCall, stage: &str) -> Value {
        let allowed = call.code != 403;
        let mut event = json!({
            "kind": "Event",
            "apiVersion": "audit.k8s.io/v1",
            "level": "Metadata",
            "auditID": blank::uuid(),
            "stage": stage,
            "requestURI": uri(call),
            "verb": call.verb,
            "user": self.user(),
            "sourceIPs": [blank::address()],
            "userAgent": self.client,
            "objectRef": object(call),
            "responseStatus": { "metadata": {}, "code": call.code },
            "requestReceivedTimestamp": blank::time(Form::Micros),
            "stageTimestamp": blank::time(Form::Micros),
            "annotations": {
                "authorization.k8s.io/decision": if allowed { "allow" } else { "forbid" },
                "authorization.k8s.io/reason": "",
            },
        });
        if !allowed {
            event["responseStatus"]["status"] = json!("Failure");
            event["responseStatus"]["reason"] = json!("Forbidden");
        }
        if let Some(person) = &self.acts_for {
            event["impersonatedUser"] = json!({ "username": person, "groups": ["system:authenticated"] });
        }
        event
    }

    fn user(&self) -> Value {
        match &self.user {
            KubernetesUser::Person(email) => {
                json!({ "username": email, "groups": ["halden:engineers", "system:authenticated"] })
            }
            KubernetesUser::ServiceAccount { namespace, name } => {
                let username = format!("system:serviceaccount:{namespace}:{name}");
                let token = format!("JTI={}", blank::periodic_uuid(&username, 60));
                json!({
                    "username": username,
                    "uid": crate::dice::Dice::of(30, name, 0).uuid(),
                    "groups": [
                        "system:serviceaccounts",
                        format!("system:serviceaccounts:{namespace}"),
                        "system:authenticated",
                    ],
                    "extra": {
                        "authentication.kubernetes.io/credential-id": [token],
                        "authentication.kubernetes.io/pod-name": [
                            format!("{name}-{}", blank::letters(Alphabet::Hex, 5)),
                        ],
                    },
                })
            }
            KubernetesUser::Component(name) => {
                json!({ "username": name, "groups": ["system:authenticated"] })
            }
            KubernetesUser::Session { account, role, session } => {
                let key = blank::periodic(&format!("{role} {session}"), 1, Alphabet::Upper, 16);
                json!({
                    "username": format!("{role}:{session}"),
                    "groups": ["halden:operators", "system:authenticated"],
                    "extra": {
                        "accessKeyId": [format!("ASIA{key}")],
                        "arn": [format!("arn:aws:sts::{account}:assumed-role/{role}/{session}")],
                        "canonicalArn": [format!("arn:aws:iam::{account}:role/{role}")],
                        "sessionName": [session],
                    },
                })
            }
        }
    }
}

/// API group and version of a resource.
fn group(resource: &str) -> (&'static str, &'static str) {
    match resource {
        "deployments" | "replicasets" | "daemonsets" | "statefulsets" => ("apps", "v1"),
        "leases" => ("coordination.k8s.io", "v1"),
        "jobs" | "cronjobs" => ("batch", "v1"),
        "endpointslices" => ("discovery.k8s.io", "v1"),
        "applications" => ("argoproj.io", "v1alpha1"),
        _ => ("", "v1"),
    }
}

fn object(call: &KubernetesCall) -> Value {
    let (api_group, version) = group(call.resource);
    let mut object = json!({ "resource": call.resource, "namespace": call.namespace, "apiVersion": version });
    if !api_group.is_empty() {
        object["apiGroup"] = json!(api_group);
    }
    if has_name(call) {
        object["name"] = json!(name(call));
    }
    if !call.subresource.is_empty() {
        object["subresource"] = json!(call.subresource);
    }
    object
}

fn has_name(call: &KubernetesCall) -> bool {
    !matches!(call.verb, "list" | "watch")
}

fn name(call: &KubernetesCall) -> String {
    format!("{}-{}", call.namespace, call.resource)
}

fn uri(call: &KubernetesCall) -> String {
    let (group, version) = group(call.resource);
    let api = if group.is_empty() { format!("/api/{version}") } else { format!("/apis/{group}/{version}") };
    let mut uri = format!("{api}/namespaces/{}/{}", call.namespace, call.resource);
    if has_name(call) {
        uri = format!("{uri}/{}", name(call));
    }
    match (call.subresource, call.verb) {
        ("exec", _) => uri + "/exec?command=sh&stdin=true&stdout=true&tty=true",
        ("", "watch") => uri + "?allowWatchBookmarks=true&watch=true",
        ("", "list") => uri + "?limit=500",
        ("", _) => uri,
        (part, _) => format!("{uri}/{part}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::formats::written;

    #[test]
    fn a_shell_in_a_pod_is_a_subresource_that_switches_protocols() {
        let call = KubernetesCall::new("create", "pods", "orders").of("exec");
        let user = KubernetesUser::Session { account: "1", role: "r-1", session: "ada".to_owned() };
        let event =
            written(&KubernetesUse { user, acts_for: None, client: KUBECTL_MAC, calls: vec![call] }.mix());
        let event = event.get("items").map_or(&event, |items| &items[0]);
        assert_eq!(event["objectRef"]["subresource"], "exec");
        assert_eq!(event["responseStatus"]["code"], 101);
        assert_eq!(event["user"]["extra"]["arn"][0], "arn:aws:sts::1:assumed-role/r-1/ada");
        assert!(event["requestURI"].as_str().is_some_and(|uri| uri.contains("/exec?command=sh")));
    }

    #[test]
    fn a_list_has_no_name_and_who_may_not_is_told_so() {
        let call = KubernetesCall::new("list", "leases", "orders").forbidden();
        let user = KubernetesUser::Component("system:kube-scheduler");
        let acts_for = Some("ada@halden.example".to_owned());
        let event = written(&KubernetesUse { user, acts_for, client: CLIENT_GO, calls: vec![call] }.mix());
        let event = event.get("items").map_or(&event, |items| &items[0]);
        assert!(event["objectRef"].get("name").is_none());
        assert_eq!(event["objectRef"]["apiGroup"], "coordination.k8s.io");
        assert_eq!(event["annotations"]["authorization.k8s.io/decision"], "forbid");
        assert_eq!(event["impersonatedUser"]["username"], "ada@halden.example");
    }
}
