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

type Pool = Scheduler<Small<2, 8>, Parking>;

/// In a scope of `own`: asks worker 0 by mail to start a task in that scope, and says when the mail is
/// posted. The task lands in the deque of worker 0, who does not wait for it.
fn ask_worker_0_to_start_one(own: &Worker<'_, Small<2, 8>, Parking>, posted: impl FnOnce()) {
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
        posted();
    });
    // The checker reports an access that is not ordered before this one.
    ran.with_mut(|ran| assert_eq!(*ran, 1));
}

/// Waits for a task of its own, above which the mail has put another's; then leaves.
fn wait_with_something_on_top(own: &Worker<'_, Small<2, 8>, Parking>) {
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

/// Two tasks are in the deque of worker 0, and each of the two workers waits for the one that stands at
/// the other's end.
#[test]
fn what_is_under_something_else_is_waited_for_in_vain_by_nobody() {
    support::bounded(1, || {
        let (scheduler, bell) = (support::scheduler::<2, 8>(), Bell::new());
        let other = {
            let (scheduler, bell) = (scheduler.clone(), bell.clone());
            thread::spawn(move || {
                let victims = [worker(0)];
                let own = scheduler.worker(worker(1), &victims).unwrap();
                ask_worker_0_to_start_one(&own, || bell.ring());
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

/// Worker 0 shelves two tasks: one that the other worker waits for, and one that it will itself wait
/// for, later. Who takes the first has both in its hands for a moment.
#[test]
fn what_is_put_back_on_a_shelf_is_told_to_those_who_missed_it() {
    support::bounded(2, || {
        let (posted, parked) = (Bell::new(), Bell::new());
        let platform = Parking::heard(2, parked.clone());
        let scheduler = Arc::new(Pool::fixed(platform));
        let other = {
            let (scheduler, posted) = (scheduler.clone(), posted.clone());
            thread::spawn(move || {
                let victims = [worker(0)];
                let own = scheduler.worker(worker(1), &victims).unwrap();
                // The other's shelf is full when this one begins to look.
                ask_worker_0_to_start_one(&own, || {
                    posted.ring();
                    parked.wait();
                });
            })
        };
        support::start();
        posted.wait();
        let victims = [worker(1)];
        let own = scheduler.worker(worker(0), &victims).unwrap();
        let mut ran = AtomicUsize::new(0);
        own.scope(|outer| {
            let ran = &ran;
            let later = outer.spawn(&own, move |_, _| {
                ran.fetch_add(1, Relaxed);
            });
            later.unwrap();
            assert!(own.run_one(), "there is mail");
            // Only the other worker ends this wait.
            own.scope(|inner| inner.spawn_on(&own, worker(1), |_, _| ()).unwrap());
        });
        ran.with_mut(|ran| assert_eq!(*ran, 1));
        drop(own);
        other.join().unwrap();
    });
}
