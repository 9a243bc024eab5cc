//! Trees of operations: what a seed's tree adds up to in a pool, and alone.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use pinfold::{JoinError, Pool, SubmitError, graph};

use crate::common::{Random, until};
use crate::pool_of;

const DEPTH: u32 = 6;

/// What a seed's tree of operations does, and, by the same path, what it adds up to.
#[derive(Clone)]
enum How {
    /// With the pool; the counter is for detached tasks.
    Pooled(Arc<Pool>, Arc<AtomicU64>),
    /// One thing after the other.
    Alone(Arc<AtomicU64>),
}

/// A seed's value at a leaf.
fn leaf(seed: u64) -> u64 {
    Random::new(seed).below(1000)
}

/// The sum of the tree that `seed` stands for.
fn tree(how: &How, seed: u64, depth: u32) -> u64 {
    let mut random = Random::new(seed);
    let kind = random.below(if depth == 0 { 1 } else { 13 });
    let mut next = || random.next();
    let (a, b, c) = (next(), next(), next());
    let below = |seed| tree(how, seed, depth - 1);
    match (kind, how) {
        (0, _) => leaf(a),
        (1..=3, How::Alone(..)) => below(a).wrapping_add(below(b)),
        (1..=2, _) => {
            let (x, y) = pinfold::join(|| below(a), || below(b));
            x.wrapping_add(y)
        }
        // In each other's arms.
        (3, _) => {
            let ((x, _), y) = pinfold::join(|| pinfold::join(|| below(a), || ()), || below(b));
            x.wrapping_add(y)
        }
        (4 | 5, How::Alone(..)) => below(a).wrapping_add(below(b)).wrapping_add(below(c)),
        (4, _) => in_scope(|add| {
            pinfold::scope(|s| {
                for seed in [a, b, c] {
                    s.spawn(move |_| add(below(seed)));
                }
            });
        }),
        // Scopes in scopes, and tasks that spawn tasks.
        (5, _) => in_scope(|add| {
            pinfold::scope(|s| {
                s.spawn(move |s| {
                    s.spawn(move |_| add(below(a)));
                    pinfold::scope(|inner| inner.spawn(|_| add(below(b))));
                });
                add(below(c));
            });
        }),
        (6 | 7, How::Alone(..)) => below(a),
        (6, How::Pooled(pool, _)) => submitted(pool, how, a, depth, false),
        (7, How::Pooled(pool, _)) => submitted(pool, how, a, depth, true),
        (8, How::Alone(..)) => leaf(a).wrapping_add(below(b)),
        // A panic in either half of a join, or in a scope.
        (8, _) => {
            let sum = AtomicU64::new(0);
            let add = |value| {
                sum.fetch_add(value, Ordering::SeqCst);
            };
            let bang = || resume_unwind(Box::new(leaf(a)));
            let panicked = match c % 3 {
                0 => caught(|| pinfold::join(bang, || ()).0),
                1 => caught(|| pinfold::join(|| add(below(b)), bang).1),
                _ => caught(|| {
                    pinfold::scope(|s| {
                        s.spawn(|_| add(below(b)));
                        s.spawn(|_| bang());
                    });
                }),
            };
            if c % 3 == 0 {
                add(below(b));
            }
            panicked.wrapping_add(sum.into_inner())
        }
        (9, How::Alone(..)) => below(a).wrapping_add(10 * leaf(b)),
        (9, How::Pooled(pool, _)) => {
            let counted = Arc::new(AtomicU64::new(0));
            let graph = wheel(&counted, leaf(b));
            assert!(pool.run(&graph).is_ok());
            below(a).wrapping_add(counted.load(Ordering::SeqCst))
        }
        (10, How::Alone(..)) => below(b),
        (10, How::Pooled(pool, _)) => pool.install(|| below(b)),
        (11.., How::Alone(detached)) => {
            detached.fetch_add(leaf(a), Ordering::SeqCst);
            0
        }
        // A panic that nobody joins goes to the pool's handler, which counts it.
        (11, How::Pooled(pool, _)) => {
            pool.spawn(move || resume_unwind(Box::new(leaf(a))));
            0
        }
        (_, How::Pooled(pool, detached)) => {
            let detached = Arc::clone(detached);
            pool.spawn(move || {
                detached.fetch_add(leaf(a), Ordering::SeqCst);
            });
            0
        }
    }
}

