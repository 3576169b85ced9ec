//! The worker's side of the protocol: one process that holds a contender and its ballast.
//!
//! Touches its own descriptors 0 and 1. Invariant: the contender's children get /dev/null there, so that
//! nothing they print can be taken for an answer.

use std::ffi::OsString;
use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::configuration::Configuration;
use crate::contender::{Contender, Sample};
use crate::failure::Failure;
use crate::host_size::{Ballast, HostSize, Measured};
use crate::protocol::{Answer, Request};
use crate::throughput;

/// The first argument that makes a program a worker.
pub const VERB: &str = "worker";

/// What a worker is told on its command line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Assignment {
    /// The contender's name.
    pub contender: String,
    /// How it sets a container up.
    pub configuration: Configuration,
    /// The directory with root file system and bundles.
    pub stage: PathBuf,
    /// How big the worker makes itself.
    pub size: HostSize,
}

impl Assignment {
    /// The arguments that [`Assignment::parse`] reads, the verb first.
    pub fn to_arguments(&self) -> Vec<OsString> {
        let mut arguments: Vec<OsString> = vec![VERB.into(), "--contender".into()];
        arguments.push((&self.contender).into());
        arguments.extend(["--configuration".into(), self.configuration.name().into()]);
        arguments.extend(["--stage".into(), self.stage.clone().into()]);
        let HostSize { resident_mib, threads, files } = self.size;
        for (name, value) in [("resident", resident_mib), ("threads", threads), ("files", files)] {
            arguments.push(format!("--{name}={value}").into());
        }
        arguments
    }

    /// Reads the arguments after the verb.
    ///
    /// # Errors
    /// [`Failure::Arguments`] or [`Failure::Unknown`].
    pub fn parse(mut parser: lexopt::Parser) -> Result<Self, Failure> {
        use lexopt::{Arg::Long, ValueExt};
        let mut assignment = Self {
            contender: String::new(),
            configuration: Configuration::All,
            stage: PathBuf::new(),
            size: HostSize::default(),
        };
        while let Some(argument) = parser.next()? {
            match argument {
                Long("contender") => assignment.contender = parser.value()?.string()?,
                Long("configuration") => {
                    assignment.configuration = Configuration::named(&parser.value()?)?;
                }
                Long("stage") => assignment.stage = parser.value()?.into(),
                Long("resident") => assignment.size.resident_mib = parser.value()?.parse()?,
                Long("threads") => assignment.size.threads = parser.value()?.parse()?,
                Long("files") => assignment.size.files = parser.value()?.parse()?,
                other => return Err(other.unexpected().into()),
            }
        }
        Ok(assignment)
    }
}

/// Makes the contender, answers requests until the harness closes the pipe.
///
/// # Errors
/// Only when the protocol itself fails; failures of the contender are answers.
pub fn serve(
    assignment: &Assignment,
    make: impl FnOnce(&Assignment) -> Result<Box<dyn Contender>, Failure>,
) -> Result<(), Failure> {
    let (requests, mut answers) = take_over_stdio()?;
    let prepared = Ballast::take(assignment.size)
        .and_then(|ballast| Ok((make(assignment)?, Measured::here()?, ballast)));
    let (contender, host, _ballast) = match prepared {
        Ok(prepared) => prepared,
        Err(failure) => return send(&mut answers, &Answer::Failed(failure.to_string())),
    };
    send(&mut answers, &Answer::Ready { host })?;
    for line in BufReader::new(requests).lines() {
        let line = line.map_err(Failure::call("read (request)"))?;
        let answer = answer(contender.as_ref(), &serde_json::from_str(&line)?);
        send(&mut answers, &answer.unwrap_or_else(|failure| Answer::Failed(failure.to_string())))?;
    }
    Ok(())
}

/// Moves the pipes away from descriptors 0 and 1 and puts /dev/null there.
pub(crate) fn take_over_stdio() -> Result<(File, File), Failure> {
    let duplicate = |fd| rustix::io::fcntl_dupfd_cloexec(fd, 3).map(File::from);
    let requests = duplicate(rustix::stdio::stdin()).map_err(Failure::call("fcntl"))?;
    let answers = duplicate(rustix::stdio::stdout()).map_err(Failure::call("fcntl"))?;
    let path = Path::new("/dev/null");
    let null = OpenOptions::new().read(true).write(true).open(path);
    let null = null.map_err(Failure::file("open", path))?;
    rustix::stdio::dup2_stdin(&null).map_err(Failure::call("dup2"))?;
    rustix::stdio::dup2_stdout(&null).map_err(Failure::call("dup2"))?;
    Ok((requests, answers))
}

/// Does what one request asks.
fn answer(contender: &dyn Contender, request: &Request) -> Result<Answer, Failure> {
    match *request {
        Request::Run { lead, count } => {
            for _ in 0..lead {
                contender.spawn()?;
            }
            let samples: Result<Vec<Sample>, _> = (0..count).map(|_| contender.spawn()).collect();
            Ok(Answer::Samples(samples?))
        }
        Request::Throughput { threads, milliseconds } => {
            throughput::measure(contender, threads, milliseconds)
        }
    }
}

/// Writes one line.
pub(crate) fn send<A: Serialize>(answers: &mut File, answer: &A) -> Result<(), Failure> {
    let mut line = serde_json::to_string(answer)?;
    line.push('\n');
    answers.write_all(line.as_bytes()).map_err(Failure::call("write (answer)"))
}

#[cfg(test)]
mod tests {
    use super::{Assignment, VERB};
    use crate::configuration::Configuration;
    use crate::host_size::HostSize;

    #[test]
    fn arguments_come_back() {
        let assignment = Assignment {
            contender: "floor".into(),
            configuration: Configuration::Directory,
            stage: "/dev/shm/x".into(),
            size: HostSize { resident_mib: 1, threads: 2, files: 3 },
        };
        let mut arguments = assignment.to_arguments();
        assert_eq!(arguments.remove(0), VERB);
        assert_eq!(Assignment::parse(lexopt::Parser::from_args(arguments)).unwrap(), assignment);
    }
}
