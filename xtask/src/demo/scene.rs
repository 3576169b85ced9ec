//! The scenes: one example, its arguments, and what it shows.

use std::process::Command;

use super::Failures;
use crate::error::Error;
use crate::process;
use crate::workspace::{self, Artifact};

/// One command line, as a reader would type it.
struct Scene {
    title: &'static str,
    example: &'static str,
    args: &'static [&'static str],
    /// A program of the host that the scene shows; without it the scene cannot run.
    needs: Option<&'static str>,
}

const SHELL: &str =
    "echo \"pid $$, host name $(hostname), uid $(id -u)\"; ls /proc | grep '^[0-9]'";

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
    Scene { title: "Its capabilities are few, and it cannot gain new ones", example: "sandbox",
            args: &["--", "grep", "-E", "^(Cap|NoNewPrivs)", "/proc/self/status"], needs: None },
    Scene { title: "The steps of a start, one system call a line", example: "sandbox",
            args: &["--explain", "--", "true"], needs: None },
    Scene { title: "What is in force", example: "sandbox",
            args: &["--report", "--", "true"], needs: None },
    Scene { title: "Python", example: "sandbox", needs: Some("python3"),
            args: &["--", "/usr/bin/python3", "-c", "import os, socket; print(os.getpid(), socket.gethostname())"] },
    Scene { title: "Perl", example: "sandbox", needs: Some("perl"),
            args: &["--", "/usr/bin/perl", "-e", "print \"pid $$, perl $^V\\n\""] },
    Scene { title: "The namespaces of this machine", example: "lsns", args: &[], needs: None },
    Scene { title: "Namespaces alone, without the rest", example: "only-ns", args: &[], needs: None },
    Scene { title: "A plan, without running it", example: "print-the-plan", args: &[], needs: None },
];

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
    if let Some(program) = scene.needs.filter(|program| process::find(program).is_none()) {
        println!("NOT RUN  no {program}  sudo apt-get install {program}");
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
    let status = process::status(command.args(scene.args).current_dir(workspace::root()))?;
    if !status.success() {
        println!("FAILED: {status}");
    }
    Ok(status.success())
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
