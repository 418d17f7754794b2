//! Large tables in ranges of their primary keys. Where ranges begin depends on the values of keys
//! alone, so that they stay where they are while a table grows. A bound may be any value, whether a
//! row has it or not: each row is below it, or it is not.

use kronos_core::Result;

use super::catalog::{KeyColumn, Table};
use super::connect::Session;
use super::names::{idents, qualified};
use super::plan::{Bound, Range};

/// A table has at most about so many ranges.
const RANGES: u64 = 1024;
/// How often it is tried in a row to find a place at which a table can be split.
const IDLE: u32 = 80;
/// Character sets that have ASCII as it is, and nothing else in its bytes.
const ASCII: [&str; 7] = ["ascii", "latin1", "latin2", "utf8", "utf8mb3", "utf8mb4", "cp1250"];

/// A value of a key, of which others can be made.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Value {
    Number(i128),
    Bytes(Vec<u8>),
}

/// A range that may still be too large: of rows that have the same values in the first columns of
/// the key, those between two values in the next one.
#[derive(Debug, Clone)]
struct Part {
    range: Range,
    same: Vec<Bound>,
    low: Value,
    high: Value,
    /// Rows with the high value belong to it.
    has_high: bool,
}

/// Splits a table into ranges of about so many bytes; one that is not split is of all its rows.
pub(super) async fn split(session: &mut Session, database: &str, table: &Table, bytes: u64) -> Result<Vec<Range>> {
    let all = || vec![Range::default()];
    if !table.is_innodb() || table.key.is_empty() || table.size <= bytes + bytes / 2 || table.rows < 2 {
        return Ok(all());
    }
    let each = (table.rows / (table.size / bytes.max(1)).clamp(1, RANGES)).max(1);
    let found = of(session, database, table, Vec::new(), Range::default()).await?;
    let Some(first) = found else { return Ok(all()) };
    let key: Vec<String> = table.key.iter().map(|column| column.name.clone()).collect();
    let rows = estimate(session, database, table, &first.range, &key).await?;
    let (mut todo, mut done) = (vec![(first, rows, 0)], Vec::new());
    while let Some((part, rows, idle)) = todo.pop() {
        if rows <= each + each / 2 || idle > IDLE || (todo.len() + done.len()) as u64 > 2 * RANGES {
            done.push(part.range);
            continue;
        }
        let column = &table.key[part.same.len()];
        let Some(middle) = middle(&part, column) else {
            // All have one value in this column: the next one decides.
            let mut same = part.same.clone();
            same.push(bound(&part.low, column));
            let within = if part.same.len() + 1 < key.len() && part.low == single(&part) {
                of(session, database, table, same, part.range.clone()).await?
            } else {
                None
            };
            match within {
                Some(part) => todo.push((part, rows, idle + 1)),
                None => done.push(part.range),
            }
            continue;
        };
        let mut bound = part.same.clone();
        bound.push(self::bound(&middle, column));
        let below = Range { from: part.range.from.clone(), to: bound.clone() };
        let above = Range { from: bound, to: part.range.to.clone() };
        let (fewer, more) = (
            estimate(session, database, table, &below, &key).await?,
            estimate(session, database, table, &above, &key).await?,
        );
        let small = each / 16 + 1;
        match () {
            // Next to nothing lies on one side: look further on the other.
            () if fewer <= small => todo.push((Part { low: middle, ..part }, rows, idle + 1)),
            () if more <= small => todo.push((Part { high: middle, has_high: false, ..part }, rows, idle + 1)),
            () => {
                // Of large ranges some servers say twice as much as there is. One that always says
                // the same is not asked for long.
                let idle = if fewer.min(more) >= rows - rows / 16 { idle + IDLE / 3 } else { 0 };
                todo.push((Part { range: above, low: middle.clone(), ..part.clone() }, more, idle));
                todo.push((Part { range: below, high: middle, has_high: false, ..part }, fewer, idle));
            }
        }
    }
    Ok(done)
}

/// The only value that a part can have in its column, if it can have but one.
fn single(part: &Part) -> Value {
    match (&part.low, &part.high) {
        (Value::Number(low), Value::Number(high)) if !part.has_high && low + 1 == *high => part.low.clone(),
        _ => part.high.clone(),
    }
}

/// The first and the last value of a column among rows that have the same values before it. `None`
/// when there are none, or when the column's values are not understood.
async fn of(
    session: &mut Session,
    database: &str,
    table: &Table,
    same: Vec<Bound>,
    range: Range,
) -> Result<Option<Part>> {
    let Some(column) = table.key.get(same.len()) else { return Ok(None) };
    let key: Vec<String> = table.key.iter().map(|column| column.name.clone()).collect();
    let condition = range.condition(&key)?.map_or_else(String::new, |condition| format!(" WHERE {condition}"));
    let mut ends = Vec::new();
    for direction in ["ASC", "DESC"] {
        let order: Vec<String> =
            key.iter().map(|name| format!("{} {direction}", idents(std::iter::once(name)))).collect();
        let sql = format!(
            "SELECT {} FROM {} FORCE INDEX (PRIMARY){condition} ORDER BY {} LIMIT 1",
            idents(std::iter::once(&column.name)),
            qualified(database, &table.name),
            order.join(", ")
        );
        let found: Vec<(Vec<u8>,)> = session.rows("look at the keys of a table", &sql).await?;
        let Some(value) = found.into_iter().next().and_then(|(bytes,)| understood(column, bytes)) else {
            return Ok(None);
        };
        ends.push(value);
    }
    let (Some(high), Some(low)) = (ends.pop(), ends.pop()) else { return Ok(None) };
    Ok(Some(Part { range, same, low, high, has_high: true }))
}

