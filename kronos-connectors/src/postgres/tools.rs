//! PostgreSQL's own programs: where they are, which version, and how they are run. Never by a
//! shell, and never with a password among the arguments.

use std::path::{Path, PathBuf};

use kronos_core::{Error, ErrorKind, Result};
use tokio::process::Command;

use crate::servers::program::{self, Language, Running};

use super::error::one_line;
use super::settings::{PostgresSettings, TlsMode};

/// Where packages put them, beside the directories of the search path. A `*` is a version.
const USUAL: [&str; 7] = [
    "/usr/lib/postgresql/*/bin",
    "/usr/pgsql-*/bin",
    "/usr/local/pgsql/bin",
    "/opt/homebrew/opt/postgresql@*/bin",
    "/usr/local/opt/postgresql@*/bin",
    "/usr/local/bin",
    "/usr/bin",
];
/// Where systems keep the certificates that programs trust; libpq before 16 has to be told.
const SYSTEM_CERTIFICATES: [&str; 3] =
    ["/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/cert.pem"];

/// A program of PostgreSQL that is installed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Tool {
    /// Its name, such as `pg_dump`.
    pub name: &'static str,
    pub path: PathBuf,
    /// Such as `15.18`.
    pub version: String,
    /// The first number of it.
    pub major: u32,
}

/// The programs that Kronos uses, and what for.
pub(crate) const USED: [(&str, &str); 3] = [
    ("pg_dump", "schemas of PostgreSQL databases, and whole ones by --method tool"),
    ("pg_dumpall", "roles and tablespaces of PostgreSQL servers"),
    ("pg_restore", "restores into PostgreSQL servers"),
];

/// Every version of a program that can be found, in the order in which they were found.
pub(crate) async fn installed(name: &'static str, directories: &[PathBuf]) -> Vec<Tool> {
    let mut found = Vec::new();
    for path in candidates(name, directories) {
        found.extend(ask(name, path).await);
    }
    found
}

/// The best version of a program for a server: the server's own, else the next newer one. An older
/// one than `least` is of no use.
pub(super) async fn find(settings: &PostgresSettings, name: &'static str, least: u32, best: u32) -> Result<Tool> {
    let best = best.max(least);
    let mut found: Vec<Tool> = Vec::new();
    for path in candidates(name, &settings.tools) {
        match ask(name, path).await {
            // The first of equals: the user's own directories come first.
            Some(tool) if tool.major == best => return Ok(tool),
            other => found.extend(other),
        }
    }
    let older = found.iter().map(|tool| tool.version.clone()).collect::<Vec<_>>().join(" ");
    let fitting = found.into_iter().filter(|tool| tool.major >= least);
    let chosen = fitting.min_by_key(|tool| (tool.major.abs_diff(best), u32::MAX - tool.major));
    chosen.ok_or_else(|| {
        let error = if older.is_empty() {
            Error::new(ErrorKind::ToolMissing, "a program of PostgreSQL is not installed")
        } else {
            Error::new(ErrorKind::ToolMissing, "a program of PostgreSQL is too old").with("found", older)
        };
        error.with("program", name).with("needed", format!("{least} or newer")).with("hint", package(least))
    })
}

/// Where a program is, each place once.
fn candidates(name: &str, directories: &[PathBuf]) -> Vec<PathBuf> {
    program::candidates(name, directories, USUAL.iter().flat_map(|pattern| expanded(Path::new(pattern))))
}

/// Which version a program is; nothing when it is none of PostgreSQL's.
async fn ask(name: &'static str, path: PathBuf) -> Option<Tool> {
    let answer = command(&path).arg("--version").output().await.ok()?;
    let (version, major) = version(&String::from_utf8_lossy(&answer.stdout))?;
    Some(Tool { name, path, version, major })
}

/// What to install.
pub(crate) fn package(major: u32) -> String {
    format!(
        "install postgresql-client-{major} (Debian, Ubuntu), postgresql{major} (RHEL, Fedora) or \
         postgresql@{major} (Homebrew); `tools` names a directory that is not searched by itself"
    )
}

