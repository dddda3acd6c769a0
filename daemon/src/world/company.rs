//! The company itself: people, teams, services, accounts, clients. All invented.
//!
//! In: nothing. Out: names and addresses that the registry and the traffic share.

/// Mail domain, mesh trust domain and gateway domain end in it (RFC 2606).
pub(super) const DOMAIN: &str = "halden.example";
pub(super) const PRODUCTION: &str = "604417720931";
pub(super) const STAGING: &str = "718205546610";
pub(super) const SANDBOX: &str = "239967104488";
pub(super) const TOOLING: &str = "857730214469";
pub(super) const AI_HOST: &str = "ai.halden.example";
pub(super) const API_HOST: &str = "api.halden.example";
pub(super) const PEOPLE: u32 = 64;

/// Team ids; person N owns team N and belongs, with every person N + a multiple of ten, to it.
pub(super) const TEAMS: &[&str] = &[
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
];

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

/// Person id, `first.last`, for numbers below [`PEOPLE`].
pub(super) fn person(number: u32) -> String {
    let n = number as usize;
    format!("{}.{}", FIRST[n % FIRST.len()], LAST[(n * 5 + n / FIRST.len()) % LAST.len()])
}

pub(super) fn email(number: u32) -> String {
    format!("{}@{DOMAIN}", person(number))
}

/// `Amara Almeida`.
pub(super) fn full_name(number: u32) -> String {
    person(number).split('.').map(capital).collect::<Vec<_>>().join(" ")
}

fn capital(word: &str) -> String {
    let mut letters = word.chars();
    letters.next().map(|c| c.to_uppercase().chain(letters).collect()).unwrap_or_default()
}

/// Production services and the team that owns each.
pub(super) const SERVICES: &[(&str, &str)] = &[
    ("order-intake", "orders"),
    ("order-tracking", "orders"),
    ("customer-portal", "orders"),
    ("carrier-portal", "orders"),
    ("quote-desk", "pricing"),
    ("rate-cards", "pricing"),
    ("support-chat", "support"),
    ("support-mail", "support"),
    ("claims-desk", "support"),
    ("invoice-run", "finance"),
    ("credit-control", "finance"),
    ("route-planner", "logistics"),
    ("dock-schedule", "logistics"),
    ("fleet-telemetry", "logistics"),
    ("search-api", "freight-data"),
    ("reporting-batch", "freight-data"),
    ("customs-filing", "trade"),
    ("tariff-lookup", "trade"),
    ("crew-roster", "crew"),
    ("notification-hub", "platform"),
    ("traffic-generator", "platform"),
];

/// Promoted services on the AI gateway that serve the purpose some pilot serves too: service, purpose.
pub(super) const ALTERNATIVES: &[(&str, &str)] = &[
    ("quote-templates", "quote-drafting"),
    ("document-reader", "document-extraction"),
    ("tariff-codes", "customs-coding"),
    ("fraud-rules", "fraud-scoring"),
    ("label-ocr", "label-reading"),
    ("mail-rules", "mail-routing"),
    ("claims-rules", "claims-triage"),
];

pub(super) fn team_of(service: &str) -> &'static str {
    SERVICES.iter().find(|(name, _)| *name == service).map_or("platform", |(_, team)| team)
}

/// SPIFFE id of a production service.
pub(super) fn peer(service: &str) -> String {
    format!("spiffe://prod.{DOMAIN}/ns/{}/sa/{service}", team_of(service))
}

/// SPIFFE id of the same service in staging.
pub(super) fn staging_peer(service: &str) -> String {
    format!("spiffe://stage.{DOMAIN}/ns/{}/sa/{service}", team_of(service))
}

/// ARN of a service's or a pilot's role in the production account.
pub(super) fn role_arn(role: &str) -> String {
    format!("arn:aws:iam::{PRODUCTION}:role/{role}")
}

/// ARN of a pilot's application inference profile.
pub(super) fn profile_arn(account: &str, id: &str) -> String {
    format!("arn:aws:bedrock:eu-west-1:{account}:application-inference-profile/{id}")
}

