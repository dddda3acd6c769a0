//! A world under construction: governance, streams and labels, added by the parts of the cast.
//!
//! In: one call a fact. Out: what [`super::World`] keeps. Labels never reach the logs.

use std::collections::BTreeSet;
use std::ops::Range;

use jiff::Timestamp;

use super::company::{Company, Person, Workload};
use super::dice::Dice;
use super::formats::approvals::ApprovalUse;
use super::formats::auth0::Auth0Use;
use super::formats::azure::AzureUse;
use super::formats::bedrock::BedrockUse;
use super::formats::cloudtrail::AwsUse;
use super::formats::entra::EntraUse;
use super::formats::gcp::GcpUse;
use super::formats::keycloak::KeycloakUse;
use super::formats::kubernetes::KubernetesUse;
use super::formats::ocsf::OcsfUse;
use super::formats::okta::OktaUse;
use super::formats::vault::VaultUse;
use super::formats::workspace::WorkspaceUse;
use super::formats::{Answer, Gateway, Request, Target};
use super::governance::Governance;
use super::pattern::{DAY, Pattern, SECOND};
use super::place::Place;
use super::stream::{Outages, Stream};
use super::template::{Mix, Pool};
use super::topics::Topic;
use super::{ExpectedSubject, Label, LookAlike, Scale};

/// First halves of the names of what the company makes with AI.
const SUBJECTS: &[&str] = &[
    "quote", "claims", "customs", "arrival", "reply", "document", "invoice", "ticket", "pallet", "dock",
    "fraud", "label", "tender", "contract", "route", "search", "mail", "shelf", "bid", "crew", "lane",
    "shift", "damage", "load", "tariff", "price", "memo", "survey", "policy", "audit", "fuel", "berth",
    "parcel", "driver", "toll",
];
/// Second halves.
const ROLES: &[&str] = &[
    "writer",
    "triage",
    "coder",
    "predictor",
    "drafts",
    "extract",
    "matcher",
    "summaries",
    "counter",
    "optimizer",
    "scorer",
    "reader",
    "bot",
    "review",
    "advisor",
    "rerank",
    "sorter",
    "vision",
    "helper",
    "chat",
    "forecast",
    "planner",
    "reports",
    "sense",
    "lens",
    "mapper",
    "checker",
    "tagger",
    "finder",
    "agent",
];

/// Everything collected so far.
pub(crate) struct Draft {
    pub(crate) seed: u64,
    pub(crate) scale: Scale,
    /// First instant, microseconds.
    pub(crate) start: i64,
    /// The instant after the last, microseconds.
    pub(crate) end: i64,
    pub(crate) company: Company,
    pub(crate) governance: Governance,
    pub(crate) streams: Vec<Stream>,
    /// Topics that deliver nothing of what happens in a stretch of time.
    pub(crate) mutes: Vec<(Topic, Range<i64>)>,
    pub(crate) expected: Vec<Label>,
    pub(crate) look_alikes: Vec<LookAlike>,
    /// Name of the story that is being told.
    pub(crate) story: &'static str,
    /// Names given so far to what is made with AI.
    names: BTreeSet<String>,
    /// What the records of all streams have in common.
    pool: Pool,
    /// Names of the streams.
    streams_named: BTreeSet<String>,
    /// Services that callers of a story were taken from: the next story takes others, as long as there are.
    taken: usize,
}

impl Draft {
    pub(crate) fn new(seed: u64, scale: Scale, start: i64, end: i64) -> Self {
        let company = Company::new(seed, scale, start, (end - start) / DAY);
        Self {
            seed,
            scale,
            start,
            end,
            company,
            governance: Governance::default(),
            streams: Vec::new(),
            mutes: Vec::new(),
            expected: Vec::new(),
            look_alikes: Vec::new(),
            story: "",
            names: BTreeSet::new(),
            pool: Pool::default(),
            streams_named: BTreeSet::new(),
            taken: 0,
        }
    }

    /// Days of history.
    pub(crate) fn days(&self) -> i64 {
        (self.end - self.start) / DAY
    }

    /// Dice for something that happens once.
    pub(crate) fn dice(&self, what: &str) -> Dice {
        Dice::of(self.seed, what, 0)
    }

    /// A moment between these days of the history; negative days count from its end.
    pub(crate) fn moment(&self, dice: &mut Dice, from_day: i64, to_day: i64) -> i64 {
        let place = |day: i64| if day < 0 { self.end + day * DAY } else { self.start + day * DAY };
        // Registries know whole seconds.
        dice.between(place(from_day), place(to_day)).div_euclid(SECOND) * SECOND
    }

