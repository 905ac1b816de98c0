//! Writes down which compiler builds the benchmarks: their figures depend on it.

use std::process::Command;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let compiler = std::env::var_os("RUSTC").ok_or("Cargo says which compiler")?;
    let said = String::from_utf8(Command::new(compiler).arg("-V").output()?.stdout)?;
    let version = said.lines().next().ok_or("a compiler says its version")?;
    // Cargo runs this again by itself when the compiler is another one.
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rustc-env=RR_BENCH_COMPILER={version}");
    Ok(())
}
