//! What a registry says, as plain values: people, teams, pilots, decisions, the estate around them.
//!
//! In: nothing. Out: types. Times are microseconds since 1970; ids that refer to others were checked at load.

use crate::findings::Severity;

const DEFAULT_GRACE_MICROS: i64 = 15 * 60 * 1_000_000;

/// When a fact holds: from `from` up to, not including, `to`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Validity {
    /// First microsecond; `i64::MIN` for always.
    pub from: i64,
    /// First microsecond after; `i64::MAX` for ever.
    pub to: i64,
}

impl Validity {
    /// Without start and end.
    pub const ALWAYS: Self = Self { from: i64::MIN, to: i64::MAX };

    /// Whether it holds at `at`.
    pub fn holds(self, at: i64) -> bool {
        self.from <= at && at < self.to
    }
}

/// Where a pilot is on its way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// Asked for.
    Proposed,
    /// On trial.
    Pilot,
    /// May be promoted.
    Approved,
    /// Promoted.
    Production,
    /// Halted.
    Suspended,
    /// Ended.
    Revoked,
}

impl Stage {
    /// Every stage with the word for it.
    pub const WORDS: &[(&'static str, Self)] = &[
        ("proposed", Self::Proposed),
        ("pilot", Self::Pilot),
        ("approved", Self::Approved),
        ("production", Self::Production),
        ("suspended", Self::Suspended),
        ("revoked", Self::Revoked),
    ];

    /// The word for it.
    pub fn name(self) -> &'static str {
        word_of(self, Self::WORDS)
    }
}

/// The word of a member of a closed set.
pub(crate) fn word_of<T: Copy + PartialEq>(member: T, words: &[(&'static str, T)]) -> &'static str {
    words.iter().find(|(_, m)| *m == member).expect("every member has a word").0
}

/// Which policy applies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Profile {
    /// Formal risk sign-off before any production exposure.
    Regulated,
    /// The usual.
    Standard,
    /// Staged rollout.
    FastMoving,
}

impl Profile {
    /// Every profile with the word for it.
    pub const WORDS: &[(&'static str, Self)] =
        &[("regulated", Self::Regulated), ("standard", Self::Standard), ("fast_moving", Self::FastMoving)];

    /// The word for it.
    pub fn name(self) -> &'static str {
        word_of(self, Self::WORDS)
    }
}

/// What a promotion may have to show.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Criterion {
    /// Data scope agreed.
    DataScope,
    /// Calls and answers are logged.
    Logging,
    /// A person can step in.
    HumanOversight,
    /// It can be taken back.
    Rollback,
    /// Secrets are kept as they should be.
    SecretsHandling,
    /// Somebody answers for the risk, formally.
    RiskSignOff,
    /// It goes live in steps, each with a share of the traffic and a measure to go on.
    StagedRollout,
}

impl Criterion {
    /// Every criterion with the word for it.
    pub const WORDS: &[(&'static str, Self)] = &[
        ("data_scope", Self::DataScope),
        ("logging", Self::Logging),
        ("human_oversight", Self::HumanOversight),
        ("rollback", Self::Rollback),
        ("secrets_handling", Self::SecretsHandling),
        ("risk_sign_off", Self::RiskSignOff),
        ("staged_rollout", Self::StagedRollout),
    ];

    /// The word for it.
    pub fn name(self) -> &'static str {
        word_of(self, Self::WORDS)
    }
}

/// What a profile asks for.
#[derive(Debug, Clone, PartialEq)]
pub struct Policy {
    /// Which profile.
    pub profile: Profile,
    /// What a promotion must show.
    pub criteria: Vec<Criterion>,
    /// How far the registry may lag behind a move to production, microseconds.
    pub grace_micros: i64,
    /// Whether owner, data owner and security approver must be different people, and nobody may promote what
    /// they asked for.
    pub separate_duties: bool,
}

impl Policy {
    /// What a profile asks for where the registry has no policy of its own.
    pub fn of(profile: Profile) -> Self {
        let asks = |criterion: &Criterion| match criterion {
            Criterion::RiskSignOff => profile == Profile::Regulated,
            Criterion::StagedRollout => profile == Profile::FastMoving,
            Criterion::DataScope
            | Criterion::Logging
            | Criterion::HumanOversight
            | Criterion::Rollback
            | Criterion::SecretsHandling => true,
        };
        Self {
            profile,
            criteria: Criterion::WORDS.iter().map(|(_, criterion)| *criterion).filter(asks).collect(),
            grace_micros: DEFAULT_GRACE_MICROS,
            separate_duties: profile == Profile::Regulated,
        }
    }

    /// What of it `promotion` does not show.
    pub fn missing(&self, promotion: &Promotion) -> Vec<Criterion> {
        let lacks = |c: &Criterion| self.criteria.contains(c) && !promotion.criteria.contains(c);
        Criterion::WORDS.iter().map(|(_, criterion)| *criterion).filter(lacks).collect()
    }
}

/// Somebody to page, and somebody who acts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Person {
    /// Id.
    pub id: String,
    /// Name.
    pub name: String,
    /// A principal or session name that equals it is this person; ASCII case does not matter.
    pub email: String,
    /// Where to reach them, by [`Severity`] from low to critical.
    pub contacts: [Option<String>; 4],
    /// When they left.
    pub disabled_at: Option<i64>,
}

impl Person {
    /// Where to reach them: the nearest lower severity that has a contact, then the nearest higher one,
    /// then the email.
    pub fn contact(&self, severity: Severity) -> &str {
        let own = severity as usize;
        let downwards = self.contacts[..=own].iter().rev();
        let upwards = self.contacts[own..].iter();
        downwards.chain(upwards).flatten().next().map_or(&self.email, String::as_str)
    }
}

/// Persons who hold a role together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    /// Id, in one set with the persons'.
    pub id: String,
    /// Person ids, at least one; the first who is not disabled is paged.
    pub members: Vec<String>,
}

