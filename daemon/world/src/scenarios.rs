//! What is planted: incidents of every detection in several variants, and what must not be confused with them.
//!
//! In: a draft. Out: pilots, traffic and labels. Which variants a world holds, and how often, follows its seed;
//! incidents are rare, look-alikes common.

mod credential;
mod criteria;
mod dependency;
mod duties;
mod environment;
mod exceptions;
mod llmjacking;
mod oversight;
mod promotions;
mod revoked;
mod scope;
mod shared_credential;
mod silence;
mod unpromoted;
mod unregistered;

use super::Scale;
use super::dice::Dice;
use super::draft::Draft;

/// One story that can be told of any company.
#[derive(Clone, Copy)]
pub(crate) struct Scenario {
    /// What it is, in words; unique.
    pub(crate) name: &'static str,
    /// Days of history that it needs.
    pub(crate) days_min: i64,
    /// Adds it to the world, labels and all. The dice are its own.
    pub(crate) plant: fn(&mut Draft, &mut Dice),
}

/// The stories about one detection.
pub(crate) struct Chapter {
    pub(crate) detection: &'static str,
    /// One of the mission's three.
    pub(crate) is_mission: bool,
    pub(crate) incidents: &'static [Scenario],
    pub(crate) look_alikes: &'static [Scenario],
}

/// Every chapter.
const CHAPTERS: &[&Chapter] = &[
    &unpromoted::CHAPTER,
    &dependency::CHAPTER,
    &shared_credential::CHAPTER,
    &llmjacking::CHAPTER,
    &unregistered::CHAPTER,
    &exceptions::CHAPTER,
    &promotions::CHAPTER,
    &criteria::CHAPTER,
    &duties::CHAPTER,
    &scope::CHAPTER,
    &oversight::CHAPTER,
    &revoked::CHAPTER,
    &environment::CHAPTER,
    // The last: it must not hide what the others tell.
    &silence::CHAPTER,
];

/// Plants what this world holds.
pub(crate) fn plant(draft: &mut Draft) {
    for chapter in CHAPTERS {
        let (incidents, look_alikes) = match (draft.scale, chapter.is_mission) {
            (Scale::Small, true) => (3, 1),
            (Scale::Small, false) => (1, 1),
            (Scale::Company, true) => (5, 3),
            (Scale::Company, false) => (3, 2),
            (Scale::Enterprise, true) => (20, 12),
            (Scale::Enterprise, false) => (8, 8),
        };
        tell(draft, chapter.detection, chapter.incidents, incidents);
        tell(draft, chapter.detection, chapter.look_alikes, look_alikes * chapter.look_alikes.len());
    }
}

/// Tells so many of the stories, none a second time before all were told once.
fn tell(draft: &mut Draft, detection: &str, stories: &[Scenario], count: usize) {
    let fitting: Vec<&Scenario> = stories.iter().filter(|s| s.days_min <= draft.days()).collect();
    let mut order: Vec<&Scenario> = Vec::new();
    while order.len() < count && !fitting.is_empty() {
        let mut round = fitting.clone();
        draft.dice(&format!("{detection} {}", order.len())).shuffle(&mut round);
        order.extend(round);
    }
    for (index, story) in order.into_iter().take(count).enumerate() {
        let mut dice = draft.dice(&format!("{} {index}", story.name));
        draft.story = story.name;
        (story.plant)(draft, &mut dice);
    }
}
