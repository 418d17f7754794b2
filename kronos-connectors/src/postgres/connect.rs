//! Connections, and what is set in every session of Kronos.

use std::fmt::Write as _;
use std::time::Duration;

use kronos_core::{Error, ErrorKind, Result, Retry};
use sqlx::postgres::{PgConnectOptions, PgSslMode};
use sqlx::{ConnectOptions, Connection, PgConnection};

use super::error::failed;
use super::settings::{PostgresSettings, TlsMode};

/// What makes values come out the same everywhere and always: of floats every digit, dates and
/// times in one form, money in one currency, rows in the order in which they lie.
///
/// The time limits of the server are for people's sessions; a backup has its own. Where a peer that
/// is gone can be noticed, it is.
const SESSION: &str = "\
    SET SESSION statement_timeout = 0;\
    SET SESSION idle_in_transaction_session_timeout = 0;\
    SET SESSION datestyle = 'ISO, YMD';\
    SET SESSION intervalstyle = 'postgres';\
    SET SESSION extra_float_digits = 3;\
    SET SESSION bytea_output = 'hex';\
    SET SESSION lc_monetary = 'C';\
    SET SESSION timezone = 'UTC';\
    SET SESSION xmloption = 'content';\
    SET SESSION standard_conforming_strings = on;\
    SET SESSION synchronize_seqscans = off;\
    SET SESSION row_security = off;\
    SET SESSION client_min_messages = 'warning';\
    SET SESSION tcp_keepalives_idle = 60;\
    SET SESSION tcp_keepalives_interval = 10;\
    SET SESSION tcp_keepalives_count = 6;\
    SET SESSION search_path = '';";

/// A connection, and what is known of the server behind it.
#[derive(Debug)]
pub(super) struct Session {
    pub connection: PgConnection,
    /// As in 150004 for 15.4.
    pub version: u32,
    /// Of the server's process.
    pub pid: i32,
}

impl PostgresSettings {
    /// A connection to a database, with everything set.
    pub(super) async fn open(&self, database: &str) -> Result<Session> {
        let connection = self.connect(database).await?;
        let mut session = Session { connection, version: 0, pid: 0 };
        session.run("prepare the session", SESSION).await?;
        let (version, pid): (i32, i32) = session
            .row("ask for the server's version", "SELECT current_setting('server_version_num')::int4, pg_backend_pid()")
            .await?;
        session.pid = pid;
        session.version = u32::try_from(version).unwrap_or_default();
        if session.version < 120_000 {
            return Err(Error::new(ErrorKind::Unsupported, "this version of PostgreSQL is not supported")
                .with("version", shown(session.version))
                .with("hint", "12 is the oldest that is"));
        }
        // Settings that older servers do not have.
        let mut newer = String::new();
        if session.version >= 140_000 {
            newer.push_str("SET SESSION idle_session_timeout = 0;");
            // Not every system that a server runs on can do this, and none has to.
            let _ = session.run("prepare the session", "SET SESSION client_connection_check_interval = '10s'").await;
        }
        if session.version >= 170_000 {
            newer.push_str("SET SESSION transaction_timeout = 0;");
        }
        let lock = self.lock_timeout.as_millis();
        let _ = write!(newer, "SET SESSION lock_timeout = {lock};");
        session.run("prepare the session", &newer).await?;
        Ok(session)
    }

    async fn connect(&self, database: &str) -> Result<PgConnection> {
        let options = self.options(database);
        let connecting = PgConnection::connect_with(&options);
        let late = || {
            Error::new(ErrorKind::Timeout, "the server did not answer in time")
                .with("after", format!("{} s", self.connect_timeout.as_secs()))
                .with_retry(Retry::Later)
        };
        let connected = tokio::time::timeout(self.connect_timeout, connecting).await;
        let connected = connected.map_err(|_| late())?.map_err(|e| self.refused(e));
        connected.map_err(|e| e.with("server", self.address()).with("database", database))
    }

    fn refused(&self, error: sqlx::Error) -> Error {
        let text = error.to_string();
        let error = failed(error, "connect");
        match error.context("sqlstate") {
            // What TLS has to do with it is in the message only.
            Some("28000") if text.contains("no encryption") || text.contains("SSL off") => {
                error.with("hint", "the server wants TLS: `tls = \"require\"` or, better, \"verify-full\"")
            }
            Some("28P01" | "28000") if self.password.is_none() => error
                .with("hint", "no password was given: PGPASSWORD, ~/.pgpass, or `password_file` in the configuration"),
            _ => error,
        }
    }

    /// Host and port, for people.
    pub(super) fn address(&self) -> String {
        let place = self.place();
        if place.contains(':') { format!("[{place}]:{}", self.port) } else { format!("{place}:{}", self.port) }
    }

    /// For connections of a pool, which keep more statements prepared.
    #[cfg(feature = "inspect")]
    pub(super) fn pooled(&self, database: &str) -> PgConnectOptions {
        self.options(database).statement_cache_capacity(100)
    }

    fn options(&self, database: &str) -> PgConnectOptions {
        let mode = match self.tls.mode {
            TlsMode::Disable => PgSslMode::Disable,
            TlsMode::Prefer => PgSslMode::Prefer,
            TlsMode::Require => PgSslMode::Require,
            TlsMode::VerifyCa => PgSslMode::VerifyCa,
            TlsMode::VerifyFull => PgSslMode::VerifyFull,
        };
        let mut options = PgConnectOptions::new_without_pgpass()
            .host(&self.place())
            .port(self.port)
            .username(&self.user)
            .database(database)
            .ssl_mode(mode)
            .application_name("kronos")
            .statement_cache_capacity(16)
            .disable_statement_logging();
        if let Some(password) = &self.password {
            options = options.password(password.expose());
        }
        if let Some(ca) = &self.tls.ca {
            options = options.ssl_root_cert(ca);
        }
        if let (Some(certificate), Some(key)) = (&self.tls.certificate, &self.tls.key) {
            options = options.ssl_client_cert(certificate).ssl_client_key(key);
        }
        options
    }
}

impl Session {
    /// Runs statements without an answer.
    pub(super) async fn run(&mut self, what: &'static str, sql: &str) -> Result<()> {
        let done = sqlx::raw_sql(sqlx::AssertSqlSafe(sql)).execute(&mut self.connection).await;
        done.map(drop).map_err(|e| failed(e, what))
    }

    /// The rows of a query without parameters.
    pub(super) async fn rows<T>(&mut self, what: &'static str, sql: &str) -> Result<Vec<T>>
    where
        T: for<'r> sqlx::FromRow<'r, sqlx::postgres::PgRow> + Send + Unpin,
    {
        let query = sqlx::query_as(sqlx::AssertSqlSafe(sql)).persistent(false);
        query.fetch_all(&mut self.connection).await.map_err(|e| failed(e, what))
    }

    /// The only row of a query without parameters.
    pub(super) async fn row<T>(&mut self, what: &'static str, sql: &str) -> Result<T>
    where
        T: for<'r> sqlx::FromRow<'r, sqlx::postgres::PgRow> + Send + Unpin,
    {
        let query = sqlx::query_as(sqlx::AssertSqlSafe(sql)).persistent(false);
        query.fetch_one(&mut self.connection).await.map_err(|e| failed(e, what))
    }

    /// Ends the session. That it may be gone already is no matter.
    pub(super) async fn close(self) {
        let _ = tokio::time::timeout(Duration::from_secs(5), self.connection.close()).await;
    }
}

/// `15.4` of 150004.
pub(super) fn shown(version: u32) -> String {
    format!("{}.{}", version / 10_000, version % 10_000)
}
