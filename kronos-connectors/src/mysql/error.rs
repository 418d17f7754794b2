//! Turns errors of the driver and of the server into Kronos's.

use kronos_core::{Error, ErrorKind, Retry};
use mysql_async::{DriverError, IoError};

use crate::hidden::{near, without_values};
pub(super) use crate::servers::error::{cancelled, internal, is_lost, one_line};

/// An error of the driver while doing `what`.
pub(super) fn failed(error: mysql_async::Error, what: &'static str) -> Error {
    match error {
        mysql_async::Error::Server(server) => {
            let (kind, retry) = of_code(server.code);
            let mut mapped = Error::new(kind, one_line(&without_data(server.code, &server.message)))
                .with("while", what)
                .with("code", server.code)
                .with_retry(retry);
            if let Some(hint) = hint(server.code) {
                mapped = mapped.with("hint", hint);
            }
            mapped
        }
        mysql_async::Error::Io(IoError::Tls(tls)) => untrusted(&tls, what),
        // What rustls says of a certificate comes by this way as well.
        mysql_async::Error::Io(IoError::Io(io)) if io.kind() == std::io::ErrorKind::InvalidData => untrusted(&io, what),
        mysql_async::Error::Io(IoError::Io(io)) => lost(what).with("system", &io).with_source(io),
        mysql_async::Error::Driver(DriverError::ConnectionClosed) => lost(what),
        mysql_async::Error::Driver(DriverError::UnknownAuthPlugin { name }) => {
            Error::new(ErrorKind::Unsupported, "the server wants a login of a kind that Kronos does not know")
                .with("plugin", name)
        }
        mysql_async::Error::Driver(DriverError::NoClientSslFlagFromServer) => {
            untrusted(&"the server does not offer TLS", what)
        }
        // Shows what was read, which may be anything.
        mysql_async::Error::Driver(DriverError::FromRow { .. } | DriverError::FromValue { .. }) => {
            Error::new(ErrorKind::Unsupported, "the server answered with values of another type than expected")
                .with("while", what)
        }
        mysql_async::Error::Driver(driver) => {
            Error::new(ErrorKind::ConnectionFailed, "the server is no MySQL or MariaDB server, or answered wrongly")
                .with("while", what)
                .with("driver", one_line(&driver.to_string()))
        }
        other => Error::new(ErrorKind::QueryFailed, "the driver failed")
            .with("while", what)
            .with("driver", one_line(&other.to_string())),
    }
}

fn lost(what: &'static str) -> Error {
    Error::new(ErrorKind::ConnectionFailed, "the connection to the server broke or failed")
        .with("while", what)
        .with_retry(Retry::Later)
}

fn untrusted(error: &impl std::fmt::Display, what: &'static str) -> Error {
    Error::new(ErrorKind::ConnectionFailed, "no secure connection to the server")
        .with("while", what)
        .with("tls", one_line(&error.to_string()))
        .with("hint", "`tls` and `tls_ca` say which servers are trusted; `tls = \"disable\"` goes without")
}

/// A server that says nothing, and a network that has died without a word, look the same.
pub(super) fn silent(after: std::time::Duration) -> Error {
    Error::new(ErrorKind::ConnectionFailed, "the server does not answer any more")
        .with("after", format!("{} s", after.as_secs()))
        .with_retry(Retry::Later)
}

/// Whether the server refused with one of these codes.
pub(super) fn has_code(error: &Error, codes: &[u16]) -> bool {
    error.context("code").and_then(|code| code.parse().ok()).is_some_and(|code| codes.contains(&code))
}

/// The backup is not one that this connector made.
pub(super) fn corrupt(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::Corrupt, message)
}

/// Messages about values have them between quotes, before whatever they are for; those about a statement
/// that was not understood have the rest of it.
pub(super) fn without_data(code: u16, message: &str) -> String {
    match code {
        1064 | 1149 => match message.split_once(" near '") {
            Some((_, rest)) => {
                let line = rest.rsplit_once("' at line ").map(|(_, line)| format!(" at line {line}"));
                format!("the statement has a syntax error{}{}", near(rest), line.unwrap_or_default())
            }
            None => "the statement has a syntax error".to_owned(),
        },
        1062 | 1264 | 1265 | 1292 | 1366 | 1406 | 1416 => match message.rsplit_once("' for ") {
            Some((about, what)) => format!("{} for {what}", without_values(&format!("{about}'"))),
            None => without_values(message),
        },
        1231 | 1300 | 1367 | 1411 | 1525 | 1526 | 1690 | 3140 | 3141 | 3156 => without_values(message),
        _ => message.to_owned(),
    }
}

