//! What can be checked of a configuration without its sources and storages: programs that hooks and
//! secrets need, places that files are written to, addresses that are listened at.

use std::fs;
use std::io::ErrorKind;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::config::{Config, NotifyWay, SecretFrom};
use crate::hooks::{HookCommand, HookSettings};

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// What it is: `job`, `storage`, `hooks`, `log` and so on.
    pub what: &'static str,
    /// Its name, where there may be several.
    pub name: String,
    /// What is wrong, one line each.
    pub problems: Vec<String>,
    /// What is well, or worth to know.
    pub details: Vec<String>,
}

impl Finding {
    /// Nothing found yet.
    pub fn new(what: &'static str, name: impl Into<String>) -> Self {
        Self { what, name: name.into(), problems: Vec::new(), details: Vec::new() }
    }
}

/// What programs and places are looked for with.
#[derive(Debug, Clone, Default)]
pub struct Surroundings {
    /// The directories of `PATH`.
    pub path: Vec<PathBuf>,
    /// The directory of what is remembered, where the configuration names none.
    pub state: Option<PathBuf>,
    /// Listen at no address.
    pub offline: bool,
}

impl Surroundings {
    /// Looks at everything that a configuration needs here. What is written is removed at once.
    pub fn check(&self, config: &Config) -> Vec<Finding> {
        let mut findings = Vec::new();
        for (name, job) in &config.jobs {
            if job.hooks != HookSettings::default() {
                findings.push(self.hooks(name, &job.hooks));
            }
        }
        findings.extend(self.secrets(config));
        if let Some(file) = &config.log.file {
            findings.push(written("log", file));
        }
        if let Some(file) = &config.metrics.textfile {
            findings.push(written("metrics", file));
        }
        if let Some(address) = config.metrics.listen.filter(|_| !self.offline) {
            findings.push(listened(address));
        }
        if let Some(directory) = &config.audit {
            findings.push(kept("audit", directory));
        }
        if let Some(directory) = config.daemon.state.as_ref().or(self.state.as_ref()) {
            findings.push(kept("state", directory));
        }
        findings
    }

    fn hooks(&self, job: &str, hooks: &HookSettings) -> Finding {
        let mut finding = Finding::new("hooks", job);
        let each = [("before", &hooks.before), ("after", &hooks.after), ("on_failure", &hooks.on_failure)];
        for (when, hook) in each {
            let program = match hook.as_ref().map(|hook| &hook.command) {
                Some(HookCommand::Program(words)) => words.first().map(String::as_str),
                // What else stands on a line is for the shell to find.
                Some(HookCommand::Shell(line)) => line.split_whitespace().next().filter(|word| is_path(word)),
                None => None,
            };
            match program.map(|program| (program, self.find(program))) {
                Some((_, Ok(found))) => finding.details.push(format!("{when}: {}", found.display())),
                Some((program, Err(why))) => finding.problems.push(format!("{when}: {program}: {why}")),
                None => {}
            }
        }
        finding
    }

    /// Programs that print secrets; those of databases are run by whoever connects to them.
    fn secrets(&self, config: &Config) -> Vec<Finding> {
        let mut findings = Vec::new();
        let mut look = |what: &'static str, name: &str, from: &SecretFrom| {
            let SecretFrom::Command(words) = from else { return };
            let program = words.first().map_or("", String::as_str);
            if let Err(why) = self.find(program) {
                let mut finding = Finding::new(what, name);
                finding.problems.push(format!("the program for a secret, {program}: {why}"));
                findings.push(finding);
            }
        };
        for (name, storage) in &config.storages {
            storage.secrets.values().for_each(|from| look("storage", name, from));
        }
        for (name, notify) in &config.notify {
            for way in &notify.ways {
                let secrets = match way {
                    NotifyWay::Slack { webhook } => vec![Some(webhook)],
                    NotifyWay::Webhook { url, signing_key, .. } => vec![Some(url), signing_key.as_ref()],
                    NotifyWay::Email { password, .. } => vec![password.as_ref()],
                    NotifyWay::Ping { url } => vec![Some(url)],
                };
                secrets.into_iter().flatten().for_each(|from| look("notify", name, from));
            }
        }
        findings
    }

    /// A program by its path, or found by its name.
    fn find(&self, program: &str) -> Result<PathBuf, String> {
        if program.contains('/') {
            return executable(Path::new(program)).map(|()| PathBuf::from(program));
        }
        let places = self.path.iter().map(|directory| directory.join(program));
        let mut found = places.filter(|place| executable(place).is_ok());
        found.next().ok_or_else(|| "there is no such program in PATH".to_owned())
    }
}

/// A plain absolute path: the shell would take it as it is.
fn is_path(word: &str) -> bool {
    word.starts_with('/') && word.chars().all(|c| c.is_alphanumeric() || "/._-+".contains(c))
}

