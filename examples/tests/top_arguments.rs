//! The command line and the interfaces of `top`: the tests stand beside the code, and run here, because cargo builds an
//! example either as a program or with its tests, not both.
#![expect(dead_code, reason = "the program uses the rest")]

#[path = "../top/arguments.rs"]
mod arguments;
#[path = "../top/interfaces.rs"]
mod interfaces;
