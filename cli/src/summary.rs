//! The table at the end of a run.

use std::fmt::{self, Write};
use std::time::Duration;

use crate::critical_path::critical_path;
use crate::record::{Outcome, RunRecord};
use crate::workflow::Workflow;

/// More tasks than this and the middle of the critical path is left out.
const PATH_NAMES_SHOWN: usize = 20;

/// A run's table: outcomes, what failed, makespan, critical path, workers.
pub fn table(workflow: &Workflow, record: &RunRecord) -> String {
    let mut text = String::new();
    write_table(&mut text, workflow, record).expect("a String takes whatever is written");
    text
}

fn write_table(out: &mut String, workflow: &Workflow, record: &RunRecord) -> fmt::Result {
    write_outcomes(out, workflow, record)?;
    writeln!(out, "makespan       {}", seconds(record.makespan))?;
    write_path(out, workflow, record)?;
    write_workers(out, record)
}

fn write_outcomes(out: &mut String, workflow: &Workflow, record: &RunRecord) -> fmt::Result {
    writeln!(out, "tasks          {}", record.tasks.len())?;
    let names: Vec<String> = record.tasks.iter().map(|t| t.outcome.to_string()).collect();
    let count = |name: &str| names.iter().filter(|n| *n == name).count();
    let counts = ["ok", "failed", "skipped", "cancelled", "timed out"]
        .map(|name| format!("{} {name}", count(name)));
    writeln!(out, "outcomes       {}", counts.join(", "))?;
    for (task, ended) in workflow.tasks().iter().zip(&record.tasks) {
        match &ended.outcome {
            Outcome::Failed(reason) => writeln!(out, "  failed       {}: {reason}", task.name)?,
            Outcome::TimedOut => writeln!(out, "  timed out    {}", task.name)?,
            Outcome::Ok | Outcome::Skipped { .. } | Outcome::Cancelled => {}
        }
    }
    Ok(())
}

fn write_path(out: &mut String, workflow: &Workflow, record: &RunRecord) -> fmt::Result {
    let path = critical_path(workflow, record);
    let share = percent(path.length, record.makespan);
    writeln!(
        out,
        "critical path  {} in {} tasks, {share} of the makespan",
        seconds(path.length),
        path.tasks.len()
    )?;
    let hidden = path.tasks.len().saturating_sub(PATH_NAMES_SHOWN);
    let first_hidden = if hidden > 0 {
        PATH_NAMES_SHOWN / 2
    } else {
        usize::MAX
    };
    for (position, &task) in path.tasks.iter().enumerate() {
        if position == first_hidden {
            writeln!(out, "  ... {hidden} more ...")?;
        }
        if position < first_hidden || position >= first_hidden + hidden {
            let took = record.tasks[task].span.map(|span| span.duration());
            let took = seconds(took.unwrap_or_default());
            writeln!(out, "  {took:>12}  {}", workflow.tasks()[task].name)?;
        }
    }
    Ok(())
}

#[derive(Clone, Default)]
struct Worker {
    tasks: usize,
    busy: Duration,
    last: Option<(Duration, usize)>,
}

fn write_workers(out: &mut String, record: &RunRecord) -> fmt::Result {
    let mut workers = vec![Worker::default(); record.bindings.len()];
    for span in record.tasks.iter().filter_map(|task| task.span) {
        let worker = &mut workers[span.worker];
        worker.tasks += 1;
        worker.busy += span.duration();
        worker.last = worker.last.max(span.cpu.map(|cpu| (span.end, cpu)));
    }
    let header = ["worker", "bound", "cpu", "tasks", "busy", "share"];
    write_row(out, &header.map(str::to_owned))?;
    for (number, worker) in workers.iter().enumerate() {
        let dash = || "-".to_owned();
        let row = [
            number.to_string(),
            record.bindings[number].clone().unwrap_or_else(dash),
            worker.last.map_or_else(dash, |(_, cpu)| cpu.to_string()),
            worker.tasks.to_string(),
            seconds(worker.busy),
            percent(worker.busy, record.makespan),
        ];
        write_row(out, &row)?;
    }
    Ok(())
}

fn write_row(out: &mut String, row: &[String; 6]) -> fmt::Result {
    let [worker, bound, cpu, tasks, busy, share] = row;
    writeln!(
        out,
        "{worker:>6} {bound:>7} {cpu:>5} {tasks:>7} {busy:>12} {share:>7}"
    )
}

/// Seconds with a millisecond's precision, as everywhere in `pinfold run`.
pub fn seconds(duration: Duration) -> String {
    format!("{:.3}s", duration.as_secs_f64())
}

fn percent(part: Duration, whole: Duration) -> String {
    if whole.is_zero() {
        return "-".to_owned();
    }
    format!("{:.1}%", 100.0 * part.as_secs_f64() / whole.as_secs_f64())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::samples;

    #[test]
    fn the_table_of_a_failed_run() {
        let expected = "\
tasks          5
outcomes       3 ok, 1 failed, 1 skipped, 0 cancelled, 0 timed out
  failed       test: exit status 3
makespan       0.100s
critical path  0.070s in 3 tasks, 70.0% of the makespan
        0.010s  fetch
        0.030s  build
        0.030s  test
worker   bound   cpu   tasks         busy   share
     0       -     4       3       0.070s   70.0%
     1       5     5       1       0.050s   50.0%
     2     6,7     -       0       0.000s    0.0%
";
        assert_eq!(table(&samples::workflow(), &samples::record()), expected);
    }
}
