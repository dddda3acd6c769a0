//! Amazon Bedrock's model invocation log (docs.aws.amazon.com, "Monitor model invocation using CloudWatch Logs and
//! Amazon S3"), with bodies left out. It has no key, address or client.

use serde_json::{Value, json};

use crate::template::{Form, Mix, blank};

/// Who calls.
#[derive(Debug, Clone)]
pub(crate) enum BedrockCaller {
    /// A role session.
    Session { role: String, session: String },
    /// An IAM user.
    User(String),
}

/// One caller's calls of models.
#[derive(Debug, Clone)]
pub(crate) struct BedrockUse {
    pub(crate) account: &'static str,
    pub(crate) caller: BedrockCaller,
    /// Ids of models or ARNs of inference profiles, each as likely.
    pub(crate) models: Vec<String>,
    /// The error's name, of calls that no model answers.
    pub(crate) error: Option<&'static str>,
}

/// ARN of a role, as the registry names it.
pub(crate) fn role_arn(account: &str, role: &str) -> String {
    format!("arn:aws:iam::{account}:role/{role}")
}

impl BedrockUse {
    /// The records of these calls.
    pub(crate) fn mix(&self) -> Mix {
        let mut mix = Mix::default();
        for model in &self.models {
            for operation in ["InvokeModel", "Converse"] {
                mix = mix.and(1, &self.record(operation, model));
            }
        }
        mix
    }

    fn arn(&self) -> String {
        let account = self.account;
        match &self.caller {
            BedrockCaller::Session { role, session } => {
                format!("arn:aws:sts::{account}:assumed-role/{role}/{session}")
            }
            BedrockCaller::User(user) => format!("arn:aws:iam::{account}:user/{user}"),
        }
    }

    fn record(&self, operation: &str, model: &str) -> Value {
        let mut record = json!({
            "schemaType": "ModelInvocationLog",
            "schemaVersion": "1.0",
            "timestamp": blank::time(Form::Seconds),
            "accountId": self.account,
            "identity": { "arn": self.arn() },
            "region": "eu-west-1",
            "requestId": blank::uuid(),
            "operation": operation,
            "modelId": model,
            "input": { "inputContentType": "application/json", "inputTokenCount": blank::integer(80, 4_000) },
        });
        match self.error {
            Some(error) => record["errorCode"] = json!(error),
            None => {
                record["output"] = json!({
                    "outputContentType": "application/json",
                    "outputTokenCount": blank::integer(10, 1_200),
                });
            }
        }
        record
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::formats::written;

    #[test]
    fn tokens_are_numbers_and_a_refused_call_has_no_answer() {
        let caller = BedrockCaller::User("desk".to_owned());
        let mut act = BedrockUse { account: "1", caller, models: vec!["m-1".to_owned()], error: None };
        let answered = written(&act.mix());
        assert!(answered["output"]["outputTokenCount"].is_i64());
        assert_eq!(answered["identity"]["arn"], "arn:aws:iam::1:user/desk");
        act.error = Some("ThrottlingException");
        let throttled = written(&act.mix());
        assert!(throttled.get("output").is_none());
        assert_eq!(throttled["errorCode"], "ThrottlingException");
    }

    #[test]
    fn a_session_is_the_one_that_its_role_names() {
        let caller = BedrockCaller::Session { role: "r-1".to_owned(), session: "s-1".to_owned() };
        let act = BedrockUse { account: "1", caller, models: vec!["m-1".to_owned()], error: None };
        assert_eq!(written(&act.mix())["identity"]["arn"], "arn:aws:sts::1:assumed-role/r-1/s-1");
        assert_eq!(role_arn("1", "r-1"), "arn:aws:iam::1:role/r-1");
    }
}
