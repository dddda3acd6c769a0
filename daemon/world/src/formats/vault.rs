//! HashiCorp Vault audit lines (developer.hashicorp.com, "Audit device log schema"): one of the request, one of its
//! response. The request lines here are of requests whose response another device logged: each line has an id of its own.

use serde_json::{Value, json};

use crate::dice::Dice;
use crate::template::{Alphabet, Form, Mix, blank};

/// By which method the token was got.
#[derive(Debug, Clone)]
pub(crate) enum VaultMethod {
    /// A pod's service account.
    Kubernetes { namespace: String, name: String },
    /// Role and secret of a job.
    AppRole(String),
    /// A build's token.
    Jwt(String),
    /// A person through single sign-on, by email.
    Oidc(String),
    /// A person with a password of the directory, by user name.
    Ldap(String),
    /// A token made by hand, by its name.
    Token(String),
}

/// How long a token lives.
#[derive(Debug, Clone)]
pub(crate) enum VaultToken {
    /// It is renewed and never replaced: the HMAC of its accessor, 64 hex digits.
    Kept(String),
    /// A new one is got with a login every so many hours.
    Replaced(i64),
}

/// What is done at a path; the type of the engine there; Vault's complaint.
#[derive(Debug, Clone)]
pub(crate) struct VaultCall {
    pub(crate) operation: &'static str,
    pub(crate) path: String,
    pub(crate) engine: &'static str,
    pub(crate) error: Option<&'static str>,
}

impl VaultCall {
    pub(crate) fn new(operation: &'static str, path: String, engine: &'static str) -> Self {
        Self { operation, path, engine, error: None }
    }

    /// The same, against the policies.
    pub(crate) fn denied(self) -> Self {
        Self { error: Some("1 error occurred:\n\t* permission denied\n\n"), ..self }
    }
}

/// One token holder at work.
#[derive(Debug, Clone)]
pub(crate) struct VaultUse {
    pub(crate) method: VaultMethod,
    pub(crate) token: VaultToken,
    /// Each as likely.
    pub(crate) calls: Vec<VaultCall>,
}

impl VaultUse {
    /// The lines of its calls and, where tokens are replaced, of its logins.
    pub(crate) fn mix(&self) -> Mix {
        let mut mix = Mix::default();
        for call in &self.calls {
            mix = mix.and(8, &self.line(call, "response")).and(2, &self.line(call, "request"));
        }
        match (&self.token, self.mount()) {
            (VaultToken::Replaced(_), Some(mount)) => mix.and(2, &self.login(mount)),
            _ => mix,
        }
    }

    /// HMAC of the accessor, as the log has it.
    pub(crate) fn accessor(&self) -> String {
        match &self.token {
            VaultToken::Kept(hmac) => format!("hmac-sha256:{hmac}"),
            VaultToken::Replaced(hours) => {
                format!("hmac-sha256:{}", blank::periodic(&self.display_name(), *hours, Alphabet::Hex, 64))
            }
        }
    }

    fn display_name(&self) -> String {
        match &self.method {
            VaultMethod::Kubernetes { namespace, name } => format!("kubernetes-{namespace}-{name}"),
            VaultMethod::AppRole(_) => "approle".to_owned(),
            VaultMethod::Jwt(build) => format!("jwt-{build}"),
            VaultMethod::Oidc(email) => format!("oidc-{email}"),
            VaultMethod::Ldap(user) => format!("ldap-{user}"),
            VaultMethod::Token(name) => format!("token-{name}"),
        }
    }

    /// Decides the ids: of all who sign in by AppRole the display name is the same.
    fn holder(&self) -> String {
        match &self.method {
            VaultMethod::AppRole(role) => format!("approle {role}"),
            _ => self.display_name(),
        }
    }

    fn metadata(&self) -> Value {
        match &self.method {
            VaultMethod::Kubernetes { namespace, name } => json!({
                "role": name,
                "service_account_name": name,
                "service_account_namespace": namespace,
            }),
            VaultMethod::AppRole(role) => json!({ "role_name": role }),
            VaultMethod::Jwt(build) => json!({ "role": build }),
            VaultMethod::Oidc(_) => json!({ "role": "staff" }),
            VaultMethod::Ldap(user) => json!({ "username": user }),
            VaultMethod::Token(_) => Value::Null,
        }
    }

