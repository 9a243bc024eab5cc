//! Readings of small machines, whole and broken.

use super::*;
use crate::fake::{DESKTOP, Machine, SERVER};
use crate::{CpuListErrorKind, Level};

fn print(sets: &[CpuSet]) -> Vec<String> {
    sets.iter().map(CpuSet::to_string).collect()
}

#[test]
fn a_described_machine_is_read_without_a_note() {
    let machine = Machine::new(SERVER).topology();
    assert_eq!(machine.notes(), []);
    assert_eq!(machine.online().to_string(), "0-15");
    assert_eq!(print(machine.packages()), ["0-3,8-11", "4-7,12-15"]);
    assert_eq!(print(machine.dies()), [] as [&str; 0]);
    assert_eq!(
        print(machine.l3_caches()),
        ["0-1,8-9", "2-3,10-11", "4-5,12-13", "6-7,14-15"]
    );
    assert_eq!(machine.l2_caches(), machine.cores());
    assert_eq!(machine.siblings(3).unwrap().to_string(), "3,11");
    let cpu = Cpu {
        id: 13,
        package: Some(1),
        die: None,
        node: Some(2),
        l3: Some(2),
        l2: Some(5),
        core: 5,
    };
    assert_eq!(machine.cpu(13), Some(&cpu));
    let node = &machine.nodes()[1];
    assert_eq!((node.id, node.memory_bytes), (1, Some(1024 * 1024)));
    assert_eq!(node.cpus.to_string(), "2-3,10-11");
    assert_eq!(node.distances.as_deref(), Some([16, 10, 32, 32].as_slice()));
}

#[test]
fn offline_cpus_are_known_but_not_used() {
    let tree = Machine::new(DESKTOP);
    tree.remove_cpu_file(2, "topology");
    tree.write_cpu_file(5, "online", "0\n");
    // What container file systems put here is about the container, not about the machine.
    tree.write("sys/devices/system/cpu/online", "0-1\n");
    let machine = tree.topology();
    assert_eq!(machine.online().to_string(), "0-1,3-4,6-7");
    assert_eq!(machine.offline().to_string(), "2,5");
    assert_eq!(print(machine.cores()), ["0,4", "1", "3,7", "6"]);
    assert_eq!(machine.nodes()[0].cpus.to_string(), "0-1,3-4,6-7");
}

#[test]
fn ids_may_have_gaps() {
    let tree = Machine::empty();
    for cpu in [0, 900, 65535] {
        tree.write_cpu_file(cpu, "topology/core_id", "0\n");
        tree.write_cpu_file(cpu, "topology/physical_package_id", &format!("{cpu}\n"));
    }
    tree.write("sys/devices/system/cpu/cpu65536/topology/core_id", "0\n");
    tree.write("sys/devices/system/cpu/cpufreq/x", "");
    let machine = tree.topology();
    assert_eq!(machine.online().to_string(), "0,900,65535");
    assert_eq!(print(machine.packages()), ["0", "900", "65535"]);
    assert_eq!(machine.cores().len(), 3);
}

#[test]
fn ids_group_where_sets_are_missing() {
    let tree = Machine::new(DESKTOP);
    for cpu in 0..8 {
        tree.remove_cpu_file(cpu, "topology/core_cpus_list");
        tree.remove_cpu_file(cpu, "topology/package_cpus_list");
    }
    let machine = tree.topology();
    assert_eq!(print(machine.cores()), ["0,4", "1,5", "2,6", "3,7"]);
    assert_eq!(print(machine.packages()), ["0-7"]);
    assert_eq!(machine.notes(), []);
}

#[test]
fn a_mask_is_believed_before_a_list() {
    let tree = Machine::new(DESKTOP);
    for cpu in 0..8 {
        // A stale list, the same for everyone, beside the right mask; ended by a NUL.
        tree.write_cpu_file(cpu, "cache/index3/shared_cpu_list", "0,4\n");
        let half = if cpu % 4 < 2 {
            "00000033\n\0"
        } else {
            "000000cc\n\0"
        };
        tree.write_cpu_file(cpu, "cache/index3/shared_cpu_map", half);
    }
    let machine = tree.topology();
    assert_eq!(print(machine.l3_caches()), ["0-1,4-5", "2-3,6-7"]);
    assert_eq!(machine.notes(), []);
}

