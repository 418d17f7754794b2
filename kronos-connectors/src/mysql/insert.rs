//! Rows by `INSERT`, for servers that do not take them by `LOAD DATA LOCAL`.

use kronos_core::Result;

use super::error::corrupt;
use super::lines;
use super::names::idents;
use super::plan::{Form, Rows};

/// A statement has about so many bytes.
const BATCH: usize = 1 << 20;

/// Makes statements of lines that come in pieces.
#[derive(Debug)]
pub(super) struct Inserts<'a> {
    rows: &'a Rows,
    begin: String,
    /// Bytes after the last whole line.
    rest: Vec<u8>,
    sql: String,
    /// Rows in the statement.
    waiting: u64,
}

impl<'a> Inserts<'a> {
    /// For a table by its name in SQL.
    pub(super) fn new(rows: &'a Rows, name: &str) -> Self {
        let begin = format!("INSERT INTO {name} ({}) VALUES ", idents(rows.columns.iter().map(|column| &column.name)));
        Self { rows, begin, rest: Vec::new(), sql: String::new(), waiting: 0 }
    }

    /// Takes a piece; gives statements that are large enough, with their numbers of rows.
    pub(super) fn push(&mut self, piece: &[u8]) -> Result<Vec<(String, u64)>> {
        self.rest.extend_from_slice(piece);
        let (mut done, mut begin) = (Vec::new(), 0);
        let rest = std::mem::take(&mut self.rest);
        while let Some(length) = rest[begin..].iter().position(|byte| *byte == b'\n') {
            self.line(&rest[begin..begin + length])?;
            begin += length + 1;
            if self.sql.len() >= BATCH {
                done.extend(self.take());
            }
        }
        self.rest = rest[begin..].to_vec();
        Ok(done)
    }

    /// The last statement, if there is one.
    pub(super) fn end(mut self) -> Result<Option<(String, u64)>> {
        if !self.rest.is_empty() {
            return Err(corrupt("the rows of the backup end within a row"));
        }
        Ok(self.take())
    }

    fn take(&mut self) -> Option<(String, u64)> {
        let rows = std::mem::take(&mut self.waiting);
        (rows > 0).then(|| (std::mem::take(&mut self.sql), rows))
    }

    fn line(&mut self, line: &[u8]) -> Result<()> {
        let fields = lines::fields(line).ok_or_else(|| corrupt("a row of the backup is malformed"))?;
        let columns = &self.rows.columns;
        if fields.len() != columns.len().max(1) {
            return Err(corrupt("a row of the backup has another number of fields than the table has columns"));
        }
        self.sql.push_str(if self.waiting == 0 { &self.begin } else { "," });
        self.waiting += 1;
        let values: Vec<String> =
            fields.iter().zip(columns).map(|(field, column)| value(field.as_deref(), column.form)).collect();
        self.sql.extend(["(", &values.join(","), ")"]);
        Ok(())
    }
}

fn value(field: Option<&[u8]>, form: Form) -> String {
    let Some(bytes) = field else { return "NULL".to_owned() };
    let text = if bytes.is_empty() { "''".to_owned() } else { format!("0x{}", hex::encode(bytes)) };
    match form {
        // As text it would be taken for the name of a member.
        Form::Number if !bytes.is_empty() && bytes.iter().all(u8::is_ascii_digit) => {
            String::from_utf8_lossy(bytes).into_owned()
        }
        Form::Text => format!("CONVERT(_binary {text} USING utf8mb4)"),
        _ => format!("_binary {text}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mysql::plan::{Column, Range};

    #[test]
    fn lines_become_statements_wherever_pieces_end() {
        let column = |name: &str, form| Column { name: name.into(), form };
        let rows = Rows {
            database: "d".into(),
            table: "t".into(),
            columns: vec![column("a", Form::Plain), column("b", Form::Number), column("c", Form::Text)],
            key: Vec::new(),
            history: false,
            range: Range::default(),
        };
        let bytes = b"x\\ty\t15\t{}\n\\N\t0\t\n";
        for at in 0..bytes.len() {
            let mut inserts = Inserts::new(&rows, "`o`.`t`");
            assert!(inserts.push(&bytes[..at]).unwrap().is_empty() && inserts.push(&bytes[at..]).unwrap().is_empty());
            let (sql, count) = inserts.end().unwrap().unwrap();
            assert_eq!(count, 2);
            assert_eq!(
                sql,
                "INSERT INTO `o`.`t` (`a`, `b`, `c`) VALUES (_binary 0x780979,15,CONVERT(_binary 0x7b7d USING utf8mb4)),(NULL,0,CONVERT(_binary '' USING utf8mb4))"
            );
        }
        let mut inserts = Inserts::new(&rows, "`o`.`t`");
        assert!(inserts.push(b"only one\n").is_err());
    }
}
