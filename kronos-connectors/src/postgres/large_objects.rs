//! Large objects as a stream: frames of an object's number and a length, four bytes each with the
//! highest first, and so many bytes. An object's frames follow each other: what it is, as JSON; its
//! bytes; and one without bytes, which ends it.

use bytes::{BufMut, Bytes, BytesMut};
use kronos_core::{Error, ErrorKind, Result, StreamSender};
use serde::{Deserialize, Serialize};
use sqlx::postgres::types::Oid;
use std::fmt::Write as _;

use super::connect::Session;
use super::error::failed;
use super::names::{ident, literal};

/// Bytes that are asked for with each of several objects.
const FIRST: i32 = 64 << 10;
/// Objects that are asked for at once.
const OBJECTS: i64 = 32;
/// Bytes of one object that are asked for at once.
const MORE: i32 = 1 << 20;
/// Objects of one stream, about.
const EACH: i64 = 20_000;
/// The most streams of a database.
const MOST: i64 = 64;

/// What an object is, beside its bytes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Meta {
    pub owner: String,
    /// Who may do what, and whether he may pass it on; nobody's name stands for everybody. `None` is
    /// what an owner begins with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rights: Option<Vec<(Option<String>, String, bool)>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub comment: Option<String>,
}

impl Meta {
    /// Reads the first frame of an object.
    pub(super) fn of(frame: &[u8]) -> Result<Self> {
        serde_json::from_slice(frame).map_err(|e| malformed().with_source(e))
    }

    /// The statements that make the object so.
    pub(super) fn statements(&self, number: u32, owners: bool, privileges: bool) -> String {
        let mut sql = String::new();
        if owners {
            let _ = writeln!(sql, "ALTER LARGE OBJECT {number} OWNER TO {};", ident(&self.owner));
        }
        if let Some(rights) = self.rights.as_ref().filter(|_| privileges) {
            let _ = writeln!(sql, "REVOKE ALL ON LARGE OBJECT {number} FROM {};", ident(&self.owner));
            for (who, right, passes) in
                rights.iter().filter(|(_, right, _)| ["SELECT", "UPDATE"].contains(&right.as_str()))
            {
                let who = who.as_ref().map_or_else(|| "PUBLIC".to_owned(), |name| ident(name));
                let passes = if *passes { " WITH GRANT OPTION" } else { "" };
                let _ = writeln!(sql, "GRANT {right} ON LARGE OBJECT {number} TO {who}{passes};");
            }
        }
        if let Some(comment) = &self.comment {
            let _ = writeln!(sql, "COMMENT ON LARGE OBJECT {number} IS {};", literal(comment));
        }
        sql
    }
}

fn malformed() -> Error {
    Error::new(ErrorKind::Corrupt, "the stream of large objects is malformed")
}

/// Numbers of objects, with both ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Numbers {
    pub first: u32,
    pub last: u32,
}

/// Where the streams of a database begin and end, and about how many bytes it has in large objects.
pub(super) async fn split(session: &mut Session) -> Result<(Vec<Numbers>, u64)> {
    let what = "look for large objects";
    let (count,): (i64,) = session.row(what, "SELECT count(*) FROM pg_catalog.pg_largeobject_metadata").await?;
    if count == 0 {
        return Ok((Vec::new(), 0));
    }
    let tiles = (count / EACH + 1).min(MOST);
    let sql = format!(
        "SELECT min(oid::int8) FROM (SELECT oid, ntile({tiles}) OVER (ORDER BY oid) AS tile \
            FROM pg_catalog.pg_largeobject_metadata) AS x GROUP BY tile ORDER BY 1"
    );
    let starts: Vec<(i64,)> = session.rows(what, &sql).await?;
    let (size,): (i64,) = session.row(what, "SELECT pg_catalog.pg_relation_size('pg_catalog.pg_largeobject')").await?;
    let starts: Vec<u32> = starts.into_iter().filter_map(|(start,)| u32::try_from(start).ok()).collect();
    let ends = starts.iter().skip(1).map(|next| next - 1).chain([u32::MAX]);
    let numbers = starts.iter().zip(ends).map(|(first, last)| Numbers { first: *first, last }).collect();
    Ok((numbers, u64::try_from(size).unwrap_or_default()))
}

/// Number, first bytes, owner, rights as JSON, comment.
type Row = (Oid, Vec<u8>, String, Option<String>, Option<String>);

