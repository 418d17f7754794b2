//! The key set of a repository: three class keys, and how they are kept.

use std::fmt;
use std::io::{Read, Write};

use age::secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use zeroize::Zeroize;

use crate::error::{Error, ErrorKind, Result};
use crate::id::{Digest, Id};
use crate::run::RunContext;
use crate::secret::Secret;

/// The work factor of passphrases: scrypt with N = 2^16, r = 8, p = 1, about 0.2 s and 64 MiB.
const WORK_FACTOR: u8 = 16;

/// What opens a repository.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub enum Credentials {
    /// Nothing: the repository is not encrypted.
    #[default]
    None,
    /// A passphrase.
    Passphrase(Secret),
    /// age identities (`AGE-SECRET-KEY-1…`), any of which may fit.
    Identities(Vec<Secret>),
    /// What [`Repository::writer_key`](crate::Repository::writer_key) gave: enough to back up
    /// into a repository with recipients only, not to read its data.
    WriterKey(Secret),
}

/// How a new repository is protected.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub enum Protection {
    /// Not encrypted: the keys lie in the repository.
    #[default]
    None,
    /// Keys wrapped with a passphrase.
    Passphrase(Secret),
    /// Keys wrapped to age recipients (`age1…`); the data itself can be read by them only.
    Recipients(Vec<String>),
}

/// The class keys. `data` is absent for a host that may write but not read.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct KeySet {
    pub id: Class,
    pub meta: Class,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data: Option<Class>,
}

/// One class key.
#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct Class(Digest);

impl Class {
    pub(crate) fn bytes(&self) -> &[u8; 32] {
        &self.0.0
    }
}

/// What a key set is recognised by without giving it away.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Commitments {
    pub id: Digest,
    pub meta: Digest,
    pub data: Digest,
}

impl fmt::Debug for KeySet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeySet").field("reads_data", &self.data.is_some()).finish_non_exhaustive()
    }
}

impl KeySet {
    pub(crate) fn generate(run: &RunContext) -> Self {
        let class = || Class(Digest(run.random()));
        Self { id: class(), meta: class(), data: Some(class()) }
    }

    /// The digest of each class key under a name of its own.
    pub(crate) fn commitments(&self) -> Result<Commitments> {
        let data = self.data.ok_or_else(|| Error::internal("a writer's key set has no commitments"))?;
        Ok(Commitments { id: commit("id", self.id), meta: commit("meta", self.meta), data: commit("data", data) })
    }

    /// Whether these are the keys of the repository with those commitments.
    pub(crate) fn matches(&self, commitments: &Commitments) -> bool {
        commit("id", self.id) == commitments.id
            && commit("meta", self.meta) == commitments.meta
            && self.data.is_none_or(|data| commit("data", data) == commitments.data)
    }

    /// The key for chunk ids and node ids.
    pub(crate) fn id_key(&self, what: &str) -> [u8; 32] {
        let mut hasher = blake3::Hasher::new_keyed(self.id.bytes());
        hasher.update(b"kronos v1 ").update(what.as_bytes());
        *hasher.finalize().as_bytes()
    }

    /// A digest of some bytes that only a holder of the meta key can make.
    pub(crate) fn mac(&self, bytes: &[u8]) -> Digest {
        let key = blake3::derive_key("kronos v1 2026 header mac", self.meta.bytes());
        Digest(*blake3::keyed_hash(&key, bytes).as_bytes())
    }

    /// What a host needs to write and deduplicate, but not to read data.
    pub(crate) fn writer(&self) -> Self {
        Self { data: None, ..self.clone() }
    }

    pub(crate) fn to_json(&self) -> Secret {
        Secret::new(serde_json::to_string(self).expect("three strings can be written as JSON"))
    }

    pub(crate) fn from_json(json: &str) -> Result<Self> {
        serde_json::from_str(json).map_err(|_| Error::new(ErrorKind::Authentication, "the text is not a key set"))
    }
}

fn commit(class: &str, key: Class) -> Digest {
    let context = format!("kronos v1 2026 commitment of the {class} key");
    Digest(blake3::derive_key(&context, key.bytes()))
}

/// The name of a wrapped key set: a mark of the set and eight random bytes.
pub(crate) fn new_key_id(commitments: &Commitments, run: &RunContext) -> Id {
    let mut id = run.random::<16>();
    id[..8].copy_from_slice(&mark(commitments));
    Id(id)
}

/// Whether a file of this name wraps the key set with these commitments, and not that of a
/// repository whose making was interrupted.
pub(crate) fn is_key_of(id: Id, commitments: &Commitments) -> bool {
    id.0[..8] == mark(commitments)
}

/// What all repositories with this key set have in common.
pub(crate) fn family(commitments: &Commitments) -> Id {
    Id(derived("kronos v1 2026 family of repositories", commitments))
}

fn mark(commitments: &Commitments) -> [u8; 8] {
    derived("kronos v1 2026 mark of a key set", commitments)
}

