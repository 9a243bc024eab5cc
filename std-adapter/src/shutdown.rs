//! The end of a pool.

use pinfold_core::platform::WorkerId;

use crate::inner::Inner;

/// What a shutdown does with tasks that have not started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Shutdown {
    /// Runs them.
    Drain,
    /// Cancels those that no worker has taken yet: their handles report
    /// [`JoinError::Cancelled`](crate::JoinError::Cancelled), detached ones are dropped. What
    /// workers hold in their own queues is run, for others may wait for it.
    Cancel,
}

/// What a shutdown came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ShutdownReport {
    /// Tasks that were run after the call, counted as in
    /// [`PoolMetrics::executed`](crate::PoolMetrics::executed). When the caller is a worker of the
    /// pool, those up to its return.
    pub executed: u64,
    /// Tasks that were cancelled.
    pub cancelled: usize,
}

impl Inner {
    pub(crate) fn shut_down(&self, how: Shutdown) -> ShutdownReport {
        let before = self.executed();
        self.scheduler.close();
        let cancelled = match how {
            Shutdown::Drain => 0,
            Shutdown::Cancel => self.scheduler.drop_leftovers(),
        };
        self.join_threads();
        ShutdownReport {
            executed: self.executed() - before,
            cancelled,
        }
    }

    fn executed(&self) -> u64 {
        let counters = (0..self.layout.workers)
            .filter_map(|index| self.scheduler.counters(WorkerId::new(index)?));
        counters.map(|counters| counters.executed()).sum()
    }
}
