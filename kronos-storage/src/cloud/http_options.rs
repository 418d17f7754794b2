//! The options that all clouds have, and how they are read: flags, secrets, timeouts, authorities, a proxy.

use std::str::FromStr;
use std::time::Duration;

use kronos_core::{Error, ErrorKind, Result};

use super::http::HttpSettings;
use crate::options::{Options, bad, split_unit};

impl Options<'_> {
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

    /// What is set of the HTTP client. `endpoint` tells which of the proxies is meant.
    pub(crate) fn http(&mut self, endpoint: Option<&str>, bundle: Option<&str>) -> Result<HttpSettings> {
        let mut settings = HttpSettings::default();
        if let Some(idle) = self.duration("timeout")? {
            settings.idle = idle;
        }
        if let Some(connect) = self.duration("connect_timeout")? {
            settings.connect = connect;
        }
        if let Some(connections) = self.number::<usize>("connections")? {
            // With fewer, writers that are to race in the probe would go one after the other.
            if !(32..=1024).contains(&connections) {
                return Err(bad("connections", &connections.to_string())
                    .with("hint", "32 to 1024; fewer are used where fewer do"));
            }
            settings.connections = connections;
        }
        (settings.upload, settings.download) = self.pace()?;
        let authorities = self.text("tls_ca").or_else(|| bundle.and_then(|name| self.variable(name)));
        settings.authorities = authorities.map(|path| read("tls_ca", &path)).transpose()?;
        settings.proxy = self.proxy(endpoint);
        Ok(settings)
    }

    fn proxy(&mut self, endpoint: Option<&str>) -> Option<(String, Option<String>)> {
        if let Some(proxy) = self.text("proxy") {
            return (proxy != "none").then_some((proxy, None));
        }
        let plain = endpoint.is_some_and(|endpoint| endpoint.starts_with("http://"));
        let names: &[&str] = if plain {
            &["http_proxy", "ALL_PROXY", "all_proxy"]
        } else {
            &["HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"]
        };
        let proxy = names.iter().find_map(|name| self.variable(name))?;
        Some((proxy, self.variable("NO_PROXY").or_else(|| self.variable("no_proxy"))))
    }
}

pub(crate) fn read(option: &'static str, path: &str) -> Result<Vec<u8>> {
    std::fs::read(path).map_err(|e| {
        Error::new(ErrorKind::Config, "the file of an option cannot be read")
            .with("option", option)
            .with("path", path)
            .with_source(e)
    })
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

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use kronos_core::StorageSettings;

    use super::*;
    use crate::Environment;

    #[test]
    fn durations() {
        assert_eq!(seconds("90"), Some(Duration::from_secs(90)));
        assert_eq!(seconds("250ms"), Some(Duration::from_millis(250)));
        assert_eq!((seconds("0s"), seconds("soon")), (None, None));
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
