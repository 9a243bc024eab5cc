//! Binds the calling thread, and reads the binding back.
//!
//! Binding is per thread and is inherited by threads spawned afterwards: bind workers from within,
//! and never the thread that spawns them.

use std::io;

use thiserror::Error;

use crate::cpuset::{CpuId, CpuSet};
use crate::platform::{self, Fault};

/// The CPUs to which one worker is to be bound; never empty.
///
/// ```
/// use pinfold_affinity::{Binding, CpuSet};
///
/// let binding = Binding::new(CpuSet::from_iter(0..4)).unwrap();
/// assert_eq!(binding.cpus().to_string(), "0-3");
/// assert_eq!(Binding::new(CpuSet::new()), None);
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Binding {
    cpus: CpuSet,
}

impl Binding {
    /// A binding to any of `cpus`; `None` if there are none.
    pub fn new(cpus: CpuSet) -> Option<Binding> {
        (!cpus.is_empty()).then_some(Binding { cpus })
    }

    /// A binding to one CPU.
    ///
    /// ```
    /// assert_eq!(pinfold_affinity::Binding::to_cpu(3).cpus().len(), 1);
    /// ```
    pub fn to_cpu(cpu: CpuId) -> Binding {
        Binding {
            cpus: CpuSet::single(cpu),
        }
    }

    /// The CPUs.
    pub fn cpus(&self) -> &CpuSet {
        &self.cpus
    }
}

/// A binding that was made and read back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bound {
    cpus: CpuSet,
}

impl Bound {
    /// The CPUs to which the system says the thread is bound.
    pub fn cpus(&self) -> &CpuSet {
        &self.cpus
    }
}

/// What was being done when a binding failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Operation {
    /// Binding to one CPU.
    PinCpu,
    /// Binding to a set of CPUs.
    SetMask,
    /// Asking where the thread is bound.
    ReadBack,
}

impl std::fmt::Display for Operation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Operation::PinCpu => "binding to one CPU",
            Operation::SetMask => "binding to a set of CPUs",
            Operation::ReadBack => "reading the binding back",
        })
    }
}

/// A binding that could not be made, or not be confirmed. The message ends with the remedy.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum BindError {
    /// This system offers no such call.
    #[error("{operation} is not supported on this system; use bind=none")]
    Unsupported {
        /// What was tried.
        operation: Operation,
    },
    /// The call cannot express this CPU.
    #[error(
        "{operation}: cpu {cpu} is above {limit}, the last one the call can name; choose CPUs up to {limit}"
    )]
    OutOfReach {
        /// What was tried.
        operation: Operation,
        /// The CPU.
        cpu: CpuId,
        /// The largest CPU that the call can name.
        limit: CpuId,
    },
    /// The system refused.
    #[error("{operation} (cpus {cpus}): {source}; {}", remedy(source))]
    Refused {
        /// What was tried.
        operation: Operation,
        /// The CPUs concerned; empty when reading back.
        cpus: CpuSet,
        /// The system's answer; [`io::Error::raw_os_error`] is its `errno`.
        source: io::Error,
    },
    /// The call succeeded, yet the thread is bound elsewhere; it stays at `found`.
    #[error(
        "asked for cpus {wanted}, the system bound cpus {found}; \
         a CPU went offline or the cpuset changed: read Allowed and plan again"
    )]
    Differs {
        /// What was asked for.
        wanted: CpuSet,
        /// What the system says.
        found: CpuSet,
    },
}

fn remedy(source: &io::Error) -> &'static str {
    match source.kind() {
        io::ErrorKind::InvalidInput => {
            "none of them is online and in this process's cpuset: read Allowed and plan again"
        }
        io::ErrorKind::PermissionDenied => {
            "a sandbox forbids the call: permit sched_setaffinity or use bind=none"
        }
        _ => "use bind=none to go without",
    }
}

/// Binds the calling thread, then asks the system where it is bound and compares.
///
/// One CPU goes through `core_affinity`, several through `sched_setaffinity`. Two system calls.
///
/// # Errors
/// [`BindError`]; after [`BindError::Differs`] the thread is bound to `found`, after every other
/// error its binding is what it was, unless reading back itself was refused.
///
/// ```
/// use pinfold_affinity::{bind_current, current_binding, BindError, Binding};
///
/// // In a thread of its own, so that the caller stays as it is.
/// std::thread::spawn(|| {
///     let free = match current_binding() {
///         Ok(free) => free,
///         Err(BindError::Unsupported { .. }) => return,
///         Err(error) => panic!("{error}"),
///     };
///     let cpu = free.first().unwrap();
///     let bound = bind_current(&Binding::to_cpu(cpu)).unwrap();
///     assert_eq!(bound.cpus(), &current_binding().unwrap());
///     assert_eq!(bound.cpus().len(), 1);
/// })
/// .join()
/// .unwrap();
/// ```
pub fn bind_current(binding: &Binding) -> Result<Bound, BindError> {
    let wanted = binding.cpus();
    let (operation, done) = match wanted.first() {
        Some(cpu) if wanted.len() == 1 => (Operation::PinCpu, platform::pin(cpu)),
        _ => (Operation::SetMask, platform::set_mask(wanted)),
    };
    done.map_err(|fault| error(fault, operation, wanted))?;
    let found = current_binding()?;
    if found != *wanted {
        return Err(BindError::Differs {
            wanted: wanted.clone(),
            found,
        });
    }
    Ok(Bound { cpus: found })
}

/// The CPUs to which the calling thread is bound.
///
/// # Errors
/// [`BindError::Unsupported`] where the system does not tell; [`BindError::Refused`] where it
/// will not.
///
/// ```
/// use pinfold_affinity::{current_binding, BindError};
///
/// match current_binding() {
///     Ok(cpus) => assert!(!cpus.is_empty()),
///     Err(error) => assert!(matches!(error, BindError::Unsupported { .. })),
/// }
/// ```
pub fn current_binding() -> Result<CpuSet, BindError> {
    platform::current_mask().map_err(|fault| error(fault, Operation::ReadBack, &CpuSet::new()))
}

fn error(fault: Fault, operation: Operation, cpus: &CpuSet) -> BindError {
    match fault {
        Fault::Unsupported => BindError::Unsupported { operation },
        Fault::OutOfReach { cpu, limit } => BindError::OutOfReach {
            operation,
            cpu,
            limit,
        },
        Fault::Os(source) => BindError::Refused {
            operation,
            cpus: cpus.clone(),
            source,
        },
    }
}
