//! `shadowprod generate`: a labelled world as files.
//!
//! In: seed, scale, days. Out: a folder that `replay`, `check` and `evaluate` read.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

use clap::ValueEnum;
use jiff::Timestamp;
use miette::{Context, IntoDiagnostic};
use shadowprod_world::{Plan, Scale, World};

use super::progress::Progress;

/// Where histories end unless somebody says otherwise: the same command always gives the same bytes.
pub(super) const END: &str = "2026-04-01T00:00:00Z";

/// Writes an invented company's logs in the providers' own shapes, its registry, and the truth about it.
///
/// DIR gets one <topic>.jsonl a log, registry/, shadowprod.toml, expected.ndjson (what must be found, from when, why)
/// and look_alikes.ndjson (what must stay quiet). The same seed, scale, days and end always give the same bytes. It is
/// written as it is made: memory holds one busy hour. Try `shadowprod evaluate --input DIR` on it.
#[derive(Debug, clap::Args)]
pub struct GenerateArguments {
    /// Decides everything that is left to chance
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    /// How large the company is
    #[arg(long, value_enum, default_value_t = ScaleArgument::Company)]
    scale: ScaleArgument,
    /// Days of history
    #[arg(long, value_name = "D", default_value_t = 30, value_parser = clap::value_parser!(u32).range(1..=366))]
    days: u32,
    /// Instant at which the history ends
    #[arg(long, value_name = "TIME", default_value = END)]
    end: Timestamp,
    /// Folder to write into; made if absent
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
}

/// Where histories end unless somebody says otherwise.
pub fn end() -> Timestamp {
    END.parse().expect("a constant time")
}

/// [`Scale`] as a word of the command line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ScaleArgument {
    /// 64 people, 21 services
    Small,
    /// 400 people, 90 services
    Company,
    /// 6,000 people, 1,500 services
    Enterprise,
}

impl From<ScaleArgument> for Scale {
    fn from(scale: ScaleArgument) -> Self {
        match scale {
            ScaleArgument::Small => Self::Small,
            ScaleArgument::Company => Self::Company,
            ScaleArgument::Enterprise => Self::Enterprise,
        }
    }
}

/// Runs the command.
pub fn main(arguments: &GenerateArguments) -> miette::Result<ExitCode> {
    let GenerateArguments { seed, scale, days, end, out } = arguments;
    let plan = Plan { seed: *seed, scale: (*scale).into(), days: *days, end: *end };
    let started = Instant::now();
    let world = World::new(&plan);
    let mut progress = Progress::new(world.start(), world.end(), "wrote");
    let written = write_settings(&world, out)
        .and_then(|()| world.write_logs(out, &mut |event| progress.passed(event.at)));
    let count = written
        .into_diagnostic()
        .wrap_err_with(|| format!("{} cannot be written: name a folder that can be", out.display()))?;
    progress.finish();
    let rate = count as f64 / started.elapsed().as_secs_f64();
    eprintln!("{}", summary(&world, out, count, rate));
    Ok(ExitCode::SUCCESS)
}

/// Writes everything but the logs: registry, truth, config.
pub fn write_settings(world: &World, out: &Path) -> std::io::Result<()> {
    world.write_truth(out)?;
    std::fs::write(out.join("shadowprod.toml"), config_text(world))
}

fn summary(world: &World, out: &Path, count: u64, rate: f64) -> String {
    let out = out.display();
    format!(
        "{count} events, {rate:.0} a second; {} incidents in expected.ndjson, {} look-alikes in look_alikes.ndjson\n\
         Next: shadowprod evaluate --input {out}\n      shadowprod replay --config {out}/shadowprod.toml --input {out}",
        world.expected().len(),
        world.look_alikes().len(),
    )
}

/// The daemon's config beside the world: its state folder, if somebody runs it, is the world's.
fn config_text(world: &World) -> String {
    format!(
        "[kafka]\nbrokers = \"127.0.0.1:9092\"\n\n{}[registry]\npath = \"registry\"\n\n[state]\npath = \"state\"\n\n\
         # The logs lie in the past.\n[time]\nclock = \"log\"\n",
        world.sources()
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;
    use crate::registry::Registry;

    #[test]
    fn generated_folder_is_one_that_the_daemon_reads() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let end = "2026-03-11T14:00:00Z".parse().expect("a constant time");
        let world = World::new(&Plan { seed: 3, scale: Scale::Small, days: 2, end });
        write_settings(&world, dir.path()).expect("the folder can be written");
        let count = world.write_logs(dir.path(), &mut |_| {}).expect("the folder can be written");
        assert!(count > 10_000, "{count}");
        let config = Config::load(&dir.path().join("shadowprod.toml")).expect("the config is valid");
        let topics: Vec<&str> = config.sources.iter().map(|s| s.topic.as_str()).collect();
        assert_eq!(topics, shadowprod_world::TOPICS);
        let registry = Registry::load(&config.registry.path).expect("the registry is valid");
        assert!(registry.pilots().len() >= 12);
    }
}
