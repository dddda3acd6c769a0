//! Pilots that act by tools outside their scope although nobody approved it, and those whom somebody watches.

use serde_json::{Value, json};

use super::{Chapter, Scenario};
use crate::OVERSIGHT;
use crate::company::{DOMAIN, HTTP_CLIENTS};
use crate::dice::Dice;
use crate::draft::Draft;
use crate::formats::{Answer, Caller, Request, Target, envoy};
use crate::pattern::{DAY, HOUR, MINUTE, Pattern};
use crate::pilot::Pilot;
use crate::place::Place;
use crate::template::{Alphabet, Form, Mix, blank};
use crate::topics::Topic;

pub(super) const CHAPTER: Chapter = Chapter {
    detection: OVERSIGHT,
    is_mission: false,
    incidents: &[
        Scenario { name: "one tool is left out", days_min: 4, plant: left_out },
        Scenario { name: "approved hours before", days_min: 5, plant: hours_before },
        Scenario { name: "nobody was ever asked", days_min: 4, plant: never_asked },
        Scenario { name: "the answer was no", days_min: 5, plant: answer_was_no },
        Scenario { name: "another tool was approved", days_min: 5, plant: another_tool },
    ],
    look_alikes: &[
        Scenario { name: "approved before each call", days_min: 2, plant: approved },
        Scenario { name: "approved by the registry's name of the tool", days_min: 2, plant: other_name },
        Scenario { name: "approved for any tool", days_min: 2, plant: any_tool },
        Scenario { name: "tools in scope by a wildcard", days_min: 2, plant: wildcard },
        Scenario { name: "a person at the keyboard", days_min: 3, plant: person },
        Scenario { name: "unattended by an exception", days_min: 4, plant: excepted },
        Scenario { name: "the gateway denies it", days_min: 3, plant: denied },
    ],
};

