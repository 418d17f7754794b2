//! What users write to name a database, taken apart into settings of a connector.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use kronos_core::inspect::{Inspect, PoolSettings};
use kronos_core::{Connector, Engine, Error, ErrorKind, Registry, Result, Secret, SourceSettings};
use percent_encoding::percent_decode_str;

use crate::errors::usage;

mod mysql;
mod postgres;

/// The endings of files that are taken for SQLite databases.
const SQLITE_ENDINGS: [&str; 3] = ["db", "sqlite", "sqlite3"];

/// An engine and its settings.
#[derive(Debug, Clone)]
pub(crate) struct Source {
    pub(crate) engine: String,
    pub(crate) settings: SourceSettings,
}

impl Source {
    /// Reads `sqlite:path`, the path of a SQLite file, or `engine://user@host:port/database`.
    pub(crate) fn parse(text: &str) -> Result<Self> {
        if let Some((scheme, rest)) = split_scheme(text) {
            return match Engine::new(&scheme) {
                Ok(engine) if engine == Engine::SQLITE => sqlite_url(rest),
                _ if scheme == "mongodb+srv" => {
                    let mut source = url("mongodb".to_owned(), rest)?;
                    source.settings.options.insert("srv".to_owned(), "on".to_owned());
                    Ok(source)
                }
                _ => url(scheme, rest),
            };
        }
        let path = Path::new(text);
        if path.extension().and_then(|e| e.to_str()).is_some_and(|e| SQLITE_ENDINGS.contains(&e)) {
            return Ok(sqlite_file(text.to_owned()));
        }
        let error = usage(
            "not a database's URL, nor a path that ends in .db, .sqlite or .sqlite3",
            "write ENGINE:…, such as sqlite:path/to/file",
        );
        // What has an @ may be a URL without its scheme, with a password in it.
        Err(if text.contains('@') { error } else { error.with("source", text) })
    }

    /// Reads the target of a restore of that engine's backup: a source, or a directory.
    pub(crate) fn parse_target(text: &str, engine: &Engine) -> Result<Self> {
        let file = match split_scheme(text) {
            Some((scheme, rest)) if Engine::new(&scheme).ok().as_ref() == Some(&Engine::SQLITE) => sqlite_path(rest)?,
            Some(_) => return Self::parse(text),
            None if *engine != Engine::SQLITE => {
                let hint = format!("write {engine}://USER@HOST/DATABASE; kronos export writes plain files");
                return Err(usage("the target is not the URL of a server", &hint));
            }
            None => text.to_owned(),
        };
        let ending = Path::new(&file).extension().and_then(|e| e.to_str());
        let is_directory = file.ends_with('/') || Path::new(&file).is_dir();
        let is_file = split_scheme(text).is_some() || ending.is_some_and(|e| SQLITE_ENDINGS.contains(&e));
        if is_file && !is_directory { Ok(sqlite_file(file)) } else { Ok(Self::directory(&file, engine)) }
    }

    /// A directory that takes the files of any backup of the engine.
    pub(crate) fn directory(path: &str, engine: &Engine) -> Self {
        let mut settings = SourceSettings::default();
        if [Engine::POSTGRES, Engine::MYSQL, Engine::MONGODB].contains(engine) {
            settings.options.insert("export".to_owned(), path.to_owned());
        } else {
            settings.host = Some(path.to_owned());
        }
        Self { engine: engine.as_str().to_owned(), settings }
    }

    /// The database, if it names one and no more.
    pub(crate) fn only_database(&self) -> Option<&str> {
        match self.settings.databases.as_slice() {
            [one] => Some(one),
            _ => None,
        }
    }

    /// Whether its engine has a tool of its own that can be used instead.
    pub(crate) fn has_tools(&self) -> bool {
        Engine::new(&self.engine)
            .is_ok_and(|engine| [Engine::POSTGRES, Engine::MYSQL, Engine::MONGODB].contains(&engine))
    }

    /// The connector, told what this machine is called if the user says so, and where it may put what
    /// it has to copy first.
    pub(crate) fn connect(mut self, registry: &Registry) -> Result<Arc<dyn Connector>> {
        self.complete()?;
        registry.connector(&self.engine, &self.settings)
    }

    /// What looks into it.
    pub(crate) fn database(mut self, registry: &Registry, pool: &PoolSettings) -> Result<Arc<dyn Inspect>> {
        self.complete()?;
        registry.database(&self.engine, &self.settings, pool)
    }

    /// Adds what the environment and the engine's own files say.
    fn complete(&mut self) -> Result<()> {
        let options = &mut self.settings.options;
        match Engine::new(&self.engine) {
            Ok(engine) if engine == Engine::SQLITE => {
                if let Ok(machine) = std::env::var("KRONOS_MACHINE") {
                    options.entry("machine".to_owned()).or_insert(machine);
                }
                options.entry("spool_dir".to_owned()).or_insert_with(spool_directory);
            }
            Ok(engine) if engine == Engine::MYSQL => mysql::complete(&mut self.settings)?,
            Ok(engine) if engine == Engine::POSTGRES => {
                options.entry("spool_dir".to_owned()).or_insert_with(spool_directory);
                postgres::complete(&mut self.settings)?;
            }
            _ => {}
        }
        Ok(())
    }
}

fn spool_directory() -> String {
    let named = std::env::var("KRONOS_SPOOL_DIR").ok().filter(|path| !path.is_empty());
    named.unwrap_or_else(|| std::env::temp_dir().to_string_lossy().into_owned())
}

