//! OCSF events (schema.ocsf.io, version 1.5): class 6003 API Activity, and 3002 Authentication for the logon behind a
//! person's session. They come from the company's own data platform, which writes nothing else.

use serde_json::{Value, json};

use crate::dice::Dice;
use crate::template::{Alphabet, Form, Mix, blank};

/// Who acts.
#[derive(Debug, Clone)]
pub(crate) enum OcsfActor {
    /// A person who signed in, by email: a new session a day.
    Person(String),
    /// A program with a key of the platform's own: its name, the key's id.
    Program { name: String, key: String },
    /// An IAM user of an account in AWS, with a long-lived key.
    IamUser { account: &'static str, user: String, key: String },
    /// A role session in AWS.
    Session { account: &'static str, role: String, session: String },
}

/// One actor's calls.
#[derive(Debug, Clone)]
pub(crate) struct OcsfUse {
    pub(crate) actor: OcsfActor,
    /// User agents, each as likely.
    pub(crate) clients: Vec<&'static str>,
    /// `s3.amazonaws.com`, or the name of a service of our own.
    pub(crate) service: &'static str,
    /// Operations, each as likely.
    pub(crate) operations: Vec<&'static str>,
    /// What is acted on.
    pub(crate) resource: String,
    /// The error's name, of calls that are refused.
    pub(crate) error: Option<&'static str>,
}

impl OcsfUse {
    /// The records of these calls and, of people, of their logons.
    pub(crate) fn mix(&self) -> Mix {
        let mix = self.operations.iter().fold(Mix::default(), |mix, name| mix.and(4, &self.call(name)));
        match &self.actor {
            OcsfActor::Person(email) => mix.and(1, &self.logon(email)),
            OcsfActor::Program { .. } | OcsfActor::IamUser { .. } | OcsfActor::Session { .. } => mix,
        }
    }

    fn event(&self, class: i64, activity: i64) -> Value {
        json!({
            "class_uid": class,
            "category_uid": class / 1_000,
            "activity_id": activity,
            "type_uid": class * 100 + activity,
            "severity_id": 1,
            "severity": "Informational",
            "time": blank::time(Form::EpochMillis),
            "metadata": {
                "uid": blank::uuid(),
                "version": "1.5.0",
                "profiles": ["cloud", "host"],
                "product": { "name": "Data Platform", "vendor_name": "Halden" },
            },
            "status_id": 1,
            "status": "Success",
            "src_endpoint": { "ip": blank::address() },
        })
    }

    fn call(&self, operation: &str) -> Value {
        let mut event = self.event(6003, activity(operation));
        event["class_name"] = json!("API Activity");
        event["api"] = json!({
            "operation": operation,
            "service": { "name": self.service },
            "request": { "uid": blank::uuid() },
        });
        event["http_request"] = json!({ "user_agent": blank::one_of(&self.clients) });
        event["resources"] = json!([{ "uid": self.resource, "type": "dataset" }]);
        event["cloud"] =
            json!({ "provider": "AWS", "region": "eu-west-1", "account": { "uid": self.account() } });
        event["actor"] = self.actor();
        if let Some(error) = self.error {
            event["status_id"] = json!(2);
            event["status"] = json!("Failure");
            event["api"]["response"] = json!({ "error": error });
        }
        event
    }

    fn logon(&self, email: &str) -> Value {
        let mut event = self.event(3002, 1);
        event["class_name"] = json!("Authentication");
        event["activity_name"] = json!("Logon");
        event["user"] = json!({ "uid": user_id(email), "name": email, "type_id": 1, "type": "User" });
        event["session"] = json!({ "uid": session(email), "is_mfa": true });
        event["is_mfa"] = json!(true);
        event["service"] = json!({ "name": self.service });
        event["http_request"] = json!({ "user_agent": blank::one_of(&self.clients) });
        event
    }

    /// The platform's account, where the actor has none.
    fn account(&self) -> &'static str {
        match self.actor {
            OcsfActor::IamUser { account, .. } | OcsfActor::Session { account, .. } => account,
            OcsfActor::Person(_) | OcsfActor::Program { .. } => "462097715380",
        }
    }

    fn actor(&self) -> Value {
        match &self.actor {
            OcsfActor::Person(email) => json!({
                "user": { "uid": user_id(email), "name": email, "type_id": 1, "type": "User" },
                "session": { "uid": session(email), "is_mfa": true },
            }),
            OcsfActor::Program { name, key } => json!({
                "user": {
                    "uid": name,
                    "name": name,
                    "type_id": 4,
                    "type": "Service",
                    "programmatic_credentials": [{ "uid": key, "type": "API Key" }],
                },
            }),
            OcsfActor::IamUser { account, user, key } => json!({
                "user": {
                    "type": "IAMUser",
                    "type_id": 99,
                    "uid": format!("arn:aws:iam::{account}:user/{user}"),
                    "name": user,
                    "credential_uid": key,
                    "account": { "uid": account },
                },
            }),
            OcsfActor::Session { account, role, session } => json!({
                "user": {
                    "type": "AssumedRole",
                    "type_id": 99,
                    "uid": format!("arn:aws:sts::{account}:assumed-role/{role}/{session}"),
                    "credential_uid":
                        format!("ASIA{}", blank::periodic(&format!("{role} {session}"), 1, Alphabet::Upper, 16)),
                    "account": { "uid": account },
                },
                "session": { "issuer": format!("arn:aws:iam::{account}:role/{role}"), "is_mfa": false },
            }),
        }
    }
}

/// Of the classes' own list: 1 create, 2 read, 3 update, 4 delete.
fn activity(operation: &str) -> i64 {
    let begins = |words: &[&str]| words.iter().any(|word| operation.starts_with(word));
    match () {
        () if begins(&["Create", "Put", "Start"]) => 1,
        () if begins(&["Update"]) => 3,
        () if begins(&["Delete"]) => 4,
        () => 2,
    }
}

fn user_id(email: &str) -> String {
    Dice::of(37, email, 0).id("u-", Alphabet::Hex, 14)
}

fn session(email: &str) -> String {
    blank::periodic(&format!("{email} platform"), 24, Alphabet::Hex, 24)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::formats::{written, written_by};

    fn act(actor: OcsfActor) -> OcsfUse {
        OcsfUse {
            actor,
            clients: vec!["x/1"],
            service: "warehouse",
            operations: vec!["DeleteTable"],
            resource: "orders".to_owned(),
            error: Some("AccessDenied"),
        }
    }

    #[test]
    fn a_refused_call_is_a_failure_by_number_and_word() {
        let event = written(&act(OcsfActor::Program { name: "p".to_owned(), key: "k-1".to_owned() }).mix());
        assert_eq!((event["class_uid"].as_i64(), event["type_uid"].as_i64()), (Some(6003), Some(600_304)));
        assert_eq!(event["status_id"], 2);
        assert_eq!(event["actor"]["user"]["programmatic_credentials"][0]["uid"], "k-1");
        assert!(event["time"].is_i64());
    }

    #[test]
    fn a_person_logs_on_to_the_session_of_the_calls() {
        let mix = act(OcsfActor::Person("ada@halden.example".to_owned())).mix();
        let events: Vec<_> = (0..40).map(|n| written_by(&mix, n)).collect();
        let logon = events.iter().find(|e| e["class_uid"] == 3002).expect("some are logons");
        let call = events.iter().find(|e| e["class_uid"] == 6003).expect("most are calls");
        assert_eq!(logon["session"]["uid"], call["actor"]["session"]["uid"]);
        assert_eq!(logon["user"]["uid"], call["actor"]["user"]["uid"]);
    }
}
