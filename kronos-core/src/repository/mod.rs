//! The repository: what lies where on a storage, and who may open it.

pub(crate) mod codec;
pub(crate) mod damage;
pub(crate) mod entry;
mod header;
pub(crate) mod index;
pub(crate) mod job;
mod keys;
pub(crate) mod layout;
mod log;
pub(crate) mod pack;
mod probed;
pub(crate) mod retry;
pub(crate) mod seal;
pub(crate) mod state;
pub(crate) mod uploading;

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::OnceCell;

use crate::error::{Error, ErrorKind, Result};
use crate::id::{Digest, Id};
use crate::probe::ProbeReport;
use crate::run::RunContext;
use crate::secret::Secret;
use crate::storage::{Key, PutOutcome, Storage, StorageExt};

pub use entry::Origin;
pub use header::{ChunkerParameters, Mode};
pub use keys::{Credentials, Protection, generate_identity};
pub(crate) use log::{Decide, Decision, IN_DOUBT, checkpoint_numbers};

use header::{Header, VERSION};
use keys::KeySet;
pub(crate) use keys::{unwrap_pack_key, wrap_pack_key};
use retry::retry;

/// An opened repository. Cheap to clone.
#[derive(Clone)]
pub struct Repository {
    inner: Arc<Inner>,
}

struct Inner {
    storage: Arc<dyn Storage>,
    header: Header,
    keys: KeySet,
    identities: Vec<Secret>,
    /// What its storage can do, once it has been asked for.
    probed: OnceCell<Option<ProbeReport>>,
}

/// What a client remembers of a repository, to notice when another is put in its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct RepositoryIdentity {
    /// The repository's random id.
    pub id: Id,
    /// A digest of the key set's commitments.
    pub keys: Digest,
}

/// Something wrong with a record of which there are two.
#[derive(Debug)]
pub(crate) struct Flaw {
    pub key: Key,
    pub message: String,
    /// The next backup makes it good.
    pub harmless: bool,
}

impl Flaw {
    pub(crate) fn damage(key: Key, message: impl Into<String>) -> Self {
        Self { key, message: message.into(), harmless: false }
    }

    /// A copy alone is missing when its maker was interrupted.
    pub(crate) fn missing(key: Key, copy: &Key) -> Self {
        Self { harmless: key == *copy, key, message: "it is missing".to_owned() }
    }
}

/// One way to open an encrypted repository.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct KeyInfo {
    /// Its id.
    pub id: Id,
    /// Whether both copies are there and equal.
    pub intact: bool,
}

impl Repository {
    /// Makes a repository on an empty storage. When another caller makes one at the same moment,
    /// theirs is opened, if `protection` opens it.
    pub async fn init(
        storage: Arc<dyn Storage>,
        protection: &Protection,
        chunker: ChunkerParameters,
        run: &RunContext,
    ) -> Result<Self> {
        chunker.check()?;
        let keys = KeySet::generate(run);
        let wrapped = match protection {
            Protection::None => None,
            protection => Some(keys::wrap(&keys, protection)?),
        };
        let mode = match protection {
            Protection::None => Mode::Plain,
            Protection::Passphrase(_) => Mode::Encrypted,
            Protection::Recipients(_) => Mode::Recipients,
        };
        let recipients = match protection {
            Protection::Recipients(recipients) => recipients.clone(),
            _ => Vec::new(),
        };
        let header = Header {
            version: VERSION,
            repository: Id(run.random()),
            created: run.now(),
            mode,
            keys: (mode == Mode::Plain).then(|| keys.to_json().expose().to_owned()),
            recipients,
            commitments: keys.commitments()?,
            chunker,
        };
        let id = keys::new_key_id(&header.commitments, run);
        let files = wrapped.into_iter().map(|file| (id, Bytes::from(file))).collect();
        let credentials = match protection {
            Protection::None => Credentials::None,
            Protection::Passphrase(passphrase) => Credentials::Passphrase(passphrase.clone()),
            Protection::Recipients(_) => Credentials::WriterKey(keys.writer().to_json()),
        };
        Self::establish(storage, header, keys, files, &credentials, run).await
    }

