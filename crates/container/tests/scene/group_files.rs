//! The group of a container, looked at through the file system.
//!
//! Kernel objects: files of cgroupfs. Invariant: nothing of the library reads them.

use ampoule::Container;

/// The text of a file of the container's group, in the hierarchy that has it.
pub(crate) fn file(container: &Container, name: &str) -> Option<String> {
    let group = container.group().expect("a group");
    group.paths().find_map(|path| std::fs::read_to_string(path.join(name)).ok())
}
