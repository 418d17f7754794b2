//! How new collections take the place of old ones. What was there is renamed aside, what is new is
//! renamed into its place, views are made; all of this can be undone. What cannot be renamed comes
//! last, and from then on it can only be finished.

mod copying;
mod steps;
mod views;

use kronos_core::{Error, ErrorKind, Result};
use mongodb::bson::{Document, doc};

use self::steps::{Step, What};
use super::building::{Building, How, drop_collection, remove};
use super::catalog::Entry;
use super::connect::Server;
use super::error::{NO_NAMESPACE, has_code, internal};
use super::journal::{self, Held, Remains, State};
use super::names::{self, qualified};
use super::plan::Form;
use super::target;

/// What a restore does to one database at its end.
#[derive(Debug, Clone)]
pub(super) struct Swap {
    database: String,
    token: String,
    held: Held,
    steps: Vec<Step>,
}

impl Swap {
    /// Looks what is to be moved, and writes it down.
    pub(super) async fn plan(server: &Server, building: &Building, replace: bool) -> Result<Self> {
        let database = building.planned.to.clone();
        building.held.beat(server).await?;
        let mut steps = Vec::new();
        let made = building.made();
        for (number, entry) in target::existing(server, &database).await?.into_iter().enumerate() {
            let stays = match &building.planned.collections {
                None => entry.name == names::FUNCTIONS,
                Some(_) => entry.name == names::FUNCTIONS || !made.iter().any(|made| made.entry.name == entry.name),
            };
            if !stays && !replace {
                return Err(Error::new(ErrorKind::AlreadyExists, "someone has made a collection during the restore")
                    .with("collection", qualified(&database, &entry.name)));
            }
            if !stays {
                let what = match () {
                    () if entry.is_view() => What::OldView,
                    () if entry.is_time_series() => What::OldSeries,
                    () => What::Old,
                };
                steps.push(Step { what, number, entry, form: Form::default() });
            }
        }
        for made in made {
            let is_late = steps.iter().any(|s| s.what == What::OldSeries && s.entry.name == made.entry.name);
            let what = match made.how {
                How::Copy => What::NewCopy,
                How::View if is_late => {
                    return Err(Error::new(ErrorKind::Unsupported, "a view cannot take the place of a time series")
                        .with("view", qualified(&database, &made.entry.name))
                        .with("hint", "drop the time series before"));
                }
                How::View => What::NewView,
                How::Rename if is_late => What::NewLate,
                How::Rename => What::New,
            };
            steps.push(Step { what, number: made.number, entry: made.entry.clone(), form: made.form });
        }
        let swap = Self { database, token: building.token.clone(), held: building.held.clone(), steps };
        let written: Vec<Document> = swap.steps.iter().map(Step::document).collect();
        journal::plan(server, &swap.database, &swap.token, &written).await?;
        swap.held.tell(server, State::Swapping).await?;
        Ok(swap)
    }

    fn of(&self, what: What) -> impl Iterator<Item = &Step> {
        self.steps.iter().filter(move |step| step.what == what)
    }

    /// What can be undone.
    pub(super) async fn forward(&self, server: &Server) -> Result<()> {
        for step in self.of(What::Old) {
            self.rename(server, &step.entry.name, &names::old(&self.token, step.number)).await?;
        }
        for step in self.of(What::OldView) {
            self.held.beat(server).await?;
            drop_collection(server, &self.database, &step.entry.name).await?;
        }
        for step in self.of(What::New) {
            self.rename(server, &names::new(&self.token, step.number), &step.entry.name).await?;
        }
        self.held.beat(server).await?;
        self.make_views(server, self.of(What::NewView).map(|step| &step.entry).collect()).await
    }

    /// Whether there is something that cannot be undone.
    fn has_late(&self) -> bool {
        self.steps.iter().any(|step| matches!(step.what, What::OldSeries | What::NewLate | What::NewCopy))
    }

    /// The rest, as often as it takes; then what was there goes.
    pub(super) async fn finish(&self, server: &Server) -> Result<()> {
        if self.has_late() {
            self.held.tell(server, State::Finishing).await?;
            self.late(server).await?;
        }
        for step in self.steps.iter().filter(|step| matches!(step.what, What::New | What::NewLate)) {
            self.expire(server, &step.entry).await?;
        }
        self.held.tell(server, State::Done).await
    }

    /// Removes what was there before, and what is left of the making.
    pub(super) async fn clean(&self, server: &Server) -> Result<()> {
        remove(server, &self.database, &self.token).await
    }

