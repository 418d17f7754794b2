//! A text of SQL: read by its tokens, parsed, and walked through.

use sqlparser::ast::{SetExpr, Statement as Parsed, Visit};
use sqlparser::dialect::Dialect;
use sqlparser::parser::Parser;
use sqlparser::tokenizer::Token;

use super::dialect::Language;
use super::found::Found;
use super::tokens::{LONGEST, Tokens};
use super::walk::{Walk, is_limitable};
use super::{Kind, Statement, opening, pragma, statement, words};
use crate::hidden::without_values;

/// How deep a prepared text may lie in another one.
const PREPARED: usize = 3;

/// One reading of a text.
struct Reading {
    found: Found,
    statements: usize,
    body: String,
    limitable: bool,
    kind: Kind,
    controls_transaction: bool,
}

pub(super) fn read(language: Language, text: &str) -> Statement {
    let reading = all_readings(language, text, PREPARED);
    Statement {
        verdict: reading.found.verdict(reading.statements),
        body: reading.body,
        limitable: reading.limitable,
        kind: reading.kind,
        controls_transaction: reading.controls_transaction,
    }
}

/// What the text is by any setting of the server, the worst of it.
fn all_readings(language: Language, text: &str, depth: usize) -> Reading {
    let usual = language.usual();
    let (mut first, tokens) = one_reading(language, usual.as_ref(), text, depth);
    let Some(other) = language.other().filter(|_| tokens.is_some_and(|tokens| tokens.has_backslashes())) else {
        return first;
    };
    // What has an open string by that setting does not run by it.
    let Ok(otherwise) = Tokens::read(other.as_ref(), text) else { return first };
    let is_same = Tokens::read(usual.as_ref(), text).is_ok_and(|tokens| tokens.places == otherwise.places);
    if !is_same {
        let (second, _) = one_reading(language, other.as_ref(), text, depth);
        first.statements = first.statements.max(second.statements);
        first.limitable = false;
        first.controls_transaction |= second.controls_transaction;
        if second.kind != first.kind {
            first.kind = Kind::Other;
        }
        first.found.join(second.found);
        first.found.not_understood("a backslash in a string has a meaning by some settings only");
    }
    first
}

fn one_reading<'a>(
    language: Language,
    dialect: &dyn Dialect,
    text: &'a str,
    depth: usize,
) -> (Reading, Option<Tokens<'a>>) {
    let mut reading = Reading {
        found: Found::default(),
        statements: 1,
        body: text.to_owned(),
        limitable: false,
        kind: Kind::Other,
        controls_transaction: false,
    };
    if text.len() > LONGEST {
        reading.found.not_understood("it is too long");
        return (reading, None);
    }
    if text.contains('\0') {
        reading.found.not_understood("it has a null character");
        return (reading, None);
    }
    let tokens = match Tokens::read(dialect, text) {
        Ok(tokens) => tokens,
        Err(error) => {
            reading.found.not_understood(error);
            return (reading, None);
        }
    };
    reading.body = tokens.body();
    words::judge(language, &tokens, &mut reading.found);
    if let Some(doubt) = tokens.doubt(language) {
        reading.found.not_understood(doubt);
        opening::judge(&tokens, &mut reading.found);
        reading.statements = tokens.statements().max(1);
        reading.controls_transaction = opening::controls_transaction(&tokens);
        return (reading, Some(tokens));
    }
    if depth > 0
        && let Some(inner) = opening::prepared(language, &tokens)
    {
        reading.found.add(
            kronos_core::inspect::Severity::Medium,
            kronos_core::inspect::Effect::Session,
            "a text is prepared, or run, as a statement",
        );
        let inner = all_readings(language, &inner, depth - 1);
        if inner.statements != 1 {
            reading.found.not_understood("more than one statement is in it");
        }
        reading.found.join(inner.found);
        reading.controls_transaction = inner.controls_transaction;
        return (reading, Some(tokens));
    }
    if opening::is_table(language, &tokens) {
        reading.limitable = true;
        reading.kind = Kind::Query;
        return (reading, Some(tokens));
    }
    if let Some((name, has_value)) = opening::pragma(language, &tokens) {
        pragma::judge(&name, has_value, &mut reading.found);
        return (reading, Some(tokens));
    }
    let meant: Vec<_> = tokens.all.iter().filter(|token| token.token != Token::EOF).cloned().collect();
    match Parser::new(dialect).with_tokens_with_locations(meant).parse_statements() {
        Ok(parsed) => {
            let apart = if language == Language::MySql { tokens.apart() } else { Vec::new() };
            of_parsed(Walk::new(language, apart), &parsed, &mut reading);
        }
        Err(error) => {
            // A text may be what was found in the place of something else.
            reading.found.not_understood(without_values(&error.to_string()));
            opening::judge(&tokens, &mut reading.found);
            reading.statements = if opening::has_a_body(&tokens) { 1 } else { tokens.statements().max(1) };
            reading.controls_transaction = opening::controls_transaction(&tokens);
        }
    }
    (reading, Some(tokens))
}

fn of_parsed(mut walk: Walk, parsed: &[Parsed], reading: &mut Reading) {
    let language = walk.language;
    for statement in parsed {
        let _ = statement.visit(&mut walk);
    }
    reading.found.join(walk.found);
    reading.statements = parsed.len().max(1);
    reading.controls_transaction = parsed.iter().any(statement::controls_transaction);
    match parsed {
        [] => reading.found.not_understood("there is nothing in it"),
        [only] => {
            reading.kind = kind(only);
            reading.limitable = matches!(only, Parsed::Query(query) if is_limitable(language, query));
        }
        more => reading.found.not_understood(format!("{} statements are in it", more.len())),
    }
}

fn kind(statement: &Parsed) -> Kind {
    match statement {
        Parsed::Query(query) => {
            let mut body = query.body.as_ref();
            while let SetExpr::Query(query) = body {
                body = &query.body;
            }
            match body {
                SetExpr::Insert(_) => Kind::Insert,
                SetExpr::Update(_) => Kind::Update,
                SetExpr::Delete(_) => Kind::Delete,
                SetExpr::Merge(_) => Kind::Merge,
                _ => Kind::Query,
            }
        }
        Parsed::Insert(_) => Kind::Insert,
        Parsed::Update(_) => Kind::Update,
        Parsed::Delete(_) => Kind::Delete,
        Parsed::Merge(_) => Kind::Merge,
        _ => Kind::Other,
    }
}
