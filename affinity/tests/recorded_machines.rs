//! Machines that other people recorded, against the reading that hwloc's `lstopo` printed for them.
//!
//! `lstopo` shows what the recorded *process* may use, so each comparison is made on the part of
//! the topology inside [`Allowed`]. Where the two still differ, [`DIFFERENCES`] says by how much
//! and why; a difference that is not in the table, or that no longer exists, fails.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use pinfold_affinity::{Allowed, CpuSet, NodeId, Plan, Topology};
use tempfile::TempDir;

/// What is compared, by the name that `lstopo` prints.
const KINDS: [&str; 6] = ["Package", "NUMANode", "L3Cache", "L2Cache", "Core", "PU"];

struct Difference {
    machine: &'static str,
    kind: &'static str,
    ours: usize,
    theirs: usize,
    why: &'static str,
}

const DIFFERENCES: [Difference; 4] = [
    Difference {
        machine: "16amd64-4n4c-cgroup-distance-merge",
        kind: "Package",
        ours: 1,
        theirs: 3,
        why: "lstopo keeps packages whose memory is allowed though none of their CPUs is; \
              ours counts packages that can run a worker",
    },
    Difference {
        machine: "16amd64-4n4c-cgroup-distance-merge",
        kind: "L2Cache",
        ours: 4,
        theirs: 0,
        why: "its options (--filter all:structure) leave out levels that add no structure: \
              each L2 has one CPU",
    },
    Difference {
        machine: "16amd64-4n4c-cgroup-distance-merge",
        kind: "Core",
        ours: 4,
        theirs: 0,
        why: "the same filter: each core has one CPU",
    },
    Difference {
        machine: "16amd64-8n2c-cpusets",
        kind: "Package",
        ours: 6,
        theirs: 7,
        why: "package 4 has allowed memory but no allowed CPU",
    },
];

#[test]
fn every_recorded_machine_is_read_as_lstopo_reads_it() {
    let machines = recorded();
    for machine in &machines {
        let (ours, theirs) = (our_reading(machine), their_reading(machine));
        let name = &machine.name;
        compare_counts(name, &ours, &theirs);
        compare_memory(name, &ours, &theirs);
        assert_eq!(ours.online, theirs.online, "{name}: members");
        assert_eq!(ours.distances, theirs.distances, "{name}: distances");
    }
    println!("{} recorded machines compared", machines.len());
}

fn compare_counts(name: &str, ours: &Reading, theirs: &Reading) {
    for kind in KINDS {
        let counts = (ours.counts[kind], theirs.counts[kind]);
        match DIFFERENCES
            .iter()
            .find(|d| d.machine == name && d.kind == kind)
        {
            Some(d) => assert_eq!(
                counts,
                (d.ours, d.theirs),
                "{name} {kind}: not the known difference: {}",
                d.why
            ),
            None => assert_eq!(counts.0, counts.1, "{name} {kind}"),
        }
    }
}

fn compare_memory(name: &str, ours: &Reading, theirs: &Reading) {
    assert!(ours.memory.keys().eq(theirs.memory.keys()), "{name}: nodes");
    for (node, memory) in &ours.memory {
        let theirs = theirs.memory[node];
        let within = match (memory, theirs) {
            (Some((ours, _)), Some((least, most))) => (least..=most).contains(ours),
            (ours, theirs) => ours.is_none() && theirs.is_none(),
        };
        assert!(within, "{name} node {node}: {memory:?} against {theirs:?}");
    }
}

#[test]
fn members_of_caches_and_cores_are_those_that_lstopo_prints() {
    for machine in recorded() {
        let (ours, theirs) = (our_reading(&machine), their_reading(&machine));
        for kind in ["L3Cache", "L2Cache", "Core"] {
            if theirs.counts[kind] > 0 {
                assert_eq!(
                    ours.members[kind], theirs.members[kind],
                    "{} {kind}",
                    machine.name
                );
            }
        }
        // Packages without a CPU are the documented difference; the others must agree.
        let packages: Vec<_> = theirs.members["Package"]
            .iter()
            .filter(|set| !set.is_empty())
            .cloned()
            .collect();
        assert_eq!(
            ours.members["Package"], packages,
            "{} Package",
            machine.name
        );
    }
}

