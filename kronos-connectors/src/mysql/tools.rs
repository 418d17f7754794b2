//! The servers' own programs: where they are, of which family and version, and how they are run.
//! Never by a shell, and never with a password among the arguments or in the environment.

use std::path::{Path, PathBuf};

use kronos_core::{Error, ErrorKind, Result};
use tokio::process::Command;

use crate::servers::program::{self, Language, Running};
use crate::servers::secret_file::SecretFile;

use super::connect::Server;
use super::error::{of_code, one_line, without_data};
use super::option_file::option_file;
use super::settings::MysqlSettings;

/// Where packages put them, beside the directories of the search path.
const USUAL: [&str; 7] = [
    "/usr/bin",
    "/usr/local/bin",
    "/usr/local/mysql/bin",
    "/usr/local/mariadb/bin",
    "/opt/homebrew/opt/mariadb/bin",
    "/opt/homebrew/opt/mysql-client/bin",
    "/opt/homebrew/bin",
];

/// What a program is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Use {
    Dump,
    Load,
}

impl Use {
    /// The names under which a family has it, the better one first.
    fn names(self, is_mariadb: bool) -> &'static [&'static str] {
        match (self, is_mariadb) {
            (Self::Dump, true) => &["mariadb-dump", "mysqldump"],
            (Self::Load, true) => &["mariadb", "mysql"],
            (Self::Dump, false) => &["mysqldump"],
            (Self::Load, false) => &["mysql"],
        }
    }
}

/// A program that is installed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Tool {
    /// Its name, such as `mariadb-dump`.
    pub name: &'static str,
    pub path: PathBuf,
    /// Such as `10.11.19`.
    pub version: String,
    pub is_mariadb: bool,
    /// The first two numbers of the version.
    number: (u32, u32),
}

/// The programs that Kronos uses, whether they are MariaDB's, and what for.
pub(crate) const USED: [(&str, bool, &str); 4] = [
    ("mariadb-dump", true, "backups of MariaDB databases by --method tool"),
    ("mariadb", true, "restores of such backups into MariaDB servers"),
    ("mysqldump", false, "backups of MySQL databases by --method tool"),
    ("mysql", false, "restores of such backups into MySQL servers"),
];

/// Every version of a program that can be found, of its family, in the order in which they were found.
pub(crate) async fn installed(name: &'static str, is_mariadb: bool, directories: &[PathBuf]) -> Vec<Tool> {
    let mut found = Vec::new();
    for path in candidates(name, directories) {
        found.extend(ask(name, path).await.filter(|tool| tool.is_mariadb == is_mariadb));
    }
    found
}

/// What to install.
pub(crate) fn package(is_mariadb: bool) -> String {
    let name = if is_mariadb {
        "mariadb-client (Debian, Ubuntu), mariadb (RHEL, Fedora, Homebrew)"
    } else {
        "mysql-client (Debian unstable, Ubuntu), mysql-community-client (MySQL's own packages) or mysql-client (Homebrew)"
    };
    format!("install {name}; `tools` names a directory that is not searched by itself")
}

/// The program for a server: of its family, of its version, or else of the next newer or older one.
pub(super) async fn find(settings: &MysqlSettings, server: Server, wanted: Use) -> Result<Tool> {
    let best = (server.version.0, server.version.1);
    let (mut fitting, mut others) = (Vec::new(), Vec::new());
    let names = wanted.names(server.is_mariadb);
    for name in names {
        for path in candidates(name, &settings.tools) {
            match ask(name, path).await {
                // The first of equals: the user's own directories come first.
                Some(tool) if tool.is_mariadb == server.is_mariadb && tool.number == best => return Ok(tool),
                Some(tool) if tool.is_mariadb == server.is_mariadb => fitting.push(tool),
                Some(tool) => others.push(format!("{} ({})", tool.path.display(), tool.version)),
                None => {}
            }
        }
    }
    let far = |tool: &Tool| {
        let (major, minor) = tool.number;
        (tool.number < best, major.abs_diff(best.0), minor.abs_diff(best.1))
    };
    fitting.into_iter().min_by_key(far).ok_or_else(|| {
        let error = if others.is_empty() {
            Error::new(ErrorKind::ToolMissing, format!("a program of {} is not installed", server.name()))
        } else {
            let other = if server.is_mariadb { "MySQL" } else { "MariaDB" };
            Error::new(
                ErrorKind::ToolMissing,
                format!("a program of {} is not installed, only {other}'s is", server.name()),
            )
            .with("found", others.join(" "))
        };
        error.with("program", names[0]).with("hint", package(server.is_mariadb))
    })
}

/// Where a program is, each place once.
fn candidates(name: &str, directories: &[PathBuf]) -> Vec<PathBuf> {
    program::candidates(name, directories, USUAL.iter().map(PathBuf::from))
}

/// Of which family and version a program is; nothing when it is none of these.
async fn ask(name: &'static str, path: PathBuf) -> Option<Tool> {
    let answer = command(&path).arg("--version").output().await.ok()?;
    let (version, number, is_mariadb) = version(&String::from_utf8_lossy(&answer.stdout))?;
    Some(Tool { name, path, version, is_mariadb, number })
}

