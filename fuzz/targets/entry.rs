//! An entry of the log: the whole object, and its text.
#![no_main]

use kronos_fuzz::*;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let _ = parsers().entry_object(1, bytes);
    again(bytes, |b| parsers().entry(1, b));
});
