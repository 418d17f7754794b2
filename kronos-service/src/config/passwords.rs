//! Where a password comes from. It is read when it is needed, not when the file is.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use kronos_core::{Error, ErrorKind, Result, Secret};

use super::Environment;
use super::section::Section;

/// Where a password comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PasswordFrom {
    /// It stands in the configuration.
    Plain(Secret),
    /// A variable of the environment.
    Env(String),
    /// The first line of a file.
    File(PathBuf),
    /// The first line that a program prints. A program and its arguments; no shell.
    Command(Vec<String>),
}

const KEYS: [&str; 4] = ["password", "password_env", "password_file", "password_command"];

impl PasswordFrom {
    pub(super) fn from_section(section: &Section<'_>) -> Result<Option<Self>> {
        let mut given = KEYS.iter().filter_map(|name| section.find(name));
        let (first, second) = (given.next(), given.next());
        if let Some(second) = second {
            return Err(section.at(second, "a password may come from one place only"));
        }
        let Some(entry) = first else { return Ok(None) };
        let text = |name| section.text(name).map(Option::unwrap_or_default);
        Ok(Some(match entry.name.as_str() {
            "password" => Self::Plain(Secret::new(text("password")?)),
            "password_env" => Self::Env(text("password_env")?),
            "password_file" => Self::File(text("password_file")?.into()),
            _ => {
                let mut words = section.texts("password_command")?.unwrap_or_default();
                if let [line] = &words[..] {
                    if line.contains(['"', '\'', '\\', '|', '$', ';', '>', '<', '`']) {
                        let message = "no shell reads this: write a list of the program and its arguments";
                        return Err(section.at(entry, message));
                    }
                    words = line.split_whitespace().map(str::to_owned).collect();
                }
                if words.is_empty() {
                    return Err(section.at(entry, "a program belongs here"));
                }
                Self::Command(words)
            }
        }))
    }

    /// Gets the password. Blocks while it reads the file or waits for the program.
    pub fn read(&self, environment: Environment<'_>) -> Result<Secret> {
        match self {
            Self::Plain(secret) => Ok(secret.clone()),
            Self::Env(name) => environment(name).map(Secret::new).ok_or_else(|| {
                Error::new(ErrorKind::Config, "the variable with the password is not set").with("variable", name)
            }),
            Self::File(path) => std::fs::read_to_string(path).map(|text| first_line(&text)).map_err(|e| {
                Error::new(ErrorKind::Config, "the file with the password could not be read")
                    .with("path", path.display())
                    .with_source(e)
            }),
            Self::Command(words) => run(words),
        }
    }
}

fn first_line(text: &str) -> Secret {
    Secret::new(text.lines().next().unwrap_or_default())
}

fn run(words: &[String]) -> Result<Secret> {
    let Some((program, arguments)) = words.split_first() else {
        return Err(Error::new(ErrorKind::Config, "the command for the password is empty"));
    };
    // What it says on stderr goes to the user's terminal: it may ask something.
    let done = Command::new(program).args(arguments).stdin(Stdio::null()).stderr(Stdio::inherit()).output();
    let done = done.map_err(|e| {
        let kind =
            if e.kind() == std::io::ErrorKind::NotFound { ErrorKind::ToolMissing } else { ErrorKind::ToolFailed };
        Error::new(kind, "the program for the password could not be started").with("program", program).with_source(e)
    })?;
    if !done.status.success() {
        return Err(Error::new(ErrorKind::ToolFailed, "the program for the password failed")
            .with("program", program)
            .with("status", done.status));
    }
    match std::str::from_utf8(&done.stdout) {
        Ok(text) if !text.trim().is_empty() => Ok(first_line(text)),
        _ => {
            Err(Error::new(ErrorKind::ToolFailed, "the program for the password printed none").with("program", program))
        }
    }
}
