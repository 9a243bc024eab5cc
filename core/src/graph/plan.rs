//! The immutable half of a graph.

use core::fmt;
use core::ops::Range;

use super::run::Verdict;
use crate::scheduler::Word;
use crate::storage::Stable;
use crate::sync::unique_id;

/// The number of a node in its plan.
pub type NodeIndex = u32;

/// The largest number of nodes of a plan: a queue word holds a node beside its run.
pub const MAX_NODES: usize = {
    let (word, verdict) = (Word::MAX_NODES, Verdict::MAX_NODES);
    if word < verdict { word } else { verdict }
};

/// Arrays that are not a plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PlanError {
    /// There are more than [`MAX_NODES`] nodes.
    TooManyNodes {
        /// The number given.
        nodes: usize,
    },
    /// An array has the wrong length.
    Length {
        /// Which array.
        array: &'static str,
        /// Its length.
        given: usize,
        /// The length it should have, or at least.
        needed: usize,
    },
    /// The offsets do not grow, or do not end at the number of edges.
    Offsets {
        /// The first node whose edges are misplaced.
        node: NodeIndex,
    },
    /// An edge leads to a node that does not exist.
    Edge {
        /// Where it starts.
        from: NodeIndex,
        /// Where it leads.
        to: NodeIndex,
    },
    /// The edges form a cycle.
    Cycle {
        /// A node that is on it, or that only comes after it.
        node: NodeIndex,
    },
}

impl fmt::Display for PlanError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PlanError::TooManyNodes { nodes } => write!(f, "{nodes} nodes: at most {MAX_NODES}"),
            PlanError::Length {
                array,
                given,
                needed,
            } => {
                write!(
                    f,
                    "`{array}` has {given} elements where {needed} are needed"
                )
            }
            PlanError::Offsets { node } => {
                write!(
                    f,
                    "the offsets of node {node} do not grow, or do not end at the last edge"
                )
            }
            PlanError::Edge { from, to } => {
                write!(
                    f,
                    "the edge from node {from} leads to node {to}, which does not exist"
                )
            }
            PlanError::Cycle { node } => {
                write!(
                    f,
                    "node {node} waits for itself: remove one edge of the cycle"
                )
            }
        }
    }
}

impl core::error::Error for PlanError {}

/// An immutable task graph over the storage `S`: `successors[offsets[n] .. offsets[n + 1]]` are
/// those of node `n`, the most urgent first.
#[derive(Clone, Debug)]
pub struct Plan<S> {
    offsets: S,
    successors: S,
    in_degrees: S,
    roots: S,
    sinks: usize,
    root_count: usize,
    id: usize,
}

impl<S: Stable<u32> + AsMut<[u32]>> Plan<S> {
    /// Checks the edges and fills `in_degrees` (one element per node) and `roots` (at least one per
    /// node without predecessors). `scratch` needs two elements per node. O(nodes + edges).
    ///
    /// # Errors
    ///
    /// - [`PlanError::TooManyNodes`]: more than [`MAX_NODES`].
    /// - [`PlanError::Length`]: one of the arrays is too short, or `in_degrees` is not one element per node.
    /// - [`PlanError::Offsets`]: the offsets do not start at 0, do not grow, or do not end at the last
    ///   edge.
    /// - [`PlanError::Edge`]: an edge leads to no node.
    /// - [`PlanError::Cycle`]: nodes wait for each other.
    pub fn new(
        offsets: S,
        successors: S,
        mut in_degrees: S,
        mut roots: S,
        scratch: &mut [u32],
    ) -> Result<Self, PlanError> {
        let nodes = offsets.as_ref().len().saturating_sub(1);
        check_shape(offsets.as_ref(), successors.as_ref())?;
        let given = in_degrees.as_ref().len();
        if given != nodes {
            return Err(PlanError::Length {
                array: "in_degrees",
                given,
                needed: nodes,
            });
        }
        let given = scratch.len();
        let halves = scratch.split_at_mut_checked(nodes);
        let Some((missing, stack)) = halves.filter(|(_, rest)| rest.len() >= nodes) else {
            return Err(PlanError::Length {
                array: "scratch",
                given,
                needed: 2 * nodes,
            });
        };
        in_degrees.as_mut().fill(0);
        for &to in successors.as_ref() {
            if let Some(degree) = in_degrees.as_mut().get_mut(to as usize) {
                *degree += 1;
            }
        }
        let root_count = list_roots(in_degrees.as_ref(), roots.as_mut())?;
        let sinks = spans(offsets.as_ref())
            .filter(|span| span.is_empty())
            .count();
        let plan = Plan {
            offsets,
            successors,
            in_degrees,
            roots,
            sinks,
            root_count,
            id: unique_id(),
        };
        plan.check_cycles(missing, stack)?;
        Ok(plan)
    }
}

