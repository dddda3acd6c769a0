//! A source whose messages stop coming, and sources that merely pause. The last chapter: it must know the others'.

use std::ops::Range;

use serde_json::json;

use super::{Chapter, Scenario};
use crate::dice::Dice;
use crate::draft::Draft;
use crate::pattern::{DAY, HOUR, MINUTE, Pattern};
use crate::place::Place;
use crate::template::{Alphabet, Form, Mix, blank};
use crate::topics::Topic;
use crate::{ExpectedSubject, LLMJACKING, SHARED_CREDENTIAL, SILENCE};

pub(super) const CHAPTER: Chapter = Chapter {
    detection: SILENCE,
    is_mission: false,
    incidents: &[
        Scenario { name: "some hours of a working day", days_min: 12, plant: working_day },
        Scenario { name: "from the evening to the morning", days_min: 12, plant: night },
        Scenario { name: "a day and more", days_min: 12, plant: long },
    ],
    look_alikes: &[
        Scenario { name: "a nightly batch pauses by day", days_min: 9, plant: batch },
        Scenario { name: "an office source at the weekend", days_min: 9, plant: office },
        Scenario { name: "a short gap", days_min: 9, plant: short_gap },
    ],
};

/// Sources of few messages that flow day and night, whose silence hides little else.
const CANDIDATES: &[Topic] = &[Topic::Okta, Topic::Entra, Topic::Auth0, Topic::Keycloak, Topic::Workspace];
/// So many streams at least make a source that never rests.
const STREAMS_MIN: usize = 12;
/// Tries to find a time that touches nobody else's story.
const TRIES: usize = 40;

fn subject(topic: Topic) -> ExpectedSubject {
    ExpectedSubject::Source(topic.name().to_owned())
}

/// The candidates that carry traffic in this world and are not muted yet, in some order.
fn candidates(draft: &Draft, dice: &mut Dice) -> Vec<Topic> {
    let streams = |topic| draft.streams.iter().filter(|stream| stream.topic == topic).count();
    let mut topics: Vec<Topic> = CANDIDATES
        .iter()
        .copied()
        .filter(|topic| streams(*topic) >= STREAMS_MIN && draft.mutes.iter().all(|(muted, _)| muted != topic))
        .collect();
    dice.shuffle(&mut topics);
    topics
}

/// Whether an incident that identity logs could show becomes known in or around that time.
fn hides(draft: &Draft, span: &Range<i64>) -> bool {
    draft.expected.iter().any(|label| {
        let (since, from) = (label.since.as_microsecond(), label.from.as_microsecond());
        [SHARED_CREDENTIAL, LLMJACKING].contains(&label.detection.as_str())
            && since - HOUR < span.end
            && span.start < from + DAY
    })
}

/// Mutes one topic for a time that `draw` gives and that hides nobody else's story; no second topic in one world.
fn mute(draft: &mut Draft, dice: &mut Dice, draw: fn(&Draft, &mut Dice) -> Range<i64>, why: &str) {
    let Some(topic) = candidates(draft, dice).into_iter().next().filter(|_| draft.mutes.is_empty()) else {
        return;
    };
    let spans: Vec<Range<i64>> = (0..TRIES).map(|_| draw(draft, dice)).collect();
    let Some(span) = spans.into_iter().find(|span| !hides(draft, span)) else { return };
    let moments = (span.start, span.start + HOUR);
    draft.mutes.push((topic, span));
    draft.expect(SILENCE, &subject(topic), moments, why);
}

/// A day on which the week before is known, and after which there is something left.
fn midnight(draft: &Draft, dice: &mut Dice) -> i64 {
    draft.moment(dice, 9, -3).div_euclid(DAY) * DAY
}

/// Its connector lost its permission one morning.
fn working_day(draft: &mut Draft, dice: &mut Dice) {
    let draw = |draft: &Draft, dice: &mut Dice| {
        let begins = midnight(draft, dice) + dice.between(7 * 60, 12 * 60) * MINUTE;
        begins..begins + dice.between(4 * 60, 9 * 60) * MINUTE
    };
    mute(draft, dice, draw, "nothing came for half a working day");
}

/// It stopped after everybody had gone home.
fn night(draft: &mut Draft, dice: &mut Dice) {
    let draw = |draft: &Draft, dice: &mut Dice| {
        let begins = midnight(draft, dice) + dice.between(19 * 60, 23 * 60) * MINUTE;
        begins..begins + dice.between(8 * 60, 14 * 60) * MINUTE
    };
    mute(draft, dice, draw, "nothing came from the evening to the morning");
}

/// Nobody noticed until the day after.
fn long(draft: &mut Draft, dice: &mut Dice) {
    let draw = |draft: &Draft, dice: &mut Dice| {
        let begins = midnight(draft, dice) + dice.between(0, 24 * 60) * MINUTE;
        begins..begins + dice.between(20 * 60, 40 * 60) * MINUTE
    };
    mute(draft, dice, draw, "nothing came for a day");
}

/// Whether the topic's pause was told before.
fn is_told(draft: &Draft, topic: Topic) -> bool {
    draft.look_alikes.iter().any(|quiet| quiet.detection == SILENCE && quiet.subject == subject(topic))
}

/// Exports are written at night; by day there is nothing to tell.
fn batch(draft: &mut Draft, dice: &mut Dice) {
    if is_told(draft, Topic::Exports) {
        return;
    }
    let hour = dice.between(0, 5);
    for team in draft.company.teams.clone() {
        let record = json!({
            "written_at": blank::time(Form::Seconds),
            "id": blank::letters(Alphabet::Hex, 20),
            "step": blank::one_of(&["export.part", "export.part", "export.close"]),
            "job": format!("{team}-export"),
            "file": format!("{team}/part-{}.csv", blank::number(100, 999)),
            "rows": blank::integer(20, 90_000),
            "complete": true,
        });
        let minute = dice.between(0, 45);
        let times = Pattern::Daily(hour + dice.between(0, 2), minute, dice.between(4, 20) as u32);
        let (name, mix) = (format!("{team} export"), Mix::of(&record));
        draft.stream(&name, &team, Topic::Exports, times, Place::Nowhere, mix);
    }
    draft.look_alike(&[SILENCE], &subject(Topic::Exports));
}

/// Doors are opened when people come to work.
fn office(draft: &mut Draft, dice: &mut Dice) {
    if is_told(draft, Topic::Badges) {
        return;
    }
    let doors = ["lobby", "garage", "floor-1", "floor-2", "lab"];
    let chance = dice.real(0.2, 0.5);
    for person in draft.company.people.clone() {
        let record = json!({
            "at": blank::time(Form::Seconds),
            "id": blank::uuid(),
            "event": "door.open",
            "holder": person.email,
            "door": blank::one_of(&doors),
            "opened": true,
        });
        let (name, mix) = (format!("{} badge", person.id), Mix::of(&record));
        let times = Pattern::Sittings(chance, 2);
        draft.stream(&name, &person.id, Topic::Badges, times, person.laptop(), mix).by(&person.clock);
    }
    draft.look_alike(&[SILENCE], &subject(Topic::Badges));
}

/// A connector restarts: some minutes are missing.
fn short_gap(draft: &mut Draft, dice: &mut Dice) {
    let Some(topic) = candidates(draft, dice).into_iter().next() else { return };
    if is_told(draft, topic) || draft.expected.iter().any(|label| label.subject == subject(topic)) {
        return;
    }
    let begins = draft.moment(dice, 8, -1);
    draft.mutes.push((topic, begins..begins + dice.between(5, 20) * MINUTE));
    draft.look_alike(&[SILENCE], &subject(topic));
}
