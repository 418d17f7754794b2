//! The real program on real servers: whole lives of repositories, keys, wrong settings, several storages,
//! two writers at once, kills, and a server that dies in the middle of a backup.
//!
//! `scripts/servers start s3 azure gcs` names the servers; a test whose server is missing is ignored.
//! `KRONOS_TEST_KILLS` sets how often a backup is killed on each.
#![allow(missing_docs, clippy::unwrap_used)]

mod common;
#[path = "../../kronos-storage/tests/common/mod.rs"]
mod servers;

use std::collections::hash_map::DefaultHasher;
use std::fs;
use std::hash::{Hash, Hasher};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{PoisonError, RwLock};
use std::thread::sleep;
use std::time::{Duration, Instant};

use common::bank::{Bank, Writer};
use common::{Place, Ran};
use kronos_core::{StorageExt, Timestamp};
use libtest_mimic::{Arguments, Trial};
use rusqlite::Connection;
use rusqlite::types::ValueRef;
use serde_json::Value;
use servers::{SERVERS, Server, block_on, on};

/// A server may only be killed when nobody else is on it.
static ALONE: RwLock<()> = RwLock::new(());

fn main() {
    let mut arguments = Arguments::from_args();
    // They wait for servers, and for pauses.
    arguments.test_threads.get_or_insert(12);
    let mut trials = Vec::new();
    // The longest ones first.
    for server in ["s3", "azure"] {
        trials.push(beside(server, "killed_at_any_moment", killed));
        trials.push(beside(server, "a_passphrase", passphrase));
        trials.push(beside(server, "recipients", recipients));
        trials.push(beside(server, "credentials_of_the_environment_and_the_configuration", credentials));
        trials.push(beside(server, "who_may_only_read", reader));
    }
    for server in SERVERS {
        trials.push(beside(server, "two_at_once", at_once));
        trials.push(beside(server, "the_whole_life", life));
        trials.push(beside(server, "several_storages", several));
        trials.push(beside(server, "wrong_credentials", wrong_credentials));
        trials.push(beside(server, "wrong_places", wrong_places));
    }
    trials.push(beside("azure", "a_token_instead_of_the_key", token));
    trials.push(beside("s3", "anonymously", anonymously));
    trials.push(beside("s3", "a_bucket_that_locks_its_objects", locked));
    // The last one, as the others on this server are held up by it.
    trials.push(match (Server::named("s3"), variable("KRONOS_TEST_S3_KILL")) {
        (Ok(_), None) => {
            let name = "s3::the_server_is_killed (KRONOS_TEST_S3_KILL is not set: scripts/servers)";
            Trial::test(name, || Ok(())).with_ignored_flag(true)
        }
        _ => on("s3", "the_server_is_killed", |server| {
            let _alone = ALONE.write().unwrap_or_else(PoisonError::into_inner);
            server_killed(&Cloud::new(server));
        }),
    });
    libtest_mimic::run(&arguments, trials).exit();
}

fn beside(server: &'static str, name: &str, test: fn(&Cloud)) -> Trial {
    on(server, name, move |server| {
        let _others = ALONE.read().unwrap_or_else(PoisonError::into_inner);
        test(&Cloud::new(server));
    })
}

fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// A place on this machine, and one on a server where nobody has been before.
struct Cloud {
    place: Place,
    server: Server,
    location: String,
    url: String,
}

/// The words of a command; `@` is the storage.
fn words<'a>(line: &'a str, url: &'a str) -> Vec<&'a str> {
    line.split_whitespace().map(|word| if word == "@" { url } else { word }).collect()
}

impl Cloud {
    fn new(server: Server) -> Self {
        let location = server.fresh();
        let url = server.url(&location);
        Self { place: Place::new(), server, location, url }
    }

    fn run(&self, line: &str) -> Ran {
        self.place.run(&words(line, &self.url))
    }

    /// Runs a command on another storage.
    fn run_on(&self, url: &str, line: &str) -> Ran {
        self.place.run(&words(line, url))
    }

    fn ok(&self, line: &str) -> Ran {
        self.place.ok(&words(line, &self.url))
    }

    /// The JSON that a command shows, with the schema of that command.
    fn json(&self, line: &str) -> Value {
        let shown = self.place.json(&words(line, &self.url));
        assert_eq!(shown["schema"], format!("kronos.{}/1", line.split(' ').next().unwrap()), "{line}");
        shown
    }

    fn spawn_on(&self, url: &str, line: &str) -> Child {
        let mut command = self.place.command(&words(line, url));
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    }

