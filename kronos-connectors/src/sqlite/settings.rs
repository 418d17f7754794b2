//! What a SQLite source is made from: where its files are, and what a backup may use beside them.

use std::path::{Component, Path, PathBuf};
use std::time::Duration;

use kronos_core::{Error, ErrorKind, Result, SourceSettings, nearest};

/// Where the files are. As a target of a restore the same place says where they go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SqlitePlace {
    /// One file. Its stream is named after the last part of the path; as a target it takes a
    /// backup of one stream, whatever that stream's name is.
    File(PathBuf),
    /// Files in one directory. Their streams have their names. As a target, no names mean: every
    /// stream under its own name.
    Directory {
        /// The directory.
        path: PathBuf,
        /// Plain relative paths inside it.
        files: Vec<String>,
    },
}

/// Settings of a SQLite source or target.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct SqliteSettings {
    /// Where the files are.
    pub place: SqlitePlace,
    /// Where a copy is put that must be taken fast. Default: the directory of the database.
    pub spool_dir: Option<PathBuf>,
    /// By how many bytes a write-ahead log may grow while it is held by a backup, before the rest
    /// is copied to `spool_dir` and the log released. Default 256 MiB.
    pub wal_limit: u64,
    /// The name of this machine, a part of the source's identity. Default: its network name.
    pub machine: String,
    /// How long a file that looks unchanged is believed without being read. Default 7 days.
    pub trust_unchanged: Duration,
}

fn network_name() -> String {
    match rustix::system::uname().nodename().to_string_lossy().into_owned() {
        name if name.is_empty() => "localhost".to_owned(),
        name => name,
    }
}

impl SqliteSettings {
    /// The defaults for one file.
    pub fn file(path: impl Into<PathBuf>) -> Self {
        Self::of(SqlitePlace::File(path.into()))
    }

    /// The defaults for files in a directory, or for a whole directory as a target.
    pub fn directory(path: impl Into<PathBuf>, files: impl IntoIterator<Item = impl Into<String>>) -> Self {
        let files = files.into_iter().map(Into::into).collect();
        Self::of(SqlitePlace::Directory { path: path.into(), files })
    }

    fn of(place: SqlitePlace) -> Self {
        Self {
            place,
            spool_dir: None,
            wal_limit: 256 << 20,
            machine: network_name(),
            trust_unchanged: Duration::from_hours(7 * 24),
        }
    }

    /// Reads general settings: `host` is the directory and `databases` the files in it; without
    /// `host`, `databases` is the path of one file. Options: `spool_dir`, `wal_limit` (bytes, or
    /// with `KiB`, `MiB`, `GiB`), `machine`.
    pub fn from_source(settings: &SourceSettings) -> Result<Self> {
        if settings.port.is_some() || settings.user.is_some() || settings.password.is_some() {
            return Err(config("a SQLite file has no port, user or password"));
        }
        let mut read = match (&settings.host, settings.databases.as_slice()) {
            (Some(directory), files) => Self::directory(directory, files),
            (None, [file]) => Self::file(file),
            (None, []) => return Err(config("no SQLite file is named")),
            (None, _) => return Err(config("several SQLite files need their directory as host")),
        };
        for (key, value) in &settings.options {
            match key.as_str() {
                "spool_dir" => read.spool_dir = Some(value.into()),
                "wal_limit" => read.wal_limit = bytes(value)?,
                "machine" => read.machine.clone_from(value),
                _ => return Err(unknown(key)),
            }
        }
        Ok(read)
    }

    /// The files as a source, by the names of their streams.
    pub(super) fn source_files(&self) -> Result<Vec<(String, PathBuf)>> {
        match &self.place {
            SqlitePlace::File(path) => Ok(vec![(last_part(path)?, path.clone())]),
            SqlitePlace::Directory { files, .. } if files.is_empty() => {
                Err(config("no file of the directory is named").with("hint", "name the files as databases"))
            }
            SqlitePlace::Directory { path, files } => {
                let mut seen = std::collections::BTreeSet::new();
                for file in files {
                    plain(file)?;
                    if !seen.insert(file) {
                        return Err(config("a file is named twice").with("file", file));
                    }
                }
                Ok(files.iter().map(|file| (file.clone(), path.join(file))).collect())
            }
        }
    }