    /// Makes a repository with the key set and chunker of another, for a second storage of the
    /// same jobs. What opens the one opens the other.
    pub async fn init_like(storage: Arc<dyn Storage>, other: &Self, run: &RunContext) -> Result<Self> {
        let mut files = Vec::new();
        for info in other.keys(run).await? {
            files.push((info.id, other.read_key(info.id, run).await?));
        }
        let header = Header { repository: Id(run.random()), created: run.now(), ..other.inner.header.clone() };
        let credentials = match header.mode {
            Mode::Plain => Credentials::None,
            _ => Credentials::WriterKey(other.inner.keys.writer().to_json()),
        };
        let made = Self::establish(storage, header, other.inner.keys.clone(), files, &credentials, run).await?;
        Ok(made.with_reader(other))
    }

    /// The keys, then the header: a repository exists once its header does.
    async fn establish(
        storage: Arc<dyn Storage>,
        header: Header,
        keys: KeySet,
        files: Vec<(Id, Bytes)>,
        credentials: &Credentials,
        run: &RunContext,
    ) -> Result<Self> {
        let found = retry(run, "list the storage", || storage.list(None, None)).await?;
        if found.iter().any(|m| m.key == layout::header()) {
            return Err(Error::new(ErrorKind::AlreadyExists, "there is a repository already")
                .with("storage", storage.describe()));
        }
        // Key files and what a probe made are what an interrupted init leaves behind.
        let left = |key: &Key| key.as_str().starts_with("keys/") || layout::is_of_probe(key);
        if let Some(other) = found.iter().find(|m| !left(&m.key)) {
            return Err(Error::new(ErrorKind::Config, "the storage is not empty and holds no repository")
                .with("storage", storage.describe())
                .with("found", &other.key));
        }
        // The header itself is put if absent: whether that can be relied on must be known before.
        let probed = probed::probe_unproven(&*storage, run).await?;
        for (id, file) in files {
            for key in layout::wrapped_keys(id) {
                retry(run, "write a key", || storage.put(&key, file.clone())).await?;
            }
        }
        let encoded = Bytes::from(header.encode(&keys));
        let key = layout::header();
        let outcome = retry(run, "write the header", || storage.put_if_absent(&key, encoded.clone())).await?;
        let there = retry(run, "read the header", || storage.get(&key)).await?;
        if there != encoded {
            debug_assert_eq!(outcome, PutOutcome::Exists);
            return Self::open(storage, credentials, run).await;
        }
        let copy = layout::header_copy(header.repository);
        retry(run, "write the header's copy", || storage.put(&copy, encoded.clone())).await?;
        let (identities, known) = (Vec::new(), OnceCell::new());
        let made = Self { inner: Arc::new(Inner { storage, header, keys, identities, probed: known }) };
        made.note_probed(probed, run).await?;
        Ok(made)
    }

    /// Opens a repository. `NotFound` when the storage is empty, or an interrupted init left nothing but keys.
    pub async fn open(storage: Arc<dyn Storage>, credentials: &Credentials, run: &RunContext) -> Result<Self> {
        let key = layout::header();
        let found = retry(run, "read the header", || storage.get_if_there(&key)).await?;
        let (header, proof) = match found.as_deref().map(Header::decode) {
            Some(Ok(header)) => header,
            Some(Err(e)) if e.kind() != ErrorKind::Corrupt => return Err(e),
            damaged => Self::header_from_copy(&*storage, damaged.and_then(Result::err), run).await?,
        };
        let keys = Self::unlock(&*storage, &header, credentials, run).await?;
        if !keys.matches(&header.commitments) {
            return Err(Error::new(ErrorKind::Authentication, "the key belongs to another repository")
                .with("storage", storage.describe()));
        }
        proof.check(&keys)?;
        let identities = match credentials {
            Credentials::Identities(identities) => identities.clone(),
            _ => Vec::new(),
        };
        Ok(Self { inner: Arc::new(Inner { storage, header, keys, identities, probed: OnceCell::new() }) })
    }

