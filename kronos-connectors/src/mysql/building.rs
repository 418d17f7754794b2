//! One database that a restore makes: its tables beside what is there, filled, with their keys, and
//! compared with the backup. `swap.rs` puts them into place.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use kronos_core::{Error, ErrorKind, RestoreRequest, Result};

use super::allowed::{check_keys, check_target};
use super::connect::Session;
use super::ddl::{self, Split};
use super::error::{corrupt, internal, is_lost};
use super::journal::{self, Swap};
use super::names::{beside, ident, qualified, shown};
use super::objects::{Kind, Object, Text, read_code};
use super::rewrite::{Part, definer, moved, tokens};
use super::target::Planned;

/// A database being made.
#[derive(Debug)]
pub(super) struct Building {
    pub planned: Planned,
    /// The name while it is being made.
    pub name: String,
    /// Where what it replaces goes.
    old: String,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    objects: Vec<Object>,
    /// What is done to each table once its rows are in it.
    after: BTreeMap<String, Split>,
    created: bool,
    /// Tables of which the server said something while it took their rows.
    doubtful: BTreeSet<String>,
    warnings: Vec<String>,
}

impl Building {
    pub(super) fn new(planned: Planned, token: &str) -> Self {
        let (name, old) = (beside(&planned.to, token), beside(&planned.to, &format!("old_{token}")));
        Self { planned, name, old, state: Mutex::default() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes what the database has beside rows; of a choice of tables what belongs to them.
    pub(super) fn keep_objects(&self, mut objects: Vec<Object>) -> Result<()> {
        if objects.first().is_none_or(|object| object.kind != Kind::Database) {
            return Err(corrupt("the definitions of the backup begin with no database"));
        }
        if let Some(tables) = &self.planned.tables {
            let is_chosen = |name: &String| tables.contains(name);
            let texts: Vec<String> =
                objects.iter().filter(|o| is_chosen(&o.name)).filter_map(|o| text(o).ok()).collect();
            // A sequence comes with a table that takes its values.
            let is_used = |name: &str| texts.iter().any(|text| text.contains(&format!(".{})", ident(name))));
            objects.retain(|object| match object.kind {
                Kind::Database => true,
                Kind::Table => is_chosen(&object.name),
                Kind::Trigger => object.table.as_ref().is_some_and(is_chosen),
                Kind::Sequence => is_used(&object.name),
                _ => false,
            });
        }
        if self.planned.is_foreign {
            let is_common = |object: &Object| [Kind::Database, Kind::Table].contains(&object.kind);
            let left: Vec<String> = objects.iter().filter(|object| !is_common(object)).map(Object::shown).collect();
            if !left.is_empty() {
                let (flavor, left) = (&self.planned.flavor, left.join(", "));
                self.warn(format!(
                    "left out, as they are written in the words of {flavor}, and this is another server: {left}"
                ));
            }
            objects.retain(is_common);
        }
        self.state().objects = objects;
        Ok(())
    }

    /// Takes what a dump has made or would make, now that its tables are loaded.
    pub(super) fn adopt(&self, objects: Vec<Object>, is_mariadb: bool) {
        let mut after = BTreeMap::new();
        for object in objects.iter().filter(|object| object.kind == Kind::Table) {
            // What is no text was made as it is.
            let text = text(object).unwrap_or_default();
            after.insert(object.name.clone(), ddl::split(&text, is_mariadb));
        }
        let mut state = self.state();
        state.objects.extend(objects);
        state.after = after;
    }

    /// Users and hosts that objects name as their definers.
    pub(super) fn definers(&self) -> Vec<(String, String)> {
        let objects = &self.state().objects;
        objects.iter().filter(|object| object.kind > Kind::Table).filter_map(|o| definer(&text(o).ok()?)).collect()
    }

    /// Notes what the user should know.
    pub(super) fn warn(&self, warning: String) {
        self.state().warnings.push(warning);
    }

    /// Notes that the rows of a table must be looked at, however little is looked at otherwise.
    pub(super) fn doubt(&self, table: &str) {
        self.state().doubtful.insert(table.to_owned());
    }

    pub(super) fn is_doubtful(&self, table: &str) -> bool {
        self.state().doubtful.contains(table)
    }

    pub(super) fn warnings(&self) -> Vec<String> {
        self.state().warnings.clone()
    }

    /// The names of its tables.
    pub(super) fn tables(&self) -> Vec<String> {
        let objects = &self.state().objects;
        objects.iter().filter(|o| o.kind == Kind::Table).map(|o| o.name.clone()).collect()
    }

    /// Fails if the server would not take its tables as they are.
    pub(super) async fn check(&self, session: &mut Session) -> Result<()> {
        let objects = self.state().objects.clone();
        let tables = objects.iter().filter(|object| object.kind == Kind::Table);
        let definitions: Result<Vec<(&str, String)>> = tables.map(|o| Ok((o.name.as_str(), text(o)?))).collect();
        check_keys(session, &self.planned.to, &definitions?).await
    }

    /// Makes the database, and tables that take rows.
    pub(super) async fn create(&self, session: &mut Session) -> Result<()> {
        let objects = self.state().objects.clone();
        let options = options(objects.first().ok_or_else(|| internal("a database without a schema"))?)?;
        let sql = format!("CREATE DATABASE {} {options}", ident(&self.name));
        let made = session.change("make the database", &sql).await;
        // An answer that was lost may have been a good one.
        self.state().created = made.as_ref().map_or_else(is_lost, |()| true);
        made.map_err(|e| e.with("database", shown(&self.planned.to)))?;
        journal::begin(session, &self.name).await?;
        session.run("choose the database", &format!("USE {}", ident(&self.name))).await?;
        if session.server.is_mariadb {
            session.run("prepare the session", "SET SESSION system_versioning_alter_history = KEEP").await?;
        }
        for object in objects.iter().filter(|object| object.kind == Kind::Sequence) {
            self.sequence(session, object).await.map_err(|e| e.with("sequence", shown(&object.name)))?;
        }
        let there = journal::tables(session, &self.planned.to).await?;
        for object in objects.iter().filter(|object| object.kind == Kind::Table) {
            let mut split = ddl::split(&text(object)?, self.planned.flavor == "MariaDB");
            self.fit_foreign(&object.name, &mut split, &there);
            let create = moved(&split.create, &self.planned.from, &self.name, Part::All);
            let made = session.change("make a table", &create).await;
            made.map_err(|e| self.hinted(e.with("table", shown(&object.name))))?;
            self.state().after.insert(object.name.clone(), split);
        }
        Ok(())
    }

    /// An error of a table that another kind of server has defined.
    pub(super) fn hinted(&self, error: Error) -> Error {
        let hint = "MySQL and MariaDB take tables of each other whose types, collations and options both have";
        if self.planned.is_foreign { error.with("hint", hint) } else { error }
    }

    /// Of a choice of tables some foreign keys lead out of it: to what the target has, or nowhere.
    fn fit_foreign(&self, table: &str, split: &mut Split, there: &[String]) {
        let Some(chosen) = &self.planned.tables else { return };
        let mut kept = Vec::new();
        for key in std::mem::take(&mut split.foreign) {
            let found = tokens(&key);
            let at = found.iter().position(|token| token.is("REFERENCES")).map(|at| at + 1);
            let parent = at.and_then(|at| found.get(at));
            let other = at.and_then(|at| found.get(at + 1)).is_some_and(|token| token.text == ".");
            match (parent, parent.and_then(super::rewrite::Token::name)) {
                (Some(token), Some(name)) if !other && !chosen.contains(&name) => {
                    if there.contains(&name) {
                        let rest = &key[token.at + token.text.len()..];
                        kept.push(format!("{}{}{rest}", &key[..token.at], qualified(&self.planned.to, &name)));
                    } else {
                        let (table, parent) = (shown(table), shown(&name));
                        self.warn(format!(
                            "left out, as it needs what was not chosen: the foreign key of {table} to {parent}"
                        ));
                    }
                }
                _ => kept.push(key),
            }
        }
        split.foreign = kept;
    }

    async fn sequence(&self, session: &mut Session, object: &Object) -> Result<()> {
        session.change("make a sequence", &text(object)?).await?;
        let Some(next) = &object.next else { return Ok(()) };
        let (Ok(value), Ok(round)) = (next.value.parse::<i128>(), next.round.parse::<u64>()) else {
            return Err(corrupt("the value of a sequence is no number"));
        };
        // SETVAL cannot set one that has come to its end, nor the number of its rounds.
        let name = qualified(&self.name, &object.name);
        let sql = format!(
            "INSERT INTO {name} SELECT {value}, minimum_value, maximum_value, start_value, increment, cache_size, \
                cycle_option, {round} FROM {name}"
        );
        session.run("set a sequence", &sql).await
    }

    /// Adds the keys of a table that were left out until now.
    pub(super) async fn add_keys(&self, session: &mut Session, table: &str) -> Result<()> {
        let Some(split) = self.state().after.get(table).cloned() else { return Ok(()) };
        let name = qualified(&self.name, table);
        let mut steps = Vec::new();
        if !split.keys.is_empty() {
            steps.push(split.keys);
        }
        steps.extend(split.singles.into_iter().map(|key| vec![key]));
        for step in steps {
            let added: Vec<String> = step.iter().map(|key| format!("ADD {key}")).collect();
            session.change("add keys", &format!("ALTER TABLE {name} {}", added.join(", "))).await?;
        }
        Ok(())
    }

    /// Adds the foreign keys of a table, once every table has its keys.
    pub(super) async fn add_foreign_keys(&self, session: &mut Session, table: &str) -> Result<()> {
        let Some(split) = self.state().after.get(table).cloned() else { return Ok(()) };
        if split.foreign.is_empty() {
            return Ok(());
        }
        // A table that is named without its database is one of this one.
        session.run("choose the database", &format!("USE {}", ident(&self.name))).await?;
        let added: Vec<String> = split.foreign.iter().map(|key| format!("ADD {key}")).collect();
        session.change("add foreign keys", &format!("ALTER TABLE {} {}", ident(table), added.join(", "))).await
    }

    /// What has to be done to put it into place.
    pub(super) async fn swap(&self, session: &mut Session, request: &RestoreRequest) -> Result<Swap> {
        check_target(session, &self.planned, request).await?;
        let Planned { from, to, tables: chosen, exists, .. } = self.planned.clone();
        let (objects, after) = {
            let state = self.state();
            (state.objects.clone(), state.after.clone())
        };
        let tables: Vec<String> = objects
            .iter()
            .filter(|o| [Kind::Table, Kind::Sequence].contains(&o.kind))
            .map(|o| o.name.clone())
            .collect();
        let (mut old_tables, mut old_code, mut former) = (Vec::new(), Vec::new(), None);
        if exists {
            let sql = format!("SHOW CREATE DATABASE {}", ident(&to));
            let (_, create): (String, String) = session.row("ask for a definition", &sql).await?;
            former = Some(options_of(&create)?);
            old_tables = journal::tables(session, &to).await?;
            old_code = read_code(session, &to).await?;
            if chosen.is_some() {
                // A sequence that is there serves others too.
                old_tables.retain(|name| tables.contains(name));
                old_code.retain(|object| object.table.as_ref().is_some_and(|table| old_tables.contains(table)));
            }
        }
        let defaults = after.iter().flat_map(|(table, split)| {
            let value = |value: &str| moved(value, &from, &to, Part::All);
            split.sequences.iter().map(move |(column, text)| (table.clone(), column.clone(), value(text)))
        });
        Ok(Swap {
            beside: self.name.clone(),
            old: self.old.clone(),
            former,
            made: false,
            options: chosen.is_none().then(|| objects.first().map(options)).flatten().transpose()?,
            defaults: defaults.collect(),
            tables,
            old_tables,
            code: objects.into_iter().filter(|object| object.kind > Kind::Table).collect(),
            old_code,
            owners: request.owners,
            from,
            to,
        })
    }

    /// It has its place now, or is about to get it.
    pub(super) fn is_placed(&self) {
        self.state().created = false;
    }

    /// It has no place after all.
    pub(super) fn is_back(&self) {
        self.state().created = true;
    }

    /// Removes what was made, if it has not got its place.
    pub(super) async fn undo(&self, session: &mut Session) -> Result<()> {
        if std::mem::take(&mut self.state().created) {
            journal::drop_database(session, &self.name).await?;
        }
        Ok(())
    }

    /// Fails unless a stream's table is among those that were made.
    pub(super) fn check_table(&self, table: &str) -> Result<()> {
        let known: BTreeSet<String> = self.state().after.keys().cloned().collect();
        if known.contains(table) {
            return Ok(());
        }
        Err(Error::new(ErrorKind::Corrupt, "the backup has rows of a table that it does not define")
            .with("table", qualified(&self.planned.from, table)))
    }
}

fn text(object: &Object) -> Result<String> {
    match &object.create {
        Text::Plain(text) if text.starts_with("CREATE ") => Ok(text.clone()),
        _ => Err(corrupt("a definition of the backup makes nothing").with("object", object.shown())),
    }
}

fn options(database: &Object) -> Result<String> {
    options_of(&text(database)?)
}

/// What stands behind the name in `CREATE DATABASE`.
fn options_of(create: &str) -> Result<String> {
    let found = tokens(create);
    let name = found.get(2).filter(|token| found[1].is("DATABASE") && token.text.starts_with('`'));
    let name = name.ok_or_else(|| corrupt("a database is defined in words that Kronos does not know"))?;
    let rest = create[name.at + name.text.len()..].trim();
    if tokens(rest).iter().any(|token| token.text == ";") {
        return Err(corrupt("a database is defined in words that Kronos does not know"));
    }
    Ok(rest.to_owned())
}

/// A text for the names of what is made, another each time.
pub(super) fn token(run: &kronos_core::RunContext) -> String {
    let mut bytes = [0; 8];
    run.entropy.fill(&mut bytes);
    hex::encode(bytes)
}

/// How many rows a table has.
pub(super) async fn count(session: &mut Session, name: &str, history: bool) -> Result<u64> {
    let all = if history { " FOR SYSTEM_TIME ALL" } else { "" };
    session.value("count rows", &format!("SELECT COUNT(*) FROM {name}{all}")).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_options_of_a_database_are_what_follows_its_name() {
        let create =
            "CREATE DATABASE `a ``b` /*!40100 DEFAULT CHARACTER SET latin1 */ /*!80016 DEFAULT ENCRYPTION='N' */";
        assert_eq!(
            options_of(create).unwrap(),
            "/*!40100 DEFAULT CHARACTER SET latin1 */ /*!80016 DEFAULT ENCRYPTION='N' */"
        );
        assert!(options_of("CREATE DATABASE `a` ; DROP DATABASE b").is_err() && options_of("DROP x").is_err());
    }
}
