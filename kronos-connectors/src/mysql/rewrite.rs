//! Statements of the server changed where they must be: without their definer, for a database of
//! another name. What stands in quotes or comments stays as it is.

use super::names::ident;

/// A piece of a statement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Token<'a> {
    pub text: &'a str,
    /// Where it begins.
    pub at: usize,
}

impl<'a> Token<'a> {
    pub(super) fn is(&self, word: &str) -> bool {
        self.text.eq_ignore_ascii_case(word)
    }

    fn end(&self) -> usize {
        self.at + self.text.len()
    }

    /// The name that it is, if it is one.
    pub(super) fn name(&self) -> Option<String> {
        match self.text.strip_prefix('`').and_then(|text| text.strip_suffix('`')) {
            Some(inner) => Some(inner.replace("``", "`")),
            None => self.text.starts_with(is_of_word).then(|| self.text.to_owned()),
        }
    }

    pub(super) fn is_text(&self) -> bool {
        self.text.starts_with(['\'', '"'])
    }

    fn is_comment(&self) -> bool {
        // What stands in `/*! … */` is meant, and comes in tokens of its own.
        self.text.starts_with("/*") || self.text.starts_with("--") || self.text.starts_with('#')
    }

    fn rest(&self, of: &'a str) -> &'a str {
        &of[self.end()..]
    }
}

fn is_of_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_' || c == '$' || c == '@'
}

/// The words, names, texts and signs of a statement.
pub(super) fn tokens(sql: &str) -> Vec<Token<'_>> {
    let mut found = Vec::new();
    let mut at = 0;
    while let Some(c) = sql[at..].chars().next() {
        let rest = &sql[at..];
        let length = match c {
            _ if c.is_whitespace() => {
                at += c.len_utf8();
                continue;
            }
            '`' | '\'' | '"' => quoted(rest, c),
            '/' if rest.starts_with("/*!") || rest.starts_with("/*M!") => {
                // Up to the digits of the version.
                let open = rest.find('!').map_or(3, |at| at + 1);
                open + rest[open..].find(|c: char| !c.is_ascii_digit()).unwrap_or(0)
            }
            '/' if rest.starts_with("/*") => rest.find("*/").map_or(rest.len(), |end| end + 2),
            '#' => rest.find('\n').unwrap_or(rest.len()),
            '-' if rest.starts_with("-- ") || rest.starts_with("--\n") => rest.find('\n').unwrap_or(rest.len()),
            _ if is_of_word(c) => rest.find(|c| !is_of_word(c)).unwrap_or(rest.len()),
            _ => c.len_utf8(),
        };
        found.push(Token { text: &rest[..length], at });
        at += length;
    }
    found
}

/// The length of what stands in quotes.
fn quoted(text: &str, quote: char) -> usize {
    let mut chars = text.char_indices().skip(1).peekable();
    while let Some((at, c)) = chars.next() {
        match c {
            '\\' if quote != '`' => drop(chars.next()),
            _ if c == quote => match chars.peek() {
                Some((_, next)) if *next == quote => drop(chars.next()),
                _ => return at + c.len_utf8(),
            },
            _ => {}
        }
    }
    text.len()
}

/// A statement without `DEFINER = …`: whoever runs it is the definer.
pub(super) fn without_definer(sql: &str) -> String {
    let found = tokens(sql);
    // It comes before the name of what is made; bodies may have the word too.
    let Some(first) = found.iter().take(8).position(|token| token.is("DEFINER")) else { return sql.to_owned() };
    if found.get(first + 1).is_none_or(|token| token.text != "=") {
        return sql.to_owned();
    }
    // `user`@`host`, `role`, or CURRENT_USER.
    let mut last = first + 2;
    if let Some(at) = found.get(last + 1).filter(|token| token.text.starts_with('@')) {
        last += if at.text == "@" { 2 } else { 1 };
    }
    let Some(end) = found.get(last) else { return sql.to_owned() };
    format!("{}{}", &sql[..found[first].at], end.rest(sql).trim_start())
}

