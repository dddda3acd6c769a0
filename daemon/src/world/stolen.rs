//! Keys and models: one key that somebody stole for its AI access, and one that only looks stolen.
//!
//! In: a draft. Out: their events in AWS, the label and the quiet case of DOMAIN's LLMjacking.

use std::sync::Arc;

use serde_json::json;

use super::cloudtrail::{Action, AwsUse};
use super::company::{BOTO3, PRODUCTION, PYTHON};
use super::credentials::{key_signer, storage_actions};
use super::draft::{Draft, invocations};
use super::pattern::{DAY, HOUR, Pattern};
use super::place::Place;
use super::{ExpectedSubject, LLMJACKING, UNREGISTERED};

/// Adds both.
pub(super) fn add(draft: &mut Draft) {
    add_thief(draft);
    add_evaluation(draft);
}

/// A storage job's key, two nights ago: somebody lists models, looks which are unlocked and uses what works.
fn add_thief(draft: &mut Draft) {
    let (signer, subject) = key_signer("parcel-archive", 0);
    let job = AwsUse {
        account: PRODUCTION,
        signer: signer.clone(),
        clients: vec![BOTO3],
        place: Place::Production(61),
        actions: Arc::new(storage_actions("parcel-archive")),
    };
    let thief = AwsUse {
        clients: vec![PYTHON],
        place: Place::Stranger(3),
        actions: Arc::new(looking_and_using()),
        ..job.clone()
    };
    let night = (draft.end - 2 * DAY).div_euclid(DAY) * DAY + 2 * HOUR;
    draft.aws("parcel-archive job", Pattern::Steady(1.2), job);
    draft.aws("parcel-archive night", Pattern::Storm(night, 60), thief);
    draft.expect(
        LLMJACKING,
        subject,
        "a storage job's key, used from afar to look for models and to invoke them",
    );
    draft.expect(
        UNREGISTERED,
        user("parcel-archive"),
        "whoever stole the key invokes models, and no pilot is registered for it",
    );
}

fn looking_and_using() -> Vec<Action> {
    const BEDROCK: &str = "bedrock.amazonaws.com";
    let model = "anthropic.claude-3-5-sonnet-20240620-v1:0";
    let mut actions = invocations(model);
    actions.push(Action::new(BEDROCK, "ListFoundationModels", true, json!(null)));
    actions.push(Action::new(BEDROCK, "GetFoundationModelAvailability", true, json!({ "modelId": model })));
    actions
}

/// An evaluation's key, which always invokes models from the racks, tries many more from a build runner one morning.
fn add_evaluation(draft: &mut Draft) {
    let (signer, subject) = key_signer("model-evaluation", 0);
    let nightly = AwsUse {
        account: PRODUCTION,
        signer,
        clients: vec![BOTO3],
        place: Place::Colo(63),
        actions: Arc::new(invocations("amazon.titan-text-express-v1")),
    };
    let models = [
        "anthropic.claude-3-5-sonnet-20240620-v1:0",
        "meta.llama3-70b-instruct-v1:0",
        "mistral.mistral-large-2402-v1:0",
        "cohere.command-r-plus-v1:0",
    ];
    let comparison = AwsUse {
        place: Place::Ci(11),
        actions: Arc::new(models.into_iter().flat_map(invocations).collect()),
        ..nightly.clone()
    };
    let morning = (draft.end - 2 * DAY).div_euclid(DAY) * DAY + 9 * HOUR;
    draft.aws("model-evaluation nightly", Pattern::Hourly(40), nightly);
    draft.aws("model-evaluation comparison", Pattern::Storm(morning, 80), comparison);
    draft.look_alike("evaluation of many models", &[LLMJACKING], &subject);
    draft.expect(
        UNREGISTERED,
        user("model-evaluation"),
        "models are invoked every hour, and no pilot is registered for it",
    );
}

/// An IAM user as the caller that its key makes it.
fn user(name: &str) -> ExpectedSubject {
    ExpectedSubject::Caller(format!("arn:aws:iam::{PRODUCTION}:user/{name}"))
}
