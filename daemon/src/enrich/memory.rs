//! Outcomes per row, each worked out once per distinct tuple of values and epoch of the registry.
//!
//! In: the columns of an event batch as numbers. Out: per row, the number of an outcome. Between two batches
//! outcomes are remembered up to a bound; a new registry or new signals clear them.

use arrow::array::TimestampMicrosecondArray;
use arrow::record_batch::RecordBatch;

use super::attribution::{Attribution, Called, attribute};
use super::caller::{Caller, Calling, caller};
use super::network::{ClientNetwork, network};
use super::production::{Touched, probability};
use super::signals::{AI_CALL_COLUMNS, APPROVAL_COLUMNS, AiCall, SIGNAL_COLUMNS, Signals, Weights};
use super::texts::{Memo, NULL, TextId, Texts};
use super::touched::{Touched as TouchedByPilot, touched};
use crate::limits::{ENRICH_TEXTS_MAX, ENRICH_TUPLES_MAX};
use crate::registry::Registry;
use crate::registry::facts::ProductionKind;
use crate::registry::selectors::SelectorKind;

/// The columns of one batch, one entry a row.
pub(super) struct Inputs {
    pub times: Vec<i64>,
    /// Between two boundaries of the registry nothing changes: part of every tuple.
    epochs: Vec<u32>,
    principal: Vec<TextId>,
    principal_kind: Vec<TextId>,
    session_name: Vec<TextId>,
    consumer: Vec<TextId>,
    peer: Vec<TextId>,
    host: Vec<TextId>,
    route: Vec<TextId>,
    target: Vec<TextId>,
    model: Vec<TextId>,
    tool: Vec<TextId>,
    account: Vec<TextId>,
    namespace: Vec<TextId>,
    environment: Vec<TextId>,
    source_ip: Vec<TextId>,
    user_agent: Vec<TextId>,
    flow: Vec<TextId>,
    action: Vec<TextId>,
    format: Vec<TextId>,
    credential_kind: Vec<TextId>,
}

impl Inputs {
    fn read(batch: &RecordBatch, registry: &Registry, texts: &mut Texts) -> Self {
        let times = event_times(batch);
        let mut column = |name| texts.column(batch, name);
        Self {
            epochs: epochs(registry, &times),
            times,
            principal: column("principal"),
            principal_kind: column("principal_kind"),
            session_name: column("session_name"),
            consumer: column("consumer"),
            peer: column("peer"),
            host: column("host"),
            route: column("route"),
            target: column("target"),
            model: column("model"),
            tool: column("tool"),
            account: column("account"),
            namespace: column("namespace"),
            environment: column("environment"),
            source_ip: column("source_ip"),
            user_agent: column("user_agent"),
            flow: column("flow"),
            action: column("action"),
            format: column("format"),
            credential_kind: column("credential_kind"),
        }
    }

    fn at_gateway(&self, row: usize) -> bool {
        self.host[row] != NULL || self.route[row] != NULL
    }
}

fn event_times(batch: &RecordBatch) -> Vec<i64> {
    let column = batch.column_by_name("event_time").expect("the event schema has this column");
    let times: &TimestampMicrosecondArray =
        column.as_any().downcast_ref().expect("the event schema makes it a time");
    times.values().to_vec()
}

fn epochs(registry: &Registry, times: &[i64]) -> Vec<u32> {
    let (mut first, mut last, mut epoch) = (1, 0, 0);
    let mut of = |at: i64| {
        if at < first || last < at {
            (first, last) = registry.epoch_bounds(at);
            epoch = u32::try_from(registry.epoch(at)).unwrap_or(u32::MAX);
        }
        epoch
    };
    times.iter().map(|at| of(*at)).collect()
}

/// Per row, numbers of outcomes in [`Memory`].
pub(super) struct Outcomes {
    pub attribution: Vec<usize>,
    pub network: Vec<usize>,
    pub caller: Vec<usize>,
    pub production: Vec<usize>,
    pub client_family: Vec<usize>,
    pub weights: Vec<usize>,
    pub synthetic: Vec<usize>,
    pub shared: Vec<usize>,
    pub ai_call: Vec<usize>,
    pub touched: Vec<usize>,
    pub approval: Vec<usize>,
}