#[test]
fn the_first_claim_stands_and_the_other_is_noted() {
    let tree = Machine::new(DESKTOP);
    tree.write_cpu_file(5, "cache/index3/shared_cpu_list", "5-6");
    tree.write_cpu_file(2, "topology/core_cpus_list", "3");
    let machine = tree.topology();
    assert_eq!(print(machine.l3_caches()), ["0-7"]);
    assert_eq!(print(machine.cores()), ["0,4", "1,5", "2,6", "3,7"]);
    let set = |list: &str| list.parse::<CpuSet>().unwrap();
    let l3 = Note::Contradiction {
        level: Level::L3,
        cpu: 5,
        claimed: set("5-6"),
        kept: set("0-7"),
    };
    assert!(machine.notes().contains(&l3), "{machine}");
    let core = Note::Contradiction {
        level: Level::Core,
        cpu: 2,
        claimed: set("3"),
        kept: set(""),
    };
    assert!(machine.notes().contains(&core), "{machine}");
}

#[test]
fn malformed_files_count_as_missing_and_are_named() {
    let tree = Machine::new(DESKTOP);
    tree.write_cpu_file(3, "cache/index3/shared_cpu_list", "0-7,9-8");
    let machine = tree.topology();
    assert_eq!(print(machine.l3_caches()), ["0-7"]);
    let path = tree.path("sys/devices/system/cpu/cpu3/cache/index3/shared_cpu_list");
    let fault = CpuListErrorKind::Reversed { first: 9, last: 8 };
    assert_eq!(
        machine.notes(),
        [Note::Malformed {
            path,
            column: 5,
            fault
        }]
    );
}

#[test]
fn caches_that_the_machine_lacks_stay_unknown() {
    let tree = Machine::new(DESKTOP);
    (0..8).for_each(|cpu| tree.remove_cpu_file(cpu, "cache/index3"));
    let machine = tree.topology();
    assert_eq!(machine.l3_caches(), []);
    assert_eq!(machine.cpu(0).unwrap().l3, None);
    let note = Note::NoInformation {
        level: Level::L3,
        cpus: CpuSet::from_iter(0..8),
    };
    assert_eq!(machine.notes(), [note]);
}

#[test]
fn siblings_with_core_ids_of_their_own_are_cores() {
    let tree = Machine::new(DESKTOP);
    (4..8).for_each(|cpu| tree.write_cpu_file(cpu, "topology/core_id", &cpu.to_string()));
    let machine = tree.topology();
    assert_eq!(machine.cores().len(), 8);
    assert_eq!(print(machine.l2_caches()), ["0,4", "1,5", "2,6", "3,7"]);
    assert_eq!(
        machine.notes(),
        [Note::SiblingsSplit {
            cpus: CpuSet::from_iter(0..8)
        }]
    );
}

#[test]
fn without_numa_the_machine_is_one_node() {
    let tree = Machine::new(DESKTOP);
    tree.remove("sys/devices/system/node");
    tree.write("proc/meminfo", "MemTotal:        2048 kB\nMemFree: 1 kB\n");
    let machine = tree.topology();
    assert_eq!(machine.nodes().len(), 1);
    assert_eq!(machine.nodes()[0].cpus, machine.online());
    assert_eq!(machine.nodes()[0].memory_bytes, Some(2048 * 1024));
    assert_eq!(machine.notes(), [Note::OneNodeAssumed]);
}

#[test]
fn nodes_that_repeat_an_earlier_one_are_left_out() {
    let tree = Machine::new(SERVER);
    tree.write("sys/devices/system/node/node2/cpulist", "0-1,8-9");
    let machine = tree.topology();
    assert_eq!(
        machine
            .nodes()
            .iter()
            .map(|node| node.id)
            .collect::<Vec<_>>(),
        [0, 1, 3]
    );
    assert_eq!(
        machine.nodes()[2].distances.as_deref(),
        Some([32, 32, 10].as_slice())
    );
    assert_eq!(machine.cpu(4).unwrap().node, None);
    let set = |list: &str| list.parse::<CpuSet>().unwrap();
    let merged = Note::NodeMerged {
        node: 2,
        cpus: set("0-1,8-9"),
    };
    let homeless = Note::NoInformation {
        level: Level::Node,
        cpus: set("4-5,12-13"),
    };
    assert_eq!(machine.notes(), [merged, homeless]);
}

#[test]
fn a_node_may_have_memory_only() {
    let tree = Machine::new(DESKTOP);
    tree.write("sys/devices/system/node/node4/cpulist", "\n");
    tree.write("sys/devices/system/node/node4/cpumap", "00\n");
    tree.write(
        "sys/devices/system/node/node4/meminfo",
        "Node 4 MemTotal: 512 kB\n",
    );
    tree.write("sys/devices/system/node/node4/distance", "17 10\n");
    tree.write("sys/devices/system/node/node0/distance", "10 17\n");
    let machine = tree.topology();
    let memory = &machine.nodes()[1];
    assert_eq!((memory.id, memory.memory_bytes), (4, Some(512 * 1024)));
    assert!(memory.cpus.is_empty());
    assert_eq!(memory.distances.as_deref(), Some([17, 10].as_slice()));
    assert_eq!(machine.notes(), []);
}

