#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| opal_tests::fuzz::policy_text(data));
