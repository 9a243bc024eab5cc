//! Says where in the board's memory things are.

use std::env;

fn main() {
    let folder = env::var("CARGO_MANIFEST_DIR").expect("cargo sets it");
    // The one that has no compare-and-swap at all.
    let is_m0 = env::var("TARGET").is_ok_and(|target| target.starts_with("thumbv6m"));
    println!("cargo:rustc-check-cfg=cfg(cortex_m0)");
    if is_m0 {
        println!("cargo:rustc-cfg=cortex_m0");
    }
    for (feature, program) in [("RISCV", "riscv"), ("CORTEX_M", "cortex-m")] {
        if env::var_os(format!("CARGO_FEATURE_{feature}")).is_some() {
            let chip = if is_m0 { "cortex-m0" } else { program };
            println!("cargo:rustc-link-arg-bin={program}=-T{folder}/{chip}.ld");
        }
    }
    println!("cargo:rerun-if-changed=cortex-m0.ld");
    println!("cargo:rerun-if-changed=riscv.ld");
    println!("cargo:rerun-if-changed=cortex-m.ld");
}
