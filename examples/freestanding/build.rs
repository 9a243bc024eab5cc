//! Links without the C runtime and its libraries: what the program needs, it brings along.

fn main() {
    // A package is also built where nothing is linked, without the feature.
    if std::env::var_os("CARGO_FEATURE_FREESTANDING").is_some() {
        for argument in ["-nostartfiles", "-nostdlib", "-static", "-no-pie"] {
            println!("cargo:rustc-link-arg-bins={argument}");
        }
        // The compiled `core` library names it, though nothing here unwinds.
        println!("cargo:rustc-link-arg-bins=-Wl,--defsym=rust_eh_personality=0");
    }
}