    /// The header's copy stands in for a damaged or lost header, if there is exactly one.
    async fn header_from_copy(
        storage: &dyn Storage,
        damage: Option<Error>,
        run: &RunContext,
    ) -> Result<(Header, header::HeaderProof)> {
        let first = retry(run, "list the storage", || storage.list(None, None)).await?;
        // Wrapped keys alone are what an interrupted init leaves behind.
        let left = |key: &Key| {
            key.as_str().starts_with("keys/") && key.file_name().strip_suffix(".age").is_some()
                || layout::is_of_probe(key)
        };
        if first.iter().all(|m| left(&m.key)) {
            return Err(Error::new(ErrorKind::NotFound, "there is no repository").with("storage", storage.describe()));
        }
        let mut copies = Vec::new();
        let prefix = layout::keys_prefix();
        for meta in retry(run, "list the keys", || storage.list_all(Some(&prefix))).await? {
            if meta.key.file_name().strip_suffix(".json").is_some() {
                let bytes = retry(run, "read the header's copy", || storage.get(&meta.key)).await?;
                copies.extend(Header::decode(&bytes).ok());
            }
        }
        match (copies.pop(), copies.is_empty(), damage) {
            (Some(copy), true, _) => {
                let message = "kronos.json is lost or damaged; its copy below keys/ was used".to_owned();
                run.emit(&crate::event::Event::Warning { message });
                Ok(copy)
            }
            (_, _, Some(damage)) => Err(damage),
            (_, _, None) => Err(Error::new(ErrorKind::Config, "the storage is not empty and holds no repository")
                .with("storage", storage.describe())
                .with("missing", layout::HEADER)),
        }
    }

    async fn unlock(
        storage: &dyn Storage,
        header: &Header,
        credentials: &Credentials,
        run: &RunContext,
    ) -> Result<KeySet> {
        let refused =
            |message: &str| Error::new(ErrorKind::Authentication, message).with("storage", storage.describe());
        match (&header.keys, credentials) {
            (Some(keys), Credentials::None) => KeySet::from_json(keys),
            (Some(_), _) => {
                Err(Error::new(ErrorKind::Config, "the repository is not encrypted, although a key was given")
                    .with("storage", storage.describe()))
            }
            (None, Credentials::None) => Err(refused("the repository is encrypted and no key was given")),
            (None, Credentials::WriterKey(json)) => KeySet::from_json(json.expose()),
            (None, credentials) => {
                let prefix = layout::keys_prefix();
                let listed = retry(run, "list the keys", || storage.list_all(Some(&prefix))).await?;
                let mut tried = std::collections::BTreeSet::new();
                for meta in listed.iter().filter(|m| m.key.file_name().strip_suffix(".age").is_some()) {
                    let file = retry(run, "read a key", || storage.get(&meta.key)).await?;
                    // The two copies are the same unless one is damaged: a passphrase is slow to try.
                    if !tried.insert(Digest::of(&file)) {
                        continue;
                    }
                    let credentials = credentials.clone();
                    if let Some(keys) = run.compute(move || keys::unwrap(&file, &credentials)).await??
                        && keys.matches(&header.commitments)
                    {
                        return Ok(keys);
                    }
                }
                Err(refused("no key of the repository fits the passphrase or identity"))
            }
        }
    }

    /// The same repository, able to read what `other` can read.
    fn with_reader(self, other: &Self) -> Self {
        let inner = Inner {
            storage: self.inner.storage.clone(),
            header: self.inner.header.clone(),
            keys: other.inner.keys.clone(),
            identities: other.inner.identities.clone(),
            probed: self.inner.probed.clone(),
        };
        Self { inner: Arc::new(inner) }
    }

