//! A key set, as JSON.
#![no_main]

use kronos_fuzz::*;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let _ = parsers().keys(text(bytes));
});
