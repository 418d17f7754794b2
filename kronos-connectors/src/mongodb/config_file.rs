//! How a program is told the way to the server, its user and the password: by a file that has the
//! whole connection string, so that nothing of it is among the arguments.

use std::fmt::Write;

use kronos_core::Result;

use crate::servers::secret_file::SecretFile;

use super::connect::encoded;
use super::error::internal;
use super::settings::{MongodbSettings, TlsMode};

pub(super) fn config_file(settings: &MongodbSettings) -> Result<SecretFile> {
    SecretFile::new(text(settings)?.as_bytes())
}

/// A YAML file; a string of JSON is one of YAML too.
fn text(settings: &MongodbSettings) -> Result<String> {
    let uri = serde_json::to_string(&uri(settings)).map_err(|e| internal("JSON").with_source(e))?;
    Ok(format!("uri: {uri}\n"))
}

/// The settings as a connection string.
fn uri(settings: &MongodbSettings) -> String {
    let mut uri = if settings.srv { "mongodb+srv://" } else { "mongodb://" }.to_owned();
    if let Some(user) = &settings.user {
        uri.push_str(&encoded(user));
        if let Some(password) = &settings.password {
            uri.push(':');
            uri.push_str(&encoded(password.expose()));
        }
        uri.push('@');
    }
    uri.push_str(&settings.address());
    uri.push('/');
    let mut separator = '?';
    let mut say = |name: &str, value: &str| {
        // Writing to a string cannot fail.
        let _ = write!(uri, "{separator}{name}={}", encoded(value));
        separator = '&';
    };
    say("appName", "kronos");
    say("connectTimeoutMS", &settings.connect_timeout.as_millis().to_string());
    say("serverSelectionTimeoutMS", &settings.connect_timeout.as_millis().to_string());
    let has_login = settings.user.is_some() || settings.auth_mechanism.is_some();
    match (&settings.auth_database, settings.auth_mechanism.as_deref()) {
        (Some(database), _) => say("authSource", database),
        (None, Some("MONGODB-X509" | "PLAIN")) => say("authSource", "$external"),
        // The record of the name may say another one.
        (None, _) if has_login && !settings.srv => say("authSource", "admin"),
        (None, _) => {}
    }
    if let Some(mechanism) = &settings.auth_mechanism {
        say("authMechanism", mechanism);
    }
    if let Some(name) = &settings.replica_set {
        say("replicaSet", name);
    }
    if let Some(direct) = settings.direct {
        say("directConnection", if direct { "true" } else { "false" });
    }
    match settings.tls_mode() {
        TlsMode::Disable => say("tls", "false"),
        mode => {
            say("tls", "true");
            if mode == TlsMode::Require {
                say("tlsInsecure", "true");
            }
            if let Some(ca) = &settings.tls.ca {
                say("tlsCAFile", &ca.to_string_lossy());
            }
            if let Some(certificate) = &settings.tls.certificate {
                say("tlsCertificateKeyFile", &certificate.to_string_lossy());
            }
        }
    }
    uri
}

#[cfg(test)]
mod tests {
    use kronos_core::Secret;
    use mongodb::options::ClientOptions;

    use super::*;

    #[tokio::test]
    async fn a_connection_string_says_what_the_settings_say() {
        let mut settings = MongodbSettings::new("db.example.org");
        settings.hosts.push("[::1]:27018".to_owned());
        settings.user = Some("a@b:c".to_owned());
        settings.password = Some(Secret::new("p/ä?&#\"\n$(x)"));
        settings.replica_set = Some("rs 0".to_owned());
        settings.tls.ca = Some("/c a/ca.pem".into());
        let found = ClientOptions::parse(uri(&settings)).await.unwrap();
        let login = found.credential.unwrap();
        assert_eq!(login.username.as_deref(), Some("a@b:c"));
        assert_eq!((login.password.as_deref(), login.source.as_deref()), (Some("p/ä?&#\"\n$(x)"), Some("admin")));
        assert_eq!((found.repl_set_name.as_deref(), found.hosts.len()), (Some("rs 0"), 2));
        let mongodb::options::Tls::Enabled(tls) = found.tls.unwrap() else { panic!("no TLS") };
        assert_eq!(tls.ca_file_path.unwrap(), std::path::Path::new("/c a/ca.pem"));
        assert!(text(&settings).unwrap().starts_with("uri: \"mongodb://a%40b%3Ac:"));
        settings.tls.mode = Some(TlsMode::Disable);
        assert!(uri(&settings).contains("tls=false"));
        assert!(uri(&MongodbSettings::new("x")).contains("x:27017/?appName=kronos"));
    }
}
