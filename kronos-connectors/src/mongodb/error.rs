//! Turns errors of the driver and of the server into Kronos's.

use kronos_core::{Error, ErrorKind, Result, Retry};
use mongodb::error::ErrorKind as Driver;

use crate::hidden::without_values;
pub(super) use crate::servers::error::{cancelled, internal, is_lost, one_line};

/// An error of the driver while doing `what`.
pub(super) fn failed(error: &mongodb::error::Error, what: &'static str) -> Error {
    match error.kind.as_ref() {
        Driver::Command(refused) => of_server(refused.code, &refused.code_name, &refused.message, what),
        Driver::Authentication { message, .. } => {
            let told = one_line(message);
            // Whoever cannot be asked has refused nobody.
            if error.contains_label("RetryableError") { lost(what) } else { login(&told) }.with("while", what)
        }
        Driver::ServerSelection { message, .. } => {
            // The reason is somewhere in the description of the servers.
            if message.contains("SCRAM failure") || message.contains("Authentication") {
                return login("the server refused the login").with("while", what);
            }
            let error =
                Error::new(ErrorKind::ConnectionFailed, "no server answers, or none of the kind that is needed")
                    .with("while", what)
                    .with_retry(Retry::Later);
            if message.contains("certificate") || message.contains("tls") || message.contains("TLS") {
                return error.with("hint", "`tls` and `tls_ca` say which servers are trusted");
            }
            error.with("hint", "is it running? a member of a replica set is reached alone by `directConnection=true`")
        }
        Driver::Io(io) => lost(what).with("system", io),
        Driver::ConnectionPoolCleared { .. } | Driver::Shutdown => lost(what),
        Driver::DnsResolve { message, .. } => {
            Error::new(ErrorKind::ConnectionFailed, "the name of the server is not known")
                .with("driver", one_line(message))
        }
        Driver::InvalidTlsConfig { message, .. } => {
            Error::new(ErrorKind::Config, "certificates cannot be used").with("driver", one_line(message))
        }
        Driver::InvalidArgument { message, .. } => {
            Error::new(ErrorKind::Config, "the driver refuses a setting").with("driver", one_line(message))
        }
        Driver::SessionsNotSupported => Error::new(ErrorKind::Unsupported, "the server is too old: it has no sessions"),
        Driver::IncompatibleServer { message, .. } => {
            Error::new(ErrorKind::Unsupported, "the server does not know what is needed")
                .with("while", what)
                .with("driver", one_line(message))
        }
        // Others may show documents.
        _ => {
            Error::new(ErrorKind::QueryFailed, "the server answered wrongly, or the driver failed").with("while", what)
        }
    }
}

/// What the server has refused. Its message may show a value of a key, which is the user's.
pub(super) fn of_server(code: i32, name: &str, message: &str, what: &'static str) -> Error {
    let (kind, retry) = of_code(code);
    let shown = match code {
        _ if is_about_data(code) => "the server refused a document".to_owned(),
        _ if is_about_names(code) => message.to_owned(),
        _ => without_values(message),
    };
    let mut error = Error::new(kind, one_line(&shown)).with("while", what).with("code", code).with_retry(retry);
    if !name.is_empty() {
        error = error.with("name", name);
    }
    match hint(code) {
        Some(hint) => error.with("hint", hint),
        None => error,
    }
}

fn login(told: &str) -> Error {
    Error::new(ErrorKind::Authentication, if told.is_empty() { "the server refused the login" } else { told })
        .with("hint", "is the user of another database? `auth_database` names it (usually admin)")
}

fn lost(what: &'static str) -> Error {
    Error::new(ErrorKind::ConnectionFailed, "the connection to the server broke or failed")
        .with("while", what)
        .with_retry(Retry::Later)
}