fn derived<const N: usize>(context: &str, commitments: &Commitments) -> [u8; N] {
    let mut hasher = blake3::Hasher::new_derive_key(context);
    hasher.update(&commitments.id.0).update(&commitments.meta.0).update(&commitments.data.0);
    *hasher.finalize().as_bytes().first_chunk().expect("a digest has 32 bytes")
}

/// Wraps the key set into an age file.
pub(crate) fn wrap(keys: &KeySet, protection: &Protection) -> Result<Vec<u8>> {
    let text = keys.to_json();
    match protection {
        Protection::None => Err(Error::internal("an unprotected key set is not wrapped")),
        Protection::Passphrase(passphrase) => {
            let mut recipient = age::scrypt::Recipient::new(SecretString::from(passphrase.expose().to_owned()));
            recipient.set_work_factor(WORK_FACTOR);
            encrypt(std::iter::once(&recipient as &dyn age::Recipient), text.expose().as_bytes())
        }
        Protection::Recipients(recipients) => {
            let parsed = parse_recipients(recipients)?;
            encrypt(parsed.iter().map(|r| r as &dyn age::Recipient), text.expose().as_bytes())
        }
    }
}

/// Opens an age file with these credentials, or `None` when they do not fit it.
pub(crate) fn unwrap(file: &[u8], credentials: &Credentials) -> Result<Option<KeySet>> {
    let plain = match credentials {
        Credentials::None | Credentials::WriterKey(_) => None,
        Credentials::Passphrase(passphrase) => {
            let mut identity = age::scrypt::Identity::new(SecretString::from(passphrase.expose().to_owned()));
            identity.set_max_work_factor(WORK_FACTOR + 4);
            decrypt(file, std::iter::once(&identity as &dyn age::Identity))
        }
        Credentials::Identities(identities) => {
            let parsed = parse_identities(identities)?;
            decrypt(file, parsed.iter().map(|i| i as &dyn age::Identity))
        }
    };
    plain
        .map(|mut plain| {
            let keys = KeySet::from_json(std::str::from_utf8(&plain).unwrap_or_default());
            plain.zeroize();
            keys
        })
        .transpose()
}

/// Makes a random key for one data pack and wraps it to the recipients.
pub(crate) fn wrap_pack_key(recipients: &[String], key: &[u8; 32]) -> Result<Vec<u8>> {
    let parsed = parse_recipients(recipients)?;
    encrypt(parsed.iter().map(|r| r as &dyn age::Recipient), key)
}

/// Opens the key of one data pack.
pub(crate) fn unwrap_pack_key(file: &[u8], identities: &[Secret]) -> Result<Option<[u8; 32]>> {
    let parsed = parse_identities(identities)?;
    Ok(decrypt(file, parsed.iter().map(|i| i as &dyn age::Identity)).and_then(|key| key.try_into().ok()))
}

pub(crate) fn parse_recipients(recipients: &[String]) -> Result<Vec<age::x25519::Recipient>> {
    if recipients.is_empty() {
        return Err(Error::new(ErrorKind::Config, "no recipient was given"));
    }
    let parse = |r: &String| {
        r.trim().parse().map_err(|_| Error::new(ErrorKind::Config, "not an age recipient").with("recipient", r))
    };
    recipients.iter().map(parse).collect()
}

fn parse_identities(identities: &[Secret]) -> Result<Vec<age::x25519::Identity>> {
    let parse =
        |i: &Secret| i.expose().trim().parse().map_err(|_| Error::new(ErrorKind::Config, "not an age identity"));
    identities.iter().map(parse).collect()
}

/// Makes a new age identity and its recipient.
pub fn generate_identity() -> (Secret, String) {
    let identity = age::x25519::Identity::generate();
    (Secret::new(identity.to_string().expose_secret()), identity.to_public().to_string())
}

fn encrypt<'a>(recipients: impl Iterator<Item = &'a dyn age::Recipient>, plain: &[u8]) -> Result<Vec<u8>> {
    let failed = |e: &dyn fmt::Display| Error::internal(format!("wrapping a key failed: {e}"));
    let encryptor = age::Encryptor::with_recipients(recipients).map_err(|e| failed(&e))?;
    let mut file = Vec::new();
    let mut writer = encryptor.wrap_output(&mut file).map_err(|e| failed(&e))?;
    writer.write_all(plain).map_err(|e| failed(&e))?;
    writer.finish().map_err(|e| failed(&e))?;
    Ok(file)
}

fn decrypt<'a>(file: &[u8], identities: impl Iterator<Item = &'a dyn age::Identity>) -> Option<Vec<u8>> {
    let decryptor = age::Decryptor::new_buffered(file).ok()?;
    let mut plain = Vec::new();
    decryptor.decrypt(identities).ok()?.take(64 << 10).read_to_end(&mut plain).ok()?;
    Some(plain)
}
