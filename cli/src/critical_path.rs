//! The critical path: the chain of tasks whose measured durations add up to most. No number of workers
//! makes a run shorter than that.

use std::time::Duration;

use crate::record::RunRecord;
use crate::workflow::Workflow;

/// The longest chain of a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CriticalPath {
    /// Indices of its tasks, parents first; tasks that never ran are left out.
    pub tasks: Vec<usize>,
    /// The sum of their durations.
    pub length: Duration,
}

/// Finds the longest chain in O(tasks + edges). Of equal chains it takes the one whose tasks come first
/// in the file.
pub fn critical_path(workflow: &Workflow, record: &RunRecord) -> CriticalPath {
    let tasks = workflow.tasks();
    let mut longest = vec![Duration::ZERO; tasks.len()];
    let mut parent = vec![None; tasks.len()];
    for &task in workflow.order() {
        for &candidate in &tasks[task].after {
            if parent[task].is_none_or(|best: usize| longest[candidate] > longest[best]) {
                parent[task] = Some(candidate);
            }
        }
        let own = record.tasks[task].span.map(|span| span.duration());
        longest[task] =
            own.unwrap_or_default() + parent[task].map_or(Duration::ZERO, |p| longest[p]);
    }
    let mut last = 0;
    for task in 1..tasks.len() {
        if longest[task] > longest[last] {
            last = task;
        }
    }
    let chain = std::iter::successors(Some(last), |&task| parent[task]);
    let mut on_path: Vec<usize> = chain.filter(|&t| record.tasks[t].span.is_some()).collect();
    on_path.reverse();
    CriticalPath {
        tasks: on_path,
        length: longest[last],
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::samples;

    #[test]
    fn the_heaviest_chain_wins_over_the_longest_task() {
        let path = critical_path(&samples::workflow(), &samples::record());
        // fetch 10 + build 30 + test 30 = 70, against fetch 10 + lint 50 = 60.
        assert_eq!(path.tasks, [1, 2, 4]);
        assert_eq!(path.length, Duration::from_millis(70));
    }

    #[test]
    fn a_run_in_which_nothing_ran_has_an_empty_path() {
        let mut record = samples::record();
        record.tasks.iter_mut().for_each(|task| task.span = None);
        let path = critical_path(&samples::workflow(), &record);
        assert_eq!((path.tasks, path.length), (vec![], Duration::ZERO));
    }
}
