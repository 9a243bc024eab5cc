//! A graph run of one worker: a second is stopped while it helps, a third gets the other nodes done.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use pinfold_core::graph::{Node, Outcome, Plan, Run};
use pinfold_core::platform::WorkerId;
use pinfold_core::scheduler::{Fixed, Scheduler};

use crate::harness::{Drive, Fault, Probe, Scenario};
use crate::support::{Parking, worker};
use crate::tally::Tally;
use crate::ways::stall;

/// The leaves of the run that are published, and how many of them the victim takes with it at most.
const LEAVES: usize = 6;
const HELD: usize = 3;

/// Three workers: who runs the graph, the victim, and who goes on.
struct Field {
    scheduler: Scheduler<Fixed<3, 16, 8>, Parking>,
    /// Whether the run is under way, and how many leaves the third worker has done. No steps.
    begun: AtomicUsize,
    done: AtomicUsize,
}

impl Field {
    fn new() -> Self {
        Field {
            scheduler: Scheduler::fixed(Parking::new(3)),
            begun: AtomicUsize::new(0),
            done: AtomicUsize::new(0),
        }
    }
}

/// Node 0 before all others; of those, node 1 goes on until the execution is over.
fn run_graph(field: &Field, probe: &Probe) {
    const NODES: usize = LEAVES + 2;
    let mut offsets = [NODES as u32 - 1; NODES + 1];
    offsets[0] = 0;
    let mut successors: [u32; NODES - 1] = core::array::from_fn(|node| node as u32 + 1);
    let [mut in_degrees, mut roots] = [[0; NODES]; 2];
    let plan = Plan::new(
        &mut offsets[..],
        &mut successors,
        &mut in_degrees,
        &mut roots,
        &mut [0; 2 * NODES],
    )
    .unwrap();
    let mut run = Run::<[Node; NODES]>::fixed();
    let own = field.scheduler.worker(worker(0), &[]).unwrap();
    own.run_graph(&plan, &mut run, &|worker, _, node| {
        if node == 1 {
            field.begun.store(1, Relaxed);
            probe.wait_until(|| probe.is_over());
        } else if worker.id().index() == 2 {
            field.done.fetch_add(1, Relaxed);
        }
        Outcome::Ok
    })
    .unwrap();
}

/// The third worker: all leaves are done by it, but for those with which the victim stands.
fn helper(field: &Field, _: &Probe, drive: Drive<'_>) {
    let victims: [WorkerId; 2] = [worker(0), worker(1)];
    let own = field.scheduler.worker(worker(2), &victims).unwrap();
    drive(vec![Box::new(|probe| {
        let ran = probe.run("worker::run_one", || own.run_one());
        ran || field.done.load(Relaxed) >= LEAVES - HELD
    })]);
    // What the victim has left when it went.
    while own.run_one() {}
}

/// All scenarios of this file.
pub fn scenarios(tally: &mut Tally) -> Result<(), Fault> {
    let scenario = Scenario::<Arc<Field>> {
        operation: "worker::run_one",
        world: || Arc::new(Field::new()),
        victim: |field, probe| {
            probe.wait_until(|| field.begun.load(Relaxed) == 1);
            let victims = [worker(0)];
            let own = field.scheduler.worker(worker(1), &victims).unwrap();
            probe.run("worker::run_one", || own.run_one());
            while own.run_one() {}
        },
        others: |field, probe, drive| helper(field, probe, drive),
        second: |_, _, drive| drive(Vec::new()),
        sleeper: Some([|field, probe| run_graph(field, probe), |_, _| ()]),
    };
    stall(tally, scenario)
}
