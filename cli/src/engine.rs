//! The only file of this crate that knows how tasks are scheduled: it turns a workflow into a graph of
//! the `pinfold` library, runs it on a pool, and turns the report into a [`RunRecord`].

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use pinfold::graph::{self, GraphError, RunOptions, TaskReport, TimedOut};
use pinfold::{BuildError, Pool, WorkerStatus};
use pinfold_affinity::{
    Allowed, Placement, PlacementError, Plan, PlanError, PlanWarning, Policy, Topology,
    TopologyError,
};
use rustix::thread::sched_getcpu;

use crate::action::command::Failure;
use crate::args::WORKERS_LIMIT;
use crate::record::{Outcome, RunRecord, Span, TaskRecord};
use crate::runner::Runner;
use crate::topology::default_workers;
use crate::workflow::{Action, Task};

const _: () = assert!(WORKERS_LIMIT <= pinfold::Builder::MAX_WORKERS);

/// A CPU that was never asked for.
const UNSEEN: usize = usize::MAX;

/// Why there are no workers, or no graph for them.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// The machine cannot be read, so nothing can be placed on it.
    #[error("cannot read the machine: {0}; `pinfold topology` shows what is there")]
    Topology(#[from] TopologyError),
    /// The placement cannot be read.
    #[error(
        "invalid value '{place}' for '--place <P>': {source}; `pinfold run --help` names the placements"
    )]
    Placement {
        /// What the user wrote.
        place: String,
        /// What is wrong with it.
        source: PlacementError,
    },
    /// The placement can be read but not followed on this machine.
    #[error(
        "invalid value '{place}' for '--place <P>': {source}; `pinfold topology` shows what we may use"
    )]
    Plan {
        /// What the user wrote.
        place: String,
        /// What is wrong with it.
        source: PlanError,
    },
    /// The pool could not be built.
    #[error("--workers {workers}: {source}")]
    Pool {
        /// How many were wanted.
        workers: usize,
        /// What went wrong.
        source: BuildError,
    },
    /// A worker runs, but not where it should.
    #[error("invalid value '{place}' for '--place <P>': worker {worker} cannot be bound: {reason}")]
    NotBound {
        /// What the user wrote.
        place: String,
        /// The worker's number.
        worker: usize,
        /// What the system said, and the remedy.
        reason: String,
    },
    /// The library refused a graph that we had checked.
    #[error("the graph was refused: {0}; please report this")]
    Graph(#[from] GraphError),
}

/// A pool of workers, each at its place.
pub struct Engine {
    pool: Pool,
    plan: Plan,
}

impl Engine {
    /// Starts `workers` workers placed as `place` says. Without a number: one for each CPU that `place`
    /// lists, else as many as are useful.
    pub fn new(workers: Option<usize>, place: &str) -> Result<Self, EngineError> {
        let placement = Placement::parse(place).map_err(|source| EngineError::Placement {
            place: place.to_owned(),
            source,
        })?;
        let (topology, allowed) = (Topology::read()?, Allowed::current());
        let workers = workers.unwrap_or_else(|| match placement.policy() {
            Policy::Cpus(listed) => listed.len().min(WORKERS_LIMIT),
            _ => default_workers(&topology, &allowed),
        });
        let plan = Plan::new(&topology, &allowed, &placement, workers);
        let plan = plan.map_err(|source| EngineError::Plan {
            place: place.to_owned(),
            source,
        })?;
        let pool = Pool::builder().workers(workers).placement(placement);
        let pool = (pool.build()).map_err(|source| EngineError::Pool { workers, source })?;
        confirm_bindings(&pool, place)?;
        Ok(Self { pool, plan })
    }

    /// How many workers there are.
    pub fn workers(&self) -> usize {
        self.plan.len()
    }

    /// What is odd about the placement asked for; nothing if none was.
    pub fn warnings(&self) -> &[PlanWarning] {
        match self.plan.placement().policy() {
            Policy::None => &[],
            _ => self.plan.warnings(),
        }
    }

