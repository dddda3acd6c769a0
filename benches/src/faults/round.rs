//! One state folder, through any number of deaths, to the end of the logs.
//!
//! In: a [`Stand`]. Out: incarnations to be ended somehow, and at last what is wrong with the state.

use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::time::{Duration, Instant};

use shadowprod_benches::Failure;
use shadowprod_benches::kafka::create_topic;

use super::incarnation::{Incarnation, LOOK_EVERY};
use super::judge;
use super::stand::Stand;
use super::watcher::Watcher;

const STOP_PATIENCE: Duration = Duration::from_secs(30);

/// How an incarnation that was waited for came out.
pub enum End {
    /// By itself.
    Ended(ExitStatus),
    /// It has found everything and is still there.
    Finished(Incarnation),
    /// Neither, within the stand's patience.
    Stuck(Incarnation),
}

pub struct Round<'a> {
    pub stand: &'a Stand,
    name: String,
    config: PathBuf,
    dead_letters: String,
    watcher: Watcher,
    starts: usize,
}

impl<'a> Round<'a> {
    /// With a dead-letter topic of its own at the real broker.
    pub fn new(stand: &'a Stand, name: String) -> Result<Self, Failure> {
        let topic = stand.partitions.first().ok_or("a company without logs")?.topic.clone();
        let dead_letters = format!("dead-{name}-{topic}");
        create_topic(&stand.brokers, &dead_letters, 1)?;
        Self::with_dead_letters(stand, name, dead_letters)
    }

    /// With a dead-letter topic that is there already.
    pub fn with_dead_letters(stand: &'a Stand, name: String, dead_letters: String) -> Result<Self, Failure> {
        let config = stand.write_config(&name, &dead_letters)?;
        Ok(Self { stand, name, config, dead_letters, watcher: Watcher::default(), starts: 0 })
    }

    /// The folder with its state.
    pub fn state(&self) -> PathBuf {
        self.home().join("state")
    }

    fn home(&self) -> PathBuf {
        self.stand.dir.join(&self.name)
    }

    /// Starts the daemon, with these variables in its environment, watched.
    pub fn start(&mut self, variables: &[(&str, String)]) -> Result<Incarnation, Failure> {
        self.starts += 1;
        let log = self.home().join(format!("{}.log", self.starts));
        let incarnation = Incarnation::start(&self.stand.binary, &self.config, log, variables)?;
        self.watcher.follow(incarnation.log().to_owned())?;
        Ok(incarnation)
    }

    /// Waits until it ends by itself or has found everything.
    pub fn wait(&self, mut incarnation: Incarnation) -> Result<End, Failure> {
        let end = Instant::now() + self.stand.patience;
        while Instant::now() < end {
            if let Some(status) = incarnation.ended()? {
                return Ok(End::Ended(status));
            }
            if judge::has_all(&self.stand.expected, &incarnation, &self.state())? {
                return Ok(End::Finished(incarnation));
            }
            std::thread::sleep(5 * LOOK_EVERY);
        }
        Ok(End::Stuck(incarnation))
    }

    /// A last incarnation without faults, its graceful end, and all that is wrong then.
    pub fn finish(mut self) -> Result<Vec<String>, Failure> {
        let mut violations = Vec::new();
        let incarnation = self.start(&[])?;
        match self.wait(incarnation)? {
            End::Finished(incarnation) => {
                self.wait_for_watcher();
                match incarnation.stop(STOP_PATIENCE)? {
                    Some(status) if status.success() => {}
                    Some(status) => violations.push(format!("SIGTERM: {status}")),
                    None => violations.push(format!("SIGTERM: still there after {STOP_PATIENCE:?}")),
                }
            }
            End::Ended(status) => violations.push(format!("without a fault it ended: {status}")),
            End::Stuck(incarnation) => {
                violations.push(format!("not all findings within {:?}", self.stand.patience));
                incarnation.stop(STOP_PATIENCE)?;
            }
        }
        self.watcher.leave();
        violations.extend(judge::state(self.stand, &self.state(), &self.watcher.heard())?);
        violations.extend(judge::dead_letters(self.stand, &self.dead_letters, &self.state())?);
        let named: Vec<String> = violations.into_iter().map(|v| format!("{}: {v}", self.name)).collect();
        if named.is_empty() {
            std::fs::remove_dir_all(self.home())?;
        } else {
            keep(&self.name, &[&self.home(), &self.state()])?;
        }
        Ok(named)
    }

    /// The watcher hears a moment later than the list shows.
    fn wait_for_watcher(&self) {
        let revisions = self.stand.expected.history.len();
        let end = Instant::now() + Duration::from_secs(5);
        while Instant::now() < end
            && self.watcher.heard().changes.iter().filter(|c| c.kind.is_history()).count() < revisions
        {
            std::thread::sleep(LOOK_EVERY);
        }
    }
}

/// Files of folders that show a violation, such as a failed round's state and logs, outlive the run under `name`.
pub fn keep(name: &str, folders: &[&Path]) -> Result<(), Failure> {
    let kept = std::env::temp_dir().join(format!("faults-{}", std::process::id())).join(name);
    std::fs::create_dir_all(&kept)?;
    for folder in folders {
        for entry in std::fs::read_dir(folder)? {
            let entry = entry?;
            if entry.file_type()?.is_file() {
                match std::fs::copy(entry.path(), kept.join(entry.file_name())) {
                    // A daemon that comes to its end has taken it away.
                    Err(error) if error.kind() == std::io::ErrorKind::NotFound => 0,
                    copied => copied?,
                };
            }
        }
    }
    println!("    state and logs are in {}", kept.display());
    Ok(())
}
