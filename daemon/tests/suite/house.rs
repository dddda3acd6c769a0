//! A pipeline in this process over one log of audit records, without a broker.
//!
//! In: a folder, the format that the log is said to be of. Out: its config, what a pipeline is made of, its log as a source.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use shadowprod::config::Config;
use shadowprod::daemon;
use shadowprod::ingest::Topics;
use shadowprod::ingest::files::FileSource;
use shadowprod::metrics::Metrics;
use shadowprod::pipeline::{Parts, Pipeline};

/// Writes `<dir>/shadowprod.toml`: topic `audit` of source `cloud`, the state in `<dir>/state`.
pub fn write_config(dir: &Path, format: &str) -> PathBuf {
    let registry = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures/registry");
    let text = format!(
        "[[source]]\nname = \"cloud\"\ntopic = \"audit\"\nformat = {format:?}\n\
         [registry]\npath = {registry:?}\n[state]\npath = \"state\"\n[time]\nclock = \"log\"\n"
    );
    let path = dir.join("shadowprod.toml");
    std::fs::write(&path, text).unwrap();
    path
}

/// The parts of a pipeline that goes on where the last one stopped.
pub fn parts(config: &Config) -> Parts {
    let mut parts = daemon::parts(config, Arc::new(Metrics::new()), Some(&config.state.path)).unwrap();
    parts.rhythm.settle_for = None;
    parts
}

/// `<dir>/audit.jsonl` from its beginning, so many messages a batch.
pub fn log(dir: &Path, config: &Config, pipeline: &Pipeline, batch_messages: usize) -> FileSource {
    let topics: Topics = pipeline.topics().into();
    FileSource::open(dir, &topics, &daemon::read_topics(config, &topics), batch_messages).unwrap()
}
