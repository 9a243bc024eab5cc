//! Runs Pinfold and its peers side by side.
//!
//! Exit status: 0 all measured; 1 a contender failed or did not do its work; 2 no such workload or
//! option; 3 a part of Pinfold that the workload needs does not exist.

use std::process::ExitCode;

use clap::Parser;
use clap::builder::RangedU64ValueParser;
use pinfold_benches::options::Options;
use pinfold_benches::workloads::{self, Workload};

/// Runs Pinfold and its peers side by side and prints medians, spreads and ratios.
///
/// The last line of a workload is `ratio WORKLOAD pinfold/best-peer R`: Pinfold's median over the
/// best peer's; less is better.
#[derive(Debug, Parser)]
#[command(name = "versus")]
struct Arguments {
    /// A workload, `all`, or `list` to see what there is
    workload: String,
    /// Smaller work and fewer rounds: a check, not a figure to quote
    #[arg(long)]
    quick: bool,
    /// Counted rounds [default: the workload's own]
    #[arg(long, value_parser = RangedU64ValueParser::<usize>::new().range(1..=1000))]
    rounds: Option<usize>,
    /// Workers or threads [default: the workload's own]
    #[arg(long, value_parser = RangedU64ValueParser::<usize>::new().range(1..=1024))]
    workers: Option<usize>,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    if arguments.workload == "list" {
        list();
        return ExitCode::SUCCESS;
    }
    let options = Options {
        quick: arguments.quick,
        rounds: arguments.rounds,
        workers: arguments.workers,
    };
    match workloads::named(&arguments.workload) {
        Ok(chosen) => run(&chosen, &options),
        Err(unknown) => {
            eprintln!("versus: {unknown}");
            ExitCode::from(2)
        }
    }
}

fn list() {
    for Workload { name, summary, .. } in workloads::ALL {
        println!("{name:20} {summary}");
    }
}

fn run(chosen: &[Workload], options: &Options) -> ExitCode {
    let mut complete = true;
    for workload in chosen {
        match workload.measure(options) {
            Ok(report) => {
                print!("{report}");
                complete &= report.is_complete();
            }
            Err(fault) => {
                eprintln!("versus: {}: {fault}", workload.name);
                return ExitCode::from(1);
            }
        }
    }
    ExitCode::from(if complete { 0 } else { 3 })
}