/// What is remembered between batches.
#[derive(Debug, Default)]
pub(super) struct Memory {
    texts: Texts,
    attributions: Memo<[u32; 11], Attribution>,
    networks: Memo<[u32; 2], (ClientNetwork, TextId)>,
    callers: Memo<[u32; 7], Caller>,
    productions: Memo<[u32; 9], f64>,
    client_families: Memo<TextId, TextId>,
    weights: Memo<[TextId; SIGNAL_COLUMNS.len()], Weights>,
    synthetics: Memo<[TextId; 4], bool>,
    shared: Memo<[u32; 2], bool>,
    ai_calls: Memo<[TextId; AI_CALL_COLUMNS.len()], Option<AiCall>>,
    touched: Memo<[u32; 5], TouchedByPilot>,
    approvals: Memo<[TextId; APPROVAL_COLUMNS.len()], bool>,
}

impl Memory {
    /// Forgets everything.
    pub(super) fn clear(&mut self) {
        self.texts.clear();
        self.attributions.clear();
        self.networks.clear();
        self.callers.clear();
        self.productions.clear();
        self.client_families.clear();
        self.weights.clear();
        self.synthetics.clear();
        self.shared.clear();
        self.ai_calls.clear();
        self.touched.clear();
        self.approvals.clear();
    }

    /// Forgets everything if a bound is passed; a single batch is bounded by its own size.
    fn keep_bounded(&mut self) {
        let tuples = [
            self.attributions.len(),
            self.networks.len(),
            self.callers.len(),
            self.productions.len(),
            self.client_families.len(),
            self.weights.len(),
            self.synthetics.len(),
            self.shared.len(),
            self.ai_calls.len(),
            self.touched.len(),
            self.approvals.len(),
        ];
        if self.texts.len() > ENRICH_TEXTS_MAX || tuples.into_iter().any(|n| n > ENRICH_TUPLES_MAX) {
            self.clear();
        }
    }

    /// Works out everything about a batch but its credentials.
    pub(super) fn look_up(
        &mut self,
        batch: &RecordBatch,
        registry: &Registry,
        signals: &Signals,
    ) -> (Inputs, Outcomes) {
        self.keep_bounded();
        let inputs = Inputs::read(batch, registry, &mut self.texts);
        let network = self.look_up_networks(&inputs, registry);
        let caller = self.look_up_callers(&inputs, &network, registry);
        let client_family = self.look_up_client_families(&inputs, signals);
        let outcomes = Outcomes {
            attribution: self.look_up_attributions(&inputs, registry),
            production: self.look_up_production(&inputs, &caller, registry),
            weights: self.look_up_weights(&inputs, &network, &client_family, signals),
            synthetic: self.look_up_synthetic(&inputs, signals),
            shared: self.look_up_shared(&inputs, registry),
            ai_call: self.look_up_ai_calls(&inputs, &client_family, signals),
            touched: self.look_up_touched(&inputs, &caller, registry),
            approval: self.look_up_approvals(&inputs, signals),
            network,
            caller,
            client_family,
        };
        (inputs, outcomes)
    }

    pub(super) fn attribution(&self, number: usize) -> &Attribution {
        self.attributions.get(number)
    }

    /// How many attributions are remembered: their numbers are below it.
    pub(super) fn attribution_count(&self) -> usize {
        self.attributions.len()
    }

    pub(super) fn network(&self, number: usize) -> &ClientNetwork {
        &self.networks.get(number).0
    }

    pub(super) fn caller(&self, number: usize) -> &Caller {
        self.callers.get(number)
    }

    pub(super) fn p_production(&self, number: usize) -> f64 {
        *self.productions.get(number)
    }

    pub(super) fn client_family(&self, number: usize) -> Option<&str> {
        self.texts.get(*self.client_families.get(number))
    }

    pub(super) fn weights(&self, number: usize) -> &Weights {
        self.weights.get(number)
    }

    pub(super) fn is_synthetic(&self, number: usize) -> bool {
        *self.synthetics.get(number)
    }

    pub(super) fn is_shared(&self, number: usize) -> bool {
        *self.shared.get(number)
    }

    pub(super) fn ai_call(&self, number: usize) -> Option<&AiCall> {
        self.ai_calls.get(number).as_ref()
    }

    pub(super) fn touched(&self, number: usize) -> &TouchedByPilot {
        self.touched.get(number)
    }

    pub(super) fn is_approval(&self, number: usize) -> bool {
        *self.approvals.get(number)
    }

