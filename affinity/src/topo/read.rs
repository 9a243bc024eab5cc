//! From the files under a root to a [`Topology`].

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::partition::Partition;
use super::{Cpu, Node, Topology, TopologyError};
use crate::cpuset::{CpuId, CpuSet};
use crate::note::{Level, NodeId, Note, Notes};
use crate::tree::Tree;

const CPU_DIR: &str = "sys/devices/system/cpu";
const NODE_DIR: &str = "sys/devices/system/node";

/// No kernel has more nodes (`MAX_NUMNODES` is 1024 at most); bounds the distance matrix.
const NODES_MAX: usize = 1024;

/// No CPU has more caches (the kernel tells four or five); bounds what links can make of one tree.
const CACHES_MAX: usize = 64;

pub(super) fn from_root(root: &Path) -> Result<Topology, TopologyError> {
    let unreadable = |source| TopologyError::Root {
        path: root.to_path_buf(),
        source,
    };
    std::fs::read_dir(root).map_err(unreadable)?;
    let mut tree = Tree::new(root);
    let (online, offline) = present(&mut tree);
    if online.is_empty() {
        return Err(TopologyError::NoCpus {
            path: root.to_path_buf(),
        });
    }
    let ids = read_ids(&mut tree, &online);
    let mut levels = Levels::new();
    for cpu in online.iter() {
        levels.read(&mut tree, cpu, &online, &ids);
    }
    levels.place_the_rest(&ids, &mut tree.notes);
    let (nodes, node_of) = read_nodes(&mut tree, &online);
    let found = Found {
        online,
        offline,
        nodes,
        node_of,
    };
    Ok(levels.finish(found, tree.notes))
}

/// The CPUs that are on, and those that are known but off.
fn present(tree: &mut Tree) -> (CpuSet, CpuSet) {
    let ids = tree.numbered(CPU_DIR, "cpu").into_iter();
    let known: CpuSet = ids.filter_map(|id| CpuId::try_from(id).ok()).collect();
    let described = |cpu: &CpuId| cpu_dir(*cpu).join("topology");
    let any_described = known.iter().any(|cpu| tree.is_dir(described(&cpu)));
    if !any_described {
        tree.notes.push(Note::Flat { cpus: known.len() });
    }
    let mut on = CpuSet::new();
    for cpu in known.iter() {
        let has_place = !any_described || tree.is_dir(described(&cpu));
        if has_place && tree.number(cpu_dir(cpu).join("online")) != Some(0) {
            on.insert(cpu);
        }
    }
    let off = known.difference(&on);
    (on, off)
}

fn cpu_dir(cpu: CpuId) -> PathBuf {
    Path::new(CPU_DIR).join(format!("cpu{cpu}"))
}

/// The kernel's own numbers for one CPU: `None` without such a file, negative where the kernel
/// itself does not know.
#[derive(Debug, Default)]
struct Ids {
    package: Option<i64>,
    die: Option<i64>,
    core: Option<i64>,
}

fn known(id: Option<i64>) -> Option<i64> {
    id.filter(|&id| id >= 0)
}

fn denied(id: Option<i64>) -> bool {
    id.is_some_and(|id| id < 0)
}

fn read_ids(tree: &mut Tree, online: &CpuSet) -> BTreeMap<CpuId, Ids> {
    let read = |cpu| {
        let dir = cpu_dir(cpu).join("topology");
        let mut id = |file| tree.number(dir.join(file));
        let (package, die, core) = (id("physical_package_id"), id("die_id"), id("core_id"));
        (cpu, Ids { package, die, core })
    };
    online.iter().map(read).collect()
}

struct Levels {
    package: Partition,
    die: Partition,
    l3: Partition,
    l2: Partition,
    core: Partition,
    /// CPUs whose thread siblings have other core ids.
    split: CpuSet,
}

struct Found {
    online: CpuSet,
    offline: CpuSet,
    nodes: Vec<Node>,
    node_of: BTreeMap<CpuId, usize>,
}

impl Levels {
    fn new() -> Self {
        Levels {
            package: Partition::new(Level::Package),
            die: Partition::new(Level::Die),
            l3: Partition::new(Level::L3),
            l2: Partition::new(Level::L2),
            core: Partition::new(Level::Core),
            split: CpuSet::new(),
        }
    }

