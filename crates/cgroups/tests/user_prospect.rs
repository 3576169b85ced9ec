//! Where groups could be made, told to an ordinary user.
//!
//! Kernel objects: one group for a moment, where one was delegated. Invariant: nothing of it is left.

mod prospect;

#[test]
fn what_is_told_is_what_happens() {
    prospect::it_is_what_happens();
}