impl Tool {
    /// The program, told how to reach the server by variables of its environment.
    pub(super) fn command(&self, settings: &PostgresSettings) -> Command {
        let mut command = command(&self.path);
        command.env("PGHOST", settings.place()).env("PGPORT", settings.port.to_string());
        command.env("PGUSER", &settings.user).env("PGAPPNAME", "kronos");
        command.env("PGCONNECT_TIMEOUT", settings.connect_timeout.as_secs().max(2).to_string());
        command.env("PGSSLMODE", settings.tls.mode.name());
        // Whatever was found there has been found by Kronos.
        command.env("PGPASSFILE", "/dev/null");
        if let Some(password) = &settings.password {
            command.env("PGPASSWORD", password.expose());
        }
        match &settings.tls.ca {
            Some(ca) => drop(command.env("PGSSLROOTCERT", ca)),
            None if !matches!(settings.tls.mode, TlsMode::VerifyCa | TlsMode::VerifyFull) => {}
            None if self.major >= 16 && settings.tls.mode == TlsMode::VerifyFull => {
                command.env("PGSSLROOTCERT", "system");
            }
            None => {
                let there = SYSTEM_CERTIFICATES.iter().find(|path| Path::new(path).exists());
                command.env("PGSSLROOTCERT", there.unwrap_or(&SYSTEM_CERTIFICATES[0]));
            }
        }
        if let (Some(certificate), Some(key)) = (&settings.tls.certificate, &settings.tls.key) {
            command.env("PGSSLCERT", certificate).env("PGSSLKEY", key);
        }
        command
    }

    pub(super) fn start(&self, command: &mut Command) -> Result<Running> {
        let language = Language { failure, remarks: |said| lines(said, "warning: ") };
        Running::start(self.name, command, language)
    }

    /// Whether it knows an option of its long form.
    pub(super) async fn knows(&self, option: &str) -> bool {
        let help = command(&self.path).arg("--help").output().await;
        help.is_ok_and(|help| String::from_utf8_lossy(&help.stdout).contains(option))
    }
}

fn command(path: &Path) -> Command {
    program::command(path, &["PG"])
}

/// What a program says when it fails, as an error.
pub(super) fn failure(name: &'static str, said: &str) -> Error {
    let errors = [lines(said, "error: "), lines(said, "fatal: ")].concat();
    let text = if errors.is_empty() { one_line(said) } else { errors.join("; ") };
    let lost = ["server closed the connection", "connection to server", "terminating connection"];
    let kind = match () {
        () if text.contains("lock timeout") => ErrorKind::Locked,
        () if text.contains("permission denied") => ErrorKind::PermissionDenied,
        () if lost.iter().any(|words| text.contains(words)) => ErrorKind::ConnectionFailed,
        () => ErrorKind::ToolFailed,
    };
    Error::new(kind, "a program of PostgreSQL failed").with("program", name).with("said", one_line(&text))
}

/// Whether `pg_restore` ended well. If it sets what the server does not know yet, an error that it
/// went on after is none if it is that one. Each of its processes says so once, only one of them
/// counts, and they may speak at the same time.
pub(super) fn judge(is_newer: bool, (status, said): (std::process::ExitStatus, String)) -> Result<()> {
    const HARMLESS: &str = "ERROR:  unrecognized configuration parameter \"transaction_timeout\"";
    if status.success() {
        return Ok(());
    }
    if !is_newer {
        return Err(failure("pg_restore", &said).with("status", status));
    }
    let harmless = said.matches(HARMLESS).count();
    let ignored = said.split_once("errors ignored on restore: ").map(|(_, after)| {
        let digits = after.find(|c: char| !c.is_ascii_digit()).unwrap_or(after.len());
        after[..digits].parse().unwrap_or(usize::MAX)
    });
    let others = said.replace(HARMLESS, "");
    let is_other = ["ERROR:", "FATAL:", "PANIC:", "fatal: "].iter().any(|word| others.contains(word));
    let counted = ignored.is_some_and(|ignored| (1..=harmless).contains(&ignored));
    if status.code() == Some(1) && counted && !is_other && said.matches("error: ").count() == harmless {
        return Ok(());
    }
    Err(failure("pg_restore", &others).with("status", status).with(
        "hint",
        "pg_restore is newer than the server, which does not know all that it says: install the one of the server's version",
    ))
}

