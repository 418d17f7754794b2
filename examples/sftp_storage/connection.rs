//! A connection: many requests at a time through the pipes of one `ssh`.
//!
//! The requests are those of SFTP version 3 and three extensions of OpenSSH, without which nothing
//! could be durable or atomic.

use std::sync::Arc;

use kronos_core::{Error, ErrorKind, Result, Retry};
use russh_sftp::client::error::Error as SftpError;
use russh_sftp::client::{Config, RawSftpSession};
use russh_sftp::protocol::{FileAttributes, OpenFlags, Packet, Status, StatusCode};
use tokio::sync::Semaphore;

use crate::address::Address;
use crate::failure::{Failure, no_connection, plain};
use crate::file::File;
use crate::ssh::Ssh;

const FSYNC: &str = "fsync@openssh.com";
const HARDLINK: &str = "hardlink@openssh.com";
const POSIX_RENAME: &str = "posix-rename@openssh.com";
const STATVFS: &str = "statvfs@openssh.com";

/// How many files are open at a time. The library keeps what the server names them by as text, and
/// OpenSSH counts them in bytes: below 128 that is the same. Nobody waits for a second one while
/// holding a first.
const OPEN: usize = 64;
/// How many requests with data are on their way: two megabytes, as much as OpenSSH's window holds.
const ON_THE_WAY: usize = 64;

/// What a file is opened for.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Open {
    /// The bytes of a file; a directory only to sync it.
    Read,
    /// A file that is there.
    Write,
    /// A file that is not there yet.
    New,
    /// What is in a directory.
    Entries,
}

/// A connection that was good when it was made.
pub(crate) struct Connection {
    pub(crate) session: RawSftpSession,
    ssh: Ssh,
    address: Address,
    open: Arc<Semaphore>,
    pub(crate) on_the_way: Semaphore,
    knows_space: bool,
}

impl Connection {
    pub(crate) async fn new(address: Address) -> Result<Self> {
        let (ssh, pipes) = Ssh::start(&address)?;
        let config = Config { request_timeout_secs: address.timeout.as_secs(), ..Config::default() };
        let session = RawSftpSession::new_with_config(pipes, config);
        let version = match session.init().await {
            Ok(version) => version,
            Err(SftpError::Timeout) => return Err(late(&address)),
            Err(error) => return Err(no_connection(ssh.end().await, &address).with_source(error)),
        };
        let has = |name: &str, version_of: &str| version.extensions.get(name).is_some_and(|v| v == version_of);
        if let Some(missing) = [FSYNC, HARDLINK, POSIX_RENAME].into_iter().find(|name| !has(name, "1")) {
            return Err(Error::new(ErrorKind::Unsupported, "the server lacks an extension of SFTP that is needed")
                .with("host", &address.host)
                .with("extension", missing)
                .with("hint", "use the SFTP server that comes with OpenSSH, 6.5 or newer"));
        }
        let knows_space = has(STATVFS, "2");
        let (open, on_the_way) = (Arc::new(Semaphore::new(OPEN)), Semaphore::new(ON_THE_WAY));
        Ok(Self { session, ssh, address, open, on_the_way, knows_space })
    }

    /// Whether it is still good, as far as is known.
    pub(crate) fn is_alive(&self) -> bool {
        self.ssh.is_alive()
    }

    /// Waits for an answer. Where none comes, the connection is given up: the next call makes another.
    pub(crate) async fn ask<T>(
        &self,
        request: impl Future<Output = Result<T, SftpError>> + Send,
    ) -> Result<T, Failure> {
        match request.await {
            Ok(answer) => Ok(answer),
            Err(SftpError::Status(status)) => Err(Failure::Refused(status.status_code, plain(&status.error_message))),
            Err(SftpError::Timeout) => {
                self.ssh.stop();
                Err(Failure::Lost(late(&self.address)))
            }
            Err(error) => {
                let mut lost = Error::new(ErrorKind::Io, "the connection to the server broke")
                    .with_retry(Retry::Later)
                    .with("host", &self.address.host);
                if let Some(last) = self.ssh.end().await.and_then(|ended| ended.words.last().cloned()) {
                    lost = lost.with("ssh says", last);
                }
                Err(Failure::Lost(lost.with_source(error)))
            }
        }
    }

