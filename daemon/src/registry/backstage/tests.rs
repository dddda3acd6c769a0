//! What catalog files become, and what is said of those with a mistake.

use std::path::Path;

use super::CatalogCounts;
use crate::findings::Severity;
use crate::registry::facts::{Pilot, Profile, Stage};
use crate::registry::scope::ScopeEntry;
use crate::registry::selectors::{SelectorKind, SelectorValue};
use crate::registry::{Registry, RegistryErrors};

const PEOPLE: &str = r#"
[[person]]
id = "ann"
name = "Ann"
email = "ann@a.example"
[[person]]
id = "bob"
name = "Bob"
email = "bob@a.example"
[[group]]
id = "approvers"
members = ["ann"]
[[team]]
id = "team-a"
name = "Team A"
owner = "ann"
members = ["ann"]
"#;

const PILOT: &str = r#"apiVersion: backstage.io/v1alpha1
kind: Component
metadata:
  name: p
  annotations:
    shadowprod.io/pilot: "true"
    shadowprod.io/since: "2026-01-01T00:00:00Z"
    shadowprod.io/profile: standard
spec:
  lifecycle: experimental
  owner: team-a
"#;

fn load(text: &str) -> Result<Registry, RegistryErrors> {
    Registry::from_texts(vec![
        ("a/people.toml".to_owned(), PEOPLE.to_owned()),
        ("b/catalog-info.yaml".to_owned(), text.to_owned()),
    ])
}

/// PILOT with one more annotation, on line 9.
fn with(annotation: &str) -> String {
    PILOT.replace("spec:\n", &format!("    shadowprod.io/{annotation}\nspec:\n"))
}

/// `text` has exactly one mistake: on `line`, with these words in message and fix.
fn check(text: &str, line: usize, message: &str, fix: &str) {
    let errors = load(text).expect_err(text).errors;
    assert_eq!(errors.len(), 1, "{text}\n{errors:#?}");
    let error = &errors[0];
    assert_eq!((error.file.as_str(), error.line), ("b/catalog-info.yaml", line), "{text}\n{error}");
    assert!(error.message.contains(message), "{text}\n{error}");
    assert!(error.fix.contains(fix), "{text}\n{error}");
}

fn micros(time: &str) -> i64 {
    time.parse::<jiff::Timestamp>().unwrap().as_microsecond()
}

fn selectors(pilot: &Pilot) -> Vec<(SelectorKind, String, f64, i64)> {
    let value = |value: &SelectorValue| match value {
        SelectorValue::Text(pattern) => pattern.text().to_owned(),
        SelectorValue::Network(network) => network.to_string(),
    };
    pilot.selectors.iter().map(|s| (s.kind, value(&s.value), s.confidence, s.validity.from)).collect()
}

#[test]
fn catalog_file_becomes_pilots_teams_and_people() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures/backstage");
    let registry = Registry::load(&folder).unwrap_or_else(|errors| panic!("{errors}"));
    assert_eq!(registry.warnings(), []);
    assert_eq!(registry.catalog(), CatalogCounts { entities: 8, skipped: 3 });
    assert_eq!(registry.people().collect::<Vec<_>>(), ["claims", "jonas.brandt", "mira.holm", "nadia.okoye"]);
    assert_eq!(registry.teams_of("Jonas.Brandt@larkfield.example", 0), Some(&["claims".to_owned()][..]));

    let [summary, triage] = registry.pilots() else { panic!("{:?}", registry.pilots()) };
    assert_eq!((&*summary.id, &*summary.name), ("claims-summary", "claims-summary-service"));
    assert_eq!((&*summary.team, &*summary.owner), ("claims", "jonas.brandt"));
    assert_eq!((&*summary.purpose, summary.profile), ("claims-summary", Profile::Standard));
    let since = micros("2025-11-03T00:00:00Z");
    assert_eq!(selectors(summary), [(SelectorKind::Header, "claims-summary/".to_owned(), 0.5, since)]);
    assert_eq!(summary.stage_at(since), Some(Stage::Pilot));
    assert_eq!(summary.stage_at(since - 1), None);

    assert_eq!(
        (&*triage.id, &*triage.name, &*triage.purpose),
        ("claims-triage", "Claims triage", "triage-claims")
    );
    assert_eq!((&*triage.team, &*triage.owner), ("claims", "claims"));
    assert_eq!(triage.control_owner.as_deref(), Some("nadia.okoye"));
    assert_eq!(triage.profile, Profile::Regulated);
    assert_eq!(triage.environments, ["staging", "production"]);
    let texts = |scope: &[ScopeEntry]| scope.iter().map(|e| e.text.clone()).collect::<Vec<_>>();
    assert_eq!(texts(&triage.data_scope), ["s3://larkfield-claims-intake"]);
    assert_eq!(texts(&triage.tool_scope), ["claims:read", "claims:label"]);
    assert_eq!((triage.sensitive_data, triage.write_tools, triage.external_users), (true, false, false));
    let since = micros("2025-10-06T00:00:00Z");
    let expected = [
        (SelectorKind::Spiffe, "spiffe://prod.larkfield.example/ns/claims/sa/triage", 0.99),
        (SelectorKind::Host, "claims-triage.internal.larkfield.example", 0.8),
        (SelectorKind::Host, "triage.larkfield.example", 0.8),
        (SelectorKind::Account, "012345678901", 0.5),
    ];
    assert_eq!(selectors(triage), expected.map(|(kind, value, sure)| (kind, value.to_owned(), sure, since)));
    assert_eq!(triage.stage_at(micros("2026-01-19T05:59:59Z")), Some(Stage::Pilot));
    assert_eq!(triage.stage_at(micros("2026-01-19T06:00:00Z")), Some(Stage::Production));
    let owner = registry.owner("pilot_owner", Some("claims-triage"), None, Severity::High);
    assert_eq!((&*owner.person, &*owner.contact), ("claims", "claims@larkfield.example"));
}

