//! What of the settings is one of a few things.

use std::path::PathBuf;

use kronos_core::Result;

use crate::servers::options::one_of;

/// How the connection is secured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum TlsMode {
    /// Not at all.
    #[default]
    Disable,
    /// Always, with anyone.
    Require,
    /// Always, with a server whose certificate a trusted authority has signed for the host's name.
    VerifyFull,
}

impl TlsMode {
    const NAMES: [(&str, Self); 7] = [
        ("disable", Self::Disable),
        ("off", Self::Disable),
        ("false", Self::Disable),
        ("require", Self::Require),
        ("verify-full", Self::VerifyFull),
        ("on", Self::VerifyFull),
        ("true", Self::VerifyFull),
    ];

    pub(super) fn parse(text: &str) -> Result<Self> {
        match Self::NAMES.iter().find(|(name, _)| text.eq_ignore_ascii_case(name)) {
            Some((_, mode)) => Ok(*mode),
            None => Err(one_of("tls", text, Self::NAMES.map(|(name, _)| name))),
        }
    }
}

/// How the server is known, and Kronos to it. Files are PEM.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Tls {
    /// How the connection is secured. None: not at all, but `verify-full` for `mongodb+srv` or where an
    /// authority is named.
    pub mode: Option<TlsMode>,
    /// Certificates of trusted authorities, instead of the public ones.
    pub ca: Option<PathBuf>,
    /// The certificate shown to the server and its key, in one file.
    pub certificate: Option<PathBuf>,
}

/// From where what is written during a backup is known, so that it becomes one point in time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Changes {
    /// Of a replica set the oplog where it may be read and there is something of which only it tells, or
    /// where the user may not open change streams; else change streams. Nothing on a standalone server.
    #[default]
    Auto,
    /// Change streams, or the backup fails.
    ChangeStream,
    /// The oplog, or the backup fails.
    Oplog,
    /// They are not followed: what is written during the backup may be in it or not.
    None,
}

/// How documents are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Method {
    /// By Kronos, over several connections.
    #[default]
    Native,
    /// By `mongodump --archive`, a database after the other.
    Tool,
}

/// What a restore looks at before it puts collections into place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Check {
    /// Every document is read back, and must be what the backup holds, byte for byte.
    #[default]
    Bytes,
    /// The documents are counted.
    Count,
}
