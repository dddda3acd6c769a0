//! Google Workspace, Keycloak, Auth0, and the company's own approval step.

use crate::company::{DOMAIN, GCP_PRODUCTION, Person, Workload};
use crate::draft::Draft;
use crate::everyday::pace;
use crate::formats::approvals::{ApprovalStep, ApprovalUse};
use crate::formats::auth0::{self, Auth0Actor, Auth0App, Auth0Event, Auth0Use};
use crate::formats::keycloak::{KeycloakActor, KeycloakEvent, KeycloakUse};
use crate::formats::workspace::{OauthApp, WorkspaceActor, WorkspaceDeed, WorkspaceUse};
use crate::pattern::Pattern;
use crate::place::Place;

/// Applications that people let into their mail and calendars.
const APPS: &[OauthApp] = &[
    OauthApp { client_id: "402215-k2m8calendarboard.apps.googleusercontent.com", name: "Calendar Board" },
    OauthApp { client_id: "771940-x9r1expensepad.apps.googleusercontent.com", name: "Expense Pad" },
    OauthApp { client_id: "553087-b7t4roomfinder.apps.googleusercontent.com", name: "Room Finder" },
];
/// What services ask to do, and somebody decides on.
const REQUESTS: &[Option<&str>] =
    &[Some("release:deploy"), Some("access:grant"), None, Some("firewall:open"), Some("data:export")];

pub(super) fn add(draft: &mut Draft) {
    let services = draft.company.services.clone();
    for person in draft.company.people.clone() {
        add_workspace(draft, &person);
        add_keycloak(draft, &person);
        let requester = &services[person.number as usize % services.len()];
        add_approvals(draft, &person, requester);
    }
    for service in services {
        add_clients(draft, &service);
        add_customers(draft, &service);
    }
    add_robots(draft);
}

/// Keep groups and names as the staff directory has them: one for every 120 people, each every ten minutes.
fn add_robots(draft: &mut Draft) {
    for number in 0..1 + draft.company.people.len() / 120 {
        let name = format!("directory-sync-{number}");
        let robot = WorkspaceUse {
            actor: WorkspaceActor::Robot(format!("{name}@{GCP_PRODUCTION}.iam.gserviceaccount.com")),
            deeds: vec![WorkspaceDeed::Admin("CHANGE_FIRST_NAME"), WorkspaceDeed::Admin("ADD_GROUP_MEMBER")],
        };
        draft.workspace(&name, Pattern::Every(10), Place::Production(77), &robot);
    }
}

/// Signing in, documents, and what is built into the calendar while one works with it.
fn add_workspace(draft: &mut Draft, person: &Person) {
    let (id, place, clock) = (&person.id, person.laptop(), &person.clock);
    let actor = WorkspaceActor::Person(person.email.clone());
    let app = APPS[person.number as usize % APPS.len()];
    let own = WorkspaceUse {
        actor: actor.clone(),
        deeds: vec![WorkspaceDeed::Login, WorkspaceDeed::Document("view"), WorkspaceDeed::Document("edit")],
    };
    let rarely = WorkspaceUse {
        actor: actor.clone(),
        deeds: vec![
            WorkspaceDeed::LoginFailed,
            WorkspaceDeed::Authorise(app),
            WorkspaceDeed::Admin("CHANGE_PASSWORD"),
        ],
    };
    let built_in = WorkspaceUse { actor, deeds: vec![WorkspaceDeed::AppCalls(app, "calendar")] };
    draft.workspace(id, Pattern::Sittings(0.15, 5), place, &own).by(clock);
    draft.workspace(&format!("{id} rarely"), Pattern::Sittings(0.02, 2), place, &rarely).by(clock);
    draft.workspace(&format!("{id} add-on"), Pattern::Office(0.15), place, &built_in).by(clock);
}

