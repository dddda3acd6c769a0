//! The company's ordinary days: people at work, services calling each other, jobs, builds, integrations.
//!
//! In: a draft. Out: the governance of people, services and networks, and the traffic that nothing is
//! wrong with: most of the world.

use std::sync::Arc;

use serde_json::json;

use super::cloudtrail::{Action, AwsUse, Delivery, Signer};
use super::company::{
    AI_HOST, ALTERNATIVES, API_HOST, BOTO3, BROWSER, BROWSER_WINDOWS, CI, CLI_MAC, CLI_WINDOWS, FARGATE,
    GO_SDK, LAMBDA, PEOPLE, PRODUCTION, PYTHON, SANDBOX, SERVICES, STAGING, TEAMS, TERRAFORM, TOOLING, email,
    full_name, peer, person, profile_arn, role_arn, staging_peer,
};
use super::credentials::storage_actions;
use super::dice::Dice;
use super::draft::{Draft, invocations};
use super::entra::{EntraUse, SignIn};
use super::envoy::Target;
use super::governance::{array, flag, inline, list, number, text};
use super::okta::{OktaAccess, OktaUse};
use super::pattern::Pattern;
use super::place::{NETWORKS, Place};

/// SSO permission sets and the account each opens.
const PERMISSION_SETS: &[(&str, &str)] = &[
    ("AWSReservedSSO_Developer_3f9c1a7be2d04856", STAGING),
    ("AWSReservedSSO_ReadOnly_a80b62d9c3f1e745", PRODUCTION),
    ("AWSReservedSSO_Operator_5d2e94c07b18fa63", PRODUCTION),
    ("AWSReservedSSO_Sandbox_91c4e7f2085ab3d6", SANDBOX),
];

/// Adds ordinary life.
pub(super) fn add(draft: &mut Draft) {
    add_people(draft);
    add_services(draft);
    add_production(draft);
    add_desks(draft);
    add_mesh(draft);
    add_runtimes(draft);
    add_jobs(draft);
    add_integrations(draft);
}

fn add_people(draft: &mut Draft) {
    for number in 0..PEOPLE {
        let id = person(number);
        let channel = format!("slack:@{id}");
        let contact = inline(&[
            ("low", text(&email(number))),
            ("medium", text(&email(number))),
            ("high", text(&channel)),
            ("critical", text(&format!("pager:{id}"))),
        ]);
        let entries = [
            ("id", text(&id)),
            ("name", text(&full_name(number))),
            ("email", text(&email(number))),
            ("contact", contact),
        ];
        draft.governance.table("people.toml", "person", &entries);
    }
    for (number, team) in (0..).zip(TEAMS) {
        let members: Vec<String> = (number..PEOPLE).step_by(TEAMS.len()).map(person).collect();
        let members: Vec<&str> = members.iter().map(String::as_str).collect();
        let entries = [
            ("id", text(team)),
            ("name", text(&team.replace('-', " "))),
            ("owner", text(&person(number))),
            ("members", list(&members)),
        ];
        draft.governance.table("people.toml", "team", &entries);
    }
}

fn add_services(draft: &mut Draft) {
    for (service, team) in SERVICES {
        let selectors = [("spiffe", peer(service)), ("role", role_arn(&format!("{service}-runtime")))];
        add_service(draft, service, team, None, true, &selectors);
        let selectors = [("spiffe", staging_peer(service))];
        add_service(draft, &format!("{service}-stage"), team, None, false, &selectors);
    }
    for (service, purpose) in ALTERNATIVES {
        let selectors = [("route", (*service).to_owned())];
        add_service(draft, service, "platform", Some(purpose), true, &selectors);
    }
}

fn add_service(
    draft: &mut Draft,
    id: &str,
    team: &str,
    purpose: Option<&str>,
    production: bool,
    selectors: &[(&str, String)],
) {
    let selectors = selectors.iter().map(|(k, v)| inline(&[("kind", text(k)), ("value", text(v))])).collect();
    let mut entries = vec![("id", text(id)), ("team", text(team)), ("production", flag(production))];
    entries.extend(purpose.map(|p| ("purpose", text(p))));
    entries.push(("selectors", array(selectors)));
    draft.governance.table("services.toml", "service", &entries);
}

