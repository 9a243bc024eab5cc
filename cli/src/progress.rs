//! What the user sees while tasks run, on standard error: a bar if that is a terminal, else a line for
//! each task. Both move when a task ends and at no other time; there is no timer.

use std::io::{self, IsTerminal, Write};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::action::command::Output;
use crate::summary::seconds;

const BAR: &str = "{bar:40} {pos}/{len} tasks, {elapsed_precise}  {wide_msg}";

/// The view of one run. Workers call it as their tasks end.
pub struct Progress {
    total: usize,
    state: Mutex<State>,
}

struct State {
    ended: usize,
    bar: Option<ProgressBar>,
    lines: Box<dyn Write + Send>,
}

impl Progress {
    /// On standard error, as it happens to be.
    pub fn on_stderr(total: usize) -> Self {
        let bar = io::stderr().is_terminal().then(|| {
            let bar =
                ProgressBar::with_draw_target(Some(total as u64), ProgressDrawTarget::stderr());
            let style = ProgressStyle::with_template(BAR).expect("the template is well formed");
            let bar = bar.with_style(style);
            bar.tick();
            bar
        });
        Self::new(total, bar, Box::new(io::stderr()))
    }

    fn new(total: usize, bar: Option<ProgressBar>, lines: Box<dyn Write + Send>) -> Self {
        let state = State {
            ended: 0,
            bar,
            lines,
        };
        Self {
            total,
            state: Mutex::new(state),
        }
    }

    /// A task ended well.
    pub fn ok(&self, name: &str, took: Duration) {
        let state = &mut *self.lock();
        let tag = state.end_one(self.total, name);
        if state.bar.is_none() {
            state.print(&format!("{tag} ok {name} {}", seconds(took)), None);
        }
    }

    /// A task ended badly: its line and what it wrote are shown even beside a bar.
    pub fn failed(&self, name: &str, took: Duration, reason: &str, output: &mut Output) {
        let state = &mut *self.lock();
        let tag = state.end_one(self.total, name);
        let line = format!("{tag} failed {name} {}: {reason}", seconds(took));
        state.print(&line, Some(output));
    }

    /// An attempt failed and another follows.
    pub fn retried(&self, name: &str, retry: u32, of: u32, reason: &str, output: &mut Output) {
        let line = format!("retry {retry} of {of}: {name}: {reason}");
        self.lock().print(&line, Some(output));
    }

    /// A task will not run; `why` says which outcome it has instead.
    pub fn not_run(&self, name: &str, why: &str) {
        let state = &mut *self.lock();
        let tag = state.end_one(self.total, name);
        if state.bar.is_none() {
            state.print(&format!("{tag} {why} {name}"), None);
        }
    }

    /// Removes the bar.
    pub fn close(&self) {
        if let Some(bar) = &self.lock().bar {
            bar.finish_and_clear();
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // At worst a line was cut short, which the next one survives.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn end_one(&mut self, total: usize, name: &str) -> String {
        self.ended += 1;
        if let Some(bar) = &self.bar {
            bar.set_message(name.to_owned());
            bar.inc(1);
        }
        let width = total.to_string().len();
        format!("[{:>width$}/{total}]", self.ended)
    }

    /// Nothing that goes wrong with showing progress is a reason to stop a run.
    fn print(&mut self, line: &str, output: Option<&mut Output>) {
        let lines = &mut self.lines;
        let show = || {
            let _ = writeln!(lines, "{line}");
            if let Some(output) = output {
                let _ = output.copy_to(lines);
            }
        };
        match &self.bar {
            Some(bar) => bar.suspend(show),
            None => show(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::action::children::Children;
    use crate::action::command::attempt;
    use crate::workflow::Command;
    use std::sync::Arc;

    #[derive(Clone, Default)]
    struct Shared(Arc<Mutex<Vec<u8>>>);

    impl Write for Shared {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn output_of(line: &str) -> Output {
        let command = Command {
            line: line.to_owned(),
            timeout: None,
            retries: 0,
        };
        attempt(&command, &Children::default()).1
    }

    #[test]
    fn lines_are_numbered_in_the_order_of_ends_and_failures_show_their_output() {
        let seen = Shared::default();
        let progress = Progress::new(12, None, Box::new(seen.clone()));
        let mut output = output_of("echo no such thing");
        progress.ok("first", Duration::from_micros(12_400));
        progress.retried("second", 1, 2, "exit status 1", &mut output);
        progress.failed(
            "second",
            Duration::from_secs(2),
            "exit status 1",
            &mut output,
        );
        progress.not_run("third", "skipped");
        let expected = "\
[ 1/12] ok first 0.012s
retry 1 of 2: second: exit status 1
no such thing
[ 2/12] failed second 2.000s: exit status 1
no such thing
[ 3/12] skipped third
";
        assert_eq!(
            String::from_utf8(seen.0.lock().unwrap().clone()).unwrap(),
            expected
        );
    }
}
