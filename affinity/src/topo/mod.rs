//! What the machine looks like: packages, dies, NUMA nodes, caches, cores, hardware threads.
//!
//! A [`Topology`] is read once and then only looked at. It describes the *machine*; which part of
//! it this process may use is [`Allowed`](crate::Allowed).
//!
//! Rules of the reading:
//! - A CPU counts if it has a directory with a `topology` in it and is not switched off by its own
//!   `online` file. The machine-wide list `cpu/online` is never consulted: container file systems
//!   replace it by what the container may use, while the directories keep telling the truth.
//! - CPUs are grouped by the sets that they claim. Where claims disagree the first one, in
//!   ascending order of CPU ids, stands, and a [`Note`] says so. So the members of one level never
//!   overlap.
//! - What is missing stays unknown (`None`), with one exception: a machine without NUMA
//!   information is one node.
//!
//! Cost: about ten small files per CPU.

mod partition;
mod read;
#[cfg(test)]
mod tests;

use std::fmt;
use std::io;
use std::num::NonZero;
use std::path::{Path, PathBuf};

use thiserror::Error;

use crate::cpuset::{CpuId, CpuSet};
use crate::note::{NodeId, Note};

/// One logical CPU. The numbers are indices into the lists of the [`Topology`] it came from, not
/// the kernel's ids (which repeat and have gaps).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Cpu {
    /// The kernel's number of this CPU.
    pub id: CpuId,
    /// Index into [`Topology::packages`].
    pub package: Option<usize>,
    /// Index into [`Topology::dies`].
    pub die: Option<usize>,
    /// Index into [`Topology::nodes`].
    pub node: Option<usize>,
    /// Index into [`Topology::l3_caches`].
    pub l3: Option<usize>,
    /// Index into [`Topology::l2_caches`].
    pub l2: Option<usize>,
    /// Index into [`Topology::cores`]. A CPU about which nothing is known is a core of its own.
    pub core: usize,
}

/// One NUMA node. It may have no CPU (memory only) and may have no memory.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Node {
    /// The kernel's number of this node.
    pub id: NodeId,
    /// Its CPUs that are online.
    pub cpus: CpuSet,
    /// Its memory in bytes, as the kernel counts it (`MemTotal`).
    pub memory_bytes: Option<u64>,
    /// Distance to each node, in the order of [`Topology::nodes`]; 10 is local by convention and
    /// the unit is otherwise the firmware's. `None` where unknown.
    pub distances: Option<Vec<u32>>,
}

/// A machine as it was read.
///
/// ```
/// use pinfold_affinity::Topology;
///
/// let machine = Topology::read()?;
/// assert!(machine.cpus().len() >= 1);
/// assert_eq!(machine.online().len(), machine.cpus().len());
/// // The cores divide the CPUs among themselves.
/// assert_eq!(machine.cores().iter().map(|core| core.len()).sum::<usize>(), machine.cpus().len());
/// # Ok::<(), pinfold_affinity::TopologyError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Topology {
    /// Ascending by id.
    cpus: Vec<Cpu>,
    offline: CpuSet,
    packages: Vec<CpuSet>,
    dies: Vec<CpuSet>,
    nodes: Vec<Node>,
    l3: Vec<CpuSet>,
    l2: Vec<CpuSet>,
    cores: Vec<CpuSet>,
    notes: Vec<Note>,
}

/// A tree in which no machine was found.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum TopologyError {
    /// The root is not a directory that can be read.
    #[error("{}: {source}", path.display())]
    Root {
        /// The root that was given.
        path: PathBuf,
        /// Why it cannot be read.
        source: io::Error,
    },
    /// Nothing under the root tells of a single CPU.
    #[error("{}: no CPU under sys/devices/system/cpu; is this the root of a recorded machine?", path.display())]
    NoCpus {
        /// The root that was given.
        path: PathBuf,
    },
}

impl Topology {
    /// Reads the machine that this process runs on.
    ///
    /// Where there is no sysfs (other systems, some sandboxes) only the number of CPUs is known:
    /// the result is [`Topology::flat`] with [`Note::Flat`] among its notes.
    ///
    /// # Errors
    /// [`TopologyError`] where neither sysfs nor the standard library can count the CPUs.
    ///
    /// ```
    /// let machine = pinfold_affinity::Topology::read()?;
    /// assert!(!machine.nodes().is_empty());
    /// # Ok::<(), pinfold_affinity::TopologyError>(())
    /// ```
    pub fn read() -> Result<Topology, TopologyError> {
        match Topology::from_root("/") {
            Ok(topology) => Ok(topology),
            Err(error) => {
                let count = std::thread::available_parallelism().map_err(|_| error)?;
                let cpus = NonZero::<u16>::try_from(count).unwrap_or(NonZero::<u16>::MAX);
                Ok(Topology::flat(cpus))
            }
        }
    }

