//! The one error type: what went wrong, whether trying again helps, and where it happened.

use std::fmt;
use std::time::Duration;

/// The result of everything in Kronos that can fail.
pub type Result<T, E = Error> = std::result::Result<T, E>;

type Source = Box<dyn std::error::Error + Send + Sync + 'static>;

/// What callers branch on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// A setting, argument or name is wrong.
    Config,
    /// A server or a store could not be reached.
    ConnectionFailed,
    /// A login, key or passphrase was refused.
    Authentication,
    /// The login is known but may not do this.
    PermissionDenied,
    /// A deadline passed.
    Timeout,
    /// No connection of a pool became free in time.
    PoolExhausted,
    /// A statement failed in the database.
    QueryFailed,
    /// A statement was refused before it reached the database.
    InvalidQuery,
    /// The thing named does not exist.
    NotFound,
    /// The thing to be made exists already.
    AlreadyExists,
    /// An external program is not installed or too old.
    ToolMissing,
    /// An external program ended with a failure.
    ToolFailed,
    /// This engine, server, store or build cannot do it.
    Unsupported,
    /// Stored or read data is not what was written.
    Corrupt,
    /// Someone else changed the same thing first.
    Conflict,
    /// A lock of the database is held by someone else.
    Locked,
    /// The run was cancelled.
    Cancelled,
    /// There is no room left.
    StorageFull,
    /// Reading or writing failed.
    Io,
    /// A promise inside Kronos was broken: a bug.
    Internal,
}

impl ErrorKind {
    /// The kind's name in lower case, as logs and JSON show it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Config => "config",
            Self::ConnectionFailed => "connection-failed",
            Self::Authentication => "authentication",
            Self::PermissionDenied => "permission-denied",
            Self::Timeout => "timeout",
            Self::PoolExhausted => "pool-exhausted",
            Self::QueryFailed => "query-failed",
            Self::InvalidQuery => "invalid-query",
            Self::NotFound => "not-found",
            Self::AlreadyExists => "already-exists",
            Self::ToolMissing => "tool-missing",
            Self::ToolFailed => "tool-failed",
            Self::Unsupported => "unsupported",
            Self::Corrupt => "corrupt",
            Self::Conflict => "conflict",
            Self::Locked => "locked",
            Self::Cancelled => "cancelled",
            Self::StorageFull => "storage-full",
            Self::Io => "io",
            Self::Internal => "internal",
        }
    }
}

/// What the operating system says of a file. What it says of anything else is `Io`.
impl From<std::io::ErrorKind> for ErrorKind {
    fn from(kind: std::io::ErrorKind) -> Self {
        use std::io::ErrorKind as System;
        match kind {
            System::NotFound => Self::NotFound,
            System::PermissionDenied | System::ReadOnlyFilesystem => Self::PermissionDenied,
            System::AlreadyExists => Self::AlreadyExists,
            System::StorageFull | System::QuotaExceeded | System::FileTooLarge => Self::StorageFull,
            System::TimedOut => Self::Timeout,
            _ => Self::Io,
        }
    }
}

/// Whether the same call may succeed when it is made again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Retry {
    /// Trying again gives the same answer.
    #[default]
    Never,
    /// The cause is passing.
    Later,
    /// The cause was passing, and trying again has been given up.
    Exhausted,
}

/// An error: a kind, one line of text, and where it happened.
///
/// `Display` prints the message and the context on one line, without the chain of sources.
pub struct Error(Box<Inner>);

struct Inner {
    kind: ErrorKind,
    message: String,
    retry: Retry,
    retry_after: Option<Duration>,
    context: Vec<(&'static str, String)>,
    source: Option<Source>,
}

impl Error {
    /// An error of `kind`, with one line of text that starts in lower case and has no full stop.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self(Box::new(Inner {
            kind,
            message: message.into(),
            retry: Retry::Never,
            retry_after: None,
            context: Vec::new(),
            source: None,
        }))
    }

    /// What callers branch on.
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// The line of text, without the context.
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// Whether trying again may help.
    pub fn retry(&self) -> Retry {
        self.0.retry
    }

    /// How long the other side asks to be left alone before the next attempt.
    pub fn retry_after(&self) -> Option<Duration> {
        self.0.retry_after
    }

    /// The value of a context key, such as `object` or `path`.
    pub fn context(&self, key: &str) -> Option<&str> {
        self.0.context.iter().find(|(k, _)| *k == key).map(|(_, v)| v.as_str())
    }

    /// Everything that was added with [`with`](Self::with), in that order.
    pub fn contexts(&self) -> impl Iterator<Item = (&'static str, &str)> {
        self.0.context.iter().map(|(k, v)| (*k, v.as_str()))
    }

    /// Adds where it happened. A value must never be a secret.
    #[must_use]
    pub fn with(mut self, key: &'static str, value: impl fmt::Display) -> Self {
        self.0.context.push((key, value.to_string()));
        self
    }

    /// Marks the error as passing, final or given up.
    #[must_use]
    pub fn with_retry(mut self, retry: Retry) -> Self {
        self.0.retry = retry;
        self
    }

    /// Notes how long the other side asks to be left alone.
    #[must_use]
    pub fn with_retry_after(mut self, pause: Duration) -> Self {
        self.0.retry_after = Some(pause);
        self
    }

    /// Keeps the error beneath this one.
    #[must_use]
    pub fn with_source(mut self, source: impl Into<Source>) -> Self {
        self.0.source = Some(source.into());
        self
    }

    pub(crate) fn cancelled() -> Self {
        Self::new(ErrorKind::Cancelled, "the run was cancelled")
    }

    pub(crate) fn corrupt(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Corrupt, message)
    }

    pub(crate) fn internal(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Internal, message)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.message)?;
        for (i, (key, value)) in self.0.context.iter().enumerate() {
            f.write_str(if i == 0 { " (" } else { ", " })?;
            write!(f, "{key}: {value}")?;
        }
        if self.0.context.is_empty() { Ok(()) } else { f.write_str(")") }
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Error")
            .field("kind", &self.0.kind)
            .field("message", &self.0.message)
            .field("retry", &self.0.retry)
            .field("context", &self.0.context)
            .field("source", &self.0.source)
            .finish()
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.0.source.as_deref().map(|s| s as _)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_system_says_of_files_has_a_kind() {
        use std::io::ErrorKind as System;
        for (system, kind) in [
            (System::NotADirectory, ErrorKind::Io),
            (System::ReadOnlyFilesystem, ErrorKind::PermissionDenied),
            (System::QuotaExceeded, ErrorKind::StorageFull),
            (System::BrokenPipe, ErrorKind::Io),
        ] {
            assert_eq!(ErrorKind::from(system), kind);
        }
    }

    #[test]
    fn display_is_one_line_without_the_sources() {
        let error = Error::new(ErrorKind::NotFound, "no such backup")
            .with("backup", "abc")
            .with("job", "shop")
            .with_source(std::io::Error::other("hidden"));
        assert_eq!(error.to_string(), "no such backup (backup: abc, job: shop)");
        assert_eq!(error.context("job"), Some("shop"));
        assert_eq!(error.contexts().collect::<Vec<_>>(), [("backup", "abc"), ("job", "shop")]);
    }
}
