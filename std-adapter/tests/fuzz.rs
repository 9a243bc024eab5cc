//! Random arrays and edges: what is a graph is accepted and runs, and what is none is refused.
//!
//! `PROPTEST_CASES=20000 cargo test -p pinfold --test fuzz` looks longer.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicBool, Ordering};

use pinfold::Pool;
use pinfold::graph::{Builder, GraphError};
use pinfold_core::graph::{Plan, PlanError};
use proptest::prelude::*;
use proptest::sample::Index;

type Edges = BTreeSet<(usize, usize)>;

/// Who comes after whom, directly or not (Warshall).
fn reach(nodes: usize, edges: &Edges) -> Edges {
    let mut reaches = edges.clone();
    for middle in 0..nodes {
        for from in 0..nodes {
            for to in 0..nodes {
                if reaches.contains(&(from, middle)) && reaches.contains(&(middle, to)) {
                    reaches.insert((from, to));
                }
            }
        }
    }
    reaches
}

/// The arrays that are given to a plan.
#[derive(Debug, Clone)]
struct Arrays {
    offsets: Vec<u32>,
    successors: Vec<u32>,
    in_degrees: usize,
    roots: usize,
    scratch: usize,
}

/// Nearly a graph: arrays of one, of which up to three numbers are changed.
fn any_arrays() -> impl Strategy<Value = Arrays> {
    let number = || prop_oneof![0..8_u32, any::<u32>()];
    let changes = prop::collection::vec((any::<Index>(), number()), 0..3);
    let lists = prop::collection::vec(prop::collection::vec(0..7_u32, 0..3), 0..7);
    (lists, changes, 0..10_usize, any::<bool>()).prop_map(|(lists, changes, length, forwards)| {
        let mut offsets = vec![0];
        let mut successors = Vec::new();
        for (node, list) in lists.iter().enumerate() {
            // Half of them are without cycles, unless an edge leads nowhere.
            let forward = |&to: &u32| {
                if forwards {
                    to.max(node as u32 + 1)
                } else {
                    to
                }
            };
            successors.extend(
                list.iter()
                    .map(forward)
                    .filter(|&to| (to as usize) < lists.len()),
            );
            offsets.push(successors.len() as u32);
        }
        for (at, number) in &changes {
            let place = at.index(offsets.len() + successors.len());
            match place.checked_sub(offsets.len()) {
                Some(edge) => successors[edge] = *number,
                None => offsets[place] = *number,
            }
        }
        let nodes = lists.len();
        Arrays {
            offsets,
            successors,
            in_degrees: if length == 0 { nodes + 1 } else { nodes },
            roots: if length == 1 { nodes / 2 } else { nodes },
            scratch: if length == 2 {
                (2 * nodes).saturating_sub(1)
            } else {
                2 * nodes
            },
        }
    })
}

/// Arrays of any numbers.
fn wild_arrays() -> impl Strategy<Value = Arrays> {
    let numbers = || prop::collection::vec(prop_oneof![0..6_u32, any::<u32>()], 0..7);
    (numbers(), numbers(), 0..8_usize, 0..8_usize, 0..16_usize).prop_map(
        |(offsets, successors, in_degrees, roots, scratch)| Arrays {
            offsets,
            successors,
            in_degrees,
            roots,
            scratch,
        },
    )
}

/// The edges, if the offsets and successors have the form of a graph. One edge may stand twice.
fn edges_of(arrays: &Arrays) -> Option<Vec<(usize, usize)>> {
    let nodes = arrays.offsets.len().checked_sub(1)?;
    let ends_well = *arrays.offsets.last()? as usize == arrays.successors.len();
    let is_well_formed = arrays.offsets[0] == 0 && arrays.offsets.is_sorted() && ends_well;
    let leads_somewhere = arrays.successors.iter().all(|&to| (to as usize) < nodes);
    (is_well_formed && leads_somewhere).then(|| {
        let of = |node: usize| arrays.offsets[node] as usize..arrays.offsets[node + 1] as usize;
        let all = (0..nodes).flat_map(|node| of(node).map(move |edge| (node, edge)));
        all.map(|(node, edge)| (node, arrays.successors[edge] as usize))
            .collect()
    })
}

fn check_arrays(mut arrays: Arrays) -> Result<(), TestCaseError> {
    let edges = edges_of(&arrays);
    let nodes = arrays.offsets.len().saturating_sub(1);
    let (mut in_degrees, mut roots) = (vec![7; arrays.in_degrees], vec![7; arrays.roots]);
    let plan = Plan::new(
        &mut arrays.offsets[..],
        &mut arrays.successors[..],
        &mut in_degrees[..],
        &mut roots[..],
        &mut vec![7; arrays.scratch],
    );
    let Some(edges) = edges else {
        let refused = matches!(
            plan.as_ref().err(),
            Some(PlanError::Offsets { .. } | PlanError::Edge { .. })
        );
        prop_assert!(refused, "{plan:?}");
        return Ok(());
    };
    let degree = |node| edges.iter().filter(|edge| edge.1 == node).count();
    let sources: Vec<u32> = (0..nodes)
        .filter(|&node| degree(node) == 0)
        .map(|node| node as u32)
        .collect();
    let has_room =
        arrays.in_degrees == nodes && arrays.roots >= sources.len() && arrays.scratch >= 2 * nodes;
    let reaches = reach(nodes, &edges.iter().copied().collect());
    let on_cycle = |node| reaches.contains(&(node, node));
    match plan {
        Ok(plan) => {
            prop_assert!(has_room && !(0..nodes).any(on_cycle));
            prop_assert_eq!((plan.nodes(), plan.roots()), (nodes, &sources[..]));
            let lists = (0..nodes).map(|node| plan.successors(node as u32).len());
            prop_assert_eq!(lists.clone().sum::<usize>(), edges.len());
            prop_assert_eq!(lists.filter(|&length| length == 0).count(), plan.sinks());
            for node in 0..nodes {
                prop_assert_eq!(plan.in_degree(node as u32) as usize, degree(node));
            }
        }
        Err(PlanError::Cycle { node }) => {
            let node = node as usize;
            let is_behind =
                (0..nodes).any(|other| on_cycle(other) && reaches.contains(&(other, node)));
            prop_assert!(has_room && (on_cycle(node) || is_behind));
        }
        Err(PlanError::Length { given, needed, .. }) => prop_assert!(!has_room && given != needed),
        Err(error) => prop_assert!(false, "{}", error),
    }
    Ok(())
}

