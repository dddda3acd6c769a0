//! The suite that needs more than one part of the daemon, in one binary so that it links once.
//!
//! In: a broker for [`broker`], [`process`], [`moved`], [`losses`], [`supervised`] and [`rebuild`], see [`kafka`]; scenarios of
//! fixtures/ for those and [`golden`]. Out: facts.

#[cfg(test)]
#[path = "suite/broker.rs"]
mod broker;
#[cfg(test)]
#[path = "suite/clocks.rs"]
mod clocks;
#[cfg(test)]
#[path = "suite/commits.rs"]
mod commits;
#[cfg(test)]
#[path = "suite/dead_letters.rs"]
mod dead_letters;
#[cfg(test)]
#[path = "suite/golden.rs"]
mod golden;
#[cfg(test)]
#[path = "suite/house.rs"]
mod house;
#[cfg(test)]
#[path = "suite/kafka.rs"]
mod kafka;
#[cfg(test)]
#[path = "suite/losses.rs"]
mod losses;
#[cfg(test)]
#[path = "suite/modes.rs"]
mod modes;
#[cfg(test)]
#[path = "suite/moved.rs"]
mod moved;
#[cfg(test)]
#[path = "suite/oracle.rs"]
mod oracle;
#[cfg(test)]
#[path = "suite/process.rs"]
mod process;
#[cfg(test)]
#[path = "suite/quarantine.rs"]
mod quarantine;
#[cfg(test)]
#[path = "suite/rebuild.rs"]
mod rebuild;
#[cfg(test)]
#[path = "suite/secrets.rs"]
mod secrets;
#[cfg(test)]
#[path = "suite/supervised.rs"]
mod supervised;
