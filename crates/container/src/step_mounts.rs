//! What a program of a build sees besides the image (`RUN --mount`).
//!
//! Kernel objects: mounts of its container. Invariant: files of others come without set-user-id and devices; secrets are in
//! memory only.

use ampoule_image::build::{StepMount, StepMountKind};
use ampoule_image::containerfile::MountAccess;
use ampoule_overlay::{Mount, MountKind};

use crate::builder::Builder;

/// A container with these mounts.
pub(crate) fn mounted(mut builder: Builder, mounts: &[StepMount]) -> Builder {
    for StepMount { target, kind, .. } in mounts {
        builder = match kind {
            StepMountKind::Bind { source, access: MountAccess::ReadWrite } => {
                builder.bind_rw_to(source, target)
            }
            StepMountKind::Bind { source, .. } => builder.bind_to(source, target),
            StepMountKind::Layers { lower, upper } => {
                let mut mount = Mount::overlay(lower.clone(), target);
                let upper = upper.clone();
                mount.kind = MountKind::Overlay { lower: lower.clone(), upper, work: None };
                builder.mount(mount)
            }
            StepMountKind::Tmpfs { size } => {
                builder.mount(Mount::tmpfs(target, size.unwrap_or_default()))
            }
            StepMountKind::File { bytes, mode } => {
                builder.file_with_mode(target, bytes.as_slice(), *mode)
            }
            _ => builder,
        };
    }
    builder
}
