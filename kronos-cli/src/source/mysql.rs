//! What the programs of MySQL and MariaDB take from the environment and the home directory: host,
//! user, password, TLS, and where the programs are.

use std::collections::BTreeMap;
use std::path::PathBuf;

use kronos_core::{Error, ErrorKind, Result, Secret, SourceSettings};

use crate::config::variable;

/// Sections of an option file that are for every client; the later ones win.
const SECTIONS: [&str; 3] = ["client", "client-server", "client-mariadb"];

/// Completes settings with what the user did not say.
pub(super) fn complete(settings: &mut SourceSettings) -> Result<()> {
    let given = |name: &str| variable(name).filter(|value| !value.is_empty());
    if let Some(path) = variable("PATH") {
        settings.options.entry("tools".to_owned()).or_insert(path);
    }
    let file = of_file()?;
    let named =
        |settings: &SourceSettings, names: &[&str]| names.iter().any(|name| settings.options.contains_key(*name));
    if settings.host.is_none() && !named(settings, &["host", "socket"]) {
        let socket = given("MYSQL_UNIX_PORT").or_else(|| file.get("socket").cloned());
        settings.host = given("MYSQL_HOST").or_else(|| file.get("host").cloned()).or(socket);
    }
    if settings.port.is_none() && !named(settings, &["port"]) {
        let port = given("MYSQL_TCP_PORT").or_else(|| file.get("port").cloned());
        let wrong =
            |_| Error::new(ErrorKind::Config, "the port of MYSQL_TCP_PORT or ~/.my.cnf is not a number up to 65535");
        settings.port = port.map(|port| port.parse().map_err(wrong)).transpose()?;
    }
    if settings.user.is_none() {
        settings.user = file.get("user").cloned().or_else(|| given("USER")).or_else(|| given("LOGNAME"));
    }
    for (option, other, name) in [
        ("tls", "ssl-mode", "ssl-mode"),
        ("tls_ca", "ssl-ca", "ssl-ca"),
        ("tls_cert", "ssl-cert", "ssl-cert"),
        ("tls_key", "ssl-key", "ssl-key"),
    ] {
        if let (false, Some(value)) = (named(settings, &[option, other]), file.get(name)) {
            settings.options.insert(option.to_owned(), value.clone());
        }
    }
    if settings.password.is_none() {
        settings.password = given("MYSQL_PWD").or_else(|| file.get("password").cloned()).map(Secret::new);
    }
    Ok(())
}

/// What `~/.my.cnf` says to every client.
fn of_file() -> Result<BTreeMap<String, String>> {
    let Some(path) = variable("HOME").map(|home| PathBuf::from(home).join(".my.cnf")) else {
        return Ok(BTreeMap::new());
    };
    let Ok(text) = std::fs::read_to_string(&path) else { return Ok(BTreeMap::new()) };
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let mode = std::fs::metadata(&path).map(|found| found.permissions().mode()).unwrap_or_default();
        if mode & 0o002 != 0 {
            return Err(Error::new(ErrorKind::Config, "anyone may write the file with options")
                .with("path", path.display())
                .with("hint", "chmod 0600; MySQL's own programs ignore it as it is"));
        }
    }
    Ok(options(&text))
}

/// The options of the sections for clients, with dashes in their names.
fn options(text: &str) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    for wanted in SECTIONS {
        let mut is_in = false;
        for line in text.lines().map(str::trim) {
            if let Some(section) = line.strip_prefix('[').and_then(|line| line.split(']').next()) {
                is_in = section.trim() == wanted;
            } else if is_in && !line.starts_with(['#', ';', '!']) {
                let (name, value) = line.split_once('=').unwrap_or((line, ""));
                found.insert(name.trim().replace('_', "-"), unquoted(value.trim()));
            }
        }
    }
    found
}

/// A value as option files have it: in quotes or not, with escapes.
fn unquoted(value: &str) -> String {
    let is_quoted = |quote: char| value.len() > 1 && value.starts_with(quote) && value.ends_with(quote);
    let inner = match value.find(" #") {
        _ if is_quoted('"') || is_quoted('\'') => &value[1..value.len() - 1],
        Some(comment) => value[..comment].trim_end(),
        None => value,
    };
    let (mut text, mut chars) = (String::new(), inner.chars());
    while let Some(c) = chars.next() {
        match c {
            '\\' => match chars.next() {
                Some('b') => text.push('\u{8}'),
                Some('t') => text.push('\t'),
                Some('n') => text.push('\n'),
                Some('r') => text.push('\r'),
                Some('s') => text.push(' '),
                Some(other @ ('\\' | '"' | '\'')) => text.push(other),
                Some(other) => text.extend(['\\', other]),
                None => text.push('\\'),
            },
            c => text.push(c),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn option_files_are_read_as_clients_read_them() {
        let text = "[mysqld]\nuser=mysql\n[client]\n# a comment\nuser = me\npassword=\"it's \\\\ #1\"\nssl_ca=/a\nport=3307 # other\n\
            [client-mariadb]\nport=3308\n";
        let found = options(text);
        assert_eq!(found["user"], "me");
        assert_eq!(found["password"], "it's \\ #1");
        assert_eq!((found["ssl-ca"].as_str(), found["port"].as_str()), ("/a", "3308"));
    }
}
