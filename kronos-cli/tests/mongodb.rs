//! The real program on a real MongoDB server: from the URL to the restored database, logins, what is
//! wrong.
#![allow(missing_docs, clippy::unwrap_used)]

mod common;
#[path = "mongodb/killed.rs"]
mod killed;
#[path = "../../kronos-connectors/tests/common/proxy.rs"]
mod proxy;
#[path = "../../kronos-connectors/tests/mongodb/sample.rs"]
mod sample;
#[allow(dead_code, reason = "the connector's own tests use the rest")]
#[path = "../../kronos-connectors/tests/mongodb/server.rs"]
mod server;

use common::Place;
use libtest_mimic::{Arguments, Trial};
use mongodb::bson::{doc, rawdoc};
use server::{Database, Server, assert_same, on};

fn main() {
    let mut trials =
        vec![on("from_a_url_and_back", life), on("the_sample", the_sample), on("wrong_ones_are_told", wrong)];
    trials.push(match (variable("URL"), variable("USER"), variable("PASSWORD")) {
        (Ok(url), Ok(user), Ok(password)) => Trial::test("logins", move || {
            logins(&url, &user, &password);
            Ok(())
        }),
        (Err(reason), ..) | (_, Err(reason), _) | (.., Err(reason)) if server::is_required() => {
            Trial::test("logins", move || Err(reason.into()))
        }
        (Err(reason), ..) | (_, Err(reason), _) | (.., Err(reason)) => {
            Trial::test(format!("logins ({reason})"), || Ok(())).with_ignored_flag(true)
        }
    });
    trials.extend(killed::trials());
    libtest_mimic::run(&Arguments::from_args(), trials).exit();
}

fn variable(name: &str) -> Result<String, String> {
    let name = format!("KRONOS_TEST_MONGODBAUTH_{name}");
    std::env::var(&name).map_err(|_| format!("{name} is not set: scripts/servers"))
}

/// The URL of a database. `SecantusDB` does not tell how far an idle change stream is.
fn url(database: &Database) -> String {
    let changes = if database.server.is_silent { "&changes=none" } else { "" };
    format!("mongodb://{}/{}?directConnection=true{changes}", database.server.host, database.name)
}

async fn life(server: Server) {
    let (place, source, target) = (Place::new(), server.new_database(), server.new_database());
    source.insert("orders", (0..500).map(|n| rawdoc! { "_id": n, "x": format!("{n}") }).collect()).await;
    source.run(doc! { "create": "v", "viewOn": "orders", "pipeline": [{ "$match": { "_id": 1 } }] }).await;
    let ok = |args: &[&str]| {
        let ran = place.run_with(&[], args);
        assert!(ran.code == 0 || ran.code == 3, "kronos {args:?}\n{}\n{}", ran.out, ran.err);
        ran
    };
    ok(&["backup", &url(&source), "--to", "repo"]);
    ok(&["backup", &url(&source), "--to", "repo", "--strategy", "incremental"]);
    assert!(ok(&["list", "--from", "repo"]).out.contains(&source.name));
    ok(&["restore", "latest", "--from", "repo", "--to", &url(&target), "--dry-run"]);
    assert!(target.names().await.is_empty(), "a dry run makes nothing");
    ok(&["restore", "latest", "--from", "repo", "--to", &url(&target)]);
    assert_same(&target.all().await, &source.all().await, "restored");
    let there = place.run_with(&[], &["restore", "latest", "--from", "repo", "--to", &url(&target)]);
    assert!(there.code == 1 && there.err.contains("--replace"), "{there:?}");
    ok(&["restore", "latest", "--from", "repo", "--to", &url(&target), "--replace"]);
    assert_same(&target.all().await, &source.all().await, "replaced");
}

async fn the_sample(server: Server) {
    let (place, source, target) = (Place::new(), server.new_database(), server.new_database());
    let collections = sample::fill(&source).await;
    for args in [
        ["backup", &url(&source), "--to", "repo", "--quiet", "--tag", "sample=chinook"],
        ["restore", "latest", "--from", "repo", "--to", &url(&target), "--quiet"],
    ] {
        let ran = place.run_with(&[], &args);
        assert!(ran.code == 0 || ran.code == 3, "kronos {args:?}\n{}\n{}", ran.out, ran.err);
    }
    for name in &collections {
        assert!(target.documents(name).await == source.documents(name).await, "{name}");
    }
    assert_same(&target.all().await, &source.all().await, "the sample");
}

async fn wrong(server: Server) {
    let (place, source) = (Place::new(), server.new_database());
    source.insert("t", vec![rawdoc! { "_id": 1 }]).await;
    let told = |url: &str, code: i32, says: &str| {
        let ran = place.run_with(&[], &["backup", url, "--to", "repo"]);
        assert!(ran.code == code && ran.err.contains(says) && !ran.err.contains("s3cret"), "{url}: {ran:?}");
    };
    let host = &server.host;
    told(&format!("mongodb://{host}/nowhere_{}?directConnection=true", source.name), 5, "no such database");
    told(&format!("mongodb://{host}/{}?chnages=none", source.name), 2, "changes");
    told(&format!("mongodb://{host}/admin"), 2, "the server's own");
    told("mongodb://me:s3cret@127.0.0.1:9/x?connect_timeout=1", 1, "no server answers");
}

fn logins(url: &str, user: &str, password: &str) {
    let place = Place::new();
    let host = url.split("://").nth(1).unwrap().split('/').next().unwrap();
    let encoded: String = password.bytes().flat_map(|b| ["%".to_owned(), format!("{b:02X}")]).collect();
    let backup = |login: &str| {
        let url = format!("mongodb://{login}{host}/nothing_here?directConnection=true&changes=none");
        let ran = place.run_with(&[], &["backup", &url, "--to", "repo"]);
        assert!(
            !ran.out.contains(password) && !ran.err.contains(password) && !ran.err.contains(&encoded),
            "a secret is shown"
        );
        ran
    };
    let right = backup(&format!("{user}:{encoded}@"));
    assert!(right.code == 5 && right.err.contains("no such database"), "logged in: {right:?}");
    let wrong = backup(&format!("{user}:wrong@"));
    assert!(wrong.code == 1 && wrong.err.contains("auth_database"), "{wrong:?}");
    let nobody = backup("");
    assert!(nobody.code == 1, "{nobody:?}");
}