fn executable(program: &Path) -> Result<(), String> {
    let found = fs::metadata(program).map_err(|e| said(&e))?;
    if !found.is_file() {
        return Err("this is not a program".to_owned());
    }
    if may_run(&found) { Ok(()) } else { Err("this may not be run: chmod +x".to_owned()) }
}

#[cfg(unix)]
fn may_run(found: &fs::Metadata) -> bool {
    use std::os::unix::fs::PermissionsExt;
    found.permissions().mode() & 0o111 != 0
}

#[cfg(not(unix))]
fn may_run(_: &fs::Metadata) -> bool {
    true
}

/// A file that will be written: its directory is there and takes files.
fn written(what: &'static str, file: &Path) -> Finding {
    let mut finding = Finding::new(what, "");
    let directory = file.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let there =
        if file.is_file() { fs::OpenOptions::new().append(true).open(file).map(drop) } else { touch(directory) };
    match there {
        Ok(()) => finding.details.push(format!("{} can be written", file.display())),
        Err(e) => finding.problems.push(format!("{} cannot be written: {}", file.display(), said(&e))),
    }
    finding
}

/// A directory of what is kept, which is made when it is not there.
fn kept(what: &'static str, directory: &Path) -> Finding {
    let mut finding = Finding::new(what, "");
    let there = directory.ancestors().find(|place| place.exists()).unwrap_or(Path::new("."));
    match touch(there) {
        Ok(()) => finding.details.push(format!("{} can be written", directory.display())),
        Err(e) => finding.problems.push(format!("{} cannot be written: {}", directory.display(), said(&e))),
    }
    finding
}

/// Makes a file, and removes it.
fn touch(directory: &Path) -> std::io::Result<()> {
    let file = directory.join(format!(".kronos-validate-{}", std::process::id()));
    fs::OpenOptions::new().write(true).create_new(true).open(&file)?;
    fs::remove_file(&file)
}

fn listened(address: SocketAddr) -> Finding {
    let mut finding = Finding::new("metrics", "");
    match TcpListener::bind(address) {
        Ok(_) => finding.details.push(format!("{address} is free")),
        // A daemon that runs has it.
        Err(e) if e.kind() == ErrorKind::AddrInUse => {
            finding.details.push(format!("{address} is in use: by a running daemon, or by something else"));
        }
        Err(e) => finding.problems.push(format!("{address} cannot be listened at: {}", said(&e))),
    }
    finding
}

fn said(error: &std::io::Error) -> String {
    match error.kind() {
        ErrorKind::NotFound => "there is no such file or directory".to_owned(),
        ErrorKind::PermissionDenied => "this is not permitted".to_owned(),
        _ => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Format;

    #[test]
    fn what_is_missing_is_found() {
        let place = tempfile::tempdir().unwrap();
        let at = place.path().display();
        fs::write(place.path().join("plain"), "").unwrap();
        let text = format!(
            "[storages.main]\nurl = 's3://b/p'\nsecret_access_key_command = 'no-such-program-1'\n\
             [notify.ops]\nping = {{ url_command = ['{at}/nothing'] }}\n\
             [log]\nfile = '{at}/none/kronos.log'\n[audit]\ndirectory = '{at}/audit'\n\
             [daemon]\nstate = '{at}/a/b'\n[metrics]\nlisten = '192.0.2.1:9187'\n\
             [jobs.a]\nsource = 'a.db'\n\
             hooks = {{ before = ['sh'], after = '{at}/plain now', on_failure = 'echo | {at}/plain' }}\n"
        );
        let config = Config::parse(&text, Format::Toml, &|_| None).unwrap();
        let path = vec![PathBuf::from("/bin"), PathBuf::from("/usr/bin")];
        let findings = Surroundings { path, state: None, offline: false }.check(&config);
        let problems = |what: &str| {
            let of_it = findings.iter().filter(|finding| finding.what == what);
            of_it.flat_map(|finding| finding.problems.clone()).collect::<Vec<_>>().join("\n")
        };
        assert!(problems("hooks").contains("after: ") && problems("hooks").contains("chmod +x"), "{findings:?}");
        assert!(!problems("hooks").contains("before") && !problems("hooks").contains("on_failure"), "{findings:?}");
        assert!(problems("storage").contains("in PATH") && problems("notify").contains("no such file"), "{findings:?}");
        assert!(problems("log").contains("no such file or directory"), "{findings:?}");
        assert!(problems("metrics").contains("cannot be listened at"), "{findings:?}");
        assert_eq!((problems("audit"), problems("state")), (String::new(), String::new()));
        assert!(
            Surroundings { offline: true, ..Surroundings::default() }
                .check(&config)
                .iter()
                .all(|f| f.what != "metrics")
        );
        assert_eq!(fs::read_dir(place.path()).unwrap().count(), 1, "nothing is left behind");
    }
}
