//! See `adit_fuzz_cases::authorized_keys`.
#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| adit_fuzz_cases::authorized_keys(data));
