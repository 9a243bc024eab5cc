//! Workers going through a run.

use core::cell::Cell;

use super::{Node, NodeIndex, Outcome, Plan, Run, RunError};
use crate::broken;
use crate::platform::{Platform, Unwind};
use crate::scheduler::{Storage, contain};
use crate::storage::Stable;
use crate::task::{Frame, Kind, SlotIndex};
use crate::worker::Worker;

/// How many ready successors are published at a time.
const BATCH: usize = 32;

/// All that a worker needs to go on with a run.
struct Execution<'r, G, N, B> {
    plan: &'r Plan<G>,
    run: &'r Run<N>,
    body: &'r B,
    /// Without a slot the run cannot be queued, and stays with the worker that started it.
    slot: Option<SlotIndex>,
}

impl<G, N, B> Clone for Execution<'_, G, N, B> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<G, N, B> Copy for Execution<'_, G, N, B> {}

impl<S: Storage, P: Platform + Unwind> Worker<'_, S, P> {
    /// Calls `body` for each node of `plan` after its predecessors have ended, on any workers, and
    /// waits for the end. Meanwhile the worker helps with the run and its descendants only.
    ///
    /// A node whose `body` panics has [`Outcome::Failed`]; the panic goes to [`Unwind::unhandled`]. If
    /// no slot is free, this worker goes through the whole run by itself.
    ///
    /// # Errors
    ///
    /// [`RunError::Nodes`], before anything ran, if `run` was made for another number of nodes.
    pub fn run_graph<G, N, B>(
        &self,
        plan: &Plan<G>,
        run: &mut Run<N>,
        body: &B,
    ) -> Result<(), RunError>
    where
        G: Stable<u32> + Sync,
        N: Stable<Node> + Sync,
        B: for<'w> Fn(&Worker<'w, S, P>, &Run<N>, NodeIndex) -> Outcome + Sync,
    {
        if run.nodes() != plan.nodes() {
            return Err(RunError::Nodes {
                run: run.nodes(),
                plan: plan.nodes(),
            });
        }
        run.begin(plan);
        let mut execution = Execution {
            plan,
            run: &*run,
            body,
            slot: None,
        };
        match self.take_slot() {
            Some(slot) => {
                execution.slot = Some(slot);
                self.execute_in(slot, execution);
                self.give_slot(slot);
            }
            None => {
                execution.start(self);
                self.report_sinks();
            }
        }
        Ok(())
    }

    /// Goes through a run that others may join, by what stands in `slot`, and waits for its end.
    fn execute_in<G, N, B>(&self, slot: SlotIndex, execution: Execution<'_, G, N, B>)
    where
        G: Stable<u32> + Sync,
        N: Stable<Node> + Sync,
        B: for<'w> Fn(&Worker<'w, S, P>, &Run<N>, NodeIndex) -> Outcome + Sync,
    {
        let (outer, frame) = (self.frame(), Frame::of(slot));
        let memory = self.scheduler().arena.slot(slot);
        memory.label(Kind::Run, outer, self.depth_below(outer));
        let go_on = move |worker: &Worker<'_, S, P>, node| {
            execution.go_on(&mut Ready::new(&execution, worker), node);
        };
        // SAFETY: 1. the caller has just taken the slot. 2. `wait_for` below does not return before the
        // last node has ended, and what `go_on` borrows outlives this call. 3. four words fit.
        unsafe { memory.store_run::<Worker<'_, S, P>, _>(go_on) };
        self.within(frame, || execution.start(self));
        self.wait_for(
            frame,
            || execution.run.pending.is_done(),
            || execution.run.pending.register(self.id()),
        );
    }
}

