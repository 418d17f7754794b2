//! SQL as `pg_dump` and `pg_dumpall` write it, taken apart into statements and words, by the rules
//! of PostgreSQL's lexer as far as they decide where a statement ends.

/// A word of a statement: where it begins and ends in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Word<'a> {
    pub text: &'a str,
    /// Its place in the statement.
    pub at: usize,
}

impl Word<'_> {
    /// Whether it is that keyword, which is given in capitals.
    pub(super) fn is(&self, keyword: &str) -> bool {
        self.text.eq_ignore_ascii_case(keyword)
    }

    /// The identifier that it is, without its quotes.
    pub(super) fn name(&self) -> String {
        match self.text.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')) {
            Some(quoted) => quoted.replace("\"\"", "\""),
            None => self.text.to_ascii_lowercase(),
        }
    }
}

/// The statements of a script, without comments before them, without semicolons, without the
/// commands of `psql` that begin with a backslash.
///
/// What is in a statement is never looked at, but for quotes, comments and parentheses.
pub(super) fn statements(script: &str) -> Vec<&str> {
    let mut found = Vec::new();
    let mut rest = script;
    loop {
        rest = skip_between(rest);
        if rest.is_empty() {
            return found;
        }
        let mut depth = 0_usize;
        let mut end = 0;
        while end < rest.len() {
            let length = token(&rest[end..]);
            match rest.as_bytes()[end] {
                b';' if depth == 0 => break,
                b'(' => depth += 1,
                b')' => depth = depth.saturating_sub(1),
                _ => {}
            }
            end += length;
        }
        found.push(rest[..end].trim_end());
        rest = rest.get(end + 1..).unwrap_or_default();
    }
}

/// The words of a statement: identifiers, strings, signs.
pub(super) fn words(statement: &str) -> Vec<Word<'_>> {
    let mut words = Vec::new();
    let mut at = 0;
    while at < statement.len() {
        let rest = &statement[at..];
        let blank = blank(rest);
        if blank > 0 {
            at += blank;
            continue;
        }
        let length = token(rest);
        words.push(Word { text: &rest[..length], at });
        at += length;
    }
    words
}

/// Blanks, comments, and the lines of `psql` between statements.
fn skip_between(mut rest: &str) -> &str {
    loop {
        let blank = blank(rest);
        if blank > 0 {
            rest = &rest[blank..];
        } else if rest.starts_with('\\') {
            rest = rest.split_once('\n').map_or("", |(_, rest)| rest);
        } else {
            return rest;
        }
    }
}

/// The length of the blanks or the comment that a text begins with.
fn blank(text: &str) -> usize {
    if text.starts_with("--") {
        return text.find('\n').map_or(text.len(), |end| end + 1);
    }
    if text.starts_with("/*") {
        return block_comment(text);
    }
    text.len() - text.trim_start_matches([' ', '\t', '\n', '\r', '\x0c']).len()
}

/// Comments in `/* */` may hold others.
fn block_comment(text: &str) -> usize {
    let bytes = text.as_bytes();
    let (mut depth, mut at) = (0_usize, 0);
    while at < bytes.len() {
        match bytes.get(at..at + 2) {
            Some(b"/*") => (depth, at) = (depth + 1, at + 2),
            Some(b"*/") => {
                (depth, at) = (depth - 1, at + 2);
                if depth == 0 {
                    return at;
                }
            }
            _ => at += 1,
        }
    }
    bytes.len()
}

/// The length of the token that a text begins with; blanks and comments are tokens too.
fn token(text: &str) -> usize {
    let blank = blank(text);
    if blank > 0 {
        return blank;
    }
    let mut chars = text.chars();
    match (chars.next(), chars.next()) {
        (Some('"'), _) => quoted(text, '"', false),
        (Some('\''), _) => quoted(text, '\'', false),
        (Some('e' | 'E'), Some('\'')) => 1 + quoted(&text[1..], '\'', true),
        (Some('$'), _) => dollar_quoted(text).unwrap_or(1),
        (Some(c), _) if is_start(c) => {
            text.find(|c: char| !is_start(c) && !c.is_ascii_digit() && c != '$').unwrap_or(text.len())
        }
        (Some(c), _) if c.is_ascii_digit() => {
            text.find(|c: char| !is_start(c) && !c.is_ascii_digit() && c != '.').unwrap_or(text.len())
        }
        (Some(c), _) => c.len_utf8(),
        (None, _) => 0,
    }
}

fn is_start(c: char) -> bool {
    c.is_ascii_alphabetic() || c == '_' || !c.is_ascii()
}

/// The length of what stands in quotes, which are doubled inside, or escaped by a backslash.
fn quoted(text: &str, quote: char, escapes: bool) -> usize {
    let mut chars = text.char_indices().skip(1).peekable();
    while let Some((at, c)) = chars.next() {
        if c == '\\' && escapes {
            chars.next();
        } else if c == quote && chars.next_if(|(_, next)| *next == quote).is_none() {
            return at + 1;
        }
    }
    text.len()
}

/// The length of `$tag$…$tag$`.
fn dollar_quoted(text: &str) -> Option<usize> {
    let end = text[1..].find('$')? + 2;
    let tag = &text[..end];
    let inner = &tag[1..end - 1];
    let is_tag =
        inner.chars().all(|c| is_start(c) || c.is_ascii_digit()) && !inner.starts_with(|c: char| c.is_ascii_digit());
    if !is_tag {
        return None;
    }
    Some(text[end..].find(tag).map_or(text.len(), |close| end + close + end))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_statement_ends_at_its_own_semicolon() {
        let script = "--\n-- Name: x; Type: y\n--\n\n\\restrict abc\nSET a = 'x;y';\n\
            CREATE FUNCTION f() RETURNS int AS $_$ select 1; -- $$ ;\n$_$ LANGUAGE sql;\n\
            CREATE RULE r AS ON INSERT TO t DO (SELECT 1; SELECT 2);\n\
            COMMENT ON ROLE \"a;b\" IS E'x\\';y' /* ; /* ; */ ; */;\nSELECT 1";
        let found = statements(script);
        assert_eq!(found.len(), 5, "{found:#?}");
        assert_eq!(found[0], "SET a = 'x;y'");
        assert!(found[1].ends_with("LANGUAGE sql") && found[2].ends_with("SELECT 2)"));
        assert_eq!(found[4], "SELECT 1");
    }

    #[test]
    fn words_know_their_names_and_places() {
        let statement = "ALTER ROLE \"we\"\"ird\" IN DATABASE Shop SET x TO 'a', $1$b$1$";
        let words = words(statement);
        assert!(words[0].is("ALTER") && words[1].is("role"));
        assert_eq!((words[2].name(), words[5].name()), ("we\"ird".to_owned(), "shop".to_owned()));
        assert_eq!(&statement[words[5].at..][..4], "Shop");
        assert_eq!(words.iter().filter(|w| w.text == ",").count(), 1);
    }

    #[test]
    fn what_is_never_closed_ends_with_the_text() {
        for open in ["'abc", "\"abc", "$a$ abc", "/* abc", "E'abc\\", "$", "$a", "ü$", ""] {
            assert!(statements(open).len() <= 1 && words(open).iter().all(|w| !w.text.is_empty()), "{open}");
        }
    }
}