#[test]
fn every_recorded_machine_can_be_planned() {
    for machine in recorded() {
        let topology = Topology::from_root(&machine.root).unwrap();
        let allowed = Allowed::from_root(&machine.root);
        let usable = allowed.cpus_on(&topology);
        for placement in ["none", "compact", "spread", "spread,smt=off,bind=core"] {
            let placement = placement.parse().unwrap();
            let workers = Plan::default_workers(&topology, &allowed);
            let plan = Plan::new(&topology, &allowed, &placement, workers).unwrap();
            assert_eq!(plan.len(), usable.len(), "{}", machine.name);
            for worker in plan.workers() {
                assert!(worker.cpu().is_none_or(|cpu| usable.contains(cpu)));
                assert!(worker.binding().is_none_or(|b| b.cpus().is_subset(&usable)));
                assert_eq!(plan.victim_order(worker.index()).len(), workers - 1);
            }
        }
    }
}

struct Recorded {
    name: String,
    root: PathBuf,
    console: String,
    _unpacked: TempDir,
}

/// All recorded machines, unpacked; none, with the reason printed, where that cannot be done.
fn recorded() -> Vec<Recorded> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/topologies");
    let Ok(entries) = fs::read_dir(&folder) else {
        println!("skipped: no recorded machines at {}", folder.display());
        return Vec::new();
    };
    for tool in ["tar", "bzip2"] {
        if !Command::new(tool)
            .arg("--version")
            .output()
            .is_ok_and(|out| out.status.success())
        {
            println!("skipped: {tool} is not installed");
            return Vec::new();
        }
    }
    let archives = entries.map(|entry| entry.unwrap().path());
    let mut machines: Vec<_> = archives.filter_map(|archive| unpack(&archive)).collect();
    machines.sort_by(|a, b| a.name.cmp(&b.name));
    assert!(
        !machines.is_empty(),
        "{} holds no archive",
        folder.display()
    );
    machines
}

fn unpack(archive: &Path) -> Option<Recorded> {
    let name = archive
        .file_name()?
        .to_str()?
        .strip_suffix(".tar.bz2")?
        .to_owned();
    let dir = tempfile::tempdir().unwrap();
    let status = Command::new("tar")
        .args(["--extract", "--bzip2", "--no-same-owner", "--file"])
        .arg(archive)
        .arg("--directory")
        .arg(dir.path())
        .status()
        .unwrap();
    assert!(status.success(), "{} cannot be unpacked", archive.display());
    let console = fs::read_to_string(archive.with_file_name(format!("{name}.console"))).unwrap();
    Some(Recorded {
        root: dir.path().join(&name),
        name,
        console,
        _unpacked: dir,
    })
}

/// One side of the comparison.
#[derive(Debug, Default)]
struct Reading {
    counts: BTreeMap<&'static str, usize>,
    /// Per kind the sets of CPUs, ascending.
    members: BTreeMap<&'static str, Vec<CpuSet>>,
    online: CpuSet,
    /// By node: the bytes of memory lie in this range; `None` where it is not told.
    memory: BTreeMap<NodeId, Option<(u64, u64)>>,
    distances: Option<Vec<Vec<u32>>>,
}

fn our_reading(machine: &Recorded) -> Reading {
    let topology = Topology::from_root(&machine.root).unwrap();
    let allowed = Allowed::from_root(&machine.root);
    let usable = allowed.cpus_on(&topology);
    let inside = |sets: &[CpuSet]| cut(sets, &usable);
    let memory = allowed.memory_nodes();
    let nodes = topology.nodes();
    let kept: Vec<usize> = (0..nodes.len())
        .filter(|&node| memory.is_none_or(|memory| memory.contains(&nodes[node].id)))
        .collect();
    let row = |node: &usize| {
        let row = nodes[*node].distances.as_ref()?;
        Some(kept.iter().map(|&column| row[column]).collect())
    };
    let members = BTreeMap::from([
        ("Package", inside(topology.packages())),
        ("L3Cache", inside(topology.l3_caches())),
        ("L2Cache", inside(topology.l2_caches())),
        ("Core", inside(topology.cores())),
    ]);
    let mut counts: BTreeMap<_, _> = members
        .iter()
        .map(|(kind, sets)| (*kind, sets.len()))
        .collect();
    counts.extend([("NUMANode", kept.len()), ("PU", usable.len())]);
    Reading {
        counts,
        members,
        online: usable,
        memory: kept
            .iter()
            .map(|&node| (nodes[node].id, exactly(nodes[node].memory_bytes)))
            .collect(),
        distances: kept.iter().map(row).collect(),
    }
}

