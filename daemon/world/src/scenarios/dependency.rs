//! Businesses that came to depend on an unpromoted pilot, and those that only use one.

use super::unpromoted::{alternative, routed};
use super::{Chapter, Scenario};
use crate::company::Workload;
use crate::dice::Dice;
use crate::draft::Draft;
use crate::everyday::{api_target, gateway_of};
use crate::formats::{Gateway, Target};
use crate::pattern::{DAY, HOUR, Pattern};
use crate::pilot::Pilot;
use crate::stream::Outages;
use crate::{BUSINESS_DEPENDENCY, UNPROMOTED};

pub(super) const CHAPTER: Chapter = Chapter {
    detection: BUSINESS_DEPENDENCY,
    is_mission: true,
    incidents: &[
        Scenario { name: "several teams rely on it", days_min: 14, plant: several_teams },
        Scenario { name: "its failures go through", days_min: 14, plant: failures_go_through },
        Scenario { name: "callers join week by week", days_min: 21, plant: growing },
        Scenario { name: "two services cannot do without", days_min: 14, plant: two_services },
        Scenario { name: "jobs of four services, every hour", days_min: 14, plant: hourly_jobs },
    ],
    look_alikes: &[
        Scenario { name: "a trial of three days", days_min: 10, plant: trial },
        Scenario { name: "used on the side", days_min: 14, plant: on_the_side },
        Scenario { name: "a project that ended", days_min: 21, plant: ended },
    ],
};

/// An unpromoted pilot with a route of its own, registered, and services outside its team.
fn pilot_with(draft: &mut Draft, dice: &mut Dice, callers: usize) -> (Pilot, Gateway, Target, Vec<Workload>) {
    let (mut pilot, gateway, target) = routed(draft, dice);
    if dice.chance(0.4) {
        pilot.flags.push("external_users");
    }
    pilot.register(draft);
    let callers = draft.services_outside(dice, &pilot.team, callers);
    (pilot, gateway, target, callers)
}

/// Half of what people rely on has been in use since before the history begins.
fn since(draft: &Draft, dice: &mut Dice, days_needed: i64) -> i64 {
    let latest = draft.days() - days_needed;
    if latest < 1 || dice.chance(0.5) { draft.start } else { draft.moment(dice, 0, latest) }
}

/// A dependency can be known after a working week; that the pilot is in production, on its first day.
fn expect_both(draft: &mut Draft, pilot: &Pilot, since: i64, why: &str) {
    draft.expect(BUSINESS_DEPENDENCY, &pilot.subject(), (since, since + 7 * DAY), why);
    draft.expect(UNPROMOTED, &pilot.subject(), (since, since + DAY), why);
}

/// What calls the service in turn fails while the pilot is down.
fn fail_with(draft: &mut Draft, dice: &mut Dice, service: &Workload, outages: &Outages, since: i64) {
    for upstream in draft.services_outside(dice, &service.team, 2) {
        let rate = dice.real(6.0, 14.0);
        let target = api_target(service);
        draft
            .call(gateway_of(service), &upstream, &target, Pattern::Customers(rate), Some(outages))
            .within(since..i64::MAX);
    }
}

/// Services of several teams call it all day, every working day.
fn several_teams(draft: &mut Draft, dice: &mut Dice) {
    let count = dice.between(4, 8) as usize;
    let (pilot, gateway, target, callers) = pilot_with(draft, dice, count);
    let since = since(draft, dice, 11);
    for caller in &callers {
        let rate = dice.real(5.0, 15.0);
        draft.call(gateway, caller, &target, Pattern::Office(rate), None).within(since..i64::MAX);
    }
    if dice.chance(0.5) {
        alternative(draft, &pilot, gateway, &callers[..2], &Pattern::Office(1.5));
    }
    expect_both(draft, &pilot, since, "services of several teams call it all day, every working day");
}

/// It fails now and then; its callers try again, find nothing else, and fail those who call them.
fn failures_go_through(draft: &mut Draft, dice: &mut Dice) {
    let (pilot, gateway, target, callers) = pilot_with(draft, dice, 3);
    let since = since(draft, dice, 11);
    let outages = Outages { of: pilot.id.clone(), per_week: dice.real(5.0, 9.0) };
    for caller in &callers {
        let rate = dice.real(15.0, 40.0);
        draft
            .call(gateway, caller, &target, Pattern::Customers(rate), Some(&outages))
            .within(since..i64::MAX);
        fail_with(draft, dice, caller, &outages, since);
    }
    expect_both(draft, &pilot, since, "whenever it fails, its callers fail those who call them");
}

