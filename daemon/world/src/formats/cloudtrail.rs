//! AWS CloudTrail records (docs.aws.amazon.com, "CloudTrail record contents"): bare, in a `Records`
//! envelope, or as EventBridge delivers them.

use serde_json::{Value, json};

use crate::dice::Dice;
use crate::template::{Alphabet, Form, Mix, blank};

/// One API call: event source, event name, whether it reads, its request parameters, its error.
#[derive(Debug, Clone)]
pub(crate) struct Action {
    pub(crate) source: &'static str,
    pub(crate) name: &'static str,
    pub(crate) read_only: bool,
    pub(crate) parameters: Value,
    pub(crate) error: Option<&'static str>,
}

impl Action {
    pub(crate) fn new(source: &'static str, name: &'static str, read_only: bool, parameters: Value) -> Self {
        Self { source, name, read_only, parameters, error: None }
    }

    /// The same call, refused so.
    pub(crate) fn refused(self, error: &'static str) -> Self {
        Self { error: Some(error), ..self }
    }
}

/// How a role session came to be.
#[derive(Debug, Clone)]
pub(crate) enum Delivery {
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
pub(crate) enum Signer {
    /// IAM user with a long-lived key.
    Key { user: String, key: String },
    /// Role session.
    Session { role: String, session: String, delivery: Delivery },
    /// IAM user that AWS made for a Bedrock API key, which is sent as it is.
    Bearer { user: String },
    /// An AWS service on the account's behalf.
    Service(&'static str),
}

/// One signer's use of one account.
#[derive(Debug, Clone)]
pub(crate) struct AwsUse {
    pub(crate) account: &'static str,
    pub(crate) signer: Signer,
    /// User agents, each as likely.
    pub(crate) clients: Vec<&'static str>,
    /// Each as likely.
    pub(crate) actions: Vec<Action>,
}

impl AwsUse {
    /// The records of these calls.
    pub(crate) fn mix(&self) -> Mix {
        let mut mix = Mix::default();
        for action in &self.actions {
            mix = mix.and(18, &self.record(action));
        }
        let first = self.actions.first().expect("a use has actions");
        let record = self.record(first);
        mix.and(1, &json!({ "Records": [record] })).and(1, &event_bridge(&record, first.source, self.account))
    }

    fn record(&self, action: &Action) -> Value {
        let (address, client) = match &self.signer {
            Signer::Service(name) => (json!(name), json!(name)),
            Signer::Key { .. } | Signer::Session { .. } | Signer::Bearer { .. } => {
                (json!(blank::address()), json!(blank::one_of(&self.clients)))
            }
        };
        let mut record = json!({
            "eventVersion": "1.11",
            "userIdentity": self.identity(),
            "eventTime": blank::time(Form::Seconds),
            "eventSource": action.source,
            "eventName": action.name,
            "awsRegion": "eu-west-1",
            "sourceIPAddress": address,
            "userAgent": client,
            "requestParameters": action.parameters,
            "responseElements": null,
            "requestID": blank::uuid(),
            "eventID": blank::uuid(),
            "readOnly": action.read_only,
            "eventType": "AwsApiCall",
            "managementEvent": true,
            "recipientAccountId": self.account,
            "eventCategory": "Management",
            "tlsDetails": {
                "tlsVersion": "TLSv1.3",
                "cipherSuite": "TLS_AES_128_GCM_SHA256",
                "clientProvidedHostHeader": format!("{}.eu-west-1.amazonaws.com", endpoint(action)),
            },
        });
        if let Some(error) = action.error {
            record["errorCode"] = json!(error);
            record["errorMessage"] = json!("The request was refused.");
        }
        if is_of_data(action) {
            record["managementEvent"] = json!(false);
            record["eventCategory"] = json!("Data");
        }
        match &self.signer {
            Signer::Session { delivery: Delivery::Person { console: true }, .. } => {
                record["sessionCredentialFromConsole"] = json!("true");
            }
            Signer::Service(_) => record["tlsDetails"] = Value::Null,
            Signer::Bearer { .. } => record["additionalEventData"] = json!({ "callWithBearerToken": true }),
            Signer::Key { .. } | Signer::Session { .. } => {}
        }
        record
    }

    fn identity(&self) -> Value {
        match &self.signer {
            Signer::Key { user, key } => {
                let mut identity = self.user_identity(user);
                identity["accessKeyId"] = json!(key);
                identity
            }
            Signer::Bearer { user } => self.user_identity(user),
            Signer::Session { role, session, delivery } => self.session_identity(role, session, delivery),
            Signer::Service(name) => json!({ "type": "AWSService", "invokedBy": name }),
        }
    }

    fn user_identity(&self, user: &str) -> Value {
        json!({
            "type": "IAMUser",
            "principalId": Dice::of(0, user, 0).id("AIDA", Alphabet::Upper, 21),
            "arn": format!("arn:aws:iam::{}:user/{user}", self.account),
            "accountId": self.account,
            "userName": user,
        })
    }

    fn session_identity(&self, role: &str, session: &str, delivery: &Delivery) -> Value {
        let account = self.account;
        let role_id = Dice::of(0, role, 0).id("AROA", Alphabet::Upper, 21);
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
                "creationDate": blank::hour_start(Form::Seconds, 180),
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
            "accessKeyId": format!("ASIA{}", blank::periodic(&format!("{role} {session}"), 1, Alphabet::Upper, 16)),
            "sessionContext": context,
        })
    }
}

/// What is done to objects and rows is logged as data events.
fn is_of_data(action: &Action) -> bool {
    matches!(
        (action.source, action.name),
        ("s3.amazonaws.com", "GetObject" | "PutObject" | "ListObjects")
            | ("dynamodb.amazonaws.com", "GetItem" | "Query" | "Scan")
    )
}

/// First label of the endpoint that the client called.
fn endpoint(action: &Action) -> &str {
    match (action.source, action.name) {
        ("bedrock.amazonaws.com", "InvokeModel" | "Converse") => "bedrock-runtime",
        (source, _) => source.split('.').next().unwrap_or(source),
    }
}

fn event_bridge(record: &Value, source: &str, account: &str) -> Value {
    json!({
        "version": "0",
        "id": blank::uuid(),
        "detail-type": "AWS API Call via CloudTrail",
        "source": format!("aws.{}", source.split('.').next().unwrap_or(source)),
        "account": account,
        "time": blank::time(Form::Seconds),
        "region": "eu-west-1",
        "resources": [],
        "detail": record,
    })
}
