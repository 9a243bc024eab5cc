//! The atomic steps of a model's threads, for who wants to count them or to stop a thread before one.
//!
//! The model's atomics are the checker's behind a call of [`before`]. A step is an access, or a fence,
//! whose ordering was named with `order!`; what a test does to atomics of its own is none. An
//! exchange has two names and is one step.

#![cfg(pinfold_loom)]

use core::cell::{Cell, RefCell};
use core::sync::atomic::Ordering;
use std::rc::Rc;

/// What a step does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// A load.
    Load,
    /// A store.
    Store,
    /// A read-modify-write, whether it changes anything or not.
    Update,
    /// A fence.
    Fence,
}

/// Who is called before each step, with the step's names.
pub type Watcher = Rc<dyn Fn(&[&'static str], Access)>;

// The checker runs the threads of a model by turns on one thread of the machine, and changes turns
// inside of an access: between a name and its access no other thread of the model runs.
thread_local! {
    static WATCHER: RefCell<Option<Watcher>> = const { RefCell::new(None) };
    static NAMED: Cell<Vec<&'static str>> = const { Cell::new(Vec::new()) };
}

/// While it lives, the models of this thread are watched.
#[derive(Debug)]
#[must_use = "dropped, it ends the watch"]
pub struct Watch(());

/// Has `watcher` called before each step. It may block the model's thread that takes the step.
pub fn watch(watcher: Watcher) -> Watch {
    WATCHER.set(Some(watcher));
    NAMED.take();
    Watch(())
}

impl Drop for Watch {
    fn drop(&mut self) {
        WATCHER.set(None);
    }
}

/// Notes a name for the step to come.
pub(super) fn name(site: &'static str) {
    if WATCHER.with_borrow(Option::is_some) {
        let mut named = NAMED.take();
        named.push(site);
        NAMED.set(named);
    }
}

/// Calls the watcher, if the access that comes has a name.
pub(super) fn before(access: Access) {
    let named = NAMED.take();
    if !named.is_empty() {
        let watcher = WATCHER.with_borrow(Clone::clone);
        if let Some(watcher) = watcher {
            watcher(&named, access);
        }
    }
}

/// An atomic of the checker that tells the watcher.
macro_rules! watched {
    ($name:ident, $word:ty, $($update:ident),*) => {
        #[doc = concat!("The checker's `", stringify!($name), "`, watched.")]
        #[derive(Debug, Default)]
        pub struct $name(loom::sync::atomic::$name);

        impl $name {
            /// An atomic that holds `value`.
            #[track_caller]
            pub fn new(value: $word) -> Self {
                $name(loom::sync::atomic::$name::new(value))
            }

            /// As of `core`.
            #[track_caller]
            pub fn load(&self, ordering: Ordering) -> $word {
                before(Access::Load);
                self.0.load(ordering)
            }

            /// As of `core`.
            #[track_caller]
            pub fn store(&self, value: $word, ordering: Ordering) {
                before(Access::Store);
                self.0.store(value, ordering);
            }

            /// As of `core`.
            ///
            /// # Errors
            ///
            /// The value that was there.
            #[track_caller]
            pub fn compare_exchange(
                &self,
                current: $word,
                new: $word,
                success: Ordering,
                failure: Ordering,
            ) -> Result<$word, $word> {
                before(Access::Update);
                self.0.compare_exchange(current, new, success, failure)
            }

            $(
                /// As of `core`.
                #[track_caller]
                pub fn $update(&self, value: $word, ordering: Ordering) -> $word {
                    before(Access::Update);
                    self.0.$update(value, ordering)
                }
            )*
        }
    };
}

watched!(AtomicBool, bool, swap, fetch_or, fetch_and);

/// An integer, which has more operations.
macro_rules! watched_integer {
    ($name:ident, $word:ty) => {
        watched!(
            $name, $word, swap, fetch_add, fetch_sub, fetch_or, fetch_and, fetch_max
        );

        impl $name {
            /// The value, of which nobody else knows. No step.
            #[track_caller]
            pub fn with_mut<R>(&mut self, f: impl FnOnce(&mut $word) -> R) -> R {
                self.0.with_mut(f)
            }
        }
    };
}

watched_integer!(AtomicU32, u32);
watched_integer!(AtomicU64, u64);
watched_integer!(AtomicUsize, usize);
