//! Programs that come with a server: found, started, waited for. Never by a shell.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};

use kronos_core::{Error, ErrorKind, Result, Secret};
use tokio::io::{AsyncRead, AsyncReadExt, BufReader};
use tokio::process::{Child, Command};
use tokio::task::JoinHandle;

use super::secret_file::SecretFile;

/// So much of what a program says on stderr is kept: the end.
const KEPT: usize = 64 << 10;

/// Where a program is, each place once: the user's own directories first.
pub(crate) fn candidates(name: &str, directories: &[PathBuf], usual: impl Iterator<Item = PathBuf>) -> Vec<PathBuf> {
    let mut seen = HashSet::new();
    let paths = directories.iter().cloned().chain(usual).map(|directory| directory.join(name));
    let is_one = |path: &PathBuf| {
        path.canonicalize().is_ok_and(|real| real.is_file() && !is_wrapper(&real) && seen.insert(real))
    };
    paths.filter(is_one).collect()
}

/// Debian's script, which starts one of the versions that are installed, by rules of its own.
fn is_wrapper(program: &Path) -> bool {
    program.file_name().is_some_and(|name| name == "pg_wrapper")
}

/// A program without the settings that the environment has for it, speaking English.
pub(crate) fn command(path: &Path, settings: &[&str]) -> Command {
    let mut command = Command::new(path);
    for (name, _) in std::env::vars_os() {
        if settings.iter().any(|begin| name.to_string_lossy().starts_with(begin)) {
            command.env_remove(name);
        }
    }
    command.env("LC_ALL", "C");
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    // Not the terminal's Ctrl-C: the run ends it.
    command.process_group(0).kill_on_drop(true);
    command
}

/// How the programs of a server say what is wrong.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Language {
    /// What one says when it fails, as an error.
    pub failure: fn(&'static str, &str) -> Error,
    /// What the user should know of one that ended well.
    pub remarks: fn(&str) -> Vec<String>,
}

/// A program that runs. Dropping it kills it.
#[derive(Debug)]
pub(crate) struct Running {
    name: &'static str,
    language: Language,
    pub child: Child,
    said: JoinHandle<String>,
    /// What is never shown, and the file that has it.
    secrets: Vec<Secret>,
    _file: Option<SecretFile>,
}

impl Running {
    pub(crate) fn start(name: &'static str, command: &mut Command, language: Language) -> Result<Self> {
        let mut child = command.spawn().map_err(|e| {
            Error::new(ErrorKind::ToolFailed, "a program could not be started")
                .with("program", command.as_std().get_program().to_string_lossy())
                .with("system", &e)
                .with_source(e)
        })?;
        let stderr = child.stderr.take();
        let said = tokio::spawn(async move { listen(stderr).await });
        Ok(Self { name, language, child, said, secrets: Vec::new(), _file: None })
    }

    /// Keeps the file that the program reads secrets from, and these out of what it says.
    #[cfg_attr(
        not(any(feature = "mongodb", feature = "mysql")),
        allow(dead_code, reason = "PostgreSQL's programs get passwords by their environment")
    )]
    pub(crate) fn with_secrets(self, secrets: Vec<Secret>, file: SecretFile) -> Self {
        Self { secrets, _file: Some(file), ..self }
    }

    /// Waits for its end; gives its remarks. An error unless it ended well.
    pub(crate) async fn ended(self) -> Result<Vec<String>> {
        let (name, language) = (self.name, self.language);
        let (status, said) = self.ending().await?;
        if !status.success() {
            return Err((language.failure)(name, &said).with("status", status));
        }
        Ok((language.remarks)(&said))
    }

    /// Waits for its end; gives its status and what it said.
    pub(crate) async fn ending(mut self) -> Result<(ExitStatus, String)> {
        let status = self.child.wait().await.map_err(|e| {
            Error::new(ErrorKind::ToolFailed, "a program could not be waited for")
                .with("program", self.name)
                .with_source(e)
        })?;
        let said = self.said.await.unwrap_or_default();
        let secrets = self.secrets.iter().map(Secret::expose).filter(|secret| !secret.is_empty());
        Ok((status, secrets.fold(said, |said, secret| said.replace(secret, "…"))))
    }
}

/// All that a program says; of much the end.
async fn listen(stderr: Option<impl AsyncRead + Unpin>) -> String {
    let Some(stderr) = stderr else { return String::new() };
    let (mut reader, mut kept, mut some) = (BufReader::new(stderr), Vec::new(), [0; 4096]);
    while let Ok(read @ 1..) = reader.read(&mut some).await {
        kept.extend_from_slice(&some[..read]);
        if kept.len() > 2 * KEPT {
            kept.drain(..kept.len() - KEPT);
        }
    }
    String::from_utf8_lossy(&kept).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_is_one_however_many_names_it_has() {
        let place = tempfile::tempdir().unwrap();
        let directory = |name: &str| {
            let directory = place.path().join(name);
            std::fs::create_dir(&directory).unwrap();
            directory
        };
        let (one, two, script) = (directory("one"), directory("two"), directory("script"));
        std::fs::write(one.join("pg_none"), "").unwrap();
        std::os::unix::fs::symlink(one.join("pg_none"), two.join("pg_none")).unwrap();
        std::fs::write(script.join("pg_wrapper"), "").unwrap();
        std::os::unix::fs::symlink("pg_wrapper", script.join("pg_none")).unwrap();
        let there = [script, two.clone(), one, place.path().join("nothing")];
        assert_eq!(candidates("pg_none", &there, std::iter::empty()), [two.join("pg_none")]);
    }

    #[tokio::test]
    async fn what_a_program_says_is_told_without_the_secret() {
        let language = Language {
            failure: |name, said| Error::new(ErrorKind::ToolFailed, said.trim().to_owned()).with("program", name),
            remarks: |said| vec![said.trim().to_owned()],
        };
        let run = |script: &str| {
            let mut command = command(Path::new("/bin/sh"), &[]);
            command.args(["-c", script]);
            let file = SecretFile::new(b"hush").unwrap();
            Running::start("sh", &mut command, language).unwrap().with_secrets(vec![Secret::new("hush")], file)
        };
        assert_eq!(run("echo not hush >&2").ended().await.unwrap(), ["not …"]);
        let error = run("echo hush >&2; exit 3").ended().await.unwrap_err();
        assert_eq!((error.message(), error.context("status")), ("…", Some("exit status: 3")));
        let mut much = command(Path::new("/bin/sh"), &[]);
        much.args(["-c", "yes | head -c 300000 >&2; echo the end >&2"]);
        let said = Running::start("sh", &mut much, language).unwrap().ended().await.unwrap().concat();
        assert!(said.len() <= 2 * KEPT && said.ends_with("the end"), "{}", said.len());
    }
}
