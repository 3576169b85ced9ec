//! How long does a start take, beside the floor? Run with `cargo bench -p ampoule-benches --bench spawn`.
//!
//! Touches what a container touches; needs root. Invariant: each iteration waits and cleans up. For the comparison
//! with peers, interleaved in one run, there is `cargo xtask bench spawn`.

use std::path::Path;

use ampoule_benches::configuration::Configuration;
use ampoule_benches::contender::Contender;
use ampoule_benches::floor::Floor;
use ampoule_benches::rootfs::StageDirectory;
use ampoule_benches::{floor_calls, network_teardown, ours};
use criterion::{Criterion, criterion_group, criterion_main};

/// Floor and ours in both configurations.
fn spawn(c: &mut Criterion) {
    let stage = StageDirectory::make(Path::new("target/bench")).expect("a root file system");
    for configuration in [Configuration::All, Configuration::Directory] {
        let recipe = floor_calls::recipe(configuration, &stage.rootfs(), &["/bin/true"]);
        let recipe = recipe.expect("the own group");
        one(c, &format!("floor {configuration}"), &Floor::new(recipe));
        let ours = ours::contender(configuration, &stage.rootfs()).expect("a plan");
        one(c, &format!("ours {configuration}"), ours.as_ref());
    }
}

/// One contender; begins when the network namespaces of the one before are gone.
fn one(c: &mut Criterion, name: &str, contender: &dyn Contender) {
    network_teardown::wait();
    c.bench_function(name, |b| b.iter(|| contender.spawn().expect("a container")));
}

criterion_group!(benches, spawn);
criterion_main!(benches);
