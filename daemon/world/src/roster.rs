//! People and groups of the registry whom no log names: boards that hold a role together, colleagues who left.
//!
//! In: members, the instant at which somebody left. Out: tables of the registry, and the ids to refer to them by.

use super::company::DOMAIN;
use super::dice::Dice;
use super::draft::Draft;
use super::governance::{list, text, time};

const FILE: &str = "people.toml";
const FIRST: &[&str] = &[
    "alva", "benedikt", "casper", "dunja", "esko", "fenna", "gil", "hilde", "ivo", "judit", "kees", "lorena",
    "matti", "noor", "olga", "pavel",
];
const LAST: &[&str] = &[
    "abbas", "bakker", "cermak", "draghi", "engels", "farkas", "gruber", "holub", "ilic", "jurado", "keller",
    "lupu", "maes", "nagy", "orban", "peeters",
];

/// Writes a group of these people, in this order; returns its id.
pub(crate) fn group(draft: &mut Draft, dice: &mut Dice, members: &[String]) -> String {
    let id = format!("{}-board", draft.fresh_name(dice));
    draft.governance.table(FILE, "group", &[("id", text(&id)), ("members", list(members))]);
    id
}

/// Writes somebody who left the company at that instant; returns their id.
pub(crate) fn leaver(draft: &mut Draft, dice: &mut Dice, left_at: i64) -> String {
    let mut id = format!("{}.{}", dice.pick(FIRST), dice.pick(LAST));
    while !draft.claim_name(&id) {
        id.push_str(&dice.between(2, 10).to_string());
    }
    let entries = [
        ("id", text(&id)),
        ("name", text(&id.replace('.', " "))),
        ("email", text(&format!("{id}@{DOMAIN}"))),
        ("disabled_at", time(left_at)),
    ];
    draft.governance.table(FILE, "person", &entries);
    id
}
