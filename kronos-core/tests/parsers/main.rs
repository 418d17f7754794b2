//! The parsers of everything that is read from a storage. Whatever lies there, none panics and
//! none takes more memory than its input can answer for; and what was written by the rules of the
//! format page is understood as it was meant.
//!
//! `KRONOS_FUZZ_CASES` sets how many inputs each property is tried with. `fuzz/` has the same
//! parsers as targets of a fuzzer.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod measured;
mod model;

use bytes::Bytes;
use kronos_core::testing::Parsers;
use kronos_core::{ChunkerParameters, Mode};
use measured::peak_of;
use proptest::collection::vec;
use proptest::prelude::*;
use serde_json::{Value, json};

/// One byte may become so many, such as `[0]` in a list of lists of JSON.
const EACH: usize = 64;
/// And so many for the way to a parser: a reader, a record, a little repository.
const BASE: usize = 256 << 10;
/// No record and no block is larger; one that claims it gets no memory at all.
const LARGEST: usize = 256 << 20;

/// One for each thread: what is parsed lies in its storage for a while.
fn parsers() -> &'static Parsers {
    thread_local!(static PARSERS: &'static Parsers = Box::leak(Box::new(Parsers::new())));
    PARSERS.with(|parsers| *parsers)
}

fn cases() -> ProptestConfig {
    ProptestConfig::with_cases(std::env::var("KRONOS_FUZZ_CASES").map_or(256, |n| n.parse().unwrap()))
}