impl<G: Stable<u32>, N: Stable<Node>, B> Execution<'_, G, N, B> {
    fn start<S: Storage, P: Platform + Unwind>(&self, worker: &Worker<'_, S, P>)
    where
        B: for<'w> Fn(&Worker<'w, S, P>, &Run<N>, NodeIndex) -> Outcome,
    {
        let mut ready = Ready::new(self, worker);
        for &root in self.plan.roots() {
            ready.add(root);
        }
        if let Some(first) = ready.next() {
            self.go_on(&mut ready, first);
        }
    }

    /// Runs and ends `node`, then whichever successor became ready first, and so on.
    fn go_on<S: Storage, P: Platform + Unwind>(
        &self,
        ready: &mut Ready<'_, '_, '_, '_, G, N, B, S, P>,
        node: NodeIndex,
    ) where
        B: for<'w> Fn(&Worker<'w, S, P>, &Run<N>, NodeIndex) -> Outcome,
    {
        let node = Cell::new(node);
        while let Err(panic) = P::catch(|| self.go_on_from(ready, &node)) {
            // Only `body` may panic (the platform does not, a duty of `Unwind`); its node has not ended.
            contain::<P>(|| ready.worker.scheduler().platform.unhandled(panic));
            match self.end(ready, node.get(), Outcome::Failed) {
                Some(next) => node.set(next),
                None => return,
            }
        }
    }

    #[inline(always)]
    fn go_on_from<S: Storage, P: Platform + Unwind>(
        &self,
        ready: &mut Ready<'_, '_, '_, '_, G, N, B, S, P>,
        current: &Cell<NodeIndex>,
    ) where
        B: for<'w> Fn(&Worker<'w, S, P>, &Run<N>, NodeIndex) -> Outcome,
    {
        loop {
            let node = current.get();
            let outcome = match self.run.verdict_before(node) {
                None => (self.body)(ready.worker, self.run, node),
                Some(outcome) => outcome,
            };
            match self.end(ready, node, outcome) {
                Some(next) => current.set(next),
                None => return,
            }
        }
    }

    /// Tells the successors of a node that has ended; returns the next node to run.
    #[inline(always)]
    fn end<S: Storage, P: Platform + Unwind>(
        &self,
        ready: &mut Ready<'_, '_, '_, '_, G, N, B, S, P>,
        node: NodeIndex,
        outcome: Outcome,
    ) -> Option<NodeIndex> {
        self.run.record(node, outcome);
        let successors = self.plan.successors(node);
        // Left out: a successor runs although its predecessor failed. Model: graph::a_failure_skips_what_depends_on_it.
        let is_late = broken!("graph.end.doom_first");
        if outcome.dooms_successors() && !is_late {
            self.doom_all(node, outcome, successors);
        }
        if successors.is_empty() {
            ready.worker.count_sink(&self.run.pending);
        }
        for &successor in successors {
            if self.run.arrive(successor, self.plan.in_degree(successor)) {
                ready.add(successor);
            }
        }
        if outcome.dooms_successors() && is_late {
            self.doom_all(node, outcome, successors);
        }
        ready.next()
    }

    #[cold]
    fn doom_all(&self, node: NodeIndex, outcome: Outcome, successors: &[NodeIndex]) {
        let cause = match outcome {
            Outcome::Skipped { root_cause } => root_cause,
            _ => node,
        };
        self.run.taint();
        for &successor in successors {
            self.run.doom(successor, cause);
        }
    }
}

/// Collects the nodes that became ready together: the first is kept, the others are published.
struct Ready<'e, 'r, 'w, 's, G, N, B, S: Storage, P: Platform + Unwind> {
    execution: &'e Execution<'r, G, N, B>,
    worker: &'w Worker<'s, S, P>,
    first: Option<NodeIndex>,
    batch: heapless::Vec<NodeIndex, BATCH>,
    /// Nodes that found no room in the deque: the first of a list through the run, plus one.
    overflow: u32,
}

impl<'e, 'r, 'w, 's, G, N, B, S, P> Ready<'e, 'r, 'w, 's, G, N, B, S, P>
where
    N: Stable<Node>,
    S: Storage,
    P: Platform + Unwind,
{
    #[inline(always)]
    fn new(execution: &'e Execution<'r, G, N, B>, worker: &'w Worker<'s, S, P>) -> Self {
        Ready {
            execution,
            worker,
            first: None,
            batch: heapless::Vec::new(),
            overflow: 0,
        }
    }

    #[inline(always)]
    fn add(&mut self, node: NodeIndex) {
        if self.first.is_none() {
            self.first = Some(node);
        } else if let Err(node) = self.batch.push(node) {
            self.publish();
            let pushed = self.batch.push(node);
            debug_assert_eq!(pushed, Ok(()), "the batch was emptied");
        }
    }

    /// Publishes what was added, but for the first, and returns that; or else a node that found
    /// no room earlier, or the newest in the deque.
    #[inline(always)]
    fn next(&mut self) -> Option<NodeIndex> {
        if !self.batch.is_empty() {
            self.publish();
        }
        match self.first.take() {
            None if self.overflow == 0 => self.worker.pop_node(self.execution.slot?),
            None => self.pop_overflow(),
            first => first,
        }
    }

    /// Publishes the batch, the most urgent to be popped first.
    fn publish(&mut self) {
        let mut nodes = self.batch.iter().rev().copied();
        if let Some(slot) = self.execution.slot {
            self.worker.publish_nodes(slot, &mut nodes);
        }
        for node in nodes {
            self.overflow = self.execution.run.link(node, self.overflow);
        }
        self.batch.clear();
    }

    #[cold]
    fn pop_overflow(&mut self) -> Option<NodeIndex> {
        let node = self.overflow.checked_sub(1)?;
        self.overflow = self.execution.run.linked(node);
        self.share_overflow();
        Some(node)
    }

    /// Publishes one more node that found no room earlier, if there is room now.
    fn share_overflow(&mut self) {
        if let (Some(slot), Some(node)) = (self.execution.slot, self.overflow.checked_sub(1)) {
            if self.worker.has_room() {
                self.overflow = self.execution.run.linked(node);
                self.worker.publish_nodes(slot, &mut core::iter::once(node));
            }
        }
    }
}
