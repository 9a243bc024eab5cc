//! Who works where, and why: a pure function of topology, allowed set, placement and worker count.
//!
//! No file is read and no thread touched here, so a plan for any recorded machine can be made,
//! printed and tested anywhere.
//!
//! Invariants:
//! - every chosen CPU and every binding lies inside what is allowed *and* online;
//! - groups are numbered without gaps, in the order in which workers first enter them;
//! - `victim_order(w)` is a permutation of all workers but `w`.

mod order;
mod print;
#[cfg(test)]
mod tests;
mod victims;

use std::collections::BTreeMap;

use thiserror::Error;

use crate::allowed::{Allowed, Quota};
use crate::apply::Binding;
use crate::cpuset::{CpuId, CpuSet};
use crate::note::{Level, NodeId};
use crate::placement::{Bind, Placement, Policy};
use crate::topo::{Cpu, Topology};

pub use victims::Tier;

/// The most workers that a plan takes.
pub const WORKERS_MAX: usize = 65_536;

/// A plan: one [`WorkerPlan`] per worker, and what is worth a warning.
///
/// ```
/// use std::num::NonZero;
/// use pinfold_affinity::{Allowed, Placement, Plan, Topology};
///
/// let machine = Topology::flat(NonZero::new(4).unwrap());
/// let placement = Placement::parse("compact,bind=cpu")?;
/// let plan = Plan::new(&machine, &Allowed::unrestricted(), &placement, 3)?;
///
/// assert_eq!(plan.len(), 3);
/// assert_eq!(plan.worker(1).and_then(|worker| worker.cpu()), Some(1));
/// assert_eq!(plan.binding(2).map(|binding| binding.cpus().to_string()), Some("2".into()));
/// assert_eq!(plan.victim_order(1), [2, 0]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    placement: Placement,
    /// The strength in force: the one asked for, else the default.
    bind: Bind,
    workers: Vec<WorkerPlan>,
    groups: usize,
    /// Node by node; rows and columns as in `Topology::nodes`. Empty where unknown.
    distances: Vec<Vec<u32>>,
    warnings: Vec<PlanWarning>,
}

/// One worker's part of a plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WorkerPlan {
    index: usize,
    home: Option<Cpu>,
    node: Option<NodeId>,
    group: usize,
    binding: Option<Binding>,
    reason: Reason,
}

/// Why a worker got its CPU. [`Display`](std::fmt::Display) gives the words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Reason {
    /// No policy: the operating system decides.
    LeftToSystem,
    /// The user named this CPU for it.
    Named,
    /// The first CPU in the order of the policy.
    First,
    /// Compact: shares this level with the worker before it, and nothing narrower.
    Near {
        /// The narrowest level that both share; `None` if they share none.
        level: Option<Level>,
        /// The CPU of the worker before.
        to: CpuId,
    },
    /// Spread: the first worker in this package, node, cache or core.
    Opens {
        /// The widest level that had no worker yet.
        level: Level,
    },
    /// Spread: every core has a worker, so this one shares a core.
    Sibling,
    /// Every CPU has a worker; this one shares its CPU.
    Shares {
        /// The first worker on the same CPU.
        with: usize,
    },
}

/// Something about a plan that its reader should know.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum PlanWarning {
    /// The CPU quota is below the number of usable CPUs: workers beyond it are throttled in turn.
    QuotaBelowCpus {
        /// The quota.
        quota: Quota,
        /// How many CPUs could be used.
        cpus: usize,
        /// How many workers the plan has.
        workers: usize,
    },
    /// More workers than CPUs: several share one.
    MoreWorkersThanCpus {
        /// How many workers.
        workers: usize,
        /// How many CPUs they share.
        cpus: usize,
    },
    /// Allowed CPUs of which the topology knows nothing; they are not used.
    AllowedButUnknown {
        /// The CPUs.
        cpus: CpuSet,
    },
}