fn add_production(draft: &mut Draft) {
    let map = [
        ("account", PRODUCTION),
        ("host", AI_HOST),
        ("host", API_HOST),
        ("trust_domain", "prod.halden.example"),
    ];
    for (kind, value) in map {
        let entries = [("kind", text(kind)), ("value", text(value))];
        draft.governance.table("production.toml", "production", &entries);
    }
    for (name, cidr, kind) in NETWORKS {
        let entries = [("name", text(name)), ("cidr", text(cidr)), ("kind", text(kind))];
        draft.governance.table("networks.toml", "network", &entries);
    }
    let criteria = ["data_scope", "logging", "human_oversight", "rollback", "secrets_handling"];
    for (profile, criteria, grace) in [
        ("regulated", &criteria[..], 15),
        ("standard", &criteria[..], 30),
        ("fast_moving", &criteria[..4], 60),
    ] {
        let entries =
            [("profile", text(profile)), ("criteria", list(criteria)), ("grace_minutes", number(grace))];
        draft.governance.table("production.toml", "policy", &entries);
    }
}

/// Every person: Okta, Entra, the console, a command line.
fn add_desks(draft: &mut Draft) {
    for n in 0..PEOPLE {
        let (browser, cli) = if n % 3 == 0 { (BROWSER, CLI_MAC) } else { (BROWSER_WINDOWS, CLI_WINDOWS) };
        let place = Place::Laptop(n);
        let okta = OktaUse {
            id: Dice::of(10, &person(n), 0).mixed_id("00u", 20),
            login: email(n),
            name: full_name(n),
            access: OktaAccess::Browser,
            user_agent: browser,
            place,
        };
        draft.okta(&person(n), Pattern::Sittings(0.25, 3), okta);
        let entra = EntraUse {
            id: Dice::of(11, &person(n), 0).uuid(),
            name: email(n),
            sign_in: SignIn::Interactive,
            application: "Office 365 Exchange Online",
            user_agent: browser,
            place,
        };
        let refresh = EntraUse { sign_in: SignIn::Refresh, ..entra.clone() };
        draft.entra(&person(n), Pattern::Sittings(0.12, 2), entra);
        draft.entra(&format!("{} refresh", person(n)), Pattern::Office(0.5), refresh);
        add_cloud_desk(draft, n, browser, cli);
    }
}

fn add_cloud_desk(draft: &mut Draft, n: u32, browser: &'static str, cli: &'static str) {
    let (set, account) = PERMISSION_SETS[n as usize % PERMISSION_SETS.len()];
    let role = format!("aws-reserved/sso.amazonaws.com/{set}");
    let signer = |console| Signer::Session {
        role: role.clone(),
        session: email(n),
        delivery: if console { Delivery::Person { console } } else { Delivery::Assumed },
    };
    let (actions, place) = (Arc::new(operator_actions()), Place::Laptop(n));
    let console =
        AwsUse { account, signer: signer(true), clients: vec![browser], place, actions: actions.clone() };
    let terminal = AwsUse { clients: vec![cli, TERRAFORM, BOTO3], signer: signer(false), ..console.clone() };
    draft.aws(&format!("{} console", person(n)), Pattern::Sittings(0.2, 6), console);
    draft.aws(&format!("{} terminal", person(n)), Pattern::Sittings(0.12, 6), terminal);
    if account == SANDBOX {
        let actions = Arc::new(invocations(&profile_arn(SANDBOX, "e5b1z9u6fop2")));
        let trial = AwsUse { account, signer: signer(false), clients: vec![BOTO3], place, actions };
        draft.aws(&format!("{} trial", person(n)), Pattern::Sittings(0.1, 8), trial);
    }
}

fn operator_actions() -> Vec<Action> {
    let nothing = json!(null);
    vec![
        Action::new(
            "ec2.amazonaws.com",
            "DescribeInstances",
            true,
            json!({ "instancesSet": {}, "filterSet": {} }),
        ),
        Action::new("cloudwatch.amazonaws.com", "DescribeAlarms", true, nothing.clone()),
        Action::new("logs.amazonaws.com", "DescribeLogGroups", true, nothing.clone()),
        Action::new("ecs.amazonaws.com", "DescribeServices", true, json!({ "cluster": "halden" })),
        Action::new("lambda.amazonaws.com", "ListFunctions20150331", true, nothing.clone()),
        Action::new("s3.amazonaws.com", "ListBuckets", true, nothing),
    ]
}

/// Services calling each other's APIs, and those that use what is promoted.
fn add_mesh(draft: &mut Draft) {
    for (index, (caller, _)) in SERVICES.iter().enumerate().filter(|(_, (s, _))| *s != "traffic-generator") {
        for step in [3, 7] {
            let (callee, _) = SERVICES[(index + step) % (SERVICES.len() - 1)];
            let target = Target {
                host: API_HOST.to_owned(),
                route: callee.to_owned(),
                path: format!("/{callee}/v2/records"),
                model: None,
            };
            draft.call(caller, &target, Pattern::Customers(5.0));
        }
    }
}

