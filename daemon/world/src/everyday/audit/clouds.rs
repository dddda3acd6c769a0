//! Google Cloud, Azure, and what reports in OCSF: services as themselves, people in consoles and terminals.

use crate::company::{
    AZURE_PRODUCTION, BOTO3, CLI_LINUX, GCP_PRODUCTION, GCP_STAGING, GO_SDK, PYTHON, Person, STAGING,
    TOOLING, Workload,
};
use crate::dice::Dice;
use crate::draft::Draft;
use crate::everyday::pace;
use crate::formats::azure::{AzureActor, AzureCall, AzureUse};
use crate::formats::gcp::{self, GcpActor, GcpCall, GcpUse};
use crate::formats::ocsf::{OcsfActor, OcsfUse};
use crate::pattern::Pattern;
use crate::place::Place;
use crate::template::Alphabet;

/// GitHub's builds, as the workload identity pool of the staging project knows them.
const GITHUB: &str = "principal://iam.googleapis.com/projects/408817265530/locations/global/workloadIdentityPools/github/subject/repo:halden/deploy:ref:refs/heads/main";

pub(super) fn add(draft: &mut Draft) {
    for service in draft.company.services.clone() {
        add_google_service(draft, &service);
        add_azure_service(draft, &service);
        add_platform_service(draft, &service);
    }
    for person in draft.company.people.clone() {
        match person.number % 3 {
            0 => add_google_person(draft, &person),
            1 => add_azure_person(draft, &person),
            _ => add_platform_person(draft, &person),
        }
    }
    let act = GcpUse {
        project: GCP_STAGING,
        actor: GcpActor::Federated(GITHUB),
        clients: vec![gcp::GCLOUD_SCRIPT],
        calls: google_changes(GCP_STAGING),
    };
    let builds = Pattern::Office(0.3 * draft.company.teams.len() as f64);
    draft.gcp("deployments from GitHub", builds, Place::Ci(3), &act);
}

/// What services read and write in a project.
fn google_data(project: &str, name: &str) -> Vec<GcpCall> {
    let object = |file: &str| format!("projects/_/buckets/halden-{name}/objects/{file}");
    let table = format!("projects/{project}/datasets/{}/tables/daily", name.replace('-', "_"));
    let topic = format!("projects/{project}/topics/{name}");
    vec![
        GcpCall::access(
            "storage.googleapis.com",
            "storage.objects.get",
            object("state.json"),
            "storage.objects.get",
        ),
        GcpCall::access(
            "storage.googleapis.com",
            "storage.objects.create",
            object("out.json"),
            "storage.objects.create",
        ),
        GcpCall::access(
            "bigquery.googleapis.com",
            "google.cloud.bigquery.v2.TableDataService.List",
            table,
            "bigquery.tables.getData",
        ),
        GcpCall::access(
            "pubsub.googleapis.com",
            "google.pubsub.v1.Publisher.Publish",
            topic,
            "pubsub.topics.publish",
        ),
    ]
}

/// What people and builds look at and change.
fn google_changes(project: &str) -> Vec<GcpCall> {
    let instances = format!("projects/{project}/zones/europe-west4-a/instances");
    let whole = format!("projects/{project}");
    vec![
        GcpCall::access(
            "compute.googleapis.com",
            "v1.compute.instances.list",
            instances.clone(),
            "compute.instances.list",
        ),
        GcpCall::access(
            "cloudresourcemanager.googleapis.com",
            "GetIamPolicy",
            whole.clone(),
            "resourcemanager.projects.getIamPolicy",
        ),
        GcpCall::access(
            "logging.googleapis.com",
            "google.logging.v2.LoggingServiceV2.ListLogEntries",
            whole,
            "logging.logEntries.list",
        ),
        GcpCall::change(
            "compute.googleapis.com",
            "v1.compute.instances.setLabels",
            instances,
            "compute.instances.setLabels",
        ),
    ]
}

