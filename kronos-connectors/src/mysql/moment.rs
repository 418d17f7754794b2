//! One moment of a server, seen by several sessions: snapshots that are opened while no transaction
//! can commit, or opened again until all are of one place in the binary log; or just one.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use futures::future::try_join_all;
use kronos_core::{Error, ErrorKind, Event, Result, Retry, RunContext};

use super::catalog;
use super::connect::Session;
use super::error::{has_code, internal};
use super::guard::{Guard, patience};
use super::place::Place;
use super::settings::{Consistency, MysqlSettings};

/// Names of databases with those of what is in them.
pub(super) type Names = BTreeMap<String, BTreeSet<String>>;

/// What a session sees from then on is what was committed before.
const SNAPSHOT: &str = "START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY";
/// How often it is tried to hold commits back. In between, others get through.
const LOCKS: u32 = 3;
/// How often snapshots are opened again until they are of one place.
const OPENINGS: u32 = 30;
/// A statement that has been running for so many seconds may run for many more.
const LONG: u32 = 2;
/// How often it is looked whether such statements have ended, twice a second.
const WAITS: u32 = 10;
/// What may be done only by users with certain rights is refused with these.
const DENIED: [u16; 4] = [1044, 1045, 1142, 1227];

/// How it went when nobody had to wait.
const COMPARED: &str =
    "commits were not held back: the snapshots were compared, and are of one place in the binary log";

/// What a user of MariaDB with fewer rights is told.
const LOCKED_LONG: &str = "tables that were read stay locked against ALTER TABLE and the like until the backup ends, and \
    who waits for that lock keeps others waiting: GRANT BINLOG ADMIN ON *.*";

/// Sessions that see the same state.
#[derive(Debug)]
pub(super) struct Moment {
    pub sessions: Vec<Session>,
    /// Keeps others from changing tables (MySQL); nothing else.
    pub guard: Option<Session>,
    pub place: Option<Place>,
    /// How long commits were held back.
    pub held: Option<Duration>,
    /// What there was at the moment: tables, views, sequences.
    pub names: Names,
    pub warnings: Vec<String>,
    pub notices: Vec<String>,
}

/// Opens so many snapshots of one moment, of these databases.
pub(super) async fn open(
    settings: &MysqlSettings,
    databases: &[String],
    count: usize,
    run: &RunContext,
) -> Result<Moment> {
    let mut holder = settings.open().await?;
    let sessions = try_join_all((0..count.max(1)).map(|_| settings.open())).await?;
    let mut moment = Moment {
        sessions,
        guard: None,
        place: None,
        held: None,
        names: databases.iter().map(|database| (database.clone(), BTreeSet::new())).collect(),
        warnings: Vec::new(),
        notices: Vec::new(),
    };
    for session in &mut moment.sessions {
        if !let_go(session).await? {
            moment.notices.push(LOCKED_LONG.to_owned());
            break;
        }
    }
    let mut is_guarded = guard(&mut holder, &mut moment.notices).await?;
    match settings.consistency {
        Consistency::Nothing => {
            // One after another, as slowly as it may come on a busy server.
            for session in &mut moment.sessions {
                session.run("open a snapshot", SNAPSHOT).await?;
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            moment.place = Place::now(&mut holder).await?;
        }
        Consistency::Positions => compare(&mut holder, &mut moment, run).await?,
        Consistency::Lock => holder = hold(settings, holder, &mut moment, run).await?,
        // MySQL's way to hold commits back makes others wait for those who read; MariaDB's does not.
        Consistency::Auto if !holder.server.is_mariadb && Place::of_all(&mut holder).await.is_ok() => {
            match compare(&mut holder, &mut moment, run).await {
                Err(error) if error.kind() == ErrorKind::Conflict => {
                    holder = hold(settings, holder, &mut moment, run).await?;
                }
                done => done?,
            }
        }
        Consistency::Auto => match hold(settings, holder, &mut moment, run).await {
            Ok(held) => holder = held,
            Err(error) if has_code(&error, &DENIED) => {
                holder = settings.open().await?;
                is_guarded = is_guarded && guard(&mut holder, &mut Vec::new()).await?;
                let grant = grant(&holder);
                let message = error.message();
                moment
                    .notices
                    .push(format!("commits were not held back, as the user may not do that ({message}): {grant}"));
                compare(&mut holder, &mut moment, run).await?;
            }
            // There is another way, where snapshots can be compared.
            Err(error) if error.kind() == ErrorKind::Locked => {
                holder = settings.open().await?;
                is_guarded = is_guarded && guard(&mut holder, &mut Vec::new()).await?;
                moment.notices.push(format!("commits were not held back: {}", error.message()));
                compare(&mut holder, &mut moment, run).await?;
                if moment.place.is_none() {
                    return Err(error);
                }
            }
            Err(error) => return Err(error),
        },
    }
    if moment.held.is_none() {
        list(&mut holder, &mut moment.names).await?;
    }
    if is_guarded {
        moment.guard = Some(holder);
    } else {
        holder.close().await;
    }
    Ok(moment)
}

/// The right to hold commits back.
pub(super) fn grant(session: &Session) -> &'static str {
    if session.server.is_mariadb { "GRANT RELOAD ON *.*" } else { "GRANT RELOAD, BACKUP_ADMIN ON *.*" }
}

