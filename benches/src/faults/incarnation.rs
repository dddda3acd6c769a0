//! One process of the daemon, from its start to whichever end.
//!
//! In: a config, variables of its environment. Out: where it answers, how it ended, what it logged.

use std::fs::{File, OpenOptions};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use shadowprod_benches::Failure;

/// How often something is looked at.
pub const LOOK_EVERY: Duration = Duration::from_millis(20);

/// Ended when dropped.
pub struct Incarnation {
    child: Child,
    log: PathBuf,
}

impl Incarnation {
    /// `log` is a file of its own.
    pub fn start(
        binary: &Path,
        config: &Path,
        log: PathBuf,
        variables: &[(&str, String)],
    ) -> Result<Self, Failure> {
        let file: File = OpenOptions::new().create(true).append(true).open(&log)?;
        let child = Command::new(binary)
            .args(["run", "--config"])
            .arg(config)
            .env("RUST_LOG", "info")
            .envs(variables.iter().map(|(name, value)| (name, value)))
            .stdout(Stdio::null())
            .stderr(file)
            .spawn()?;
        Ok(Self { child, log })
    }

    /// Where gRPC answers, once it does.
    pub fn grpc(&self) -> Option<String> {
        grpc_of(&self.log)
    }

    pub fn log(&self) -> &Path {
        &self.log
    }

    /// Of the process.
    pub fn id(&self) -> String {
        self.child.id().to_string()
    }

    /// Sends a signal by its name.
    pub fn signal(&self, name: &str) -> Result<(), Failure> {
        Command::new("kill").args([&format!("-{name}"), &self.id()]).status()?;
        Ok(())
    }

    /// SIGKILL: no handler runs, nothing is flushed.
    pub fn kill(mut self) -> Result<(), Failure> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    /// How it ended, if it did.
    pub fn ended(&mut self) -> Result<Option<ExitStatus>, Failure> {
        Ok(self.child.try_wait()?)
    }

    /// SIGTERM, and how it ended within `patience`.
    pub fn stop(mut self, patience: Duration) -> Result<Option<ExitStatus>, Failure> {
        self.signal("TERM")?;
        let end = Instant::now() + patience;
        while Instant::now() < end {
            if let Some(status) = self.child.try_wait()? {
                return Ok(Some(status));
            }
            std::thread::sleep(LOOK_EVERY);
        }
        Ok(None)
    }
}

impl Drop for Incarnation {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The address in a log.
pub fn grpc_of(log: &Path) -> Option<String> {
    let text = std::fs::read_to_string(log).ok()?;
    let line = text.lines().find(|line| line.contains("metrics and health on "))?;
    let (before, _) = line.split_once(", metrics and health on ")?;
    before.split_once("gRPC on ").map(|(_, address)| address.to_owned())
}
