//! The state of one execution of a plan.

#![forbid(unsafe_code)]

use core::fmt;

use super::{NodeIndex, Plan};
use crate::broken;
use crate::latch::CountLatch;
use crate::order;
use crate::storage::Stable;
use crate::sync::{AtomicBool, AtomicU32, AtomicU64, array, const_fn};

/// How a node ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Outcome {
    /// It ran and succeeded.
    Ok,
    /// It ran and failed.
    Failed,
    /// It ran out of time.
    TimedOut,
    /// It did not run, because `root_cause` failed or timed out.
    Skipped {
        /// A failed node that this one depends on, directly or not; with several, any of them.
        root_cause: NodeIndex,
    },
    /// It did not run, because the run was stopped.
    Cancelled,
}

impl Outcome {
    pub(super) fn dooms_successors(self) -> bool {
        matches!(
            self,
            Outcome::Failed | Outcome::TimedOut | Outcome::Skipped { .. }
        )
    }
}

/// An outcome, or a coming one, of the generation in which it was said:
/// `generation << 32 | root cause << CODE_BITS | code`.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Verdict(u64);

impl Verdict {
    const CODE_BITS: u32 = 3;
    const DOOMED: u64 = 7;
    pub(super) const MAX_NODES: usize = (1 << (32 - Self::CODE_BITS)) - 1;

    fn new(generation: u32, cause: NodeIndex, code: u64) -> Verdict {
        Verdict(u64::from(generation) << 32 | u64::from(cause) << Self::CODE_BITS | code)
    }

    fn of(generation: u32, outcome: Outcome) -> Verdict {
        let (cause, code) = match outcome {
            Outcome::Ok => (0, 0),
            Outcome::Failed => (0, 2),
            Outcome::TimedOut => (0, 3),
            Outcome::Skipped { root_cause } => (root_cause, 4),
            Outcome::Cancelled => (0, 5),
        };
        Verdict::new(generation, cause, code)
    }

    fn cause(self) -> NodeIndex {
        self.0 as u32 >> Self::CODE_BITS
    }

    fn code_in(self, generation: u32) -> u64 {
        if (self.0 >> 32) as u32 == generation {
            self.0 & ((1 << Self::CODE_BITS) - 1)
        } else {
            0
        }
    }

    /// A node of which nothing was said in this generation has succeeded.
    fn outcome_in(self, generation: u32) -> Outcome {
        match self.code_in(generation) {
            2 => Outcome::Failed,
            3 => Outcome::TimedOut,
            4 => Outcome::Skipped {
                root_cause: self.cause(),
            },
            5 => Outcome::Cancelled,
            _ => Outcome::Ok,
        }
    }
}

/// What a run keeps for one node.
#[derive(Debug)]
pub struct Node {
    /// Arrivals of all runs so far.
    arrived: AtomicU32,
    /// The next node of a worker's overflow list, plus one.
    link: AtomicU32,
    verdict: AtomicU64,
}

impl Node {
    const_fn! {
        /// A node that was never reached.
        pub const fn new() -> Self {
            Node { arrived: AtomicU32::new(0), link: AtomicU32::new(0), verdict: AtomicU64::new(0) }
        }
    }
}

impl Default for Node {
    fn default() -> Self {
        Self::new()
    }
}

/// Why a run did not start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RunError {
    /// The run was made for another number of nodes.
    Nodes {
        /// How many the run has.
        run: usize,
        /// How many the plan has.
        plan: usize,
    },
}

impl fmt::Display for RunError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RunError::Nodes { run, plan } => {
                write!(
                    f,
                    "the run has {run} nodes, the plan {plan}: use one made for this plan"
                )
            }
        }
    }
}

impl core::error::Error for RunError {}

/// The state of one execution at a time of one plan, over the storage `S`.
pub struct Run<S> {
    nodes: S,
    /// Which plan it ran last, by [`Plan::id`]; 0: none.
    plan: usize,
    generation: u32,
    /// Counts sinks that have not ended.
    pub(super) pending: CountLatch,
    /// A node has failed: look at verdicts.
    tainted: AtomicBool,
    stopped: AtomicBool,
}

impl<const N: usize> Run<[Node; N]> {
    const_fn! {
        /// State for `N` nodes.
        pub const fn fixed() -> Self {
            Self::over(array![Node::new(); N])
        }
    }
}

impl<S> Run<S> {
    const_fn! {
        const fn over(nodes: S) -> Self {
            Run {
                nodes,
                plan: 0,
                generation: 0,
                pending: CountLatch::new(0),
                tainted: AtomicBool::new(false),
                stopped: AtomicBool::new(false),
            }
        }
    }

    /// Lets nothing more start: a handle for node bodies and for whoever else holds it.
    pub fn stop(&self) {
        // Relaxed: a request; nodes that miss it run.
        self.stopped.store(true, order!("graph.stop", Relaxed));
    }

