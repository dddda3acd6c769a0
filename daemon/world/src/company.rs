//! The company itself: people, teams, services, accounts, clients. All invented; how many of each follows the scale.
//!
//! In: a seed and a scale. Out: names and addresses that the registry and the traffic share.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::Scale;
use super::dice::Dice;
use super::pattern::{Clock, DAY};
use super::place::{Place, SITES};
use super::template::Alphabet;

/// Mail domain, mesh trust domain and gateway domain end in it (RFC 2606).
pub(crate) const DOMAIN: &str = "halden.example";
pub(crate) const PRODUCTION: &str = "604417720931";
pub(crate) const STAGING: &str = "718205546610";
pub(crate) const SANDBOX: &str = "239967104488";
pub(crate) const TOOLING: &str = "857730214469";
/// A second production account, which logs invocations of models instead of calls.
pub(crate) const PRODUCTION_AI: &str = "316208845571";
pub(crate) const GCP_PRODUCTION: &str = "halden-prod-4821";
pub(crate) const GCP_STAGING: &str = "halden-stage-1177";
pub(crate) const AZURE_PRODUCTION: &str = "7c0de6b1-52f4-4a0e-9d3b-86e1f20a97c4";
pub(crate) const AZURE_STAGING: &str = "b41f7a92-0c3d-4e85-a6f0-29d8c57e1b63";
pub(crate) const AI_HOST: &str = "ai.halden.example";
pub(crate) const API_HOST: &str = "api.halden.example";
pub(crate) const STAGING_AI_HOST: &str = "ai.stage.halden.example";

const TEAM_NAMES: &[&str] = &[
    "platform",
    "orders",
    "pricing",
    "support",
    "finance",
    "logistics",
    "freight-data",
    "trade",
    "crew",
    "lab",
    "claims",
    "portal",
    "billing",
    "risk",
    "yard",
    "network",
    "partners",
    "mobile",
    "archive",
    "planning",
    "customs",
    "fleet",
    "insight",
    "people-ops",
    "legal-ops",
    "security",
];
const TEAM_PARTS: &[&str] = &["", "-north", "-south", "-east", "-west"];

const FIRST: &[&str] = &[
    "amara", "bruno", "chiara", "dmitri", "elif", "farid", "greta", "hugo", "ines", "jonas", "katya", "liam",
    "mireille", "nadia", "oskar", "priya", "quentin", "rosa", "stefan", "tomas", "ula", "viktor", "wanda",
    "xenia", "yusuf", "zoe",
];
const LAST: &[&str] = &[
    "almeida",
    "berg",
    "castro",
    "dahl",
    "eriksen",
    "fontes",
    "gallo",
    "haas",
    "ivanova",
    "jansen",
    "kowalski",
    "lindqvist",
    "moreau",
    "novak",
    "okafor",
    "pinto",
    "quist",
    "rahman",
    "sousa",
    "tanaka",
    "ulrich",
    "vidal",
    "weiss",
];
/// What services are about.
const MATTERS: &[&str] = &[
    "order", "customer", "carrier", "quote", "rate", "support", "claims", "invoice", "credit", "route",
    "dock", "fleet", "search", "report", "customs", "tariff", "crew", "notice", "yard", "berth", "cargo",
    "parcel", "depot", "lane", "driver", "fuel", "toll", "pallet", "freight", "contract",
];
/// What services are.
const KINDS: &[&str] = &[
    "intake",
    "portal",
    "desk",
    "cards",
    "chat",
    "mail",
    "run",
    "control",
    "planner",
    "schedule",
    "telemetry",
    "api",
    "batch",
    "filing",
    "lookup",
    "roster",
    "hub",
    "feed",
    "sync",
    "export",
    "index",
    "cache",
    "ledger",
    "monitor",
    "router",
    "scan",
    "board",
    "archive",
    "alerts",
    "gate",
];

/// Somebody who works here.
#[derive(Debug, Clone)]
pub(crate) struct Person {
    pub(crate) number: u32,
    /// `first.last`
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) email: String,
    pub(crate) team: String,
    /// Index in [`SITES`].
    pub(crate) site: usize,
    pub(crate) clock: Clock,
}

impl Person {
    pub(crate) fn laptop(&self) -> Place {
        Place::Laptop { person: self.number, site: self.site }
    }

    /// Some work on a Mac, most on Windows.
    pub(crate) fn browser(&self) -> &'static str {
        if self.number.is_multiple_of(3) { BROWSER } else { BROWSER_WINDOWS }
    }

    /// The command line of that machine.
    pub(crate) fn command_line(&self) -> &'static str {
        if self.number.is_multiple_of(3) { CLI_MAC } else { CLI_WINDOWS }
    }
}