#[test]
fn distances_that_cannot_be_true_are_unknown() {
    for (node, row) in [
        (0, "10 10 10 10"),
        (1, "16 10 0 32"),
        (2, "10 20 20"),
        (3, "10 20 20 20 20"),
        (0, "10 x 20 20"),
        (1, "0 0 0 0"),
    ] {
        let tree = Machine::new(SERVER);
        tree.write(&format!("sys/devices/system/node/node{node}/distance"), row);
        let machine = tree.topology();
        assert!(
            machine.nodes().iter().all(|node| node.distances.is_none()),
            "{row}"
        );
        assert_eq!(machine.notes(), [Note::NoDistances], "{row}");
    }
}

#[test]
fn a_map_and_a_list_that_differ_are_noted() {
    let tree = Machine::new(DESKTOP);
    tree.write("sys/devices/system/node/node0/cpumap", "0000007f\n");
    let machine = tree.topology();
    assert_eq!(machine.nodes()[0].cpus.to_string(), "0-6");
    let list = CpuSet::from_iter(0..8);
    assert_eq!(machine.notes()[0], Note::MapAndListDiffer { node: 0, list });
}

#[test]
fn cpus_without_any_description_are_counted() {
    let tree = Machine::empty();
    (0..3).for_each(|cpu| tree.write_cpu_file(cpu, "online", "1\n"));
    let machine = tree.topology();
    assert_eq!(print(machine.cores()), ["0", "1", "2"]);
    assert!(
        machine.notes().contains(&Note::Flat { cpus: 3 }),
        "{machine}"
    );
}

#[test]
fn a_tree_without_cpus_is_an_error() {
    let tree = Machine::empty();
    let error = Topology::from_root(tree.path("")).unwrap_err();
    assert!(matches!(&error, TopologyError::NoCpus { path } if *path == tree.path("")));
    let missing = Topology::from_root(tree.path("nowhere")).unwrap_err();
    assert!(
        matches!(&missing, TopologyError::Root { source, .. } if source.kind() == io::ErrorKind::NotFound)
    );
}

#[test]
fn files_that_no_kernel_writes_are_not_read() {
    let tree = Machine::new(DESKTOP);
    tree.write(
        "sys/devices/system/node/node0/distance",
        &"10 ".repeat(400_000),
    );
    tree.remove("sys/devices/system/node/node0/cpulist");
    tree.write("sys/devices/system/node/node0/cpulist/oops", "");
    let notes = tree.topology().notes().to_vec();
    let unusable = |file: &str| Note::Unusable {
        path: tree.path("sys/devices/system/node/node0").join(file),
    };
    assert!(notes.contains(&unusable("distance")), "{notes:?}");
    assert!(notes.contains(&unusable("cpulist")), "{notes:?}");
}

#[test]
fn a_package_number_of_minus_one_means_that_the_kernel_does_not_know() {
    let tree = Machine::new(DESKTOP);
    for cpu in 0..8 {
        tree.write_cpu_file(cpu, "topology/physical_package_id", "-1\n");
        tree.write_cpu_file(cpu, "topology/package_cpus_list", &format!("{cpu}\n"));
    }
    let machine = tree.topology();
    assert_eq!(machine.packages(), []);
    let cpus = CpuSet::from_iter(0..8);
    assert_eq!(
        machine.notes(),
        [Note::NoInformation {
            level: Level::Package,
            cpus
        }]
    );
}

#[test]
fn dies_are_read_where_the_kernel_tells_them() {
    let tree = Machine::new(DESKTOP);
    for cpu in 0..8 {
        let half = cpu % 4 / 2;
        tree.write_cpu_file(cpu, "topology/die_id", &half.to_string());
        let list = if half == 0 { "0-1,4-5" } else { "2-3,6-7" };
        tree.write_cpu_file(cpu, "topology/die_cpus_list", list);
    }
    let machine = tree.topology();
    assert_eq!(print(machine.dies()), ["0-1,4-5", "2-3,6-7"]);
    assert_eq!(machine.cpu(6).unwrap().die, Some(1));
    assert_eq!(machine.notes(), []);
}

#[test]
fn claims_that_overlap_an_earlier_one_are_cut() {
    let tree = Machine::new(DESKTOP);
    tree.write_cpu_file(0, "topology/core_cpus_list", "0");
    tree.write_cpu_file(4, "topology/core_cpus_list", "0,4");
    let machine = tree.topology();
    assert_eq!(print(machine.cores()), ["0", "1,5", "2,6", "3,7", "4"]);
    let note = Note::Contradiction {
        level: Level::Core,
        cpu: 4,
        claimed: CpuSet::from_iter([0, 4]),
        kept: CpuSet::single(4),
    };
    assert_eq!(machine.notes(), [note]);
}
