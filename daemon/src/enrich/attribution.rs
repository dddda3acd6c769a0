//! Which pilot an event belongs to, which service was called instead, and what its purpose is.
//!
//! In: the fields that selectors look at, as of event time. Out: at most one pilot. The strongest precedence
//! that matches decides; two pilots in it are ambiguous, and nobody gets the event.
//!
//! At a gateway the pilot is what is called: what the caller is must not attribute the event. Elsewhere (cloud
//! audit, sign-in) the pilot is who acts.

use crate::registry::Registry;
use crate::registry::facts::Stage;
use crate::registry::selectors::{Claim, SelectorKind};

/// The kinds that name who acts.
pub(super) const IDENTITY_KINDS: [SelectorKind; 4] =
    [SelectorKind::Spiffe, SelectorKind::Role, SelectorKind::EntraApp, SelectorKind::ServiceAccount];

/// What selectors look at.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Called<'a> {
    pub principal: Option<&'a str>,
    pub consumer: Option<&'a str>,
    pub host: Option<&'a str>,
    pub route: Option<&'a str>,
    pub target: Option<&'a str>,
    pub model: Option<&'a str>,
    pub tool: Option<&'a str>,
    pub account: Option<&'a str>,
    pub namespace: Option<&'a str>,
    pub user_agent: Option<&'a str>,
}

impl Called<'_> {
    fn at_gateway(&self) -> bool {
        self.host.is_some() || self.route.is_some()
    }
}

/// What is known of the pilot of an event.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Attribution {
    /// Number in the registry.
    pub pilot: Option<usize>,
    pub stage: Option<Stage>,
    pub kind: Option<SelectorKind>,
    pub confidence: Option<f64>,
    pub excepted: bool,
    pub purpose: Option<String>,
    /// Id of the service that was called; a pilot that was called is none.
    pub service: Option<String>,
    /// For the metric: a selector kind, `none` or `ambiguous`.
    pub label: &'static str,
}

/// Selectors of several pilots claim the event equally well.
const AMBIGUOUS: &str = "ambiguous";

impl Attribution {
    /// The word for it where several pilots claim the event and nobody gets it.
    pub(super) fn ambiguous(&self) -> Option<&'static str> {
        Some(self.label).filter(|label| *label == AMBIGUOUS)
    }
}

/// Attributes what was `called` at `at`.
pub(super) fn attribute(registry: &Registry, called: &Called<'_>, at: i64) -> Attribution {
    let claims = claims(registry, called, at);
    match strongest(&claims) {
        Strongest::One(claim) => {
            let pilot = &registry.pilots()[claim.holder];
            Attribution {
                pilot: Some(claim.holder),
                stage: pilot.stage_at(at),
                kind: Some(claim.kind),
                confidence: Some(claim.confidence),
                excepted: registry.is_excepted(claim.holder, at),
                purpose: Some(pilot.purpose.clone()),
                service: None,
                label: claim.kind.name(),
            }
        }
        Strongest::None => {
            let claims = service_claims(registry, called, at);
            let (purpose, service) = (purpose(registry, &claims), service(registry, &claims));
            Attribution { purpose, service, ..unattributed("none") }
        }
        Strongest::Several => unattributed(AMBIGUOUS),
    }
}

fn unattributed(label: &'static str) -> Attribution {
    Attribution {
        pilot: None,
        stage: None,
        kind: None,
        confidence: None,
        excepted: false,
        purpose: None,
        service: None,
        label,
    }
}

/// What the claims of the strongest precedence agree on.
#[derive(Debug, PartialEq)]
pub(super) enum Strongest {
    None,
    /// The surest claim of the only holder.
    One(Claim),
    Several,
}

/// Looks at the strongest precedence only.
pub(super) fn strongest(claims: &[Claim]) -> Strongest {
    let Some(precedence) = claims.iter().map(|c| c.kind.precedence()).min() else { return Strongest::None };
    let mut best: Option<Claim> = None;
    for claim in claims.iter().filter(|c| c.kind.precedence() == precedence) {
        match best {
            Some(found) if found.holder != claim.holder => return Strongest::Several,
            Some(found) if found.confidence >= claim.confidence => {}
            Some(_) | None => best = Some(*claim),
        }
    }
    best.map_or(Strongest::None, Strongest::One)
}

