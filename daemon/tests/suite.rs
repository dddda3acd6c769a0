//! The suite that needs more than one part of the daemon, in one binary so that it links once.
//!
//! In: a broker at SHADOWPROD_TEST_KAFKA for [`broker`]. Out: facts.

#[cfg(test)]
#[path = "suite/broker.rs"]
mod broker;
