//! Why a measurement has no figure.

use std::fmt::Display;

/// A run that could not be measured.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Fault {
    /// The contender did not do the work it was timed for.
    #[error("{contender} did not do the work: {what} is {found}, expected {expected}")]
    WrongResult {
        /// Who.
        contender: &'static str,
        /// Which reading of the result is wrong.
        what: &'static str,
        /// What the work should have left.
        expected: u64,
        /// What it left.
        found: u64,
    },
    /// The contender's pool could not be built.
    #[error("{contender} could not start: {reason}")]
    Start {
        /// Who.
        contender: &'static str,
        /// What the contender's own error says.
        reason: String,
    },
    /// The operating system would not tell what this process's threads did.
    #[error("cannot read {path}: {source}")]
    Proc {
        /// The file under `/proc`.
        path: String,
        /// The system's error.
        source: std::io::Error,
    },
}

impl Fault {
    /// A contender that could not start, with its own error's words.
    pub fn start(contender: &'static str, reason: impl Display) -> Fault {
        Fault::Start {
            contender,
            reason: reason.to_string(),
        }
    }
}

/// Refuses a result that differs from what the work should have left.
pub fn expect_equal(
    contender: &'static str,
    what: &'static str,
    expected: u64,
    found: u64,
) -> Result<(), Fault> {
    if expected == found {
        return Ok(());
    }
    Err(Fault::WrongResult {
        contender,
        what,
        expected,
        found,
    })
}
