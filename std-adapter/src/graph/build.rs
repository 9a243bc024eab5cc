//! Building a graph: names, edges, ranks.

use std::cell::RefCell;
use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use pinfold_core::graph::{MAX_NODES, Plan};

use super::run::States;
use super::{BoxError, TaskResult};
use crate::storage::Owned;

/// A task's closure.
pub(super) type Body = Box<dyn Fn() -> Result<(), BoxError> + Send + Sync>;

/// Why a graph was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum GraphError {
    /// Tasks wait for each other in a circle.
    #[error("these tasks wait for each other: {}; remove one of the edges", path.join(" -> "))]
    Cycle {
        /// Their names; each runs before the next, and the last is the first again.
        path: Vec<String>,
    },
    /// Two tasks have the same name.
    #[error("two tasks are called `{name}`: give each a name of its own")]
    DuplicateName {
        /// The name.
        name: String,
    },
    /// A task is to run after one of another builder.
    #[error("task `{name}` waits for a task of another builder: build them together")]
    Foreign {
        /// The waiting task.
        name: String,
    },
    /// There are too many tasks.
    #[error("{tasks} tasks: a graph has at most {most}")]
    TooLarge {
        /// How many there are.
        tasks: usize,
        /// How many there may be.
        most: usize,
    },
}

struct Spec {
    name: String,
    body: Body,
    after: Vec<u32>,
    cost: u64,
}

/// Collects tasks and their edges.
#[derive(Default)]
pub struct Builder {
    specs: RefCell<Vec<Spec>>,
    /// The first task that was to run after a foreign one.
    foreign: RefCell<Option<u32>>,
}

/// A task of a [`Builder`], to be named in the edges of others.
#[derive(Clone, Copy)]
pub struct Task<'b> {
    builder: &'b Builder,
    index: u32,
}

impl fmt::Debug for Task<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Task")
            .field("index", &self.index)
            .finish_non_exhaustive()
    }
}

impl<'b> Task<'b> {
    /// This task starts only after each of `tasks` has ended well.
    pub fn after(self, tasks: impl IntoIterator<Item = Task<'b>>) -> Self {
        let tasks: Vec<_> = tasks.into_iter().collect();
        if tasks
            .iter()
            .any(|task| !std::ptr::eq(task.builder, self.builder))
        {
            self.builder.foreign.borrow_mut().get_or_insert(self.index);
            return self;
        }
        let mut specs = self.builder.specs.borrow_mut();
        specs[self.index as usize]
            .after
            .extend(tasks.iter().map(|task| task.index));
        self
    }

    /// What the task costs, in any unit that all tasks share; by default 1. Of several tasks that
    /// are ready, the one with the costliest path behind it goes first.
    pub fn cost(self, cost: u64) -> Self {
        self.builder.specs.borrow_mut()[self.index as usize].cost = cost;
        self
    }

    /// The task's index in the graph: tasks are numbered in the order in which they were added.
    pub fn index(self) -> usize {
        self.index as usize
    }
}

impl Builder {
    /// No tasks yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a task. Its closure is called once in each run.
    pub fn task<F, R>(&self, name: impl Into<String>, task: F) -> Task<'_>
    where
        F: Fn() -> R + Send + Sync + 'static,
        R: TaskResult,
    {
        let mut specs = self.specs.borrow_mut();
        let index = specs.len() as u32;
        specs.push(Spec {
            name: name.into(),
            body: Box::new(move || task().into_result()),
            after: Vec::new(),
            cost: 1,
        });
        Task {
            builder: self,
            index,
        }
    }

    /// Checks the tasks and freezes them. O(tasks + edges · log(successors of one task)).
    ///
    /// # Errors
    ///
    /// - [`GraphError::TooLarge`]: more tasks than [`MAX_NODES`].
    /// - [`GraphError::Foreign`]: a task is to run [after](Task::after) one of another builder.
    /// - [`GraphError::DuplicateName`]: two tasks have the same name.
    /// - [`GraphError::Cycle`]: tasks wait for each other in a circle, whose names it gives.
    pub fn build(self) -> Result<Graph, GraphError> {
        let mut specs = self.specs.into_inner();
        if specs.len() > MAX_NODES {
            return Err(GraphError::TooLarge {
                tasks: specs.len(),
                most: MAX_NODES,
            });
        }
        if let Some(index) = self.foreign.into_inner() {
            return Err(GraphError::Foreign {
                name: specs.swap_remove(index as usize).name,
            });
        }
        check_names(&specs)?;
        for spec in &mut specs {
            spec.after.sort_unstable();
            spec.after.dedup();
        }
        let (offsets, mut successors) = adjacency(&specs);
        rank_successors(&specs, &offsets, &mut successors)?;
        Ok(Graph {
            inner: Arc::new(freeze(specs, offsets, successors)),
        })
    }
}