/// A production service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Workload {
    pub(crate) number: u32,
    pub(crate) name: String,
    pub(crate) team: String,
}

impl Workload {
    /// SPIFFE id in production.
    pub(crate) fn peer(&self) -> String {
        format!("spiffe://prod.{DOMAIN}/ns/{}/sa/{}", self.team, self.name)
    }

    /// SPIFFE id of the same service in staging.
    pub(crate) fn staging_peer(&self) -> String {
        format!("spiffe://stage.{DOMAIN}/ns/{}/sa/{}", self.team, self.name)
    }

    /// Name of the same service in staging.
    pub(crate) fn staging_name(&self) -> String {
        format!("{}-stage", self.name)
    }

    /// Where its pods are.
    pub(crate) fn pod(&self) -> Place {
        Place::Pod(self.number)
    }

    /// Id of its key at gateways that know callers by keys.
    pub(crate) fn api_key_id(&self) -> String {
        Dice::of(21, &self.name, 0).id("", Alphabet::Hex, 10)
    }

    /// Name of its role in AWS.
    pub(crate) fn role(&self) -> String {
        format!("{}-runtime", self.name)
    }

    /// Its service account in Google Cloud.
    pub(crate) fn service_account(&self) -> String {
        format!("{}@{GCP_PRODUCTION}.iam.gserviceaccount.com", self.name)
    }
}

/// Everybody and everything that is there before any pilot.
#[derive(Debug, Clone)]
pub(crate) struct Company {
    pub(crate) teams: Vec<String>,
    pub(crate) people: Vec<Person>,
    pub(crate) services: Vec<Workload>,
}

impl Company {
    /// The company of this seed; `start` is the first instant of its history, which decides its holidays.
    pub(crate) fn new(seed: u64, scale: Scale, start: i64, days: i64) -> Self {
        let mut dice = Dice::of(seed, "company", 0);
        let (people, teams, services) = scale.size();
        let teams: Vec<String> = (0..teams)
            .map(|n| {
                let part = TEAM_PARTS[n / TEAM_NAMES.len() % TEAM_PARTS.len()];
                format!("{}{part}", TEAM_NAMES[n % TEAM_NAMES.len()])
            })
            .collect();
        let clocks: Vec<Clock> = SITES
            .iter()
            .map(|(_, ahead)| {
                // Two days a quarter on which a country does not work, whichever they are.
                let first = start.div_euclid(DAY);
                let days: BTreeSet<i64> = (0..1 + days / 45).map(|_| first + dice.below(days)).collect();
                Clock { ahead: *ahead, holidays: days.into_iter().collect::<Arc<[i64]>>() }
            })
            .collect();
        let people = (0..people).map(|n| person(n, &teams, &clocks)).collect();
        let services = services_of(&mut dice, services, &teams);
        Self { teams, people, services }
    }

    /// The head of a team: the first of its people.
    pub(crate) fn head(&self, team: &str) -> &Person {
        self.people.iter().find(|p| p.team == team).expect("every team has people")
    }
}

fn person(number: u32, teams: &[String], clocks: &[Clock]) -> Person {
    let n = number as usize;
    let again = n / (FIRST.len() * LAST.len());
    let suffix = if again == 0 { String::new() } else { (again + 1).to_string() };
    let (first, last) = (FIRST[n % FIRST.len()], LAST[(n * 5 + n / FIRST.len()) % LAST.len()]);
    let id = format!("{first}.{last}{suffix}");
    // Teams sit together, four of ten in Lisbon.
    let site = [0, 0, 1, 0, 2, 1, 3, 0, 2, 1][n % teams.len() % 10];
    Person {
        number,
        name: format!("{} {}", capital(first), capital(last)),
        email: format!("{id}@{DOMAIN}"),
        id,
        team: teams[n % teams.len()].clone(),
        site,
        clock: clocks[site].clone(),
    }
}

fn capital(word: &str) -> String {
    let mut letters = word.chars();
    letters.next().map(|c| c.to_uppercase().chain(letters).collect()).unwrap_or_default()
}

fn services_of(dice: &mut Dice, count: usize, teams: &[String]) -> Vec<Workload> {
    let mut names: Vec<String> = (0..1 + count / 800)
        .flat_map(|round| {
            let suffix = if round == 0 { String::new() } else { format!("-{}", round + 1) };
            MATTERS
                .iter()
                .flat_map(move |matter| KINDS.iter().map(move |kind| (matter, kind)))
                .map(move |(matter, kind)| format!("{matter}-{kind}{suffix}"))
        })
        .collect();
    dice.shuffle(&mut names);
    names.truncate(count);
    (0..)
        .zip(names)
        .map(|(number, name)| Workload {
            number,
            name,
            team: teams[number as usize % (teams.len() - 1)].clone(),
        })
        .collect()
}

