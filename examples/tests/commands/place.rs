//! Where the example programs are.
//!
//! Invariant: they are those that were built with the tests.

use std::path::PathBuf;

/// An example: beside the tests in the target directory, or copied to the place where the tests are.
pub(crate) fn example(name: &str) -> PathBuf {
    let own = std::env::current_exe().expect("the path of this test");
    let places = own.ancestors().skip(1).take(2).map(|place| place.join("examples").join(name));
    places.into_iter().find(|path| path.is_file()).unwrap_or_else(|| {
        panic!("no example {name} beside {}: cargo build --examples", own.display())
    })
}