    /// The ids of all backups, oldest first. `more` are the keys, or whatever else is needed.
    fn ids(&self, more: &str) -> Vec<String> {
        let listing = self.json(&format!("list --from @ {more}"));
        let text = |backup: &Value| backup["id"].as_str().unwrap().to_owned();
        listing["backups"].as_array().unwrap().iter().map(text).collect()
    }

    #[track_caller]
    fn is_clean(&self) {
        let found = self.json("check --read-data --from @");
        assert_eq!(found["problems"].as_array().map(Vec::len), Some(0), "{found}");
    }

    /// Restores a backup, which must be the database of this content.
    #[track_caller]
    fn restores(&self, backup: &str, expected: u64) {
        self.ok(&format!("restore {backup} --from @ --to restored.db --replace -q"));
        assert!(self.content("restored.db") == expected, "{backup} is another database");
    }

    fn content(&self, name: &str) -> u64 {
        content(&self.place.path(name))
    }

    /// Objects whose names hold `part`, and their bytes.
    fn objects(&self, part: &str) -> (usize, u64) {
        let storage = self.server.open(&self.location);
        let all = block_on(async { storage.list_all(None).await }).unwrap();
        let sizes: Vec<u64> = all.iter().filter(|o| o.key.as_str().contains(part)).map(|o| o.size).collect();
        (sizes.len(), sizes.iter().sum())
    }

    /// Uploads that were begun and never ended: removes them, and counts.
    fn leftovers(&self) -> u64 {
        let storage = self.server.open(&self.location);
        block_on(async { storage.remove_leftovers(Timestamp::from_micros(i64::MAX)).await }).unwrap()
    }
}

/// Everything in the tables of a database, as a number.
fn content(path: &Path) -> u64 {
    let db = Connection::open(path).unwrap();
    let names = |sql: &str| -> Vec<String> {
        let mut found = db.prepare(sql).unwrap();
        found.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect()
    };
    let mut hasher = DefaultHasher::new();
    for table in names("SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name") {
        table.hash(&mut hasher);
        let mut all = db.prepare(&format!("SELECT * FROM {table} ORDER BY 1")).unwrap();
        let columns = all.column_count();
        let mut rows = all.query([]).unwrap();
        while let Some(row) = rows.next().unwrap() {
            for column in 0..columns {
                match row.get_ref(column).unwrap() {
                    ValueRef::Blob(bytes) | ValueRef::Text(bytes) => bytes.hash(&mut hasher),
                    ValueRef::Integer(number) => number.hash(&mut hasher),
                    ValueRef::Real(number) => number.to_bits().hash(&mut hasher),
                    ValueRef::Null => 0.hash(&mut hasher),
                }
            }
        }
    }
    hasher.finish()
}

fn count(shown: &Value, field: &str) -> usize {
    shown[field].as_array().unwrap().len()
}

/// Three backups with changes in between, everything that can be asked about them, and their end.
fn life(cloud: &Cloud) {
    let place = &cloud.place;
    place.database("app.db", 2000);
    place.change("app.db", "CREATE TABLE noise (bytes BLOB); INSERT INTO noise VALUES (randomblob(7000000))");
    let mut contents = vec![cloud.content("app.db")];
    let first = cloud.ok("backup app.db --to @ --strategy full --tag why=test");
    assert!(first.err.contains("made a repository") && first.out.contains("full"), "{first:?}");
    place.change("app.db", "DELETE FROM noise; DELETE FROM orders WHERE id > 1500; VACUUM");
    contents.push(cloud.content("app.db"));
    cloud.ok("backup app.db --to @ --strategy incremental");
    place.change("app.db", "UPDATE orders SET note = 'changed' WHERE id < 100");
    contents.push(cloud.content("app.db"));
    let third = cloud.json("backup app.db --to @ --strategy differential");
    assert_eq!(third["jobs"][0]["storages"][0]["outcome"], "backed-up", "{third}");

    let ids = looked_at(cloud);
    for (id, content) in ids.iter().zip(&contents) {
        cloud.restores(id, *content);
    }
    let dry = cloud.json("restore latest --from @ --to new.db --dry-run");
    assert!(dry["plan"]["target"]["obstacles"].as_array().is_some_and(Vec::is_empty), "{dry}");
    assert!(!place.path("new.db").exists());
    cloud.run("restore latest --from @ --to restored.db").fails(1, "exists", "hint: --replace");
    cloud.run("restore latest --from @ --to new.db --only zzz").fails(5, "such a name", "hint: `kronos show`");
    cloud.ok("restore app/latest~1 --from @ --to new.db --only app.*");
    cloud.ok("export latest out --from @");
    assert!(cloud.content("new.db") == contents[1] && cloud.content("out/app.db") == contents[2]);

    copied(cloud, &ids, &contents);
    thinned_out(cloud, &ids);
    cloud.restores("latest", contents[2]);
}

