//! `shadowprod demo`: everything at work on one machine, with traffic whose truth is known.
//!
//! In: a seed. Out: findings, and whether they are exactly what was planted. Nothing leaves the machine.

pub mod folder;
pub mod judge;
pub mod progress;
pub mod report;
pub mod send;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use jiff::Timestamp;
use miette::{Context, IntoDiagnostic};

use crate::world::World;

/// Arguments of `shadowprod demo`.
#[derive(Debug, clap::Args)]
pub struct DemoArguments {
    /// Stop when everything was read: exit 0 only if exactly the planted incidents were found
    #[arg(long)]
    pub once: bool,
    /// Seed of the generated company: the same seed makes the same traffic
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub seed: u64,
    /// Address for metrics and health
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:9464")]
    pub http: SocketAddr,
    /// Address for gRPC
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:50551")]
    pub grpc: SocketAddr,
    /// Alertmanager to notify, such as http://127.0.0.1:9093; may be given several times
    #[arg(long, value_name = "URL")]
    pub alertmanager: Vec<String>,
    /// Keep registry, config and state in this folder
    #[arg(long, value_name = "DIR")]
    pub keep: Option<PathBuf>,
    /// Write logs, registry and labels into this folder and stop: try `replay` on it
    #[arg(long, value_name = "DIR", conflicts_with_all = ["once", "keep", "alertmanager"])]
    pub export: Option<PathBuf>,
}

/// Runs the command.
pub fn main(arguments: &DemoArguments) -> miette::Result<ExitCode> {
    let world = World::new(arguments.seed, Timestamp::now());
    match &arguments.export {
        Some(dir) => export(&world, dir),
        None => Ok(ExitCode::from(2)),
    }
}

/// Writes the world as files: `<topic>.jsonl`, `registry/`, `expected.ndjson`.
fn export(world: &World, dir: &Path) -> miette::Result<ExitCode> {
    let count = world
        .write_dir(dir)
        .into_diagnostic()
        .wrap_err_with(|| format!("{} cannot be written: name a folder that can be", dir.display()))?;
    eprintln!("wrote {count} messages, the registry and the labels to {}", dir.display());
    Ok(ExitCode::SUCCESS)
}
