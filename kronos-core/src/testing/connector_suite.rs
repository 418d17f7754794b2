//! What every connector promises, tried on a real one. A new engine joins with one fixture.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;

use crate::connector::{Connector, DumpRequest, Outline, Previous, PreviousStream, RestoreRequest};
use crate::error::{Error, ErrorKind, Result};
use crate::id::Digest;
use crate::run::RunContext;
use crate::stream::{Phase, Piece, Stream, StreamEnd, StreamId, StreamInfo};

/// A source or target under test.
#[derive(Debug, Clone)]
pub struct Subject {
    /// The connector.
    pub connector: Arc<dyn Connector>,
    /// Where it points, in words of the fixture: a path, a database's name.
    pub place: String,
}

/// What an engine brings to join the suite.
#[async_trait]
pub trait ConnectorFixture: fmt::Debug + Send + Sync {
    /// A new source with some data, in several streams if the engine can have them.
    async fn source(&self) -> Subject;
    /// Changes the data of a source.
    async fn mutate(&self, source: &Subject);
    /// A new target with nothing in it.
    async fn empty_target(&self) -> Subject;
    /// All that is stored in a source or target, read with other means than the connector's; equal
    /// for equal contents. Of an empty target: the same for all of them.
    async fn contents(&self, subject: &Subject) -> String;
    /// Whether two dumps of an unchanged source are equal byte for byte, not only in content.
    fn is_exact(&self) -> bool;
    /// Passwords that were given to the connectors and must be shown nowhere.
    fn secrets(&self) -> Vec<String>;
}

/// A dump in memory: streams by name, with their bytes and end marks.
type Dumped = BTreeMap<String, (StreamInfo, Vec<u8>, StreamEnd)>;

/// Tries everything that a [`Connector`] promises.
///
/// # Panics
///
/// With a line that says which promise was broken.
pub async fn connector_conformance(fixture: &dyn ConnectorFixture) {
    describes_itself(fixture).await;
    dumps_again_the_same(fixture).await;
    takes_over_what_is_unchanged(fixture).await;
    refuses_to_finish_early(fixture).await;
    lets_go_when_given_up(fixture).await;
    stops_when_cancelled(fixture).await;
    restores_what_was_dumped(fixture).await;
    never_overwrites_unasked(fixture).await;
    leaves_the_target_alone_after_a_failure(fixture).await;
    refuses_streams_that_are_not_whole(fixture).await;
}

async fn describes_itself(fixture: &dyn ConnectorFixture) {
    let source = fixture.source().await;
    let connector = &source.connector;
    ok("validate", connector.validate());
    assert!(!connector.describe().is_empty(), "describe: empty");
    assert!(!connector.default_job().is_empty(), "default_job: empty");
    assert_eq!(connector.engine().as_str(), connector.engine().to_string(), "engine: two names");

    let report = ok("test_connection", connector.test_connection().await);
    assert_eq!(report.status, crate::ConnectionStatus::Connected, "test_connection: {report:?}");
    assert!(report.version.is_some(), "test_connection: no version");
    let databases = ok("databases", connector.databases().await);
    assert!(!databases.is_empty(), "databases: none");
    let names: BTreeSet<_> = databases.iter().map(|d| &d.name).collect();
    assert_eq!(names.len(), databases.len(), "databases: a name twice");
    assert!(ok("estimate_size", connector.estimate_size().await) > 0, "estimate_size: 0");

    let first = ok("fingerprint", connector.fingerprint().await);
    fixture.mutate(&source).await;
    let second = ok("fingerprint", connector.fingerprint().await);
    assert_eq!(first.engine, connector.engine(), "fingerprint: another engine");
    assert!(first.is_same_source(&second), "fingerprint: new data make another source: {first:?} {second:?}");
    let other = ok("fingerprint", fixture.source().await.connector.fingerprint().await);
    assert!(!first.is_same_source(&other), "fingerprint: two sources are one: {first:?} {other:?}");

    let shown = format!("{connector:?} {} {} {report:?} {first:?}", connector.describe(), connector.default_job());
    for secret in fixture.secrets() {
        assert!(!shown.contains(&secret), "a secret is shown");
    }
}

async fn dumps_again_the_same(fixture: &dyn ConnectorFixture) {
    let source = fixture.source().await;
    let first = dump_all(&source.connector).await;
    let second = dump_all(&source.connector).await;
    let names = |dumped: &Dumped| dumped.keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(&first), names(&second), "dump: the names of streams change");
    if fixture.is_exact() {
        for (name, (_, bytes, _)) in &first {
            assert!(*bytes == second[name].1, "dump: stream {name} differs though nothing changed");
        }
    }
    assert_eq!(restored(fixture, &first).await, restored(fixture, &second).await, "dump: two dumps differ");
    fixture.mutate(&source).await;
    let third = dump_all(&source.connector).await;
    let same = |(name, stream): (&String, &(StreamInfo, Vec<u8>, StreamEnd))| {
        third.get(name).is_some_and(|other| other.2.digest == stream.2.digest)
    };
    assert!(third.len() != first.len() || !first.iter().all(same), "dump: a change was not read");
}

