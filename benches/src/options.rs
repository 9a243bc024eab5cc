//! What the command line may vary.

/// How much to measure, and on how many workers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Options {
    /// Smaller work and fewer rounds: a check that all runs, not a figure to quote.
    pub quick: bool,
    /// Rounds, if not the workload's own number.
    pub rounds: Option<usize>,
    /// Workers (or threads), if not the workload's own number.
    pub workers: Option<usize>,
}

impl Options {
    /// `full`, or `quick` in quick mode.
    pub fn pick<T>(&self, full: T, quick: T) -> T {
        if self.quick { quick } else { full }
    }

    /// The rounds asked for, or the workload's own number for the mode.
    pub fn rounds_or(&self, full: usize, quick: usize) -> usize {
        self.rounds.unwrap_or_else(|| self.pick(full, quick))
    }

    /// The workers asked for, or the workload's own number.
    pub fn workers_or(&self, default: usize) -> usize {
        self.workers.unwrap_or(default)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_asked_for_wins_over_the_mode() {
        let asked = Options {
            quick: true,
            rounds: Some(9),
            workers: None,
        };
        assert_eq!(asked.rounds_or(15, 3), 9);
        assert_eq!(asked.workers_or(2), 2);
        assert_eq!(asked.pick("full", "quick"), "quick");
        assert_eq!(Options::default().rounds_or(15, 3), 15);
    }
}
