//! See `adit_fuzz_cases::channel_operations`.
#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| adit_fuzz_cases::channel_operations(data));
