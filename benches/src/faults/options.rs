//! What is asked for.
//!
//! In: arguments and the environment. Out: [`Options`], or what is wrong with them.

use std::path::PathBuf;

use shadowprod_benches::Failure;

/// How many of each fault, and with what.
pub struct Options {
    pub seed: u64,
    /// Days of the generated company.
    pub days: u32,
    /// Ends of the daemon at random instants.
    pub kills: u64,
    /// Times that each named crash point is tried.
    pub crash_points: u64,
    /// Failed disk operations.
    pub disk: u64,
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
    /// Binaries with planted bugs, to be caught.
    pub planted: Option<PathBuf>,
    /// The daemon.
    pub binary: PathBuf,
    /// The real broker, `host:port`; empty: none.
    pub brokers: String,
    /// `script DIR` that ends and restarts it.
    pub control: Option<String>,
}

const USAGE: &str = "usage: faults [--kills N] [--crash-points N] [--disk N] [--power N] [--flips N] [--broker N] \
                     [--hostile N] [--keys N] [--planted DIR] [--seed S] [--days D] [--binary PATH]; what is not named is done 0 times";

impl Options {
    pub fn of(mut arguments: impl Iterator<Item = String>) -> Result<Self, Failure> {
        let mut options = Self {
            seed: 1,
            days: 5,
            kills: 0,
            crash_points: 0,
            disk: 0,
            power: 0,
            flips: 0,
            broker: 0,
            hostile: 0,
            keys: 0,
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
                "--kills" => options.kills = number()?,
                "--crash-points" => options.crash_points = number()?,
                "--disk" => options.disk = number()?,
                "--power" => options.power = number()?,
                "--flips" => options.flips = number()?,
                "--broker" => options.broker = number()?,
                "--hostile" => options.hostile = number()?,
                "--keys" => options.keys = number()?,
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

    pub fn needs_broker(&self) -> bool {
        [self.kills, self.crash_points, self.disk, self.power, self.flips, self.broker_kills()]
            .iter()
            .any(|count| *count > 0)
    }

    /// The real broker is ended for every seven of the mock cluster's faults, where it can be.
    pub fn broker_kills(&self) -> u64 {
        if self.control.is_some() { self.broker.div_ceil(7) } else { 0 }
    }
}
