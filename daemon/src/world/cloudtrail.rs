//! AWS CloudTrail records (docs.aws.amazon.com, "CloudTrail record contents"): bare, in a `Records`
//! envelope, or as EventBridge delivers them.
//!
//! In: an identity, a client, an action. Out: one message. Values are invented.

use std::sync::Arc;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::dice::Dice;
use super::pattern::{HOUR, MINUTE};
use super::place::Place;

/// One API call: event source, event name, whether it reads, its request parameters.
#[derive(Debug, Clone)]
pub(super) struct Action {
    pub(super) source: &'static str,
    pub(super) name: &'static str,
    pub(super) read_only: bool,
    pub(super) parameters: Value,
}

impl Action {
    pub(super) fn new(source: &'static str, name: &'static str, read_only: bool, parameters: Value) -> Self {
        Self { source, name, read_only, parameters }
    }
}

/// How a role session came to be.
#[derive(Debug, Clone)]
pub(super) enum Delivery {
    /// By another principal or SSO, without MFA in the session.
    Assumed,
    /// A person signed in with MFA; true: the session's credentials are the console's.
    Person { console: bool },
    /// Instance metadata.
    Instance,
    /// A token of this OIDC provider: EKS service accounts, CI.
    Web(&'static str),
}

/// Who signs the call.
#[derive(Debug, Clone)]
pub(super) enum Signer {
    /// IAM user with a long-lived key.
    Key { user: String, key: String },
    /// Role session.
    Session { role: String, session: String, delivery: Delivery },
    /// An AWS service on the account's behalf.
    Service(&'static str),
}

/// One signer's use of one account.
#[derive(Debug, Clone)]
pub(super) struct AwsUse {
    pub(super) account: &'static str,
    pub(super) signer: Signer,
    pub(super) clients: Vec<&'static str>,
    pub(super) place: Place,
    pub(super) actions: Arc<Vec<Action>>,
}

impl AwsUse {
    /// The message of one call.
    pub(super) fn message(&self, at: i64, dice: &mut Dice) -> String {
        let action = dice.pick(&self.actions).clone();
        let record = self.record(&action, at, dice);
        match dice.below(20) {
            0 => json!({ "Records": [record] }).to_string(),
            1 => event_bridge(record, action.source, self.account, dice).to_string(),
            _ => record.to_string(),
        }
    }

    fn record(&self, action: &Action, at: i64, dice: &mut Dice) -> Value {
        let host = format!("{}.eu-west-1.amazonaws.com", endpoint(action));
        let mut record = json!({
            "eventVersion": "1.11",
            "userIdentity": self.identity(at, dice),
            "eventTime": seconds(at),
            "eventSource": action.source,
            "eventName": action.name,
            "awsRegion": "eu-west-1",
            "sourceIPAddress": self.place.address(at),
            "userAgent": dice.pick(&self.clients),
            "requestParameters": action.parameters,
            "responseElements": null,
            "requestID": dice.uuid(),
            "eventID": dice.uuid(),
            "readOnly": action.read_only,
            "eventType": "AwsApiCall",
            "managementEvent": true,
            "recipientAccountId": self.account,
            "eventCategory": "Management",
            "tlsDetails": { "tlsVersion": "TLSv1.3", "cipherSuite": "TLS_AES_128_GCM_SHA256", "clientProvidedHostHeader": host },
        });
        self.adjust(&mut record);
        record
    }

    /// What differs for console sessions and for AWS's own calls.
    fn adjust(&self, record: &mut Value) {
        match &self.signer {
            Signer::Session { delivery: Delivery::Person { console: true }, .. } => {
                record["sessionCredentialFromConsole"] = json!("true");
            }
            Signer::Service(name) => {
                record["sourceIPAddress"] = json!(name);
                record["userAgent"] = json!(name);
                record["tlsDetails"] = Value::Null;
            }
            Signer::Key { .. } | Signer::Session { .. } => {}
        }
    }

    fn identity(&self, at: i64, dice: &mut Dice) -> Value {
        match &self.signer {
            Signer::Key { user, key } => json!({
                "type": "IAMUser",
                "principalId": Dice::of(0, user, 0).aws_id("AIDA", 21),
                "arn": format!("arn:aws:iam::{}:user/{user}", self.account),
                "accountId": self.account,
                "accessKeyId": key,
                "userName": user,
            }),
            Signer::Session { role, session, delivery } => {
                self.session_identity(role, session, delivery, at, dice)
            }
            Signer::Service(name) => json!({ "type": "AWSService", "invokedBy": name }),
        }
    }

    fn session_identity(
        &self,
        role: &str,
        session: &str,
        delivery: &Delivery,
        at: i64,
        dice: &mut Dice,
    ) -> Value {
        let account = self.account;
        let role_id = Dice::of(0, role, 0).aws_id("AROA", 21);
        let short = role.rsplit('/').next().unwrap_or(role);
        let mfa = matches!(delivery, Delivery::Person { .. });
        let mut context = json!({
            "sessionIssuer": {
                "type": "Role",
                "principalId": role_id,
                "arn": format!("arn:aws:iam::{account}:role/{role}"),
                "accountId": account,
                "userName": short,
            },
            "attributes": {
                "creationDate": seconds(at.div_euclid(HOUR) * HOUR - 3 * MINUTE),
                "mfaAuthenticated": if mfa { "true" } else { "false" },
            },
        });
        match delivery {
            Delivery::Instance => context["ec2RoleDelivery"] = json!("2.0"),
            Delivery::Web(provider) => {
                context["webIdFederationData"] = json!({ "federatedProvider": provider, "attributes": {} });
            }
            Delivery::Assumed | Delivery::Person { .. } => {}
        }
        json!({
            "type": "AssumedRole",
            "principalId": format!("{role_id}:{session}"),
            "arn": format!("arn:aws:sts::{account}:assumed-role/{short}/{session}"),
            "accountId": account,
            "accessKeyId": dice.aws_id("ASIA", 20),
            "sessionContext": context,
        })
    }
}

/// First label of the endpoint that the client called.
fn endpoint(action: &Action) -> &str {
    match (action.source, action.name) {
        ("bedrock.amazonaws.com", "InvokeModel" | "Converse") => "bedrock-runtime",
        (source, _) => source.split('.').next().unwrap_or(source),
    }
}

fn event_bridge(record: Value, source: &str, account: &str, dice: &mut Dice) -> Value {
    json!({
        "version": "0",
        "id": dice.uuid(),
        "detail-type": "AWS API Call via CloudTrail",
        "source": format!("aws.{}", source.split('.').next().unwrap_or(source)),
        "account": account,
        "time": record["eventTime"],
        "region": "eu-west-1",
        "resources": [],
        "detail": record,
    })
}

fn seconds(at: i64) -> String {
    format!("{:.0}", Timestamp::from_microsecond(at).unwrap_or_default())
}
