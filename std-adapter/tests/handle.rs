//! Handles: results, time-outs, cancellation, futures, and that everything is dropped once.

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use common::{Gate, PanicsOnDrop, until, watchdog};
use pinfold::Pool;

#[test]
fn a_time_out_on_one_handle_does_not_end_a_later_wait_for_another() {
    let _dog = watchdog();
    let pool = Pool::new(2).unwrap();
    let (one, other) = (Gate::new(), Gate::new());
    let wait_at = |gate: &Gate| {
        let gate = gate.clone();
        move || gate.wait()
    };
    let first = pool.submit(wait_at(&one)).unwrap();
    let second = pool.submit({
        let wait = wait_at(&other);
        move || {
            wait();
            2
        }
    });
    let first = first.join_timeout(Duration::from_millis(1)).unwrap_err();
    thread::scope(|s| {
        s.spawn(|| {
            common::give_time();
            one.open();
            common::give_time();
            other.open();
        });
        assert_eq!(second.unwrap().join().unwrap(), 2);
        assert!(other.is_open());
    });
    first.join().unwrap();
}

#[test]
fn a_cancelled_closure_that_panics_when_dropped_does_not_kill_its_worker() {
    let _dog = watchdog();
    let pool = Pool::new(1).unwrap();
    let gate = Gate::new();
    pool.spawn({
        let gate = gate.clone();
        move || gate.wait()
    });
    let bomb = PanicsOnDrop;
    let handle = pool.submit(move || std::mem::forget(bomb)).unwrap();
    assert!(handle.cancel());
    gate.open();
    assert_eq!(pool.install(|| 7), 7);
    assert!(!handle.cancel());
}

#[test]
fn a_dropped_result_that_panics_does_not_kill_its_worker() {
    let _dog = watchdog();
    let pool = Pool::new(1).unwrap();
    let (started, gate) = (Gate::new(), Gate::new());
    let handle = pool.submit({
        let (started, gate) = (started.clone(), gate.clone());
        move || {
            started.open();
            gate.wait();
            PanicsOnDrop
        }
    });
    started.wait();
    drop(handle);
    gate.open();
    assert_eq!(pool.install(|| 7), 7);
}

#[test]
fn a_worker_that_joins_whatever_it_submits_does_not_run_out_of_slots() {
    let _dog = watchdog();
    let pool = Pool::builder().workers(1).slots(16).build().unwrap();
    let sum = pool.install(|| {
        let one = |_| {
            pool.submit(|| 1)
                .expect("nothing is queued or running")
                .join()
                .unwrap()
        };
        (0..1000).map(one).sum::<u64>()
    });
    assert_eq!(sum, 1000);
}

#[test]
fn a_handle_that_is_given_up_wakes_a_spawn_that_waits_for_a_slot() {
    let _dog = watchdog();
    let pool = Pool::builder().workers(1).slots(1).build().unwrap();
    let mut handles: Vec<_> = std::iter::from_fn(|| pool.submit(|| ()).ok()).collect();
    until(|| handles.iter().all(|handle| handle.is_finished()));
    let ran = Arc::new(AtomicBool::new(false));
    thread::scope(|s| {
        let spawner = s.spawn(|| {
            let ran = Arc::clone(&ran);
            pool.spawn(move || ran.store(true, Ordering::SeqCst));
        });
        common::give_time();
        handles.pop().unwrap().join().unwrap();
        spawner.join().unwrap();
    });
    until(|| ran.load(Ordering::SeqCst));
}
