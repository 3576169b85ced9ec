//! Instructions that change only the image's configuration.
//!
//! Kernel objects: none. Invariant: a value that no container could use is an error, not written down.

use std::time::Duration;

use super::stage::Stage;
use super::trouble::Trouble;
use crate::config::{Execution, Healthcheck as Check};
use crate::containerfile::{HealthTimes, Healthcheck, Instruction, Invocation, ProblemKind, Word};

/// The shell of RUN, CMD and ENTRYPOINT where no other was set.
const SHELL: [&str; 2] = ["/bin/sh", "-c"];

/// Does one; false if it is of another kind.
pub(super) fn apply(stage: &mut Stage, instruction: &Instruction) -> Result<bool, Trouble> {
    let shell = shell_of(&stage.config.config);
    match instruction {
        Instruction::Arg(arguments) => {
            for argument in arguments {
                let env = stage.config.config.env.clone();
                stage.arguments.declare(argument, &env)?;
            }
        }
        Instruction::Cmd(cmd) => {
            stage.config.config.cmd = Some(words(cmd, &shell));
            stage.cmd_is_own = true;
        }
        Instruction::Entrypoint(entrypoint) => {
            stage.config.config.entrypoint = Some(words(entrypoint, &shell));
            // The arguments below were meant for another program.
            if !stage.cmd_is_own {
                stage.config.config.cmd = None;
            }
        }
        Instruction::Env(pairs) => set_env(stage, pairs)?,
        Instruction::Expose(ports) => expose(stage, ports)?,
        Instruction::Healthcheck(check) => {
            stage.config.config.healthcheck = Some(health(check, &shell));
        }
        Instruction::Label(pairs) => {
            for (name, value) in expand_pairs(stage, pairs)? {
                stage.config.config.labels.insert(name, value);
            }
        }
        Instruction::Maintainer(name) => stage.config.author = Some(name.clone()),
        Instruction::OnBuild(text) => stage.config.config.on_build.push(text.clone()),
        Instruction::Shell(shell) => stage.config.config.shell.clone_from(shell),
        Instruction::StopSignal(word) => {
            let signal = stage.expand(word)?;
            stage.config.config.stop_signal = Some(checked_signal(signal)?);
        }
        Instruction::User(word) => stage.config.config.user = Some(stage.expand(word)?),
        Instruction::Volume(words) => {
            for word in words {
                let path = stage.expand(word)?;
                stage.config.config.volumes.insert(path);
            }
        }
        _ => return Ok(false),
    }
    Ok(true)
}

/// What runs a line.
pub(super) fn shell_of(config: &Execution) -> Vec<String> {
    match config.shell.as_slice() {
        [] => SHELL.map(str::to_owned).into(),
        shell => shell.to_vec(),
    }
}

/// The words of a command line.
pub(super) fn words(invocation: &Invocation, shell: &[String]) -> Vec<String> {
    match invocation {
        Invocation::Exec(words) => words.clone(),
        Invocation::Shell(line) => shell.iter().cloned().chain([line.clone()]).collect(),
    }
}

fn expand_pairs(
    stage: &Stage,
    pairs: &[(Word, Word)],
) -> Result<Vec<(String, String)>, ProblemKind> {
    // All of one instruction see the variables as they were before it.
    pairs.iter().map(|(name, value)| Ok((stage.expand(name)?, stage.expand(value)?))).collect()
}

fn set_env(stage: &mut Stage, pairs: &[(Word, Word)]) -> Result<(), Trouble> {
    for (name, value) in expand_pairs(stage, pairs)? {
        if name.is_empty() || name.contains(['=', '\0']) || value.contains('\0') {
            return Err(ProblemKind::Value { what: "a variable", text: name }.into());
        }
        let env = &mut stage.config.config.env;
        let prefix = format!("{name}=");
        let pair = format!("{prefix}{value}");
        match env.iter_mut().find(|old| old.starts_with(&prefix)) {
            Some(old) => *old = pair,
            None => env.push(pair),
        }
    }
    Ok(())
}

/// `80`, `80/udp`, `8000-8010/tcp`, several in one variable.
fn expose(stage: &mut Stage, words: &[Word]) -> Result<(), Trouble> {
    for word in words {
        for text in stage.expand(word)?.split_whitespace() {
            let (ports, protocol) = text.split_once('/').unwrap_or((text, "tcp"));
            let (first, last) = ports.split_once('-').unwrap_or((ports, ports));
            let wrong = || ProblemKind::Value { what: "a port", text: text.to_owned() };
            let number = |text: &str| text.parse::<u16>().map_err(|_| wrong());
            let (first, last) = (number(first)?, number(last)?);
            let protocol = protocol.to_ascii_lowercase();
            if first > last || !["tcp", "udp", "sctp"].contains(&protocol.as_str()) {
                return Err(wrong().into());
            }
            let ports = (first..=last).map(|port| format!("{port}/{protocol}"));
            stage.config.config.exposed_ports.extend(ports);
        }
    }
    Ok(())
}

fn checked_signal(text: String) -> Result<String, ProblemKind> {
    let name = text.to_ascii_uppercase();
    let name = name.strip_prefix("SIG").unwrap_or(&name);
    let is_name = name.starts_with(|c: char| c.is_ascii_uppercase())
        && name.chars().all(|c| c.is_ascii_alphanumeric() || "+-".contains(c));
    let is_number = text.parse::<u8>().is_ok_and(|number| (1..=64).contains(&number));
    match is_name || is_number {
        true => Ok(text),
        false => Err(ProblemKind::Value { what: "a signal", text }),
    }
}

fn health(check: &Healthcheck, shell: &[String]) -> Check {
    let Healthcheck::Command { command, times } = check else {
        return Check { test: vec!["NONE".to_owned()], ..Check::default() };
    };
    let test = match command {
        Invocation::Exec(words) => ["CMD".to_owned()].into_iter().chain(words.clone()).collect(),
        // Engines run it with the image's own shell, which is what stands for the usual one.
        Invocation::Shell(line) if shell == SHELL => vec!["CMD-SHELL".to_owned(), line.clone()],
        Invocation::Shell(_) => {
            ["CMD".to_owned()].into_iter().chain(words(command, shell)).collect()
        }
    };
    let HealthTimes { interval, timeout, start_period, start_interval, retries, .. } = *times;
    let nanoseconds = |time: Option<Duration>| {
        time.map(|time| u64::try_from(time.as_nanos()).unwrap_or(u64::MAX))
    };
    Check {
        test,
        interval: nanoseconds(interval),
        timeout: nanoseconds(timeout),
        start_period: nanoseconds(start_period),
        start_interval: nanoseconds(start_interval),
        retries: retries.map(u64::from),
    }
}
