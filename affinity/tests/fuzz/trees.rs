//! Recorded machines with files that are missing, cut, exchanged, doubled, endless, or not files.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use pinfold_affinity::{Allowed, CpuSet, Placement, Plan, PlanError, Topology, TopologyError};
use proptest::prelude::*;
use proptest::sample::Index;

use crate::fake::{Machine, SERVER, Shape};
use crate::memory::peak_bytes;
use crate::{like, one_in};

/// A reading takes one file of at most 1 MiB at a time; the rest is sets of the few CPUs there are,
/// which one hostile list may make 8 KiB large.
pub const READING_BYTES_MAX: usize = 24 << 20;

/// No reading of a tree of this size takes so long unless it hangs.
pub const HANG: Duration = Duration::from_secs(30);

/// What is done to one file or directory of a tree.
#[derive(Debug, Clone)]
enum Change {
    Remove,
    Text(String),
    Bytes(Vec<u8>),
    Cut(Index),
    ContentOf(Index),
    LinkTo(Index),
    Link(&'static str),
    LinkToItself,
    Directory,
    Hole,
}

/// Texts that are nearly right for one kind of file or another.
fn any_text() -> impl Strategy<Value = String> {
    prop_oneof![
        "[0-9]{1,5}(-[0-9]{1,5})?(,[0-9]{1,2}(-[0-9]{1,2})?){0,4}\n?",
        "[0-9a-f]{1,8}(,[0-9a-f]{8}){0,3}\n?\u{0}?",
        "-?[0-9]{1,20}\n?",
        "([0-9]{1,10} ){0,8}",
        prop::sample::select(vec![
            "",
            "\n",
            "0-65535",
            "65535",
            "0-4294967295",
            "7-0",
            "Unified",
            "Instruction",
            "3",
            "2",
            "MemTotal: 99999999999999999999 kB",
            "MemTotal: 18446744073709551615 kB",
            "MemTotal:",
        ])
        .prop_map(str::to_owned),
    ]
}

fn any_change() -> impl Strategy<Value = Change> {
    let index = any::<Index>;
    prop_oneof![
        3 => Just(Change::Remove),
        6 => any_text().prop_map(Change::Text),
        2 => prop::collection::vec(any::<u8>(), 0..200).prop_map(Change::Bytes),
        2 => index().prop_map(Change::Cut),
        4 => index().prop_map(Change::ContentOf),
        2 => index().prop_map(Change::LinkTo),
        1 => prop::sample::select(vec!["..", "../..", "/dev/zero", "nowhere", "/"]).prop_map(Change::Link),
        1 => Just(Change::LinkToItself),
        1 => Just(Change::Directory),
        1 => Just(Change::Hole),
    ]
}

/// Files and directories that a kernel may or may not have, added with some text.
fn any_addition() -> impl Strategy<Value = (String, String)> {
    let cpu = "sys/devices/system/cpu/cpu([0-9]|6553[0-9]|[0-9]{2,11}|x|)/";
    let cpu_file = "(online|topology/(core_id|die_id|core_cpus|die_cpus_list|thread_siblings_list)|cache/index[0-9]{1,10}/(level|shared_cpu_map))";
    let node = "sys/devices/system/node/node([0-9]{1,11}|)/(cpumap|cpulist|distance|meminfo)";
    let file = prop_oneof![like(&format!("{cpu}{cpu_file}")), like(node)];
    (file, any_text())
}

/// Everything below `root` in a fixed order, links not followed.
fn entries(root: &Path) -> Vec<PathBuf> {
    let mut found = vec![root.to_path_buf()];
    let mut next = 0;
    while next < found.len() {
        if found[next]
            .symlink_metadata()
            .is_ok_and(|meta| meta.is_dir())
        {
            let inside = fs::read_dir(&found[next]).unwrap();
            let mut inside: Vec<_> = inside.map(|entry| entry.unwrap().path()).collect();
            inside.sort();
            found.extend(inside);
        }
        next += 1;
    }
    found
}

fn clear(path: &Path) {
    match path.symlink_metadata() {
        Ok(meta) if meta.is_dir() => fs::remove_dir_all(path).unwrap(),
        Ok(_) => fs::remove_file(path).unwrap(),
        Err(_) => {}
    }
}

fn apply(root: &Path, target: &Index, change: &Change) {
    let all = entries(root);
    // The root itself stays.
    let Some(rest) = all.get(1..).filter(|rest| !rest.is_empty()) else {
        return;
    };
    let target = target.get(rest).as_path();
    let content = |path: &Path| fs::read(path).unwrap_or_default();
    match change {
        Change::Remove => clear(target),
        Change::Text(text) => replace(target, text.as_bytes()),
        Change::Bytes(bytes) => replace(target, bytes),
        Change::Cut(at) => {
            let is_small =
                fs::metadata(target).is_ok_and(|meta| meta.is_file() && meta.len() <= 4096);
            let bytes = if is_small {
                content(target)
            } else {
                Vec::new()
            };
            replace(target, &bytes[..at.index(bytes.len() + 1)]);
        }
        Change::ContentOf(other) => {
            let other = other.get(&all).as_path();
            let is_small =
                fs::metadata(other).is_ok_and(|meta| meta.is_file() && meta.len() <= 4096);
            let bytes = if is_small { content(other) } else { Vec::new() };
            replace(target, &bytes);
        }
        Change::LinkTo(other) => link(target, other.get(&all).as_path()),
        Change::Link(to) => link(target, Path::new(to)),
        Change::LinkToItself => link(target, target),
        Change::Directory => {
            clear(target);
            fs::create_dir(target).unwrap();
        }
        Change::Hole => {
            clear(target);
            fs::File::create(target).unwrap().set_len(1 << 30).unwrap();
        }
    }
}

fn replace(target: &Path, bytes: &[u8]) {
    clear(target);
    fs::write(target, bytes).unwrap();
}

fn link(target: &Path, to: &Path) {
    clear(target);
    symlink(to, target).unwrap();
}

fn any_shape() -> impl Strategy<Value = Shape> {
    (1..3_u16, 1..3_u16, 1..3_u16, 1..3_u16, 1..3_u16).prop_map(
        |(packages, nodes, l3, cores, threads)| Shape {
            packages,
            nodes,
            l3,
            cores,
            threads,
        },
    )
}

/// The members of a level are disjoint, nobody is in one that is not online, and each CPU's index
/// names the member that holds it.
fn check_level(
    topology: &Topology,
    sets: &[CpuSet],
    index: impl Fn(usize) -> Option<usize>,
) -> Result<(), TestCaseError> {
    let mut seen = CpuSet::new();
    for set in sets {
        prop_assert!(seen.intersection(set).is_empty(), "{set} again in {sets:?}");
        seen = seen.union(set);
    }
    prop_assert!(seen.is_subset(&topology.online()));
    for (position, cpu) in topology.cpus().iter().enumerate() {
        let holder = sets.iter().position(|set| set.contains(cpu.id));
        prop_assert_eq!(index(position), holder, "cpu {} in {:?}", cpu.id, sets);
    }
    Ok(())
}

fn check_topology(topology: &Topology) -> Result<(), TestCaseError> {
    let cpus = topology.cpus();
    prop_assert!(!cpus.is_empty());
    prop_assert!(cpus.is_sorted_by(|a, b| a.id < b.id));
    prop_assert!(
        topology
            .offline()
            .intersection(&topology.online())
            .is_empty()
    );
    check_level(topology, topology.packages(), |at| cpus[at].package)?;
    check_level(topology, topology.dies(), |at| cpus[at].die)?;
    check_level(topology, topology.l3_caches(), |at| cpus[at].l3)?;
    check_level(topology, topology.l2_caches(), |at| cpus[at].l2)?;
    check_level(topology, topology.cores(), |at| Some(cpus[at].core))?;
    let nodes = topology.nodes();
    prop_assert!(!nodes.is_empty() && nodes.is_sorted_by(|a, b| a.id < b.id));
    let sets: Vec<_> = nodes.iter().map(|node| node.cpus.clone()).collect();
    check_level(topology, &sets, |at| cpus[at].node)?;
    for row in nodes.iter().filter_map(|node| node.distances.as_ref()) {
        prop_assert!(row.len() == nodes.len() && !row.contains(&0), "{row:?}");
    }
    prop_assert!(topology.to_string().starts_with("packages "));
    Ok(())
}

/// A pool can be planned on whatever was read.
fn check_plans(topology: &Topology, allowed: &Allowed) -> Result<(), TestCaseError> {
    let usable = allowed.cpus_on(topology);
    for placement in [
        "none",
        "compact",
        "spread",
        "spread,smt=off,bind=core",
        "compact,bind=group",
    ] {
        let workers = topology.cpus().len() + 1;
        let placement = Placement::parse(placement).unwrap();
        let plan = match Plan::new(topology, allowed, &placement, workers) {
            Ok(plan) => plan,
            Err(error) => {
                prop_assert!(matches!(error, PlanError::NoUsableCpu { .. }), "{error}");
                prop_assert!(usable.is_empty(), "{usable} is usable");
                continue;
            }
        };
        prop_assert!(plan.to_string().contains("workers"));
        for worker in plan.workers() {
            prop_assert!(worker.group() < plan.groups());
            let bound = worker.binding().map(|binding| binding.cpus().clone());
            prop_assert!(bound.is_none_or(|cpus| !cpus.is_empty() && cpus.is_subset(&usable)));
            prop_assert_eq!(plan.victim_order(worker.index()).len(), workers - 1);
        }
    }
    Ok(())
}

/// Reads the tree as a machine and as what a process may use.
pub fn check(tree: &Machine) -> Result<(), TestCaseError> {
    let begun = Instant::now();
    let read = || {
        (
            Topology::from_root(tree.path("")),
            Allowed::from_root(tree.path("")),
        )
    };
    let ((topology, allowed), peak) = peak_bytes(read);
    prop_assert!(begun.elapsed() < HANG, "{:?}", begun.elapsed());
    prop_assert!(peak <= READING_BYTES_MAX, "{peak} bytes");
    for note in allowed.notes() {
        prop_assert!(!note.to_string().is_empty());
    }
    match topology {
        Ok(topology) => {
            check_topology(&topology)?;
            check_plans(&topology, &allowed)?;
            check_plans(&topology, &Allowed::unrestricted())
        }
        Err(TopologyError::NoCpus { .. }) => Ok(()),
        Err(error) => Err(TestCaseError::fail(error.to_string())),
    }
}

proptest! {
    #![proptest_config(one_in(4))]

    #[test]
    fn a_broken_machine_is_read_as_some_machine_or_none(
        shape in any_shape(),
        additions in prop::collection::vec(any_addition(), 0..4),
        changes in prop::collection::vec((any::<Index>(), any_change()), 1..12),
    ) {
        let tree = Machine::new(shape);
        for (file, text) in &additions {
            // What is there already may be a file where a directory is wanted.
            let path = tree.path(file);
            if fs::create_dir_all(path.parent().unwrap()).is_ok() {
                fs::write(path, text).unwrap();
            }
        }
        for (target, change) in &changes {
            apply(&tree.path(""), target, change);
        }
        check(&tree)?;
    }
}

/// Two kinds of CPUs that contradict each other, each of which is many through links.
#[test]
fn thousands_of_contradictions_are_summed_up() {
    let tree = Machine::new(Shape {
        packages: 1,
        nodes: 1,
        l3: 1,
        cores: 2,
        threads: 1,
    });
    let cpu = |id: usize| tree.path(&format!("sys/devices/system/cpu/cpu{id}"));
    for (id, mask) in [(0, "5".repeat(1024)), (1, "f".repeat(1024))] {
        let groups: Vec<_> = mask
            .as_bytes()
            .chunks(8)
            .map(|group| std::str::from_utf8(group).unwrap())
            .collect();
        for file in [
            "topology/package_cpus",
            "topology/core_cpus",
            "cache/index3/shared_cpu_map",
        ] {
            tree.write_cpu_file(id, file, &groups.join(","));
        }
        tree.remove_cpu_file(id, "topology/core_id");
    }
    for id in 2..4096 {
        symlink(cpu(id % 2), cpu(id)).unwrap();
    }
    let begun = Instant::now();
    let (topology, peak) = peak_bytes(|| tree.topology());
    println!(
        "4096 CPUs: {peak} bytes, {:?}, {} notes",
        begun.elapsed(),
        topology.notes().len()
    );
    assert!(begun.elapsed() < HANG);
    assert_eq!(topology.cpus().len(), 4096);
    assert!(peak <= READING_BYTES_MAX, "{peak} bytes");
    assert!(topology.notes().len() <= 1100, "{}", topology.notes().len());
    check_topology(&topology).unwrap();
}

/// Caches that are many through links, in CPUs that are many through links.
#[test]
fn more_caches_than_a_cpu_has_are_not_read() {
    let tree = Machine::new(SERVER);
    let cache =
        |index: usize| tree.path(&format!("sys/devices/system/cpu/cpu0/cache/index{index}"));
    for index in 4..4000 {
        symlink(cache(index % 4), cache(index)).unwrap();
    }
    let cpu = |id: usize| tree.path(&format!("sys/devices/system/cpu/cpu{id}"));
    for id in 16..256 {
        symlink(cpu(0), cpu(id)).unwrap();
    }
    let begun = Instant::now();
    let topology = tree.topology();
    println!("256 CPUs with 4000 caches: {:?}", begun.elapsed());
    assert!(begun.elapsed() < HANG, "{:?}", begun.elapsed());
    check_topology(&topology).unwrap();
    let near = topology.cpu(1).and_then(|cpu| cpu.l3);
    assert_eq!(near, topology.cpu(0).and_then(|cpu| cpu.l3));
}
