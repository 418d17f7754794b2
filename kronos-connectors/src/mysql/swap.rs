//! Puts tables into the place of others. A database cannot be renamed, so its tables are, all in one
//! statement; routines, views, triggers and events are dropped before and made after it. Each step
//! may be done again, forward or backward, from wherever an earlier one was killed.

use std::collections::BTreeMap;

use kronos_core::{Error, ErrorKind, Result};

use super::allowed::made_meanwhile;
use super::code::{self, Made, Move};
use super::connect::Session;
use super::journal::{Remains, Step, Swap, drop_database, tables, write};
use super::names::{ident, qualified};
use super::objects::{Kind, Object};
use super::target::things;

/// How often the rename is tried that waits for those who use the old tables.
const ATTEMPTS: u32 = 3;

impl Swap {
    /// Makes what cannot go along where nobody sees it, and removes it: whoever may not do that, or
    /// could not undo it, finds out before the target is touched. Events would run.
    pub(super) async fn rehearse(&self, session: &mut Session) -> Result<()> {
        let of = |objects: &[Object], last: Kind| -> Vec<Object> {
            objects.iter().filter(|object| object.kind <= last).cloned().collect()
        };
        let (new, old) = (of(&self.code, Kind::Trigger), of(&self.old_code, Kind::View));
        for (objects, from, owners) in [(new, &self.from, self.owners), (old, &self.to, true)] {
            code::make_all(session, &objects, Move { from, to: &self.beside, owners }).await?;
            code::drop_all(session, &objects, &self.beside).await?;
        }
        Ok(())
    }

    /// Makes the target, if it was not there. One that is there now is not ours.
    pub(super) async fn make(&mut self, session: &mut Session) -> Result<()> {
        if self.former.is_some() {
            return Ok(());
        }
        let options = self.options.as_deref().unwrap_or_default();
        let made = session.change("make the database", &format!("CREATE DATABASE {} {options}", ident(&self.to))).await;
        made.map_err(|e| if e.kind() == ErrorKind::AlreadyExists { made_meanwhile(&self.to) } else { e })?;
        self.made = true;
        write(session, &self.beside, &Step::Swapping(Box::new(self.clone()))).await
    }

    /// Does it; gives what came of it.
    pub(super) async fn forward(&self, session: &mut Session) -> Result<Made> {
        let options = self.options.as_deref().unwrap_or_default();
        session
            .change("make the database", &format!("CREATE DATABASE IF NOT EXISTS {} {options}", ident(&self.to)))
            .await?;
        let (there, new) = (tables(session, &self.to).await?, tables(session, &self.beside).await?);
        let waiting: Vec<&String> = self.tables.iter().filter(|name| new.contains(name)).collect();
        if !waiting.is_empty() {
            code::drop_all(session, &self.old_code, &self.to).await?;
            let leaving = self.old_tables.iter().filter(|name| there.contains(name));
            let mut moves: Vec<String> = leaving.map(|name| rename(&self.to, &self.old, name)).collect();
            if !moves.is_empty() {
                session.change("make room", &format!("CREATE DATABASE IF NOT EXISTS {}", ident(&self.old))).await?;
            }
            moves.extend(waiting.into_iter().map(|name| rename(&self.beside, &self.to, name)));
            self.rename(session, &moves).await?;
        }
        if self.former.is_some() && !options.is_empty() {
            session.run("set up the database", &format!("ALTER DATABASE {} {options}", ident(&self.to))).await?;
        }
        // All of a table at once: the server looks for the sequences of the others too.
        let mut defaults = BTreeMap::<&String, Vec<String>>::new();
        for (table, column, value) in &self.defaults {
            defaults.entry(table).or_default().push(format!("ALTER COLUMN {} SET DEFAULT {value}", ident(column)));
        }
        for (table, changes) in defaults {
            let sql = format!("ALTER TABLE {} {}", qualified(&self.to, table), changes.join(", "));
            session.run("set a default", &sql).await?;
        }
        let place = Move { from: &self.from, to: &self.to, owners: self.owners };
        let made = code::make_all(session, &self.code, place).await?;
        let now = tables(session, &self.to).await?;
        match self.tables.iter().find(|name| !now.contains(name)) {
            None => Ok(made),
            Some(missing) => Err(Error::new(ErrorKind::Conflict, "a table has gone while it was put into its place")
                .with("table", qualified(&self.to, missing))),
        }
    }

