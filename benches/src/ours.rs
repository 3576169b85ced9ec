//! Ampoule itself as a contender.
//!
//! Invariant: the plan is made once, before the first sample; a sample is launch, wait and drop.

use std::path::Path;

use ampoule::{Builder, Container, Error, Namespace, Plan, Root, Stdio};

use crate::configuration::Configuration;
use crate::contender::{Contender, Sample, Stopwatch};
use crate::failure::Failure;

/// A plan that is launched again and again.
struct Ours(Plan);

/// Makes the plan of a configuration for the root file system `rootfs`.
///
/// # Errors
/// Whatever the plan reports.
pub fn contender(
    configuration: Configuration,
    rootfs: &Path,
) -> Result<Box<dyn Contender>, Failure> {
    launches(builder(configuration, rootfs))
}

/// Makes the plan of a builder, which runs `/bin/true`.
///
/// # Errors
/// Whatever the plan reports.
pub fn launches(builder: Builder) -> Result<Box<dyn Contender>, Failure> {
    let plan = builder.command("/bin/true").plan().map_err(reported)?;
    Ok(Box::new(Ours(plan)))
}

/// The builder of a configuration, with the mounts and settings that the floor has.
pub fn builder(configuration: Configuration, rootfs: &Path) -> Builder {
    configured(configuration, Container::from_rootfs(rootfs))
}

/// The same with another root.
pub fn configured(configuration: Configuration, builder: Builder) -> Builder {
    let builder = builder
        .hostname("ampoule")
        .masked_paths(Vec::<String>::new())
        .read_only_paths(Vec::<String>::new());
    match configuration {
        Configuration::All => builder,
        Configuration::Directory => {
            builder.share(Namespace::Net).share(Namespace::User).root(Root::ReadOnly)
        }
    }
}

/// An error of the library as the harness carries it.
fn reported(error: Error) -> Failure {
    Failure::Reported(error.to_string().into())
}

impl Contender for Ours {
    fn spawn(&self) -> Result<Sample, Failure> {
        let launch = self.0.launch().stdin(Stdio::null());
        let mut watch = Stopwatch::new();
        let mut container = launch.spawn().map_err(reported)?;
        let status = container.wait().map_err(reported)?;
        watch.reaped();
        drop(container);
        let sample = watch.cleaned();
        if status.success() {
            Ok(sample)
        } else {
            Err(Failure::Reported(status.to_string().into()))
        }
    }
}
