//! Takes the location of a storage apart, as users write it.

use std::collections::BTreeMap;

use kronos_core::{Error, ErrorKind, Result, StorageSettings};
use percent_encoding::percent_decode_str;

/// Takes `/srv/backups`, `./backups`, `file:///srv/backups`, `memory:name` or
/// `s3://bucket/prefix?region=…` apart, into a scheme and its settings.
///
/// What has no scheme is a local directory and taken as it stands. Whether a scheme is known is
/// for the [`Registry`](kronos_core::Registry) to say.
pub fn parse_storage_url(text: &str) -> Result<(String, StorageSettings)> {
    if text.trim().is_empty() {
        return Err(Error::new(ErrorKind::Config, "a storage's location is empty"));
    }
    let Some((scheme, rest)) = split_scheme(text) else {
        return local_path(text).map(|location| settings("file", location, BTreeMap::new()));
    };
    let (location, query) = rest.split_once('?').map_or((rest, None), |(l, q)| (l, Some(q)));
    let options = query.map_or_else(|| Ok(BTreeMap::new()), |query| options(query, text))?;
    let location = match location.strip_prefix("//") {
        Some(after) if scheme == "file" => file_path(after, text)?,
        Some(after) => after.to_owned(),
        None => location.to_owned(),
    };
    let location = if scheme == "file" { local_path(&decode(&location, text)?)? } else { location };
    if location.is_empty() {
        return Err(
            Error::new(ErrorKind::Config, "a storage's location lacks what follows its scheme").with("url", text)
        );
    }
    Ok(settings(&scheme, location, options))
}

fn settings(scheme: &str, location: String, options: BTreeMap<String, String>) -> (String, StorageSettings) {
    (scheme.to_owned(), StorageSettings { location, options })
}

/// The scheme and what follows its colon, if the text begins with one.
fn split_scheme(text: &str) -> Option<(String, &str)> {
    let (scheme, rest) = text.split_once(':')?;
    // A single letter is a drive, not a scheme.
    let good = scheme.len() > 1
        && scheme.starts_with(|c: char| c.is_ascii_alphabetic())
        && scheme.bytes().all(|b| b.is_ascii_alphanumeric() || b"+-.".contains(&b));
    good.then(|| (scheme.to_ascii_lowercase(), rest))
}

/// What follows `file://`: an absolute path, with nothing or `localhost` before it.
fn file_path(after: &str, url: &str) -> Result<String> {
    match after.find('/') {
        Some(0) => Ok(after.to_owned()),
        Some(slash) if &after[..slash] == "localhost" => Ok(after[slash..].to_owned()),
        _ => {
            Err(Error::new(ErrorKind::Config, "a file URL needs an absolute path after three slashes").with("url", url))
        }
    }
}

/// A path as it stands. The shell turns `~` into the home directory, Kronos never looks for it.
fn local_path(path: &str) -> Result<String> {
    if path == "~" || path.starts_with("~/") {
        return Err(Error::new(ErrorKind::Config, "~ means nothing here, write the whole path").with("path", path));
    }
    Ok(path.to_owned())
}

fn options(query: &str, url: &str) -> Result<BTreeMap<String, String>> {
    let mut options = BTreeMap::new();
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let name = decode(name, url)?;
        if options.insert(name.clone(), decode(value, url)?).is_some() {
            return Err(Error::new(ErrorKind::Config, "an option is given twice").with("option", name));
        }
    }
    Ok(options)
}

fn decode(text: &str, url: &str) -> Result<String> {
    let decoded = percent_decode_str(text).decode_utf8();
    let decoded = decoded.map_err(|e| {
        Error::new(ErrorKind::Config, "a storage's location is not valid UTF-8").with("url", url).with_source(e)
    })?;
    Ok(decoded.into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> (String, String, Vec<(String, String)>) {
        let (scheme, settings) = parse_storage_url(text).expect(text);
        (scheme, settings.location, settings.options.into_iter().collect())
    }

    #[test]
    fn every_form_of_the_table() {
        for (text, scheme, location) in [
            ("/srv/backups", "file", "/srv/backups"),
            ("./backups", "file", "./backups"),
            ("backups", "file", "backups"),
            ("./a:b?c%20d", "file", "./a:b?c%20d"),
            ("file:///srv/my%20backups", "file", "/srv/my backups"),
            ("file://localhost/srv/b", "file", "/srv/b"),
            ("FILE:/srv/b", "file", "/srv/b"),
            ("memory:name", "memory", "name"),
            ("gs://bucket/prefix", "gs", "bucket/prefix"),
            ("az://account/container/prefix", "az", "account/container/prefix"),
        ] {
            assert_eq!(parsed(text), (scheme.to_owned(), location.to_owned(), vec![]), "{text}");
        }
        let (scheme, location, options) = parsed("s3://bucket/a/b?endpoint=http%3A%2F%2Fminio:9000&region=eu");
        assert_eq!((scheme.as_str(), location.as_str()), ("s3", "bucket/a/b"));
        assert_eq!(options[0], ("endpoint".to_owned(), "http://minio:9000".to_owned()));
        assert_eq!(options[1], ("region".to_owned(), "eu".to_owned()));
    }

    #[test]
    fn what_cannot_be_meant_is_refused() {
        for text in [
            "",
            "  ",
            "~/backups",
            "~",
            "file:~/b",
            "file://host/srv",
            "file://srv",
            "memory:",
            "s3://",
            "s3://b?a=1&a=2",
            "file:///%ff",
        ] {
            let error = parse_storage_url(text).expect_err(text);
            assert_eq!(error.kind(), ErrorKind::Config, "{text}");
        }
    }
}