fn understood(column: &KeyColumn, bytes: Vec<u8>) -> Option<Value> {
    match column.data_type.to_ascii_lowercase().as_str() {
        "tinyint" | "smallint" | "mediumint" | "int" | "bigint" => {
            String::from_utf8(bytes).ok()?.parse().ok().map(Value::Number)
        }
        "binary" | "varbinary" => Some(Value::Bytes(bytes)),
        "char" | "varchar" if column.charset.as_deref().is_some_and(|charset| ASCII.contains(&charset)) => {
            // Most collations do not tell small letters from large ones.
            Some(Value::Bytes(bytes.to_ascii_lowercase()))
        }
        _ => None,
    }
}

fn bound(value: &Value, column: &KeyColumn) -> Bound {
    match value {
        Value::Number(number) => Bound::Number(*number),
        Value::Bytes(bytes) => Bound::Text(hex::encode(bytes), column.charset.clone()),
    }
}

/// A value above the low one, up to the high one: the roundest there is, which the next backup finds
/// again.
fn middle(part: &Part, column: &KeyColumn) -> Option<Value> {
    match (&part.low, &part.high) {
        (Value::Number(low), Value::Number(high)) => {
            let high = if part.has_high { *high } else { high - 1 };
            roundest(*low, high).map(Value::Number)
        }
        (Value::Bytes(low), Value::Bytes(high)) => {
            let text = between(low, high, part.has_high)?;
            // Half a character is no text.
            (column.charset.is_none() || text.is_ascii()).then_some(Value::Bytes(text))
        }
        _ => None,
    }
}

/// Of the numbers above `low` up to `high` the one that is a multiple of the largest power of two.
fn roundest(low: i128, high: i128) -> Option<i128> {
    (0..68).rev().map(|bits| (high >> bits) << bits).find(|number| *number > low && *number <= high)
}

/// A short text above `low` and up to `high`.
fn between(low: &[u8], high: &[u8], has_high: bool) -> Option<Vec<u8>> {
    let same = low.iter().zip(high).take_while(|(low, high)| low == high).count();
    let next = i128::from(*high.get(same)?);
    let first = low.get(same).map_or(-1, |byte| i128::from(*byte));
    let mut text = high[..same].to_vec();
    if let Some(byte) = roundest(first, next) {
        text.push(u8::try_from(byte).ok()?);
        if text != high || has_high {
            return Some(text);
        }
        text.pop();
    }
    // The bytes stand side by side: above what follows in the low one.
    let mut text = low.get(..=same)?.to_vec();
    for byte in low.get(same + 1..).unwrap_or_default().iter().copied().chain([0]) {
        if let Some(more) = roundest(i128::from(byte), 0x7f) {
            text.push(u8::try_from(more).ok()?);
            return Some(text);
        }
        text.push(byte);
    }
    None
}

async fn estimate(session: &mut Session, database: &str, table: &Table, range: &Range, key: &[String]) -> Result<u64> {
    let condition = range.condition(key)?.map_or_else(String::new, |condition| format!(" WHERE {condition}"));
    // Each looks into the index only when it is asked in its own way; and MySQL may show a tree.
    let (explain, hint) =
        if session.server.is_mariadb { ("EXPLAIN", "FORCE") } else { ("EXPLAIN FORMAT = TRADITIONAL", "USE") };
    let name = qualified(database, &table.name);
    let sql = format!("{explain} SELECT 1 FROM {name} {hint} INDEX (PRIMARY){condition}");
    let row: mysql_async::Row = session.row("estimate the rows of a range", &sql).await?;
    let rows = row.get_opt::<Option<u64>, _>("rows").and_then(std::result::Result::ok).flatten();
    Ok(rows.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_are_round_and_in_between() {
        assert_eq!(roundest(1, 1_000_000), Some(524_288));
        assert_eq!(roundest(-5, 5), Some(0));
        assert_eq!(roundest(-9, -1), Some(-8));
        assert_eq!((roundest(4, 5), roundest(5, 5)), (Some(5), None));
        assert_eq!(roundest(0, i128::from(u64::MAX)), Some(1 << 63));
    }

    #[test]
    fn texts_between_two_texts_are_found_until_there_are_none() {
        assert_eq!(between(b"user_001", b"user_999", true).unwrap(), b"user_8");
        for (low, high) in [
            (&b"a"[..], &b"b"[..]),
            (b"az", b"b"),
            (b"a", b"ab"),
            (b"\x7f\x7f", b"\x80"),
            (b"", b"\xff"),
            (b"a", b"a\0"),
        ] {
            let mut low = low.to_vec();
            // Narrower each time, and never out of order.
            for _ in 0..100 {
                let Some(text) = between(&low, high, false) else { break };
                assert!(text.as_slice() > low.as_slice() && text.as_slice() < high, "{low:x?} {text:x?} {high:x?}");
                low = text;
            }
        }
        assert_eq!(between(b"a", b"a", true), None);
    }
}
