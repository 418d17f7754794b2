//! A text as its tokens, and where they lie in it.
//!
//! The parser and the server must see the same tokens: a comment that one of them ends elsewhere hides
//! a statement. What they are known to read differently is refused.

use std::ops::Range;

use sqlparser::dialect::Dialect;
use sqlparser::tokenizer::{Location, Token, TokenWithSpan, Tokenizer, Whitespace};

use super::dialect::Language;

/// The longest text that is looked at.
pub(super) const LONGEST: usize = 1 << 20;
/// How long chains of operators may be, all that are open at one place together. Each link is a level
/// of the tree that they are parsed into.
const LONGEST_CHAIN: usize = 4000;

/// A text and its tokens.
#[derive(Debug)]
pub(super) struct Tokens<'a> {
    pub text: &'a str,
    pub all: Vec<TokenWithSpan>,
    /// Where each of them lies.
    pub places: Vec<Range<usize>>,
}

impl<'a> Tokens<'a> {
    pub(super) fn read(dialect: &dyn Dialect, text: &'a str) -> Result<Self, String> {
        let all = Tokenizer::new(dialect, text).tokenize_with_location().map_err(|error| error.to_string())?;
        let places = places(text, &all).ok_or("its tokens do not cover it")?;
        Ok(Self { text, all, places })
    }