    /// What a client should remember of it.
    pub fn identity(&self) -> RepositoryIdentity {
        let commitments = serde_json::to_vec(&self.inner.header.commitments).unwrap_or_default();
        RepositoryIdentity { id: self.inner.header.repository, keys: Digest::of(&commitments) }
    }

    /// Who can open it.
    pub fn mode(&self) -> Mode {
        self.inner.header.mode
    }

    /// Where it lies.
    pub fn storage(&self) -> &Arc<dyn Storage> {
        &self.inner.storage
    }

    /// Names it for people.
    pub fn describe(&self) -> String {
        self.inner.storage.describe()
    }

    /// What a host needs to back up into it without being able to read its data, in mode
    /// [`Mode::Recipients`].
    pub fn writer_key(&self) -> Result<Secret> {
        if self.mode() == Mode::Recipients {
            return Ok(self.inner.keys.writer().to_json());
        }
        Err(Error::new(ErrorKind::Unsupported, "only a repository for recipients has a writer key"))
    }

    /// The names of its jobs, sorted.
    pub async fn jobs(&self, run: &RunContext) -> Result<Vec<String>> {
        let prefix = layout::jobs_prefix();
        let mut names = std::collections::BTreeSet::new();
        let mut after: Option<Key> = None;
        loop {
            let page = retry(run, "list the jobs", || self.storage().list(Some(&prefix), after.as_ref())).await?;
            let mut last = None;
            for meta in &page {
                let mut parts = meta.key.as_str().split('/').skip(1);
                let Some(encoded) = parts.next() else { continue };
                if let Some("job" | "job.copy") = parts.next() {
                    names.extend(layout::decode_job(encoded));
                }
                // Once its record has been seen, its packs, which may be many, are passed over.
                let is_seen = layout::decode_job(encoded).is_some_and(|name| names.contains(&name));
                last = Some(if is_seen { layout::after_job(encoded) } else { meta.key.clone() });
            }
            match last {
                Some(next) if after.as_ref().is_none_or(|after| next.follows(after)) => {
                    after = Some(next);
                }
                _ => return Ok(names.into_iter().collect()),
            }
        }
    }

    /// The ways to open it.
    pub async fn keys(&self, run: &RunContext) -> Result<Vec<KeyInfo>> {
        let prefix = layout::keys_prefix();
        let listed = retry(run, "list the keys", || self.storage().list_all(Some(&prefix))).await?;
        let ids: std::collections::BTreeSet<Id> = listed
            .iter()
            .filter_map(|m| m.key.file_name().strip_suffix(".age"))
            .filter_map(|name| name.strip_suffix(".copy").unwrap_or(name).parse().ok())
            .filter(|id| keys::is_key_of(*id, &self.inner.header.commitments))
            .collect();
        let mut keys = Vec::new();
        for id in ids {
            let [one, two] = layout::wrapped_keys(id);
            let one = retry(run, "read a key", || self.storage().get_if_there(&one)).await?;
            let two = retry(run, "read a key", || self.storage().get_if_there(&two)).await?;
            keys.push(KeyInfo { id, intact: one.is_some() && one == two });
        }
        Ok(keys)
    }

    async fn read_key(&self, id: Id, run: &RunContext) -> Result<Bytes> {
        let [one, two] = layout::wrapped_keys(id);
        match retry(run, "read a key", || self.storage().get_if_there(&one)).await? {
            Some(file) => Ok(file),
            None => retry(run, "read a key", || self.storage().get(&two)).await,
        }
    }

