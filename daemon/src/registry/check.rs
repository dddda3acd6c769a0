//! What can only be judged with every file read: unique ids, references, policies, promotions.
//!
//! In: [`Parts`] of all files. Out: a [`Registry`] with everything worked out, or every mistake. A production
//! stage without a complete, approved promotion becomes stage `pilot` here, with a warning.

use std::collections::HashMap;

use super::Registry;
use super::entries::{Parts, Space};
use super::errors::{Place, Problems, RegistryErrors, nearest};
use super::facts::{Addresses, Criterion, Pilot, Policy, Profile, Promotion, Stage, StageSpan, Validity};
use super::published::{FileFormat, Published};
use super::reader::shown;
use crate::limits::REGISTRY_ENTRIES_MAX;

/// Checks across files and builds the registry.
pub(super) fn assemble(
    mut parts: Parts,
    published: Published,
    version: String,
    mut problems: Problems,
) -> Result<Registry, RegistryErrors> {
    check_sizes(&parts, &mut problems);
    check_ids(&parts, &mut problems);
    let policies = all_policies(std::mem::take(&mut parts.policies));
    if problems.is_empty() {
        judge_promotions(&mut parts, &policies, &mut problems);
        apply_promotions(&mut parts, &mut problems);
        warn_of_twins(&parts.pilots, &mut problems);
        warn_of_unknown_numbers(&parts, &mut problems);
    }
    let warnings = problems.finish()?;
    Ok(Registry::new(parts, policies, published, version, warnings))
}

fn check_sizes(parts: &Parts, problems: &mut Problems) {
    let selectors = parts.pilots.iter().map(|(p, _)| p.selectors.len()).sum::<usize>()
        + parts.services.iter().map(|s| s.selectors.len()).sum::<usize>();
    let sizes = [
        ("person", parts.people.len()),
        ("group", parts.groups.len()),
        ("team", parts.teams.len()),
        ("pilot", parts.pilots.len()),
        ("promotion", parts.promotions.len()),
        ("exception", parts.exceptions.len()),
        ("service", parts.services.len()),
        ("production", parts.production.len()),
        ("network", parts.networks.len()),
        ("shared_credential", parts.shared.len()),
        ("selector", selectors),
    ];
    for (kind, found) in sizes.into_iter().filter(|(_, found)| *found > REGISTRY_ENTRIES_MAX) {
        let place = Place { file: "registry".into(), line: 0 };
        let message = format!("{found} {kind} entries, expected at most {REGISTRY_ENTRIES_MAX}");
        problems.error(&place, message, "remove entries, or run one daemon a business unit".to_owned());
    }
}

fn check_ids(parts: &Parts, problems: &mut Problems) {
    let mut seen: HashMap<(Space, &str), &Place> = HashMap::new();
    for (space, id) in &parts.declared {
        let twin = match space {
            Space::Person => seen.get(&(Space::Group, &id.value)),
            Space::Group => seen.get(&(Space::Person, &id.value)),
            _ => None,
        };
        let first = seen.get(&(*space, id.value.as_str())).or(twin);
        if let Some(first) = first {
            let message = format!(
                "{} id `{}` is already taken, expected one of its own: {first}",
                space.name(),
                shown(&id.value)
            );
            problems.error(&id.place, message, "rename one of the two, or remove it".to_owned());
        }
        seen.entry((*space, &id.value)).or_insert(&id.place);
    }
    for reference in &parts.references {
        let id = reference.id.value.as_str();
        if reference.spaces.iter().any(|space| seen.contains_key(&(*space, id))) {
            continue;
        }
        let names: Vec<&str> = reference.spaces.iter().map(|s| s.name()).collect();
        let expected = names.join(" or ");
        let message = format!("{} names unknown {expected} `{}`", reference.by, shown(id));
        let known = seen.keys().filter(|(space, _)| reference.spaces.contains(space)).map(|(_, id)| *id);
        let near = if problems.has_room() { nearest(id, known) } else { None };
        let fix = near.map_or_else(
            || format!("declare it with [[{}]], or name one that is declared", names[0]),
            |near| format!("did you mean `{near}`?"),
        );
        problems.error(&reference.id.place, message, fix);
    }
}

/// One policy a profile.
fn all_policies(declared: Vec<Policy>) -> Vec<Policy> {
    let of = |(_, profile): &(&str, Profile)| {
        declared.iter().find(|p| p.profile == *profile).cloned().unwrap_or_else(|| Policy::of(*profile))
    };
    Profile::WORDS.iter().map(of).collect()
}

