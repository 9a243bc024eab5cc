//! `pinfold run`: everything that can be refused is refused before the first task starts.

use std::fs::File;
use std::io::{self, BufWriter};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::action::children::Children;
use crate::action::open_files::{self, TooFew};
use crate::args::RunArguments;
use crate::engine::{Engine, EngineError};
use crate::print::{NotPrinted, print, say};
use crate::progress::Progress;
use crate::record::{Outcome, RunRecord};
use crate::runner::Runner;
use crate::workflow::{self, Action, LoadError, Task, Workflow};
use crate::{summary, trace};

/// Why a run did not take place, or (the last two) what it came to could not be written.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The workflow file was refused.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// The workers or their placement were refused.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// Too few files may be open for so many commands at once.
    #[error(transparent)]
    OpenFiles(#[from] TooFew),
    /// The trace would overwrite the workflow.
    #[error("--trace {} names the workflow file itself; choose another file", file.display())]
    TraceIsWorkflow {
        /// The trace file.
        file: PathBuf,
    },
    /// The trace file cannot be created.
    #[error("cannot create the trace {}: {source}; choose a writable file", file.display())]
    TraceNotCreated {
        /// The trace file.
        file: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Signals cannot be watched, so an interruption would leave processes behind.
    #[error("cannot watch for signals: {0}; raise the limits on threads and open files")]
    Signals(#[source] io::Error),
    /// The trace could not be written after the run.
    #[error("cannot write the trace {}: {source}; the run itself is over", file.display())]
    TraceNotWritten {
        /// The trace file.
        file: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The table could not be written after the run.
    #[error(transparent)]
    NotPrinted(#[from] NotPrinted),
}

impl RunError {
    /// Whether the run was over when this happened.
    pub fn is_after_run(&self) -> bool {
        matches!(self, Self::TraceNotWritten { .. } | Self::NotPrinted(_))
    }
}

/// Runs a workflow and prints its table. True if each task ended well.
pub fn run(arguments: &RunArguments) -> Result<bool, RunError> {
    let file = &arguments.file;
    let workflow = Arc::new(workflow::load(file, arguments.time_scale)?);
    let engine = Engine::new(arguments.workers, &arguments.place)?;
    let has_commands = workflow.tasks().iter().any(is_command);
    if has_commands {
        open_files::reserve(engine.workers())?;
    }
    let trace = arguments.trace.as_deref();
    let trace = trace.map(|t| TraceFile::create(t, file)).transpose()?;
    let children = Arc::new(Children::default());
    children.kill_on_signals().map_err(RunError::Signals)?;
    let warnings = engine.warnings().iter().map(ToString::to_string);
    warnings.for_each(|text| warn(&text));
    if has_commands && arguments.time_scale != 1.0 {
        warn("--time-scale does not change commands");
    }
    let progress = Progress::on_stderr(workflow.tasks().len());
    let runner = Arc::new(Runner::new(Arc::clone(&workflow), children, progress));

    let record = engine.run(&runner, arguments.keep_going)?;

    show_not_run(&runner, &record);
    runner.progress().close();
    let printed = print(&summary::table(&workflow, &record));
    trace.map_or(Ok(()), |trace| trace.write(&workflow, &record))?;
    printed?;
    Ok(record.is_ok())
}

fn is_command(task: &Task) -> bool {
    matches!(task.action, Action::Command(_))
}

fn warn(text: &str) {
    say(&format!("warning: {text}"));
}

/// A trace to be, created before the run so that a bad path is noticed in time.
struct TraceFile<'a> {
    path: &'a Path,
    file: File,
}

impl<'a> TraceFile<'a> {
    fn create(path: &'a Path, workflow: &Path) -> Result<Self, RunError> {
        if is_same_file(path, workflow) {
            let file = path.to_owned();
            return Err(RunError::TraceIsWorkflow { file });
        }
        let file = File::create(path).map_err(|source| RunError::TraceNotCreated {
            file: path.to_owned(),
            source,
        })?;
        Ok(Self { path, file })
    }

    fn write(self, workflow: &Workflow, record: &RunRecord) -> Result<(), RunError> {
        let written = trace::write(BufWriter::new(self.file), workflow, record);
        written.map_err(|source| RunError::TraceNotWritten {
            file: self.path.to_owned(),
            source,
        })
    }
}

/// Also under another name; a file that does not exist yet is not the same as any.
fn is_same_file(one: &Path, other: &Path) -> bool {
    let id = |path: &Path| path.metadata().map(|m| (m.dev(), m.ino()));
    id(one).is_ok_and(|one| id(other).is_ok_and(|other| one == other))
}

/// Tasks that never ran have had no line yet.
fn show_not_run(runner: &Runner, record: &RunRecord) {
    let tasks = runner.workflow().tasks();
    for (task, ended) in tasks.iter().zip(&record.tasks) {
        if ended.span.is_some() {
            continue;
        }
        let line = match &ended.outcome {
            Outcome::Skipped { root_cause } => {
                format!("{} (root cause: {})", task.name, tasks[*root_cause].name)
            }
            _ => task.name.clone(),
        };
        runner.progress().not_run(&line, &ended.outcome.to_string());
    }
}
