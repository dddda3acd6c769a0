//! Azure Activity Log records as diagnostic settings export them (learn.microsoft.com, "Azure activity log event
//! schema"): bare, or in the `records` envelope of Event Hubs. A call has a record when it starts and one when it ends.

use serde_json::{Value, json};

use super::entra::TENANT;
use crate::template::{Alphabet, Form, Mix, blank};

const OBJECT_ID: &str = "http://schemas.microsoft.com/identity/claims/objectidentifier";
const UPN: &str = "http://schemas.xmlsoap.org/ws/2005/05/identity/claims/upn";
/// Application ids of Microsoft's own clients.
const PORTAL: &str = "c44b4083-3bb0-49c1-b47d-974e53cbdf3c";
const COMMAND_LINE: &str = "04b07795-8ddb-461a-bbee-02f9e1bf7b46";

/// Who calls, by the object id in the directory.
#[derive(Debug, Clone)]
pub(crate) enum AzureActor {
    /// A person in the portal or, false, at the command line.
    Person { id: String, upn: String, portal: bool },
    /// A service principal and the application that it stands for.
    ServicePrincipal { id: String, application: String },
    /// A managed identity of the machine with this name.
    Managed { id: String, machine: String },
}

/// One call: what is done to what, and the HTTP status by its name, `OK` or `Forbidden`.
#[derive(Debug, Clone)]
pub(crate) struct AzureCall {
    pub(crate) operation: &'static str,
    /// What follows the subscription: `/resourceGroups/...`.
    pub(crate) resource: String,
    pub(crate) status: &'static str,
}

impl AzureCall {
    pub(crate) fn new(operation: &'static str, resource: String) -> Self {
        Self { operation, resource, status: "OK" }
    }

    /// The same call, for want of a role.
    pub(crate) fn forbidden(self) -> Self {
        Self { status: "Forbidden", ..self }
    }
}

/// One actor's use of one subscription.
#[derive(Debug, Clone)]
pub(crate) struct AzureUse {
    pub(crate) subscription: &'static str,
    pub(crate) actor: AzureActor,
    /// Each as likely.
    pub(crate) calls: Vec<AzureCall>,
}

impl AzureUse {
    /// The records of these calls.
    pub(crate) fn mix(&self) -> Mix {
        let mut mix = Mix::default();
        for call in &self.calls {
            mix = mix.and(12, &self.record(call, false)).and(2, &self.record(call, true));
        }
        let first = self.calls.first().expect("a use has calls");
        mix.and(1, &json!({ "records": [self.record(first, false)] }))
    }

    fn record(&self, call: &AzureCall, starts: bool) -> Value {
        let (result, signature) = match (starts, call.status) {
            (true, _) => ("Start", "Started.".to_owned()),
            (false, "OK") => ("Success", "Succeeded.OK".to_owned()),
            (false, status) => ("Failure", format!("Failed.{status}")),
        };
        let resource = format!("/SUBSCRIPTIONS/{}{}", self.subscription, call.resource);
        json!({
            "time": blank::time(Form::Ticks),
            "resourceId": resource.to_ascii_uppercase(),
            "operationName": call.operation.to_ascii_uppercase(),
            "category": "Administrative",
            "resultType": result,
            "resultSignature": signature,
            "durationMs": blank::number(20, 900),
            "callerIpAddress": self.address(),
            "correlationId": blank::uuid(),
            "identity": {
                "authorization": {
                    "scope": resource,
                    "action": call.operation,
                    "evidence": self.evidence(),
                },
                "claims": self.claims(),
            },
            "level": if call.status == "OK" { "Information" } else { "Error" },
            "location": "global",
            "properties": {
                "eventCategory": "Administrative",
                "eventDataId": blank::uuid(),
                "statusCode": if starts { Value::Null } else { json!(call.status) },
                "serviceRequestId": null,
            },
            "tenantId": TENANT,
        })
    }

    /// Azure does not see where its own machines call from.
    fn address(&self) -> String {
        match self.actor {
            AzureActor::Managed { .. } => String::new(),
            AzureActor::Person { .. } | AzureActor::ServicePrincipal { .. } => blank::address(),
        }
    }

    fn evidence(&self) -> Value {
        let (id, kind, role) = match &self.actor {
            AzureActor::Person { id, .. } => (id, "User", "Contributor"),
            AzureActor::ServicePrincipal { id, .. } => (id, "ServicePrincipal", "Contributor"),
            AzureActor::Managed { id, .. } => (id, "ServicePrincipal", "Reader"),
        };
        json!({
            "role": role,
            "roleAssignmentScope": format!("/subscriptions/{}", self.subscription),
            "principalId": id.replace('-', ""),
            "principalType": kind,
        })
    }

    fn claims(&self) -> Value {
        let mut claims = json!({
            "aud": "https://management.core.windows.net/",
            "iss": format!("https://sts.windows.net/{TENANT}/"),
            "uti": blank::letters(Alphabet::Mixed, 22),
            "ver": "1.0",
            "ipaddr": self.address(),
        });
        match &self.actor {
            AzureActor::Person { id, upn, portal } => {
                claims["appid"] = json!(if *portal { PORTAL } else { COMMAND_LINE });
                claims["appidacr"] = json!(if *portal { "2" } else { "0" });
                claims["idtyp"] = json!("user");
                claims["name"] = json!(upn.split('@').next());
                claims[OBJECT_ID] = json!(id);
                claims[UPN] = json!(upn);
                claims["http://schemas.microsoft.com/identity/claims/scope"] = json!("user_impersonation");
                claims["http://schemas.microsoft.com/claims/authnmethodsreferences"] = json!("pwd,mfa");
            }
            AzureActor::ServicePrincipal { id, application } => {
                claims["appid"] = json!(application);
                claims["appidacr"] = json!("1");
                claims["idtyp"] = json!("app");
                claims[OBJECT_ID] = json!(id);
            }
            AzureActor::Managed { id, machine } => {
                claims["appidacr"] = json!("2");
                claims["idtyp"] = json!("app");
                claims[OBJECT_ID] = json!(id);
                claims["xms_mirid"] = json!(format!(
                    "/subscriptions/{}/resourcegroups/{machine}/providers/Microsoft.Compute/virtualMachines/{machine}",
                    self.subscription
                ));
            }
        }
        claims
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::formats::written_by;

    #[test]
    fn a_refused_call_names_its_status_and_who_was_refused() {
        let actor = AzureActor::ServicePrincipal { id: "0a-1".to_owned(), application: "app-1".to_owned() };
        let calls =
            vec![AzureCall::new("Microsoft.Web/sites/write", "/resourceGroups/r".to_owned()).forbidden()];
        let mix = AzureUse { subscription: "s-1", actor, calls }.mix();
        let records: Vec<_> = (0..40).map(|n| written_by(&mix, n)).collect();
        let ended = records.iter().find(|r| r["resultType"] == "Failure").expect("most records are of ends");
        assert_eq!(ended["resultSignature"], "Failed.Forbidden");
        assert_eq!(ended["identity"]["claims"]["appid"], "app-1");
        assert_eq!(ended["identity"]["authorization"]["evidence"]["principalId"], "0a1");
        assert_eq!(ended["resourceId"], "/SUBSCRIPTIONS/S-1/RESOURCEGROUPS/R");
    }
}