impl fmt::Debug for Builder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Builder")
            .field("tasks", &self.specs.borrow().len())
            .finish_non_exhaustive()
    }
}

fn check_names(specs: &[Spec]) -> Result<(), GraphError> {
    let mut seen = HashMap::with_capacity(specs.len());
    for spec in specs {
        if seen.insert(spec.name.as_str(), ()).is_some() {
            return Err(GraphError::DuplicateName {
                name: spec.name.clone(),
            });
        }
    }
    Ok(())
}

/// The successors of all tasks: `successors[offsets[n] .. offsets[n + 1]]` are those of `n`.
fn adjacency(specs: &[Spec]) -> (Vec<u32>, Vec<u32>) {
    let mut offsets = vec![0u32; specs.len() + 1];
    for &before in specs.iter().flat_map(|spec| &spec.after) {
        offsets[before as usize + 1] += 1;
    }
    for node in 0..specs.len() {
        offsets[node + 1] += offsets[node];
    }
    let mut next = offsets.clone();
    let mut successors = vec![0u32; *offsets.last().unwrap_or(&0) as usize];
    for (node, spec) in specs.iter().enumerate() {
        for &before in &spec.after {
            let place = &mut next[before as usize];
            successors[*place as usize] = node as u32;
            *place += 1;
        }
    }
    (offsets, successors)
}

fn range(offsets: &[u32], node: u32) -> std::ops::Range<usize> {
    offsets[node as usize] as usize..offsets[node as usize + 1] as usize
}

/// Puts each task's most urgent successor first: the one with the costliest path from it on.
fn rank_successors(
    specs: &[Spec],
    offsets: &[u32],
    successors: &mut [u32],
) -> Result<(), GraphError> {
    let order = topological_order(specs, offsets, successors)?;
    let mut ranks = vec![0u64; specs.len()];
    for &node in order.iter().rev() {
        let own = &mut successors[range(offsets, node)];
        own.sort_by_key(|&successor| std::cmp::Reverse(ranks[successor as usize]));
        let longest = own.first().map_or(0, |&first| ranks[first as usize]);
        ranks[node as usize] = longest.saturating_add(specs[node as usize].cost);
    }
    Ok(())
}

fn topological_order(
    specs: &[Spec],
    offsets: &[u32],
    successors: &[u32],
) -> Result<Vec<u32>, GraphError> {
    let mut missing: Vec<u32> = specs.iter().map(|spec| spec.after.len() as u32).collect();
    let mut order: Vec<u32> = (0..specs.len() as u32)
        .filter(|&node| missing[node as usize] == 0)
        .collect();
    let mut done = 0;
    while let Some(&node) = order.get(done) {
        done += 1;
        for &successor in &successors[range(offsets, node)] {
            missing[successor as usize] -= 1;
            if missing[successor as usize] == 0 {
                order.push(successor);
            }
        }
    }
    match missing.iter().position(|&count| count > 0) {
        None => Ok(order),
        Some(stuck) => Err(GraphError::Cycle {
            path: cycle_through(specs, &missing, stuck),
        }),
    }
}

/// Goes from a stuck task to stuck predecessors until one comes again.
fn cycle_through(specs: &[Spec], missing: &[u32], stuck: usize) -> Vec<String> {
    let mut seen_at = HashMap::new();
    let mut walk = vec![];
    let mut node = stuck;
    while !seen_at.contains_key(&node) {
        seen_at.insert(node, walk.len());
        walk.push(node);
        let stuck_before = |before: &&u32| missing[**before as usize] > 0;
        let before = specs[node].after.iter().find(stuck_before);
        node = *before.expect("a stuck task has a stuck predecessor") as usize;
    }
    let mut path: Vec<_> = walk[seen_at[&node]..]
        .iter()
        .map(|&n| specs[n].name.clone())
        .collect();
    path.push(specs[node].name.clone());
    path.reverse();
    path
}