fn cut(sets: &[CpuSet], usable: &CpuSet) -> Vec<CpuSet> {
    let cut = sets.iter().map(|set| set.intersection(usable));
    let mut cut: Vec<_> = cut.filter(|set| !set.is_empty()).collect();
    cut.sort_by_key(CpuSet::first);
    cut
}

fn exactly(bytes: Option<u64>) -> Option<(u64, u64)> {
    bytes.map(|bytes| (bytes, bytes))
}

/// Reads `lstopo -v` text: an indented tree of objects, then a summary of counts.
fn their_reading(machine: &Recorded) -> Reading {
    let mut reading = Reading::default();
    for kind in KINDS {
        reading.counts.insert(kind, 0);
        reading.members.insert(kind, Vec::new());
    }
    // The objects above the current line: indent, kind, place in `members`.
    let mut above: Vec<(usize, &'static str, usize)> = Vec::new();
    for line in machine
        .console
        .lines()
        .take_while(|line| !line.contains("depth "))
    {
        let text = line.trim_start();
        let indent = line.len() - text.len();
        above.retain(|&(other, ..)| other < indent);
        let word = text.split([' ', '(']).next().unwrap_or_default();
        let Some(kind) = KINDS.into_iter().find(|kind| *kind == word) else {
            continue;
        };
        reading.add(kind, text, indent, &mut above);
    }
    reading
        .members
        .values_mut()
        .for_each(|sets| sets.sort_by_key(CpuSet::first));
    reading.distances = their_distances(&machine.console);
    reading
}

impl Reading {
    /// One object of lstopo's tree, e.g. `PU L#0 (P#4)`.
    fn add(
        &mut self,
        kind: &'static str,
        text: &str,
        indent: usize,
        above: &mut Vec<(usize, &'static str, usize)>,
    ) {
        *self.counts.get_mut(kind).unwrap() += 1;
        let sets = self.members.get_mut(kind).unwrap();
        sets.push(CpuSet::new());
        above.push((indent, kind, sets.len() - 1));
        let id = |text: &str| {
            text.split("(P#")
                .nth(1)?
                .split([')', ' '])
                .next()?
                .parse::<u16>()
                .ok()
        };
        if kind == "NUMANode" {
            self.memory
                .insert(id(text).unwrap().into(), rounded_bytes(text));
        }
        if kind == "PU" {
            let id = id(text).unwrap();
            self.online.insert(id);
            for (_, kind, place) in above {
                self.members.get_mut(kind).unwrap()[*place].insert(id);
            }
        }
    }
}

/// The size after `local=`, as the range of bytes that rounds to it.
fn rounded_bytes(text: &str) -> Option<(u64, u64)> {
    let size = text.split_once("local=")?.1.split([' ', ')']).next()?;
    let (number, unit) = match size.strip_suffix("GiB") {
        Some(number) => (number, 1 << 30),
        None => (size.strip_suffix("MiB")?, 1 << 20),
    };
    let bytes = number.parse::<u64>().ok()? * unit;
    Some((bytes - unit / 2, bytes + unit / 2))
}

/// The matrix under ` index 0 1 …`: one row per node, its own index first.
fn their_distances(console: &str) -> Option<Vec<Vec<u32>>> {
    let table = console.split_once("Relative latency matrix")?.1;
    let rows = table.lines().skip(2).map_while(|line| {
        line.split_whitespace()
            .map(|word| word.parse().ok())
            .collect::<Option<Vec<u32>>>()
    });
    Some(rows.map(|row| row[1..].to_vec()).collect())
}
