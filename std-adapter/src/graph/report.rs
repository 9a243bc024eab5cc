//! What a run came to.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use pinfold_core::graph::Outcome as CoreOutcome;
use pinfold_core::platform::WorkerId;

use super::BoxError;
use super::build::Inner;
use super::run::RunState;

/// How a task ended.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum Outcome<'r> {
    /// It ran and succeeded.
    Ok,
    /// It ran and failed, or panicked.
    Failed(&'r BoxError),
    /// It did not run, because a task that it depends on failed or timed out.
    Skipped {
        /// The index of that task; with several, any of them.
        root_cause: usize,
    },
    /// It did not run, because the run was stopped.
    Cancelled,
    /// It ran out of time.
    TimedOut,
}

/// The outcomes of one run, one per task.
pub struct RunReport {
    graph: Arc<Inner>,
    /// `None` only while it is dropped.
    state: Option<RunState>,
    makespan: Duration,
    timed: bool,
}

/// One task of a [`RunReport`].
#[derive(Clone, Copy)]
pub struct TaskReport<'r> {
    report: &'r RunReport,
    index: u32,
}

impl RunReport {
    pub(super) fn new(
        graph: Arc<Inner>,
        mut state: RunState,
        makespan: Duration,
        timed: bool,
    ) -> Self {
        state.errors.sort_unstable_by_key(|&(node, _)| node);
        RunReport {
            graph,
            state: Some(state),
            makespan,
            timed,
        }
    }

    fn state(&self) -> &RunState {
        self.state
            .as_ref()
            .expect("the state is there until the drop")
    }

    /// The time from the run's start to its end, by the calling thread's monotonic clock
    /// ([`Instant`](std::time::Instant)). It counts from the call of [`Pool::run`](crate::Pool::run),
    /// so that it includes the wait for a worker; the times of [`TaskReport`] count from the same
    /// moment.
    pub fn makespan(&self) -> Duration {
        self.makespan
    }

    /// Whether all tasks succeeded.
    pub fn is_ok(&self) -> bool {
        self.tasks()
            .all(|task| matches!(task.outcome(), Outcome::Ok))
    }

    /// All tasks, in the order in which they were added to the builder.
    pub fn tasks(&self) -> impl ExactSizeIterator<Item = TaskReport<'_>> {
        (0..self.graph.names.len()).map(|index| TaskReport {
            report: self,
            index: index as u32,
        })
    }

    /// The task `index`, if there is one.
    pub fn task(&self, index: usize) -> Option<TaskReport<'_>> {
        (index < self.graph.names.len()).then_some(TaskReport {
            report: self,
            index: index as u32,
        })
    }
}

impl<'r> TaskReport<'r> {
    /// Its index: tasks are numbered in the order in which they were added.
    pub fn index(&self) -> usize {
        self.index as usize
    }

    /// Its name.
    pub fn name(&self) -> &'r str {
        &self.report.graph.names[self.index as usize]
    }

    /// How it ended.
    pub fn outcome(&self) -> Outcome<'r> {
        let state = self.report.state();
        match state
            .run
            .outcome(self.index)
            .expect("each task ends in each run")
        {
            CoreOutcome::Ok => Outcome::Ok,
            CoreOutcome::Skipped { root_cause } => Outcome::Skipped {
                root_cause: root_cause as usize,
            },
            CoreOutcome::Cancelled => Outcome::Cancelled,
            CoreOutcome::TimedOut => Outcome::TimedOut,
            _ => {
                let place = state
                    .errors
                    .binary_search_by_key(&self.index, |&(node, _)| node);
                Outcome::Failed(&state.errors[place.expect("a failed task has left an error")].1)
            }
        }
    }

    /// The worker that ran it, if it ran and times were recorded.
    pub fn worker(&self) -> Option<WorkerId> {
        self.times().map(|(worker, ..)| worker)
    }

    /// When it started, since the run's start, if it ran and times were recorded.
    pub fn start(&self) -> Option<Duration> {
        self.times()
            .map(|(_, start_ns, _)| Duration::from_nanos(start_ns))
    }

    /// When it ended, since the run's start, if it ran and times were recorded.
    pub fn end(&self) -> Option<Duration> {
        self.times()
            .map(|(.., end_ns)| Duration::from_nanos(end_ns))
    }

    fn times(&self) -> Option<(WorkerId, u64, u64)> {
        if !self.report.timed {
            return None;
        }
        self.report.state().times[self.index as usize].get()
    }
}

impl Drop for RunReport {
    fn drop(&mut self) {
        if let Some(state) = self.state.take() {
            self.graph.states.give(state);
        }
    }
}

impl fmt::Debug for TaskReport<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TaskReport")
            .field("name", &self.name())
            .field("outcome", &self.outcome())
            .finish()
    }
}

impl fmt::Debug for RunReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RunReport")
            .field("makespan", &self.makespan)
            .field("tasks", &self.tasks().len())
            .finish_non_exhaustive()
    }
}
