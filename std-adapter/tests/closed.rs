//! Calls into a pool that was shut down: each caller is served, waits for nobody, and loses nothing.

mod common;

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Barrier};
use std::thread;

use common::{Gate, until, watchdog};
use pinfold::{Pool, Shutdown, graph};

fn closed(workers: usize) -> Pool {
    let pool = Pool::new(workers).unwrap();
    pool.shutdown(Shutdown::Drain);
    pool
}

#[test]
fn a_spawn_does_not_wait_for_a_call_that_waits_for_it() {
    let _dog = watchdog();
    let pool = closed(2);
    let ran = Arc::new(AtomicBool::new(false));
    pool.install(|| {
        thread::scope(|s| {
            s.spawn(|| {
                let ran = Arc::clone(&ran);
                pool.spawn(move || ran.store(true, Ordering::SeqCst));
            });
        });
        assert!(ran.load(Ordering::SeqCst));
    });
}

#[test]
fn two_callers_that_meet_do_not_wait_for_each_others_end() {
    let _dog = watchdog();
    let pool = closed(2);
    let both = Barrier::new(2);
    thread::scope(|s| {
        for _ in 0..2 {
            s.spawn(|| pool.install(|| both.wait()));
        }
    });
}

#[test]
fn what_a_call_spawns_runs_before_it_returns_even_if_it_panics() {
    let _dog = watchdog();
    let pool = closed(1);
    let ran = Arc::new(AtomicUsize::new(0));
    let count = || {
        let ran = Arc::clone(&ran);
        move || {
            ran.fetch_add(1, Ordering::SeqCst);
        }
    };
    let text = common::panic_of(|| {
        pool.install(|| {
            pinfold::spawn(count());
            pool.spawn(count());
            panic!("the caller's own");
        });
    });
    assert_eq!(text, "the caller's own");
    assert_eq!(ran.load(Ordering::SeqCst), 2);
}

#[test]
fn a_cancelled_install_that_panics_loses_nothing_that_it_spawned() {
    let _dog = watchdog();
    let pool = Pool::new(1).unwrap();
    let gate = Gate::new();
    pool.spawn({
        let gate = gate.clone();
        move || gate.wait()
    });
    until(|| pool.metrics().injector_len == 0);
    let ran = Gate::new();
    thread::scope(|s| {
        let install = s.spawn(|| {
            common::panic_of(|| {
                pool.install(|| {
                    let ran = ran.clone();
                    pinfold::spawn(move || ran.open());
                    panic!("the caller's own");
                });
            })
        });
        until(|| pool.metrics().injector_len == 1);
        s.spawn(|| pool.shutdown(Shutdown::Cancel));
        assert_eq!(install.join().unwrap(), "the caller's own");
        gate.open();
    });
    assert!(ran.is_open());
}

#[test]
fn a_chain_of_spawns_does_not_grow_the_stack() {
    let _dog = watchdog();
    fn next(pool: &Arc<Pool>, ran: &Arc<AtomicUsize>) {
        let (again, counted) = (Arc::clone(pool), Arc::clone(ran));
        pool.spawn(move || {
            if counted.fetch_add(1, Ordering::SeqCst) < 100_000 {
                next(&again, &counted);
            }
        });
    }
    let (pool, ran) = (Arc::new(closed(1)), Arc::new(AtomicUsize::new(0)));
    next(&pool, &ran);
    assert_eq!(ran.load(Ordering::SeqCst), 100_001);
}

#[test]
fn calls_inside_calls_scopes_and_graphs_work_as_before_the_end() {
    let _dog = watchdog();
    let pool = closed(2);
    fn sum(pool: &Pool, from: u64, to: u64) -> u64 {
        if to - from < 2 {
            return from;
        }
        let middle = from.midpoint(to);
        let (a, b) = pool.join(|| sum(pool, from, middle), || sum(pool, middle, to));
        a + b
    }
    assert_eq!(pool.install(|| sum(&pool, 0, 1000)), 499_500);
    let no_worker = pool.install(pinfold::current_worker);
    assert_eq!(no_worker, None, "the workers have left");
    let ran = AtomicUsize::new(0);
    pool.scope(|s| {
        for _ in 0..10_000 {
            s.spawn(|_| {
                ran.fetch_add(1, Ordering::SeqCst);
            });
        }
    });
    assert_eq!(ran.load(Ordering::SeqCst), 10_000);
    let order = Arc::new(AtomicUsize::new(0));
    let tasks = graph::Builder::new();
    let mut firsts = Vec::new();
    for index in 0..10_000 {
        let order = Arc::clone(&order);
        firsts.push(tasks.task(format!("first {index}"), move || {
            order.fetch_add(1, Ordering::SeqCst);
        }));
    }
    let seen = Arc::clone(&order);
    let last = tasks.task("last", move || {
        assert_eq!(seen.load(Ordering::SeqCst), 10_000);
    });
    let _ = last.after(firsts);
    assert!(pool.run(&tasks.build().unwrap()).is_ok());
}

#[test]
fn a_shutdown_inside_a_call_does_not_wait_for_a_task_that_waits_for_the_call() {
    let _dog = watchdog();
    let pool = Arc::new(Pool::new(1).unwrap());
    let (closing, returned) = (Gate::new(), Gate::new());
    pool.spawn({
        let (pool, closing, returned) = (Arc::clone(&pool), closing.clone(), returned.clone());
        move || {
            pool.shutdown(Shutdown::Drain);
            closing.open();
            returned.wait();
        }
    });
    closing.wait();
    pool.install(|| pool.shutdown(Shutdown::Drain));
    returned.open();
}
