//! The engines' own programs, as far as this build uses them.

use std::path::PathBuf;

use kronos_core::Engine;

/// A program that an engine brings, and what of it is installed.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Program {
    /// The engine.
    pub engine: Engine,
    /// Its name, such as `pg_dump`.
    pub name: &'static str,
    /// What it is needed for.
    pub purpose: &'static str,
    /// Where it is, and in which version; the best first.
    pub found: Vec<(PathBuf, String)>,
    /// What to do when it is missing.
    pub hint: String,
    /// Whether the engine's databases cannot be backed up without it, by any method.
    pub is_needed: bool,
}

/// Looks for the programs of every engine of this build: in these directories, which are usually
/// those of the search path, and where packages put them.
#[cfg_attr(
    not(any(feature = "mongodb", feature = "mysql", feature = "postgres")),
    allow(clippy::unused_async, reason = "nothing to look for")
)]
pub async fn programs(directories: &[PathBuf]) -> Vec<Program> {
    #[cfg_attr(
        not(any(feature = "mongodb", feature = "mysql", feature = "postgres")),
        allow(unused_mut, reason = "nothing to add")
    )]
    let mut programs = Vec::new();
    #[cfg(feature = "postgres")]
    for (name, purpose) in crate::postgres::tools::USED {
        let found = crate::postgres::tools::installed(name, directories).await;
        let found = found.into_iter().map(|tool| (tool.path, tool.version)).collect();
        let hint = crate::postgres::tools::package(18);
        programs.push(Program { engine: Engine::POSTGRES, name, purpose, found, hint, is_needed: true });
    }
    #[cfg(feature = "mysql")]
    for (name, is_mariadb, purpose) in crate::mysql::tools::USED {
        let found = crate::mysql::tools::installed(name, is_mariadb, directories).await;
        let found = found.into_iter().map(|tool| (tool.path, tool.version)).collect();
        let hint = crate::mysql::tools::package(is_mariadb);
        programs.push(Program { engine: Engine::MYSQL, name, purpose, found, hint, is_needed: false });
    }
    #[cfg(feature = "mongodb")]
    for (name, purpose) in crate::mongodb::tools::USED {
        let found = crate::mongodb::tools::installed(name, directories).await;
        let found = found.into_iter().map(|tool| (tool.path, tool.version)).collect();
        let hint = crate::mongodb::tools::package();
        programs.push(Program { engine: Engine::MONGODB, name, purpose, found, hint, is_needed: false });
    }
    #[cfg(not(any(feature = "mongodb", feature = "mysql", feature = "postgres")))]
    let _ = directories;
    programs
}
