//! Finds the configuration and turns its entries into what commands work with.

use std::path::{Path, PathBuf};
use std::time::Duration;

use kronos_core::inspect::PoolSettings;
use kronos_core::{Error, ErrorKind, Limits, Result};
use kronos_service::{Config, Job, JobSource, Layers, Loaded, Problems, SearchPlaces, StorageChoice};
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};

use crate::source::Source;

/// What a path may not hold in a URL.
const PATH: &AsciiSet = &CONTROLS.add(b'%').add(b'?').add(b'#').add(b' ');

/// A variable of the environment.
pub(crate) fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// The configuration: the file that was named, or those that are found, with the environment over
/// them; what holds by default without any.
pub(crate) fn load(named: Option<&Path>) -> Result<Loaded, Problems> {
    let home = variable("HOME").map(PathBuf::from).filter(|home| home.is_absolute());
    let places = SearchPlaces {
        explicit: named.map(Path::to_owned),
        variable: None,
        current: Some(PathBuf::from(".")),
        home,
        system: Some(PathBuf::from("/etc/kronos")),
    };
    Layers::of_places(&places)?.with_variables(overrides()?).load(&variable)
}

/// The variables that stand for keys of the configuration.
fn overrides() -> Result<Vec<(String, String)>> {
    let mut found = Vec::new();
    for (name, value) in std::env::vars_os() {
        let Some(name) = name.into_string().ok().filter(|name| name.starts_with("KRONOS__")) else { continue };
        let value = value.into_string();
        let value =
            value.map_err(|_| Error::new(ErrorKind::Config, "the variable is not UTF-8").with("variable", &name))?;
        found.push((name, value));
    }
    Ok(found)
}

/// The jobs named, or all.
pub(crate) fn jobs<'a>(config: &'a Config, names: &[String]) -> Result<Vec<(&'a str, &'a Job)>> {
    if names.is_empty() {
        return Ok(config.jobs.iter().map(|(name, job)| (name.as_str(), job)).collect());
    }
    let find = |name: &String| {
        if let Some((name, job)) = config.jobs.get_key_value(name) {
            return Ok((name.as_str(), job));
        }
        let error = Error::new(ErrorKind::NotFound, "the configuration has no such job").with("job", name);
        Err(match kronos_core::nearest(name, config.jobs.keys().map(String::as_str)) {
            Some(near) => error.with("did you mean", near),
            None => error.with("hint", "`kronos validate --offline` lists the jobs of the configuration"),
        })
    };
    let mut found: Vec<(&str, &Job)> = Vec::new();
    for name in names {
        let job = find(name)?;
        // Named twice it runs once all the same.
        if found.iter().all(|(other, _)| *other != job.0) {
            found.push(job);
        }
    }
    Ok(found)
}

/// What a job reads.
pub(crate) fn source(config: &Config, job: &Job) -> Result<Source> {
    match &job.source {
        JobSource::Url(url) => Source::parse(url.expose()),
        JobSource::Database(name) => database(config, name).unwrap_or_else(|| {
            Err(Error::new(ErrorKind::Config, "the configuration has no such database").with("database", name))
        }),
    }
}

/// A database of the configuration, if it has one of that name.
fn database(config: &Config, name: &str) -> Option<Result<Source>> {
    let database = config.databases.get(name)?;
    let settings = database.settings(&variable).map_err(|e| e.with("database", name));
    Some(settings.map(|settings| Source { engine: database.engine.as_str().to_owned(), settings }))
}

/// The storages that a job is backed up to.
pub(crate) fn storages(config: &Config, job: &Job) -> Result<Vec<StorageChoice>> {
    let choice = |name: &String| {
        let location = config.storages.get(name)?.location(&variable).map_err(|e| e.with("storage", name));
        Some(location.map(|location| StorageChoice { name: Some(name.clone()), location: limited(&location, job) }))
    };
    job.storages.iter().filter_map(choice).collect()
}

/// The location with the job's limits of speed, where it has none of its own.
fn limited(url: &str, job: &Job) -> String {
    let mut url = url.to_owned();
    for (name, rate) in [("upload_limit", job.limits.upload), ("download_limit", job.limits.download)] {
        let Some(rate) = rate.filter(|_| !url.contains(&format!("{name}="))) else { continue };
        let has_scheme = kronos_storage::parse_storage_url(&url).is_ok_and(|(scheme, settings)| {
            // What has no scheme is a directory, as it stands.
            scheme != "file" || settings.location != url
        });
        if !has_scheme {
            url = format!("file:{}", utf8_percent_encode(&url, PATH));
        }
        url.push(if url.contains('?') { '&' } else { '?' });
        url.extend([name, "=", &rate.to_string()]);
    }
    url
}