    /// Type of the method, and where one logs in.
    fn mount(&self) -> Option<(&'static str, &'static str)> {
        Some(match self.method {
            VaultMethod::Kubernetes { .. } => ("kubernetes", "auth/kubernetes/login"),
            VaultMethod::AppRole(_) => ("approle", "auth/approle/login"),
            VaultMethod::Jwt(_) => ("jwt", "auth/jwt/login"),
            VaultMethod::Oidc(_) => ("oidc", "auth/oidc/oidc/callback"),
            VaultMethod::Ldap(_) => ("ldap", "auth/ldap/login"),
            VaultMethod::Token(_) => return None,
        })
    }

    fn auth(&self) -> Value {
        json!({
            "client_token": format!("hmac-sha256:{}", Dice::of(31, &self.holder(), 0).id("", Alphabet::Hex, 64)),
            "accessor": self.accessor(),
            "display_name": self.display_name(),
            "entity_id": Dice::of(32, &self.holder(), 0).uuid(),
            "metadata": self.metadata(),
            "policies": ["default", "halden"],
            "token_policies": ["default", "halden"],
            "token_issue_time": blank::hour_start(Form::Seconds, 3_600),
            "token_ttl": 3_600,
            "token_type": "service",
        })
    }

    fn line(&self, call: &VaultCall, kind: &str) -> Value {
        let mut auth = self.auth();
        auth["policy_results"] = json!({ "allowed": call.error.is_none() });
        let mount = call.path.split('/').next().unwrap_or_default();
        let mut line = json!({
            "time": blank::time(Form::Nanos),
            "type": kind,
            "auth": auth,
            "request": {
                "id": blank::uuid(),
                "client_id": auth["entity_id"],
                "client_token": auth["client_token"],
                "client_token_accessor": auth["accessor"],
                "mount_class": "secret",
                "mount_point": format!("{mount}/"),
                "mount_type": call.engine,
                "namespace": { "id": "root" },
                "operation": call.operation,
                "path": call.path,
                "remote_address": blank::address(),
                "remote_port": blank::integer(30_000, 60_000),
            },
        });
        if kind == "response" {
            line["response"] = json!({ "mount_class": "secret", "mount_type": call.engine });
        }
        if let Some(error) = call.error {
            line["error"] = json!(error);
        }
        line
    }

    /// The line of a login's response: the accessor is the new token's.
    fn login(&self, (kind, path): (&str, &str)) -> Value {
        let point = path.split('/').take(2).collect::<Vec<_>>().join("/");
        json!({
            "time": blank::time(Form::Nanos),
            "type": "response",
            "auth": self.auth(),
            "request": {
                "id": blank::uuid(),
                "mount_class": "auth",
                "mount_point": format!("{point}/"),
                "mount_type": kind,
                "namespace": { "id": "root" },
                "operation": "update",
                "path": path,
                "remote_address": blank::address(),
                "remote_port": blank::integer(30_000, 60_000),
            },
            "response": { "auth": self.auth(), "mount_class": "auth", "mount_type": kind },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::formats::written_by;

    #[test]
    fn a_denied_call_and_a_login_name_the_holder() {
        let call = VaultCall::new("read", "secret/data/orders".to_owned(), "kv").denied();
        let method = VaultMethod::Ldap("ada".to_owned());
        let mix = VaultUse { method, token: VaultToken::Replaced(8), calls: vec![call] }.mix();
        let lines: Vec<_> = (0..60).map(|n| written_by(&mix, n)).collect();
        let login = lines.iter().find(|l| l["request"]["mount_class"] == "auth").expect("some are logins");
        assert_eq!(login["response"]["auth"]["metadata"]["username"], "ada");
        assert!(login["request"].get("client_token_accessor").is_none());
        let denied = lines.iter().find(|l| l.get("error").is_some()).expect("most are calls");
        assert_eq!(denied["auth"]["policy_results"]["allowed"], false);
        assert!(denied["request"]["remote_port"].is_i64());
        assert_eq!(denied["request"]["client_token_accessor"], denied["auth"]["accessor"]);
    }

    #[test]
    fn a_kept_token_has_the_accessor_that_it_was_given() {
        let call = VaultCall::new("read", "secret/data/orders".to_owned(), "kv");
        let token = VaultToken::Kept("ab".repeat(32));
        let mix = VaultUse { method: VaultMethod::Token("x".to_owned()), token, calls: vec![call] }.mix();
        assert_eq!(written_by(&mix, 1)["auth"]["accessor"], format!("hmac-sha256:{}", "ab".repeat(32)));
    }
}