/// Where in `successors` those of each node are.
fn spans(offsets: &[u32]) -> impl Iterator<Item = Range<usize>> {
    let ends = offsets.iter().skip(1);
    let pairs = offsets.iter().zip(ends);
    pairs.map(|(&start, &end)| start as usize..end as usize)
}

fn check_shape(offsets: &[u32], successors: &[u32]) -> Result<(), PlanError> {
    let nodes = offsets.len().saturating_sub(1);
    if nodes > MAX_NODES {
        return Err(PlanError::TooManyNodes { nodes });
    }
    let has_nodes_for_edges = nodes > 0 || successors.is_empty();
    if offsets.first() != Some(&0) || !has_nodes_for_edges {
        return Err(PlanError::Offsets { node: 0 });
    }
    for (node, span) in spans(offsets).enumerate() {
        let is_last = node + 1 == nodes;
        let Some(edges) = successors
            .get(span.clone())
            .filter(|_| !is_last || span.end == successors.len())
        else {
            return Err(PlanError::Offsets { node: node as u32 });
        };
        for &to in edges {
            if to as usize >= nodes {
                return Err(PlanError::Edge {
                    from: node as u32,
                    to,
                });
            }
        }
    }
    Ok(())
}

fn list_roots(in_degrees: &[u32], roots: &mut [u32]) -> Result<usize, PlanError> {
    let mut count = 0;
    for (node, _) in in_degrees
        .iter()
        .enumerate()
        .filter(|&(_, &degree)| degree == 0)
    {
        if let Some(root) = roots.get_mut(count) {
            *root = node as u32;
        }
        count += 1;
    }
    if count > roots.len() {
        return Err(PlanError::Length {
            array: "roots",
            given: roots.len(),
            needed: count,
        });
    }
    Ok(count)
}

impl<S: Stable<u32>> Plan<S> {
    /// What tells this plan, and clones of it, from others.
    pub(super) fn id(&self) -> usize {
        self.id
    }

    /// The number of nodes.
    pub fn nodes(&self) -> usize {
        self.in_degrees.as_ref().len()
    }

    /// The successors of `node`, the most urgent first; none if it does not exist.
    #[inline]
    pub fn successors(&self, node: NodeIndex) -> &[NodeIndex] {
        let offsets = self.offsets.as_ref();
        let node = node as usize;
        match (offsets.get(node), offsets.get(node + 1)) {
            (Some(&start), Some(&end)) => self
                .successors
                .as_ref()
                .get(start as usize..end as usize)
                .unwrap_or(&[]),
            _ => &[],
        }
    }

    /// The nodes without predecessors.
    pub fn roots(&self) -> &[NodeIndex] {
        let roots = self.roots.as_ref().get(..self.root_count);
        roots.unwrap_or(&[])
    }

    /// How many nodes have no successors.
    pub fn sinks(&self) -> usize {
        self.sinks
    }

    /// How many predecessors `node` has.
    pub fn in_degree(&self, node: NodeIndex) -> u32 {
        self.in_degrees
            .as_ref()
            .get(node as usize)
            .copied()
            .unwrap_or(0)
    }

    /// Kahn's algorithm: whatever cannot be ordered is on a cycle or behind one.
    /// `missing` has an element per node, and `stack` at least that: a node enters it once.
    fn check_cycles(&self, missing: &mut [u32], stack: &mut [u32]) -> Result<(), PlanError> {
        for (count, &degree) in missing.iter_mut().zip(self.in_degrees.as_ref()) {
            *count = degree;
        }
        let mut stack = Stack {
            places: stack,
            top: 0,
        };
        self.roots().iter().for_each(|&root| stack.push(root));
        while let Some(node) = stack.pop() {
            for &to in self.successors(node) {
                let Some(count) = missing.get_mut(to as usize) else {
                    continue;
                };
                *count -= 1;
                if *count == 0 {
                    stack.push(to);
                }
            }
        }
        match missing.iter().position(|&count| count > 0) {
            Some(node) => Err(PlanError::Cycle { node: node as u32 }),
            None => Ok(()),
        }
    }
}

