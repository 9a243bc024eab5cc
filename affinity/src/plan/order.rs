//! In which order CPUs get workers.
//!
//! Both policies see each CPU as a path through the machine, widest level first. *Compact* sorts
//! the paths, so that neighbours in the order share as much as possible. *Spread* deals them out:
//! at each level it takes one CPU from each branch in turn, and hardware threads that share a core
//! with an earlier CPU come after all cores.

use std::collections::BTreeMap;

use super::{PlanError, Reason};
use crate::cpuset::{CpuId, CpuSet};
use crate::note::Level;
use crate::placement::{Placement, Policy};
use crate::topo::{Cpu, Topology};

/// Levels on a path: two of package and node in either order, then die, L3, L2, core.
const DEPTH: usize = 6;
type Path = [usize; DEPTH];

/// The CPUs in the order in which workers take them; empty under `none`.
pub(super) fn of(
    topology: &Topology,
    usable: &CpuSet,
    placement: &Placement,
    workers: usize,
) -> Result<Vec<Cpu>, PlanError> {
    let by_distance = matches!(placement.policy(), Policy::Compact);
    let mut paths = Paths::new(topology, usable, by_distance);
    if !placement.smt() {
        paths.cpus.retain(|entry| entry.thread == 0);
    }
    match placement.policy() {
        Policy::None => Ok(Vec::new()),
        Policy::Compact => Ok(paths.compact()),
        Policy::Spread => Ok(paths.spread()),
        Policy::Cpus(list) => named(topology, usable, list, workers),
    }
}

fn named(
    topology: &Topology,
    usable: &CpuSet,
    list: &[CpuId],
    workers: usize,
) -> Result<Vec<Cpu>, PlanError> {
    let mut seen = CpuSet::new();
    if let Some(&cpu) = list.iter().find(|&&cpu| !seen.insert(cpu)) {
        return Err(PlanError::RepeatedCpu { cpu });
    }
    let refused = seen.difference(usable);
    if !refused.is_empty() {
        return Err(PlanError::NotUsable {
            cpus: refused,
            usable: usable.clone(),
        });
    }
    if list.len() < workers {
        return Err(PlanError::TooFewCpus {
            cpus: list.len(),
            workers,
        });
    }
    Ok(list
        .iter()
        .filter_map(|&id| topology.cpu(id).copied())
        .collect())
}

struct Entry {
    cpu: Cpu,
    path: Path,
    /// How many usable CPUs of the same core have a lower id.
    thread: usize,
}

struct Paths {
    cpus: Vec<Entry>,
}

impl Paths {
    /// Where distances are known and asked for, nodes come before packages and nearest first;
    /// else the wider of the two comes first, in the kernel's order.
    fn new(topology: &Topology, usable: &CpuSet, by_distance: bool) -> Self {
        let rank = if by_distance {
            node_ranks(topology, usable)
        } else {
            None
        };
        let node_first = rank.is_some() || node_spans_packages(topology);
        let mut threads: BTreeMap<usize, usize> = BTreeMap::new();
        let entry = |cpu: &Cpu| {
            let next = threads.entry(cpu.core).or_default();
            let thread = *next;
            *next += 1;
            let path = path(cpu, rank.as_deref(), node_first);
            Entry {
                cpu: *cpu,
                path,
                thread,
            }
        };
        let usable = topology.cpus().iter().filter(|cpu| usable.contains(cpu.id));
        Paths {
            cpus: usable.map(entry).collect(),
        }
    }

    fn compact(mut self) -> Vec<Cpu> {
        self.cpus.sort_by_key(|entry| (entry.path, entry.thread));
        self.cpus.into_iter().map(|entry| entry.cpu).collect()
    }

    fn spread(self) -> Vec<Cpu> {
        let mut by_thread: BTreeMap<usize, Vec<Entry>> = BTreeMap::new();
        for entry in self.cpus {
            by_thread.entry(entry.thread).or_default().push(entry);
        }
        by_thread
            .into_values()
            .flat_map(|entries| deal(entries, 0))
            .collect()
    }
}

fn path(cpu: &Cpu, rank: Option<&[usize]>, node_first: bool) -> Path {
    // Unknown places sort last, together.
    let or_last = |index: Option<usize>| index.unwrap_or(usize::MAX);
    let node = or_last(cpu.node.map(|node| rank.map_or(node, |rank| rank[node])));
    let package = or_last(cpu.package);
    let (first, second) = if node_first {
        (node, package)
    } else {
        (package, node)
    };
    [
        first,
        second,
        or_last(cpu.die),
        or_last(cpu.l3),
        or_last(cpu.l2),
        cpu.core,
    ]
}

