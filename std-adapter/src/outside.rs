//! The way in for threads that are not workers of the pool.

use pinfold_core::scheduler::SpawnError;

use crate::current::Worker;
use crate::pool::Inner;

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
        let mut refused = unsafe { self.scheduler.spawn_unchecked(task) };
        loop {
            refused = match refused {
                Ok(()) => break,
                Err(SpawnError::Exhausted(task, _)) => {
                    let seen = self.scheduler.platform().freed();
                    self.scheduler.enter_starvation();
                    // SAFETY: the caller's duty.
                    let again = unsafe { self.scheduler.spawn_unchecked(task) };
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
                    return self.as_last_worker(|worker| worker.guard(closed.into_inner()));
                }
            };
        }
        if self.scheduler.is_closed() {
            // The workers may have left before the task arrived.
            self.as_last_worker(|_| ());
        }
    }
}