/// Nodes to look at.
struct Stack<'a> {
    places: &'a mut [u32],
    top: usize,
}

impl Stack<'_> {
    /// Without a place for it, `node` is not looked at.
    fn push(&mut self, node: NodeIndex) {
        if let Some(place) = self.places.get_mut(self.top) {
            *place = node;
            self.top += 1;
        }
    }

    fn pop(&mut self) -> Option<NodeIndex> {
        let top = self.top.checked_sub(1)?;
        self.top = top;
        self.places.get(top).copied()
    }
}

#[cfg(all(test, not(pinfold_loom)))]
mod tests {
    use super::*;

    /// A plan in storage of just the right size, which is never freed.
    fn plan(offsets: &[u32], successors: &[u32]) -> Result<Plan<&'static mut [u32]>, PlanError> {
        let nodes = offsets.len().saturating_sub(1);
        let zeros = || vec![0; nodes].leak();
        let (offsets, successors) = (offsets.to_vec().leak(), successors.to_vec().leak());
        Plan::new(
            offsets,
            successors,
            zeros(),
            zeros(),
            &mut vec![9; 2 * nodes],
        )
    }

    #[test]
    fn a_plan_knows_its_ends_and_degrees() {
        // 0 → 1, 0 → 2, 1 → 3, 2 → 3, and 4 alone.
        let plan = plan(&[0, 2, 3, 4, 4, 4], &[2, 1, 3, 3]).unwrap();
        assert_eq!((plan.nodes(), plan.sinks()), (5, 2));
        assert_eq!(plan.roots(), [0, 4]);
        assert_eq!(plan.successors(0), [2, 1]);
        assert_eq!(plan.successors(5), []);
        let degrees = [0, 1, 2, 3, 4, 5].map(|node| plan.in_degree(node));
        assert_eq!(degrees, [0, 1, 1, 2, 0, 0]);
    }

    #[test]
    fn what_is_no_graph_is_refused() {
        let refused = |offsets: &[u32], successors: &[u32]| plan(offsets, successors).err();
        let offsets_of = |node| Some(PlanError::Offsets { node });
        assert_eq!(refused(&[], &[]), offsets_of(0));
        assert_eq!(refused(&[1, 1], &[0]), offsets_of(0));
        assert_eq!(refused(&[0, 1, 0, 1], &[1]), offsets_of(1));
        assert_eq!(refused(&[0, 2, 1], &[1]), offsets_of(0));
        assert_eq!(refused(&[0, 1, 1], &[1, 1]), offsets_of(1));
        let edge = PlanError::Edge { from: 1, to: 2 };
        assert_eq!(refused(&[0, 1, 2], &[1, 2]), Some(edge));
    }

    #[test]
    fn a_cycle_is_found_with_what_comes_after_it() {
        // 0 → 1 ⇄ 2 → 3.
        let refused = plan(&[0, 1, 2, 4, 4], &[1, 2, 1, 3]).err();
        assert_eq!(refused, Some(PlanError::Cycle { node: 1 }));
        let refused = plan(&[0, 1], &[0]).err();
        assert_eq!(refused, Some(PlanError::Cycle { node: 0 }));
    }

    #[test]
    fn storage_of_the_wrong_length_is_refused() {
        let refused = |in_degrees: usize, roots: usize, scratch: usize| {
            let zeros = |count| vec![0; count].leak();
            let (offsets, successors) = (zeros(3), zeros(0));
            let (in_degrees, roots) = (zeros(in_degrees), zeros(roots));
            Plan::new(offsets, successors, in_degrees, roots, zeros(scratch)).err()
        };
        let length = |array, given, needed| {
            Some(PlanError::Length {
                array,
                given,
                needed,
            })
        };
        assert_eq!(refused(2, 2, 4), None);
        assert_eq!(refused(3, 2, 4), length("in_degrees", 3, 2));
        assert_eq!(refused(2, 1, 4), length("roots", 1, 2));
        assert_eq!(refused(2, 2, 3), length("scratch", 3, 4));
        assert_eq!(refused(2, 2, 1), length("scratch", 1, 4));
    }
}
