//! Secrets from the key store of the system: the Secret Service on Linux, the keychain of macOS, the
//! credential manager of Windows.

use keyring::{Entry, Error as Refused};
use kronos_core::{Error, ErrorKind, Result, Secret};

/// Gets the secret of an entry. Blocks, also while a user is asked to unlock the store.
pub(super) fn read(service: &str, user: &str) -> Result<Secret> {
    if let Err(refused) = Entry::store_status() {
        return Err(error(service, user, refused));
    }
    let password = Entry::new(service, user).and_then(|entry| entry.get_password());
    password.map(Secret::new).map_err(|refused| error(service, user, &refused))
}

/// The store's own words are shown, except where they could be the secret.
fn error(service: &str, user: &str, refused: &Refused) -> Error {
    let (kind, message, hint) = match refused {
        Refused::NoEntry => (
            ErrorKind::NotFound,
            "the key store has no such entry".to_owned(),
            "with libsecret: secret-tool store --label=Kronos service SERVICE username USER",
        ),
        Refused::NoStorageAccess(_) => (
            ErrorKind::PermissionDenied,
            format!("the key store cannot be read: {refused}"),
            "unlock it; a service that nobody logs in to is better given a file",
        ),
        Refused::BadEncoding(_) | Refused::BadDataFormat(..) => {
            (ErrorKind::Config, "the entry of the key store is not a text".to_owned(), "write it anew")
        }
        _ => (
            ErrorKind::Io,
            format!("the key store cannot be used: {refused}"),
            "it needs a session with a key store; a service that nobody logs in to is better given a file",
        ),
    };
    let message = message.replace('\n', " ");
    Error::new(kind, message).with("entry", format!("{service}/{user}")).with("hint", hint)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_text_is_not_shown() {
        let refused = Refused::BadEncoding(b"hunter2".to_vec());
        assert!(!format!("{:?}", error("kronos", "shop", &refused)).contains("hunter2"));
        let missing = error("kronos", "shop", &Refused::NoEntry);
        assert_eq!((missing.kind(), missing.context("entry")), (ErrorKind::NotFound, Some("kronos/shop")));
    }
}