/// Who owns pilots and services.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Team {
    /// Id.
    pub id: String,
    /// Name.
    pub name: String,
    /// Person or group.
    pub owner: String,
    /// Person ids.
    pub members: Vec<String>,
}

/// One stage of a pilot's life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StageSpan {
    /// Which.
    pub stage: Stage,
    /// When.
    pub validity: Validity,
}

/// An AI pilot.
#[derive(Debug, Clone, PartialEq)]
pub struct Pilot {
    /// Id.
    pub id: String,
    /// Name.
    pub name: String,
    /// Services with the same purpose are what callers could use instead.
    pub purpose: String,
    /// Its team.
    pub team: String,
    /// Person or group.
    pub owner: String,
    /// Person or group.
    pub data_owner: Option<String>,
    /// Person or group.
    pub security_approver: Option<String>,
    /// Person or group: whom to page about gaps in a promotion.
    pub control_owner: Option<String>,
    /// Which policy applies.
    pub profile: Profile,
    /// Where it may run.
    pub environments: Vec<String>,
    /// What it may read and write.
    pub data_scope: Vec<super::scope::ScopeEntry>,
    /// What it may do without a person.
    pub tool_scope: Vec<super::scope::ScopeEntry>,
    /// Reads sensitive data.
    pub sensitive_data: bool,
    /// Changes things.
    pub write_tools: bool,
    /// People outside the company use it.
    pub external_users: bool,
    /// Sorted, without overlaps, production only where it was promoted.
    pub stages: Vec<StageSpan>,
    /// Which events are its own.
    pub selectors: Vec<super::selectors::Selector>,
}

impl Pilot {
    /// Its stage as of `at`, if it had one.
    pub fn stage_at(&self, at: i64) -> Option<Stage> {
        self.stages.iter().find(|s| s.validity.holds(at)).map(|s| s.stage)
    }

    /// Whether it reaches production after `at` and within `grace_micros` of it.
    pub fn promoted_soon(&self, at: i64, grace_micros: i64) -> bool {
        self.stages.iter().any(|s| {
            let start = s.validity.from;
            s.stage == Stage::Production && at < start && start <= at.saturating_add(grace_micros)
        })
    }
}

/// A decision about a pilot.
#[derive(Debug, Clone, PartialEq)]
pub struct Promotion {
    /// Which pilot.
    pub pilot: String,
    /// Person.
    pub requested_by: String,
    /// Person or group.
    pub decided_by: String,
    /// When.
    pub decided_at: i64,
    /// Approved, or refused.
    pub approved: bool,
    /// What was shown.
    pub criteria: Vec<Criterion>,
    /// Whether `criteria` holds all that the pilot's policy asks for.
    pub complete: bool,
}

/// What an exception may allow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Allowance {
    /// Production traffic without promotion.
    ProductionTraffic,
    /// Data outside the approved scope.
    DataOutOfScope,
    /// Actions without human oversight.
    UnattendedActions,
    /// A credential used by people and workloads.
    SharedCredential,
}

