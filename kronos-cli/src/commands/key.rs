//! `kronos key`: the keys of an encrypted repository.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use kronos_core::{Error, ErrorKind, Id, KeyInfo, Mode, Protection, Repository, Result};
use serde::Serialize;

use crate::app::App;
use crate::args::From;
use crate::errors::{Exit, usage};
use crate::keys::{read_passphrase, write_secret};
use crate::output::table;

#[derive(Subcommand)]
pub(crate) enum KeyCommand {
    /// Add a key that opens the repository as well
    Add(NewKeyArgs),
    /// List the keys
    List(ListArgs),
    /// Remove a key; the last one stays. Whoever has opened the repository with it and kept a
    /// copy of what is inside can still read
    Remove(RemoveArgs),
    /// Add a key and remove all others. Whoever has opened the repository with one of those and
    /// kept a copy of what is inside can still read
    Rotate(NewKeyArgs),
    /// Write the key of a host that may back up into a repository with recipients, but not read it
    Writer(WriterArgs),
}

impl KeyCommand {
    /// What it changes; a list and a dry run change nothing.
    pub(crate) fn changes(&self) -> Option<&'static str> {
        let (what, dry_run) = match self {
            Self::Add(args) => ("add", args.dry_run),
            Self::Remove(args) => ("remove", args.dry_run),
            Self::Rotate(args) => ("rotate", args.dry_run),
            Self::Writer(_) => ("writer", false),
            Self::List(_) => return None,
        };
        (!dry_run).then_some(what)
    }
}

#[derive(Args)]
pub(crate) struct NewKeyArgs {
    #[command(flatten)]
    from: From,
    #[command(flatten)]
    new: NewKey,
    /// Tell only what would be done
    #[arg(long)]
    dry_run: bool,
}

#[derive(Args)]
#[group(required = true, multiple = false)]
struct NewKey {
    /// File with the new passphrase
    #[arg(long, value_name = "FILE")]
    new_passphrase_file: Option<PathBuf>,
    /// An age recipient whose identity shall open the repository; may be given several times
    #[arg(long, value_name = "age1…")]
    new_recipient: Vec<String>,
}

#[derive(Args)]
pub(crate) struct ListArgs {
    #[command(flatten)]
    from: From,
}

#[derive(Args)]
pub(crate) struct RemoveArgs {
    /// The key's id, or the beginning of it
    key: String,
    #[command(flatten)]
    from: From,
    /// Tell only what would be done
    #[arg(long)]
    dry_run: bool,
}

#[derive(Args)]
pub(crate) struct WriterArgs {
    #[command(flatten)]
    from: From,
    /// Write it into this new file, readable by its owner only [default: print it]
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
}

#[derive(Serialize)]
struct Keys {
    mode: Mode,
    keys: Vec<KeyInfo>,
}

#[derive(Serialize)]
struct Changed {
    dry_run: bool,
    added: Option<Id>,
    removed: Vec<Id>,
}

const NOT_REVOKED: &str = "a key that someone has copied is not revoked: who has opened the repository with it and kept \
                           what is inside can still read; for that, make a new repository and `kronos copy` into it";

pub(crate) async fn run(app: &App, command: &KeyCommand) -> Result<Exit> {
    match command {
        KeyCommand::Add(args) => add(app, args).await,
        KeyCommand::List(args) => list(app, args).await,
        KeyCommand::Remove(args) => remove(app, args).await,
        KeyCommand::Rotate(args) => rotate(app, args).await,
        KeyCommand::Writer(args) => writer(app, args).await,
    }
}

async fn list(app: &App, args: &ListArgs) -> Result<Exit> {
    let repository = app.open_from(&args.from).await?;
    let found = Keys { mode: repository.mode(), keys: repository.keys(&app.run).await? };
    if found.mode == Mode::Plain {
        app.out.note("the repository is not encrypted and has no keys");
    }
    app.out.result("key-list", &found, || {
        let state = |k: &KeyInfo| if k.intact { "" } else { "damaged" };
        let rows: Vec<Vec<String>> = found.keys.iter().map(|k| vec![k.id.to_string(), state(k).to_owned()]).collect();
        if rows.is_empty() { String::new() } else { table(&["KEY", "STATE"], &rows) }
    })?;
    Ok(if found.keys.iter().all(|k| k.intact) { Exit::Done } else { Exit::Damaged })
}

