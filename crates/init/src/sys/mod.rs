//! Safe wrappers of system calls that rustix and nix lack.
pub mod ns_ioctl;