    pub(super) fn raw(&self, at: usize) -> &'a str {
        &self.text[self.places[at].clone()]
    }

    /// The tokens that mean something, with their numbers.
    pub(super) fn meaning(&self) -> impl DoubleEndedIterator<Item = (usize, &Token)> {
        self.all
            .iter()
            .enumerate()
            .map(|(at, token)| (at, &token.token))
            .filter(|(_, token)| !matches!(token, Token::Whitespace(_) | Token::EOF))
    }

    /// The words, in lower case, between which and a parenthesis there is something.
    pub(super) fn apart(&self) -> Vec<String> {
        let meant: Vec<(usize, &Token)> = self.meaning().collect();
        let apart = |pair: &[(usize, &Token)]| match pair {
            [(at, Token::Word(word)), (next, Token::LParen)] if at + 1 < *next => Some(word.value.to_lowercase()),
            _ => None,
        };
        meant.windows(2).filter_map(apart).collect()
    }

    /// How many statements there are between semicolons.
    pub(super) fn statements(&self) -> usize {
        let mut count = 0;
        let mut is_open = false;
        for (_, token) in self.meaning() {
            let ends = *token == Token::SemiColon;
            count += usize::from(!ends && !is_open);
            is_open = !ends;
        }
        count
    }

    /// The text without semicolons at either end, and without what follows the last token.
    pub(super) fn body(&self) -> String {
        let is_part = |(_, token): &(usize, &Token)| **token != Token::SemiColon;
        let first = self.meaning().next();
        let begin = match first {
            Some((_, Token::SemiColon)) => self.meaning().find(is_part).map_or(0, |(at, _)| self.places[at].start),
            _ => 0,
        };
        let end = self.meaning().rfind(is_part).map_or(0, |(at, _)| self.places[at].end);
        self.text.get(begin..end).unwrap_or_default().to_owned()
    }

    /// Whether a string has a backslash in it, which settings of the server give a meaning.
    pub(super) fn has_backslashes(&self) -> bool {
        let is_string = |token: &Token| matches!(token, Token::SingleQuotedString(_) | Token::DoubleQuotedString(_));
        (0..self.all.len()).any(|at| is_string(&self.all[at].token) && self.raw(at).contains('\\'))
    }

    /// What the parser and the server may read differently.
    pub(super) fn doubt(&self, language: Language) -> Option<&'static str> {
        (0..self.all.len()).find_map(|at| self.doubt_of(at, language)).or_else(|| self.doubt_of_depth())
    }

    fn doubt_of(&self, at: usize, language: Language) -> Option<&'static str> {
        let raw = self.raw(at);
        let odd = |char: char| {
            char.is_control() && !matches!(char, '\n' | '\t') || !char.is_ascii() && !char.is_alphanumeric()
        };
        match &self.all[at].token {
            Token::Whitespace(Whitespace::MultiLineComment(comment)) => {
                if !raw.ends_with("*/") {
                    return Some("a comment has no end");
                }
                if comment.contains("/*") && language != Language::Postgres {
                    return Some("a comment is in a comment");
                }
                if language == Language::MySql && (comment.starts_with('!') || comment.starts_with("M!")) {
                    return Some("the server runs what is in a comment");
                }
                None
            }
            Token::Whitespace(Whitespace::SingleLineComment { .. }) => {
                let inner = raw.trim_end_matches(['\r', '\n']);
                let marked = raw.strip_prefix("--").and_then(|rest| rest.chars().next());
                if inner.contains('\r') || raw.ends_with('\r') {
                    return Some("a line ends by a carriage return alone");
                }
                if language == Language::MySql && marked.is_some_and(|char| !matches!(char, ' ' | '\t' | '\n' | '\r')) {
                    return Some("a comment begins in an odd way");
                }
                None
            }
            Token::Whitespace(_) => {
                if raw == "\r" {
                    return Some("a line ends by a carriage return alone");
                }
                (!matches!(raw, " " | "\t" | "\n" | "\r\n")).then_some("it has unusual blanks")
            }
            Token::SingleQuotedByteStringLiteral(inner) => (!inner.chars().all(|char| matches!(char, '0' | '1')))
                .then_some("a string of bits has other characters"),
            Token::HexStringLiteral(inner) => (!inner.chars().all(|char| char.is_ascii_hexdigit()))
                .then_some("a hexadecimal string has other characters"),
            Token::NationalStringLiteral(_) | Token::UnicodeStringLiteral(_) => {
                raw.contains('\\').then_some("a string with a prefix has a backslash")
            }
            Token::DollarQuotedString(_) => {
                let tag = raw.get(1..).and_then(|rest| rest.split('$').next()).unwrap_or("?");
                let is_plain = tag.chars().all(|char| char.is_ascii_alphanumeric() || char == '_')
                    && !tag.starts_with(|char: char| char.is_ascii_digit());
                let before = self.text[..self.places[at].start].chars().next_back();
                let glued =
                    before.is_some_and(|char| char.is_alphanumeric() || matches!(char, '_' | '$') || !char.is_ascii());
                (!is_plain || glued || language != Language::Postgres)
                    .then_some("dollars quote something in an odd way")
            }
            Token::SingleQuotedString(_) | Token::DoubleQuotedString(_) | Token::EscapedStringLiteral(_) => {
                raw.contains('\0').then_some("it has a null character")
            }
            Token::Word(word) if word.quote_style.is_some() => raw.contains('\0').then_some("it has a null character"),
            Token::TripleSingleQuotedString(_)
            | Token::TripleDoubleQuotedString(_)
            | Token::DoubleQuotedByteStringLiteral(_)
            | Token::TripleSingleQuotedByteStringLiteral(_)
            | Token::TripleDoubleQuotedByteStringLiteral(_)
            | Token::SingleQuotedRawStringLiteral(_)
            | Token::DoubleQuotedRawStringLiteral(_)
            | Token::TripleSingleQuotedRawStringLiteral(_)
            | Token::TripleDoubleQuotedRawStringLiteral(_)
            | Token::QuoteDelimitedStringLiteral(_)
            | Token::NationalQuoteDelimitedStringLiteral(_)
            | Token::CopyData { .. } => Some("a string is of another language"),
            _ => raw.chars().any(odd).then_some("it has unusual characters"),
        }
    }

    fn doubt_of_depth(&self) -> Option<&'static str> {
        let mut open = vec![0_usize];
        let mut sum = 0_usize;
        for (_, token) in self.meaning() {
            match token {
                Token::LParen | Token::LBracket | Token::LBrace => open.push(0),
                Token::RParen | Token::RBracket | Token::RBrace if open.len() > 1 => {
                    sum -= open.pop().unwrap_or_default();
                }
                Token::Comma => sum -= open.last_mut().map(std::mem::take).unwrap_or_default(),
                _ => {
                    sum += 1;
                    if let Some(chain) = open.last_mut() {
                        *chain += 1;
                    }
                }
            }
            if sum > LONGEST_CHAIN {
                return Some("it is nested too deeply");
            }
        }
        None
    }
}

/// Where tokens lie in a text, of which they must leave out nothing.
fn places(text: &str, tokens: &[TokenWithSpan]) -> Option<Vec<Range<usize>>> {
    let mut chars = text.char_indices();
    let mut here = Location { line: 1, column: 1 };
    let mut at = 0;
    let mut places = Vec::with_capacity(tokens.len());
    for token in tokens {
        if token.span.start != here {
            return None;
        }
        let begin = at;
        while here != token.span.end {
            let (_, char) = chars.next()?;
            at = chars.offset();
            here = if char == '\n' {
                Location { line: here.line + 1, column: 1 }
            } else {
                Location { line: here.line, column: here.column + 1 }
            };
        }
        places.push(begin..at);
    }
    (at == text.len()).then_some(places)
}