/// The defaults, and how patient every run is.
pub(crate) fn base_limits(config: &Config) -> Limits {
    let mut limits = Limits::default();
    limits.attempts = config.retry.attempts.unwrap_or(limits.attempts);
    limits.backoff = config.retry.base.unwrap_or(limits.backoff);
    limits.backoff_max = config.retry.max.unwrap_or(limits.backoff_max);
    limits
}

/// How much a job may use.
pub(crate) fn limits(mut limits: Limits, job: &Job) -> Limits {
    limits.memory = job.limits.memory.unwrap_or(limits.memory);
    limits.parallel = job.limits.parallel.unwrap_or(limits.parallel);
    limits
}

/// The bounds of a pool: those of the environment, else those of the configuration.
pub(crate) fn pool(config: &Config) -> Result<PoolSettings> {
    let (written, mut pool) = (&config.pool, PoolSettings::default());
    let number = |name: &str, least: u32, written: Option<u32>, default: u32| match variable(name) {
        Some(text) => text.trim().parse().ok().filter(|number| *number >= least).ok_or_else(|| not_a(name, "number")),
        None => Ok(written.unwrap_or(default)),
    };
    // A plain number is one of seconds.
    let duration = |name: &str, written: Option<Duration>, default: Duration| match variable(name) {
        Some(text) => match text.trim().parse() {
            Ok(seconds) => Ok(Duration::from_secs(seconds)),
            Err(_) => crate::units::parse_duration(text.trim()).map_err(|_| not_a(name, "duration such as 5s or 5m")),
        },
        None => Ok(written.unwrap_or(default)),
    };
    pool.max_connections = number("MAX_DB_CONNECTIONS", 1, written.max_connections, pool.max_connections)?;
    let least = pool.min_connections.min(pool.max_connections);
    pool.min_connections = number("MIN_DB_CONNECTIONS", 0, written.min_connections, least)?;
    if pool.min_connections > pool.max_connections {
        return Err(Error::new(ErrorKind::Config, "the smallest number of connections is above the largest")
            .with("smallest", pool.min_connections)
            .with("largest", pool.max_connections)
            .with("hint", "see [pool] of the configuration, MIN_DB_CONNECTIONS and MAX_DB_CONNECTIONS"));
    }
    pool.acquire_timeout = duration("DB_ACQUIRE_TIMEOUT", written.acquire_timeout, pool.acquire_timeout)?;
    pool.idle_timeout = duration("DB_IDLE_TIMEOUT", written.idle_timeout, pool.idle_timeout)?;
    pool.max_lifetime = duration("DB_MAX_LIFETIME", written.max_lifetime, pool.max_lifetime)?;
    pool.query_timeout = written.query_timeout.unwrap_or(pool.query_timeout);
    Ok(pool)
}

fn not_a(variable: &str, what: &str) -> Error {
    Error::new(ErrorKind::Config, format!("{variable} is not a {what}"))
}

/// A source to look into: a database of the configuration, a URL or a path, or what `DATABASE_URL` says.
pub(crate) fn named_source(config: &Config, given: &str) -> Result<Source> {
    if let Some(found) = database(config, given) {
        return found;
    }
    if given != "DATABASE_URL" {
        return Source::parse(given);
    }
    let url = variable("DATABASE_URL").filter(|url| !url.is_empty());
    let missing = || Error::new(ErrorKind::Config, "the variable DATABASE_URL is not set");
    Source::parse(&url.ok_or_else(missing)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_added_to_every_form_of_location() {
        let text = "[databases.sqlite]\nhost = \"/srv\"\ndatabases = [\"a.db\"]\n\
                    [jobs.sqlite]\nlimits = { upload = \"1MB/s\", download = \"2MB/s\" }\n";
        let config = Config::parse(text, kronos_service::Format::Toml, &|_| None).expect("a good configuration");
        let job = &config.jobs["sqlite"];
        let limits = "upload_limit=1000000&download_limit=2000000";
        for (url, expected) in [
            ("/srv/b c", format!("file:/srv/b%20c?{limits}")),
            ("./b?c", format!("file:./b%3Fc?{limits}")),
            ("file:/srv/b", format!("file:/srv/b?{limits}")),
            ("file:///srv/b", format!("file:///srv/b?{limits}")),
            ("memory:x", format!("memory:x?{limits}")),
            ("s3://b/p?region=eu", format!("s3://b/p?region=eu&{limits}")),
            ("s3://b?upload_limit=5MB", "s3://b?upload_limit=5MB&download_limit=2000000".to_owned()),
        ] {
            assert_eq!(limited(url, job), expected);
            let (_, settings) = kronos_storage::parse_storage_url(&limited(url, job)).expect(url);
            assert!(settings.options.contains_key("upload_limit"), "{url}");
        }
    }
}