fn split_scheme(text: &str) -> Option<(String, &str)> {
    let (scheme, rest) = text.split_once(':')?;
    let good = scheme.len() > 1
        && scheme.starts_with(|c: char| c.is_ascii_alphabetic())
        && scheme.bytes().all(|b| b.is_ascii_alphanumeric() || b"+-".contains(&b));
    good.then(|| (scheme.to_ascii_lowercase(), rest))
}

fn sqlite_file(path: String) -> Source {
    let settings = SourceSettings { databases: vec![path], ..SourceSettings::default() };
    Source { engine: Engine::SQLITE.as_str().to_owned(), settings }
}

fn sqlite_url(rest: &str) -> Result<Source> {
    sqlite_path(rest).map(sqlite_file)
}

/// `sqlite:path` is a path as it stands; `sqlite:///abs` is a URL.
fn sqlite_path(rest: &str) -> Result<String> {
    let path = match rest.strip_prefix("//") {
        Some(path) if path.starts_with('/') => decode(path)?,
        Some(_) => {
            return Err(usage(
                "a SQLite URL has no host",
                "write sqlite:path, or three slashes before an absolute path",
            ));
        }
        None => rest.to_owned(),
    };
    if path.is_empty() {
        return Err(usage("no SQLite file is named", "write sqlite:path/to/file"));
    }
    Ok(path)
}

/// `//user:password@host:port/database?option=value`.
fn url(engine: String, rest: &str) -> Result<Source> {
    let rest = rest.strip_prefix("//").unwrap_or(rest);
    let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
    let (login, place) = rest.rsplit_once('@').map_or((None, rest), |(login, place)| (Some(login), place));
    let (address, database) = place.split_once('/').unwrap_or((place, ""));
    let (host, port) = match address.rsplit_once(':') {
        // Of several hosts each may have a port of its own.
        Some((host, port)) if !port.contains(']') && !address.contains(',') => (host, Some(port)),
        _ => (address, None),
    };
    let port = port.map(|port| port.parse::<u16>().map_err(|_| bad("the port is not a number up to 65535")));
    let mut settings = SourceSettings { port: port.transpose()?, ..SourceSettings::default() };
    let host = host.trim_start_matches('[').trim_end_matches(']');
    settings.host = (!host.is_empty()).then(|| decode(host)).transpose()?;
    if let Some(login) = login {
        let (user, password) = login.split_once(':').map_or((login, None), |(user, password)| (user, Some(password)));
        settings.user = (!user.is_empty()).then(|| decode(user)).transpose()?;
        settings.password = password.map(decode).transpose()?.map(Secret::new);
    }
    if !database.is_empty() {
        settings.databases.push(decode(database)?);
    }
    settings.options = options(query)?;
    Ok(Source { engine, settings })
}

fn options(query: &str) -> Result<BTreeMap<String, String>> {
    let pairs = query.split('&').filter(|pair| !pair.is_empty());
    pairs.map(|pair| pair.split_once('=').unwrap_or((pair, ""))).map(|(k, v)| Ok((decode(k)?, decode(v)?))).collect()
}

fn decode(text: &str) -> Result<String> {
    let decoded = percent_decode_str(text).decode_utf8();
    decoded.map(std::borrow::Cow::into_owned).map_err(|_| bad("it is not UTF-8 once its % signs are decoded"))
}

/// An error about a URL, which is not shown: it may hold a password.
fn bad(message: &str) -> Error {
    Error::new(ErrorKind::Config, format!("the source's URL is wrong: {message}"))
        .with("hint", "write ENGINE://USER@HOST:PORT/DATABASE")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_of_a_source() {
        for (text, path) in [
            ("sqlite:a/b c.db", "a/b c.db"),
            ("sqlite:///srv/a%20b.db", "/srv/a b.db"),
            ("./x.sqlite3", "./x.sqlite3"),
            ("SQLITE3:x", "x"),
        ] {
            let source = Source::parse(text).unwrap();
            assert_eq!((source.engine.as_str(), &source.settings.databases[0]), ("sqlite", &path.to_owned()), "{text}");
        }
        let source = Source::parse("postgres://me:p%40ss@db.internal:5433/shop?tls=off").unwrap();
        let s = source.settings;
        assert_eq!((s.host.as_deref(), s.port, s.user.as_deref()), (Some("db.internal"), Some(5433), Some("me")));
        assert_eq!((s.password.unwrap().expose(), s.options["tls"].as_str()), ("p@ss", "off"));
        let source = Source::parse("mongodb+srv://me@cluster.example.org/shop?authSource=admin").unwrap();
        assert_eq!((source.engine.as_str(), source.settings.options["srv"].as_str()), ("mongodb", "on"));
        let source = Source::parse("mongodb://a,b:27018/shop?replicaSet=rs0").unwrap();
        assert_eq!((source.settings.host.as_deref(), source.settings.port), (Some("a,b:27018"), None));
        for bad in ["", "app", "sqlite:", "sqlite://host/x", "postgres://h:99999/x"] {
            assert_eq!(Source::parse(bad).unwrap_err().kind(), ErrorKind::Config, "{bad}");
        }
    }

    #[test]
    fn a_target_may_be_a_directory() {
        let target = |text: &str| Source::parse_target(text, &Engine::SQLITE).unwrap().settings;
        assert_eq!(target("out").host.as_deref(), Some("out"));
        assert_eq!(target("sqlite:out/").host.as_deref(), Some("out/"));
        assert_eq!(target("out.db").databases, ["out.db"]);
        assert_eq!(target("sqlite:out").databases, ["out"]);
    }
}
