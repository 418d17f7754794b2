//! Reads a page of the directory tree in the order of the whole names. Several directories are read
//! at a time: each takes some journeys to the server.

use std::sync::Arc;

use futures::stream::{self, BoxStream, StreamExt as _, TryStreamExt as _};
use kronos_core::{Key, ObjectMeta, Result, Timestamp};
use russh_sftp::protocol::{FileAttributes, FileType};

use crate::connection::{Connection, Open};
use crate::failure::if_there;

/// How many objects a page has. Large, because each page reads its directories anew.
const PAGE: usize = 5000;
/// How many directories are read ahead.
const AHEAD: usize = 8;

/// What a directory holds, in order: an object, or what is in a directory below it.
enum Found {
    Object(ObjectMeta),
    Below(String, Vec<Entry>),
}

/// A name in a directory, that of a directory with a `/` at its end: that puts it where the names of
/// its objects belong.
struct Entry {
    name: String,
    attributes: FileAttributes,
}

/// One page of what lies below a prefix and after a name.
pub(crate) async fn page(
    connection: &Arc<Connection>,
    root: &str,
    prefix: Option<&Key>,
    after: Option<&Key>,
) -> Result<Vec<ObjectMeta>> {
    let name = prefix.map_or_else(String::new, |prefix| format!("{prefix}/"));
    let first = entries(connection, &format!("{root}/{name}")).await?;
    let after = after.map_or("", Key::as_str);
    let mut page = Vec::new();
    let mut levels = vec![level(connection, root, &name, first, after)];
    while let Some(deepest) = levels.last_mut()
        && page.len() < PAGE
    {
        match deepest.try_next().await? {
            Some(Found::Object(meta)) => page.push(meta),
            Some(Found::Below(name, found)) => levels.push(level(connection, root, &name, found, after)),
            None => drop(levels.pop()),
        }
    }
    Ok(page)
}

/// What a directory holds whose objects' names begin with `name`, as far as it comes after `after`.
fn level<'a>(
    connection: &'a Arc<Connection>,
    root: &'a str,
    name: &str,
    found: Vec<Entry>,
    after: &'a str,
) -> BoxStream<'a, Result<Found>> {
    let name = name.to_owned();
    let steps = found.into_iter().filter_map(move |entry| {
        let whole = format!("{name}{}", entry.name);
        // All names in a directory begin with `whole`: they come after `after`, before it, or on both sides.
        let wanted = whole.as_str() > after || (whole.ends_with('/') && after.starts_with(&whole));
        wanted.then_some(async move {
            if whole.ends_with('/') {
                let below = entries(connection, &format!("{root}/{whole}")).await?;
                return Ok(Found::Below(whole, below));
            }
            Key::new(&whole).map(|key| Found::Object(meta(key, &entry.attributes)))
        })
    });
    stream::iter(steps).buffered(AHEAD).boxed()
}

/// The names in a directory, in order.
async fn entries(connection: &Arc<Connection>, directory: &str) -> Result<Vec<Entry>> {
    let read = async { connection.open(directory, Open::Entries).await?.entries().await }.await;
    // Where there is nothing, nothing was stored, or it is an object itself.
    let read = if_there(read, "a directory could not be read", directory)?.unwrap_or_default();
    let mut entries = Vec::with_capacity(read.len());
    for found in read {
        let (mut name, mut attributes) = (found.filename, found.attrs);
        // What is not named as Kronos names objects is not ours: the staging directory, strangers.
        if name.contains('/') || Key::new(&name).is_err() {
            continue;
        }
        if attributes.permissions.is_none() || attributes.file_type().is_symlink() {
            let path = format!("{directory}/{name}");
            match if_there(connection.look(&path).await, "an object could not be looked at", &path)? {
                Some(found) => attributes = found,
                // It leads nowhere, or was removed since the directory was read.
                None => continue,
            }
        }
        match attributes.file_type() {
            FileType::Dir => name.push('/'),
            FileType::File => {}
            _ => continue,
        }
        entries.push(Entry { name, attributes });
    }
    entries.sort_unstable_by(|a, b| a.name.cmp(&b.name));
    Ok(entries)
}

pub(crate) fn meta(key: Key, found: &FileAttributes) -> ObjectMeta {
    let modified = found.mtime.map(|seconds| Timestamp::from_micros(i64::from(seconds) * 1_000_000));
    ObjectMeta { key, size: found.size.unwrap_or(0), modified }
}