/// Version, its first two numbers, and whether it is MariaDB's, of `mysqldump  Ver 9.4.0 for …`,
/// `mariadb-dump  Ver 10.19 Distrib 10.11.6-MariaDB, for …`, `… from 11.8.2-MariaDB, client 10.20 for …`.
fn version(text: &str) -> Option<(String, (u32, u32), bool)> {
    let after = |word: &str| text.split_once(word).map(|(_, rest)| rest.trim_start());
    let rest = after(" Distrib ").or_else(|| after(" from ")).or_else(|| after(" Ver "))?;
    let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
    let version = rest[..end].to_owned();
    let mut numbers = version.split('.').map(str::parse);
    let number = (numbers.next()?.ok()?, numbers.next()?.ok()?);
    Some((version, number, text.contains("MariaDB")))
}

impl Tool {
    /// The program, told how to reach the server by a file that nobody else can read. The file has to
    /// live as long as the program does.
    pub(super) fn command(&self, settings: &MysqlSettings) -> Result<(Command, SecretFile)> {
        let file = option_file(settings, self.is_mariadb)?;
        let mut command = command(&self.path);
        // It counts only as the first argument.
        command.arg(format!("--defaults-file={}", file.path().display()));
        Ok((command, file))
    }

    pub(super) fn start(&self, mut command: Command, file: SecretFile, settings: &MysqlSettings) -> Result<Running> {
        let remarks = |said: &str| said.lines().map(one_line).filter(|line| !line.is_empty()).collect();
        let running = Running::start(self.name, &mut command, Language { failure, remarks })?;
        Ok(running.with_secrets(settings.password.iter().cloned().collect(), file))
    }

    /// Whether it knows an option of its long form.
    pub(super) async fn knows(&self, option: &str) -> bool {
        let help = command(&self.path).args(["--no-defaults", "--help"]).output().await;
        help.is_ok_and(|help| {
            let text = String::from_utf8_lossy(&help.stdout).into_owned();
            text.split(|c: char| c.is_whitespace() || c == '=' || c == '[').any(|word| word == option)
        })
    }
}

fn command(path: &Path) -> Command {
    let mut command = program::command(path, &["MYSQL", "MARIADB", "LIBMYSQL"]);
    // MySQL's programs read the user's stored logins whatever else they are told to read.
    command.env("MYSQL_TEST_LOGIN_FILE", "/dev/null");
    command
}

/// What a program says when it fails, as an error.
fn failure(name: &'static str, said: &str) -> Error {
    let is_error = |line: &&str| line.to_ascii_lowercase().contains("error");
    let errors: Vec<&str> = said.lines().filter(is_error).collect();
    let text = if errors.is_empty() { said.to_owned() } else { errors.join("; ") };
    let code = code(&text);
    let (kind, retry) = match code {
        // The client's own codes: no connection, or none any more.
        Some(2002..=2006 | 2013 | 2055) => (ErrorKind::ConnectionFailed, kronos_core::Retry::Later),
        Some(2026) => (ErrorKind::ConnectionFailed, kronos_core::Retry::Never),
        Some(code) => match of_code(code) {
            (ErrorKind::QueryFailed, retry) => (ErrorKind::ToolFailed, retry),
            known => known,
        },
        None => (ErrorKind::ToolFailed, kronos_core::Retry::Never),
    };
    let text = without_data(code.unwrap_or_default(), &text);
    Error::new(kind, "a program of the server failed")
        .with("program", name)
        .with("said", one_line(&text))
        .with_retry(retry)
}

/// The number in `ERROR 1045 (28000)…`, `Got error: 1045: …`.
fn code(text: &str) -> Option<u16> {
    let lower = text.to_ascii_lowercase();
    lower.match_indices("error").find_map(|(at, word)| {
        let rest = lower[at + word.len()..].trim_start_matches([':', ' ', ']']);
        let end = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
        rest[..end].parse().ok()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_as_the_programs_print_them() {
        let of = |text| version(text).map(|(version, _, is_mariadb)| (version, is_mariadb));
        let maria = "mariadb-dump  Ver 10.19 Distrib 10.11.19-MariaDB, for debian-linux-gnu (x86_64)";
        assert_eq!(of(maria), Some(("10.11.19".into(), true)));
        let newer =
            "/opt/bin/mariadb from 11.8.9-MariaDB, client 15.2 for debian-linux-gnu (x86_64) using  EditLine wrapper";
        assert_eq!(of(newer), Some(("11.8.9".into(), true)));
        assert_eq!(of("mysqldump  Ver 9.7.4-2 for Linux on x86_64 ((Debian))"), Some(("9.7.4".into(), false)));
        assert_eq!(of("mysqldump  Ver 10.13 Distrib 5.7.44, for Linux (x86_64)"), Some(("5.7.44".into(), false)));
        assert_eq!(of("something else 1.0"), None);
    }

    #[test]
    fn of_what_was_said_the_errors_are_shown() {
        let said = "mysqldump: Got error: 1045: \"Access denied for user 'x'@'h' (using password: YES)\" when trying to connect\n";
        assert_eq!(failure("mysqldump", said).kind(), ErrorKind::Authentication);
        let said = "hello\nERROR 1062 (23000) at line 5: Duplicate entry 'a@b.org' for key 'x'\n";
        let error = failure("mysql", said);
        assert_eq!(error.kind(), ErrorKind::ToolFailed);
        assert!(!error.to_string().contains("b.org") && error.to_string().contains("line 5"), "{error}");
        assert_eq!(failure("x", "mysqldump: [ERROR] no idea").context("said"), Some("mysqldump: [ERROR] no idea"));
    }
}
