//! What went wrong, as the kind on which callers branch, with a hint where one helps.

use kronos_core::{Error, ErrorKind, Result, Retry};
use russh_sftp::protocol::StatusCode;

use crate::address::Address;
use crate::ssh::Ended;

/// Why a request has no good answer.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The server refused it. `Failure` is its word for a full disk and for a name that is taken alike:
    /// what lies there has to be looked at.
    Refused(StatusCode, String),
    /// No answer came. What was asked for may or may not have been done.
    Lost(Error),
}

impl Failure {
    /// Nothing is there.
    pub(crate) fn is_missing(&self) -> bool {
        matches!(self, Self::Refused(StatusCode::NoSuchFile, _))
    }

    pub(crate) fn into_error(self, message: &str, path: &str) -> Error {
        let (code, text) = match self {
            Self::Lost(error) => return error.with("path", path),
            Self::Refused(code, text) => (code, text),
        };
        let kind = match code {
            StatusCode::NoSuchFile => ErrorKind::NotFound,
            StatusCode::PermissionDenied => ErrorKind::PermissionDenied,
            StatusCode::OpUnsupported => ErrorKind::Unsupported,
            _ => ErrorKind::Io,
        };
        Error::new(kind, message).with("path", path).with("the server says", text)
    }
}

/// A failed request as an error; what is not there as `None`.
pub(crate) fn if_there<T>(answer: Result<T, Failure>, message: &str, path: &str) -> Result<Option<T>> {
    match answer {
        Ok(found) => Ok(Some(found)),
        Err(failure) if failure.is_missing() => Ok(None),
        Err(failure) => Err(failure.into_error(message, path)),
    }
}

/// Why there is no SFTP at the end of the pipes, from how `ssh` ended, if it did.
pub(crate) fn no_connection(ended: Option<Ended>, address: &Address) -> Error {
    let host = &address.host;
    let Some(Ended { status, words }) = ended else {
        // It runs, and what it sent was not SFTP.
        return Error::new(ErrorKind::Unsupported, "the server does not speak SFTP")
            .with("host", host)
            .with("hint", "the login shell of the account may print something: it has to be silent");
    };
    let said = |what: &str| words.iter().any(|line| line.contains(what));
    let by_ssh = status.is_none_or(|status| status.code() == Some(255));
    let (kind, retry, message, hint) = match KNOWN.iter().find(|(what, ..)| said(what)) {
        Some((_, kind, message, hint)) => (*kind, Retry::Never, *message, *hint),
        None if by_ssh => (ErrorKind::ConnectionFailed, Retry::Later, "the server cannot be reached", ""),
        None => (ErrorKind::Unsupported, Retry::Never, "the server does not offer SFTP", OFFER),
    };
    let mut error = Error::new(kind, message).with_retry(retry).with("host", host);
    if let Some(last) = words.last() {
        error = error.with("ssh says", last);
    }
    if hint.is_empty() { error } else { error.with("hint", hint.replace("HOST", host)) }
}

/// What `ssh` says where trying again does not help, what that means, and what to do. In this order: of
/// a key that has changed it says two of them.
const KNOWN: [(&str, ErrorKind, &str, &str); 6] = [
    (
        "REMOTE HOST IDENTIFICATION HAS CHANGED",
        ErrorKind::ConnectionFailed,
        "the server's host key has changed",
        "if the server was set up anew, remove its old key with ssh-keygen -R HOST; if not, somebody may be in its place",
    ),
    (
        "Host key verification failed",
        ErrorKind::ConnectionFailed,
        "the server's host key is not known",
        "connect once with ssh and compare the key's fingerprint, or name a file: known_hosts=FILE",
    ),
    ("Permission denied (", ErrorKind::Authentication, "the server refused the login", LOGIN),
    ("Too many authentication failures", ErrorKind::Authentication, "the server refused the login", LOGIN),
    ("subsystem request failed", ErrorKind::Unsupported, "the server does not offer SFTP", OFFER),
    (
        "Bad configuration option",
        ErrorKind::Config,
        "ssh cannot read its configuration",
        "see that ssh HOST works by itself",
    ),
];
const LOGIN: &str = "ssh must log in without asking: add the key to ssh-agent, or name its file: identity=FILE";
const OFFER: &str = "the account must be allowed to use SFTP: Subsystem sftp internal-sftp in the server's sshd_config";

/// Text of the other side, for one line: without what a terminal would obey.
pub(crate) fn plain(text: &str) -> String {
    text.trim().chars().filter(|c| !c.is_control()).take(300).collect()
}
