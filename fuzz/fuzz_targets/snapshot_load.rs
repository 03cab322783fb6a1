//! See `tests/support/fuzz/snapshot_load.rs`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| riskweir_fuzz::run("snapshot_load", data));