/// Who a statement says is the definer: user and host.
pub(super) fn definer(sql: &str) -> Option<(String, String)> {
    let found = tokens(sql);
    let first = found.iter().take(8).position(|token| token.is("DEFINER"))?;
    let (user, at) = (found.get(first + 2)?, found.get(first + 3)?);
    let host = if at.text == "@" { found.get(first + 4)?.name()? } else { at.text.strip_prefix('@')?.to_owned() };
    Some((user.name()?, host))
}

/// Which part of a statement may be rewritten.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    /// All of it: the server has written it.
    All,
    /// The same, where columns stand behind names of tables, which may be those of databases too.
    View,
    /// What stands before the body that a user has written.
    Head,
}

/// A statement in which names of a database are those of another.
pub(super) fn moved(sql: &str, from: &str, to: &str, part: Part) -> String {
    let found = tokens(sql);
    let body = match part {
        Part::All | Part::View => found.len(),
        Part::Head => found
            .windows(3)
            .position(|three| three[0].is("FOR") && three[1].is("EACH") && three[2].is("ROW"))
            // `AS $$…$$`, in another language: before it, libraries are named with their databases.
            .or_else(|| found.windows(2).position(|two| two[0].is("AS") && two[1].text.starts_with('$')))
            .unwrap_or(0),
    };
    let (mut out, mut begin) = (String::with_capacity(sql.len()), 0);
    for (at, token) in found.iter().enumerate().take(body) {
        if is_qualifier(&found, at, from) && (part != Part::View || is_of_database(&found, at)) {
            out.push_str(&sql[begin..token.at]);
            out.push_str(&ident(to));
            begin = token.end();
        }
    }
    out.push_str(&sql[begin..]);
    out
}

/// Whether a statement names a database in front of something.
pub(super) fn names_database(sql: &str, database: &str) -> bool {
    let found = tokens(sql);
    (0..found.len()).any(|at| is_qualifier(&found, at, database))
}