    /// Adds a way to open it; gives its id. Only a repository in mode [`Mode::Encrypted`] takes one.
    pub async fn add_key(&self, protection: &Protection, run: &RunContext) -> Result<Id> {
        match (self.mode(), protection) {
            (Mode::Plain, _) => {
                return Err(Error::new(ErrorKind::Unsupported, "the repository is not encrypted, and stays so"));
            }
            // Each data pack has its key wrapped to the recipients of the header: a later one
            // could open the repository and read none of its data.
            (Mode::Recipients, _) => {
                return Err(Error::new(
                    ErrorKind::Unsupported,
                    "the recipients of a repository are fixed when it is made",
                ));
            }
            _ => {}
        }
        if self.inner.keys.data.is_none() {
            return Err(Error::new(ErrorKind::PermissionDenied, "a writer key cannot add keys"));
        }
        let keys = self.inner.keys.clone();
        let protection = protection.clone();
        let file = Bytes::from(run.compute(move || keys::wrap(&keys, &protection)).await??);
        let id = keys::new_key_id(&self.inner.header.commitments, run);
        for key in layout::wrapped_keys(id) {
            retry(run, "write a key", || self.storage().put(&key, file.clone())).await?;
        }
        Ok(id)
    }

    /// Removes a way to open it; the last one stays. It does not revoke a key that someone has
    /// already opened and copied.
    pub async fn remove_key(&self, id: Id, run: &RunContext) -> Result<()> {
        let keys = self.keys(run).await?;
        if !keys.iter().any(|k| k.id == id) {
            return Err(Error::new(ErrorKind::NotFound, "no such key").with("key", id));
        }
        if !keys.iter().any(|k| k.id != id && k.intact) {
            return Err(Error::new(ErrorKind::Conflict, "the last intact key cannot be removed").with("key", id));
        }
        for key in layout::wrapped_keys(id) {
            retry(run, "remove a key", || self.storage().delete_one(&key)).await?;
        }
        Ok(())
    }

    /// Compares the header and the key files with their copies; names each object that differs.
    pub(crate) async fn damaged_keys(&self, run: &RunContext) -> Result<Vec<Flaw>> {
        let mut damage = Vec::new();
        let expected = Bytes::from(self.inner.header.encode(&self.inner.keys));
        let copy = layout::header_copy(self.inner.header.repository);
        for key in [layout::header(), copy.clone()] {
            match retry(run, "read the header", || self.storage().get_if_there(&key)).await? {
                None => damage.push(Flaw::missing(key, &copy)),
                Some(bytes) if bytes != expected => damage.push(Flaw::damage(key, "it is damaged")),
                Some(_) => {}
            }
        }
        for info in self.keys(run).await?.into_iter().filter(|k| !k.intact) {
            let [one, _] = layout::wrapped_keys(info.id);
            damage.push(Flaw::damage(one, "the key and its copy differ, or one is missing"));
        }
        if self.mode() != Mode::Plain && self.keys(run).await?.is_empty() {
            damage.push(Flaw::damage(layout::keys_prefix(), "no key is left"));
        }
        Ok(damage)
    }

    pub(crate) fn id(&self) -> Id {
        self.inner.header.repository
    }

    pub(crate) fn chunker(&self) -> &ChunkerParameters {
        &self.inner.header.chunker
    }

    pub(crate) fn key_set(&self) -> &KeySet {
        &self.inner.keys
    }

    pub(crate) fn recipients(&self) -> &[String] {
        &self.inner.header.recipients
    }

    pub(crate) fn identities(&self) -> &[Secret] {
        &self.inner.identities
    }

    /// Stands for all repositories with the same keys.
    pub(crate) fn family(&self) -> Id {
        keys::family(&self.inner.header.commitments)
    }

    /// Whether both have the same keys, recipients and chunker parameters, as
    /// [`init_like`](Self::init_like) makes them: then what is sealed for one is good for the other.
    pub fn is_like(&self, other: &Self) -> bool {
        let (one, two) = (&self.inner.header, &other.inner.header);
        one.commitments == two.commitments && one.recipients == two.recipients && one.chunker == two.chunker
    }

    /// Whether chunks have the same ids in both: then a copy need not read what is there.
    pub(crate) fn shares_keys_with(&self, other: &Self) -> bool {
        self.inner.header.commitments == other.inner.header.commitments
    }
}

impl fmt::Debug for Repository {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Repository").field("storage", &self.describe()).field("id", &self.id()).finish_non_exhaustive()
    }
}
