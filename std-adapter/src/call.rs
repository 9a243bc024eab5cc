//! Calls from outside that wait for a result, also from one pool into another and back.
//!
//! A worker of one pool that calls into another blocks, for nothing in the other pool is its to help
//! with. There is one exception: if what it waits for calls *back* into its own pool, that is a
//! descendant, and its pool may have no other worker left to run it. So each call carries the chain of
//! workers that are blocked for its sake; a call into a pool that has a worker in the chain is
//! delivered to that worker, which runs it where it waits.

use std::cell::Cell;
use std::ptr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread::{self, Thread};

use pinfold_core::platform::Unwind;

use crate::current::{self, Shared, Worker};
use crate::platform::Threads;
use crate::pool::Inner;

thread_local! {
    /// The innermost blocked worker for whose sake this thread runs, if any.
    static CHAIN: Cell<*const Blocked> = const { Cell::new(ptr::null()) };
}

impl Inner {
    /// Calls `f` on some worker and waits for its result; here if the pool was shut down.
    pub(crate) fn call<F, R>(&self, f: F) -> R
    where
        F: FnOnce(&Worker<'_>) -> R + Send,
        R: Send,
    {
        current::with(|caller| {
            let blocked = Blocked::new(caller);
            let call = Call {
                state: Mutex::new(State::Waiting(f)),
                ended: AtomicBool::new(false),
                chain: if caller.is_some() {
                    &blocked
                } else {
                    blocked.outer
                },
                caller: thread::current(),
            };
            let entry = Entry(&call);
            match Blocked::of_pool(&self.scheduler) {
                Some(ancestor) => ancestor.deliver(entry),
                // SAFETY: `call` is borrowed until `ended`, which `entry` sets when it is run or
                // dropped, and which is waited for below.
                None => unsafe { self.inject(move |worker: &Worker<'_>| entry.run(worker)) },
            }
            call.wait(&blocked, caller);
            match call
                .state
                .into_inner()
                .unwrap_or_else(PoisonError::into_inner)
            {
                State::Ended(Ok(result)) => result,
                State::Ended(Err(panic)) => Threads::resume(panic),
                // A shutdown cancelled the task before a worker took it.
                State::Waiting(f) => self.as_last_worker(f),
                State::Running => unreachable!("the call has ended"),
            }
        })
    }
}

/// A worker that is blocked in a call into another pool, on that worker's stack.
struct Blocked {
    /// The address of its pool's scheduler.
    home: *const Shared,
    /// The next one further out.
    outer: *const Blocked,
    /// A call back into its pool. There is one at a time: what calls back waits.
    delivered: Mutex<Option<Delivered>>,
    thread: Thread,
}

/// A call on its way to a blocked worker.
struct Delivered(*const dyn Run);

// SAFETY: a `Call` may be run on any thread: its closure and result are `Send`.
unsafe impl Send for Delivered {}

impl Blocked {
    fn new(caller: Option<&Worker<'_>>) -> Self {
        Blocked {
            home: caller.map_or(ptr::null(), |worker| ptr::from_ref(worker.scheduler())),
            outer: CHAIN.get(),
            delivered: Mutex::new(None),
            thread: thread::current(),
        }
    }

    /// The innermost worker of `pool` that is blocked for the sake of the calling thread.
    fn of_pool<'c>(pool: &Shared) -> Option<&'c Blocked> {
        let mut next = CHAIN.get();
        // SAFETY: whoever is in the chain waits, directly or not, for what this thread runs now,
        // so its stack frame is there until that returns.
        while let Some(blocked) = unsafe { next.as_ref() } {
            if ptr::eq(blocked.home, pool) {
                return Some(blocked);
            }
            next = blocked.outer;
        }
        None
    }

    fn deliver<F, R>(&self, entry: Entry<'_, F, R>)
    where
        F: FnOnce(&Worker<'_>) -> R + Send,
        R: Send,
    {
        let call: *const (dyn Run + '_) = entry.0;
        std::mem::forget(entry);
        // SAFETY: only the lifetime changes. The call is alive until it has ended, and is taken
        // out before it is run.
        let call = unsafe { std::mem::transmute::<*const (dyn Run + '_), *const dyn Run>(call) };
        let before = self.lock().replace(Delivered(call));
        debug_assert!(
            before.is_none(),
            "what calls back waits, so there is one at a time"
        );
        self.thread.unpark();
    }

    fn take(&self) -> Option<Delivered> {
        self.lock().take()
    }

    fn lock(&self) -> MutexGuard<'_, Option<Delivered>> {
        self.delivered
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

/// A call, on the caller's stack.
struct Call<F, R> {
    state: Mutex<State<F, R>>,
    ended: AtomicBool,
    /// The workers that are blocked for the sake of this call.
    chain: *const Blocked,
    caller: Thread,
}

enum State<F, R> {
    Waiting(F),
    Running,
    Ended(thread::Result<R>),
}

impl<F, R> Call<F, R> {
    fn wait(&self, blocked: &Blocked, caller: Option<&Worker<'_>>) {
        // Acquire: pairs with the Release in `end`.
        while !self.ended.load(Ordering::Acquire) {
            match (blocked.take(), caller) {
                // SAFETY: who delivered it waits for it to end.
                (Some(Delivered(call)), Some(worker)) => unsafe { (*call).run(worker) },
                _ => thread::park(),
            }
        }
    }

    /// Lets the caller go on. The last use of `self`.
    fn end(&self) {
        let caller = self.caller.clone();
        // Release: pairs with the Acquire in `wait`.
        self.ended.store(true, Ordering::Release);
        caller.unpark();
    }

    fn lock(&self) -> MutexGuard<'_, State<F, R>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Runs a call whose types are forgotten, and ends it.
trait Run {
    fn run(&self, worker: &Worker<'_>);
}

impl<F: FnOnce(&Worker<'_>) -> R, R> Run for Call<F, R> {
    fn run(&self, worker: &Worker<'_>) {
        let state = std::mem::replace(&mut *self.lock(), State::Running);
        if let State::Waiting(f) = state {
            let outer = CHAIN.replace(self.chain);
            let result = Threads::catch(|| f(worker));
            CHAIN.set(outer);
            *self.lock() = State::Ended(result);
        }
        self.end();
    }
}

/// The right to run a call; dropped, it ends the call unrun.
struct Entry<'c, F, R>(&'c Call<F, R>);

// SAFETY: of the call, an entry uses the closure and the result, which are `Send`, and the chain,
// whose members wait.
unsafe impl<F: Send, R: Send> Send for Entry<'_, F, R> {}

impl<F: FnOnce(&Worker<'_>) -> R, R> Entry<'_, F, R> {
    fn run(self, worker: &Worker<'_>) {
        let call = self.0;
        std::mem::forget(self);
        call.run(worker);
    }
}

impl<F, R> Drop for Entry<'_, F, R> {
    fn drop(&mut self) {
        self.0.end();
    }
}