#[test]
fn claim_to_production_counts_only_with_a_promotion() {
    let promotion = "[[promotion]]\npilot = \"p\"\nrequested_by = \"ann\"\ndecided_by = \"bob\"\ndecided_at = \"2026-02-01T00:00:00Z\"\noutcome = \"approved\"\ncriteria = [\"data_scope\", \"logging\", \"human_oversight\", \"rollback\", \"secrets_handling\"]\n";
    for (lifecycle, decision, after) in [
        ("production", "", Stage::Pilot),
        ("production", promotion, Stage::Production),
        ("deprecated", "", Stage::Pilot),
        ("deprecated", promotion, Stage::Production),
        ("experimental", promotion, Stage::Pilot),
    ] {
        let text = with("revoked-since: 2026-03-01T00:00:00Z").replace("experimental", lifecycle);
        let registry = Registry::from_texts(vec![
            ("people.toml".to_owned(), format!("{PEOPLE}{decision}")),
            ("catalog-info.yml".to_owned(), text),
        ]);
        let registry = registry.unwrap_or_else(|errors| panic!("{errors}"));
        for (time, expected) in [
            ("2025-12-31T23:59:59Z", None),
            ("2026-01-01T00:00:00Z", Some(Stage::Pilot)),
            ("2026-02-01T00:00:00Z", Some(after)),
            ("2026-03-01T00:00:00Z", Some(Stage::Revoked)),
        ] {
            assert_eq!(
                registry.pilots()[0].stage_at(micros(time)),
                expected,
                "{lifecycle} {time} {decision}"
            );
        }
        let claims = lifecycle != "experimental";
        assert_eq!(registry.warnings().len(), usize::from(claims), "{lifecycle} {decision}");
    }
}

#[test]
fn every_selector_kind_of_a_pilot_has_its_annotation() {
    for (word, kind) in SelectorKind::WORDS.iter().filter(|(_, kind)| *kind != SelectorKind::Ip) {
        let value = if *kind == SelectorKind::Header { "\"user-agent: a/*\"" } else { "a, b*" };
        let registry = load(&with(&format!("selector.{word}: {value}"))).unwrap();
        let found = &registry.pilots()[0].selectors;
        assert!(found.iter().all(|s| s.kind == *kind && s.confidence == kind.default_confidence()), "{word}");
        assert_eq!(found.len(), if *kind == SelectorKind::Header { 1 } else { 2 }, "{word}");
    }
}

