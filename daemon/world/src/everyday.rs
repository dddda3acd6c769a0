//! The company's ordinary days: people at work, services calling each other, jobs, builds, integrations.
//!
//! In: a draft. Out: the governance of people, services and networks, and the traffic that nothing is
//! wrong with: most of the world.

mod audit;
pub(crate) mod desks;
mod mesh;

pub(crate) use mesh::{ai_route, api_target, gateway_of};

use serde_json::json;

use super::Scale;
use super::company::{
    AI_HOST, API_HOST, AZURE_PRODUCTION, BOTO3, CI, FARGATE, GCP_PRODUCTION, GO_SDK, LAMBDA, PRODUCTION,
    PRODUCTION_AI, PYTHON, STAGING, TOOLING, Workload,
};
use super::dice::Dice;
use super::draft::Draft;
use super::formats::cloudtrail::{Action, AwsUse, Delivery, Signer};
use super::formats::consumer_names;
use super::formats::entra::{EntraUse, SignIn};
use super::formats::litellm::PRODUCTION_MODELS;
use super::formats::okta::{OktaAccess, OktaUse};
use super::governance::{array, flag, inline, list, number, text};
use super::pattern::Pattern;
use super::place::{NETWORKS, Place};
use super::template::Alphabet;

/// EKS's and GitHub's token providers.
pub(crate) const EKS: &str =
    "arn:aws:iam::604417720931:oidc-provider/oidc.eks.eu-west-1.amazonaws.com/id/4C1F0B7A92DE";
pub(crate) const GITHUB: &str = "arn:aws:iam::857730214469:oidc-provider/token.actions.githubusercontent.com";

/// Adds ordinary life.
pub(crate) fn add(draft: &mut Draft) {
    add_people(draft);
    add_services(draft);
    add_production(draft);
    desks::add(draft);
    mesh::add(draft);
    add_runtimes(draft);
    add_jobs(draft);
    add_integrations(draft);
    audit::add(draft);
}

/// How much a large company does per entity less than a small one: its volume lies in the number of entities.
pub(crate) fn pace(draft: &Draft) -> f64 {
    match draft.scale {
        Scale::Small => 1.0,
        Scale::Company => 0.7,
        Scale::Enterprise => 1.6,
    }
}

fn add_people(draft: &mut Draft) {
    for person in draft.company.people.clone() {
        let contact = inline(&[
            ("low", text(&person.email)),
            ("medium", text(&person.email)),
            ("high", text(&format!("slack:@{}", person.id))),
            ("critical", text(&format!("pager:{}", person.id))),
        ]);
        let entries = [
            ("id", text(&person.id)),
            ("name", text(&person.name)),
            ("email", text(&person.email)),
            ("contact", contact),
        ];
        draft.governance.table("people.toml", "person", &entries);
    }
    for team in draft.company.teams.clone() {
        let members: Vec<&str> =
            draft.company.people.iter().filter(|p| p.team == team).map(|p| p.id.as_str()).collect();
        let entries = [
            ("id", text(&team)),
            ("name", text(&team.replace('-', " "))),
            ("owner", text(&draft.company.head(&team).id)),
            ("members", list(&members)),
        ];
        draft.governance.table("people.toml", "team", &entries);
    }
}

fn add_services(draft: &mut Draft) {
    for service in draft.company.services.clone() {
        let address = format!("{}/32", service.pod().address(0));
        let mut selectors = vec![
            ("spiffe", service.peer()),
            ("role", super::company::role_arn(&service.role())),
            ("role", super::formats::bedrock::role_arn(PRODUCTION_AI, &service.role())),
            ("api_key", service.api_key_id()),
            ("service_account", service.service_account()),
            ("ip", address),
            gateway_of(&service).selector(&api_target(&service)),
        ];
        selectors.extend(consumer_names(&service.name).map(|name| ("consumer", name)));
        add_service(draft, &service.name, &service.team, None, true, &selectors);
        let in_staging = service.staging_name();
        let mut selectors = vec![("spiffe", service.staging_peer())];
        selectors.extend(consumer_names(&in_staging).map(|name| ("consumer", name)));
        add_service(draft, &in_staging, &service.team, None, false, &selectors);
    }
}

/// Writes one service into the registry.
pub(crate) fn add_service(
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
        ("account", PRODUCTION_AI),
        ("project", GCP_PRODUCTION),
        ("subscription", AZURE_PRODUCTION),
        ("host", AI_HOST),
        ("host", API_HOST),
        // LiteLLM names where its models run, as a URL; Apigee's analytics name no host, but an environment.
        ("host", PRODUCTION_MODELS),
        ("stage", "prod"),
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
    let standard = super::pilot::CRITERIA;
    let regulated = [standard, &["risk_sign_off"]].concat();
    let fast_moving = [standard, &["staged_rollout"]].concat();
    for (profile, criteria, grace, separate) in [
        ("regulated", &regulated[..], 15, true),
        ("standard", standard, 30, false),
        ("fast_moving", &fast_moving[..], 60, false),
    ] {
        let entries = [
            ("profile", text(profile)),
            ("criteria", list(criteria)),
            ("grace_minutes", number(grace)),
            ("separate_duties", flag(separate)),
        ];
        draft.governance.table("production.toml", "policy", &entries);
    }
}

