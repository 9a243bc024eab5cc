//! Whoever stops, stops nobody: lock-freedom, shown by stopping threads.
//!
//! For each operation one thread, the *victim*, is stopped before each of its named steps (see
//! [`pinfold_core::sync::step`]), and stays there while others complete every operation that can be done
//! beside it, several times over. Whoever hangs, takes more steps than `claims.rs` allows, or comes away with
//! nothing though there is something, is a fault that names operation and step.
//!
//! | the victim comes to its stop | so that |
//! |---|---|
//! | undisturbed | each step of the straight way is stopped at |
//! | after somebody has completed an operation at one earlier step | so are the ways that only follow an interference |
//! | although somebody does so at every step | what is wait-free ends all the same, in as many steps |
//! | and then two others go on at once, by turns that the checker chooses | they need not only get past the victim, but past each other |
//!
//! All that happens twice: the others see what the victim has written, or, as far as the memory model lets
//! them, nothing of it.
//!
//! Not covered: a stop between two steps inside of what users write, and two threads that are stopped.
//!
//! | in | is |
//! |---|---|
//! | `claims.rs` | what is claimed of each operation, in steps |
//! | `harness.rs`, `ways.rs` | one execution; in which ways there is one |
//! | `queues.rs`, `slots.rs`, `sleepers.rs`, `tasks.rs`, `workers.rs`, `runs.rs` | the scenarios |
//! | `complete.rs` | that no named step of core and no claim was left out |
//! | `controls.rs` | queues and claims that must be reported |
//! | `limits.rs` | what whoever stops does keep from others |

mod claims;
mod complete;
mod controls;
mod harness;
mod limits;
mod queues;
mod runs;
mod sleepers;
mod slots;
#[path = "../support/mod.rs"]
mod support;
mod tally;
mod tasks;
mod ways;
mod workers;

use std::thread;

use tally::Tally;

#[test]
fn who_is_stopped_at_any_step_stops_nobody() {
    let files = [
        queues::scenarios,
        slots::scenarios,
        sleepers::scenarios,
        tasks::scenarios,
        workers::scenarios,
        runs::scenarios,
    ];
    let mut tally = Tally::default();
    thread::scope(|scope| {
        let running = files.map(|scenarios| {
            scope.spawn(move || {
                let mut tally = Tally::default();
                let outcome = scenarios(&mut tally);
                (tally, outcome)
            })
        });
        for file in running {
            let (of_file, outcome) = file.join().unwrap();
            tally.merge(of_file);
            if let Err(fault) = outcome {
                println!("{tally}");
                panic!("{fault}");
            }
        }
    });
    println!("{tally}");
    complete::check(&tally);
}
