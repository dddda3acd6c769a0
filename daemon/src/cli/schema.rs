//! `shadowprod schema`: the tables that queries read, for those who write queries.
//!
//! In: schema.rs, the registry's tables, rollups built in or of a folder, one example record or more a format.
//! Out: a Markdown page, or one JSON object a column. Which format fills a column is found by decoding the
//! examples: it cannot fall behind the decoders.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use arrow::array::{Array, RecordBatch};
use arrow::datatypes::{DataType, Schema};
use miette::{IntoDiagnostic, miette};
use serde::Serialize;

use super::OutputFormat;
use crate::decode::{Decoder, Format, SourceSpec};
use crate::ingest::{Position, RawBatch};
use crate::losses;
use crate::query::QueryTexts;
use crate::query::plan::{GRID_COLUMN, QuerySet};
use crate::registry::Registry;
use crate::schema::{Column, ENRICHED_COLUMNS, EVENT_COLUMNS, Kind, SECRET_COLUMNS};

/// Records of each format, invented, one a line.
const EXAMPLES: [(&str, &str); 22] = [
    ("gcp_audit", include_str!("../../../fixtures/decode/gcp_audit/input.jsonl")),
    ("azure_activity", include_str!("../../../fixtures/decode/azure_activity/input.jsonl")),
    ("kubernetes_audit", include_str!("../../../fixtures/decode/kubernetes_audit/input.jsonl")),
    ("google_workspace", include_str!("../../../fixtures/decode/google_workspace/input.jsonl")),
    ("keycloak", include_str!("../../../fixtures/decode/keycloak/input.jsonl")),
    ("auth0", include_str!("../../../fixtures/decode/auth0/input.jsonl")),
    ("vault_audit", include_str!("../../../fixtures/decode/vault_audit/input.jsonl")),
    ("ocsf", include_str!("../../../fixtures/decode/ocsf/input.jsonl")),
    ("litellm", include_str!("../../../fixtures/decode/litellm/input.jsonl")),
    ("kong", include_str!("../../../fixtures/decode/kong/input.jsonl")),
    ("apisix", include_str!("../../../fixtures/decode/apisix/input.jsonl")),
    ("azure_apim", include_str!("../../../fixtures/decode/azure_apim/input.jsonl")),
    ("aws_api_gateway", include_str!("../../../fixtures/decode/aws_api_gateway/input.jsonl")),
    ("nginx", include_str!("../../../fixtures/decode/nginx/input.jsonl")),
    ("apigee", include_str!("../../../fixtures/decode/apigee/input.jsonl")),
    ("cloudflare_ai_gateway", include_str!("../../../fixtures/decode/cloudflare_ai_gateway/input.jsonl")),
    ("bedrock_invocation", include_str!("../../../fixtures/decode/bedrock_invocation/input.jsonl")),
    ("traefik", include_str!("../../../fixtures/decode/traefik/input.jsonl")),
    ("cloudtrail", include_str!("../../../fixtures/decode/cloudtrail/input.jsonl")),
    ("envoy", include_str!("../../../fixtures/decode/envoy/input.jsonl")),
    ("okta", include_str!("../../../fixtures/decode/okta/input.jsonl")),
    ("entra_signin", include_str!("../../../fixtures/decode/entra_signin/input.jsonl")),
];

/// Stands for every format.
const ALL: &str = "all";
/// Stands for what the stage after decode adds.
const ENRICH: &str = "enrich";

/// Prints the tables that rollups and detections read: columns, types, meanings, and which log formats fill them.
///
/// Rollups read `events`; detections read the rollups, the tables of the registry, and `losses`: evidence that nobody saw.
#[derive(Debug, clap::Args)]
pub struct SchemaArguments {
    /// Folder with rollups/; the built-in queries if absent
    #[arg(long = "queries", value_name = "DIR")]
    folder: Option<PathBuf>,
    /// How to print: text is a Markdown page, json one object a column
    #[arg(long, value_enum, default_value_t = OutputFormat::Text)]
    format: OutputFormat,
}

