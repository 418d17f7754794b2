//! The statements of a dump, cut as the servers' own client cuts them: a delimiter counts outside of
//! quotes and comments only.

use kronos_core::Result;

use super::error::corrupt;

/// So much has to be seen of what follows to know what something is.
const AHEAD: usize = 64;
/// What makes a table or a routine is believed up to this size.
const LONGEST: usize = 256 << 20;

/// A piece of a dump. All pieces together are the dump, byte for byte.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Item {
    /// A statement with its delimiter, behind the comments and blanks before it.
    Statement { raw: Vec<u8>, at: usize, delimiter: usize },
    /// A part of a statement that inserts rows.
    Rows(Vec<u8>),
    /// What the client keeps to itself: another delimiter; comments and blanks at the end.
    Other(Vec<u8>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Before a statement.
    Between,
    Plain,
    Quoted(u8),
    Line,
    Block,
}

/// Cuts a dump that comes in pieces.
#[derive(Debug)]
pub(super) struct Scanner {
    delimiter: Vec<u8>,
    /// What has not been given out.
    buffer: Vec<u8>,
    /// Looked at up to here.
    at: usize,
    /// Where the statement begins.
    begin: Option<usize>,
    state: State,
    /// It inserts rows.
    is_rows: bool,
    /// A backslash means something in quotes.
    pub(super) backslash: bool,
}

impl Scanner {
    pub(super) fn new() -> Self {
        Self {
            delimiter: b";".to_vec(),
            buffer: Vec::new(),
            at: 0,
            begin: None,
            state: State::Between,
            is_rows: false,
            backslash: true,
        }
    }

    pub(super) fn push(&mut self, piece: &[u8]) {
        self.buffer.extend_from_slice(piece);
    }

    /// What can be told by now, or at the end.
    pub(super) fn next(&mut self, is_end: bool) -> Result<Option<Item>> {
        loop {
            let rest = self.buffer.len() - self.at;
            if rest == 0 || (rest < AHEAD && !is_end) {
                return self.rest(is_end);
            }
            match self.state {
                State::Between => {
                    if let Some(item) = self.between(is_end)? {
                        return Ok(Some(item));
                    }
                    if self.state == State::Between && self.at == self.buffer.len() {
                        return self.rest(is_end);
                    }
                }
                State::Plain => {
                    if let Some(item) = self.plain() {
                        return Ok(Some(item));
                    }
                }
                State::Quoted(quote) => self.quoted(quote, is_end),
                State::Line => match self.find(|b| b == b'\n') {
                    Some(at) => self.leave(at + 1),
                    None => self.at = self.buffer.len(),
                },
                State::Block => match self.buffer[self.at..].windows(2).position(|two| two == b"*/") {
                    Some(at) => self.leave(self.at + at + 2),
                    None => self.at = self.buffer.len() - usize::from(!is_end),
                },
            }
        }
    }

    /// Nothing more is known of what there is.
    fn rest(&mut self, is_end: bool) -> Result<Option<Item>> {
        if self.is_rows && self.at > 0 {
            return Ok(Some(Item::Rows(self.take(self.at))));
        }
        if is_end && self.begin.is_some() {
            return Err(corrupt("the dump ends within a statement"));
        }
        if is_end && !self.buffer.is_empty() {
            return Ok(Some(Item::Other(self.take(self.buffer.len()))));
        }
        if self.buffer.len() > LONGEST {
            return Err(corrupt("a statement of the dump is longer than any can be"));
        }
        Ok(None)
    }

    fn take(&mut self, length: usize) -> Vec<u8> {
        let rest = self.buffer.split_off(length);
        self.at -= length;
        std::mem::replace(&mut self.buffer, rest)
    }

    fn find(&self, is: impl Fn(u8) -> bool) -> Option<usize> {
        self.buffer[self.at..].iter().position(|b| is(*b)).map(|at| self.at + at)
    }

    /// After a comment.
    fn leave(&mut self, at: usize) {
        self.at = at;
        self.state = if self.begin.is_some() { State::Plain } else { State::Between };
    }

    fn between(&mut self, is_end: bool) -> Result<Option<Item>> {
        let here = &self.buffer[self.at..];
        let word = |word: &str| here.get(..word.len()).is_some_and(|text| text.eq_ignore_ascii_case(word.as_bytes()));
        if here[0].is_ascii_whitespace() {
            self.at += 1;
        } else if let Some(state) = comment(here) {
            self.state = state;
        } else if word("DELIMITER ") {
            let Some(end) = self.find(|b| b == b'\n').or_else(|| is_end.then_some(self.buffer.len())) else {
                return Err(corrupt("the dump has a delimiter that is none"));
            };
            let line = self.buffer[self.at + "DELIMITER ".len()..end].trim_ascii().to_vec();
            if line.is_empty() {
                return Err(corrupt("the dump has a delimiter that is none"));
            }
            self.delimiter = line;
            self.at = end;
            return Ok(Some(Item::Other(self.take(end))));
        } else {
            self.is_rows = word("INSERT ") || word("REPLACE ");
            self.begin = Some(self.at);
            self.state = State::Plain;
        }
        Ok(None)
    }

