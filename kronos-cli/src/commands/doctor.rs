//! `kronos doctor`: what is built in, what is installed, what is missing and how to get it.

use std::fmt::Write;

use clap::Args;
use kronos_connectors::Program;
use kronos_core::Result;
use serde::Serialize;

use crate::app::App;
use crate::config::variable;
use crate::errors::Exit;

#[derive(Args)]
pub(crate) struct DoctorArgs {}

#[derive(Serialize)]
struct Findings {
    version: &'static str,
    engines: Vec<String>,
    storages: Vec<String>,
    programs: Vec<ProgramFound>,
    /// What is missing, one line each.
    missing: Vec<String>,
    /// What is missing and can be done without.
    optional: Vec<String>,
}

#[derive(Serialize)]
struct ProgramFound {
    engine: String,
    name: &'static str,
    purpose: &'static str,
    found: Vec<Place>,
}

#[derive(Serialize)]
struct Place {
    path: String,
    version: String,
}

pub(crate) async fn run(app: &App, _: &DoctorArgs) -> Result<Exit> {
    let path = variable("PATH").unwrap_or_default();
    let directories: Vec<_> = std::env::split_paths(&path).filter(|path| path.is_absolute()).collect();
    let programs = kronos_connectors::programs(&directories).await;
    let absent = |is_needed| {
        let absent = programs.iter().filter(move |program| program.found.is_empty() && program.is_needed == is_needed);
        absent.map(|program| format!("{}, for {}: {}", program.name, program.purpose, program.hint)).collect()
    };
    let (missing, optional): (Vec<String>, Vec<String>) = (absent(true), absent(false));
    let findings = Findings {
        version: env!("CARGO_PKG_VERSION"),
        engines: app.registry.engines().into_iter().map(str::to_owned).collect(),
        storages: app.registry.schemes().into_iter().map(str::to_owned).collect(),
        programs: programs.into_iter().map(found).collect(),
        missing,
        optional,
    };
    app.out.result("doctor", &findings, || text(&findings))?;
    for missing in &findings.missing {
        app.warn(&format!("missing: {missing}"));
    }
    Ok(Exit::Done)
}

fn found(program: Program) -> ProgramFound {
    let place = |(path, version): (std::path::PathBuf, String)| Place { path: path.display().to_string(), version };
    ProgramFound {
        engine: program.engine.to_string(),
        name: program.name,
        purpose: program.purpose,
        found: program.found.into_iter().map(place).collect(),
    }
}

fn text(findings: &Findings) -> String {
    let mut text = String::new();
    let mut line = |name: &str, value: &str| {
        let _ = writeln!(text, "{name:<14}{value}");
    };
    line("kronos", findings.version);
    line("engines", &findings.engines.join(", "));
    line("storages", &findings.storages.join(", "));
    for program in &findings.programs {
        let places: Vec<String> =
            program.found.iter().map(|place| format!("{} {}", place.version, place.path)).collect();
        line(program.name, if places.is_empty() { "missing" } else { "found" });
        for place in &places {
            line("", place);
        }
    }
    text
}
