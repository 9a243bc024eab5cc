//! Broadcasts: once on each worker.

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use common::{until, watchdog};
use pinfold::Pool;

/// Opens scopes, one in the other, until all slots are taken, and beyond.
fn nest(depth: usize, innermost: &(dyn Fn() -> usize + Sync)) -> usize {
    if depth == 0 {
        innermost()
    } else {
        pinfold::scope(|_| nest(depth - 1, innermost))
    }
}

#[test]
fn a_broadcast_whose_callers_hold_all_slots_panics_and_says_so() {
    let _dog = watchdog();
    for workers in [1, 2] {
        let pool = Pool::builder().workers(workers).slots(1).build().unwrap();
        let text = common::panic_of(|| {
            pool.install(|| nest(300, &|| pool.broadcast(|_| ()).len()));
        });
        assert!(text.contains("slots"), "{text}");
        assert_eq!(pool.install(|| 7), 7);
        assert_eq!(pool.broadcast(|_| ()).len(), workers);
    }
}

/// A worker waits for a scope's task that another one runs, which submits a task, joins it, and in
/// that a broadcast is made: it must reach the waiting worker.
#[test]
fn a_broadcast_in_a_joined_submitted_task_reaches_the_worker_that_waits_for_the_joiner() {
    let _dog = watchdog();
    let pool = Arc::new(Pool::new(2).unwrap());
    let started = AtomicBool::new(false);
    pool.scope(|s| {
        s.spawn(|_| {
            started.store(true, Ordering::SeqCst);
            common::give_time();
            let inner = Arc::clone(&pool);
            let handle = pool.submit(move || inner.broadcast(|_| ()).len()).unwrap();
            assert_eq!(handle.join().unwrap(), 2);
        });
        until(|| started.load(Ordering::SeqCst));
    });
}

#[test]
fn a_broadcast_reaches_the_worker_that_waits_for_the_caller() {
    let _dog = watchdog();
    let pool = Arc::new(Pool::new(2).unwrap());
    let started = AtomicBool::new(false);
    pool.scope(|s| {
        s.spawn(|_| {
            started.store(true, Ordering::SeqCst);
            common::give_time();
            assert_eq!(pool.broadcast(|_| ()).len(), 2);
        });
        until(|| started.load(Ordering::SeqCst));
    });
}

/// Two workers wait for tasks that two others run, and both of those broadcast.
#[test]
fn two_broadcasts_under_two_waiting_workers_end() {
    let _dog = watchdog();
    let pool = Pool::new(4).unwrap();
    let running = std::sync::Barrier::new(4);
    let tree = || {
        pool.scope(|s| {
            s.spawn(|_| {
                running.wait();
                // Both owners wait by now.
                common::give_time();
                assert_eq!(pool.broadcast(|_| ()).len(), 4);
            });
            running.wait();
        });
    };
    std::thread::scope(|s| {
        s.spawn(tree);
        s.spawn(tree);
    });
}
