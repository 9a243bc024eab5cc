//! `graph-chain`, `graph-tree`, `graph-wavefront`: a graph that is built once and run again and
//! again, with tasks that do nothing but mark a tally.
//!
//! The peers are what one writes by hand on rayon: a counter per task, decremented by each
//! predecessor and set back by whoever finds it at zero. They know their task's body at compile
//! time, which a general graph library cannot; that is left in the peers' favour.
//!
//! The ratio line is of one worker; a line with `@2` is of two. oneTBB and Taskflow, peers in C++,
//! are measured elsewhere.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Instant;

use rayon::Scope;

use crate::contest::{Contest, Metric, Outcome};
use crate::fault::Fault;
use crate::options::Options;
use crate::ours;
use crate::peers::rayon_pool;
use crate::report::Report;
use crate::rounds::{Contender, Measurement, Role};
use crate::tally::Tally;

const METRICS: &[Metric] = &[Metric {
    name: "per task",
    unit: "ns",
}];

/// A graph without tasks. Nodes are numbered so that each comes after its predecessors.
#[derive(Debug)]
pub struct Shape {
    /// Where each node's successors start; one more for the end.
    starts: Vec<u32>,
    successors: Vec<u32>,
    in_degrees: Vec<u32>,
}

impl Shape {
    /// A shape from each node's successors.
    fn new(nodes: usize, successors_of: impl Fn(usize) -> Vec<usize>) -> Shape {
        let mut shape = Shape {
            starts: vec![0],
            successors: Vec::new(),
            in_degrees: vec![0; nodes],
        };
        for node in 0..nodes {
            for successor in successors_of(node) {
                shape.successors.push(successor as u32);
                shape.in_degrees[successor] += 1;
            }
            shape.starts.push(shape.successors.len() as u32);
        }
        shape
    }

    /// Each node after the one before it.
    pub fn chain(nodes: usize) -> Shape {
        Shape::new(nodes, |node| (node + 1..nodes.min(node + 2)).collect())
    }

    /// A full binary tree of `levels` levels, from the root to the leaves.
    pub fn tree(levels: u32) -> Shape {
        let nodes = (1 << levels) - 1;
        Shape::new(nodes, |node| {
            (2 * node + 1..nodes.min(2 * node + 3)).collect()
        })
    }

    /// A square whose cells each come after the cell above and the cell to the left.
    pub fn wavefront(side: usize) -> Shape {
        Shape::new(side * side, |node| {
            let right = (node % side + 1 < side).then_some(node + 1);
            let below = (node / side + 1 < side).then_some(node + side);
            right.into_iter().chain(below).collect()
        })
    }

    /// How many nodes there are.
    pub fn nodes(&self) -> usize {
        self.in_degrees.len()
    }

    /// The nodes directly after `node`.
    #[inline]
    pub fn successors(&self, node: usize) -> &[u32] {
        &self.successors[self.starts[node] as usize..self.starts[node + 1] as usize]
    }

    /// How many nodes are directly before `node`.
    pub fn in_degree(&self, node: usize) -> u32 {
        self.in_degrees[node]
    }

    /// The nodes directly before each node.
    pub fn predecessors(&self) -> Vec<Vec<usize>> {
        let mut before = vec![Vec::new(); self.nodes()];
        for node in 0..self.nodes() {
            for &successor in self.successors(node) {
                before[successor as usize].push(node);
            }
        }
        before
    }
}

/// How often a run of a contender runs its graph.
#[derive(Debug, Clone, Copy)]
pub struct Reruns(pub u8);

/// A contender that builds a pool, and runs `graph` on it, once to warm up and then `reruns`
/// times. `rerun` must run every node of the shape once, which marks `tally`.
pub fn contender<P, G: 'static>(
    name: &'static str,
    role: Role,
    reruns: Reruns,
    tally: &'static Tally,
    graph: G,
    build: impl Fn() -> Result<P, Fault> + 'static,
    rerun: impl Fn(&P, &G) + 'static,
) -> Contender {
    let Reruns(times) = reruns;
    Contender::new(name, role, move || {
        let pool = build()?;
        rerun(&pool, &graph);
        tally.reset();
        let start = Instant::now();
        for _ in 0..times {
            rerun(&pool, &graph);
        }
        let elapsed = start.elapsed();
        tally.expect_each(name, times)?;
        Ok(Measurement::per_op(
            elapsed,
            tally.len() * usize::from(times),
        ))
    })
}

/// A graph by hand: each node's predecessors that are still to run.
struct Counters {
    shape: Arc<Shape>,
    left: Vec<AtomicU32>,
    tally: &'static Tally,
}

impl Counters {
    fn new(shape: &Arc<Shape>, tally: &'static Tally) -> Counters {
        let left = shape.in_degrees.iter().copied().map(AtomicU32::new);
        Counters {
            shape: Arc::clone(shape),
            left: left.collect(),
            tally,
        }
    }

    fn sources(&self) -> impl Iterator<Item = usize> {
        (0..self.shape.nodes()).filter(|&node| self.shape.in_degree(node) == 0)
    }

    /// Runs `node`; returns its successors that are now ready.
    #[inline]
    fn visit(&self, node: usize) -> impl Iterator<Item = usize> {
        self.tally.mark(node);
        let successors = self.shape.successors(node).iter();
        successors
            .map(|&successor| successor as usize)
            .filter(|&successor| self.arrive(successor))
    }

