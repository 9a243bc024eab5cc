//! Something called once on each worker.

use std::sync::{Condvar, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use pinfold_core::platform::WorkerId;

use crate::current::{self, Worker};
use crate::inner::Inner;
use crate::lock::{into_inner, lock, wait_while};
use crate::pool::Pool;

/// How long a broadcast waits for slots.
const PATIENCE: Duration = Duration::from_secs(1);

/// The broadcasts of a pool that have begun and not ended: a shutdown waits for them.
#[derive(Default)]
pub(crate) struct Broadcasts {
    state: Mutex<State>,
    ended: Condvar,
}

#[derive(Default)]
struct State {
    active: usize,
    closed: bool,
}

impl Broadcasts {
    /// Counts a broadcast; `None` after a shutdown.
    fn enter(&self) -> Option<Entered<'_>> {
        let mut state = lock(&self.state);
        if state.closed {
            return None;
        }
        state.active += 1;
        Some(Entered(self))
    }
}

/// A broadcast that is counted.
struct Entered<'b>(&'b Broadcasts);

impl Drop for Entered<'_> {
    fn drop(&mut self) {
        lock(&self.0.state).active -= 1;
        self.0.ended.notify_all();
    }
}

impl Inner {
    /// Lets no broadcast begin any more, and waits for those that have.
    pub(crate) fn close_broadcasts(&self) {
        let mut state = lock(&self.broadcasts.state);
        state.closed = true;
        if current::with_worker_of(&self.scheduler, |worker| worker.is_some()) {
            // The broadcast may be waiting for this very task.
            return;
        }
        wait_while(&self.broadcasts.ended, state, |state| state.active > 0);
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

    /// How many workers there are.
    pub fn workers(&self) -> usize {
        self.workers
    }
}

impl Pool {
    /// Calls `f` once on each worker and returns the results in the workers' order.
    ///
    /// A worker runs `f` between two tasks, or while it waits for something: do not hold a lock that `f`
    /// takes across a `join`, a `scope` or a wait. After a shutdown the list is empty. A broadcast
    /// needs a free slot for each worker.
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
        let Some(_entered) = self.inner().broadcasts.enter() else {
            return Vec::new();
        };
        let workers = self.inner().layout.workers;
        let results: Vec<Mutex<Option<R>>> = (0..workers).map(|_| Mutex::new(None)).collect();
        self.on_worker(|worker| {
            let reach = |worker: &Worker<'_>| {
                let context = BroadcastContext {
                    worker: worker.id(),
                    workers,
                };
                let result = f(context);
                let place = &results[worker.id().index()];
                *lock(place) = Some(result);
            };
            // A slot for each worker may be a matter of waiting for the tasks that hold them.
            let deadline = Instant::now() + PATIENCE;
            while let Err(exhausted) = worker.broadcast(workers, &reach) {
                assert!(
                    Instant::now() < deadline,
                    "a broadcast finds no slots: {exhausted}"
                );
                thread::yield_now();
            }
        });
        let result = |place: Mutex<Option<R>>| into_inner(place).expect("each worker was reached");
        results.into_iter().map(result).collect()
    }
}
