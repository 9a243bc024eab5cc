//! What [`pinfold_core::handle`] promises of a task that somebody holds a handle to.
//!
//! The handle sees the result, its waiter is woken by whoever ends the task, and the slot goes to the
//! next task when the last of handle, queue entry and waiter has let it go. The checker watches the
//! slot's closure, result and waiter: it reports whoever touches them too early.

mod support;

use std::sync::Arc;
use std::task::Waker;

use loom::thread;
use pinfold_core::handle::Ended;
use pinfold_core::sync::{AtomicUsize, Ordering::Relaxed};
use support::{Bell, worker};

#[test]
fn a_handle_sees_the_result() {
    support::model(|| {
        let scheduler = support::scheduler::<1, 1>();
        let ticket = scheduler.submit(|_| 7).unwrap();
        let running = {
            let scheduler = scheduler.clone();
            thread::spawn(move || assert!(scheduler.worker(worker(0), &[]).unwrap().run_one()))
        };
        support::start();
        // SAFETY: the ticket is of this scheduler.
        if !unsafe { scheduler.is_finished(&ticket) } {
            running.join().unwrap();
        }
        // SAFETY: the ticket is of this scheduler.
        let ended = unsafe { scheduler.release(ticket) };
        assert_eq!(ended, Some(Ended::Done(7)));
    });
}

#[test]
fn a_finish_wakes_the_waiter() {
    support::model(|| {
        let scheduler = support::scheduler::<1, 1>();
        let mut ticket = scheduler.submit(|_| 7).unwrap();
        let running = {
            let scheduler = scheduler.clone();
            thread::spawn(move || assert!(scheduler.worker(worker(0), &[]).unwrap().run_one()))
        };
        support::start();
        let bell = Bell::new();
        // SAFETY: the ticket is of this scheduler.
        if unsafe { scheduler.register(&mut ticket, &Waker::from(bell.clone())) } {
            bell.wait();
        }
        // SAFETY: the ticket is of this scheduler.
        let ended = unsafe { scheduler.release(ticket) };
        assert_eq!(ended, Some(Ended::Done(7)));
        running.join().unwrap();
        assert!(scheduler.reserve().is_ok(), "the slot is lost");
    });
}

#[test]
fn a_cancel_wakes_the_waiter() {
    support::model(|| {
        let scheduler = support::scheduler::<1, 1>();
        let mut ticket = scheduler.submit(|_| 7).unwrap();
        let id = scheduler.task_id(&ticket);
        let cancelling = {
            let scheduler = scheduler.clone();
            thread::spawn(move || assert!(scheduler.cancel(id)))
        };
        support::start();
        let bell = Bell::new();
        // SAFETY: the ticket is of this scheduler.
        if unsafe { scheduler.register(&mut ticket, &Waker::from(bell.clone())) } {
            bell.wait();
        }
        // SAFETY: the ticket is of this scheduler.
        let ended = unsafe { scheduler.release(ticket) };
        assert_eq!(ended, Some(Ended::Cancelled));
        cancelling.join().unwrap();
        // Its entry stood in the queue all the time.
        assert!(scheduler.worker(worker(0), &[]).unwrap().run_one());
        assert!(scheduler.reserve().is_ok(), "the slot is lost");
    });
}

/// The name of the first task is used when the second may stand in the same slot.
#[test]
fn a_stale_task_id_is_rejected() {
    support::model(|| {
        let scheduler = support::scheduler::<1, 1>();
        let first = scheduler.submit(|_| 1).unwrap();
        let id = scheduler.task_id(&first);
        let cancelling = {
            let scheduler = scheduler.clone();
            thread::spawn(move || scheduler.cancel(id))
        };
        support::start();
        assert!(scheduler.worker(worker(0), &[]).unwrap().run_one());
        // SAFETY: the ticket is of this scheduler.
        let ended = unsafe { scheduler.release(first) };
        let second = scheduler.submit(|_| 2).unwrap();
        assert!(scheduler.worker(worker(0), &[]).unwrap().run_one());
        // SAFETY: the ticket is of this scheduler.
        let second = unsafe { scheduler.release(second) };
        assert_eq!(second, Some(Ended::Done(2)), "a task met another's name");
        let is_cancelled = cancelling.join().unwrap();
        let expected = if is_cancelled {
            Ended::Cancelled
        } else {
            Ended::Done(1)
        };
        assert_eq!(ended, Some(expected));
    });
}

/// The handle is dropped while the task runs or after it has run, and nobody takes the result.
#[test]
fn a_result_that_nobody_takes_is_dropped_once() {
    /// Counts its drops.
    struct Result(Arc<AtomicUsize>);

    impl Drop for Result {
        fn drop(&mut self) {
            self.0.fetch_add(1, Relaxed);
        }
    }

    support::model(|| {
        let scheduler = support::scheduler::<1, 1>();
        let dropped = Arc::new(AtomicUsize::new(0));
        let ticket = {
            let dropped = dropped.clone();
            scheduler.submit(move |_| Result(dropped)).unwrap()
        };
        let running = {
            let scheduler = scheduler.clone();
            thread::spawn(move || assert!(scheduler.worker(worker(0), &[]).unwrap().run_one()))
        };
        support::start();
        // SAFETY: the ticket is of this scheduler.
        drop(unsafe { scheduler.release(ticket) });
        running.join().unwrap();
        assert_eq!(dropped.load(Relaxed), 1);
        assert!(scheduler.reserve().is_ok(), "the slot is lost");
    });
}
