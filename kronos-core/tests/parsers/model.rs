//! Everything that a storage holds, made at random from what the format page says, without the
//! code that is tested.

use std::collections::BTreeMap;

use kronos_core::{ChunkerParameters, Timestamp};
use proptest::collection::{btree_map, btree_set, vec};
use proptest::option;
use proptest::prelude::*;
use serde_json::{Map, Value, json};

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |hex, b| hex + &format!("{b:02x}"))
}

fn id() -> impl Strategy<Value = String> {
    any::<[u8; 16]>().prop_map(|id| hex(&id))
}

fn digest() -> impl Strategy<Value = String> {
    any::<[u8; 32]>().prop_map(|digest| hex(&digest))
}

/// Any time that can be written.
fn time() -> impl Strategy<Value = String> {
    // The years from 1 to 9999, in microseconds.
    (-62_135_596_800_000_000..253_402_207_200_000_000_i64).prop_map(|t| Timestamp::from_micros(t).to_string())
}

fn ids() -> impl Strategy<Value = Vec<String>> {
    vec(id(), 0..5)
}

fn sorted_ids() -> impl Strategy<Value = Value> {
    btree_set(id(), 0..5).prop_map(|ids| json!(ids))
}

/// Puts fields in that are there only with a value.
fn with(mut object: Value, fields: Vec<(&str, Option<Value>)>) -> Value {
    let map: &mut Map<String, Value> = object.as_object_mut().expect("an object");
    map.extend(fields.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))));
    object
}

fn optional<T: Into<Value> + Clone + std::fmt::Debug>(
    value: impl Strategy<Value = T>,
) -> impl Strategy<Value = Option<Value>> {
    option::of(value.prop_map(Into::into))
}

fn tags() -> impl Strategy<Value = Option<Value>> {
    btree_map(any::<String>(), any::<String>(), 0..3).prop_map(|tags| (!tags.is_empty()).then(|| json!(tags)))
}

fn list<T: serde::Serialize + std::fmt::Debug>(of: impl Strategy<Value = T>) -> impl Strategy<Value = Option<Value>> {
    vec(of, 0..3).prop_map(|list| (!list.is_empty()).then(|| json!(list)))
}

fn engine() -> impl Strategy<Value = String> {
    "[a-z][a-z0-9-]{0,10}[a-z0-9]"
}

fn manifest() -> impl Strategy<Value = Value> {
    let ids = (id(), id(), id(), id(), option::of(id()), id());
    let rest = (digest(), engine(), prop::sample::select(vec!["full", "incremental", "differential"]), digest());
    let times = (time(), time(), time());
    let numbers = any::<[u64; 4]>();
    let more = (optional(any::<u64>()), optional(any::<String>()), optional(any::<String>()), tags());
    let lists = (list(any::<String>()), list(id()), any::<String>());
    (ids, rest, times, numbers, more, lists).prop_map(|(ids, rest, times, n, more, lists)| {
        let base = json!({
            "backup": ids.0, "run": ids.1, "origin": {"repository": ids.2, "backup": ids.3}, "parent": ids.4,
            "content": rest.0, "engine": rest.1, "kind": rest.2, "root": {"id": ids.5, "digest": rest.3},
            "started": times.0, "finished": times.1, "read_in_full": times.2,
            "streams": n[0], "bytes": n[1], "bytes_read": n[2], "bytes_stored": n[3], "program": lists.2,
        });
        let fields = vec![("rows", more.0), ("position", more.1), ("server_version", more.2), ("tags", more.3)];
        with(with(base, fields), vec![("warnings", lists.0), ("revives", lists.1)])
    })
}

/// Bad blocks by their pack, or `null` for all of it.
fn damage() -> impl Strategy<Value = Value> {
    btree_map(id(), option::of(btree_set(any::<u32>(), 0..3)), 0..4).prop_map(|packs| json!(packs))
}

