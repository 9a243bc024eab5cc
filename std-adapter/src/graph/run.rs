//! Running a graph on a pool.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use pinfold_core::graph::{Node, Outcome as CoreOutcome, Run};
use pinfold_core::platform::{Unwind, WorkerId};

use super::build::{Graph, Inner};
use super::report::RunReport;
use super::{BoxError, TimedOut};
use crate::current::Worker;
use crate::error::panic_text;
use crate::lock::{into_inner, lock};
use crate::platform::Threads;
use crate::pool::Pool;
use crate::storage::Owned;

/// How a graph is run: by [`Pool::run_with`].
///
/// ```
/// use pinfold::graph::{Builder, Outcome, RunOptions};
///
/// let builder = Builder::new();
/// let load = builder.task("load", || Err::<(), _>("no such file"));
/// builder.task("use", || ()).after([load]);
/// let graph = builder.build()?;
///
/// let options = RunOptions::new().fail_fast(true).record_times(true);
/// let report = pinfold::Pool::new(1)?.run_with(&graph, options);
/// let load = report.task(0).expect("the first task");
/// assert!(matches!(load.outcome(), Outcome::Failed(error) if error.to_string() == "no such file"));
/// assert!(load.start() <= load.end() && load.end() <= Some(report.makespan()));
/// let (user, ran_by) = (report.task(1).expect("the second"), load.worker());
/// assert!(matches!(user.outcome(), Outcome::Skipped { root_cause: 0 }));
/// assert!(user.worker().is_none() && ran_by.is_some());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[must_use = "options do nothing until a run gets them"]
pub struct RunOptions {
    fail_fast: bool,
    record_times: bool,
}

impl RunOptions {
    /// The defaults: the run goes on after a failure, and no times are recorded.
    pub fn new() -> Self {
        Self::default()
    }

    /// Whether nothing more starts after the first failure; what has not started is then
    /// [`Outcome::Cancelled`](super::Outcome::Cancelled).
    pub fn fail_fast(mut self, fail_fast: bool) -> Self {
        self.fail_fast = fail_fast;
        self
    }

    /// Whether each task's start, end and worker are recorded. Costs two clock reads a task.
    pub fn record_times(mut self, record_times: bool) -> Self {
        self.record_times = record_times;
        self
    }
}

/// The memory of runs that have ended, for those to come.
#[derive(Default)]
pub(super) struct States(Mutex<Vec<RunState>>);

impl States {
    fn take(&self) -> Option<RunState> {
        lock(&self.0).pop()
    }

    pub(super) fn give(&self, mut state: RunState) {
        state.errors.clear();
        lock(&self.0).push(state);
    }
}

/// What one run needs to remember.
pub(super) struct RunState {
    pub(super) run: Run<Owned<Node>>,
    /// The errors of failed tasks, in no order.
    pub(super) errors: Vec<(u32, BoxError)>,
    /// Empty until a run records times.
    pub(super) times: Box<[Times]>,
}

/// When and where a task ran, in nanoseconds since the run's start.
#[derive(Default)]
pub(super) struct Times {
    start_ns: AtomicU64,
    end_ns: AtomicU64,
    /// Plus one; 0 if it did not run.
    worker: AtomicU32,
}

impl Times {
    // Relaxed throughout: one writer, and readers have waited for the run's end.

    fn clear(&self) {
        self.worker.store(0, Ordering::Relaxed);
    }

    fn set(&self, worker: WorkerId, start_ns: u64, end_ns: u64) {
        self.start_ns.store(start_ns, Ordering::Relaxed);
        self.end_ns.store(end_ns, Ordering::Relaxed);
        self.worker
            .store(worker.index() as u32 + 1, Ordering::Relaxed);
    }

    pub(super) fn get(&self) -> Option<(WorkerId, u64, u64)> {
        let worker = self.worker.load(Ordering::Relaxed).checked_sub(1)?;
        let worker = WorkerId::new(worker as usize)?;
        Some((
            worker,
            self.start_ns.load(Ordering::Relaxed),
            self.end_ns.load(Ordering::Relaxed),
        ))
    }
}

/// One run in progress.
struct Progress<'r> {
    graph: &'r Inner,
    options: RunOptions,
    start: Instant,
    errors: Mutex<Vec<(u32, BoxError)>>,
    times: &'r [Times],
}

impl Progress<'_> {
    /// Calls a task's closure.
    #[inline]
    fn body(&self, worker: &Worker<'_>, run: &Run<Owned<Node>>, node: u32) -> CoreOutcome {
        if self.options.record_times {
            self.timed(worker, run, node)
        } else {
            self.call(run, node)
        }
    }

    fn timed(&self, worker: &Worker<'_>, run: &Run<Owned<Node>>, node: u32) -> CoreOutcome {
        let start_ns = self.start.elapsed().as_nanos() as u64;
        let outcome = self.call(run, node);
        let end_ns = self.start.elapsed().as_nanos() as u64;
        self.times[node as usize].set(worker.id(), start_ns, end_ns);
        outcome
    }

    #[inline]
    fn call(&self, run: &Run<Owned<Node>>, node: u32) -> CoreOutcome {
        match Threads::catch(|| (self.graph.bodies[node as usize])()) {
            Ok(Ok(())) => CoreOutcome::Ok,
            Ok(Err(error)) => self.fail(run, node, error),
            Err(panic) => {
                let text = panic_text(panic.as_ref()).to_owned();
                Threads::discard(panic);
                self.fail(run, node, format!("the task panicked: {text}").into())
            }
        }
    }

    #[cold]
    fn fail(&self, run: &Run<Owned<Node>>, node: u32, error: BoxError) -> CoreOutcome {
        if self.options.fail_fast {
            run.stop();
        }
        if error.is::<TimedOut>() {
            return CoreOutcome::TimedOut;
        }
        lock(&self.errors).push((node, error));
        CoreOutcome::Failed
    }
}

impl Pool {
    /// Runs each task of `graph` after those that it depends on, and waits for the end.
    pub fn run(&self, graph: &Graph) -> RunReport {
        self.run_with(graph, RunOptions::new())
    }

    /// As [`Pool::run`], with options.
    pub fn run_with(&self, graph: &Graph, options: RunOptions) -> RunReport {
        let inner = &graph.inner;
        let mut state = inner
            .states
            .take()
            .unwrap_or_else(|| RunState::new(inner.bodies.len()));
        state.prepare(options, inner.bodies.len());
        let RunState { run, errors, times } = &mut state;
        let progress = Progress {
            graph: inner,
            options,
            start: Instant::now(),
            errors: Mutex::new(std::mem::take(errors)),
            times,
        };
        let body = |worker: &Worker<'_>, run: &Run<_>, node| progress.body(worker, run, node);
        let ran = self.on_worker(|worker| worker.run_graph(&inner.plan, run, &body));
        debug_assert_eq!(ran, Ok(()), "the state was made for this graph");
        let makespan = progress.start.elapsed();
        *errors = into_inner(progress.errors);
        RunReport::new(Arc::clone(inner), state, makespan, options.record_times)
    }
}

impl RunState {
    fn new(nodes: usize) -> Self {
        RunState {
            run: Run::with_storage((0..nodes).map(|_| Node::new()).collect()),
            errors: Vec::new(),
            times: Box::default(),
        }
    }

    fn prepare(&mut self, options: RunOptions, nodes: usize) {
        if !options.record_times {
            return;
        }
        if self.times.is_empty() {
            self.times = (0..nodes).map(|_| Times::default()).collect();
        }
        self.times.iter().for_each(Times::clear);
    }
}