    /// A name of something made with AI that nothing else has: `quote-writer`.
    pub(crate) fn fresh_name(&mut self, dice: &mut Dice) -> String {
        loop {
            let mut name = format!("{}-{}", dice.pick(SUBJECTS), dice.pick(ROLES));
            if self.names.len() > SUBJECTS.len() * ROLES.len() / 2 {
                name = format!("{name}-{}", dice.between(2, 99));
            }
            // A route called as a service's own would be both.
            let is_service = self.company.services.iter().any(|service| service.name == name);
            if !is_service && self.names.insert(name.clone()) {
                return name;
            }
        }
    }

    /// Whether nothing was named so before; from now on something is.
    pub(crate) fn claim_name(&mut self, name: &str) -> bool {
        self.names.insert(name.to_owned())
    }

    /// Somebody, by chance.
    pub(crate) fn anybody(&self, dice: &mut Dice) -> Person {
        dice.pick(&self.company.people).clone()
    }

    /// So many different people.
    pub(crate) fn people(&self, dice: &mut Dice, count: usize) -> Vec<Person> {
        let mut people = self.company.people.clone();
        dice.shuffle(&mut people);
        people.truncate(count);
        people
    }

    /// So many production services that this team does not own, from as many teams as possible.
    pub(crate) fn services_outside(&mut self, dice: &mut Dice, team: &str, count: usize) -> Vec<Workload> {
        let all = &self.company.services;
        let first = self.taken + dice.below(3) as usize;
        let mut found: Vec<Workload> = Vec::new();
        for service in all.iter().cycle().skip(first % all.len()).take(all.len()) {
            if found.len() < count && service.team != team && !found.contains(service) {
                found.push(service.clone());
            }
        }
        self.taken += count + 1;
        found
    }

    /// Production services that this team owns.
    pub(crate) fn services_of(&self, team: &str) -> Vec<Workload> {
        self.company.services.iter().filter(|s| s.team == team).cloned().collect()
    }

    /// This must be found: the incident began at `since` and can be known at `from`, microseconds. An incident that
    /// cannot be known before the history ends is none.
    pub(crate) fn expect(
        &mut self,
        detection: &str,
        subject: &ExpectedSubject,
        (since, from): (i64, i64),
        why: &str,
    ) {
        if from >= self.end {
            return;
        }
        self.expected.push(Label {
            detection: detection.to_owned(),
            subject: subject.clone(),
            since: Timestamp::from_microsecond(since).unwrap_or_default(),
            from: Timestamp::from_microsecond(from).unwrap_or_default(),
            variant: self.story.to_owned(),
            why: why.to_owned(),
        });
    }

    /// This must stay quiet for each of these detections.
    pub(crate) fn look_alike(&mut self, detections: &[&str], subject: &ExpectedSubject) {
        for detection in detections {
            self.look_alikes.push(LookAlike {
                detection: (*detection).to_owned(),
                subject: subject.clone(),
                variant: self.story.to_owned(),
            });
        }
    }

    /// One more stream; `entity` decides the partition. `name` is made unique where it is not.
    pub(crate) fn stream(
        &mut self,
        name: &str,
        entity: &str,
        topic: Topic,
        pattern: Pattern,
        place: Place,
        mix: Mix,
    ) -> &mut Stream {
        let mut unique = format!("{name} @ {}", topic.name());
        while !self.streams_named.insert(unique.clone()) {
            unique.push('+');
        }
        let mix = self.pool.shared(mix);
        self.streams.push(Stream::new(unique, entity, topic, pattern, place, mix));
        self.streams.last_mut().expect("a stream was pushed in the line above")
    }

    /// Someone calls AWS.
    pub(crate) fn aws(&mut self, name: &str, pattern: Pattern, place: Place, act: &AwsUse) -> &mut Stream {
        self.stream(name, name, Topic::CloudTrail, pattern, place, act.mix())
    }

    /// Someone acts in Okta.
    pub(crate) fn okta(&mut self, name: &str, pattern: Pattern, place: Place, act: &OktaUse) -> &mut Stream {
        self.stream(name, name, Topic::Okta, pattern, place, act.mix())
    }

    /// Someone signs in to Entra.
    pub(crate) fn entra(
        &mut self,
        name: &str,
        pattern: Pattern,
        place: Place,
        act: &EntraUse,
    ) -> &mut Stream {
        self.stream(name, name, Topic::Entra, pattern, place, act.mix())
    }

