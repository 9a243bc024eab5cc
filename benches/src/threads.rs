//! What the threads of this process did, as Linux counts it.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, ErrorKind};
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use crate::fault::Fault;

const TASKS: &str = "/proc/self/task";

/// What threads did since they started.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Activity {
    /// How often they gave up the processor to wait: once for each time they were woken.
    pub waits: u64,
    /// Time on a processor, ns.
    pub cpu_ns: u64,
}

/// What each thread of this process but the calling one did so far, by thread id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Others(BTreeMap<String, Activity>);

impl Others {
    /// Reads the counters now.
    pub fn read() -> Result<Others, Fault> {
        let own = fs::read_link("/proc/thread-self").map_err(|e| fault("/proc/thread-self", e))?;
        let mut others = BTreeMap::new();
        for entry in fs::read_dir(TASKS).map_err(|e| fault(TASKS, e))? {
            let path = entry.map_err(|e| fault(TASKS, e))?.path();
            if path.file_name() == own.file_name() {
                continue;
            }
            if let Some(activity) = activity(&path)? {
                let id = path.file_name().unwrap_or_default().to_string_lossy();
                others.insert(id.into_owned(), activity);
            }
        }
        Ok(Others(others))
    }

    /// What these threads did since `before`; a thread that is new since counts in full.
    pub fn since(&self, before: &Others) -> Activity {
        let mut sum = Activity::default();
        for (id, now) in &self.0 {
            let then = before.0.get(id).copied().unwrap_or_default();
            sum.waits += now.waits - then.waits;
            sum.cpu_ns += now.cpu_ns - then.cpu_ns;
        }
        sum
    }
}

/// A thread's counters; `None` if it has ended meanwhile.
fn activity(task: &Path) -> Result<Option<Activity>, Fault> {
    let (status, times) = (task.join("status"), task.join("schedstat"));
    let texts = fs::read_to_string(&status).and_then(|s| Ok((s, fs::read_to_string(&times)?)));
    match texts {
        Ok((status, times)) => Ok(Some(Activity {
            waits: voluntary_switches(&status).unwrap_or_default(),
            cpu_ns: time_on_cpu(&times).unwrap_or_default(),
        })),
        // ESRCH: it ended between the opening of its file and the reading.
        Err(e) if e.kind() == ErrorKind::NotFound || e.raw_os_error() == Some(3) => Ok(None),
        Err(e) => Err(fault(&task.to_string_lossy(), e)),
    }
}

fn voluntary_switches(status: &str) -> Option<u64> {
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"))?;
    line.trim().parse().ok()
}

/// The first of schedstat's three numbers.
fn time_on_cpu(schedstat: &str) -> Option<u64> {
    schedstat.split_whitespace().next()?.parse().ok()
}

fn fault(path: &str, source: io::Error) -> Fault {
    Fault::Proc {
        path: path.to_owned(),
        source,
    }
}

/// Waits until at most `count` other threads are left, for 100 ms at most: some peers' pools do
/// not wait for their threads when dropped, and what they leave would disturb the next run.
pub fn settle(count: usize) {
    let start = Instant::now();
    while others().is_some_and(|others| others > count)
        && start.elapsed() < Duration::from_millis(100)
    {
        thread::sleep(Duration::from_micros(200));
    }
}

/// How many threads this process has besides the calling one; `None` where that cannot be read.
pub fn others() -> Option<usize> {
    Some(fs::read_dir(TASKS).ok()?.count().saturating_sub(1))
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    #[test]
    fn the_kernels_lines_are_read() {
        let status =
            "Name:\tversus\nvoluntary_ctxt_switches:\t42\nnonvoluntary_ctxt_switches:\t7\n";
        assert_eq!(voluntary_switches(status), Some(42));
        assert_eq!(time_on_cpu("411881 17 1\n"), Some(411_881));
    }

    #[test]
    fn only_what_happened_since_counts() {
        let activity = |waits, cpu_ns| Activity { waits, cpu_ns };
        let others = |list: &[(&str, Activity)]| {
            Others(list.iter().map(|&(id, a)| (id.to_owned(), a)).collect())
        };
        let before = others(&[("1", activity(10, 500)), ("2", activity(4, 100))]);
        let after = others(&[("2", activity(6, 150)), ("3", activity(1, 30))]);
        assert_eq!(after.since(&before), activity(3, 80));
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_woken_thread_is_seen() {
        let (wake, woken) = mpsc::channel::<()>();
        let (answer, answered) = mpsc::channel::<()>();
        let sleeper = thread::spawn(move || {
            while woken.recv().is_ok() {
                answer.send(()).unwrap();
            }
        });
        let before = Others::read().unwrap();
        for _ in 0..50 {
            thread::sleep(Duration::from_millis(1));
            wake.send(()).unwrap();
            answered.recv().unwrap();
        }
        let seen = Others::read().unwrap().since(&before);
        drop(wake);
        sleeper.join().unwrap();
        assert!(seen.waits >= 40, "{seen:?}");
        assert!(seen.cpu_ns > 0, "{seen:?}");
    }
}
