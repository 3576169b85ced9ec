//! What `test-runner` finds: the tests stand beside the code, and run here, because cargo builds an example
//! either as a program or with its tests, not both.

#[path = "../test-runner/tree.rs"]
mod tree;
