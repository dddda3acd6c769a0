//! The folder a demo works in: registry, config and state, where a person can look at them.
//!
//! In: a world and addresses. Out: files. A folder that was not asked for is removed at the end.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use miette::{Context, IntoDiagnostic};
use shadowprod_world::World;

use crate::config::Clock;

/// What the config says besides the folders.
#[derive(Debug, Clone)]
pub struct Settings {
    /// `host:port` of the broker.
    pub brokers: String,
    /// gRPC address.
    pub grpc: SocketAddr,
    /// HTTP address.
    pub http: SocketAddr,
    /// Base URLs.
    pub alertmanagers: Vec<String>,
    /// `log` closes the history at its newest event; `wall` goes on with live traffic.
    pub clock: Clock,
}

/// A folder with `registry/`, `state/` and `shadowprod.toml`.
#[derive(Debug)]
pub struct DemoFolder {
    path: PathBuf,
    keep: bool,
}

impl DemoFolder {
    /// Makes `keep`, or a folder among the system's temporary files that is removed on drop.
    pub fn create(keep: Option<&Path>) -> miette::Result<Self> {
        let temporary = || std::env::temp_dir().join(format!("shadowprod-demo-{}", std::process::id()));
        let folder = Self { path: keep.map_or_else(temporary, Path::to_owned), keep: keep.is_some() };
        for path in [folder.path.clone(), folder.state()] {
            std::fs::create_dir_all(&path)
                .into_diagnostic()
                .wrap_err_with(|| format!("{} cannot be made: name another folder", path.display()))?;
        }
        if folder.state().join("shadowprod.db").exists() {
            miette::bail!(
                "{} already holds a demo's state, and a new demo has another broker: name an empty folder",
                folder.path.display()
            );
        }
        Ok(folder)
    }

    /// The folder itself.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Where the daemon keeps its state.
    pub fn state(&self) -> PathBuf {
        self.path.join("state")
    }

    /// The daemon's config.
    pub fn config(&self) -> PathBuf {
        self.path.join("shadowprod.toml")
    }

    /// Writes registry and config.
    pub fn write(&self, world: &World, settings: &Settings) -> miette::Result<()> {
        let written = world
            .write_registry(&self.path.join("registry"))
            .and_then(|()| std::fs::write(self.config(), config_text(&world.sources(), settings)));
        written.into_diagnostic().wrap_err_with(|| format!("{} cannot be written", self.path.display()))
    }
}

impl Drop for DemoFolder {
    fn drop(&mut self) {
        if !self.keep
            && let Err(error) = std::fs::remove_dir_all(&self.path)
        {
            tracing::warn!(path = %self.path.display(), %error, "the demo's folder stays behind");
        }
    }
}

fn config_text(sources: &str, settings: &Settings) -> String {
    let clock = match settings.clock {
        Clock::Wall => "wall",
        Clock::Log => "log",
    };
    format!(
        "[kafka]\nbrokers = \"{}\"\n\n{sources}[registry]\npath = \"registry\"\n\n[state]\npath = \"state\"\n\n\
         [time]\nclock = \"{clock}\"\n\n[serve]\ngrpc = \"{}\"\nhttp = \"{}\"\n\n[notify]\nalertmanagers = {:?}\n",
        settings.brokers, settings.grpc, settings.http, settings.alertmanagers
    )
}

#[cfg(test)]
mod tests {
    use shadowprod_world::TOPICS;

    use super::*;
    use crate::config::Config;

    fn world() -> World {
        crate::cli::demo::world(1, "2026-03-11T14:23:00Z".parse().unwrap())
    }

    fn settings() -> Settings {
        Settings {
            brokers: "127.0.0.1:19092".to_owned(),
            grpc: SocketAddr::from(([127, 0, 0, 1], 50551)),
            http: SocketAddr::from(([127, 0, 0, 1], 9464)),
            alertmanagers: vec!["http://127.0.0.1:9093".to_owned()],
            clock: Clock::Log,
        }
    }

    #[test]
    fn config_of_a_demo_is_a_config() {
        let config: Config = toml::from_str(&config_text(&world().sources(), &settings())).unwrap();
        let topics: Vec<&str> = config.sources.iter().map(|s| s.topic.as_str()).collect();
        assert_eq!(topics, TOPICS);
        assert_eq!(config.time.clock, Clock::Log);
        assert_eq!(config.notify.alertmanagers, ["http://127.0.0.1:9093"]);
    }

    #[test]
    fn kept_folder_stays_and_refuses_a_second_demo() {
        let parent = tempfile::tempdir().unwrap();
        let path = parent.path().join("kept");
        let folder = DemoFolder::create(Some(&path)).unwrap();
        folder.write(&world(), &settings()).unwrap();
        std::fs::write(folder.state().join("shadowprod.db"), "").unwrap();
        drop(folder);
        assert!(path.join("registry/pilots.toml").exists() && path.join("shadowprod.toml").exists());
        let refused = DemoFolder::create(Some(&path)).unwrap_err().to_string();
        assert!(refused.contains("name an empty folder"), "{refused}");
    }
}
