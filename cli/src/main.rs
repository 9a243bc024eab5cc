//! `pinfold`: shows what a machine offers to pinned workers, and runs workflows on them.
//!
//! A run goes through these modules in this order: [`args`] and [`workflow`] refuse bad input;
//! [`engine`] schedules (it alone knows the `pinfold` library); [`runner`] carries out one task, by
//! means of [`action`], and tells [`progress`]; the engine's report becomes a [`record`], from which
//! come the table ([`summary`]), the [`critical_path`] and the [`trace`].
#![forbid(unsafe_code)]

#[cfg(not(target_os = "linux"))]
compile_error!("the command-line tool watches its child processes through pidfds, which Linux has");

mod action;
mod args;
mod critical_path;
mod engine;
mod progress;
mod record;
mod run;
mod runner;
mod summary;
mod topology;
mod trace;
mod workflow;

use std::io::{self, Write};
use std::process::ExitCode;

use pinfold_affinity::{Allowed, Topology};

/// A task did not end well, or the trace of a run that is over could not be written.
const FAILED: u8 = 1;

/// The input was refused; nothing has run.
const BAD_INPUT: u8 = 2;

fn main() -> ExitCode {
    let arguments = match args::read() {
        Ok(arguments) => arguments,
        Err(sentence) => return fail(&sentence, BAD_INPUT),
    };
    match arguments.action {
        args::Action::Topology => show_topology(),
        args::Action::Run(arguments) => match run::run(&arguments) {
            Ok(true) => ExitCode::SUCCESS,
            Ok(false) => FAILED.into(),
            Err(error) if error.is_after_run() => fail(&error.to_string(), FAILED),
            Err(error) => fail(&error.to_string(), BAD_INPUT),
        },
    }
}

fn show_topology() -> ExitCode {
    match Topology::read() {
        Ok(topology) => {
            let text = topology::describe(&topology, &Allowed::current());
            // Whoever closed our standard output does not want it.
            let _ = io::stdout().write_all(text.as_bytes());
            ExitCode::SUCCESS
        }
        Err(error) => fail(
            &format!("cannot read the machine: {error}; is /sys mounted?"),
            BAD_INPUT,
        ),
    }
}

/// Says why on one line, whatever characters the sentence took over from a file.
fn fail(sentence: &str, status: u8) -> ExitCode {
    let mut line = String::from("pinfold: ");
    for character in sentence.chars() {
        if character.is_control() {
            line.extend(character.escape_default());
        } else {
            line.push(character);
        }
    }
    line.push('\n');
    // If standard error is closed, the status still tells.
    let _ = io::stderr().write_all(line.as_bytes());
    status.into()
}
