//! `[encryption]`: the keys of repositories.

use std::path::PathBuf;

use super::schema::{Key, Kind, Table};
use super::secrets::SecretFrom;
use super::section::Section;

pub(super) static TABLE: Table = Table::new(
    "How new repositories are encrypted and existing ones opened. Without this section they are not encrypted.",
    &[
        Key::new("passphrase", Kind::Secret, "The passphrase.").example("\"/etc/kronos/passphrase\""),
        Key::new("recipients", Kind::Texts, "Public keys that can read a new repository, instead of a passphrase.")
            .example("[\"age1…\"]"),
        Key::new("identity_file", Kind::Text, "File with the private keys that open a repository for recipients.")
            .example("\"/etc/kronos/identity\""),
        Key::new(
            "writer_key_file",
            Kind::Text,
            "File with the key that backs up into a repository for recipients, and cannot read it.",
        )
        .example("\"/etc/kronos/writer-key\""),
    ],
);

/// How new repositories are encrypted and existing ones opened.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Encryption {
    /// Where the passphrase comes from.
    pub passphrase: Option<SecretFrom>,
    /// Public keys (`age1…`) that can open a new repository.
    pub recipients: Vec<String>,
    /// The file with the private key.
    pub identity_file: Option<PathBuf>,
    /// The file with the writer key.
    pub writer_key_file: Option<PathBuf>,
}

impl Encryption {
    pub(super) fn from_section(section: &Section<'_>) -> Self {
        if section.is_empty() {
            // Nobody who writes this section means to go without.
            section.tell(section.wrong("no key is named here, so nothing would be encrypted"));
        }
        let read = Self {
            passphrase: SecretFrom::from_section(section, "passphrase"),
            recipients: section.texts("recipients").unwrap_or_default(),
            identity_file: section.text("identity_file").map(PathBuf::from),
            writer_key_file: section.text("writer_key_file").map(PathBuf::from),
        };
        if read.writer_key_file.is_some() && (read.passphrase.is_some() || read.identity_file.is_some()) {
            let message = "a writer key cannot read: leave it out beside a passphrase or an identity";
            section.tell(section.at_key("writer_key_file", message));
        }
        read
    }
}