    /// Runs each task of the runner's workflow once its parents have ended well. After a failure,
    /// `keep_going` still starts what does not depend on it.
    pub fn run(&self, runner: &Arc<Runner>, keep_going: bool) -> Result<RunRecord, EngineError> {
        let tasks = runner.workflow().tasks();
        let cpus: Arc<[AtomicUsize]> = tasks.iter().map(|_| AtomicUsize::new(UNSEEN)).collect();
        let builder = graph::Builder::new();
        // Added in the workflow's order, so that indices are the same on both sides.
        let add = |(index, task): (usize, &Task)| {
            let body = body(Arc::clone(runner), Arc::clone(&cpus), index);
            builder.task(&task.name, body).cost(cost(&task.action))
        };
        let handles: Vec<_> = tasks.iter().enumerate().map(add).collect();
        for (task, handle) in tasks.iter().zip(&handles) {
            let _ = handle.after(task.after.iter().map(|&parent| handles[parent]));
        }
        let graph = builder.build()?;
        let options = RunOptions::new().fail_fast(!keep_going).record_times(true);
        let report = self.pool.run_with(&graph, options);
        Ok(RunRecord {
            tasks: report.tasks().zip(&*cpus).map(task_record).collect(),
            bindings: self.bindings(),
            makespan: report.makespan(),
        })
    }

    fn bindings(&self) -> Vec<Option<String>> {
        let bound = |worker: WorkerStatus| Some(worker.binding?.cpus().to_string());
        self.pool.workers().into_iter().map(bound).collect()
    }
}

/// Waits until each worker has started, and refuses one that is not where `place` wants it.
fn confirm_bindings(pool: &Pool, place: &str) -> Result<(), EngineError> {
    // A worker is reached only after it was bound, or failed to be.
    pool.broadcast(|_| ());
    for worker in pool.workers() {
        if let Some(reason) = worker.binding_error {
            return Err(EngineError::NotBound {
                place: place.to_owned(),
                worker: worker.id.index(),
                reason,
            });
        }
    }
    Ok(())
}

/// How long the task computes, in nanoseconds; how long a command takes is anybody's guess.
fn cost(action: &Action) -> u64 {
    match action {
        Action::Compute(cpu) => u64::try_from(cpu.as_nanos()).unwrap_or(u64::MAX),
        Action::Command(_) => 1,
    }
}

/// What a worker does for one task; the CPU is noted last.
fn body(
    runner: Arc<Runner>,
    cpus: Arc<[AtomicUsize]>,
    index: usize,
) -> impl Fn() -> Result<(), graph::BoxError> + Send + Sync + 'static {
    move || {
        let result = runner.run(index);
        // Relaxed: the run's end, for which the reader waits, orders it.
        cpus[index].store(sched_getcpu(), Ordering::Relaxed);
        result.map_err(|failure| match failure {
            Failure::TimedOut(_) => TimedOut.into(),
            other => other.into(),
        })
    }
}

fn task_record((task, cpu): (TaskReport<'_>, &AtomicUsize)) -> TaskRecord {
    let outcome = match task.outcome() {
        graph::Outcome::Ok => Outcome::Ok,
        graph::Outcome::Failed(error) => Outcome::Failed(error.to_string()),
        graph::Outcome::Skipped { root_cause } => Outcome::Skipped { root_cause },
        graph::Outcome::Cancelled => Outcome::Cancelled,
        graph::Outcome::TimedOut => Outcome::TimedOut,
        other => Outcome::Failed(format!("{other:?}")),
    };
    let span = task.worker().zip(task.start()).zip(task.end());
    let span = span.map(|((worker, start), end)| Span {
        worker: worker.index(),
        cpu: Some(cpu.load(Ordering::Relaxed)).filter(|&cpu| cpu != UNSEEN),
        start,
        end,
    });
    TaskRecord { outcome, span }
}
