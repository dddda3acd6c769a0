//! Which events are calls to an AI service.
//!
//! In: the entries of [[ai_call]] and what an event says of itself. Out: whose models, and whether somebody used
//! them, looked at what there is, or changed settings. No provider is known here.

use super::conditions::Mark;

/// Columns that an AI call is recognised by.
pub(in crate::enrich) const AI_CALL_COLUMNS: [&str; 7] =
    ["action", "host", "target", "route", "format", "model", "client_family"];
/// Where `action` stands in them.
const ACTION: usize = 0;

const INVOKE: &str = "invoke";
/// Somebody looked.
pub(super) const LIST: &str = "list";
const MANAGE: &str = "manage";
/// What an AI call does.
pub(super) const OPERATIONS: [(&str, &str); 3] = [(INVOKE, INVOKE), (LIST, LIST), (MANAGE, MANAGE)];
/// What a call may be with an HTTP method that only reads.
pub(super) const GETS: [(&str, &str); 2] = [(LIST, LIST), (INVOKE, INVOKE)];

/// What a call to an AI service is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::enrich) struct AiCall {
    /// Whose models.
    pub provider: String,
    /// `invoke`, `list` or `manage`.
    pub operation: &'static str,
}

/// The entries, in order.
#[derive(Debug, Clone, Default)]
pub(super) struct AiCalls {
    entries: Vec<Entry>,
}

#[derive(Debug, Clone)]
struct Entry {
    call: AiCall,
    /// What it is with an HTTP method that only reads.
    get: &'static str,
    mark: Mark,
}

impl AiCalls {
    /// Adds an entry; `get` is of [`GETS`].
    pub(super) fn add(&mut self, call: AiCall, get: &'static str, mark: Mark) {
        self.entries.push(Entry { call, get, mark });
    }

    /// The number of entries.
    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    /// The call that the first matching entry makes of values of [`AI_CALL_COLUMNS`].
    pub(super) fn find(&self, values: &[Option<&str>; AI_CALL_COLUMNS.len()]) -> Option<AiCall> {
        let lower = values.map(|value| value.map(str::to_ascii_lowercase));
        let found = self.entries.iter().find(|entry| entry.mark.holds(&lower));
        found.map(|entry| entry.call_by(lower[ACTION].as_deref()))
    }
}