#[test]
fn mistake_in_an_annotation_names_line_finding_and_fix() {
    for (text, line, message, fix) in [
        (with("sicne: x"), 9, "unknown annotation `shadowprod.io/sicne`", "did you mean `since`?"),
        (with("selector.hots: x"), 9, "unknown annotation", "did you mean `selector.host`?"),
        (with("selector.ip: 10.0.0.0/8"), 9, "unknown annotation", "selector."),
        (with("selector.host: [a, b]"), 9, "is a list, expected a text", "in quotes"),
        (with("selector.host: a,,b"), 9, "nothing before or after a comma", "`one, another`"),
        (with("selector.host: a*b"), 9, "`value` is `a*b`", "at the end only"),
        (with("selector.header: curl/*"), 9, "header selector is `curl/*`", "user-agent"),
        (with("write-tools: yes"), 9, "is `yes`, expected true or false", "\"true\""),
        (with("write-tools: on"), 9, "is `on`, expected true or false", "\"true\""),
        (with("production-since: \"2026-02-01T00:00:00Z\""), 9, "beside lifecycle `experimental`", "correct"),
        (with("revoked-since: \"2026-01-01T00:00:00Z\""), 9, "is not after", "later"),
        (with("team: team-b"), 9, "unknown team `team-b`", "did you mean `team-a`?"),
        (with("data-owner: user:zoe"), 9, "unknown user `user:zoe`", "[[person]]"),
        (with("since: x"), 9, "comes twice, expected once: line 7", "remove one"),
    ] {
        check(&text, line, message, fix);
    }
}

#[test]
fn mistake_in_the_annotations_that_a_pilot_needs_names_line_finding_and_fix() {
    for (text, line, message, fix) in [
        (PILOT.replace("\"true\"", "yes"), 6, "`yes`, which is no boolean in YAML 1.2", "\"true\""),
        (PILOT.replace("\"true\"", "a b"), 6, "without blanks", "letters"),
        (
            PILOT.replace("\"2026-01-01T00:00:00Z\"", "2026-01-01"),
            7,
            "expected a time with an offset",
            "T00:00:00Z",
        ),
        (
            PILOT.replace("    shadowprod.io/since: \"2026-01-01T00:00:00Z\"\n", ""),
            4,
            "lacks the annotation `shadowprod.io/since`",
            "2026-01-05",
        ),
        (
            PILOT.replace("    shadowprod.io/profile: standard\n", ""),
            4,
            "lacks the annotation `shadowprod.io/profile`",
            "regulated",
        ),
        (
            PILOT.replace("    shadowprod.io/pilot: \"true\"\n", ""),
            6,
            "on an entity that is no pilot",
            "shadowprod.io/pilot",
        ),
        (
            PILOT.replace("profile: standard", "profile: standrad"),
            8,
            "unknown profile `standrad`",
            "did you mean `standard`?",
        ),
    ] {
        check(&text, line, message, fix);
    }
}

#[test]
fn mistake_in_an_entity_names_line_finding_and_fix() {
    for (text, line, message, fix) in [
        (
            PILOT.replace("experimental", "beta"),
            10,
            "`beta`, expected one of experimental, production, deprecated",
            "use one of",
        ),
        (
            PILOT.replace("experimental", "Production"),
            10,
            "`Production`, expected",
            "did you mean `production`?",
        ),
        (PILOT.replace("  lifecycle: experimental\n", ""), 1, "lacks `spec.lifecycle`", "experimental"),
        (PILOT.replace("  owner: team-a\n", ""), 1, "lacks `spec.owner`", "group:default/name"),
        (
            PILOT.replace("owner: team-a", "owner: taem-a"),
            11,
            "unknown group `taem-a`",
            "did you mean `team-a`?",
        ),
        (PILOT.replace("owner: team-a", "owner: ann"), 11, "unknown group `ann`", "write `user:ann`"),
        (PILOT.replace("owner: team-a", "owner: user:bob"), 11, "who is in no team", "shadowprod.io/team"),
        (
            PILOT.replace("owner: team-a", "owner: other/team-a"),
            11,
            "unknown group `other/team-a`",
            "add the group's entity",
        ),
        (PILOT.replace("owner: team-a", "owner: system:x"), 11, "expected a group or a user", "user:default"),
        (
            PILOT.replace("kind: Component\n", ""),
            5,
            "in a document without apiVersion, kind",
            "kind: Component",
        ),
        (
            format!("{PILOT}---\n{PILOT}"),
            16,
            "pilot id `p` is already taken, expected one of its own: b/catalog-info.yaml:4",
            "rename",
        ),
        (format!("{PILOT}--- [\n"), 13, "not valid YAML", "yaml.org"),
    ] {
        check(&text, line, message, fix);
    }
}

#[test]
fn pilot_in_toml_and_yaml_names_both_places() {
    let own = "[[pilot]]\nid = \"p\"\nname = \"P\"\npurpose = \"x\"\nteam = \"team-a\"\nowner = \"ann\"\nprofile = \"standard\"\nstages = [{ stage = \"pilot\", from = \"2026-01-01T00:00:00Z\" }]\n";
    let texts = [("people.toml", PEOPLE), ("pilots.toml", own), ("catalog-info.yaml", PILOT)];
    let errors = Registry::from_texts(texts.map(|(n, t)| (n.to_owned(), t.to_owned())).into()).unwrap_err();
    let message =
        "pilot id `p` is already taken, expected one of its own: pilots.toml:2\n  --> catalog-info.yaml:4";
    assert!(errors.to_string().contains(message), "{errors}");
}

