//! See `adit_fuzz_cases::session_requests`.
#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| adit_fuzz_cases::session_requests(data));
