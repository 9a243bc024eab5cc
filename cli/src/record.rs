//! What a run did, as plain data in the workflow's order of tasks.
//!
//! The engine's report is turned into this once ([`crate::engine`]); the table, the critical path and
//! the trace are functions of it.

use std::fmt;
use std::time::Duration;

/// How a task ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It did what it should.
    Ok,
    /// It failed, and why.
    Failed(String),
    /// It never started, because this task before it did not end well.
    Skipped {
        /// Index of the task that began the misfortune.
        root_cause: usize,
    },
    /// It never started, because the run was given up.
    Cancelled,
    /// It was stopped at its time limit.
    TimedOut,
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ok => "ok",
            Self::Failed(_) => "failed",
            Self::Skipped { .. } => "skipped",
            Self::Cancelled => "cancelled",
            Self::TimedOut => "timed out",
        })
    }
}

/// When and where a task ran; times count from the start of the run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    /// The worker's number.
    pub worker: usize,
    /// The CPU on which it ended, if the system told it.
    pub cpu: Option<usize>,
    /// Its start.
    pub start: Duration,
    /// Its end.
    pub end: Duration,
}

impl Span {
    /// How long the task took.
    pub fn duration(&self) -> Duration {
        self.end.saturating_sub(self.start)
    }
}

/// One task's part of a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TaskRecord {
    /// How it ended.
    pub outcome: Outcome,
    /// When and where it ran, if it did.
    pub span: Option<Span>,
}

/// A whole run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunRecord {
    /// One for each task of the workflow, in its order.
    pub tasks: Vec<TaskRecord>,
    /// For each worker the CPUs to which it was bound, if it was.
    pub bindings: Vec<Option<String>>,
    /// From the start of the run to its end.
    pub makespan: Duration,
}

impl RunRecord {
    /// Whether each task ended well.
    pub fn is_ok(&self) -> bool {
        self.tasks.iter().all(|task| task.outcome == Outcome::Ok)
    }
}

#[cfg(test)]
pub mod samples {
    //! A run for the tests of whatever reads records.

    use super::*;
    use crate::workflow::{Action, Draft, Mention, Workflow};
    use std::path::Path;

    /// `fetch` before `build` and `lint`; `test` after `build`; `ship` after `test` and `lint`.
    pub fn workflow() -> Workflow {
        let mention = |name: &str| Mention {
            name: name.to_owned(),
            line: None,
        };
        let edges: [(&str, &[&str]); 5] = [
            ("ship", &["test", "lint"]),
            ("fetch", &[]),
            ("build", &["fetch"]),
            ("lint", &["fetch"]),
            ("test", &["build"]),
        ];
        let drafts = edges.map(|(name, after)| Draft {
            name: mention(name),
            action: Action::Compute(Duration::ZERO),
            after: after.iter().map(|a| mention(a)).collect(),
        });
        Workflow::new(Path::new("sample"), drafts.into()).unwrap()
    }

    /// `test` fails, so `ship` never starts; `lint` takes longest alone, `build` and `test` together.
    pub fn record() -> RunRecord {
        let ms = |n: u64| Duration::from_micros(n * 1000 + 1);
        let span = |worker, start, end| {
            Some(Span {
                worker,
                cpu: Some(worker + 4),
                start: ms(start),
                end: ms(end),
            })
        };
        let task = |outcome, span| TaskRecord { outcome, span };
        RunRecord {
            tasks: vec![
                task(Outcome::Skipped { root_cause: 4 }, None),
                task(Outcome::Ok, span(0, 0, 10)),
                task(Outcome::Ok, span(0, 10, 40)),
                task(Outcome::Ok, span(1, 11, 61)),
                task(Outcome::Failed("exit status 3".into()), span(0, 40, 70)),
            ],
            bindings: vec![None, Some("5".into()), Some("6,7".into())],
            makespan: ms(100),
        }
    }
}