    fn look_up_attributions(&mut self, i: &Inputs, registry: &Registry) -> Vec<usize> {
        let Self { texts, attributions, .. } = self;
        let uses = |kind| registry.pilot_selectors().has(kind) || registry.service_selectors().has(kind);
        let uses_tool = uses(SelectorKind::Tool);
        let uses_account = uses(SelectorKind::Account);
        let uses_namespace = uses(SelectorKind::Namespace);
        let uses_header = uses(SelectorKind::Header);
        let of_row = |row: usize| {
            let key = [
                i.epochs[row],
                i.principal[row],
                i.consumer[row],
                i.host[row],
                i.route[row],
                i.target[row],
                i.model[row],
                if uses_tool { i.tool[row] } else { NULL },
                if uses_account { i.account[row] } else { NULL },
                if uses_namespace { i.namespace[row] } else { NULL },
                if uses_header { i.user_agent[row] } else { NULL },
            ];
            attributions.number(key, || {
                let called = Called {
                    principal: texts.get(key[1]),
                    consumer: texts.get(key[2]),
                    host: texts.get(key[3]),
                    route: texts.get(key[4]),
                    target: texts.get(key[5]),
                    model: texts.get(key[6]),
                    tool: texts.get(key[7]),
                    account: texts.get(key[8]),
                    namespace: texts.get(key[9]),
                    user_agent: texts.get(key[10]),
                };
                attribute(registry, &called, i.times[row])
            })
        };
        (0..i.times.len()).map(of_row).collect()
    }

    fn look_up_networks(&mut self, i: &Inputs, registry: &Registry) -> Vec<usize> {
        let Self { texts, networks, .. } = self;
        let of_row = |row: usize| {
            let key = [i.epochs[row], i.source_ip[row]];
            networks.number(key, || {
                let found = network(registry, texts.get(key[1]), i.times[row]);
                let kind = found.kind.map_or(NULL, |kind| texts.id(kind));
                (found, kind)
            })
        };
        (0..i.times.len()).map(of_row).collect()
    }

    fn look_up_callers(&mut self, i: &Inputs, network: &[usize], registry: &Registry) -> Vec<usize> {
        let Self { texts, callers, networks, .. } = self;
        let of_row = |row: usize| {
            let key = [
                i.epochs[row],
                i.peer[row],
                i.principal[row],
                i.consumer[row],
                i.session_name[row],
                i.source_ip[row],
                u32::from(i.at_gateway(row)),
            ];
            callers.number(key, || {
                let calling = Calling {
                    peer: texts.get(key[1]),
                    principal: texts.get(key[2]),
                    consumer: texts.get(key[3]),
                    session_name: texts.get(key[4]),
                    source_ip: texts.get(key[5]),
                    network: networks.get(network[row]).0.name.as_deref(),
                    at_gateway: key[6] == 1,
                };
                caller(registry, &calling, i.times[row])
            })
        };
        (0..i.times.len()).map(of_row).collect()
    }

    fn look_up_production(&mut self, i: &Inputs, caller: &[usize], registry: &Registry) -> Vec<usize> {
        let Self { texts, productions, callers, .. } = self;
        let uses_namespace = registry.maps_production_by(ProductionKind::Namespace);
        let of_row = |row: usize| {
            let key = [
                i.epochs[row],
                i.account[row],
                i.host[row],
                i.route[row],
                i.target[row],
                i.peer[row],
                i.environment[row],
                if uses_namespace { i.namespace[row] } else { NULL },
                u32::from(callers.get(caller[row]).is_production),
            ];
            productions.number(key, || {
                let touched = Touched {
                    account: texts.get(key[1]),
                    host: texts.get(key[2]),
                    route: texts.get(key[3]),
                    target: texts.get(key[4]),
                    peer: texts.get(key[5]),
                    environment: texts.get(key[6]),
                    namespace: texts.get(key[7]),
                    caller_is_production: key[8] == 1,
                };
                probability(registry, &touched, i.times[row])
            })
        };
        (0..i.times.len()).map(of_row).collect()
    }

    fn look_up_client_families(&mut self, i: &Inputs, signals: &Signals) -> Vec<usize> {
        let Self { texts, client_families, .. } = self;
        let of_value = |user_agent: &TextId| {
            client_families.number(*user_agent, || {
                let family = texts.get(*user_agent).map(|text| signals.client_family_of(text));
                family.map_or(NULL, |family| texts.id(family))
            })
        };
        i.user_agent.iter().map(of_value).collect()
    }

