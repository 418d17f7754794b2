//! A pack: its first bytes, its footer, its table and its blocks. The first byte says how the rest is split.
#![no_main]

use kronos_fuzz::*;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let _ = parsers().pack(bytes);
    if let Some((split, rest)) = bytes.split_first() {
        let (table, block) = rest.split_at(rest.len() * usize::from(*split) / 256);
        let _ = parsers().pack(&parsers().sealed_pack(table, block));
    }
});
