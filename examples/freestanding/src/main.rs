//! The whole of `pinfold_core`, on Linux, with nothing else: no standard library, no C library, no allocator,
//! and no way to panic.
//!
//! ```text
//! cargo run -p pinfold-example-freestanding --features freestanding --profile freestanding
//! ```
//!
//! | what is shown | how | what breaks it must be noticed |
//! |---|---|---|
//! | no panic can be reached | the panic handler calls a function that does not exist | `control-panic` does not link |
//! | nothing allocates | there is no allocator | `control-alloc` does not compile |
//! | nothing takes a lock | a thread is stopped after each instruction, and the others go on (`stall.rs`) | `control-lock` ends with 3 |
//! | it works | three workers on bare threads, checked results (`run.rs`) | a false claim ends with 1 |
//!
//! The first two hold for **every** public function (`every.rs`), for any arguments, over arrays and over slices; at each
//! level of optimisation (1, 2, 3, `s`, `z`), with and without link-time optimisation. A debug build is something else:
//! it checks arithmetic, and asserts. Left out are `Debug` and `Display`, which are for readers, because `core::fmt`
//! can itself panic; and functions that exist in model builds only.
//!
//! When it does not link, the linker names the missing function and not who needs it. To see that, link with
//! `cargo rustc … -- -C link-arg=-Wl,--defsym=pinfold_core_may_panic=0` and look for calls into `core::panicking` in
//! `objdump -dlC`.
//!
//! `cargo test -p pinfold-core --test links` builds it in all four ways.

#![no_std]
#![no_main]

mod control;
mod every;
mod linux;
mod machine;
mod notify;
mod operations;
mod run;
mod stall;

unsafe extern "C" {
    /// Not defined anywhere: a program in which a panic can be reached does not link.
    fn pinfold_core_may_panic() -> !;
}

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    // SAFETY: what calls it does not link, so nothing does.
    unsafe { pinfold_core_may_panic() }
}

extern "C" fn main() -> ! {
    every::keep_every_function();
    #[cfg(feature = "control-panic")]
    linux::say_number(control::index());
    #[cfg(feature = "control-alloc")]
    linux::say_number(control::allocate());
    linux::say_number(run::everything());
    linux::say(" claims hold\n");
    match stall::at_every_instruction() {
        Some(stops) => {
            linux::say_number(stops);
            linux::say(" stops, and the others went on\n");
        }
        None => linux::say("skipped: stops: this kernel does not let a process trace its child\n"),
    }
    linux::exit(0)
}
