//! What came of it: where the victims were stopped, and what that cost the others.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use crate::claims::{Class, limit};
use crate::harness::Cost;

/// The most steps of an operation, and whose it was.
#[derive(Clone, Copy, Debug, Default)]
struct Most {
    steps: usize,
    operation: &'static str,
}

/// What was seen of one operation.
#[derive(Clone, Copy, Debug, Default)]
struct Row {
    /// Steps and read-modify-writes when nobody interfered.
    alone: [usize; 2],
    /// And in any execution.
    most: [usize; 2],
    stops: usize,
    /// The most that one operation of the others took.
    others: Most,
}

/// All that was seen.
#[derive(Debug, Default)]
pub struct Tally {
    rows: BTreeMap<&'static str, Row>,
    sites: BTreeSet<&'static str>,
}

impl Tally {
    /// Counts one way of stopping: before the step named `sites`, if the victim got there.
    pub fn count(&mut self, operation: &'static str, sites: &[&'static str], costs: &[Cost]) {
        self.sites.extend(sites);
        let row = self.rows.entry(operation).or_default();
        row.stops += usize::from(!sites.is_empty());
        for cost in costs {
            if cost.operation != operation && cost.steps > row.others.steps {
                row.others = Most {
                    steps: cost.steps,
                    operation: cost.operation,
                };
            }
        }
        for cost in costs {
            let row = self.rows.entry(cost.operation).or_default();
            let seen = [cost.steps, cost.updates];
            row.most = greater(row.most, seen);
            if cost.alone {
                row.alone = greater(row.alone, seen);
            }
        }
    }

    /// Adds what was seen elsewhere.
    pub fn merge(&mut self, other: Tally) {
        self.sites.extend(other.sites);
        for (operation, seen) in other.rows {
            let row = self.rows.entry(operation).or_default();
            row.alone = greater(row.alone, seen.alone);
            row.most = greater(row.most, seen.most);
            row.stops += seen.stops;
            if seen.others.steps > row.others.steps {
                row.others = seen.others;
            }
        }
    }

    /// The names of the steps before which somebody was stopped.
    pub fn sites(&self) -> &BTreeSet<&'static str> {
        &self.sites
    }

    /// The operations that were stopped.
    pub fn operations(&self) -> BTreeSet<&'static str> {
        let stopped = self.rows.iter().filter(|(_, row)| row.stops > 0);
        stopped.map(|(&operation, _)| operation).collect()
    }
}

fn greater(one: [usize; 2], other: [usize; 2]) -> [usize; 2] {
    [one[0].max(other[0]), one[1].max(other[1])]
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{:<26} {:<9}  alone: steps rmw  at most: steps rmw  stops  others' most steps  verdict",
            "stopped", "claimed"
        )?;
        for (operation, row) in self.rows.iter().filter(|(_, row)| row.stops > 0) {
            let claimed = match limit(operation).class {
                Class::WaitFree => "wait-free",
                Class::LockFree => "lock-free",
                Class::Unclaimed => "-",
            };
            let ([steps, updates], [most, most_updates]) = (row.alone, row.most);
            let Most {
                steps: others,
                operation: by,
            } = row.others;
            writeln!(
                f,
                "{operation:<26} {claimed:<9} {steps:>13} {updates:>3} {most:>15} {most_updates:>3} {:>6} \
                 {others:>4} {by:<17} all went on",
                row.stops
            )?;
        }
        Ok(())
    }
}
