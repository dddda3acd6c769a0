//! Keycloak events as an event listener writes them in JSON (keycloak.org, "Auditing user events"). Keycloak logs no
//! user agent.

use serde_json::{Value, json};

use crate::dice::Dice;
use crate::template::{Alphabet, Form, Mix, blank};

const REALM: &str = "6d1f0c52-8b7e-4f43-a1d9-0c3e5b97f284";

/// Who proves who they are, to which client.
#[derive(Debug, Clone)]
pub(crate) enum KeycloakActor {
    /// A person, by user name.
    Person(String),
    /// The client itself, with a signed token or, false, with its secret.
    Client { signs: bool },
}

/// What happens, as Keycloak names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum KeycloakEvent {
    /// At a browser.
    Login,
    /// A wrong password.
    LoginError,
    /// The client turns the code of that login into tokens.
    CodeToToken,
    /// The client gets new tokens.
    RefreshToken,
    /// A program sends a user's password.
    PasswordGrant,
    Logout,
    /// OAuth client credentials.
    ClientLogin,
}

/// One actor at one client.
#[derive(Debug, Clone)]
pub(crate) struct KeycloakUse {
    pub(crate) client: String,
    pub(crate) actor: KeycloakActor,
    /// Each as likely.
    pub(crate) events: Vec<KeycloakEvent>,
}

/// Id of a user or of a client's service account.
pub(crate) fn user_id(name: &str) -> String {
    Dice::of(34, name, 0).uuid()
}

impl KeycloakUse {
    /// The records of these events.
    pub(crate) fn mix(&self) -> Mix {
        self.events.iter().fold(Mix::default(), |mix, event| mix.and(1, &self.record(*event)))
    }

    fn user(&self) -> String {
        match &self.actor {
            KeycloakActor::Person(name) => name.clone(),
            KeycloakActor::Client { .. } => format!("service-account-{}", self.client),
        }
    }

    fn record(&self, event: KeycloakEvent) -> Value {
        let user = self.user();
        let failed = event == KeycloakEvent::LoginError;
        // A browser session lasts a working day.
        let session = blank::periodic(&format!("{user} {}", self.client), 24, Alphabet::Hex, 32);
        json!({
            "id": blank::uuid(),
            "time": blank::time(Form::EpochMillis),
            "type": kind(event),
            "realmId": REALM,
            "realmName": "halden",
            "clientId": self.client,
            "userId": if failed { Value::Null } else { json!(user_id(&user)) },
            "sessionId": if failed { Value::Null } else { json!(session) },
            "ipAddress": blank::address(),
            "error": if failed { json!("invalid_user_credentials") } else { Value::Null },
            "details": self.details(event, &user),
        })
    }

    fn details(&self, event: KeycloakEvent, user: &str) -> Value {
        let token = blank::uuid();
        match event {
            KeycloakEvent::Login | KeycloakEvent::LoginError => json!({
                "auth_method": "openid-connect",
                "auth_type": "code",
                "redirect_uri": format!("https://{}.halden.example/callback", self.client),
                "username": user,
            }),
            KeycloakEvent::CodeToToken => json!({
                "token_id": token,
                "grant_type": "authorization_code",
                "refresh_token_type": "Refresh",
                "refresh_token_id": blank::uuid(),
                "scope": "openid profile email",
                "client_auth_method": "client-secret",
            }),
            KeycloakEvent::RefreshToken => json!({
                "token_id": token,
                "grant_type": "refresh_token",
                "refresh_token_type": "Refresh",
                "refresh_token_id": blank::uuid(),
                "updated_refresh_token_id": blank::uuid(),
                "client_auth_method": "client-secret",
            }),
            KeycloakEvent::PasswordGrant => json!({
                "auth_method": "openid-connect",
                "token_id": token,
                "grant_type": "password",
                "client_auth_method": "client-secret",
                "username": user,
            }),
            KeycloakEvent::Logout => {
                json!({ "redirect_uri": format!("https://{}.halden.example/", self.client) })
            }
            KeycloakEvent::ClientLogin => json!({
                "token_id": token,
                "grant_type": "client_credentials",
                "refresh_token_type": "Refresh",
                "scope": "profile email",
                "client_auth_method": self.client_auth_method(),
                "username": user,
            }),
        }
    }

    fn client_auth_method(&self) -> &'static str {
        match self.actor {
            KeycloakActor::Client { signs: true } => "client-jwt",
            KeycloakActor::Client { signs: false } | KeycloakActor::Person(_) => "client-secret",
        }
    }
}

fn kind(event: KeycloakEvent) -> &'static str {
    match event {
        KeycloakEvent::Login | KeycloakEvent::PasswordGrant => "LOGIN",
        KeycloakEvent::LoginError => "LOGIN_ERROR",
        KeycloakEvent::CodeToToken => "CODE_TO_TOKEN",
        KeycloakEvent::RefreshToken => "REFRESH_TOKEN",
        KeycloakEvent::Logout => "LOGOUT",
        KeycloakEvent::ClientLogin => "CLIENT_LOGIN",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::formats::written;

    fn event(actor: KeycloakActor, event: KeycloakEvent) -> Value {
        written(&KeycloakUse { client: "batch".to_owned(), actor, events: vec![event] }.mix())
    }

    #[test]
    fn a_client_signs_in_as_its_service_account() {
        let login = event(KeycloakActor::Client { signs: true }, KeycloakEvent::ClientLogin);
        assert_eq!(login["type"], "CLIENT_LOGIN");
        assert_eq!(login["details"]["username"], "service-account-batch");
        assert_eq!(login["details"]["client_auth_method"], "client-jwt");
        assert!(login["time"].is_i64());
    }

    #[test]
    fn who_could_not_sign_in_has_no_session() {
        let failed = event(KeycloakActor::Person("ada".to_owned()), KeycloakEvent::LoginError);
        assert!(failed["userId"].is_null() && failed["sessionId"].is_null());
        assert_eq!(failed["error"], "invalid_user_credentials");
    }
}
