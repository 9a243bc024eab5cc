//! The only place that chooses what an atomic is.
//!
//! Three backends, first match wins:
//!
//! 1. **loom**, where `cfg(pinfold_loom)` is set (by the build script of the model package): every
//!    access becomes a scheduling point of the model checker, and a step that a test may count;
//! 2. **portable-atomic**, on targets without 64-bit atomics. Its 64-bit operations take a lock
//!    there, so what this crate claims as lock-free is not on such a target, and an interrupt
//!    handler that spawns may wait for ever for what it has interrupted. On a single core, switch
//!    on portable-atomic's `unsafe-assume-single-core`: then they mask interrupts for some
//!    instructions instead (`examples/boards` does so on a Cortex-M4);
//! 3. **core**, everywhere else.
//!
//! # Orderings have names
//!
//! Every access names its site: `order!("deque.push.publish", Release)`. In normal builds that is the
//! constant. Under the model the name is looked up in a table that may weaken exactly one site (the
//! environment variable `PINFOLD_MUTANT`), so that one test binary shows for each site that a model
//! notices.
//!
//! Steps have names too: `if !broken!("deque.pop.undo") { … }`. In normal builds [`broken!`](crate::broken)
//! is `false` and nothing is left of it; under the model the same variable may name one step, which is
//! then left out, so that a model must notice that the step is needed.
//!
//! # Ghosts
//!
//! A model checker that runs loads in program order cannot see a load drift *below* a later store
//! (load buffering), which weak hardware does. [`Ghost`] makes such an edge visible: the reader
//! leaves a mark before it releases, the writer that reuses the memory asserts that the mark has
//! reached it. Weaken either side and the mark may not arrive. In normal builds a ghost is nothing.

cfg_if::cfg_if! {
    if #[cfg(pinfold_loom)] {
        pub use step::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize};
        pub use loom::cell::UnsafeCell;
        use loom::sync::atomic::fence as raw_fence;
    } else if #[cfg(not(target_has_atomic = "64"))] {
        pub use portable_atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize};
        use portable_atomic::fence as raw_fence;
        pub use plain::UnsafeCell;
    } else {
        pub use core::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize};
        use core::sync::atomic::fence as raw_fence;
        pub use plain::UnsafeCell;
    }
}

pub use core::sync::atomic::Ordering;

/// Whether this build runs on the model checker's atomics.
pub const MODEL: bool = cfg!(pinfold_loom);

/// The ordering of one named site.
///
/// `order!("module.operation.role", Release)` is `Ordering::Release` in normal builds. Under the
/// model the site may be weakened by the environment variable `PINFOLD_MUTANT`.
#[macro_export]
#[cfg(not(pinfold_loom))]
macro_rules! order {
    ($site:literal, $ordering:ident) => {
        $crate::sync::Ordering::$ordering
    };
}

/// The ordering of one named site, as the model run wants it.
#[macro_export]
#[cfg(pinfold_loom)]
macro_rules! order {
    ($site:literal, $ordering:ident) => {
        $crate::sync::mutant::ordering($site, $crate::sync::Ordering::$ordering)
    };
}

/// Whether a named step of an algorithm is left out, which a model then has to notice.
///
/// `broken!("module.operation.step")` is `false` in normal builds. Under the model, the environment
/// variable `PINFOLD_MUTANT` may name the step.
///
/// ```
/// const IS_LEFT_OUT: bool = pinfold_core::broken!("module.operation.step");
/// assert!(!IS_LEFT_OUT);
/// ```
#[macro_export]
#[cfg(not(pinfold_loom))]
macro_rules! broken {
    ($step:literal) => {
        false
    };
}

/// Whether a named step is left out in this model run.
#[macro_export]
#[cfg(pinfold_loom)]
macro_rules! broken {
    ($step:literal) => {
        $crate::sync::mutant::is_broken($step)
    };
}

/// Issues the fence of one named site; a mutant may weaken it, or (as `Relaxed`) remove it.
#[inline(always)]
pub fn fence(ordering: Ordering) {
    if ordering != Ordering::Relaxed {
        #[cfg(pinfold_loom)]
        step::before(step::Access::Fence);
        raw_fence(ordering);
    }
}

