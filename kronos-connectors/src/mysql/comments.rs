//! The comments in which dumps have what a server before some version must not read.

/// How a dump ends a view whose rows are checked.
const CHECK_OPTIONS: [&str; 2] = ["/*!50002 WITH CASCADED CHECK OPTION */", "/*!50002 WITH LOCAL CHECK OPTION */"];

/// What stands in a comment that a server of some version reads.
pub(super) fn without_comment(text: &str) -> &str {
    let inner = text.strip_prefix("/*!").or_else(|| text.strip_prefix("/*M!"));
    inner.map_or(text, |inner| inner.trim_start_matches(|c: char| c.is_ascii_digit())).trim_start()
}

/// A statement out of the comments in which dumps have it: `/*!50003 CREATE*/ /*!50017 DEFINER=…*/
/// /*!50003 TRIGGER … */`. The last one goes to the end, whatever comments it has in it.
pub(super) fn uncovered(bytes: &[u8]) -> Vec<u8> {
    let mut rest = bytes.trim_ascii();
    let mut out = Vec::new();
    while rest.starts_with(b"/*!") {
        let digits = rest[3..].iter().take_while(|b| b.is_ascii_digit()).count();
        let inner = rest[3 + digits..].trim_ascii_start();
        let is_before =
            [&b"CREATE"[..], b"DEFINER", b"ALGORITHM", b"SQL SECURITY"].iter().any(|word| inner.starts_with(word));
        if !out.is_empty() {
            out.push(b' ');
        }
        let end = comment_end(inner).filter(|_| is_before);
        let Some(end) = end else {
            let mut whole = inner.trim_ascii_end();
            // Of a view this comes behind it.
            let option = CHECK_OPTIONS.into_iter().find(|option| whole.ends_with(option.as_bytes()));
            whole = &whole[..whole.len() - option.map_or(0, str::len)];
            whole = whole.trim_ascii_end();
            out.extend_from_slice(whole.strip_suffix(b"*/").unwrap_or(whole).trim_ascii_end());
            let option = option.and_then(|option| option.strip_prefix("/*!50002")?.strip_suffix(" */"));
            out.extend_from_slice(option.unwrap_or_default().as_bytes());
            return out;
        };
        out.extend_from_slice(inner[..end].trim_ascii_end());
        rest = inner[end + 2..].trim_ascii_start();
    }
    if !out.is_empty() && !rest.is_empty() {
        out.push(b' ');
    }
    out.extend_from_slice(rest);
    out
}

/// Where a comment ends; names in it may have anything in them.
fn comment_end(inner: &[u8]) -> Option<usize> {
    let mut quote = None;
    let mut at = 0;
    while at < inner.len() {
        match (quote, inner[at]) {
            (None, b'*') if inner.get(at + 1) == Some(&b'/') => return Some(at),
            (None, c @ (b'`' | b'\'')) => quote = Some(c),
            (Some(open), c) if open == c => quote = None,
            _ => {}
        }
        at += 1;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_view_keeps_the_check_of_its_rows() {
        let view = b"/*!50001 CREATE ALGORITHM=MERGE */\n/*!50013 DEFINER=`a`@`b` SQL SECURITY INVOKER */\n\
            /*!50001 VIEW `v` AS select 1 */\n/*!50002 WITH LOCAL CHECK OPTION */";
        let expected =
            "CREATE ALGORITHM=MERGE DEFINER=`a`@`b` SQL SECURITY INVOKER VIEW `v` AS select 1 WITH LOCAL CHECK OPTION";
        assert_eq!(String::from_utf8(uncovered(view)).unwrap(), expected);
    }
}
