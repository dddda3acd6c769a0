//! Pilots in staging and the data they touch: one reads what nobody approved, one only seems to.
//!
//! In: a draft. Out: their governance, traffic and labels for data outside the approved scope.

use std::sync::Arc;

use serde_json::json;

use super::{FILE, Pilot, register, subject};
use crate::world::DATA_SCOPE;
use crate::world::cloudtrail::{Action, AwsUse, Delivery, Signer};
use crate::world::company::{LAMBDA, STAGING, person};
use crate::world::draft::Draft;
use crate::world::governance::{text, time};
use crate::world::pattern::{DAY, Pattern};
use crate::world::place::Place;

/// Adds both.
pub(super) fn add(draft: &mut Draft) {
    add_payroll_reader(draft);
    add_migration(draft);
}

/// It was approved for its own bucket; since two days it reads the payroll's as well.
fn add_payroll_reader(draft: &mut Draft) {
    let id = "shift-planner";
    add_pilot(draft, id, 41);
    draft.aws(id, Pattern::Office(3.0), reader(id, &format!("halden-{id}")));
    let recent = draft.end - 2 * DAY..i64::MAX;
    let name = format!("{id} payroll");
    let stream = draft.aws(&name, Pattern::Steady(1.5), reader(id, "halden-payroll"));
    *stream = stream.clone().within(recent);
    draft.expect(DATA_SCOPE, subject(id), "approved for its own bucket, it reads the payroll's for two days");
}

/// It reads the old archive until the move is done, by an exception that is valid.
fn add_migration(draft: &mut Draft) {
    let id = "damage-reports";
    add_pilot(draft, id, 42);
    let exception = [
        ("id", text("EX-0162")),
        ("pilot", text(id)),
        ("allows", text("data_out_of_scope")),
        ("granted_by", text(&person(33))),
        ("granted_at", time(draft.start - 6 * DAY)),
        ("expires_at", time(draft.end + 20 * DAY)),
    ];
    draft.governance.table(FILE, "exception", &exception);
    draft.aws(id, Pattern::Office(3.0), reader(id, &format!("halden-{id}")));
    draft.aws(&format!("{id} archive"), Pattern::Office(2.0), reader(id, "halden-archive"));
    draft.look_alike("other data under an exception", &[DATA_SCOPE], &subject(id));
}

fn add_pilot(draft: &mut Draft, id: &str, owner: u32) {
    let stages = [("pilot", draft.start - 40 * DAY)];
    let role = format!("arn:aws:iam::{STAGING}:role/{id}-runtime");
    let pilot = Pilot {
        id,
        purpose: id,
        team: "lab",
        owner,
        stages: &stages,
        selectors: &[("role", &role)],
        flags: &[],
    };
    register(draft, &pilot);
}

/// The pilot's function reads one bucket.
fn reader(id: &str, bucket: &str) -> AwsUse {
    let signer = Signer::Session {
        role: format!("{id}-runtime"),
        session: id.to_owned(),
        delivery: Delivery::Assumed,
    };
    let bucket = json!({ "bucketName": bucket });
    let actions = vec![
        Action::new("s3.amazonaws.com", "GetObject", true, bucket.clone()),
        Action::new("s3.amazonaws.com", "ListObjects", true, bucket),
    ];
    let place = Place::Staging(7);
    AwsUse { account: STAGING, signer, clients: vec![LAMBDA], place, actions: Arc::new(actions) }
}
