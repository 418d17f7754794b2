//! Cases that are changed at random: nothing panics, and blanks, comments and case between tokens make
//! nothing safe.

use kronos_connectors::inspect::judge;
use kronos_core::Engine;
use libtest_mimic::Trial;
use proptest::prelude::*;
use proptest::sample::Index;
use proptest::test_runner::{Config, TestCaseError, TestRunner};
use sqlparser::dialect::{Dialect, MySqlDialect, PostgreSqlDialect, SQLiteDialect};
use sqlparser::tokenizer::{Location, Token, Tokenizer};

use crate::cases::engines;

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        Trial::test("nothing_panics", || {
            nothing_panics();
            Ok(())
        }),
        Trial::test("blanks_comments_and_case_make_nothing_safe", || {
            nothing_becomes_safe();
            Ok(())
        }),
    ]
}

fn runner() -> TestRunner {
    let cases = std::env::var("KRONOS_FUZZ_CASES").map_or(1500, |n| n.parse().unwrap());
    TestRunner::new(Config { cases, failure_persistence: None, ..Config::default() })
}

/// A text that is put somewhere.
fn piece() -> impl Strategy<Value = String> {
    prop_oneof![proptest::sample::select(PIECES).prop_map(str::to_owned), "\\PC{0,6}"]
}

const PIECES: &[&str] = &[
    "'",
    "\"",
    "`",
    "$$",
    "$a$",
    "/*",
    "*/",
    "/*!",
    "--",
    "#",
    ";",
    "(",
    ")",
    "\\",
    "\\'",
    "::",
    "{",
    "}",
    "[",
    "]",
    " OR 1=1",
    " AND ",
    " NOT ",
    "NULL",
    "0",
    "1",
    ":=",
    "@a",
    "$1",
    "?",
    "\0",
    "\r",
    "\u{a0}",
    "é",
    "\u{1F600}",
    "E'",
    "U&'",
    "N'",
    "X'",
    " UNION ",
    " INTO ",
    "SELECT ",
    "DROP TABLE t",
    "EXPLAIN ",
    "WITH x AS (",
    "CASE WHEN ",
    "INTERVAL ",
    ",",
    ".",
];

fn nothing_panics() {
    let all: Vec<(Engine, String)> = engines()
        .into_iter()
        .flat_map(|(engine, cases)| cases.into_iter().map(move |case| (engine.clone(), case.text)))
        .collect();
    let edits = proptest::collection::vec((any::<Index>(), any::<Index>(), piece(), any::<bool>()), 1..6);
    let mutation = (any::<Index>(), any::<Index>(), edits);
    let ran = runner().run(&mutation, |(one, other, edits)| {
        let ((engine, text), (_, others)) = (one.get(&all), other.get(&all));
        let mut chars: Vec<char> = text.chars().collect();
        for (from, to, piece, is_splice) in edits {
            let (from, to) = (from.index(chars.len() + 1), to.index(chars.len() + 1));
            let (from, to) = (from.min(to), from.max(to).min(from.min(to) + 8));
            let new = if is_splice { others } else { &piece };
            chars.splice(from..to, new.chars());
        }
        let text: String = chars.into_iter().collect();
        let verdict = judge(engine, &text);
        let is_caught = verdict.to_string().contains("the parser failed");
        prop_assert!(!is_caught, "{engine} {text:?}");
        prop_assert!(verdict.statements > 0, "{engine} {text:?}");
        Ok(())
    });
    ran.unwrap();
}

fn nothing_becomes_safe() {
    let all: Vec<(Engine, Vec<(bool, String)>)> = engines()
        .into_iter()
        .filter(|(engine, _)| *engine != Engine::MONGODB)
        .flat_map(|(engine, cases)| {
            let needs = cases.into_iter().filter(|case| judge(&engine, &case.text).requires_confirmation);
            let split = needs.filter_map(|case| pieces(&engine, &case.text)).collect::<Vec<_>>();
            split.into_iter().map(move |pieces| (engine.clone(), pieces))
        })
        .collect();
    assert!(all.len() > 200, "{}", all.len());
    let blanks =
        proptest::sample::select(&["", "", "", " ", "\n", "\t", "/* x */", "/**/", "-- ;\n", " -- '\n", "\r\n"][..]);
    let mutation = (any::<Index>(), proptest::collection::vec((blanks, any::<bool>()), 64));
    let ran = runner().run(&mutation, |(at, changes)| {
        let (engine, pieces) = at.get(&all);
        let mut text = String::new();
        for (n, (is_word, piece)) in pieces.iter().enumerate() {
            let (blank, other_case) = changes[n % changes.len()];
            text.push_str(blank);
            for char in piece.chars() {
                let flips = other_case && *is_word && char.is_ascii_alphabetic();
                let flipped =
                    if char.is_ascii_lowercase() { char.to_ascii_uppercase() } else { char.to_ascii_lowercase() };
                text.push(if flips { flipped } else { char });
            }
        }
        let verdict = judge(engine, &text);
        if verdict.requires_confirmation {
            Ok(())
        } else {
            Err(TestCaseError::fail(format!("{engine} {text:?} is {verdict:?}")))
        }
    });
    ran.unwrap();
}

/// The tokens of a text as they stand in it, and which are words.
fn pieces(engine: &Engine, text: &str) -> Option<Vec<(bool, String)>> {
    let dialect: Box<dyn Dialect> = if *engine == Engine::POSTGRES {
        Box::new(PostgreSqlDialect {})
    } else if *engine == Engine::MYSQL {
        Box::new(MySqlDialect {})
    } else {
        Box::new(SQLiteDialect {})
    };
    let tokens = Tokenizer::new(dialect.as_ref(), text).tokenize_with_location().ok()?;
    let mut chars = text.chars().peekable();
    let mut here = Location { line: 1, column: 1 };
    let mut pieces = Vec::new();
    for token in tokens {
        if token.span.start != here {
            return None;
        }
        let mut piece = String::new();
        while here != token.span.end {
            let char = chars.next()?;
            piece.push(char);
            here = if char == '\n' {
                Location { line: here.line + 1, column: 1 }
            } else {
                Location { line: here.line, column: here.column + 1 }
            };
        }
        pieces.push((matches!(&token.token, Token::Word(word) if word.quote_style.is_none()), piece));
    }
    Some(pieces)
}
