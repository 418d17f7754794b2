//! What people are told of, and how grave it is.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use kronos_core::{Error, ErrorKind, nearest};
use serde::{Deserialize, Serialize};

/// Something that people may want to hear of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Occasion {
    /// A run failed.
    Failure,
    /// A run went well again after one that failed.
    Recovered,
    /// A run that the schedule wanted did not take place.
    Missed,
    /// A backup was verified.
    Verified,
    /// A storage does not have the newest backups.
    StorageDown,
    /// A storage that was down has backups again.
    StorageRecovered,
    /// Changes between two points in time were not captured: no restore can reach them.
    CaptureGap,
    /// A run went well, but something should be looked at.
    Warning,
    /// A run went well.
    Success,
}

impl Occasion {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::Failure,
        Self::Recovered,
        Self::Missed,
        Self::Verified,
        Self::StorageDown,
        Self::StorageRecovered,
        Self::CaptureGap,
        Self::Warning,
        Self::Success,
    ];

    /// Its name in the configuration and in JSON.
    pub fn name(self) -> &'static str {
        match self {
            Self::Failure => "failure",
            Self::Recovered => "recovered",
            Self::Missed => "missed",
            Self::Verified => "verified",
            Self::StorageDown => "storage-down",
            Self::StorageRecovered => "storage-recovered",
            Self::CaptureGap => "capture-gap",
            Self::Warning => "warning",
            Self::Success => "success",
        }
    }

    /// What a channel is told when nothing else is said: all but `verified` and `success`.
    pub fn usual() -> BTreeSet<Self> {
        Self::ALL.into_iter().filter(|occasion| !matches!(occasion, Self::Verified | Self::Success)).collect()
    }

    /// The trouble that this one is the end of.
    pub(super) fn ends(self) -> Option<Self> {
        match self {
            Self::Recovered => Some(Self::Failure),
            Self::StorageRecovered => Some(Self::StorageDown),
            _ => None,
        }
    }
}

impl fmt::Display for Occasion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Occasion {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        by_name(text, "there is no such occasion", Self::ALL.map(|occasion| (occasion.name(), occasion)))
    }
}

/// How grave something is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Severity {
    /// All is well: success, verified, recovered.
    Info,
    /// Backups are made, but not as they should be: a warning, a storage that is down.
    Warning,
    /// There is no new backup, or a restore failed.
    Error,
    /// Backups that were thought to be good may not be: damage, a failed verification, a gap.
    Critical,
}

impl Severity {
    const ALL: [Self; 4] = [Self::Info, Self::Warning, Self::Error, Self::Critical];

    /// Its name in the configuration and in JSON.
    pub fn name(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Warning => "warning",
            Self::Error => "error",
            Self::Critical => "critical",
        }
    }
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Severity {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        by_name(text, "there is no such severity", Self::ALL.map(|severity| (severity.name(), severity)))
    }
}

fn by_name<T: Copy, const N: usize>(text: &str, message: &str, all: [(&'static str, T); N]) -> Result<T, Error> {
    if let Some((_, found)) = all.iter().find(|(name, _)| *name == text) {
        return Ok(*found);
    }
    let names = all.map(|(name, _)| name);
    let error = Error::new(ErrorKind::Config, message).with("value", text);
    Err(match nearest(text, names) {
        Some(near) => error.with("did you mean", near),
        None => error.with("known", names.join(" ")),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_go_there_and_back() {
        for occasion in Occasion::ALL {
            assert_eq!(occasion.name().parse::<Occasion>().unwrap(), occasion);
            assert_eq!(serde_json::to_value(occasion).unwrap(), occasion.name());
        }
        for severity in Severity::ALL {
            assert_eq!(severity.name().parse::<Severity>().unwrap(), severity);
            assert_eq!(serde_json::to_value(severity).unwrap(), severity.name());
        }
        let error = "storage_down".parse::<Occasion>().unwrap_err();
        assert_eq!(error.context("did you mean"), Some("storage-down"));
        assert!("xyz".parse::<Severity>().unwrap_err().context("known").is_some());
    }
}
