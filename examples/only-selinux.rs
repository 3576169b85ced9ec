//! How do I give processes and files SELinux labels that keep them apart?

use std::fs;
use std::process::ExitCode;

use ampoule_examples::arguments::{Failure, only_help, print};
use ampoule_selinux::{
    Attribute, ContainerContexts, FileLabels, Pair, Pairs, Relabel, SelinuxFs, State,
};

const HELP: &str = "\
Shows what keeps two containers apart: a pair of categories each, in the labels of processes and files.

Usage: only-selinux

Where SELinux is on the loaded policy is asked what it permits, and a temporary file gets a label. Elsewhere it says so,
and shows the labels alone.
";

fn main() -> ExitCode {
    let shown = only_help(HELP).and_then(|asked| asked.map_or(Ok(()), |()| show()));
    match shown {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            print(&format!("only-selinux: {error}\n")).ok();
            ExitCode::FAILURE
        }
    }
}

fn show() -> Result<(), Failure> {
    let state = State::of_this_machine()?;
    print(&format!("SELinux here: {state:?}\n"))?;
    // Two pairs that nobody else has, as long as these two live.
    let place = tempfile::tempdir()?;
    let pairs = Pairs::open(place.path().join("pairs"))?;
    let (one, other) = (pairs.allocate()?, pairs.allocate()?);
    let contexts = ContainerContexts::of_the_policy()?;
    for lease in [&one, &other] {
        let (process, file) = contexts.with_pair(lease.pair());
        print(&format!("a container's processes: {process}\n  and files:             {file}\n"))?;
    }
    match SelinuxFs::open()?.filter(|_| state != State::Disabled) {
        Some(selinux) => ask(&selinux, &contexts, [one.pair(), other.pair()]),
        None => print("SELinux is not on: labels are only texts here, nothing is kept apart\n"),
    }
}

/// What the policy says, and what the kernel keeps.
fn ask(
    selinux: &SelinuxFs,
    contexts: &ContainerContexts,
    [one, other]: [Pair; 2],
) -> Result<(), Failure> {
    if let Some(own) = Attribute::Current.of_this_thread()? {
        print(&format!("this process: {own}\n"))?;
    }
    let (process, own) = contexts.with_pair(one);
    let (_, foreign) = contexts.with_pair(other);
    let files = [("its own", &own), ("the other's", &foreign), ("a shared", &contexts.file)];
    for (whose, file) in files {
        let may = selinux.allows(&process, file, ("file", "read"))?;
        print(&format!("the first may {}read {whose} file\n", if may { "" } else { "not " }))?;
    }
    // What engines call `:Z`, on a directory of its own.
    let volume = tempfile::tempdir()?;
    fs::write(volume.path().join("file"), "x")?;
    match Relabel::new(&own).and_then(|relabel| relabel.path(volume.path())) {
        Ok(done) => {
            let label = FileLabels::open()?.get(fs::File::open(volume.path().join("file"))?)?;
            let label = label.map_or_else(String::new, |label| label.to_string());
            print(&format!("relabelled {} files: {label}\n", done.changed))
        }
        Err(error) => print(&format!("no relabelling: {error}\n")),
    }
}