    /// Reads a machine recorded under `root`, which holds `sys/devices/system/{cpu,node}` and
    /// optionally `proc/meminfo`.
    ///
    /// # Errors
    /// [`TopologyError`] where `root` cannot be read or holds no CPU. Missing and contradictory
    /// files are no error; see [`Topology::notes`].
    ///
    /// ```
    /// use pinfold_affinity::{Topology, TopologyError};
    ///
    /// let nowhere = Topology::from_root("/does/not/exist");
    /// assert!(matches!(nowhere, Err(TopologyError::Root { .. })));
    /// ```
    pub fn from_root(root: impl AsRef<Path>) -> Result<Topology, TopologyError> {
        read::from_root(root.as_ref())
    }

    /// A machine of which only the number of CPUs is known: one node, no cache, `cpus` cores.
    ///
    /// ```
    /// use std::num::NonZero;
    /// use pinfold_affinity::Topology;
    ///
    /// let machine = Topology::flat(NonZero::new(4).unwrap());
    /// assert_eq!(machine.online().to_string(), "0-3");
    /// assert_eq!(machine.cores().len(), 4);
    /// ```
    pub fn flat(cpus: NonZero<u16>) -> Topology {
        let ids = 0..cpus.get();
        let online: CpuSet = ids.clone().collect();
        let cpu = |id: CpuId| Cpu {
            id,
            package: None,
            die: None,
            node: Some(0),
            l3: None,
            l2: None,
            core: usize::from(id),
        };
        Topology {
            cpus: ids.clone().map(cpu).collect(),
            cores: ids.map(CpuSet::single).collect(),
            nodes: vec![Node {
                id: 0,
                cpus: online,
                memory_bytes: None,
                distances: None,
            }],
            notes: vec![
                Note::Flat {
                    cpus: usize::from(cpus.get()),
                },
                Note::OneNodeAssumed,
            ],
            ..Topology::default()
        }
    }

    /// The online CPUs, ascending by id; never empty.
    pub fn cpus(&self) -> &[Cpu] {
        &self.cpus
    }

    /// The CPU with the kernel's number `id`, if it is online. O(log CPUs).
    ///
    /// ```
    /// # use std::num::NonZero;
    /// let machine = pinfold_affinity::Topology::flat(NonZero::new(2).unwrap());
    /// assert_eq!(machine.cpu(1).map(|cpu| cpu.core), Some(1));
    /// assert_eq!(machine.cpu(2), None);
    /// ```
    pub fn cpu(&self, id: CpuId) -> Option<&Cpu> {
        let at = self.cpus.binary_search_by_key(&id, |cpu| cpu.id).ok()?;
        self.cpus.get(at)
    }

    /// The ids of [`Topology::cpus`].
    pub fn online(&self) -> CpuSet {
        self.cpus.iter().map(|cpu| cpu.id).collect()
    }

    /// CPUs that the kernel knows but that are switched off or absent.
    pub fn offline(&self) -> &CpuSet {
        &self.offline
    }

    /// The packages that have an online CPU, ascending by lowest CPU; empty where unknown.
    pub fn packages(&self) -> &[CpuSet] {
        &self.packages
    }

    /// The dies, ascending by lowest CPU; empty where the kernel tells none.
    pub fn dies(&self) -> &[CpuSet] {
        &self.dies
    }

    /// The NUMA nodes, ascending by the kernel's number; never empty.
    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// The level-3 caches (data or unified), ascending by lowest CPU.
    pub fn l3_caches(&self) -> &[CpuSet] {
        &self.l3
    }

    /// The level-2 caches (data or unified), ascending by lowest CPU.
    pub fn l2_caches(&self) -> &[CpuSet] {
        &self.l2
    }

    /// The cores, ascending by lowest CPU. A core of two or more CPUs has SMT.
    pub fn cores(&self) -> &[CpuSet] {
        &self.cores
    }

    /// The CPUs that share `id`'s core, itself included.
    ///
    /// ```
    /// # use std::num::NonZero;
    /// let machine = pinfold_affinity::Topology::flat(NonZero::new(2).unwrap());
    /// assert_eq!(machine.siblings(1).map(|set| set.to_string()), Some("1".into()));
    /// ```
    pub fn siblings(&self, id: CpuId) -> Option<&CpuSet> {
        self.cores.get(self.cpu(id)?.core)
    }

    /// What could not be read or had to be decided. Empty on a well-described machine.
    pub fn notes(&self) -> &[Note] {
        &self.notes
    }
}

impl fmt::Display for Topology {
    /// One line of counts, then one line per note.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "packages {}, nodes {}, L3 {}, L2 {}, cores {}, cpus {}",
            self.packages.len(),
            self.nodes.len(),
            self.l3.len(),
            self.l2.len(),
            self.cores.len(),
            self.cpus.len()
        )?;
        if !self.offline.is_empty() {
            write!(f, ", offline {}", self.offline)?;
        }
        self.notes
            .iter()
            .try_for_each(|note| write!(f, "\nnote: {note}"))
    }
}
