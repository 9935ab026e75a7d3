//! See `adit_fuzz_cases::forward_specs`.
#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| adit_fuzz_cases::forward_specs(data));