/// What is told of three backups; gives their ids.
fn looked_at(cloud: &Cloud) -> Vec<String> {
    let listing = cloud.json("list --from @");
    let field = |n: usize, name: &str| listing["backups"][n][name].clone();
    let all = |name: &str| [field(0, name), field(1, name), field(2, name)];
    assert_eq!(
        (count(&listing, "backups"), all("strategy")),
        (3, ["full", "incremental", "differential"].map(Value::from))
    );
    assert_eq!([field(1, "parent"), field(2, "parent")], [field(0, "id"), field(0, "id")]);
    assert_eq!(field(0, "tags")["why"], "test");
    assert!(field(0, "bytes_stored").as_u64().unwrap() > 6_000_000, "{listing}");
    let ids: Vec<String> = all("id").iter().map(|id| id.as_str().unwrap().to_owned()).collect();
    let table = cloud.ok("list app --from @").out;
    assert!(ids.iter().all(|id| table.contains(&id[..8])), "{table}");

    let shown = cloud.json("show latest --from @");
    assert_eq!((shown["id"].as_str(), &shown["stream_list"][0]["name"]), (Some(ids[2].as_str()), &"app.db".into()));
    assert!(cloud.ok("show latest~2 --from @").out.contains(&ids[0]));
    let difference = cloud.json("diff latest~1 latest --from @");
    assert_eq!(difference["changed"][0]["name"], "app.db", "{difference}");
    assert!(cloud.ok("diff latest latest --from @").out.contains("nothing changed"));
    cloud.is_clean();
    cloud.ok("check --sample 50% --from @");
    ids
}

/// Copied to a directory and from there to the cloud again, backups are what they were.
fn copied(cloud: &Cloud, ids: &[String], contents: &[u64]) {
    let there = Cloud::new(cloud.server.clone());
    let dry = cloud.json("copy --from @ --to copy --dry-run");
    assert!(count(&dry, "backups") == 3 && !cloud.place.path("copy").exists(), "{dry}");
    let copied = cloud.json("copy --from @ --to copy");
    assert_eq!(copied["jobs"][0]["copied"].as_array().map(Vec::len), Some(3), "{copied}");
    cloud.place.ok(&words("copy --from copy --to @", &there.url));
    cloud.place.ok(&words("check --read-data --from copy", ""));
    there.is_clean();
    let all = there.ids("");
    assert_eq!(all.len(), ids.len());
    for (id, content) in all.iter().zip(contents) {
        there.restores(id, *content);
    }
    cloud.place.ok(&words("copy --from copy --to @", &there.url));
    assert_eq!(there.ids(""), all, "all is there already");
}

/// Only the last of three backups stays, and the room of the others is freed.
fn thinned_out(cloud: &Cloud, ids: &[String]) {
    cloud.json("hold latest~2 --from @");
    cloud.run("forget latest~2 --from @").fails(1, "held", "hint: `kronos release`");
    let dry = cloud.json("prune --keep-last 1 --from @ --grace 0 --dry-run");
    assert_eq!(dry["jobs"][0]["forgotten"].as_array().map(Vec::len), Some(1), "{dry}");
    assert_eq!(cloud.ids(""), ids, "a dry run changes nothing");
    cloud.ok("prune --keep-last 1 --from @ --grace 0");
    assert_eq!(cloud.ids(""), [&ids[0], &ids[2]].map(Clone::clone), "one is held");
    cloud.json("release latest~1 --from @");
    cloud.json("forget latest~1 --from @");
    assert_eq!(cloud.ids(""), [ids[2].clone()]);

    let before = cloud.objects("");
    cloud.json("prune --keep-last 1 --from @ --grace 0");
    cloud.ok("prune --compact --from @ --grace 0");
    cloud.json("prune --compact --from @ --grace 0");
    let after = cloud.objects("");
    assert!(after.1 + 5_000_000 < before.1, "{before:?} became {after:?} objects and bytes");
    cloud.is_clean();
}

