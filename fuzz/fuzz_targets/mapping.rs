//! See `tests/support/fuzz/mapping.rs`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| riskweir_fuzz::run("mapping", data));
