//! The target `plain` under libFuzzer; what it does is said in `framework/src/fuzzing.rs`.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| millstream::fuzzing::plain(bytes));
