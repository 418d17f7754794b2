//! Which statements are meant.

use std::fmt;
use std::sync::Arc;

use kronos_core::inspect::{Query, Text};
use kronos_core::matches;

/// Which statements a script answers or an error concerns. A text is one by itself: `"SELECT 1".into()`.
///
/// Blanks and line ends count as one blank each, except in quotes, and semicolons at the end not at
/// all. Reading the rows of a table ([`Query::table`]) has no text; only [`when`](Self::when) sees it.
#[derive(Clone)]
pub struct MockMatch(Which);

#[derive(Clone)]
enum Which {
    Exact(String),
    Pattern(String),
    Function(Arc<dyn Fn(&Query) -> bool + Send + Sync>),
}

impl MockMatch {
    /// The statement with this text.
    pub fn exact(text: impl AsRef<str>) -> Self {
        Self(Which::Exact(normal(text.as_ref())))
    }

    /// Statements that look like this: `*` stands for any characters, `?` for any one. Both stand for
    /// themselves as well.
    pub fn pattern(pattern: impl AsRef<str>) -> Self {
        Self(Which::Pattern(normal(pattern.as_ref())))
    }

    /// Those for which a function says so.
    pub fn when(function: impl Fn(&Query) -> bool + Send + Sync + 'static) -> Self {
        Self(Which::Function(Arc::new(function)))
    }

    pub(super) fn fits(&self, query: &Query) -> bool {
        let text = match &query.text {
            Text::Statement(text) => Some(normal(text)),
            _ => None,
        };
        match &self.0 {
            Which::Exact(exact) => text.is_some_and(|text| text == *exact),
            Which::Pattern(pattern) => text.is_some_and(|text| matches(pattern, &text)),
            Which::Function(function) => function(query),
        }
    }
}

impl From<&str> for MockMatch {
    fn from(text: &str) -> Self {
        Self::exact(text)
    }
}

impl From<String> for MockMatch {
    fn from(text: String) -> Self {
        Self::exact(text)
    }
}

impl fmt::Debug for MockMatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// As a test that failed names it.
impl fmt::Display for MockMatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Which::Exact(text) | Which::Pattern(text) => f.write_str(text),
            Which::Function(_) => f.write_str("(a function)"),
        }
    }
}

/// One blank for any number of them outside of quotes, and no semicolon at the end.
fn normal(text: &str) -> String {
    let (mut normal, mut quote, mut blank) = (String::with_capacity(text.len()), None, false);
    for c in text.trim_start().chars() {
        if quote.is_none() && c.is_whitespace() {
            blank = true;
            continue;
        }
        if std::mem::take(&mut blank) {
            normal.push(' ');
        }
        normal.push(c);
        match quote {
            Some(open) if c == open => quote = None,
            None if matches!(c, '\'' | '"' | '`') => quote = Some(c),
            _ => {}
        }
    }
    normal.trim_end_matches([' ', ';']).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blanks_count_in_quotes_only() {
        let fits = |matching: MockMatch, text: &str| matching.fits(&Query::new(text));
        assert!(fits("SELECT  a,\n\t'x  y'  FROM t ;".into(), " SELECT a, 'x  y' FROM t;; "));
        assert!(!fits("SELECT 'x  y'".into(), "SELECT 'x y'"));
        assert!(fits("SELECT 'it''s  ;'".into(), "SELECT   'it''s  ;'"));
        assert!(!fits("SELECT 1".into(), "SELECT 1 + 1"));
        assert!(fits(MockMatch::pattern("SELECT * FROM orders WHERE id = ?"), "SELECT a, b  FROM orders WHERE id = ?"));
        assert!(!fits(MockMatch::pattern("SELECT * FROM orders"), "SELECT a FROM customers"));
        let table = Query::table(kronos_core::inspect::TableName::new("orders"));
        assert!(!MockMatch::pattern("*").fits(&table) && MockMatch::when(|_| true).fits(&table));
    }
}
