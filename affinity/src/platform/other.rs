//! Systems without a mask call that can be read back. Windows' and macOS' own calls are still to
//! come; until then they say so.

use super::Fault;
use crate::cpuset::{CpuId, CpuSet};

/// Never binds: what cannot be read back is not claimed.
pub(crate) fn pin(_cpu: CpuId) -> Result<(), Fault> {
    Err(Fault::Unsupported)
}

/// Never binds.
pub(crate) fn set_mask(_mask: &CpuSet) -> Result<(), Fault> {
    Err(Fault::Unsupported)
}

/// Never known.
pub(crate) fn current_mask() -> Result<CpuSet, Fault> {
    Err(Fault::Unsupported)
}
