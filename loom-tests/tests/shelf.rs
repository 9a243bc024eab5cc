//! What a waiting worker promises to those who wait for what is in its deque.
//!
//! A worker that waits runs descendants of what it waits for and nothing else. Before it parks it puts
//! other tasks on its shelf, so that whoever waits for them finds them there: nobody waits for ever.

mod support;

use std::sync::Arc;

use loom::thread;
use pinfold_core::scheduler::Scheduler;
use pinfold_core::sync::{AtomicUsize, Ordering::Relaxed};
use pinfold_core::worker::Worker;
use support::{Bell, Parking, Small, worker};

type Pool<const WORKERS: usize> = Scheduler<Small<WORKERS, 8>, Parking>;

/// In a scope of `own`: asks worker 0 by mail to start a task in that scope, and rings when the mail is
/// posted. The task lands in the deque of worker 0, who does not wait for it.
fn ask_worker_0_to_start_one<const W: usize>(own: &Worker<'_, Small<W, 8>, Parking>, bell: &Bell) {
    let mut ran = AtomicUsize::new(0);
    own.scope(|scope| {
        let ran = &ran;
        let start = scope.spawn_on(own, worker(0), move |scope, receiver| {
            let started = scope.spawn(receiver, move |_, _| {
                ran.fetch_add(1, Relaxed);
            });
            started.unwrap();
        });
        start.unwrap();
        bell.ring();
    });
    // The checker reports an access that is not ordered before this one.
    ran.with_mut(|ran| assert_eq!(*ran, 1));
}

/// Waits for a task of its own, above which the mail has put another's; then leaves.
fn wait_with_something_on_top<const W: usize>(own: &Worker<'_, Small<W, 8>, Parking>) {
    let mut ran = AtomicUsize::new(0);
    own.scope(|scope| {
        let ran = &ran;
        let started = scope.spawn(own, move |_, _| {
            ran.fetch_add(1, Relaxed);
        });
        started.unwrap();
        assert!(own.run_one(), "there is mail");
    });
    ran.with_mut(|ran| assert_eq!(*ran, 1));
}

fn with_bell<const W: usize>() -> (Arc<Pool<W>>, Arc<Bell>) {
    (support::scheduler(), Bell::new())
}

/// Of the two tasks in the deque of worker 0 each worker waits for one, and each for the one that the
/// other one's end of the deque hides.
#[test]
fn what_is_under_something_else_is_waited_for_in_vain_by_nobody() {
    support::bounded(1, || {
        let (scheduler, bell) = with_bell::<2>();
        let other = {
            let (scheduler, bell) = (scheduler.clone(), bell.clone());
            thread::spawn(move || {
                let victims = [worker(0)];
                let own = scheduler.worker(worker(1), &victims).unwrap();
                ask_worker_0_to_start_one(&own, &bell);
            })
        };
        support::start();
        bell.wait();
        let victims = [worker(1)];
        let own = scheduler.worker(worker(0), &victims).unwrap();
        wait_with_something_on_top(&own);
        drop(own);
        other.join().unwrap();
    });
}
