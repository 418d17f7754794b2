//! What PostgreSQL's own programs take from the environment and the home directory: user, password,
//! TLS, and where the programs are.

use std::path::PathBuf;

use kronos_core::{Error, ErrorKind, Result, Secret, SourceSettings};

use crate::config::variable;

/// Completes settings with what the user did not say.
pub(super) fn complete(settings: &mut SourceSettings) -> Result<()> {
    let given = |name: &str| variable(name).filter(|value| !value.is_empty());
    if let Some(path) = variable("PATH") {
        settings.options.entry("tools".to_owned()).or_insert(path);
    }
    if settings.options.contains_key("export") {
        return Ok(());
    }
    if settings.host.is_none() && !settings.options.contains_key("host") {
        settings.host = given("PGHOST").or_else(|| given("POSTGRES_HOST"));
    }
    if settings.port.is_none()
        && let Some(port) = given("PGPORT").or_else(|| given("POSTGRES_PORT"))
    {
        let wrong =
            || Error::new(ErrorKind::Config, "PGPORT or POSTGRES_PORT is not a number up to 65535").with("port", &port);
        settings.port = Some(port.parse().map_err(|_| wrong())?);
    }
    if settings.user.is_none() {
        settings.user =
            given("PGUSER").or_else(|| given("POSTGRES_USER")).or_else(|| given("USER")).or_else(|| given("LOGNAME"));
    }
    let has =
        |settings: &SourceSettings, names: [&str; 2]| names.iter().any(|name| settings.options.contains_key(*name));
    for (option, names, name) in [
        ("tls", ["tls", "sslmode"], "PGSSLMODE"),
        ("tls_ca", ["tls_ca", "sslrootcert"], "PGSSLROOTCERT"),
        ("tls_cert", ["tls_cert", "tls_cert"], "PGSSLCERT"),
        ("tls_key", ["tls_key", "tls_key"], "PGSSLKEY"),
    ] {
        if let (false, Some(value)) = (has(settings, names), given(name)) {
            // libpq's word for the system's own authorities, which are trusted anyway.
            if value != "system" {
                settings.options.insert(option.to_owned(), if value == "allow" { "prefer".to_owned() } else { value });
            }
        }
    }
    if settings.password.is_none() {
        settings.password = match given("PGPASSWORD").or_else(|| given("POSTGRES_PASSWORD")) {
            Some(password) => Some(Secret::new(password)),
            None => of_file(settings)?,
        };
    }
    Ok(())
}

/// The password that `~/.pgpass` has for the server.
fn of_file(settings: &SourceSettings) -> Result<Option<Secret>> {
    let named = variable("PGPASSFILE").filter(|path| !path.is_empty()).map(PathBuf::from);
    let Some(path) = named.or_else(|| Some(PathBuf::from(variable("HOME")?).join(".pgpass"))) else { return Ok(None) };
    let Ok(text) = std::fs::read_to_string(&path) else { return Ok(None) };
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let mode = std::fs::metadata(&path).map(|found| found.permissions().mode()).unwrap_or_default();
        if mode & 0o077 != 0 {
            return Err(Error::new(ErrorKind::Config, "the file with passwords may be read by others")
                .with("path", path.display())
                .with("hint", "chmod 0600, as PostgreSQL's own programs demand"));
        }
    }
    let host = settings.options.get("host").or(settings.host.as_ref()).map_or("localhost", String::as_str);
    // A socket goes by the name of this machine.
    let host = if host.starts_with('/') { "localhost" } else { host };
    let port = settings.port.unwrap_or(5432).to_string();
    let user = settings.user.as_deref().unwrap_or_default();
    let databases: Vec<&str> = match settings.databases.as_slice() {
        [] => vec!["postgres"],
        named => named.iter().map(String::as_str).collect(),
    };
    let found = databases.iter().find_map(|database| lookup(&text, [host, &port, database, user]));
    Ok(found.map(Secret::new))
}

/// The password of the first line whose fields fit; `*` fits anything, a backslash escapes.
fn lookup(text: &str, wanted: [&str; 4]) -> Option<String> {
    text.lines().filter(|line| !line.starts_with('#')).find_map(|line| {
        let fields = fields(line);
        let fit = fields.len() == 5
            && wanted.iter().zip(&fields).all(|(wanted, (field, plain))| field == wanted || (*plain && field == "*"));
        fit.then(|| fields[4].0.clone())
    })
}

/// The fields of a line, and whether they stand there without escapes.
fn fields(line: &str) -> Vec<(String, bool)> {
    let mut fields = vec![(String::new(), true)];
    let mut chars = line.chars();
    while let Some(c) = chars.next() {
        // What is in the last field is all of the password.
        let last = fields.len() == 5;
        let Some((field, plain)) = fields.last_mut() else { break };
        match c {
            '\\' => {
                *plain = false;
                field.extend(chars.next());
            }
            ':' if !last => fields.push((String::new(), true)),
            c => field.push(c),
        }
    }
    fields
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_line_that_fits_has_the_password() {
        let text = "# a comment\ndb:5432:shop:me:first\ndb:*:*:me:sec\\:o:nd\n*:*:*:\\*:star\nshort:line\n";
        let of = |host, port, database, user| lookup(text, [host, port, database, user]);
        assert_eq!(of("db", "5432", "shop", "me").as_deref(), Some("first"));
        assert_eq!(of("db", "5433", "shop", "me").as_deref(), Some("sec:o:nd"));
        assert_eq!(of("other", "5433", "shop", "*").as_deref(), Some("star"));
        assert_eq!(of("other", "5432", "shop", "me"), None);
    }
}
