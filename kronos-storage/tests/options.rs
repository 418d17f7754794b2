//! What the options of a storage become on the way to a server, and who is let in with which credentials.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod common;

use bytes::Bytes;
use common::proxy::{Fate, Kind, Proxy, Seen};
use common::{Server, block_on, on};
use kronos_core::testing::MemorySource;
use kronos_core::{
    BackupOptions, ChunkerParameters, ErrorKind, Key, Protection, PutOutcome, Repository, RunContext, StorageExt,
    backup,
};
use libtest_mimic::{Arguments, Trial};

/// Tells a process of this test what it is for.
const AS: &str = "KRONOS_TEST_AS";

fn main() {
    if let Ok(options) = std::env::var(AS) {
        return put_as_told(&options);
    }
    let trials: Vec<Trial> = vec![
        on("s3", "packs_and_the_rest_have_classes_of_their_own", |server| {
            block_on(classes(server, "x-amz-storage-class"));
        }),
        on("gcs", "packs_and_the_rest_have_classes_of_their_own", |server| {
            block_on(classes(server, "x-goog-storage-class"));
        }),
        on("azure", "packs_and_the_rest_have_classes_of_their_own", |server| {
            block_on(classes(server, "x-ms-access-tier"));
        }),
        on("s3", "encryption_requester_and_checksums_are_sent", |server| block_on(headers(server))),
        on("s3", "checksums_that_are_refused_are_left_out_with_a_notice", |server| block_on(refused_checksums(server))),
        on("s3", "readers_read", |server| {
            let reader = server
                .clone()
                .with("access_key_id", std::env::var("KRONOS_TEST_S3_READER_ACCESS_KEY").unwrap())
                .with("secret_access_key", std::env::var("KRONOS_TEST_S3_READER_SECRET_KEY").unwrap());
            block_on(readers(server, reader));
        }),
        on("azure", "readers_read", |server| {
            let reader = server
                .clone()
                .without("access_key")
                .with("sas_token", std::env::var("KRONOS_TEST_AZURE_READER_SAS").unwrap());
            block_on(readers(server, reader));
        }),
        on("azure", "a_shared_access_signature_is_enough", |server| {
            let guest = server.without("access_key").with("sas_token", std::env::var("KRONOS_TEST_AZURE_SAS").unwrap());
            block_on(guests(guest));
        }),
        on("gcs", "a_service_account_signs", |server| {
            let account =
                std::env::var("KRONOS_TEST_GCS_SIGNING_ACCOUNT").expect("scripts/servers makes one with openssl");
            block_on(guests(server.with("service_account", account)));
        }),
        on("s3", "whoever_needs_no_name_reads", |server| block_on(anonymous(server))),
        on("moto", "keys_come_from_profiles_and_assumed_roles", |server| block_on(profiles(server))),
    ];
    libtest_mimic::run(&Arguments::from_args(), trials).exit();
}

fn key(name: &str) -> Key {
    Key::new(name).unwrap()
}

/// The server behind a proxy that lets everything pass, and notes it.
async fn noted(server: &Server) -> (Proxy, Server) {
    let endpoint = server.options["endpoint"].clone();
    let proxy = Proxy::before(&endpoint, |_| Fate::Pass).await;
    let behind = server.clone().with("endpoint", proxy.endpoint(&endpoint));
    (proxy, behind)
}

fn of<'a>(seen: &'a [Seen], part: &str) -> &'a Seen {
    let writes = |seen: &&Seen| matches!(seen.kind, Kind::Put | Kind::PutIfAbsent | Kind::Begin);
    seen.iter().filter(writes).find(|seen| seen.target.contains(part)).unwrap_or_else(|| panic!("{part}: {seen:?}"))
}

async fn classes(server: Server, header: &str) {
    let (cold, hot) = match server.name {
        "azure" => ("Cool", "Hot"),
        "gcs" => ("NEARLINE", "STANDARD"),
        _ => ("STANDARD_IA", "STANDARD"),
    };
    let (proxy, behind) = noted(&server).await;
    let location = server.fresh();
    let storage = behind.with("storage_class", cold).with("metadata_storage_class", hot).open(&location);
    let (pack, large, entry) = (key("jobs/a/packs/ab/small"), key("jobs/a/packs/ab/large"), key("jobs/a/log/0001"));
    storage.put(&pack, Bytes::from_static(b"pack")).await.unwrap();
    storage.put_if_absent(&entry, Bytes::from_static(b"entry")).await.unwrap();
    let mut upload = storage.begin_upload(&large).await.unwrap();
    upload.write(Bytes::from(vec![1; 5 << 20])).await.unwrap();
    upload.write(Bytes::from_static(b"rest")).await.unwrap();
    upload.finish().await.unwrap();
    let seen = proxy.seen();
    assert_eq!(of(&seen, "ab/small").header(header), Some(cold));
    assert_eq!(of(&seen, "ab/large").header(header), Some(cold));
    assert_eq!(of(&seen, "log/0001").header(header), Some(hot));
    assert_eq!(storage.get(&large).await.unwrap().len(), (5 << 20) + 4);
}

