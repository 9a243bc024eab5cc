//! Scopes: all tasks run before the end, whatever waits for whatever.

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

use common::{Gate, PanicsOnDrop, until, watchdog};
use pinfold::Pool;

/// Three workers. A task of a scope spawns `late` into it and ends; its worker goes on with a task
/// that joins `middle`, which another worker runs, and which joins the task that has the scope. So
/// everything waits for `late`, which waits for nothing.
#[test]
fn a_task_queued_under_a_wait_is_found_by_who_needs_it() {
    let _dog = watchdog();
    let pool = Arc::new(Pool::new(3).unwrap());
    let (owner_runs, middle_runs, last_waits) = (Gate::new(), Gate::new(), Gate::new());
    let late_ran = Arc::new(AtomicBool::new(false));
    let (to_middle, middle_receives) = std::sync::mpsc::channel();
    let (to_last, last_receives) = std::sync::mpsc::channel();

    let middle = pool
        .submit({
            let (middle_runs, last_waits) = (middle_runs.clone(), last_waits.clone());
            move || {
                middle_runs.open();
                let owner: pinfold::JoinHandle<()> = middle_receives.recv().unwrap();
                last_waits.wait();
                common::give_time();
                owner.join().unwrap();
            }
        })
        .unwrap();
    middle_runs.wait();
    to_last.send(middle).unwrap();
    let last_receives = std::sync::Mutex::new(last_receives);

    let owner = pool
        .submit({
            let (owner_runs, last_waits) = (owner_runs.clone(), last_waits.clone());
            let late_ran = Arc::clone(&late_ran);
            move || {
                owner_runs.open();
                pinfold::scope(|s| {
                    s.spawn(|s| {
                        s.spawn(|_| late_ran.store(true, Ordering::SeqCst));
                        let waits = last_waits.clone();
                        pinfold::spawn(move || {
                            let middle: pinfold::JoinHandle<()> =
                                last_receives.lock().unwrap().recv().unwrap();
                            waits.open();
                            middle.join().unwrap();
                        });
                    });
                    // Blocks this worker, so that another one runs the task.
                    last_waits.wait();
                    common::give_time();
                });
            }
        })
        .unwrap();
    owner_runs.wait();
    to_middle.send(owner).unwrap();
    until(|| late_ran.load(Ordering::SeqCst));
    Arc::into_inner(pool).unwrap();
}

/// Three workers. A task of a scope has in its worker's deque, below a task of the scope, a detached one
/// that hides it from the scope's owner; and its worker waits for a third one, which waits for the scope's
/// task. The deque must be cleared before the wait.
#[test]
fn a_task_hidden_below_a_wait_is_found_by_who_needs_it() {
    let _dog = watchdog();
    let pool = Pool::new(3).unwrap();
    let (third_runs, task_runs, late_ran) = (Gate::new(), Gate::new(), Gate::new());
    let third = pool.submit({
        let (third_runs, late_ran) = (third_runs.clone(), late_ran.clone());
        move || {
            third_runs.open();
            late_ran.wait();
        }
    });
    let third = third.unwrap();
    third_runs.wait();
    pool.scope(|s| {
        s.spawn(|s| {
            // Nobody takes anything before both are there: the owner blocks until then.
            pinfold::spawn(|| ());
            s.spawn(|_| late_ran.open());
            task_runs.open();
            third.join().unwrap();
        });
        task_runs.wait();
    });
    assert!(late_ran.is_open());
}

#[test]
fn panics_that_panic_when_dropped_end_the_scope_all_the_same() {
    let _dog = watchdog();
    let pool = Pool::new(1).unwrap();
    let panic = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        pool.scope(|s| {
            s.spawn(|_| std::panic::panic_any(1_u8));
            s.spawn(|_| std::panic::panic_any(PanicsOnDrop));
            s.spawn(|_| std::panic::panic_any(PanicsOnDrop));
        });
    }));
    // Any of the three; forgotten, for it may be a bomb.
    std::mem::forget(panic.unwrap_err());
    assert_eq!(pool.install(|| 7), 7);
}

#[test]
fn a_panic_in_a_task_spawned_by_a_foreign_thread_reaches_the_scope() {
    let _dog = watchdog();
    let pool = Pool::new(1).unwrap();
    let text = common::panic_of(|| {
        pool.scope(|s| {
            thread::scope(|threads| {
                let spawner = threads.spawn(|| s.spawn(|_| panic!("foreign")));
                spawner.join().expect("the spawner does not join the task");
            });
        });
    });
    assert_eq!(text, "foreign");
}

/// Of four waiting workers only one may run the task that a busy fifth one has queued.
#[test]
fn a_queued_task_wakes_the_waiting_worker_that_may_run_it() {
    let _dog = watchdog();
    for _ in 0..5 {
        let pool = Pool::new(8).unwrap();
        let gate = Gate::new();
        let started = AtomicUsize::new(0);
        let child_of_a_decoy = |expected: usize| {
            pinfold::scope(|s| {
                s.spawn(|_| {
                    started.fetch_add(1, Ordering::SeqCst);
                    gate.wait();
                });
                until(|| started.load(Ordering::SeqCst) >= expected);
            });
        };
        thread::scope(|threads| {
            for expected in 1..=3 {
                let (pool, child) = (&pool, &child_of_a_decoy);
                threads.spawn(move || pool.install(|| child(expected)));
                until(|| started.load(Ordering::SeqCst) >= expected);
            }
            pool.scope(|s| {
                s.spawn(|s| {
                    started.fetch_add(1, Ordering::SeqCst);
                    // The scope's owner and the three decoys go to sleep, all waiting.
                    common::give_time();
                    let late_ran = Gate::new();
                    let late = late_ran.clone();
                    s.spawn(move |_| late.open());
                    late_ran.wait();
                });
                until(|| started.load(Ordering::SeqCst) >= 4);
            });
            gate.open();
        });
    }
}
