//! Logs for the benches: the same lines for the same seed, invented values in the providers' shapes.
//!
//! In: a seed and a number. Out: Envoy access logs and CloudTrail records of the company in fixtures/registry;
//! records of any format, made of its fixtures.

pub mod logs;
pub mod records;
