//! Readiness: what works, what works on what was last good, what does not, and why.
//!
//! In: a word from each component. Out: JSON for `/readyz`, one bit for gRPC health. A component that has
//! not spoken yet is not ready.

use std::collections::BTreeMap;
use std::sync::Mutex;

use serde::Serialize;
use tokio::sync::watch;

/// How one component is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "status", content = "reason", rename_all = "snake_case")]
enum Condition {
    Ready,
    Degraded(String),
    Warming(String),
    NotReady(String),
}

/// Readiness of the daemon, shared by reference.
#[derive(Debug)]
pub struct Health {
    conditions: Mutex<BTreeMap<&'static str, Condition>>,
    ready: watch::Sender<bool>,
}

#[derive(Serialize)]
struct Report<'a> {
    ready: bool,
    components: BTreeMap<&'static str, &'a Condition>,
}

impl Health {
    /// None of these components is ready until it says so.
    pub fn new(components: &[&'static str]) -> Self {
        let starting = Condition::NotReady("starting".to_owned());
        let conditions: BTreeMap<_, _> = components.iter().map(|c| (*c, starting.clone())).collect();
        let ready = watch::Sender::new(conditions.is_empty());
        Self { conditions: Mutex::new(conditions), ready }
    }

    /// The component works, or does not for this reason.
    pub fn set(&self, component: &'static str, outcome: Result<(), String>) {
        self.put(component, outcome.map_or_else(Condition::NotReady, |()| Condition::Ready));
    }

    /// The component works on what was last good: the daemon stays ready, `/readyz` gives the reason.
    pub fn degrade(&self, component: &'static str, reason: String) {
        self.put(component, Condition::Degraded(reason));
    }

    /// The component works, but its history does not go back as far as it will: the daemon stays ready.
    pub fn warming(&self, component: &'static str, reason: String) {
        self.put(component, Condition::Warming(reason));
    }

    /// Whether every component works.
    pub fn ready(&self) -> bool {
        *self.ready.borrow()
    }

    /// Tells of every change of [`Health::ready`].
    pub fn subscribe(&self) -> watch::Receiver<bool> {
        self.ready.subscribe()
    }

    /// `{"ready":false,"components":{"registry":{"status":"not_ready","reason":"..."}}}`.
    pub fn to_json(&self) -> String {
        let conditions = self.conditions.lock().expect("nobody panics while holding it");
        let components: BTreeMap<_, _> = conditions.iter().map(|(name, c)| (*name, c)).collect();
        let report = Report { ready: all_work(&conditions), components };
        serde_json::to_string(&report).expect("strings and a flag are always JSON")
    }

    fn put(&self, component: &'static str, condition: Condition) {
        let mut conditions = self.conditions.lock().expect("nobody panics while holding it");
        conditions.insert(component, condition);
        let ready = all_work(&conditions);
        self.ready.send_if_modified(|known| std::mem::replace(known, ready) != ready);
    }
}

fn all_work(conditions: &BTreeMap<&'static str, Condition>) -> bool {
    !conditions.values().any(|c| matches!(c, Condition::NotReady(_)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn silent_component_is_not_ready() {
        let health = Health::new(&["pipeline"]);
        assert!(!health.ready());
        health.set("pipeline", Ok(()));
        assert!(health.ready());
    }

    #[test]
    fn degraded_component_is_ready_and_says_why() {
        let health = Health::new(&["queries"]);
        health.degrade("queries", "a.sql:3: no such column".to_owned());
        assert!(health.ready());
        assert_eq!(
            health.to_json(),
            r#"{"ready":true,"components":{"queries":{"status":"degraded","reason":"a.sql:3: no such column"}}}"#
        );
    }

    #[test]
    fn warming_component_is_ready_and_says_until_when() {
        let health = Health::new(&["rollups"]);
        health.warming("rollups", "a: until then".to_owned());
        assert!(health.ready());
        assert_eq!(
            health.to_json(),
            r#"{"ready":true,"components":{"rollups":{"status":"warming","reason":"a: until then"}}}"#
        );
    }

    #[test]
    fn failing_component_is_named_with_its_reason() {
        let health = Health::new(&[]);
        assert!(health.ready());
        health.set("broker", Err("no answer from 127.0.0.1:9092".to_owned()));
        assert!(!health.ready());
        assert!(health.to_json().contains(r#""broker":{"status":"not_ready","reason":"no answer"#));
    }
}
