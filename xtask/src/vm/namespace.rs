//! Where an image is built: as root of a mount namespace of its own, so that mounts end with the
//! program; for an ordinary user also of a user namespace with the subordinate ids.

use std::process::Command;

use rustix::process::geteuid;

use crate::process;

/// A command in such a namespace; it is killed when we end.
pub(crate) fn command(program: &str) -> Command {
    let mut command = process::dying_with_us("unshare");
    if !geteuid().is_root() {
        command.args(["--user", "--map-auto", "--map-root-user"]);
    }
    command.args(["--mount", "--propagation", "private", "--pid", "--fork", "--kill-child"]);
    command.args(["--", program]);
    command
}