/// A server that says nothing, and a network that has died without a word, look the same.
pub(super) fn silent(after: std::time::Duration, what: &'static str) -> Error {
    Error::new(ErrorKind::ConnectionFailed, "the server does not answer any more")
        .with("while", what)
        .with("after", format!("{} s", after.as_secs()))
        .with_retry(Retry::Later)
}

/// Whether the server refused with one of these codes.
pub(super) fn has_code(error: &Error, codes: &[i32]) -> bool {
    error.context("code").and_then(|code| code.parse().ok()).is_some_and(|code| codes.contains(&code))
}

/// The server knows no such command.
pub(super) const NO_COMMAND: i32 = 59;
/// There is no such collection.
pub(super) const NO_NAMESPACE: i32 = 26;

/// What a server does not tell this user is told so by nothing, not by an error.
pub(super) fn if_allowed<T>(asked: Result<T>) -> Result<Option<T>> {
    match asked {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.kind() == ErrorKind::PermissionDenied || has_code(&error, &[NO_COMMAND, 72, 76, 115]) => {
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

/// The backup is not one that this connector made.
pub(super) fn corrupt(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::Corrupt, message)
}

fn is_about_data(code: i32) -> bool {
    matches!(code, 2 | 121 | 11000 | 11001 | 10334 | 17280)
}

/// What is between quotes in these messages is the name of a database, a collection, an index, an option, a
/// command or a stage.
fn is_about_names(code: i32) -> bool {
    matches!(code, 13 | 26 | 27 | 48 | 59 | 67 | 68 | 72 | 73 | 85 | 86 | 166 | 40324)
}

/// Kinds by the codes of the server.
fn of_code(code: i32) -> (ErrorKind, Retry) {
    let kind = match code {
        18 => ErrorKind::Authentication,
        13 | 8000 => ErrorKind::PermissionDenied,
        26 | 27 => ErrorKind::NotFound,
        48 | 68 => ErrorKind::AlreadyExists,
        50 | 262 => ErrorKind::Timeout,
        14031 => ErrorKind::StorageFull,
        46 | 112 => return (ErrorKind::Locked, Retry::Later),
        // The server ends, is no longer the primary one, or has let go of what was being read.
        6 | 7 | 43 | 89 | 91 | 134 | 189 | 237 | 9001 | 10107 | 11600 | 11602 | 13435 | 13436 => {
            return (ErrorKind::ConnectionFailed, Retry::Later);
        }
        136 => ErrorKind::Conflict,
        _ => ErrorKind::QueryFailed,
    };
    (kind, Retry::Never)
}

fn hint(code: i32) -> Option<&'static str> {
    match code {
        13 => Some(
            "a backup needs the role `backup` of admin; a restore `restore`, `readWriteAnyDatabase` and `dbAdminAnyDatabase`",
        ),
        136 => Some("a capped collection was written faster than it was read; run it again"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_get_the_kinds_that_callers_branch_on() {
        let denied = of_server(13, "Unauthorized", "not authorized on shop", "read");
        assert_eq!((denied.kind(), denied.retry()), (ErrorKind::PermissionDenied, Retry::Never));
        assert!(denied.context("hint").is_some() && has_code(&denied, &[13]) && !has_code(&denied, &[26]));
        assert!(is_lost(&of_server(11602, "InterruptedDueToReplStateChange", "x", "read")));
        assert_eq!(if_allowed::<()>(Err(denied)).unwrap(), None);
    }

    #[test]
    fn values_stay_out_of_messages() {
        let refused = of_server(11000, "DuplicateKey", "E11000 dup key: { mail: \"me@example.org\" }", "insert");
        assert!(!refused.to_string().contains("example.org"), "{refused}");
        let number = of_server(241, "ConversionFailure", "Failed to parse number 's3cret' in $convert", "read");
        assert_eq!(number.message(), "Failed to parse number '…' in $convert");
        assert_eq!(of_server(59, "CommandNotFound", "no such command: 'x'", "run").message(), "no such command: 'x'");
    }
}
