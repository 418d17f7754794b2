//! Takes the snapshots of all files of a source, as close together as can be.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use kronos_core::{DumpRequest, Outline, Result, Timestamp, matches};
use tokio_util::sync::CancellationToken;

use super::content::{Content, Waiting};
use super::look::Look;
use super::open::Database;
use super::settings::SqliteSettings;
use super::snapshot::Snapshot;
use super::spool::IN_MEMORY;

/// The snapshots: an outline, and for each stream its content, or `None` if it is unchanged.
pub(super) struct Begun {
    pub(super) outline: Outline,
    pub(super) contents: Vec<Option<Waiting>>,
}

/// Takes them. Blocks, for a database in rollback mode as long as it takes to copy it.
pub(super) fn begin(
    settings: &SqliteSettings,
    request: &DumpRequest,
    now: Timestamp,
    stop: &CancellationToken,
) -> Result<Begun> {
    let mut outline = Outline { server_version: Some(rusqlite::version().to_owned()), ..Outline::default() };
    let files = chosen(settings.source_files()?, &request.exclude, &mut outline.warnings);

    for name in request.previous.iter().flat_map(|previous| previous.streams.keys()) {
        if files.iter().all(|(there, _)| there != name) {
            outline.warnings.push(format!("{name} was in the backup before this one, and is not in it any more"));
        }
    }

    let mut opened = Vec::with_capacity(files.len());
    for (name, path) in files {
        let database = Database::open(&path)?;
        let before = Look::at(database.path())?;
        opened.push((name, database, before));
    }
    // Nothing else happens between the first and the last of these.
    for (_, database, _) in &opened {
        database.begin()?;
    }

    let mut taken = Vec::with_capacity(opened.len());
    for (name, database, before) in opened {
        let (snapshot, mut info, look) = Snapshot::describe(database, &name, &before, settings.wal_limit)?;
        info.unchanged = request
            .previous
            .as_ref()
            .is_some_and(|previous| look.proves_unchanged(&info, previous, now, settings.trust_unchanged));
        taken.push((!info.unchanged).then_some(snapshot));
        outline.streams.push(info);
    }

    // A read transaction holds up every writer of a database in rollback mode: those are copied at
    // once, whenever their streams may be opened.
    let mut in_memory = 0;
    let mut contents = Vec::with_capacity(taken.len());
    for snapshot in taken {
        contents.push(match snapshot {
            None => None,
            Some(snapshot) => {
                let content = hold_or_copy(snapshot, settings, &mut in_memory, &mut outline.warnings, stop)?;
                Some(Arc::new(Mutex::new(Some(Ok(content)))))
            }
        });
    }
    Ok(Begun { outline, contents })
}

fn hold_or_copy(
    snapshot: Snapshot,
    settings: &SqliteSettings,
    in_memory: &mut u64,
    warnings: &mut Vec<String>,
    stop: &CancellationToken,
) -> Result<Content> {
    let spool_dir = spool_dir(settings, snapshot.path());
    if snapshot.in_wal_mode() {
        return Ok(Content::Held { snapshot, spool_dir });
    }
    let small = *in_memory + snapshot.length() <= IN_MEMORY;
    if small {
        *in_memory += snapshot.length();
    } else {
        warnings.push(format!(
            "{}: not in WAL mode, so it was copied to {} first; writers waited for that copy",
            snapshot.path().display(),
            spool_dir.display()
        ));
    }
    Content::copy(snapshot, &spool_dir, small, None, stop)
}

fn spool_dir(settings: &SqliteSettings, database: &Path) -> PathBuf {
    match &settings.spool_dir {
        Some(directory) => directory.clone(),
        None => database.parent().unwrap_or(Path::new("/")).to_owned(),
    }
}

fn chosen(files: Vec<(String, PathBuf)>, exclude: &[String], warnings: &mut Vec<String>) -> Vec<(String, PathBuf)> {
    for pattern in exclude {
        if !files.iter().any(|(name, _)| matches(pattern, name)) {
            warnings.push(format!("nothing left out for \"{pattern}\": SQLite files are read whole, by their names"));
        }
    }
    let left_out = |name: &str| exclude.iter().any(|pattern| matches(pattern, name));
    files.into_iter().filter(|(name, _)| !left_out(name)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_choose_files_by_name() {
        let files = || ["app.db", "users.db", "cache.db3"].map(|n| (n.to_owned(), PathBuf::from(n))).to_vec();
        let mut warnings = Vec::new();
        let left = chosen(files(), &["cache*".to_owned(), "u?ers.db".to_owned()], &mut warnings);
        assert_eq!(left, [("app.db".to_owned(), PathBuf::from("app.db"))]);
        assert!(warnings.is_empty());
        assert_eq!(chosen(files(), &["public.orders".to_owned()], &mut warnings).len(), 3);
        assert_eq!(warnings.len(), 1);
    }
}
