//! Sealing: every object has a salt and a key of its own, derived from a class key; everything
//! in it is authenticated together with where it belongs.

use ring::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};

use crate::error::{Error, Result};
use crate::id::Id;
use crate::run::RunContext;
use crate::storage::Key;

/// The bytes that sealing adds to a text.
pub(crate) const TAG: usize = 16;
/// Magic, kind and salt.
pub(crate) const HEADER: usize = 4 + 1 + 32;
const MAGIC: &[u8; 4] = b"KRN1";
/// No record is ever this large; a size that claims more is refused before memory is taken.
const MAX_RECORD: usize = 256 << 20;

/// What an object is; part of what is authenticated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum ObjectKind {
    Job = 1,
    Entry = 2,
    Checkpoint = 3,
    Run = 4,
    Root = 5,
    MetaPack = 6,
    DataPack = 7,
    Probe = 8,
}

/// Where an object belongs: sealed under one place, it cannot be opened under another.
#[derive(Debug, Clone)]
pub(crate) struct Place {
    /// For data packs the family of the repository: the same pack lies in several of them.
    pub repository: Id,
    /// Zero for data packs, and for the job object itself, whose content tells the job's id.
    pub job: Id,
    pub kind: ObjectKind,
    pub key: Key,
}

/// The key of one object.
pub(crate) struct ObjectKey {
    key: LessSafeKey,
    place: Vec<u8>,
    name: Key,
}

impl std::fmt::Debug for ObjectKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ObjectKey").field("object", &self.name).finish_non_exhaustive()
    }
}

impl ObjectKey {
    /// Derives the key of the object at `place` with this salt.
    pub(crate) fn derive(class_key: &[u8; 32], salt: &[u8; 32], place: &Place) -> Self {
        let mut hasher = blake3::Hasher::new_keyed(class_key);
        hasher.update(b"kronos v1 object").update(&[place.kind as u8]).update(salt);
        Self::from_raw(hasher.finalize().as_bytes(), place)
    }

    /// Takes a key that was not derived: that of a data pack wrapped to recipients.
    pub(crate) fn from_raw(key: &[u8; 32], place: &Place) -> Self {
        let unbound = UnboundKey::new(&AES_256_GCM, key).expect("a key of 32 bytes fits AES-256");
        let name = place.key.as_str().as_bytes();
        let mut bound = Vec::with_capacity(33 + name.len());
        bound.extend_from_slice(&place.repository.0);
        bound.extend_from_slice(&place.job.0);
        bound.push(place.kind as u8);
        bound.extend_from_slice(name);
        Self { key: LessSafeKey::new(unbound), place: bound, name: place.key.clone() }
    }

    /// Seals `text` in place under `number`, which must be used once only for each object.
    pub(crate) fn seal(&self, number: u64, text: &mut Vec<u8>) {
        self.key
            .seal_in_place_append_tag(nonce(number), Aad::from(self.bound(number)), text)
            .expect("a text of this size can be sealed");
    }

    /// Opens what was sealed under `number`.
    pub(crate) fn open(&self, number: u64, mut sealed: Vec<u8>) -> Result<Vec<u8>> {
        let length = match self.key.open_in_place(nonce(number), Aad::from(self.bound(number)), &mut sealed) {
            Ok(text) => text.len(),
            Err(_) => return Err(Error::corrupt("the object does not authenticate").with("object", &self.name)),
        };
        sealed.truncate(length);
        Ok(sealed)
    }

    fn bound(&self, number: u64) -> Vec<u8> {
        let mut bound = self.place.clone();
        bound.extend_from_slice(&number.to_be_bytes());
        bound
    }
}

fn nonce(number: u64) -> Nonce {
    let mut bytes = [0; 12];
    bytes[4..].copy_from_slice(&number.to_be_bytes());
    Nonce::assume_unique_for_key(bytes)
}

/// The first bytes of an object.
pub(crate) fn header(kind: ObjectKind, salt: &[u8; 32]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(HEADER);
    bytes.extend_from_slice(MAGIC);
    bytes.push(kind as u8);
    bytes.extend_from_slice(salt);
    bytes
}

/// Takes the salt out of an object's first bytes.
pub(crate) fn read_header(bytes: &[u8], place: &Place) -> Result<[u8; 32]> {
    let bad = |message: &str| Error::corrupt(message).with("object", &place.key);
    let header = bytes.get(..HEADER).ok_or_else(|| bad("the object is cut short"))?;
    if &header[..4] != MAGIC {
        return Err(bad("the object is not one of Kronos, or its first bytes are damaged"));
    }
    if header[4] != place.kind as u8 {
        return Err(bad("the object is of another kind than its name says"));
    }
    Ok(header[5..].try_into().expect("the slice has 32 bytes"))
}

/// Seals a whole small object: compressed, under one number.
pub(crate) fn seal_record(class_key: &[u8; 32], place: &Place, text: &[u8], run: &RunContext) -> Result<Vec<u8>> {
    if text.len() > MAX_RECORD {
        return Err(Error::internal("a record is larger than any reader takes").with("object", &place.key));
    }
    let salt = run.random::<32>();
    let mut body =
        u32::try_from(text.len()).map_err(|_| Error::internal("a record is larger than 4 GiB"))?.to_le_bytes().to_vec();
    body.extend(zstd::bulk::compress(text, 3).map_err(|e| Error::internal("compression failed").with_source(e))?);
    ObjectKey::derive(class_key, &salt, place).seal(0, &mut body);
    let mut object = header(place.kind, &salt);
    object.extend_from_slice(&body);
    Ok(object)
}

/// Opens a whole small object.
pub(crate) fn open_record(class_key: &[u8; 32], place: &Place, object: &[u8]) -> Result<Vec<u8>> {
    let salt = read_header(object, place)?;
    let text = ObjectKey::derive(class_key, &salt, place).open(0, object[HEADER..].to_vec())?;
    let bad = || Error::corrupt("the record is malformed").with("object", &place.key);
    let (length, compressed) = text.split_first_chunk::<4>().ok_or_else(bad)?;
    decompress(compressed, u32::from_le_bytes(*length) as usize, Vec::new()).ok_or_else(bad)
}

/// Decompresses to exactly `length` bytes, into memory that may have room for them.
pub(crate) fn decompress(compressed: &[u8], length: usize, mut room: Vec<u8>) -> Option<Vec<u8>> {
    // Nothing is taken for what the frame itself does not claim.
    if length > MAX_RECORD || zstd::bulk::Decompressor::upper_bound(compressed).is_some_and(|most| most < length) {
        return None;
    }
    room.clear();
    room.reserve_exact(length);
    let mut decompressor = zstd::bulk::Decompressor::new().ok()?;
    decompressor.decompress_to_buffer(compressed, &mut room).ok().filter(|found| *found == length)?;
    Some(room)
}