fn freeze(specs: Vec<Spec>, offsets: Vec<u32>, successors: Vec<u32>) -> Inner {
    let nodes = specs.len();
    let root_count = specs.iter().filter(|spec| spec.after.is_empty()).count();
    let plan = Plan::new(
        Owned::from(offsets),
        Owned::from(successors),
        Owned::from(vec![0; nodes]),
        Owned::from(vec![0; root_count]),
        &mut vec![0; 2 * nodes],
    );
    let plan = plan.expect("the edges were checked");
    let (names, bodies) = specs
        .into_iter()
        .map(|spec| (spec.name.into_boxed_str(), spec.body))
        .unzip::<_, _, Vec<_>, Vec<_>>();
    Inner {
        plan,
        names: names.into(),
        bodies: bodies.into(),
        states: States::default(),
    }
}

/// A frozen graph of tasks. Cheap to clone; clones are the same graph.
#[derive(Clone)]
pub struct Graph {
    pub(super) inner: Arc<Inner>,
}

pub(super) struct Inner {
    pub(super) plan: Plan<Owned<u32>>,
    pub(super) names: Box<[Box<str>]>,
    pub(super) bodies: Box<[Body]>,
    pub(super) states: States,
}

impl Graph {
    /// How many tasks there are.
    pub fn len(&self) -> usize {
        self.inner.bodies.len()
    }

    /// Whether there is no task.
    pub fn is_empty(&self) -> bool {
        self.inner.bodies.is_empty()
    }

    /// The name of the task `index`, if there is one.
    pub fn name(&self, index: usize) -> Option<&str> {
        self.inner.names.get(index).map(|name| &**name)
    }

    /// The tasks that run after the task `index`, the most urgent first.
    pub fn successors(&self, index: usize) -> impl Iterator<Item = usize> + '_ {
        let node = u32::try_from(index).unwrap_or(u32::MAX);
        self.inner
            .plan
            .successors(node)
            .iter()
            .map(|&node| node as usize)
    }
}

impl fmt::Debug for Graph {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Graph")
            .field("tasks", &self.len())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cycle_is_named_in_running_order() {
        let builder = Builder::new();
        let start = builder.task("start", || ());
        let a = builder.task("a", || ()).after([start]);
        let b = builder.task("b", || ()).after([a]);
        let c = builder.task("c", || ()).after([b]);
        a.after([c]);
        builder.task("end", || ()).after([c]);
        let error = builder.build().unwrap_err();
        let GraphError::Cycle { path } = &error else {
            panic!("{error}")
        };
        assert_eq!(path.len(), 4);
        assert_eq!(path.first(), path.last());
        let joined = path.join(" ");
        assert!(
            ["a b c a", "b c a b", "c a b c"].contains(&joined.as_str()),
            "{joined}"
        );
    }

    #[test]
    fn a_task_that_waits_for_itself_is_refused() {
        let builder = Builder::new();
        let a = builder.task("a", || ());
        a.after([a]);
        let path = vec!["a".to_owned(), "a".to_owned()];
        assert_eq!(builder.build().unwrap_err(), GraphError::Cycle { path });
    }

    #[test]
    fn names_and_builders_are_checked() {
        let builder = Builder::new();
        builder.task("twin", || ());
        builder.task("twin", || ());
        let name = "twin".to_owned();
        assert_eq!(
            builder.build().unwrap_err(),
            GraphError::DuplicateName { name }
        );

        let (one, other) = (Builder::new(), Builder::new());
        let stranger = other.task("stranger", || ());
        one.task("lost", || ()).after([stranger]);
        let name = "lost".to_owned();
        assert_eq!(one.build().unwrap_err(), GraphError::Foreign { name });
    }

    #[test]
    fn the_costliest_path_comes_first() {
        let builder = Builder::new();
        let root = builder.task("root", || ());
        let cheap = builder.task("cheap", || ()).after([root]);
        builder.task("dear", || ()).after([root]).cost(5);
        builder.task("middle", || ()).after([root, root]).cost(2);
        builder.task("long tail", || ()).after([cheap]).cost(3);
        let graph = builder.build().unwrap();
        assert_eq!(graph.successors(0).collect::<Vec<_>>(), [2, 1, 3]);
    }
}
