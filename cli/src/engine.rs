//! The only file of this crate that knows how tasks are scheduled: it turns a workflow into a graph of
//! the `pinfold` library, runs it on a pool, and turns the report into a [`RunRecord`].

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use pinfold::graph::{self, GraphError, RunOptions, RunReport, TaskReport, TimedOut};
use pinfold::{BuildError, Pool};
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
use crate::workflow::Workflow;

/// A CPU that was never asked for.
const UNSEEN: usize = usize::MAX;

/// Why there are no workers, or no graph for them.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
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
    #[error("cannot start {workers} workers: {source}; try fewer with --workers")]
    Pool {
        /// How many were wanted.
        workers: usize,
        /// What went wrong.
        source: BuildError,
    },
    /// The library refused a graph that we had checked.
    #[error("the graph was refused: {0}; please report this")]
    Graph(#[from] GraphError),
}

/// A pool of workers, placed and ready.
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
        let builder = Pool::builder()
            .workers(workers)
            .name("pinfold")
            .placement(placement);
        let pool = builder.build();
        let pool = pool.map_err(|source| EngineError::Pool { workers, source })?;
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
        let workflow = runner.workflow();
        let cpus: Arc<[AtomicUsize]> = workflow
            .tasks()
            .iter()
            .map(|_| AtomicUsize::new(UNSEEN))
            .collect();
        let builder = graph::Builder::new();
        let mut handles = vec![None; workflow.tasks().len()];
        for &index in workflow.order() {
            let task = &workflow.tasks()[index];
            let parents = task
                .after
                .iter()
                .map(|&parent| handles[parent].expect("parents come first in the order"));
            let body = body(Arc::clone(runner), Arc::clone(&cpus), index);
            handles[index] = Some(builder.task(&task.name, body).after(parents));
        }
        let graph = builder.build()?;
        let report = self
            .pool
            .run_with(&graph, RunOptions::new().fail_fast(!keep_going));
        Ok(self.record(workflow, &report, &cpus))
    }

    fn bindings(&self) -> Vec<Option<String>> {
        let bound = |worker| self.plan.binding(worker).map(|b| b.cpus().to_string());
        (0..self.plan.len()).map(bound).collect()
    }

    fn record(&self, workflow: &Workflow, report: &RunReport, cpus: &[AtomicUsize]) -> RunRecord {
        let order = workflow.order();
        // The graph's tasks are numbered in the order in which they were added.
        let mut tasks: Vec<Option<TaskRecord>> = vec![None; order.len()];
        for task in report.tasks() {
            let index = order[task.index()];
            tasks[index] = Some(task_record(&task, order, &cpus[index]));
        }
        let tasks =
            (tasks.into_iter()).map(|task| task.expect("a report has every task of its graph"));
        RunRecord {
            tasks: tasks.collect(),
            bindings: self.bindings(),
            makespan: report.makespan(),
        }
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

fn task_record(task: &TaskReport<'_>, order: &[usize], cpu: &AtomicUsize) -> TaskRecord {
    let outcome = match task.outcome() {
        graph::Outcome::Ok => Outcome::Ok,
        graph::Outcome::Failed(error) => Outcome::Failed(error.to_string()),
        graph::Outcome::Skipped { root_cause } => Outcome::Skipped {
            root_cause: order[*root_cause],
        },
        graph::Outcome::Cancelled => Outcome::Cancelled,
        graph::Outcome::TimedOut => Outcome::TimedOut,
    };
    let cpu = Some(cpu.load(Ordering::Relaxed)).filter(|&cpu| cpu != UNSEEN);
    let span = match (task.worker(), task.start(), task.end()) {
        (Some(worker), Some(start), Some(end)) => Some(Span {
            worker: worker.index(),
            cpu,
            start,
            end,
        }),
        _ => None,
    };
    TaskRecord { outcome, span }
}
