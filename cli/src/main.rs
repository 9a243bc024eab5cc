//! `pinfold`: shows what a machine offers to pinned workers, and runs workflows on them.
//!
//! A run goes through these modules in this order: [`args`] and [`workflow`] refuse bad input;
//! [`engine`] schedules (it alone knows the `pinfold` library); [`runner`] carries out one task, by
//! means of [`action`], and tells [`progress`]; the engine's report becomes a [`record`], from which
//! come the table ([`summary`]), the [`critical_path`] and the [`trace`]. What is said on standard output
//! and standard error goes through [`print`], but for [`progress`].
#![forbid(unsafe_code)]

#[cfg(not(target_os = "linux"))]
compile_error!("the command-line tool watches its child processes through pidfds, which Linux has");

mod action;
mod args;
mod critical_path;
mod engine;
mod print;
mod progress;
mod record;
mod run;
mod runner;
mod summary;
mod topology;
mod trace;
mod workflow;

use std::process::ExitCode;

use pinfold_affinity::{Allowed, Topology};

/// A task did not end well, or what the run came to could not be written.
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
    let topology = match Topology::read() {
        Ok(topology) => topology,
        Err(error) => {
            let sentence = format!("cannot read the machine: {error}; is /sys mounted?");
            return fail(&sentence, BAD_INPUT);
        }
    };
    match print::print(&topology::describe(&topology, &Allowed::current())) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(&error.to_string(), FAILED),
    }
}

fn fail(sentence: &str, status: u8) -> ExitCode {
    print::say(sentence);
    status.into()
}