/// In the cluster with a token of the platform, in staging, and every third also from the racks, with a key.
fn add_google_service(draft: &mut Draft, service: &Workload) {
    let (name, pace) = (&service.name, pace(draft));
    let clients = [gcp::LIBRARY_JAVA, gcp::LIBRARY_GO, gcp::LIBRARY_PYTHON][service.number as usize % 3];
    let production = GcpUse {
        project: GCP_PRODUCTION,
        actor: GcpActor::ServiceAccount { email: service.service_account(), key: None, acting_for: None },
        clients: vec![clients],
        calls: google_data(GCP_PRODUCTION, name),
    };
    draft.gcp(&format!("{name} in production"), Pattern::Customers(0.6 * pace), service.pod(), &production);
    let staging = format!("{name}@{GCP_STAGING}.iam.gserviceaccount.com");
    let staging = GcpUse {
        project: GCP_STAGING,
        actor: GcpActor::ServiceAccount { email: staging, key: None, acting_for: None },
        calls: google_data(GCP_STAGING, name),
        ..production.clone()
    };
    let place = Place::Staging(service.number);
    draft.gcp(&format!("{name} in staging"), Pattern::Steady(0.3 * pace), place, &staging);
    if service.number.is_multiple_of(3) {
        let export = GcpUse {
            actor: GcpActor::ServiceAccount {
                email: format!("{name}-export@{GCP_PRODUCTION}.iam.gserviceaccount.com"),
                key: Some(Dice::of(40, name, 0).id("", Alphabet::Hex, 40)),
                acting_for: None,
            },
            clients: vec![gcp::GCLOUD_SCRIPT, gcp::LIBRARY_PYTHON],
            ..production
        };
        let place = Place::Colo(service.number);
        let every_hour = Pattern::Hourly(i64::from(service.number) * 7 % 60);
        draft.gcp(&format!("{name} export"), every_hour, place, &export);
    }
}

/// The console, gcloud, Cloud Shell; who is on duty also takes on an account that only people use.
fn add_google_person(draft: &mut Draft, person: &Person) {
    let (id, place, clock) = (&person.id, person.laptop(), &person.clock);
    let project = if person.number.is_multiple_of(2) { GCP_PRODUCTION } else { GCP_STAGING };
    let mut calls = google_changes(project);
    if person.number.is_multiple_of(9) {
        calls.push(calls[1].clone().refused(7));
    }
    let console = GcpUse {
        project,
        actor: GcpActor::Person(person.email.clone()),
        clients: vec![person.browser()],
        calls,
    };
    let terminal = GcpUse { clients: vec![gcp::gcloud_of(person)], ..console.clone() };
    draft.gcp(&format!("{id} in Google's console"), Pattern::Sittings(0.12, 6), place, &console).by(clock);
    draft.gcp(&format!("{id} with gcloud"), Pattern::Sittings(0.08, 5), place, &terminal).by(clock);
    if person.number.is_multiple_of(12) {
        let shell = GcpUse { clients: vec![gcp::GCLOUD_SHELL], ..console.clone() };
        draft
            .gcp(&format!("{id} in Cloud Shell"), Pattern::Sittings(0.05, 4), Place::Nowhere, &shell)
            .by(clock);
        let email = format!("on-duty@{GCP_PRODUCTION}.iam.gserviceaccount.com");
        let actor = GcpActor::ServiceAccount { email, key: None, acting_for: Some(person.email.clone()) };
        let duty =
            GcpUse { project: GCP_PRODUCTION, actor, calls: google_changes(GCP_PRODUCTION), ..terminal };
        draft.gcp(&format!("{id} on duty"), Pattern::Sittings(0.03, 5), place, &duty).by(clock);
    }
}

/// What is done with a group of resources.
fn azure_calls(group: &str) -> Vec<AzureCall> {
    let of = |provider: &str| format!("/resourceGroups/{group}/providers/{provider}/{group}");
    vec![
        AzureCall::new("Microsoft.Web/sites/restart/action", of("Microsoft.Web/sites")),
        AzureCall::new("Microsoft.Compute/virtualMachines/write", of("Microsoft.Compute/virtualMachines")),
        AzureCall::new(
            "Microsoft.Insights/diagnosticSettings/read",
            of("Microsoft.Insights/diagnosticSettings"),
        ),
        AzureCall::new(
            "Microsoft.Resources/tags/write",
            format!("/resourceGroups/{group}/providers/Microsoft.Resources/tags/default"),
        ),
    ]
}