impl Allowance {
    /// Every allowance with the word for it.
    pub const WORDS: &[(&'static str, Self)] = &[
        ("production_traffic", Self::ProductionTraffic),
        ("data_out_of_scope", Self::DataOutOfScope),
        ("unattended_actions", Self::UnattendedActions),
        ("shared_credential", Self::SharedCredential),
    ];

    /// The word for it.
    pub fn name(self) -> &'static str {
        word_of(self, Self::WORDS)
    }
}

/// A pilot may do for a while what it may not do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exception {
    /// Id.
    pub id: String,
    /// Which pilot.
    pub pilot: String,
    /// What.
    pub allows: Allowance,
    /// Person.
    pub granted_by: String,
    /// From `granted_at` to `expires_at`.
    pub validity: Validity,
    /// When somebody last looked at it.
    pub reviewed_at: Option<i64>,
}

/// A `[[service]]`: a workload that calls, is called, or both.
#[derive(Debug, Clone, PartialEq)]
pub struct Workload {
    /// Id.
    pub id: String,
    /// Its team.
    pub team: String,
    /// Where callers could use it instead of a pilot of the same purpose.
    pub purpose: Option<String>,
    /// Whether it is a production workload.
    pub production: bool,
    /// When.
    pub validity: Validity,
    /// Which calls are its own, and which reach it.
    pub selectors: Vec<super::selectors::Selector>,
}

/// What an entry of the production map looks at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProductionKind {
    /// Cloud account, project, subscription, tenant.
    Account,
    /// Gateway host.
    Host,
    /// Gateway route.
    Route,
    /// Stage of a gateway.
    Stage,
    /// SPIFFE trust domain of the called or the calling workload.
    TrustDomain,
    /// Namespace of a cluster or a mesh.
    Namespace,
    /// Environment that the source names, a tag for instance.
    Environment,
    /// Text within a host, route or target; never counts alone.
    NamePattern,
}

impl ProductionKind {
    /// Every kind with the words for it; the first one names it.
    pub const WORDS: &[(&'static str, Self)] = &[
        ("account", Self::Account),
        ("project", Self::Account),
        ("subscription", Self::Account),
        ("host", Self::Host),
        ("route", Self::Route),
        ("stage", Self::Stage),
        ("trust_domain", Self::TrustDomain),
        ("namespace", Self::Namespace),
        ("environment", Self::Environment),
        ("tag", Self::Environment),
        ("name_pattern", Self::NamePattern),
    ];

    /// How much it says where the registry gives no weight: starting values of our own.
    pub fn default_weight(self) -> f64 {
        match self {
            Self::Account => 0.9,
            Self::Host | Self::Route | Self::Stage | Self::TrustDomain | Self::Namespace => 0.8,
            Self::Environment => 0.5,
            Self::NamePattern => 0.2,
        }
    }
}

/// One entry of the production map.
#[derive(Debug, Clone, PartialEq)]
pub struct Production {
    /// What it looks at.
    pub kind: ProductionKind,
    /// What it must be, in ASCII lower case.
    pub pattern: super::patterns::Pattern,
    /// How much it says, 0..1.
    pub weight: f64,
    /// When.
    pub validity: Validity,
}

/// What a named network is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NetworkKind {
    /// People at work.
    Office,
    /// People at home.
    Residential,
    /// People through a tunnel.
    Vpn,
    /// A cloud provider.
    Cloud,
    /// Own machines.
    Datacenter,
}

impl NetworkKind {
    /// Every kind with the word for it.
    pub const WORDS: &[(&'static str, Self)] = &[
        ("office", Self::Office),
        ("residential", Self::Residential),
        ("vpn", Self::Vpn),
        ("cloud", Self::Cloud),
        ("datacenter", Self::Datacenter),
    ];

    /// The word for it.
    pub fn name(self) -> &'static str {
        word_of(self, Self::WORDS)
    }
}

/// Which addresses a named network has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Addresses {
    /// Those of a CIDR.
    Cidr(ipnet::IpNet),
    /// Those that the autonomous system of this number announces.
    AutonomousSystem(u32),
}

/// A named network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Network {
    /// Name.
    pub name: String,
    /// Which addresses.
    pub addresses: Addresses,
    /// What it is.
    pub kind: NetworkKind,
    /// When.
    pub validity: Validity,
}

/// A principal that several people use by agreement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SharedCredential {
    /// Which.
    pub principal: super::patterns::Pattern,
    /// Why.
    pub reason: String,
    /// When.
    pub validity: Validity,
}
