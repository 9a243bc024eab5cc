//! What [`pinfold_core::scheduler`] promises.
//!
//! What was accepted is run, whether the workers sleep, wake or leave meanwhile. Who waits outside
//! for a slot is told when one is free, whoever freed it.

mod support;

use std::sync::Arc;

use loom::thread;
use pinfold_core::handle::Ended;
use pinfold_core::sync::{AtomicUsize, Ordering::Relaxed};
use support::worker;

#[test]
fn what_was_accepted_before_the_close_is_run() {
    support::bounded(3, || {
        let scheduler = support::scheduler::<1, 2>();
        let ran = Arc::new(AtomicUsize::new(0));
        let serving = {
            let scheduler = scheduler.clone();
            thread::spawn(move || {
                scheduler.worker(worker(0), &[]).unwrap().run_until_closed();
            })
        };
        support::start();
        let counted = ran.clone();
        scheduler
            .spawn(move |_| {
                counted.fetch_add(1, Relaxed);
            })
            .unwrap();
        scheduler.close();
        serving.join().unwrap();
        assert_eq!(ran.load(Relaxed), 1, "an accepted task was left behind");
    });
}

/// The only slot is kept by the handle of a task that has ended, and is freed outside the pool.
#[test]
fn who_starves_is_told_of_a_slot_that_a_handle_kept() {
    support::model(|| {
        let scheduler = support::scheduler::<1, 1>();
        let ticket = scheduler.submit(|_| 7).unwrap();
        assert!(scheduler.worker(worker(0), &[]).unwrap().run_one());
        let starving = {
            let scheduler = scheduler.clone();
            thread::spawn(move || {
                scheduler.enter_starvation();
                scheduler.reserve().is_err()
            })
        };
        support::start();
        // SAFETY: the ticket is of this scheduler.
        let ended = unsafe { scheduler.release(ticket) };
        assert_eq!(ended, Some(Ended::Done(7)));
        if starving.join().unwrap() {
            assert_ne!(scheduler.platform().freed(), 0, "who starves was not told");
        }
        assert!(scheduler.reserve().is_ok());
    });
}
