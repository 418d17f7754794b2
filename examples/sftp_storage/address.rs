//! Where the storage lies and how `ssh` is to be called: a URL, checked once.

use std::fmt;
use std::time::Duration;

use kronos_core::{Error, ErrorKind, Result, StorageSettings, nearest};
use percent_encoding::percent_decode_str;
use tokio::process::Command;

/// The options that a URL may have.
const OPTIONS: [&str; 3] = ["identity", "known_hosts", "timeout"];

/// A checked `sftp://user@host:port/path?identity=…&known_hosts=…&timeout=…`.
#[derive(Debug, Clone)]
pub(crate) struct Address {
    user: Option<String>,
    pub(crate) host: String,
    port: Option<u16>,
    /// The absolute path of the directory, without a slash at its end: that of `/` is empty.
    pub(crate) root: String,
    identity: Option<String>,
    known_hosts: Option<String>,
    /// How long to wait for a connection, and for each answer.
    pub(crate) timeout: Duration,
    /// Not from the URL: that must not choose a program.
    ssh: Vec<String>,
}

impl Address {
    /// Checks what a URL says. `ssh` is the program, and what comes before its other arguments.
    pub(crate) fn new(settings: &StorageSettings, ssh: &[String]) -> Result<Self> {
        let (place, path) = settings.location.split_once('/').ok_or_else(|| bad("the URL needs an absolute path"))?;
        let (user, place) = place.rsplit_once('@').map_or((None, place), |(user, place)| (Some(user), place));
        // Not shown: what stands there may be a password.
        if user.is_some_and(|user| user.contains(':')) {
            return Err(bad("a password in the URL is not used").with("hint", "let ssh log in with a key"));
        }
        let (host, port) = match place.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
            Some((host, "")) => (host, None),
            Some((host, port)) => (host, Some(port.strip_prefix(':').ok_or_else(|| bad("not a port"))?)),
            None => place.split_once(':').map_or((place, None), |(host, port)| (host, Some(port))),
        };
        let port = port.map(|port| port.parse().map_err(|_| bad("not a port").with("port", port))).transpose()?;
        if let Some(unknown) = settings.options.keys().find(|name| !OPTIONS.contains(&name.as_str())) {
            let error = bad("this kind of storage has no such option").with("option", unknown);
            return Err(match nearest(unknown, OPTIONS) {
                Some(near) => error.with("did you mean", near),
                None => error.with("known", OPTIONS.join(" ")),
            });
        }
        let file = |name| settings.options.get(name).map(|path| checked_file(name, path)).transpose();
        let timeout = settings.options.get("timeout").map_or(Ok(60), |text| match text.parse() {
            Ok(seconds @ 1..=3600) => Ok(seconds),
            _ => Err(bad("an option's value cannot be used").with("option", "timeout").with("hint", "give seconds")),
        })?;
        Ok(Self {
            user: user.map(|user| checked_name("user", user, "._-+=@")).transpose()?,
            host: checked_name("host", host, "._-:")?,
            port,
            root: checked_root(path)?,
            identity: file("identity")?,
            known_hosts: file("known_hosts")?,
            timeout: Duration::from_secs(timeout),
            ssh: ssh.to_vec(),
        })
    }

    /// The call of `ssh`: the one that OpenSSH's own `sftp` makes. It never asks, no shell is between,
    /// and after `--` no name is an option.
    pub(crate) fn command(&self) -> Command {
        let mut command = Command::new(&self.ssh[0]);
        command.args(&self.ssh[1..]);
        for option in ["BatchMode=yes", "ForwardX11=no", "ForwardAgent=no", "PermitLocalCommand=no"] {
            command.args(["-o", option]);
        }
        command.args(["-o", "ClearAllForwardings=yes", "-o", "RemoteCommand=none", "-o", "RequestTTY=no"]);
        if let Some(known_hosts) = &self.known_hosts {
            // In quotes: spaces would make several files of one.
            command.arg("-o").arg(format!("UserKnownHostsFile=\"{known_hosts}\""));
        }
        if let Some(identity) = &self.identity {
            command.args(["-o", "IdentitiesOnly=yes", "-i", identity]);
        }
        if let Some(port) = self.port {
            command.arg("-p").arg(port.to_string());
        }
        if let Some(user) = &self.user {
            command.args(["-l", user]);
        }
        command.args(["-s", "--", &self.host, "sftp"]);
        command
    }
}

/// The URL without its options.
impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("sftp://")?;
        if let Some(user) = &self.user {
            write!(f, "{user}@")?;
        }
        if self.host.contains(':') { write!(f, "[{}]", self.host) } else { f.write_str(&self.host) }?;
        if let Some(port) = self.port {
            write!(f, ":{port}")?;
        }
        if self.root.is_empty() { f.write_str("/") } else { f.write_str(&self.root) }
    }
}

fn bad(message: &str) -> Error {
    Error::new(ErrorKind::Config, message)
}

/// A user's or host's name. `ssh` puts it into commands that its configuration may hold, so it is no
/// option and has nothing in it that means something to a shell.
fn checked_name(what: &'static str, name: &str, signs: &str) -> Result<String> {
    let good = |c: char| c.is_ascii_alphanumeric() || signs.contains(c);
    if name.is_empty() || name.starts_with('-') || name.len() > 255 || !name.chars().all(good) {
        return Err(bad("a name in the URL cannot be used").with(what, name.escape_debug()));
    }
    Ok(name.to_owned())
}

/// The directory, from what follows the first slash.
fn checked_root(path: &str) -> Result<String> {
    let refused = |message| bad(message).with("path", path.escape_debug());
    let path = percent_decode_str(path).decode_utf8().map_err(|_| refused("the path is not UTF-8"))?;
    let parts = || path.split('/').filter(|part| !part.is_empty());
    if path.chars().any(char::is_control) || parts().any(|part| part == "." || part == "..") {
        return Err(refused("the path cannot be used"));
    }
    if parts().next() == Some("~") {
        return Err(refused("~ means nothing here, write the whole path"));
    }
    Ok(parts().fold(String::new(), |root, part| root + "/" + part))
}

/// A file that `ssh` is told of, without what would mean something else to `ssh`.
fn checked_file(option: &'static str, path: &str) -> Result<String> {
    if path.is_empty() || path.chars().any(|c| c.is_control() || "\"%$\\".contains(c)) {
        return Err(bad("an option's value cannot be used").with("option", option).with("value", path.escape_debug()));
    }
    Ok(path.to_owned())
}