/// What jobs and people do with stored files.
pub(crate) fn storage_actions(bucket: &str) -> Vec<Action> {
    let bucket = json!({ "bucketName": format!("halden-{bucket}") });
    let group = json!({ "logGroupName": "/halden/jobs" });
    vec![
        Action::new("s3.amazonaws.com", "ListBuckets", true, json!(null)),
        Action::new("s3.amazonaws.com", "GetBucketLocation", true, bucket.clone()),
        Action::new("s3.amazonaws.com", "GetBucketPolicy", true, bucket),
        Action::new("sts.amazonaws.com", "GetCallerIdentity", true, json!(null)),
        Action::new("logs.amazonaws.com", "DescribeLogStreams", true, group),
    ]
}

/// The two calls that applications make to a model.
pub(crate) fn invocations(model: &str) -> Vec<Action> {
    let parameters = json!({ "modelId": model });
    vec![
        Action::new("bedrock.amazonaws.com", "InvokeModel", true, parameters.clone()),
        Action::new("bedrock.amazonaws.com", "Converse", true, parameters),
    ]
}

/// A production service's own role session in AWS.
pub(crate) fn service_session(service: &Workload) -> Signer {
    Signer::Session { role: service.role(), session: service.name.clone(), delivery: Delivery::Web(EKS) }
}

/// What services are in AWS: a pod's web identity, a function, an instance, in production and staging.
fn add_runtimes(draft: &mut Draft) {
    let pace = pace(draft);
    for service in draft.company.services.clone() {
        let instance = Dice::of(12, &service.name, 0).id("i-", Alphabet::Hex, 19);
        let kinds = [
            (FARGATE, service.name.clone(), Delivery::Web(EKS)),
            (LAMBDA, format!("{}-events", service.name), Delivery::Assumed),
            (GO_SDK, instance, Delivery::Instance),
        ];
        for (client, session, delivery) in kinds {
            let accounts = [
                (PRODUCTION, Place::Production(service.number), 0.7),
                (STAGING, Place::Staging(service.number), 0.3),
            ];
            for (account, place, rate) in accounts {
                let signer = Signer::Session {
                    role: service.role(),
                    session: session.clone(),
                    delivery: delivery.clone(),
                };
                let actions = storage_actions(&service.name);
                let act = AwsUse { account, signer, clients: vec![client], actions };
                let name = format!("{session} in {account}");
                draft.aws(&name, Pattern::Steady(rate * pace), place, &act);
            }
        }
    }
}

/// Builds with OIDC, jobs in the racks with keys of their own, and AWS's own services.
fn add_jobs(draft: &mut Draft) {
    for (index, team) in (0..).zip(draft.company.teams.clone()) {
        let build = Signer::Session {
            role: format!("{team}-deploy"),
            session: "GitHubActions".to_owned(),
            delivery: Delivery::Web(GITHUB),
        };
        let key = Dice::of(8, &team, 7).id("AKIA", Alphabet::Upper, 20);
        let rack = Signer::Key { user: format!("{team}-backup"), key };
        let actions = storage_actions(&team);
        let build = AwsUse { account: TOOLING, signer: build, clients: vec![CI], actions: actions.clone() };
        let rack = AwsUse { account: PRODUCTION, signer: rack, clients: vec![BOTO3], actions };
        draft.aws(&format!("{team} build"), Pattern::Office(1.2), Place::Ci(index), &build);
        let hourly = Pattern::Hourly(3 + i64::from(index) * 5 % 55);
        draft.aws(&format!("{team} backup"), hourly, Place::Colo(index), &rack);
    }
    for service in ["autoscaling.amazonaws.com", "config.amazonaws.com"] {
        let act = AwsUse {
            account: PRODUCTION,
            signer: Signer::Service(service),
            clients: vec![BOTO3],
            actions: storage_actions("audit"),
        };
        draft.aws(service, Pattern::Steady(1.0), Place::Nowhere, &act);
    }
}

/// Okta API tokens and service apps, Entra service principals and managed identities.
fn add_integrations(draft: &mut Draft) {
    for service in draft.company.services.clone() {
        let (name, place) = (service.name.as_str(), Place::Production(service.number));
        let token = OktaUse {
            id: Dice::of(13, name, 0).id("00u", Alphabet::Mixed, 20),
            login: format!("svc-{name}@halden.example"),
            name: format!("svc {name}"),
            access: OktaAccess::Token(Dice::of(14, name, 0).id("00T", Alphabet::Mixed, 20)),
            user_agent: PYTHON,
        };
        let app = OktaUse {
            id: Dice::of(15, name, 0).id("0oa", Alphabet::Mixed, 20),
            login: name.to_owned(),
            access: OktaAccess::Client,
            user_agent: "okta-sdk-java/17.0.0",
            ..token.clone()
        };
        draft.okta(&format!("{name} token"), Pattern::Steady(0.25), place, &token);
        draft.okta(&format!("{name} app"), Pattern::Steady(0.25), place, &app);
        let principal = EntraUse {
            id: Dice::of(16, name, 0).uuid(),
            name: format!("sp-{name}"),
            sign_in: SignIn::Credential { key: Dice::of(17, name, 0).uuid() },
            application: "Halden Integrations",
            user_agent: "",
        };
        let managed = EntraUse {
            id: Dice::of(18, name, 0).uuid(),
            name: format!("mi-{name}"),
            sign_in: SignIn::Managed,
            ..principal.clone()
        };
        draft.entra(&format!("{name} principal"), Pattern::Steady(0.3), place, &principal);
        draft.entra(&format!("{name} managed"), Pattern::Steady(0.2), place, &managed);
    }
}
