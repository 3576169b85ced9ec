//! Compiles the embedded program with the compiler that builds this crate.
//!
//! It uses `rustc` directly: flags, wrappers and profiles of the user's build are meant for the user's
//! target, not for a static program without a library. Where the C compiler driver is missing, the linker that
//! comes with Rust is used.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

const FILES: [&str; 12] = [
    "program/main.rs",
    "program/arch_x86_64.rs",
    "program/arch_aarch64.rs",
    "program/compose.rs",
    "program/first.rs",
    "program/hold.rs",
    "program/kernel.rs",
    "program/machine.rs",
    "program/reaper.rs",
    "program/relay.rs",
    "program/share.rs",
    "program/sockets.rs",
];

fn main() {
    println!("cargo:rustc-check-cfg=cfg(ampoule_program)");
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-changed=src/wire.rs");
    println!("cargo:rerun-if-changed=src/wire/message.rs");
    FILES.iter().for_each(|file| println!("cargo:rerun-if-changed={file}"));
    let out = PathBuf::from(variable("OUT_DIR")).join("init");
    let target = variable("TARGET");
    let supported = target.contains("-linux-")
        && matches!(variable("CARGO_CFG_TARGET_ARCH").as_str(), "x86_64" | "aarch64");
    // docs.rs has no linker for foreign targets; other systems get the crate's own compile_error.
    if env::var_os("DOCS_RS").is_some() || !supported {
        fs::write(&out, []).expect("the build directory is writable");
        return;
    }
    let linkers: [&[&str]; 2] = [
        &[
            "-Clink-arg=-nostdlib",
            "-Clink-arg=-nostartfiles",
            "-Clink-arg=-static",
            "-Clink-arg=-no-pie",
            "-Clink-arg=-Wl,-z,noseparate-code,--build-id=none,-z,norelro",
        ],
        &[
            "-Clinker=rust-lld",
            "-Clinker-flavor=ld.lld",
            "-Clink-arg=--build-id=none",
            "-Clink-arg=-znorelro",
        ],
    ];
    let failures: Vec<String> =
        linkers.iter().map_while(|linker| compile(&out, &target, linker).err()).collect();
    assert!(
        failures.len() < linkers.len(),
        "the embedded program cannot be built:\n{}",
        failures.join("\n")
    );
}

/// Runs the compiler once; the error is what it printed.
fn compile(out: &Path, target: &str, linker: &[&str]) -> Result<(), String> {
    let mut command = Command::new(variable("RUSTC"));
    command
        .args(["program/main.rs", "--crate-name", "ampoule_init_program", "--crate-type", "bin"])
        .args(["--edition", "2024", "--cfg", "ampoule_program", "--target", target])
        .args(["-Copt-level=s", "-Cpanic=abort", "-Coverflow-checks=off", "-Cdebug-assertions=off"])
        .args([
            "-Cdebuginfo=0",
            "-Cstrip=symbols",
            "-Crelocation-model=static",
            "-Ccodegen-units=1",
        ])
        .args(["-Ctarget-feature=+crt-static", "-Cforce-unwind-tables=no"])
        .args(linker)
        .arg("-o")
        .arg(out);
    let output = command.output().map_err(|error| error.to_string())?;
    if output.status.success() {
        Ok(())
    } else {
        Err(String::from_utf8_lossy(&output.stderr).into_owned())
    }
}

fn variable(name: &str) -> String {
    env::var(name).unwrap_or_else(|_| panic!("cargo sets {name}"))
}
