//! Doors to the parsers of everything that is read from a storage, for fuzzing and property tests.
//!
//! Each takes bytes from nowhere, puts them where a reader looks for them, sealed where the parser
//! lies behind a seal, and calls that reader. What was understood comes back written again.
#![allow(clippy::missing_panics_doc, reason = "what panics here is what this file itself has made")]

use std::sync::Arc;

use bytes::Bytes;
use serde::Serialize;
use tokio::runtime::{Builder, Runtime};

use super::{ManualClock, MemorySource, MemoryStorage};
use crate::announce::announcement;
use crate::backup::{BackupOptions, backup};
use crate::connector::Fingerprint;
use crate::id::{Digest, Id};
use crate::pipeline::{Cutter, Fetcher};
use crate::repository::entry::{Decoded, Entry, twice};
use crate::repository::index::{Node, Root};
use crate::repository::job::Job;
use crate::repository::pack::{PackClass, PackReader, Table, name_of, scan};
use crate::repository::seal::{self, ObjectKey, ObjectKind, Place};
use crate::repository::{ChunkerParameters, Credentials, Mode, Protection, Repository, layout};
use crate::run::RunContext;
use crate::secret::Secret;
use crate::storage::Key;
use crate::stream::{Piece, Stream};
use crate::time::Timestamp;

const JOB: &str = "shop";
/// The place of what has no place of its own.
const SOME: Id = Id([7; 16]);
/// A reader of a stream stops here: a small index may stand for a long stream.
const LONG: usize = 1 << 20;

/// A small repository in memory, objects of which are replaced by what is to be parsed.
#[derive(Debug)]
pub struct Parsers {
    runtime: Runtime,
    storage: MemoryStorage,
    repository: Repository,
    locked: Repository,
    job: Job,
    run: RunContext,
}

impl Default for Parsers {
    fn default() -> Self {
        Self::new()
    }
}

impl Parsers {
    /// A repository with one job and one backup.
    pub fn new() -> Self {
        let runtime = Builder::new_current_thread().enable_time().build().expect("a thread needs nothing to run");
        let run = RunContext::reproducible(1, &ManualClock::new(Timestamp::default()));
        let storage = MemoryStorage::new();
        let made: crate::Result<_> = runtime.block_on(async {
            let chunker = ChunkerParameters::tiny();
            let repository =
                Repository::init(Arc::new(storage.clone()), &Protection::None, chunker.clone(), &run).await?;
            let source = MemorySource::new(JOB).with_pages(64);
            source.set("orders", (0..10_000).map(|n: u32| n.to_le_bytes()[n as usize % 2]).collect::<Vec<_>>());
            backup(&repository, &source, &BackupOptions::new(), &run).await?;
            let job = Job::open(&repository, JOB, &run).await?;
            let (_, recipient) = crate::generate_identity();
            let protection = Protection::Recipients(vec![recipient]);
            let locked = Repository::init(Arc::new(MemoryStorage::new()), &protection, chunker, &run).await?;
            Ok((repository, locked, job))
        });
        let (repository, locked, job) = made.expect("a repository can be made in memory");
        Self { runtime, storage, repository, locked, job, run }
    }

    /// `kronos.json`, as it lies there.
    pub fn header(&self, file: &[u8]) -> Option<(Mode, ChunkerParameters)> {
        let storage = MemoryStorage::new();
        storage.overwrite(&layout::header(), file.to_vec());
        let open = Repository::open(Arc::new(storage), &Credentials::None, &self.run);
        let opened = self.runtime.block_on(open).ok()?;
        Some((opened.mode(), opened.chunker().clone()))
    }

    /// The header proper, with a digest and a mac that fit.
    pub fn header_text(&self, text: &str) -> Option<(Mode, ChunkerParameters)> {
        let (digest, mac) = (Digest::of(text.as_bytes()), self.repository.key_set().mac(text.as_bytes()));
        let header =
            serde_json::json!({"format": "kronos", "version": 1, "header": text, "digest": digest, "mac": mac});
        self.header(header.to_string().as_bytes())
    }

    /// The header of a repository: the file, and the header proper.
    pub fn some_header(&self) -> (Vec<u8>, String) {
        let file = self.storage.read(&layout::header()).expect("the repository has a header");
        let value: serde_json::Value = serde_json::from_slice(&file).expect("it is JSON");
        (file.to_vec(), value["header"].as_str().expect("it holds a text").to_owned())
    }

    /// A key set, as JSON; tells whether it was taken for one.
    pub fn keys(&self, text: &str) -> bool {
        let credentials = Credentials::WriterKey(Secret::new(text));
        let opened = self.runtime.block_on(Repository::open(self.locked.storage().clone(), &credentials, &self.run));
        opened.map_or_else(|e| !e.message().contains("not a key set"), |_| true)
    }

