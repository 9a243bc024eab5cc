//! What a worker's mailbox promises: what is posted to a worker comes to that worker, and whole.

mod support;

use loom::thread;
use pinfold_core::sync::{AtomicUsize, Ordering::Relaxed};
use support::worker;

/// The checker reports a reader of the slot who is not ordered after its writer.
#[test]
fn mail_arrives_whole() {
    support::bounded(2, || {
        let scheduler = support::scheduler::<2, 4>();
        let addressee = {
            let scheduler = scheduler.clone();
            thread::spawn(move || {
                scheduler.worker(worker(1), &[]).unwrap().run_until_closed();
            })
        };
        support::start();
        let own = scheduler.worker(worker(0), &[]).unwrap();
        let mut received = AtomicUsize::new(0);
        own.scope(|scope| {
            for content in [1, 2] {
                let received = &received;
                scope
                    .spawn_on(&own, worker(1), move |_, receiver| {
                        assert_eq!(receiver.id(), worker(1));
                        received.fetch_add(content, Relaxed);
                    })
                    .unwrap();
            }
        });
        received.with_mut(|received| assert_eq!(*received, 3));
        scheduler.close();
        addressee.join().unwrap();
    });
}
