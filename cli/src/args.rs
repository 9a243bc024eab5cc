//! The command line.

use std::path::PathBuf;

use clap::error::ErrorKind;
use clap::{Parser, Subcommand};

/// The most workers a run may have.
pub const WORKERS_LIMIT: usize = 1024;

const FORMAT: &str = "\
TOML workflows (.toml) hold commands:

  [[task]]
  name = \"test\"         # unique
  run = \"make test\"     # given to `sh -c`, in the current directory, without input
  after = [\"build\"]     # starts once these have ended well
  timeout = \"1m 30s\"    # for each attempt; or a number of seconds
  retries = 2           # further attempts after a failed one, at once

What a task writes is kept and shown if it fails. When its shell ends or its timeout
passes, every process left in its process group is killed. A command runs where its
worker is bound.

JSON workflows (.json) are recordings in the WfCommons schema 1.5: each task computes
for its recorded runtimeInSeconds of CPU time, multiplied by --time-scale.

A file of another name is taken for JSON if it begins with `{`, else for TOML.

In the table at the end, `bound` lists the CPUs to which a worker is bound, and `cpu` is
the one on which its last task ended.

Exit status: 0 all tasks ended well, 1 some did not, 2 bad input and nothing has run.";

/// Runs workflows on pinned workers, and shows what a machine offers to them.
#[derive(Debug, Parser)]
#[command(name = "pinfold", version, arg_required_else_help = false)]
pub struct Arguments {
    /// What to do.
    #[command(subcommand)]
    pub action: Action,
}

/// The subcommands.
#[derive(Debug, Subcommand)]
pub enum Action {
    /// Show what this machine has and what of it we may use
    Topology,
    /// Run the tasks of a workflow file, each after those it depends on
    #[command(after_help = FORMAT)]
    Run(RunArguments),
}

/// What `pinfold run` is told.
#[derive(Debug, clap::Args)]
pub struct RunArguments {
    /// The workflow: our TOML, or a WfCommons 1.5 JSON recording
    pub file: PathBuf,
    /// How many tasks run at once, 1 to 1024 [default: one for each CPU that --place lists or that we may use]
    #[arg(long, value_name = "N", value_parser = parse_workers, allow_hyphen_values = true)]
    pub workers: Option<usize>,
    /// Where workers are bound: none, compact, spread or cpus=LIST; more after commas:
    /// smt=on|off, bind=none|group|core|cpu
    #[arg(
        long,
        value_name = "P",
        default_value = "none",
        allow_hyphen_values = true
    )]
    pub place: String,
    /// Write a Chrome trace, which ui.perfetto.dev opens
    #[arg(long, value_name = "FILE")]
    pub trace: Option<PathBuf>,
    /// Multiply the recorded run times of a JSON workflow
    #[arg(long, value_name = "X", default_value = "1", value_parser = parse_time_scale, allow_hyphen_values = true)]
    pub time_scale: f64,
    /// After a failure still run all that does not depend on it
    #[arg(long)]
    pub keep_going: bool,
}

fn parse_workers(text: &str) -> Result<usize, String> {
    let remedy = || format!("say a whole number from 1 to {WORKERS_LIMIT}");
    let workers: usize = text.parse().map_err(|_| remedy())?;
    match workers {
        0 => Err(format!("a run needs at least one worker; {}", remedy())),
        1..=WORKERS_LIMIT => Ok(workers),
        _ => Err(format!(
            "the limit is {WORKERS_LIMIT} workers; {}",
            remedy()
        )),
    }
}

fn parse_time_scale(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(scale) if (0.0..f64::INFINITY).contains(&scale) => Ok(scale),
        _ => Err("say a number that is at least 0 and finite, such as 0.001".to_owned()),
    }
}

/// Reads the command line. An error is one sentence; `--help` and `--version` end the process.
pub fn read() -> Result<Arguments, String> {
    Arguments::try_parse().map_err(|error| match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => error.exit(),
        _ => usage_sentence(&error.to_string()),
    })
}

/// The first paragraph of clap's message without its line breaks; the usage that follows is in `--help`.
fn usage_sentence(message: &str) -> String {
    let message = message.strip_prefix("error: ").unwrap_or(message);
    let paragraph = message.lines().take_while(|line| !line.is_empty());
    let words: Vec<&str> = paragraph.map(str::trim).collect();
    format!("{}; see `pinfold --help`", words.join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_well_formed() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn workers_have_bounds() {
        assert_eq!(parse_workers("1024"), Ok(1024));
        assert!(parse_workers("1025").unwrap_err().contains("limit is 1024"));
        assert!(
            parse_workers("0")
                .unwrap_err()
                .contains("at least one worker")
        );
        assert!(parse_workers("two").unwrap_err().contains("from 1 to 1024"));
    }

    #[test]
    fn a_time_scale_is_finite_and_not_negative() {
        assert_eq!(parse_time_scale("0.0005"), Ok(0.0005));
        assert_eq!(parse_time_scale("0"), Ok(0.0));
        for bad in ["-1", "nan", "inf", "-inf", "1e999", "fast", ""] {
            assert!(parse_time_scale(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_usage_error_is_one_sentence() {
        let error = Arguments::try_parse_from(["pinfold", "run"]).unwrap_err();
        assert_eq!(
            usage_sentence(&error.to_string()),
            "the following required arguments were not provided: <FILE>; see `pinfold --help`"
        );
    }
}
