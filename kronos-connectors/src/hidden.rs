//! What servers say of a statement, without its texts and values: they are the user's, and may be
//! secrets. Names are shown, as nobody could find his mistake without them.

/// The message with … for all that stands between its first quote and its last.
pub(crate) fn without_values(message: &str) -> String {
    let is_quote = |c| matches!(c, '\'' | '"');
    match (message.find(is_quote), message.rfind(is_quote)) {
        (Some(begin), Some(end)) if begin < end => format!("{}…{}", &message[..=begin], &message[end..]),
        (Some(begin), _) => format!("{}…", &message[..=begin]),
        _ => message.to_owned(),
    }
}

/// Where a statement was not understood: at a name, which is shown, or at a sign. `rest` is how the
/// statement goes on from there, in whole or in part.
#[cfg(any(feature = "mysql", feature = "postgres", all(feature = "inspect", feature = "sqlite")))]
pub(crate) fn near(rest: &str) -> String {
    let is_of_name = |c: char| c.is_alphanumeric() || c == '_';
    let word = &rest[..rest.find(|c| !is_of_name(c)).unwrap_or(rest.len())];
    let sign = rest.chars().next().filter(|sign| sign.is_ascii_punctuation() && !matches!(sign, '\'' | '"' | '$'));
    match sign {
        _ if word.starts_with(|c: char| !c.is_numeric()) => format!(" near \"{word}\""),
        Some(sign) => format!(" near \"{sign}\""),
        None => String::new(),
    }
}

/// Whether quotes do not match, so that what seems to be a name may be a piece of a text.
#[cfg(all(feature = "inspect", any(feature = "mysql", feature = "postgres", feature = "sqlite")))]
pub(crate) fn is_open(statement: &str) -> bool {
    ['\'', '"'].iter().any(|quote| statement.matches(*quote).count() % 2 == 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_hidden() {
        for (message, hidden) in [
            ("invalid input syntax for type integer: \"s3cret\"", "invalid input syntax for type integer: \"…\""),
            ("value \"a\" b\" is out of range for type integer", "value \"…\" is out of range for type integer"),
            ("unterminated 's3cret", "unterminated '…"),
            ("division by zero", "division by zero"),
        ] {
            assert_eq!(without_values(message), hidden);
        }
    }

    #[test]
    #[cfg(any(feature = "mysql", feature = "postgres", all(feature = "inspect", feature = "sqlite")))]
    fn names_and_signs_are_shown() {
        for (rest, shown) in [
            ("FRM t WHERE a = 's3cret'", " near \"FRM\""),
            (") AND 's3cret'", " near \")\""),
            ("'s3cret'", ""),
            ("\"s3cret\"", ""),
            ("$$s3cret$$", ""),
            ("1234", ""),
            ("", ""),
        ] {
            assert_eq!(near(rest), shown);
        }
    }
}