/// Whether a token is the name of a database before a dot, and not the name of a column's table.
fn is_qualifier(found: &[Token<'_>], at: usize, database: &str) -> bool {
    let is_dot = |at: usize| found.get(at).is_some_and(|token| token.text == ".");
    let token = &found[at];
    !token.is_comment()
        && !token.is_text()
        && token.name().is_some_and(|name| name == database)
        && is_dot(at + 1)
        && (at == 0 || !is_dot(at - 1))
}

/// Whether in the text of a view a name before a dot is that of a database, and not that of a table:
/// it stands before a table and its column, before a function, or where a table stands.
fn is_of_database(found: &[Token<'_>], at: usize) -> bool {
    let is = |at: usize, words: &[&str]| found.get(at).is_some_and(|token| words.iter().any(|word| token.is(word)));
    if is(at + 3, &[".", "("]) {
        return true;
    }
    let Some(before) = (0..at).rev().find(|at| found[*at].text != "(") else { return false };
    let within = before + 1 < at;
    if is(before, &["VIEW", "JOIN", "STRAIGHT_JOIN"]) || (within && is(before, &["NEXTVAL", "LASTVAL", "SETVAL"])) {
        return true;
    }
    // `extract(year from …)` has the word too.
    is(before, &["FROM"]) && function(found, before).is_none_or(|name| !is(name, &["EXTRACT", "TRIM"]))
}

/// What stands before the parenthesis in which a token is.
fn function(found: &[Token<'_>], at: usize) -> Option<usize> {
    let mut depth = 0;
    let open = (0..at).rev().find(|at| match found[*at].text {
        "(" if depth == 0 => true,
        "(" => {
            depth -= 1;
            false
        }
        ")" => {
            depth += 1;
            false
        }
        _ => false,
    })?;
    open.checked_sub(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn definers_are_found_and_left_out() {
        let sql = "CREATE ALGORITHM=UNDEFINED DEFINER=`ro``ot`@`%` SQL SECURITY DEFINER VIEW `v` AS select 1";
        assert_eq!(without_definer(sql), "CREATE ALGORITHM=UNDEFINED SQL SECURITY DEFINER VIEW `v` AS select 1");
        assert_eq!(definer(sql), Some(("ro`ot".into(), "%".into())));
        let plain = "CREATE PROCEDURE `p`() SQL SECURITY DEFINER BEGIN SET @a = 'DEFINER=`x`@`y`'; END";
        assert_eq!(without_definer(plain), plain);
        assert_eq!(without_definer("CREATE DEFINER=me@localhost TRIGGER t"), "CREATE TRIGGER t");
        assert_eq!(without_definer("CREATE DEFINER=`role` PROCEDURE `p`()"), "CREATE PROCEDURE `p`()");
    }

    #[test]
    fn names_of_a_database_become_those_of_another() {
        let sql = "select `shop`.`t`.`a` AS `shop`, 'shop.t', `x`.`shop`.`y` /* shop.t */ from `shop`.`t`";
        let expected = "select `new`.`t`.`a` AS `shop`, 'shop.t', `x`.`shop`.`y` /* shop.t */ from `new`.`t`";
        assert_eq!(moved(sql, "shop", "new", Part::All), expected);
        let sql = "CREATE TRIGGER shop.tr BEFORE INSERT ON shop.t FOR EACH ROW INSERT INTO shop.log VALUES (1)";
        assert_eq!(
            moved(sql, "shop", "new", Part::Head),
            "CREATE TRIGGER `new`.tr BEFORE INSERT ON `new`.t FOR EACH ROW INSERT INTO shop.log VALUES (1)"
        );
        let sql = "CREATE FUNCTION `f`() RETURNS int LANGUAGE JAVASCRIPT USING (`shop`.`l` AS `l`) AS $$ shop.x $$";
        assert_eq!(moved(sql, "shop", "new", Part::Head), sql.replace("`shop`", "`new`"));
        assert!(names_database("SELECT * FROM shop.t", "shop") && !names_database("SELECT shop FROM t", "shop"));
    }

    #[test]
    fn in_a_view_a_table_may_have_the_name_of_its_database() {
        let same = "CREATE VIEW `v` AS select `s`.`s` AS `s`,`o`.`s` AS `z`,`f`(`s`.`s`) AS `g`,extract(year from `s`.`d`) AS `y` \
            from (`s` join `o` on(`s`.`s` in (1,2))) where exists(select 1 from `s` `t` where (`t`.`s` = `s`.`x`))";
        assert_eq!(moved(same, "s", "new", Part::View), same);
        let two = "CREATE VIEW `s`.`v` AS select `s`.`s`.`x` AS `x`,`s`.`f`(`s`.`i`) AS `i`,nextval(`s`.`q`) AS `q` \
            from ((`s`.`s` join `other`.`o` `s` on(`s`.`i` = 1)) left join `s`.`p` on((`s`.`s`.`i` = 2))) union select 1 from `s`.`s`";
        let expected = "CREATE VIEW `new`.`v` AS select `new`.`s`.`x` AS `x`,`new`.`f`(`s`.`i`) AS `i`,nextval(`new`.`q`) AS `q` \
            from ((`new`.`s` join `other`.`o` `s` on(`s`.`i` = 1)) left join `new`.`p` on((`new`.`s`.`i` = 2))) union select 1 from `new`.`s`";
        assert_eq!(moved(two, "s", "new", Part::View), expected);
    }

    #[test]
    fn quotes_end_where_they_end() {
        let texts: Vec<&str> =
            tokens(r"a 'it''s \' x' `b``c` /*!80023 INVISIBLE */ # rest").iter().map(|t| t.text).collect();
        assert_eq!(texts, ["a", r"'it''s \' x'", "`b``c`", "/*!80023", "INVISIBLE", "*", "/", "# rest"]);
    }
}