fn passphrase(cloud: &Cloud) {
    let place = &cloud.place;
    place.database("app.db", 300);
    place.write("one", "first secret\n");
    place.write("two", "second secret\n");
    cloud.ok("backup app.db --to @ --passphrase-file one");
    cloud.ok("backup app.db --to @ --passphrase-file one");
    cloud.run("list --from @").fails(1, "no key was given", "hint: give --passphrase-file");
    let wrong = "--passphrase-file two";
    for line in ["list --from @", "restore latest --from @ --to x.db", "backup app.db --to @", "check --from @"] {
        cloud.run(&format!("{line} {wrong}")).fails(1, "no key", "hint: check the passphrase");
    }
    assert!(!place.path("x.db").exists());
    cloud.ok("key add --from @ --passphrase-file one --new-passphrase-file two");
    assert_eq!(cloud.ids(wrong).len(), 2, "the second one is a key now");
    cloud.ok(&format!("check --read-data --from @ {wrong}"));
    cloud.ok(&format!("restore latest --from @ --to x.db {wrong}"));
    assert!(cloud.content("x.db") == cloud.content("app.db"));
}

fn recipients(cloud: &Cloud) {
    let place = &cloud.place;
    place.database("app.db", 300);
    let (identity, recipient) = kronos_core::generate_identity();
    let (stranger, _) = kronos_core::generate_identity();
    place.write("identity", &format!("{}\n", identity.expose()));
    place.write("stranger", &format!("{}\n", stranger.expose()));
    cloud.ok(&format!("backup app.db --to @ --recipient {recipient} --writer-key writer"));
    place.change("app.db", "DELETE FROM orders WHERE id > 200");
    cloud.ok("backup app.db --to @ --writer-key writer");
    let restore = "restore latest --from @ --to x.db";
    for (key, error) in [("--writer-key writer", ""), ("--identity stranger", "no key"), ("", "no key was given")] {
        cloud.run(&format!("{restore} {key}")).fails(1, error, "hint: ");
        assert!(!place.path("x.db").exists());
    }
    cloud.ok(&format!("{restore} --identity identity"));
    cloud.ok("check --read-data --from @ --identity identity");
    assert_eq!((cloud.ids("--identity identity").len(), place.rows("x.db")), (2, 200));
}

/// The secrets among the options of a storage, as they are and as they are in a URL.
fn secrets(server: &Server) -> Vec<String> {
    let names = ["secret_access_key", "access_key", "sas_token"];
    let mut all: Vec<String> = names.iter().filter_map(|name| server.options.get(*name).cloned()).collect();
    // The signature is what is secret of a token.
    let signatures: Vec<String> = all.iter().filter_map(|s| Some(s.split_once("sig=")?.1.to_owned())).collect();
    all.extend(signatures);
    let escaped: Vec<String> = all
        .iter()
        .flat_map(|s| {
            let decoded = percent_encoding::percent_decode_str(s).decode_utf8_lossy().into_owned();
            [percent_encoding::utf8_percent_encode(s, percent_encoding::NON_ALPHANUMERIC).to_string(), decoded]
        })
        .collect();
    all.extend(escaped);
    all
}

#[track_caller]
fn hides(ran: &Ran, secrets: &[String]) {
    for secret in secrets {
        assert!(!ran.out.contains(secret) && !ran.err.contains(secret), "{secret} is shown: {ran:?}");
    }
}

fn wrong_credentials(cloud: &Cloud) {
    cloud.place.database("app.db", 10);
    let (server, secret) = (&cloud.server, "Z2VoZWltLWdlaGVpbS1nZWhlaW0=");
    let wrong = match server.name {
        "s3" => vec![
            server.clone().with("secret_access_key", secret),
            server.clone().with("access_key_id", "nobody").with("secret_access_key", secret),
        ],
        "azure" => {
            let token = variable("KRONOS_TEST_AZURE_SAS").unwrap();
            let (claims, _) = token.split_once("sig=").unwrap();
            let keyless = server.clone().without("access_key");
            vec![
                server.clone().with("access_key", secret),
                keyless.with("sas_token", format!("{claims}sig=Z2VoZWltLWdlaGVpbS1nZWhlaW0%3D")),
            ]
        }
        _ => variable("KRONOS_TEST_GCS_STRANGER_ACCOUNT")
            .map(|stranger| server.clone().with("service_account", stranger))
            .into_iter()
            .collect(),
    };
    for server in wrong {
        let (url, secrets) = (server.url(&cloud.location), secrets(&server));
        for line in [
            "list --from @",
            "list --from @ --json",
            "backup app.db --to @ -v",
            "backup app.db --to @ --json",
            "backup app.db --to @ --dry-run",
            "restore latest --from @ --to x.db -v",
            "check --from @ -v",
            "prune --keep-last 1 --from @",
            "copy --from @ --to copy",
        ] {
            let ran = cloud.run_on(&url, line);
            ran.fails(1, "the store refuses the credentials", "hint: check the access key");
            hides(&ran, &secrets);
        }
    }
    assert!(!cloud.place.path("copy").exists() && !cloud.place.path("x.db").exists());
    assert_eq!(cloud.objects(""), (0, 0));
}