/// One column of one table.
#[derive(Debug, PartialEq, Eq, Serialize)]
struct Described {
    table: String,
    column: String,
    r#type: &'static str,
    nullable: bool,
    #[serde(skip_serializing_if = "String::is_empty")]
    meaning: String,
    /// Formats that fill it, or the stage; empty for other tables and for columns that no format fills yet.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    formats: Vec<&'static str>,
}

/// Runs the command.
pub fn main(arguments: &SchemaArguments) -> miette::Result<ExitCode> {
    let mut columns = events();
    columns.extend(rollups(arguments.folder.as_deref())?);
    columns.extend(registry());
    columns.extend(of_arrow(losses::TABLE, &losses::SCHEMA));
    let mut out = io::stdout().lock();
    let written = match arguments.format {
        OutputFormat::Text => write_page(&mut out, &columns),
        OutputFormat::Json => columns.iter().try_for_each(|column| {
            let line = serde_json::to_string(column).expect("texts and booleans are JSON");
            writeln!(out, "{line}")
        }),
    };
    match written {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(error).into_diagnostic(),
        Ok(()) | Err(_) => Ok(ExitCode::SUCCESS),
    }
}

fn events() -> Vec<Described> {
    let filled = filled();
    let decoded = EVENT_COLUMNS.iter().filter(|c| !SECRET_COLUMNS.contains(&c.name));
    let describe = |column: &Column, formats: Vec<&'static str>| Described {
        table: "events".to_owned(),
        column: column.name.to_owned(),
        r#type: type_of(column.kind),
        nullable: column.nullable,
        meaning: column.meaning.to_owned(),
        formats,
    };
    let decoded = decoded.map(|column| describe(column, formats_of(&filled, column.name)));
    let enriched = ENRICHED_COLUMNS.iter().map(|column| match hashed_from(column.name) {
        Some(secret) => describe(column, formats_of(&filled, secret)),
        None => describe(column, vec![ENRICH]),
    });
    decoded.chain(enriched).collect()
}

/// The raw column whose keyed hash an enriched column is.
fn hashed_from(column: &str) -> Option<&'static str> {
    match column {
        "credential" => Some("credential_secret"),
        "token" => Some("token_secret"),
        "issued_token" => Some("issued_secret"),
        _ => None,
    }
}

fn formats_of(filled: &BTreeMap<String, BTreeSet<&'static str>>, column: &str) -> Vec<&'static str> {
    let formats: Vec<_> = filled.get(column).into_iter().flatten().copied().collect();
    if formats.len() == EXAMPLES.len() { vec![ALL] } else { formats }
}

/// By column, the formats whose examples fill it.
fn filled() -> BTreeMap<String, BTreeSet<&'static str>> {
    let mut filled: BTreeMap<String, BTreeSet<&'static str>> = BTreeMap::new();
    for (name, example) in EXAMPLES {
        let events = decoded(name, example);
        for (field, array) in events.schema().fields().iter().zip(events.columns()) {
            if array.logical_null_count() < array.len() {
                filled.entry(field.name().clone()).or_default().insert(name);
            }
        }
    }
    filled
}

fn decoded(name: &str, example: &str) -> RecordBatch {
    let spec = SourceSpec {
        name: name.to_owned(),
        format: Format::parse(name).into(),
        account: None,
        dedupe: false,
    };
    let mut batch = RawBatch::default();
    for (offset, line) in example.lines().enumerate() {
        batch.push(Position { topic: 0, partition: 0, offset: offset as i64 }, None, line.as_bytes());
    }
    Decoder::new(vec![Some(spec)]).decode(&batch).events.record_batch().clone()
}

fn rollups(folder: Option<&Path>) -> miette::Result<Vec<Described>> {
    let texts = match folder {
        Some(folder) => QueryTexts::load(folder).map_err(|e| miette!("{e}"))?,
        None => QueryTexts::builtin(),
    };
    let planned = QuerySet::plan(&texts, &registry_tables()).map_err(|errors| {
        let lines: Vec<String> = errors.iter().map(ToString::to_string).collect();
        miette!("{}", lines.join("\n"))
    })?;
    let tables = planned.rollups.iter().map(|r| of_arrow(&r.query.text.table(), &r.schema));
    Ok(tables.flatten().collect())
}