async fn takes_over_what_is_unchanged(fixture: &dyn ConnectorFixture) {
    let source = fixture.source().await;
    let run = RunContext::new();
    let started = run.now();
    let dumped = dump_all(&source.connector).await;
    // The change comes right after the dump: no proof may overlook it.
    fixture.mutate(&source).await;
    let streams =
        dumped.iter().map(|(name, (info, _, end))| (name.clone(), PreviousStream { info: info.clone(), end: *end }));
    let previous = Previous { started, read_in_full: started, streams: streams.collect() };
    let request = DumpRequest { previous: Some(previous), parallel: 1, ..DumpRequest::default() };
    let dump = ok("begin_dump", source.connector.begin_dump(&request, &run).await);
    let outline = dump.outline().clone();
    assert!(!outline.streams.iter().all(|s| s.unchanged), "dump: every stream is called unchanged after a change");
    let mut merged = dumped.clone();
    for (id, info) in ids(&outline).filter(|(_, info)| !info.unchanged) {
        let (bytes, end) = ok("read a stream", ok("open", dump.open(id).await).collect().await);
        merged.insert(info.name.clone(), (info.clone(), bytes, end));
    }
    ok("finish a dump with unchanged streams", dump.finish().await);
    merged.retain(|name, _| outline.streams.iter().any(|s| s.name == *name));
    let expected = fixture.contents(&source).await;
    assert_eq!(restored(fixture, &merged).await, expected, "dump: a stream called unchanged had changed");
}

async fn refuses_to_finish_early(fixture: &dyn ConnectorFixture) {
    let source = fixture.source().await;
    let begin =
        || async { ok("begin_dump", source.connector.begin_dump(&DumpRequest::default(), &RunContext::new()).await) };

    assert!(begin().await.finish().await.is_err(), "finish: well, though no stream was opened");

    // One stream is read up to its end mark, but not that (where lengths repeat; else one piece of
    // it), and the reader keeps it. All others are read whole: nothing but that mark is missing.
    let known = dump_all(&source.connector).await;
    let dump = begin().await;
    let mut kept = None;
    for (id, info) in ids(&dump.outline().clone()) {
        let mut stream = ok("open", dump.open(id).await);
        assert!(dump.open(id).await.is_err(), "open: the same stream twice");
        if kept.is_some() {
            ok("read a stream", stream.collect().await);
            continue;
        }
        let length = if fixture.is_exact() { known[&info.name].2.length } else { 1 };
        let mut read = 0;
        let mut ended = false;
        while read < length && !ended {
            match ok("next", stream.next().await) {
                Some(Piece::Data(data)) => read += data.len() as u64,
                _ => ended = true,
            }
        }
        kept = (!ended).then_some(stream);
    }
    assert!(kept.is_some(), "the source of the fixture has no stream with data");
    assert!(dump.finish().await.is_err(), "finish: well, though a stream was not read to its end");

    let dump = begin().await;
    for (id, _) in ids(&dump.outline().clone()) {
        drop(ok("open", dump.open(id).await));
    }
    assert!(dump.finish().await.is_err(), "finish: well, though the streams were dropped unread");

    let dump = begin().await;
    let beyond = StreamId(u32::try_from(dump.outline().streams.len()).expect("few streams"));
    assert!(dump.open(beyond).await.is_err(), "open: a stream that is not in the outline");
    dump.abort().await;
}

async fn lets_go_when_given_up(fixture: &dyn ConnectorFixture) {
    let source = fixture.source().await;
    for drop_it in [false, true] {
        let dump = ok("begin_dump", source.connector.begin_dump(&DumpRequest::default(), &RunContext::new()).await);
        let mut stream = ok("open", dump.open(StreamId(0)).await);
        ok("next", stream.next().await);
        if drop_it {
            drop(dump);
        } else {
            dump.abort().await;
        }
        drop(stream);
        // Whatever was held would be in the way now.
        fixture.mutate(&source).await;
        let dumped = dump_all(&source.connector).await;
        assert_eq!(restored(fixture, &dumped).await, fixture.contents(&source).await, "dump after a given up one");
    }
}

