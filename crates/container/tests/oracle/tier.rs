//! Which tier a test belongs to, stated by its first line.
//!
//! Kernel object: the effective user id. Invariant: a test of a tier that cannot run here fails
//! with the reason; it never passes by doing nothing.

/// For `root_*` tests: the effective uid must be 0.
pub(crate) fn root() {
    let uid = rustix::process::geteuid();
    assert!(
        uid.is_root(),
        "this test is of tier `root` and needs effective uid 0, not {}: run it as root, \
         or leave the tier out with `--skip root_`",
        uid.as_raw()
    );
}

/// For `user_*` tests that must not have root's privileges: the effective uid must not be 0.
pub(crate) fn user() {
    assert!(
        !rustix::process::geteuid().is_root(),
        "this test is of tier `user` and shows nothing as root: run it as an ordinary user \
         (`setpriv --reuid 65534 --regid 65534 --clear-groups …`), or leave the tier out with \
         `--skip user_`"
    );
}

/// For `vm_*` tests: this is a guest of `cargo xtask vm`.
pub(crate) fn vm() {
    assert!(
        std::path::Path::new("/usr/lib/ampoule/job").exists(),
        "this test is of tier `vm` and looks at a machine that this is not: run \
         `cargo xtask test --tier vm`, or leave the tier out with `--skip vm_`"
    );
}
