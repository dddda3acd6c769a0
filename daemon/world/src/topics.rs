//! The topics: one a format, as an organisation that has grown for years would have them.
//!
//! In: a format. Out: the topic's name, its format's name in the daemon's config, and how late its events arrive.

use std::ops::Range;

use super::pattern::{MINUTE, SECOND};

/// One topic; the order is that of the names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub(crate) enum Topic {
    AiGateway,
    Apigee,
    Apim,
    Apisix,
    Approvals,
    Auth0,
    AwsGateway,
    Azure,
    Badges,
    Bedrock,
    CloudflareAi,
    CloudTrail,
    Entra,
    Exports,
    Gateway,
    Gcp,
    Keycloak,
    Kong,
    Kubernetes,
    LiteLlm,
    Nginx,
    Ocsf,
    Okta,
    Traefik,
    Vault,
    Workspace,
}

/// Name of the topic, its format in the daemon's config.
const NAMES: [(&str, &str); 26] = [
    ("ai-gateway", "envoy"),
    ("apigee", "apigee"),
    ("apim", "azure_apim"),
    ("apisix", "apisix"),
    ("approvals", "approvals"),
    ("auth0", "auth0"),
    ("aws-gateway", "aws_api_gateway"),
    ("azure", "azure_activity"),
    ("badges", "badges"),
    ("bedrock", "bedrock_invocation"),
    ("cloudflare-ai", "cloudflare_ai_gateway"),
    ("cloudtrail", "cloudtrail"),
    ("entra", "entra_signin"),
    ("exports", "exports"),
    ("gateway", "envoy"),
    ("gcp", "gcp_audit"),
    ("keycloak", "keycloak"),
    ("kong", "kong"),
    ("kubernetes", "kubernetes_audit"),
    ("litellm", "litellm"),
    ("nginx", "nginx"),
    ("ocsf", "ocsf"),
    ("okta", "okta"),
    ("traefik", "traefik"),
    ("vault", "vault_audit"),
    ("workspace", "google_workspace"),
];

/// Every topic, in name order.
pub const TOPICS: [&str; 26] = {
    let mut names = [""; 26];
    let mut index = 0;
    while index < 26 {
        names[index] = NAMES[index].0;
        index += 1;
    }
    names
};

impl Topic {
    pub(crate) fn name(self) -> &'static str {
        NAMES[self as usize].0
    }

    /// Delivered at least once, so sometimes twice.
    pub(crate) fn is_audit(self) -> bool {
        !matches!(
            self,
            Self::AiGateway
                | Self::Apigee
                | Self::Apim
                | Self::Apisix
                | Self::Approvals
                | Self::AwsGateway
                | Self::Badges
                | Self::CloudflareAi
                | Self::Exports
                | Self::Gateway
                | Self::Kong
                | Self::LiteLlm
                | Self::Nginx
                | Self::Traefik
        )
    }

    /// From when to when after an event its provider delivers it, microseconds.
    pub(crate) fn delay(self) -> Range<i64> {
        match self {
            Self::CloudTrail | Self::Bedrock | Self::Azure => MINUTE..7 * MINUTE,
            Self::Gcp => 5 * SECOND..90 * SECOND,
            Self::Entra | Self::Workspace => 90 * SECOND..270 * SECOND,
            Self::Okta | Self::Auth0 | Self::Keycloak => 2 * SECOND..60 * SECOND,
            Self::Ocsf => MINUTE..4 * MINUTE,
            _ => 0..5 * SECOND,
        }
    }
}

/// `[[source]]` of every topic, for the daemon's config.
pub(crate) fn sources() -> String {
    NAMES.iter().map(|(topic, format)| source(topic, format)).collect()
}

/// Okta's records do not say whose they are; the others do, or need not. Approvals, doors and nightly exports come in
/// layouts of their own.
fn source(topic: &str, format: &str) -> String {
    let account = match topic {
        "okta" => "account = \"halden.okta.example\"\n",
        _ => "",
    };
    let layout = match topic {
        "approvals" => {
            "\n[layout.approvals]\nprincipal_kind = \"human\"\n[layout.approvals.fields]\nevent_time = \"at\"\n\
             event_id = \"id\"\naction = \"event\"\nprincipal = \"approver\"\nconsumer = \"requester\"\ntool = \
             \"tool\"\nsuccess = \"granted\"\n"
        }
        "badges" => {
            "\n[layout.badges]\nprincipal_kind = \"human\"\n[layout.badges.fields]\nevent_time = \"at\"\n\
             event_id = \"id\"\naction = \"event\"\nprincipal = \"holder\"\ntarget = \"door\"\nsuccess = \
             \"opened\"\n"
        }
        "exports" => {
            "\n[layout.exports]\nprincipal_kind = \"workload\"\n[layout.exports.fields]\nevent_time = \
             \"written_at\"\nevent_id = \"id\"\naction = \"step\"\nprincipal = \"job\"\ntarget = \"file\"\n\
             success = \"complete\"\n"
        }
        _ => "",
    };
    format!("[[source]]\ntopic = \"{topic}\"\nformat = \"{format}\"\n{account}{layout}\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn topics_stand_in_the_order_of_their_names() {
        assert!(TOPICS.is_sorted());
        assert_eq!(Topic::Workspace as usize + 1, TOPICS.len());
        assert_eq!((Topic::Gateway.name(), Topic::Okta.name()), ("gateway", "okta"));
    }
}
