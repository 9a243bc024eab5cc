//! Selects the model-checked backend: core's own source is compiled against loom in this package.

fn main() {
    println!("cargo:rustc-cfg=pinfold_loom");
    println!("cargo:rerun-if-changed=build.rs");
}