    /// Opens a file or directory.
    pub(crate) async fn open(self: &Arc<Self>, path: &str, how: Open) -> Result<File, Failure> {
        // The semaphore is never closed, so there is always a permit to come.
        let permit = Arc::clone(&self.open).acquire_owned().await.ok();
        let (connection, path) = (Arc::clone(self), path.to_owned());
        // In a task of its own: if the caller goes, the answer is still waited for, and the file closed.
        let opened = tokio::spawn(async move {
            let mut attributes = FileAttributes::empty();
            let flags = match how {
                Open::Entries => OpenFlags::empty(),
                Open::Read => OpenFlags::READ,
                Open::Write => OpenFlags::WRITE,
                Open::New => {
                    // For the owner alone from its first moment.
                    attributes.permissions = Some(0o600);
                    OpenFlags::WRITE | OpenFlags::CREATE | OpenFlags::EXCLUDE
                }
            };
            let session = &connection.session;
            let handle = match how {
                Open::Entries => connection.ask(session.opendir(path)).await?.handle,
                _ => connection.ask(session.open(path, flags, attributes)).await?.handle,
            };
            if handle.contains(char::REPLACEMENT_CHARACTER) {
                let error = Error::new(ErrorKind::Unsupported, "the server's names for open files are not text");
                return Err(Failure::Lost(error.with("host", &connection.address.host)));
            }
            Ok(File::new(connection, handle, permit))
        });
        opened.await.unwrap_or_else(|e| {
            Err(Failure::Lost(Error::new(ErrorKind::Internal, "opening a file failed").with_source(e)))
        })
    }

    /// What is there, through symbolic links.
    pub(crate) async fn look(&self, path: &str) -> Result<FileAttributes, Failure> {
        self.ask(self.session.stat(path)).await.map(|found| found.attrs)
    }

    /// Whether there is a directory.
    pub(crate) async fn is_directory(&self, path: &str) -> Result<bool, Failure> {
        match self.look(path).await {
            Ok(found) => Ok(found.file_type().is_dir()),
            Err(failure) if failure.is_missing() => Ok(false),
            Err(failure) => Err(failure),
        }
    }

    pub(crate) async fn make_directory(&self, path: &str) -> Result<(), Failure> {
        let attributes = FileAttributes { permissions: Some(0o700), ..FileAttributes::empty() };
        self.ask(self.session.mkdir(path, attributes)).await.map(drop)
    }

    pub(crate) async fn remove(&self, path: &str) -> Result<(), Failure> {
        self.ask(self.session.remove(path)).await.map(drop)
    }

    /// Gives a file a second name, unless something has that name.
    pub(crate) async fn link(&self, path: &str, name: &str) -> Result<(), Failure> {
        self.ask(self.session.hardlink(path, name)).await.map(drop)
    }

    /// Gives a file another name, in the place of what had it.
    pub(crate) async fn rename(&self, path: &str, name: &str) -> Result<(), Failure> {
        let mut names = Vec::new();
        for text in [path, name] {
            names.extend(u32::try_from(text.len()).unwrap_or(u32::MAX).to_be_bytes());
            names.extend(text.as_bytes());
        }
        let renamed = async {
            match self.session.extended(POSIX_RENAME, names).await? {
                Packet::Status(Status { status_code: StatusCode::Ok, .. }) => Ok(()),
                Packet::Status(status) => Err(SftpError::Status(status)),
                _ => Err(SftpError::UnexpectedPacket),
            }
        };
        self.ask(renamed).await
    }

    /// The bytes that are free for this user, if the server tells.
    pub(crate) async fn free_space(&self, path: &str) -> Result<Option<u64>, Failure> {
        if !self.knows_space {
            return Ok(None);
        }
        let found = self.ask(self.session.statvfs(path)).await?;
        Ok(Some(found.blocks_avail.saturating_mul(found.fragment_size)))
    }
}

fn late(address: &Address) -> Error {
    Error::new(ErrorKind::Timeout, "the server did not answer in time")
        .with_retry(Retry::Later)
        .with("host", &address.host)
        .with("seconds", address.timeout.as_secs())
}