fn protection(new: &NewKey) -> Result<Protection> {
    match &new.new_passphrase_file {
        Some(file) => read_passphrase(file).map(Protection::Passphrase),
        None => Ok(Protection::Recipients(new.new_recipient.clone())),
    }
}

/// What the library would refuse, known without a write.
fn check_mode(repository: &Repository) -> Result<()> {
    let message = match repository.mode() {
        Mode::Plain => "the repository is not encrypted, and stays so",
        Mode::Recipients => "the recipients of a repository are fixed when it is made",
        Mode::Encrypted => return Ok(()),
    };
    Err(Error::new(ErrorKind::Unsupported, message).with("storage", repository.describe()))
}

async fn add(app: &App, args: &NewKeyArgs) -> Result<Exit> {
    let protection = protection(&args.new)?;
    let repository = app.open_from(&args.from).await?;
    check_mode(&repository)?;
    let mut changed = Changed { dry_run: args.dry_run, added: None, removed: Vec::new() };
    if !args.dry_run {
        changed.added = Some(repository.add_key(&protection, &app.run).await?);
    }
    app.out.result("key-add", &changed, || match changed.added {
        Some(id) => format!("added key {id}"),
        None => "would add a key".to_owned(),
    })?;
    Ok(Exit::Done)
}

async fn remove(app: &App, args: &RemoveArgs) -> Result<Exit> {
    let repository = app.open_from(&args.from).await?;
    let wanted = args.key.to_ascii_lowercase();
    let keys = repository.keys(&app.run).await?;
    let found: Vec<Id> = keys.iter().map(|k| k.id).filter(|id| id.to_string().starts_with(&wanted)).collect();
    let key = match found.as_slice() {
        [key] if !wanted.is_empty() => *key,
        [] => return Err(Error::new(ErrorKind::NotFound, "no such key").with("key", &args.key)),
        _ => return Err(usage("several keys begin like this", "write more of the id").with("key", &args.key)),
    };
    if args.dry_run && keys.len() == 1 {
        return Err(Error::new(ErrorKind::Conflict, "the last intact key cannot be removed").with("key", key));
    }
    if !args.dry_run {
        repository.remove_key(key, &app.run).await?;
    }
    let changed = Changed { dry_run: args.dry_run, added: None, removed: vec![key] };
    let what = if args.dry_run { "would remove" } else { "removed" };
    app.out.result("key-remove", &changed, || format!("{what} key {key}"))?;
    app.out.note(NOT_REVOKED);
    Ok(Exit::Done)
}

async fn rotate(app: &App, args: &NewKeyArgs) -> Result<Exit> {
    let protection = protection(&args.new)?;
    let repository = app.open_from(&args.from).await?;
    check_mode(&repository)?;
    let old: Vec<Id> = repository.keys(&app.run).await?.into_iter().map(|k| k.id).collect();
    let mut changed = Changed { dry_run: args.dry_run, added: None, removed: old };
    if !args.dry_run {
        changed.added = Some(repository.add_key(&protection, &app.run).await?);
        for key in &changed.removed {
            repository.remove_key(*key, &app.run).await?;
        }
    }
    let removed = crate::units::count(changed.removed.len() as u64, "key");
    app.out.result("key-rotate", &changed, || match changed.added {
        Some(id) => format!("added key {id}, removed {removed}"),
        None => format!("would add a key and remove {removed}"),
    })?;
    app.out.note(NOT_REVOKED);
    Ok(Exit::Done)
}

async fn writer(app: &App, args: &WriterArgs) -> Result<Exit> {
    let repository = app.open_from(&args.from).await?;
    if repository.mode() != Mode::Recipients {
        let message = "only a repository for recipients has a writer key: into any other, who can write can read";
        return Err(Error::new(ErrorKind::Unsupported, message)
            .with("storage", repository.describe())
            .with("hint", "make one with `kronos init --recipient age1…`"));
    }
    let key = repository.writer_key()?;
    match &args.output {
        Some(file) => {
            write_secret(file, &key)?;
            app.out.note(&format!("wrote the writer key to {}", file.display()));
        }
        // The one secret that is ever shown: it is what was asked for.
        None => app.out.text(key.expose()),
    }
    Ok(Exit::Done)
}
