//! The end of a restore: users, then collections into their places; all of it is undone if a part fails.

use kronos_core::{Error, RestoreOutcome, Result};

use super::building::Building;
use super::journal;
use super::locked::locked;
use super::restore::MongodbRestore;
use super::swap::Swap;
use super::users::{self, Wanted};

const LATER_FINISHED: &str = "the next restore to this target finishes it, a minute from now";
const LATER_UNDONE: &str = "the next restore to this target undoes it, a minute from now";

impl MongodbRestore {
    /// Gives the collections their places.
    pub(super) async fn place(&self, mut outcome: RestoreOutcome) -> Result<RestoreOutcome> {
        for building in self.buildings.iter() {
            building.held.beat(&self.server).await?;
        }
        if self.request.privileges {
            let bytes = std::mem::take(&mut *locked(&self.users));
            let wanted = Wanted {
                databases: self.buildings.iter().map(|b| (b.planned.from.clone(), b.planned.to.clone())).collect(),
                all: self.request.only.is_empty(),
                replace: self.request.replace,
            };
            let (made, warnings) = users::make(&self.server, &bytes, &wanted).await?;
            outcome.created.extend(made.names());
            outcome.warnings.extend(warnings);
            *locked(&self.made_users) = made;
        }
        let mut swaps = Vec::new();
        for building in self.buildings.iter() {
            // From here on the journal is what undoes or finishes it: nothing of it is just removed.
            building.is_placed();
            let planned = Swap::plan(&self.server, building, self.request.replace).await;
            let swap = match planned {
                Ok(swap) => swap,
                Err(error) => {
                    // Nothing has moved.
                    building.is_back();
                    return Err(self.back(&swaps, error).await);
                }
            };
            let done = swap.forward(&self.server).await;
            swaps.push((building, swap));
            if let Err(error) = done {
                return Err(self.back(&swaps, error).await);
            }
        }
        for (building, swap) in &swaps {
            swap.finish(&self.server).await.map_err(|e| {
                // Whoever has taken over has said what becomes of it.
                let e = if journal::is_lost(&e) { e } else { e.with("half done", LATER_FINISHED) };
                e.with("database", &building.planned.to)
            })?;
            outcome.created.push(format!("database {}", building.planned.to));
        }
        for (building, swap) in &swaps {
            if let Err(error) = swap.clean(&self.server).await {
                let database = &building.planned.to;
                outcome.warnings.push(format!("{database}: what was replaced could not be removed: {error}"));
            }
        }
        *locked(&self.made_users) = users::Made::default();
        Ok(outcome)
    }

    /// Undoes what was put into place, the last first.
    async fn back(&self, swaps: &[(&Building, Swap)], error: Error) -> Error {
        let mut error = error;
        for (building, swap) in swaps.iter().rev() {
            match swap.backward(&self.server).await {
                Ok(()) => building.is_back(),
                // It is the other restore's now, and there is nothing of this one to be undone.
                Err(lost) if journal::is_lost(&lost) => {
                    if !journal::is_lost(&error) {
                        error = error.with("meanwhile", lost.message());
                    }
                }
                Err(undoing) => error = error.with("half done", LATER_UNDONE).with("undoing", undoing),
            }
        }
        error
    }
}
