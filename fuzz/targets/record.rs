//! A sealed record as it lies there, and one whose seal is good whatever lies in it.
#![no_main]

use kronos_fuzz::*;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    for kind in 1..=5 {
        let _ = parsers().record(kind, bytes);
    }
    let _ = parsers().sealed(1, bytes);
});
