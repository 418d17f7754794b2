//! Where the configuration is looked for.

use std::path::{Path, PathBuf};

use kronos_core::{Error, ErrorKind, Result};

/// The places, as the border knows them, in the order in which they are looked at.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SearchPlaces {
    /// The file of `--config`.
    pub explicit: Option<PathBuf>,
    /// The file of `KRONOS_CONFIG`.
    pub variable: Option<PathBuf>,
    /// The current directory.
    pub current: Option<PathBuf>,
    /// The user's home directory: `.config/kronos` below it.
    pub home: Option<PathBuf>,
    /// The system's directory, `/etc/kronos`.
    pub system: Option<PathBuf>,
}

const NAMES: [&str; 3] = ["kronos.toml", "kronos.yaml", "kronos.yml"];

/// The first configuration file there is, or `None`. A file that was named must exist.
pub fn find_config(places: &SearchPlaces) -> Result<Option<PathBuf>> {
    if let Some(named) = places.explicit.as_ref().or(places.variable.as_ref()) {
        if named.is_file() {
            return Ok(Some(named.clone()));
        }
        return Err(
            Error::new(ErrorKind::NotFound, "there is no such configuration file").with("file", named.display())
        );
    }
    let user = places.home.as_ref().map(|home| home.join(".config/kronos"));
    for directory in [&places.current, &user, &places.system].into_iter().flatten() {
        if let Some(found) = in_directory(directory)? {
            return Ok(Some(found));
        }
    }
    Ok(None)
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
