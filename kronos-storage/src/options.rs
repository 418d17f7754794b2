//! The options of a storage, taken one by one; what is left over in the end is an error.

use std::collections::BTreeMap;
use std::str::FromStr;
use std::time::Duration;

use kronos_core::{Error, ErrorKind, Result, StorageSettings, nearest};

use crate::Environment;

/// The options of one storage.
pub(crate) struct Options<'a> {
    left: BTreeMap<String, String>,
    environment: &'a Environment,
    asked: Vec<&'static str>,
}

impl<'a> Options<'a> {
    pub(crate) fn new(settings: &StorageSettings, environment: &'a Environment) -> Self {
        Self { left: settings.options.clone(), environment, asked: Vec::new() }
    }

    /// The text of an option.
    pub(crate) fn text(&mut self, name: &'static str) -> Option<String> {
        self.asked.push(name);
        self.left.remove(name)
    }

    /// The text of an option that is one of a few words.
    pub(crate) fn word(&mut self, name: &'static str, known: &[&str]) -> Result<Option<String>> {
        match self.text(name) {
            Some(text) if !known.contains(&text.as_str()) => Err(bad(name, &text).with("known", known.join(" "))),
            found => Ok(found),
        }
    }

    /// A yes or no; `None` when it is not said.
    pub(crate) fn flag(&mut self, name: &'static str) -> Result<Option<bool>> {
        self.text(name)
            .map(|text| match text.as_str() {
                "" | "true" | "yes" | "1" | "on" => Ok(true),
                "false" | "no" | "0" | "off" => Ok(false),
                _ => Err(bad(name, &text).with("known", "true false")),
            })
            .transpose()
    }

    pub(crate) fn number<T: FromStr>(&mut self, name: &'static str) -> Result<Option<T>> {
        self.text(name).map(|text| text.parse().map_err(|_| bad(name, &text))).transpose()
    }

    pub(crate) fn duration(&mut self, name: &'static str) -> Result<Option<Duration>> {
        self.text(name)
            .map(|text| seconds(&text).ok_or_else(|| bad(name, &text).with("hint", "write 30s or 2m")))
            .transpose()
    }

    /// Bytes a second, as `50MB/s`.
    fn rate(&mut self, name: &'static str) -> Result<Option<u64>> {
        self.text(name)
            .map(|text| rate(&text).ok_or_else(|| bad(name, &text).with("hint", "write 50MB/s or 800KiB/s")))
            .transpose()
    }

    /// A secret: given itself, in a variable, or in a file.
    pub(crate) fn secret(
        &mut self,
        name: &'static str,
        variable: &'static str,
        file: &'static str,
    ) -> Result<Option<String>> {
        let (plain, in_variable, in_file) = (self.text(name), self.text(variable), self.text(file));
        match (plain, in_variable, in_file) {
            (None, None, None) => Ok(None),
            (Some(plain), None, None) => Ok(Some(plain)),
            (None, Some(named), None) => match (self.environment)(&named) {
                Some(value) => Ok(Some(value)),
                None => Err(Error::new(ErrorKind::Config, "the variable is not set")
                    .with("option", variable)
                    .with("variable", named)),
            },
            (None, None, Some(path)) => {
                read(file, &path).map(|bytes| Some(String::from_utf8_lossy(&bytes).trim_end().to_owned()))
            }
            _ => Err(Error::new(ErrorKind::Config, "the same secret is given in two ways").with("option", name)),
        }
    }

    /// The variables of this environment that are set, of those named.
    pub(crate) fn variables(&self, names: &[&'static str]) -> Vec<(String, String)> {
        let set = |name: &&'static str| {
            let value = (self.environment)(name).filter(|value| !value.is_empty())?;
            Some((name.to_ascii_lowercase(), value))
        };
        names.iter().filter_map(set).collect()
    }

    pub(crate) fn variable(&self, name: &str) -> Option<String> {
        (self.environment)(name).filter(|value| !value.is_empty())
    }

    /// The limits of how fast bytes may go up and down.
    pub(crate) fn pace(&mut self) -> Result<(Option<u64>, Option<u64>)> {
        Ok((self.rate("upload_limit")?, self.rate("download_limit")?))
    }

