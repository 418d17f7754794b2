//! The server as everything here uses it: one connection for all, made when it is needed and again
//! when it broke.

use std::fmt;
use std::sync::Arc;

use kronos_core::{Error, ErrorKind, Key, Result, Retry};
use russh_sftp::protocol::StatusCode;
use tokio::sync::Mutex;
use tokio::time::timeout;

use crate::address::Address;
use crate::connection::Connection;
use crate::directories::Directories;
use crate::failure::Failure;

/// With less room than this a file system calls itself full: some blocks it keeps to itself.
const FULL: u64 = 1 << 20;

/// A place on a server.
pub(crate) struct Server {
    pub(crate) address: Address,
    pub(crate) directories: Directories,
    /// Held while a connection is made, so that the others wait for that one.
    connection: Mutex<Option<Arc<Connection>>>,
}

impl Server {
    pub(crate) fn new(address: Address) -> Arc<Self> {
        let directories = Directories::new(address.root.clone());
        Arc::new(Self { address, directories, connection: Mutex::default() })
    }

    /// The connection, or a new one if there is none or it broke.
    pub(crate) async fn connection(&self) -> Result<Arc<Connection>> {
        let connected = timeout(self.address.timeout, async {
            let mut current = self.connection.lock().await;
            if let Some(connection) = current.as_ref().filter(|connection| connection.is_alive()) {
                return Ok(Arc::clone(connection));
            }
            let connection = Arc::new(Connection::new(self.address.clone()).await?);
            *current = Some(Arc::clone(&connection));
            Ok(connection)
        });
        connected.await.unwrap_or_else(|_| {
            let error = Error::new(ErrorKind::Timeout, "no connection to the server was made in time");
            Err(error.with_retry(Retry::Later).with("host", &self.address.host))
        })
    }

    pub(crate) fn path(&self, key: &Key) -> String {
        format!("{}/{key}", self.address.root)
    }

    /// A failed change as an error; a disk that is full is told as such, which the server does not do.
    pub(crate) async fn refused(&self, connection: &Connection, failure: Failure, message: &str, path: &str) -> Error {
        if matches!(failure, Failure::Refused(StatusCode::Failure, _))
            && let Ok(Some(..FULL)) = connection.free_space(&format!("{}/", self.address.root)).await
        {
            return Error::new(ErrorKind::StorageFull, "the server's disk is full").with("path", path);
        }
        failure.into_error(message, path)
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server").field("address", &self.address).finish_non_exhaustive()
    }
}
