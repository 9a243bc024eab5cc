//! A contest: contenders that do the same work, and what they read.

use crate::fault::Fault;
use crate::options::Options;
use crate::rounds::{Contender, Role, interleave};
use crate::stats::{self, Summary};
use crate::table::{Row, Table};

/// Something that every run of a contest reads; less is better.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Metric {
    /// As printed.
    pub name: &'static str,
    /// As printed.
    pub unit: &'static str,
}

/// The same work for every contender.
#[derive(Debug)]
pub struct Contest {
    /// As printed above its tables.
    pub title: String,
    /// What each run reads, in the order of its measurement.
    pub metrics: &'static [Metric],
    /// Who takes part.
    pub contenders: Vec<Contender>,
}

impl Contest {
    /// Runs the rounds.
    pub fn run(mut self, rounds: usize) -> Result<Outcome, Fault> {
        let measured = interleave(&mut self.contenders, rounds)?;
        let standings = self.contenders.iter().zip(measured);
        Ok(Outcome {
            title: self.title,
            metrics: self.metrics,
            standings: standings
                .map(|(contender, measured)| Standing {
                    name: contender.name,
                    role: contender.role,
                    rounds: measured.into_iter().map(|round| round.0).collect(),
                })
                .collect(),
        })
    }

    /// Runs as many rounds as asked for, or the default of the mode.
    pub fn run_for(self, options: &Options, full: usize, quick: usize) -> Result<Outcome, Fault> {
        self.run(options.rounds_or(full, quick))
    }
}

/// What a contest's contenders read in all rounds.
#[derive(Debug, Clone)]
pub struct Outcome {
    title: String,
    metrics: &'static [Metric],
    standings: Vec<Standing>,
}

#[derive(Debug, Clone)]
struct Standing {
    name: &'static str,
    role: Role,
    /// Per round, per metric.
    rounds: Vec<Vec<f64>>,
}

impl Standing {
    fn summary(&self, metric: usize) -> Option<Summary> {
        let samples: Vec<f64> = self.rounds.iter().map(|round| round[metric]).collect();
        Summary::of(&samples)
    }

    fn median(&self, metric: usize) -> Option<f64> {
        Some(self.summary(metric)?.median)
    }
}

impl Outcome {
    /// The same outcome with each reading reduced by what `baseline` read in the same round, and
    /// without `baseline`.
    pub fn above(&self, baseline: &str, title: impl Into<String>) -> Option<Outcome> {
        let floor = self.standing(baseline)?;
        let others = self.standings.iter().filter(|s| s.name != baseline);
        Some(Outcome {
            title: title.into(),
            metrics: self.metrics,
            standings: others.map(|s| s.minus(floor)).collect(),
        })
    }

    /// One table per metric.
    pub fn tables(&self) -> impl Iterator<Item = Table> {
        (0..self.metrics.len()).map(|metric| self.table(metric))
    }

    fn table(&self, metric: usize) -> Table {
        let Metric { name, unit } = self.metrics[metric];
        let best = self.best_peer(metric);
        let rows = self.standings.iter().filter_map(|standing| {
            let summary = standing.summary(metric)?;
            Some(Row {
                name: standing.name.to_owned(),
                summary,
                ratio: best.map(|best| stats::ratio(summary.median, best, 0.0)),
            })
        });
        Table {
            title: format!("{}: {name}", self.title),
            unit,
            rows: rows.collect(),
        }
    }

    /// Pinfold's median over the best peer's, both at least `floor`; `None` without Pinfold.
    pub fn ratio_to_best(&self, metric: usize, floor: f64) -> Option<f64> {
        let ours = self.ours()?.median(metric)?;
        Some(stats::ratio(ours, self.best_peer(metric)?, floor))
    }

    /// Pinfold's median over that of the contender named `other`, both at least `floor`.
    pub fn ratio_to(&self, other: &str, metric: usize, floor: f64) -> Option<f64> {
        let ours = self.ours()?.median(metric)?;
        let theirs = self.standing(other)?.median(metric)?;
        Some(stats::ratio(ours, theirs, floor))
    }

    /// Of several Pinfold contenders the first stands for it, however fast the others are.
    fn ours(&self) -> Option<&Standing> {
        self.standings.iter().find(|s| s.role == Role::Ours)
    }

    fn best_peer(&self, metric: usize) -> Option<f64> {
        let peers = self.standings.iter().filter(|s| s.role == Role::Peer);
        peers
            .filter_map(|peer| peer.median(metric))
            .min_by(f64::total_cmp)
    }

    fn standing(&self, name: &str) -> Option<&Standing> {
        self.standings.iter().find(|s| s.name == name)
    }
}

impl Standing {
    fn minus(&self, floor: &Standing) -> Standing {
        let paired = self.rounds.iter().zip(&floor.rounds);
        Standing {
            rounds: paired
                .map(|(own, floor)| own.iter().zip(floor).map(|(o, f)| o - f).collect())
                .collect(),
            ..self.clone()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rounds::Measurement;

    const METRICS: &[Metric] = &[
        Metric {
            name: "first",
            unit: "ns",
        },
        Metric {
            name: "second",
            unit: "us",
        },
    ];

    fn fixed(name: &'static str, role: Role, first: f64, second: f64) -> Contender {
        Contender::new(name, role, move || Ok(Measurement(vec![first, second])))
    }

    fn outcome(with_pinfold: bool) -> Outcome {
        let mut contenders = vec![
            fixed("floor", Role::Baseline, 1.0, 1.0),
            fixed("slow", Role::Peer, 8.0, 3.0),
            fixed("fast", Role::Peer, 4.0, 6.0),
        ];
        if with_pinfold {
            contenders.push(fixed("pinfold", Role::Ours, 2.0, 6.0));
        }
        let contest = Contest {
            title: "test".to_owned(),
            metrics: METRICS,
            contenders,
        };
        contest.run(3).unwrap()
    }

    #[test]
    fn the_best_peer_is_chosen_per_metric_and_is_never_a_baseline() {
        let outcome = outcome(true);
        assert_eq!(outcome.ratio_to_best(0, 0.0), Some(0.5));
        assert_eq!(outcome.ratio_to_best(1, 0.0), Some(2.0));
        assert_eq!(outcome.ratio_to("floor", 0, 0.0), Some(2.0));
        assert_eq!(outcome.ratio_to("slow", 0, 0.0), Some(0.25));
    }

    #[test]
    fn without_pinfold_there_is_no_ratio() {
        let outcome = outcome(false);
        assert_eq!(outcome.ratio_to_best(0, 0.0), None);
        assert_eq!(outcome.ratio_to("fast", 0, 0.0), None);
    }

    #[test]
    fn readings_above_a_baseline_lose_it() {
        let above = outcome(true).above("floor", "overhead").unwrap();
        let table = above.tables().next().unwrap();
        let medians: Vec<f64> = table.rows.iter().map(|row| row.summary.median).collect();
        assert_eq!(medians, [7.0, 3.0, 1.0]);
        assert_eq!(above.ratio_to_best(0, 0.0), Some(1.0 / 3.0));
    }

    #[test]
    fn each_metric_has_its_table() {
        let tables: Vec<Table> = outcome(true).tables().collect();
        assert_eq!(tables[1].title, "test: second");
        assert_eq!(tables[1].unit, "us");
        let ratios: Vec<_> = tables[1].rows.iter().map(|row| row.ratio).collect();
        assert_eq!(ratios, [Some(1.0 / 3.0), Some(1.0), Some(2.0), Some(2.0)]);
    }
}
