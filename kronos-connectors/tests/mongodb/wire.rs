//! Listens between a client and the server: which sessions and cursors a client has begun there, and
//! which of them it has ended. And refuses what a user may not do, where the server lets everyone, or
//! loses an answer.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use mongodb::bson::{Bson, Document, RawDocument, doc};

/// The kind of message that commands and answers come in.
const OP_MSG: i32 = 2013;

/// What was said.
#[derive(Debug, Default)]
pub(crate) struct Heard {
    pub(crate) sessions: BTreeSet<Vec<u8>>,
    pub(crate) ended: BTreeSet<Vec<u8>>,
    /// Cursors that nobody has ended or read to the end.
    pub(crate) open: BTreeSet<i64>,
    /// How many there have been.
    pub(crate) opened: usize,
    /// How often documents were asked for after the first ones.
    pub(crate) continued: usize,
    /// Commands that ask for cursors without an end.
    pub(crate) endless: usize,
    /// The request whose answer is lost.
    lost: Option<i32>,
    /// Which cursor a request is about.
    asked: BTreeMap<i32, i64>,
}

/// Whether a command is one of those.
type Is = fn(&Document) -> bool;

#[derive(Clone, Copy)]
struct Troubles {
    refuses: Is,
    loses: Is,
}

/// Between both, until it is dropped.
pub(crate) struct Wire {
    pub(crate) port: u16,
    heard: Arc<Mutex<Heard>>,
    is_over: Arc<AtomicBool>,
}

impl Wire {
    pub(crate) fn before(server: u16) -> Self {
        Self::with(server, Troubles { refuses: |_| false, loses: |_| false })
    }

    /// As a server does to a user who lacks a role.
    pub(crate) fn refusing(server: u16, refuses: Is) -> Self {
        Self::with(server, Troubles { refuses, loses: |_| false })
    }

    /// The first of these commands is carried out, and its answer never comes.
    pub(crate) fn losing(server: u16, loses: Is) -> Self {
        Self::with(server, Troubles { refuses: |_| false, loses })
    }

    fn with(server: u16, troubles: Troubles) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let (heard, is_over) = (Arc::<Mutex<Heard>>::default(), Arc::<AtomicBool>::default());
        let (log, is_done) = (heard.clone(), is_over.clone());
        std::thread::spawn(move || {
            while let Ok((client, _)) = listener.accept() {
                if is_done.load(Ordering::Acquire) {
                    return;
                }
                let Ok(upstream) = TcpStream::connect(("127.0.0.1", server)) else { continue };
                let there = (client.try_clone().unwrap(), upstream.try_clone().unwrap());
                let (said, answered) = (log.clone(), log.clone());
                std::thread::spawn(move || pump(Some(troubles), there.0, there.1, &said));
                std::thread::spawn(move || pump(None, upstream, client, &answered));
            }
        });
        Self { port, heard, is_over }
    }

    pub(crate) fn heard<T>(&self, look: impl FnOnce(&Heard) -> T) -> T {
        look(&self.heard.lock().unwrap())
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Release);
        // So that the listener wakes up.
        let _ = TcpStream::connect(("127.0.0.1", self.port));
    }
}

/// Passes on what a client says, which may be refused, or what the server answers.
fn pump(client: Option<Troubles>, mut from: TcpStream, mut into: TcpStream, log: &Mutex<Heard>) {
    loop {
        let mut prefix = [0; 16];
        if from.read_exact(&mut prefix).is_err() {
            break;
        }
        let number = |at: usize| i32::from_le_bytes(*prefix[at..].first_chunk().unwrap());
        let mut message = vec![0; usize::try_from(number(0)).unwrap() - prefix.len()];
        if from.read_exact(&mut message).is_err() {
            break;
        }
        if number(12) == OP_MSG && message.get(4) == Some(&0) {
            // Others may follow, of which nothing is needed here.
            let length = i32::from_le_bytes(*message[5..].first_chunk().unwrap());
            let document = &message[5..5 + usize::try_from(length).unwrap()];
            let document = Document::try_from(RawDocument::from_bytes(document).unwrap()).unwrap();
            let mut heard = log.lock().unwrap();
            match client {
                Some(troubles) if (troubles.refuses)(&document) => {
                    if from.write_all(&refusal(number(4))).is_err() {
                        break;
                    }
                    continue;
                }
                Some(troubles) => {
                    if (troubles.loses)(&document) {
                        heard.lost.get_or_insert(number(4));
                    }
                    heard.command(number(4), &document);
                }
                None if heard.lost == Some(number(8)) => continue,
                None => heard.answer(number(8), &document),
            }
        }
        if into.write_all(&prefix).and_then(|()| into.write_all(&message)).is_err() {
            break;
        }
    }
    let _ = into.shutdown(Shutdown::Both);
    let _ = from.shutdown(Shutdown::Both);
}

fn refusal(to: i32) -> Vec<u8> {
    let answer = doc! { "ok": 0.0, "errmsg": "not authorized", "code": 13, "codeName": "Unauthorized" };
    let body = answer.to_vec().unwrap();
    let length = i32::try_from(16 + 5 + body.len()).unwrap();
    let mut message: Vec<u8> = [length, 0, to, OP_MSG, 0].into_iter().flat_map(i32::to_le_bytes).collect();
    message.push(0);
    message.extend(body);
    message
}

impl Heard {
    pub(crate) fn has_lost(&self) -> bool {
        self.lost.is_some()
    }

    fn command(&mut self, number: i32, command: &Document) {
        let id = |session: &Document| match session.get("id") {
            Some(Bson::Binary(id)) => id.bytes.clone(),
            other => panic!("{other:?} is no session"),
        };
        if let Ok(session) = command.get_document("lsid") {
            self.sessions.insert(id(session));
        }
        if let Ok(ended) = command.get_array("endSessions") {
            self.ended.extend(ended.iter().map(|session| id(session.as_document().unwrap())));
        }
        if let Ok(cursors) = command.get_array("cursors") {
            self.open.retain(|open| !cursors.iter().any(|cursor| cursor.as_i64() == Some(*open)));
        }
        if let Ok(cursor) = command.get_i64("getMore") {
            self.asked.insert(number, cursor);
            // Changes are not of a collection.
            self.continued += usize::from(!command.get_str("collection").is_ok_and(|of| of == "$cmd.aggregate"));
        }
        self.endless += usize::from(command.contains_key("noCursorTimeout"));
    }

    fn answer(&mut self, to: i32, answer: &Document) {
        let asked = self.asked.remove(&to);
        let Ok(id) = answer.get_document("cursor").and_then(|cursor| cursor.get_i64("id")) else { return };
        match (id, asked) {
            (0, read) => self.open.retain(|open| Some(*open) != read),
            (id, _) => self.opened += usize::from(self.open.insert(id)),
        }
    }
}
