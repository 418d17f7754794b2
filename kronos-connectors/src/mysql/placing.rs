//! The end of a restore: everything gets its place, and what was replaced is removed. Whatever becomes
//! of the connection meanwhile, the target is the old one or the new one.

use kronos_core::{Error, ErrorKind, RestoreOutcome, Result};

use super::code::Made;
use super::connect::Session;
use super::error::is_lost;
use super::globals;
use super::journal::{self, Step, Swap};
use super::names::shown;
use super::restore::{DDL, MysqlRestore, locked};

impl MysqlRestore {
    /// Gives the tables their places.
    pub(super) async fn place(&self, mut outcome: RestoreOutcome) -> Result<RestoreOutcome> {
        let mut placed = Vec::new();
        self.stay_alive().await?;
        let mut session = self.take().await?;
        // As long as this session lives, nobody takes what is half done for something left behind.
        journal::begin_swap(&mut session, &self.token).await?;
        wait_for_ddl(&mut session, DDL.into()).await?;
        // What is wrong with the last one is found before the first one has got its place.
        let mut swaps = Vec::new();
        for building in &self.buildings {
            let swap = building.swap(&mut session, &self.request).await?;
            swap.rehearse(&mut session).await?;
            swaps.push(swap);
        }
        for (building, mut swap) in self.buildings.iter().zip(swaps) {
            wait_for_ddl(&mut session, DDL.into()).await?;
            // From here on the journal is what undoes or finishes it: nothing of it is just removed.
            building.is_placed();
            let forward = async {
                journal::write(&mut session, &building.name, &Step::Swapping(Box::new(swap.clone()))).await?;
                // But nobody shall wait behind a rename.
                wait_for_ddl(&mut session, self.settings.lock_timeout.as_secs()).await?;
                swap.make(&mut session).await?;
                swap.forward(&mut session).await
            };
            match forward.await {
                Ok(made) => placed.push((swap, made)),
                Err(error) => {
                    let error = if outcome.created.is_empty() {
                        error
                    } else {
                        error.with("done already", outcome.created.join(", "))
                    };
                    // Over a session that is not in the middle of something.
                    let is_of_others = swap.former.is_none() && !swap.made && error.kind() == ErrorKind::AlreadyExists;
                    let undone = async {
                        // Nothing of it is there, and what is there is not ours.
                        if is_of_others {
                            return Ok(());
                        }
                        let mut session = self.instead_of(session).await?;
                        swap.backward(&mut session).await?;
                        session.close().await;
                        Ok::<_, Error>(())
                    };
                    let undone = undone.await;
                    return Err(match undone {
                        Ok(()) => {
                            building.is_back();
                            error
                        }
                        Err(undoing) => error
                            .with("half done", "the next restore to this target undoes or finishes it")
                            .with("undoing", undoing),
                    });
                }
            }
            outcome.created.push(format!("database {}", shown(&building.planned.to)));
            outcome.warnings.extend(building.warnings());
        }
        wait_for_ddl(&mut session, DDL.into()).await?;
        // A view may need another database. Until then the journals stay: whoever comes after a
        // restore that is killed here does this too.
        let lacking = |placed: &[(Swap, Made)]| placed.iter().map(|(_, made)| made.lacking.len()).sum::<usize>();
        let mut before = usize::MAX;
        while placed.len() > 1 && (1..before).contains(&lacking(&placed)) {
            before = lacking(&placed);
            for (swap, made) in placed.iter_mut().filter(|(_, made)| !made.lacking.is_empty()) {
                swap.make_lacking(&mut session, made).await?;
            }
        }
        for (swap, made) in placed {
            outcome.warnings.extend(made.told());
            let mut cleaned = swap.clean(&mut session).await;
            if cleaned.as_ref().is_err_and(is_lost) {
                cleaned = match self.instead_of(session).await {
                    Ok(other) => {
                        session = other;
                        swap.clean(&mut session).await
                    }
                    Err(error) => return Ok(self.unfinished(outcome, &swap, &error)),
                };
            }
            if let Err(error) = cleaned {
                let (old, beside) = (shown(&swap.old), shown(&swap.beside));
                outcome.warnings.push(format!("what was replaced could not be removed ({old}, {beside}): {error}"));
            }
        }
        let made = std::mem::take(&mut *locked(&self.made));
        match globals::grant(&mut session, &self.wanted(), &made).await {
            Ok(told) => outcome.warnings.extend(told),
            // What was replaced is gone: there is nothing to go back to.
            Err(error) => outcome.warnings.push(format!("the users that were made have not got all rights: {error}")),
        }
        session.close().await;
        outcome.created.extend(made.names().iter().map(|name| format!("user {name}")));
        Ok(outcome)
    }

    /// Another session in the place of one that puts tables into their place and may be lost.
    async fn instead_of(&self, former: Session) -> Result<Session> {
        former.close().await;
        let mut session = self.open().await?;
        journal::continue_swap(&mut session, &self.token).await?;
        Ok(session)
    }

    /// Nobody has taken what was made for something left behind, nor will.
    async fn stay_alive(&self) -> Result<()> {
        let mut living = self.living.lock().await;
        if let Some(session) = living.as_mut()
            && journal::is_alive(session, &self.token).await?
        {
            return Ok(());
        }
        let mut session = self.settings.open().await?;
        journal::live(&mut session, &self.token).await?;
        *living = Some(session);
        Ok(())
    }

    /// Everything is in its place and was checked, and then the server was lost.
    fn unfinished(&self, mut outcome: RestoreOutcome, swap: &Swap, error: &Error) -> RestoreOutcome {
        let (old, beside) = (shown(&swap.old), shown(&swap.beside));
        outcome.warnings.push(format!(
            "what was replaced could not be removed ({old}, {beside}), which the next restore to this target does: {error}"
        ));
        if !locked(&self.made).is_empty() {
            outcome.warnings.push("the users that were made have not got their rights".to_owned());
        }
        outcome
    }
}

/// For so many seconds statements of a session wait for those who use a table.
async fn wait_for_ddl(session: &mut Session, seconds: u64) -> Result<()> {
    session.run("prepare the session", &format!("SET SESSION lock_wait_timeout = {}", seconds.max(1))).await
}