async fn headers(server: Server) {
    let (proxy, behind) = noted(&server).await;
    let location = server.fresh();
    let place = key("a/b");
    // Some servers have no keys to encrypt with: what is sent is what matters here.
    let storage = behind.clone().with("sse", "aws:kms").with("sse_kms_key_id", "a-key").open(&location);
    let _ = storage.put(&place, Bytes::from_static(b"x")).await;
    let storage = behind.clone().with("sse", "AES256").with("requester_pays", "true").open(&location);
    let _ = storage.put(&place, Bytes::from_static(b"x")).await;
    let _ = storage.get(&place).await;
    let storage = behind.clone().with("checksum", "off").open(&location);
    storage.put(&place, Bytes::from_static(b"x")).await.unwrap();
    let storage = behind.clone().with("checksum", "crc64nvme").open(&location);
    let _ = storage.put(&place, Bytes::from_static(b"x")).await;
    let seen = proxy.seen();
    let header = |n: usize, name: &str| seen[n].header(name).map(str::to_owned);
    assert_eq!(header(0, "x-amz-server-side-encryption").as_deref(), Some("aws:kms"));
    assert_eq!(header(0, "x-amz-server-side-encryption-aws-kms-key-id").as_deref(), Some("a-key"));
    assert!(header(0, "x-amz-checksum-sha256").is_some(), "checksums are sent unless they are off");
    let plain: Vec<&Seen> =
        seen.iter().filter(|s| s.header("x-amz-server-side-encryption") == Some("AES256")).collect();
    assert!(!plain.is_empty());
    assert!(seen.iter().any(|s| s.method == "GET" && s.header("x-amz-request-payer") == Some("requester")));
    let off = &seen[seen.len() - 2];
    assert!(off.headers.iter().all(|(name, _)| !name.starts_with("x-amz-checksum")), "{off:?}");
    assert!(seen[seen.len() - 1].header("x-amz-checksum-crc64nvme").is_some());
}

/// A dialect that knows no checksums, made of one that does.
async fn refused_checksums(server: Server) {
    let endpoint = server.options["endpoint"].clone();
    let proxy = Proxy::before(&endpoint, |seen| {
        let has = seen.headers.iter().any(|(name, _)| name.starts_with("x-amz-checksum"));
        if has && seen.kind != Kind::Delete {
            return Fate::Answer(501, "", "<Error><Code>NotImplemented</Code><Message>no checksums</Message></Error>");
        }
        Fate::Pass
    })
    .await;
    let behind = server.clone().with("endpoint", proxy.endpoint(&endpoint));
    let storage = behind.open(&server.fresh());
    assert!(storage.notices().is_empty());
    storage.put(&key("a/b"), Bytes::from_static(b"x")).await.unwrap();
    let notices = storage.notices();
    assert!(notices.len() == 1 && notices[0].contains("checksum"), "{notices:?}");
    // Known from then on: nothing is sent twice.
    let before = proxy.seen().len();
    assert_eq!(storage.put_if_absent(&key("a/c"), Bytes::from_static(b"y")).await.unwrap(), PutOutcome::Created);
    assert_eq!(proxy.seen().len(), before + 1);
    let mut upload = storage.begin_upload(&key("a/d")).await.unwrap();
    upload.write(Bytes::from(vec![1; 6 << 20])).await.unwrap();
    upload.finish().await.unwrap();
    // The user hears of it with each backup.
    let repository = behind.open(&server.fresh());
    let (plain, run) = (Protection::None, RunContext::new());
    let repository = Repository::init(repository, &plain, ChunkerParameters::default(), &run).await.unwrap();
    let source = MemorySource::new("shop");
    source.set("orders", vec![1; 1000]);
    let made = backup(&repository, &source, &BackupOptions::new(), &run).await.unwrap().backup.unwrap();
    assert!(made.warnings.iter().any(|warning| warning.contains("checksum")), "{:?}", made.warnings);
    // Who insists gets an error.
    let insisting = behind.with("checksum", "sha256").open(&server.fresh());
    let error = insisting.put(&key("a/b"), Bytes::from_static(b"x")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported, "{error:?}");
}

async fn readers(server: Server, reader: Server) {
    let location = server.fresh();
    let place = key("a/b");
    server.open(&location).put(&place, Bytes::from_static(b"content")).await.unwrap();
    let storage = reader.open(&location);
    assert_eq!(storage.get(&place).await.unwrap(), "content");
    assert_eq!(storage.list_all(None).await.unwrap().len(), 1);
    for error in [
        storage.put(&place, Bytes::from_static(b"other")).await.unwrap_err(),
        storage.put_if_absent(&key("a/c"), Bytes::new()).await.unwrap_err(),
        storage.delete_one(&place).await.unwrap_err(),
        storage.delete(&[place.clone(), key("a/d")]).await.unwrap_err(),
    ] {
        assert_eq!(error.kind(), ErrorKind::PermissionDenied, "{error:?}");
    }
    assert_eq!(storage.get(&place).await.unwrap(), "content");
}

