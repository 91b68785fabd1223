#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| opal_tests::fuzz::record_events(data));