/// ARN of a role in the production account.
pub(crate) fn role_arn(role: &str) -> String {
    format!("arn:aws:iam::{PRODUCTION}:role/{role}")
}

/// ARN of an application inference profile.
pub(crate) fn profile_arn(account: &str, id: &str) -> String {
    format!("arn:aws:bedrock:eu-west-1:{account}:application-inference-profile/{id}")
}

pub(crate) const BROWSER: &str = "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/129.0.0.0 Safari/537.36";
pub(crate) const BROWSER_WINDOWS: &str = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/129.0.0.0 Safari/537.36";
pub(crate) const CLI_MAC: &str = "aws-cli/2.18.7 md/awscrt#0.22.0 ua/2.0 os/macos#24.1.0 md/arch#arm64 lang/python#3.12.6 md/pyimpl#CPython cfg/retry-mode#standard md/installer#source md/prompt#off md/command#s3.ls";
pub(crate) const CLI_WINDOWS: &str = "aws-cli/2.18.7 md/awscrt#0.22.0 ua/2.0 os/windows#11 md/arch#amd64 lang/python#3.12.6 md/pyimpl#CPython cfg/retry-mode#standard md/installer#exe md/prompt#off md/command#logs.tail";
pub(crate) const CLI_LINUX: &str = "aws-cli/2.18.7 md/awscrt#0.22.0 ua/2.0 os/linux#6.5.0-1027 md/arch#x86_64 lang/python#3.12.6 md/pyimpl#CPython cfg/retry-mode#standard md/installer#exe md/prompt#off md/command#s3.sync";
pub(crate) const CLOUD_SHELL: &str = "aws-cli/2.18.7 md/awscrt#0.22.0 ua/2.0 os/linux#6.1.112-124.190.amzn2023.x86_64 md/arch#x86_64 lang/python#3.12.6 md/pyimpl#CPython exec-env/CloudShell cfg/retry-mode#standard md/installer#exe md/distrib#amzn.2023 md/prompt#off md/command#s3api.list-objects-v2";
pub(crate) const TERRAFORM: &str = "APN/1.0 HashiCorp/1.0 Terraform/1.9.8 (+https://www.terraform.io) terraform-provider-aws/5.72.1 (+https://registry.terraform.io/providers/hashicorp/aws) aws-sdk-go-v2/1.32.2 os/linux lang/go#1.23.2 md/GOOS#linux md/GOARCH#amd64 api/iam#1.37.2";
pub(crate) const BOTO3: &str = "Boto3/1.35.42 md/Botocore#1.35.42 ua/2.0 os/linux#6.5.0 md/arch#x86_64 lang/python#3.12.6 md/pyimpl#CPython cfg/retry-mode#legacy Botocore/1.35.42";
pub(crate) const LAMBDA: &str = "Boto3/1.35.42 md/Botocore#1.35.42 ua/2.0 os/linux#5.10.227-239.884.amzn2.x86_64 md/arch#x86_64 lang/python#3.12.6 md/pyimpl#CPython exec-env/AWS_Lambda_python3.12 cfg/retry-mode#legacy Botocore/1.35.42";
pub(crate) const FARGATE: &str = "aws-sdk-java/2.28.16 md/io#sync md/http#Apache ua/2.1 os/Linux#5.10.227-219.884.amzn2.x86_64 lang/java#21.0.4 exec-env/AWS_ECS_FARGATE cfg/retry-mode#legacy";
pub(crate) const GO_SDK: &str =
    "aws-sdk-go-v2/1.32.2 os/linux lang/go#1.23.2 md/GOOS#linux md/GOARCH#amd64 api/s3#1.65.3";
pub(crate) const CI: &str = "aws-sdk-js/3.670.0 ua/2.1 os/linux#6.8.0-1017-azure lang/js md/nodejs#20.18.0 api/sts#3.670.0 configure-aws-credentials-for-github-actions";
pub(crate) const AZURE_IDENTITY: &str =
    "azsdk-python-identity/1.19.0 Python/3.12.6 (Linux-5.10.227-x86_64-with-glibc2.34)";
pub(crate) const PYTHON: &str = "python-requests/2.32.3";
pub(crate) const HTTP_CLIENTS: &[&str] =
    &["grpc-java-netty/1.66.0", "Go-http-client/2.0", "python-httpx/0.27.2", "okhttp/4.12.0", "axios/1.7.7"];