    /// Checks everything that can be checked without touching a file.
    pub(super) fn validate(&self) -> Result<()> {
        if self.machine.is_empty() {
            return Err(config("the name of the machine is empty"));
        }
        match &self.place {
            SqlitePlace::Directory { path, .. } if path.as_os_str().is_empty() => Err(config("no path was given")),
            // A directory alone is a good target.
            SqlitePlace::Directory { files, .. } if files.is_empty() => Ok(()),
            _ => self.source_files().map(drop),
        }
    }
}

/// Checks a name that must stay inside a directory: it may come from a backup that someone forged.
pub(super) fn plain(name: &str) -> Result<&Path> {
    let path = Path::new(name);
    let inside = path.components().all(|part| matches!(part, Component::Normal(_)));
    // `components` forgives "a//b", "a/." and a slash at the end; two names must not mean one file.
    let exact = path.components().map(|part| part.as_os_str().len() + 1).sum::<usize>() == name.len() + 1;
    if name.is_empty() || !inside || !exact || name.contains(['\0', '\\', '\n', '\r']) {
        return Err(config("not a plain relative path").with("file", name.escape_debug()));
    }
    Ok(path)
}

fn last_part(path: &Path) -> Result<String> {
    path.file_name()
        .and_then(|name| name.to_str())
        .filter(|name| plain(name).is_ok())
        .map(str::to_owned)
        .ok_or_else(|| config("not the path of a file").with("path", path.display()))
}

fn bytes(text: &str) -> Result<u64> {
    let digits = text.trim_end_matches(|c: char| !c.is_ascii_digit());
    let shift = match text[digits.len()..].trim() {
        "" | "B" => Some(0),
        "K" | "KiB" => Some(10),
        "M" | "MiB" => Some(20),
        "G" | "GiB" => Some(30),
        _ => None,
    };
    shift
        .and_then(|shift| digits.trim().parse::<u64>().ok()?.checked_mul(1 << shift))
        .ok_or_else(|| config("not a number of bytes").with("wal_limit", text))
}

fn unknown(key: &str) -> Error {
    let error = config("unknown option of a SQLite source").with("option", key);
    match nearest(key, ["spool_dir", "wal_limit", "machine"]) {
        Some(near) => error.with("did you mean", near),
        None => error,
    }
}

fn config(message: &str) -> Error {
    Error::new(ErrorKind::Config, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(host: Option<&str>, databases: &[&str], options: &[(&str, &str)]) -> SourceSettings {
        SourceSettings {
            host: host.map(str::to_owned),
            databases: databases.iter().map(|&d| d.to_owned()).collect(),
            options: options.iter().map(|&(k, v)| (k.to_owned(), v.to_owned())).collect(),
            ..SourceSettings::default()
        }
    }

    #[test]
    fn a_name_stays_inside_its_directory() {
        for bad in ["", "/etc/passwd", "../a", "a/../b", "./a", "a//b", "a/", "a\0b", ".", "..", "a\\b", "a\nb"] {
            assert!(plain(bad).is_err(), "{bad:?}");
        }
        for good in ["app.db", "sub/app.db", "naïve db.sqlite", "..db", ".hidden"] {
            assert!(plain(good).is_ok(), "{good:?}");
        }
    }

    #[test]
    fn host_is_the_directory_and_a_lone_path_is_a_file() {
        let read = SqliteSettings::from_source(&source(Some("/srv"), &["a.db", "b.db"], &[])).unwrap();
        assert_eq!(read.source_files().unwrap()[1], ("b.db".to_owned(), PathBuf::from("/srv/b.db")));
        let read = SqliteSettings::from_source(&source(None, &["/srv/a.db"], &[("wal_limit", "3MiB")])).unwrap();
        assert_eq!((read.place, read.wal_limit), (SqlitePlace::File("/srv/a.db".into()), 3 << 20));
        assert!(SqliteSettings::from_source(&source(None, &["a", "b"], &[])).is_err());
        assert!(SqliteSettings::from_source(&source(None, &["a"], &[("wal_limit", "lots")])).is_err());
        let error = SqliteSettings::from_source(&source(None, &["a"], &[("spool-dir", "x")])).unwrap_err();
        assert_eq!(error.context("did you mean"), Some("spool_dir"));
    }
}
