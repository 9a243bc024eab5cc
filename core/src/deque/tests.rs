//! What one thread alone can see of a deque.

#![forbid(unsafe_code)]

use super::*;

#[test]
fn the_owner_takes_the_newest_and_a_thief_the_oldest() {
    let deque = Deque::<[Slot; 4]>::fixed();
    let owner = deque.owner().unwrap();
    for word in [10, 11, 12, 13] {
        owner.push(word).unwrap();
    }
    assert_eq!(owner.push(14), Err(Full(14)));
    assert_eq!(deque.steal(), Steal::Taken(10));
    assert_eq!(owner.pop(), Some(13));
    owner.push(15).unwrap();
    owner.push(16).unwrap();
    assert_eq!(owner.push(17), Err(Full(17)));
    assert_eq!(
        [owner.pop(), owner.pop(), owner.pop()],
        [Some(16), Some(15), Some(12)]
    );
    assert_eq!(deque.steal(), Steal::Taken(11));
    assert_eq!(deque.steal(), Steal::Empty);
    assert_eq!(owner.pop(), None);
}

#[test]
fn a_batch_is_half_rounded_up_and_keeps_its_order() {
    let from = Deque::<[Slot; 8]>::fixed();
    let to = Deque::<[Slot; 8]>::fixed();
    let (victim, thief) = (from.owner().unwrap(), to.owner().unwrap());
    assert_eq!(victim.push_all(&mut (1..=7)), 7);
    assert_eq!(from.steal_batch(&thief), Steal::Taken(1));
    assert_eq!((from.len(), to.len()), (3, 3));
    assert_eq!(to.steal(), Steal::Taken(2));
    assert_eq!(
        [thief.pop(), thief.pop(), thief.pop()],
        [Some(4), Some(3), None]
    );
    assert_eq!(from.steal(), Steal::Taken(5));
}

#[test]
fn a_batch_is_no_larger_than_the_thief_has_room_for() {
    let from = Deque::<[Slot; 8]>::fixed();
    let to = Deque::<[Slot; 2]>::fixed();
    let (victim, thief) = (from.owner().unwrap(), to.owner().unwrap());
    thief.push(100).unwrap();
    assert_eq!(victim.push_all(&mut (1..=8)), 8);
    assert_eq!(from.steal_batch(&thief), Steal::Taken(1));
    assert_eq!(
        [thief.pop(), thief.pop(), thief.pop()],
        [Some(2), Some(100), None]
    );
    assert_eq!(from.len(), 6);
}

#[test]
fn the_counters_wrap() {
    let deque = Deque::<[Slot; 4]>::fixed();
    deque
        .ends
        .store(u64::MAX - 1, crate::sync::Ordering::Relaxed);
    deque.pushes.store(
        u32::MAX.wrapping_add(u32::MAX - 1),
        crate::sync::Ordering::Relaxed,
    );
    let owner = deque.owner().unwrap();
    assert!(deque.is_empty());
    for round in 0..20 {
        assert_eq!(owner.push_all(&mut (round..round + 3)), 3);
        assert_eq!(deque.steal(), Steal::Taken(round));
        assert_eq!(owner.pop(), Some(round + 2));
        assert_eq!(deque.steal(), Steal::Taken(round + 1));
        assert_eq!(owner.pop(), None);
    }
}

#[test]
fn there_is_one_owner_at_a_time() {
    let deque = Deque::<[Slot; 2]>::fixed();
    let first = deque.owner().unwrap();
    first.push(7).unwrap();
    assert!(deque.owner().is_none());
    drop(first);
    assert_eq!(deque.owner().unwrap().pop(), Some(7));
}

#[test]
fn storage_that_is_no_ring_is_refused() {
    let slots: [Slot; 3] = [Slot::new(), Slot::new(), Slot::new()];
    assert_eq!(
        Deque::with_storage(slots).err(),
        Some(BadCapacity { slots: 3 })
    );
}
