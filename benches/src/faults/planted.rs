//! Bugs planted on purpose, each of which the faults must catch: a net without a hole in it is known by what it holds.
//!
//! In: binaries of a copy of this workspace with `planted.patch`, which puts all of them in, each behind
//! SHADOWPROD_PLANTED=NAME. Out: a line for each bug; one that nothing catches is a violation. To build them:
//! `git worktree add DIR && cd DIR && git apply benches/src/faults/planted.patch && cargo build --release --workspace`.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;
use std::time::Instant;

use shadowprod_benches::Failure;

use super::options::Options;
use super::outcome::Outcome;

/// Of what caught a bug.
const SHOWN_CHARS: usize = 120;

/// A daemon without a bug needs five seconds, twenty for twenty days; a broker that was killed is back after twelve; a
/// machine may be a few times slower.
const PATIENCE_SECONDS: &str = "120";

/// Where a bug is: in the daemon, beside which this program has none, or also in what this program itself calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
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
    (
        "offset-off-by-one",
        "a start leaves out the first message after a commit",
        Side::Daemon,
        &["--kills", "6"],
    ),
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
    (
        "full-log-looks-empty",
        "an end of a log that is not known is taken to be its other end",
        Side::Daemon,
        &["--broker", "42"],
    ),
    ("letters-gone-when-sent", "dead letters are forgotten once sent", Side::Daemon, &["--broker", "21"]),
    ("no-fsync", "commits are not made durable", Side::Daemon, &["--power", "20"]),
    ("failed-commit-goes-on", "a commit that failed is taken for durable", Side::Daemon, &["--disk", "6"]),
    ("segment-unchecked", "a damaged segment is used", Side::Both, &["--flips", "400"]),
    ("offsets-unchecked", "damaged offsets are used", Side::Both, &["--flips", "1000"]),
    ("rows-unchecked", "damaged findings and rejects are used", Side::Both, &["--flips", "1000"]),
    ("pages-unchecked", "rows that a damaged page lost are not missed", Side::Both, &["--flips", "1000"]),
    ("deep-json-swallowed", "a reject disappears", Side::Both, &["--hostile", "10000"]),
    ("overflow-uncounted", "a group without room is not counted", Side::Both, &["--keys", "400000"]),
    ("no-room-for-the-known", "a flood takes the room of known subjects", Side::Both, &["--keys", "400000"]),
];

/// Lets the faults look for each bug of the binaries in `built`. The same faults must find nothing in these binaries while
/// no bug is let loose: what they find then, such as a machine too slow for their patience, is no catch.
pub fn run(options: &Options, built: &Path) -> Result<Outcome, Failure> {
    let mut outcome = Outcome::default();
    // What the faults find where there is no bug.
    let mut without: BTreeMap<_, Option<String>> = BTreeMap::new();
    if let Some(unknown) = options.bug.as_ref().filter(|bug| !BUGS.iter().any(|known| known.0 == **bug)) {
        let names: Vec<&str> = BUGS.iter().map(|known| known.0).collect();
        return Err(format!("--bug {unknown}: none of {}", names.join(", ")).into());
    }
    for (name, what, side, faults) in BUGS {
        if options.bug.as_ref().is_some_and(|bug| bug != name) {
            continue;
        }
        let words = faults.join(" ");
        outcome.count += 1;
        let place = (words.clone(), *side);
        if !without.contains_key(&place) {
            without.insert(place.clone(), hunt(options, built, *side, faults, None)?.found);
        }
        if let Some(found) = &without[&place] {
            outcome.violations.push(format!("{name}: without it {words} finds: {found}"));
            continue;
        }
        let hunt = hunt(options, built, *side, faults, Some(name))?;
        match hunt.found {
            Some(found) => println!("    {name:<24} {words:<18} {:>4} s  {found}", hunt.seconds),
            None => {
                outcome.violations.push(format!("{name} ({what}) is not caught by {words}: {}", hunt.ended))
            }
        }
    }
    Ok(outcome)
}

/// What came of looking for a bug.
struct Hunt {
    /// The first violation.
    found: Option<String>,
    /// How it ended where there is none.
    ended: String,
    seconds: u64,
}

fn hunt(
    options: &Options,
    built: &Path,
    side: Side,
    faults: &[&str],
    bug: Option<&str>,
) -> Result<Hunt, Failure> {
    let started = Instant::now();
    let harness = match side {
        Side::Daemon => std::env::current_exe()?,
        Side::Both => built.join("faults"),
    };
    let output = Command::new(harness)
        .args(["--seed", &options.seed.to_string(), "--days", &options.days.to_string()])
        .args(["--patience", PATIENCE_SECONDS, "--violations-max", "1"])
        .args(faults)
        .arg("--binary")
        .arg(built.join("shadowprod"))
        .env("SHADOWPROD_PLANTED", bug.unwrap_or_default())
        .output()?;
    let said = String::from_utf8_lossy(&output.stdout);
    let violation = said.lines().find(|line| line.starts_with("    ") && !line.contains("state and logs"));
    let found = match (output.status.code(), violation) {
        (Some(0), _) => None,
        (Some(1), Some(violation)) => Some(violation.trim().chars().take(SHOWN_CHARS).collect()),
        // It could not do what it is there for: with a bug that is no catch, without one it is not as it should be.
        (code, _) => bug.is_none().then(|| format!("exit code {code:?}")),
    };
    let said = String::from_utf8_lossy(&output.stderr);
    let ended = format!("{} {}", output.status, said.lines().last().unwrap_or_default());
    Ok(Hunt { found, ended, seconds: started.elapsed().as_secs() })
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
