//! An error's words, fit to be shown.

use std::fmt;

/// An error's words without the queries of addresses, which may hold signatures.
#[derive(Debug)]
pub(crate) struct Words(String);

impl Words {
    pub(crate) fn of(error: &impl fmt::Display) -> Self {
        let bare = |word: &str| match word.split_once('?') {
            Some((address, _)) if address.contains("://") => address.to_owned(),
            _ => word.to_owned(),
        };
        Self(error.to_string().split(' ').map(bare).collect::<Vec<_>>().join(" "))
    }
}

impl fmt::Display for Words {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Words {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signatures_are_left_out() {
        let words = Words::of(&"GET https://a.b/c?sig=secret&x=1 failed: is it there?");
        assert_eq!(words.to_string(), "GET https://a.b/c failed: is it there?");
    }
}