#[test]
fn group_is_paged_at_its_mailbox_else_through_its_members() {
    let entity = |kind: &str, name: &str, spec: &str| {
        format!(
            "---\napiVersion: backstage.io/v1alpha1\nkind: {kind}\nmetadata: {{name: {name}}}\nspec: {spec}\n"
        )
    };
    let owned = PILOT.replace("owner: team-a", "owner: group:default/crew");
    let zoe = entity("User", "zoe", "{profile: {email: zoe@a.example}, memberOf: [Crew]}");
    let mute = entity("User", "mute", "{memberOf: [crew]}");
    for (crew, users, contact, warnings) in [
        ("{profile: {email: crew@a.example}}", "", "crew@a.example", 0),
        ("{profile: {email: crew@a.example}}", &*zoe, "crew@a.example", 0),
        ("{members: [bob]}", "", "bob@a.example", 0),
        ("{members: [user:default/bob]}", &*zoe, "bob@a.example", 0),
        ("{}", &*zoe, "zoe@a.example", 0),
        ("{members: [stranger]}", &*zoe, "zoe@a.example", 1),
        ("{members: [bob]}", &*mute, "bob@a.example", 1),
    ] {
        let text = format!("{owned}{}{users}", entity("Group", "crew", crew));
        let registry = load(&text).unwrap_or_else(|errors| panic!("{crew}\n{errors}"));
        let owner = registry.owner("pilot_owner", Some("p"), None, Severity::High);
        assert_eq!(owner.contact, contact, "{crew}");
        assert_eq!(registry.warnings().len(), warnings, "{crew}");
    }
    let text = format!("{owned}{}{mute}", entity("Group", "crew", "{members: []}"));
    check(&text, 11, "group `group:default/crew`, whom nobody could reach", "spec.profile.email");
}

#[test]
fn what_toml_declares_of_people_and_teams_stands() {
    let text = format!(
        "{PILOT}---\napiVersion: backstage.io/v1alpha1\nkind: Group\nmetadata: {{name: team-a}}\nspec: {{members: [bob], profile: {{email: a@a.example}}}}\n---\napiVersion: backstage.io/v1alpha1\nkind: User\nmetadata: {{name: ann}}\nspec: {{profile: {{email: other@a.example}}}}\n"
    );
    let registry = load(&text).unwrap();
    let owner = registry.owner("pilot_owner", Some("p"), None, Severity::High);
    assert_eq!((&*owner.person, &*owner.contact), ("ann", "ann@a.example"));
    assert_eq!(registry.teams_of("bob", 0), Some(&[][..]));
    assert_eq!(registry.catalog(), CatalogCounts { entities: 3, skipped: 2 });
}

#[test]
fn what_is_no_pilot_is_skipped_and_counted() {
    let text = PILOT.replace("\"true\"", "\"false\"").replace("owner: team-a", "owner: nobody")
        + "---\nservices: [web]\n---\n- a\n- b\n---\n# nothing\n";
    let registry = load(&text).unwrap();
    assert_eq!(registry.pilots().len(), 0);
    assert_eq!(registry.catalog(), CatalogCounts { entities: 3, skipped: 3 });
}

#[test]
fn damaged_catalog_is_refused_or_loaded_and_never_panics() {
    const MARKS: [char; 14] = ['[', ']', '{', '}', ':', '"', '\'', '\n', '-', '&', '*', ' ', '\0', 'é'];
    let whole: Vec<char> = include_str!("../../../../fixtures/backstage/catalog-info.yaml").chars().collect();
    for seed in 0..400 {
        let mut random = fastrand::Rng::with_seed(seed);
        let mut characters = whole.clone();
        for _ in 0..random.usize(1..8) {
            let place = random.usize(..characters.len());
            match random.u8(..4) {
                0 => drop(characters.remove(place)),
                1 => characters.insert(place, random.choice(MARKS).unwrap()),
                2 => characters.truncate(place.max(1)),
                _ => characters[place] = random.char(..),
            }
        }
        if let Err(errors) = load(&characters.into_iter().collect::<String>()) {
            assert!(!errors.errors.is_empty(), "seed {seed}");
        }
    }
}
