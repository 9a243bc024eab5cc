//! Command workflows: outcomes, output, retries, time limits, and no process left behind.

use std::os::unix::process::ExitStatusExt;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use super::trace::{assert_order, complete_events};
use super::{Finished, Ground};

/// Waits until `condition` holds.
fn wait_for(what: &str, condition: impl Fn() -> bool) {
    let begin = Instant::now();
    while !condition() {
        assert!(
            begin.elapsed() < Duration::from_secs(20),
            "{what} does not happen"
        );
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Whether the process runs; a killed one that nobody collects is a zombie, which does not.
fn runs(pid: &str) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", pid.trim()));
    stat.is_ok_and(|stat| !stat.contains(") Z"))
}

#[test]
fn a_run_without_failures_is_quiet_about_output() {
    let ground = Ground::new();
    ground.write(
        "w.toml",
        "[[task]]\nname = 'last'\nrun = 'cat one two > both; echo chatter'\nafter = ['one', 'two']\n\
         [[task]]\nname = 'one'\nrun = 'echo 1 > one'\n\
         [[task]]\nname = 'two'\nrun = 'echo 2 > two'\n",
    );
    let finished = ground.pinfold(&["run", "w.toml", "--workers", "2", "--trace", "t.json"]);
    assert_eq!(finished.status, Some(0), "{finished:?}");
    assert_eq!(ground.read("both"), "1\n2\n");
    assert_eq!(
        finished.row("outcomes"),
        "3 ok, 0 failed, 0 skipped, 0 cancelled, 0 timed out"
    );
    let lines: Vec<&str> = finished.stderr.lines().collect();
    assert_eq!(lines.len(), 3, "{finished:?}");
    assert!(lines[2].starts_with("[3/3] ok last 0."), "{finished:?}");
    let events = complete_events(&ground.path().join("t.json"));
    assert_eq!(events["last"].parents, ["one", "two"]);
    assert_order(&events);
}

/// `bad` fails; `below` depends on it, `beside` does not and comes later.
const ONE_FAILURE: &str = "\
[[task]]
name = 'bad'
run = 'echo the reason; echo and more >&2; exit 3'
[[task]]
name = 'below'
run = 'touch below'
after = ['bad']
[[task]]
name = 'bottom'
run = 'touch bottom'
after = ['below']
[[task]]
name = 'gate'
run = 'sleep 0.3'
[[task]]
name = 'beside'
run = 'touch beside'
after = ['gate']
";

#[test]
fn a_failure_is_shown_whole_and_stops_what_has_not_started() {
    let ground = Ground::new();
    ground.write("w.toml", ONE_FAILURE);
    let finished = ground.pinfold(&["run", "w.toml", "--workers", "2"]);
    assert_eq!(finished.status, Some(1), "{finished:?}");
    assert!(
        finished
            .stderr
            .contains(": exit status 3\nthe reason\nand more\n"),
        "{finished:?}"
    );
    assert_eq!(finished.row("  failed"), "bad: exit status 3");
    for file in ["below", "bottom", "beside"] {
        assert!(
            !ground.path().join(file).exists(),
            "{file} ran: {finished:?}"
        );
    }
}

#[test]
fn keep_going_runs_all_that_does_not_depend_on_a_failure() {
    let ground = Ground::new();
    ground.write("w.toml", ONE_FAILURE);
    let finished = ground.pinfold(&["run", "w.toml", "--workers", "2", "--keep-going"]);
    assert_eq!(finished.status, Some(1), "{finished:?}");
    assert_eq!(
        finished.row("outcomes"),
        "2 ok, 1 failed, 2 skipped, 0 cancelled, 0 timed out"
    );
    assert!(ground.path().join("beside").exists());
    assert!(!ground.path().join("below").exists());
    assert!(
        finished.stderr.contains("skipped bottom (root cause: bad)"),
        "{finished:?}"
    );
}

#[test]
fn retries_end_with_the_first_success() {
    let ground = Ground::new();
    let third_time = "echo x >> tries; test $(wc -l < tries) -eq 3";
    ground.write(
        "w.toml",
        format!("[[task]]\nname = 'a'\nrun = '{third_time}'\nretries = 5\n"),
    );
    let finished = ground.pinfold(&["run", "w.toml"]);
    assert_eq!(finished.status, Some(0), "{finished:?}");
    assert_eq!(ground.read("tries"), "x\nx\nx\n");
    assert!(
        finished.stderr.contains("retry 2 of 5: a: exit status 1"),
        "{finished:?}"
    );
}

#[test]
fn retries_run_out() {
    let ground = Ground::new();
    ground.write(
        "w.toml",
        "[[task]]\nname = 'a'\nrun = 'echo x >> tries; false'\nretries = 2\n",
    );
    assert_eq!(ground.pinfold(&["run", "w.toml"]).status, Some(1));
    assert_eq!(ground.read("tries"), "x\nx\nx\n");
}

#[test]
fn a_timeout_is_an_outcome_and_leaves_no_process() {
    let ground = Ground::new();
    ground.write(
        "w.toml",
        "[[task]]\nname = 'slow'\nrun = 'sleep 600 & echo $! > pid; wait'\ntimeout = '300ms'\n",
    );
    let finished = ground.pinfold(&["run", "w.toml"]);
    assert_eq!(finished.status, Some(1), "{finished:?}");
    assert_eq!(
        finished.row("outcomes"),
        "0 ok, 0 failed, 0 skipped, 0 cancelled, 1 timed out"
    );
    assert!(
        finished.stderr.contains("timed out after 300ms"),
        "{finished:?}"
    );
    wait_for("the end of the sleep", || !runs(&ground.read("pid")));
}

#[test]
fn an_interruption_leaves_no_process_and_counts_as_no_failure() {
    let ground = Ground::new();
    ground.write(
        "w.toml",
        "[[task]]\nname = 'a'\nrun = 'sleep 600 & echo $! > pid; wait'\nretries = 9\n",
    );
    let pinfold = Command::new(env!("CARGO_BIN_EXE_pinfold"))
        .args(["run", "w.toml"])
        .current_dir(ground.path())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    wait_for("the start of the sleep", || {
        ground.read("pid").ends_with('\n')
    });
    let sent = Command::new("kill")
        .arg("-TERM")
        .arg(pinfold.id().to_string())
        .status();
    assert!(sent.unwrap().success());
    let output = pinfold.wait_with_output().unwrap();
    assert_eq!(output.status.signal(), Some(15));
    let finished = Finished::new(output);
    assert_eq!(
        (finished.stdout.as_str(), finished.stderr.as_str()),
        ("", ""),
        "{finished:?}"
    );
    wait_for("the end of the sleep", || !runs(&ground.read("pid")));
}

#[test]
fn a_closed_standard_output_is_no_failure() {
    let ground = Ground::new();
    ground.write("w.toml", "[[task]]\nname = 'a'\nrun = 'true'\n");
    let shell = format!("{} run w.toml 2>&- >&-", env!("CARGO_BIN_EXE_pinfold"));
    let status = Command::new("sh")
        .args(["-c", &shell])
        .current_dir(ground.path())
        .status();
    assert_eq!(status.unwrap().code(), Some(0));
}

#[test]
fn a_result_that_cannot_be_written_fails() {
    let ground = Ground::new();
    ground.write("w.toml", "[[task]]\nname = 'a'\nrun = 'true'\n");
    let finished = ground.pinfold(&["run", "w.toml", "--trace", "/dev/full"]);
    assert_eq!(finished.status, Some(1), "{finished:?}");
    assert!(finished.row("outcomes").starts_with("1 ok"));
    let sentence = "pinfold: cannot write the trace /dev/full: No space left";
    assert!(finished.stderr.contains(sentence), "{finished:?}");

    let full = std::fs::File::options().write(true).open("/dev/full");
    let output = Command::new(env!("CARGO_BIN_EXE_pinfold"))
        .arg("topology")
        .stdout(full.unwrap())
        .output();
    let finished = Finished::new(output.unwrap());
    assert_eq!(finished.status, Some(1), "{finished:?}");
    let sentence = "pinfold: cannot write to standard output: No space left";
    assert!(finished.stderr.starts_with(sentence), "{finished:?}");
}

#[test]
fn the_table_shows_where_a_worker_was_bound() {
    let ground = Ground::new();
    ground.write("w.toml", "[[task]]\nname = 'a'\nrun = 'true'\n");
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let mask = status.lines().find(|l| l.starts_with("Cpus_allowed_list:"));
    let last = mask.unwrap().rsplit(['\t', ',', '-']).next().unwrap();
    let finished = ground.pinfold(&["run", "w.toml", "--place", &format!("cpus={last}")]);
    assert_eq!(finished.status, Some(0), "{finished:?}");
    let row: Vec<&str> = finished.row("     0 ").split_whitespace().collect();
    assert_eq!(row[..3], [last, last, "1"], "{finished:?}");
}

#[test]
fn a_hundred_thousand_tasks_are_skipped_down_to_the_last() {
    let ground = Ground::new();
    let task = |n: u32| match n {
        0 => "[[task]]\nname = 't0'\nrun = 'false'\n".to_owned(),
        _ => format!(
            "[[task]]\nname = 't{n}'\nrun = 'touch ran'\nafter = ['t{}']\n",
            n - 1
        ),
    };
    ground.write("w.toml", (0..100_000).map(task).collect::<String>());
    let finished = ground.pinfold(&["run", "w.toml", "--keep-going", "--workers", "2"]);
    assert_eq!(finished.status, Some(1));
    assert_eq!(
        finished.row("outcomes"),
        "0 ok, 1 failed, 99999 skipped, 0 cancelled, 0 timed out"
    );
    let last = "[100000/100000] skipped t99999 (root cause: t0)\n";
    assert!(finished.stderr.ends_with(last));
    assert!(!ground.path().join("ran").exists());
}

#[test]
fn many_workers_raise_the_soft_limit_on_open_files() {
    let ground = Ground::new();
    let tasks = (0..200).map(|n| format!("[[task]]\nname = 't{n}'\nrun = 'sleep 1'\n"));
    ground.write("w.toml", tasks.collect::<String>());
    let shell = format!(
        "ulimit -Sn 64; exec {} run w.toml --workers 200",
        env!("CARGO_BIN_EXE_pinfold")
    );
    let output = Command::new("sh")
        .args(["-c", &shell])
        .current_dir(ground.path())
        .output();
    let finished = Finished::new(output.unwrap());
    if finished.stderr.contains("ulimit -Hn") {
        return println!("skipped: {}", finished.stderr);
    }
    assert_eq!(finished.status, Some(0), "{finished:?}");
    assert!(
        finished.row("outcomes").starts_with("200 ok"),
        "{finished:?}"
    );
}

#[test]
fn more_workers_than_files_may_be_open_are_refused() {
    let ground = Ground::new();
    ground.write("w.toml", "[[task]]\nname = 'a'\nrun = 'touch ran'\n");
    let shell = format!(
        "ulimit -n 256; exec {} run w.toml --workers 512",
        env!("CARGO_BIN_EXE_pinfold")
    );
    let output = Command::new("sh")
        .args(["-c", &shell])
        .current_dir(ground.path())
        .output();
    let finished = Finished::new(output.unwrap());
    assert_eq!(finished.status, Some(2), "{finished:?}");
    let expected = "pinfold: 512 workers may need 4160 open files and the limit is 256; \
                    lower --workers or raise `ulimit -Hn`\n";
    assert_eq!(finished.stderr, expected);
    assert!(!ground.path().join("ran").exists());
}
