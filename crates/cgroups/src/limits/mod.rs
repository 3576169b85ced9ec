//! What a group may use, as typed data: one file per controller.

pub mod devices;
