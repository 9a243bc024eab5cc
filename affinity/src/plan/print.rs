//! A plan for people: a header, a table with one sentence per worker, the warnings.

use std::fmt;

use super::{Plan, PlanWarning, Reason, WorkerPlan};

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (workers, groups) = (self.len(), self.groups);
        writeln!(
            f,
            "placement {}: {workers} workers, {groups} groups, bind {}",
            self.placement, self.bind
        )?;
        writeln!(
            f,
            "{:>6}  {:>5}  {:>4}  {:>5}  {:<12}  why",
            "worker", "cpu", "node", "group", "bound to"
        )?;
        for worker in self.workers() {
            writeln!(f, "{worker}")?;
        }
        self.warnings
            .iter()
            .try_for_each(|warning| writeln!(f, "warning: {warning}"))
    }
}

impl fmt::Display for WorkerPlan {
    /// One line of the table.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let dash = || "-".to_owned();
        let cpu = self.cpu().map_or_else(dash, |cpu| cpu.to_string());
        let node = self.node.map_or_else(dash, |node| node.to_string());
        let bound = self
            .binding()
            .map_or_else(dash, |binding| binding.cpus().to_string());
        let (index, group, reason) = (self.index, self.group, self.reason);
        write!(
            f,
            "{index:>6}  {cpu:>5}  {node:>4}  {group:>5}  {bound:<12}  {reason}"
        )
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Reason::LeftToSystem => f.write_str("The operating system chooses."),
            Reason::Named => f.write_str("Named in the list."),
            Reason::First => f.write_str("First in the order of the policy."),
            Reason::Near {
                level: Some(level),
                to,
            } => {
                write!(f, "Next to cpu {to}: same {level}.")
            }
            Reason::Near { level: None, to } => {
                write!(f, "Nearest one left after cpu {to}.")
            }
            Reason::Opens { level } => write!(f, "First worker in its {level}."),
            Reason::Sibling => f.write_str("Every core has a worker; shares one."),
            Reason::Shares { with } => {
                write!(f, "Every CPU has a worker; shares that of worker {with}.")
            }
        }
    }
}

impl fmt::Display for PlanWarning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PlanWarning::QuotaBelowCpus {
                quota,
                cpus,
                workers,
            } => write!(
                f,
                "the CPU quota of {quota} is below the {cpus} usable CPUs; \
                 of {workers} workers at most {} can run all the time",
                quota.cpus_ceil()
            ),
            PlanWarning::MoreWorkersThanCpus { workers, cpus } => {
                write!(f, "{workers} workers share {cpus} CPUs")
            }
            PlanWarning::AllowedButUnknown { cpus } => {
                write!(
                    f,
                    "cpus {cpus} are allowed but not known to be online; not used"
                )
            }
        }
    }
}
