//! Lists of tasks beside a worker's deque: its mail (for it and no other), and its shelf (what it may
//! not run while it waits, for everybody).
//!
//! | operation | cost | progress |
//! |---|---|---|
//! | [`Mailbox::post`] | one read-modify-write | lock-free |
//! | [`Mailbox::take_all`] | one load when empty, else one read-modify-write | wait-free |
//! | [`Mailbox::any`] | one load when empty, else a walk | wait-free, bounded by the number of slots |
//!
//! A stack of slots, linked through the slots, of which a taker takes everything at once. So no
//! slot is taken singly from under another, and a top that comes back means nothing wrong.

#![forbid(unsafe_code)]

use crate::arena::Arena;
use crate::broken;
use crate::order;
use crate::sync::{AtomicU32, const_fn};
use crate::task::{Slot, SlotIndex};

#[derive(Debug)]
pub(crate) struct Mailbox {
    /// The slot posted last, plus one.
    newest: AtomicU32,
}

impl Mailbox {
    const_fn! {
        pub(crate) const fn new() -> Self {
            Mailbox { newest: AtomicU32::new(0) }
        }
    }

    /// Puts a filled slot in. The caller owns it.
    pub(crate) fn post<S: AsRef<[Slot]>>(&self, arena: &Arena<S>, index: SlotIndex) {
        // Relaxed: the exchange confirms it.
        let mut newest = self.newest.load(order!("mailbox.post.look", Relaxed));
        loop {
            // Relaxed: published by the exchange.
            arena
                .slot(index)
                .next
                .store(newest, order!("mailbox.post.link", Relaxed));
            // Release: pairs with the Acquire in `take_all`; carries the link and the task.
            // Weaker: the worker runs a slot that was not written. Model: mailbox::mail_arrives_whole.
            match self.newest.compare_exchange(
                newest,
                index + 1,
                order!("mailbox.post.exchange", Release),
                order!("mailbox.post.fail", Relaxed),
            ) {
                Ok(_) => return,
                Err(seen) => newest = seen,
            }
        }
    }

    /// Whether any task in it is `wanted`: a hint, for the list may change meanwhile.
    pub(crate) fn any<S: AsRef<[Slot]>>(
        &self,
        arena: &Arena<S>,
        wanted: impl Fn(SlotIndex) -> bool,
    ) -> bool {
        // Relaxed: a hint. A link or a frame may be older than the list, and a list that changes under
        // the walk is walked wrongly: the taker looks again at what it then owns. Nothing is missed
        // for good: who parks looks after its `sleeper_fence`. Whoever fenced after posting before that
        // is seen, unless under a slot whose poster has not fenced yet; that one, and whoever posts
        // later, wakes after its own fence.
        let mut rest = self.newest.load(order!("mailbox.any.look", Relaxed));
        for _ in 0..arena.slots() {
            let Some(index) = rest.checked_sub(1) else {
                return false;
            };
            if wanted(index) {
                return true;
            }
            // Relaxed: see above.
            rest = arena
                .slot(index)
                .next
                .load(order!("mailbox.any.link", Relaxed));
        }
        false
    }

    /// Whether there is nothing in it: a hint.
    pub(crate) fn is_empty(&self) -> bool {
        // Relaxed: a hint; before sleeping it follows the `sleeper_fence`.
        self.newest.load(order!("mailbox.empty", Relaxed)) == 0
    }

    /// Takes everything: the first slot (plus one) of a list in the order of posting, 0 for none.
    pub(crate) fn take_all<S: AsRef<[Slot]>>(&self, arena: &Arena<S>) -> u32 {
        // Relaxed: a look; before sleeping it follows the `sleeper_fence`.
        if self.newest.load(order!("mailbox.take.look", Relaxed)) == 0 {
            return 0;
        }
        // Acquire: pairs with the Release in `post`.
        // Weaker: a slot is run that was not written. Model: mailbox::mail_arrives_whole.
        let mut rest = self.newest.swap(0, order!("mailbox.take.swap", Acquire));
        // Left out: what was taken stays in it, for the next taker. Model: mailbox::mail_arrives_whole.
        if broken!("mailbox.take.empty") {
            self.newest
                .store(rest, order!("mailbox.take.again", Relaxed));
        }
        let mut first = 0;
        while let Some(index) = rest.checked_sub(1) {
            // Relaxed, both: the list is ours.
            let next = &arena.slot(index).next;
            rest = next.load(order!("mailbox.take.link", Relaxed));
            next.store(first, order!("mailbox.take.turn", Relaxed));
            first = index + 1;
        }
        first
    }
}
