#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| wickr_guest_export_fuzz::run("closed", data));
