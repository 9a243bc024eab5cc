//! The end of a pool: what was accepted runs, and nobody is left waiting.

mod common;

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Barrier};
use std::thread;

use common::{Gate, on_thread_end, until, watchdog};
use pinfold::{JoinError, Pool, Shutdown, SubmitError};

#[test]
fn a_cancelling_shutdown_strands_no_install() {
    let _dog = watchdog();
    let pool = Pool::new(1).unwrap();
    let gate = Gate::new();
    let busy = pool.submit({
        let gate = gate.clone();
        move || gate.wait()
    });
    until(|| pool.metrics().injector_len == 0);
    thread::scope(|s| {
        let install = s.spawn(|| pool.install(|| 7));
        until(|| pool.metrics().injector_len == 1);
        let shutdown = s.spawn(|| pool.shutdown(Shutdown::Cancel));
        until(|| pool.metrics().injector_len == 0);
        gate.open();
        shutdown.join().unwrap();
        assert_eq!(install.join().unwrap(), 7);
    });
    busy.unwrap().join().unwrap();
}

#[test]
fn a_spawn_after_the_closing_does_not_wait_for_running_tasks() {
    let _dog = watchdog();
    let pool = Arc::new(Pool::new(1).unwrap());
    let (closed, gate) = (Gate::new(), Gate::new());
    let last = pool
        .submit({
            let (pool, closed, gate) = (Arc::clone(&pool), closed.clone(), gate.clone());
            move || {
                pool.shutdown(Shutdown::Drain);
                closed.open();
                gate.wait();
            }
        })
        .unwrap();
    closed.wait();
    // The running task waits for this thread, so this thread must get through.
    let ran = Arc::new(AtomicBool::new(false));
    pool.spawn({
        let ran = Arc::clone(&ran);
        move || ran.store(true, Ordering::SeqCst)
    });
    assert_eq!(pool.install(|| 7), 7);
    gate.open();
    last.join().unwrap();
    pool.shutdown(Shutdown::Drain);
    assert!(ran.load(Ordering::SeqCst));
}

#[test]
fn submitting_inside_a_task_while_the_pool_shuts_down_settles_every_handle() {
    let _dog = watchdog();
    for _ in 0..200 {
        let pool = Arc::new(Pool::new(2).unwrap());
        let start = Arc::new(Barrier::new(3));
        let settled = Arc::new(AtomicUsize::new(0));
        let submitters: Vec<_> = (0..2)
            .map(|_| {
                let (inner, start, settled) =
                    (Arc::clone(&pool), Arc::clone(&start), Arc::clone(&settled));
                let task = move || {
                    start.wait();
                    let mut handles = Vec::new();
                    loop {
                        match inner.submit(|| 1) {
                            Ok(handle) => handles.push(handle),
                            Err(SubmitError::Full { .. }) => handles.clear(),
                            Err(SubmitError::ShutDown { .. }) => break,
                            Err(other) => panic!("{other}"),
                        }
                    }
                    for handle in handles {
                        settled.fetch_add(handle.join().unwrap(), Ordering::SeqCst);
                    }
                    pinfold::current_worker()
                };
                pool.submit(task).unwrap()
            })
            .collect();
        start.wait();
        pool.shutdown(Shutdown::Drain);
        for submitter in submitters {
            assert!(
                submitter.join().unwrap().is_some(),
                "it is a worker to its end"
            );
        }
    }
}

#[test]
fn a_broadcast_inside_a_broadcast_ends_although_the_pool_was_closed_between() {
    let _dog = watchdog();
    let pool = Pool::new(2).unwrap();
    let ended = Gate::new();
    let counted = AtomicUsize::new(0);
    pool.broadcast(|context| {
        if context.worker().index() == 1 {
            let ended = ended.clone();
            on_thread_end(move || ended.open());
            return;
        }
        pool.shutdown(Shutdown::Drain);
        // Worker 1 has nothing to do and may leave, or may not.
        for _ in 0..10 {
            if !ended.is_open() {
                common::give_time();
            }
        }
        let reached = pool.broadcast(|_| counted.fetch_add(1, Ordering::SeqCst));
        assert!(
            reached.is_empty() || reached.len() == 2,
            "all or none: {reached:?}"
        );
    });
    pool.shutdown(Shutdown::Drain);
    assert!(ended.is_open());
}

