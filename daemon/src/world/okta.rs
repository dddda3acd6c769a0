//! Okta System Log events (developer.okta.com, "System Log API").
//!
//! In: an actor and how it authenticates. Out: one event. Values are invented; like Okta's own, they hold
//! the literal strings "null" and "unknown" where nothing is known.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::dice::Dice;
use super::pattern::DAY;
use super::place::Place;

/// How the actor proves who it is.
#[derive(Debug, Clone)]
pub(super) enum OktaAccess {
    /// A browser session with factors: a new session a day.
    Browser,
    /// An API token (SSWS) with this id.
    Token(String),
    /// OAuth client credentials of a service app.
    Client,
}

/// One actor at work.
#[derive(Debug, Clone)]
pub(super) struct OktaUse {
    pub(super) id: String,
    pub(super) login: String,
    pub(super) name: String,
    pub(super) access: OktaAccess,
    pub(super) user_agent: &'static str,
    pub(super) place: Place,
}

/// Event type, display message, and the request path behind it.
type Kind = (&'static str, &'static str, &'static str);

const PERSON_KINDS: &[Kind] = &[
    ("user.session.start", "User login to Okta", "/api/v1/authn"),
    ("user.authentication.auth_via_mfa", "Authentication of user via MFA", "/idp/idx/challenge/answer"),
    ("user.authentication.sso", "User single sign on to app", "/app/aws_sso/exk4h2v9q/sso/saml"),
    ("policy.evaluate_sign_on", "Evaluation of sign-on policy", "/idp/idx/identify"),
];
const TOKEN_KINDS: &[Kind] = &[
    ("user.lifecycle.update", "Update user profile", "/api/v1/users"),
    ("group.user_membership.add", "Add user to group membership", "/api/v1/groups"),
    ("system.org.rate_limit.warning", "Rate limit warning", "/api/v1/logs"),
];
const CLIENT_KINDS: &[Kind] =
    &[("app.oauth2.token.grant.access_token", "OAuth2 access token is granted", "/oauth2/v1/token")];

impl OktaUse {
    /// The event of one step.
    pub(super) fn event(&self, at: i64, dice: &mut Dice) -> String {
        let kind = *dice.pick(match self.access {
            OktaAccess::Browser => PERSON_KINDS,
            OktaAccess::Token(_) => TOKEN_KINDS,
            OktaAccess::Client => CLIENT_KINDS,
        });
        let mut event = self.frame(kind, at, dice);
        self.add_access(&mut event, at, dice);
        event.to_string()
    }

    fn frame(&self, (event_type, message, path): Kind, at: i64, dice: &mut Dice) -> Value {
        let address = self.place.address(at);
        let time = Timestamp::from_microsecond(at).unwrap_or_default();
        let actor_type = if matches!(self.access, OktaAccess::Client) { "PublicClientApp" } else { "User" };
        let version = if address.contains(':') { "V6" } else { "V4" };
        json!({
            "actor": { "id": self.id, "type": actor_type, "alternateId": self.login, "displayName": self.name, "detailEntry": null },
            "client": {
                "userAgent": self.user_agent(),
                "zone": "null",
                "device": if matches!(self.access, OktaAccess::Browser) { "Computer" } else { "Unknown" },
                "id": null,
                "ipAddress": address,
                "geographicalContext": null,
            },
            "authenticationContext": { "authenticationStep": 0, "externalSessionId": "unknown", "credentialType": null },
            "displayMessage": message,
            "eventType": event_type,
            "outcome": { "result": "SUCCESS", "reason": null },
            "published": format!("{time:.3}"),
            "securityContext": {},
            "severity": "INFO",
            "debugContext": { "debugData": { "requestId": dice.hex(32), "requestUri": path, "url": path } },
            "legacyEventType": null,
            "transaction": { "type": "WEB", "id": dice.hex(32), "detail": {} },
            "uuid": dice.uuid(),
            "version": "0",
            "request": { "ipChain": [{ "ip": address, "version": version, "geographicalContext": null, "source": null }] },
            "target": null,
        })
    }

    fn user_agent(&self) -> Value {
        let (browser, os) = match (self.user_agent.contains("Mozilla"), self.user_agent.contains("Macintosh"))
        {
            (true, true) => ("CHROME", "Mac OS X"),
            (true, false) => ("CHROME", "Windows 10"),
            (false, _) => ("UNKNOWN", "Unknown"),
        };
        json!({ "rawUserAgent": self.user_agent, "os": os, "browser": browser })
    }

    fn add_access(&self, event: &mut Value, at: i64, dice: &mut Dice) {
        match &self.access {
            OktaAccess::Browser => {
                let session = Dice::of(1, &self.id, at.div_euclid(DAY)).mixed_id("trs", 24);
                event["authenticationContext"]["externalSessionId"] = json!(session);
                event["authenticationContext"]["credentialType"] = json!("OTP");
                event["debugContext"]["debugData"]["dtHash"] = json!(Dice::of(2, &self.id, 0).hex(64));
                event["debugContext"]["debugData"]["deviceFingerprint"] =
                    json!(Dice::of(3, &self.id, 0).hex(32));
                event["debugContext"]["debugData"]["factor"] = json!("OKTA_VERIFY_PUSH");
            }
            OktaAccess::Token(token) => {
                event["transaction"]["detail"] = json!({ "requestApiTokenId": token })
            }
            OktaAccess::Client => {
                event["debugContext"]["debugData"]["grantType"] = json!("client_credentials");
                event["debugContext"]["debugData"]["clientAuthType"] = json!("private_key_jwt");
                event["target"] = json!([{
                    "id": dice.mixed_id("AT.", 30), "type": "access_token", "alternateId": null, "displayName": "Access Token",
                }]);
            }
        }
    }
}