fn damaged() -> impl Strategy<Value = Value> {
    let packs = damage().prop_map(|packs| (packs != json!({})).then_some(packs));
    (packs, list(id()), list(id()), list(id())).prop_map(|(packs, backups, sound, whole)| {
        with(json!({}), vec![("packs", packs), ("backups", backups), ("sound", sound), ("whole", whole)])
    })
}

fn moved() -> impl Strategy<Value = Value> {
    let healed = any::<bool>().prop_map(|healed| healed.then_some(json!(true)));
    let one = (id(), id(), id(), digest(), healed).prop_map(|(backup, was, root, digest, healed)| {
        let base = json!({"backup": backup, "was": was, "root": {"id": root, "digest": digest}});
        with(base, vec![("healed", healed)])
    });
    (id(), vec(one, 0..3), list(id()))
        .prop_map(|(run, moves, revives)| with(json!({"run": run, "moves": moves}), vec![("revives", revives)]))
}

fn action() -> impl Strategy<Value = (&'static str, Value)> {
    prop_oneof![
        manifest().prop_map(|m| ("backup", m)),
        ids().prop_map(|ids| ("forget", json!({"backups": ids}))),
        id().prop_map(|id| ("hold", json!({"backup": id}))),
        id().prop_map(|id| ("release", json!({"backup": id}))),
        (ids(), time(), list(id()))
            .prop_map(|(packs, at, runs)| ("doom", with(json!({"packs": packs, "at": at}), vec![("runs", runs)]))),
        ids().prop_map(|ids| ("sweep", json!({"packs": ids}))),
        (id(), any::<bool>()).prop_map(|(id, good)| ("verified", json!({"backup": id, "good": good}))),
        damaged().prop_map(|damaged| ("damaged", damaged)),
        moved().prop_map(|moved| ("moved", moved)),
    ]
}

/// An entry of the log, with its number.
pub(crate) fn entry() -> impl Strategy<Value = (u64, Value)> {
    let head = (any::<u64>(), id(), option::of(any::<u64>()), digest(), time());
    (head, action(), optional(any::<String>())).prop_map(|((seq, token, after, prev, time), action, signature)| {
        let base = json!({
            "seq": seq, "token": token, "after": after, "prev": prev, "time": time,
            "kind": action.0, "payload": action.1,
        });
        (seq, with(base, vec![("signature", signature)]))
    })
}

/// A checkpoint after entry 256.
pub(crate) fn checkpoint() -> impl Strategy<Value = Value> {
    let backup = (any::<u64>(), manifest(), any::<bool>(), any::<Option<bool>>(), any::<bool>());
    let backup = backup.prop_map(|(seq, manifest, held, verified, damaged)| {
        json!({"seq": seq, "manifest": manifest, "held": held, "verified": verified, "damaged": damaged})
    });
    let maps =
        (btree_map(any::<u64>(), digest(), 0..4), btree_map(any::<u64>(), backup, 0..3), btree_map(id(), time(), 0..4));
    let sets = (sorted_ids(), sorted_ids(), sorted_ids(), sorted_ids());
    (option::of(any::<u64>()), time(), maps, sets, damage()).prop_map(|(after, time, maps, sets, damage)| {
        let named =
            |map: BTreeMap<u64, String>| map.into_iter().map(|(k, v)| (k.to_string(), v)).collect::<BTreeMap<_, _>>();
        let backups: BTreeMap<String, Value> = maps.1.into_iter().map(|(k, v)| (k.to_string(), v)).collect();
        json!({
            "next": 257, "after": after, "digests": named(maps.0), "time": time, "backups": backups,
            "retired_roots": sets.0, "origins": sets.1, "doomed": maps.2, "closed": sets.2, "swept": sets.3,
            "damage": damage, "faults": [],
        })
    })
}

/// An announcement.
pub(crate) fn announcement() -> impl Strategy<Value = Value> {
    (id(), time(), time()).prop_map(|(run, started, seen)| json!({"run": run, "started": started, "seen": seen}))
}

