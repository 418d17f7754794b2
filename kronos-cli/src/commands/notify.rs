//! `kronos notify test`: sends a message by every way that the configuration has.

use std::fmt::Write;

use clap::{Args, Subcommand};
use kronos_core::{Error, ErrorKind, Result};
use kronos_service::Failure;
use serde::Serialize;

use crate::app::App;
use crate::errors::Exit;

#[derive(Subcommand)]
pub(crate) enum NotifyCommand {
    /// Send a message by each way of those who hear of runs, and tell what became of it
    Test(TestArgs),
}

#[derive(Args)]
pub(crate) struct TestArgs {
    /// Only these, as `[notify]` of the configuration names them
    names: Vec<String>,
}

#[derive(Serialize)]
struct Tested {
    channels: Vec<Channel>,
}

#[derive(Serialize)]
struct Channel {
    name: String,
    ways: Vec<Way>,
    /// Why it cannot be used at all.
    error: Option<Failure>,
}

#[derive(Serialize)]
#[expect(clippy::struct_field_names, reason = "they are named as in the JSON")]
struct Way {
    way: String,
    /// What the receiver said beside taking it.
    remarks: Vec<String>,
    error: Option<Failure>,
}

pub(crate) async fn run(app: &App, command: &NotifyCommand) -> Result<Exit> {
    let NotifyCommand::Test(args) = command;
    let configured = &app.config.notify;
    let names: Vec<String> =
        if args.names.is_empty() { configured.keys().cloned().collect() } else { args.names.clone() };
    if names.is_empty() {
        return Err(Error::new(ErrorKind::NotFound, "the configuration has nobody in [notify]")
            .with("hint", "`kronos generate` shows how they are written"));
    }
    if let Some(name) = names.iter().find(|name| !configured.contains_key(*name)) {
        let error = Error::new(ErrorKind::NotFound, "there is nobody of this name in [notify]").with("name", name);
        return Err(match kronos_core::nearest(name, configured.keys().map(String::as_str)) {
            Some(near) => error.with("did you mean", near),
            None => error.with("known", configured.keys().cloned().collect::<Vec<_>>().join(", ")),
        });
    }
    let mut tested = Tested { channels: Vec::new() };
    for name in names {
        tested.channels.push(channel(app, name).await);
    }
    app.out.result("notify-test", &tested, || text(&tested))?;
    let failed = |channel: &Channel| channel.error.is_some() || channel.ways.iter().any(|way| way.error.is_some());
    Ok(if tested.channels.iter().any(failed) { Exit::Failed } else { Exit::Done })
}

async fn channel(app: &App, name: String) -> Channel {
    let sent = async {
        // Each by itself: what is wrong with one says nothing of the others.
        let channel = app.config.notify[&name].channel(&name, &crate::config::variable)?;
        app.notifier(vec![channel])?.test(&name).await
    };
    match sent.await {
        Ok(ways) => {
            let way = |(way, sent): (String, Result<kronos_service::notify::Receipt>)| match sent {
                Ok(receipt) => Way { way, remarks: receipt.remarks, error: None },
                Err(error) => Way { way, remarks: Vec::new(), error: Some(Failure::of(&error)) },
            };
            Channel { name, ways: ways.into_iter().map(way).collect(), error: None }
        }
        Err(error) => Channel { name, ways: Vec::new(), error: Some(Failure::of(&error)) },
    }
}

fn text(tested: &Tested) -> String {
    let mut text = String::new();
    let failed = |text: &mut String, what: &str, error: &Failure| {
        let _ = writeln!(text, "{what}: failed: {}", error.message);
        for cause in &error.causes {
            let _ = writeln!(text, "  caused by: {cause}");
        }
        if let Some(hint) = &error.hint {
            let _ = writeln!(text, "  hint: {hint}");
        }
    };
    for channel in &tested.channels {
        if let Some(error) = &channel.error {
            failed(&mut text, &channel.name, error);
        }
        for way in &channel.ways {
            let what = format!("{} by {}", channel.name, way.way);
            match &way.error {
                Some(error) => failed(&mut text, &what, error),
                None => {
                    let _ = writeln!(text, "{what}: sent");
                }
            }
            for remark in &way.remarks {
                let _ = writeln!(text, "  {remark}");
            }
        }
    }
    text
}
