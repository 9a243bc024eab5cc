//! Whom a worker steals from first.

use super::order::narrowest_shared;
use super::{Plan, WorkerPlan};
use crate::note::Level;

/// How near two workers are, nearest first, judged by their home CPUs.
///
/// Under `bind=group` a worker may wander inside its group, so tiers narrower than the group are a
/// good guess there, not a promise.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Tier {
    /// The same CPU.
    Cpu,
    /// The same core: SMT siblings.
    Core,
    /// The same L2.
    L2,
    /// The same L3.
    L3,
    /// The same die of the same node.
    Die,
    /// The same package and node.
    Package,
    /// The same node.
    Node,
    /// Another node at this distance, in the firmware's unit (local is 10).
    Remote(u32),
    /// Another node of the same package, at an unknown distance.
    PackageRemote,
    /// Nothing known is shared, or a worker has no home.
    Unknown,
}

impl Plan {
    /// How near worker `b` is to worker `a`.
    ///
    /// # Panics
    /// If the plan has no such worker.
    ///
    /// ```
    /// use std::num::NonZero;
    /// use pinfold_affinity::{Allowed, Placement, Plan, Tier, Topology};
    ///
    /// let machine = Topology::flat(NonZero::new(2).unwrap());
    /// let plan = Plan::new(&machine, &Allowed::unrestricted(), &"compact".parse()?, 2)?;
    /// assert_eq!(plan.tier(0, 1), Tier::Node);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn tier(&self, a: usize, b: usize) -> Tier {
        tier(&self.workers[a], &self.workers[b], &self.distances)
    }

    /// All other workers, nearest first. Equally near ones follow in ascending order beginning
    /// after `worker` itself and wrapping around, so that they do not all steal from the same one.
    ///
    /// O(n log n) for n workers; allocates the result.
    ///
    /// # Panics
    /// If the plan has no such worker.
    ///
    /// ```
    /// use std::num::NonZero;
    /// use pinfold_affinity::{Allowed, Placement, Plan, Topology};
    ///
    /// let machine = Topology::flat(NonZero::new(4).unwrap());
    /// let plan = Plan::new(&machine, &Allowed::unrestricted(), &Placement::default(), 4)?;
    /// assert_eq!(plan.victim_order(2), [3, 0, 1]);
    /// # Ok::<(), pinfold_affinity::PlanError>(())
    /// ```
    pub fn victim_order(&self, worker: usize) -> Vec<usize> {
        let count = self.workers.len();
        let own = &self.workers[worker];
        let ring = (worker + 1..count).chain(0..worker);
        let mut victims: Vec<(Tier, usize)> = ring
            .map(|other| (tier(own, &self.workers[other], &self.distances), other))
            .collect();
        // Stable: the ring's order stays inside a tier.
        victims.sort_by_key(|&(tier, _)| tier);
        victims.into_iter().map(|(_, other)| other).collect()
    }
}

fn tier(a: &WorkerPlan, b: &WorkerPlan, distances: &[Vec<u32>]) -> Tier {
    let (Some(a), Some(b)) = (&a.home, &b.home) else {
        return Tier::Unknown;
    };
    let apart = a.node != b.node;
    let distance = || distances.get(a.node?)?.get(b.node?).copied();
    match narrowest_shared(a, b) {
        Some(Level::Cpu) => Tier::Cpu,
        Some(Level::Core) => Tier::Core,
        Some(Level::L2) => Tier::L2,
        Some(Level::L3) => Tier::L3,
        Some(Level::Die) => Tier::Die,
        Some(Level::Package) if !apart => Tier::Package,
        Some(Level::Node) => Tier::Node,
        Some(Level::Package) => distance().map_or(Tier::PackageRemote, Tier::Remote),
        None => distance().map_or(Tier::Unknown, Tier::Remote),
    }
}
