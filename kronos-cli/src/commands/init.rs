//! `kronos init`: makes an empty repository.

use clap::Args;
use kronos_core::{ErrorKind, Mode, RepositoryIdentity, Result};
use serde::Serialize;

use crate::app::App;
use crate::errors::Exit;

#[derive(Args)]
pub(crate) struct InitArgs {
    /// Where: an empty or missing directory, or a URL [default: the configuration's, if it has one storage]
    #[arg(long, value_name = "STORAGE", env = "KRONOS_STORAGE", hide_env_values = true)]
    pub(crate) to: Option<String>,
    /// Tell only whether it could be made
    #[arg(long)]
    pub(crate) dry_run: bool,
}

#[derive(Serialize)]
struct Made {
    storage: String,
    dry_run: bool,
    mode: Option<Mode>,
    repository: Option<RepositoryIdentity>,
}

pub(crate) async fn run(app: &App, args: &InitArgs) -> Result<Exit> {
    let place = app.place(&app.storage_url(args.to.as_deref(), "--to")?)?;
    let mut made = Made { storage: place.name.clone(), dry_run: args.dry_run, mode: None, repository: None };
    if args.dry_run {
        app.keys()?.protection()?;
        match app.open_if_there(&place).await {
            Ok(None) => {}
            Ok(Some(_)) => {
                return Err(kronos_core::Error::new(ErrorKind::AlreadyExists, "there is a repository already")
                    .with("storage", place.name));
            }
            Err(e) => return Err(e),
        }
        app.out.result("init", &made, || format!("a repository can be made on {}", place.name))?;
        return Ok(Exit::Done);
    }
    let repository = app.init(&place).await?;
    (made.mode, made.repository) = (Some(repository.mode()), Some(repository.identity()));
    // People have been told when it was made.
    app.out.result("init", &made, String::new)?;
    Ok(Exit::Done)
}