async fn stops_when_cancelled(fixture: &dyn ConnectorFixture) {
    let source = fixture.source().await;
    let run = RunContext::new();
    run.cancel.cancel();
    let begun = source.connector.begin_dump(&DumpRequest::default(), &run).await;
    let kind = begun.err().map(|e| e.kind());
    assert_eq!(kind, Some(ErrorKind::Cancelled), "begin_dump: goes on in a cancelled run");
}

async fn restores_what_was_dumped(fixture: &dyn ConnectorFixture) {
    let source = fixture.source().await;
    let expected = fixture.contents(&source).await;
    let dumped = dump_all(&source.connector).await;
    assert_eq!(restored(fixture, &dumped).await, expected, "restore: not what was dumped");
    assert_eq!(fixture.contents(&source).await, expected, "dump: the source was changed by it");
    // What was restored is a source like any other.
    let target = fixture.empty_target().await;
    ok("restore", restore(&target, &dumped, false).await);
    let report = ok("inspect_target", target.connector.inspect_target(&request(&dumped, false)).await);
    assert!(!report.existing.is_empty(), "inspect_target: does not see what was restored");
}

async fn never_overwrites_unasked(fixture: &dyn ConnectorFixture) {
    let source = fixture.source().await;
    let dumped = dump_all(&source.connector).await;
    let target = fixture.empty_target().await;
    ok("restore", restore(&target, &dumped, false).await);
    let before = fixture.contents(&target).await;
    fixture.mutate(&source).await;
    let newer = dump_all(&source.connector).await;
    let kind = restore(&target, &newer, false).await.err().map(|e| e.kind());
    assert_eq!(kind, Some(ErrorKind::AlreadyExists), "restore: over what exists, without being asked to");
    assert_eq!(fixture.contents(&target).await, before, "restore: refused, but the target is another");
    ok("restore with replace", restore(&target, &newer, true).await);
    assert_eq!(fixture.contents(&target).await, fixture.contents(&source).await, "restore with replace");
}

async fn leaves_the_target_alone_after_a_failure(fixture: &dyn ConnectorFixture) {
    let source = fixture.source().await;
    let dumped = dump_all(&source.connector).await;
    let full = fixture.empty_target().await;
    ok("restore", restore(&full, &dumped, false).await);
    fixture.mutate(&source).await;
    let newer = dump_all(&source.connector).await;
    for (target, replace) in [(fixture.empty_target().await, false), (full, true)] {
        let before = fixture.contents(&target).await;
        let begin = || async {
            ok("begin_restore", target.connector.begin_restore(&request(&newer, replace), &RunContext::new()).await)
        };
        let (info, bytes, _) = newer.values().next().expect("a dump has streams").clone();
        let half = bytes[..bytes.len() / 2].to_vec();
        let failing = || {
            let pieces = vec![Ok(Piece::Data(half.clone().into())), Err(Error::new(ErrorKind::Io, "on purpose"))];
            Stream::new(info.clone(), futures::stream::iter(pieces)).checked()
        };
        let stopping =
            Stream::new(info.clone(), futures::stream::iter([Ok(Piece::Data(half.clone().into()))])).checked();

        for how in ["abort", "drop", "finish"] {
            let half_done = begin().await;
            assert!(half_done.write(failing()).await.is_err(), "write: well, though its stream failed");
            match how {
                "abort" => half_done.abort().await,
                "finish" => assert!(half_done.finish().await.is_err(), "finish: well, though a stream failed"),
                _ => drop(half_done),
            }
            assert_eq!(
                fixture.contents(&target).await,
                before,
                "restore: {how} after a failure, the target is another"
            );
        }
        let half_done = begin().await;
        assert!(half_done.write(stopping).await.is_err(), "write: well, though its stream has no end mark");
        half_done.abort().await;
        assert!(begin().await.finish().await.is_err(), "finish: well, though no stream was written");
        assert_eq!(fixture.contents(&target).await, before, "restore: failed, but the target is another");
        ok("restore after failures", restore(&target, &newer, replace).await);
        assert_eq!(fixture.contents(&target).await, fixture.contents(&source).await, "restore after failures");
    }
}

