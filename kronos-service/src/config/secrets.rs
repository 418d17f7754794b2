//! Where a secret comes from. It is read when it is needed, not when the file is.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use kronos_core::{Error, ErrorKind, Result, Secret};

use super::Environment;
use super::keyring;
use super::schema::SECRET_ENDINGS;
use super::section::Section;
use super::tree::Entry;

/// Where a secret comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SecretFrom {
    /// It stands in the configuration.
    Plain(Secret),
    /// A variable of the environment.
    Env(String),
    /// The first line of a file.
    File(PathBuf),
    /// The first line that a program prints. A program and its arguments; no shell.
    Command(Vec<String>),
    /// The key store of the system: the entry of a user for a service. Needs the cargo feature
    /// `keyring`.
    Keyring {
        /// The service, such as `kronos`.
        service: String,
        /// The user, or whatever else the entry is called.
        user: String,
    },
}

impl SecretFrom {
    /// The secret of that name, if there is one.
    pub(super) fn from_section(section: &Section<'_>, name: &str) -> Option<Self> {
        let given = |ending: &'static str| section.find(&format!("{name}{ending}")).map(|entry| (ending, entry));
        let (ending, entry) = SECRET_ENDINGS.into_iter().find_map(given)?;
        let text = || section.text(&entry.name);
        match ending {
            "" => Some(Self::Plain(Secret::new(text()?))),
            "_env" => Some(Self::Env(text()?)),
            "_file" => Some(Self::File(text()?.into())),
            "_keyring" => keyring_entry(section, entry, &text()?),
            _ => command(section, entry),
        }
    }

    /// Gets the secret. Blocks while it reads the file or waits for the program, a minute at most; a worker
    /// of an asynchronous runtime hands its other work on meanwhile.
    pub fn read(&self, environment: Environment<'_>) -> Result<Secret> {
        match self {
            Self::Plain(secret) => Ok(secret.clone()),
            Self::Env(name) => environment(name).map(Secret::new).ok_or_else(|| {
                Error::new(ErrorKind::Config, "the variable with the secret is not set").with("variable", name)
            }),
            Self::File(path) => aside(|| file(path)),
            Self::Command(words) => aside(|| run(words)),
            Self::Keyring { service, user } => keyring::read(service, user),
        }
    }
}

fn keyring_entry(section: &Section<'_>, entry: &Entry, text: &str) -> Option<SecretFrom> {
    match text.split_once('/') {
        Some((service, user)) if !service.is_empty() && !user.is_empty() => {
            Some(SecretFrom::Keyring { service: service.to_owned(), user: user.to_owned() })
        }
        _ => {
            let error = section.at(entry, "a service and a user belong here, with a slash between").with("value", text);
            section.tell(error.with("hint", "such as \"kronos/shop\""));
            None
        }
    }
}

fn command(section: &Section<'_>, entry: &Entry) -> Option<SecretFrom> {
    let words = section.texts(&entry.name)?;
    let [line] = &words[..] else { return Some(SecretFrom::Command(words)) };
    if line.contains(['"', '\'', '\\', '|', '$', ';', '>', '<', '`']) {
        section.tell(section.at(entry, "no shell reads this: write a list of the program and its arguments"));
        return None;
    }
    Some(SecretFrom::Command(line.split_whitespace().map(str::to_owned).collect()))
}

fn first_line(text: &str) -> Secret {
    Secret::new(text.lines().next().unwrap_or_default())
}

/// Waits where this keeps nobody else from working.
fn aside<T>(work: impl FnOnce() -> T) -> T {
    use tokio::runtime::{Handle, RuntimeFlavor};
    match Handle::try_current().map(|runtime| runtime.runtime_flavor()) {
        Ok(RuntimeFlavor::MultiThread) => tokio::task::block_in_place(work),
        _ => work(),
    }
}

fn file(path: &Path) -> Result<Secret> {
    let failed = |e: std::io::Error| {
        Error::new(ErrorKind::Config, "the file with the secret could not be read")
            .with("path", path.display())
            .with_source(e)
    };
    let (path, (told, heard)) = (path.to_owned(), mpsc::channel());
    // A pipe that nobody writes to, or a file on a machine that is gone, keeps this thread alone waiting.
    std::thread::spawn(move || {
        let text = std::fs::File::open(&path).and_then(text_of);
        // Nobody may be waiting any more.
        let _ = told.send(text);
    });
    let text = heard.recv_timeout(PATIENCE).unwrap_or_else(|_| Err(std::io::ErrorKind::TimedOut.into()));
    text.map(|text| first_line(&text)).map_err(failed)
}

/// A person may be asked for something meanwhile.
const PATIENCE: Duration = Duration::from_mins(1);
/// More than any secret has.
const LONGEST: u64 = 64 << 10;

fn text_of(from: impl Read) -> std::io::Result<String> {
    let mut text = String::new();
    from.take(LONGEST).read_to_string(&mut text)?;
    Ok(text)
}

fn run(words: &[String]) -> Result<Secret> {
    let Some((program, arguments)) = words.split_first() else {
        return Err(Error::new(ErrorKind::Config, "the command for the secret is empty"));
    };
    let failed = |message: &str| Error::new(ErrorKind::ToolFailed, message).with("program", program);
    // What it says on stderr goes to the user's terminal: it may ask something.
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::inherit());
    let mut child = command.spawn().map_err(|e| {
        let kind =
            if e.kind() == std::io::ErrorKind::NotFound { ErrorKind::ToolMissing } else { ErrorKind::ToolFailed };
        Error::new(kind, "the program for the secret could not be started").with("program", program).with_source(e)
    })?;
    let began = Instant::now();
    let (told, heard) = mpsc::channel();
    if let Some(output) = child.stdout.take() {
        std::thread::spawn(move || {
            let _ = told.send(text_of(output));
        });
    }
    let text = heard.recv_timeout(PATIENCE);
    // Whoever prints more than is read hears of it, and whoever prints nothing is not waited for.
    let status = ended(&mut child, PATIENCE.saturating_sub(began.elapsed()));
    let (Ok(text), Some(status)) = (text, status) else {
        return Err(
            failed("the program for the secret took too long").with("after", format!("{}s", PATIENCE.as_secs()))
        );
    };
    if !status.success() {
        return Err(failed("the program for the secret failed").with("status", status));
    }
    match text {
        Ok(text) if !text.trim().is_empty() => Ok(first_line(&text)),
        _ => Err(failed("the program for the secret printed none")),
    }
}

/// How a program ended; nothing when it had to be killed.
fn ended(child: &mut Child, within: Duration) -> Option<ExitStatus> {
    let until = Instant::now() + within;
    loop {
        match child.try_wait() {
            Ok(Some(status)) => return Some(status),
            Ok(None) if Instant::now() < until => std::thread::sleep(Duration::from_millis(10)),
            _ => {
                // It is gone, or goes now.
                let _ = child.kill();
                let _ = child.wait();
                return None;
            }
        }
    }
}