/// Calls a parser, which may take memory in proportion to its input only.
fn sparing<T>(input: &[u8], parse: impl FnOnce(&'static Parsers, &[u8]) -> T) -> T {
    believing(0, input, parse)
}

/// The same, of something that claims to become larger, under a good seal.
fn believing<T>(claim: usize, input: &[u8], parse: impl FnOnce(&'static Parsers, &[u8]) -> T) -> T {
    let parsers = parsers();
    let (parsed, peak) = peak_of(|| parse(parsers, input));
    let most = EACH * input.len() + BASE + if claim > LARGEST { 0 } else { claim };
    assert!(peak <= most, "{peak} bytes for an input of {} that claims {claim}", input.len());
    parsed
}

fn as_json(bytes: Option<Vec<u8>>) -> Option<Value> {
    serde_json::from_slice(&bytes?).ok()
}

/// Every parser there is, fed with the same bytes.
fn feed_all(bytes: &[u8]) {
    sparing(bytes, Parsers::header);
    for kind in 1..=5 {
        sparing(bytes, |p, b| p.record(kind, b));
    }
    sparing(bytes, |p, b| p.entry_object(0, b));
    sparing(bytes, |p, b| p.entry(0, b));
    sparing(bytes, Parsers::checkpoint);
    sparing(bytes, Parsers::announcement);
    sparing(bytes, Parsers::job);
    sparing(bytes, Parsers::root);
    sparing(bytes, Parsers::pack);
    sparing(bytes, Parsers::table);
    sparing(bytes, Parsers::node);
    sparing(bytes, |p, b| p.pack(&p.sealed_pack(b, b)));
    let text = String::from_utf8_lossy(bytes);
    sparing(bytes, |p, _| p.header_text(&text));
    sparing(bytes, |p, _| p.keys(&text));
    sparing(bytes, |p, _| p.job_name(&text));
}

/// A change to bytes that were good: a part is cut out, doubled or overwritten.
#[derive(Debug, Clone)]
struct Damage {
    at: prop::sample::Index,
    length: usize,
    kind: u8,
    bytes: Vec<u8>,
}

fn damage() -> impl Strategy<Value = Vec<Damage>> {
    let bytes = prop_oneof![
        vec(any::<u8>(), 1..12),
        prop::sample::select(vec!["18446744073709551615", "-1", "0", "null", "[", "{", "\"", "1e999", "\\u0000"])
            .prop_map(|text| text.as_bytes().to_vec()),
    ];
    let one = (any::<prop::sample::Index>(), 0..40_usize, 0..4_u8, bytes);
    vec(one.prop_map(|(at, length, kind, bytes)| Damage { at, length, kind, bytes }), 1..4)
}

fn damaged(mut bytes: Vec<u8>, damage: &[Damage]) -> Vec<u8> {
    for Damage { at, length, kind, bytes: new } in damage {
        let at = at.index(bytes.len() + 1);
        let end = (at + length).min(bytes.len());
        match kind {
            0 => drop(bytes.drain(at..end)),
            1 => bytes.extend_from_within(at..end),
            2 => drop(bytes.splice(at..end, new.iter().copied())),
            _ => {
                if let Some(byte) = bytes.get_mut(at) {
                    *byte ^= 1 << (length % 8);
                }
            }
        }
    }
    bytes
}

proptest! {
    #![proptest_config(cases())]

    #[test]
    fn rubbish_harms_no_parser(bytes in vec(any::<u8>(), 0..600)) {
        feed_all(&bytes);
    }

    #[test]
    fn damaged_json_harms_no_parser(
        text in prop_oneof![
            model::entry().prop_map(|(_, e)| e), model::checkpoint(), model::announcement(), model::root(),
            model::fingerprint(),
        ],
        damage in damage(),
    ) {
        feed_all(&damaged(text.to_string().into_bytes(), &damage));
    }

    #[test]
    fn damaged_tables_and_nodes_harm_no_parser(bytes in prop_oneof![model::table(), model::node()], damage in damage()) {
        feed_all(&damaged(bytes, &damage));
    }

    /// As it stands, it leads to real nodes, tables and blocks; damaged, to the wrong ones.
    #[test]
    fn a_damaged_root_of_a_real_backup_is_safe_to_follow(damage in damage()) {
        let root = parsers().some_root();
        prop_assert_eq!(sparing(&root, Parsers::root), Some(root.clone()));
        sparing(&damaged(root, &damage), Parsers::root);
    }

    #[test]
    fn a_damaged_pack_is_safe_to_read(table in model::table(), block in vec(any::<u8>(), 0..200), damage in damage()) {
        let pack = parsers().sealed_pack(&table, &block);
        prop_assert_eq!(sparing(&pack, Parsers::pack), Some(table));
        sparing(&damaged(pack, &damage), Parsers::pack);
    }

    #[test]
    fn entries_are_understood((seq, entry) in model::entry()) {
        prop_assert_eq!(as_json(parsers().entry(seq, entry.to_string().as_bytes())), Some(entry.clone()));
        prop_assert_eq!(parsers().entry(seq ^ 1, entry.to_string().as_bytes()), None, "it belongs to another number");
    }

    #[test]
    fn checkpoints_are_understood(state in model::checkpoint()) {
        prop_assert_eq!(as_json(parsers().checkpoint(state.to_string().as_bytes())), Some(state));
    }

    #[test]
    fn announcements_are_understood(found in model::announcement()) {
        prop_assert_eq!(as_json(parsers().announcement(found.to_string().as_bytes())), Some(found));
    }

    #[test]
    fn roots_are_understood(root in model::root()) {
        prop_assert_eq!(as_json(sparing(root.to_string().as_bytes(), Parsers::root)), Some(root));
    }

    #[test]
    fn jobs_are_understood(fingerprint in model::fingerprint(), id: [u8; 16]) {
        let record = json!({
            "id": model::hex(&id), "name": "shop", "fingerprint": fingerprint, "created": "2026-11-21T00:00:00Z",
        });
        let understood = parsers().job(record.to_string().as_bytes()).map(|f| serde_json::to_value(f).unwrap());
        prop_assert_eq!(understood, Some(fingerprint));
    }

    #[test]
    fn tables_are_understood(table in model::table(), more in 1..20_u8) {
        prop_assert_eq!(sparing(&table, Parsers::table), Some(table.clone()));
        let longer = [&table[..], &vec![0; more.into()]].concat();
        prop_assert_eq!(parsers().table(&longer), None, "nothing follows");
    }

    #[test]
    fn nodes_are_understood(node in model::node()) {
        prop_assert_eq!(sparing(&node, Parsers::node), Some(node));
    }

    #[test]
    fn records_are_understood_and_every_bit_counts(kind in 1..=5_u8, text: Vec<u8>, at: prop::sample::Index, bit in 0..8_u8) {
        let mut object = parsers().seal_record(kind, &text);
        prop_assert_eq!(parsers().record(kind, &object), Some(text));
        prop_assert_eq!(parsers().record(kind % 5 + 1, &object), None, "it is of another kind");
        let at = at.index(object.len());
        object[at] ^= 1_u8 << bit;
        prop_assert_eq!(parsers().record(kind, &object), None);
    }

    /// A record says how long its text is. That is believed up to a bound, and must be true.
    #[test]
    fn what_a_record_claims_is_checked(kind in 1..=5_u8, text in vec(any::<u8>(), 0..300), claim: u32) {
        let inside = |claim: u32| [&claim.to_le_bytes()[..], &zstd::bulk::compress(&text, 3).unwrap()].concat();
        let length = u32::try_from(text.len()).unwrap();
        prop_assert_eq!(sparing(&inside(length), |p, b| p.sealed(kind, b)), Some(text.clone()));
        for claim in [claim, claim % 1000].into_iter().filter(|claim| *claim != length) {
            prop_assert_eq!(sparing(&inside(claim), |p, b| p.sealed(kind, b)), None);
        }
        // No frame at all.
        let claim = text.first_chunk().map_or(0, |claim| u32::from_le_bytes(*claim)) as usize;
        prop_assert_eq!(believing(claim, &text, |p, b| p.sealed(kind, b)), None);
    }

    #[test]
    fn headers_are_understood((file, chunker) in model::header(), damage in damage()) {
        prop_assert_eq!(sparing(&file, Parsers::header), Some((Mode::Plain, chunker)));
        sparing(&damaged(file, &damage), Parsers::header);
        let (file, text) = parsers().some_header();
        prop_assert!(parsers().header(&file).is_some() && parsers().header_text(&text).is_some());
        let text = String::from_utf8_lossy(&damaged(text.into_bytes(), &damage)).into_owned();
        sparing(text.as_bytes(), |p, _| p.header_text(&text));
    }

    #[test]
    fn key_sets_are_understood(keys in model::keys(), damage in damage()) {
        prop_assert!(parsers().keys(&keys));
        let text = String::from_utf8_lossy(&damaged(keys.into_bytes(), &damage)).into_owned();
        sparing(text.as_bytes(), |p, _| p.keys(&text));
    }

    #[test]
    fn job_names_go_there_and_back(name in any::<String>(), other in "[a-z%0-9A-F]{0,12}") {
        let good = name.chars().any(|c| !c.is_whitespace()) && !name.chars().any(char::is_control);
        let encoded = model::encoded_job(&name);
        let expected = (good && encoded.len() <= 240).then_some(name);
        prop_assert_eq!(parsers().job_name(&encoded), expected);
        if let Some(name) = parsers().job_name(&other) {
            prop_assert_eq!(model::encoded_job(&name), other);
        }
    }

    /// By any parameters that a header may have.
    #[test]
    fn streams_are_cut_whole(
        // Halves: the sizes must be even.
        (least, average, most) in (32..=512_u32, 128..=1024_u32, 512..=2048_u32),
        chunk in prop_oneof![Just(0_u32), 1..5000_u32],
        pieces in vec(vec(prop_oneof![Just(0_u8), any::<u8>()], 0..3000), 0..8),
    ) {
        let mut chunker = ChunkerParameters::tiny();
        chunker.content = [2 * least.min(average), 2 * average.min(most), 2 * most];
        let borrowed: Vec<&[u8]> = pieces.iter().map(Vec::as_slice).collect();
        let whole = pieces.concat();
        let chunks = parsers().cut(&chunker, chunk, &borrowed).unwrap();
        prop_assert_eq!(chunks.concat(), &whole[..]);
        prop_assert_eq!(&chunks, &parsers().cut(&chunker, chunk, &[&whole]).unwrap());
        let largest = if chunk > 0 { chunk } else { 2 * most } as usize;
        let (last, full) = chunks.split_last().map_or((0, &[][..]), |(last, full)| (last.len(), full));
        prop_assert!(last <= largest);
        let fits = |c: &Bytes| c.len() <= largest && (chunk > 0 || c.len() >= chunker.content[0] as usize);
        prop_assert!(full.iter().all(|c| fits(c) && (chunk == 0 || c.len() == largest)));
    }
}

/// The worst that JSON can do: the smallest texts that become the largest values.
#[test]
fn nested_and_crowded_json_takes_no_more_than_its_share() {
    let nested = |depth: usize| [vec![b'['; depth], vec![b']'; depth]].concat();
    let list = |of: &[u8], times: usize| [b"[", &[of, b","].concat().repeat(times)[..], of, b"]"].concat();
    let names: Vec<u8> = (0..4000).flat_map(|n| format!("\"{n:x}\":0,").into_bytes()).collect();
    let crowded = [b"{", &names[..], b"\"z\":0}"].concat();
    for text in [nested(100), nested(100_000), list(b"0", 20_000), list(b"[0]", 10_000), list(b"{}", 10_000), crowded] {
        feed_all(&text);
    }
}

/// Beyond what any record has, a claim is refused before memory is taken for it.
#[test]
fn absurd_claims_take_no_memory() {
    // A frame that says by itself that it is 1 GiB.
    let frame = [&[0x28, 0xb5, 0x2f, 0xfd, 0xa0][..], &(1_u32 << 30).to_le_bytes(), &[1, 0, 0]].concat();
    for claim in [1 << 30, u32::MAX, (256 << 20) + 1] {
        let inside = [&claim.to_le_bytes()[..], &frame].concat();
        assert_eq!(sparing(&inside, |p, b| p.sealed(1, b)), None);
    }
    // A table that says that its only block holds 4 GiB, or that there are 2^60 blocks.
    let table =
        [&[0; 16][..], &model::leb128(&[1, 0, 60, 1, 1]), &[0; 16], &model::leb128(&[u32::MAX.into()])].concat();
    assert_eq!(parsers().table(&table), Some(table.clone()));
    let pack = parsers().sealed_pack(&table, &frame);
    assert_eq!(sparing(&pack, Parsers::pack), Some(table));
    let table = [&[0; 16][..], &model::leb128(&[1 << 60])].concat();
    assert_eq!(sparing(&table, Parsers::table), None);
}