async fn refuses_streams_that_are_not_whole(fixture: &dyn ConnectorFixture) {
    let source = fixture.source().await;
    let dumped = dump_all(&source.connector).await;
    let (info, bytes, end) = dumped.values().next().expect("a dump has streams").clone();
    let other = Digest::of(b"something else");
    // The end mark speaks of other bytes, and the backup's record may be wrong in the same way: the
    // bytes decide. Or the stream is whole, and the backup holds another one.
    for (sent, recorded) in [
        (StreamEnd { digest: other, ..end }, StreamEnd { digest: other, ..end }),
        (StreamEnd { length: end.length + 1, ..end }, end),
        (end, StreamEnd { digest: other, ..end }),
        (end, StreamEnd { length: end.length + 1, ..end }),
    ] {
        let target = fixture.empty_target().await;
        let before = fixture.contents(&target).await;
        let mut request = request(&dumped, false);
        request.streams.iter_mut().filter(|s| s.info.name == info.name).for_each(|s| s.end = recorded);
        let begun = match target.connector.begin_restore(&request, &RunContext::new()).await {
            Ok(begun) => begun,
            // A length that cannot be is seen earlier by some.
            Err(_) if recorded.length != end.length => continue,
            Err(e) => panic!("begin_restore: {e}"),
        };
        let pieces = vec![Ok(Piece::Data(bytes.clone().into())), Ok(Piece::End(sent))];
        let written = begun.write(Stream::new(info.clone(), futures::stream::iter(pieces)).checked()).await;
        assert!(written.is_err(), "write: well, though {sent:?} came instead of {recorded:?}");
        begun.abort().await;
        assert_eq!(fixture.contents(&target).await, before, "restore: refused, but the target is another");
    }
}

/// Dumps everything, as many streams at a time as the connector allows.
async fn dump_all(connector: &Arc<dyn Connector>) -> Dumped {
    let run = RunContext::new();
    let at_once = if connector.capabilities().parallel { run.limits.parallel } else { 1 };
    let wanted = DumpRequest { parallel: at_once, ..DumpRequest::default() };
    let dump = ok("begin_dump", connector.begin_dump(&wanted, &run).await);
    let outline = dump.outline().clone();
    let names: BTreeSet<_> = outline.streams.iter().map(|s| &s.name).collect();
    assert!(!names.is_empty() && names.len() == outline.streams.len(), "outline: no streams, or a name twice");
    assert!(outline.streams.iter().all(|s| !s.unchanged), "outline: unchanged, with nothing to compare with");

    let mut dumped = Dumped::new();
    let mut ends = BTreeMap::new();
    let all: Vec<_> = ids(&outline).collect();
    for group in all.chunks(at_once) {
        let mut open = Vec::new();
        for (id, info) in group {
            let stream = ok("open", dump.open(*id).await);
            assert_eq!(stream.info().name, info.name, "open: another stream");
            open.push(async move { (*id, ok("read a stream", stream.collect().await)) });
        }
        for ((id, (bytes, end)), (_, info)) in futures::future::join_all(open).await.into_iter().zip(group) {
            let read = (bytes.len() as u64, Digest::of(&bytes));
            assert_eq!((end.length, end.digest), read, "stream {}: its end mark is not of its bytes", info.name);
            ends.insert(id, end);
            dumped.insert(info.name.clone(), ((*info).clone(), bytes, end));
        }
    }
    let checkpoint = ok("finish", dump.finish().await);
    assert_eq!(checkpoint.streams, ends, "checkpoint: not the end marks of the streams");
    dumped
}

fn ids(outline: &Outline) -> impl Iterator<Item = (StreamId, &StreamInfo)> {
    (0..).map(StreamId).zip(&outline.streams)
}

fn request(dumped: &Dumped, replace: bool) -> RestoreRequest {
    let stream = |(info, _, end): &(StreamInfo, Vec<u8>, StreamEnd)| PreviousStream { info: info.clone(), end: *end };
    RestoreRequest { replace, ..RestoreRequest::new(dumped.values().map(stream).collect()) }
}

async fn restore(target: &Subject, dumped: &Dumped, replace: bool) -> Result<()> {
    let restore = target.connector.begin_restore(&request(dumped, replace), &RunContext::new()).await?;
    for phase in [Phase::Before, Phase::Data, Phase::After] {
        let streams = dumped.values().filter(|(info, ..)| info.phase == phase);
        let writes = streams.map(|(info, bytes, end)| {
            let pieces = bytes.chunks(100_000).map(|piece| Ok(Piece::Data(piece.to_vec().into())));
            let pieces: Vec<_> = pieces.chain([Ok(Piece::End(*end))]).collect();
            restore.write(Stream::new(info.clone(), futures::stream::iter(pieces)).checked())
        });
        futures::future::try_join_all(writes).await?;
    }
    restore.finish().await.map(drop)
}

/// The contents of a fresh target after a restore.
async fn restored(fixture: &dyn ConnectorFixture, dumped: &Dumped) -> String {
    let target = fixture.empty_target().await;
    let report = ok("inspect_target", target.connector.inspect_target(&request(dumped, false)).await);
    assert!(report.existing.is_empty() && report.obstacles.is_empty(), "inspect_target: of an empty one: {report:?}");
    ok("restore", restore(&target, dumped, false).await);
    fixture.contents(&target).await
}

fn ok<T>(what: &str, result: Result<T>) -> T {
    match result {
        Ok(value) => value,
        Err(error) => panic!("{what}: {error:?}"),
    }
}
