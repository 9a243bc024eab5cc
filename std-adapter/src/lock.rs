//! Locks without poison.
//!
//! What this crate's locks guard is whole whenever one is let go, also by a panic (of a closure that
//! runs in the spare seat, say). So poison would only make a second failure of the first.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// Takes the lock.
#[inline]
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What the lock guards, when nobody else can take it any more.
#[inline]
pub(crate) fn into_inner<T>(mutex: Mutex<T>) -> T {
    mutex.into_inner().unwrap_or_else(PoisonError::into_inner)
}

/// Waits at `condvar` for a change.
pub(crate) fn wait<'m, T>(condvar: &Condvar, guard: MutexGuard<'m, T>) -> MutexGuard<'m, T> {
    condvar.wait(guard).unwrap_or_else(PoisonError::into_inner)
}

/// Waits at `condvar` while `condition` holds.
pub(crate) fn wait_while<T>(
    condvar: &Condvar,
    guard: MutexGuard<'_, T>,
    condition: impl FnMut(&mut T) -> bool,
) {
    let waited = condvar.wait_while(guard, condition);
    drop(waited.unwrap_or_else(PoisonError::into_inner));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_under_the_lock_leaves_it_usable() {
        let (mutex, condvar) = (Mutex::new(1), Condvar::new());
        let panicking = || {
            let mut number = lock(&mutex);
            *number += 1;
            panic!("under the lock");
        };
        let panicking = std::panic::AssertUnwindSafe(panicking);
        assert!(std::panic::catch_unwind(panicking).is_err());
        assert!(mutex.is_poisoned());
        assert_eq!(*lock(&mutex), 2);
        wait_while(&condvar, lock(&mutex), |number| *number != 2);
        assert_eq!(into_inner(mutex), 2);
    }
}