fn judge_promotions(parts: &mut Parts, policies: &[Policy], problems: &mut Problems) {
    let profiles: HashMap<&str, Profile> =
        parts.pilots.iter().map(|(pilot, _)| (pilot.id.as_str(), pilot.profile)).collect();
    for (promotion, place) in &mut parts.promotions {
        let profile = profiles[promotion.pilot.as_str()];
        let policy = policies.iter().find(|p| p.profile == profile).expect("every profile has a policy");
        let missing: Vec<&str> = policy.missing(promotion).into_iter().map(Criterion::name).collect();
        promotion.complete = missing.is_empty();
        if promotion.approved && !promotion.complete {
            let message = format!(
                "promotion of `{}` is approved but lacks {}, which policy `{}` requires: it does not count",
                promotion.pilot,
                missing.join(", "),
                profile.name()
            );
            problems.warning(place, message, "meet the criteria and decide again".to_owned());
        }
    }
}

/// A production stage counts from the first complete approval on; before that it is stage `pilot`.
fn apply_promotions(parts: &mut Parts, problems: &mut Problems) {
    let mut approved_at: HashMap<&str, i64> = HashMap::new();
    for (promotion, _) in parts.promotions.iter().filter(|(p, _)| counts(p)) {
        let first = approved_at.entry(&promotion.pilot).or_insert(i64::MAX);
        *first = promotion.decided_at.min(*first);
    }
    for (pilot, place) in &mut parts.pilots {
        let approved = approved_at.get(pilot.id.as_str()).copied().unwrap_or(i64::MAX);
        let early = |s: &StageSpan| s.stage == Stage::Production && s.validity.from < approved;
        if !pilot.stages.iter().any(early) {
            continue;
        }
        pilot.stages = pilot.stages.iter().flat_map(|span| promoted(*span, approved)).collect();
        let message = format!(
            "pilot `{}` has stage `production` without a complete, approved promotion: it counts as `pilot`{}",
            pilot.id,
            if approved == i64::MAX { "" } else { " until that is decided" }
        );
        problems.warning(place, message, "add the [[promotion]], or correct the stage".to_owned());
    }
}

fn counts(promotion: &Promotion) -> bool {
    promotion.approved && promotion.complete
}

fn promoted(span: StageSpan, approved: i64) -> impl Iterator<Item = StageSpan> {
    let Validity { from, to } = span.validity;
    let at = if span.stage == Stage::Production { approved.clamp(from, to) } else { from };
    let before = StageSpan { stage: Stage::Pilot, validity: Validity { from, to: at } };
    let after = StageSpan { stage: span.stage, validity: Validity { from: at, to } };
    [before, after].into_iter().filter(|s| s.validity.from < s.validity.to)
}

/// Two pilots that claim the same value at the same time attribute nothing: say so before it happens.
fn warn_of_twins(pilots: &[(Pilot, Place)], problems: &mut Problems) {
    let mut seen: HashMap<(u8, String), (usize, Validity)> = HashMap::new();
    for (i, (pilot, place)) in pilots.iter().enumerate() {
        for selector in &pilot.selectors {
            let key = (selector.kind.precedence(), format!("{}\0{:?}", selector.kind.name(), selector.value));
            let (holder, validity) = *seen.entry(key).or_insert((i, selector.validity));
            let overlaps = validity.from < selector.validity.to && selector.validity.from < validity.to;
            if holder != i && overlaps {
                let (kind, other) = (selector.kind.name(), &pilots[holder].0.id);
                let message = format!(
                    "pilots `{}` and `{other}` share a {kind} selector: its events are attributed to neither",
                    pilot.id
                );
                problems.warning(place, message, "give each pilot a selector of its own".to_owned());
            }
        }
    }
}

/// A network given by the number of an autonomous system needs a file that tells those numbers.
fn warn_of_unknown_numbers(parts: &Parts, problems: &mut Problems) {
    if parts.network_files.iter().any(|file| file.format == FileFormat::AutonomousSystems) {
        return;
    }
    for (network, place) in &parts.networks {
        if let Addresses::AutonomousSystem(number) = network.addresses {
            let message = format!("network `{}` is AS{number}, but no file tells such numbers", network.name);
            let fix = "add a [[network_file]] with format = \"asn\", or give a `cidr`".to_owned();
            problems.warning(place, message, fix);
        }
    }
}
