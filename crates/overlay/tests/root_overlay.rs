//! Overlays by themselves as root: what is seen from outside, what lands where.

#![allow(clippy::unwrap_used, reason = "what fails here fails the test")]

mod layers;

use layers::scenes;

#[test]
fn written_and_discarded() {
    scenes::written_and_discarded();
}

#[test]
fn five_hundred_layers() {
    scenes::five_hundred_layers();
}
