//! Overlays by themselves as an ordinary user: what is seen from outside, what lands where.

mod layers;
mod sandbox;

use layers::scenes;
use sandbox::as_ordinary_user;

#[test]
fn user_written_and_discarded() {
    if as_ordinary_user("user_written_and_discarded") {
        scenes::written_and_discarded();
    }
}

#[test]
fn user_five_hundred_layers() {
    if as_ordinary_user("user_five_hundred_layers") {
        scenes::five_hundred_layers();
    }
}
