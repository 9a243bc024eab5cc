//! Broadcasts: once on each worker.

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use common::{Gate, on_thread_end, until, watchdog};
use pinfold::{Pool, Shutdown};

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

/// Occupies a worker until the gate opens, then calls `last` there; returns once it is occupied.
fn occupy(pool: &Pool, gate: &Gate, last: impl FnOnce() + Send + 'static) {
    let (started, gate) = (Gate::new(), gate.clone());
    pool.spawn({
        let started = started.clone();
        move || {
            started.open();
            gate.wait();
            last();
        }
    });
    started.wait();
}

#[test]
fn a_queued_broadcast_that_a_task_of_the_pool_cancels_reaches_nobody() {
    let _dog = watchdog();
    let pool = Arc::new(Pool::new(2).unwrap());
    let (one, other, closed) = (Gate::new(), Gate::new(), Gate::new());
    occupy(&pool, &one, {
        let (pool, closed) = (Arc::clone(&pool), closed.clone());
        move || {
            pool.shutdown(Shutdown::Cancel);
            closed.open();
        }
    });
    occupy(&pool, &other, || ());
    thread::scope(|s| {
        let broadcast = s.spawn(|| pool.broadcast(|context| context.worker().index()));
        until(|| pool.metrics().injector_len == 1);
        one.open();
        closed.wait();
        assert_eq!(broadcast.join().unwrap(), []);
        other.open();
    });
}

#[test]
fn a_cancelled_broadcast_behind_a_cancelled_install_ends_after_the_workers() {
    let _dog = watchdog();
    let pool = Arc::new(Pool::new(2).unwrap());
    let (one, other, closed) = (Gate::new(), Gate::new(), Gate::new());
    let (called, go_on) = (Gate::new(), Gate::new());
    let ends = [Gate::new(), Gate::new()];
    occupy(&pool, &one, {
        let (pool, closed, ended) = (Arc::clone(&pool), closed.clone(), ends[0].clone());
        move || {
            on_thread_end(move || ended.open());
            pool.shutdown(Shutdown::Cancel);
            closed.open();
        }
    });
    occupy(&pool, &other, {
        let ended = ends[1].clone();
        move || on_thread_end(move || ended.open())
    });
    thread::scope(|s| {
        s.spawn(|| {
            pool.install(|| {
                called.open();
                go_on.wait();
            });
        });
        until(|| pool.metrics().injector_len == 1);
        let broadcast = s.spawn(|| pool.broadcast(|context| context.worker().index()));
        until(|| pool.metrics().injector_len == 2);
        one.open();
        closed.wait();
        called.wait();
        other.open();
        if !ends.iter().all(Gate::is_open) {
            common::give_time();
        }
        go_on.open();
        assert_eq!(broadcast.join().unwrap(), []);
    });
    ends.iter().for_each(Gate::wait);
}

#[test]
fn a_queued_broadcast_is_made_before_a_draining_pool_ends() {
    let _dog = watchdog();
    let pool = Pool::new(2).unwrap();
    let (one, other) = (Gate::new(), Gate::new());
    occupy(&pool, &one, || ());
    occupy(&pool, &other, || ());
    thread::scope(|s| {
        let broadcast = s.spawn(|| pool.broadcast(|context| context.worker().index()));
        until(|| pool.metrics().injector_len == 1);
        let shutdown = s.spawn(|| pool.shutdown(Shutdown::Drain));
        common::give_time();
        one.open();
        common::give_time();
        other.open();
        assert_eq!(broadcast.join().unwrap(), [0, 1]);
        shutdown.join().unwrap();
    });
    assert_eq!(pool.broadcast(|_| ()), []);
}

/// All slots are in use, so a broadcast has begun and has reached nobody. Whoever closes the pool now,
/// the workers that have nothing to do are still to be reached.
fn closed_while_a_broadcast_waits_for_slots(by_a_task: bool) {
    let pool = Arc::new(Pool::builder().workers(3).slots(1).build().unwrap());
    let (close, closed, begun) = (Gate::new(), Gate::new(), Gate::new());
    if by_a_task {
        let (pool, closed) = (Arc::clone(&pool), closed.clone());
        occupy(&Arc::clone(&pool), &close, move || {
            pool.shutdown(Shutdown::Drain);
            closed.open();
        });
    }
    let mut handles = Vec::new();
    let ours = pool.metrics().slots - usize::from(by_a_task);
    until(|| {
        handles.extend(pool.submit(|| ()));
        handles.len() == ours
    });
    until(|| handles.iter().all(|handle| handle.is_finished()));
    // For the call, and then for the scope of the broadcast, which lacks two more.
    drop(handles.pop());
    thread::scope(|s| {
        let broadcast = s.spawn(|| {
            pool.install(|| {
                begun.open();
                pool.broadcast(|context| context.worker().index())
            })
        });
        begun.wait();
        common::give_time();
        close.open();
        if by_a_task {
            closed.wait();
        } else {
            s.spawn(|| pool.shutdown(Shutdown::Drain));
        }
        common::give_time();
        handles.clear();
        assert_eq!(broadcast.join().unwrap(), [0, 1, 2]);
    });
}

#[test]
fn no_worker_leaves_before_a_broadcast_that_waits_for_slots_has_reached_it() {
    let _dog = watchdog();
    closed_while_a_broadcast_waits_for_slots(false);
}

#[test]
fn no_worker_leaves_before_a_broadcast_reaches_it_although_a_task_closed_the_pool() {
    let _dog = watchdog();
    closed_while_a_broadcast_waits_for_slots(true);
}
