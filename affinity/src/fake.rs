//! Small machines written to a temporary directory, for tests only.

use std::fs;
use std::path::PathBuf;

use tempfile::TempDir;

use crate::{Allowed, CpuSet, Topology};

/// How many of each part the next wider one holds. Every core has an L2 of its own.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Shape {
    pub(crate) packages: u16,
    pub(crate) nodes: u16,
    pub(crate) l3: u16,
    pub(crate) cores: u16,
    pub(crate) threads: u16,
}

/// Two packages of two nodes of one L3 of two cores of two threads: CPUs 0-15, thread 1 of the
/// core of CPU `c` is CPU `c + 8`, node `n` has CPUs `2n`, `2n+1`, `2n+8`, `2n+9`.
pub(crate) const SERVER: Shape = Shape {
    packages: 2,
    nodes: 2,
    l3: 1,
    cores: 2,
    threads: 2,
};

/// One package, node and L3 of four cores of two threads: the thread 1 of CPU `c` is `c + 4`.
pub(crate) const DESKTOP: Shape = Shape {
    packages: 1,
    nodes: 1,
    l3: 1,
    cores: 4,
    threads: 2,
};

#[derive(Debug)]
pub(crate) struct Machine {
    dir: TempDir,
}

impl Machine {
    /// An empty tree.
    pub(crate) fn empty() -> Machine {
        Machine {
            dir: tempfile::tempdir().unwrap(),
        }
    }

    pub(crate) fn new(shape: Shape) -> Machine {
        let machine = Machine::empty();
        let per_node = shape.l3 * shape.cores;
        let nodes = shape.packages * shape.nodes;
        let cores = nodes * per_node;
        for core in 0..cores {
            for thread in 0..shape.threads {
                machine.write_cpu(shape, core, thread * cores + core);
            }
        }
        for node in 0..nodes {
            let cpus = threads_of(shape, node * per_node, per_node);
            machine.write(
                &format!("sys/devices/system/node/node{node}/cpulist"),
                &cpus.to_string(),
            );
            machine.write(
                &format!("sys/devices/system/node/node{node}/meminfo"),
                &format!("Node {node} MemTotal:       1024 kB\nNode {node} MemFree: 7 kB\n"),
            );
            let row = (0..nodes).map(|other| match other {
                _ if other == node => "10",
                _ if other / shape.nodes == node / shape.nodes => "16",
                _ => "32",
            });
            let row: Vec<_> = row.collect();
            machine.write(
                &format!("sys/devices/system/node/node{node}/distance"),
                &row.join(" "),
            );
        }
        machine
    }

    fn write_cpu(&self, shape: Shape, core: u16, cpu: u16) {
        let per_package = shape.nodes * shape.l3 * shape.cores;
        let package = core / per_package;
        let file = |name: &str, text: &str| self.write_cpu_file(cpu, name, text);
        file("topology/physical_package_id", &format!("{package}\n"));
        file("topology/core_id", &format!("{}\n", core % per_package));
        let siblings = threads_of(shape, core, 1).to_string();
        file("topology/core_cpus_list", &siblings);
        let package = threads_of(shape, package * per_package, per_package);
        file("topology/package_cpus_list", &package.to_string());
        let l3 = threads_of(shape, core / shape.cores * shape.cores, shape.cores).to_string();
        for (index, level, kind, cpus) in [
            (0, 1, "Data", &siblings),
            (1, 2, "Unified", &siblings),
            (2, 2, "Instruction", &l3),
            (3, 3, "Unified", &l3),
        ] {
            file(&format!("cache/index{index}/level"), &format!("{level}\n"));
            file(&format!("cache/index{index}/type"), &format!("{kind}\n"));
            file(
                &format!("cache/index{index}/shared_cpu_list"),
                &format!("{cpus}\n"),
            );
        }
    }

    pub(crate) fn path(&self, file: &str) -> PathBuf {
        self.dir.path().join(file)
    }

    pub(crate) fn write(&self, file: &str, text: &str) {
        let path = self.path(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    pub(crate) fn write_cpu_file(&self, cpu: u16, file: &str, text: &str) {
        self.write(&format!("sys/devices/system/cpu/cpu{cpu}/{file}"), text);
    }

    pub(crate) fn remove(&self, path: &str) {
        let path = self.path(path);
        if path.is_dir() {
            fs::remove_dir_all(path).unwrap();
        } else {
            fs::remove_file(path).unwrap();
        }
    }

    pub(crate) fn remove_cpu_file(&self, cpu: u16, file: &str) {
        self.remove(&format!("sys/devices/system/cpu/cpu{cpu}/{file}"));
    }

    pub(crate) fn topology(&self) -> Topology {
        Topology::from_root(self.dir.path()).unwrap()
    }

    pub(crate) fn allowed(&self) -> Allowed {
        Allowed::from_root(self.dir.path())
    }
}

/// All threads of `count` cores from `first` on.
fn threads_of(shape: Shape, first: u16, count: u16) -> CpuSet {
    let cores = shape.packages * shape.nodes * shape.l3 * shape.cores;
    (0..shape.threads)
        .flat_map(|thread| (first..first + count).map(move |core| thread * cores + core))
        .collect()
}
