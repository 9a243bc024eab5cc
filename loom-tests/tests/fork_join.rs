//! What [`pinfold_core::join`] and [`pinfold_core::scope`] promise.
//!
//! Who joins sees what a thief did with its share, and when it goes on nobody is left in its frame.

mod support;

use std::sync::Arc;

use loom::thread;
use pinfold_core::scheduler::Scheduler;
use pinfold_core::sync::{AtomicUsize, Ordering::Relaxed};
use support::{Parking, Small, worker};

type Pair = Arc<Scheduler<Small<2, 2>, Parking>>;

/// Two workers, of whom the second is hungry: it steals one task, if there is one already, and leaves.
fn with_a_thief() -> (Pair, thread::JoinHandle<()>) {
    let scheduler = support::scheduler::<2, 2>();
    // Counted from the start, so that every join offers its second half.
    scheduler.idle().enter_search();
    let thief = {
        let scheduler = scheduler.clone();
        thread::spawn(move || {
            let victims = [worker(0)];
            scheduler.worker(worker(1), &victims).unwrap().run_one();
        })
    };
    (scheduler, thief)
}

#[test]
fn a_joins_stolen_half_is_seen_and_its_frame_not_touched_afterwards() {
    support::bounded(3, || {
        let (scheduler, thief) = with_a_thief();
        support::start();
        let own = scheduler.worker(worker(0), &[]).unwrap();
        // In the frame of who joins; Relaxed, so that the join alone must order it.
        let mut left = AtomicUsize::new(0);
        let results = own.join(
            |_| 1,
            |_| {
                left.store(1, Relaxed);
                2
            },
        );
        assert_eq!(results, (1, 2));
        // The checker reports an access that is not ordered before this one.
        left.with_mut(|left| assert_eq!(*left, 1));
        drop(own);
        thief.join().unwrap();
    });
}

#[test]
fn a_scopes_last_decrement_never_touches_a_dead_frame() {
    support::bounded(3, || {
        let (scheduler, thief) = with_a_thief();
        support::start();
        let own = scheduler.worker(worker(0), &[]).unwrap();
        let mut left = AtomicUsize::new(0);
        own.scope(|scope| {
            scope
                .spawn(&own, |_, _| {
                    left.fetch_add(1, Relaxed);
                })
                .unwrap();
        });
        // The checker reports an access that is not ordered before this one.
        left.with_mut(|left| assert_eq!(*left, 1));
        drop(own);
        thief.join().unwrap();
    });
}
