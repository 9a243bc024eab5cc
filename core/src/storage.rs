//! What the memory behind a scheduler or a graph must promise.

/// A slice that is always the same one: the `unsafe` of slots and graph runs rests on it.
///
/// Deques, injectors and idle sets by themselves are content with any `AsRef<[T]>`: one that gives
/// now this slice and now that makes them lose words or go round for ever, no more. In a
/// [`Scheduler`](crate::scheduler::Scheduler) a lost or doubled word is a closure that is called twice,
/// or after its stack frame is gone.
///
/// # Safety
///
/// As long as the value is not used mutably, each call of `as_ref` returns a slice of the same length with the
/// same elements, also after the value was moved; and what it returns changes only through the
/// elements' own interior mutability.
pub unsafe trait Stable<T>: AsRef<[T]> {}

// SAFETY: an array is its own elements.
unsafe impl<T, const N: usize> Stable<T> for [T; N] {}

// SAFETY: a shared reference leads to one slice, which is borrowed as long as the reference lives.
unsafe impl<T> Stable<T> for &[T] {}

// SAFETY: as above.
unsafe impl<T, const N: usize> Stable<T> for &[T; N] {}

// SAFETY: as above; it is not used mutably meanwhile.
unsafe impl<T> Stable<T> for &mut [T] {}
