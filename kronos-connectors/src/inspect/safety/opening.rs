//! How a statement begins: what there is to say of one that the parser does not read.

use kronos_core::inspect::{Effect, Severity};
use sqlparser::keywords::Keyword;
use sqlparser::tokenizer::Token;

use super::dialect::Language;
use super::found::Found;
use super::tokens::Tokens;

/// Adds what the first words of each statement say.
pub(super) fn judge(tokens: &Tokens<'_>, found: &mut Found) {
    use Severity::{Critical, High};

    for words in openings(tokens) {
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let (severity, effect, text) = match words.as_slice() {
            ["drop", "user" | "role", ..] => (Critical, Effect::Administers, "DROP USER or ROLE"),
            ["drop", ..] => (Critical, Effect::Defines, "DROP"),
            ["truncate", ..] => (Critical, Effect::Writes, "TRUNCATE empties tables"),
            ["shutdown" | "restart", ..] => (Critical, Effect::Administers, "it stops the server"),
            ["kill", ..] => (Critical, Effect::Administers, "KILL ends another session"),
            ["load", "data" | "xml", ..] => (Critical, Effect::Administers, "LOAD DATA reads a file"),
            ["load" | "install" | "uninstall", ..] => (Critical, Effect::Administers, "it loads code into the server"),
            ["copy", ..] => (Critical, Effect::Administers, "COPY reads or writes a file, or runs a program"),
            ["attach", ..] => (Critical, Effect::Administers, "ATTACH opens, or makes, another file"),
            ["vacuum", rest @ ..] if rest.contains(&"into") => {
                (Critical, Effect::Administers, "VACUUM INTO writes a file")
            }
            ["create", "or", "replace", "table" | "database", ..] => {
                (Critical, Effect::Defines, "CREATE OR REPLACE drops what is there")
            }
            ["grant" | "revoke", ..] => (High, Effect::Administers, "it changes rights"),
            ["alter", "system" | "user" | "role" | "server" | "instance", ..] => {
                (High, Effect::Administers, "ALTER changes the server or its users")
            }
            ["alter" | "rename", ..] => (High, Effect::Defines, "ALTER changes a definition"),
            ["create", "user" | "role", ..] => (High, Effect::Administers, "CREATE USER or ROLE"),
            ["reset" | "purge" | "change" | "flush" | "start" | "stop" | "clone" | "backup", ..] => {
                (High, Effect::Administers, "it commands the server")
            }
            _ => continue,
        };
        found.add(severity, effect, text);
    }
}

/// Whether the text begins, ends or divides a transaction, by the first words of its statements. What the
/// body of a routine begins and ends is none.
pub(super) fn controls_transaction(tokens: &Tokens<'_>) -> bool {
    let has_a_body = has_a_body(tokens);
    openings(tokens).iter().take(if has_a_body { 1 } else { usize::MAX }).any(|words| {
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        matches!(
            words.as_slice(),
            ["begin" | "start" | "commit" | "end" | "abort" | "rollback" | "savepoint" | "release" | "xa", ..]
                | ["prepare" | "set", "transaction", ..]
                | ["set", "session" | "local" | "global", "transaction", ..]
        )
    })
}

/// Whether it is PostgreSQL's `TABLE name` and no more, which the parser does not know.
pub(super) fn is_table(language: Language, tokens: &Tokens<'_>) -> bool {
    let meant: Vec<&Token> =
        tokens.meaning().map(|(_, token)| token).filter(|token| **token != Token::SemiColon).collect();
    let is_name = |token: &Token| matches!(token, Token::Word(_));
    let [Token::Word(first), name @ ..] = meant.as_slice() else { return false };
    language == Language::Postgres
        && tokens.statements() == 1
        && first.quote_style.is_none()
        && first.keyword == Keyword::TABLE
        && matches!(name.len(), 1 | 3)
        && name
            .iter()
            .enumerate()
            .all(|(at, token)| if at % 2 == 0 { is_name(token) } else { **token == Token::Period })
}

/// Whether it may have semicolons in its body.
pub(super) fn has_a_body(tokens: &Tokens<'_>) -> bool {
    let all = openings(tokens);
    let Some(words) = all.first() else { return false };
    let kinds = ["trigger", "procedure", "function", "event", "package"];
    words.first().is_some_and(|word| word == "create")
        && words.iter().take(12).any(|word| kinds.contains(&word.as_str()))
}

/// The text of `PREPARE name FROM 'text'` and `EXECUTE IMMEDIATE 'text'`.
pub(super) fn prepared(language: Language, tokens: &Tokens<'_>) -> Option<String> {
    if language != Language::MySql {
        return None;
    }
    let meant: Vec<&Token> =
        tokens.meaning().map(|(_, token)| token).filter(|token| **token != Token::SemiColon).collect();
    let is = |token: &Token, text: &str| matches!(token, Token::Word(word) if word.value.eq_ignore_ascii_case(text));
    let text = match meant.as_slice() {
        [prepare, Token::Word(_), from, text] if is(prepare, "prepare") && is(from, "from") => text,
        [execute, immediate, text] if is(execute, "execute") && is(immediate, "immediate") => text,
        _ => return None,
    };
    match text {
        Token::SingleQuotedString(text) | Token::DoubleQuotedString(text) => Some(text.clone()),
        _ => None,
    }
}

/// The name of a PRAGMA that stands alone, and whether it is given a value. The parser does not know
/// values that are words.
pub(super) fn pragma(language: Language, tokens: &Tokens<'_>) -> Option<(String, bool)> {
    let meant: Vec<&Token> =
        tokens.meaning().map(|(_, token)| token).filter(|token| **token != Token::SemiColon).collect();
    let [Token::Word(pragma), rest @ ..] = meant.as_slice() else { return None };
    let is_pragma = pragma.quote_style.is_none() && pragma.value.eq_ignore_ascii_case("pragma");
    if language != Language::Sqlite || !is_pragma || tokens.statements() != 1 {
        return None;
    }
    let ([Token::Word(_), Token::Period, Token::Word(name), rest @ ..] | [Token::Word(name), rest @ ..]) = rest else {
        return None;
    };
    let is_value = |token: &Token| matches!(token, Token::Word(_) | Token::Number(..) | Token::SingleQuotedString(_));
    let has_value = match rest {
        [] => false,
        [Token::Eq, value] | [Token::LParen, value, Token::RParen] if is_value(value) => true,
        [Token::Eq, Token::Minus | Token::Plus, Token::Number(..)]
        | [Token::LParen, Token::Minus | Token::Plus, Token::Number(..), Token::RParen] => true,
        _ => return None,
    };
    Some((name.value.to_ascii_lowercase(), has_value))
}

/// The words of each statement, in lower case, as far as an opening goes.
fn openings(tokens: &Tokens<'_>) -> Vec<Vec<String>> {
    const WORDS: usize = 24;
    let mut all = vec![Vec::new()];
    for (_, token) in tokens.meaning() {
        let Some(last) = all.last_mut() else { continue };
        match token {
            Token::SemiColon => all.push(Vec::new()),
            Token::Word(word) if last.len() < WORDS => last.push(word.value.to_lowercase()),
            _ => {}
        }
    }
    all
}