static POOL: LazyLock<Pool> = LazyLock::new(|| Pool::new(2).unwrap());

/// Builds a graph of these edges, each as often as it is given, and runs it twice if it is one.
fn check_builder(
    tasks: usize,
    edges: &[(usize, usize)],
    twin: bool,
    stranger: bool,
) -> Result<(), TestCaseError> {
    let unique: Edges = edges.iter().copied().collect();
    let ran: Arc<Vec<AtomicBool>> = Arc::new((0..tasks).map(|_| AtomicBool::new(false)).collect());
    let (builder, other) = (Builder::new(), Builder::new());
    let handles: Vec<_> = (0..tasks)
        .map(|task| {
            let before: Vec<usize> = unique
                .iter()
                .filter(|edge| edge.1 == task)
                .map(|edge| edge.0)
                .collect();
            let ran = Arc::clone(&ran);
            let name = if twin && task + 1 == tasks { 0 } else { task };
            builder.task(name.to_string(), move || {
                assert!(before.iter().all(|&task| ran[task].load(Ordering::Relaxed)));
                assert!(
                    !ran[task].swap(true, Ordering::Relaxed),
                    "{task} ran before"
                );
            })
        })
        .collect();
    for &(before, task) in edges {
        let _ = handles[task].after([handles[before]]);
    }
    if stranger {
        let _ = handles[0].after([other.task("stranger", || ())]);
    }
    let reaches = reach(tasks, &unique);
    match builder.build() {
        Ok(graph) => {
            prop_assert!(!stranger);
            prop_assert!(!twin || tasks == 1);
            prop_assert!(!reaches.iter().any(|(from, to)| from == to));
            let found =
                (0..tasks).flat_map(|task| graph.successors(task).map(move |to| (task, to)));
            let found: Vec<_> = found.collect();
            prop_assert_eq!(found.len(), unique.len());
            prop_assert_eq!(found.into_iter().collect::<Edges>(), unique);
            for _ in 0..2 {
                prop_assert!(POOL.run(&graph).is_ok());
                prop_assert!(ran.iter().all(|ran| ran.swap(false, Ordering::Relaxed)));
            }
        }
        Err(GraphError::Foreign { name }) => prop_assert!(stranger && name == "0"),
        Err(GraphError::DuplicateName { name }) => prop_assert!(twin && tasks > 1 && name == "0"),
        Err(GraphError::Cycle { path }) => {
            let path: Vec<usize> = path.iter().map(|name| name.parse().unwrap()).collect();
            check_cycle(&path, &unique)?;
        }
        Err(error) => prop_assert!(false, "{}", error),
    }
    Ok(())
}

/// A path goes along edges, and comes back to where it began without meeting anybody twice.
fn check_cycle(path: &[usize], edges: &Edges) -> Result<(), TestCaseError> {
    prop_assert!(path.len() >= 2 && path.first() == path.last(), "{path:?}");
    prop_assert_eq!(
        path[1..].iter().collect::<BTreeSet<_>>().len(),
        path.len() - 1
    );
    for step in path.windows(2) {
        prop_assert!(edges.contains(&(step[0], step[1])), "{path:?}");
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: ProptestConfig::default().cases * 16, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn arrays_that_are_nearly_a_plan_are_one_or_refused(arrays in any_arrays()) {
        check_arrays(arrays)?;
    }

    #[test]
    fn arrays_of_any_numbers_are_a_plan_or_refused(arrays in wild_arrays()) {
        check_arrays(arrays)?;
    }

    #[test]
    fn tasks_with_any_edges_are_a_graph_that_runs_or_refused(
        tasks in 1..10_usize,
        edges in prop::collection::vec((any::<Index>(), any::<Index>()), 0..16),
        forwards in any::<bool>(),
        odd in 0..10_u8,
    ) {
        let edges: Vec<_> = edges.iter()
            .map(|(a, b)| (a.index(tasks), b.index(tasks)))
            .map(|(a, b)| if forwards { (a.min(b), a.max(b)) } else { (a, b) })
            .filter(|(a, b)| !forwards || a != b)
            .collect();
        check_builder(tasks, &edges, odd == 0, odd == 1)?;
    }
}

#[test]
fn an_oracle_knows_a_cycle() {
    let edges = Edges::from([(0, 1), (1, 0), (1, 2)]);
    assert!(check_cycle(&[0, 1, 0], &edges).is_ok());
    for wrong in [&[0, 1][..], &[0, 2, 0], &[0], &[0, 1, 0, 1, 0]] {
        assert!(check_cycle(wrong, &edges).is_err(), "{wrong:?}");
    }
    assert!(reach(3, &edges).contains(&(0, 0)) && !reach(3, &edges).contains(&(2, 2)));
}