/// The intranet's applications.
fn add_keycloak(draft: &mut Draft, person: &Person) {
    let (id, place, clock) = (&person.id, person.laptop(), &person.clock);
    let client = ["intranet", "timesheets", "wiki"][person.number as usize % 3].to_owned();
    let actor = KeycloakActor::Person(person.id.clone());
    let session = KeycloakUse {
        client,
        actor,
        events: vec![
            KeycloakEvent::Login,
            KeycloakEvent::CodeToToken,
            KeycloakEvent::RefreshToken,
            KeycloakEvent::Logout,
        ],
    };
    let mistyped = KeycloakUse { events: vec![KeycloakEvent::LoginError], ..session.clone() };
    draft.keycloak(id, Pattern::Sittings(0.12, 5), place, &session).by(clock);
    draft.keycloak(&format!("{id} mistyped"), Pattern::Sittings(0.02, 2), place, &mistyped).by(clock);
}

/// Services as clients of Keycloak and Auth0; an old importer still signs in with a user of its own and a password.
fn add_clients(draft: &mut Draft, service: &Workload) {
    let (name, pace) = (&service.name, pace(draft));
    let place = Place::Production(service.number);
    let client = KeycloakUse {
        client: name.clone(),
        actor: KeycloakActor::Client { signs: service.number.is_multiple_of(3) },
        events: vec![KeycloakEvent::ClientLogin],
    };
    draft.keycloak(name, Pattern::Steady(0.35 * pace), place, &client);
    let machine = Auth0Use {
        actor: Auth0Actor::App,
        app: Auth0App::named(&format!("{name} service")),
        client: auth0::PROGRAM,
        events: vec![Auth0Event::ClientCredentials, Auth0Event::Management],
    };
    draft.auth0(name, Pattern::Steady(0.3 * pace), place, &machine);
    if service.number.is_multiple_of(7) {
        let user = format!("{name}-import");
        let importer = KeycloakUse {
            client: "importer".to_owned(),
            actor: KeycloakActor::Person(user.clone()),
            events: vec![KeycloakEvent::PasswordGrant],
        };
        draft.keycloak(&user, Pattern::Hourly(41), Place::Colo(service.number), &importer);
        let importer = Auth0Use {
            actor: Auth0Actor::User(format!("{user}@{DOMAIN}")),
            app: Auth0App::named("Importer"),
            client: auth0::PROGRAM,
            events: vec![Auth0Event::PasswordExchange],
        };
        draft.auth0(&user, Pattern::Hourly(23), Place::Colo(service.number), &importer);
    }
}

/// Customers at a service's portal: from anywhere, mostly by day.
fn add_customers(draft: &mut Draft, service: &Workload) {
    for number in 0..3 {
        let customer = service.number * 3 + number;
        let email = format!("user{customer}@customer{}.example", customer % 17);
        let act = Auth0Use {
            actor: Auth0Actor::User(email.clone()),
            app: Auth0App::named("Customer Portal"),
            client: if customer.is_multiple_of(2) { auth0::CHROME } else { auth0::SAFARI },
            events: vec![
                Auth0Event::Login { factor: customer.is_multiple_of(3) },
                Auth0Event::Login { factor: true },
                Auth0Event::CodeExchange,
                Auth0Event::RefreshExchange,
                Auth0Event::WrongPassword,
            ],
        };
        let place = Place::Stranger(2_000 + customer);
        draft.auth0(&email, Pattern::Sittings(0.15, 6), place, &act);
    }
}

/// Services ask at any hour; somebody decides, and seldom refuses.
fn add_approvals(draft: &mut Draft, person: &Person, requester: &Workload) {
    let tool = REQUESTS[person.number as usize % REQUESTS.len()].map(str::to_owned);
    let email = || person.email.clone();
    let grants =
        ApprovalUse { requester: requester.name.clone(), tool, step: ApprovalStep::Granted(email()) };
    let refuses = ApprovalUse { step: ApprovalStep::Refused(email()), ..grants.clone() };
    let asks = ApprovalUse { step: ApprovalStep::Asked, ..grants.clone() };
    let id = &person.id;
    draft.approval(&format!("{id} is asked"), Pattern::Steady(0.15), &asks);
    draft.approval(&format!("{id} grants"), Pattern::Office(0.4), &grants).by(&person.clock);
    draft.approval(&format!("{id} refuses"), Pattern::Office(0.03), &refuses).by(&person.clock);
}
