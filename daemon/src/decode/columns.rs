//! One event on its way into Arrow builders, and the builders.
//!
//! In: [`Event`]s, borrowed from the payload where possible. Out: an [`EventBatch`]. Text beyond
//! FIELD_BYTES_MAX is cut at a character boundary and counted.

use std::borrow::Cow;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, Float64Builder, Int64Builder, StringBuilder, StringDictionaryBuilder,
    TimestampMicrosecondBuilder,
};
use arrow::datatypes::Int32Type;
use arrow::record_batch::RecordBatch;

use crate::limits;
use crate::schema::{EVENT_COLUMNS, EVENT_SCHEMA, EventBatch, Kind};

/// Every word that the column `flow` may hold, and what it says.
pub const FLOW_WORDS: &[(&str, &str)] = &[
    ("console_login", "AWS ConsoleLogin"),
    ("console_session", "the session came from the AWS console"),
    ("mfa", "a second factor was used"),
    ("cloudshell", "AWS CloudShell"),
    ("ec2_role_delivery", "AWS delivered the role to an EC2 instance"),
    ("instance_session", "the AWS session is named after an instance"),
    ("web_identity", "a federated workload identity"),
    ("lambda_exec_env", "AWS Lambda"),
    ("ecs_exec_env", "AWS ECS"),
    ("sso_session", "an IAM Identity Center role session"),
    ("source_identity", "the AWS session carries a source identity"),
    ("bearer_token", "a Bedrock API key"),
    ("interactive_factor", "Okta: a factor that needs a person"),
    ("known_browser", "Okta: a browser it recognises"),
    ("device_fingerprint", "Okta: a device token hash"),
    ("api_token", "Okta: an API token id"),
    ("non_user_actor", "Okta: an actor that is not a user"),
    ("client_credentials", "OAuth client credentials"),
    ("private_key_jwt", "OAuth private key JWT"),
    ("interactive", "Entra: interactive sign-in"),
    ("non_interactive", "Entra: sign-in on a user's behalf"),
    ("device_id", "Entra: a registered device"),
    ("service_principal", "Entra: service principal"),
    ("managed_identity", "Entra: managed identity"),
    ("federated_credential", "Entra: federated credential"),
    ("ropc", "OAuth resource owner password credentials"),
];

/// Words of the column `flow`, in the order in which they were added.
#[derive(Debug, Default)]
pub struct Flow(String);

impl Flow {
    /// Adds `word` if `condition` holds.
    pub fn add_if(&mut self, condition: bool, word: &'static str) {
        debug_assert!(FLOW_WORDS.iter().any(|(w, _)| *w == word), "{word} is documented");
        if condition {
            if !self.0.is_empty() {
                self.0.push(' ');
            }
            self.0.push_str(word);
        }
    }

    fn text(&self) -> Option<&str> {
        (!self.0.is_empty()).then_some(&self.0)
    }
}

/// One event; the fields are the columns of `schema::EVENT_COLUMNS`.
#[derive(Debug, Default)]

pub struct Event<'a> {
    pub event_time: i64,
    pub event_id: Option<Cow<'a, str>>,
    pub action: Option<Cow<'a, str>>,
    pub outcome: &'static str,
    pub status_code: Option<i64>,
    pub principal: Option<Cow<'a, str>>,
    pub principal_kind: &'static str,
    pub session_name: Option<Cow<'a, str>>,
    pub credential_kind: Option<&'static str>,
    pub credential_secret: Option<Cow<'a, str>>,
    pub credential_attribution: Option<f64>,
    pub source_ip: Option<Cow<'a, str>>,
    pub user_agent: Option<Cow<'a, str>>,
    pub flow: Flow,
    pub host: Option<Cow<'a, str>>,
    pub route: Option<Cow<'a, str>>,
    pub account: Option<Cow<'a, str>>,
    pub region: Option<Cow<'a, str>>,
    pub environment: Option<Cow<'a, str>>,
    pub target: Option<Cow<'a, str>>,
    pub model: Option<Cow<'a, str>>,
    pub consumer: Option<Cow<'a, str>>,
    pub peer: Option<Cow<'a, str>>,
    pub trace_id: Option<Cow<'a, str>>,
}

/// What an HTTP status says of the outcome.
pub fn outcome_of_status(status: i64) -> &'static str {
    match status {
        100..=399 => "success",
        401 | 403 => "denied",
        429 => "throttled",
        400..=499 => "rejected",
        500..=599 => "failure",
        _ => "unknown",
    }
}

enum Builder {
    Dict(StringDictionaryBuilder<Int32Type>),
    Text(StringBuilder),
    Int(Int64Builder),
    Float(Float64Builder),
    Time(TimestampMicrosecondBuilder),
}

