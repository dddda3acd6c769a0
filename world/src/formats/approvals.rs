//! What people approve, as the company's own approval step writes it; the daemon's config describes the layout
//! (`topics.rs`). One message a decision.

use serde_json::json;

use crate::template::{Form, Mix, blank};

/// One person's decisions on one requester's requests.
#[derive(Debug, Clone)]
pub(crate) struct ApprovalUse {
    /// Email of who decides.
    pub(crate) approver: String,
    /// Key or client of who asks: a pilot's, by what its selectors name; else a service.
    pub(crate) requester: String,
    /// What it asks to do; none: anything.
    pub(crate) tool: Option<String>,
    pub(crate) granted: bool,
}

impl ApprovalUse {
    /// The records of these decisions.
    pub(crate) fn mix(&self) -> Mix {
        let mut decision = json!({
            "at": blank::time(Form::Millis),
            "id": blank::uuid(),
            "event": if self.granted { "approval.granted" } else { "approval.refused" },
            "approver": self.approver,
            "requester": self.requester,
            "granted": self.granted,
            "ticket": format!("CHG-{}", blank::number(10_000, 99_999)),
        });
        if let Some(tool) = &self.tool {
            decision["tool"] = json!(tool);
        }
        Mix::of(&decision)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::formats::written;

    #[test]
    fn a_decision_says_whether_and_for_what() {
        let mut act = ApprovalUse {
            approver: "ada@halden.example".to_owned(),
            requester: "desk".to_owned(),
            tool: None,
            granted: true,
        };
        let granted = written(&act.mix());
        assert_eq!((&granted["event"], &granted["granted"]), (&json!("approval.granted"), &json!(true)));
        assert!(granted.get("tool").is_none());
        act = ApprovalUse { tool: Some("mail:send".to_owned()), granted: false, ..act };
        let refused = written(&act.mix());
        assert_eq!((&refused["event"], &refused["tool"]), (&json!("approval.refused"), &json!("mail:send")));
    }
}
