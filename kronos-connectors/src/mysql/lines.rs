//! Rows as `LOAD DATA` reads them by default: fields with tabs between, a line feed after each row,
//! `\N` for NULL, a backslash before what would be taken for one of these. Whatever the bytes are.

use mysql_async::{Row, Value};

/// Appends a row. Gives whether it could be written: the server sends bytes, and nothing else.
pub(super) fn push(line: &mut Vec<u8>, row: &Row) -> bool {
    for place in 0..row.len() {
        if place > 0 {
            line.push(b'\t');
        }
        match row.as_ref(place) {
            Some(Value::NULL) => line.extend_from_slice(b"\\N"),
            Some(Value::Bytes(bytes)) => escape(line, bytes),
            _ => return false,
        }
    }
    line.push(b'\n');
    true
}

/// What stands behind the backslash for a byte that cannot stand for itself.
fn escaped(byte: u8) -> Option<u8> {
    match byte {
        b'\\' => Some(b'\\'),
        b'\t' => Some(b't'),
        b'\n' => Some(b'n'),
        0 => Some(b'0'),
        _ => None,
    }
}

fn escape(line: &mut Vec<u8>, bytes: &[u8]) {
    let mut begin = 0;
    for (at, byte) in bytes.iter().enumerate() {
        if (*byte <= b'\n' || *byte == b'\\')
            && let Some(letter) = escaped(*byte)
        {
            line.extend_from_slice(&bytes[begin..at]);
            line.extend_from_slice(&[b'\\', letter]);
            begin = at + 1;
        }
    }
    line.extend_from_slice(&bytes[begin..]);
}

/// The fields of a line without its end; `None` is NULL. Gives nothing if the line is none of ours.
pub(super) fn fields(line: &[u8]) -> Option<Vec<Option<Vec<u8>>>> {
    line.split(|byte| *byte == b'\t').map(field).collect()
}

#[allow(clippy::option_option, reason = "no field, a NULL, a value")]
fn field(text: &[u8]) -> Option<Option<Vec<u8>>> {
    if text == b"\\N" {
        return Some(None);
    }
    let mut value = Vec::with_capacity(text.len());
    let mut bytes = text.iter().copied();
    while let Some(byte) = bytes.next() {
        value.push(match byte {
            b'\\' => match bytes.next()? {
                b'\\' => b'\\',
                b't' => b'\t',
                b'n' => b'\n',
                b'0' => 0,
                _ => return None,
            },
            byte => byte,
        });
    }
    Some(Some(value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_comes_back() {
        let all: Vec<u8> = (0..=255).chain(*b"\\N\\\t\n").collect();
        let mut line = Vec::new();
        escape(&mut line, &all);
        assert!(!line.contains(&b'\t') && !line.contains(&b'\n') && !line.contains(&0));
        line.push(b'\t');
        line.extend_from_slice(b"\\N\t");
        assert_eq!(fields(&line).unwrap(), [Some(all), None, Some(Vec::new())]);
        assert!(fields(b"a\\").is_none() && fields(b"\\x").is_none());
    }
}
