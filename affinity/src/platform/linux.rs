//! Linux and Android: `sched_setaffinity` and `sched_getaffinity` on the calling thread.

use std::io;

use rustix::thread::{CpuSet as KernelSet, sched_getaffinity, sched_setaffinity};

use super::Fault;
use crate::cpuset::{CpuId, CpuSet};

/// Both binding calls hold a mask of fixed width (1024 bits); `core_affinity` aborts the process
/// beyond it, rustix panics.
const MASK_BITS: CpuId = KernelSet::MAX_CPU as CpuId;
const _: () = assert!(KernelSet::MAX_CPU <= CpuSet::MAX_ID as usize);

/// Binds the calling thread to one CPU, through `core_affinity`.
pub(crate) fn pin(cpu: CpuId) -> Result<(), Fault> {
    within_reach(cpu)?;
    if core_affinity::set_for_current(core_affinity::CoreId {
        id: usize::from(cpu),
    }) {
        return Ok(());
    }
    // The crate answers with a bool; its last act was the system call, so `errno` is still there.
    Err(Fault::Os(io::Error::last_os_error()))
}

/// Binds the calling thread to the CPUs of `mask`.
pub(crate) fn set_mask(mask: &CpuSet) -> Result<(), Fault> {
    let mut kernel = KernelSet::new();
    for cpu in mask.iter() {
        within_reach(cpu)?;
        kernel.set(usize::from(cpu));
    }
    sched_setaffinity(None, &kernel).map_err(|errno| Fault::Os(errno.into()))
}

/// The CPUs to which the calling thread is bound.
pub(crate) fn current_mask() -> Result<CpuSet, Fault> {
    match sched_getaffinity(None) {
        Ok(kernel) => Ok((0..MASK_BITS)
            .filter(|&cpu| kernel.is_set(usize::from(cpu)))
            .collect()),
        // EINVAL: the kernel's own mask is wider than ours. It also prints it, at any width.
        Err(rustix::io::Errno::INVAL) => printed_mask().map_err(Fault::Os),
        Err(errno) => Err(Fault::Os(errno.into())),
    }
}

/// `thread-self`, because `self` is the main thread's.
fn printed_mask() -> io::Result<CpuSet> {
    let status = std::fs::read_to_string("/proc/thread-self/status")?;
    crate::allowed::mask_in_status(&status)
        .and_then(|list| list.parse().ok())
        .ok_or_else(|| io::Error::from(io::ErrorKind::InvalidData))
}

fn within_reach(cpu: CpuId) -> Result<(), Fault> {
    if cpu < MASK_BITS {
        Ok(())
    } else {
        Err(Fault::OutOfReach {
            cpu,
            limit: MASK_BITS - 1,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_printed_mask_is_the_one_that_the_call_returns() {
        assert_eq!(printed_mask().unwrap(), current_mask().unwrap());
    }
}