    fn read(&mut self, tree: &mut Tree, cpu: CpuId, online: &CpuSet, ids: &BTreeMap<CpuId, Ids>) {
        let dir = cpu_dir(cpu).join("topology");
        let own = &ids[&cpu];
        let mut claim = |masks: &[&str], lists: &[&str]| {
            Some(tree.mask_or_list(&dir, masks, lists)?.intersection(online))
        };
        // The first name of each pair is the newer one (Linux 5.3).
        let package = claim(
            &["package_cpus", "core_siblings"],
            &["package_cpus_list", "core_siblings_list"],
        );
        let die = claim(&["die_cpus"], &["die_cpus_list"]).filter(|_| !denied(own.die));
        let threads = claim(
            &["core_cpus", "thread_siblings"],
            &["core_cpus_list", "thread_siblings_list"],
        );
        let core = threads.map(|threads| self.without_strangers(cpu, threads, ids));
        // Number -1: the set beside it is a default of the kernel's (the CPU alone), no knowledge.
        let package = package.filter(|_| !denied(own.package));
        let notes = &mut tree.notes;
        self.package.claim(cpu, package, notes);
        self.die.claim(cpu, die, notes);
        self.core.claim(cpu, core, notes);
        let caches = read_caches(tree, cpu, online);
        self.l2.claim(cpu, caches.l2, &mut tree.notes);
        self.l3.claim(cpu, caches.l3, &mut tree.notes);
    }

    /// Drops siblings whose core id differs. Kernels that list the two cores of a compute unit as
    /// thread siblings still number them apart; they share an L2, not a pipeline.
    fn without_strangers(
        &mut self,
        cpu: CpuId,
        threads: CpuSet,
        ids: &BTreeMap<CpuId, Ids>,
    ) -> CpuSet {
        let core_of = |other: CpuId| known(ids.get(&other)?.core);
        let Some(own) = core_of(cpu).filter(|_| threads.contains(cpu)) else {
            return threads;
        };
        let same: CpuSet = threads
            .iter()
            .filter(|&other| core_of(other).is_none_or(|id| id == own))
            .collect();
        if same != threads {
            self.split.insert(cpu);
        }
        same
    }

    /// Places the CPUs that made no believable claim: by their ids, cores at last alone.
    fn place_the_rest(&mut self, ids: &BTreeMap<CpuId, Ids>, notes: &mut Notes) {
        if !self.split.is_empty() {
            notes.push(Note::SiblingsSplit {
                cpus: std::mem::take(&mut self.split),
            });
        }
        let package = |cpu| known(ids[&cpu].package);
        self.package.group_unknown(package);
        self.die
            .group_unknown(|cpu| Some((package(cpu), known(ids[&cpu].die)?)));
        self.core
            .group_unknown(|cpu| Some((package(cpu), known(ids[&cpu].core)?)));
        // No report for dies: a kernel that tells none is an old one, not a poorer machine.
        for level in [&self.package, &self.l3, &self.l2, &self.core] {
            level.report_unknown(notes);
        }
        self.core.group_unknown(Some);
    }

    fn finish(self, found: Found, notes: Notes) -> Topology {
        let (package, die) = (self.package.finish(), self.die.finish());
        let (l3, l2, core) = (self.l3.finish(), self.l2.finish(), self.core.finish());
        let cpu = |id| Cpu {
            id,
            package: package.of.get(&id).copied(),
            die: die.of.get(&id).copied(),
            node: found.node_of.get(&id).copied(),
            l3: l3.of.get(&id).copied(),
            l2: l2.of.get(&id).copied(),
            core: core.of[&id],
        };
        Topology {
            cpus: found.online.iter().map(cpu).collect(),
            offline: found.offline,
            packages: package.sets,
            dies: die.sets,
            nodes: found.nodes,
            l3: l3.sets,
            l2: l2.sets,
            cores: core.sets,
            notes: notes.into_vec(),
        }
    }
}

#[derive(Default)]
struct Caches {
    l2: Option<CpuSet>,
    l3: Option<CpuSet>,
}

fn read_caches(tree: &mut Tree, cpu: CpuId, online: &CpuSet) -> Caches {
    let mut caches = Caches::default();
    let dir = cpu_dir(cpu).join("cache");
    let mut indices = tree.numbered(&dir, "index");
    indices.truncate(CACHES_MAX);
    for index in indices {
        let dir = dir.join(format!("index{index}"));
        let slot = match tree.number(dir.join("level")) {
            Some(2) => &mut caches.l2,
            Some(3) => &mut caches.l3,
            _ => continue,
        };
        if tree
            .text(dir.join("type"))
            .is_some_and(|kind| kind.trim() == "Instruction")
        {
            continue;
        }
        let sharers = tree.mask_or_list(&dir, &["shared_cpu_map"], &["shared_cpu_list"]);
        *slot = sharers.map(|set| set.intersection(online));
    }
    caches
}