    /// Someone calls Google Cloud.
    pub(crate) fn gcp(&mut self, name: &str, pattern: Pattern, place: Place, act: &GcpUse) -> &mut Stream {
        self.stream(name, name, Topic::Gcp, pattern, place, act.mix())
    }

    /// Someone calls Azure.
    pub(crate) fn azure(
        &mut self,
        name: &str,
        pattern: Pattern,
        place: Place,
        act: &AzureUse,
    ) -> &mut Stream {
        self.stream(name, name, Topic::Azure, pattern, place, act.mix())
    }

    /// Someone asks the cluster for something.
    pub(crate) fn kubernetes(
        &mut self,
        name: &str,
        pattern: Pattern,
        place: Place,
        act: &KubernetesUse,
    ) -> &mut Stream {
        self.stream(name, name, Topic::Kubernetes, pattern, place, act.mix())
    }

    /// Someone uses Vault.
    pub(crate) fn vault(
        &mut self,
        name: &str,
        pattern: Pattern,
        place: Place,
        act: &VaultUse,
    ) -> &mut Stream {
        self.stream(name, name, Topic::Vault, pattern, place, act.mix())
    }

    /// Someone acts in Google Workspace.
    pub(crate) fn workspace(
        &mut self,
        name: &str,
        pattern: Pattern,
        place: Place,
        act: &WorkspaceUse,
    ) -> &mut Stream {
        self.stream(name, name, Topic::Workspace, pattern, place, act.mix())
    }

    /// Someone signs in to Keycloak.
    pub(crate) fn keycloak(
        &mut self,
        name: &str,
        pattern: Pattern,
        place: Place,
        act: &KeycloakUse,
    ) -> &mut Stream {
        self.stream(name, name, Topic::Keycloak, pattern, place, act.mix())
    }

    /// Someone signs in to Auth0.
    pub(crate) fn auth0(
        &mut self,
        name: &str,
        pattern: Pattern,
        place: Place,
        act: &Auth0Use,
    ) -> &mut Stream {
        self.stream(name, name, Topic::Auth0, pattern, place, act.mix())
    }

    /// Someone calls what reports in OCSF.
    pub(crate) fn ocsf(&mut self, name: &str, pattern: Pattern, place: Place, act: &OcsfUse) -> &mut Stream {
        self.stream(name, name, Topic::Ocsf, pattern, place, act.mix())
    }

    /// Somebody decides on what was asked for.
    pub(crate) fn approval(&mut self, name: &str, pattern: Pattern, act: &ApprovalUse) -> &mut Stream {
        self.stream(name, name, Topic::Approvals, pattern, Place::Nowhere, act.mix())
    }

    /// Someone calls a model of Bedrock in an account that logs invocations, without addresses.
    pub(crate) fn bedrock(&mut self, name: &str, pattern: Pattern, act: &BedrockUse) -> &mut Stream {
        self.stream(name, name, Topic::Bedrock, pattern, Place::Nowhere, act.mix())
    }

    /// A request that is made again and again through a gateway, as the gateway logs it. `place` is the caller's.
    pub(crate) fn request(
        &mut self,
        gateway: Gateway,
        request: &Request,
        place: Place,
        pattern: Pattern,
    ) -> &mut Stream {
        let name = format!("{} > {}", request.caller.name, request.target.route);
        self.stream(&name, &request.caller.name, gateway.topic(), pattern, place, gateway.mix(request))
    }

    /// A production service calls something through a gateway, from its pod; while `outages` last the target is down
    /// and the service tries again.
    pub(crate) fn call(
        &mut self,
        gateway: Gateway,
        service: &Workload,
        target: &Target,
        pattern: Pattern,
        outages: Option<&Outages>,
    ) -> &mut Stream {
        let request = Request::of_service(service, target);
        let Some(outages) = outages else { return self.request(gateway, &request, service.pod(), pattern) };
        let down = self.pool.shared(gateway.mix(&Request { answer: Answer::Down, ..request.clone() }));
        self.request(gateway, &request, service.pod(), pattern).fails_with(outages, down, 2)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_made_with_ai_is_called_as_a_service() {
        for seed in 0..20 {
            let mut draft = Draft::new(seed, Scale::Company, 0, 30 * DAY);
            let mut dice = draft.dice("names");
            let services: BTreeSet<String> = draft.company.services.iter().map(|s| s.name.clone()).collect();
            for _ in 0..150 {
                let name = draft.fresh_name(&mut dice);
                assert!(!services.contains(&name), "seed {seed}: {name}");
            }
        }
    }
}
