//! What is asked for and what people decide, as the company's own approval step writes it; the daemon's config describes
//! the layout (`topics.rs`). One message a request, one a decision.

use serde_json::json;

use crate::template::{Form, Mix, blank};

/// How far a request has come.
#[derive(Debug, Clone)]
pub(crate) enum ApprovalStep {
    /// Nobody has decided yet.
    Asked,
    /// The person with this email allows it.
    Granted(String),
    /// The person with this email does not.
    Refused(String),
}

/// One requester's requests, and what becomes of them.
#[derive(Debug, Clone)]
pub(crate) struct ApprovalUse {
    /// Key or client of who asks: a pilot's, by what its selectors name; else a service.
    pub(crate) requester: String,
    /// What it asks to do; none: anything.
    pub(crate) tool: Option<String>,
    pub(crate) step: ApprovalStep,
}

impl ApprovalUse {
    /// The records of these steps.
    pub(crate) fn mix(&self) -> Mix {
        let (event, decision) = match &self.step {
            ApprovalStep::Asked => ("approval.requested", None),
            ApprovalStep::Granted(by) => ("approval.granted", Some((by, true))),
            ApprovalStep::Refused(by) => ("approval.refused", Some((by, false))),
        };
        let mut record = json!({
            "at": blank::time(Form::Millis),
            "id": blank::uuid(),
            "event": event,
            "requester": self.requester,
            "ticket": format!("CHG-{}", blank::number(10_000, 99_999)),
        });
        if let Some((by, granted)) = decision {
            record["approver"] = json!(by);
            record["granted"] = json!(granted);
        }
        if let Some(tool) = &self.tool {
            record["tool"] = json!(tool);
        }
        Mix::of(&record)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::formats::written;

    fn record(tool: Option<&str>, step: ApprovalStep) -> serde_json::Value {
        let act = ApprovalUse { requester: "desk".to_owned(), tool: tool.map(str::to_owned), step };
        written(&act.mix())
    }

    #[test]
    fn a_decision_says_whose_it_is_and_for_what() {
        let granted = record(None, ApprovalStep::Granted("ada@halden.example".to_owned()));
        assert_eq!((&granted["event"], &granted["granted"]), (&json!("approval.granted"), &json!(true)));
        assert_eq!(granted["approver"], "ada@halden.example");
        assert!(granted.get("tool").is_none());
        let refused = record(Some("mail:send"), ApprovalStep::Refused("ada@halden.example".to_owned()));
        assert_eq!((&refused["event"], &refused["granted"]), (&json!("approval.refused"), &json!(false)));
        assert_eq!(refused["tool"], "mail:send");
    }

    #[test]
    fn a_request_is_nobodys_decision() {
        let asked = record(Some("mail:send"), ApprovalStep::Asked);
        assert_eq!(asked["event"], "approval.requested");
        assert!(asked.get("approver").is_none() && asked.get("granted").is_none());
    }
}
