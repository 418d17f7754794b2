//! `mongodump`: where it is, in which version, and how it is run. Never by a shell, and never with a
//! password among the arguments or in the environment.

use std::path::{Path, PathBuf};

use kronos_core::{Error, ErrorKind, Result, Retry, Secret};
use tokio::process::Command;

use crate::servers::program::{self, Language, Running};
use crate::servers::secret_file::SecretFile;

use super::config_file::config_file;
use super::connect::encoded;
use super::error::one_line;
use super::settings::MongodbSettings;

/// Where packages put it, beside the directories of the search path.
const USUAL: [&str; 4] = ["/usr/bin", "/usr/local/bin", "/opt/homebrew/bin", "/opt/mongodb-database-tools/bin"];
/// The first one that is told the server and the password by a file.
const OLDEST: (u32, u32) = (100, 3);

pub(super) const DUMP: &str = "mongodump";

/// The programs that Kronos uses, and what for.
pub(crate) const USED: [(&str, &str); 1] = [(DUMP, "backups of MongoDB databases by --method tool")];

/// A program that is installed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Tool {
    /// Its name.
    pub name: &'static str,
    pub path: PathBuf,
    /// Such as `100.10.0`.
    pub version: String,
    /// The first two numbers of the version.
    number: (u32, u32),
}

/// Every version of a program that can be found, in the order in which they were found.
pub(crate) async fn installed(name: &'static str, directories: &[PathBuf]) -> Vec<Tool> {
    let mut found = Vec::new();
    for path in program::candidates(name, directories, USUAL.iter().map(PathBuf::from)) {
        found.extend(ask(name, path).await);
    }
    found
}

/// What to install.
pub(crate) fn package() -> String {
    "install mongodb-database-tools (of MongoDB's own packages; Homebrew: mongodb/brew/mongodb-database-tools); \
     `tools` names a directory that is not searched by itself"
        .to_owned()
}

/// The first that is new enough: the user's own directories come first.
pub(super) async fn find(settings: &MongodbSettings) -> Result<Tool> {
    let (fitting, others): (Vec<_>, Vec<_>) =
        installed(DUMP, &settings.tools).await.into_iter().partition(|tool| tool.number >= OLDEST);
    fitting.into_iter().next().ok_or_else(|| {
        let error = if others.is_empty() {
            Error::new(ErrorKind::ToolMissing, "MongoDB's mongodump is not installed")
        } else {
            let found = others.iter().map(|tool| tool.version.clone()).collect::<Vec<_>>().join(" ");
            Error::new(ErrorKind::ToolMissing, "MongoDB's mongodump is too old").with("found", found)
        };
        error
            .with("program", DUMP)
            .with("needed", format!("{}.{} or newer", OLDEST.0, OLDEST.1))
            .with("hint", package())
    })
}

/// Which version a program is; nothing when it is none of MongoDB's.
async fn ask(name: &'static str, path: PathBuf) -> Option<Tool> {
    let answer = command(&path).arg("--version").output().await.ok()?;
    let (version, number) = version(name, &String::from_utf8_lossy(&answer.stdout))?;
    Some(Tool { name, path, version, number })
}

/// Version and its first two numbers of `mongodump version: 100.10.0`.
fn version(name: &str, text: &str) -> Option<(String, (u32, u32))> {
    let line = text.lines().find_map(|line| line.trim().strip_prefix(name)?.strip_prefix(" version: "))?;
    let version = line.trim_start_matches(['r', 'v']).split_whitespace().next()?.to_owned();
    let mut numbers = version.split(['.', '-', '+']).map(str::parse);
    let number = (numbers.next()?.ok()?, numbers.next()?.ok()?);
    Some((version, number))
}

impl Tool {
    /// The program, told how to reach the server by a file that nobody else can read. The file has to
    /// live as long as the program does.
    pub(super) fn command(&self, settings: &MongodbSettings) -> Result<(Command, SecretFile)> {
        let file = config_file(settings)?;
        let mut command = command(&self.path);
        command.arg(format!("--config={}", file.path().display()));
        Ok((command, file))
    }

    pub(super) fn start(&self, mut command: Command, file: SecretFile, settings: &MongodbSettings) -> Result<Running> {
        // All that it tells of are its steps.
        let running = Running::start(self.name, &mut command, Language { failure, remarks: |_| Vec::new() })?;
        let plain = settings.password.as_ref().map(Secret::expose).unwrap_or_default();
        Ok(running.with_secrets(vec![Secret::new(plain), Secret::new(encoded(plain))], file))
    }
}

fn command(path: &Path) -> Command {
    program::command(path, &["MONGO"])
}

/// What a program says when it fails, as an error. Each of its lines begins with the time.
fn failure(name: &'static str, said: &str) -> Error {
    let without_time = |line: &str| line.split_once('\t').map_or(line, |(_, rest)| rest).to_owned();
    let lines: Vec<String> = said.lines().map(without_time).filter(|line| !line.trim().is_empty()).collect();
    let failed: Vec<String> =
        lines.iter().filter(|line| line.contains("Failed: ") || line.contains("rror")).cloned().collect();
    let last = lines.last().cloned().unwrap_or_default();
    let text = if failed.is_empty() { last } else { failed.join("; ") };
    let (kind, retry) = match () {
        () if text.contains("AuthenticationFailed") || text.contains("auth error") => {
            (ErrorKind::Authentication, Retry::Never)
        }
        () if text.contains("Unauthorized") || text.contains("not authorized") => {
            (ErrorKind::PermissionDenied, Retry::Never)
        }
        () if text.contains("server selection") || text.contains("connection(") => {
            (ErrorKind::ConnectionFailed, Retry::Later)
        }
        () => (ErrorKind::ToolFailed, Retry::Never),
    };
    Error::new(kind, "a program of MongoDB failed")
        .with("program", name)
        .with("said", one_line(&text))
        .with_retry(retry)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_as_the_program_prints_them() {
        let text = "mongodump version: 100.10.0\ngit version: 6d4f001\nGo version: go1.21.12\n   os: linux\n";
        assert_eq!(version(DUMP, text), Some(("100.10.0".into(), (100, 10))));
        assert_eq!(version(DUMP, "mongodump version: r4.2.8\n"), Some(("4.2.8".into(), (4, 2))));
        assert_eq!(version(DUMP, "mongorestore version: 100.1.0"), None);
    }

    #[test]
    fn of_what_was_said_the_errors_are_shown() {
        let said = "2026-11-28T01:02:03.456+0000\twriting shop.t to archive on stdout\n2026-11-28T01:02:04.456+0000\tFailed: error reading collection: (Unauthorized) not authorized on shop to execute command\n";
        let error = failure(DUMP, said);
        assert_eq!(error.kind(), ErrorKind::PermissionDenied);
        let shown = "Failed: error reading collection: (Unauthorized) not authorized on shop to execute command";
        assert_eq!(error.context("said"), Some(shown));
        let said = "2026-11-28T01:02:03.456+0000\terror connecting to host: could not connect to server: server selection error: timeout\n";
        assert_eq!(
            (failure(DUMP, said).kind(), failure(DUMP, said).retry()),
            (ErrorKind::ConnectionFailed, Retry::Later)
        );
        assert_eq!(failure(DUMP, "no idea").context("said"), Some("no idea"));
    }
}