    fn look_up_weights(
        &mut self,
        i: &Inputs,
        network: &[usize],
        client_family: &[usize],
        signals: &Signals,
    ) -> Vec<usize> {
        let Self { texts, weights, networks, client_families, .. } = self;
        let of_row = |row: usize| {
            // In the order of SIGNAL_COLUMNS.
            let mut key = [
                i.user_agent[row],
                i.flow[row],
                i.session_name[row],
                i.principal[row],
                i.principal_kind[row],
                i.action[row],
                i.format[row],
                i.credential_kind[row],
                networks.get(network[row]).1,
                *client_families.get(client_family[row]),
            ];
            for (column, id) in key.iter_mut().enumerate() {
                if !signals.uses(column) {
                    *id = NULL;
                }
            }
            weights.number(key, || signals.weigh(&key.map(|id| texts.get(id))))
        };
        (0..i.times.len()).map(of_row).collect()
    }

    fn look_up_synthetic(&mut self, i: &Inputs, signals: &Signals) -> Vec<usize> {
        let Self { texts, synthetics, .. } = self;
        let of_row = |row: usize| {
            let key = [i.user_agent[row], i.host[row], i.route[row], i.target[row]];
            synthetics.number(key, || signals.is_synthetic(&key.map(|id| texts.get(id))))
        };
        (0..i.times.len()).map(of_row).collect()
    }

    fn look_up_ai_calls(&mut self, i: &Inputs, client_family: &[usize], signals: &Signals) -> Vec<usize> {
        let Self { texts, ai_calls, client_families, .. } = self;
        let of_row = |row: usize| {
            // In the order of AI_CALL_COLUMNS.
            let key = [
                i.action[row],
                i.host[row],
                i.target[row],
                i.route[row],
                i.format[row],
                i.model[row],
                *client_families.get(client_family[row]),
            ];
            ai_calls.number(key, || signals.ai_call_of(&key.map(|id| texts.get(id))))
        };
        (0..i.times.len()).map(of_row).collect()
    }

    fn look_up_touched(&mut self, i: &Inputs, caller: &[usize], registry: &Registry) -> Vec<usize> {
        let Self { texts, touched: known, callers, .. } = self;
        // Most events are not of a pilot that acts: one outcome for all of them.
        let by_nobody = known.number([0; 5], TouchedByPilot::default);
        let of_row = |row: usize| {
            let Some((pilot, _)) = callers.get(caller[row]).acting else { return by_nobody };
            let number = u32::try_from(pilot + 1).expect("pilots are bounded");
            let key = [number, i.epochs[row], i.action[row], i.target[row], i.tool[row]];
            known.number(key, || {
                let [action, target, tool] = [key[2], key[3], key[4]].map(|id| texts.get(id));
                touched(registry, pilot, action, target, tool, i.times[row])
            })
        };
        (0..i.times.len()).map(of_row).collect()
    }

    fn look_up_approvals(&mut self, i: &Inputs, signals: &Signals) -> Vec<usize> {
        let Self { texts, approvals, .. } = self;
        let of_row = |row: usize| {
            // In the order of APPROVAL_COLUMNS.
            let key = [i.action[row], i.format[row], i.host[row], i.route[row]];
            approvals.number(key, || signals.is_approval(&key.map(|id| texts.get(id))))
        };
        (0..i.times.len()).map(of_row).collect()
    }

    fn look_up_shared(&mut self, i: &Inputs, registry: &Registry) -> Vec<usize> {
        let Self { texts, shared, .. } = self;
        let of_row = |row: usize| {
            let key = [i.epochs[row], i.principal[row]];
            shared.number(key, || texts.get(key[1]).is_some_and(|p| registry.is_shared(p, i.times[row])))
        };
        (0..i.times.len()).map(of_row).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::super::tests::events;
    use super::*;

    #[test]
    fn memory_is_bounded_however_many_values_arrive() {
        let registry = Registry::from_texts(Vec::new()).unwrap();
        let signals = Arc::new(Signals::load(None).unwrap());
        let mut memory = Memory::default();
        let rows_a_batch = 10_000;
        for batch in 0..12 {
            let hosts: Vec<String> = (0..rows_a_batch).map(|i| format!("h{batch}-{i}")).collect();
            let rows: Vec<_> = hosts.iter().map(|host| vec![("host", host.as_str())]).collect();
            memory.look_up(events(&rows).record_batch(), &registry, &signals);
            let slack = 2 * rows_a_batch;
            assert!(memory.texts.len() <= ENRICH_TEXTS_MAX + slack, "batch {batch}");
            assert!(memory.attributions.len() <= ENRICH_TUPLES_MAX + slack, "batch {batch}");
        }
        assert!(memory.texts.len() < 12 * rows_a_batch);
    }
}