/// Sends the objects; gives their number.
pub(super) async fn send(session: &mut Session, numbers: Numbers, sender: &mut StreamSender) -> Result<u64> {
    let what = "read large objects";
    let (mut next, mut count) = (Some(numbers.first), 0);
    while let Some(first) = next {
        let some: Vec<Row> = sqlx::query_as(
            "SELECT oid, pg_catalog.lo_get(oid, 0, $3), pg_catalog.pg_get_userbyid(lomowner)::text, \
                (SELECT pg_catalog.jsonb_agg(pg_catalog.jsonb_build_array( \
                    CASE a.grantee WHEN 0 THEN NULL ELSE pg_catalog.pg_get_userbyid(a.grantee) END, a.privilege_type, a.is_grantable)) \
                    FROM pg_catalog.aclexplode(lomacl) a)::text, \
                pg_catalog.obj_description(oid, 'pg_largeobject') \
            FROM pg_catalog.pg_largeobject_metadata WHERE oid >= $1 AND oid <= $2 ORDER BY oid LIMIT $4",
        )
        .bind(Oid(first))
        .bind(Oid(numbers.last))
        .bind(FIRST)
        .bind(OBJECTS)
        .fetch_all(&mut session.connection)
        .await
        .map_err(|e| unreadable(failed(e, what)))?;
        next = some.last().and_then(|(last, ..)| last.0.checked_add(1)).filter(|next| *next <= numbers.last);
        for (Oid(number), bytes, owner, rights, comment) in some {
            count += 1;
            let rights = rights.map(|text| serde_json::from_str(&text)).transpose().map_err(json)?;
            let meta = serde_json::to_vec(&Meta { owner, rights, comment }).map_err(json)?;
            sender.send(frame(number, &meta)?).await?;
            let mut offset = i64::try_from(bytes.len()).unwrap_or_default();
            let mut more = bytes.len() == FIRST as usize;
            send_frame(sender, number, bytes).await?;
            while more {
                let (bytes,): (Vec<u8>,) = sqlx::query_as("SELECT pg_catalog.lo_get($1, $2, $3)")
                    .bind(Oid(number))
                    .bind(offset)
                    .bind(MORE)
                    .fetch_one(&mut session.connection)
                    .await
                    .map_err(|e| unreadable(failed(e, what)))?;
                offset += i64::try_from(bytes.len()).unwrap_or_default();
                more = bytes.len() == MORE as usize;
                send_frame(sender, number, bytes).await?;
            }
            sender.send(frame(number, &[])?).await?;
        }
    }
    Ok(count)
}

fn json(error: serde_json::Error) -> Error {
    super::error::internal("JSON").with_source(error)
}

fn unreadable(error: Error) -> Error {
    match error.kind() {
        ErrorKind::PermissionDenied => {
            error.with("hint", "large objects are read by their owners, by whom they are granted to, and by superusers")
        }
        _ => error,
    }
}

async fn send_frame(sender: &mut StreamSender, number: u32, bytes: Vec<u8>) -> Result<()> {
    if bytes.is_empty() { Ok(()) } else { sender.send(frame(number, &bytes)?).await }
}

fn frame(number: u32, bytes: &[u8]) -> Result<Bytes> {
    let length = u32::try_from(bytes.len()).map_err(|_| super::error::internal("a frame is too long"))?;
    let mut frame = BytesMut::with_capacity(8 + bytes.len());
    frame.put_u32(number);
    frame.put_u32(length);
    frame.extend_from_slice(bytes);
    Ok(frame.freeze())
}

/// Takes frames apart, however they arrive.
#[derive(Debug, Default)]
pub(super) struct Frames {
    rest: BytesMut,
}

/// The longest frame that is believed.
const LONGEST: usize = 1 << 22;

impl Frames {
    pub(super) fn push(&mut self, bytes: &[u8]) {
        self.rest.extend_from_slice(bytes);
    }

    /// The next whole frame.
    pub(super) fn next(&mut self) -> Result<Option<(u32, Bytes)>> {
        let Some((number, rest)) = self.rest.split_first_chunk::<4>() else { return Ok(None) };
        let Some((length, rest)) = rest.split_first_chunk::<4>() else { return Ok(None) };
        let (number, length) = (u32::from_be_bytes(*number), u32::from_be_bytes(*length) as usize);
        if length > LONGEST {
            return Err(malformed());
        }
        if rest.len() < length {
            return Ok(None);
        }
        let mut frame = self.rest.split_to(8 + length);
        Ok(Some((number, frame.split_off(8).freeze())))
    }

    /// An error when something is left.
    pub(super) fn end(&self) -> Result<()> {
        if self.rest.is_empty() {
            Ok(())
        } else {
            Err(Error::new(ErrorKind::Corrupt, "the stream of large objects stops inside of one"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_arrive_in_any_pieces() {
        let all = [frame(7, b"abc").unwrap(), frame(7, &[]).unwrap(), frame(u32::MAX, &[9; 300]).unwrap()].concat();
        for step in [1, 2, 7, 1000] {
            let (mut frames, mut found) = (Frames::default(), Vec::new());
            for piece in all.chunks(step) {
                frames.push(piece);
                while let Some((number, bytes)) = frames.next().unwrap() {
                    found.push((number, bytes.len()));
                }
            }
            frames.end().unwrap();
            assert_eq!(found, [(7, 3), (7, 0), (u32::MAX, 300)]);
        }
        let mut frames = Frames::default();
        frames.push(&all[..5]);
        assert!(frames.next().unwrap().is_none() && frames.end().is_err());
        frames.push(&[255; 8]);
        assert!(frames.next().is_err());
    }
}
