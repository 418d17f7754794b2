//! The options that all clouds have: timeouts, limits, authorities, a proxy.

use kronos_core::Result;

use super::http::HttpSettings;
use crate::options::{Options, bad, read};

impl Options<'_> {
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
            if connections == 0 || connections > 1024 {
                return Err(bad("connections", &connections.to_string()).with("hint", "1 to 1024"));
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
