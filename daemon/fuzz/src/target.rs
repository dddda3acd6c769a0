//! One fuzz target; the `[[bin]]` that it is built for says which.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| shadowprod_fuzz::check(env!("CARGO_BIN_NAME"), input));
