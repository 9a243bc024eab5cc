//! Replayed work: a calculation that lasts for a given CPU time.

use std::hint::black_box;
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// Steps between two looks at the clock: some microseconds, against 0.3 µs for the look.
const STEPS_PER_LOOK: u32 = 4096;

/// Keeps the calling thread computing until it has used `cpu` of CPU time; a thread that has to share
/// its CPU needs longer by the clock on the wall.
pub fn compute_for(cpu: Duration) {
    let end = thread_cpu_time() + cpu;
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    while thread_cpu_time() < end {
        for _ in 0..STEPS_PER_LOOK {
            state = xorshift(state);
        }
        state = black_box(state);
    }
}

/// Marsaglia, "Xorshift RNGs", Journal of Statistical Software 8(14), 2003.
fn xorshift(mut state: u64) -> u64 {
    state ^= state << 13;
    state ^= state >> 7;
    state ^ (state << 17)
}

/// The CPU time that the calling thread has used.
fn thread_cpu_time() -> Duration {
    Duration::try_from(clock_gettime(ClockId::ThreadCPUTime))
        .expect("a thread's CPU time is not negative")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Instant;

    #[test]
    fn the_cpu_time_asked_for_is_used() {
        let asked = Duration::from_millis(30);
        let (cpu, wall) = (thread_cpu_time(), Instant::now());
        compute_for(asked);
        let used = thread_cpu_time() - cpu;
        assert!(used >= asked && used < asked * 2, "{used:?}");
        assert!(wall.elapsed() >= asked);
    }
}
