//! Something called once on each worker.

use std::sync::{Condvar, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use pinfold_core::platform::WorkerId;

use crate::current::{self, Worker};
use crate::inner::Inner;
use crate::lock::{into_inner, lock, wait};
use crate::pool::Pool;

/// How long a broadcast waits for slots.
const PATIENCE: Duration = Duration::from_secs(1);

/// The broadcasts under way. While there are any, no worker leaves: it waits until the last has ended, or
/// another one has begun, which is going to reach it. Nobody else waits for a broadcast.
pub(crate) struct Broadcasts {
    state: Mutex<State>,
    changed: Condvar,
}

struct State {
    active: usize,
    /// How many have begun, and have reached, or will reach, every worker.
    begun: usize,
    /// How many of those have reached each worker.
    reached: Box<[usize]>,
    /// Some worker has left: no broadcast enters any more.
    left: bool,
}

impl Broadcasts {
    pub(crate) fn new(workers: usize) -> Self {
        let state = State {
            active: 0,
            begun: 0,
            reached: vec![0; workers].into(),
            left: false,
        };
        Broadcasts {
            state: Mutex::new(state),
            changed: Condvar::new(),
        }
    }

    /// Counts a broadcast; `None` if workers have left.
    fn enter(&self) -> Option<Entered<'_>> {
        let mut state = lock(&self.state);
        if state.left {
            return None;
        }
        state.active += 1;
        Some(Entered(self))
    }

    /// Changes the count of those that have begun, and tells the workers that would leave.
    fn count(&self, change: impl FnOnce(&mut State)) {
        change(&mut lock(&self.state));
        self.changed.notify_all();
    }

    /// Called by a worker that has nothing to do in a closed pool. `true`: it may leave; `false`: a
    /// broadcast is on its way to it.
    fn leave(&self, worker: WorkerId) -> bool {
        let mut state = lock(&self.state);
        while state.active > 0 {
            if state.reached[worker.index()] != state.begun {
                return false;
            }
            state = wait(&self.changed, state);
        }
        state.left = true;
        true
    }
}

/// A broadcast that is counted.
struct Entered<'b>(&'b Broadcasts);

impl Drop for Entered<'_> {
    fn drop(&mut self) {
        self.0.count(|state| state.active -= 1);
    }
}

impl Inner {
    /// Runs tasks until the pool is closed, nothing is left, and no broadcast is under way.
    pub(crate) fn run_until_left(&self, worker: &Worker<'_>) {
        worker.run_until_closed();
        while !self.broadcasts.leave(worker.id()) {
            // Who has begun it posts it right now, or within `PATIENCE`.
            thread::yield_now();
            worker.run_until_closed();
        }
    }

    /// Calls `reach` once on each of the first `workers` workers. A slot for each may be a matter of waiting
    /// for the tasks that hold them; the workers that have nothing to do stay meanwhile.
    fn broadcast_by(
        &self,
        worker: &Worker<'_>,
        workers: usize,
        reach: &(impl for<'w> Fn(&Worker<'w>) + Sync),
    ) {
        self.broadcasts.count(|state| state.begun += 1);
        let deadline = Instant::now() + PATIENCE;
        while let Err(exhausted) = worker.broadcast(workers, reach) {
            if Instant::now() >= deadline {
                self.broadcasts.count(|state| state.begun -= 1);
                panic!("a broadcast finds no slots: {exhausted}");
            }
            thread::yield_now();
        }
    }
}

/// Which worker a broadcast has reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BroadcastContext {
    worker: WorkerId,
    workers: usize,
}

impl BroadcastContext {
    /// The worker that runs this.
    pub fn worker(&self) -> WorkerId {
        self.worker
    }

    /// How many workers are reached: all that there are.
    pub fn workers(&self) -> usize {
        self.workers
    }
}

impl Pool {
    /// Calls `f` once on each worker and returns the results in the workers' order.
    ///
    /// A worker runs `f` between two tasks, or while it waits for something: do not hold a lock that `f`
    /// takes across a `join`, a `scope` or a wait. After a shutdown, or if one comes before it has begun, the
    /// list is empty; else it is complete. A broadcast needs a free slot for each worker. In a lazy pool
    /// that got fewer threads than it asked for, the workers are those that have one.
    ///
    /// ```
    /// let pool = pinfold::Pool::new(3)?;
    /// let squares = pool.broadcast(|context| context.worker().index().pow(2));
    /// assert_eq!(squares, [0, 1, 4]);
    /// # Ok::<(), pinfold::BuildError>(())
    /// ```
    ///
    /// # Panics
    ///
    /// If `f` does, after it has ended everywhere; or if all slots stay in use for a second, because
    /// the caller itself holds them.
    pub fn broadcast<R: Send>(&self, f: impl Fn(BroadcastContext) -> R + Sync) -> Vec<R> {
        let inner = self.inner();
        let workers = inner.started();
        let Some(_entered) = inner.broadcasts.enter() else {
            return Vec::new();
        };
        let results: Vec<Mutex<Option<R>>> = (0..workers).map(|_| Mutex::new(None)).collect();
        let begun = self.on_worker(|worker| {
            if current::id().is_none() {
                // It came too late, and is made by the caller, who is none of the workers.
                return false;
            }
            let reach = |worker: &Worker<'_>| {
                lock(&inner.broadcasts.state).reached[worker.id().index()] += 1;
                let context = BroadcastContext {
                    worker: worker.id(),
                    workers,
                };
                let result = f(context);
                *lock(&results[worker.id().index()]) = Some(result);
            };
            inner.broadcast_by(worker, workers, &reach);
            true
        });
        if !begun {
            return Vec::new();
        }
        let result = |place: Mutex<Option<R>>| into_inner(place).expect("each worker was reached");
        results.into_iter().map(result).collect()
    }
}
