//! Google Workspace activities (developers.google.com, "Admin SDK API: Activities", with the appendices on login, token,
//! drive and admin events), one message an activity.

use serde_json::{Value, json};

use crate::dice::Dice;
use crate::template::{Alphabet, Form, Mix, blank};

/// The company's id at Google.
const CUSTOMER: &str = "C02hd9k4x";

/// Who acts.
#[derive(Debug, Clone)]
pub(crate) enum WorkspaceActor {
    /// A person, by email.
    Person(String),
    /// A service account with the right to act in the whole domain, by email.
    Robot(String),
}

/// An application that users can let into their account: id of the OAuth client, name.
#[derive(Debug, Clone, Copy)]
pub(crate) struct OauthApp {
    pub(crate) client_id: &'static str,
    pub(crate) name: &'static str,
}

/// What is done.
#[derive(Debug, Clone)]
pub(crate) enum WorkspaceDeed {
    /// Signs in at a browser with a second factor.
    Login,
    /// Mistypes the password.
    LoginFailed,
    /// Lets an application in.
    Authorise(OauthApp),
    /// An application calls with what it was given: which API.
    AppCalls(OauthApp, &'static str),
    /// Opens or changes a document.
    Document(&'static str),
    /// Reads or changes another's account.
    Admin(&'static str),
}

/// One actor's deeds, each as likely.
#[derive(Debug, Clone)]
pub(crate) struct WorkspaceUse {
    pub(crate) actor: WorkspaceActor,
    pub(crate) deeds: Vec<WorkspaceDeed>,
}

/// Id of a Google account, which outlives its name.
pub(crate) fn profile_id(email: &str) -> String {
    Dice::of(33, email, 0).id("1", Alphabet::Digits, 21)
}

impl WorkspaceUse {
    /// The records of these deeds.
    pub(crate) fn mix(&self) -> Mix {
        self.deeds.iter().fold(Mix::default(), |mix, deed| mix.and(1, &self.activity(deed)))
    }

    fn activity(&self, deed: &WorkspaceDeed) -> Value {
        let (application, events) = events(deed);
        json!({
            "kind": "admin#reports#activity",
            "id": {
                "time": blank::time(Form::Millis),
                "uniqueQualifier": format!("-{}", blank::letters(Alphabet::Digits, 18)),
                "applicationName": application,
                "customerId": CUSTOMER,
            },
            "etag": format!("\"{}\"", blank::letters(Alphabet::Mixed, 27)),
            "actor": self.actor(),
            "ipAddress": blank::address(),
            "events": events,
        })
    }

    fn actor(&self) -> Value {
        match &self.actor {
            WorkspaceActor::Person(email) => {
                json!({ "callerType": "USER", "email": email, "profileId": profile_id(email) })
            }
            WorkspaceActor::Robot(email) => {
                json!({ "callerType": "KEY", "email": email, "profileId": profile_id(email), "key": email })
            }
        }
    }
}

/// Application and events of a deed.
fn events(deed: &WorkspaceDeed) -> (&'static str, Value) {
    match deed {
        WorkspaceDeed::Login => (
            "login",
            json!([
                event(
                    "login",
                    "login_verification",
                    &[
                        several("login_challenge_method", "security_key"),
                        text("login_challenge_status", "Challenge Passed."),
                    ]
                ),
                event(
                    "login",
                    "login_success",
                    &[
                        text("login_type", "google_password"),
                        several("login_challenge_method", "security_key"),
                        json!({ "name": "is_suspicious", "boolValue": false }),
                    ]
                ),
            ]),
        ),
        WorkspaceDeed::LoginFailed => (
            "login",
            json!([event(
                "login",
                "login_failure",
                &[
                    text("login_type", "google_password"),
                    text("login_failure_type", "login_failure_invalid_password"),
                    several("login_challenge_method", "password"),
                ]
            )]),
        ),
        WorkspaceDeed::Authorise(app) => {
            ("token", json!([event("auth", "authorize", &[&oauth(*app)[..], &[scope("calendar")]].concat())]))
        }
        WorkspaceDeed::AppCalls(app, api) => {
            let method = format!("{api}.list");
            let calls = [text("api_name", api), text("method_name", &method), integer("num_response_bytes")];
            ("token", json!([event("auth", "activity", &[&oauth(*app)[..], &calls[..]].concat())]))
        }
        WorkspaceDeed::Document(name) => (
            "drive",
            json!([event(
                "access",
                name,
                &[
                    json!({ "name": "primary_event", "boolValue": true }),
                    text("doc_id", &format!("1{}", blank::letters(Alphabet::Mixed, 32))),
                    text("doc_type", "document"),
                    text("visibility", "people_within_domain_with_link"),
                ]
            )]),
        ),
        WorkspaceDeed::Admin(name) => (
            "admin",
            json!([event("USER_SETTINGS", name, &[text("USER_EMAIL", "new.starter@halden.example")])]),
        ),
    }
}

fn event(kind: &str, name: &str, parameters: &[Value]) -> Value {
    json!({ "type": kind, "name": name, "parameters": parameters })
}

fn text(name: &str, value: &str) -> Value {
    json!({ "name": name, "value": value })
}

fn several(name: &str, value: &str) -> Value {
    json!({ "name": name, "multiValue": [value] })
}

/// The API writes 64-bit numbers as texts.
fn integer(name: &str) -> Value {
    json!({ "name": name, "intValue": blank::number(200, 90_000) })
}

fn scope(of: &str) -> Value {
    several("scope", &format!("https://www.googleapis.com/auth/{of}.readonly"))
}

fn oauth(app: OauthApp) -> [Value; 3] {
    [text("client_id", app.client_id), text("app_name", app.name), text("client_type", "WEB")]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::formats::written;

    const APP: OauthApp = OauthApp { client_id: "77.apps.example", name: "Planner" };

    #[test]
    fn an_application_is_named_by_its_client() {
        let actor = WorkspaceActor::Person("ada@halden.example".to_owned());
        let act = WorkspaceUse { actor, deeds: vec![WorkspaceDeed::AppCalls(APP, "calendar")] };
        let activity = written(&act.mix());
        assert_eq!(activity["id"]["applicationName"], "token");
        assert_eq!(activity["actor"]["profileId"], profile_id("ada@halden.example"));
        let parameters = &activity["events"][0]["parameters"];
        assert_eq!(parameters[0], text("client_id", "77.apps.example"));
        assert!(parameters[5]["intValue"].is_string());
    }

    #[test]
    fn a_robot_has_a_key() {
        let actor = WorkspaceActor::Robot("sync@p.iam.gserviceaccount.com".to_owned());
        let act = WorkspaceUse { actor, deeds: vec![WorkspaceDeed::Login] };
        let activity = written(&act.mix());
        assert_eq!(activity["actor"]["callerType"], "KEY");
        assert_eq!(activity["events"].as_array().map(Vec::len), Some(2));
    }
}
