//! What a pool is doing, in figures.

use pinfold_affinity::Binding;
use pinfold_core::platform::WorkerId;

use crate::inner::Inner;
use crate::pool::Pool;

/// One worker, at some moment.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct WorkerStatus {
    /// Its number.
    pub id: WorkerId,
    /// Its thread's name.
    pub name: String,
    /// Where it is bound, if it was to be and is; `None` also before it has started.
    pub binding: Option<Binding>,
    /// Why it is not bound, if it was to be.
    pub binding_error: Option<String>,
    /// Tasks run so far; a chain of graph tasks counts once.
    pub executed: u64,
    /// Tasks taken from outside the pool.
    pub injected: u64,
    /// Times it stole from another worker.
    pub steals: u64,
    /// Times it went to sleep.
    pub sleeps: u64,
    /// Second halves of joins that it offered to others.
    pub promotions: u64,
}

/// A pool's figures, each read by itself: together they are no snapshot.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct PoolMetrics {
    /// How many workers there are.
    pub workers: usize,
    /// How many of them sleep.
    pub asleep: usize,
    /// Tasks that wait in the injector.
    pub injector_len: usize,
    /// How many slots there are.
    pub slots: usize,
    /// The most slots that were in use, or kept in reserve by workers, at once.
    pub slots_high_water: usize,
    /// Tasks run, by all workers.
    pub executed: u64,
    /// Steals, by all workers.
    pub steals: u64,
    /// Times that workers went to sleep.
    pub sleeps: u64,
    /// Halves of joins offered, by all workers.
    pub promotions: u64,
}

impl Pool {
    /// The state of each worker.
    pub fn workers(&self) -> Vec<WorkerStatus> {
        self.inner()
            .worker_ids()
            .map(|id| self.inner().worker_status(id))
            .collect()
    }

    /// The pool's figures.
    pub fn metrics(&self) -> PoolMetrics {
        let scheduler = &self.inner().scheduler;
        let figures = scheduler.figures();
        let mut metrics = PoolMetrics {
            workers: self.inner().layout.workers,
            asleep: figures.asleep,
            injector_len: figures.injected,
            slots: figures.slots,
            slots_high_water: figures.slots_high_water,
            executed: 0,
            steals: 0,
            sleeps: 0,
            promotions: 0,
        };
        for counters in self
            .inner()
            .worker_ids()
            .filter_map(|id| scheduler.counters(id))
        {
            metrics.executed += counters.executed();
            metrics.steals += counters.steals();
            metrics.sleeps += counters.sleeps();
            metrics.promotions += counters.promotions();
        }
        metrics
    }
}

impl Inner {
    pub(crate) fn worker_ids(&self) -> impl Iterator<Item = WorkerId> + use<> {
        (0..self.layout.workers).filter_map(WorkerId::new)
    }

    fn worker_status(&self, id: WorkerId) -> WorkerStatus {
        let counters = self.scheduler.counters(id);
        let count = |of: fn(&pinfold_core::metrics::Counters) -> u64| counters.map_or(0, of);
        let (binding, binding_error) = match self.bound[id.index()].get() {
            None => (None, None),
            Some(Ok(binding)) => (binding.clone(), None),
            Some(Err(error)) => (None, Some(error.clone())),
        };
        WorkerStatus {
            id,
            name: format!("{}-{}", self.layout.name, id.index()),
            binding,
            binding_error,
            executed: count(|c| c.executed()),
            injected: count(|c| c.injected()),
            steals: count(|c| c.steals()),
            sleeps: count(|c| c.sleeps()),
            promotions: count(|c| c.promotions()),
        }
    }
}
