//! The names of objects: the one place that knows where things lie.

use percent_encoding::{percent_decode_str, percent_encode_byte};

use crate::error::{Error, ErrorKind, Result};
use crate::id::Id;
use crate::storage::Key;

pub(crate) const HEADER: &str = "kronos.json";
pub(crate) const KEYS: &str = "keys";
pub(crate) const JOBS: &str = "jobs";
pub(crate) const PROBE: &str = "probe";

fn key(name: String) -> Key {
    Key::new(name).expect("names made here are valid keys")
}

pub(crate) fn header() -> Key {
    key(HEADER.to_owned())
}

pub(crate) fn header_copy(repository: Id) -> Key {
    key(format!("{KEYS}/{repository}.json"))
}

pub(crate) fn wrapped_keys(id: Id) -> [Key; 2] {
    [key(format!("{KEYS}/{id}.age")), key(format!("{KEYS}/{id}.copy.age"))]
}

pub(crate) fn keys_prefix() -> Key {
    key(KEYS.to_owned())
}

/// Where a probe of the storage has its throw-away objects.
pub(crate) fn probe_place(id: Id) -> Key {
    key(format!("{PROBE}/{id}"))
}

/// What was found out of the storage of this name.
pub(crate) fn probe_record(storage: &str) -> Key {
    let digest = blake3::hash(storage.as_bytes()).to_hex();
    key(format!("{PROBE}/{}.json", &digest[..32]))
}

/// Whether an object belongs to a probe.
pub(crate) fn is_of_probe(key: &Key) -> bool {
    key.as_str().split('/').next() == Some(PROBE)
}

pub(crate) fn jobs_prefix() -> Key {
    key(JOBS.to_owned())
}

/// A name that comes after all those of a job, and before those of the next one.
pub(crate) fn after_job(encoded: &str) -> Key {
    key(format!("{JOBS}/{encoded}/zzzz"))
}

/// Checks a job's name and encodes it: lower-case letters, digits, `-` and `_` stay, everything else
/// becomes `%XX`; capitals as well, so that two jobs never meet on a file system that ignores case.
pub(crate) fn encode_job(name: &str) -> Result<String> {
    let bad = |message: &str| Error::new(ErrorKind::Config, message).with("job", name);
    if name.trim().is_empty() || name.chars().any(char::is_control) {
        return Err(bad("a job's name must have a visible character and no control characters"));
    }
    let mut encoded = String::new();
    for byte in name.bytes() {
        if byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'-' | b'_') {
            encoded.push(char::from(byte));
        } else {
            encoded.push_str(percent_encode_byte(byte));
        }
    }
    if encoded.len() > Key::MAX_PART {
        return Err(bad("the job's name is too long"));
    }
    Ok(encoded)
}

/// The name a job's directory stands for, if it stands for one.
pub(crate) fn decode_job(encoded: &str) -> Option<String> {
    let name = percent_decode_str(encoded).decode_utf8().ok()?.into_owned();
    (encode_job(&name).ok()? == encoded).then_some(name)
}

/// The names within one job.
#[derive(Debug, Clone)]
pub(crate) struct JobLayout {
    prefix: String,
}

impl JobLayout {
    pub(crate) fn new(job: &str) -> Result<Self> {
        Ok(Self { prefix: format!("{JOBS}/{}", encode_job(job)?) })
    }

    pub(crate) fn job(&self) -> Key {
        self.below("job")
    }

    pub(crate) fn job_copy(&self) -> Key {
        self.below("job.copy")
    }

    pub(crate) fn entry(&self, seq: u64) -> Key {
        self.below(&format!("log/{seq:020}"))
    }

    pub(crate) fn log(&self) -> Key {
        self.below("log")
    }

    pub(crate) fn checkpoint(&self, seq: u64) -> Key {
        self.below(&format!("checkpoint/{seq:020}"))
    }

    pub(crate) fn checkpoints(&self) -> Key {
        self.below("checkpoint")
    }

    pub(crate) fn run(&self, id: Id) -> Key {
        self.below(&format!("runs/{id}"))
    }

    pub(crate) fn runs(&self) -> Key {
        self.below("runs")
    }

    pub(crate) fn meta(&self, id: Id) -> Key {
        self.below(&format!("meta/{id}"))
    }

    pub(crate) fn metas(&self) -> Key {
        self.below("meta")
    }

    pub(crate) fn root(&self, id: Id) -> Key {
        self.below(&format!("roots/{id}"))
    }

    pub(crate) fn roots(&self) -> Key {
        self.below("roots")
    }

    pub(crate) fn pack(&self, id: Id) -> Key {
        let id = id.to_string();
        self.below(&format!("packs/{}/{id}", &id[..2]))
    }

    pub(crate) fn packs(&self) -> Key {
        self.below("packs")
    }

    fn below(&self, name: &str) -> Key {
        key(format!("{}/{name}", self.prefix))
    }
}

/// The number or id that a key ends in.
pub(crate) fn sequence_of(key: &Key) -> Option<u64> {
    let name = key.file_name();
    (name.len() == 20).then(|| name.parse().ok()).flatten()
}

/// The id that a key ends in.
pub(crate) fn id_of(key: &Key) -> Option<Id> {
    key.file_name().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_job_name_goes_there_and_back_without_capitals() {
        for name in ["shop", "Shop", "a b", "a/b", "..", ".", "Zürich 🕰", "100%", "a%20b", "CON"] {
            let encoded = encode_job(name).unwrap();
            assert!(Key::new(&encoded).is_ok(), "{encoded}");
            assert_eq!(decode_job(&encoded).as_deref(), Some(name));
        }
        assert_eq!(encode_job("Shop").unwrap(), "%53hop");
        assert!(encode_job("").is_err() && encode_job("a\nb").is_err() && encode_job(&"x".repeat(241)).is_err());
        assert_eq!(decode_job("Shop"), None);
    }
}
