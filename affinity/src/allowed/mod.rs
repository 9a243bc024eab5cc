//! Which part of the machine this process may use: affinity mask, control-group cpuset, CPU quota.
//!
//! Take it **once, early, and from a thread that is not bound**. A thread's mask narrows with its
//! binding and its children inherit it, so an `Allowed` taken after a pin sees one CPU.

mod cgroup;
#[cfg(test)]
mod tests;

use std::fmt;
use std::num::NonZero;
use std::path::Path;

use crate::cpuset::CpuSet;
use crate::note::{NodeId, Note};
use crate::platform;
use crate::topo::Topology;
use crate::tree::Tree;

/// CPU time that a control group may use: `micros` out of every `period` microseconds, summed over
/// all its threads.
///
/// ```
/// use pinfold_affinity::Quota;
///
/// let quota = Quota::new(150_000, 100_000).unwrap();
/// assert_eq!(quota.cpus(), 1.5);
/// assert_eq!(quota.cpus_ceil(), 2);
/// assert!(quota < Quota::new(2, 1).unwrap());
/// assert_eq!(Quota::new(100_000, 0), None);
/// ```
#[derive(Debug, Clone, Copy)]
pub struct Quota {
    micros: NonZero<u64>,
    period: NonZero<u64>,
}

impl Quota {
    /// A quota of `micros` microseconds per `period` microseconds; `None` where either is zero.
    pub const fn new(micros: u64, period: u64) -> Option<Quota> {
        match (NonZero::new(micros), NonZero::new(period)) {
            (Some(micros), Some(period)) => Some(Quota { micros, period }),
            _ => None,
        }
    }

    /// Microseconds of CPU time per period.
    pub const fn micros(&self) -> u64 {
        self.micros.get()
    }

    /// Length of the period in microseconds.
    pub const fn period(&self) -> u64 {
        self.period.get()
    }

    /// How many CPUs' worth of time this is.
    pub fn cpus(&self) -> f64 {
        self.micros.get() as f64 / self.period.get() as f64
    }

    /// The fewest CPUs that can use the quota up; at least 1.
    pub fn cpus_ceil(&self) -> usize {
        usize::try_from(self.micros.get().div_ceil(self.period.get())).unwrap_or(usize::MAX)
    }
}

impl Ord for Quota {
    /// By CPUs' worth of time, whatever the periods.
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        let scaled = |a: u64, b: u64| u128::from(a) * u128::from(b);
        scaled(self.micros(), other.period()).cmp(&scaled(other.micros(), self.period()))
    }
}

impl PartialOrd for Quota {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Quota {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Quota {}

impl fmt::Display for Quota {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} CPUs ({} us in {} us)",
            self.cpus(),
            self.micros,
            self.period
        )
    }
}

/// The CPUs, the CPU time and the memory nodes that a process may use.
///
/// ```
/// use pinfold_affinity::{Allowed, CpuSet, Topology};
///
/// let machine = Topology::read()?;
/// let allowed = Allowed::current();
/// assert!(allowed.cpus_on(&machine).is_subset(&machine.online()));
///
/// let two = Allowed::from_cpus(CpuSet::from_iter([0, 2]));
/// assert!(two.contains(2) && !two.contains(1));
/// # Ok::<(), pinfold_affinity::TopologyError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Allowed {
    /// `None`: nothing is known to restrict the CPUs.
    cpus: Option<CpuSet>,
    quota: Option<Quota>,
    memory_nodes: Option<Vec<NodeId>>,
    notes: Vec<Note>,
}

impl Allowed {
    /// What the calling thread may use now: its affinity mask, cut by its control group.
    ///
    /// Take it before the first pin and from an unbound thread (see the module). Where the system
    /// has no such mask, or refuses to tell it, every CPU counts as allowed and
    /// [`Allowed::notes`] says so.
    ///
    /// ```
    /// let allowed = pinfold_affinity::Allowed::current();
    /// assert!(allowed.cpus().is_none_or(|cpus| !cpus.is_empty()));
    /// ```
    pub fn current() -> Allowed {
        let mut tree = Tree::new(Path::new("/"));
        let mask = platform::current_mask().ok();
        Allowed::of(&mut tree, mask)
    }

