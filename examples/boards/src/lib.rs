//! What both boards do: work for a scheduler whose results are known.

#![no_std]
#![forbid(unsafe_code)]

use pinfold_core::graph::{Node, Outcome, Plan, Run};
use pinfold_core::platform::{Platform, Unwind};
use pinfold_core::scheduler::Storage;
use pinfold_core::sync::{AtomicU32, Ordering};
use pinfold_core::worker::Worker;

/// Joins, a scope and a graph. Whether all results were right.
pub fn work<S: Storage, P: Platform + Unwind>(worker: &Worker<'_, S, P>) -> bool {
    let expected = if cfg!(feature = "control") { 611 } else { 610 };
    fibonacci(worker, 15) == expected && squares(worker) == 2_870 && is_in_order(worker)
}

fn fibonacci<S: Storage, P: Platform + Unwind>(worker: &Worker<'_, S, P>, n: u32) -> u32 {
    if n < 2 {
        return n;
    }
    let (a, b) = worker.join(
        |worker| fibonacci(worker, n - 1),
        |worker| fibonacci(worker, n - 2),
    );
    a + b
}

/// The sum of the first squares, by a task for each.
fn squares<S: Storage, P: Platform + Unwind>(worker: &Worker<'_, S, P>) -> u32 {
    let sum = AtomicU32::new(0);
    worker.scope(|scope| {
        for n in 1..=20 {
            let sum = &sum;
            // Relaxed: the scope's latch publishes it.
            let add =
                move |_: &_, _: &Worker<'_, S, P>| _ = sum.fetch_add(n * n, Ordering::Relaxed);
            if scope.spawn(worker, add).is_err() {
                sum.fetch_add(1_000_000, Ordering::Relaxed);
            }
        }
    });
    sum.load(Ordering::Relaxed)
}

/// Runs 0 → 1, 0 → 2, 1 → 3, 2 → 3 three times; whether each node came after its predecessors.
fn is_in_order<S: Storage, P: Platform + Unwind>(worker: &Worker<'_, S, P>) -> bool {
    let (mut offsets, mut successors) = ([0, 2, 3, 4, 4], [1, 2, 3, 3]);
    let (mut in_degrees, mut roots, mut scratch) = ([0; 4], [0; 4], [0; 8]);
    let plan = Plan::new(
        &mut offsets[..],
        &mut successors,
        &mut in_degrees,
        &mut roots,
        &mut scratch,
    );
    let Ok(plan) = plan else { return false };
    let mut run = Run::<[Node; 4]>::fixed();
    let (clock, moments) = (AtomicU32::new(0), [const { AtomicU32::new(0) }; 4]);
    let note = |_: &Worker<'_, S, P>, _: &Run<_>, node: u32| {
        let moment = clock.fetch_add(1, Ordering::Relaxed);
        if let Some(place) = moments.get(node as usize) {
            // Relaxed, both: the run's latch publishes them.
            place.store(moment, Ordering::Relaxed);
        }
        Outcome::Ok
    };
    (0..3).all(|_| {
        let ran = worker.run_graph(&plan, &mut run, &note).is_ok();
        let [a, b, c, d] = [0, 1, 2, 3].map(|node: usize| moments[node].load(Ordering::Relaxed));
        ran && a < b && a < c && b < d && c < d
    })
}
