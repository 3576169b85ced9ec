//! The worker's side: one process that holds a contender and its groups.
//!
//! Touches its descriptors 0 and 1, and groups. Invariant: when its input ends, when it fails and when it panics, its
//! groups are removed.

use std::ffi::OsString;
use std::io::{BufRead, BufReader};
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::contender::Contender;
use super::hierarchy::Hierarchies;
use super::limits;
use super::measure::Meter;
use super::member::Member;
use super::opened::Opened;
use super::proof::{Proof, Work};
use super::sweep::Sweeper;
use crate::failure::Failure;
use crate::worker::{send, take_over_stdio};

/// The first argument that makes a program a worker of this bench.
pub const VERB: &str = "cgroups-worker";

/// What a worker is told on its command line.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Assignment {
    /// The contender's name, with which the names of its groups begin.
    pub contender: String,
    /// The directory of the run in each hierarchy.
    pub place: String,
    /// The root file system of containers.
    pub rootfs: PathBuf,
    /// What Ampoule's groups are, which the raw calls do too.
    pub work: Work,
}

/// What a worker sends: first [`Answer::Ready`], unasked, then one answer per request.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    /// It can be asked.
    Ready(Proof),
    /// To a request: durations in microseconds.
    Samples(Vec<f64>),
    /// To a request, or in place of [`Answer::Ready`].
    Failed(String),
}

impl Assignment {
    /// The arguments that [`Assignment::parse`] reads, the verb first.
    pub fn to_arguments(&self) -> Vec<OsString> {
        let mut arguments: Vec<OsString> = vec![VERB.into()];
        for (name, value) in [("--contender", &self.contender), ("--place", &self.place)] {
            arguments.extend([name.into(), value.into()]);
        }
        arguments.extend(["--rootfs".into(), self.rootfs.clone().into()]);
        let lists = [("--directory", &self.work.directories), ("--read", &self.work.reads)];
        for (name, values) in lists {
            values.iter().for_each(|value| arguments.extend([name.into(), value.into()]));
        }
        arguments
    }

    /// Reads the arguments after the verb.
    ///
    /// # Errors
    /// [`Failure::Arguments`].
    pub fn parse(mut parser: lexopt::Parser) -> Result<Self, Failure> {
        use lexopt::{Arg::Long, ValueExt};
        let mut assignment = Self::default();
        while let Some(argument) = parser.next()? {
            match argument {
                Long("contender") => assignment.contender = parser.value()?.string()?,
                Long("place") => assignment.place = parser.value()?.string()?,
                Long("rootfs") => assignment.rootfs = parser.value()?.into(),
                Long("directory") => assignment.work.directories.push(parser.value()?.string()?),
                Long("read") => assignment.work.reads.push(parser.value()?.string()?),
                other => return Err(other.unexpected().into()),
            }
        }
        Ok(assignment)
    }

    /// How the names of its groups begin.
    fn prefix(&self) -> String {
        format!("{}-", self.contender)
    }
}

/// Makes the contender, answers requests until the harness closes the pipe.
///
/// # Errors
/// Only when the protocol itself fails; failures of the contender are answers.
pub fn serve(
    assignment: &Assignment,
    make: impl FnOnce(&Assignment, &Hierarchies) -> Result<Box<dyn Contender>, Failure>,
) -> Result<(), Failure> {
    let (requests, mut answers) = take_over_stdio()?;
    let hierarchies = Hierarchies::here(&assignment.place)?;
    let prefix = assignment.prefix();
    let sweeper = Sweeper { hierarchies: &hierarchies, prefix: prefix.clone() };
    let contender = match make(assignment, &hierarchies) {
        Ok(contender) => contender,
        Err(failure) => return send(&mut answers, &Answer::Failed(failure.to_string())),
    };
    let mut meter = Meter::new(contender.as_ref(), &hierarchies, assignment, &prefix);
    match prove(contender.as_ref(), &hierarchies, &meter.name()) {
        Ok(proof) => send(&mut answers, &Answer::Ready(proof))?,
        Err(failure) => return send(&mut answers, &Answer::Failed(failure.to_string())),
    }
    for line in BufReader::new(requests).lines() {
        let line = line.map_err(Failure::call("read (request)"))?;
        let answer = match meter.answer(serde_json::from_str(&line)?) {
            Ok(samples) => Answer::Samples(samples),
            Err(failure) => {
                super::sweep::sweep(&hierarchies, &prefix)?;
                Answer::Failed(failure.to_string())
            }
        };
        send(&mut answers, &answer)?;
    }
    drop(sweeper);
    Ok(())
}

/// Makes one group, looks at it as the kernel shows it, and removes it; nothing may be left.
///
/// # Errors
/// What the contender reports; [`Failure::LeftBehind`].
pub fn prove(
    contender: &dyn Contender,
    hierarchies: &Hierarchies,
    name: &str,
) -> Result<Proof, Failure> {
    let writes = limits::writes(hierarchies)?;
    let group = contender.create(name)?;
    let mut proof = Proof::of(name, hierarchies, &writes);
    let member = Member::start()?;
    group.add(member.id())?;
    let (there, directories) = (member.memberships(name)?, proof.work.directories.len());
    if there != directories {
        let wrong = format!("its process is in {there} of {directories} directories");
        proof.not_in_force.push(wrong);
    }
    let opened = Opened::watch(hierarchies, name)?;
    let usage = group.stat();
    proof.work.reads = opened.files()?;
    match usage {
        Ok(usage) if usage.processes != 1 => {
            proof.not_in_force.push(format!("it counts {} processes for one", usage.processes));
        }
        // A failure is said by the measure itself.
        _ => {}
    }
    member.take_back(hierarchies)?;
    group.remove()?;
    let left = hierarchies.holding(name);
    if left.is_empty() { Ok(proof) } else { Err(Failure::LeftBehind { names: left }) }
}

#[cfg(test)]
mod tests {
    use super::{Assignment, VERB};
    use crate::cgroups::proof::Work;

    #[test]
    fn arguments_come_back() {
        let assignment = Assignment {
            contender: "raw".into(),
            place: "x-1".into(),
            rootfs: "/dev/shm/x".into(),
            work: Work {
                directories: vec!["memory".into(), "cpu,cpuacct".into()],
                reads: vec!["memory/memory.stat".into()],
            },
        };
        let mut arguments = assignment.to_arguments();
        assert_eq!(arguments.remove(0), VERB);
        assert_eq!(Assignment::parse(lexopt::Parser::from_args(arguments)).unwrap(), assignment);
    }
}