    /// Refuses what nobody asked for.
    pub(crate) fn finish(self) -> Result<()> {
        let Some(unknown) = self.left.keys().next() else { return Ok(()) };
        let error = Error::new(ErrorKind::Config, "this kind of storage has no such option").with("option", unknown);
        Err(match nearest(unknown, self.asked.iter().copied()) {
            Some(near) => error.with("did you mean", near),
            None => error.with("known", self.asked.join(" ")),
        })
    }
}

/// An error about an option's value. Never of a secret one.
pub(crate) fn bad(name: &'static str, value: &str) -> Error {
    Error::new(ErrorKind::Config, "an option's value cannot be used").with("option", name).with("value", value)
}

pub(crate) fn read(option: &'static str, path: &str) -> Result<Vec<u8>> {
    std::fs::read(path).map_err(|e| {
        Error::new(ErrorKind::Config, "the file of an option cannot be read")
            .with("option", option)
            .with("path", path)
            .with_source(e)
    })
}

fn split_unit(text: &str) -> Option<(f64, &str)> {
    let text = text.trim();
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let number: f64 = text[..end].parse().ok()?;
    (number.is_finite() && number > 0.0).then(|| (number, text[end..].trim()))
}

fn seconds(text: &str) -> Option<Duration> {
    let (number, unit) = split_unit(text)?;
    let unit = match unit {
        "ms" => 0.001,
        "" | "s" => 1.0,
        "m" | "min" => 60.0,
        "h" => 3600.0,
        _ => return None,
    };
    Duration::try_from_secs_f64(number * unit).ok().filter(|d| !d.is_zero())
}

/// Bytes a second: `50MB/s`, `1.5MiB/s`, `800KB`.
pub(crate) fn rate(text: &str) -> Option<u64> {
    let (number, unit) = split_unit(text)?;
    let unit = unit.strip_suffix("/s").unwrap_or(unit);
    let unit = match unit.to_ascii_lowercase().as_str() {
        "" | "b" => 1.0,
        "kb" => 1e3,
        "mb" => 1e6,
        "gb" => 1e9,
        "k" | "kib" => 1024.0,
        "m" | "mib" => 1_048_576.0,
        "g" | "gib" => 1_073_741_824.0,
        _ => return None,
    };
    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "it is positive, and what is too large is cut off"
    )]
    let rate = (number * unit) as u64;
    (rate > 0).then_some(rate)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[test]
    fn rates_and_durations() {
        assert_eq!(rate("50MB/s"), Some(50_000_000));
        assert_eq!(rate("1.5 MiB/s"), Some(1_572_864));
        assert_eq!(rate("800KB"), Some(800_000));
        assert_eq!((rate("fast"), rate("0"), rate("-1"), rate("1 parsec")), (None, None, None, None));
        assert_eq!(seconds("90"), Some(Duration::from_secs(90)));
        assert_eq!(seconds("250ms"), Some(Duration::from_millis(250)));
        assert_eq!((seconds("0s"), seconds("soon")), (None, None));
    }

    #[test]
    fn what_nobody_asked_for_is_an_error_with_the_nearest_name() {
        let none: Environment = Arc::new(|_| None);
        let options = [("regoin".to_owned(), "eu".to_owned())];
        let settings = StorageSettings { location: "b".to_owned(), options: options.into_iter().collect() };
        let mut options = Options::new(&settings, &none);
        assert_eq!(options.text("region"), None);
        assert_eq!(options.finish().unwrap_err().context("did you mean"), Some("region"));
    }

    #[test]
    fn a_secret_comes_from_one_place() {
        let environment: Environment = Arc::new(|name| (name == "KEY").then(|| "from the variable".to_owned()));
        let of = |pairs: &[(&str, &str)]| {
            let options = pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
            let settings = StorageSettings { location: String::new(), options };
            Options::new(&settings, &environment).secret("key", "key_env", "key_file")
        };
        assert_eq!(of(&[]).unwrap(), None);
        assert_eq!(of(&[("key", "k")]).unwrap().as_deref(), Some("k"));
        assert_eq!(of(&[("key_env", "KEY")]).unwrap().as_deref(), Some("from the variable"));
        assert!(of(&[("key_env", "OTHER")]).is_err() && of(&[("key", "k"), ("key_env", "KEY")]).is_err());
        let error = of(&[("key", "geheim"), ("key_env", "KEY")]).unwrap_err();
        assert!(!error.to_string().contains("geheim"));
    }
}