impl Entry {
    /// Methods are those of RFC 9110; any other action is the provider's own.
    fn call_by(&self, action: Option<&str>) -> AiCall {
        let operation = match action {
            Some("get" | "head" | "options") => self.get,
            Some("delete" | "patch" | "put") => MANAGE,
            Some(_) | None => self.call.operation,
        };
        AiCall { operation, ..self.call.clone() }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Signals;
    use super::*;

    /// An event with these values is, by the built-in tables, a call of `provider:operation`, or none at all.
    fn check(signals: &Signals, values: &[(&str, &str)], expected: &str) {
        let of = |column: &str| values.iter().find(|(name, _)| *name == column).map(|(_, value)| *value);
        assert!(values.iter().all(|(name, _)| AI_CALL_COLUMNS.contains(name)), "{values:?}");
        let found = signals.ai_call_of(&AI_CALL_COLUMNS.map(of));
        let found = found.map_or("none".to_owned(), |call| format!("{}:{}", call.provider, call.operation));
        assert_eq!(found, expected, "{values:?}");
    }

    fn built_in() -> Signals {
        Signals::load(None).unwrap_or_else(|errors| panic!("{errors}"))
    }

    #[test]
    fn event_of_cloudtrail_tells_use_from_looking_and_changing() {
        let signals = built_in();
        for (action, expected) in [
            ("bedrock.amazonaws.com:InvokeModel", "aws-bedrock:invoke"),
            ("bedrock.amazonaws.com:InvokeModelWithResponseStream", "aws-bedrock:invoke"),
            ("bedrock-runtime.amazonaws.com:InvokeModelWithBidirectionalStream", "aws-bedrock:invoke"),
            ("bedrock.amazonaws.com:Converse", "aws-bedrock:invoke"),
            ("bedrock-runtime.amazonaws.com:ConverseStream", "aws-bedrock:invoke"),
            ("bedrock.amazonaws.com:CreateModelInvocationJob", "aws-bedrock:invoke"),
            ("bedrock-mantle.amazonaws.com:CreateInference", "aws-bedrock:invoke"),
            ("bedrock-mantle.amazonaws.com:InvokeModel", "aws-bedrock:invoke"),
            ("bedrock-mantle.amazonaws.com:CountTokens", "aws-bedrock:list"),
            ("bedrock-mantle.amazonaws.com:ListModels", "aws-bedrock:list"),
            ("bedrock-mantle.amazonaws.com:CreateFineTuningJob", "aws-bedrock:manage"),
            ("bedrock.amazonaws.com:InvokeAgent", "aws-bedrock:invoke"),
            ("bedrock.amazonaws.com:InvokeInlineAgent", "aws-bedrock:invoke"),
            ("bedrock.amazonaws.com:RetrieveAndGenerate", "aws-bedrock:invoke"),
            ("bedrock-agentcore.amazonaws.com:InvokeAgentRuntime", "aws-bedrock:invoke"),
            ("bedrock-agentcore.amazonaws.com:CreateEvent", "aws-bedrock:manage"),
            ("bedrock.amazonaws.com:CreateInvocation", "aws-bedrock:manage"),
            ("bedrock.amazonaws.com:ListFoundationModels", "aws-bedrock:list"),
            ("bedrock.amazonaws.com:GetFoundationModelAvailability", "aws-bedrock:list"),
            ("bedrock.amazonaws.com:GetModelInvocationLoggingConfiguration", "aws-bedrock:list"),
            ("bedrock.amazonaws.com:ListModelInvocationJobs", "aws-bedrock:list"),
            ("bedrock.amazonaws.com:DeleteModelInvocationLoggingConfiguration", "aws-bedrock:manage"),
            ("bedrock.amazonaws.com:PutUseCaseForModelAccess", "aws-bedrock:manage"),
            ("sagemaker.amazonaws.com:InvokeEndpointWithResponseStream", "aws-sagemaker:invoke"),
            ("sagemaker.amazonaws.com:ListEndpoints", "none"),
            ("lambda.amazonaws.com:Invoke", "none"),
            ("s3.amazonaws.com:GetObject", "none"),
        ] {
            check(&signals, &[("action", action)], expected);
        }
    }

    #[test]
    fn operation_of_google_or_azure_tells_use_from_looking_and_changing() {
        let signals = built_in();
        for (action, expected) in [
            ("aiplatform.googleapis.com:PredictionService.Predict", "google-vertex:invoke"),
            ("aiplatform.googleapis.com:PredictionService.RawPredict", "google-vertex:invoke"),
            ("aiplatform.googleapis.com:PredictionService.StreamRawPredict", "google-vertex:invoke"),
            ("aiplatform.googleapis.com:PredictionService.GenerateContent", "google-vertex:invoke"),
            (
                "aiplatform.googleapis.com:google.cloud.aiplatform.v1beta1.PredictionService.StreamGenerateContent",
                "google-vertex:invoke",
            ),
            ("aiplatform.googleapis.com:LlmBidiService.BidiGenerateContent", "google-vertex:invoke"),
            (
                "aiplatform.googleapis.com:ReasoningEngineExecutionService.StreamQueryReasoningEngine",
                "google-vertex:invoke",
            ),
            ("aiplatform.googleapis.com:JobService.CreateBatchPredictionJob", "google-vertex:invoke"),
            ("aiplatform.googleapis.com:JobService.GetBatchPredictionJob", "google-vertex:list"),
            ("aiplatform.googleapis.com:PredictionService.CountTokens", "google-vertex:list"),
            ("aiplatform.googleapis.com:ModelService.ListModels", "google-vertex:list"),
            ("aiplatform.googleapis.com:EndpointService.DeployModel", "google-vertex:manage"),
            (
                "generativelanguage.googleapis.com:GenerativeService.StreamGenerateContent",
                "google-gemini:invoke",
            ),
            ("generativelanguage.googleapis.com:GenerativeService.CountTokens", "google-gemini:list"),
            ("generativelanguage.googleapis.com:FileService.CreateFile", "google-gemini:manage"),
            (
                "discoveryengine.googleapis.com:ConversationalSearchService.AnswerQuery",
                "google-agents:invoke",
            ),
            ("discoveryengine.googleapis.com:DataStoreService.CreateDataStore", "none"),
            ("storage.googleapis.com:storage.objects.get", "none"),
            ("microsoft.cognitiveservices/accounts/listkeys/action", "azure-openai:list"),
            ("microsoft.cognitiveservices/accounts/deployments/write", "azure-openai:manage"),
            ("microsoft.cognitiveservices/accounts/regeneratekey/action", "azure-openai:manage"),
            (
                "microsoft.machinelearningservices/workspaces/serverlessendpoints/listkeys/action",
                "azure-ml:list",
            ),
            ("microsoft.machinelearningservices/workspaces/write", "none"),
            ("microsoft.storage/storageaccounts/listkeys/action", "none"),
        ] {
            check(&signals, &[("action", action)], expected);
        }
    }

    #[test]
    fn host_tells_the_provider_and_the_method_what_is_done() {
        let signals = built_in();
        for (host, route, method, expected) in [
            (
                "bedrock-runtime.eu-central-1.amazonaws.com",
                "/model/anthropic.claude",
                "POST",
                "aws-bedrock:invoke",
            ),
            ("bedrock-mantle.us-east-1.api.aws", "/v1/chat", "POST", "aws-bedrock:invoke"),
            ("bedrock-mantle.us-east-1.api.aws", "/v1/models", "GET", "aws-bedrock:list"),
            ("bedrock.eu-central-1.amazonaws.com", "/foundation-models", "GET", "none"),
            ("bedrock-runtime.example.com", "/", "POST", "none"),
            ("europe-west1-aiplatform.googleapis.com", "/v1/projects", "POST", "google-vertex:invoke"),
            ("generativelanguage.googleapis.com", "/v1beta/models", "POST", "google-gemini:invoke"),
            ("generativelanguage.googleapis.com", "/v1beta/models", "GET", "google-gemini:list"),
            (
                "generativelanguage.googleapis.com",
                "/ws/google.ai.generativelanguage",
                "GET",
                "google-gemini:invoke",
            ),
            ("acme.openai.azure.com", "/openai/deployments", "POST", "azure-openai:invoke"),
            ("acme.openai.azure.com", "/openai/files", "POST", "azure-openai:manage"),
            ("acme.openai.azure.com", "/openai/deployments", "GET", "azure-openai:list"),
            ("acme.cognitiveservices.azure.com", "/openai/v1", "POST", "azure-openai:invoke"),
            ("acme.cognitiveservices.azure.com", "/speechtotext/v3.2", "POST", "none"),
            ("acme.services.ai.azure.com", "/models/chat", "POST", "azure-openai:invoke"),
            ("acme.services.ai.azure.com", "/anthropic/v1", "POST", "azure-openai:invoke"),
            ("api.openai.com", "/v1/responses", "POST", "openai:invoke"),
            ("API.OpenAI.com", "/v1/chat", "post", "openai:invoke"),
            ("api.openai.com", "/v1/models", "GET", "openai:list"),
            ("api.openai.com", "/v1/responses", "DELETE", "openai:manage"),
            ("api.openai.com", "/v1/fine_tuning", "POST", "openai:manage"),
            ("api.openai.com", "/v1/fine_tuning", "GET", "openai:list"),
            ("api.openai.com", "/v1/realtime", "GET", "openai:invoke"),
            ("api.openai.com.evil.example", "/v1/cart", "POST", "none"),
            ("platform.openai.com", "/docs/api-reference", "GET", "none"),
            ("api.anthropic.com", "/v1/messages", "POST", "anthropic:invoke"),
            ("api.anthropic.com", "/v1/organizations", "GET", "anthropic:list"),
            ("docs.anthropic.com", "/en/api", "GET", "none"),
            ("console.anthropic.com", "/settings/keys", "POST", "none"),
            ("api.mistral.ai", "/v1/chat", "POST", "mistral:invoke"),
            ("docs.mistral.ai", "/api", "GET", "none"),
            ("api.cohere.com", "/v2/chat", "POST", "cohere:invoke"),
            ("api.groq.com", "/openai/v1", "POST", "groq:invoke"),
            ("openrouter.ai", "/api/v1", "POST", "openrouter:invoke"),
            ("openrouter.ai", "/docs/quickstart", "GET", "none"),
            ("api.deepseek.com", "/chat/completions", "POST", "deepseek:invoke"),
            ("api.x.ai", "/v1/chat", "POST", "xai:invoke"),
            ("api.x.ai.example", "/v1/chat", "POST", "none"),
            ("api.together.xyz", "/v1/chat", "POST", "together:invoke"),
            ("router.huggingface.co", "/v1/chat", "POST", "hugging-face:invoke"),
            ("abc.eu-west-1.aws.endpoints.huggingface.cloud", "/", "POST", "hugging-face:invoke"),
            ("huggingface.co", "/models", "GET", "none"),
            ("gateway.ai.cloudflare.com", "/v1/account", "POST", "cloudflare-ai-gateway:invoke"),
            ("dbc-1.cloud.databricks.com", "/serving-endpoints/m", "POST", "databricks:invoke"),
            ("dbc-1.cloud.databricks.com", "/api/2.0", "POST", "none"),
            ("shop.example", "/v1/cart", "POST", "none"),
        ] {
            check(&signals, &[("host", host), ("route", route), ("action", method)], expected);
        }
    }

    #[test]
    fn gateway_of_our_own_is_recognised_by_upstream_format_model_or_client() {
        let signals = built_in();
        for (values, expected) in [
            (&[("host", "llm.example"), ("target", "https://api.openai.com:443")][..], "openai:invoke"),
            (&[("host", "llm.example"), ("target", "api.anthropic.com")], "anthropic:invoke"),
            (
                &[("host", "llm.example"), ("target", "bedrock-runtime.eu-west-1.amazonaws.com")],
                "aws-bedrock:invoke",
            ),
            (&[("host", "llm.example"), ("target", "eu-aiplatform.googleapis.com")], "google-vertex:invoke"),
            (&[("target", "//aiplatform.googleapis.com/projects/p"), ("action", "x:y")], "none"),
            (
                &[("format", "bedrock_invocation"), ("action", "bedrock.amazonaws.com:Converse")],
                "aws-bedrock:invoke",
            ),
            (&[("format", "litellm"), ("action", "acompletion")], "litellm:invoke"),
            (&[("format", "litellm"), ("action", "aretrieve_batch")], "litellm:list"),
            (&[("format", "litellm"), ("action", "acreate_file")], "litellm:manage"),
            (
                &[("format", "cloudflare_ai_gateway"), ("route", "/chat/completions")],
                "cloudflare-ai-gateway:invoke",
            ),
            (
                &[("format", "envoy"), ("route", "llm"), ("action", "POST"), ("model", "m")],
                "ai-gateway:invoke",
            ),
            (&[("format", "kong"), ("route", "ai"), ("model", "gpt-4o")], "ai-gateway:invoke"),
            (&[("format", "azure_apim"), ("route", "openai-api"), ("model", "gpt-4o")], "ai-gateway:invoke"),
            (&[("format", "envoy"), ("route", "llm"), ("action", "GET"), ("model", "m")], "ai-gateway:list"),
            (&[("format", "envoy"), ("route", "mcp"), ("action", "POST")], "none"),
            (&[("route", "/v1/embeddings"), ("action", "POST")], "openai-compatible:invoke"),
            (&[("route", "/v1/chat"), ("client_family", "ai-sdk")], "openai-compatible:invoke"),
            (&[("route", "/v1/chat"), ("client_family", "browser")], "none"),
            (&[("route", "/v1/messages"), ("client_family", "ai-sdk")], "anthropic-compatible:invoke"),
            (&[("route", "/v1/messages"), ("client_family", "http-library")], "none"),
            (&[("route", "/v1/messages")], "none"),
        ] {
            check(&signals, values, expected);
        }
    }
}