/// A bucket that is not there, options that are not there, and values that cannot be used.
fn wrong_places(cloud: &Cloud) {
    let place = &cloud.place;
    place.database("app.db", 10);
    let server = &cloud.server;
    let account = server.bucket.rsplit_once('/').map_or_else(String::new, |(account, _)| format!("{account}/"));
    let missing = server.url(&format!("{account}there-is-no-such-bucket/x"));
    let unknown = server.clone().with("endpiont", "http://x").url(&cloud.location);
    let useless = server.clone().with("upload_limit", "fast").url(&cloud.location);
    let secrets = secrets(server);
    for line in ["list --from @", "backup app.db --to @ -v", "backup app.db --to @ --json", "init --to @"] {
        for (url, error, hint) in [
            (&missing, "there is no such bucket or container", "hint: make the bucket or container first"),
            (&unknown, "no such option", "hint: did you mean endpoint?"),
            (&useless, "value cannot be used", "hint: write 50MB/s"),
        ] {
            let ran = cloud.run_on(url, line);
            ran.fails(2, error, hint);
            hides(&ran, &secrets);
        }
    }
    cloud.run("list --from @").fails(5, "there is no repository", "hint: check the location");
    assert_eq!(cloud.objects(""), (0, 0));
}

/// Credentials from the cloud's own variables, and from a configuration.
fn credentials(cloud: &Cloud) {
    let place = &cloud.place;
    place.database("app.db", 50);
    let option = |name: &str| cloud.server.options[name].clone();
    let (bare, variables, secret) = if cloud.server.name == "s3" {
        let bare = cloud.server.clone().without("access_key_id").without("secret_access_key").without("region");
        let bare = bare.without("endpoint");
        let variables = vec![
            ("AWS_ACCESS_KEY_ID", option("access_key_id")),
            ("AWS_SECRET_ACCESS_KEY", option("secret_access_key")),
            ("AWS_REGION", option("region")),
            ("AWS_ENDPOINT_URL", option("endpoint")),
        ];
        (bare, variables, "secret_access_key")
    } else {
        let bare = cloud.server.clone().without("access_key");
        (bare, vec![("AZURE_STORAGE_ACCOUNT_KEY", option("access_key"))], "access_key")
    };
    let url = bare.url(&cloud.location);
    let mut variables: Vec<(&str, &str)> = variables.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let run = |variables: &[(&str, &str)], line: &str| place.run_with(variables, &words(line, &url));
    let ran = run(&variables, "backup app.db --to @");
    assert_eq!(ran.code, 0, "{ran:?}");
    let of_secret = variables.iter().position(|(name, _)| name.ends_with("_KEY")).unwrap();
    variables[of_secret].1 = "Z2VoZWltLWdlaGVpbS1nZWhlaW0=";
    let refused = run(&variables, "list --from @");
    refused.fails(1, "the store refuses the credentials", "hint: check the access key");
    assert!(!refused.err.contains("Z2VoZWlt"), "{refused:?}");

    let options = cloud.server.options.iter().filter(|(name, _)| *name != secret);
    let mut storage = vec![format!("url = \"{}://{}\"", cloud.server.scheme, cloud.location)];
    storage.extend(options.map(|(name, value)| format!("{name} = \"{value}\"")));
    let storage = storage.join("\n");
    let write = |key: &str| {
        place.write("kronos.toml", &format!("[storages.main]\n{storage}\n{key}\n[jobs.app]\nsource = \"app.db\"\n"));
    };
    let value = cloud.server.options[secret].as_str();
    write(&format!("{secret}_env = \"THE_SECRET\""));
    for line in ["validate", "backup", "list", "list --from main", "restore latest --to x.db"] {
        let ran = place.run_with(&[("THE_SECRET", value)], &words(line, ""));
        assert_eq!(ran.code, 0, "{line}: {ran:?}");
        hides(&ran, &secrets(&cloud.server));
    }
    assert!(cloud.content("x.db") == cloud.content("app.db"));
    place.run(&["list"]).fails(2, "the variable is not set", "THE_SECRET");
    place.write("secret", &format!("{value}\n"));
    write(&format!("{secret}_file = \"secret\""));
    place.ok(&["backup"]);
    write(&format!("{secret}_file = \"secret\"\nconection = 4"));
    place.run(&["list"]).fails(2, "no such option", "hint: did you mean connections?");
    write(&format!("{secret} = \"{value}\""));
    assert_eq!(place.json(&["list"])["backups"].as_array().map(Vec::len), Some(3));
    // What is remembered of a storage is not its secrets.
    let known = fs::read_to_string(place.path("home/.local/state/kronos/known.json")).unwrap();
    assert!(known.contains(&cloud.location), "{known}");
    for file in place.files("home", "") {
        let text = String::from_utf8_lossy(&fs::read(&file).unwrap()).into_owned();
        assert!(secrets(&cloud.server).iter().all(|s| !text.contains(s)), "{}: {text}", file.display());
    }
}

