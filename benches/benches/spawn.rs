//! How long does a start take, beside the floor? Run with `cargo bench -p ampoule-benches --bench spawn`.
//!
//! Touches what a container touches; needs root. Invariant: each iteration waits and cleans up. For the comparison
//! with peers, interleaved in one run, there is `cargo xtask bench spawn`.

use std::fs::File;
use std::os::fd::AsFd;
use std::path::Path;

use ampoule::Container;
use ampoule_benches::configuration::Configuration;
use ampoule_benches::contender::Contender;
use ampoule_benches::floor::Floor;
use ampoule_benches::rootfs::StageDirectory;
use ampoule_benches::{floor_calls, network_teardown, ours};
use ampoule_image::diff::Diff;
use ampoule_image::unpack::Whiteouts;
use ampoule_image::{NewImage, Platform, Store};
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

/// A plain directory beside the same files as an image of one layer, unpacked before.
fn image(c: &mut Criterion) {
    let stage = StageDirectory::make(Path::new("target/bench")).expect("a root file system");
    let store = Store::open(stage.path().join("store")).expect("a store");
    let name = "localhost/root:1".parse().expect("a name");
    let new = NewImage::from_scratch(ampoule_image::Configuration::new(Platform::host()), &name);
    let mut diff = Diff::default();
    diff.whiteouts = Whiteouts::Applied;
    let root = File::open(stage.rootfs()).expect("the root");
    let image = store.commit(&new, root.as_fd(), &diff).expect("an image");
    store.unpack(&image, &store.suited(), &()).expect("unpacked");
    for configuration in [Configuration::All, Configuration::Directory] {
        let plain = ours::contender(configuration, &stage.rootfs()).expect("a plan");
        let builder = ours::configured(configuration, Container::from_image(&image));
        let of_image = ours::launches(builder).expect("a plan");
        // In turn, twice: what the machine does meanwhile shows in both.
        for turn in 1..=2 {
            one(c, &format!("plain directory {configuration} {turn}"), plain.as_ref());
            one(c, &format!("image {configuration} {turn}"), of_image.as_ref());
        }
    }
}

/// One contender; begins when the network namespaces of the one before are gone.
fn one(c: &mut Criterion, name: &str, contender: &dyn Contender) {
    network_teardown::wait();
    c.bench_function(name, |b| b.iter(|| contender.spawn().expect("a container")));
}

criterion_group!(benches, spawn, image);
criterion_main!(benches);
