//! How errors look and what they lead to: kind, hint and exit code, all in this file.

use kronos_core::{Error, ErrorKind, Retry};
use kronos_service::mask;
pub(crate) use kronos_service::{causes, line};

/// How a command ended. Its number is the exit code of the process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exit {
    /// All was done.
    Done = 0,
    /// Something failed; what did not was done.
    Failed = 1,
    /// The command or the configuration is wrong.
    Usage = 2,
    /// All was done, and there is something to look at.
    Warnings = 3,
    /// Data is damaged.
    Damaged = 4,
    /// There was nothing to do, or what was named does not exist.
    Nothing = 5,
    /// The user stopped it.
    Interrupted = 130,
}

impl Exit {
    /// The exit code of an error.
    pub(crate) fn of(error: &Error) -> Self {
        match error.kind() {
            ErrorKind::Config | ErrorKind::InvalidQuery => Self::Usage,
            ErrorKind::Corrupt => Self::Damaged,
            ErrorKind::NotFound => Self::Nothing,
            ErrorKind::Cancelled => Self::Interrupted,
            _ => Self::Failed,
        }
    }
}

/// An error of the command line itself.
pub(crate) fn usage(message: impl Into<String>, hint: &str) -> Error {
    Error::new(ErrorKind::Config, message).with("hint", hint)
}

/// What to do about it.
pub(crate) fn hint(error: &Error, command: &str) -> Option<String> {
    if let Some(hint) = error.context("hint") {
        return Some(mask(hint));
    }
    if let Some(near) = error.context("did you mean") {
        return Some(format!("did you mean {near}?"));
    }
    if let Some(feature) = error.context("cargo feature") {
        return Some(format!("build kronos with the cargo feature `{feature}`"));
    }
    if let Some(known) = error.context("known") {
        return Some(format!("known are: {known}"));
    }
    general_hint(error, command).map(str::to_owned)
}

fn general_hint(error: &Error, command: &str) -> Option<&'static str> {
    let message = error.message();
    Some(match error.kind() {
        ErrorKind::NotFound if message.contains("repository has no such job") => {
            "`kronos list` shows the jobs that have backups"
        }
        ErrorKind::NotFound if message.contains("no repository") => {
            "check the location; `kronos init` or the first `kronos backup` makes a repository"
        }
        ErrorKind::NotFound if message.contains("backup has such a name") => "`kronos show` lists the names",
        ErrorKind::NotFound if message.contains("backup") => "`kronos list` shows the backups",
        ErrorKind::NotFound if message.contains("no such key") => "`kronos key list` shows the keys",
        ErrorKind::NotFound if ["inspect", "query"].contains(&command) && !message.starts_with("no such file") => {
            "`kronos inspect` lists what there is"
        }
        ErrorKind::NotFound if message.contains("database") => "check the name of the database",
        ErrorKind::NotFound => "check the spelling of the path",
        ErrorKind::Authentication if message.contains("no key was given") => {
            "give --passphrase-file, KRONOS_PASSPHRASE, --identity or --writer-key"
        }
        ErrorKind::Authentication if message.contains("writer key") => "give --identity",
        ErrorKind::Authentication if message.contains("key") => {
            "check the passphrase, the identity, and which repository is meant"
        }
        ErrorKind::Authentication => "check the user and the password",
        ErrorKind::PermissionDenied => "run kronos as a user who may read and write there",
        ErrorKind::AlreadyExists if command == "init" => "nothing needs to be done: back up into it",
        ErrorKind::AlreadyExists if command == "export" => "choose another directory",
        ErrorKind::AlreadyExists => "--replace puts the restored data into its place once it is complete and checked",
        ErrorKind::Config if message.contains("not empty and holds no repository") => {
            "choose an empty directory for a new repository, or check the location"
        }
        ErrorKind::Config if message.contains("not encrypted, although") => {
            "leave the key out, or check that this is the repository you mean"
        }
        ErrorKind::Config if error.context("file").is_some() => {
            "correct the file; `kronos validate --offline` reads it and nothing else"
        }
        ErrorKind::Config if message.contains("write JOB/latest") => "`kronos list` shows the jobs",
        ErrorKind::Config if message.contains("no retention rule") => {
            "give at least one, such as --keep-daily 7, or `keep` in the job's configuration"
        }
        ErrorKind::Config if message.contains("not a SQLite database") => "check that this is the database's file",
        ErrorKind::Unsupported if message.contains("newer version") => "install a newer kronos",
        ErrorKind::Unsupported if message.contains("not encrypted") => {
            "make an encrypted repository and `kronos copy` the backups into it"
        }
        ErrorKind::Unsupported if message.contains("recipients") => {
            "make a repository for the new recipients and `kronos copy` the backups into it"
        }
        ErrorKind::Conflict if message.contains("held") => "`kronos release` lifts the protection",
        ErrorKind::Conflict if message.contains("another source") => {
            "give the new source a job of its own with --job; if only the host's name has changed, set KRONOS_MACHINE to the old one"
        }
        ErrorKind::Corrupt if command != "check" && command != "backup" => {
            "`kronos check --read-data` tells what is damaged and which backups are whole"
        }
        ErrorKind::Locked if message.contains("a run of this job") => {
            "wait for it to end, or let this one wait: --wait 1h"
        }
        ErrorKind::Locked => "wait for the other program to finish, or try again",
        ErrorKind::StorageFull if command == "restore" => "make room there; the target is as it was",
        ErrorKind::StorageFull => "make room; what was stored so far is used by the next run",
        ErrorKind::Io | ErrorKind::Timeout if error.retry() == Retry::Exhausted && command == "backup" => {
            "what was stored is kept: run it again when the store is back; `[retry]` in the configuration makes runs more patient"
        }
        ErrorKind::Io | ErrorKind::Timeout if error.retry() == Retry::Exhausted => {
            "run it again when the store is back; `[retry]` in the configuration makes runs more patient"
        }
        ErrorKind::Cancelled if ["restore", "export"].contains(&command) => "the target is as it was; run it again",
        ErrorKind::Cancelled if !["backup", "copy"].contains(&command) => "run it again",
        ErrorKind::Cancelled => "what was stored is kept, and the next run resumes",
        ErrorKind::Timeout if command == "query" && message.contains("too long") => "--timeout gives it more time",
        ErrorKind::ConnectionFailed | ErrorKind::Timeout => "check the address and that the other side is up",
        ErrorKind::Internal => "this is a bug in kronos; please report it with the command and this message",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hint_is_shown_once_and_secrets_never() {
        let error = Error::new(ErrorKind::Config, "bad")
            .with_source(std::io::Error::other("do: bad"))
            .with("url", "s3://me:secret@host/x")
            .with("hint", "do this");
        assert_eq!(line(&error), "bad (url: s3://***@host/x)");
        assert_eq!(hint(&error, "list").as_deref(), Some("do this"));
        assert_eq!(causes(&error), Vec::<String>::new());
        assert_eq!(Exit::of(&error), Exit::Usage);
    }
}