/// One run into a cloud and a directory; one of them is down, and catches up.
fn several(cloud: &Cloud) {
    let place = &cloud.place;
    place.database("app.db", 500);
    cloud.ok("backup app.db --to @ --to local");
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let path = if cloud.server.name == "azure" { "/devstoreaccount1" } else { "" };
    let down = cloud.server.clone().with("endpoint", format!("http://127.0.0.1:{port}{path}")).url(&cloud.location);
    place.change("app.db", "DELETE FROM orders WHERE id > 400");
    for line in ["backup app.db --to @ --to local", "backup app.db --to local --to @"] {
        let ran = cloud.run_on(&down, line);
        assert_eq!(ran.code, 1, "{ran:?}");
        assert!(ran.out.contains("backed up to") && ran.out.contains("failed on"), "{ran:?}");
        assert!(ran.err.contains("the store cannot be reached"), "{ran:?}");
        hides(&ran, &secrets(&cloud.server));
    }
    place.write("full/notes.txt", "x");
    place.change("app.db", "DELETE FROM orders WHERE id > 300");
    let ran = cloud.run("backup app.db --to full --to @ --json");
    let shown: Value = serde_json::from_str(&ran.out).unwrap();
    let outcome = |n: usize| shown["jobs"][0]["storages"][n]["outcome"].as_str().unwrap();
    assert_eq!((ran.code, outcome(0), outcome(1)), (1, "failed", "backed-up"), "{ran:?}");

    let caught_up = cloud.json("backup app.db --to @ --to local");
    let storages = caught_up["jobs"][0]["storages"].as_array().unwrap();
    let numbers: Vec<u64> = storages.iter().map(|s| s["caught_up"].as_u64().unwrap()).collect();
    assert_eq!(numbers, [2, 1], "{caught_up}");
    let (ids, local) = (cloud.ids(""), count(&place.json(&["list", "--from", "local"]), "backups"));
    assert_eq!((ids.len(), local), (5, 5));
    cloud.is_clean();
    place.ok(&["check", "--read-data", "--from", "local"]);
    let database = cloud.content("app.db");
    cloud.restores("latest", database);
    cloud.ok(&format!("restore {} --from @ --to missed.db", ids[1]));
    assert_eq!(place.rows("missed.db"), 400, "a backup that only the directory got");
}

/// Two runs of one job at the same time, while the database is written to, from the very first one.
fn at_once(cloud: &Cloud) {
    const ROUNDS: usize = 3;
    let bank = Bank::found(cloud.place.path("bank.db"), "wal", 400);
    let writer = Writer::start(&bank, Duration::from_millis(5), Duration::from_secs(20));
    for round in 0..ROUNDS {
        let both = [0, 1].map(|_| cloud.spawn_on(&cloud.url, "backup bank.db --to @ --job bank"));
        for child in both {
            let ran = Ran::of(&child.wait_with_output().unwrap());
            assert_eq!(ran.code, 0, "round {round}: {ran:?}");
        }
        assert_eq!(cloud.ids("").len(), 2 * (round + 1), "round {round}");
    }
    drop(writer);
    cloud.is_clean();
    assert_eq!(bank.assert_all_whole(&cloud.place, &cloud.url), 2 * ROUNDS);
}

