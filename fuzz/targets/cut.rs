//! A stream that is cut, by any parameters that a header may have, however it arrives.
#![no_main]

use kronos_core::ChunkerParameters;
use kronos_fuzz::*;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: (u16, u16, u16, u16, Vec<u8>, Vec<u8>)| {
    let (least, average, most, chunk, one, two) = input;
    let mut chunker = ChunkerParameters::tiny();
    // The sizes must be even.
    chunker.content = [least, average, most].map(|n| u32::from(n) * 2);
    if let Some(chunks) = parsers().cut(&chunker, chunk.into(), &[&one, &two]) {
        assert_eq!(chunks.concat(), [&one[..], &two].concat());
        assert_eq!(Some(chunks), parsers().cut(&chunker, chunk.into(), &[&[&one[..], &two].concat()]));
    }
});
