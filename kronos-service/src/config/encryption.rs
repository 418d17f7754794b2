//! `[encryption]`: the keys of repositories.

use std::path::PathBuf;

use kronos_core::Result;

use super::section::{Keys, Section};

pub(super) const KEYS: Keys = Keys {
    known: &["passphrase_file", "passphrase_env", "recipients", "identity_file"],
    later: &["passphrase_command"],
};

/// How new repositories are encrypted and existing ones opened.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Encryption {
    /// The file with the passphrase.
    pub passphrase_file: Option<PathBuf>,
    /// The variable with the passphrase.
    pub passphrase_env: Option<String>,
    /// Public keys (`age1…`) that can open a new repository.
    pub recipients: Vec<String>,
    /// The file with the private key.
    pub identity_file: Option<PathBuf>,
}

impl Encryption {
    pub(super) fn from_section(section: &Section<'_>) -> Result<Self> {
        let encryption = Self {
            passphrase_file: section.text("passphrase_file")?.map(PathBuf::from),
            passphrase_env: section.text("passphrase_env")?,
            recipients: section.texts("recipients")?.unwrap_or_default(),
            identity_file: section.text("identity_file")?.map(PathBuf::from),
        };
        if encryption == Self::default() {
            // Nobody who writes this section means to go without.
            return Err(section.wrong("no key is named here, so nothing would be encrypted"));
        }
        if let (Some(entry), Some(_)) = (section.find("passphrase_env"), &encryption.passphrase_file) {
            return Err(section.at(entry, "a passphrase may come from one place only"));
        }
        Ok(encryption)
    }
}