    /// Tries again what was not there yet.
    pub(super) async fn make_lacking(&self, session: &mut Session, made: &mut Made) -> Result<()> {
        let views: Vec<_> = made.lacking.drain(..).map(|(view, _)| view).collect();
        let place = Move { from: &self.from, to: &self.to, owners: self.owners };
        made.lacking = code::make_all(session, &views, place).await?.lacking;
        Ok(())
    }

    /// Undoes it, as far as it was done.
    pub(super) async fn backward(&self, session: &mut Session) -> Result<()> {
        self.move_back(session).await?;
        let kept = tables(session, &self.old).await?;
        if kept.is_empty() {
            return drop_database(session, &self.old).await;
        }
        Err(Error::new(ErrorKind::Conflict, "what was replaced could not be put back").with("database", &self.old))
    }

    async fn move_back(&self, session: &mut Session) -> Result<()> {
        let there = tables(session, &self.to).await?;
        let (new, old) = (tables(session, &self.beside).await?, tables(session, &self.old).await?);
        let arrived = self.tables.iter().filter(|name| !new.contains(name) && there.contains(name));
        let mut moves: Vec<String> = arrived.map(|name| rename(&self.to, &self.beside, name)).collect();
        if self.former.is_none() && !self.made && moves.is_empty() {
            return self.drop_empty(session).await;
        }
        // It was made once the tables had arrived; before, what has its names is somebody else's.
        if !moves.is_empty() || self.tables.is_empty() {
            code::drop_all(session, &self.code, &self.to).await?;
        }
        moves.extend(
            self.old_tables.iter().filter(|name| old.contains(name)).map(|name| rename(&self.old, &self.to, name)),
        );
        self.rename(session, &moves).await?;
        let Some(former) = &self.former else { return self.drop_empty(session).await };
        session.run("set up the database", &format!("ALTER DATABASE {} {former}", ident(&self.to))).await?;
        let place = Move { from: &self.to, to: &self.to, owners: true };
        code::make_all(session, &self.old_code, place).await.map(drop)
    }

    /// Removes a target that was not there before, unless others have put something into it.
    async fn drop_empty(&self, session: &mut Session) -> Result<()> {
        if things(session, &self.to).await?.is_empty() { drop_database(session, &self.to).await } else { Ok(()) }
    }

    async fn rename(&self, session: &mut Session, moves: &[String]) -> Result<()> {
        if moves.is_empty() {
            return Ok(());
        }
        let sql = format!("RENAME TABLE {}", moves.join(", "));
        let mut attempt = 1;
        loop {
            match session.change("put tables into their place", &sql).await {
                Err(error) if error.kind() == ErrorKind::Locked && attempt < ATTEMPTS => attempt += 1,
                Err(error) if error.kind() == ErrorKind::Locked => {
                    return Err(error.with("hint", "programs must let go of the tables that are to be replaced"));
                }
                done => return done,
            }
        }
    }

    /// Removes the old tables and what is left of the making of the new ones.
    pub(super) async fn clean(&self, session: &mut Session) -> Result<()> {
        write(session, &self.beside, &Step::Done { old: self.old.clone() }).await?;
        drop_database(session, &self.old).await?;
        drop_database(session, &self.beside).await
    }
}

/// Finishes or undoes what a killed restore left, and removes the rest of it.
pub(super) async fn settle(session: &mut Session, remains: Remains) -> Result<()> {
    match &remains.step {
        Step::Building => {}
        Step::Done { old } => drop_database(session, old).await?,
        Step::Swapping(swap) => {
            let waiting = tables(session, &remains.beside).await?;
            if swap.tables.iter().any(|name| waiting.contains(name)) || swap.tables.is_empty() {
                swap.backward(session).await?;
            } else {
                swap.forward(session).await?;
                return swap.clean(session).await;
            }
        }
    }
    drop_database(session, &remains.beside).await
}

fn rename(from: &str, to: &str, name: &str) -> String {
    format!("{} TO {}", qualified(from, name), qualified(to, name))
}
