//! `kronos.json`, and the header proper with a digest that fits.
#![no_main]

use kronos_fuzz::*;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let _ = parsers().header(bytes);
    let _ = parsers().header_text(text(bytes));
});
