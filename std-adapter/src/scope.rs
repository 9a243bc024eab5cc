//! Scopes: tasks that may borrow.

use pinfold_core::scheduler::SpawnError;
use pinfold_core::scope::Scope as CoreScope;

use crate::current::{self, Worker};
use crate::platform::Threads;
use crate::storage::Boxed;

type Core<'scope> = CoreScope<'scope, Boxed, Threads>;

/// A task that does not fit a slot.
type BoxedTask<'scope> = Box<dyn for<'s, 'w> FnOnce(&'s Core<'scope>, &Worker<'w>) + Send + 'scope>;

/// An open scope: a place to spawn tasks that may borrow whatever outlives `'scope`. See
/// [`Pool::scope`](crate::Pool::scope).
#[derive(Debug)]
#[repr(transparent)]
pub struct Scope<'scope>(Core<'scope>);

impl<'scope> Scope<'scope> {
    pub(crate) fn of<'s>(core: &'s Core<'scope>) -> &'s Self {
        // SAFETY: `Scope` is a transparent wrapper of the same type and lifetime.
        unsafe { &*std::ptr::from_ref(core).cast::<Self>() }
    }

    /// Runs `task` before the scope ends; it gets the scope, to spawn more.
    ///
    /// On a worker of the scope's pool the task goes to the worker's queue, where others may steal it.
    /// If no slot is free, or on any other thread, it is run at once.
    pub fn spawn(&self, task: impl FnOnce(&Scope<'scope>) + Send + 'scope) {
        current::with(|worker| match worker {
            Some(worker) => self.spawn_by(worker, task),
            None => self.0.call_here(|_| task(self)),
        });
    }

    #[inline]
    fn spawn_by(&self, worker: &Worker<'_>, task: impl FnOnce(&Scope<'scope>) + Send + 'scope) {
        let spawned = self
            .0
            .spawn(worker, move |scope: &Core<'scope>, _: &Worker<'_>| {
                task(Scope::of(scope));
            });
        if let Err(SpawnError::TooLarge(task)) = spawned {
            let boxed: BoxedTask<'scope> = Box::new(task);
            let spawned = self.0.spawn(worker, boxed);
            debug_assert!(spawned.is_ok(), "a box fits a slot");
        }
    }
}
