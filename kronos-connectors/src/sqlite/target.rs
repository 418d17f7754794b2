//! Where the streams of a backup go, and what is there already.

use std::fs;
use std::path::{Path, PathBuf};

use kronos_core::{Error, ErrorKind, PreviousStream, RestoreRequest, Result, TargetReport};
use rustix::fs::{Access, access};

use super::error;
use super::open::side_file;
use super::settings::{SqlitePlace, SqliteSettings, plain};
use super::spool::free;

/// Files that belong to a database and would be taken for those of a new one under its name.
pub(super) const SIDE_FILES: [&str; 3] = ["-wal", "-shm", "-journal"];

/// The files that a restore will make.
#[derive(Debug)]
pub(super) struct Target {
    /// The directory they are in. It may be missing if `may_create`.
    pub(super) directory: PathBuf,
    may_create: bool,
    /// Each stream with the path of its file.
    pub(super) files: Vec<(PreviousStream, PathBuf)>,
}

impl Target {
    /// Decides which stream goes where; touches no file but to follow a link.
    pub(super) fn plan(settings: &SqliteSettings, request: &RestoreRequest) -> Result<Self> {
        let streams = &request.streams;
        // The names come from a backup: whatever they are used for, they must be harmless.
        for stream in streams {
            plain(&stream.info.name)?;
        }
        let one = |path: &Path| match streams.as_slice() {
            [stream] => Ok(vec![(stream.clone(), resolve(path))]),
            _ => Err(Error::new(ErrorKind::Config, "several databases cannot go into one file")
                .with("target", path.display())
                .with("streams", streams.len())
                .with("hint", "give a directory as the target, or choose one database")),
        };
        match &settings.place {
            SqlitePlace::File(path) => {
                let directory = match path.parent() {
                    Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
                    _ => PathBuf::from("."),
                };
                Ok(Self { directory, may_create: false, files: one(path)? })
            }
            SqlitePlace::Directory { path, files } => {
                let other = streams.iter().find(|s| !files.is_empty() && !files.contains(&s.info.name));
                let chosen = match (files.as_slice(), other) {
                    ([file], _) => one(&path.join(file))?,
                    (_, Some(other)) => {
                        return Err(Error::new(ErrorKind::Config, "the target names other files than the backup")
                            .with("stream", &other.info.name)
                            .with("hint", "give only the directory as the target"));
                    }
                    (_, None) => streams.iter().map(|s| (s.clone(), resolve(&path.join(&s.info.name)))).collect(),
                };
                let mut names: Vec<&Path> = chosen.iter().map(|(_, path)| path.as_path()).collect();
                names.sort_unstable();
                if let Some(pair) = names.windows(2).find(|pair| pair[0] == pair[1]) {
                    return Err(Error::new(ErrorKind::Config, "two databases would go into one file")
                        .with("path", pair[0].display()));
                }
                Ok(Self { directory: path.clone(), may_create: true, files: chosen })
            }
        }
    }

    /// What exists and would be replaced, files beside a database included.
    pub(super) fn existing(&self) -> Vec<PathBuf> {
        self.files
            .iter()
            .flat_map(|(_, path)| std::iter::once(path.clone()).chain(SIDE_FILES.map(|suffix| side_file(path, suffix))))
            .filter(|path| fs::symlink_metadata(path).is_ok())
            .collect()
    }

    /// The bytes that all files take.
    pub(super) fn needed(&self) -> u64 {
        self.files.iter().map(|(stream, _)| stream.end.length).fold(0, u64::saturating_add)
    }

    /// Looks at the target, and changes nothing.
    pub(super) fn report(&self, replace: bool) -> TargetReport {
        let found = self.existing();
        let mut obstacles: Vec<String> = self.obstacle().map(|e| e.to_string()).into_iter().collect();
        if replace {
            obstacles.extend(found.iter().filter_map(|path| irreplaceable(path)).map(|e| e.to_string()));
        }
        let free = self.standing().and_then(|directory| free(directory).ok());
        let needed = self.needed();
        if free.is_some_and(|free| free < needed) {
            obstacles.push(no_room(&self.directory, needed).to_string());
        }
        let existing = found.iter().map(|path| path.display().to_string()).collect();
        TargetReport { existing, needed, free, obstacles }
    }

    /// Checks everything that can be known before the first byte, and makes what directories are
    /// missing. Returns those it made, the outermost first.
    pub(super) fn prepare(&self, replace: bool) -> Result<Vec<PathBuf>> {
        if let Some(obstacle) = self.obstacle() {
            return Err(obstacle);
        }
        for path in self.existing() {
            if !replace {
                return Err(
                    Error::new(ErrorKind::AlreadyExists, "the target exists already").with("path", path.display())
                );
            }
            if let Some(obstacle) = irreplaceable(&path) {
                return Err(obstacle);
            }
        }
        let standing = self.standing().ok_or_else(|| error::internal("a target without a directory"))?;
        if free(standing)? < self.needed() {
            return Err(no_room(&self.directory, self.needed()));
        }
        let mut made = Vec::new();
        for (_, path) in &self.files {
            let parent = path.parent().unwrap_or(&self.directory);
            let missing: Vec<&Path> =
                parent.ancestors().take_while(|p| !p.as_os_str().is_empty() && !p.exists()).collect();
            for directory in missing.into_iter().rev() {
                fs::create_dir(directory).map_err(|e| error::io(e, directory))?;
                made.push(directory.to_owned());
            }
        }
        Ok(made)
    }

    /// The directory, or its parent while it does not exist.
    fn standing(&self) -> Option<&Path> {
        if self.directory.exists() {
            return Some(&self.directory);
        }
        match self.directory.parent() {
            _ if !self.may_create => None,
            Some(parent) if parent.as_os_str().is_empty() => Some(Path::new(".")),
            parent => parent.filter(|parent| parent.exists()),
        }
    }

    fn obstacle(&self) -> Option<Error> {
        let Some(standing) = self.standing() else {
            return Some(Error::new(ErrorKind::NotFound, "no such directory").with("path", self.directory.display()));
        };
        if !standing.is_dir() {
            return Some(Error::new(ErrorKind::Config, "not a directory").with("path", standing.display()));
        }
        access(standing, Access::WRITE_OK | Access::EXEC_OK).err().map(|e| error::io(e.into(), standing))
    }
}

/// A link is followed: the file it leads to is replaced, not the link.
fn resolve(path: &Path) -> PathBuf {
    fs::canonicalize(path).unwrap_or_else(|_| path.to_owned())
}

fn irreplaceable(path: &Path) -> Option<Error> {
    // A link that leads nowhere has not been resolved; nothing is known of what it stands for.
    let is_file = fs::symlink_metadata(path).is_ok_and(|found| found.is_file());
    (!is_file).then(|| Error::new(ErrorKind::Config, "not a file, so it is not replaced").with("path", path.display()))
}

fn no_room(directory: &Path, needed: u64) -> Error {
    Error::new(ErrorKind::StorageFull, "no room for the restored databases")
        .with("path", directory.display())
        .with("needed", needed)
}