    /// What a process recorded under `root` could use: `proc/self/status` (`Cpus_allowed_list`),
    /// `proc/self/cgroup` or `proc/self/cpuset`, and the control groups where the recorded mount
    /// table puts them (without a table: `sys/fs/cgroup`).
    ///
    /// ```
    /// let allowed = pinfold_affinity::Allowed::from_root("/does/not/exist");
    /// assert_eq!(allowed.cpus(), None);
    /// assert_eq!(allowed.notes(), [pinfold_affinity::Note::NoMask]);
    /// ```
    pub fn from_root(root: impl AsRef<Path>) -> Allowed {
        let mut tree = Tree::new(root.as_ref());
        Allowed::of(&mut tree, None)
    }

    /// Exactly these CPUs, without quota.
    ///
    /// ```
    /// use pinfold_affinity::{Allowed, CpuSet};
    /// assert_eq!(Allowed::from_cpus(CpuSet::single(3)).cpus(), Some(&CpuSet::single(3)));
    /// ```
    pub fn from_cpus(cpus: CpuSet) -> Allowed {
        Allowed {
            cpus: Some(cpus),
            ..Allowed::default()
        }
    }

    /// Every CPU of whatever machine, without quota.
    ///
    /// ```
    /// assert!(pinfold_affinity::Allowed::unrestricted().contains(4000));
    /// ```
    pub fn unrestricted() -> Allowed {
        Allowed::default()
    }

    /// The same, with `quota` in place of its own.
    ///
    /// ```
    /// use pinfold_affinity::{Allowed, Quota};
    /// let half = Quota::new(50_000, 100_000);
    /// assert_eq!(Allowed::unrestricted().with_quota(half).quota(), half);
    /// ```
    #[must_use]
    pub fn with_quota(mut self, quota: Option<Quota>) -> Allowed {
        self.quota = quota;
        self
    }

    /// The CPUs, or `None` where nothing restricts them. They may include CPUs that no topology
    /// knows; [`Allowed::cpus_on`] leaves those out.
    pub fn cpus(&self) -> Option<&CpuSet> {
        self.cpus.as_ref()
    }

    /// The online CPUs of `topology` that are allowed.
    pub fn cpus_on(&self, topology: &Topology) -> CpuSet {
        let online = topology.online();
        self.cpus
            .as_ref()
            .map_or_else(|| online.clone(), |cpus| cpus.intersection(&online))
    }

    /// Whether `cpu` is allowed.
    pub fn contains(&self, cpu: crate::CpuId) -> bool {
        self.cpus.as_ref().is_none_or(|cpus| cpus.contains(cpu))
    }

    /// The CPU quota: the least along the control group's ancestors.
    pub fn quota(&self) -> Option<Quota> {
        self.quota
    }

    /// The nodes whose memory may be used, ascending, or `None` where nothing restricts them.
    pub fn memory_nodes(&self) -> Option<&[NodeId]> {
        self.memory_nodes.as_deref()
    }

    /// What could not be read or had to be decided.
    pub fn notes(&self) -> &[Note] {
        &self.notes
    }

    fn of(tree: &mut Tree, mask: Option<CpuSet>) -> Allowed {
        let mask = mask.or_else(|| recorded_mask(tree));
        let limits = cgroup::read(tree);
        if mask.is_none() {
            tree.notes.push(Note::NoMask);
        }
        let cpus = match (mask, limits.cpus) {
            (Some(mask), Some(cpuset)) => {
                let both = mask.intersection(&cpuset);
                if both.is_empty() {
                    tree.notes.push(Note::MaskOutsideCpuset {
                        mask: mask.clone(),
                        cpuset,
                    });
                    Some(mask)
                } else {
                    Some(both)
                }
            }
            (mask, cpuset) => mask.or(cpuset),
        };
        let memory_nodes = limits
            .memory_nodes
            .map(|set| set.iter().map(NodeId::from).collect());
        let notes = std::mem::take(&mut tree.notes).into_vec();
        Allowed {
            cpus,
            quota: limits.quota,
            memory_nodes,
            notes,
        }
    }
}

fn recorded_mask(tree: &mut Tree) -> Option<CpuSet> {
    let path = "proc/self/status";
    let status = tree.text(path)?;
    let list = mask_in_status(&status)?;
    match list.parse::<CpuSet>() {
        Ok(mask) => (!mask.is_empty()).then_some(mask),
        Err(error) => {
            let path = tree.path(path);
            tree.notes.push(Note::Malformed {
                path,
                column: error.column,
                fault: error.kind,
            });
            None
        }
    }
}

/// The list of allowed CPUs in the text of a `/proc/<pid>/status`.
pub(crate) fn mask_in_status(status: &str) -> Option<&str> {
    status
        .lines()
        .find_map(|line| line.strip_prefix("Cpus_allowed_list:"))
        .map(str::trim)
}