/// What services are in AWS: a pod's web identity, a function, an instance, in production and staging.
fn add_runtimes(draft: &mut Draft) {
    for (index, (service, _)) in SERVICES.iter().enumerate() {
        let host = index as u32;
        let kinds = [
            (
                FARGATE,
                service.to_string(),
                Delivery::Web(
                    "arn:aws:iam::604417720931:oidc-provider/oidc.eks.eu-west-1.amazonaws.com/id/4C1F0B7A92DE",
                ),
            ),
            (LAMBDA, format!("{service}-events"), Delivery::Assumed),
            (GO_SDK, format!("i-{}", Dice::of(12, service, 0).hex(17)), Delivery::Instance),
        ];
        for (client, session, delivery) in kinds {
            for (account, place, rate) in
                [(PRODUCTION, Place::Production(host), 0.7), (STAGING, Place::Staging(host), 0.3)]
            {
                let role = format!("{service}-runtime");
                let signer = Signer::Session { role, session: session.clone(), delivery: delivery.clone() };
                let actions = Arc::new(storage_actions(service));
                let act = AwsUse { account, signer, clients: vec![client], place, actions };
                draft.aws(&format!("{session} in {account}"), Pattern::Steady(rate), act);
            }
        }
    }
}

/// Builds with OIDC, jobs in the racks with keys of their own, and AWS's own services.
fn add_jobs(draft: &mut Draft) {
    for (index, team) in TEAMS.iter().enumerate() {
        let build = Signer::Session {
            role: format!("{team}-deploy"),
            session: "GitHubActions".to_owned(),
            delivery: Delivery::Web(
                "arn:aws:iam::857730214469:oidc-provider/token.actions.githubusercontent.com",
            ),
        };
        let key = Dice::of(8, team, 7).aws_id("AKIA", 20);
        let rack = Signer::Key { user: format!("{team}-backup"), key };
        let actions = Arc::new(storage_actions(team));
        let (ci, colo) = (Place::Ci(index as u32), Place::Colo(index as u32));
        let build = AwsUse {
            account: TOOLING,
            signer: build,
            clients: vec![CI],
            place: ci,
            actions: actions.clone(),
        };
        let rack = AwsUse { account: PRODUCTION, signer: rack, clients: vec![BOTO3], place: colo, actions };
        draft.aws(&format!("{team} build"), Pattern::Office(1.2), build);
        draft.aws(&format!("{team} backup"), Pattern::Hourly(3 + index as i64 * 5), rack);
    }
    for service in ["autoscaling.amazonaws.com", "config.amazonaws.com"] {
        let signer = Signer::Service(service);
        let actions = Arc::new(storage_actions("audit"));
        let act = AwsUse {
            account: PRODUCTION,
            signer,
            clients: vec![BOTO3],
            place: Place::Production(1),
            actions,
        };
        draft.aws(service, Pattern::Steady(1.0), act);
    }
}

/// Okta API tokens and service apps, Entra service principals and managed identities.
fn add_integrations(draft: &mut Draft) {
    for (index, (service, _)) in SERVICES.iter().enumerate() {
        let host = index as u32;
        let token = OktaUse {
            id: Dice::of(13, service, 0).mixed_id("00u", 20),
            login: format!("svc-{service}@halden.example"),
            name: format!("svc {service}"),
            access: OktaAccess::Token(Dice::of(14, service, 0).mixed_id("00T", 20)),
            user_agent: PYTHON,
            place: Place::Production(host),
        };
        let app = OktaUse {
            id: Dice::of(15, service, 0).mixed_id("0oa", 20),
            login: service.to_string(),
            access: OktaAccess::Client,
            user_agent: "okta-sdk-java/17.0.0",
            ..token.clone()
        };
        draft.okta(&format!("{service} token"), Pattern::Steady(0.25), token);
        draft.okta(&format!("{service} app"), Pattern::Steady(0.25), app);
        let principal = EntraUse {
            id: Dice::of(16, service, 0).uuid(),
            name: format!("sp-{service}"),
            sign_in: SignIn::Credential { key: Dice::of(17, service, 0).uuid() },
            application: "Halden Integrations",
            user_agent: "",
            place: Place::Production(host),
        };
        let managed = EntraUse {
            id: Dice::of(18, service, 0).uuid(),
            name: format!("mi-{service}"),
            sign_in: SignIn::Managed,
            ..principal.clone()
        };
        draft.entra(&format!("{service} principal"), Pattern::Steady(0.3), principal);
        draft.entra(&format!("{service} managed"), Pattern::Steady(0.2), managed);
    }
}
