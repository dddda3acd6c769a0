//! `shadowprod verify`: whether a state folder still holds what was written into it.
//!
//! In: the state folder that a config names, or any folder. Out: a line for each part, what is wrong, what to do. The
//! state is never written; a daemon may be running on it.

use std::fmt::{self, Display, Formatter};
use std::path::Path;
use std::process::ExitCode;

use miette::IntoDiagnostic;
use serde_json::json;

use super::{OutputFormat, StateFolder};
use crate::store::verify::{Part, Verified, verify};

/// Checks a state folder from end to end: pages, offsets, rollup rows, findings, the chain of history.
///
/// Everything that is read back carries a checksum, and each revision of a finding the hash of the one before it. All of
/// them are worked out anew, as of one commit, while a daemon runs or not. The exit code is 0 if everything fits, 1 if
/// not: then it says what is wrong and what to do.
///
/// Write the head of the history down elsewhere: whoever can rewrite the whole folder can rewrite the chain, but not
/// what you wrote down.
#[derive(Debug, clap::Args)]
pub struct VerifyArguments {
    #[command(flatten)]
    folder: StateFolder,
}

/// Runs the command.
pub fn main(arguments: &VerifyArguments) -> miette::Result<ExitCode> {
    super::start_quiet_logging();
    let folder = arguments.folder.path()?;
    let verified = verify(&folder).into_diagnostic()?;
    match arguments.folder.format {
        OutputFormat::Json => println!("{}", as_json(&folder, &verified)),
        OutputFormat::Text => print!("{}", Text(&verified)),
    }
    Ok(if verified.is_sound() { ExitCode::SUCCESS } else { ExitCode::from(1) })
}

fn as_json(folder: &Path, verified: &Verified) -> serde_json::Value {
    let part = |checked: &crate::store::verify::Checked| {
        let more = (!checked.damage.is_empty()).then(|| checked.part.fix());
        json!({
            "part": checked.part.name(),
            "count": checked.count,
            "damage": checked.damage,
            "more": checked.more,
            "fix": more,
        })
    };
    let parts: Vec<serde_json::Value> = verified.parts.iter().map(part).collect();
    json!({ "state": folder, "sound": verified.is_sound(), "head": verified.head, "parts": parts })
}

/// What one of a part's things is called.
fn unit(part: Part) -> &'static str {
    match part {
        Part::Pages => "pages",
        Part::Control | Part::Quarantine | Part::Journal => "rows",
        Part::Segments => "segments",
        Part::Findings => "findings",
        Part::History => "revisions",
        Part::Changes => "changes",
    }
}

struct Text<'a>(&'a Verified);

impl Display for Text<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        for checked in &self.0.parts {
            let outcome = if checked.damage.is_empty() { "sound" } else { "DAMAGED" };
            let (name, count) = (checked.part.name(), checked.count);
            writeln!(f, "{name:<10} {count:>9} {:<10} {outcome}", unit(checked.part))?;
            for damage in &checked.damage {
                writeln!(f, "    {damage}")?;
            }
            if checked.more > 0 {
                writeln!(f, "    and {} places more", checked.more)?;
            }
            if !checked.damage.is_empty() {
                writeln!(f, "    fix: {}", checked.part.fix())?;
            }
        }
        writeln!(f, "head of the history: {}", self.0.head)
    }
}
