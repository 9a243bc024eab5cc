//! Divides the online CPUs by the sets that they claim.

use std::collections::BTreeMap;

use crate::cpuset::{CpuId, CpuSet};
use crate::note::{Level, Note, Notes};

/// The members of one level. Invariant: they are disjoint, and `of` names the one of each CPU.
#[derive(Debug)]
pub(super) struct Partition {
    level: Level,
    pub(super) sets: Vec<CpuSet>,
    pub(super) of: BTreeMap<CpuId, usize>,
    taken: CpuSet,
    unknown: CpuSet,
}

impl Partition {
    pub(super) fn new(level: Level) -> Self {
        Partition {
            level,
            sets: Vec::new(),
            of: BTreeMap::new(),
            taken: CpuSet::new(),
            unknown: CpuSet::new(),
        }
    }

    /// Takes `cpu`'s own word for whom it shares with. Call in ascending order of CPUs; `claimed`
    /// holds online CPUs only.
    pub(super) fn claim(&mut self, cpu: CpuId, claimed: Option<CpuSet>, notes: &mut Notes) {
        let member = self.of.get(&cpu).map(|&index| self.sets[index].clone());
        let Some(claimed) = claimed else {
            if member.is_none() {
                self.unknown.insert(cpu);
            }
            return;
        };
        let kept = match &member {
            Some(set) => set.clone(),
            None if claimed.contains(cpu) => claimed.difference(&self.taken),
            None => CpuSet::new(),
        };
        let is_new = member.is_none();
        if is_new && kept.is_empty() {
            self.unknown.insert(cpu);
        } else if is_new {
            self.add(kept.clone());
        }
        if kept != claimed {
            let level = self.level;
            notes.push(Note::Contradiction {
                level,
                cpu,
                claimed,
                kept,
            });
        }
    }

    /// Groups the CPUs without a believable claim by `key`; those without a key stay unknown.
    pub(super) fn group_unknown<K: Ord>(&mut self, key: impl Fn(CpuId) -> Option<K>) {
        let mut by_key: BTreeMap<K, CpuSet> = BTreeMap::new();
        for cpu in std::mem::take(&mut self.unknown).iter() {
            match key(cpu) {
                _ if self.of.contains_key(&cpu) => {}
                Some(key) => {
                    by_key.entry(key).or_default().insert(cpu);
                }
                None => {
                    self.unknown.insert(cpu);
                }
            }
        }
        by_key.into_values().for_each(|set| self.add(set));
    }

    /// One note for all CPUs that no claim and no key has placed.
    pub(super) fn report_unknown(&self, notes: &mut Notes) {
        // A CPU without a claim of its own may have been claimed by a later one.
        let cpus = self.unknown.difference(&self.taken);
        if !cpus.is_empty() {
            notes.push(Note::NoInformation {
                level: self.level,
                cpus,
            });
        }
    }

    /// Ends the division: members ascending by lowest CPU.
    pub(super) fn finish(mut self) -> Self {
        self.sets.sort_by_key(CpuSet::first);
        for (index, set) in self.sets.iter().enumerate() {
            self.of.extend(set.iter().map(|cpu| (cpu, index)));
        }
        self
    }

    fn add(&mut self, set: CpuSet) {
        self.of.extend(set.iter().map(|cpu| (cpu, self.sets.len())));
        self.taken = self.taken.union(&set);
        self.sets.push(set);
    }
}
