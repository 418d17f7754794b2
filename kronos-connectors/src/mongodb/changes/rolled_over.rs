//! The error of an oplog that was too small for the backup: how large it must be.

use std::time::Duration;

use kronos_core::{Error, ErrorKind};
use mongodb::Client;
use mongodb::bson::{Document, doc};

use super::super::error::failed;
use super::moment::whole;

/// What is known of an oplog.
#[derive(Debug, Clone, Copy)]
struct Window {
    /// From its first entry to its last, in seconds.
    seconds: u64,
    /// So large it may become.
    bytes: u64,
}

/// The error, with all that the server still tells.
pub(super) async fn error(client: Client, took: Duration) -> Error {
    // Without these figures it is the same error.
    let window = window(&client).await.ok().flatten();
    describe(took, window)
}

async fn window(client: &Client) -> kronos_core::Result<Option<Window>> {
    let local = client.database("local");
    let oplog = local.collection::<Document>("oplog.rs");
    let what = "look how far the oplog reaches";
    let mut ends = Vec::new();
    for order in [1, -1] {
        let entry = oplog.find_one(doc! {}).sort(doc! { "$natural": order }).projection(doc! { "ts": 1 }).await;
        let entry = entry.map_err(|e| failed(&e, what))?;
        ends.extend(entry.and_then(|entry| entry.get_timestamp("ts").ok()));
    }
    let stats = local.run_command(doc! { "collStats": "oplog.rs" }).await.map_err(|e| failed(&e, what))?;
    let bytes = whole(&stats, "maxSize").and_then(|size| u64::try_from(size).ok());
    Ok(match (ends[..].first().zip(ends.get(1)), bytes) {
        (Some((first, last)), Some(bytes)) => {
            Some(Window { seconds: u64::from(last.time.saturating_sub(first.time)), bytes })
        }
        _ => None,
    })
}

fn describe(took: Duration, window: Option<Window>) -> Error {
    let error = Error::new(
        ErrorKind::Conflict,
        "the server has thrown away changes that the backup needs: its oplog is too small",
    )
    .with("the backup took", format!("{} s", took.as_secs()));
    let Some(window) = window else {
        return error
            .with("hint", "`replSetResizeOplog` makes it larger, `storage.oplogMinRetentionHours` keeps it longer");
    };
    // Half as much again, and never less than it is.
    let needed = u128::from(window.bytes) * u128::from(took.as_secs().max(window.seconds)) * 3
        / (u128::from(window.seconds.max(1)) * 2);
    let megabytes = |bytes: u128| bytes.div_ceil(1 << 20);
    error
        .with("the oplog reaches back", format!("{} s", window.seconds))
        .with("its size", format!("{} MB", megabytes(window.bytes.into())))
        .with("hint", format!("`replSetResizeOplog: 1, size: {}` makes it large enough", megabytes(needed)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_says_how_large_the_oplog_must_be() {
        let window = Window { seconds: 600, bytes: 1 << 30 };
        let told = describe(Duration::from_hours(1), Some(window)).to_string();
        assert!(told.contains("took: 3600 s") && told.contains("back: 600 s") && told.contains("1024 MB"), "{told}");
        assert!(told.contains("size: 9216`"), "{told}");
        assert!(describe(Duration::ZERO, None).to_string().contains("replSetResizeOplog"));
    }
}
