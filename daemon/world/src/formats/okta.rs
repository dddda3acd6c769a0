//! Okta System Log events (developer.okta.com, "System Log API"). Like Okta's own, they hold the literal strings "null"
//! and "unknown" where nothing is known.

use serde_json::{Value, json};

use crate::dice::Dice;
use crate::template::{Alphabet, Form, Mix, blank};

/// How the actor proves who it is.
#[derive(Debug, Clone)]
pub(crate) enum OktaAccess {
    /// A browser session with factors: a new session a day.
    Browser,
    /// A program that sends the user's name and password.
    Password,
    /// An API token (SSWS) with this id.
    Token(String),
    /// OAuth client credentials of a service app.
    Client,
}

/// One actor at work.
#[derive(Debug, Clone)]
pub(crate) struct OktaUse {
    pub(crate) id: String,
    pub(crate) login: String,
    pub(crate) name: String,
    pub(crate) access: OktaAccess,
    pub(crate) user_agent: &'static str,
}

/// Event type, display message, and the request path behind it.
type Kind = (&'static str, &'static str, &'static str);

const PERSON_KINDS: &[Kind] = &[
    ("user.session.start", "User login to Okta", "/api/v1/authn"),
    ("user.authentication.auth_via_mfa", "Authentication of user via MFA", "/idp/idx/challenge/answer"),
    ("user.authentication.sso", "User single sign on to app", "/app/aws_sso/exk4h2v9q/sso/saml"),
    ("policy.evaluate_sign_on", "Evaluation of sign-on policy", "/idp/idx/identify"),
];
const PASSWORD_KINDS: &[Kind] = &[
    ("user.session.start", "User login to Okta", "/api/v1/authn"),
    ("user.authentication.sso", "User single sign on to app", "/app/halden_records/exk7c1m0d/sso/saml"),
];
const TOKEN_KINDS: &[Kind] = &[
    ("user.lifecycle.update", "Update user profile", "/api/v1/users"),
    ("group.user_membership.add", "Add user to group membership", "/api/v1/groups"),
    ("system.org.rate_limit.warning", "Rate limit warning", "/api/v1/logs"),
];
const CLIENT_KINDS: &[Kind] =
    &[("app.oauth2.token.grant.access_token", "OAuth2 access token is granted", "/oauth2/v1/token")];

impl OktaUse {
    /// The events of its steps.
    pub(crate) fn mix(&self) -> Mix {
        let kinds = match self.access {
            OktaAccess::Browser => PERSON_KINDS,
            OktaAccess::Password => PASSWORD_KINDS,
            OktaAccess::Token(_) => TOKEN_KINDS,
            OktaAccess::Client => CLIENT_KINDS,
        };
        kinds.iter().fold(Mix::default(), |mix, kind| mix.and(1, &self.event(*kind)))
    }

    fn event(&self, (event_type, message, path): Kind) -> Value {
        let is_client = matches!(self.access, OktaAccess::Client);
        let is_person = matches!(self.access, OktaAccess::Browser);
        let mut event = json!({
            "actor": {
                "id": self.id,
                "type": if is_client { "PublicClientApp" } else { "User" },
                "alternateId": self.login,
                "displayName": self.name,
                "detailEntry": null,
            },
            "client": {
                "userAgent": self.user_agent(),
                "zone": "null",
                "device": if is_person { "Computer" } else { "Unknown" },
                "id": null,
                "ipAddress": blank::address(),
                "geographicalContext": null,
            },
            "authenticationContext": { "authenticationStep": 0, "externalSessionId": "unknown", "credentialType": null },
            "displayMessage": message,
            "eventType": event_type,
            "outcome": { "result": "SUCCESS", "reason": null },
            "published": blank::time(Form::Millis),
            "securityContext": {},
            "severity": "INFO",
            "debugContext": {
                "debugData": { "requestId": blank::letters(Alphabet::Hex, 32), "requestUri": path, "url": path },
            },
            "legacyEventType": null,
            "transaction": { "type": "WEB", "id": blank::letters(Alphabet::Hex, 32), "detail": {} },
            "uuid": blank::uuid(),
            "version": "0",
            "request": {
                "ipChain": [{ "ip": blank::address(), "version": "V4", "geographicalContext": null, "source": null }],
            },
            "target": null,
        });
        self.add_access(&mut event);
        event
    }

    fn user_agent(&self) -> Value {
        let is_mac = self.user_agent.contains("Macintosh");
        let (browser, os) = match (self.user_agent.contains("Mozilla"), is_mac) {
            (true, true) => ("CHROME", "Mac OS X"),
            (true, false) => ("CHROME", "Windows 10"),
            (false, _) => ("UNKNOWN", "Unknown"),
        };
        json!({ "rawUserAgent": self.user_agent, "os": os, "browser": browser })
    }

    fn add_access(&self, event: &mut Value) {
        let hex = |of: u64, count| Dice::of(of, &self.id, 0).id("", Alphabet::Hex, count);
        match &self.access {
            OktaAccess::Browser => {
                let session = format!("trs{}", blank::periodic(&self.id, 24, Alphabet::Mixed, 21));
                event["authenticationContext"]["externalSessionId"] = json!(session);
                event["authenticationContext"]["credentialType"] = json!("OTP");
                event["debugContext"]["debugData"]["dtHash"] = json!(hex(2, 64));
                event["debugContext"]["debugData"]["deviceFingerprint"] = json!(hex(3, 32));
                event["debugContext"]["debugData"]["factor"] = json!("OKTA_VERIFY_PUSH");
            }
            OktaAccess::Password => {
                let session = format!("trs{}", blank::letters(Alphabet::Mixed, 21));
                event["authenticationContext"]["externalSessionId"] = json!(session);
                event["authenticationContext"]["credentialType"] = json!("PASSWORD");
            }
            OktaAccess::Token(token) => {
                event["transaction"]["detail"] = json!({ "requestApiTokenId": token });
            }
            OktaAccess::Client => {
                event["debugContext"]["debugData"]["grantType"] = json!("client_credentials");
                event["debugContext"]["debugData"]["clientAuthType"] = json!("private_key_jwt");
                event["target"] = json!([{
                    "id": format!("AT.{}", blank::letters(Alphabet::Mixed, 27)),
                    "type": "access_token",
                    "alternateId": null,
                    "displayName": "Access Token",
                }]);
            }
        }
    }
}