/// Kinds by the server's error codes, which both flavors share.
pub(super) fn of_code(code: u16) -> (ErrorKind, Retry) {
    let kind = match code {
        1045 | 1130 | 1251 | 1698 | 1862 | 3118 | 4151 => ErrorKind::Authentication,
        1044 | 1142 | 1143 | 1227 | 1370 | 1410 | 1419 | 1449 | 3878 => ErrorKind::PermissionDenied,
        1049 | 1051 | 1146 => ErrorKind::NotFound,
        1007 | 1050 | 1304 | 1359 | 1396 => ErrorKind::AlreadyExists,
        1205 | 3572 => ErrorKind::Locked,
        1317 | 1969 | 3024 => ErrorKind::Timeout,
        1021 | 1041 | 1114 | 3675 => ErrorKind::StorageFull,
        1034 | 1194 | 1195 | 1712 => ErrorKind::Corrupt,
        1412 => ErrorKind::Conflict,
        // The server ends the session, or takes no more of them; the next one may be let in.
        1040 | 1053 | 1077 | 1079 | 1152 | 1158..=1161 | 1203 | 1226 | 1927 | 3169 => {
            return (ErrorKind::ConnectionFailed, Retry::Later);
        }
        _ => ErrorKind::QueryFailed,
    };
    let passing = matches!(kind, ErrorKind::Locked) || matches!(code, 1213 | 1412);
    (kind, if passing { Retry::Later } else { Retry::Never })
}

fn hint(code: u16) -> Option<&'static str> {
    match code {
        1412 => Some("a table was changed by ALTER TABLE, TRUNCATE or the like after the backup began; run it again"),
        1227 | 1410 => Some("`--no-owner` restores views, routines, triggers and events as the user's own"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::servers::error::echo;

    fn server(code: u16, message: &str) -> mysql_async::Error {
        mysql_async::ServerError { code, message: message.to_owned(), state: "HY000".to_owned() }.into()
    }

    #[test]
    fn codes_get_the_kinds_that_callers_branch_on() {
        assert_eq!(of_code(1045), (ErrorKind::Authentication, Retry::Never));
        assert_eq!(of_code(1927), (ErrorKind::ConnectionFailed, Retry::Later));
        assert_eq!(of_code(1213), (ErrorKind::QueryFailed, Retry::Later));
        let changed = failed(server(1412, "Table definition has changed"), "read rows");
        assert_eq!((changed.kind(), changed.retry()), (ErrorKind::Conflict, Retry::Later));
        assert!(has_code(&changed, &[1146, 1412]) && !has_code(&changed, &[1146]));
    }

    #[test]
    fn values_stay_out_of_messages() {
        let shown = failed(server(1062, "Duplicate entry 'a'b@x.org' for key 'PRIMARY'"), "write rows").to_string();
        assert!(shown.contains("for key 'PRIMARY'") && !shown.contains("x.org"), "{shown}");
        let syntax = "You have an error in your SQL syntax; check the manual that corresponds to your MariaDB server \
            version for the right syntax to use near 'FRM t WHERE a = 's3cret'' at line 1";
        assert_eq!(without_data(1064, syntax), "the statement has a syntax error near \"FRM\" at line 1");
        assert_eq!(
            without_data(1292, "Truncated incorrect DOUBLE value: 's3cret'"),
            "Truncated incorrect DOUBLE value: '…'"
        );
    }

    #[test]
    fn a_broken_connection_is_worth_another_one() {
        let broken = failed(std::io::Error::from(std::io::ErrorKind::BrokenPipe).into(), "read");
        assert!(is_lost(&broken) && is_lost(&echo(&broken)));
        assert!(!is_lost(&failed(DriverError::PacketOutOfOrder.into(), "read")));
    }
}