    /// A sealed object of a kind of records, 1 to 5; gives its text.
    pub fn record(&self, kind: u8, object: &[u8]) -> Option<Vec<u8>> {
        seal::open_record(self.job.meta_key(), &self.place(kind), object).ok()
    }

    /// The object that `record` opens.
    pub fn seal_record(&self, kind: u8, text: &[u8]) -> Vec<u8> {
        seal::seal_record(self.job.meta_key(), &self.place(kind), text, &self.run).expect("a short text can be sealed")
    }

    /// A record whose seal is good, whatever lies in it: a length and a compressed text.
    pub fn sealed(&self, kind: u8, inside: &[u8]) -> Option<Vec<u8>> {
        let (salt, place) = ([3; 32], self.place(kind));
        let mut body = inside.to_vec();
        ObjectKey::derive(self.job.meta_key(), &salt, &place).seal(0, &mut body);
        let mut object = seal::header(place.kind, &salt);
        object.extend_from_slice(&body);
        self.record(kind, &object)
    }

    /// An entry of the log, as it lies there.
    pub fn entry_object(&self, seq: u64, object: &[u8]) -> Option<Vec<u8>> {
        let place = self.job.place(ObjectKind::Entry, self.job.layout().entry(seq));
        match Entry::open(self.job.meta_key(), &place, seq, object).entry {
            Decoded::Entry(entry) => Some(written(&entry)),
            Decoded::Void(_) | Decoded::Unknown(_) => None,
        }
    }

    /// The text of an entry.
    pub fn entry(&self, seq: u64, text: &[u8]) -> Option<Vec<u8>> {
        let place = self.job.place(ObjectKind::Entry, self.job.layout().entry(seq));
        self.entry_object(seq, &twice(self.seal(&place, text)).0)
    }

    /// The text of a checkpoint after entry 256.
    pub fn checkpoint(&self, text: &[u8]) -> Option<Vec<u8>> {
        let key = self.job.layout().checkpoint(256);
        self.put(ObjectKind::Checkpoint, &key, text);
        let state = self.runtime.block_on(self.job.load(&self.run));
        self.storage.remove(&key);
        state.ok().filter(|state| state.next == 257).map(|state| written(&state))
    }

    /// The text of an announcement.
    pub fn announcement(&self, text: &[u8]) -> Option<Vec<u8>> {
        let key = self.job.layout().run(SOME);
        self.put(ObjectKind::Run, &key, text);
        self.runtime.block_on(announcement(&self.job, &key, &self.run)).ok()?.map(|found| written(&found))
    }

    /// The text of a job's record.
    pub fn job(&self, text: &[u8]) -> Option<Fingerprint> {
        let storage = self.storage.snapshot();
        let (name, copy) = (self.job.layout().job(), self.job.layout().job_copy());
        let place = Place { job: Id([0; 16]), ..self.job.place(ObjectKind::Job, name.clone()) };
        storage.overwrite(&name, self.seal(&place, text));
        storage.remove(&copy);
        self.runtime.block_on(async {
            let repository = Repository::open(Arc::new(storage), &Credentials::None, &self.run).await.ok()?;
            Some(Job::open(&repository, JOB, &self.run).await.ok()?.fingerprint().clone())
        })
    }

    /// The text of a root; reads what it stands for.
    pub fn root(&self, text: &[u8]) -> Option<Vec<u8>> {
        let name = self.job.layout().root(SOME);
        let place = self.job.place(ObjectKind::Root, name.clone());
        self.storage.overwrite(&name, twice(self.seal(&place, text)).0);
        self.runtime.block_on(async {
            let root = Root::load_any(&self.job, SOME, &self.run).await.ok()?;
            let fetcher = Fetcher::of_root(&self.job, &root, &self.run);
            for stored in &root.streams {
                // However that ends.
                let _ = fetcher.references(stored.levels, &stored.top).await;
                let _ = read(fetcher.stream(stored, 1)).await;
            }
            Some(written(&root))
        })
    }

    /// The text of the root of the one backup.
    pub fn some_root(&self) -> Vec<u8> {
        let prefix = format!("{}/", self.job.layout().roots());
        let ids = self.storage.keys().into_iter().filter(|k| k.as_str().starts_with(&prefix));
        let id = ids.filter_map(|k| layout::id_of(&k)).find(|id| *id != SOME).expect("the backup has a root");
        written(&self.runtime.block_on(Root::load_any(&self.job, id, &self.run)).expect("it can be read"))
    }