/// The fingerprint of a job's record.
pub(crate) fn fingerprint() -> impl Strategy<Value = Value> {
    (engine(), btree_set(any::<String>(), 0..4))
        .prop_map(|(engine, identities)| json!({"engine": engine, "identities": identities}))
}

fn node_reference() -> impl Strategy<Value = Value> {
    (id(), id(), any::<u32>(), any::<u16>(), any::<u64>(), any::<u64>()).prop_map(|(id, pack, block, slot, chunks, bytes)| {
        json!({"id": id, "pack": pack, "block": block, "slot": slot, "chunks": chunks, "bytes": bytes})
    })
}

fn stream() -> impl Strategy<Value = Value> {
    let cutting = prop_oneof![Just(json!("content")), any::<u32>().prop_map(|page| json!({"pages": page}))];
    let unchanged = any::<bool>().prop_map(|u| u.then_some(json!(true)));
    let phase = prop::sample::select(vec!["before", "data", "after"]);
    let info = (any::<String>(), phase, cutting, any::<Option<u64>>(), tags(), unchanged);
    let end = (any::<u64>(), digest(), optional(any::<u64>()));
    (info, end, any::<u32>(), any::<u8>(), vec(node_reference(), 0..3)).prop_map(|(info, end, chunk, levels, top)| {
        let head = json!({"name": info.0, "phase": info.1, "cutting": info.2, "size_hint": info.3});
        let info = with(head, vec![("attributes", info.4), ("unchanged", info.5)]);
        let end = with(json!({"length": end.0, "digest": end.1}), vec![("rows", end.2)]);
        json!({"info": info, "end": end, "chunk": chunk, "levels": levels, "top": top})
    })
}

/// A root that fits no pack.
pub(crate) fn root() -> impl Strategy<Value = Value> {
    let class = prop::sample::select(vec!["data", "meta"]);
    let pack = (id(), class, any::<u64>(), any::<u32>(), any::<u32>(), any::<u64>(), option::of(node_reference()));
    let pack = pack.prop_map(|(id, class, size, table, start, live, copy)| {
        let base = json!({"id": id, "class": class, "size": size, "table": table, "start": start, "live": live});
        with(base, vec![("table_copy", copy)])
    });
    (id(), id(), vec(stream(), 0..3), vec(pack, 0..3)).prop_map(
        |(run, backup, streams, packs)| json!({"run": run, "backup": backup, "streams": streams, "packs": packs}),
    )
}

/// Numbers as LEB128, one behind the other.
pub(crate) fn leb128(numbers: &[u64]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for mut n in numbers.iter().copied() {
        while n >= 0x80 {
            bytes.push((n % 0x80) as u8 + 0x80);
            n /= 0x80;
        }
        bytes.push(u8::try_from(n).expect("seven bits are left"));
    }
    bytes
}

/// The table of a pack: for each block offset, length, compressed, and its chunks.
pub(crate) fn table() -> impl Strategy<Value = Vec<u8>> {
    let chunks = vec(any::<([u8; 16], u32)>(), 0..6);
    (any::<[u8; 16]>(), vec((any::<u64>(), any::<u32>(), any::<bool>(), chunks), 0..6)).prop_map(|(run, blocks)| {
        let mut bytes = run.to_vec();
        bytes.extend(leb128(&[blocks.len() as u64]));
        for (offset, length, compressed, chunks) in blocks {
            bytes.extend(leb128(&[offset, length.into(), compressed.into(), chunks.len() as u64]));
            for (id, length) in chunks {
                bytes.extend_from_slice(&id);
                bytes.extend(leb128(&[length.into()]));
            }
        }
        bytes
    })
}

/// A member of a node: which pack, and the bytes before and after the pack's number.
#[derive(Debug, Clone)]
struct Member {
    pack: u8,
    before: Vec<u8>,
    after: Vec<u8>,
}

