//! `kronos generate`: a commented sample configuration, or the schema of configurations for editors.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use kronos_core::{Error, ErrorKind, Result};
use kronos_service::Format;

use crate::errors::{Exit, usage};
use crate::output::Output;

#[derive(Args)]
pub(crate) struct GenerateArgs {
    /// The language, or the JSON Schema that editors complete and check by [default: as the file's
    /// name says, else toml]
    #[arg(long, value_name = "FORMAT")]
    format: Option<Printed>,
    /// Write it into this file, which must not exist [default: print it]
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Write it although the file exists, which is lost
    #[arg(long, requires = "output")]
    replace: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Printed {
    Toml,
    Yaml,
    JsonSchema,
}

pub(crate) fn run(args: &GenerateArgs, out: &Output) -> Result<Exit> {
    let text = match args.format.unwrap_or_else(|| of_name(args.output.as_deref())) {
        Printed::Toml => kronos_service::sample(Format::Toml),
        Printed::Yaml => kronos_service::sample(Format::Yaml),
        Printed::JsonSchema => format!("{:#}\n", kronos_service::json_schema()),
    };
    if let (Some(file), Some(Printed::Toml | Printed::Yaml) | None) = (&args.output, args.format) {
        matches_name(file, args.format.unwrap_or_else(|| of_name(Some(file))))?;
    }
    let Some(file) = &args.output else {
        out.text(&text);
        return Ok(Exit::Done);
    };
    write(file, &text, args.replace)?;
    out.note(&format!("wrote {}; `kronos validate -c {}` checks it", file.display(), file.display()));
    Ok(Exit::Done)
}

/// YAML for a file that is called so, and TOML for all others.
fn of_name(file: Option<&Path>) -> Printed {
    match file.map(Format::of) {
        Some(Ok(Format::Yaml)) => Printed::Yaml,
        _ => Printed::Toml,
    }
}

/// By its name it is known how a configuration is to be read.
fn matches_name(file: &Path, printed: Printed) -> Result<()> {
    let wanted = if printed == Printed::Yaml { Format::Yaml } else { Format::Toml };
    if Format::of(file).is_ok_and(|of| of == wanted) {
        return Ok(());
    }
    Err(usage(
        format!("{} is not what a file of this language is called", file.display()),
        "give it the ending .toml or .yaml",
    ))
}

/// A configuration gets secrets sooner or later: it is for its owner alone from the beginning.
fn write(file: &Path, text: &str, replace: bool) -> Result<()> {
    use std::os::unix::fs::OpenOptionsExt;
    let mut options = fs::OpenOptions::new();
    options.write(true).mode(0o600);
    if replace {
        options.create(true).truncate(true)
    } else {
        options.create_new(true)
    };
    options.open(file).and_then(|mut f| f.write_all(text.as_bytes()).and_then(|()| f.sync_all())).map_err(|e| {
        let kind = ErrorKind::from(e.kind());
        let hint = match kind {
            ErrorKind::AlreadyExists => "choose another file, or give --replace",
            ErrorKind::NotFound => "make its directory first",
            ErrorKind::PermissionDenied => "choose a directory you may write to",
            ErrorKind::StorageFull => "make room there",
            _ => "choose another file",
        };
        Error::new(kind, "the sample could not be written")
            .with("path", file.display())
            .with("hint", hint)
            .with_source(e)
    })
}
