//! One task from its turn to its end: attempts, retries, and what the user sees of them. This knows
//! nothing of the engine that calls it, nor of the order of calls.

use std::sync::Arc;
use std::time::Instant;

use crate::action::children::Children;
use crate::action::command::{Failure, attempt};
use crate::action::compute::compute_for;
use crate::progress::Progress;
use crate::workflow::{Action, Command, Workflow};

/// Runs a workflow's tasks, from any thread.
pub struct Runner {
    workflow: Arc<Workflow>,
    children: Arc<Children>,
    progress: Progress,
}

impl Runner {
    /// A runner that starts its processes as `children` and shows the ends of tasks in `progress`.
    pub fn new(workflow: Arc<Workflow>, children: Arc<Children>, progress: Progress) -> Self {
        Self {
            workflow,
            children,
            progress,
        }
    }

    /// The workflow whose tasks it runs.
    pub fn workflow(&self) -> &Arc<Workflow> {
        &self.workflow
    }

    /// Where it shows the ends of tasks.
    pub fn progress(&self) -> &Progress {
        &self.progress
    }

    /// Runs the task at `index` to its end, on the calling thread. The error is its last attempt's.
    pub fn run(&self, index: usize) -> Result<(), Failure> {
        let task = &self.workflow.tasks()[index];
        let begin = Instant::now();
        match &task.action {
            Action::Compute(cpu) => compute_for(*cpu),
            Action::Command(command) => self.run_command(&task.name, command, begin)?,
        }
        self.progress.ok(&task.name, begin.elapsed());
        Ok(())
    }

    fn run_command(&self, name: &str, command: &Command, begin: Instant) -> Result<(), Failure> {
        let mut retry = 0;
        loop {
            let (result, mut output) = attempt(command, &self.children);
            let Err(failure) = result else {
                return Ok(());
            };
            let reason = failure.to_string();
            if retry == command.retries {
                let took = begin.elapsed();
                self.progress.failed(name, took, &reason, &mut output);
                return Err(failure);
            }
            retry += 1;
            self.progress
                .retried(name, retry, command.retries, &reason, &mut output);
        }
    }
}
