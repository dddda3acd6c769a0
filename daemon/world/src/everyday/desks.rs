//! People at their desks: Okta, Entra, the console, a command line, by the clock of their site.

use serde_json::json;

use super::invocations;
use crate::company::{BOTO3, PRODUCTION, Person, SANDBOX, STAGING, TERRAFORM, profile_arn};
use crate::dice::Dice;
use crate::draft::Draft;
use crate::formats::cloudtrail::{Action, AwsUse, Delivery, Signer};
use crate::formats::entra::{EntraUse, SignIn};
use crate::formats::okta::{OktaAccess, OktaUse};
use crate::pattern::Pattern;
use crate::pilot::Pilot;
use crate::template::Alphabet;

/// SSO permission sets and the account each opens.
const PERMISSION_SETS: &[(&str, &str)] = &[
    ("AWSReservedSSO_Developer_3f9c1a7be2d04856", STAGING),
    ("AWSReservedSSO_ReadOnly_a80b62d9c3f1e745", PRODUCTION),
    ("AWSReservedSSO_Operator_5d2e94c07b18fa63", PRODUCTION),
    ("AWSReservedSSO_Sandbox_91c4e7f2085ab3d6", SANDBOX),
];

/// Inference profile of the playground that everybody may try models with.
const PLAYGROUND: &str = "e5b1z9u6fop2";

/// ARN of the playground's inference profile.
pub(crate) fn playground_profile() -> String {
    profile_arn(SANDBOX, PLAYGROUND)
}

/// Everybody's.
pub(super) fn add(draft: &mut Draft) {
    register_playground(draft);
    for person in draft.company.people.clone() {
        add_identity(draft, &person);
        add_cloud(draft, &person);
    }
}

/// A pilot like any other, which only ever lives in the sandbox.
fn register_playground(draft: &mut Draft) {
    let mut dice = draft.dice("playground");
    let mut pilot = Pilot::new(draft, &mut dice);
    pilot.id = "model-playground".to_owned();
    pilot.purpose = "try-models".to_owned();
    pilot.environments = vec!["sandbox"];
    pilot.data_scope = vec!["s3://halden-model-playground".to_owned()];
    pilot.selectors = vec![("inference_profile", playground_profile())];
    pilot.register(draft);
}

fn add_identity(draft: &mut Draft, person: &Person) {
    let okta = OktaUse {
        id: Dice::of(10, &person.id, 0).id("00u", Alphabet::Mixed, 20),
        login: person.email.clone(),
        name: person.name.clone(),
        access: OktaAccess::Browser,
        user_agent: person.browser(),
    };
    let place = person.laptop();
    draft.okta(&person.id, Pattern::Sittings(0.25, 3), place, &okta).by(&person.clock);
    let entra = EntraUse {
        id: Dice::of(11, &person.id, 0).uuid(),
        name: person.email.clone(),
        sign_in: SignIn::Interactive,
        application: "Office 365 Exchange Online",
        user_agent: person.browser(),
    };
    let refresh = EntraUse { sign_in: SignIn::Refresh, ..entra.clone() };
    draft.entra(&person.id, Pattern::Sittings(0.12, 2), place, &entra).by(&person.clock);
    let name = format!("{} refresh", person.id);
    draft.entra(&name, Pattern::Office(0.5), place, &refresh).by(&person.clock);
}

fn add_cloud(draft: &mut Draft, person: &Person) {
    let (set, account) = PERMISSION_SETS[person.number as usize % PERMISSION_SETS.len()];
    let role = format!("aws-reserved/sso.amazonaws.com/{set}");
    let signer = |console| Signer::Session {
        role: role.clone(),
        session: person.email.clone(),
        delivery: if console { Delivery::Person { console } } else { Delivery::Assumed },
    };
    let (id, place, clock) = (&person.id, person.laptop(), &person.clock);
    let console = AwsUse {
        account,
        signer: signer(true),
        clients: vec![person.browser()],
        actions: operator_actions(),
    };
    let terminal = AwsUse {
        clients: vec![person.command_line(), TERRAFORM, BOTO3],
        signer: signer(false),
        ..console.clone()
    };
    draft.aws(&format!("{id} console"), Pattern::Sittings(0.2, 6), place, &console).by(clock);
    draft.aws(&format!("{id} terminal"), Pattern::Sittings(0.12, 6), place, &terminal).by(clock);
    if account == SANDBOX {
        let actions = invocations(&playground_profile());
        let trial = AwsUse { account, signer: signer(false), clients: vec![BOTO3], actions };
        draft.aws(&format!("{id} trial"), Pattern::Sittings(0.1, 8), place, &trial).by(clock);
    }
}

fn operator_actions() -> Vec<Action> {
    let nothing = json!(null);
    let all = json!({ "instancesSet": {}, "filterSet": {} });
    vec![
        Action::new("ec2.amazonaws.com", "DescribeInstances", true, all),
        Action::new("cloudwatch.amazonaws.com", "DescribeAlarms", true, nothing.clone()),
        Action::new("logs.amazonaws.com", "DescribeLogGroups", true, nothing.clone()),
        Action::new("ecs.amazonaws.com", "DescribeServices", true, json!({ "cluster": "halden" })),
        Action::new("lambda.amazonaws.com", "ListFunctions20150331", true, nothing.clone()),
        Action::new("s3.amazonaws.com", "ListBuckets", true, nothing),
    ]
}