/// A server of tools: its name, a tool that only looks, and tools that change something.
type Server = (&'static str, &'static str, [&'static str; 3]);

const SERVERS: &[Server] = &[
    ("tickets", "read", ["close", "reassign", "reply"]),
    ("orders", "lookup", ["cancel", "credit", "reroute"]),
    ("ledger", "search", ["post", "void", "refund"]),
    ("stock", "count", ["move", "write_off", "reserve"]),
];

/// A pilot that calls tools through a gateway in staging; not yet registered.
pub(super) struct Agent {
    pub(super) pilot: Pilot,
    server: Server,
    peer: String,
    /// What the approval step calls it.
    client: String,
    host: u32,
}

/// Such a pilot, which looks things up all day.
pub(super) fn agent(draft: &mut Draft, dice: &mut Dice) -> Agent {
    let mut pilot = Pilot::new(draft, dice);
    let server = *dice.pick(SERVERS);
    let peer = format!("spiffe://stage.{DOMAIN}/ns/{}/sa/{}", pilot.team, pilot.id);
    let client = format!("{}-client", pilot.id);
    pilot.selectors = vec![("spiffe", peer.clone()), ("client_id", client.clone())];
    pilot.tool_scope = vec![format!("{}:{}", server.0, server.1)];
    let agent = Agent { server, peer, client, host: 36_000 + dice.below(1_500) as u32, pilot };
    let rate = dice.real(0.5, 5.0);
    agent.calls(draft, server.1, Pattern::Office(rate), Answer::Fine);
    agent
}

impl Agent {
    /// One of the tools that change something.
    pub(super) fn action(&self, dice: &mut Dice) -> &'static str {
        dice.pick::<&str>(&self.server.2)
    }

    /// It calls a tool of its server at such times.
    pub(super) fn calls(&self, draft: &mut Draft, tool: &str, pattern: Pattern, answer: Answer) {
        let caller = Caller {
            name: self.pilot.id.clone(),
            peer: Some(self.peer.clone()),
            consumer: None,
            api_key_id: None,
            bearer: None,
            user_agent: HTTP_CLIENTS[2].to_owned(),
        };
        self.calls_by(draft, &caller, tool, (pattern, Place::Pod(self.host)), answer);
    }

    fn calls_by(
        &self,
        draft: &mut Draft,
        caller: &Caller,
        tool: &str,
        (pattern, place): (Pattern, Place),
        answer: Answer,
    ) {
        let target = Target {
            host: format!("tools.stage.{DOMAIN}"),
            route: "tools".to_owned(),
            path: "/mcp".to_owned(),
            model: None,
        };
        let status = if answer == Answer::Denied { 403 } else { 200 };
        let request = Request { caller: caller.clone(), target, method: "POST", answer };
        let line = envoy::tool_call(&request, status, &format!("{}__{tool}", self.server.0));
        let name = format!("{} {tool}", caller.name);
        draft.stream(&name, &caller.name, Topic::AiGateway, pattern, place, Mix::of(&line));
    }

    /// Somebody answers its questions at these moments; without a tool the answer is for any.
    pub(super) fn answers(
        &self,
        draft: &mut Draft,
        dice: &mut Dice,
        tool: Option<&str>,
        granted: bool,
        moments: Vec<i64>,
    ) {
        let tool = tool.map(|tool| format!("{}__{tool}", self.server.0));
        self.answers_naming(draft, dice, tool.as_deref(), granted, moments);
    }

    /// The same, with the tool's name as it stands in the record.
    fn answers_naming(
        &self,
        draft: &mut Draft,
        dice: &mut Dice,
        tool: Option<&str>,
        granted: bool,
        moments: Vec<i64>,
    ) {
        let approver = draft.anybody(dice);
        let record = answer(&approver.email, &self.client, tool, granted);
        let name = format!("{} answers {}", approver.id, self.pilot.id);
        let times = Pattern::At(moments);
        draft.stream(&name, &self.client, Topic::Approvals, times, approver.laptop(), Mix::of(&record));
    }
}

/// The record of an answer in the company's own approval step.
fn answer(approver: &str, requester: &str, tool: Option<&str>, granted: bool) -> Value {
    json!({
        "at": blank::time(Form::Millis),
        "id": blank::letters(Alphabet::Hex, 24),
        "event": if granted { "approval.granted" } else { "approval.declined" },
        "approver": approver,
        "requester": requester,
        "tool": tool,
        "granted": granted,
        "channel": "chat",
    })
}

/// Up to so many moments a working day, between these instants.
fn moments(draft: &Draft, dice: &mut Dice, a_day: i64, (from, to): (i64, i64)) -> Vec<i64> {
    let clock = draft.anybody(dice).clock;
    let mut found = Vec::new();
    let mut morning = clock.working_day(from, 9);
    while morning < to {
        for _ in 0..dice.between(1, a_day + 1) {
            found.push(morning + dice.below(7 * HOUR));
        }
        morning = clock.working_day(morning + HOUR, 9);
    }
    found.retain(|moment| *moment < to);
    found.sort_unstable();
    found
}

/// So many minutes before each of these moments, at least and at most.
fn before(dice: &mut Dice, moments: &[i64], (least, most): (i64, i64)) -> Vec<i64> {
    moments.iter().map(|moment| moment - dice.between(least * MINUTE, most * MINUTE)).collect()
}

/// The whole history.
fn all(draft: &Draft) -> (i64, i64) {
    (draft.start + HOUR, draft.end)
}

/// Some days of calls that nobody approved; at least three.
fn days_of_calls(draft: &Draft, dice: &mut Dice) -> Vec<i64> {
    let since = draft.moment(dice, 1, -5);
    let until = since + dice.between(4, 7) * DAY;
    let mut calls = moments(draft, dice, 4, (since, until));
    let first = calls.first().copied().unwrap_or(since);
    calls.extend([first + 3 * MINUTE, first + 7 * MINUTE]);
    calls
}

/// Labels it: known from the first call on.
fn unattended(draft: &mut Draft, pilot: &Pilot, calls: &[i64], why: &str) {
    let first = calls.iter().copied().min().expect("an incident has calls");
    draft.expect(OVERSIGHT, &pilot.subject(), (first, first + 7 * MINUTE), why);
}

/// What it asks for is approved each time; of one tool nobody thought.
fn left_out(draft: &mut Draft, dice: &mut Dice) {
    let agent = agent(draft, dice);
    agent.pilot.register(draft);
    let [asked, left, _] = agent.server.2;
    let span = all(draft);
    let good = moments(draft, dice, 3, span);
    let granted = before(dice, &good, (2, 26));
    agent.answers(draft, dice, Some(asked), true, granted.clone());
    agent.calls(draft, asked, Pattern::At(good), Answer::Fine);
    let mut calls = days_of_calls(draft, dice);
    calls.sort_unstable();
    agent.calls(draft, left, Pattern::At(calls.clone()), Answer::Fine);
    let why = "people approve one of its tools; another it uses without asking";
    unattended(draft, &agent.pilot, &calls, why);
}

/// One answer in the morning is taken for the whole day.
fn hours_before(draft: &mut Draft, dice: &mut Dice) {
    let mut agent = agent(draft, dice);
    if dice.chance(0.5) {
        agent.pilot.flags.push("write_tools");
    }
    agent.pilot.register(draft);
    let tool = agent.action(dice);
    let calls = days_of_calls(draft, dice);
    let mut granted = before(dice, &calls, (150, 400));
    granted.retain(|at| calls.iter().all(|call| !(*at..*at + 45 * MINUTE).contains(call)));
    agent.answers(draft, dice, Some(tool), true, granted);
    agent.calls(draft, tool, Pattern::At(calls.clone()), Answer::Fine);
    let why = "what was approved in the morning it does in the afternoon";
    unattended(draft, &agent.pilot, &calls, why);
}

/// It has no approval step at all.
fn never_asked(draft: &mut Draft, dice: &mut Dice) {
    let mut agent = agent(draft, dice);
    agent.pilot.flags.push("write_tools");
    agent.pilot.register(draft);
    let tool = agent.action(dice);
    let calls = days_of_calls(draft, dice);
    agent.calls(draft, tool, Pattern::At(calls.clone()), Answer::Fine);
    unattended(draft, &agent.pilot, &calls, "it changes things, and nobody is asked");
}

/// It asks, is told no, and does it.
fn answer_was_no(draft: &mut Draft, dice: &mut Dice) {
    let agent = agent(draft, dice);
    agent.pilot.register(draft);
    let tool = agent.action(dice);
    does_all_the_same(draft, dice, &agent, (tool, false), tool, "it does what was declined");
}

/// The answer was for another tool.
fn another_tool(draft: &mut Draft, dice: &mut Dice) {
    let agent = agent(draft, dice);
    agent.pilot.register(draft);
    let [approved, used, _] = agent.server.2;
    does_all_the_same(draft, dice, &agent, (approved, true), used, "what was approved is not what it does");
}

/// Minutes after an answer about one tool, granted or not, it uses a tool that the answer does not cover.
fn does_all_the_same(
    draft: &mut Draft,
    dice: &mut Dice,
    agent: &Agent,
    (asked, granted): (&str, bool),
    used: &str,
    why: &str,
) {
    let calls = days_of_calls(draft, dice);
    let answered = before(dice, &calls, (1, 20));
    agent.answers(draft, dice, Some(asked), granted, answered);
    agent.calls(draft, used, Pattern::At(calls.clone()), Answer::Fine);
    unattended(draft, &agent.pilot, &calls, why);
}

/// Every action has its answer, minutes before.
fn approved(draft: &mut Draft, dice: &mut Dice) {
    let mut agent = agent(draft, dice);
    agent.pilot.flags.push("write_tools");
    agent.pilot.register(draft);
    let tool = agent.action(dice);
    let span = all(draft);
    let calls = moments(draft, dice, 4, span);
    let granted = before(dice, &calls, (1, 28));
    agent.answers(draft, dice, Some(tool), true, granted);
    agent.calls(draft, tool, Pattern::At(calls), Answer::Fine);
    draft.look_alike(&[OVERSIGHT], &agent.pilot.subject());
}

/// The approval step names tools as the registry does, `server:tool`; the gateway writes `server__tool`.
fn other_name(draft: &mut Draft, dice: &mut Dice) {
    let agent = agent(draft, dice);
    agent.pilot.register(draft);
    let tool = agent.action(dice);
    let span = all(draft);
    let calls = moments(draft, dice, 4, span);
    let granted = before(dice, &calls, (1, 28));
    let name = format!("{}:{tool}", agent.server.0);
    agent.answers_naming(draft, dice, Some(&name), true, granted);
    agent.calls(draft, tool, Pattern::At(calls), Answer::Fine);
    draft.look_alike(&[OVERSIGHT], &agent.pilot.subject());
}

/// The answers name no tool: do what you proposed.
fn any_tool(draft: &mut Draft, dice: &mut Dice) {
    let agent = agent(draft, dice);
    agent.pilot.register(draft);
    let span = all(draft);
    let turns = moments(draft, dice, 3, span);
    let granted = before(dice, &turns, (2, 15));
    agent.answers(draft, dice, None, true, granted);
    for (index, tool) in (0..).zip(agent.server.2) {
        let calls = turns.iter().map(|turn| turn + index * 4 * MINUTE).collect();
        agent.calls(draft, tool, Pattern::At(calls), Answer::Fine);
    }
    draft.look_alike(&[OVERSIGHT], &agent.pilot.subject());
}

/// All tools of that server are in its scope.
fn wildcard(draft: &mut Draft, dice: &mut Dice) {
    let mut agent = agent(draft, dice);
    agent.pilot.tool_scope = vec![format!("{}:*", agent.server.0)];
    agent.pilot.flags.push("write_tools");
    agent.pilot.register(draft);
    for tool in agent.server.2 {
        agent.calls(draft, tool, Pattern::Steady(dice.real(0.2, 3.0)), Answer::Fine);
    }
    draft.look_alike(&[OVERSIGHT], &agent.pilot.subject());
}

/// Somebody drives it from a browser: every call is a click.
fn person(draft: &mut Draft, dice: &mut Dice) {
    let mut agent = agent(draft, dice);
    let key = dice.id("", Alphabet::Hex, 10);
    agent.pilot.selectors.push(("api_key", key.clone()));
    agent.pilot.register(draft);
    let person = draft.anybody(dice);
    let caller = Caller {
        name: person.id.clone(),
        peer: None,
        consumer: None,
        api_key_id: Some(key),
        bearer: None,
        user_agent: person.browser().to_owned(),
    };
    let tool = agent.action(dice);
    for _ in 0..dice.between(2, 6) {
        let moment = draft.moment(dice, 1, -1);
        let at = person.clock.working_day(moment - DAY, dice.between(9, 17));
        let sitting = Pattern::Storm(at, dice.between(2, 12) as u32);
        agent.calls_by(draft, &caller, tool, (sitting, person.laptop()), Answer::Fine);
    }
    draft.look_alike(&[OVERSIGHT], &agent.pilot.subject());
}

/// It may act alone for some weeks.
fn excepted(draft: &mut Draft, dice: &mut Dice) {
    let agent = agent(draft, dice);
    let term = (draft.start - dice.between(2, 40) * DAY, draft.end + dice.between(1, 30) * DAY);
    agent.pilot.except(draft, dice, "unattended_actions", term, None);
    agent.pilot.register(draft);
    let tool = agent.action(dice);
    agent.calls(draft, tool, Pattern::Steady(dice.real(0.2, 4.0)), Answer::Fine);
    draft.look_alike(&[OVERSIGHT], &agent.pilot.subject());
}

/// It tries; the control works.
fn denied(draft: &mut Draft, dice: &mut Dice) {
    let agent = agent(draft, dice);
    agent.pilot.register(draft);
    let tool = agent.action(dice);
    agent.calls(draft, tool, Pattern::Steady(dice.real(0.1, 2.0)), Answer::Denied);
    draft.look_alike(&[OVERSIGHT], &agent.pilot.subject());
}
