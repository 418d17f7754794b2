//! How a program is told the way to the server, its user and the password: by a file of options.

use std::path::Path;

use kronos_core::{Error, ErrorKind, Result};

use crate::servers::secret_file::SecretFile;

use super::settings::{MysqlSettings, TlsMode};

/// Where systems keep the certificates that programs trust; these programs have to be told.
const SYSTEM_CERTIFICATES: [&str; 3] =
    ["/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/cert.pem"];

pub(super) fn option_file(settings: &MysqlSettings, is_mariadb: bool) -> Result<SecretFile> {
    SecretFile::new(options(settings, is_mariadb)?.as_bytes())
}

/// What the file says.
fn options(settings: &MysqlSettings, is_mariadb: bool) -> Result<String> {
    let place = settings.place();
    let mut lines = vec!["[client]".to_owned()];
    let mut say = |name: &str, value: &str| {
        lines.push(format!("{name}={}", quoted(value)?));
        Ok::<_, Error>(())
    };
    say("user", &settings.user)?;
    if let Some(password) = &settings.password {
        say("password", password.expose())?;
    }
    let is_socket = place.starts_with('/');
    if is_socket {
        say("protocol", "socket")?;
        say("socket", &place)?;
    } else {
        // Without it, `localhost` is a socket to these programs.
        say("protocol", "tcp")?;
        say("host", &place)?;
        say("port", &settings.port.to_string())?;
    }
    // A socket needs none, and cannot be told by a name.
    let mode = if is_socket { TlsMode::Disable } else { settings.tls.mode };
    let is_verified = matches!(mode, TlsMode::VerifyCa | TlsMode::VerifyFull);
    if is_mariadb {
        say("ssl", if mode == TlsMode::Disable { "0" } else { "1" })?;
        // These programs know but one way to look at a certificate, the stricter one.
        say("ssl-verify-server-cert", if is_verified { "1" } else { "0" })?;
    } else {
        let name = match mode {
            TlsMode::Disable => "DISABLED",
            TlsMode::Prefer => "PREFERRED",
            TlsMode::Require => "REQUIRED",
            TlsMode::VerifyCa => "VERIFY_CA",
            TlsMode::VerifyFull => "VERIFY_IDENTITY",
        };
        say("ssl-mode", name)?;
        if matches!(mode, TlsMode::Disable | TlsMode::Prefer) {
            say("loose-get-server-public-key", "1")?;
        }
    }
    if mode != TlsMode::Disable {
        let path = |path: &Path| path.to_string_lossy().into_owned();
        match &settings.tls.ca {
            Some(ca) => say("ssl-ca", &path(ca))?,
            None if is_verified => {
                let there = SYSTEM_CERTIFICATES.iter().find(|path| Path::new(path).exists());
                say("ssl-ca", there.unwrap_or(&SYSTEM_CERTIFICATES[0]))?;
            }
            None => {}
        }
        if let (Some(certificate), Some(key)) = (&settings.tls.certificate, &settings.tls.key) {
            say("ssl-cert", &path(certificate))?;
            say("ssl-key", &path(key))?;
        }
    }
    lines.push(String::new());
    Ok(lines.join("\n"))
}

/// A value as option files have it.
fn quoted(value: &str) -> Result<String> {
    let mut text = "\"".to_owned();
    for c in value.chars() {
        match c {
            '\\' => text.push_str("\\\\"),
            '\n' => text.push_str("\\n"),
            '\r' => text.push_str("\\r"),
            '\t' => text.push_str("\\t"),
            '\u{8}' => text.push_str("\\b"),
            '"' => text.push_str("\\\""),
            '\0' => return Err(Error::new(ErrorKind::Config, "a setting of the server has a NUL in it")),
            c => text.push(c),
        }
    }
    text.push('"');
    Ok(text)
}

#[cfg(test)]
mod tests {
    use kronos_core::Secret;

    use super::*;

    #[test]
    fn what_is_secret_or_secure_is_said_to_each_family_in_its_words() {
        let mut settings = MysqlSettings::new("localhost", "me");
        settings.password = Some(Secret::new("a\"b\\c # ;\n"));
        settings.tls.mode = TlsMode::VerifyFull;
        settings.tls.ca = Some("/c a/ca.pem".into());
        let mysql = options(&settings, false).unwrap();
        assert!(mysql.contains("\npassword=\"a\\\"b\\\\c # ;\\n\"\n"), "{mysql}");
        assert!(mysql.contains("\nssl-mode=\"VERIFY_IDENTITY\"\nssl-ca=\"/c a/ca.pem\"\n"), "{mysql}");
        let maria = options(&settings, true).unwrap();
        assert!(
            maria.contains("\nssl=\"1\"\nssl-verify-server-cert=\"1\"\n") && !maria.contains("ssl-mode"),
            "{maria}"
        );
        settings.host = Some("/run/x.sock".into());
        let socket = options(&settings, true).unwrap();
        assert!(socket.contains("\nssl=\"0\"\n") && !socket.contains("host="), "{socket}");
    }
}
