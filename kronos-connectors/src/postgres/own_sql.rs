//! Statements about a database itself, as `pg_restore` writes them, for another name and for the
//! server that has to understand them.

use std::fmt::Write as _;

use super::names::ident;
use super::statements::{Word, words};

/// The word that is the database's name, in a statement about a database.
pub(super) fn database_word<'a>(words: &[Word<'a>]) -> Option<Word<'a>> {
    let is = |at: usize, keyword: &str| words.get(at).is_some_and(|word| word.is(keyword));
    let at = match () {
        () if (is(0, "CREATE") || is(0, "ALTER")) && is(1, "DATABASE") => 2,
        () if is(0, "ALTER") && is(1, "ROLE") && is(3, "IN") && is(4, "DATABASE") => 5,
        () if is(0, "COMMENT") && is(2, "DATABASE") => 3,
        () if is(0, "GRANT") || is(0, "REVOKE") || (is(0, "SECURITY") && is(1, "LABEL")) => {
            let on = words.iter().position(|word| word.is("ON"))?;
            if !is(on + 1, "DATABASE") {
                return None;
            }
            on + 2
        }
        () => return None,
    };
    words.get(at).copied()
}

/// Makes the statement that makes a database one that a server of a version knows.
pub(super) fn fit(sql: &mut String, version: u32) {
    if version < 150_000 {
        // There is no other than the system's.
        let _ = take_option(sql, "LOCALE_PROVIDER");
    } else if !words(sql).iter().any(|word| word.is("LOCALE_PROVIDER")) {
        // Servers before 15 had no other. The template of a newer one may have another.
        sql.push_str(" LOCALE_PROVIDER = libc");
    }
    if version < 130_000
        && let Some(locale) = take_option(sql, "LOCALE")
    {
        let _ = write!(sql, " LC_COLLATE = {locale} LC_CTYPE = {locale}");
    }
}

/// Takes `NAME = value` out of a statement; gives the value as it was written.
pub(super) fn take_option(sql: &mut String, name: &str) -> Option<String> {
    let found = words(sql);
    let at = found.windows(3).find(|three| three[0].is(name) && three[1].text == "=")?;
    let (cut, value) = (at[0].at..at[2].at + at[2].text.len(), at[2].text.to_owned());
    sql.replace_range(cut, "");
    Some(value)
}

/// A statement about a database, about one of another name.
pub(super) fn renamed(statement: &str, name: &str) -> String {
    match database_word(&words(statement)) {
        Some(word) => format!("{}{}{}", &statement[..word.at], ident(name), &statement[word.at + word.text.len()..]),
        None => statement.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_statement_about_a_database_gets_another_name() {
        let other = |statement: &str| renamed(statement, "new");
        assert_eq!(
            other("CREATE DATABASE shop WITH ENCODING = 'UTF8'"),
            "CREATE DATABASE \"new\" WITH ENCODING = 'UTF8'"
        );
        assert_eq!(
            other("ALTER ROLE app IN DATABASE \"a b\" SET x TO 'DATABASE'"),
            "ALTER ROLE app IN DATABASE \"new\" SET x TO 'DATABASE'"
        );
        assert_eq!(other("COMMENT ON DATABASE shop IS 'shop'"), "COMMENT ON DATABASE \"new\" IS 'shop'");
        assert_eq!(other("GRANT CONNECT ON DATABASE shop TO shop"), "GRANT CONNECT ON DATABASE \"new\" TO shop");
        assert_eq!(other("GRANT SELECT ON TABLE shop TO shop"), "GRANT SELECT ON TABLE shop TO shop");
        assert_eq!(other("COMMENT ON SCHEMA database IS 'x'"), "COMMENT ON SCHEMA database IS 'x'");
    }

    #[test]
    fn a_database_is_made_in_the_words_of_its_server() {
        let made = |version| {
            let mut sql =
                "CREATE DATABASE x WITH TEMPLATE = template0 ENCODING = 'UTF8' LOCALE_PROVIDER = libc LOCALE = 'C.UTF-8'".to_owned();
            fit(&mut sql, version);
            words(&sql).iter().map(|word| word.text).collect::<Vec<_>>().join(" ")
        };
        let begin = "CREATE DATABASE x WITH TEMPLATE = template0 ENCODING = 'UTF8'";
        assert_eq!(made(120_022), format!("{begin} LC_COLLATE = 'C.UTF-8' LC_CTYPE = 'C.UTF-8'"));
        assert_eq!(made(140_000), format!("{begin} LOCALE = 'C.UTF-8'"));
        assert!(made(150_000).starts_with(&format!("{begin} LOCALE_PROVIDER = libc LOCALE = 'C.UTF-8'")));
        let mut old = format!("{begin} LOCALE = 'C'");
        fit(&mut old, 150_000);
        assert_eq!(old, format!("{begin} LOCALE = 'C' LOCALE_PROVIDER = libc"));
    }
}
