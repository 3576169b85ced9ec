//! The command line of `sandbox`: the tests stand beside the code, and run here, because cargo builds an example
//! either as a program or with its tests, not both.
#![expect(dead_code, reason = "the program uses the rest")]

#[path = "../sandbox/arguments.rs"]
mod arguments;
#[path = "../sandbox/image.rs"]
mod image;
#[path = "../sandbox/network.rs"]
mod network;
#[path = "../sandbox/value.rs"]
mod value;
