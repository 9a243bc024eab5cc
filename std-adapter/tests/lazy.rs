//! A lazy pool whose threads cannot all be started works with those that it got.

#![cfg(target_os = "linux")]

mod common;

use std::env;
use std::process::Command;

use common::watchdog;
use pinfold::{Pool, Start};

/// Set in the process that has too little address space for its threads' stacks.
const CRAMPED: &str = "PINFOLD_TEST_CRAMPED";

#[test]
fn a_broadcast_reaches_the_threads_that_there_are() {
    let _dog = watchdog();
    if env::var_os(CRAMPED).is_some() {
        return in_a_cramped_process();
    }
    let output = Command::new("sh")
        .arg("-c")
        .arg("ulimit -v 3000000 && exec \"$0\" --exact a_broadcast_reaches_the_threads_that_there_are --nocapture")
        .arg(env::current_exe().unwrap())
        .env(CRAMPED, "1")
        .env("RUST_MIN_STACK", (256 << 20).to_string())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    let complaints = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}{complaints}");
    assert!(
        said.contains("of 16 workers were reached"),
        "{said}{complaints}"
    );
}

fn in_a_cramped_process() {
    let pool = Pool::builder().workers(16).start(Start::Lazy);
    let pool = pool.build().unwrap();
    assert_eq!(pool.install(|| 7), 7);
    let reached = pool.broadcast(|context| context.worker().index());
    println!("{} of 16 workers were reached", reached.len());
    assert!((1..16).contains(&reached.len()), "{reached:?}");
    assert!(reached.iter().copied().eq(0..reached.len()), "{reached:?}");
}