    /// Whether [`Run::stop`] was called in this execution.
    pub fn is_stopped(&self) -> bool {
        // Relaxed: a request.
        self.stopped.load(order!("graph.is_stopped", Relaxed))
    }
}

impl<S: Stable<Node>> Run<S> {
    /// State for as many nodes as there are in `nodes`, which nobody else has meanwhile.
    pub fn with_storage(nodes: S) -> Self
    where
        S: AsMut<[Node]>,
    {
        Self::over(nodes)
    }

    /// How many nodes there is state for.
    pub fn nodes(&self) -> usize {
        self.nodes.as_ref().len()
    }

    /// How `node` ended in the last execution; `None` if there was none, or no such node. Meaningful when
    /// that has ended: before, [`Outcome::Ok`] may also mean that the node has not.
    pub fn outcome(&self, node: NodeIndex) -> Option<Outcome> {
        // Relaxed: the execution's end was acquired by who waited for it.
        let verdict = self
            .node(node)?
            .verdict
            .load(order!("graph.outcome", Relaxed));
        (self.plan != 0).then(|| Verdict(verdict).outcome_in(self.generation))
    }

    /// Prepares for an execution of `plan`: O(1), but O(nodes) if the last one was of another plan, and
    /// once in 2^32 times.
    pub(super) fn begin<G: Stable<u32>>(&mut self, plan: &Plan<G>) {
        if self.plan != plan.id() || self.generation == u32::MAX {
            self.plan = plan.id();
            self.forget();
        }
        self.generation += 1;
        // Relaxed, all: nobody else has the run; its first nodes are published with a queue.
        self.tainted
            .store(false, order!("graph.begin.taint", Relaxed));
        self.stopped
            .store(false, order!("graph.begin.stop", Relaxed));
        self.pending = CountLatch::new(plan.sinks());
    }

    /// Makes all nodes new: their counts fit one plan, and their verdicts the generations so far.
    #[cold]
    fn forget(&mut self) {
        self.generation = 0;
        // Relaxed, both: nobody else has the run.
        for node in self.nodes.as_ref() {
            node.arrived.store(0, order!("graph.begin.count", Relaxed));
            node.verdict.store(0, order!("graph.begin.forget", Relaxed));
        }
    }

    #[inline(always)]
    fn node(&self, node: NodeIndex) -> Option<&Node> {
        self.nodes.as_ref().get(node as usize)
    }

    /// One predecessor of `node` has ended. `true`: it was the last.
    #[inline(always)]
    pub(super) fn arrive(&self, node: NodeIndex, in_degree: u32) -> bool {
        if in_degree == 1 {
            return true;
        }
        let Some(Node { arrived, .. }) = self.node(node) else {
            return false;
        };
        let target = self.generation.wrapping_mul(in_degree);
        // Acquire: pairs with the Release below, of each predecessor that arrived before: their
        // additions form one release sequence.
        // Weaker: the node runs before it sees what a predecessor wrote. Model: graph::a_node_sees_all_its_predecessors.
        if arrived
            .load(order!("graph.arrive.last", Acquire))
            .wrapping_add(1)
            == target
        {
            // Relaxed: nobody touches the count before the next run.
            arrived.store(target, order!("graph.arrive.settle", Relaxed));
            return true;
        }
        // AcqRel. Release: what this predecessor wrote is for whoever arrives last. Acquire: that may
        // yet be this one.
        // Weaker: the node runs before it sees what a predecessor wrote. Model: graph::a_node_sees_all_its_predecessors.
        let count = arrived
            .fetch_add(1, order!("graph.arrive.count", AcqRel))
            .wrapping_add(1);
        // Left out: the node runs after its first predecessor. Model: graph::a_node_sees_all_its_predecessors.
        count == target || broken!("graph.arrive.all")
    }

    /// A node has failed: from now on verdicts are looked at.
    pub(super) fn taint(&self) {
        // Relaxed: published by the arrivals that follow.
        self.tainted.store(true, order!("graph.taint", Relaxed));
    }

    /// Puts `node` before the list that starts with `first` (plus one); returns the new start.
    pub(super) fn link(&self, node: NodeIndex, first: u32) -> u32 {
        let Some(Node { link, .. }) = self.node(node) else {
            return first;
        };
        // Relaxed: the node is ready and this worker's alone.
        link.store(first, order!("graph.overflow.link", Relaxed));
        node + 1
    }

    /// What follows `node` in its list.
    pub(super) fn linked(&self, node: NodeIndex) -> u32 {
        // Relaxed: as in `link`.
        let load = |node: &Node| node.link.load(order!("graph.overflow.next", Relaxed));
        self.node(node).map_or(0, load)
    }

