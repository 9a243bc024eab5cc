//! Open files: each worker that watches a command holds a few.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// At its peak, while a command starts: the pipe's ends and their copies, `/dev/null`, what the
/// standard library opens to learn whether the start succeeded, and a file for long output.
const PER_WORKER: u64 = 8;

/// For everything else: standard streams, trace, signals, what the engine opens.
const BESIDES: u64 = 64;

/// More workers than the limit on open files lets run commands at once.
#[derive(Debug, thiserror::Error)]
#[error(
    "{workers} workers may need {needed} open files and the limit is {limit}; lower --workers or raise `ulimit -Hn`"
)]
pub struct TooFew {
    workers: usize,
    needed: u64,
    limit: u64,
}

/// Makes sure that `workers` commands can run at once, if need be by raising the soft limit on open
/// files (which commands inherit) towards the hard one.
pub fn reserve(workers: usize) -> Result<(), TooFew> {
    let needed = workers as u64 * PER_WORKER + BESIDES;
    let limits = getrlimit(Resource::Nofile);
    if limits.current.is_none_or(|limit| limit >= needed) {
        return Ok(());
    }
    let raised = Rlimit {
        current: Some(needed),
        maximum: limits.maximum,
    };
    // `None` is no limit. Beyond the hard limit this fails.
    setrlimit(Resource::Nofile, raised).map_err(|_| TooFew {
        workers,
        needed,
        limit: limits.maximum.unwrap_or(u64::MAX),
    })
}
