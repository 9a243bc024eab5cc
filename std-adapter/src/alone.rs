//! Calls into a pool that was shut down.
//!
//! The workers may have left, so the caller does the work, as the only worker of a scheduler that is made
//! for the call and dropped after it. It shares nothing with anybody: **whoever calls an ended pool waits
//! for nobody**, however many call at once and whatever they do to each other. What the call spawns is
//! run before it returns; calls into the same pool from inside it find the worker that stands in.
//!
//! The pool keeps one seat of its own beyond the workers', for tasks that it accepted and that were
//! published only after the workers had left: see [`Inner::settle`]. Nobody waits for that seat either,
//! except who ends the pool: who finds it taken leaves its task to whoever sits there.
//!
//! **Why nothing waits for itself.** After the closing a thread waits for another one in five places:
//!
//! 1. In [`Inner::join_threads`], for the workers and for who settles. A thread that runs a task of the
//!    pool, or something that such a task waits for, does not ([`Inner::is_inside`]: the workers on this
//!    thread's stack, those that stand in for this pool's, and all of both kinds on the stacks of the threads
//!    that wait for this one).
//! 2. A worker that would leave, for broadcasts: until the last has ended, or one has begun that has not
//!    reached it. Who broadcasts waits for mail to be served, which workers do that wait or would leave,
//!    and for slots no longer than a second; it waits for no worker's leaving.
//! 3. In `JoinHandle::join`, for the task, as before the end. A task accepted is with a worker that has not
//!    left, or is settled by who published it or by who sits in the seat. Who is a worker of the pool, or
//!    sits there, runs it itself.
//! 4. In a call that was accepted before the closing, until a worker has run it or it was dropped. In the
//!    seat it is only dropped, and its caller then goes on alone.
//! 5. In the seat, for nothing but what its tasks themselves wait for.
//!
//! So a circle has an edge that a user made, a task that waits for a thread, as it would be one
//! before the end in a pool of one worker: **tasks that came too late for the workers are run one after the
//! other**, and one of them that waits for a later one, or for a call published as late, waits for ever.

use pinfold_core::arena::MAGAZINE;
use pinfold_core::platform::{Unwind, WorkerId};

use crate::current::{self, Worker};
use crate::inner::{Housed, Inner};
use crate::lock::{lock, wait_while};
use crate::platform::Threads;

/// The slots of a scheduler for one call. Without a free one, a task is run at once.
const SLOTS: usize = 4 * MAGAZINE as usize;

/// Who runs what came in too late for the workers.
#[derive(Default)]
pub(crate) struct Settling {
    /// Somebody sits in the spare seat.
    active: bool,
    /// He is to look once more before he leaves it.
    again: bool,
}

impl Inner {
    /// Calls `f` as a worker that stands in for those of this pool, which has been closed, and runs what
    /// that has spawned.
    #[cold]
    pub(crate) fn alone<R>(&self, f: impl FnOnce(&Worker<'_>) -> R) -> R {
        let threads = Threads::new(1, self.scheduler.platform().panic_handler());
        let housed = Housed::new(1, SLOTS, SLOTS, threads)
            .unwrap_or_else(|error| panic!("a call after the shutdown cannot be made: {error}"));
        let id = WorkerId::new(0).expect("a small number");
        housed.scheduler.platform().enter_last();
        let worker = housed.scheduler.worker(id, &[]).expect("its first worker");
        current::enter_for(&self.scheduler, &worker, None, || {
            let result = Threads::catch(|| f(&worker));
            // What was spawned was accepted, also if its spawner panics.
            while worker.run_one() {}
            result.unwrap_or_else(|panic| Threads::resume(panic))
        })
    }

    /// Makes sure that what stands in the injector is run, although the workers may have left. Does not
    /// wait: if somebody is doing that already, he looks once more when he has done.
    #[cold]
    pub(crate) fn settle(&self) {
        let mut settling = lock(&self.settling);
        if std::mem::replace(&mut settling.active, true) {
            settling.again = true;
            return;
        }
        drop(settling);
        loop {
            self.run_leftovers();
            let mut settling = lock(&self.settling);
            if !std::mem::take(&mut settling.again) {
                settling.active = false;
                self.settled.notify_all();
                return;
            }
        }
    }

    /// Runs what stands in the injector, in the spare seat. A call from outside is turned away there: its
    /// caller, who waits, makes it by himself.
    fn run_leftovers(&self) {
        let id = WorkerId::new(self.layout.workers).expect("there is one seat more than workers");
        self.scheduler.platform().enter_last();
        let worker = self.scheduler.worker(id, &[]).expect("it is our turn");
        current::enter(&worker, None, || while worker.run_one() {});
    }

    /// Waits until nobody settles.
    pub(crate) fn wait_until_settled(&self) {
        wait_while(&self.settled, lock(&self.settling), |settling| {
            settling.active
        });
    }
}