/// Splits `entries` by their branch at `level`, orders each branch, and takes from them in turn.
fn deal(entries: Vec<Entry>, level: usize) -> Vec<Cpu> {
    if level == DEPTH || entries.len() < 2 {
        return entries.into_iter().map(|entry| entry.cpu).collect();
    }
    let total = entries.len();
    let mut branches: BTreeMap<usize, Vec<Entry>> = BTreeMap::new();
    for entry in entries {
        branches.entry(entry.path[level]).or_default().push(entry);
    }
    let mut turns: Vec<_> = branches
        .into_values()
        .map(|branch| deal(branch, level + 1).into_iter())
        .collect();
    let mut dealt = Vec::with_capacity(total);
    while dealt.len() < total {
        dealt.extend(turns.iter_mut().filter_map(Iterator::next));
    }
    dealt
}

/// Ranks nodes so that each next one is nearest to those before it (least sum of distances, then
/// least index). `None` where distances are unknown.
fn node_ranks(topology: &Topology, usable: &CpuSet) -> Option<Vec<usize>> {
    let nodes = topology.nodes();
    let rows: Vec<&Vec<u32>> = nodes
        .iter()
        .map(|n| n.distances.as_ref())
        .collect::<Option<_>>()?;
    let used = |node: usize| !nodes[node].cpus.intersection(usable).is_empty();
    let mut left: Vec<usize> = (0..nodes.len()).filter(|&node| used(node)).collect();
    let mut sums = vec![0_u64; nodes.len()];
    let mut ranks = vec![usize::MAX; nodes.len()];
    for rank in 0..left.len() {
        let at = (0..left.len()).min_by_key(|&at| (sums[left[at]], left[at]))?;
        // `remove` keeps `left` ascending, which makes ties go to the lowest node.
        let node = left.remove(at);
        ranks[node] = rank;
        for &other in &left {
            sums[other] += u64::from(rows[node][other]);
        }
    }
    Some(ranks)
}

/// Whether a node holds more than one package (rather than a package several nodes).
fn node_spans_packages(topology: &Topology) -> bool {
    let mut package_of: BTreeMap<usize, usize> = BTreeMap::new();
    topology
        .cpus()
        .iter()
        .any(|cpu| match (cpu.node, cpu.package) {
            (Some(node), Some(package)) => *package_of.entry(node).or_insert(package) != package,
            _ => false,
        })
}

/// One reason per worker.
pub(super) fn reasons(policy: &Policy, order: &[Cpu], workers: usize) -> Vec<Reason> {
    let mut opened = Opened::default();
    (0..workers)
        .map(|worker| match (policy, order.get(worker)) {
            (Policy::None, _) => Reason::LeftToSystem,
            (Policy::Cpus(_), _) => Reason::Named,
            (_, None) => Reason::Shares {
                with: worker % order.len(),
            },
            (Policy::Compact, Some(cpu)) => near(worker.checked_sub(1).map(|w| &order[w]), cpu),
            (Policy::Spread, Some(cpu)) => opened.reason(cpu),
        })
        .collect()
}

fn near(before: Option<&Cpu>, cpu: &Cpu) -> Reason {
    before.map_or(Reason::First, |before| Reason::Near {
        level: narrowest_shared(before, cpu),
        to: before.id,
    })
}

/// The narrowest level that two CPUs are known to share.
pub(super) fn narrowest_shared(a: &Cpu, b: &Cpu) -> Option<Level> {
    let same = |a: Option<usize>, b: Option<usize>| a.is_some() && a == b;
    [
        (Level::Cpu, a.id == b.id),
        (Level::Core, a.core == b.core),
        (Level::L2, same(a.l2, b.l2)),
        (Level::L3, same(a.l3, b.l3)),
        (Level::Die, same(a.die, b.die) && same(a.node, b.node)),
        (
            Level::Package,
            same(a.package, b.package) && same(a.node, b.node),
        ),
        (Level::Node, same(a.node, b.node)),
        (Level::Package, same(a.package, b.package)),
    ]
    .into_iter()
    .find_map(|(level, shared)| shared.then_some(level))
}

/// Which parts of the machine have a worker already.
#[derive(Default)]
struct Opened {
    seen: BTreeMap<Level, CpuSet>,
    any: bool,
}

impl Opened {
    fn reason(&mut self, cpu: &Cpu) -> Reason {
        let parts = [
            (Level::Package, cpu.package),
            (Level::Node, cpu.node),
            (Level::Die, cpu.die),
            (Level::L3, cpu.l3),
            (Level::L2, cpu.l2),
            (Level::Core, Some(cpu.core)),
        ];
        let mut widest = None;
        for (level, index) in parts {
            // There are at most as many parts on a level as CPU ids, so an index fits one.
            let Some(index) = index.and_then(|index| CpuId::try_from(index).ok()) else {
                continue;
            };
            if self.seen.entry(level).or_default().insert(index) {
                widest = widest.or(Some(level));
            }
        }
        if !std::mem::replace(&mut self.any, true) {
            return Reason::First;
        }
        widest.map_or(Reason::Sibling, |level| Reason::Opens { level })
    }
}
