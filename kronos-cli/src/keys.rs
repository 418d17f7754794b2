//! The keys of a repository: where the user keeps them, read once at the border.

use std::fs;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use kronos_core::{Credentials, Error, ErrorKind, Mode, Protection, Repository, Result, Secret};
use kronos_service::{Encryption, SecretFrom};

use crate::args::Global;
use crate::config::variable;
use crate::errors::usage;

/// The variable with the passphrase.
const PASSPHRASE: &str = "KRONOS_PASSPHRASE";

/// What was given to open repositories, and to make new ones.
#[derive(Debug, Default)]
pub(crate) struct Keys {
    passphrase: Option<Secret>,
    recipients: Vec<String>,
    identities: Vec<Secret>,
    writer_key: Option<PathBuf>,
}

impl Keys {
    /// Flags win over the environment, and that over the configuration.
    pub(crate) fn read(args: &Global, configured: Option<&Encryption>) -> Result<Self> {
        let flags = Self {
            passphrase: args.passphrase_file.as_deref().map(read_passphrase).transpose()?,
            recipients: args.recipient.clone(),
            identities: args.identity.as_deref().map_or_else(|| Ok(Vec::new()), read_identities)?,
            writer_key: args.writer_key.clone(),
        };
        if !flags.is_empty() {
            return Ok(flags);
        }
        match (passphrase_of(PASSPHRASE)?, configured) {
            (Some(passphrase), _) => Ok(Self { passphrase: Some(passphrase), ..flags }),
            (None, Some(configured)) => Self::configured(configured),
            (None, None) => Ok(flags),
        }
    }

    fn configured(from: &Encryption) -> Result<Self> {
        let passphrase = match &from.passphrase {
            // As --passphrase-file and KRONOS_PASSPHRASE are read.
            Some(SecretFrom::File(file)) => Some(read_passphrase(file)?),
            Some(SecretFrom::Env(name)) => Some(passphrase_of(name)?.ok_or_else(|| {
                usage("the variable with the passphrase is not set", "set it, or change [encryption]")
                    .with("variable", name)
            })?),
            Some(other) => Some(other.read(&variable)?),
            None => None,
        };
        let identities = from.identity_file.as_deref().map_or_else(|| Ok(Vec::new()), read_identities)?;
        Ok(Self {
            passphrase,
            recipients: from.recipients.clone(),
            identities,
            writer_key: from.writer_key_file.clone(),
        })
    }

    fn is_empty(&self) -> bool {
        self.passphrase.is_none()
            && self.recipients.is_empty()
            && self.identities.is_empty()
            && self.writer_key.is_none()
    }

    /// What opens an existing repository.
    pub(crate) fn credentials(&self) -> Result<Credentials> {
        match &self.writer_key {
            // It will be written when the repository is made; one that is there says what it needs.
            Some(file) if !self.recipients.is_empty() && !file.exists() => return Ok(Credentials::None),
            Some(file) => return Ok(Credentials::WriterKey(read_secret(file, "writer key")?)),
            None => {}
        }
        if !self.identities.is_empty() {
            return Ok(Credentials::Identities(self.identities.clone()));
        }
        Ok(self.passphrase.clone().map_or(Credentials::None, Credentials::Passphrase))
    }

    /// How a new repository is protected.
    pub(crate) fn protection(&self) -> Result<Protection> {
        if !self.recipients.is_empty() {
            return Ok(Protection::Recipients(self.recipients.clone()));
        }
        if let Some(passphrase) = &self.passphrase {
            return Ok(Protection::Passphrase(passphrase.clone()));
        }
        if !self.identities.is_empty() || self.writer_key.is_some() {
            let message = "there is no repository yet, and a new one cannot be made with an identity or a writer key";
            return Err(usage(message, "check the location; a new repository takes --recipient or a passphrase"));
        }
        Ok(Protection::None)
    }

    /// Refuses a repository that is less protected than what was asked for.
    pub(crate) fn check(&self, repository: &Repository) -> Result<()> {
        if !self.recipients.is_empty() && repository.mode() != Mode::Recipients {
            return Err(usage(
                "recipients were given, and the repository is not for recipients only",
                "leave --recipient out, or check that this is the repository you mean",
            )
            .with("storage", repository.describe()));
        }
        Ok(())
    }

    /// Keeps the writer key of a repository that was just made, where the user wants it.
    pub(crate) fn keep_writer_key(&self, repository: &Repository) -> Result<()> {
        match &self.writer_key {
            Some(file) if repository.mode() == Mode::Recipients && !file.exists() => {
                write_secret(file, &repository.writer_key()?)
            }
            _ => Ok(()),
        }
    }
}

fn passphrase_of(variable: &str) -> Result<Option<Secret>> {
    let wrong = |what: &str| {
        let hint = "set it to the passphrase, or unset it; --passphrase-file takes a file";
        Err(usage(format!("the variable with the passphrase {what}"), hint).with("variable", variable))
    };
    match std::env::var(variable) {
        Ok(text) if text.is_empty() => wrong("is empty"),
        Ok(text) => Ok(Some(Secret::new(text))),
        Err(std::env::VarError::NotPresent) => Ok(None),
        Err(std::env::VarError::NotUnicode(_)) => wrong("is not UTF-8"),
    }
}

/// Reads a passphrase: the file without the line end at its end.
pub(crate) fn read_passphrase(file: &Path) -> Result<Secret> {
    read_secret(file, "passphrase")
}

fn read_secret(file: &Path, what: &str) -> Result<Secret> {
    let text = fs::read_to_string(file).map_err(|e| unreadable(file, what, e))?;
    let secret = Secret::new(text.trim_end_matches(['\n', '\r']));
    if secret.expose().is_empty() {
        return Err(usage(format!("the file with the {what} is empty"), "write it into the file's first line")
            .with("path", file.display()));
    }
    Ok(secret)
}

/// Reads age identities: one a line, `#` begins a comment.
fn read_identities(file: &Path) -> Result<Vec<Secret>> {
    let text = Secret::new(fs::read_to_string(file).map_err(|e| unreadable(file, "identities", e))?);
    let lines = text.expose().lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    let identities: Vec<Secret> = lines.map(Secret::new).collect();
    if identities.is_empty() {
        return Err(
            usage("the file holds no age identity", "`age-keygen -o FILE` makes one").with("path", file.display())
        );
    }
    Ok(identities)
}

fn unreadable(file: &Path, what: &str, error: std::io::Error) -> Error {
    let kind = match ErrorKind::from(error.kind()) {
        ErrorKind::Io => ErrorKind::Config,
        kind => kind,
    };
    Error::new(kind, format!("the file with the {what} cannot be read")).with("path", file.display()).with_source(error)
}

/// Writes a secret into a new file that only its owner can read.
pub(crate) fn write_secret(file: &Path, secret: &Secret) -> Result<()> {
    let written = fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(file)
        .and_then(|mut f| writeln!(f, "{}", secret.expose()).and_then(|()| f.sync_all()));
    written.map_err(|e| {
        Error::new(ErrorKind::from(e.kind()), "the key could not be written")
            .with("path", file.display())
            .with("hint", "choose a file that does not exist, in a directory you may write to")
            .with_source(e)
    })
}
