//! One line of the audit log: its text, and what ties it to the line before.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use kronos_core::{Digest, Error, ErrorKind, Id, Result, Timestamp};
use serde::{Deserialize, Serialize};

/// Who did something, as the border knows it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Who {
    /// The account of the operating system.
    pub user: Option<String>,
    /// The machine.
    pub host: Option<String>,
    /// The process.
    pub pid: u32,
}

/// A line of the log, as it is read.
///
/// Names of actions and outcomes are texts here: a log may have been written by a newer version.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// Its number; the first is 1.
    pub seq: u64,
    /// When it was written.
    pub time: Timestamp,
    /// Who did it.
    pub who: Who,
    /// What was done, such as `restore`.
    pub action: String,
    /// What it was done to: a job, a storage, a key.
    pub subject: String,
    /// The run, where it was one.
    pub run: Option<Id>,
    /// How it ended, such as `succeeded`.
    pub outcome: String,
    /// What else is known.
    pub details: BTreeMap<String, String>,
    /// The hash of the entry before; zeros before the first.
    pub prev: Digest,
    /// The BLAKE3 digest of this entry's line without this field.
    #[serde(skip_deserializing, default = "none")]
    pub hash: Digest,
}

/// A place in the log: an entry's number and hash. Written `12:3f…`.
///
/// Kept elsewhere, it proves later that the log up to there is still the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Mark {
    /// The entry's number.
    pub seq: u64,
    /// Its hash.
    pub hash: Digest,
}

impl Mark {
    /// Before the first entry.
    pub(super) const START: Self = Self { seq: 0, hash: Digest([0; 32]) };
}

impl fmt::Display for Mark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.seq, self.hash)
    }
}

impl FromStr for Mark {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let mark = text.split_once(':').and_then(|(seq, hash)| Some((seq.parse().ok()?, hash.parse().ok()?)));
        let (seq, hash) = mark.ok_or_else(|| {
            let error = Error::new(ErrorKind::Config, "not a place in the audit log").with("text", text);
            error.with("hint", "it is a number, a colon and 64 hexadecimal digits, as `kronos audit verify` shows it")
        })?;
        Ok(Self { seq, hash })
    }
}

fn none() -> Digest {
    Digest([0; 32])
}

const SEAL: &str = ",\"hash\":\"";
/// The seal's name, 64 digits, and the end of the object.
const SEAL_LENGTH: usize = SEAL.len() + 64 + 2;

/// A record as a line that ends with the digest of all before it. The bytes themselves are hashed,
/// so that nobody has to agree on one way to write JSON.
pub(super) fn sealed(record: &impl Serialize) -> Result<(String, Digest)> {
    let mut text = serde_json::to_string(record)
        .map_err(|e| Error::new(ErrorKind::Internal, "an audit record could not be written as JSON").with_source(e))?;
    let hash = Digest::of(text.as_bytes());
    text.pop();
    text.push_str(SEAL);
    text.push_str(&hash.to_string());
    text.push_str("\"}\n");
    Ok((text, hash))
}

/// The record of a line without its newline, and its digest; `None` unless every byte is as it was
/// written.
pub(super) fn unsealed<T: serde::de::DeserializeOwned>(line: &[u8]) -> Option<(T, Digest)> {
    let (body, seal) = line.split_at(line.len().checked_sub(SEAL_LENGTH)?);
    let mut bytes = body.to_vec();
    bytes.push(b'}');
    let hash = Digest::of(&bytes);
    if seal != format!("{SEAL}{hash}\"}}").as_bytes() {
        return None;
    }
    Some((serde_json::from_slice(&bytes).ok()?, hash))
}

/// The entry of a line without its newline.
pub(super) fn parse(line: &[u8]) -> Option<Entry> {
    let (mut entry, hash) = unsealed::<Entry>(line)?;
    entry.hash = hash;
    Some(entry)
}
