//! How long does it take to make a plan, and to encode it? Run with `cargo bench -p ampoule-benches --bench plan`.
//!
//! Touches what planning touches: it opens and probes, it starts nothing. Invariant: nothing is launched.

use std::hint::black_box;

use ampoule::Container;
use criterion::{Criterion, criterion_group, criterion_main};

/// From a builder to a plan: validated, opened, ordered.
fn plan(c: &mut Criterion) {
    let builder = Container::host_view();
    c.bench_function("plan host_view", |b| {
        b.iter(|| black_box(builder.clone()).command("true").plan().expect("a plan"));
    });
    c.bench_function("plan host_view while another plan lives", |b| {
        let _other = builder.clone().command("true").plan().expect("a plan");
        b.iter(|| black_box(builder.clone()).command("true").plan().expect("a plan"));
    });
    c.bench_function("plan without a root", |b| {
        let bare = Container::bare().seccomp(ampoule::Seccomp::Default);
        b.iter(|| black_box(bare.clone()).command("true").plan().expect("a plan"));
    });
    c.bench_function("plan with 20 binds", |b| {
        let builder = (0..20)
            .fold(builder.clone(), |builder, n| builder.bind_to("/usr", format!("/tmp/bind-{n}")));
        b.iter(|| black_box(builder.clone()).command("true").plan().expect("a plan"));
    });
}

/// From a plan to a launch: the second record that is made each time.
fn encode(c: &mut Criterion) {
    let plan = Container::host_view().command("true").plan().expect("a plan");
    c.bench_function("launch record", |b| {
        b.iter(|| black_box(plan.launch().args(["--exact"]).env("A", "1")));
    });
    c.bench_function("encode and seal a program", |b| {
        b.iter(|| ampoule_init::Program::seal(black_box(draft())).expect("a program"));
    });
    c.bench_function("display", |b| b.iter(|| black_box(&plan).to_string()));
}

/// As many steps as a plan has.
fn draft() -> ampoule_init::Draft {
    let mut draft = ampoule_init::Draft::default();
    draft.launcher(ampoule_init::steps::launch::clone_first(0, "", None));
    (0..200).for_each(|id| draft.first_all([ampoule_init::steps::process::setuid(id)]));
    draft
}

criterion_group!(benches, plan, encode);
criterion_main!(benches);
