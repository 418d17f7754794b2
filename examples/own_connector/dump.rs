//! A dump: the files held open, and threads that read them.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use futures::StreamExt as _;
use kronos_core::{
    Checkpoint, Dump, Error, ErrorKind, Outline, Piece, Result, Retry, RunContext, Stream, StreamEnd, StreamId,
    StreamInfo, StreamSender,
};

use crate::connector::{Seen, blocking, failed, look};

/// A file of the snapshot. While it is open it keeps its content, even if it is replaced.
#[derive(Debug)]
struct Held {
    name: String,
    file: File,
    seen: Seen,
}

#[derive(Debug)]
pub(crate) struct JsonDump {
    outline: Outline,
    /// In the order of the outline; `None` once opened.
    waiting: Mutex<Vec<Option<Held>>>,
    ended: Arc<Mutex<BTreeMap<StreamId, StreamEnd>>>,
    run: RunContext,
}

impl JsonDump {
    pub(crate) async fn begin(directory: &Path, exclude: &[String], run: &RunContext) -> Result<Self> {
        let (directory, exclude) = (directory.to_owned(), exclude.to_vec());
        let held = blocking(move || snapshot(&directory, &exclude)).await?;
        let info = |held: &Held| StreamInfo { size_hint: Some(held.seen.size), ..StreamInfo::new(&held.name) };
        let outline = Outline { streams: held.iter().map(info).collect(), ..Outline::default() };
        let waiting = Mutex::new(held.into_iter().map(Some).collect());
        Ok(Self { outline, waiting, ended: Arc::default(), run: run.clone() })
    }
}

/// Opens every file and then looks whether all are still the same. If so, the directory was, between
/// the last open and that look, exactly what is now held open.
fn snapshot(directory: &Path, exclude: &[String]) -> Result<Vec<Held>> {
    for _ in 0..10 {
        let before = look(directory, exclude)?;
        let open = |(name, seen): (&String, &Seen)| {
            Ok(Held { name: name.clone(), file: File::open(directory.join(name))?, seen: *seen })
        };
        match before.iter().map(open).collect::<io::Result<Vec<_>>>() {
            Ok(held) if look(directory, exclude)? == before => return Ok(held),
            Ok(_) => {}
            Err(e) if e.kind() == io::ErrorKind::NotFound => {}
            Err(e) => return Err(failed(e, directory)),
        }
    }
    // The owner may be less busy later: whoever schedules backups may try again.
    let error = Error::new(ErrorKind::Conflict, "the files change too often").with_retry(Retry::Later);
    Err(error.with("path", directory.display()))
}

#[async_trait]
impl Dump for JsonDump {
    fn outline(&self) -> &Outline {
        &self.outline
    }

    async fn open(&self, id: StreamId) -> Result<Stream> {
        let place = id.0 as usize;
        let held = lock(&self.waiting).get_mut(place).and_then(Option::take);
        let held = held.ok_or_else(|| Error::new(ErrorKind::Internal, "no such stream, or it was opened before"))?;
        let info = self.outline.streams[place].clone();
        let (sender, pieces) = Stream::channel(info.clone(), 4);
        let run = self.run.clone();
        tokio::task::spawn_blocking(move || send(held, sender, &run));
        // A stream has ended once its reader has the end mark, not when the mark is on its way.
        let ended = Arc::clone(&self.ended);
        let seen = pieces.inspect(move |piece| {
            if let Ok(Piece::End(end)) = piece {
                lock(&ended).insert(id, *end);
            }
        });
        Ok(Stream::new(info, seen))
    }

    async fn finish(self: Box<Self>) -> Result<Checkpoint> {
        let streams = lock(&self.ended).clone();
        if streams.len() != self.outline.streams.len() {
            return Err(Error::new(ErrorKind::Io, "not every stream was read to its end"));
        }
        Ok(Checkpoint { streams, ..Checkpoint::default() })
    }

    async fn abort(self: Box<Self>) {}
}

/// Reads a file on a thread that may wait. The sender counts and digests, and waits for its reader;
/// should that be gone, sending fails and the thread ends.
fn send(mut held: Held, mut sender: StreamSender, run: &RunContext) {
    match read(&mut held, &mut sender, run) {
        // Both of these fail only if there is nobody left to tell.
        Ok(()) => drop(sender.blocking_finish(None)),
        Err(error) => sender.blocking_fail(error),
    }
}

fn read(held: &mut Held, sender: &mut StreamSender, run: &RunContext) -> Result<()> {
    loop {
        run.check_cancelled()?;
        let mut piece = vec![0; 64 << 10];
        let length = held.file.read(&mut piece).map_err(|e| failed(e, Path::new(&held.name)))?;
        if length == 0 {
            break;
        }
        piece.truncate(length);
        sender.blocking_send(piece.into())?;
    }
    let now = held.file.metadata().map_err(|e| failed(e, Path::new(&held.name)))?;
    if Seen::of(&now) != held.seen {
        return Err(Error::new(ErrorKind::Conflict, "the file was written into").with_retry(Retry::Later));
    }
    Ok(())
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
