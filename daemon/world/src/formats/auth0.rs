//! Auth0 tenant logs (auth0.com, "Log Event Type Codes" and "Log Streams"): as a log stream sends them, or flat.

use serde_json::{Value, json};

use crate::dice::Dice;
use crate::template::{Alphabet, Form, Mix, blank};

/// Browsers, as Auth0 sums them up.
pub(crate) const CHROME: &str = "Chrome 129.0.0 / Windows 10.0.0";
pub(crate) const SAFARI: &str = "Mobile Safari 18.1.0 / iOS 18.1.0";
/// What it writes of programs.
pub(crate) const PROGRAM: &str = "Other 0.0.0 / Other 0.0.0";

/// An application of the tenant.
#[derive(Debug, Clone)]
pub(crate) struct Auth0App {
    pub(crate) id: String,
    pub(crate) name: String,
}

impl Auth0App {
    pub(crate) fn named(name: &str) -> Self {
        Self { id: Dice::of(35, name, 0).id("", Alphabet::Mixed, 32), name: name.to_owned() }
    }
}

/// Who acts.
#[derive(Debug, Clone)]
pub(crate) enum Auth0Actor {
    /// A user, by email.
    User(String),
    /// The application itself.
    App,
}

/// What happens; behind it the type's code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Auth0Event {
    /// `s`, at a browser; true: with a second factor.
    Login { factor: bool },
    /// `fp`: a wrong password.
    WrongPassword,
    /// `seacft`: the application turns the code of a login into tokens.
    CodeExchange,
    /// `sertft`: it gets new ones.
    RefreshExchange,
    /// `sepft`: a program sends a user's password.
    PasswordExchange,
    /// `seccft`: OAuth client credentials.
    ClientCredentials,
    /// `sapi`: a call of the Management API.
    Management,
}

/// One actor at one application.
#[derive(Debug, Clone)]
pub(crate) struct Auth0Use {
    pub(crate) actor: Auth0Actor,
    pub(crate) app: Auth0App,
    pub(crate) client: &'static str,
    /// Each as likely.
    pub(crate) events: Vec<Auth0Event>,
}

/// Id of a user.
pub(crate) fn user_id(email: &str) -> String {
    Dice::of(36, email, 0).id("auth0|", Alphabet::Hex, 30)
}

impl Auth0Use {
    /// The records of these events.
    pub(crate) fn mix(&self) -> Mix {
        let mut mix = Mix::default();
        for event in &self.events {
            let (id, log) = self.log(*event);
            mix = mix.and(19, &json!({ "log_id": id, "data": log }));
            mix = mix.and(1, &self.log(*event).1);
        }
        mix
    }

    /// The log, and the id of its envelope: a blank is drawn anew wherever it stands, so that the two ids differ, which
    /// those of Auth0 do not. The inner one counts.
    fn log(&self, event: Auth0Event) -> (String, Value) {
        let id = || format!("900{}", blank::letters(Alphabet::Digits, 30));
        let mut log = json!({
            "date": blank::time(Form::Millis),
            "type": code(event),
            "description": if event == Auth0Event::WrongPassword { "Wrong email or password." } else { "" },
            "client_id": self.app.id,
            "client_name": self.app.name,
            "ip": blank::address(),
            "user_agent": self.client,
            "hostname": "halden.eu.auth0.example",
            "tenant_name": "halden",
            "environment_name": "prod-eu-1",
            "is_mobile": self.client.contains("Mobile"),
            "log_id": id(),
            "$event_schema": { "version": "1.0.0" },
            "details": self.details(event),
        });
        match &self.actor {
            Auth0Actor::User(email) => {
                log["user_id"] = json!(user_id(email));
                log["user_name"] = json!(email);
                log["connection"] = json!("Username-Password-Authentication");
                log["strategy"] = json!("auth0");
                log["strategy_type"] = json!("database");
            }
            Auth0Actor::App => {
                log["user_id"] = json!("");
                log["user_name"] = json!("");
                log["audience"] = json!("https://api.halden.example/");
            }
        }
        (id(), log)
    }

    fn details(&self, event: Auth0Event) -> Value {
        let session = match &self.actor {
            Auth0Actor::User(email) => blank::periodic(email, 12, Alphabet::Mixed, 32),
            Auth0Actor::App => String::new(),
        };
        match event {
            Auth0Event::Login { factor } => {
                let mut prompts = vec![json!({ "name": "prompt-authenticate", "flow": "universal-login" })];
                if factor {
                    prompts.push(json!({ "name": "mfa", "flow": "universal-mfa", "performed_amr": ["mfa"] }));
                }
                let elapsed = blank::integer(900, 9_000);
                json!({ "session_id": session, "prompts": prompts, "elapsedTime": elapsed })
            }
            Auth0Event::WrongPassword => json!({ "error": { "message": "Wrong email or password." } }),
            Auth0Event::CodeExchange | Auth0Event::RefreshExchange | Auth0Event::PasswordExchange => {
                json!({ "session_id": session, "access_token_jti": blank::letters(Alphabet::Mixed, 22) })
            }
            Auth0Event::ClientCredentials => {
                json!({ "access_token_jti": blank::letters(Alphabet::Mixed, 22), "actions": { "executions": [] } })
            }
            Auth0Event::Management => json!({
                "request": {
                    "method": "get",
                    "path": "/api/v2/users",
                    "auth": { "user": {}, "strategy": "jwt", "credentials": { "jti": blank::letters(Alphabet::Hex, 32) } },
                },
                "response": { "statusCode": 200, "body": {} },
            }),
        }
    }
}

fn code(event: Auth0Event) -> &'static str {
    match event {
        Auth0Event::Login { .. } => "s",
        Auth0Event::WrongPassword => "fp",
        Auth0Event::CodeExchange => "seacft",
        Auth0Event::RefreshExchange => "sertft",
        Auth0Event::PasswordExchange => "sepft",
        Auth0Event::ClientCredentials => "seccft",
        Auth0Event::Management => "sapi",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::formats::written;

    fn log(actor: Auth0Actor, event: Auth0Event) -> Value {
        let act = Auth0Use { actor, app: Auth0App::named("Portal"), client: CHROME, events: vec![event] };
        let record = written(&act.mix());
        record.get("data").cloned().unwrap_or(record)
    }

    #[test]
    fn an_application_has_no_user() {
        let exchange = log(Auth0Actor::App, Auth0Event::ClientCredentials);
        assert_eq!(exchange["type"], "seccft");
        assert_eq!(exchange["user_id"], "");
        assert_eq!(exchange["client_id"], Auth0App::named("Portal").id);
    }

    #[test]
    fn a_second_factor_is_a_prompt() {
        let login =
            log(Auth0Actor::User("ada@halden.example".to_owned()), Auth0Event::Login { factor: true });
        assert_eq!(login["details"]["prompts"][1]["performed_amr"][0], "mfa");
        assert!(login["details"]["elapsedTime"].is_i64());
        assert_eq!(login["user_id"], user_id("ada@halden.example"));
    }
}
