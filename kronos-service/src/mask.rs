//! Takes secrets out of text that holds URLs, before it is shown.

/// Hides the login of every URL in a text, and the values of query settings that name a secret.
pub fn mask(text: &str) -> String {
    let mut masked = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("://") {
        let (before, after) = rest.split_at(at + 3);
        masked.push_str(before);
        let end = after.find(|c: char| c.is_whitespace() || matches!(c, ',' | ')' | '"')).unwrap_or(after.len());
        let (url, tail) = after.split_at(end);
        mask_url(url, &mut masked);
        rest = tail;
    }
    masked.push_str(rest);
    masked
}

/// A password may hold `/` or `?` when someone forgot to escape it: the last `@` ends the login.
fn mask_url(url: &str, masked: &mut String) {
    let place = match url.rsplit_once('@') {
        // As hints have it, in the place of a real one.
        Some((login, _)) if login.eq_ignore_ascii_case("user") => url,
        Some((login, place)) if login.contains(':') || !login.contains('/') => {
            masked.push_str("***@");
            place
        }
        _ => url,
    };
    let Some((place, query)) = place.split_once('?') else {
        masked.push_str(place);
        return;
    };
    masked.push_str(place);
    for (n, pair) in query.split('&').enumerate() {
        masked.push(if n == 0 { '?' } else { '&' });
        match pair.split_once('=') {
            Some((name, _)) if is_secret(name) => {
                masked.push_str(name);
                masked.push_str("=***");
            }
            _ => masked.push_str(pair),
        }
    }
}

/// Whether something of this name is a secret.
pub(crate) fn is_secret(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    ["pass", "secret", "token", "key", "credential", "sig"].iter().any(|word| name.contains(word))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn logins_and_secret_settings_are_hidden() {
        for (text, shown) in [
            ("postgres://me:pw@host/db", "postgres://***@host/db"),
            ("postgres://me:p/w@x@host/db", "postgres://***@host/db"),
            ("s3://b/p?region=eu&secret_key=x", "s3://b/p?region=eu&secret_key=***"),
            ("from file:///a/b (url: s3://k:v@b)", "from file:///a/b (url: s3://***@b)"),
            ("write ENGINE://USER@HOST/DATABASE", "write ENGINE://USER@HOST/DATABASE"),
            ("plain text", "plain text"),
        ] {
            assert_eq!(mask(text), shown);
        }
    }
}
