//! See `tests/support/fuzz/config.rs`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| riskweir_fuzz::run("config", data));