/// Two callers at first; a new one every other working day.
fn growing(draft: &mut Draft, dice: &mut Dice) {
    let (pilot, gateway, target, callers) = pilot_with(draft, dice, 7);
    let since = since(draft, dice, 18);
    for (index, caller) in (0..).zip(&callers) {
        let joined = since + (index - 1).max(0) * 2 * DAY;
        let rate = dice.real(6.0, 12.0);
        draft.call(gateway, caller, &target, Pattern::Office(rate), None).within(joined..i64::MAX);
    }
    let why = "two services at first, a new one every other day since";
    draft.expect(BUSINESS_DEPENDENCY, &pilot.subject(), (since, since + 9 * DAY), why);
    draft.expect(UNPROMOTED, &pilot.subject(), (since, since + DAY), why);
}

/// Two services in the middle of the business hand every case to it; they have nothing else.
fn two_services(draft: &mut Draft, dice: &mut Dice) {
    let (pilot, gateway, target, callers) = pilot_with(draft, dice, 2);
    let since = since(draft, dice, 11);
    let outages = Outages { of: pilot.id.clone(), per_week: dice.real(6.0, 10.0) };
    for caller in &callers {
        let rate = dice.real(30.0, 60.0);
        draft.call(gateway, caller, &target, Pattern::Office(rate), Some(&outages)).within(since..i64::MAX);
        fail_with(draft, dice, caller, &outages, since);
        fail_with(draft, dice, caller, &outages, since);
    }
    alternative(draft, &pilot, gateway, &callers, &Pattern::Office(0.5));
    expect_both(draft, &pilot, since, "two services that many call hand every case to it");
}

/// Jobs of four services of several teams, every hour of every day.
fn hourly_jobs(draft: &mut Draft, dice: &mut Dice) {
    let (pilot, gateway, target, callers) = pilot_with(draft, dice, 4);
    let since = since(draft, dice, 11);
    for caller in &callers {
        for _ in 0..3 {
            let minute = dice.between(0, 60);
            draft.call(gateway, caller, &target, Pattern::Hourly(minute), None).within(since..i64::MAX);
        }
    }
    let outages = Outages { of: pilot.id.clone(), per_week: 1.0 };
    fail_with(draft, dice, &callers[0], &outages, since);
    expect_both(draft, &pilot, since, "jobs of four services call it every hour");
}

/// Several services try it from one working day to the third after it.
fn trial(draft: &mut Draft, dice: &mut Dice) {
    let (pilot, gateway, target, callers) = pilot_with(draft, dice, 4);
    let since = draft.moment(dice, 1, -5);
    for caller in &callers {
        let rate = dice.real(6.0, 14.0);
        draft.call(gateway, caller, &target, Pattern::Steady(rate), None).within(since..since + 3 * DAY);
    }
    let why = "four services of other teams tried it in production for three days";
    draft.expect(UNPROMOTED, &pilot.subject(), (since, since + 6 * HOUR), why);
    draft.look_alike(&[BUSINESS_DEPENDENCY], &pilot.subject());
}

/// Two services ask it now and then, day and night; nearly all of their work goes to what is promoted.
fn on_the_side(draft: &mut Draft, dice: &mut Dice) {
    let (pilot, gateway, target, callers) = pilot_with(draft, dice, 2);
    for caller in &callers {
        let rate = dice.real(0.5, 1.0);
        draft.call(gateway, caller, &target, Pattern::Steady(rate), None);
    }
    alternative(draft, &pilot, gateway, &callers, &Pattern::Steady(40.0));
    let why = "two services of other teams call it every day, though rarely";
    draft.expect(UNPROMOTED, &pilot.subject(), (draft.start, draft.start + DAY), why);
    draft.look_alike(&[BUSINESS_DEPENDENCY], &pilot.subject());
}

/// Three services used it for four working days and went back to what is promoted.
fn ended(draft: &mut Draft, dice: &mut Dice) {
    let (pilot, gateway, target, callers) = pilot_with(draft, dice, 3);
    let since = draft.moment(dice, 1, -10);
    for caller in &callers {
        let rate = dice.real(4.0, 9.0);
        draft.call(gateway, caller, &target, Pattern::Steady(rate), None).within(since..since + 4 * DAY);
    }
    alternative(draft, &pilot, gateway, &callers, &Pattern::Customers(12.0));
    let why = "three services of other teams used it in production for four days";
    draft.expect(UNPROMOTED, &pilot.subject(), (since, since + 6 * HOUR), why);
    draft.look_alike(&[BUSINESS_DEPENDENCY], &pilot.subject());
}
