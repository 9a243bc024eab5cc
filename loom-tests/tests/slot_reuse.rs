//! A slot has one task after another, and what is left of the last must not reach the next.
//!
//! Handle, queue entry and registered waiter each hold the slot; whoever of them lets go last frees it,
//! and may put the next task there at once. The checker watches the slot's closure, result and waiter,
//! and a ghost its label: it reports the next user if the last one is not ordered before.

mod support;

use std::sync::Arc;
use std::task::Waker;

use loom::thread;
use pinfold_core::handle::{Ended, Ticket};
use pinfold_core::platform::{Aborting, Platform, WorkerId};
use pinfold_core::scheduler::Scheduler;
use support::{Bell, Small, worker};

/// A machine on which nobody sleeps for long, so that no fence of the idle protocol is needed, and neither
/// fences nor wakes order what the slot's own word must order.
struct Awake;

impl Platform for Awake {
    fn park(&self, _: WorkerId) {
        thread::yield_now();
    }

    fn unpark(&self, _: WorkerId) {}

    fn publisher_fence(&self) {}

    fn sleeper_fence(&self) {}
}

type One = Scheduler<Small<1, 1>, Aborting<Awake>>;

/// Puts another task into the only slot, if it is free, and writes all that a handle writes.
fn reuse(scheduler: &One) -> bool {
    let Ok(mut next) = scheduler.submit(|_| 8) else {
        return false;
    };
    register(scheduler, &mut next);
    // SAFETY: the ticket is of this scheduler.
    assert_eq!(unsafe { scheduler.release(next) }, None);
    true
}

fn register<R>(scheduler: &One, ticket: &mut Ticket<R>) -> bool {
    // SAFETY: the ticket is of this scheduler.
    unsafe { scheduler.register(ticket, &Waker::from(Bell::new())) }
}

/// Takes one entry from the queue, leaves, and reuses the slot if it is free.
fn spawn_worker(scheduler: &Arc<One>) -> thread::JoinHandle<bool> {
    let scheduler = scheduler.clone();
    thread::spawn(move || {
        let own = scheduler.worker(worker(0), &[]).unwrap();
        assert!(own.run_one(), "its entry is in the queue");
        drop(own);
        reuse(&scheduler)
    })
}

/// Whether the entries that are left, of tasks without a handle, lead to a free slot.
fn is_free_in_the_end(scheduler: &One) -> bool {
    let own = scheduler.worker(worker(0), &[]).unwrap();
    while own.run_one() {}
    drop(own);
    scheduler.reserve().is_ok()
}

/// The canceller is the handle's thread; the entry is still in its queue.
#[test]
fn a_cancelled_task_is_followed_when_all_have_let_go() {
    support::bounded(3, || {
        let scheduler = Arc::new(One::fixed(Aborting(Awake)));
        let mut ticket = scheduler.submit(|_| 7).unwrap();
        assert!(register(&scheduler, &mut ticket));
        let discarding = spawn_worker(&scheduler);
        support::start();
        let is_cancelled = scheduler.cancel(scheduler.task_id(&ticket));
        // SAFETY: the ticket is of this scheduler.
        let ended = unsafe { scheduler.release(ticket) };
        assert!(!is_cancelled || ended == Some(Ended::Cancelled));
        reuse(&scheduler);
        discarding.join().unwrap();
        assert!(is_free_in_the_end(&scheduler), "the slot is lost");
    });
}

/// The handle does not wait for its waiter to be woken; the finisher has it in its hands.
#[test]
fn a_finished_task_is_followed_when_all_have_let_go() {
    support::bounded(3, || {
        let scheduler = Arc::new(One::fixed(Aborting(Awake)));
        let mut ticket = scheduler.submit(|_| 7).unwrap();
        assert!(register(&scheduler, &mut ticket));
        let finishing = spawn_worker(&scheduler);
        support::start();
        // SAFETY: the ticket is of this scheduler.
        let ended = unsafe { scheduler.release(ticket) };
        assert!(ended.is_none_or(|ended| ended == Ended::Done(7)));
        reuse(&scheduler);
        finishing.join().unwrap();
        assert!(is_free_in_the_end(&scheduler), "the slot is lost");
    });
}

/// The handle may run the task itself, while another worker meets the entry that was left in the queue
/// and then uses the slot for a task of its own.
#[test]
fn the_last_to_let_go_frees_the_slot() {
    support::bounded(3, || {
        let scheduler = Arc::new(Scheduler::<Small<2, 1>, _>::fixed(Aborting(Awake)));
        let mut ticket = scheduler.submit(|_| 7).unwrap();
        let other = {
            let scheduler = scheduler.clone();
            thread::spawn(move || {
                scheduler.worker(worker(1), &[]).unwrap().run_one();
                let next = scheduler.submit(|_| 8);
                if let Ok(next) = next {
                    // SAFETY: the ticket is of this scheduler.
                    assert_eq!(unsafe { scheduler.release(next) }, None);
                }
            })
        };
        support::start();
        let own = scheduler.worker(worker(0), &[]).unwrap();
        // SAFETY: the ticket is of this worker's scheduler.
        unsafe { own.wait(&mut ticket) };
        // SAFETY: the ticket is of this scheduler.
        let ended = unsafe { scheduler.release(ticket) };
        assert_eq!(ended, Some(Ended::Done(7)));
        other.join().unwrap();
        while own.run_one() {}
        drop(own);
        assert!(scheduler.reserve().is_ok(), "the slot is lost");
    });
}