/// Lets the session give a table free once it has been read. MariaDB keeps the locks of what lies
/// behind a savepoint as long as the transaction may be written to the binary log.
async fn let_go(session: &mut Session) -> Result<bool> {
    if !session.server.is_mariadb {
        return Ok(true);
    }
    match session.run("prepare the session", "SET SESSION sql_log_bin = OFF").await {
        Ok(()) => Ok(true),
        Err(error) if has_code(&error, &DENIED) => Ok(false),
        Err(error) => Err(error),
    }
}

/// Keeps tables from being changed while they are read, where the server and the user can do that.
/// It does not stop commits.
async fn guard(holder: &mut Session, notices: &mut Vec<String>) -> Result<bool> {
    if holder.server.is_mariadb {
        return Ok(false);
    }
    match Guard::lock(holder).await {
        Ok(()) => Ok(true),
        Err(error) if has_code(&error, &DENIED) => {
            notices.push(
                "nothing keeps tables from being changed by ALTER TABLE and the like while they are read; the backup \
                 fails if one is: GRANT BACKUP_ADMIN ON *.*"
                    .to_owned(),
            );
            Ok(false)
        }
        Err(error) => Err(error),
    }
}

/// Holds commits back, opens the snapshots, asks for the position, lets commits go on.
async fn hold(settings: &MysqlSettings, mut holder: Session, moment: &mut Moment, run: &RunContext) -> Result<Session> {
    let mut attempt = 1;
    loop {
        run.check_cancelled()?;
        let number = holder.number;
        let most = settings.lock_timeout + Duration::from_secs(5);
        let done = tokio::time::timeout(most, held(&mut holder, moment, most)).await;
        let error = match done {
            Ok(Ok(())) => return Ok(holder),
            Ok(Err(error)) => error,
            Err(_) => Error::new(ErrorKind::Locked, "commits could not be held back in time").with_retry(Retry::Later),
        };
        // Whatever it holds, it holds no longer: neither a lock, nor a place in the queue for one.
        settings.end(number).await;
        if error.kind() != ErrorKind::Locked || attempt == LOCKS {
            return Err(
                error.with("hint", "a long statement is in the way; `lock_timeout` says how long it is waited for")
            );
        }
        run.emit(&Event::Retrying { what: "hold commits back".to_owned(), attempt, error: error.to_string() });
        tokio::time::sleep(run.limits.backoff * (10 << attempt)).await;
        attempt += 1;
        holder = settings.open().await?;
        if !holder.server.is_mariadb {
            let mut told = Vec::new();
            guard(&mut holder, &mut told).await?;
        }
    }
}

async fn held(holder: &mut Session, moment: &mut Moment, most: Duration) -> Result<()> {
    let what = "hold commits back";
    // Of a client who vanishes without a word the server would keep the lock for hours.
    patience(holder, most).await?;
    let (locks, free): (&[&str], &str) = if holder.server.is_mariadb {
        // Stage by stage: only the last one stops commits.
        holder.run(what, "BACKUP STAGE START").await?;
        holder.run(what, "BACKUP STAGE FLUSH").await?;
        (&["BACKUP STAGE BLOCK_DDL", "BACKUP STAGE BLOCK_COMMIT"], "BACKUP STAGE END")
    } else {
        wait_for_long(holder).await?;
        (&["FLUSH TABLES WITH READ LOCK"], "UNLOCK TABLES")
    };
    let begun = Instant::now();
    for lock in locks {
        holder.run(what, lock).await?;
    }
    let openings = moment.sessions.iter_mut().map(|session| session.run("open a snapshot", SNAPSHOT));
    try_join_all(openings).await?;
    moment.place = match Place::now(holder).await {
        Ok(place) => place,
        Err(error) if has_code(&error, &DENIED) => {
            let right = if holder.server.is_mariadb { "BINLOG MONITOR" } else { "REPLICATION CLIENT" };
            moment.warnings.push(format!("the position in the binary log is not known: GRANT {right} ON *.*"));
            None
        }
        Err(error) => return Err(error),
    };
    list(holder, &mut moment.names).await?;
    holder.run(what, free).await?;
    patience(holder, holder.wait).await?;
    moment.held = Some(begun.elapsed());
    agree(moment).await
}

