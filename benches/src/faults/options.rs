//! What is asked for.
//!
//! In: arguments and the environment. Out: [`Options`], or what is wrong with them.

use std::path::PathBuf;
use std::time::Duration;

use shadowprod_benches::Failure;
use shadowprod_world::Scale;

/// How many of each fault, and with what.
pub struct Options {
    pub seed: u64,
    /// Days of the generated company.
    pub days: u32,
    /// Its size.
    pub scale: Scale,
    /// Seconds at a steady pace with a fault every half minute.
    pub soak: u64,
    /// Ends of the daemon at random instants.
    pub kills: u64,
    /// Times that each named crash point is tried.
    pub crash_points: u64,
    /// Failed disk operations.
    pub disk: u64,
    /// Step from one write that fails to the next; 1: each, 0: none.
    pub disk_every: u64,
    /// Ends of the machine.
    pub power: u64,
    /// Damaged states.
    pub flips: u64,
    /// Faults of a cluster.
    pub broker: u64,
    /// Messages that are none.
    pub hostile: u64,
    /// Credentials that nobody has seen before.
    pub keys: u64,
    /// `state.memory_mib` under their flood.
    pub memory_mib: usize,
    /// Longest that one daemon may take to find everything.
    pub patience: Duration,
    /// A fault is not tried any more once so many violations were found.
    pub violations_max: usize,
    /// Binaries with planted bugs, to be caught.
    pub planted: Option<PathBuf>,
    /// The daemon.
    pub binary: PathBuf,
    /// The real broker, `host:port`; empty: none.
    pub brokers: String,
    /// `script DIR` that ends and restarts it.
    pub control: Option<String>,
}

/// A flood of a million credentials is several times as much.
pub const MEMORY_MIB_DEFAULT: usize = 256;

const USAGE: &str = "usage: faults [--kills N] [--crash-points N] [--disk N] [--disk-every STEP] [--power N] [--flips N] [--broker N] \
                     [--hostile N] [--keys N [--memory MIB]] [--soak SECONDS] [--scale small|company|enterprise] [--planted DIR] [--seed S] [--days D] [--patience SECONDS] \
                     [--violations-max N] [--binary PATH]; what is not named is done 0 times";

const SCALES: [(&str, Scale); 3] =
    [("small", Scale::Small), ("company", Scale::Company), ("enterprise", Scale::Enterprise)];

fn scale(name: &str) -> Result<Scale, Failure> {
    let found = SCALES.iter().find(|(known, _)| *known == name);
    Ok(found.ok_or(format!("--scale {name}: small, company or enterprise"))?.1)
}

impl Options {
    pub fn of(mut arguments: impl Iterator<Item = String>) -> Result<Self, Failure> {
        let mut options = Self {
            seed: 1,
            days: 5,
            scale: Scale::Small,
            soak: 0,
            kills: 0,
            crash_points: 0,
            disk: 0,
            disk_every: 0,
            power: 0,
            flips: 0,
            broker: 0,
            hostile: 0,
            keys: 0,
            memory_mib: MEMORY_MIB_DEFAULT,
            patience: Duration::from_secs(90),
            violations_max: usize::MAX,
            planted: None,
            binary: std::env::current_exe()?.with_file_name("shadowprod"),
            brokers: std::env::var("SHADOWPROD_TEST_KAFKA").unwrap_or_default(),
            control: std::env::var("SHADOWPROD_TEST_KAFKA_CONTROL").ok(),
        };
        while let Some(argument) = arguments.next() {
            let value = arguments.next().ok_or(format!("{argument} needs a value; {USAGE}"))?;
            let number = || value.replace('_', "").parse().map_err(|e| format!("{argument} {value}: {e}"));
            match argument.as_str() {
                "--seed" => options.seed = number()?,
                "--days" => options.days = number()? as u32,
                "--scale" => options.scale = scale(&value)?,
                "--memory" => options.memory_mib = number()? as usize,
                "--soak" => options.soak = number()?,
                "--kills" => options.kills = number()?,
                "--crash-points" => options.crash_points = number()?,
                "--disk" => options.disk = number()?,
                "--disk-every" => options.disk_every = number()?,
                "--power" => options.power = number()?,
                "--flips" => options.flips = number()?,
                "--broker" => options.broker = number()?,
                "--hostile" => options.hostile = number()?,
                "--keys" => options.keys = number()?,
                "--patience" => options.patience = Duration::from_secs(number()?),
                "--violations-max" => options.violations_max = number()? as usize,
                "--planted" => options.planted = Some(value.into()),
                "--binary" => options.binary = value.into(),
                _ => return Err(format!("unknown argument {argument}; {USAGE}").into()),
            }
        }
        if !options.binary.exists() {
            let path = options.binary.display();
            return Err(
                format!("{path} does not exist: run `cargo build --release --workspace` first").into()
            );
        }
        Ok(options)
    }

    /// As the command line has it.
    pub fn scale_name(&self) -> &'static str {
        SCALES.iter().find(|(_, scale)| *scale == self.scale).map_or("small", |(name, _)| name)
    }

    pub fn needs_broker(&self) -> bool {
        let counts = [self.kills, self.crash_points, self.disk, self.disk_every, self.power, self.flips];
        counts.into_iter().chain([self.broker_kills()]).any(|count| count > 0)
    }

    /// The real broker is ended for every seven of the mock cluster's faults, where it can be.
    pub fn broker_kills(&self) -> u64 {
        if self.control.is_some() { self.broker.div_ceil(7) } else { 0 }
    }
}