/// A plan that cannot be made.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum PlanError {
    /// A pool without workers runs nothing.
    #[error("a plan needs at least one worker")]
    NoWorkers,
    /// More workers than any plan takes.
    #[error("{workers} workers asked for; a plan takes up to {}", WORKERS_MAX)]
    TooManyWorkers {
        /// How many were asked for.
        workers: usize,
    },
    /// No CPU is both online and allowed.
    #[error("no CPU is usable: online are {online}, allowed are {allowed}")]
    NoUsableCpu {
        /// The CPUs that are online.
        online: CpuSet,
        /// The CPUs that are allowed.
        allowed: CpuSet,
    },
    /// The list names CPUs that are offline, absent or not allowed.
    #[error("cpus {cpus} cannot be used; usable are {usable}")]
    NotUsable {
        /// The CPUs that cannot be used.
        cpus: CpuSet,
        /// The CPUs that can.
        usable: CpuSet,
    },
    /// The list names a CPU twice.
    #[error("cpu {cpu} stands in the list twice")]
    RepeatedCpu {
        /// The CPU.
        cpu: CpuId,
    },
    /// The list names fewer CPUs than there are workers.
    #[error("{cpus} CPUs are listed for {workers} workers; list one CPU per worker")]
    TooFewCpus {
        /// How many CPUs are listed.
        cpus: usize,
        /// How many workers there are.
        workers: usize,
    },
    /// An option that this policy cannot follow.
    #[error("{option} has no effect on `{policy}`; leave it out or choose compact or spread")]
    OptionWithoutEffect {
        /// The option as the user writes it.
        option: &'static str,
        /// The policy as the user writes it.
        policy: String,
    },
}

impl Plan {
    /// Plans `workers` workers (1..=[`WORKERS_MAX`]) on the CPUs that are online and allowed.
    ///
    /// `compact` and `spread` give several workers one CPU where there are more workers than CPUs,
    /// and say so in [`Plan::warnings`]. Without `bind=` in the placement: nothing is bound for
    /// `none`; an explicit list binds to its CPUs; `compact` and `spread` bind to groups where the
    /// usable CPUs form more than one group, else not at all.
    ///
    /// O(CPUs × levels + nodes² + workers).
    ///
    /// # Errors
    /// [`PlanError`]; nothing is clamped or dropped silently.
    ///
    /// ```
    /// use std::num::NonZero;
    /// use pinfold_affinity::{Allowed, CpuSet, Placement, Plan, PlanError, Topology};
    ///
    /// let machine = Topology::flat(NonZero::new(4).unwrap());
    /// let allowed = Allowed::from_cpus(CpuSet::from_iter(0..2));
    /// let error = Plan::new(&machine, &allowed, &"cpus=1-3".parse().unwrap(), 2).unwrap_err();
    /// assert_eq!(error.to_string(), "cpus 2-3 cannot be used; usable are 0-1");
    /// ```
    pub fn new(
        topology: &Topology,
        allowed: &Allowed,
        placement: &Placement,
        workers: usize,
    ) -> Result<Plan, PlanError> {
        check_form(placement, workers)?;
        let usable = usable(topology, allowed)?;
        let order = order::of(topology, &usable, placement, workers)?;
        let groups = if placement.smt() {
            groups_of(topology, &usable)
        } else {
            groups_of(topology, &order.iter().map(|cpu| cpu.id).collect())
        };
        let default = || default_bind(placement.policy(), &groups);
        let bind = placement.bind().unwrap_or_else(default);
        let numbers = BTreeMap::new();
        let mut maker = Maker {
            topology,
            usable: &usable,
            groups: &groups,
            bind,
            numbers,
        };
        let reasons = order::reasons(placement.policy(), &order, workers);
        let homes = (0..workers).map(|index| order.get(index % order.len().max(1)).copied());
        let planned = homes.zip(reasons).enumerate();
        let workers: Vec<WorkerPlan> = planned
            .map(|(index, (home, reason))| maker.worker(index, home, reason))
            .collect();
        Ok(Plan {
            placement: placement.clone(),
            bind,
            groups: maker.numbers.len().max(1),
            distances: distances(topology),
            warnings: warnings(&usable, allowed, workers.len(), &order),
            workers,
        })
    }