/// A backup is killed again and again, most often in the middle of an upload in parts.
fn killed(cloud: &Cloud) {
    let kills: u32 = variable("KRONOS_TEST_KILLS").map_or(8, |n| n.parse().unwrap());
    let bank = Bank::found(cloud.place.path("bank.db"), "wal", 2100);
    // The speed of the upload decides how long a run takes.
    let slowly = cloud.server.clone().with("upload_limit", "10MB/s").url(&cloud.location);
    let new_money = || cloud.place.change("bank.db", "UPDATE account SET note = randomblob(3900)");
    // A repository that is killed while it is made does not stand in the way of the next run.
    kill_after(cloud, &slowly, Duration::from_millis(300));
    cloud.ok("backup bank.db --to @ --accept-new-repository");
    new_money();
    let begun = Instant::now();
    cloud.place.ok(&words("backup bank.db --to @", &slowly));
    let (mut within, mut killed, mut in_parts, mut tries) = (begun.elapsed(), 0, 0, 0);
    let mut listed = cloud.ids("").len();
    while killed < kills {
        tries += 1;
        assert!(tries < 5 * kills, "only {killed} of {tries} runs were at work when they were to be killed");
        new_money();
        if kill_after(cloud, &slowly, within * (2 * killed + 1) / (2 * kills)) {
            killed += 1;
        } else {
            within = within * 4 / 5;
        }
        cloud.is_clean();
        let now = cloud.ids("").len();
        assert!(now >= listed, "a backup was lost");
        listed = now;
        // Azure forgets the parts of an upload that never ended by itself.
        if tries % 3 == 0 {
            in_parts += cloud.leftovers();
        }
    }
    let database = cloud.content("bank.db");
    cloud.ok("backup bank.db --to @");
    cloud.restores("latest", database);
    assert_eq!(bank.assert_all_whole(&cloud.place, &cloud.url), listed + 1);
    for _ in 0..3 {
        cloud.ok("prune --keep-last 1 --from @ --grace 0");
    }
    assert_eq!(cloud.objects("/runs/").0, 0, "nothing is left of the killed runs");
    assert!(cloud.server.name != "s3" || in_parts > 0, "no kill was in the middle of an upload");
    assert_eq!(cloud.leftovers(), 0, "a prune gives up uploads that nobody ends");
    cloud.is_clean();
    cloud.restores("latest", database);
}

/// Runs a backup and kills it after a while; tells whether it was still at work.
fn kill_after(cloud: &Cloud, url: &str, moment: Duration) -> bool {
    let mut command = cloud.place.command(&words("backup bank.db --to @ -q", url));
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    sleep(moment);
    let at_work = child.try_wait().unwrap().is_none();
    child.kill().unwrap();
    child.wait().unwrap();
    at_work
}

/// Who may only read lists, checks and restores, and is refused the rest.
fn reader(cloud: &Cloud) {
    let server = cloud.server.clone();
    let reader = if server.name == "s3" {
        let key = |name: &str| variable(&format!("KRONOS_TEST_S3_READER_{name}")).unwrap();
        server.with("access_key_id", key("ACCESS_KEY")).with("secret_access_key", key("SECRET_KEY"))
    } else {
        server.without("access_key").with("sas_token", variable("KRONOS_TEST_AZURE_READER_SAS").unwrap())
    };
    may_only_read(cloud, &reader);
}

/// Lists, checks and restores what somebody else has backed up, and tries what changes something.
fn may_only_read(cloud: &Cloud, reader: &Server) {
    cloud.place.database("app.db", 100);
    cloud.ok("backup app.db --to @");
    cloud.ok("backup app.db --to @");
    let (url, secrets) = (reader.url(&cloud.location), secrets(reader));
    let before = cloud.objects("");
    for line in
        ["list --from @", "check --read-data --from @", "restore latest --from @ --to x.db", "show latest --from @"]
    {
        let ran = cloud.run_on(&url, line);
        assert_eq!(ran.code, 0, "{line}: {ran:?}");
    }
    assert!(cloud.content("x.db") == cloud.content("app.db"));
    for line in [
        "backup app.db --to @ -v",
        "backup app.db --to @ --json",
        "backup app.db --to @ --job new",
        "hold latest --from @",
        "forget latest --from @",
        "prune --keep-last 1 --from @",
    ] {
        let ran = cloud.run_on(&url, line);
        ran.fails(1, "the store does not allow it", "hint: ");
        hides(&ran, &secrets);
    }
    let elsewhere = reader.url(&reader.fresh());
    cloud.run_on(&elsewhere, "backup app.db --to @").fails(1, "the store does not allow it", "hint: ");
    assert_eq!(cloud.objects(""), before, "nothing was changed");
    assert_eq!(cloud.ids("").len(), 2);
}