fn registry_tables() -> Vec<(&'static str, RecordBatch)> {
    Registry::from_texts(Vec::new()).expect("a registry without files holds no mistake").tables()
}

fn registry() -> Vec<Described> {
    let tables = registry_tables();
    tables.iter().flat_map(|(name, batch)| of_arrow(name, &batch.schema())).collect()
}

fn of_arrow(table: &str, schema: &Schema) -> Vec<Described> {
    let describe = |field: &arrow::datatypes::Field| Described {
        table: table.to_owned(),
        column: field.name().clone(),
        r#type: sql_type(field.data_type()),
        nullable: field.is_nullable(),
        meaning: String::new(),
        formats: Vec::new(),
    };
    let shown = schema.fields().iter().filter(|field| field.name() != GRID_COLUMN);
    shown.map(|field| describe(field)).collect()
}

fn type_of(kind: Kind) -> &'static str {
    match kind {
        Kind::Dict | Kind::Text => "text",
        Kind::Int => "bigint",
        Kind::Float => "double",
        Kind::Bool => "boolean",
        Kind::Time => "timestamp (UTC, microseconds)",
    }
}

/// The SQL name of an Arrow type that a rollup or the registry has.
fn sql_type(data_type: &DataType) -> &'static str {
    match data_type {
        DataType::Utf8 | DataType::Utf8View | DataType::LargeUtf8 => "text",
        DataType::Float64 => "double",
        DataType::Boolean => "boolean",
        DataType::Binary => "sketch",
        DataType::Timestamp(..) => "timestamp (UTC, microseconds)",
        _ => "bigint",
    }
}

fn write_page(out: &mut impl Write, columns: &[Described]) -> io::Result<()> {
    writeln!(out, "# Tables")?;
    writeln!(out)?;
    writeln!(
        out,
        "Rollups read `events`; detections read the rollups, the tables of the registry, and `losses`: evidence"
    )?;
    writeln!(out, "that nobody saw, because it was gone before it was read or found no room.")?;
    writeln!(
        out,
        "A sketch counts distinct values: `hll_estimate(hll_merge(column))` says how many there were."
    )?;
    for table in columns.chunk_by(|a, b| a.table == b.table) {
        writeln!(out, "\n## {}\n", table[0].table)?;
        let from_logs = table.iter().any(|c| !c.meaning.is_empty());
        if from_logs {
            writeln!(out, "| column | type | null | meaning | filled by |\n|---|---|---|---|---|")?;
        } else {
            writeln!(out, "| column | type | null |\n|---|---|---|")?;
        }
        for Described { column, r#type, nullable, meaning, formats, .. } in table {
            let null = if *nullable { "yes" } else { "no" };
            write!(out, "| {column} | {} | {null} |", r#type)?;
            match from_logs {
                true => writeln!(out, " {meaning} | {} |", formats.join(", "))?,
                false => writeln!(out)?,
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_format_has_an_example_that_decodes() {
        let named: BTreeSet<&str> = EXAMPLES.iter().map(|(name, _)| *name).collect();
        assert_eq!(named, Format::all().map(Format::name).collect());
        for (name, example) in EXAMPLES {
            assert!(decoded(name, example).num_rows() > 0, "{name}");
        }
    }

    #[test]
    fn every_event_column_is_filled_by_some_format_or_by_enrich() {
        let columns = events();
        let unfilled: Vec<&str> = EVENT_COLUMNS
            .iter()
            .map(|c| c.name)
            .filter(|name| columns.iter().any(|c| c.column == *name && c.formats.is_empty()))
            .collect();
        assert_eq!(unfilled, [""; 0], "no format fills these");
    }

    #[test]
    fn page_names_every_table_and_no_raw_secret() {
        let mut columns = events();
        columns.extend(rollups(None).unwrap());
        columns.extend(registry());
        let mut page = Vec::new();
        write_page(&mut page, &columns).unwrap();
        let page = String::from_utf8(page).unwrap();
        for heading in ["## events", "## pilots", "## exceptions"] {
            assert!(page.contains(heading), "{heading}");
        }
        assert!(
            page.contains("| credential | text | yes |")
                && page.contains("| people | sketch | yes |")
                && !page.contains("credential_secret"),
            "{page}"
        );
    }
}