    /// How many workers a pool gets that is not told: as many as there are usable CPUs, but no
    /// more than the quota can keep busy (rounded up); at least 1.
    ///
    /// ```
    /// use std::num::NonZero;
    /// use pinfold_affinity::{Allowed, Plan, Quota, Topology};
    ///
    /// let machine = Topology::flat(NonZero::new(8).unwrap());
    /// let allowed = Allowed::unrestricted().with_quota(Quota::new(250_000, 100_000));
    /// assert_eq!(Plan::default_workers(&machine, &allowed), 3);
    /// ```
    pub fn default_workers(topology: &Topology, allowed: &Allowed) -> usize {
        let cpus = allowed.cpus_on(topology).len();
        let quota = allowed
            .quota()
            .map_or(usize::MAX, |quota| quota.cpus_ceil());
        cpus.min(quota).max(1)
    }

    /// The placement that was asked for.
    pub fn placement(&self) -> &Placement {
        &self.placement
    }

    /// The binding strength in force.
    pub fn bind(&self) -> Bind {
        self.bind
    }

    /// The workers in order.
    pub fn workers(&self) -> impl ExactSizeIterator<Item = &WorkerPlan> + '_ {
        self.workers.iter()
    }

    /// One worker; `None` beyond the last.
    pub fn worker(&self, worker: usize) -> Option<&WorkerPlan> {
        self.workers.get(worker)
    }

    /// How many workers there are, 1..=[`WORKERS_MAX`].
    #[expect(
        clippy::len_without_is_empty,
        reason = "a plan has at least one worker"
    )]
    pub fn len(&self) -> usize {
        self.workers.len()
    }

    /// What `worker` is to be bound to; `None` if it is not, and for workers beyond the last.
    pub fn binding(&self, worker: usize) -> Option<&Binding> {
        self.worker(worker)?.binding()
    }

    /// The group of `worker`, 0..[`Plan::groups`].
    ///
    /// # Panics
    /// If the plan has no such worker.
    pub fn group(&self, worker: usize) -> usize {
        self.workers[worker].group
    }

    /// How many groups have workers; at least 1.
    pub fn groups(&self) -> usize {
        self.groups
    }

    /// What the reader of this plan should know.
    pub fn warnings(&self) -> &[PlanWarning] {
        &self.warnings
    }
}

impl WorkerPlan {
    /// The worker's number, from 0.
    pub fn index(&self) -> usize {
        self.index
    }

    /// The CPU chosen for it; `None` under `none`. Unless the binding is `cpu` this is its home,
    /// not its prison.
    pub fn cpu(&self) -> Option<CpuId> {
        self.home.map(|cpu| cpu.id)
    }

    /// The NUMA node of that CPU, by the kernel's number.
    pub fn node(&self) -> Option<NodeId> {
        self.node
    }

    /// Workers with the same number share an L3 on one node (where no L3 is known: the node).
    pub fn group(&self) -> usize {
        self.group
    }

    /// What it is to be bound to.
    pub fn binding(&self) -> Option<&Binding> {
        self.binding.as_ref()
    }

    /// Why it got its CPU.
    pub fn reason(&self) -> Reason {
        self.reason
    }
}

fn usable(topology: &Topology, allowed: &Allowed) -> Result<CpuSet, PlanError> {
    let usable = allowed.cpus_on(topology);
    if usable.is_empty() {
        let allowed = allowed.cpus().cloned().unwrap_or_default();
        return Err(PlanError::NoUsableCpu {
            online: topology.online(),
            allowed,
        });
    }
    Ok(usable)
}

/// A group: the CPUs of one node that share an L3. Where either is unknown the other decides.
type GroupKey = (Option<usize>, Option<usize>);

fn group_key(cpu: &Cpu) -> GroupKey {
    (cpu.node, cpu.l3)
}

