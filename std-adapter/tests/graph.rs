//! Graphs.

mod common;

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Barrier};

use common::{Gate, until, watchdog};
use pinfold::{Pool, graph};

/// A worker steals nodes of two runs, ends the last of one, and goes on with one of the other.
#[test]
fn a_run_that_has_ended_is_reported_before_its_worker_turns_to_another_run() {
    let _dog = watchdog();
    let pool = Arc::new(Pool::new(2).unwrap());
    let (blocked, release) = (Gate::new(), Gate::new());
    let thief_started = Arc::new(AtomicBool::new(false));
    let inner_done = Arc::new(AtomicBool::new(false));

    let inner = graph::Builder::new();
    let _ = inner.task("first", {
        let (release, thief_started) = (release.clone(), Arc::clone(&thief_started));
        move || {
            release.open();
            until(|| thief_started.load(Ordering::SeqCst));
        }
    });
    for name in ["x", "y", "z"] {
        let _ = inner.task(name, || ());
    }
    let inner = inner.build().unwrap();

    let outer = graph::Builder::new();
    let _ = outer.task("runs the inner one", {
        let (pool, inner_done) = (Arc::clone(&pool), Arc::clone(&inner_done));
        move || {
            assert!(pool.run(&inner).is_ok());
            inner_done.store(true, Ordering::SeqCst);
        }
    });
    let others = Arc::new(AtomicUsize::new(0));
    for name in ["second", "third"] {
        let _ = outer.task(name, {
            let (thief_started, inner_done) = (Arc::clone(&thief_started), Arc::clone(&inner_done));
            let others = Arc::clone(&others);
            move || {
                thief_started.store(true, Ordering::SeqCst);
                // The one that comes last on the other worker may count on the inner run's end.
                if others.fetch_add(1, Ordering::SeqCst) == 1 {
                    until(|| inner_done.load(Ordering::SeqCst));
                }
            }
        });
    }
    let outer = outer.build().unwrap();

    pool.spawn({
        let (blocked, release) = (blocked.clone(), release.clone());
        move || {
            blocked.open();
            release.wait();
        }
    });
    blocked.wait();
    assert!(pool.run(&outer).is_ok());
}

#[test]
fn ready_tasks_beyond_the_deque_are_shared_too() {
    let _dog = watchdog();
    let pool = Pool::builder().workers(2).slots(16).build().unwrap();
    // Each task waits for one on the other worker: whoever keeps its tasks to itself waits for ever.
    let pairs = Arc::new(Barrier::new(2));
    let builder = graph::Builder::new();
    for index in 0..200 {
        let pairs = Arc::clone(&pairs);
        let _ = builder.task(index.to_string(), move || {
            pairs.wait();
        });
    }
    let times = graph::RunOptions::new().record_times(true);
    let report = pool.run_with(&builder.build().unwrap(), times);
    let on_zero = report
        .tasks()
        .filter(|task| task.worker().unwrap().index() == 0);
    assert_eq!(on_zero.count(), 100);
}
