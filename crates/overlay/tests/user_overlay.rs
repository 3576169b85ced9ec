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

#[test]
fn user_a_volatile_layer_is_accepted_or_discarded() {
    if as_ordinary_user("user_a_volatile_layer_is_accepted_or_discarded") {
        scenes::a_volatile_layer_is_accepted_or_discarded();
    }
}

#[test]
fn user_without_an_upper_layer_nothing_is_written() {
    if as_ordinary_user("user_without_an_upper_layer_nothing_is_written") {
        scenes::without_an_upper_layer_nothing_is_written();
    }
}

#[test]
fn user_what_cannot_be_is_refused() {
    if as_ordinary_user("user_what_cannot_be_is_refused") {
        scenes::what_cannot_be_is_refused();
    }
}

#[test]
fn user_a_hostile_tree_is_removed() {
    if as_ordinary_user("user_a_hostile_tree_is_removed") {
        scenes::a_hostile_tree_is_removed();
    }
}
