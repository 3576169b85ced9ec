//! RUN: what is executed, with what environment.
//!
//! Kernel objects: none here. Invariant: the caller's environment is not part of it.

use std::collections::BTreeMap;

use super::settings::{shell_of, words};
use super::stage::Stage;
use super::workshop::RunStep;
use crate::containerfile::{Run, RunCommand, RunNetwork};

/// Where a script is read from.
const SCRIPT: &str = "/dev/fd/3";

/// The path of programs where the image says none.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// The program of a RUN.
pub(super) fn step<'a>(
    stage: &Stage,
    run: &Run,
    network: RunNetwork,
    output: &'a (dyn Fn(&[u8]) + Sync),
) -> RunStep<'a> {
    let config = &stage.config.config;
    let shell = shell_of(config);
    let (argv, script) = match &run.command {
        RunCommand::Invocation(invocation) => (words(invocation, &shell), None),
        RunCommand::Script(text) => match text.strip_prefix("#!") {
            Some(rest) => (interpreter(rest), Some(text.clone().into_bytes())),
            None => (shell.into_iter().chain([text.clone()]).collect(), None),
        },
    };
    let mut env: BTreeMap<String, String> = stage.arguments.for_run();
    env.entry("PATH".to_owned()).or_insert_with(|| PATH.to_owned());
    let pairs = config.env.iter().filter_map(|pair| pair.split_once('='));
    env.extend(pairs.map(|(name, value)| (name.to_owned(), value.to_owned())));
    RunStep {
        argv,
        env: env.into_iter().collect(),
        current_dir: config.working_dir.clone().unwrap_or_else(|| "/".to_owned()),
        user: config.user.clone().filter(|user| !user.is_empty()),
        network: run.network.filter(|&own| own != RunNetwork::Default).unwrap_or(network),
        script,
        mounts: Vec::new(),
        output,
    }
}

/// What the kernel would execute for a script (execve(2)): the interpreter, at most one argument, the script.
fn interpreter(rest: &str) -> Vec<String> {
    let line = rest.lines().next().unwrap_or_default().trim();
    let (program, argument) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
    let argument = Some(argument.trim()).filter(|argument| !argument.is_empty());
    [Some(program), argument, Some(SCRIPT)].into_iter().flatten().map(str::to_owned).collect()
}
