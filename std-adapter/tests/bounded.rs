//! Memory is bounded by the slots, however many tasks go through. One test, for what is measured is the process's.

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use common::{figure, status_kib, until, watchdog};
use pinfold::Pool;

const TASKS: usize = 10_000_000;

/// What a process in which they ran may grow by: the pages of some slots, queues and stacks.
const MOST_KIB: u64 = 4096;

/// By how much, in KiB, the most resident memory of this process while `f` runs exceeds what is resident before.
/// `None` where the system does not tell, or does not let the mark be set back.
fn peak_growth_kib(f: impl FnOnce()) -> Option<u64> {
    let before = status_kib("VmRSS:");
    // Linux: 5 sets the high-water mark back to what is resident now.
    let is_reset = std::fs::write("/proc/self/clear_refs", "5").is_ok();
    f();
    let peak = status_kib("VmHWM:");
    is_reset.then(|| Some(peak?.saturating_sub(before?)))?
}

/// A task that counts itself and holds its counter.
fn counting(ran: &Arc<AtomicUsize>) -> impl FnOnce() + Send + 'static {
    let ran = Arc::clone(ran);
    move || {
        ran.fetch_add(1, Ordering::Relaxed);
    }
}

fn through_a_thousand_slots() -> Option<u64> {
    let ran = Arc::new(AtomicUsize::new(0));
    let start = Instant::now();
    let mut metrics = None;
    let grown_kib = peak_growth_kib(|| {
        let pool = Pool::builder().workers(2).slots(1024).build().unwrap();
        (0..TASKS).for_each(|_| pool.spawn(counting(&ran)));
        until(|| ran.load(Ordering::SeqCst) == TASKS);
        // Each closure is gone.
        until(|| Arc::strong_count(&ran) == 1);
        metrics = Some(pool.metrics());
    });
    let metrics = metrics.unwrap();
    figure(format_args!(
        "{TASKS} detached tasks through {} slots: high-water mark {}, peak memory + {grown_kib:?} KiB, {:?}",
        metrics.slots,
        metrics.slots_high_water,
        start.elapsed()
    ));
    // Some more than asked for: what workers keep for themselves.
    assert!(metrics.slots < 1024 + 256, "{metrics:?}");
    assert!(metrics.slots_high_water <= metrics.slots, "{metrics:?}");
    grown_kib
}

/// The control, with a tenth of the tasks.
fn through_a_queue_without_a_bound() -> Option<u64> {
    let ran = Arc::new(AtomicUsize::new(0));
    let grown_kib = peak_growth_kib(|| {
        let (queue, worker) = std::sync::mpsc::channel::<Box<dyn FnOnce() + Send>>();
        (0..TASKS / 10).for_each(|_| queue.send(Box::new(counting(&ran))).unwrap());
        drop(queue);
        worker.into_iter().for_each(|task| task());
    });
    assert_eq!(ran.load(Ordering::SeqCst), TASKS / 10);
    figure(format_args!(
        "a tenth as many through a queue without a bound: peak memory + {grown_kib:?} KiB"
    ));
    grown_kib
}

#[test]
fn ten_million_tasks_go_through_a_thousand_slots() {
    let _dog = watchdog();
    let (Some(grown_kib), Some(control_kib)) = (
        through_a_thousand_slots(),
        through_a_queue_without_a_bound(),
    ) else {
        return figure("skipped: peak memory needs Linux's /proc/self/clear_refs");
    };
    assert!(grown_kib < MOST_KIB, "{grown_kib} KiB");
    assert!(control_kib > 2 * MOST_KIB, "{control_kib} KiB");
}