    /// `node` will be skipped because of `cause`.
    #[cold]
    pub(super) fn doom(&self, node: NodeIndex, cause: NodeIndex) {
        let Some(Node { verdict, .. }) = self.node(node) else {
            return;
        };
        // Relaxed, here and below: published by the arrival that follows.
        let before = verdict.load(order!("graph.doom.look", Relaxed));
        if Verdict(before).code_in(self.generation) == 0 {
            let doomed = Verdict::new(self.generation, cause, Verdict::DOOMED);
            // A failure means that another predecessor doomed it, which is as good.
            let _ = verdict.compare_exchange(
                before,
                doomed.0,
                order!("graph.doom.set", Relaxed),
                order!("graph.doom.fail", Relaxed),
            );
        }
    }

    /// Why `node` must not run, if so.
    #[inline(always)]
    pub(super) fn verdict_before(&self, node: NodeIndex) -> Option<Outcome> {
        // Relaxed: a predecessor's taint comes with its arrival or through a queue.
        let tainted = self.tainted.load(order!("graph.tainted", Relaxed));
        if tainted || self.is_stopped() {
            self.verdict_when_tainted(node)
        } else {
            None
        }
    }

    #[cold]
    fn verdict_when_tainted(&self, node: NodeIndex) -> Option<Outcome> {
        // Relaxed: as above.
        let verdict = self
            .node(node)?
            .verdict
            .load(order!("graph.verdict", Relaxed));
        if Verdict(verdict).code_in(self.generation) == Verdict::DOOMED {
            return Some(Outcome::Skipped {
                root_cause: Verdict(verdict).cause(),
            });
        }
        self.is_stopped().then_some(Outcome::Cancelled)
    }

    /// Notes how `node` ended. Success needs no note, which spares the usual case a cache line.
    #[inline(always)]
    pub(super) fn record(&self, node: NodeIndex, outcome: Outcome) {
        if outcome != Outcome::Ok {
            self.note(node, outcome);
        }
    }

    #[cold]
    fn note(&self, node: NodeIndex, outcome: Outcome) {
        let Some(Node { verdict, .. }) = self.node(node) else {
            return;
        };
        let noted = Verdict::of(self.generation, outcome);
        // Relaxed: read after the run's latch.
        verdict.store(noted.0, order!("graph.record", Relaxed));
    }
}

impl<S: Stable<Node>> fmt::Debug for Run<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Run")
            .field("nodes", &self.nodes.as_ref().len())
            .field("generation", &self.generation)
            .field("pending", &self.pending)
            .finish_non_exhaustive()
    }
}

#[cfg(all(test, not(pinfold_loom)))]
mod tests {
    use super::*;

    fn plan_of_one([offsets, in_degrees, roots]: &mut [[u32; 2]; 3]) -> Plan<&mut [u32]> {
        let (in_degrees, roots) = (&mut in_degrees[..1], &mut roots[..]);
        Plan::new(&mut offsets[..], &mut [], in_degrees, roots, &mut [0; 2]).unwrap()
    }

    /// Calls `test` with two plans of one node each.
    fn with_plans(test: impl FnOnce([&Plan<&mut [u32]>; 2])) {
        let [mut one, mut other] = [[[0; 2]; 3]; 2];
        test([&plan_of_one(&mut one), &plan_of_one(&mut other)]);
    }

    #[test]
    fn old_verdicts_are_forgotten_when_generations_wrap() {
        with_plans(|[plan, _]| {
            let mut run = Run::with_storage([Node::new()]);
            assert_eq!(run.outcome(0), None);
            run.begin(plan);
            run.record(0, Outcome::Failed);
            assert_eq!(run.outcome(0), Some(Outcome::Failed));
            run.begin(plan);
            assert_eq!(run.outcome(0), Some(Outcome::Ok));
            run.generation = u32::MAX - 1;
            run.begin(plan);
            run.record(0, Outcome::Failed);
            run.begin(plan);
            assert_eq!(run.generation, 1);
            assert_eq!(run.outcome(0), Some(Outcome::Ok));
        });
    }

    #[test]
    fn arrivals_are_counted_on_from_run_to_run_and_over_the_wrap() {
        with_plans(|[plan, _]| {
            let mut run = Run::with_storage([Node::new()]);
            run.begin(plan);
            run.generation = u32::MAX - 2;
            let before = run.generation.wrapping_mul(3);
            run.nodes[0]
                .arrived
                .store(before, crate::sync::Ordering::Relaxed);
            for _ in 0..4 {
                run.begin(plan);
                let arrivals = [(); 3].map(|()| run.arrive(0, 3));
                assert_eq!(arrivals, [false, false, true]);
            }
        });
    }

    #[test]
    fn another_plan_finds_nothing_of_the_last_one() {
        with_plans(|[plan, other]| {
            let mut run = Run::with_storage([Node::new()]);
            for (plan, in_degree) in [(plan, 3), (plan, 3), (other, 2), (plan, 3), (other, 2)] {
                run.begin(plan);
                let arrivals = (0..in_degree).map(|_| run.arrive(0, in_degree));
                assert_eq!(arrivals.filter(|&last| last).count(), 1);
                assert_eq!(run.outcome(0), Some(Outcome::Ok));
                run.record(0, Outcome::Failed);
            }
        });
    }
}
