//! The registry as SQL tables.
//!
//! In: a checked registry. Out: one record batch a table, rows in id order. Times are UTC microseconds; an
//! open end is null. What a table says of a pilot's stage is what counts, with promotions taken into account.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, StringArray, TimestampMicrosecondArray};
use arrow::record_batch::RecordBatch;

use super::Registry;
use super::facts::{Criterion, Person, Pilot, Profile, Promotion, Stage, StageSpan, Validity};

/// Every table with its name.
pub(super) fn tables(registry: &Registry) -> Vec<(&'static str, RecordBatch)> {
    vec![
        ("pilots", pilots(registry)),
        ("pilot_stages", pilot_stages(registry)),
        ("promotions", promotions(registry)),
        ("exceptions", exceptions(registry)),
        ("teams", teams(registry)),
        ("services", services(registry)),
        ("pilot_roles", pilot_roles(registry)),
        ("holders", holders(registry)),
    ]
}

/// Columns with name, values and whether they may be null.
type Columns = Vec<(&'static str, ArrayRef, bool)>;

fn table(columns: Columns) -> RecordBatch {
    RecordBatch::try_from_iter_with_nullable(columns).expect("the columns of a table are of one length")
}

fn text<'a>(values: impl Iterator<Item = &'a str>) -> ArrayRef {
    Arc::new(StringArray::from_iter_values(values))
}

fn text_or_null<'a>(values: impl Iterator<Item = Option<&'a str>>) -> ArrayRef {
    Arc::new(StringArray::from_iter(values))
}

fn flags(values: impl Iterator<Item = bool>) -> ArrayRef {
    Arc::new(BooleanArray::from_iter(values.map(Some)))
}

fn times(values: impl Iterator<Item = i64>) -> ArrayRef {
    Arc::new(TimestampMicrosecondArray::from_iter_values(values))
}

fn times_or_null(values: impl Iterator<Item = Option<i64>>) -> ArrayRef {
    Arc::new(TimestampMicrosecondArray::from_iter(values))
}

fn end(validity: Validity) -> Option<i64> {
    Some(validity.to).filter(|to| *to != i64::MAX)
}

fn pilots(registry: &Registry) -> RecordBatch {
    let all = || registry.pilots.iter();
    let refused = refusals(&registry.promotions);
    let owner = |p: &Pilot| registry.first_enabled(&p.owner).map_or("", |person| person.id.as_str());
    table(vec![
        ("pilot", text(all().map(|p| p.id.as_str())), false),
        ("name", text(all().map(|p| p.name.as_str())), false),
        ("purpose", text(all().map(|p| p.purpose.as_str())), false),
        ("team", text(all().map(|p| p.team.as_str())), false),
        ("owner", text(all().map(owner)), false),
        ("profile", text(all().map(|p| p.profile.name())), false),
        ("regulated", flags(all().map(|p| p.profile == Profile::Regulated)), false),
        ("separate_duties", flags(all().map(|p| registry.policy(p).separate_duties)), false),
        ("sensitive_data", flags(all().map(|p| p.sensitive_data)), false),
        ("write_tools", flags(all().map(|p| p.write_tools)), false),
        ("external_users", flags(all().map(|p| p.external_users)), false),
        ("promotion_refused_at", times_or_null(all().map(|p| refused.get(p.id.as_str()).copied())), true),
        ("stage_now", text(all().map(last_stage)), false),
    ])
}

fn last_stage(pilot: &Pilot) -> &'static str {
    pilot.stages.last().map_or(Stage::Proposed, |s| s.stage).name()
}

/// When each pilot's promotion was last refused, unless a complete approval came later.
fn refusals(promotions: &[Promotion]) -> HashMap<&str, i64> {
    let mut decisions: Vec<&Promotion> = promotions.iter().collect();
    decisions.sort_by_key(|p| (p.decided_at, p.approved));
    let mut refused = HashMap::new();
    for decision in decisions {
        if !decision.approved {
            refused.insert(decision.pilot.as_str(), decision.decided_at);
        } else if decision.complete {
            refused.remove(decision.pilot.as_str());
        }
    }
    refused
}

fn pilot_stages(registry: &Registry) -> RecordBatch {
    let rows: Vec<(&str, StageSpan)> =
        registry.pilots.iter().flat_map(|p| p.stages.iter().map(|s| (p.id.as_str(), *s))).collect();
    let all = || rows.iter();
    table(vec![
        ("pilot", text(all().map(|(pilot, _)| *pilot)), false),
        ("stage", text(all().map(|(_, s)| s.stage.name())), false),
        ("valid_from", times(all().map(|(_, s)| s.validity.from)), false),
        ("valid_to", times_or_null(all().map(|(_, s)| end(s.validity))), true),
    ])
}

