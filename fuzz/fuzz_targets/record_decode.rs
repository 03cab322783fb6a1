//! See `tests/support/fuzz/record_decode.rs`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| riskweir_fuzz::run("record_decode", data));
