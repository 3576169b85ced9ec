//! Hosts with another memory allocator than the C library's.
//!
//! Kernel objects: this test binary again, with the allocator preloaded (ld.so(8)). Invariant: the allocator is the one
//! in use, as the process's own map shows.

mod oracle;
mod scene;

use std::path::{Path, PathBuf};

use oracle::{alone_with, tier};
use scene::times;

/// Where Debian and others have their libraries.
fn library(name: &str) -> PathBuf {
    let own = format!("/usr/lib/{}-linux-gnu", std::env::consts::ARCH);
    let places = [own.as_str(), "/usr/lib64", "/usr/lib"].map(|dir| Path::new(dir).join(name));
    let found = places.iter().find(|path| path.is_file());
    found.unwrap_or_else(|| panic!("{name} is needed here: cargo xtask packages race")).clone()
}

fn under(name: &str) -> impl FnOnce(&mut std::process::Command) {
    let library = library(name);
    move |command| {
        command.env("LD_PRELOAD", library);
    }
}

/// Starts containers in a process that has this library.
fn starts_with(name: &str) {
    let maps = std::fs::read_to_string("/proc/self/maps").expect("the own map");
    assert!(maps.contains(name), "{name} is not in use");
    scene::noise::while_starting(times(60, 50_000));
}

#[test]
fn jemalloc() {
    tier::root();
    alone_with(under("libjemalloc.so.2"), || starts_with("libjemalloc"));
}

#[test]
fn mimalloc() {
    tier::root();
    alone_with(under("libmimalloc.so"), || starts_with("libmimalloc"));
}
