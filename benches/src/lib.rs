//! Logs for the benches: the same lines for the same seed, invented values in the providers' shapes.
//!
//! In: a seed and a number. Out: Envoy access logs and CloudTrail records of the company in fixtures/registry;
//! records of any format, made of its fixtures.

use std::process::ExitCode;

pub mod kafka;
pub mod logs;
pub mod records;

/// Whatever ends a bench before its end.
pub type Failure = Box<dyn std::error::Error>;

/// How a bench ends; a failure is said.
pub fn exit_code(outcome: Result<(), Failure>) -> ExitCode {
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

/// What this process holds in memory.
pub fn resident_bytes() -> Result<usize, Failure> {
    resident_bytes_of("self")
}

/// What a process holds in memory, by its id.
pub fn resident_bytes_of(process: &str) -> Result<usize, Failure> {
    const PAGE: usize = 4_096;
    let statm = std::fs::read_to_string(format!("/proc/{process}/statm"))?;
    let pages = statm.split(' ').nth(1).ok_or("statm has no second field")?;
    Ok(pages.parse::<usize>()? * PAGE)
}