fn claims(registry: &Registry, called: &Called<'_>, at: i64) -> Vec<Claim> {
    let index = registry.pilot_selectors();
    let mut claims = Vec::new();
    let mut look = |kind, value: Option<&str>| {
        if let Some(value) = value {
            index.find(kind, value, at, &mut claims);
        }
    };
    if called.at_gateway() {
        look(SelectorKind::Spiffe, called.target);
    } else {
        IDENTITY_KINDS.into_iter().for_each(|kind| look(kind, called.principal));
    }
    look(SelectorKind::ApiKey, called.consumer);
    look(SelectorKind::Consumer, called.consumer);
    look(SelectorKind::ClientId, called.consumer);
    look(SelectorKind::InferenceProfile, called.model);
    look(SelectorKind::InferenceProfile, called.target);
    look(SelectorKind::Route, called.route);
    look(SelectorKind::Host, called.host);
    look(SelectorKind::Host, called.target);
    look(SelectorKind::Tool, called.tool);
    look(SelectorKind::Account, called.account);
    look(SelectorKind::Namespace, called.namespace);
    look(SelectorKind::Header, called.user_agent);
    look(SelectorKind::Model, called.model);
    claims
}

/// What services claim of the call, in id order. What is called is looked at, never who calls.
fn service_claims(registry: &Registry, called: &Called<'_>, at: i64) -> Vec<Claim> {
    let mut claims = Vec::new();
    let index = registry.service_selectors();
    for (kind, value) in [
        (SelectorKind::Spiffe, called.target.filter(|_| called.at_gateway())),
        (SelectorKind::Route, called.route),
        (SelectorKind::Host, called.host),
        (SelectorKind::Host, called.target),
        (SelectorKind::Tool, called.tool),
    ] {
        if let Some(value) = value {
            index.find(kind, value, at, &mut claims);
        }
    }
    claims.sort_by_key(|claim| claim.holder);
    claims
}

/// The purpose of the service that was called, of the first one in id order that has one.
fn purpose(registry: &Registry, claims: &[Claim]) -> Option<String> {
    claims.iter().find_map(|claim| registry.services()[claim.holder].purpose.clone())
}