/// One column's cell.
enum Cell<'c> {
    Text(Option<&'c str>),
    Int(Option<i64>),
    Float(Option<f64>),
}

/// Builders for all columns of `schema::EVENT_COLUMNS`.
pub struct Columns {
    builders: Vec<Builder>,
    cut_fields: u64,
}

impl Default for Columns {
    fn default() -> Self {
        let builder = |kind| match kind {
            Kind::Dict => Builder::Dict(StringDictionaryBuilder::new()),
            Kind::Text => Builder::Text(StringBuilder::new()),
            Kind::Int => Builder::Int(Int64Builder::new()),
            Kind::Float | Kind::Bool => Builder::Float(Float64Builder::new()),
            Kind::Time => Builder::Time(TimestampMicrosecondBuilder::new()),
        };
        Self { builders: EVENT_COLUMNS.iter().map(|c| builder(c.kind)).collect(), cut_fields: 0 }
    }
}

impl Columns {
    /// Appends one row.
    pub fn push(&mut self, position: i64, source: &str, format: &'static str, event: &Event<'_>) {
        let e = event;
        let cells = [
            Cell::Int(Some(e.event_time)),
            Cell::Int(Some(position)),
            Cell::Text(Some(source)),
            Cell::Text(Some(format)),
            Cell::Text(e.event_id.as_deref()),
            Cell::Text(e.action.as_deref()),
            Cell::Text(Some(e.outcome)),
            Cell::Int(e.status_code),
            Cell::Text(e.principal.as_deref()),
            Cell::Text(Some(e.principal_kind)),
            Cell::Text(e.session_name.as_deref()),
            Cell::Text(e.credential_kind),
            Cell::Text(e.credential_secret.as_deref()),
            Cell::Float(e.credential_attribution),
            Cell::Text(e.source_ip.as_deref()),
            Cell::Text(e.user_agent.as_deref()),
            Cell::Text(e.flow.text()),
            Cell::Text(e.host.as_deref()),
            Cell::Text(e.route.as_deref()),
            Cell::Text(e.account.as_deref()),
            Cell::Text(e.region.as_deref()),
            Cell::Text(e.environment.as_deref()),
            Cell::Text(e.target.as_deref()),
            Cell::Text(e.model.as_deref()),
            Cell::Text(e.consumer.as_deref()),
            Cell::Text(e.peer.as_deref()),
            Cell::Text(e.trace_id.as_deref()),
        ];
        for (builder, cell) in self.builders.iter_mut().zip(cells) {
            self.cut_fields += append(builder, cell);
        }
    }

    /// The rows so far, and how many text fields were cut; the builders start anew.
    pub fn finish(&mut self) -> (EventBatch, u64) {
        let columns: Vec<ArrayRef> = self.builders.iter_mut().map(finish).collect();
        let batch =
            RecordBatch::try_new(EVENT_SCHEMA.clone(), columns).expect("each builder has its column's type");
        let batch = EventBatch::new(batch).expect("the batch was built from the schema");
        (batch, std::mem::take(&mut self.cut_fields))
    }
}

fn append(builder: &mut Builder, cell: Cell<'_>) -> u64 {
    match (builder, cell) {
        (Builder::Dict(b), Cell::Text(text)) => {
            let (text, cut) = bounded(text);
            b.append_option(text);
            cut
        }
        (Builder::Text(b), Cell::Text(text)) => {
            let (text, cut) = bounded(text);
            b.append_option(text);
            cut
        }
        (Builder::Int(b), Cell::Int(value)) => {
            b.append_option(value);
            0
        }
        (Builder::Time(b), Cell::Int(value)) => {
            b.append_option(value);
            0
        }
        (Builder::Float(b), Cell::Float(value)) => {
            b.append_option(value);
            0
        }
        _ => unreachable!("cells stand in the order of the schema's columns"),
    }
}

fn bounded(text: Option<&str>) -> (Option<&str>, u64) {
    match text {
        Some(text) if text.len() > limits::FIELD_BYTES_MAX => {
            (Some(&text[..text.floor_char_boundary(limits::FIELD_BYTES_MAX)]), 1)
        }
        other => (other, 0),
    }
}

fn finish(builder: &mut Builder) -> ArrayRef {
    match builder {
        Builder::Dict(b) => Arc::new(b.finish()),
        Builder::Text(b) => Arc::new(b.finish()),
        Builder::Int(b) => Arc::new(b.finish()),
        Builder::Float(b) => Arc::new(b.finish()),
        Builder::Time(b) => Arc::new(b.finish()),
    }
}