    async fn late(&self, server: &Server) -> Result<()> {
        let late = || self.steps.iter().filter(|step| matches!(step.what, What::NewLate | What::NewCopy));
        for old in self.of(What::OldSeries).filter(|old| !late().any(|new| new.entry.name == old.entry.name)) {
            self.held.beat(server).await?;
            drop_collection(server, &self.database, &old.entry.name).await?;
        }
        for step in late() {
            let (name, beside) = (&step.entry.name, names::new(&self.token, step.number));
            self.held.beat(server).await?;
            if step.what == What::NewCopy {
                let within = |e: Error| e.with("collection", qualified(&self.database, name));
                self.copy(server, &beside, step).await.map_err(within)?;
            } else if self.names(server).await?.contains(&beside) {
                drop_collection(server, &self.database, name).await?;
                self.rename(server, &beside, name).await?;
            }
        }
        Ok(())
    }

    /// From now on documents may go by themselves, where that is an option of the collection.
    async fn expire(&self, server: &Server, entry: &Entry) -> Result<()> {
        let Some(after) = entry.options.get("expireAfterSeconds") else { return Ok(()) };
        let ask = doc! { "collMod": &entry.name, "expireAfterSeconds": after, "writeConcern": { "w": "majority" } };
        server.command(&self.database, "set when documents expire", ask).await.map(drop)
    }

    /// Undoes it, as far as it was done; nothing that cannot be undone has begun.
    pub(super) async fn backward(&self, server: &Server) -> Result<()> {
        // Where another one has settled it, these names are its own.
        self.held.beat(server).await?;
        let now = self.names(server).await?;
        let is_there = |name: &String| now.contains(name);
        for step in self.of(What::NewView).filter(|step| is_there(&step.entry.name)) {
            // A collection that was there has this name until it is moved aside.
            let is_old = self
                .of(What::Old)
                .any(|old| old.entry.name == step.entry.name && !is_there(&names::old(&self.token, old.number)));
            if !is_old {
                self.held.beat(server).await?;
                drop_collection(server, &self.database, &step.entry.name).await?;
            }
        }
        for step in self.of(What::New) {
            let beside = names::new(&self.token, step.number);
            if !is_there(&beside) && is_there(&step.entry.name) {
                self.rename(server, &step.entry.name, &beside).await?;
            }
        }
        for step in self.of(What::Old) {
            let aside = names::old(&self.token, step.number);
            if is_there(&aside) {
                self.rename(server, &aside, &step.entry.name).await?;
            }
        }
        let now = self.names(server).await?;
        let gone = self.of(What::OldView).filter(|step| !now.contains(&step.entry.name));
        self.make_views(server, gone.map(|step| &step.entry).collect()).await?;
        self.held.tell(server, State::Building).await
    }

    async fn names(&self, server: &Server) -> Result<Vec<String>> {
        let ask = doc! { "listCollections": 1, "nameOnly": true, "cursor": {} };
        let listed = server.list(&self.database, "look for collections", ask).await?;
        Ok(listed.iter().filter_map(|one| one.get_str("name").ok()).map(str::to_owned).collect())
    }

    async fn rename(&self, server: &Server, from: &str, to: &str) -> Result<()> {
        // Someone may have slept since the last one, and been taken for dead.
        self.held.beat(server).await?;
        let whole = |name: &str| format!("{}.{name}", self.database);
        let ask = doc! { "renameCollection": whole(from), "to": whole(to), "writeConcern": { "w": "majority" } };
        server.command("admin", "put a collection into its place", ask).await.map(drop).map_err(|e| {
            let e = e.with("collection", whole(from));
            if has_code(&e, &[NO_NAMESPACE]) { e.with("hint", "someone has dropped it meanwhile") } else { e }
        })
    }
}

/// Finishes or undoes what a killed restore left, and removes the rest of it.
pub(super) async fn settle(
    server: &Server,
    database: &str,
    remains: Remains,
    owner: &str,
    silence: std::time::Duration,
) -> Result<()> {
    let held = Held::claim(server, database, &remains, owner, silence).await?;
    let _lives = journal::keep(server, vec![held.clone()]);
    let steps = remains.steps.iter().map(Step::of).collect::<Result<Vec<_>>>()?;
    let swap = Swap { database: database.to_owned(), token: remains.token, held, steps };
    match remains.state {
        State::Building | State::Done => {}
        State::Swapping => swap.backward(server).await?,
        State::Finishing => swap.finish(server).await?,
    }
    swap.clean(server).await
}

/// A journal of someone who lives is none of ours.
pub(super) fn refuse_living(database: &str, remains: &Remains) -> Result<()> {
    if remains.is_alive {
        return Err(journal::busy(database));
    }
    if remains.token.is_empty() { Err(internal("a journal without a name")) } else { Ok(()) }
}