fn groups_of(topology: &Topology, candidates: &CpuSet) -> BTreeMap<GroupKey, CpuSet> {
    let mut groups: BTreeMap<GroupKey, CpuSet> = BTreeMap::new();
    for cpu in topology
        .cpus()
        .iter()
        .filter(|cpu| candidates.contains(cpu.id))
    {
        groups.entry(group_key(cpu)).or_default().insert(cpu.id);
    }
    groups
}

fn default_bind(policy: &Policy, groups: &BTreeMap<GroupKey, CpuSet>) -> Bind {
    match policy {
        Policy::None => Bind::None,
        Policy::Cpus(_) => Bind::Cpu,
        Policy::Compact | Policy::Spread if groups.len() > 1 => Bind::Group,
        Policy::Compact | Policy::Spread => Bind::None,
    }
}

/// What can be judged without the machine.
fn check_form(placement: &Placement, workers: usize) -> Result<(), PlanError> {
    if workers == 0 {
        return Err(PlanError::NoWorkers);
    }
    if workers > WORKERS_MAX {
        return Err(PlanError::TooManyWorkers { workers });
    }
    let option = match placement.policy() {
        Policy::None if placement.bind().is_some_and(|bind| bind != Bind::None) => "bind",
        Policy::None | Policy::Cpus(_) if !placement.smt() => "smt=off",
        _ => return Ok(()),
    };
    Err(PlanError::OptionWithoutEffect {
        option,
        policy: placement.policy().to_string(),
    })
}

struct Maker<'a> {
    topology: &'a Topology,
    usable: &'a CpuSet,
    groups: &'a BTreeMap<GroupKey, CpuSet>,
    bind: Bind,
    /// Group numbers in the order of first use.
    numbers: BTreeMap<GroupKey, usize>,
}

impl Maker<'_> {
    fn worker(&mut self, index: usize, home: Option<Cpu>, reason: Reason) -> WorkerPlan {
        let next = self.numbers.len();
        let group = home.map_or(0, |cpu| {
            *self.numbers.entry(group_key(&cpu)).or_insert(next)
        });
        let node = home
            .and_then(|cpu| self.topology.nodes().get(cpu.node?))
            .map(|node| node.id);
        let binding = home.and_then(|cpu| self.binding(&cpu));
        WorkerPlan {
            index,
            home,
            node,
            group,
            binding,
            reason,
        }
    }

    fn binding(&self, home: &Cpu) -> Option<Binding> {
        let cpus = match self.bind {
            Bind::None => return None,
            Bind::Group => self.groups.get(&group_key(home))?.clone(),
            Bind::Core => self
                .topology
                .cores()
                .get(home.core)?
                .intersection(self.usable),
            Bind::Cpu => CpuSet::single(home.id),
        };
        Binding::new(cpus)
    }
}

fn distances(topology: &Topology) -> Vec<Vec<u32>> {
    let rows = topology.nodes().iter().map(|node| node.distances.clone());
    rows.collect::<Option<_>>().unwrap_or_default()
}

fn warnings(usable: &CpuSet, allowed: &Allowed, workers: usize, order: &[Cpu]) -> Vec<PlanWarning> {
    let mut found = Vec::new();
    if let Some(quota) = allowed
        .quota()
        .filter(|quota| quota.cpus() < usable.len() as f64)
    {
        found.push(PlanWarning::QuotaBelowCpus {
            quota,
            cpus: usable.len(),
            workers,
        });
    }
    // Under `none` no CPU is chosen, yet the workers still share those that are usable.
    let cpus = if order.is_empty() {
        usable.len()
    } else {
        order.len()
    };
    if workers > cpus {
        found.push(PlanWarning::MoreWorkersThanCpus { workers, cpus });
    }
    let unknown = allowed
        .cpus()
        .map(|cpus| cpus.difference(usable))
        .unwrap_or_default();
    if !unknown.is_empty() {
        found.push(PlanWarning::AllowedButUnknown { cpus: unknown });
    }
    found
}