/// Lists what databases have, by names alone: no table has to be opened for that.
async fn list(session: &mut Session, names: &mut Names) -> Result<()> {
    for (database, names) in names {
        *names = catalog::names(session, database).await?;
    }
    Ok(())
}

/// MySQL's lock waits for every statement that reads a table, and whoever wants to read that table
/// waits behind it, even once it has been given up. So it is not asked for while there is such a one.
async fn wait_for_long(holder: &mut Session) -> Result<()> {
    let sql = format!(
        "SELECT COUNT(*) FROM information_schema.processlist WHERE command IN ('Query', 'Execute') AND time >= {LONG} \
            AND id <> CONNECTION_ID()"
    );
    for _ in 0..WAITS {
        let long: u64 = holder.value("look for long statements", &sql).await?;
        if long == 0 {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    Err(Error::new(
        ErrorKind::Locked,
        "a long statement is at work, and holding commits back would make others wait for it",
    )
    .with_retry(Retry::Later))
}

/// A snapshot of MariaDB knows of which place it is: all must be of the one that was asked for.
async fn agree(moment: &mut Moment) -> Result<()> {
    let Some(file) = moment.place.as_ref().and_then(|place| place.file.clone()) else { return Ok(()) };
    if moment.sessions.iter().any(|session| !session.server.is_mariadb) {
        return Ok(());
    }
    // Others who ask at the same moment disturb the answer.
    for _ in 0..OPENINGS {
        if common(moment).await?.and_then(|place| place.file).as_ref() == Some(&file) {
            return Ok(());
        }
    }
    Err(internal("the snapshots are of another place than the server said").with("place", format!("{file:?}")))
}

/// Opens snapshots until all are of one place, without holding anything back.
async fn compare(holder: &mut Session, moment: &mut Moment, run: &RunContext) -> Result<()> {
    if holder.server.is_mariadb {
        // Its snapshots know their places, and were seen to say the same one and be of different moments.
        single(moment).await?;
        let place = Place::of_snapshot(&mut moment.sessions[0]).await?;
        // The server answers out of variables that all its sessions share: someone else may have asked
        // at the same moment. Hardly twice.
        let again = Place::of_snapshot(&mut moment.sessions[0]).await?;
        let known = place.filter(|place| place.file.is_some() && Some(place) == again.as_ref());
        let told = if known.is_some() { "" } else { ", and the position in the binary log is not known" };
        moment
            .warnings
            .push(format!("one connection reads everything, as commits were not held back{told}: {}", grant(holder)));
        if let Some(place) = known {
            moment.place = Some(place.complete(holder).await?);
        }
        return Ok(());
    }
    for attempt in 1..=OPENINGS {
        run.check_cancelled()?;
        let before = match Place::of_all(holder).await {
            Ok(before) if before.file.is_some() => before,
            Ok(_) => return alone(moment, "the server keeps no binary log").await,
            Err(error) if has_code(&error, &DENIED) => {
                return alone(moment, "the user may not compare positions").await;
            }
            Err(error) => return Err(error),
        };
        try_join_all(moment.sessions.iter_mut().map(|session| session.run("open a snapshot", SNAPSHOT))).await?;
        if Place::of_all(holder).await? == before {
            moment.place = Some(before);
            moment.notices.push(COMPARED.to_owned());
            return Ok(());
        }
        tokio::time::sleep(run.limits.backoff / 10 * (attempt % 10)).await;
    }
    Err(busy(holder))
}

/// The place of all snapshots, asked for one by one; `None` if they are of several.
async fn common(moment: &mut Moment) -> Result<Option<Place>> {
    let mut common = None;
    for session in &mut moment.sessions {
        let place = Place::of_snapshot(session).await?.unwrap_or_default();
        if common.get_or_insert_with(|| place.clone()) != &place {
            return Ok(None);
        }
    }
    Ok(common)
}

fn busy(holder: &Session) -> Error {
    Error::new(ErrorKind::Conflict, "the server commits all the time while snapshots are being opened")
        .with("hint", format!("a user who may hold commits back for a moment needs no luck: {}", grant(holder)))
        .with_retry(Retry::Later)
}

/// One snapshot is of one moment, whatever happens.
async fn alone(moment: &mut Moment, reason: &str) -> Result<()> {
    moment.warnings.push(format!(
        "one connection reads everything, and the position in the binary log is not known: commits were not held back, \
         and {reason}"
    ));
    single(moment).await
}

/// Opens one snapshot, and lets the other sessions go.
async fn single(moment: &mut Moment) -> Result<()> {
    let others = moment.sessions.split_off(1);
    futures::future::join_all(others.into_iter().map(Session::close)).await;
    try_join_all(moment.sessions.iter_mut().map(|session| session.run("open a snapshot", SNAPSHOT))).await.map(drop)
}
