//! Storage that may start as zeroed memory.
//!
//! An allocator hands out zeroed pages for nothing, and a page that is not touched costs no
//! memory. So an adapter with an allocator may make large storage without writing to it.

#[cfg(not(pinfold_loom))]
use crate::{deque, graph, idle, injector, task};

/// A type for which all zero bytes are a valid value, equal to the one from its `new`.
///
/// # Safety
///
/// 1. All zero bytes are a valid value of the type.
/// 2. That value behaves as the one from `new`.
pub unsafe trait ZeroInit: Sized {}

/// Implements [`ZeroInit`] for types whose `new` holds nothing but zeroed atomics and
/// uninitialised bytes. Not under the model, whose atomics are registered when they are made.
macro_rules! zero_init {
    ($($type:ty),* $(,)?) => {$(
        // SAFETY: `new` makes atomics of 0 and uninitialised bytes, for which zero bytes are valid
        // and the same.
        #[cfg(not(pinfold_loom))]
        unsafe impl ZeroInit for $type {}
    )*};
}

zero_init!(
    task::Slot,
    deque::Slot,
    injector::Entry,
    idle::Word,
    graph::Node
);

#[cfg(all(test, not(pinfold_loom)))]
mod tests {
    use super::*;

    fn bytes_of_new_are_zero<T: ZeroInit>(new: T) {
        let place = &raw const new;
        // SAFETY: atomics are initialised bytes; this is called for types without padding or
        // uninitialised parts.
        let bytes = unsafe { core::slice::from_raw_parts(place.cast::<u8>(), size_of::<T>()) };
        assert!(bytes.iter().all(|&byte| byte == 0));
    }

    #[test]
    fn what_claims_to_start_as_zeros_does() {
        bytes_of_new_are_zero(deque::Slot::new());
        bytes_of_new_are_zero(injector::Entry::new());
        bytes_of_new_are_zero(graph::Node::new());
    }
}