/// A node: the ids of packs in the order in which its members name them first, then the members.
pub(crate) fn node() -> impl Strategy<Value = Vec<u8>> {
    let span = (0..4_u8, any::<u32>(), any::<u16>(), 1..=u16::MAX).prop_map(|(pack, block, slot, count)| Member {
        pack,
        before: Vec::new(),
        after: leb128(&[block.into(), slot.into(), count.into()]),
    });
    let child = (0..4_u8, any::<[u8; 16]>(), any::<u32>(), any::<u16>(), any::<[u64; 2]>());
    let child = child.prop_map(|(pack, id, block, slot, counts)| Member {
        pack,
        before: id.to_vec(),
        after: leb128(&[block.into(), slot.into(), counts[0], counts[1]]),
    });
    prop_oneof![vec(span, 0..40).prop_map(|m| (0, m)), vec(child, 0..40).prop_map(|m| (1, m))].prop_map(
        |(level, members)| {
            let mut packs: Vec<u8> = Vec::new();
            for Member { pack, .. } in &members {
                if !packs.contains(pack) {
                    packs.push(*pack);
                }
            }
            let mut bytes = vec![level];
            bytes.extend(leb128(&[packs.len() as u64]));
            for pack in &packs {
                bytes.extend_from_slice(&[*pack; 16]);
            }
            bytes.extend(leb128(&[members.len() as u64]));
            for Member { pack, before, after } in members {
                let number = packs.iter().position(|p| *p == pack).expect("it was put there");
                bytes.extend([before, leb128(&[number as u64]), after].concat());
            }
            bytes
        },
    )
}

/// A key set, of a host that may read or of one that may not.
pub(crate) fn keys() -> impl Strategy<Value = String> {
    (digest(), digest(), optional(digest()))
        .prop_map(|(id, meta, data)| with(json!({"id": id, "meta": meta}), vec![("data", data)]).to_string())
}

/// The file `kronos.json` of a repository that is not encrypted, and its parameters.
pub(crate) fn header() -> impl Strategy<Value = (Vec<u8>, ChunkerParameters)> {
    let sizes =
        (64..=256_u32, 256..=1024_u32, 1024..=16_u32 << 20, 1..=u64::MAX, 256..=16_u32 << 20, 1024..=1_u32 << 30);
    (any::<[[u8; 32]; 3]>(), id(), time(), sizes).prop_map(|(keys, repository, created, sizes)| {
        let commit = |class: &str, key: &[u8; 32]| {
            hex(&blake3::derive_key(&format!("kronos v1 2026 commitment of the {class} key"), key))
        };
        let mut chunker = ChunkerParameters::default();
        chunker.content = [sizes.0, sizes.1, sizes.2];
        (chunker.max_chunks, chunker.block, chunker.pack) = (sizes.3, sizes.4, sizes.5);
        let text = json!({
            "version": 1, "repository": repository, "created": created, "mode": "plain", "chunker": chunker,
            "keys": json!({"id": hex(&keys[0]), "meta": hex(&keys[1]), "data": hex(&keys[2])}).to_string(),
            "commitments": {"id": commit("id", &keys[0]), "meta": commit("meta", &keys[1]), "data": commit("data", &keys[2])},
        });
        let text = text.to_string();
        let mac_key = blake3::derive_key("kronos v1 2026 header mac", &keys[1]);
        let mac = hex(blake3::keyed_hash(&mac_key, text.as_bytes()).as_bytes());
        let digest = hex(blake3::hash(text.as_bytes()).as_bytes());
        let file = json!({"format": "kronos", "version": 1, "header": text, "digest": digest, "mac": mac});
        (file.to_string().into_bytes(), chunker)
    })
}

/// What a job's directory is called.
pub(crate) fn encoded_job(name: &str) -> String {
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'_';
    name.bytes().map(|b| if plain(b) { char::from(b).to_string() } else { format!("%{b:02X}") }).collect()
}
