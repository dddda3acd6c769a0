//! Which coarse family of clients a user agent belongs to.
//!
//! In: a user agent, the tables [[client_family]] and [[client_name]]. Out: a family; `unknown` where nothing
//! names it. Our own table of SDKs and tools decides first. Behind it stand the patterns of uap-core, which
//! know browsers, crawlers and libraries by name; the second table sorts those names into families.

use std::sync::LazyLock;

use serde::Deserialize;
use ua_parser::user_agent::{Builder, Extractor, Parser};

use super::conditions::Test;

const UNKNOWN: &str = "unknown";

/// <https://github.com/ua-parser/uap-core>; source, licence and changes stand in the file.
const PATTERNS: &str = include_str!("uap_core.json");

/// 362 patterns: 0.1 s to compile and 19 MiB kept on the machine that measured it, so once a process.
static EXTRACTOR: LazyLock<Extractor<'static>> = LazyLock::new(|| {
    let patterns: Patterns = serde_json::from_str(PATTERNS).expect("the file was checked in as JSON");
    let builder = Builder::new().push_all(patterns.user_agent_parsers);
    builder.and_then(|b| Ok(b.build()?)).expect("every pattern in the file compiles")
});

#[derive(Deserialize)]
struct Patterns {
    user_agent_parsers: Vec<Parser<'static>>,
}

/// Sorts user agents into families.
#[derive(Debug, Clone, Default)]
pub(super) struct ClientFamilies {
    by_user_agent: Vec<(Test, String)>,
    by_name: Vec<(Test, String)>,
}

impl ClientFamilies {
    /// Compiles the patterns now, rather than while the first events wait.
    pub(super) fn prepare() {
        LazyLock::force(&EXTRACTOR);
    }

    /// Adds what a user agent is compared with.
    pub(super) fn add_user_agent(&mut self, test: Test, family: String) {
        self.by_user_agent.push((test, family));
    }

    /// Adds what a name that uap-core gives is compared with.
    pub(super) fn add_name(&mut self, test: Test, family: String) {
        self.by_name.push((test, family));
    }

    /// The number of entries.
    pub(super) fn len(&self) -> usize {
        self.by_user_agent.len() + self.by_name.len()
    }

    /// The family of the first entry that matches.
    pub(super) fn family_of(&self, user_agent: &str) -> &str {
        let own = first_match(&self.by_user_agent, user_agent);
        let named = || first_match(&self.by_name, &EXTRACTOR.extract(user_agent)?.family);
        own.or_else(named).unwrap_or(UNKNOWN)
    }
}

fn first_match<'a>(entries: &'a [(Test, String)], text: &str) -> Option<&'a str> {
    let lower = text.to_ascii_lowercase();
    entries.iter().find(|(test, _)| test.matches(&lower)).map(|(_, family)| family.as_str())
}

#[cfg(test)]
mod tests {
    use super::super::Signals;

    /// Each of `user_agents` is of this family by the built-in tables.
    fn check(family: &str, user_agents: &[&str]) {
        let signals = Signals::load(None).unwrap_or_else(|errors| panic!("{errors}"));
        for user_agent in user_agents {
            assert_eq!(signals.client_family_of(user_agent), family, "{user_agent}");
        }
    }

    #[test]
    fn sdk_is_known_by_what_its_source_sends() {
        check(
            "ai-sdk",
            &[
                "OpenAI/Python 1.55.0",
                "AsyncOpenAI/Python 3.54.0",
                "AsyncAzureOpenAI/Python 1.55.0",
                "OpenAI/JS 6.49.0",
                "Anthropic/JS 1.12.0",
                "AsyncAnthropic/Python 0.40.0",
                "AnthropicBedrock/Python 0.40.0",
                "AsyncAnthropicBedrockMantle/Python 2.12.0",
                "AnthropicVertex/Python 0.40.0",
                "Groq/Python 1.7.0",
                "google-genai-sdk/3.4.0 gl-python/3.12.1",
                "google-genai-sdk/3.4.0 gl-python/3.12.1 langchain-google-genai/4.4.2-ChatGoogleGenerativeAI",
                "speakeasy-sdk/python 2.2.0 2.935.1 1.0.0 mistralai-gcp",
                "cohere/7.3.1",
                "litellm/1.109.1",
                "ollama-python/0.6.3 (x86_64 linux) Python/3.12.1",
                "unknown/None; hf_hub/2.4.0; python/3.12.1",
                "ai-sdk/openai/3.0.141 ai-sdk/provider-utils/4.0.66 runtime/node.js/22",
            ],
        );
        check(
            "sdk",
            &[
                "Boto3/1.35.42 md/Botocore#1.35.42 ua/2.0 os/linux#6.1 md/arch#x86_64 lang/python#3.12.6",
                "Boto/2.49.0 Python/3.6.9 Linux/4.15",
                "aws-sdk-go-v2/1.32.3 os/linux lang/go#1.23.1 api/bedrockruntime#1.20.0",
                "aws-sdk-js/3.670.0 ua/2.1 os/linux lang/js md/nodejs#20.18.0",
                "azsdk-python-core/1.41.0 Python/3.12.1 (Linux-6.1-x86_64)",
                "okta-sdk-java/17.0.0",
                "OpenAPI-Generator/30.1.0/python",
                "ops-copilot/v0.0.0 (linux/amd64) kubernetes/$Format",
            ],
        );
        check("google-library", &["google-api-python-client/2.150 (gzip)", "google-cloud-sdk"]);
    }

