//! The calls into the operating system: one file per system, the same function names in each.

use std::io;

use crate::cpuset::CpuId;

#[cfg(any(target_os = "linux", target_os = "android"))]
mod linux;
#[cfg(any(target_os = "linux", target_os = "android"))]
pub(crate) use linux::{current_mask, pin, set_mask};

#[cfg(not(any(target_os = "linux", target_os = "android")))]
mod other;
#[cfg(not(any(target_os = "linux", target_os = "android")))]
pub(crate) use other::{current_mask, pin, set_mask};

/// Why a call did not do its work.
#[derive(Debug)]
#[allow(dead_code, reason = "each system meets only some of them")]
pub(crate) enum Fault {
    /// This system has no such call.
    Unsupported,
    /// The call cannot express this id.
    OutOfReach { cpu: CpuId, limit: CpuId },
    /// The system refused; the code is its `errno`.
    Os(io::Error),
}
