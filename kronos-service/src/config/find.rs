//! Where the files of a configuration are looked for.

use std::path::{Path, PathBuf};

use kronos_core::{Error, ErrorKind, Result};

use super::origin::LayerKind;

/// The places, as the border knows them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SearchPlaces {
    /// The file of `--config`. It is the only one then.
    pub explicit: Option<PathBuf>,
    /// The file of `KRONOS_CONFIG`. It is the only one then, unless there is an explicit one.
    pub variable: Option<PathBuf>,
    /// The current directory.
    pub current: Option<PathBuf>,
    /// The user's home directory: `.config/kronos` below it.
    pub home: Option<PathBuf>,
    /// The system's directory, `/etc/kronos`.
    pub system: Option<PathBuf>,
}

const NAMES: [&str; 3] = ["kronos.toml", "kronos.yaml", "kronos.yml"];

/// The files there are, each a layer over those before it: that of the system, the user, the current
/// directory. One that was named is read alone, so that it means the same wherever it is used; it
/// must exist.
pub fn config_files(places: &SearchPlaces) -> Result<Vec<(LayerKind, PathBuf)>> {
    if let Some(named) = places.explicit.as_ref().or(places.variable.as_ref()) {
        if named.is_file() {
            return Ok(vec![(LayerKind::Project, named.clone())]);
        }
        if named.is_dir() {
            return Err(Error::new(ErrorKind::Config, "a directory is no configuration file")
                .with("path", named.display())
                .with("hint", "name the file in it"));
        }
        return Err(
            Error::new(ErrorKind::NotFound, "there is no such configuration file").with("file", named.display())
        );
    }
    let user = places.home.as_ref().map(|home| home.join(".config/kronos"));
    let directories =
        [(LayerKind::System, &places.system), (LayerKind::User, &user), (LayerKind::Project, &places.current)];
    let mut files: Vec<(LayerKind, PathBuf)> = Vec::new();
    for (kind, directory) in directories {
        let Some(found) = directory.as_deref().map(in_directory).transpose()?.flatten() else { continue };
        // Somebody may work in one of the other directories.
        let is_same = |(_, other): &(LayerKind, PathBuf)| same_file(other, &found);
        if !files.iter().any(is_same) {
            files.push((kind, found));
        }
    }
    Ok(files)
}

fn same_file(one: &Path, other: &Path) -> bool {
    match (one.canonicalize(), other.canonicalize()) {
        (Ok(one), Ok(other)) => one == other,
        _ => one == other,
    }
}

fn in_directory(directory: &Path) -> Result<Option<PathBuf>> {
    let mut found = NAMES.iter().map(|name| directory.join(name)).filter(|path| path.is_file());
    match (found.next(), found.next()) {
        (Some(first), Some(second)) => Err(Error::new(ErrorKind::Config, "two configuration files lie side by side")
            .with("first", first.display())
            .with("second", second.display())),
        (first, _) => Ok(first),
    }
}
