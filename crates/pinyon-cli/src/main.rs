//! The program `pinyon`: look into and look after the caches of a `CACHES` dictionary.
//!
//! Exit status: 0 if all went well, 1 if something failed or was not there, 2 if the command line or the settings are wrong.
#![forbid(unsafe_code)]

mod args;
mod check;
mod commands;
mod confirm;
mod excerpt;
mod failure;
mod masking;
mod output;
mod report;
mod source;
mod tables;
mod value;

use args::{Arguments, Command};
use clap::Parser;
use failure::Failure;
use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => return args::refuse(&error),
    };
    match run(&arguments) {
        Ok(status) => status,
        Err(failure) => {
            if matches!(arguments.command, Command::Check { json: true }) {
                output::print(&report::failure_as_json(&failure));
            }
            output::complain(&failure);
            ExitCode::from(failure.status)
        }
    }
}

fn run(arguments: &Arguments) -> Result<ExitCode, Failure> {
    let settings = source::settings(&arguments.source)?;
    if let Command::Check { json } = arguments.command {
        let report = check::check(&settings);
        output::print(&if json { report::as_json(&report) } else { report::as_table(&report) });
        return Ok(ExitCode::from(u8::from(!report.is_ok())));
    }
    for note in &settings.notes {
        output::note(&note.to_string());
    }
    if let Command::CreateTable { alias, sql } = &arguments.command {
        output::print(&tables::create(&settings, alias.as_deref(), *sql)?);
        return Ok(ExitCode::SUCCESS);
    }
    let said = commands::run(&arguments.command, settings)?;
    output::print(&format!("{said}\n"));
    Ok(ExitCode::SUCCESS)
}