    #[test]
    fn tool_is_known_before_the_sdk_it_is_built_on() {
        for (family, user_agents) in [
            (
                "ci",
                &[
                    "aws-sdk-js/3.670.0 ua/2.1 api/sts#3.670.0 configure-aws-credentials-for-github-actions",
                    "aws-cli/2.22.0 md/prompt#off exec-env/CodeBuild",
                    "AZURECLI/2.61.0 azsdk-python-core/1.28.0 GITHUBACTIONS/azure/login@v2_PROD",
                ][..],
            ),
            (
                "iac",
                &[
                    "APN/1.0 HashiCorp/1.0 Terraform/1.9.0 (+https://www.terraform.io) aws-sdk-go-v2/1.30",
                    "Helm/3.14.0",
                ],
            ),
            (
                "kubernetes-controller",
                &["kube-scheduler/v1.31.0 (linux/amd64) kubernetes/abc/leader-election", "kubelet/v1.32.0"],
            ),
            ("kubectl", &["kubectl/v1.29.1 (darwin/arm64) kubernetes/bc401b9", "oc/4.14.0 (linux/amd64)"]),
            ("aws-cli", &["aws-cli/2.32.3 md/awscrt#0.28.4 ua/2.1 md/command#bedrock.list-agents"]),
            ("azure-cli", &["AZURECLI/2.35.0 (MSI) azsdk-python-azure-mgmt-resource/20.0.0 Python/3.10.3"]),
            ("gcloud", &["google-cloud-sdk gcloud/512.0.0 command/gcloud.projects.list interactive/True"]),
            ("console", &["console.amazonaws.com", "S3Console/0.4"]),
            ("aws-service", &["lambda.amazonaws.com", "AWS Internal"]),
            (
                "coding-agent",
                &["claude-cli/2.1.216 (external, cli)", "GeminiCLI/0.9.0/gemini-2.5-pro (linux; x64)"],
            ),
        ] {
            check(family, user_agents);
        }
    }

    #[test]
    fn program_is_no_browser_whatever_it_says_to_be_compatible_with() {
        for (family, user_agents) in [
            (
                "automation",
                &[
                    "n8n",
                    "Mozilla/5.0 (compatible; n8n/1.99.0; +https://n8n.io/)",
                    "Make/production",
                    "azure-logic-apps/1.0 (workflow 5f96cf; version 0858) microsoft-flow/1.0",
                ][..],
            ),
            (
                "api-tool",
                &["PostmanRuntime/7.43.0", "insomnia/10.1.0", "bruno-runtime/2.9.0", "HTTPie/3.2.2"],
            ),
            (
                "http-library",
                &[
                    "python-requests/2.32.0",
                    "Python/3.12 aiohttp/3.10.5",
                    "Go-http-client/2.0",
                    "okhttp/4.12.0",
                    "Java-http-client/21.0.2",
                    "Apache-HttpClient/5.3 (Java/21.0.2)",
                    "axios/1.21.1",
                    "node",
                    "undici",
                    "node-fetch",
                    "grpc-java-netty/1.66.0",
                    "Jakarta Commons-HttpClient/3.1",
                ],
            ),
            ("curl", &["curl/8.7.1", "Wget/1.21.4"]),
            ("powershell", &["Mozilla/5.0 (Windows NT; Windows NT 10.0; en-US) WindowsPowerShell/5.1.22621"]),
            (
                "bot",
                &[
                    "Mozilla/5.0 AppleWebKit/537.36 (KHTML, like Gecko; compatible; GPTBot/1.2; +https://openai.com/gptbot)",
                    "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)",
                    "Mozilla/5.0 (compatible; Yahoo! Slurp; http://help.yahoo.com/help/us/ysearch/slurp)",
                    "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) HeadlessChrome/129.0.0.0 Safari/537.36",
                ],
            ),
        ] {
            check(family, user_agents);
        }
    }

    #[test]
    fn browser_is_what_a_person_looks_at() {
        check(
            "browser",
            &[
                "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/129.0.0.0 Safari/537.36",
                "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/112.0.0.0 Safari/537.36,gzip(gfe)",
                "Mozilla/5.0 (X11; Linux x86_64; rv:136.0) Gecko/20100101 Firefox/136.0",
                "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/133.0.0.0 Safari/537.36 Edg/133.0.0.0",
                "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.5 Mobile/15E148 Safari/604.1",
                "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.4 Safari/605.1.15",
                "Mozilla/5.0 (Linux; Android 14; SM-S918B) AppleWebKit/537.36 (KHTML, like Gecko) SamsungBrowser/25.0 Chrome/121.0.0.0 Mobile Safari/537.36",
                "Opera/9.80 (Windows NT 6.1; U; en) Presto/2.8.131 Version/11.11",
            ],
        );
        check("unknown", &["", "-", "Mozilla/5.0", "claims-service/3.2", "browser", &"(".repeat(1_024)]);
    }
}
