//! A file by which a program is told a password: without a name where the system allows that, and
//! only the user may read it.

use std::fs::File;
use std::io::{Seek, Write};
use std::path::{Path, PathBuf};

use kronos_core::{Error, ErrorKind, Result};

/// A file, as long as it is kept.
#[derive(Debug)]
pub(crate) struct SecretFile {
    path: PathBuf,
    _file: Kept,
}

#[derive(Debug)]
enum Kept {
    /// Without a name: nothing is left of it whatever happens to this process.
    #[cfg(target_os = "linux")]
    Open { _file: File },
    #[cfg(not(target_os = "linux"))]
    Named { _file: tempfile::NamedTempFile },
}

impl SecretFile {
    pub(crate) fn new(bytes: &[u8]) -> Result<Self> {
        Self::with(bytes).map_err(|e| {
            Error::new(ErrorKind::Io, "a file with the password for a program could not be made")
                .with("system", &e)
                .with_source(e)
        })
    }

    #[cfg(target_os = "linux")]
    fn with(bytes: &[u8]) -> std::io::Result<Self> {
        use std::os::fd::AsRawFd;
        use std::os::unix::fs::PermissionsExt;
        let mut file = tempfile::tempfile()?;
        // What has no name is made with the rights of any other file.
        file.set_permissions(std::fs::Permissions::from_mode(0o600))?;
        write(&mut file, bytes)?;
        // Not inherited, so that no other program that is started meanwhile gets it: the program
        // opens what this process has open.
        let path = PathBuf::from(format!("/proc/{}/fd/{}", std::process::id(), file.as_raw_fd()));
        Ok(Self { path, _file: Kept::Open { _file: file } })
    }

    #[cfg(not(target_os = "linux"))]
    fn with(bytes: &[u8]) -> std::io::Result<Self> {
        let mut file = tempfile::NamedTempFile::new()?;
        write(file.as_file_mut(), bytes)?;
        Ok(Self { path: file.path().to_owned(), _file: Kept::Named { _file: file } })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

fn write(file: &mut File, bytes: &[u8]) -> std::io::Result<()> {
    file.write_all(bytes)?;
    file.rewind()
}
