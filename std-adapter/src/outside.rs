//! The way in for threads that are not workers of the pool.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread::{self, Thread};

use pinfold_core::platform::Unwind;
use pinfold_core::scheduler::SpawnError;

use crate::current::Worker;
use crate::platform::Threads;
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

    /// Calls `f` on some worker and waits for its result; here if the pool was shut down.
    pub(crate) fn call<F, R>(&self, f: F) -> R
    where
        F: FnOnce(&Worker<'_>) -> R + Send,
        R: Send,
    {
        let call = Call {
            state: Mutex::new(State::Waiting(f)),
            ended: AtomicBool::new(false),
            caller: thread::current(),
        };
        let entry = &call;
        // SAFETY: `call` is borrowed until `ended`, which the task sets when it has ended, and which
        // is waited for below.
        unsafe { self.inject(move |worker: &Worker<'_>| entry.run(worker)) };
        call.wait();
        match call
            .state
            .into_inner()
            .unwrap_or_else(PoisonError::into_inner)
        {
            State::Ended(Ok(result)) => result,
            State::Ended(Err(panic)) => Threads::resume(panic),
            State::Waiting(_) | State::Running => unreachable!("the call has ended"),
        }
    }
}

/// A call from outside, on the caller's stack.
struct Call<F, R> {
    state: Mutex<State<F, R>>,
    ended: AtomicBool,
    caller: Thread,
}

enum State<F, R> {
    Waiting(F),
    Running,
    Ended(thread::Result<R>),
}

impl<F, R> Call<F, R> {
    fn run(&self, worker: &Worker<'_>)
    where
        F: FnOnce(&Worker<'_>) -> R,
    {
        let state = std::mem::replace(&mut *self.lock(), State::Running);
        if let State::Waiting(f) = state {
            let result = Threads::catch(|| f(worker));
            *self.lock() = State::Ended(result);
        }
        let caller = self.caller.clone();
        // Release: pairs with the Acquire in `wait`. The last use of `self`.
        self.ended.store(true, Ordering::Release);
        caller.unpark();
    }

    fn wait(&self) {
        // Acquire: pairs with the Release in `run`.
        while !self.ended.load(Ordering::Acquire) {
            thread::park();
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State<F, R>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