#[test]
fn a_shutdown_releases_a_spawn_that_waits_for_a_slot() {
    let _dog = watchdog();
    let pool = Pool::builder().workers(1).slots(1).build().unwrap();
    let handles: Vec<_> = std::iter::from_fn(|| pool.submit(|| ()).ok()).collect();
    until(|| handles.iter().all(|handle| handle.is_finished()));
    let ran = Gate::new();
    thread::scope(|s| {
        s.spawn(|| {
            let ran = ran.clone();
            pool.spawn(move || ran.open());
        });
        common::give_time();
        pool.shutdown(Shutdown::Drain);
        ran.wait();
    });
    assert_eq!(handles.len(), pool.metrics().slots);
}

#[test]
fn a_shut_down_pool_gives_closures_back() {
    let _dog = watchdog();
    let pool = Pool::new(1).unwrap();
    pool.shutdown(Shutdown::Drain);
    let text = String::from("mine");
    let error = pool.submit(move || text).unwrap_err();
    assert!(matches!(error, SubmitError::ShutDown { .. }), "{error}");
    assert_eq!(error.into_task()(), "mine");
    assert_eq!(pool.install(|| 1), 1);
    assert_eq!(pool.join(|| 2, || 3), (2, 3));
    let mut sum = 0;
    pool.scope(|s| s.spawn(|_| sum += 4));
    assert_eq!(sum, 4);
    let (sender, receiver) = std::sync::mpsc::channel();
    pool.spawn(move || sender.send(thread::current().id()).unwrap());
    assert_eq!(receiver.recv().unwrap(), thread::current().id());
    assert_eq!(pool.broadcast(|_| ()), []);
}

#[test]
fn cancelled_tasks_settle_as_cancelled_and_are_counted() {
    let _dog = watchdog();
    let pool = Pool::new(1).unwrap();
    let (started, gate) = (Gate::new(), Gate::new());
    let running = pool
        .submit({
            let (started, gate) = (started.clone(), gate.clone());
            move || {
                started.open();
                gate.wait();
                5
            }
        })
        .unwrap();
    started.wait();
    let drops = common::Drops::new();
    let queued: Vec<_> = (0..10)
        .map(|_| {
            let counted = drops.one();
            pool.submit(move || drop(counted)).unwrap()
        })
        .collect();
    let report = thread::scope(|s| {
        let shutdown = s.spawn(|| pool.shutdown(Shutdown::Cancel));
        until(|| pool.metrics().injector_len == 0);
        gate.open();
        shutdown.join().unwrap()
    });
    assert_eq!(report.cancelled, 10);
    for handle in queued {
        let error = handle.join().unwrap_err();
        assert!(matches!(error, JoinError::Cancelled), "{error}");
    }
    assert_eq!(drops.count(), 10);
    assert_eq!(running.join().unwrap(), 5);
}

#[test]
fn what_has_run_or_was_cancelled_before_is_not_counted_as_cancelled() {
    let _dog = watchdog();
    let pool = Arc::new(Pool::new(1).unwrap());
    let (settled, gate) = (Gate::new(), Gate::new());
    pool.spawn({
        let (pool, settled, gate) = (Arc::clone(&pool), settled.clone(), gate.clone());
        move || {
            // The entry of the first, the oldest, keeps that of the second in the injector.
            let first = pool.submit(|| ()).unwrap();
            let second = pool.submit(|| 2).unwrap();
            assert_eq!(second.join().unwrap(), 2);
            assert!(first.cancel());
            settled.open();
            gate.wait();
        }
    });
    settled.wait();
    assert_eq!(pool.metrics().injector_len, 2);
    let report = thread::scope(|s| {
        let shutdown = s.spawn(|| pool.shutdown(Shutdown::Cancel));
        until(|| pool.metrics().injector_len == 0);
        gate.open();
        shutdown.join().unwrap()
    });
    assert_eq!(report.cancelled, 0);
}
