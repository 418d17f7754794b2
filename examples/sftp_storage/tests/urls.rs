//! What a URL may say, and what `ssh` is told of it. Needs no server.

use std::collections::BTreeMap;

use kronos_core::{ErrorKind, Result, StorageSettings};
use libtest_mimic::Trial;

use crate::address::Address;

pub(super) fn trials() -> Vec<Trial> {
    vec![
        Trial::test("urls_are_understood", || {
            urls_are_understood();
            Ok(())
        }),
        Trial::test("hostile_urls_are_refused", || {
            hostile_urls_are_refused();
            Ok(())
        }),
    ]
}

fn address(url: &str) -> Result<Address> {
    let (scheme, settings) = kronos_storage::parse_storage_url(url)?;
    assert_eq!(scheme, "sftp", "{url}");
    Address::new(&settings, &["ssh".to_owned()])
}

fn urls_are_understood() {
    for (url, shown, arguments) in [
        ("sftp://me@nas/srv/b", "sftp://me@nas/srv/b", "-l me -s -- nas sftp"),
        ("sftp://nas:2222/b/?", "sftp://nas:2222/b", "-p 2222 -s -- nas sftp"),
        ("sftp://a@b@nas/my%20backups", "sftp://a@b@nas/my backups", "-l a@b -s -- nas sftp"),
        ("sftp://me@[::1]:22/b", "sftp://me@[::1]:22/b", "-p 22 -l me -s -- ::1 sftp"),
        ("sftp://me@nas/", "sftp://me@nas/", "-l me -s -- nas sftp"),
        ("sftp://nas/b?identity=/k", "sftp://nas/b", "-o IdentitiesOnly=yes -i /k -s -- nas sftp"),
        ("sftp://nas/b?known_hosts=/a b", "sftp://nas/b", "-o UserKnownHostsFile=\"/a b\" -s -- nas sftp"),
    ] {
        let address = address(url).unwrap();
        assert_eq!(address.to_string(), shown, "{url}");
        let command = address.command();
        let told: Vec<_> = command.as_std().get_args().map(|word| word.to_str().unwrap()).collect();
        assert!(told.join(" ").ends_with(arguments), "{url}: {told:?}");
        assert!(told.join(" ").starts_with("-o BatchMode=yes "), "{url}: {told:?}");
    }
}

fn hostile_urls_are_refused() {
    for url in [
        "sftp://nas",
        "sftp:///srv/b",
        "sftp://me@/srv/b",
        "sftp://@nas/srv/b",
        "sftp://-oProxyCommand=true/srv/b",
        "sftp://me@-oProxyCommand=true/srv/b",
        "sftp://-oProxyCommand=true@nas/srv/b",
        "sftp://nas;true/srv/b",
        "sftp://$(true)@nas/srv/b",
        "sftp://`true`@nas/srv/b",
        "sftp://me@na s/srv/b",
        "sftp://me@nas%0a/srv/b",
        "sftp://me@nas:/srv/b",
        "sftp://me@nas:-1/srv/b",
        "sftp://me@nas:70000/srv/b",
        "sftp://[::1/srv/b",
        "sftp://nas/~/b",
        "sftp://nas/srv/../b",
        "sftp://nas/srv/%2e%2e/b",
        "sftp://nas/srv/%00",
        "sftp://nas/srv/%ff",
        "sftp://nas/b?identity=",
        "sftp://nas/b?identity=%25d",
        "sftp://nas/b?known_hosts=a%22%20/b",
        "sftp://nas/b?known_hosts=${HOME}",
        "sftp://nas/b?timeout=0",
        "sftp://nas/b?timeout=soon",
        "sftp://nas/b?ssh=/bin/true",
    ] {
        let error = address(url).expect_err(url);
        assert_eq!(error.kind(), ErrorKind::Config, "{url}: {error}");
    }
    let near = address("sftp://nas/b?identiti=/k").unwrap_err();
    assert_eq!(near.context("did you mean"), Some("identity"));
    let password = address("sftp://me:hunter2@nas/b").unwrap_err();
    assert!(password.context("hint").is_some() && !format!("{password:?}").contains("hunter2"), "{password:?}");
    // As a program may give it, without the URL's parser.
    let settings = StorageSettings { location: "nas/a\nb".to_owned(), options: BTreeMap::new() };
    assert!(Address::new(&settings, &["ssh".to_owned()]).is_err());
}
