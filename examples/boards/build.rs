//! Says where in the board's memory things are.

use std::env;

fn main() {
    let folder = env::var("CARGO_MANIFEST_DIR").expect("cargo sets it");
    for (feature, program) in [("RISCV", "riscv"), ("CORTEX_M", "cortex-m")] {
        if env::var_os(format!("CARGO_FEATURE_{feature}")).is_some() {
            println!("cargo:rustc-link-arg-bin={program}=-T{folder}/{program}.ld");
        }
    }
    println!("cargo:rerun-if-changed=riscv.ld");
    println!("cargo:rerun-if-changed=cortex-m.ld");
}
