//! `kronos.json`: what a repository is, in the clear, guarded by a digest and a keyed one.

use serde::{Deserialize, Serialize};

use crate::error::{Error, ErrorKind, Result};
use crate::id::{Digest, Id};
use crate::repository::keys::{Commitments, KeySet};
use crate::stream::Cutting;
use crate::time::Timestamp;

/// The format that this version writes, and the newest it reads.
pub(crate) const VERSION: u32 = 1;

/// Who can open a repository.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// Anyone: the keys lie in the header.
    Plain,
    /// Holders of a passphrase or an identity.
    Encrypted,
    /// Data can be read by the recipients only; a writer key is enough to back up.
    Recipients,
}

/// How streams are cut and gathered. Fixed at init; every storage of a job has the same.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ChunkerParameters {
    /// Smallest, average and largest chunk of a content-cut stream, in bytes.
    pub content: [u32; 3],
    /// The largest number of chunks of one stream before its pages are taken together.
    pub max_chunks: u64,
    /// Bytes of new chunks in a block.
    pub block: u32,
    /// Bytes of a pack.
    pub pack: u32,
}

impl Default for ChunkerParameters {
    fn default() -> Self {
        Self { content: [4 << 10, 16 << 10, 64 << 10], max_chunks: 4 << 20, block: 256 << 10, pack: 32 << 20 }
    }
}

impl ChunkerParameters {
    /// Tiny chunks, blocks and packs, so that a test of a few kilobytes has many of each.
    #[cfg(feature = "testing")]
    pub fn tiny() -> Self {
        Self { content: [64, 256, 1024], max_chunks: 1 << 20, block: 512, pack: 2 << 10 }
    }

    /// Bytes of new chunks in a block of a stream. Of pages, some are read again later and others
    /// are not, so their blocks are small; what the content cuts compresses better in larger ones.
    pub(crate) fn block_of(&self, cutting: Cutting) -> u32 {
        match cutting {
            Cutting::Pages(_) => self.block,
            Cutting::Content => self.block.saturating_mul(2),
        }
    }

    pub(crate) fn check(&self) -> Result<()> {
        let [min, avg, max] = self.content;
        let good = (64..=1 << 20).contains(&min)
            && (256..=4 << 20).contains(&avg)
            && (1024..=16 << 20).contains(&max)
            && min <= avg
            && avg <= max
            && (256..=16 << 20).contains(&self.block)
            && (1024..=1 << 30).contains(&self.pack)
            && self.max_chunks > 0;
        if good { Ok(()) } else { Err(Error::corrupt("the chunker's parameters are out of range")) }
    }
}

/// What the header says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Header {
    pub version: u32,
    pub repository: Id,
    pub created: Timestamp,
    pub mode: Mode,
    /// Only in mode plain: the keys themselves, as JSON.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keys: Option<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub recipients: Vec<String>,
    pub commitments: Commitments,
    pub chunker: ChunkerParameters,
}

#[derive(Serialize, Deserialize)]
struct File {
    format: String,
    /// The version again, so that a newer file is recognised whatever else has changed in it.
    version: u32,
    /// The header as a string of JSON, so that its exact bytes are what is digested.
    header: String,
    digest: Digest,
    mac: Digest,
}

impl Header {
    pub(crate) fn encode(&self, keys: &KeySet) -> Vec<u8> {
        let header = serde_json::to_string(self).expect("a header can be written as JSON");
        let digest = Digest::of(header.as_bytes());
        let mac = keys.mac(header.as_bytes());
        let file = File { format: "kronos".to_owned(), version: VERSION, header, digest, mac };
        let mut bytes = serde_json::to_vec_pretty(&file).expect("a header can be written as JSON");
        bytes.push(b'\n');
        bytes
    }

    /// Reads the file; gives the header and what is needed to check it against the keys.
    pub(crate) fn decode(bytes: &[u8]) -> Result<(Self, HeaderProof)> {
        let bad = |message: &str| Error::corrupt(message).with("object", super::layout::HEADER);
        let value: serde_json::Value =
            serde_json::from_slice(bytes).map_err(|e| bad("the repository's header is not JSON").with_source(e))?;
        let version = value.get("version").and_then(serde_json::Value::as_u64);
        if value.get("format").and_then(|f| f.as_str()) != Some("kronos") {
            return Err(bad("the file is not the header of a Kronos repository"));
        }
        if version.is_some_and(|v| v > u64::from(VERSION)) {
            return Err(Error::new(ErrorKind::Unsupported, "the repository was made by a newer version of Kronos")
                .with("format version", version.unwrap_or_default())
                .with("newest known", VERSION));
        }
        let file: File = serde_json::from_value(value).map_err(|e| bad("the header is damaged").with_source(e))?;
        if Digest::of(file.header.as_bytes()) != file.digest {
            return Err(bad("the header is damaged: its digest is another"));
        }
        let header: Self =
            serde_json::from_str(&file.header).map_err(|e| bad("the header is damaged").with_source(e))?;
        if header.version != file.version || file.version == 0 {
            return Err(bad("the header is damaged: its version is another"));
        }
        header.chunker.check()?;
        Ok((header, HeaderProof { text: file.header, mac: file.mac }))
    }
}

/// What shows, once the keys are known, that nobody changed the header who has not got them.
#[derive(Debug)]
pub(crate) struct HeaderProof {
    text: String,
    mac: Digest,
}

impl HeaderProof {
    pub(crate) fn check(&self, keys: &KeySet) -> Result<()> {
        if keys.mac(self.text.as_bytes()) == self.mac {
            Ok(())
        } else {
            Err(Error::corrupt("the header was changed by someone without the key")
                .with("object", super::layout::HEADER))
        }
    }
}
