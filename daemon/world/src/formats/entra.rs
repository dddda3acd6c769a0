//! Microsoft Entra sign-in logs as diagnostic settings deliver them (learn.microsoft.com, "Sign-in log
//! schema"), one message a record.

use serde_json::{Value, json};

use crate::dice::Dice;
use crate::template::{Alphabet, Form, Mix, blank};

/// The tenant of the company.
pub(crate) const TENANT: &str = "5b0e7c1d-93a4-4f0e-8a62-d17c4be290f3";

/// How the identity signs in: decides the log category.
#[derive(Debug, Clone)]
pub(crate) enum SignIn {
    /// A person at a browser with a second factor on a managed device.
    Interactive,
    /// The same, to let a program have an access token for the next hour: one on the laptop or, true, an application
    /// with a secret of its own, which acts for the person.
    Granting { application: bool },
    /// A token refreshed in the background on that device.
    Refresh,
    /// A program that sends a user's name and password.
    Password,
    /// A service principal with the credential of this key id.
    Credential { key: String },
    /// A managed identity.
    Managed,
}

/// One identity at work.
#[derive(Debug, Clone)]
pub(crate) struct EntraUse {
    /// Object id of the user or service principal.
    pub(crate) id: String,
    /// User principal name or service principal name.
    pub(crate) name: String,
    pub(crate) sign_in: SignIn,
    pub(crate) application: &'static str,
    pub(crate) user_agent: &'static str,
}

fn token_name(user: &str) -> String {
    format!("{user} access token")
}

/// Id of the access token that a user got an hour ago: the claim `uti` of the token.
pub(crate) fn access_token_of_an_hour_ago(user: &str) -> String {
    blank::lagging(&token_name(user), 1, 1, Alphabet::Mixed, 22)
}

impl EntraUse {
    /// The records of its sign-ins.
    pub(crate) fn mix(&self) -> Mix {
        let address = match self.sign_in {
            SignIn::Managed => String::new(),
            _ => blank::address(),
        };
        Mix::of(&json!({
            "time": blank::time(Form::Ticks),
            "resourceId": format!("/tenants/{TENANT}/providers/Microsoft.aadiam"),
            "operationName": "Sign-in activity",
            "operationVersion": "1.0",
            "category": self.category(),
            "tenantId": TENANT,
            "resultType": "0",
            "resultSignature": "SUCCESS",
            "durationMs": 0,
            "callerIpAddress": address,
            "correlationId": blank::uuid(),
            "Level": "4",
            "location": "PT",
            "properties": self.properties(&address),
        }))
    }

    fn category(&self) -> &'static str {
        match self.sign_in {
            SignIn::Interactive | SignIn::Granting { .. } => "SignInLogs",
            SignIn::Refresh | SignIn::Password => "NonInteractiveUserSignInLogs",
            SignIn::Credential { .. } => "ServicePrincipalSignInLogs",
            SignIn::Managed => "ManagedIdentitySignInLogs",
        }
    }

    fn properties(&self, address: &str) -> Value {
        let mut properties = json!({
            "id": blank::uuid(),
            "createdDateTime": blank::time(Form::Ticks),
            "appId": Dice::of(4, self.application, 0).uuid(),
            "appDisplayName": self.application,
            "ipAddress": address,
            "status": { "errorCode": 0 },
            "isInteractive": self.category() == "SignInLogs",
            "resourceDisplayName": "Microsoft Graph",
            "resourceId": "00000003-0000-0000-c000-000000000000",
            "uniqueTokenIdentifier": blank::letters(Alphabet::Mixed, 22),
            "correlationId": blank::uuid(),
            "conditionalAccessStatus": "success",
            "incomingTokenType": if matches!(self.sign_in, SignIn::Refresh) { "refreshToken" } else { "none" },
            "riskState": "none",
            "location": { "city": "Lisboa", "state": "Lisboa", "countryOrRegion": "PT" },
        });
        self.add_identity(&mut properties);
        properties
    }

    fn add_identity(&self, properties: &mut Value) {
        match &self.sign_in {
            SignIn::Interactive | SignIn::Refresh => {
                self.add_user(properties);
                self.add_device(properties);
            }
            SignIn::Granting { application } => {
                self.add_user(properties);
                self.add_device(properties);
                properties["clientCredentialType"] =
                    json!(if *application { "clientSecret" } else { "none" });
                properties["uniqueTokenIdentifier"] =
                    json!(blank::periodic(&token_name(&self.id), 1, Alphabet::Mixed, 22));
            }
            SignIn::Password => {
                self.add_user(properties);
                properties["authenticationProtocol"] = json!("ropc");
                properties["authenticationRequirement"] = json!("singleFactorAuthentication");
                properties["clientAppUsed"] = json!("Mobile Apps and Desktop clients");
            }
            SignIn::Credential { key } => {
                self.add_service_principal(properties);
                properties["clientCredentialType"] = json!("clientSecret");
                properties["servicePrincipalCredentialKeyId"] = json!(key);
            }
            SignIn::Managed => {
                self.add_service_principal(properties);
                properties["managedIdentityType"] = json!("systemAssigned");
            }
        }
    }

    fn add_user(&self, properties: &mut Value) {
        properties["userId"] = json!(self.id);
        properties["userPrincipalName"] = json!(self.name);
        properties["userType"] = json!("Member");
        properties["userAgent"] = json!(self.user_agent);
        properties["clientCredentialType"] = json!("none");
    }

    fn add_device(&self, properties: &mut Value) {
        properties["deviceDetail"] = json!({
            "deviceId": Dice::of(5, &self.id, 0).uuid(),
            "displayName": Dice::of(6, &self.id, 0).id("LT-", Alphabet::Digits, 8),
            "operatingSystem": if self.user_agent.contains("Macintosh") { "MacOs" } else { "Windows10" },
            "browser": "Chrome 129.0.0",
            "isCompliant": true,
            "isManaged": true,
            "trustType": "Azure AD joined",
        });
        properties["sessionId"] = json!(Dice::of(7, &self.id, 0).uuid());
        properties["authenticationProtocol"] = json!("none");
        properties["clientAppUsed"] = json!("Browser");
        properties["authenticationRequirement"] = json!("multiFactorAuthentication");
        properties["authenticationDetails"] = json!([{
            "authenticationStepDateTime": blank::time(Form::Ticks),
            "authenticationMethod": "Mobile app notification",
            "succeeded": true,
            "authenticationStepResultDetail": "MFA completed in Azure AD",
        }]);
    }

    fn add_service_principal(&self, properties: &mut Value) {
        properties["servicePrincipalId"] = json!(self.id);
        properties["servicePrincipalName"] = json!(self.name);
        properties["managedIdentityType"] = json!("none");
    }
}