/// Makes a function `const` in normal builds and plain under the model, whose atomics have no
/// `const` constructor.
macro_rules! const_fn {
    ($(#[$meta:meta])* $vis:vis const fn $($rest:tt)*) => {
        #[cfg(not(pinfold_loom))]
        $(#[$meta])* $vis const fn $($rest)*
        #[cfg(pinfold_loom)]
        $(#[$meta])* $vis fn $($rest)*
    };
}
pub(crate) use const_fn;

/// An array built from an expression: `const` in normal builds, element by element in the model.
macro_rules! array {
    ($element:expr; $len:expr) => {{
        cfg_if::cfg_if! {
            if #[cfg(pinfold_loom)] {
                core::array::from_fn::<_, { $len }, _>(|_| $element)
            } else {
                [const { $element }; $len]
            }
        }
    }};
}
pub(crate) use array;

/// A number that no other call has returned, from 1. (On 32-bit targets it comes again after 2^32 calls.)
pub(crate) fn unique_id() -> usize {
    // Not part of any protocol, so the model does not see it either.
    #[cfg(pinfold_loom)]
    use core::sync::atomic::AtomicUsize;
    static LAST: AtomicUsize = AtomicUsize::new(0);
    // Relaxed: only its uniqueness matters.
    LAST.fetch_add(1, Ordering::Relaxed).wrapping_add(1).max(1)
}

/// A hint that the caller waits for another thread; does nothing under the model, where core's
/// operations must terminate without one.
#[inline(always)]
pub fn spin_hint() {
    #[cfg(not(pinfold_loom))]
    core::hint::spin_loop();
}

/// Pads and aligns a value to two cache lines, the span that adjacent-line prefetchers pull in.
#[derive(Debug, Default)]
#[repr(align(128))]
pub struct CachePadded<T>(T);

impl<T> CachePadded<T> {
    /// Pads `value`.
    pub const fn new(value: T) -> Self {
        CachePadded(value)
    }
}

impl<T> core::ops::Deref for CachePadded<T> {
    type Target = T;
    #[inline(always)]
    fn deref(&self) -> &T {
        &self.0
    }
}

/// The mark that a read left behind, checked before the memory is written again (see the
/// module's page). Zero-sized, and its methods empty, in normal builds.
#[derive(Debug)]
pub struct Ghost {
    #[cfg(pinfold_loom)]
    read_up_to: AtomicU64,
}

impl Ghost {
    const_fn! {
        /// No read has been marked.
        pub const fn new() -> Self {
            Ghost {
                #[cfg(pinfold_loom)]
                read_up_to: AtomicU64::new(0),
            }
        }
    }

    /// The reader has read what stood at `position`, and is about to say so with a release.
    #[inline(always)]
    pub fn mark_read(&self, position: u32) {
        let _ = position;
        #[cfg(pinfold_loom)]
        self.read_up_to
            .fetch_max(u64::from(position) + 1, Ordering::Relaxed);
    }

    /// The writer asserts that the read of `position` happened before this point.
    #[inline(always)]
    pub fn assert_read(&self, position: u32) {
        let _ = position;
        #[cfg(pinfold_loom)]
        assert!(
            self.read_up_to.load(Ordering::Relaxed) > u64::from(position),
            "ghost: memory is written again before the read of position {position} is ordered"
        );
    }
}

impl Default for Ghost {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(not(pinfold_loom))]
mod plain {
    /// `core::cell::UnsafeCell` behind the closure interface that the model needs.
    #[derive(Debug)]
    #[repr(transparent)]
    pub struct UnsafeCell<T: ?Sized>(core::cell::UnsafeCell<T>);

    impl<T> UnsafeCell<T> {
        /// Wraps `value`.
        pub const fn new(value: T) -> Self {
            UnsafeCell(core::cell::UnsafeCell::new(value))
        }

        /// Calls `f` with a pointer for reading.
        #[inline(always)]
        pub fn with<R>(&self, f: impl FnOnce(*const T) -> R) -> R {
            f(self.0.get())
        }

        /// Calls `f` with a pointer for writing.
        #[inline(always)]
        pub fn with_mut<R>(&self, f: impl FnOnce(*mut T) -> R) -> R {
            f(self.0.get())
        }
    }
}

#[cfg(pinfold_loom)]
pub mod step;

/// The table that weakens one site, or breaks one step, per model run.
#[cfg(pinfold_loom)]
pub mod mutant {
    use super::Ordering;
    use std::sync::OnceLock;

    /// The environment variable that names the mutant, as `site=Ordering` (`Relaxed` removes a
    /// fence) or as the bare name of a step that is left out.
    pub const VARIABLE: &str = "PINFOLD_MUTANT";

    fn active() -> Option<&'static (String, Option<Ordering>)> {
        static ACTIVE: OnceLock<Option<(String, Option<Ordering>)>> = OnceLock::new();
        ACTIVE
            .get_or_init(|| parse(&std::env::var(VARIABLE).ok()?))
            .as_ref()
    }

    fn parse(text: &str) -> Option<(String, Option<Ordering>)> {
        let Some((site, ordering)) = text.split_once('=') else {
            return Some((text.to_owned(), None));
        };
        let ordering = match ordering {
            "Relaxed" => Ordering::Relaxed,
            "Acquire" => Ordering::Acquire,
            "Release" => Ordering::Release,
            "AcqRel" => Ordering::AcqRel,
            other => panic!("{VARIABLE}: unknown ordering `{other}`"),
        };
        Some((site.to_owned(), Some(ordering)))
    }

    /// The ordering of `site` in this run.
    pub fn ordering(site: &'static str, declared: Ordering) -> Ordering {
        super::step::name(site);
        match active() {
            Some((name, Some(weaker))) if name == site => *weaker,
            _ => declared,
        }
    }

    /// Whether `step` is left out in this run.
    pub fn is_broken(step: &'static str) -> bool {
        matches!(active(), Some((name, None)) if name == step)
    }
}
