//! How new collections take the place of old ones. What was there is renamed aside, what is new is
//! renamed into its place, views are made; all of this can be undone. What cannot be renamed comes
//! last, and from then on it can only be finished.

use kronos_core::{Error, ErrorKind, Result};
use mongodb::bson::{Bson, Document, doc};

use super::building::{Building, How, drop_collection, indexes, lasting, remove, sum_of};
use super::catalog::Entry;
use super::connect::Server;
use super::error::{NO_NAMESPACE, corrupt, has_code, internal};
use super::insert::Inserter;
use super::journal::{self, Held, Remains, State};
use super::names::{self, qualified};
use super::plan::{Form, Order, Part};
use super::read_documents::{Sink, read};
use super::target;

/// So many documents are copied at a time.
const BATCH: u32 = 1000;

/// One thing that moves.
#[derive(Debug, Clone, PartialEq)]
struct Step {
    what: What,
    number: usize,
    entry: Entry,
    form: Form,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum What {
    /// A collection that was there.
    Old,
    OldView,
    /// A time series that was there.
    OldSeries,
    New,
    /// One whose name a time series has.
    NewLate,
    NewCopy,
    NewView,
}

impl What {
    const NAMES: [(&str, Self); 7] = [
        ("old", Self::Old),
        ("old-view", Self::OldView),
        ("old-series", Self::OldSeries),
        ("new", Self::New),
        ("new-late", Self::NewLate),
        ("new-copy", Self::NewCopy),
        ("new-view", Self::NewView),
    ];
}

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

    /// Copies what cannot be renamed, from the beginning, and compares it.
    async fn copy(&self, server: &Server, beside: &str, step: &Step) -> Result<()> {
        let (database, name) = (&self.database, &step.entry.name);
        if step.entry.is_time_series() {
            drop_collection(server, database, name).await?;
            let mut ask = doc! { "create": name };
            ask.extend(lasting(&step.entry.options));
            ask.insert("writeConcern", doc! { "w": "majority" });
            server.command(database, "make a time series", ask).await?;
        } else {
            let all = vec![doc! { "q": {}, "limit": 0 }];
            let ask = doc! { "delete": name, "deletes": all, "writeConcern": { "w": "majority" } };
            server.long_command(database, "empty a collection", ask).await?;
        }
        let to = step.form.place(name);
        let part = Part {
            database: database.clone(),
            collection: beside.to_owned(),
            form: step.form,
            order: Order::Natural,
            from: None,
            to: None,
        };
        let mut copying = Copying { to: Inserter::new(server, database, &to), waiting: Vec::new(), last: None };
        read(server, &part, BATCH, &mut copying).await?;
        copying.to.finish().await?;
        indexes(server, database, name, &step.entry).await?;
        self.held.beat(server).await?;
        let wanted = sum_of(server, database, beside, step.form).await?;
        let found = sum_of(server, database, name, step.form).await?;
        if found != wanted {
            return Err(Error::new(ErrorKind::Corrupt, "what was copied into its place is not what was copied")
                .with("documents", format!("{} instead of {}", found.count, wanted.count)));
        }
        self.expire(server, &step.entry).await
    }

    /// From now on documents may go by themselves, where that is an option of the collection.
    async fn expire(&self, server: &Server, entry: &Entry) -> Result<()> {
        let Some(after) = entry.options.get("expireAfterSeconds") else { return Ok(()) };
        let ask = doc! { "collMod": &entry.name, "expireAfterSeconds": after, "writeConcern": { "w": "majority" } };
        server.command(&self.database, "set when documents expire", ask).await.map(drop)
    }

    /// Makes views; those of which others are made come first.
    async fn make_views(&self, server: &Server, mut waiting: Vec<&Entry>) -> Result<()> {
        while !waiting.is_empty() {
            let names: Vec<String> = waiting.iter().map(|view| view.name.clone()).collect();
            let is_ready =
                |view: &&Entry| !view.options.get_str("viewOn").is_ok_and(|on| names.iter().any(|n| n == on));
            let (ready, later): (Vec<_>, Vec<_>) = waiting.into_iter().partition(is_ready);
            if ready.is_empty() {
                return Err(corrupt("views of the backup are made of each other"));
            }
            for view in ready {
                self.make_view(server, view).await?;
            }
            waiting = later;
        }
        Ok(())
    }

    async fn make_view(&self, server: &Server, view: &Entry) -> Result<()> {
        let mut ask = doc! { "create": &view.name };
        ask.extend(view.options.clone());
        ask.insert("writeConcern", doc! { "w": "majority" });
        let made = server.command(&self.database, "make a view", ask).await;
        made.map(drop).map_err(|e| e.with("view", qualified(&self.database, &view.name)))
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

impl Step {
    fn document(&self) -> Document {
        let name = What::NAMES.iter().find(|(_, what)| *what == self.what).map_or("old", |(name, _)| name);
        let form = match self.form {
            Form::Documents => "documents",
            Form::Buckets => "buckets",
            Form::Measurements => "measurements",
        };
        let number = i64::try_from(self.number).unwrap_or(i64::MAX);
        let mut step = doc! { "what": name, "number": number, "form": form };
        step.extend(self.entry.description());
        step
    }

    fn of(document: &Document) -> Result<Self> {
        let strange = || corrupt("a journal that a restore has left cannot be read");
        let text = |key: &str| document.get_str(key).map_err(|_| strange());
        let what = text("what")?;
        let what = What::NAMES.iter().find(|(name, _)| *name == what).map(|(_, what)| *what).ok_or_else(strange)?;
        let form = match text("form")? {
            "documents" => Form::Documents,
            "buckets" => Form::Buckets,
            "measurements" => Form::Measurements,
            _ => return Err(strange()),
        };
        let number = document.get_i64("number").ok().and_then(|n| usize::try_from(n).ok()).ok_or_else(strange)?;
        let entry = Entry::of(document).ok_or_else(strange)?;
        Ok(Self { what, number, entry, form })
    }
}

/// From one collection into another.
struct Copying<'a> {
    to: Inserter<'a>,
    waiting: Vec<Vec<u8>>,
    last: Option<Bson>,
}

impl Sink for Copying<'_> {
    fn take(&mut self, document: &[u8]) {
        self.waiting.push(document.to_vec());
    }

    async fn pause(&mut self) -> Result<()> {
        for document in std::mem::take(&mut self.waiting) {
            self.to.push(&document).await?;
        }
        Ok(())
    }

    fn last(&mut self) -> &mut Option<Bson> {
        &mut self.last
    }
}

/// A journal of someone who lives is none of ours.
pub(super) fn refuse_living(database: &str, remains: &Remains) -> Result<()> {
    if remains.is_alive {
        return Err(journal::busy(database));
    }
    if remains.token.is_empty() { Err(internal("a journal without a name")) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_moves_survives_the_journal() {
        for (n, (_, what)) in What::NAMES.iter().enumerate() {
            let entry = Entry {
                name: "a".into(),
                options: doc! { "capped": true },
                indexes: vec![doc! { "name": "_id_", "key": { "_id": 1 } }],
                uuid: Some([7; 16]),
            };
            let step = Step { what: *what, number: n, entry, form: Form::Buckets };
            assert_eq!(Step::of(&step.document()).unwrap(), step);
        }
        assert!(Step::of(&doc! { "what": "other" }).is_err());
    }
}
