//! Sessions and cursors of a dump that ends before it is over: dropped, aborted, or with the program.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Command, Stdio};
use std::time::Duration;

use kronos_connectors::mongodb::{Changes, MongodbSource};
use kronos_core::{Connector, Dump, DumpRequest, RunContext, Stream, StreamId};
use libtest_mimic::Trial;
use mongodb::bson::{Document, doc, rawdoc};

use crate::leaving::counts;
use crate::server::{Database, Server, back_up, block_on, on, repository};
use crate::wire::{Heard, Wire};

/// Tells a process of these tests to be a dump that is never over: a port, and a database.
const ENDLESS: &str = "KRONOS_TEST_MONGODB_ENDLESS_DUMP";

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        on("sessions::whatever_ends_a_dump_ends_its_sessions", ended),
        on("sessions::of_a_program_that_is_killed", killed),
    ]
}

/// Documents some of which do not come all at once, so that cursors stay open.
async fn large(server: &Server) -> Database {
    let source = server.new_database();
    for n in 0..12_i32 {
        let body = format!("{:?}", kronos_core::Digest::of(&n.to_le_bytes())).repeat(12_000);
        source.insert("a", vec![rawdoc! { "_id": n, "body": body }]).await;
    }
    source.insert("b", vec![rawdoc! { "_id": 1 }]).await;
    source.run(doc! { "create": "tick" }).await;
    source
}

/// Both at a time, and what is written meanwhile.
fn from(source: &Database, port: u16) -> MongodbSource {
    source.with(|settings| {
        settings.hosts = vec![format!("127.0.0.1:{port}")];
        settings.changes = Changes::ChangeStream;
    })
}

/// A dump in the middle of its streams.
async fn begun(source: &MongodbSource) -> (Box<dyn Dump>, Vec<Stream>) {
    let request = DumpRequest { parallel: 4, ..DumpRequest::default() };
    let dump = source.begin_dump(&request, &RunContext::new()).await.unwrap();
    let (mut streams, outline) = (Vec::new(), dump.outline().clone());
    let is_read = |name: &str| name.contains(".a") || name.contains(".b");
    for (n, _) in outline.streams.iter().enumerate().filter(|(_, info)| is_read(&info.name)).take(4) {
        let mut stream = dump.open(StreamId(u32::try_from(n).unwrap())).await.unwrap();
        stream.next().await.unwrap();
        streams.push(stream);
    }
    assert!(streams.len() > 1);
    (dump, streams)
}

/// Someone writes all the while: an idle change stream may not tell how far it is.
pub(crate) fn writing(source: &Database) -> tokio::task::JoinHandle<()> {
    let other = source.server.client.database(&source.name).collection::<Document>("tick");
    tokio::spawn(async move {
        loop {
            other.insert_one(doc! {}).await.unwrap();
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
}

async fn ended(server: Server) {
    let source = large(&server).await;
    for way in ["finished", "dropped", "streams last", "aborted", "future dropped"] {
        let wire = Wire::before(server.port());
        let from = from(&source, wire.port);
        let writing = writing(&source);
        match way {
            "finished" => drop(back_up(&repository().await, &from).await.unwrap()),
            "future dropped" => {
                let repository = repository().await;
                let mut backup = std::pin::pin!(back_up(&repository, &from));
                // In the middle of documents. A cursor that is only being opened nobody could end.
                while wire.heard(|heard| heard.continued == 0) {
                    let step = tokio::time::timeout(Duration::from_millis(1), &mut backup);
                    assert!(step.await.is_err(), "it was over too soon");
                }
            }
            _ => {
                let (dump, streams) = begun(&from).await;
                assert!(wire.heard(|heard| !heard.open.is_empty()));
                match way {
                    "dropped" => drop((streams, dump)),
                    "streams last" => drop((dump, streams)),
                    _ => dump.abort().await,
                }
            }
        }
        drop(from);
        writing.abort();
        let is_over = |heard: &Heard| heard.open.is_empty() && heard.ended.is_superset(&heard.sessions);
        for _ in 0..200 {
            if wire.heard(is_over) {
                break;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        wire.heard(|heard| {
            assert!(heard.opened > 0 && !heard.sessions.is_empty(), "{way}: nothing was heard");
            let left = heard.sessions.difference(&heard.ended).count();
            assert!(
                is_over(heard),
                "{way}: left of {} sessions {left}, cursors {:?}",
                heard.sessions.len(),
                heard.open
            );
        });
    }
}

/// Nobody can end anything then: the server does, which it may.
async fn killed(server: Server) {
    let source = large(&server).await;
    let before = counts(&server).await;
    let wire = Wire::before(server.port());
    let writing = writing(&source);
    let program = std::env::current_exe().unwrap();
    let told = format!("{} {}", wire.port, source.name);
    let mut child = Command::new(program).env(ENDLESS, told).stdout(Stdio::piped()).spawn().unwrap();
    let said = BufReader::new(child.stdout.take().unwrap()).lines().next().unwrap().unwrap();
    assert_eq!(said, "reading");
    let during = counts(&server).await;
    assert!(during.1 > before.1, "{during:?}, before {before:?}");
    child.kill().unwrap();
    child.wait().unwrap();
    writing.abort();
    let mut left = counts(&server).await;
    for _ in 0..100 {
        if left.1 <= before.1 + 1 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
        left = counts(&server).await;
    }
    assert!(left.1 <= before.1 + 1, "{left:?}, before {before:?}");
    // The server ends cursors and sessions by itself once they are idle, unless it was told not to.
    wire.heard(|heard| assert!(heard.opened > 0 && heard.endless == 0, "{heard:?}"));
}

/// Is such a dump, if it was told so.
pub(crate) fn be_endless() {
    let Ok(told) = std::env::var(ENDLESS) else { return };
    let (port, name) = told.split_once(' ').unwrap();
    block_on(async {
        let server = Server::open().await;
        let source = server.database_like(name);
        let _held = begun(&from(&source, port.parse().unwrap())).await;
        let mut out = std::io::stdout();
        out.write_all(b"reading\n").unwrap();
        out.flush().unwrap();
        std::future::pending::<()>().await;
    });
}