pub(super) const BROWSER: &str = "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/129.0.0.0 Safari/537.36";
pub(super) const BROWSER_WINDOWS: &str = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/129.0.0.0 Safari/537.36";
pub(super) const CLI_MAC: &str = "aws-cli/2.18.7 md/awscrt#0.22.0 ua/2.0 os/macos#24.1.0 md/arch#arm64 lang/python#3.12.6 md/pyimpl#CPython cfg/retry-mode#standard md/installer#source md/prompt#off md/command#s3.ls";
pub(super) const CLI_WINDOWS: &str = "aws-cli/2.18.7 md/awscrt#0.22.0 ua/2.0 os/windows#11 md/arch#amd64 lang/python#3.12.6 md/pyimpl#CPython cfg/retry-mode#standard md/installer#exe md/prompt#off md/command#logs.tail";
pub(super) const CLI_LINUX: &str = "aws-cli/2.18.7 md/awscrt#0.22.0 ua/2.0 os/linux#6.5.0-1027 md/arch#x86_64 lang/python#3.12.6 md/pyimpl#CPython cfg/retry-mode#standard md/installer#exe md/prompt#off md/command#s3.sync";
pub(super) const CLOUD_SHELL: &str = "aws-cli/2.18.7 md/awscrt#0.22.0 ua/2.0 os/linux#6.1.112-124.190.amzn2023.x86_64 md/arch#x86_64 lang/python#3.12.6 md/pyimpl#CPython exec-env/CloudShell cfg/retry-mode#standard md/installer#exe md/distrib#amzn.2023 md/prompt#off md/command#s3api.list-objects-v2";
pub(super) const TERRAFORM: &str = "APN/1.0 HashiCorp/1.0 Terraform/1.9.8 (+https://www.terraform.io) terraform-provider-aws/5.72.1 (+https://registry.terraform.io/providers/hashicorp/aws) aws-sdk-go-v2/1.32.2 os/linux lang/go#1.23.2 md/GOOS#linux md/GOARCH#amd64 api/iam#1.37.2";
pub(super) const BOTO3: &str = "Boto3/1.35.42 md/Botocore#1.35.42 ua/2.0 os/linux#6.5.0 md/arch#x86_64 lang/python#3.12.6 md/pyimpl#CPython cfg/retry-mode#legacy Botocore/1.35.42";
pub(super) const LAMBDA: &str = "Boto3/1.35.42 md/Botocore#1.35.42 ua/2.0 os/linux#5.10.227-239.884.amzn2.x86_64 md/arch#x86_64 lang/python#3.12.6 md/pyimpl#CPython exec-env/AWS_Lambda_python3.12 cfg/retry-mode#legacy Botocore/1.35.42";
pub(super) const FARGATE: &str = "aws-sdk-java/2.28.16 md/io#sync md/http#Apache ua/2.1 os/Linux#5.10.227-219.884.amzn2.x86_64 lang/java#21.0.4 exec-env/AWS_ECS_FARGATE cfg/retry-mode#legacy";
pub(super) const GO_SDK: &str =
    "aws-sdk-go-v2/1.32.2 os/linux lang/go#1.23.2 md/GOOS#linux md/GOARCH#amd64 api/s3#1.65.3";
pub(super) const CI: &str = "aws-sdk-js/3.670.0 ua/2.1 os/linux#6.8.0-1017-azure lang/js md/nodejs#20.18.0 api/sts#3.670.0 configure-aws-credentials-for-github-actions";
pub(super) const AZURE_IDENTITY: &str =
    "azsdk-python-identity/1.19.0 Python/3.12.6 (Linux-5.10.227-x86_64-with-glibc2.34)";
pub(super) const PYTHON: &str = "python-requests/2.32.3";
pub(super) const HTTP_CLIENTS: &[&str] =
    &["grpc-java-netty/1.66.0", "Go-http-client/2.0", "python-httpx/0.27.2", "okhttp/4.12.0", "axios/1.7.7"];