/// What the credentials allow, they allow.
async fn guests(guest: Server) {
    let storage = guest.open(&guest.fresh());
    let place = key("a/b");
    assert_eq!(storage.put_if_absent(&place, Bytes::from_static(b"x")).await.unwrap(), PutOutcome::Created);
    assert_eq!(storage.put_if_absent(&place, Bytes::from_static(b"y")).await.unwrap(), PutOutcome::Exists);
    assert_eq!(storage.get_range(&place, 0..1).await.unwrap(), "x");
    assert_eq!(storage.list_all(None).await.unwrap().len(), 1);
    storage.delete_one(&place).await.unwrap();
    assert_eq!(storage.get(&place).await.unwrap_err().kind(), ErrorKind::NotFound);
}

async fn anonymous(server: Server) {
    let bucket = std::env::var("KRONOS_TEST_S3_PUBLIC_BUCKET").unwrap();
    let location = server.fresh().replace(&server.bucket, &bucket);
    let place = key("a/b");
    server.open(&location).put(&place, Bytes::from_static(b"content")).await.unwrap();
    let nobody = server.without("access_key_id").without("secret_access_key").with("anonymous", "true").open(&location);
    assert_eq!(nobody.get(&place).await.unwrap(), "content");
    assert_eq!(nobody.list_all(None).await.unwrap().len(), 1);
    let error = nobody.put(&place, Bytes::new()).await.unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::PermissionDenied | ErrorKind::Authentication), "{error:?}");
}

/// Credentials of files and of a role, which the AWS tools' own variables name: so in a process of its own.
async fn profiles(server: Server) {
    let directory = tempfile::tempdir().unwrap();
    let config = directory.path().join("config");
    let text = "[profile shop]\nregion = eu-west-3\naws_access_key_id = AKIASHOP\naws_secret_access_key = geheim\n\n\
                [profile role]\nrole_arn = arn:aws:iam::123456789012:role/kronos\nsource_profile = shop\nregion = eu-west-2\n";
    std::fs::write(&config, text).unwrap();
    let sts = server.options["endpoint"].clone();
    for (options, id, region, has_token) in [
        (&[("profile", "shop")][..], "AKIASHOP/", "/eu-west-3/", false),
        (&[("profile", "role")], "ASIA", "/eu-west-2/", true),
        (&[("profile", "shop"), ("role_arn", "arn:aws:iam::123456789012:role/other")], "ASIA", "/eu-west-3/", true),
    ] {
        let (proxy, behind) = noted(&server).await;
        let mut behind = behind.without("access_key_id").without("secret_access_key");
        for (name, value) in options {
            behind = behind.with(name, *value);
        }
        let told = serde_json::to_string(&(behind.fresh(), &behind.options)).unwrap();
        let mut child = tokio::process::Command::new(std::env::current_exe().unwrap());
        child.env_clear().env(AS, told).env("AWS_CONFIG_FILE", &config).env("AWS_ENDPOINT_URL_STS", &sts);
        let output = child.env("HOME", directory.path()).output().await.unwrap();
        assert!(output.status.success(), "{options:?}: {}", String::from_utf8_lossy(&output.stderr));
        let seen = proxy.seen();
        let authorization = seen[0].header("authorization").unwrap();
        assert!(
            authorization.contains(&format!("Credential={id}")) && authorization.contains(region),
            "{authorization}"
        );
        assert_eq!(seen[0].header("x-amz-security-token").is_some(), has_token, "{options:?}");
    }
    // A profile that is not there.
    let missing = server.clone().without("access_key_id").without("secret_access_key").with("profile", "nobody");
    let told = serde_json::to_string(&(missing.fresh(), &missing.options)).unwrap();
    let mut child = tokio::process::Command::new(std::env::current_exe().unwrap());
    child.env_clear().env(AS, told).env("AWS_CONFIG_FILE", &config).env("HOME", directory.path());
    let output = child.output().await.unwrap();
    let shown = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && shown.contains("Authentication") && !shown.contains("geheim"), "{shown}");
}

/// In a process of its own: puts an object where it was told to.
fn put_as_told(told: &str) {
    let (location, options): (String, std::collections::BTreeMap<String, String>) = serde_json::from_str(told).unwrap();
    let server = Server { name: "moto", scheme: "s3", bucket: String::new(), options };
    block_on(async {
        if let Err(e) = server.open(&location).put(&key("a/b"), Bytes::from_static(b"x")).await {
            panic!("{e:?}");
        }
    });
}