/// The service that was called; two that are called by the same name are none.
fn service(registry: &Registry, claims: &[Claim]) -> Option<String> {
    match strongest(claims) {
        Strongest::One(claim) => Some(registry.services()[claim.holder].id.clone()),
        Strongest::None | Strongest::Several => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PEOPLE: &str = "
        [[person]]
        id = 'ann'
        name = 'Ann'
        email = 'ann@example.com'
        [[team]]
        id = 'core'
        name = 'Core'
        owner = 'ann'
    ";

    /// A registry of pilots by id and the inside of their selectors.
    fn registry(pilots: &[(&str, String)]) -> Registry {
        let mut text = PEOPLE.to_owned();
        for (id, selector) in pilots {
            text += &format!(
                "[[pilot]]\nid = '{id}'\nname = '{id}'\npurpose = '{id}'\nteam = 'core'\nowner = 'ann'\n\
                 profile = 'standard'\nstages = [{{ stage = 'pilot', from = '2025-01-01T00:00:00Z' }}]\n\
                 selectors = [{{ {selector} }}]\n"
            );
        }
        Registry::from_texts(vec![("r.toml".to_owned(), text)]).unwrap_or_else(|errors| panic!("{errors}"))
    }

    fn micros(time: &str) -> i64 {
        time.parse::<jiff::Timestamp>().unwrap().as_microsecond()
    }

    /// Each word for a kind that a pilot may have, a value in a registry, the event's field, and what is sure of it.
    const KINDS: [(&str, &str, &str, &str, f64); 17] = [
        ("spiffe", "spiffe://prod/ns/a/sa/*", "principal", "spiffe://prod/ns/a/sa/b", 0.99),
        ("role", "arn:aws:iam::1:role/a", "principal", "arn:aws:iam::1:role/a", 0.99),
        ("entra_app", "6C1F2D5E-00C0", "principal", "6c1f2d5e-00c0", 0.99),
        ("service_account", "system:serviceaccount:a:b", "principal", "system:serviceaccount:a:b", 0.99),
        ("api_key", "k-1", "consumer", "k-1", 0.95),
        ("consumer", "web", "consumer", "web", 0.95),
        ("client_id", "App-1", "consumer", "app-1", 0.95),
        ("inference_profile", "arn:profile/a*", "model", "arn:profile/a-1", 0.9),
        ("route", "/v1/a", "route", "/v1/a", 0.85),
        ("host", "A.example", "host", "a.EXAMPLE", 0.8),
        ("tool", "tickets.*", "tool", "tickets.close", 0.8),
        ("account", "111122223333", "account", "111122223333", 0.5),
        ("project", "larkfield-ai", "account", "larkfield-ai", 0.5),
        ("subscription", "0A1B-2C", "account", "0a1b-2c", 0.5),
        ("namespace", "ai-*", "namespace", "ai-pilots", 0.5),
        ("header", "user-agent: a-bot/*", "user_agent", "a-bot/2", 0.5),
        ("model", "a-7b", "model", "a-7b", 0.3),
    ];

    fn called<'a>(fields: &[(&str, &'a str)]) -> Called<'a> {
        let of = |name: &str| fields.iter().find(|(field, _)| *field == name).map(|(_, value)| *value);
        Called {
            principal: of("principal"),
            consumer: of("consumer"),
            host: of("host"),
            route: of("route"),
            target: of("target"),
            model: of("model"),
            tool: of("tool"),
            account: of("account"),
            namespace: of("namespace"),
            user_agent: of("user_agent"),
        }
    }

    #[test]
    fn each_kind_attributes_with_its_confidence_and_within_its_time() {
        let pilot_kinds = SelectorKind::WORDS.iter().filter(|(_, kind)| *kind != SelectorKind::Ip);
        assert!(pilot_kinds.map(|(word, _)| *word).eq(KINDS.map(|(word, ..)| word)), "every word is tried");
        for (word, value, field, found, sure) in KINDS {
            let kind = SelectorKind::WORDS.iter().find(|(w, _)| *w == word).unwrap().1;
            let span = "from = '2026-01-01T00:00:00Z', to = '2026-02-01T00:00:00Z'";
            let plain = registry(&[("a", format!("kind = '{word}', value = '{value}', {span}"))]);
            let graded = registry(&[("a", format!("kind = '{word}', value = '{value}', confidence = 0.75"))]);
            let event = called(&[(field, found)]);
            for (time, expected) in [
                ("2025-12-31T23:59:59.999999Z", None),
                ("2026-01-01T00:00:00Z", Some(sure)),
                ("2026-01-31T23:59:59.999999Z", Some(sure)),
                ("2026-02-01T00:00:00Z", None),
            ] {
                let attribution = attribute(&plain, &event, micros(time));
                assert_eq!(attribution.confidence, expected, "{word} at {time}");
                assert_eq!(attribution.kind, expected.map(|_| kind), "{word} at {time}");
            }
            assert_eq!(attribute(&graded, &event, 0).confidence, Some(0.75), "{word}");
            let other = format!("{found}-and-more");
            let differs = attribute(&graded, &called(&[(field, &other)]), 0).pilot.is_none();
            assert_eq!(differs, !value.ends_with('*'), "{word}: exact values are exact, others are starts");
        }
    }

    #[test]
    fn stronger_kind_decides_and_equals_decide_nothing() {
        for (i, (strong, strong_value, strong_field, strong_found, _)) in KINDS.into_iter().enumerate() {
            for (weak, weak_value, weak_field, weak_found, _) in KINDS.into_iter().skip(i + 1) {
                let gateway = |field: &str| field == "host" || field == "route";
                let acts = |field: &str| field == "principal";
                if strong_field == weak_field || acts(strong_field) && gateway(weak_field) {
                    continue;
                }
                let registry = registry(&[
                    ("a", format!("kind = '{strong}', value = '{strong_value}'")),
                    ("b", format!("kind = '{weak}', value = '{weak_value}'")),
                ]);
                let event = called(&[(strong_field, strong_found), (weak_field, weak_found)]);
                let of = |word| SelectorKind::WORDS.iter().find(|(w, _)| *w == word).unwrap().1.precedence();
                let expected = if of(strong) == of(weak) { "ambiguous" } else { strong };
                let found = attribute(&registry, &event, 0);
                let label =
                    if ["project", "subscription"].contains(&expected) { "account" } else { expected };
                assert_eq!(found.label, label, "{strong} against {weak}");
                assert_eq!(found.pilot, (expected != "ambiguous").then_some(0), "{strong} against {weak}");
            }
        }
    }

    #[test]
    fn at_a_gateway_the_one_who_acts_attributes_nothing() {
        for (word, value, field, found, _) in KINDS.into_iter().filter(|kind| kind.2 == "principal") {
            let registry = registry(&[("a", format!("kind = '{word}', value = '{value}'"))]);
            let at_gateway = called(&[(field, found), ("host", "shared.example")]);
            assert_eq!(attribute(&registry, &at_gateway, 0).pilot, None, "{word}");
            let called_workload = called(&[("target", found), ("host", "shared.example")]);
            let attributed = attribute(&registry, &called_workload, 0).pilot.is_some();
            assert_eq!(attributed, word == "spiffe", "{word}: only a mesh names the workload that is called");
        }
    }

    #[test]
    fn tool_of_a_service_tells_its_purpose() {
        let service = "[[service]]\nid = 'desk'\nteam = 'core'\nproduction = true\npurpose = 'tickets'\n\
            selectors = [{ kind = 'tool', value = 'tickets.*' }]\n";
        let texts = vec![("r.toml".to_owned(), format!("{PEOPLE}{service}"))];
        let registry = Registry::from_texts(texts).unwrap_or_else(|errors| panic!("{errors}"));
        let purpose = |tool| attribute(&registry, &called(&[("tool", tool)]), 0).purpose;
        assert_eq!(purpose("tickets.close"), Some("tickets".to_owned()));
        assert_eq!(purpose("calendar.read"), None);
    }
}
