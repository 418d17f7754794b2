//! The statement that makes a table, in two steps: what rows need, and what is faster made when they
//! are there. Together they make the same table.

use super::rewrite::{Token, tokens};

/// A table to be made in two steps.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Split {
    /// Makes the table.
    pub create: String,
    /// Secondary keys that are added together.
    pub keys: Vec<String>,
    /// Keys that are added one by one.
    pub singles: Vec<String>,
    /// Foreign keys.
    pub foreign: Vec<String>,
    /// Columns that have the next value of a sequence as their default, with that expression.
    pub sequences: Vec<(String, String)>,
}

/// Splits what `SHOW CREATE TABLE` says. MySQL says the collation of a column that has it from its
/// table, and would say more of a column that was made with it.
pub(super) fn split(create: &str, is_mariadb: bool) -> Split {
    let found = tokens(create);
    let whole = || Split { create: create.to_owned(), ..Split::default() };
    let Some(open) = found.iter().position(|token| token.text == "(") else { return whole() };
    let Some((parts, close)) = parts(&found, open) else { return whole() };
    let tail = &found[close..];
    let has = |words: &[&str]| {
        tail.windows(words.len()).any(|some| some.iter().zip(words).all(|(token, word)| token.is(word)))
    };
    let is_innodb = has(&["ENGINE", "=", "InnoDB"]);
    // What has a history is not altered.
    let is_plain = is_innodb && !has(&["WITH", "SYSTEM", "VERSIONING"]);
    let counted = counted(&parts);
    let primary = parts.iter().find(|part| part[0].is("PRIMARY")).and_then(|part| first_column(part));
    let needed = counted.filter(|name| primary.as_ref() != Some(name));

    let mut split = Split::default();
    let mut kept = Vec::new();
    for part in &parts {
        let text = text(create, part);
        let has = |word: &str| part.iter().any(|token| token.is(word));
        let starts = |words: &[&str]| words.iter().zip(part).all(|(word, token)| token.is(word));
        let is_key = part[0].is("KEY") || starts(&["UNIQUE", "KEY"]) || starts(&["SPATIAL", "KEY"]);
        let is_single = starts(&["FULLTEXT", "KEY"]) || starts(&["VECTOR", "KEY"]);
        let is_special = has("OVERLAPS") || (starts(&["UNIQUE", "KEY"]) && has("HASH"));
        match () {
            () if part[0].is("CONSTRAINT") && part.get(2).is_some_and(|token| token.is("FOREIGN")) => {
                split.foreign.push(text.to_owned());
                continue;
            }
            () if is_plain && is_single => split.singles.push(text.to_owned()),
            () if is_plain && is_key && !is_special && (needed.is_none() || first_column(part) != needed) => {
                split.keys.push(text.to_owned());
            }
            () if !is_mariadb && part[0].text.starts_with('`') => kept.push(without_collation(create, part)),
            () => kept.push(text.to_owned()),
        }
        split.sequences.extend(next_value(create, part));
    }
    let begin = &create[..=found[open].at];
    split.create = format!("{begin}\n  {}\n{}", kept.join(",\n  "), &create[found[close].at..]);
    split
}

/// Whether what `SHOW CREATE TABLE` says has a primary key.
pub(super) fn has_primary_key(create: &str) -> bool {
    let found = tokens(create);
    let Some(open) = found.iter().position(|token| token.text == "(") else { return false };
    parts(&found, open).is_some_and(|(parts, _)| parts.iter().any(|part| part[0].is("PRIMARY")))
}

/// What stands between the parentheses, in parts with commas between, and where it ends.
fn parts<'a>(found: &[Token<'a>], open: usize) -> Option<(Vec<Vec<Token<'a>>>, usize)> {
    let (mut parts, mut part, mut depth) = (Vec::new(), Vec::new(), 0);
    for (at, token) in found.iter().enumerate().skip(open + 1) {
        match token.text {
            ")" if depth == 0 => {
                parts.push(part);
                return parts.iter().all(|part| !part.is_empty()).then_some((parts, at));
            }
            "," if depth == 0 => parts.push(std::mem::take(&mut part)),
            other => {
                depth += match other {
                    "(" => 1,
                    ")" => -1,
                    _ => 0,
                };
                part.push(*token);
            }
        }
    }
    None
}