/// What follows a word in the lines that have it.
fn lines(said: &str, word: &str) -> Vec<String> {
    said.lines().filter_map(|line| Some(one_line(line.split_once(word)?.1))).collect()
}

/// The directories that a pattern with one `*` stands for, the highest version first.
fn expanded(pattern: &Path) -> Vec<PathBuf> {
    let text = pattern.to_string_lossy();
    let Some((before, after)) = text.split_once('*') else { return vec![pattern.to_owned()] };
    let (directory, prefix) = before.rsplit_once('/').unwrap_or(("", before));
    let Ok(entries) = std::fs::read_dir(directory) else { return Vec::new() };
    let name = |entry: std::fs::DirEntry| entry.file_name().to_string_lossy().into_owned();
    let mut versions: Vec<String> =
        entries.flatten().map(name).filter_map(|name| Some(name.strip_prefix(prefix)?.to_owned())).collect();
    versions.sort_by_key(|version| std::cmp::Reverse(version.parse::<u32>().unwrap_or_default()));
    versions.into_iter().map(|version| PathBuf::from(format!("{directory}/{prefix}{version}{after}"))).collect()
}

/// Version and its first number of `pg_dump (PostgreSQL) 15.18 (Debian …)`.
fn version(text: &str) -> Option<(String, u32)> {
    let version = text.split_once("(PostgreSQL) ")?.1.split_whitespace().next()?;
    let digits = version.find(|c: char| !c.is_ascii_digit()).unwrap_or(version.len());
    Some((version.to_owned(), version[..digits].parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_as_the_programs_print_them() {
        assert_eq!(version("pg_dump (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)\n"), Some(("15.18".into(), 15)));
        assert_eq!(version("pg_restore (PostgreSQL) 19beta1"), Some(("19beta1".into(), 19)));
        assert_eq!(version("something else 1.0"), None);
    }

    #[test]
    fn an_error_is_an_error_but_for_one() {
        use std::os::unix::process::ExitStatusExt;
        let harmless = "pg_restore: error: could not execute query: ERROR:  unrecognized configuration parameter \"transaction_timeout\"\n\
            Command was: SET transaction_timeout = 0;\n";
        let other = "pg_restore: error: could not execute query: ERROR:  relation \"t\" already exists\n";
        let judged = |is_newer, code: i32, said: String| {
            judge(is_newer, (std::process::ExitStatus::from_raw(code << 8), said)).is_ok()
        };
        let ignored = |n| format!("pg_restore: warning: errors ignored on restore: {n}\n");
        assert!(judged(false, 0, String::new()));
        assert!(judged(true, 1, format!("{harmless}{}", ignored(1))));
        assert!(!judged(false, 1, format!("{harmless}{}", ignored(1))), "a program of the server's version");
        assert!(!judged(true, 1, format!("{harmless}{other}{}", ignored(2))));
        assert!(!judged(true, 1, format!("{harmless}{}", ignored(2))), "one that was not heard");
        // Of four processes, two of them at the same time.
        let mixed = "pg_restore: pg_restore: error: error: could not execute query: ERROR:  unrecognized configuration parameter \"transaction_timeout\"\n\
            could not execute query: ERROR:  unrecognized configuration parameter \"transaction_timeout\"\nCommand was: SET transaction_timeout = 0;\n";
        assert!(judged(true, 1, format!("{harmless}{mixed}{harmless}{}", ignored(2))));
        assert!(!judged(true, 1, format!("{harmless}{mixed}{other}{}", ignored(2))));
        assert!(!judged(true, 1, harmless.to_owned()) && !judged(true, 1, String::new()));
        assert!(!judged(true, 9, format!("{harmless}{}", ignored(1))));
    }

    #[test]
    fn of_what_was_said_the_errors_are_shown() {
        let said = "pg_dump: warning: there are circular\npg_dump: error: query failed: ERROR:  permission denied for table t\n";
        let error = failure("pg_dump", said);
        assert_eq!(error.kind(), ErrorKind::PermissionDenied);
        assert_eq!(error.context("said"), Some("query failed: ERROR: permission denied for table t"));
        assert_eq!(lines(said, "warning: "), ["there are circular"]);
        assert_eq!(failure("x", "no idea").context("said"), Some("no idea"));
    }
}
