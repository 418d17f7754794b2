//! The text of a checkpoint.
#![no_main]

use kronos_fuzz::*;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    again(bytes, |b| parsers().checkpoint(b));
});
