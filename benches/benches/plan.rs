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
    c.bench_function("plan with 20 binds", |b| {
        let builder = (0..20)
            .fold(builder.clone(), |builder, n| builder.bind_at("/usr", format!("/tmp/bind-{n}")));
        b.iter(|| black_box(builder.clone()).command("true").plan().expect("a plan"));
    });
}

/// From a plan to a launch: the second record that is made each time.
fn encode(c: &mut Criterion) {
    let plan = Container::host_view().command("true").plan().expect("a plan");
    c.bench_function("launch record", |b| {
        b.iter(|| black_box(plan.launch().arg("--exact").env("A", "1")));
    });
    c.bench_function("display", |b| b.iter(|| black_box(&plan).to_string()));
}

criterion_group!(benches, plan, encode);
criterion_main!(benches);
