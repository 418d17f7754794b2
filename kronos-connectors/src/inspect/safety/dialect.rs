//! The languages, as the parser is told to read them.
#![allow(dead_code, unreachable_pub, reason = "the macro writes more than is used, as `pub`")]

use kronos_core::Engine;
use sqlparser::derive_dialect;
use sqlparser::dialect::{Dialect, MySqlDialect, PostgreSqlDialect, SQLiteDialect};

/// A language of SQL.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Language {
    Postgres,
    MySql,
    Sqlite,
}

// A `;` after COPY … FROM STDIN ends the statement, whatever stands on the next line.
derive_dialect!(
    Postgres,
    PostgreSqlDialect,
    preserve_type_id = true,
    overrides = { supports_copy_from_stdin_data = false }
);
// The same with standard_conforming_strings off.
derive_dialect!(PostgresEscaping, PostgreSqlDialect, preserve_type_id = true, overrides = {
    supports_copy_from_stdin_data = false,
    supports_string_literal_backslash_escape = true
});
// What is in a comment for the server to run must be seen to be a comment, to be refused.
derive_dialect!(MySql, MySqlDialect, preserve_type_id = true, overrides = { supports_multiline_comment_hints = false });
// The same in the mode NO_BACKSLASH_ESCAPES.
derive_dialect!(MySqlPlain, MySqlDialect, preserve_type_id = true, overrides = {
    supports_multiline_comment_hints = false,
    supports_string_literal_backslash_escape = false
});

impl Language {
    /// The language of an engine; `None` for one that does not speak SQL, or that is not known.
    pub(super) fn of(engine: &Engine) -> Option<Self> {
        [(Engine::POSTGRES, Self::Postgres), (Engine::MYSQL, Self::MySql), (Engine::SQLITE, Self::Sqlite)]
            .into_iter()
            .find_map(|(known, language)| (*engine == known).then_some(language))
    }

    /// How the server reads it by default.
    pub(super) fn usual(self) -> Box<dyn Dialect> {
        match self {
            Self::Postgres => Box::new(Postgres::default()),
            Self::MySql => Box::new(MySql::default()),
            Self::Sqlite => Box::new(SQLiteDialect {}),
        }
    }

    /// How it reads it when a setting says otherwise what a backslash in a string is.
    pub(super) fn other(self) -> Option<Box<dyn Dialect>> {
        match self {
            Self::Postgres => Some(Box::new(PostgresEscaping::default())),
            Self::MySql => Some(Box::new(MySqlPlain::default())),
            Self::Sqlite => None,
        }
    }
}
