//! Small enough for Miri: each way in and out once, with two workers.

mod common;

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};

use pinfold::{Pool, graph};

/// Two workers, and few slots: an interpreter takes its time to touch memory.
fn pool() -> Pool {
    let pool = Pool::builder().workers(2).slots(32).build();
    pool.unwrap()
}

#[test]
fn a_call_from_outside_returns_while_its_worker_still_wakes_the_caller() {
    let pool = pool();
    for round in 0..5 {
        assert_eq!(pool.install(|| round), round);
    }
}

#[test]
fn joins_are_stolen_and_finished() {
    let pool = pool();
    fn sum(from: u64, to: u64) -> u64 {
        if to - from == 1 {
            return from;
        }
        let middle = (from + to) / 2;
        let (left, right) = pinfold::join(|| sum(from, middle), || sum(middle, to));
        left + right
    }
    assert_eq!(pool.install(|| sum(0, 64)), 64 * 63 / 2);
}

#[test]
fn a_scope_ends_while_a_thief_still_wakes_its_owner() {
    let pool = pool();
    pool.install(|| {
        for _ in 0..10 {
            let count = AtomicUsize::new(0);
            let stolen = AtomicBool::new(false);
            pinfold::scope(|s| {
                s.spawn(|s| {
                    stolen.store(true, Ordering::Relaxed);
                    count.fetch_add(1, Ordering::Relaxed);
                    s.spawn(|_| {
                        count.fetch_add(1, Ordering::Relaxed);
                    });
                });
                while !stolen.load(Ordering::Relaxed) {
                    thread::yield_now();
                }
            });
            assert_eq!(count.into_inner(), 2);
        }
    });
}

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

#[test]
fn handles_give_results_of_all_sizes() {
    let pool = pool();
    let text = String::from("text");
    let small = pool.submit(move || text).unwrap();
    let large = pool.submit(|| [7_u64; 100]).unwrap();
    let captured = [1_u64; 100];
    let large_closure = pool.submit(move || captured.iter().sum::<u64>()).unwrap();
    drop(pool.submit(|| String::from("unread")).unwrap());
    let cancelled = pool.submit(|| ()).unwrap();
    let was_cancelled = cancelled.cancel();
    assert_eq!(small.join().unwrap(), "text");
    assert_eq!(large.join().unwrap(), [7; 100]);
    assert_eq!(large_closure.join().unwrap(), 100);
    assert_eq!(cancelled.join().is_err(), was_cancelled);
    let mut future = pool.submit(|| 5).unwrap();
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let result = loop {
        match Pin::new(&mut future).poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(result) => break result,
            Poll::Pending => thread::park(),
        }
    };
    assert_eq!(result.unwrap(), 5);
}

#[test]
fn a_broadcast_reaches_all() {
    let pool = pool();
    assert_eq!(pool.broadcast(|context| context.worker().index()), [0, 1]);
}

#[test]
fn a_diamond_runs_in_order_twice() {
    let pool = pool();
    let order = Arc::new(AtomicUsize::new(0));
    let builder = graph::Builder::new();
    let step = |least: usize| {
        let order = Arc::clone(&order);
        move || assert!(order.fetch_add(1, Ordering::Relaxed) % 4 >= least)
    };
    let top = builder.task("top", step(0));
    let left = builder.task("left", step(1)).after([top]);
    let right = builder.task("right", step(1)).after([top]);
    let _ = builder.task("bottom", step(3)).after([left, right]);
    let graph = builder.build().unwrap();
    for _ in 0..2 {
        assert!(pool.run(&graph).is_ok());
    }
}