/// What `body` adds.
fn in_scope(body: impl FnOnce(&(dyn Fn(u64) + Sync))) -> u64 {
    let sum = AtomicU64::new(0);
    body(&|value| {
        sum.fetch_add(value, Ordering::SeqCst);
    });
    sum.into_inner()
}

/// The number that `f` panics with.
fn caught(f: impl FnOnce()) -> u64 {
    let payload = catch_unwind(AssertUnwindSafe(f)).expect_err("it panics");
    *payload.downcast::<u64>().expect("a number")
}

/// The tree of `seed`, in a task of its own, which may be cancelled; then here.
fn submitted(pool: &Arc<Pool>, how: &How, seed: u64, depth: u32, cancel: bool) -> u64 {
    let inner = how.clone();
    let handle = match pool.submit(move || tree(&inner, seed, depth - 1)) {
        Ok(handle) => handle,
        Err(error @ SubmitError::Full { .. }) => return error.into_task()(),
        Err(other) => panic!("{other}"),
    };
    let cancelled = cancel && handle.cancel();
    match handle.join() {
        Ok(sum) => {
            assert!(!cancelled, "it was cancelled, and ran");
            sum
        }
        Err(JoinError::Cancelled) => {
            assert!(cancelled, "nobody cancelled it");
            tree(how, seed, depth - 1)
        }
        Err(error) => panic!("{error:?}"),
    }
}

/// A graph of ten tasks, each of which adds `value`.
fn wheel(counted: &Arc<AtomicU64>, value: u64) -> graph::Graph {
    let builder = graph::Builder::new();
    let task = |name: &str| {
        let counted = Arc::clone(counted);
        builder.task(name, move || {
            counted.fetch_add(value, Ordering::SeqCst);
        })
    };
    let hub = task("hub");
    let spokes = ["a", "b", "c", "d", "e", "f", "g", "h"].map(|name| task(name).after([hub]));
    let _ = task("rim").after(spokes);
    builder.build().unwrap()
}

/// The sum of `seed`'s tree and that of its detached tasks, done alone.
fn expected(seed: u64) -> (u64, u64) {
    let detached = Arc::new(AtomicU64::new(0));
    let sum = tree(&How::Alone(Arc::clone(&detached)), seed, DEPTH);
    (sum, detached.load(Ordering::SeqCst))
}

/// Three threads have a pool do trees until `time` is over; how many.
pub fn trees_add_up(workers: usize, seed: u64, time: Duration) -> u64 {
    let detached = Arc::new(AtomicU64::new(0));
    let pool = Arc::new(pool_of(workers, seed, Arc::clone(&detached)));
    let how = How::Pooled(Arc::clone(&pool), Arc::clone(&detached));
    let end = Instant::now() + time;
    let trees = AtomicU64::new(0);
    let expected_detached = AtomicU64::new(0);
    let outsider = |seed| {
        let mut random = Random::new(seed);
        while Instant::now() < end {
            let seed = random.next();
            let (sum, detached) = expected(seed);
            expected_detached.fetch_add(detached, Ordering::SeqCst);
            let got = pool.install(|| tree(&how, seed, DEPTH));
            assert_eq!(got, sum, "{workers} workers, tree {seed}");
            if seed.is_multiple_of(16) {
                assert!(pool.broadcast(|_| leaf(seed)) == vec![leaf(seed); workers]);
            }
            trees.fetch_add(1, Ordering::SeqCst);
        }
    };
    thread::scope(|s| {
        let outsider = &outsider;
        (0..3).for_each(|index| drop(s.spawn(move || outsider(seed + index))));
    });
    let all = expected_detached.into_inner();
    until(|| detached.load(Ordering::SeqCst) >= all);
    drop(how);
    Arc::into_inner(pool).expect("no task is left");
    assert_eq!(detached.load(Ordering::SeqCst), all, "{workers} workers");
    trees.into_inner()
}
