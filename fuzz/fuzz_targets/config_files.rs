//! See `adit_fuzz_cases::config_files`.
#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| adit_fuzz_cases::config_files(data));
