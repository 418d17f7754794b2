//! Turns errors of the driver and of the server into Kronos's.

use kronos_core::{Error, ErrorKind, Retry};

use crate::hidden::{near, without_values};
pub(super) use crate::servers::error::{cancelled, internal, is_lost, one_line};
pub(super) use crate::system::io;

/// An error of the driver while doing `what`.
pub(super) fn failed(error: sqlx::Error, what: &'static str) -> Error {
    match error {
        sqlx::Error::Database(database) => {
            let code = database.code().unwrap_or_default().into_owned();
            let (kind, retry) = of_state(&code);
            let mut mapped = Error::new(kind, one_line(&without_data(&code, database.message()))).with("while", what);
            if !code.is_empty() {
                mapped = mapped.with("sqlstate", &code);
            }
            if let Some(server) = database.try_downcast_ref::<sqlx::postgres::PgDatabaseError>() {
                // Not the line of a COPY that failed, nor a row: it has the user's data in it.
                if let Some(detail) = server.detail().filter(|_| !is_about_data(&code)) {
                    mapped = mapped.with("detail", one_line(detail));
                }
                if let Some(hint) = server.hint().filter(|_| !is_about_data(&code)) {
                    mapped = mapped.with("server hint", one_line(hint));
                }
            }
            if code == "55P03" {
                mapped = mapped.with("hint", "an ALTER TABLE or the like holds the table, or waits for it; `lock_timeout` says how long it is waited for");
            }
            mapped.with_retry(retry)
        }
        // What rustls says of a certificate comes by this way.
        sqlx::Error::Io(io) if io.kind() == std::io::ErrorKind::InvalidData => untrusted(&io, what),
        sqlx::Error::Io(io) => Error::new(ErrorKind::ConnectionFailed, "the connection to the server broke or failed")
            .with("while", what)
            .with("system", &io)
            .with_retry(Retry::Later)
            .with_source(io),
        sqlx::Error::Tls(tls) => untrusted(&tls, what),
        sqlx::Error::Configuration(wrong) => Error::new(ErrorKind::Config, "the settings of the connection are wrong")
            .with("driver", one_line(&wrong.to_string())),
        sqlx::Error::Protocol(text) => {
            Error::new(ErrorKind::ConnectionFailed, "the server is no PostgreSQL server, or answered wrongly")
                .with("while", what)
                .with("driver", one_line(&text))
        }
        sqlx::Error::ColumnDecode { .. } | sqlx::Error::Decode(_) => Error::new(
            ErrorKind::Unsupported,
            "a name in the database is not valid in its encoding, or the server is too new or too old",
        )
        .with("while", what)
        .with("driver", one_line(&error.to_string())),
        other => Error::new(ErrorKind::QueryFailed, "the driver failed")
            .with("while", what)
            .with("driver", one_line(&other.to_string())),
    }
}

/// Errors about values, rows that break a rule, and rows that a view would not show.
fn is_about_data(code: &str) -> bool {
    ["22", "23", "44"].iter().any(|class| code.starts_with(class))
}

fn without_data(code: &str, message: &str) -> String {
    match message.split_once(" at or near \"") {
        Some((what, rest)) if code == "42601" => format!("{what}{}", near(rest)),
        _ if code.starts_with("22") => without_values(message),
        _ => message.to_owned(),
    }
}

fn untrusted(error: &impl std::fmt::Display, what: &'static str) -> Error {
    Error::new(ErrorKind::ConnectionFailed, "no secure connection to the server")
        .with("while", what)
        .with("tls", one_line(&error.to_string()))
        .with("hint", "`tls` and `tls_ca` say which servers are trusted; `tls = \"disable\"` goes without")
}

/// Kinds by SQLSTATE; see appendix A of PostgreSQL's documentation.
fn of_state(code: &str) -> (ErrorKind, Retry) {
    let kind = match code {
        "28000" | "28P01" => ErrorKind::Authentication,
        "42501" => ErrorKind::PermissionDenied,
        "3D000" => ErrorKind::NotFound,
        "42P04" | "42P06" | "42P07" | "42710" => ErrorKind::AlreadyExists,
        "55P03" | "55006" => ErrorKind::Locked,
        "57014" => ErrorKind::Timeout,
        "53100" => ErrorKind::StorageFull,
        "0A000" => ErrorKind::Unsupported,
        "XX001" | "XX002" => ErrorKind::Corrupt,
        // The server ends the session, or takes no more of them; the next one may be let in.
        "57P01" | "57P02" | "57P03" | "57P05" | "53300" => return (ErrorKind::ConnectionFailed, Retry::Later),
        _ if code.starts_with("08") => return (ErrorKind::ConnectionFailed, Retry::Later),
        _ => ErrorKind::QueryFailed,
    };
    let passing = matches!(kind, ErrorKind::Locked) || code.starts_with("40");
    (kind, if passing { Retry::Later } else { Retry::Never })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::servers::error::echo;

    #[test]
    fn states_get_the_kinds_that_callers_branch_on() {
        assert_eq!(of_state("28P01"), (ErrorKind::Authentication, Retry::Never));
        assert_eq!(of_state("57P01"), (ErrorKind::ConnectionFailed, Retry::Later));
        assert_eq!(of_state("08006"), (ErrorKind::ConnectionFailed, Retry::Later));
        assert_eq!(of_state("40001"), (ErrorKind::QueryFailed, Retry::Later));
        assert_eq!(of_state("42P01"), (ErrorKind::QueryFailed, Retry::Never));
    }

    #[test]
    fn values_stay_out_of_messages() {
        let wrong = without_data("22P02", "invalid input syntax for type integer: \"s3cret\"");
        assert_eq!(wrong, "invalid input syntax for type integer: \"…\"");
        let syntax = |rest: &str| without_data("42601", &format!("syntax error at or near \"{rest}\""));
        assert_eq!((syntax("FRM"), syntax("'s3cret'")), ("syntax error near \"FRM\"".into(), "syntax error".into()));
        assert_eq!(without_data("42703", "column \"a\" does not exist"), "column \"a\" does not exist");
    }

    #[test]
    fn a_broken_connection_is_worth_another_one() {
        let broken = failed(std::io::Error::from(std::io::ErrorKind::BrokenPipe).into(), "read");
        assert!(is_lost(&broken) && is_lost(&echo(&broken)));
        assert!(!is_lost(&failed(sqlx::Error::Protocol("x".into()), "read")));
    }
}