fn read_nodes(tree: &mut Tree, online: &CpuSet) -> (Vec<Node>, BTreeMap<CpuId, usize>) {
    let mut ids = tree.numbered(NODE_DIR, "node");
    ids.truncate(NODES_MAX);
    if ids.is_empty() {
        return one_node(tree, online);
    }
    let rows: Vec<_> = ids.iter().map(|&id| read_distances(tree, id)).collect();
    let mut nodes: Vec<Node> = Vec::new();
    let mut columns = Vec::new();
    let mut free = online.clone();
    for (column, &id) in ids.iter().enumerate() {
        let Some(cpus) = take_cpus(tree, id, online, &mut free) else {
            continue;
        };
        let memory_bytes = node_memory_bytes(tree, id);
        nodes.push(Node {
            id,
            cpus,
            memory_bytes,
            distances: None,
        });
        columns.push(column);
    }
    if !free.is_empty() {
        let level = Level::Node;
        tree.notes.push(Note::NoInformation { level, cpus: free });
    }
    set_distances(tree, &mut nodes, &columns, &rows);
    let mut node_of = BTreeMap::new();
    for (index, node) in nodes.iter().enumerate() {
        node_of.extend(node.cpus.iter().map(|cpu| (cpu, index)));
    }
    (nodes, node_of)
}

/// The CPUs of node `id` that no earlier node has taken; `None` if it had some and all are gone.
fn take_cpus(tree: &mut Tree, id: NodeId, online: &CpuSet, free: &mut CpuSet) -> Option<CpuSet> {
    let claimed = node_cpus(tree, id).intersection(online);
    let cpus = claimed.intersection(free);
    if let Some(cpu) = claimed.difference(&cpus).first() {
        if cpus.is_empty() {
            tree.notes.push(Note::NodeMerged {
                node: id,
                cpus: claimed,
            });
            return None;
        }
        let (level, kept) = (Level::Node, cpus.clone());
        tree.notes.push(Note::Contradiction {
            level,
            cpu,
            claimed,
            kept,
        });
    }
    *free = free.difference(&cpus);
    Some(cpus)
}

fn one_node(tree: &mut Tree, online: &CpuSet) -> (Vec<Node>, BTreeMap<CpuId, usize>) {
    tree.notes.push(Note::OneNodeAssumed);
    let memory_bytes = tree
        .text("proc/meminfo")
        .and_then(|text| memory_total_bytes(&text));
    let node = Node {
        id: 0,
        cpus: online.clone(),
        memory_bytes,
        distances: None,
    };
    (vec![node], online.iter().map(|cpu| (cpu, 0)).collect())
}

fn node_file(id: NodeId, file: &str) -> PathBuf {
    Path::new(NODE_DIR).join(format!("node{id}")).join(file)
}

fn node_cpus(tree: &mut Tree, id: NodeId) -> CpuSet {
    let map = tree.mask(node_file(id, "cpumap"));
    let list = tree.list(node_file(id, "cpulist"));
    match (map, list) {
        (Some(map), Some(list)) => {
            if map != list {
                tree.notes.push(Note::MapAndListDiffer { node: id, list });
            }
            map
        }
        (map, list) => map.or(list).unwrap_or_default(),
    }
}

fn node_memory_bytes(tree: &mut Tree, id: NodeId) -> Option<u64> {
    memory_total_bytes(&tree.text(node_file(id, "meminfo"))?)
}

/// Finds `MemTotal: 123 kB`, with or without `Node 0` before it.
fn memory_total_bytes(meminfo: &str) -> Option<u64> {
    let (_, rest) = meminfo.split_once("MemTotal:")?;
    let kib: u64 = rest.split_whitespace().next()?.parse().ok()?;
    kib.checked_mul(1024)
}

fn read_distances(tree: &mut Tree, id: NodeId) -> Option<Vec<u32>> {
    let text = tree.text(node_file(id, "distance"))?;
    text.split_whitespace()
        .take(NODES_MAX + 1)
        .map(|word| word.parse().ok())
        .collect()
}

/// Gives each node its row if the whole matrix can be believed.
fn set_distances(
    tree: &mut Tree,
    nodes: &mut [Node],
    columns: &[usize],
    rows: &[Option<Vec<u32>>],
) {
    if nodes.len() < 2 {
        return;
    }
    let believable = |row: &Vec<u32>| {
        row.len() == rows.len() && !row.contains(&0) && row.iter().any(|&d| d != row[0])
    };
    let pick = |row: usize| {
        let row = rows[row].as_ref().filter(|row| believable(row))?;
        Some(
            columns
                .iter()
                .map(|&column| row[column])
                .collect::<Vec<u32>>(),
        )
    };
    let Some(matrix) = columns
        .iter()
        .map(|&row| pick(row))
        .collect::<Option<Vec<_>>>()
    else {
        tree.notes.push(Note::NoDistances);
        return;
    };
    for (node, row) in nodes.iter_mut().zip(matrix) {
        node.distances = Some(row);
    }
}