fn token(cloud: &Cloud) {
    let token = variable("KRONOS_TEST_AZURE_SAS").unwrap();
    let holder = Cloud::new(cloud.server.clone().without("access_key").with("sas_token", token.as_str()));
    holder.place.database("app.db", 100);
    let ran = holder.ok("backup app.db --to @ -v");
    hides(&ran, &secrets(&holder.server));
    holder.ok("backup app.db --to @");
    holder.is_clean();
    holder.ok("prune --keep-last 1 --from @ --grace 0");
    let database = holder.content("app.db");
    holder.restores("latest", database);
    let bare = holder.server.clone().without("sas_token").url(&holder.location);
    let ran = holder.place.run_with(&[("AZURE_STORAGE_SAS_TOKEN", &token)], &["list", "--from", &bare]);
    assert_eq!(ran.code, 0, "{ran:?}");
}

fn anonymously(cloud: &Cloud) {
    let bucket = variable("KRONOS_TEST_S3_PUBLIC_BUCKET").unwrap();
    let public = Cloud::new(Server { bucket, ..cloud.server.clone() });
    let nobody = public.server.clone().without("access_key_id").without("secret_access_key");
    may_only_read(&public, &nobody.clone().with("anonymous", "true"));
    let variables = [("AWS_EC2_METADATA_DISABLED", "true")];
    let ran = public.place.run_with(&variables, &["list", "--from", &nobody.url(&public.location)]);
    ran.fails(1, "no credentials", "anonymous=true");
}

/// In a bucket that keeps what is deleted, all goes on as elsewhere.
fn locked(cloud: &Cloud) {
    let bucket = variable("KRONOS_TEST_S3_LOCK_BUCKET").unwrap();
    let locked = Cloud::new(Server { bucket, ..cloud.server.clone() });
    locked.place.database("app.db", 1000);
    locked.place.change("app.db", "CREATE TABLE noise (bytes BLOB); INSERT INTO noise VALUES (randomblob(7000000))");
    locked.ok("backup app.db --to @");
    locked.place.change("app.db", "UPDATE noise SET bytes = randomblob(1000000)");
    let database = locked.content("app.db");
    locked.ok("backup app.db --to @");
    locked.is_clean();
    let pruned = locked.ok("prune --keep-last 1 --from @");
    assert!(pruned.out.contains("forgotten") && pruned.out.contains("after the grace time"), "{pruned:?}");
    locked.ok("prune --keep-last 1 --from @ --grace 0");
    locked.is_clean();
    assert_eq!(locked.ids("").len(), 1);
    locked.restores("latest", database);
    locked.ok("backup app.db --to @");
    locked.restores("latest~1", database);
}

/// The server dies in the middle of a backup, and starts again: who is patient goes on, and who is
/// not is told, and resumes.
fn server_killed(cloud: &Cloud) {
    let server = |action: &str| {
        let command = variable(&format!("KRONOS_TEST_S3_{action}")).unwrap();
        let output = Command::new("sh").args(["-c", &command]).output().unwrap();
        assert!(output.status.success(), "{command}: {output:?}");
    };
    let bank = Bank::found(cloud.place.path("bank.db"), "wal", 20_000);
    let database = cloud.content("bank.db");
    cloud.ok("init --to @");
    // Jobs share nothing: what one has stored is sent again by the other.
    for (job, attempts) in [("patient", 12), ("hasty", 2)] {
        cloud.place.write("kronos.toml", &format!("[retry]\nattempts = {attempts}\n"));
        let slowly = cloud.server.clone().with("upload_limit", "15MB/s").url(&cloud.location);
        let before = cloud.objects("/packs/");
        let mut child = cloud.spawn_on(&slowly, &format!("backup bank.db --to @ --job {job}"));
        while cloud.objects("/packs/").0 == before.0 {
            sleep(Duration::from_millis(20));
        }
        server("KILL");
        assert_eq!(child.try_wait().unwrap(), None, "it was at work");
        server("RESTART");
        let ran = Ran::of(&child.wait_with_output().unwrap());
        assert!(ran.err.contains("trying again"), "{ran:?}");
        if job == "patient" {
            assert_eq!(ran.code, 0, "{ran:?}");
            continue;
        }
        ran.fails(1, "", "hint: ");
        let left = cloud.objects("/packs/").1 - before.1;
        assert!(left >= 32 << 20 && cloud.ids("hasty").is_empty(), "{left} bytes are there");
        cloud.ok("backup bank.db --to @ --job hasty");
        let listing = cloud.json("list hasty --from @");
        let bytes = |name: &str| listing["backups"][0][name].as_u64().unwrap();
        let (read, stored) = (bytes("bytes_read"), bytes("bytes_stored"));
        assert!(stored + left <= read + read / 50, "{stored} bytes stored of {read}, {left} were there");
    }
    assert_eq!(bank.assert_all_whole(&cloud.place, &cloud.url), 2);
    cloud.restores("patient/latest", database);
    cloud.is_clean();
}
