//! What is asked for.
//!
//! In: arguments and the environment. Out: [`Options`].

use std::path::PathBuf;
use std::time::Duration;

use clap::{Parser, ValueEnum};
use shadowprod::cli::generate::ScaleArgument;

use super::soak::Kind;

/// A flood of a million credentials is several times as much.
pub const MEMORY_MIB_DEFAULT: usize = 256;
/// The heading of kinds of faults.
const FAULTS: &str = "Faults";

/// Does to the daemon what goes wrong around it, and compares its findings with those of an undisturbed run.
///
/// Kinds that are not named are not tried. Prints a table of fault, count and violations, and as its last line the
/// same as JSON. Exit code: 0 no violation, 1 some, 2 it could not be tried.
#[derive(Debug, Parser)]
#[command(max_term_width = 100)]
pub struct Options {
    /// SIGKILL at random instants
    #[arg(long, value_name = "N", help_heading = FAULTS)]
    pub kills: Option<u64>,
    /// Ends at each named crash point, so often
    #[arg(long, value_name = "N", help_heading = FAULTS)]
    pub crash_points: Option<u64>,
    /// Disk operations that fail at random: no room, an error, half a write, an fsync; or a slow disk
    #[arg(long, value_name = "N", help_heading = FAULTS)]
    pub disk: Option<u64>,
    /// Each STEPth write fails, and each fsync, one after the other; 1: each write
    #[arg(long, value_name = "STEP", help_heading = FAULTS)]
    pub disk_every: Option<u64>,
    /// The same, and the loss of power, for the store alone while it takes a few commits: in each way, in minutes
    #[arg(long, value_name = "STEP", help_heading = FAULTS)]
    pub store_every: Option<u64>,
    /// The machine loses power: of what no fsync made durable a part is gone
    #[arg(long, value_name = "N", help_heading = FAULTS)]
    pub power: Option<u64>,
    /// State files with a flipped bit or a torn tail
    #[arg(long, value_name = "N", help_heading = FAULTS)]
    pub flips: Option<u64>,
    /// Faults of a mock cluster; the real broker is killed once for every seven, where --control is given
    #[arg(long, value_name = "N", help_heading = FAULTS)]
    pub broker: Option<u64>,
    /// Malformed, huge, deep and otherwise hostile messages
    #[arg(long, value_name = "N", help_heading = FAULTS)]
    pub hostile: Option<u64>,
    /// Credentials that nobody has seen before, under --memory
    #[arg(long, value_name = "N", help_heading = FAULTS)]
    pub keys: Option<u64>,
    /// The logs come at a steady pace for so long, with a fault every half minute
    #[arg(long, value_name = "SECONDS", help_heading = FAULTS)]
    pub soak: Option<u64>,
    /// Only these of its faults, as its table names them
    #[arg(
        long,
        value_name = "KIND,...",
        value_delimiter = ',',
        requires = "soak",
        help_heading = FAULTS,
        hide_possible_values = true
    )]
    pub soak_only: Vec<Kind>,
    /// Binaries built with planted.patch: each of its bugs must be caught
    #[arg(long, value_name = "DIR", help_heading = FAULTS)]
    pub planted: Option<PathBuf>,
    /// Only this one of the planted bugs
    #[arg(long, value_name = "NAME", requires = "planted", help_heading = FAULTS)]
    pub bug: Option<String>,

    /// What --store-every breaks: a store in DIR takes a few commits
    #[arg(long, value_name = "DIR", hide = true)]
    pub store_life: Option<PathBuf>,
    /// Seed of the company and of all dice
    #[arg(long, value_name = "S", default_value_t = 1)]
    pub seed: u64,
    /// Days of logs
    #[arg(long, value_name = "D", default_value_t = 5)]
    pub days: u32,
    /// Size of the company
    #[arg(long, value_enum, value_name = "SIZE", default_value_t = ScaleArgument::Small)]
    pub scale: ScaleArgument,
    /// `state.memory_mib` under --keys
    #[arg(long = "memory", value_name = "MIB", default_value_t = MEMORY_MIB_DEFAULT)]
    pub memory_mib: usize,
    /// Longest that one daemon may take to find everything
    #[arg(long, value_name = "SECONDS", default_value = "90", value_parser = seconds)]
    pub patience: Duration,
    /// A kind of fault ends with so many violations [default: none ends it]
    #[arg(long, value_name = "N", default_value_t = usize::MAX, hide_default_value = true)]
    pub violations_max: usize,
    /// The daemon; what `cargo build --release --workspace` built, unless named
    #[arg(long, value_name = "PATH", default_value_os_t = beside(), hide_default_value = true, value_parser = existing)]
    pub binary: PathBuf,
    /// The real broker
    #[arg(
        long,
        value_name = "HOST:PORT",
        env = "SHADOWPROD_TEST_KAFKA",
        default_value = "",
        hide_default_value = true
    )]
    pub brokers: String,
    /// Command and folder with which that broker is killed and restarted
    #[arg(long, value_name = "\"SCRIPT DIR\"", env = "SHADOWPROD_TEST_KAFKA_CONTROL")]
    pub control: Option<String>,
}

impl Options {
    /// The size as the command line has it.
    pub fn scale_name(&self) -> String {
        name_of(self.scale)
    }

    pub fn needs_broker(&self) -> bool {
        let counts = [self.kills, self.crash_points, self.disk, self.disk_every, self.power, self.flips];
        counts.into_iter().chain([self.broker_kills()]).flatten().any(|count| count > 0)
    }

    /// The real broker is ended for every seven of the mock cluster's faults, where it can be.
    pub fn broker_kills(&self) -> Option<u64> {
        self.control.as_ref().and(self.broker).map(|count| count.div_ceil(7))
    }
}

/// A value as the command line has it.
pub fn name_of(value: impl ValueEnum) -> String {
    value.to_possible_value().map_or_else(String::new, |value| value.get_name().to_owned())
}

/// The daemon that was built with this program.
fn beside() -> PathBuf {
    std::env::current_exe().unwrap_or_default().with_file_name("shadowprod")
}

fn existing(path: &str) -> Result<PathBuf, String> {
    let path = PathBuf::from(path);
    if path.exists() {
        Ok(path)
    } else {
        Err("no such file: run `cargo build --release --workspace` first".to_owned())
    }
}

fn seconds(text: &str) -> Result<Duration, std::num::ParseIntError> {
    text.parse().map(Duration::from_secs)
}
