//! What a workload prints: tables, remarks, and its ratio lines, the workload's own last.

use std::fmt;

use crate::contest::Outcome;
use crate::table::Table;

/// Fewer busy processors than this are the machine's ordinary background.
const NOTICEABLE: f64 = 0.1;

/// One ratio line: `ratio LABEL pinfold/AGAINST VALUE`.
#[derive(Debug, Clone, PartialEq)]
pub struct Ratio {
    label: String,
    against: &'static str,
    value: Option<f64>,
}

/// All that one workload found.
#[derive(Debug, Clone, PartialEq)]
pub struct Report {
    workload: &'static str,
    tables: Vec<Table>,
    remarks: Vec<&'static str>,
    /// How many processors other processes kept busy meanwhile.
    others: Option<f64>,
    ratios: Vec<Ratio>,
}

impl Report {
    /// An empty report of a workload.
    pub fn new(workload: &'static str) -> Report {
        Report {
            workload,
            tables: Vec::new(),
            remarks: Vec::new(),
            others: None,
            ratios: Vec::new(),
        }
    }

    /// Adds an outcome's tables.
    pub fn show(&mut self, outcome: &Outcome) -> &mut Report {
        self.tables.extend(outcome.tables());
        self
    }

    /// Adds a remark, printed below the tables.
    pub fn remark(&mut self, remark: &'static str) -> &mut Report {
        self.remarks.push(remark);
        self
    }

    /// Notes how many processors other processes kept busy meanwhile, on average.
    pub fn beside(&mut self, others: Option<f64>) -> &mut Report {
        self.others = others;
        self
    }

    /// Adds a ratio to the best peer. `suffix` (such as `@2`) tells it from the workload's own,
    /// which has none and is added last.
    pub fn ratio(&mut self, suffix: &str, value: Option<f64>) -> &mut Report {
        self.ratio_against(suffix, "best-peer", value)
    }

    /// Adds a ratio to `against`.
    pub fn ratio_against(
        &mut self,
        suffix: &str,
        against: &'static str,
        value: Option<f64>,
    ) -> &mut Report {
        self.ratios.push(Ratio {
            label: format!("{}{suffix}", self.workload),
            against,
            value,
        });
        self
    }

    /// Whether Pinfold took part in all that has a ratio.
    pub fn is_complete(&self) -> bool {
        self.ratios.iter().all(|ratio| ratio.value.is_some())
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for table in &self.tables {
            writeln!(f, "{table}")?;
        }
        for remark in &self.remarks {
            writeln!(f, "note: {remark}")?;
        }
        if let Some(others) = self.others.filter(|&others| others >= NOTICEABLE) {
            writeln!(
                f,
                "note: other processes kept {others:.1} processors busy meanwhile"
            )?;
        }
        if !self.is_complete() {
            writeln!(f, "pinfold: absent")?;
        }
        for ratio in &self.ratios {
            ratio.fmt(f)?;
        }
        Ok(())
    }
}

impl fmt::Display for Ratio {
    /// The line with its end; nothing at all without a value.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(value) = self.value else {
            return Ok(());
        };
        writeln!(
            f,
            "ratio {} pinfold/{} {value:.2}",
            self.label, self.against
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_workloads_own_ratio_is_the_last_line() {
        let mut report = Report::new("graph-chain");
        report
            .remark("a remark")
            .ratio("@2", Some(0.456))
            .ratio_against("", "rayon", Some(0.1))
            .ratio("", Some(2.0));
        assert!(report.is_complete());
        assert_eq!(
            report.to_string(),
            "note: a remark\n\
             ratio graph-chain@2 pinfold/best-peer 0.46\n\
             ratio graph-chain pinfold/rayon 0.10\n\
             ratio graph-chain pinfold/best-peer 2.00\n"
        );
    }

    #[test]
    fn a_busy_machine_is_named() {
        let mut report = Report::new("deque");
        report.beside(Some(0.04)).ratio("", Some(0.5));
        assert_eq!(report.to_string(), "ratio deque pinfold/best-peer 0.50\n");
        report.beside(Some(0.96));
        assert_eq!(
            report.to_string(),
            "note: other processes kept 1.0 processors busy meanwhile\n\
             ratio deque pinfold/best-peer 0.50\n"
        );
    }

    #[test]
    fn without_pinfold_it_says_so_and_invents_no_ratio() {
        let mut report = Report::new("deque");
        report.ratio("@burst", None).ratio("", None);
        assert!(!report.is_complete());
        assert_eq!(report.to_string(), "pinfold: absent\n");
    }
}
