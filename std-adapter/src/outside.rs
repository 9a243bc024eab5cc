//! The way in for threads that are not workers of the pool.

use pinfold_core::scheduler::SpawnError;

use crate::current::{self, Worker};
use crate::inner::Inner;

type Boxed<'a> = Box<dyn for<'w> FnOnce(&Worker<'w>) + Send + 'a>;

impl Inner {
    /// Runs `task` on some worker. Waits while all slots are in use; runs it here if the pool
    /// was shut down.
    ///
    /// # Safety
    ///
    /// What the task borrows lives until it has ended.
    pub(crate) unsafe fn inject<F>(&self, task: F)
    where
        F: for<'w> FnOnce(&Worker<'w>) + Send,
    {
        // SAFETY: the caller's duty.
        let mut refused = unsafe { self.scheduler.spawn_reserved(task) };
        loop {
            refused = match refused {
                Ok(()) => break,
                Err(SpawnError::Exhausted(task, _)) => {
                    let seen = self.scheduler.platform().freed();
                    self.scheduler.enter_starvation();
                    // SAFETY: the caller's duty.
                    let again = unsafe { self.scheduler.spawn_reserved(task) };
                    if matches!(again, Err(SpawnError::Exhausted(..))) {
                        self.scheduler.platform().wait_for_freed(seen);
                    }
                    self.scheduler.leave_starvation();
                    again
                }
                Err(SpawnError::TooLarge(task)) => {
                    let boxed: Boxed<'_> = Box::new(task);
                    // SAFETY: the caller's duty.
                    return unsafe { self.inject(boxed) };
                }
                Err(closed) => {
                    return self.alone(|worker| worker.guard(closed.into_inner()));
                }
            };
        }
        self.settle_if_closed();
    }

    /// Runs what has just been put in, if the pool was closed meanwhile and its workers may have left.
    /// A worker has nothing to settle: it has not left.
    pub(crate) fn settle_if_closed(&self) {
        let inside = current::with_worker_of(&self.scheduler, |worker| worker.is_some());
        if self.scheduler.is_closed() && !inside {
            self.settle();
        }
    }
}
