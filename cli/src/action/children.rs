//! The child processes that live now, so that none outlives this process.
//!
//! Each child leads a process group of its own: a time-out kills the whole group, and a Ctrl-C at the
//! terminal reaches `pinfold` alone. [`Children::kill_on_signals`] therefore passes an interruption on.
//! From then until the process ends it holds the list's lock, which every start and every end of a child
//! needs: none starts any more, and none that it killed is reported as a failed task, or tried again.
//! What leaves its group on purpose (`setsid`) or survives a `kill -9` of `pinfold` is out of reach.

use std::io;
use std::process::{Child, Command};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;

use rustix::process::{Pid, Signal, kill_process_group};
use signal_hook::consts::{SIGHUP, SIGINT, SIGQUIT, SIGTERM};
use signal_hook::iterator::Signals;
use signal_hook::low_level::emulate_default_handler;

/// The process groups of the children that were started and not yet ended.
#[derive(Debug, Default)]
pub struct Children {
    groups: Mutex<Vec<Pid>>,
}

/// A child that leads its process group. It must be ended through [`Children::end`].
#[derive(Debug)]
pub struct Leader {
    /// The process.
    pub child: Child,
    /// Its process id, which is its group's id as well.
    pub pid: Pid,
}

impl Children {
    /// Starts `command`, which must ask for a process group of its own.
    ///
    /// The lock is held while the process starts, so that a signal finds it either not started or
    /// listed.
    pub fn start(&self, command: &mut Command) -> io::Result<Leader> {
        let mut groups = self.lock();
        let child = command.spawn()?;
        let pid = Pid::from_child(&child);
        groups.push(pid);
        Ok(Leader { child, pid })
    }

    /// Kills whatever is left of the leader's group, waits for the leader and strikes it off the list.
    pub fn end(&self, mut leader: Leader) -> io::Result<std::process::ExitStatus> {
        kill_group(leader.pid);
        self.lock().retain(|&pid| pid != leader.pid);
        // Only now is the id given back to the system: nobody can kill a stranger that inherits it.
        leader.child.wait()
    }

    /// From now on SIGINT, SIGQUIT, SIGTERM and SIGHUP kill all groups, and then this process as they
    /// always do. One that we were started to ignore (`nohup`) stays ignored.
    pub fn kill_on_signals(self: &Arc<Self>) -> io::Result<()> {
        let ignored = ignored_signals();
        let deadly = [SIGINT, SIGQUIT, SIGTERM, SIGHUP].into_iter();
        let mut signals = Signals::new(deadly.filter(|s| ignored >> (s - 1) & 1 == 0))?;
        let children = Arc::clone(self);
        let wait = move || {
            for signal in signals.forever() {
                let groups = children.lock();
                groups.iter().copied().for_each(kill_group);
                // Ends the process. Should that fail, the next signal tries again.
                let _ = emulate_default_handler(signal);
            }
        };
        thread::Builder::new()
            .name("pinfold-signals".to_owned())
            .spawn(wait)
            .map(drop)
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Pid>> {
        // No holder leaves the list half changed, so a poisoned one is good.
        self.groups.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The group's leader has not been waited for, so the id is still its own; a group that is gone is what
/// the caller wants.
fn kill_group(pid: Pid) {
    let _ = kill_process_group(pid, Signal::KILL);
}

/// Bit n is signal n + 1, from `SigIgn` of `/proc/self/status`; without that file, none.
fn ignored_signals() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok())
        .unwrap_or_default()
}
