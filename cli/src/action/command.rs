//! One attempt to run a command line: `sh -c`, output captured, time limited, no process left behind.
//!
//! The calling thread waits in `poll` for output, for the end of the shell (a pidfd, Linux 5.3) and for
//! the time limit at once; there is no helper thread and no polling interval. When the shell ends, or
//! its time does, its whole process group is killed: background processes do not outlive their task.

use std::io::{self, PipeReader, Read, Seek, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{self, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::{Errno, ioctl_fionbio};
use rustix::pipe::fcntl_getpipe_size;
use rustix::process::{PidfdFlags, pidfd_open};
use tempfile::SpooledTempFile;

use super::children::{Children, Leader};
use crate::workflow::Command;

/// Output up to this many bytes stays in memory; more goes to an unnamed temporary file.
const OUTPUT_IN_MEMORY: usize = 1 << 20;

/// How one attempt failed.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The shell could not be started or watched.
    #[error("cannot run sh: {0}")]
    Start(#[source] io::Error),
    /// Its output could not be kept.
    #[error("cannot keep its output: {0}")]
    Output(#[source] io::Error),
    /// The shell ended with another status than 0.
    #[error("exit status {0}")]
    Status(i32),
    /// The shell was killed.
    #[error("killed by signal {0}")]
    Signal(i32),
    /// The time limit passed.
    #[error("timed out after {}", humantime::format_duration(*.0))]
    TimedOut(Duration),
}

/// What an attempt wrote to standard output and standard error, in the order in which it came.
#[derive(Debug)]
pub struct Output(SpooledTempFile);

impl Output {
    /// Copies everything to `to`, and a line break if the last line lacks one.
    pub fn copy_to(&mut self, to: &mut dyn Write) -> io::Result<()> {
        self.0.rewind()?;
        let mut last = b'\n';
        let mut buffer = [0; 8192];
        loop {
            let count = self.0.read(&mut buffer)?;
            let Some(&end) = buffer[..count].last() else {
                break;
            };
            last = end;
            to.write_all(&buffer[..count])?;
        }
        if last != b'\n' {
            to.write_all(b"\n")?;
        }
        Ok(())
    }
}

/// Runs `command` once.
pub fn attempt(command: &Command, children: &Children) -> (Result<(), Failure>, Output) {
    let mut output = Output(SpooledTempFile::new(OUTPUT_IN_MEMORY));
    let result = run(command, children, &mut output);
    (result, output)
}

fn run(command: &Command, children: &Children, output: &mut Output) -> Result<(), Failure> {
    let deadline = command.timeout.and_then(|t| Instant::now().checked_add(t));
    let (leader, mut pipe) = start(command, children).map_err(Failure::Start)?;
    let watched = watch(&leader, &mut pipe, deadline, output);
    let status = children.end(leader).map_err(Failure::Start)?;
    let in_time = watched?;
    drain(&mut pipe, output).map_err(Failure::Output)?;
    match command.timeout {
        Some(limit) if !in_time => Err(Failure::TimedOut(limit)),
        _ => verdict(status),
    }
}

fn start(command: &Command, children: &Children) -> io::Result<(Leader, PipeReader)> {
    let (reader, writer) = io::pipe()?;
    // Non-blocking on this side alone: what an escaped process holds open must not hold us.
    ioctl_fionbio(&reader, true)?;
    let mut shell = process::Command::new("sh");
    shell.arg("-c").arg(&command.line).process_group(0);
    shell
        .stdin(Stdio::null())
        .stdout(writer.try_clone()?)
        .stderr(writer);
    let leader = children.start(&mut shell)?;
    // `shell` still holds the writing ends; dropping it leaves them to the children alone.
    drop(shell);
    Ok((leader, reader))
}

fn verdict(status: ExitStatus) -> Result<(), Failure> {
    match (status.code(), status.signal()) {
        (Some(0), _) => Ok(()),
        (Some(code), _) => Err(Failure::Status(code)),
        (None, signal) => Err(Failure::Signal(signal.unwrap_or_default())),
    }
}

/// Collects output until the shell has ended (true) or the deadline has passed (false).
fn watch(
    leader: &Leader,
    pipe: &mut PipeReader,
    deadline: Option<Instant>,
    output: &mut Output,
) -> Result<bool, Failure> {
    let ended =
        pidfd_open(leader.pid, PidfdFlags::empty()).map_err(|e| Failure::Start(e.into()))?;
    let mut open = true;
    loop {
        let left = deadline.map(|d| d.saturating_duration_since(Instant::now()));
        // Looked at before anything else: a task that never stops writing is always ready.
        if left.is_some_and(|left| left.is_zero()) {
            return Ok(false);
        }
        let pipe_fd = open.then(|| pipe.as_fd());
        let ready = wait(ended.as_fd(), pipe_fd, left).map_err(Failure::Start)?;
        if ready.output {
            open = read_once(pipe, output).map_err(Failure::Output)? != Some(0);
        }
        if ready.ended {
            return Ok(true);
        }
    }
}

#[derive(Default)]
struct Ready {
    ended: bool,
    output: bool,
}

/// Waits for either; neither is ready if the time that was left passes first, or on a signal.
fn wait(
    ended: BorrowedFd<'_>,
    pipe: Option<BorrowedFd<'_>>,
    left: Option<Duration>,
) -> io::Result<Ready> {
    // A time that does not fit a timespec is beyond anybody's life: wait without limit.
    let left = left.and_then(|d| Timespec::try_from(d).ok());
    let watched = pipe.unwrap_or(ended);
    let mut fds = [ended, watched].map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::IN));
    match poll(&mut fds, left.as_ref()) {
        Ok(_) => Ok(Ready {
            ended: !fds[0].revents().is_empty(),
            output: pipe.is_some() && !fds[1].revents().is_empty(),
        }),
        Err(Errno::INTR) => Ok(Ready::default()),
        Err(e) => Err(e.into()),
    }
}

/// Keeps what one read gives: its length, 0 at the end, `None` if nothing is there now.
fn read_once(pipe: &mut PipeReader, output: &mut Output) -> io::Result<Option<usize>> {
    let mut buffer = [0; 65536];
    match pipe.read(&mut buffer) {
        Ok(count) => output.0.write_all(&buffer[..count]).map(|()| Some(count)),
        Err(e) if e.kind() == io::ErrorKind::WouldBlock => Ok(None),
        Err(e) if e.kind() == io::ErrorKind::Interrupted => Ok(Some(1)),
        Err(e) => Err(e),
    }
}

/// Keeps what the ended group left in the pipe: at most what a pipe holds, in case that a process
/// which escaped from the group still writes.
fn drain(pipe: &mut PipeReader, output: &mut Output) -> io::Result<()> {
    let mut left = fcntl_getpipe_size(&*pipe)?;
    while left > 0 {
        match read_once(pipe, output)? {
            None | Some(0) => break,
            Some(count) => left = left.saturating_sub(count),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::process::{Pid, test_kill_process};

    fn run_line(line: &str, timeout: Option<Duration>) -> (Result<(), Failure>, String) {
        let command = Command {
            line: line.to_owned(),
            timeout,
            retries: 0,
        };
        let (result, mut output) = attempt(&command, &Children::default());
        let mut text = Vec::new();
        output.copy_to(&mut text).unwrap();
        (result, String::from_utf8(text).unwrap())
    }

    /// Waits for the killed process to go; one that nobody collects stays in the table as a zombie.
    fn assert_gone(pid: &str) {
        let pid = Pid::from_raw(pid.trim().parse().unwrap()).unwrap();
        let stat = format!("/proc/{}/stat", pid.as_raw_nonzero());
        let is_zombie = || std::fs::read_to_string(&stat).is_ok_and(|s| s.contains(") Z"));
        let begin = Instant::now();
        while test_kill_process(pid).is_ok() && !is_zombie() {
            assert!(
                begin.elapsed() < Duration::from_secs(10),
                "{pid:?} still runs"
            );
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    #[test]
    fn both_streams_come_in_order_and_end_with_a_line_break() {
        let (result, text) = run_line("echo one; echo two >&2; printf three", None);
        result.unwrap();
        assert_eq!(text, "one\ntwo\nthree\n");
    }

    #[test]
    fn more_output_than_fits_memory_or_pipe_is_kept_whole() {
        let (result, text) = run_line("yes pinfold | head -c 3000000", None);
        result.unwrap();
        assert_eq!(text.len(), 3_000_000);
    }

    #[test]
    fn the_way_a_shell_ended_is_told() {
        let (status, text) = run_line("echo why; exit 3", None);
        assert!(matches!(status, Err(Failure::Status(3))), "{status:?}");
        assert_eq!(text, "why\n");
        let (status, _) = run_line("kill -9 $$", None);
        assert!(matches!(status, Err(Failure::Signal(9))), "{status:?}");
    }

    #[test]
    fn a_timeout_kills_the_whole_group_and_keeps_what_was_written() {
        let begin = Instant::now();
        let limit = Duration::from_millis(100);
        let (result, text) = run_line("sleep 60 & echo $!; sleep 60", Some(limit));
        assert!(
            matches!(result, Err(Failure::TimedOut(d)) if d == limit),
            "{result:?}"
        );
        assert!(begin.elapsed() < Duration::from_secs(30));
        assert_gone(&text);
    }

    #[test]
    fn a_background_process_neither_delays_nor_outlives_its_task() {
        let begin = Instant::now();
        let (result, text) = run_line("sleep 60 & echo $!", None);
        result.unwrap();
        assert!(begin.elapsed() < Duration::from_secs(30));
        assert_gone(&text);
    }

    #[test]
    fn a_task_that_writes_without_end_is_stopped_as_well() {
        let limit = Duration::from_millis(50);
        let (result, text) = run_line("exec yes", Some(limit));
        assert!(matches!(result, Err(Failure::TimedOut(_))), "{result:?}");
        assert!(text.starts_with("y\ny\n"));
    }

    #[test]
    fn closing_its_output_does_not_end_a_task() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let line = format!(
            "exec >&- 2>&-; sleep 0.1; echo done > {}",
            file.path().display()
        );
        let (result, text) = run_line(&line, None);
        result.unwrap();
        assert_eq!(text, "");
        assert_eq!(std::fs::read_to_string(file.path()).unwrap(), "done\n");
    }
}