/// The same service principals and managed identities that sign in to Entra.
fn add_azure_service(draft: &mut Draft, service: &Workload) {
    let (name, pace) = (service.name.as_str(), pace(draft));
    let principal = AzureActor::ServicePrincipal {
        id: Dice::of(16, name, 0).uuid(),
        application: Dice::of(41, name, 0).uuid(),
    };
    let managed = AzureActor::Managed { id: Dice::of(18, name, 0).uuid(), machine: name.to_owned() };
    let calls = azure_calls(name);
    let act = AzureUse { subscription: AZURE_PRODUCTION, actor: principal, calls: calls.clone() };
    let place = Place::Production(service.number);
    draft.azure(&format!("{name} principal"), Pattern::Steady(0.3 * pace), place, &act);
    let act = AzureUse { actor: managed, ..act };
    draft.azure(&format!("{name} machine"), Pattern::Steady(0.2 * pace), Place::Nowhere, &act);
}

fn add_azure_person(draft: &mut Draft, person: &Person) {
    let (id, place, clock) = (&person.id, person.laptop(), &person.clock);
    let actor = |portal| AzureActor::Person {
        id: Dice::of(11, &person.id, 0).uuid(),
        upn: person.email.clone(),
        portal,
    };
    let mut calls = azure_calls(&person.team);
    if person.number.is_multiple_of(7) {
        calls.push(calls[1].clone().forbidden());
    }
    let portal = AzureUse { subscription: AZURE_PRODUCTION, actor: actor(true), calls };
    let terminal = AzureUse { actor: actor(false), ..portal.clone() };
    draft.azure(&format!("{id} in the portal"), Pattern::Sittings(0.15, 6), place, &portal).by(clock);
    draft.azure(&format!("{id} with az"), Pattern::Sittings(0.05, 5), place, &terminal).by(clock);
}

/// Keys of the data platform; some jobs there are known by what they are in AWS.
fn add_platform_service(draft: &mut Draft, service: &Workload) {
    let (name, pace) = (service.name.as_str(), pace(draft));
    let actor = match service.number % 4 {
        0 => OcsfActor::IamUser {
            account: TOOLING,
            user: format!("{name}-loader"),
            key: Dice::of(42, name, 0).id("AKIA", Alphabet::Upper, 20),
        },
        1 => {
            OcsfActor::Session { account: STAGING, role: format!("{name}-loader"), session: name.to_owned() }
        }
        _ => OcsfActor::Program {
            name: format!("{name}-reader"),
            key: Dice::of(43, name, 0).id("hdp_", Alphabet::Mixed, 24),
        },
    };
    let (service_name, operations, clients) = match &actor {
        OcsfActor::IamUser { .. } | OcsfActor::Session { .. } => {
            ("s3.amazonaws.com", vec!["GetObject", "PutObject"], vec![BOTO3, GO_SDK])
        }
        OcsfActor::Program { .. } | OcsfActor::Person(_) => {
            ("warehouse", vec!["ReadTable", "StartQuery"], vec![PYTHON])
        }
    };
    let resource = format!("halden-{name}");
    let act = OcsfUse { actor, clients, service: service_name, operations, resource, error: None };
    let place = Place::Production(service.number);
    draft.ocsf(&format!("{name} on the platform"), Pattern::Steady(0.5 * pace), place, &act);
}

fn add_platform_person(draft: &mut Draft, person: &Person) {
    let (id, place, clock) = (&person.id, person.laptop(), &person.clock);
    let act = OcsfUse {
        actor: OcsfActor::Person(person.email.clone()),
        clients: vec![person.browser()],
        service: "warehouse",
        operations: vec!["ListTables", "StartQuery", "ReadTable", "UpdateDashboard"],
        resource: format!("{}-mart", person.team),
        error: None,
    };
    draft.ocsf(&format!("{id} on the platform"), Pattern::Sittings(0.2, 7), place, &act).by(clock);
    if person.number.is_multiple_of(4) {
        let refused = OcsfUse {
            operations: vec!["DeleteTable"],
            error: Some("AccessDenied"),
            clients: vec![person.browser(), CLI_LINUX],
            ..act
        };
        draft.ocsf(&format!("{id} without the right"), Pattern::Sittings(0.01, 2), place, &refused).by(clock);
    }
}
