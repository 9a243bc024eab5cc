//! What [`pinfold_core::graph`] promises.
//!
//! Each node of a run is run once, on whatever worker, after all its predecessors, and sees what they
//! wrote.

mod support;

use std::sync::Arc;

use loom::thread;
use pinfold_core::graph::{Node, Outcome, Plan, Run};
use pinfold_core::sync::{AtomicUsize, Ordering::Relaxed};
use support::{Words, worker};

/// Runs `plan` on two workers, the second of which only takes what it finds at once. `body` is
/// given how often each node has begun, itself included.
fn run_on_two_workers<const NODES: usize>(
    plan: &Plan<Words>,
    body: impl Fn(u32, &[AtomicUsize; NODES]) -> Outcome + Send + Sync + Copy + 'static,
) -> ([usize; NODES], [Outcome; NODES]) {
    let scheduler = support::scheduler::<2, 2>();
    let begun = Arc::new([(); NODES].map(|()| AtomicUsize::new(0)));
    let helping = {
        let scheduler = scheduler.clone();
        thread::spawn(move || {
            let victims = [worker(0)];
            let helper = scheduler.worker(worker(1), &victims).unwrap();
            while helper.run_one() {}
        })
    };
    support::start();
    let victims = [worker(1)];
    let own = scheduler.worker(worker(0), &victims).unwrap();
    let mut run = Run::<[Node; NODES]>::fixed();
    own.run_graph(plan, &mut run, &|_, _, node| {
        // Relaxed: the edges alone must order it.
        begun[node as usize].fetch_add(1, Relaxed);
        body(node, &begun)
    })
    .unwrap();
    // Read before the join of the thread orders everything.
    let counts = core::array::from_fn(|node| begun[node].load(Relaxed));
    let outcomes = core::array::from_fn(|node| run.outcome(node as u32).unwrap());
    helping.join().unwrap();
    (counts, outcomes)
}

fn plan(offsets: &[u32], successors: &[u32]) -> Plan<Words> {
    let nodes = offsets.len() - 1;
    Plan::new(
        Words(offsets.to_vec()),
        Words(successors.to_vec()),
        Words(vec![0; nodes]),
        Words(vec![0; nodes]),
        &mut vec![0; 2 * nodes],
    )
    .unwrap()
}

/// Nodes 0 and 1, both before 2.
#[test]
fn a_node_sees_all_its_predecessors() {
    support::bounded(3, || {
        let (counts, _) = run_on_two_workers::<3>(&plan(&[0, 1, 2, 2], &[2, 2]), |node, begun| {
            if node == 2 {
                assert_eq!([0, 1].map(|node: usize| begun[node].load(Relaxed)), [1, 1]);
            }
            Outcome::Ok
        });
        assert_eq!(counts, [1; 3]);
    });
}

/// A diamond: node 0 before 1 and 2, both before 3.
#[test]
fn a_node_runs_exactly_once_and_after_all_its_predecessors() {
    support::bounded(3, || {
        let diamond = plan(&[0, 2, 3, 4, 4], &[1, 2, 3, 3]);
        let (counts, outcomes) = run_on_two_workers::<4>(&diamond, |node, begun| {
            let before: &[usize] = match node {
                0 => &[],
                3 => &[0, 1, 2],
                _ => &[0],
            };
            for &predecessor in before {
                assert_eq!(begun[predecessor].load(Relaxed), 1);
            }
            Outcome::Ok
        });
        assert_eq!((counts, outcomes), ([1; 4], [Outcome::Ok; 4]));
    });
}

/// Nodes 0 and 1, both before 2; node 0 fails, and who waits for the run reads that.
#[test]
fn a_failure_skips_what_depends_on_it() {
    support::bounded(3, || {
        let (counts, outcomes) =
            run_on_two_workers::<3>(&plan(&[0, 1, 2, 2], &[2, 2]), |node, _| match node {
                0 => Outcome::Failed,
                _ => Outcome::Ok,
            });
        assert_eq!(counts, [1, 1, 0]);
        let skipped = Outcome::Skipped { root_cause: 0 };
        assert_eq!(outcomes, [Outcome::Failed, Outcome::Ok, skipped]);
    });
}
