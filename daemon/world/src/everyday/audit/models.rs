//! The two homes of AI in production: an account whose calls of models Bedrock logs itself, and a project with Vertex
//! AI. What works there is promoted, by the book, long ago; nothing else calls models there on an ordinary day.

use crate::company::{GCP_PRODUCTION, PRODUCTION_AI, Workload, profile_arn};
use crate::dice::Dice;
use crate::draft::Draft;
use crate::everyday::pace;
use crate::formats::bedrock::{self, BedrockCaller, BedrockUse};
use crate::formats::gcp::{self, GcpActor, GcpCall, GcpUse};
use crate::pattern::{DAY, Pattern};
use crate::pilot::Pilot;
use crate::place::Place;
use crate::template::Alphabet;

/// Services for each promoted pilot of a home.
const SERVICES_EACH: usize = 90;
/// Most services that call one of them.
const CALLERS_MAX: usize = 40;

pub(super) fn add(draft: &mut Draft) {
    let homes = 1 + draft.company.services.len() / SERVICES_EACH;
    for number in 0..homes {
        add_bedrock(draft, number);
        add_vertex(draft, number);
    }
}

/// A pilot that went to production weeks before the history begins.
fn promoted(draft: &mut Draft, dice: &mut Dice) -> Pilot {
    let mut pilot = Pilot::new(draft, dice);
    let since = draft.start - dice.between(40, 90) * DAY;
    pilot.stages = vec![("pilot", since - 80 * DAY), ("approved", since - 10 * DAY)];
    pilot.data_scope.push(format!("gs://halden-{}", pilot.id));
    pilot.promote(draft, since);
    pilot
}

/// Services that use it: every seventh, beginning somewhere.
fn callers(draft: &Draft, dice: &mut Dice) -> Vec<Workload> {
    let first = dice.below(7) as usize;
    draft.company.services.iter().skip(first).step_by(7).take(CALLERS_MAX).cloned().collect()
}

/// Its own role, services with theirs through its inference profile, and an old job that still has a user of IAM.
fn add_bedrock(draft: &mut Draft, number: usize) {
    let mut dice = draft.dice(&format!("home of models {number}"));
    let mut pilot = promoted(draft, &mut dice);
    let (role, id) = (format!("{}-runtime", pilot.id), pilot.id.clone());
    let profile = profile_arn(PRODUCTION_AI, &dice.id("", Alphabet::Hex, 12));
    pilot.selectors =
        vec![("role", bedrock::role_arn(PRODUCTION_AI, &role)), ("inference_profile", profile.clone())];
    pilot.register(draft);
    let pace = pace(draft);
    let own = BedrockUse {
        account: PRODUCTION_AI,
        caller: BedrockCaller::Session { role, session: id.clone() },
        models: vec![profile.clone(), "anthropic.claude-3-haiku-20240307-v1:0".to_owned()],
        error: None,
    };
    let throttled = BedrockUse { error: Some("ThrottlingException"), ..own.clone() };
    draft.bedrock(&id, Pattern::Customers(dice.real(5.0, 10.0) * pace), &own);
    draft.bedrock(&format!("{id} throttled"), Pattern::Customers(0.2), &throttled);
    for service in callers(draft, &mut dice) {
        let caller = BedrockCaller::Session { role: service.role(), session: service.name.clone() };
        let act = BedrockUse { caller, models: vec![profile.clone()], ..own.clone() };
        let rate = Pattern::Customers(dice.real(2.0, 6.0) * pace);
        draft.bedrock(&format!("{} for {id}", service.name), rate, &act);
    }
    let caller = BedrockCaller::User(format!("{id}-archive"));
    let job = BedrockUse { caller, models: vec![profile], ..own };
    draft.bedrock(&format!("{id} archive"), Pattern::Hourly(17), &job);
}

/// Its own service account, which asks Google's models and reads its bucket, and services that ask its endpoint.
fn add_vertex(draft: &mut Draft, number: usize) {
    let mut dice = draft.dice(&format!("home of endpoints {number}"));
    let mut pilot = promoted(draft, &mut dice);
    let id = pilot.id.clone();
    let email = format!("{id}@{GCP_PRODUCTION}.iam.gserviceaccount.com");
    let endpoint = gcp::endpoint(GCP_PRODUCTION, &dice.id("", Alphabet::Digits, 19));
    pilot.selectors = vec![("service_account", email.clone()), ("inference_profile", endpoint.clone())];
    pilot.register(draft);
    let pace = pace(draft);
    let object = format!("projects/_/buckets/halden-{id}/objects/context.json");
    let read =
        GcpCall::access("storage.googleapis.com", "storage.objects.get", object, "storage.objects.get");
    let generate = GcpCall::generate(GCP_PRODUCTION, "gemini-1.5-pro-002");
    let own = GcpUse {
        project: GCP_PRODUCTION,
        actor: GcpActor::ServiceAccount { email, key: None, acting_for: None },
        clients: vec![gcp::GEN_AI],
        calls: vec![generate.clone(), generate.clone(), read],
    };
    let throttled = GcpUse { calls: vec![generate.refused(8)], ..own.clone() };
    draft.gcp(&id, Pattern::Customers(dice.real(2.0, 5.0) * pace), Place::Production(40), &own);
    draft.gcp(&format!("{id} throttled"), Pattern::Customers(0.1), Place::Production(40), &throttled);
    for service in callers(draft, &mut dice) {
        let act = GcpUse {
            project: GCP_PRODUCTION,
            actor: GcpActor::ServiceAccount { email: service.service_account(), key: None, acting_for: None },
            clients: vec![gcp::LIBRARY_JAVA],
            calls: vec![GcpCall::predict(endpoint.clone())],
        };
        let rate = Pattern::Customers(dice.real(1.0, 3.0) * pace);
        draft.gcp(&format!("{} for {id}", service.name), rate, service.pod(), &act);
    }
}