fn promotions(registry: &Registry) -> RecordBatch {
    let mut rows: Vec<_> = registry.promotions.iter().collect();
    rows.sort_by_key(|p| (&p.pilot, p.decided_at, p.approved));
    let all = || rows.iter();
    let outcome = |approved: bool| if approved { "approved" } else { "refused" };
    let missing: Vec<String> = rows.iter().map(|p| missing(registry, p)).collect();
    let missing = || missing.iter().map(|m| Some(m.as_str()).filter(|m| !m.is_empty()));
    table(vec![
        ("pilot", text(all().map(|p| p.pilot.as_str())), false),
        ("requested_by", text(all().map(|p| p.requested_by.as_str())), false),
        ("decided_by", text(all().map(|p| p.decided_by.as_str())), false),
        ("decided_at", times(all().map(|p| p.decided_at)), false),
        ("outcome", text(all().map(|p| outcome(p.approved))), false),
        ("complete", flags(all().map(|p| p.complete)), false),
        ("missing", text_or_null(missing()), true),
    ])
}

/// Names of the criteria that the policy asks for and the promotion does not show.
fn missing(registry: &Registry, promotion: &Promotion) -> String {
    let pilot = &registry.pilots[registry.pilot_numbers[&promotion.pilot]];
    let names: Vec<&str> =
        registry.policy(pilot).missing(promotion).into_iter().map(Criterion::name).collect();
    names.join(", ")
}

fn exceptions(registry: &Registry) -> RecordBatch {
    let mut rows: Vec<_> = registry.exceptions.iter().collect();
    rows.sort_by_key(|e| &e.id);
    let all = || rows.iter();
    table(vec![
        ("exception", text(all().map(|e| e.id.as_str())), false),
        ("pilot", text(all().map(|e| e.pilot.as_str())), false),
        ("allows", text(all().map(|e| e.allows.name())), false),
        ("granted_by", text(all().map(|e| e.granted_by.as_str())), false),
        ("granted_at", times(all().map(|e| e.validity.from)), false),
        ("expires_at", times(all().map(|e| e.validity.to)), false),
        ("reviewed_at", times_or_null(all().map(|e| e.reviewed_at)), true),
    ])
}

fn teams(registry: &Registry) -> RecordBatch {
    let all = || registry.teams.iter();
    let owner = |id: &str| registry.first_enabled(id).map_or("", |person| person.id.as_str());
    table(vec![
        ("team", text(all().map(|t| t.id.as_str())), false),
        ("owner", text(all().map(|t| owner(&t.owner))), false),
    ])
}

fn services(registry: &Registry) -> RecordBatch {
    let all = || registry.services.iter();
    table(vec![
        ("service", text(all().map(|s| s.id.as_str())), false),
        ("team", text(all().map(|s| s.team.as_str())), false),
        ("purpose", text_or_null(all().map(|s| s.purpose.as_deref())), true),
        ("production", flags(all().map(|s| s.production)), false),
    ])
}

/// Who holds which role of a pilot: a person or a group, that is a `holder` of table `holders`.
fn pilot_roles(registry: &Registry) -> RecordBatch {
    let rows: Vec<(&str, &str, &str)> = registry.pilots.iter().flat_map(roles).collect();
    let all = || rows.iter();
    table(vec![
        ("pilot", text(all().map(|(pilot, _, _)| *pilot)), false),
        ("role", text(all().map(|(_, role, _)| *role)), false),
        ("holder", text(all().map(|(_, _, holder)| *holder)), false),
    ])
}

/// Pilot, role, holder.
fn roles(pilot: &Pilot) -> impl Iterator<Item = (&str, &str, &str)> {
    let roles = [
        ("pilot_owner", Some(&pilot.owner)),
        ("data_owner", pilot.data_owner.as_ref()),
        ("security_approver", pilot.security_approver.as_ref()),
        ("control_owner", pilot.control_owner.as_ref()),
    ];
    roles.into_iter().filter_map(|(role, holder)| Some((pilot.id.as_str(), role, holder?.as_str())))
}

/// The persons behind each id that can hold a role: of a person that person, of a group its members.
fn holders(registry: &Registry) -> RecordBatch {
    let person = |id: &String| registry.people.iter().find(|p| p.id == *id);
    let mut rows: Vec<(&str, &Person)> = registry.people.iter().map(|p| (p.id.as_str(), p)).collect();
    for group in &registry.groups {
        rows.extend(group.members.iter().filter_map(person).map(|p| (group.id.as_str(), p)));
    }
    rows.sort_by_key(|(holder, person)| (*holder, &person.id));
    rows.dedup_by_key(|(holder, person)| (*holder, &person.id));
    let all = || rows.iter();
    table(vec![
        ("holder", text(all().map(|(holder, _)| *holder)), false),
        ("person", text(all().map(|(_, p)| p.id.as_str())), false),
        ("name", text(all().map(|(_, p)| p.name.as_str())), false),
        ("disabled_at", times_or_null(all().map(|(_, p)| p.disabled_at)), true),
    ])
}
