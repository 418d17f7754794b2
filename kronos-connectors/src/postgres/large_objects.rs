//! Large objects as a stream: frames of an object's number and a length, four bytes each with the
//! highest first, and so many bytes. An object's frames follow each other; one without bytes ends it.

use bytes::{BufMut, Bytes, BytesMut};
use kronos_core::{Error, ErrorKind, Result, StreamSender};
use sqlx::postgres::types::Oid;

use super::connect::Session;
use super::error::failed;

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

/// Sends the objects; gives their number.
pub(super) async fn send(session: &mut Session, numbers: Numbers, sender: &mut StreamSender) -> Result<u64> {
    let what = "read large objects";
    let (mut next, mut count) = (Some(numbers.first), 0);
    while let Some(first) = next {
        let some: Vec<(Oid, Vec<u8>)> = sqlx::query_as(
            "SELECT oid, pg_catalog.lo_get(oid, 0, $3) FROM pg_catalog.pg_largeobject_metadata \
                WHERE oid >= $1 AND oid <= $2 ORDER BY oid LIMIT $4",
        )
        .bind(Oid(first))
        .bind(Oid(numbers.last))
        .bind(FIRST)
        .bind(OBJECTS)
        .fetch_all(&mut session.connection)
        .await
        .map_err(|e| unreadable(failed(e, what)))?;
        next = some.last().and_then(|(last, _)| last.0.checked_add(1)).filter(|next| *next <= numbers.last);
        for (Oid(number), bytes) in some {
            count += 1;
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
const LONGEST: usize = 1 << 24;

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
            return Err(Error::new(ErrorKind::Corrupt, "the stream of large objects is malformed"));
        }
        if rest.len() < length {
            return Ok(None);
        }
        let mut frame = self.rest.split_to(8 + length);
        Ok(Some((number, frame.split_off(8).freeze())))
    }

    /// An error when something is left.
    pub(super) fn end(&self) -> Result<()> {
        match self.rest.is_empty() {
            true => Ok(()),
            false => Err(Error::new(ErrorKind::Corrupt, "the stream of large objects stops inside of one")),
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