    fn plain(&mut self) -> Option<Item> {
        let first = self.delimiter[0];
        let is_special = |b: u8| b == first || matches!(b, b'\'' | b'"' | b'`' | b'/' | b'-' | b'#');
        let Some(at) = self.find(is_special) else {
            self.at = self.buffer.len();
            return None;
        };
        // What follows must be seen too.
        if at > self.at {
            self.at = at;
            return None;
        }
        let here = &self.buffer[at..];
        if here.starts_with(&self.delimiter) {
            self.at = at + self.delimiter.len();
            let (raw, begin) = (self.take(self.at), self.begin.take().unwrap_or_default());
            self.state = State::Between;
            if std::mem::take(&mut self.is_rows) {
                return Some(Item::Rows(raw));
            }
            return Some(Item::Statement { raw, at: begin, delimiter: self.delimiter.len() });
        }
        match here[0] {
            quote @ (b'\'' | b'"' | b'`') => {
                self.state = State::Quoted(quote);
                self.at += 1;
            }
            _ => match comment(here) {
                Some(state) => {
                    self.state = state;
                    self.at += 2;
                }
                None => self.at += 1,
            },
        }
        None
    }

    /// Two quotes end what is quoted and begin it again, to the same effect.
    fn quoted(&mut self, quote: u8, is_end: bool) {
        let escapes = self.backslash && quote != b'`';
        match self.find(|b| b == quote || (escapes && b == b'\\')) {
            None => self.at = self.buffer.len(),
            Some(at) if self.buffer[at] == quote => {
                self.at = at + 1;
                self.state = State::Plain;
            }
            // What it escapes may be in the next piece.
            Some(at) if at + 1 == self.buffer.len() && !is_end => self.at = at,
            Some(at) => self.at = (at + 2).min(self.buffer.len()),
        }
    }
}

/// The comment that begins here. What stands in `/*! … */` is none.
fn comment(here: &[u8]) -> Option<State> {
    match here {
        [b'-', b'-', next, ..] if next.is_ascii_whitespace() || next.is_ascii_control() => Some(State::Line),
        [b'#', ..] | [b'-', b'-'] => Some(State::Line),
        // The sandbox mode of MariaDB's client.
        _ if here.starts_with(b"/*M!999999\\-") => Some(State::Block),
        [b'/', b'*', b'!', ..] | [b'/', b'*', b'M', b'!', ..] => None,
        [b'/', b'*', ..] => Some(State::Block),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cut(dump: &[u8], size: usize) -> Vec<Item> {
        let (mut scanner, mut items) = (Scanner::new(), Vec::new());
        for piece in dump.chunks(size) {
            scanner.push(piece);
            while let Some(item) = scanner.next(false).unwrap() {
                items.push(item);
            }
        }
        while let Some(item) = scanner.next(true).unwrap() {
            items.push(item);
        }
        items
    }

    #[test]
    fn statements_end_where_the_client_ends_them() {
        let dump = b"-- it's; x\n/*!40101 SET NAMES 'a;b' */;\nCREATE TABLE `a;b` (x int COMMENT 'it''s \\'; /*'); -- end\n\
            INSERT INTO `t` VALUES (1,'a\\\\'),(2,';--');\nDELIMITER ;;\nCREATE PROCEDURE p()\nBEGIN\n -- it's;;\n SELECT ';;', 1; /* ;; ' */\n\
            USE `x`;\nEND ;;\nDELIMITER ;\n\n-- Dump completed\n";
        for size in [1, 2, 7, 63, 64, 65, 100_000] {
            let items = cut(dump, size);
            let all: Vec<u8> = items
                .iter()
                .flat_map(|item| match item {
                    Item::Statement { raw, .. } | Item::Rows(raw) | Item::Other(raw) => raw.clone(),
                })
                .collect();
            assert_eq!(String::from_utf8_lossy(&all), String::from_utf8_lossy(dump), "{size}");
            let statements: Vec<String> = items
                .iter()
                .filter_map(|item| match item {
                    Item::Statement { raw, at, delimiter } => {
                        Some(String::from_utf8_lossy(&raw[*at..raw.len() - delimiter]).into_owned())
                    }
                    _ => None,
                })
                .collect();
            assert_eq!(statements.len(), 3, "{size}: {statements:?}");
            assert_eq!(statements[0], "/*!40101 SET NAMES 'a;b' */");
            assert!(statements[2].starts_with("CREATE PROCEDURE") && statements[2].ends_with("END "), "{statements:?}");
        }
    }

    #[test]
    fn what_ends_too_early_is_told() {
        let mut scanner = Scanner::new();
        scanner.push(b"CREATE TABLE t (x int COMMENT 'a;");
        assert!(scanner.next(true).is_err());
    }
}