    /// A pack of which nothing is known but its bytes; gives its table. Reads its blocks.
    pub fn pack(&self, object: &[u8]) -> Option<Vec<u8>> {
        [PackClass::Data, PackClass::Meta].into_iter().find_map(|class| self.pack_of(class, object))
    }

    fn pack_of(&self, class: PackClass, object: &[u8]) -> Option<Vec<u8>> {
        let name = self.pack_name(class);
        self.storage.overwrite(&name, object.to_vec());
        self.runtime.block_on(async {
            let info = scan(&self.job, class, SOME, object.len() as u64, &self.run).await.ok()?;
            let reader = PackReader::open(&self.job, info, &self.run).await.ok()?;
            let table = reader.table(&self.job, &self.run).await.ok()?;
            for (number, entry) in (0..).zip(table.blocks.iter().take(16)) {
                let range = reader
                    .range(&entry.range(), 0)
                    .and_then(|r| Some(r.start.try_into().ok()?..r.end.try_into().ok()?));
                let sealed = range.and_then(|range: std::ops::Range<usize>| object.get(range));
                // However that ends.
                let _ = sealed.map(|sealed| reader.open_block(number, entry, sealed.to_vec(), Vec::new()));
            }
            Some(table.encode())
        })
    }

    /// A data pack whose seals are good, whatever lies in its table and in its first block.
    pub fn sealed_pack(&self, table: &[u8], block: &[u8]) -> Vec<u8> {
        let (salt, place) = ([3; 32], self.job.place(ObjectKind::DataPack, self.pack_name(PackClass::Data)));
        let data = self.repository.key_set().data.expect("it was not opened with a writer key");
        let (mut table, mut block) = (table.to_vec(), block.to_vec());
        ObjectKey::derive(self.job.meta_key(), &salt, &place).seal(u64::MAX, &mut table);
        ObjectKey::derive(data.bytes(), &salt, &place).seal(0, &mut block);
        let mut object = seal::header(place.kind, &salt);
        object.extend_from_slice(&[0; 4]);
        object.extend_from_slice(&block);
        object.extend_from_slice(&table);
        object.extend_from_slice(&u32::try_from(table.len()).expect("a short table").to_le_bytes());
        object.extend_from_slice(&(block.len() as u64).to_le_bytes());
        object.extend_from_slice(b"\x01KRNE");
        object
    }

    /// The plain text of a pack's table.
    pub fn table(&self, bytes: &[u8]) -> Option<Vec<u8>> {
        Table::decode(bytes).map(|table| table.encode())
    }

    /// A node of an index.
    pub fn node(&self, bytes: &[u8]) -> Option<Vec<u8>> {
        Node::decode(bytes).map(|node| node.encode())
    }

    /// The name of a job's directory.
    pub fn job_name(&self, encoded: &str) -> Option<String> {
        layout::decode_job(encoded)
    }

    /// Cuts a stream that arrives in pieces; a `chunk` of 0 means by content. `None` for parameters that no header has.
    pub fn cut(&self, chunker: &ChunkerParameters, chunk: u32, pieces: &[&[u8]]) -> Option<Vec<Bytes>> {
        chunker.check().ok()?;
        let mut cutter = Cutter::new(chunk, chunker);
        let mut chunks = Vec::new();
        for piece in pieces {
            cutter.push(Bytes::copy_from_slice(piece), &mut chunks);
        }
        cutter.finish(&mut chunks);
        Some(chunks)
    }

    fn place(&self, kind: u8) -> Place {
        let kinds = [ObjectKind::Job, ObjectKind::Entry, ObjectKind::Checkpoint, ObjectKind::Run, ObjectKind::Root];
        self.job.place(kinds[usize::from(kind.saturating_sub(1)) % kinds.len()], self.job.layout().run(SOME))
    }

    fn pack_name(&self, class: PackClass) -> Key {
        name_of(&self.job, class, SOME)
    }

    fn seal(&self, place: &Place, text: &[u8]) -> Vec<u8> {
        seal::seal_record(self.job.meta_key(), place, text, &self.run).expect("a short text can be sealed")
    }

    fn put(&self, kind: ObjectKind, key: &Key, text: &[u8]) {
        self.storage.overwrite(key, self.seal(&self.job.place(kind, key.clone()), text));
    }
}

fn written(value: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(value).expect("what was read can be written")
}

async fn read(mut stream: Stream) -> crate::Result<()> {
    let mut length = 0;
    while let Some(Piece::Data(bytes)) = stream.next().await? {
        length += bytes.len();
        if length > LONG {
            break;
        }
    }
    Ok(())
}
