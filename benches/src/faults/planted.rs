//! Bugs planted on purpose, each of which the faults must catch: a net without a hole in it is known by what it holds.
//!
//! In: binaries of a copy of this workspace with `planted.patch`, which puts all of them in, each behind
//! SHADOWPROD_PLANTED=NAME. Out: a line for each bug; one that nothing catches is a violation. To build them:
//! `git worktree add DIR && cd DIR && git apply benches/src/faults/planted.patch && cargo build --release --workspace`.

use std::path::Path;
use std::process::Command;
use std::time::Instant;

use shadowprod_benches::Failure;

use super::options::Options;
use super::outcome::Outcome;

/// Of what caught a bug.
const SHOWN_CHARS: usize = 120;

/// A daemon without a bug needs five seconds.
const PATIENCE_SECONDS: &str = "20";

/// Where a bug is: in the daemon, beside which this program has none, or also in what this program itself calls.
#[derive(Clone, Copy)]
enum Side {
    Daemon,
    Both,
}

/// Name, what goes wrong, where, which faults catch it.
type Bug = (&'static str, &'static str, Side, &'static [&'static str]);

const BUGS: &[Bug] = &[
    (
        "offsets-before-rows",
        "offsets are durable before what was read",
        Side::Daemon,
        &["--crash-points", "1"],
    ),
    ("offset-off-by-one", "the last message of a batch is read again", Side::Daemon, &["--kills", "6"]),
    ("last-segment-dropped", "rows of a commit are not stored", Side::Daemon, &["--kills", "6"]),
    (
        "merged-segments-stay",
        "segments stay beside the one that replaces them",
        Side::Daemon,
        &["--kills", "12", "--days", "20"],
    ),
    (
        "ids-forgotten",
        "a start forgets which events it has seen",
        Side::Daemon,
        &["--kills", "12", "--days", "20"],
    ),
    ("copies-unseen", "which copy of an event comes first shows", Side::Daemon, &["--kills", "6"]),
    ("lost-update", "the history lacks what changed a finding", Side::Daemon, &["--kills", "1"]),
    (
        "lost-resolve",
        "the history lacks the end of a finding",
        Side::Daemon,
        &["--kills", "1", "--days", "20"],
    ),
    ("key-made-anew", "each start hashes credentials otherwise", Side::Daemon, &["--kills", "6"]),
    ("watch-skips", "a resumed watch leaves a change out", Side::Daemon, &["--kills", "24"]),
    ("topics-not-awaited", "time runs ahead of topics not yet given", Side::Daemon, &["--broker", "7"]),
    ("letters-gone-when-sent", "dead letters are forgotten once sent", Side::Daemon, &["--broker", "21"]),
    ("no-fsync", "commits are not made durable", Side::Daemon, &["--power", "20"]),
    ("failed-commit-goes-on", "a commit that failed is taken for durable", Side::Daemon, &["--disk", "6"]),
    ("segment-unchecked", "a damaged segment is used", Side::Both, &["--flips", "400"]),
    ("offsets-unchecked", "damaged offsets are used", Side::Both, &["--flips", "1000"]),
    ("rows-unchecked", "damaged findings and rejects are used", Side::Both, &["--flips", "1000"]),
    ("deep-json-swallowed", "a reject disappears", Side::Both, &["--hostile", "10000"]),
    ("overflow-uncounted", "a group without room is not counted", Side::Both, &["--keys", "400000"]),
    ("no-room-for-the-known", "a flood takes the room of known subjects", Side::Both, &["--keys", "400000"]),
];

/// Lets the faults look for each bug of the binaries in `built`.
pub fn run(options: &Options, built: &Path) -> Result<Outcome, Failure> {
    let mut outcome = Outcome::default();
    for (name, what, side, faults) in BUGS {
        let started = Instant::now();
        let harness = match side {
            Side::Daemon => std::env::current_exe()?,
            Side::Both => built.join("faults"),
        };
        let output = Command::new(harness)
            .args(["--seed", &options.seed.to_string(), "--days", &options.days.to_string()])
            .args(["--patience", PATIENCE_SECONDS])
            .args(*faults)
            .arg("--binary")
            .arg(built.join("shadowprod"))
            .env("SHADOWPROD_PLANTED", name)
            .output()?;
        outcome.count += 1;
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        let violation =
            said.lines().find(|line| line.starts_with("    ") && !line.contains("state and logs"));
        match (output.status.code(), violation) {
            (Some(1), Some(violation)) => {
                let violation: String = violation.trim().chars().take(SHOWN_CHARS).collect();
                let seconds = started.elapsed().as_secs();
                println!("    {name:<24} {:<18} {seconds:>4} s  {violation}", faults.join(" "));
            }
            (code, _) => outcome.violations.push(format!(
                "{name} ({what}) is not caught by {}: exit code {code:?} {}",
                faults.join(" "),
                String::from_utf8_lossy(&output.stderr).lines().last().unwrap_or_default()
            )),
        }
    }
    Ok(outcome)
}

#[cfg(test)]
mod tests {
    use super::*;

    const WORKSPACE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");
    const PATCH: &str = "benches/src/faults/planted.patch";

    #[test]
    fn bugs_can_still_be_planted() {
        let patch = Path::new(WORKSPACE).join(PATCH);
        let status =
            Command::new("git").args(["apply", "--check"]).arg(&patch).current_dir(WORKSPACE).status();
        let status = status.expect("git is there");
        assert!(
            status.success(),
            "{PATCH} does not fit any more: plant the bugs anew and write the difference"
        );
        let text = std::fs::read_to_string(patch).expect("a patch");
        for (name, ..) in BUGS {
            assert!(text.contains(&format!("planted(\"{name}\")")), "{name} is in no line of the patch");
        }
    }
}
