//! Which rows of a statement make a page, and how the next one is found.

use kronos_core::inspect::{PageRequest, ResultColumn, Value};
use kronos_core::{Error, ErrorKind, Result};

use super::backend::{Backend, Browse, Statement};
use super::safety;

/// A statement whose rows make a page.
#[derive(Debug)]
pub(super) struct Paged {
    pub statement: Statement,
    /// Rows to pass over.
    pub skip: u64,
    /// Rows to take: one more than the page has, to know whether there are others.
    pub take: u64,
}

/// The statement as it is; or, where that changes nothing else, for the page's rows only.
pub(super) fn of_statement<B: Backend>(
    backend: &B,
    read: &safety::Statement,
    parameters: &[Value],
    page: &PageRequest,
) -> Result<Paged> {
    let (skip, take) = (page.skipped()?, page.size + 1);
    if page.after.is_some() {
        return Err(Error::new(ErrorKind::Config, "only the rows of a table have a key to go on from")
            .with("hint", "give the number of the page, or the name of the table"));
    }
    let statement = Statement { text: read.body.clone(), parameters: parameters.to_vec() };
    if read.limitable { of_rows(backend, statement, page) } else { Ok(Paged { statement, skip, take }) }
}

/// The rows of a page only, of a statement that may be limited.
pub(super) fn of_rows<B: Backend>(backend: &B, statement: Statement, page: &PageRequest) -> Result<Paged> {
    let (skip, take) = (page.skipped()?, page.size + 1);
    Ok(Paged { statement: backend.part(statement, skip, take)?, skip: 0, take })
}

/// All rows of a table in SQL. `beyond` makes the condition of the rows after one with these values of
/// the key, whose names are quoted, and the values of its parameters.
pub(crate) fn whole_in_sql(
    browse: &Browse,
    after: Option<&str>,
    beyond: impl FnOnce(&[String], Vec<Value>) -> (String, Vec<Value>),
) -> Result<Statement> {
    let mut statement = Statement { text: browse.text.clone(), parameters: Vec::new() };
    if browse.key.is_empty() {
        return match after {
            None => Ok(statement),
            Some(_) => Err(Error::new(ErrorKind::Config, "the table has no key to go on from")
                .with("hint", "give the number of the page")),
        };
    }
    if let Some(place) = after {
        let (condition, parameters) = beyond(&browse.quoted, key_values(place, browse.key.len())?);
        statement.text.push_str(" WHERE ");
        statement.text.push_str(&condition);
        statement.parameters = parameters;
    }
    statement.text.push_str(" ORDER BY ");
    statement.text.push_str(&browse.quoted.join(", "));
    Ok(statement)
}

/// Some rows of a statement in SQL. A comment at the end of the text ends with its line.
pub(crate) fn part_in_sql(mut statement: Statement, skip: u64, take: u64) -> Statement {
    statement.text = format!("{}\nLIMIT {take} OFFSET {skip}", statement.text);
    statement
}

/// Where a page of a table ends: the key of its last row, as text that [`key_values`] reads again.
pub(crate) fn place_in_sql(columns: &[ResultColumn], key: &[String], row: &[Value]) -> Option<String> {
    let value = |name: &String| {
        let at = columns.iter().position(|column| column.name == *name)?;
        row.get(at).filter(|value| **value != Value::Null)
    };
    let values: Option<Vec<&Value>> = key.iter().map(value).collect();
    values.filter(|values| !values.is_empty()).and_then(|values| serde_json::to_string(&values).ok())
}

/// The values of a key out of a place; `Config` when it is none.
fn key_values(place: &str, columns: usize) -> Result<Vec<Value>> {
    let wrong = || {
        Error::new(ErrorKind::Config, "this is no place where a page of this table ended")
            .with("hint", "take the `next` of the page before, as it is")
    };
    let values: Vec<serde_json::Value> = serde_json::from_str(place).map_err(|_| wrong())?;
    if values.len() != columns {
        return Err(wrong());
    }
    values.into_iter().map(|value| of_json(value).ok_or_else(wrong)).collect()
}

fn of_json(value: serde_json::Value) -> Option<Value> {
    use serde_json::Value as Json;
    match value {
        Json::Bool(value) => Some(Value::Bool(value)),
        Json::String(text) => Some(Value::Text(text)),
        Json::Number(number) => number
            .as_i64()
            .map(Value::Int)
            .or_else(|| number.as_u64().map(Value::UInt))
            .or_else(|| number.as_f64().map(Value::Float)),
        Json::Object(object) => hex::decode(object.get("hex")?.as_str()?).ok().map(Value::Bytes),
        Json::Null | Json::Array(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_read_as_it_was_written() {
        let columns = ["b", "a", "c"].map(|name| ResultColumn { name: name.into(), data_type: String::new() });
        let row = vec![Value::Bytes(vec![0, 171]), Value::Text("x'\"".into()), Value::UInt(u64::MAX)];
        let key = ["a", "b", "c"].map(String::from);
        let text = place_in_sql(&columns, &key, &row).unwrap();
        assert_eq!(key_values(&text, 3).unwrap(), [row[1].clone(), row[0].clone(), row[2].clone()]);
        for wrong in ["", "[1]", "[1,2,null]", "[1,2,[3]]", "[1,2,{\"hex\":\"0g\"}]", "[1,2,{\"hex\":\"é\"}]", "{}"] {
            assert_eq!(key_values(wrong, 3).unwrap_err().kind(), ErrorKind::Config, "{wrong}");
        }
        assert_eq!(place_in_sql(&columns, &[], &row), None);
    }
}
