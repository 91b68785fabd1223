#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| opal_tests::fuzz::signers_text(data));
