//! How much of the machine other processes used meanwhile.
//!
//! Work on two cores reads very differently once a compiler takes one of them: contended queues
//! look as good as uncontended ones, and a second worker looks useless. So each report says how
//! busy the machine was.

use std::fs;

/// The kernel's clocks, in its ticks, since the machine started.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Clocks {
    /// All processors, working or not.
    all: u64,
    /// All processors, working for anybody (or taken away by the hypervisor).
    busy: u64,
    /// This process, on any processor.
    own: u64,
    processors: u64,
}

impl Clocks {
    /// Reads the clocks; `None` where there is no `/proc`.
    pub fn read() -> Option<Clocks> {
        let stat = fs::read_to_string("/proc/stat").ok()?;
        Clocks::parse(&stat, &fs::read_to_string("/proc/self/stat").ok()?)
    }

    fn parse(stat: &str, own: &str) -> Option<Clocks> {
        let per_processor = |line: &&str| {
            let number = line.strip_prefix("cpu").unwrap_or_default();
            number.starts_with(|first: char| first.is_ascii_digit())
        };
        let ticks: Vec<u64> = stat
            .lines()
            .next()?
            .split_whitespace()
            .skip(1)
            .map_while(|field| field.parse().ok())
            .collect();
        // user nice system idle iowait irq softirq steal; what follows is part of user.
        let &[user, nice, system, idle, iowait, irq, softirq, steal, ..] = ticks.as_slice() else {
            return None;
        };
        let busy = user + nice + system + irq + softirq + steal;
        Some(Clocks {
            all: busy + idle + iowait,
            busy,
            own: own_ticks(own)?,
            processors: stat.lines().filter(per_processor).count() as u64,
        })
    }

    /// How many processors others kept busy since `before`, on average.
    pub fn others_since(&self, before: &Clocks) -> Option<f64> {
        let all = self.all.checked_sub(before.all).filter(|&all| all > 0)?;
        let own = self.own.saturating_sub(before.own);
        let others = self.busy.saturating_sub(before.busy).saturating_sub(own);
        Some(others as f64 * self.processors as f64 / all as f64)
    }
}

/// User and system time, the 14th and 15th field; the 2nd, a name in parentheses, may hold spaces.
fn own_ticks(stat: &str) -> Option<u64> {
    let (_, after_name) = stat.rsplit_once(')')?;
    let mut fields = after_name.split_whitespace().skip(11);
    let user: u64 = fields.next()?.parse().ok()?;
    let system: u64 = fields.next()?.parse().ok()?;
    Some(user + system)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_ours_is_the_neighbours() {
        let stat = |user, idle| {
            format!(
                "cpu  {user} 0 50 {idle} 10 1 2 3 0 0\n\
                 cpu0 1 2 3 4\ncpu1 1 2 3 4\nintr 5\ncpu_like 1\n"
            )
        };
        let own = |user| format!("77 (a (b) c) S 1 2 3 4 5 6 7 8 9 10 {user} 20 0 0\n");
        let before = Clocks::parse(&stat(100, 1000), &own(60)).unwrap();
        let expected = Clocks {
            all: 1166,
            busy: 156,
            own: 80,
            processors: 2,
        };
        assert_eq!(before, expected);

        // 200 ticks of two processors: 120 busy, of which 40 ours.
        let after = Clocks::parse(&stat(220, 1080), &own(100)).unwrap();
        assert_eq!(after.others_since(&before), Some(0.8));
        assert_eq!(before.others_since(&before), None);
    }

    #[test]
    fn an_unknown_format_is_no_reading() {
        assert_eq!(Clocks::parse("cpu 1 2 3\n", "1 (a) S"), None);
    }
}
