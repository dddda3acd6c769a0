//! `shadowprod state`: a state folder carried to another place, where a daemon goes on as if nothing had happened.
//!
//! In: a state folder, or a copy of one. Out: the copy, or the state, and what it holds. Nothing is overwritten, and a
//! daemon may be running on the folder that is exported.

use std::fmt::{self, Display, Formatter};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, Subcommand};
use miette::miette;
use serde_json::json;

use super::{OutputFormat, StateFolder};
use crate::store::copy::{self, CopyAction, CopyError, Manifest};

/// Arguments of `shadowprod state`.
#[derive(Debug, Args)]
pub struct StateArguments {
    #[command(subcommand)]
    command: StateCommand,
}

#[derive(Debug, Subcommand)]
enum StateCommand {
    /// Copies the state into a new folder, as of one commit, while a daemon runs or not
    ///
    /// The copy holds the database, the key under which credentials are hashed, and manifest.json: versions, SHA-256 of
    /// each file, NEXT offsets, head of the history. It is checked as `shadowprod verify` checks; a damaged state is
    /// not exported. The folder appears when all of it is durable, never a part of it.
    ///
    /// credential.key is a secret: who has it can tell whether a given credential is one of those in the findings. It has
    /// mode 0600 and the folder mode 0700. Keep the copy as you keep the state folder.
    ///
    /// What `quarantine retry` remembered is not copied. Exit code 1: the state is damaged.
    Export(ExportArguments),
    /// Puts an exported state into a folder that holds none, where a daemon goes on from it
    ///
    /// Every file is compared with the manifest, then the copy is checked as `shadowprod verify` checks. Only a whole
    /// one becomes a state. A daemon that is started on it reads on at the stored offsets, keeps ids, findings and
    /// history, and knows the resume tokens of watchers. Run it as the user that the daemon runs as.
    ///
    /// Stop the daemon that the state comes from before you start the other: both would answer for the same findings.
    /// Topics, their partitions and offsets must be those that it read, so the broker is the same or a true mirror.
    ///
    /// Exit code 1: the copy is damaged or not whole. Nothing was imported then.
    Import(ImportArguments),
}

#[derive(Debug, Args)]
struct ExportArguments {
    #[command(flatten)]
    folder: StateFolder,
    /// The folder to make; it must not exist
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
}

#[derive(Debug, Args)]
struct ImportArguments {
    #[command(flatten)]
    folder: StateFolder,
    /// The folder that an export made
    #[arg(long, value_name = "DIR")]
    from: PathBuf,
}

/// Runs the command.
pub fn main(arguments: &StateArguments) -> miette::Result<ExitCode> {
    super::start_quiet_logging();
    let folder = match &arguments.command {
        StateCommand::Export(a) => &a.folder,
        StateCommand::Import(a) => &a.folder,
    };
    let state = folder.path()?;
    let (copied, copy) = match &arguments.command {
        StateCommand::Export(a) => (copy::export(&state, &a.out), &a.out),
        StateCommand::Import(a) => (copy::import(&a.from, &state), &a.from),
    };
    match copied {
        Ok(manifest) => {
            let moved = Moved { state: &state, copy, manifest: &manifest };
            match folder.format {
                OutputFormat::Text => print!("{moved}"),
                OutputFormat::Json => println!("{}", moved.to_json()),
            }
            Ok(ExitCode::SUCCESS)
        }
        Err(error) => refuse(&error),
    }
}

fn refuse(error: &CopyError) -> miette::Result<ExitCode> {
    match error.action() {
        CopyAction::RefuseArguments => Err(miette!("{error}")),
        CopyAction::RefuseContent => {
            eprintln!("{error}");
            Ok(ExitCode::from(1))
        }
    }
}

/// A state and its copy, which hold the same.
struct Moved<'a> {
    state: &'a Path,
    copy: &'a Path,
    manifest: &'a Manifest,
}

impl Moved<'_> {
    fn to_json(&self) -> serde_json::Value {
        json!({ "state": self.state, "copy": self.copy, "manifest": self.manifest })
    }
}

impl Display for Moved<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Manifest { files, next_offsets, history_head, findings, program, schema, .. } = self.manifest;
        writeln!(f, "{:<10} {}", "state", self.state.display())?;
        writeln!(f, "{:<10} {}, of shadowprod {program}, schema {schema}", "copy", self.copy.display())?;
        writeln!(f, "{:<10} {findings}", "findings")?;
        writeln!(f, "{:<10} {history_head}", "history")?;
        for file in files {
            writeln!(f, "{:<10} {:<16} {:>12} B  {}", "file", file.name, file.bytes, file.sha256)?;
        }
        for (topic, partitions) in next_offsets {
            for (partition, next) in partitions {
                writeln!(f, "{:<10} {topic}/{partition} goes on at {next}", "offset")?;
            }
        }
        Ok(())
    }
}