fn text<'a>(create: &'a str, part: &[Token<'a>]) -> &'a str {
    match (part.first(), part.last()) {
        (Some(first), Some(last)) => &create[first.at..last.at + last.text.len()],
        _ => "",
    }
}

/// A column without the collation that it has from its table.
fn without_collation(create: &str, part: &[Token<'_>]) -> String {
    let all = text(create, part);
    let mut depth = 0;
    for (at, token) in part.iter().enumerate() {
        match token.text {
            "(" => depth += 1,
            ")" => depth -= 1,
            _ if depth > 0 => {}
            // It has its own.
            _ if token.is("CHARACTER") => break,
            _ if token.is("COLLATE") => {
                let Some(name) = part.get(at + 1) else { break };
                let (begin, end) = (token.at - part[0].at, name.at + name.text.len() - part[0].at);
                return format!("{}{}", all[..begin].trim_end(), &all[end..]);
            }
            _ => {}
        }
    }
    all.to_owned()
}

/// The column that counts by itself.
fn counted(parts: &[Vec<Token<'_>>]) -> Option<String> {
    let column =
        parts.iter().find(|part| part[0].text.starts_with('`') && part.iter().any(|t| t.is("AUTO_INCREMENT")))?;
    column[0].name()
}

/// The first column of a key.
fn first_column(part: &[Token<'_>]) -> Option<String> {
    let open = part.iter().position(|token| token.text == "(")?;
    part.get(open + 1)?.name()
}

/// `DEFAULT nextval(…)` of a column.
fn next_value(create: &str, part: &[Token<'_>]) -> Option<(String, String)> {
    let at = part.windows(2).position(|two| two[0].is("DEFAULT") && (two[1].is("nextval") || two[1].is("lastval")))?;
    let end = part.iter().skip(at).position(|token| token.text == ")")? + at;
    Some((part[0].name()?, create[part[at + 1].at..=part[end].at].to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &str = "CREATE TABLE `t` (\n  `id` int(11) NOT NULL AUTO_INCREMENT,\n  `a, b` enum('x,y','(') DEFAULT 'x,y' COMMENT 'KEY `a` (`b`),\\n',\n  \
        `n` bigint(20) DEFAULT nextval(`shop`.`s`),\n  PRIMARY KEY (`id`),\n  UNIQUE KEY `u` (`a, b`),\n  KEY `k` (`n`,`id`),\n  \
        FULLTEXT KEY `f` (`x`),\n  CONSTRAINT `fk` FOREIGN KEY (`n`) REFERENCES `o` (`id`) ON DELETE CASCADE,\n  CONSTRAINT `c` CHECK (`n` > 0)\n) ENGINE=InnoDB AUTO_INCREMENT=7";

    #[test]
    fn keys_come_after_rows() {
        let split = split(TABLE, true);
        assert_eq!(split.keys, ["UNIQUE KEY `u` (`a, b`)", "KEY `k` (`n`,`id`)"]);
        assert_eq!(split.singles, ["FULLTEXT KEY `f` (`x`)"]);
        assert_eq!(split.foreign, ["CONSTRAINT `fk` FOREIGN KEY (`n`) REFERENCES `o` (`id`) ON DELETE CASCADE"]);
        assert_eq!(split.sequences, [("n".to_owned(), "nextval(`shop`.`s`)".to_owned())]);
        assert!(
            split
                .create
                .ends_with("PRIMARY KEY (`id`),\n  CONSTRAINT `c` CHECK (`n` > 0)\n) ENGINE=InnoDB AUTO_INCREMENT=7"),
            "{}",
            split.create
        );
        assert!(split.create.contains("COMMENT 'KEY `a` (`b`),\\n',"), "{}", split.create);
    }

    #[test]
    fn collations_of_the_table_are_not_said_of_columns() {
        let table = "CREATE TABLE `t` (\n  `a` varchar(50) COLLATE utf8mb4_bin DEFAULT 'COLLATE x',\n  \
            `b` char(1) CHARACTER SET latin1 COLLATE latin1_bin,\n  `c` int GENERATED ALWAYS AS ((_utf8mb4'a' collate utf8mb4_bin)) VIRTUAL\n)";
        let expected = table.replace("50) COLLATE utf8mb4_bin", "50)");
        assert_eq!(split(table, false).create, expected);
        assert_eq!(split(table, true).create, table);
    }

    #[test]
    fn a_key_that_counting_needs_stays() {
        let other = TABLE.replace("PRIMARY KEY (`id`)", "PRIMARY KEY (`n`),\n  KEY `i` (`id`)");
        assert!(split(&other, true).create.contains("KEY `i` (`id`)"));
        assert!(split(&TABLE.replace("InnoDB", "MyISAM"), true).keys.is_empty());
        assert!(split(&format!("{TABLE} WITH SYSTEM VERSIONING"), true).keys.is_empty());
        assert_eq!(split("CREATE TABLE x LIKE y", true).create, "CREATE TABLE x LIKE y");
    }

    #[test]
    fn a_primary_key_is_seen() {
        let with = "CREATE TABLE `t` (\n  `primary` int NOT NULL,\n  PRIMARY KEY (`primary`)\n) ENGINE=InnoDB";
        let without = "CREATE TABLE `t` (\n  `primary` int NOT NULL COMMENT 'PRIMARY KEY',\n  UNIQUE KEY `primary` (`primary`)\n) ENGINE=InnoDB";
        assert!(has_primary_key(with) && !has_primary_key(without));
    }
}
