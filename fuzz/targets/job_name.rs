//! The name of a job's directory.
#![no_main]

use kronos_fuzz::*;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Some(name) = parsers().job_name(text(bytes)) {
        assert!(!name.trim().is_empty() && !name.chars().any(char::is_control));
    }
});
