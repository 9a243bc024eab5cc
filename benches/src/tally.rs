//! Proof that each task ran once.

use std::sync::atomic::{AtomicU8, Ordering::Relaxed};
use std::thread;
use std::time::Duration;

use crate::fault::{Fault, expect_equal};

/// One byte per task, which the task marks.
///
/// A mark is a plain load and store of the task's own byte, so that the proof costs each contender
/// the same nanosecond and no read-modify-write. (Two runs of one task at the very same time could
/// pass for one; over hundreds of thousands of tasks that hides nothing.)
#[derive(Debug)]
pub struct Tally {
    marks: Vec<AtomicU8>,
}

impl Tally {
    /// A tally of `tasks` tasks that lives as long as the process, so that any pool's task may
    /// hold it without counting references.
    pub fn leaked(tasks: usize) -> &'static Tally {
        let marks = (0..tasks).map(|_| AtomicU8::new(0)).collect();
        Box::leak(Box::new(Tally { marks }))
    }

    /// How many tasks it counts.
    #[expect(
        clippy::len_without_is_empty,
        reason = "a tally of nothing is of no use"
    )]
    pub fn len(&self) -> usize {
        self.marks.len()
    }

    /// What task `index` does.
    #[inline]
    pub fn mark(&self, index: usize) {
        let mark = &self.marks[index];
        // Relaxed: each byte has one writer at a time; whoever checks joined the tasks before.
        mark.store(mark.load(Relaxed).wrapping_add(1), Relaxed);
    }

    /// Takes all marks off; no task may be running.
    pub fn reset(&self) {
        for mark in &self.marks {
            mark.store(0, Relaxed);
        }
    }

    /// Waits until every task has run once since the marks were taken off. Looks every 50 µs or
    /// so and sleeps in between, so that the waiting takes no time from workers.
    pub fn wait(&self) {
        for mark in &self.marks {
            while mark.load(Relaxed) == 0 {
                thread::sleep(Duration::from_micros(50));
            }
        }
    }

    /// Refuses unless each task ran `times` times.
    pub fn expect_each(&self, contender: &'static str, times: u8) -> Result<(), Fault> {
        let right = |mark: &&AtomicU8| mark.load(Relaxed) == times;
        let ran = self.marks.iter().filter(right).count();
        let tasks = self.marks.len();
        expect_equal(
            contender,
            "tasks run as often as asked",
            tasks as u64,
            ran as u64,
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_task_left_out_or_run_twice_is_caught() {
        let tally = Tally::leaked(3);
        tally.mark(0);
        tally.mark(1);
        let fault = tally.expect_each("lazy", 1).unwrap_err();
        assert_eq!(
            fault.to_string(),
            "lazy did not do the work: tasks run as often as asked is 2, expected 3"
        );
        tally.mark(2);
        tally.expect_each("keen", 1).unwrap();
        tally.mark(2);
        assert!(tally.expect_each("double", 1).is_err());
        tally.reset();
        tally.expect_each("reset", 0).unwrap();
    }
}
