//! The scenes: one example, its arguments, and what it shows.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use super::Failures;
use crate::error::Error;
use crate::process::Watched;
use crate::workspace::{self, Artifact};

/// One command line, as a reader would type it.
struct Scene {
    title: &'static str,
    example: &'static str,
    args: &'static [&'static str],
    /// Without it the scene cannot run.
    needs: Option<Needs>,
}

/// What this machine must have for a scene.
enum Needs {
    /// A program that the scene shows, where a package puts it.
    Program(&'static str),
    /// A place where this user may make control groups.
    Groups,
}

const SHELL: &str =
    "echo \"pid $$, host name $(hostname), uid $(id -u)\"; ls /proc | grep '^[0-9]'";
const BUSY: &str = "while :; do :; done";
const KEEP: &str = "x=$(head -c 20M /dev/zero | tr '\\0' x); sleep 9";
const EAT: &str =
    "(x=0123456789; while :; do x=$x$x; done); echo \"the child ended with $?, the shell goes on\"";
const FORKS: &str = "(for i in 1 2 3 4 5 6 7 8 9; do sleep 1 & done; wait); echo \"no more than eight; ended with $?\"";
const STATUS: &str = "^(Cap|NoNewPrivs)";

#[rustfmt::skip]
const SCENES: &[Scene] = &[
    Scene { title: "The fifteen lines of the README", example: "hello", args: &[], needs: None },
    Scene { title: "What this machine can do", example: "sandbox", args: &["--doctor"], needs: None },
    Scene { title: "A shell sees its own processes and host name", example: "sandbox",
            args: &["--hostname", "ampoule", "--", "sh", "-c", SHELL], needs: None },
    Scene { title: "Its network has the loopback device only", example: "sandbox",
            args: &["--", "cat", "/proc/net/dev"], needs: None },
    Scene { title: "Its mount table", example: "sandbox",
            args: &["--", "cat", "/proc/self/mounts"], needs: None },
    Scene { title: "Its capabilities are none, and it cannot gain new ones", example: "sandbox",
            args: &["--", "grep", "-E", STATUS, "/proc/self/status"], needs: None },
    Scene { title: "A terminal of its own", example: "sandbox",
            args: &["--tty", "--", "sh", "-c", "tty; stty size"], needs: None },
    Scene { title: "Where the time of a start goes", example: "sandbox",
            args: &["--timings", "--timeout", "5", "--", "true"], needs: None },
    Scene { title: "The steps of a start, one system call a line", example: "sandbox",
            args: &["--explain", "--", "true"], needs: None },
    Scene { title: "What is in force", example: "sandbox",
            args: &["--report", "--", "true"], needs: None },
    Scene { title: "Python", example: "sandbox", needs: Some(Needs::Program("/usr/bin/python3")),
            args: &["--", "/usr/bin/python3", "-c", "import os, socket; print(os.getpid(), socket.gethostname())"] },
    Scene { title: "Perl", example: "sandbox", needs: Some(Needs::Program("/usr/bin/perl")),
            args: &["--", "/usr/bin/perl", "-e", "print \"pid $$, perl $^V\\n\""] },
    Scene { title: "A judge: a right answer, an endless loop, endless output", example: "judge", args: &[], needs: None },
    Scene { title: "An agent's sandbox: files in and out", example: "agent", args: &[], needs: None },
    Scene { title: "Two hundred tests, one plan", example: "parallel-tests", args: &[], needs: None },
    Scene { title: "Memory, CPU time and processes: what was asked for, what the kernel shows, what is used",
            example: "only-cgroups", args: &["--memory", "64m", "--cpus", "0.5", "--pids", "16"], needs: Some(Needs::Groups) },
    Scene { title: "Half a CPU and 64 MiB each: a loop beside one that keeps 20 MiB", example: "top", needs: Some(Needs::Groups),
            args: &["--memory", "64m", "--cpus", "0.5", "--no-stream", "--", "sh", "-c", BUSY, "---", "sh", "-c", KEEP] },
    Scene { title: "Too much memory: who was killed, and at whose limit", example: "sandbox", needs: Some(Needs::Groups),
            args: &["--memory", "32m", "--stats", "--", "sh", "-c", EAT] },
    Scene { title: "Too many processes", example: "sandbox", needs: Some(Needs::Groups),
            args: &["--pids", "8", "--stats", "--", "sh", "-c", FORKS] },
    Scene { title: "System calls refused: new namespaces, and making directories", example: "only-seccomp", needs: None,
            args: &["--deny", "mkdir", "--deny", "mkdirat"] },
    Scene { title: "The namespaces of this machine", example: "lsns", args: &[], needs: None },
    Scene { title: "Namespaces alone, without the rest", example: "only-ns", args: &[], needs: None },
    Scene { title: "Layers alone: seen as one tree, written to, listed, forgotten", example: "only-overlay", args: &[], needs: None },
    Scene { title: "A plan, without running it", example: "print-the-plan", args: &[], needs: None },
    Scene { title: "What errors say", example: "errors", args: &[], needs: None },
];

/// How many lines of a scene are shown.
const SHOWN: usize = 32;
/// How long a scene may take.
const LIMIT: Duration = Duration::from_secs(60);

/// Runs every scene; a scene fails if its example is not there or ends without success.
pub(super) fn run_all(examples: &[Artifact]) -> Result<Failures, Error> {
    let mut failed = Vec::new();
    for scene in SCENES {
        println!("\n--- {}", scene.title);
        if !run(scene, examples)? {
            failed.push(scene.title);
        }
    }
    println!("\n{} scenes, {} failed", SCENES.len(), failed.len());
    failed.iter().for_each(|title| println!("FAILED: {title}"));
    Ok(Failures(failed.len()))
}

fn run(scene: &Scene, examples: &[Artifact]) -> Result<bool, Error> {
    if let Some(lack) = scene.needs.as_ref().and_then(|needs| needs.lack(examples)) {
        println!("NOT RUN  {lack}");
        return Ok(true);
    }
    let separator = if scene.args.is_empty() { "" } else { " -- " };
    let words: Vec<String> = scene.args.iter().map(|word| quoted(word)).collect();
    println!("$ cargo run --example {}{separator}{}", scene.example, words.join(" "));
    let Some(example) = examples.iter().find(|each| each.target.name == scene.example) else {
        println!("FAILED: there is no example {}", scene.example);
        return Ok(false);
    };
    let mut command = Command::new(&example.executable);
    command.args(scene.args).current_dir(workspace::root());
    let mut lines = 0;
    let end = Watched::run(&mut command, LIMIT, &mut |line| {
        lines += 1;
        if lines <= SHOWN {
            println!("{line}");
        }
    })?;
    if lines > SHOWN {
        println!("… {} lines more", lines - SHOWN);
    }
    if !end.is_clean() {
        println!("FAILED: {end:?}");
    }
    Ok(end.is_clean())
}

impl Needs {
    /// What this machine does not have, and what would help.
    fn lack(&self, examples: &[Artifact]) -> Option<String> {
        match self {
            Self::Program(program) => {
                let package = program.rsplit('/').next().unwrap_or(program);
                let missing = !Path::new(program).is_file();
                missing.then(|| format!("no {program}  sudo apt-get install {package}"))
            }
            Self::Groups => {
                let sandbox = examples.iter().find(|each| each.target.name == "sandbox")?;
                let mut command = Command::new(&sandbox.executable);
                let tried = command
                    .args(["--memory", "64m", "--cpus", "1", "--pids", "64", "true"])
                    .output();
                let refused = tried.ok().filter(|tried| !tried.status.success())?;
                Some(String::from_utf8_lossy(&refused.stderr).trim_end().to_owned())
            }
        }
    }
}

/// The word as a shell needs it.
fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./=:,".contains(c);
    match !word.is_empty() && word.chars().all(plain) {
        true => word.to_owned(),
        false => format!("'{}'", word.replace('\'', r"'\''")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_quoted_for_a_shell() {
        assert_eq!(quoted("--hostname"), "--hostname");
        assert_eq!(quoted("echo 'a'"), r"'echo '\''a'\'''");
        assert_eq!(quoted(""), "''");
    }
}