    /// Counts a predecessor of `node` as run; true for the last one.
    #[inline]
    fn arrive(&self, node: usize) -> bool {
        // AcqRel: the last to arrive has seen what all predecessors did.
        let last = self.left[node].fetch_sub(1, Ordering::AcqRel) == 1;
        if last {
            // Relaxed: nobody counts here again until the next run, which starts after this one.
            self.left[node].store(self.shape.in_degree(node), Ordering::Relaxed);
        }
        last
    }
}

fn spawn_each<'run>(scope: &Scope<'run>, run: &'run Counters, node: usize) {
    for ready in run.visit(node) {
        scope.spawn(move |scope| spawn_each(scope, run, ready));
    }
}

fn keep_one<'run>(scope: &Scope<'run>, run: &'run Counters, node: usize) {
    let mut next = Some(node);
    while let Some(node) = next {
        let mut ready = run.visit(node);
        next = ready.next();
        for other in ready {
            scope.spawn(move |scope| keep_one(scope, run, other));
        }
    }
}

fn rerun_spawning(pool: &rayon::ThreadPool, run: &Counters) {
    pool.scope(|scope| run.sources().for_each(|node| spawn_each(scope, run, node)));
}

fn rerun_keeping(pool: &rayon::ThreadPool, run: &Counters) {
    pool.scope(|scope| run.sources().for_each(|node| keep_one(scope, run, node)));
}

/// All contenders on `workers` workers.
pub fn contest(name: &str, shape: &Arc<Shape>, workers: usize, reruns: Reruns) -> Contest {
    let tally = Tally::leaked(shape.nodes());
    let by_hand = |name, rerun: fn(&rayon::ThreadPool, &Counters)| {
        let counters = Counters::new(shape, tally);
        let build = move || rayon_pool(workers);
        contender(name, Role::Peer, reruns, tally, counters, build, rerun)
    };
    let mut contenders = vec![
        by_hand("rayon, spawn each", rerun_spawning),
        by_hand("rayon, one inline", rerun_keeping),
    ];
    contenders.extend(ours::graph(shape, tally, workers, reruns));
    let nodes = shape.nodes();
    Contest {
        title: format!("{name}, {nodes} tasks, workers: {workers}"),
        metrics: METRICS,
        contenders,
    }
}

/// The shape of a workload's graph at its full size.
pub fn chain() -> Shape {
    Shape::chain(65_536)
}

/// See [`chain`].
pub fn tree() -> Shape {
    Shape::tree(17)
}

/// See [`chain`].
pub fn wavefront() -> Shape {
    Shape::wavefront(256)
}

/// Runs the workload `graph-chain`.
pub fn run_chain(options: &Options) -> Result<Report, Fault> {
    run("graph-chain", chain(), options)
}

/// Runs the workload `graph-tree`.
pub fn run_tree(options: &Options) -> Result<Report, Fault> {
    run("graph-tree", tree(), options)
}

/// Runs the workload `graph-wavefront`.
pub fn run_wavefront(options: &Options) -> Result<Report, Fault> {
    run("graph-wavefront", wavefront(), options)
}

fn run(name: &'static str, shape: Shape, options: &Options) -> Result<Report, Fault> {
    let shape = Arc::new(shape);
    let on = |workers| -> Result<Outcome, Fault> {
        let reruns = Reruns(options.pick(5, 2));
        contest(name, &shape, workers, reruns).run_for(options, 15, 3)
    };
    let workers = options.workers_or(2);
    let (alone, together) = (on(1)?, on(workers)?);
    let mut report = Report::new(name);
    report
        .show(&alone)
        .show(&together)
        .ratio(&format!("@{workers}"), together.ratio_to_best(0, 0.0))
        .ratio("", alone.ratio_to_best(0, 0.0));
    Ok(report)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chain_has_one_edge_between_neighbours() {
        let chain = Shape::chain(4);
        assert_eq!(chain.predecessors(), [vec![], vec![0], vec![1], vec![2]]);
        assert_eq!(chain.successors(1), [2]);
        assert_eq!(chain.successors(3), [] as [u32; 0]);
    }

    #[test]
    fn a_tree_has_one_predecessor_per_node() {
        let tree = Shape::tree(3);
        assert_eq!(tree.nodes(), 7);
        let before = tree.predecessors();
        assert_eq!(before[1..], [[0], [0], [1], [1], [2], [2]]);
    }

    #[test]
    fn a_wavefront_waits_for_above_and_left() {
        let square = Shape::wavefront(3);
        assert_eq!(square.nodes(), 9);
        assert_eq!(square.predecessors()[4], [1, 3]);
        assert_eq!(square.successors(8), [] as [u32; 0]);
        assert_eq!((square.in_degree(0), square.in_degree(2)), (0, 1));
    }

    #[test]
    fn the_peers_run_each_node_once_per_run() {
        for shape in [Shape::chain(500), Shape::tree(9), Shape::wavefront(20)] {
            for workers in [1, 2] {
                let shape = Arc::new(Shape::new(shape.nodes(), |node| {
                    shape.successors(node).iter().map(|&n| n as usize).collect()
                }));
                for mut contender in contest("test", &shape, workers, Reruns(3)).contenders {
                    (contender.run)().unwrap();
                }
            }
        }
    }

    #[test]
    fn a_node_left_out_is_caught() {
        let tally = Tally::leaked(3);
        let rerun = |(): &(), (): &()| tally.mark(1);
        let build = || Ok(());
        let mut lazy = contender("lazy", Role::Peer, Reruns(2), tally, (), build, rerun);
        assert!((lazy.run)().is_err());
    }
}
