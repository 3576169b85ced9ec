//! One instruction from its line.
//!
//! Kernel objects: none. Invariant: what an instruction does not take is an error, never dropped.

use super::expand::Word;
use super::instruction::{
    Argument, Healthcheck, Instruction, Invocation, Run, RunCommand, RunNetwork,
};
use super::lines::{Line, Marker};
use super::options::Options;
use super::problem::ProblemKind;
use super::{Stage, parse_copy, parse_health, parse_mount, words};

type Parsed<T> = Result<T, ProblemKind>;

/// A FROM.
pub(super) fn from(line: &Line, escape: char) -> Parsed<Stage> {
    let (mut options, rest) = Options::read("FROM", &line.rest, escape)?;
    let platform = options.value("--platform")?.map(|text| Word::new(text, escape));
    options.end()?;
    let words = words::split(rest, escape)?;
    let (image, name) = match words.as_slice() {
        [image] => (image, None),
        [image, separator, name] if separator.eq_ignore_ascii_case("AS") => {
            (image, Some(stage_name(name)?))
        }
        _ => {
            return Err(ProblemKind::Arguments {
                instruction: "FROM",
                wanted: "an image, and perhaps AS with a name",
            });
        }
    };
    let image = Word::new(image, escape);
    Ok(Stage { line: line.number, image, platform, name, instructions: Vec::new() })
}

/// The name of a stage; a number would mean a position.
fn stage_name(text: &str) -> Parsed<String> {
    let name = text.to_ascii_lowercase();
    let good = name.starts_with(|c: char| c.is_ascii_lowercase())
        && name.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c));
    if good { Ok(name) } else { Err(value("the name of a stage", text)) }
}

/// Any other instruction.
pub(super) fn instruction(line: &Line, escape: char) -> Parsed<Instruction> {
    let rest = line.rest.as_str();
    Ok(match line.name.to_ascii_uppercase().as_str() {
        "ADD" => Instruction::Add(parse_copy::add(line, escape)?),
        "ARG" => Instruction::Arg(arguments(rest, escape)?),
        "CMD" => Instruction::Cmd(invocation(rest)?),
        "COPY" => Instruction::Copy(parse_copy::copy(line, escape)?),
        "ENTRYPOINT" => Instruction::Entrypoint(invocation(rest)?),
        "ENV" => Instruction::Env(pairs("ENV", rest, escape)?),
        "EXPOSE" => Instruction::Expose(list("EXPOSE", rest, escape)?),
        "HEALTHCHECK" => health(rest, escape)?,
        "LABEL" => Instruction::Label(pairs("LABEL", rest, escape)?),
        "MAINTAINER" => Instruction::Maintainer(whole("MAINTAINER", rest)?.to_owned()),
        "ONBUILD" => Instruction::OnBuild(trigger(line, escape)?),
        "RUN" => Instruction::Run(run(line, escape)?),
        "SHELL" => Instruction::Shell(shell(rest)?),
        "STOPSIGNAL" => Instruction::StopSignal(Word::new(whole("STOPSIGNAL", rest)?, escape)),
        "USER" => Instruction::User(Word::new(whole("USER", rest)?, escape)),
        "VOLUME" => Instruction::Volume(volumes(rest, escape)?),
        "WORKDIR" => Instruction::Workdir(Word::new(whole("WORKDIR", rest)?, escape)),
        _ => return Err(ProblemKind::UnknownInstruction(line.name.chars().take(40).collect())),
    })
}

pub(super) fn value(what: &'static str, text: &str) -> ProblemKind {
    ProblemKind::Value { what, text: text.chars().take(80).collect() }
}

/// The rest of the line, which may not be empty.
fn whole<'a>(instruction: &'static str, rest: &'a str) -> Parsed<&'a str> {
    match rest {
        "" => Err(ProblemKind::Arguments { instruction, wanted: "an argument" }),
        rest => Ok(rest),
    }
}

/// An array, or a line for the shell. Nothing at all empties the one of the image below.
pub(super) fn invocation(rest: &str) -> Parsed<Invocation> {
    Ok(match words::json(rest)? {
        Some(words) => Invocation::Exec(words),
        None if rest.is_empty() => Invocation::Exec(Vec::new()),
        None => Invocation::Shell(rest.to_owned()),
    })
}

fn shell(rest: &str) -> Parsed<Vec<String>> {
    let wanted = ProblemKind::Arguments { instruction: "SHELL", wanted: "an array of strings" };
    words::json(rest)?.filter(|words| !words.is_empty()).ok_or(wanted)
}

fn volumes(rest: &str, escape: char) -> Parsed<Vec<Word>> {
    match words::json(rest)? {
        Some(paths) if !paths.is_empty() => {
            Ok(paths.into_iter().map(|path| Word::new(path, escape)).collect())
        }
        _ => list("VOLUME", rest, escape),
    }
}

fn list(instruction: &'static str, rest: &str, escape: char) -> Parsed<Vec<Word>> {
    let words = words::split(whole(instruction, rest)?, escape)?;
    Ok(words.into_iter().map(|word| Word::new(word, escape)).collect())
}

fn arguments(rest: &str, escape: char) -> Parsed<Vec<Argument>> {
    let argument = |word: String| {
        let (name, default) = match word.split_once('=') {
            Some((name, default)) => (name.to_owned(), Some(Word::new(default, escape))),
            None => (word, None),
        };
        let good = |c: char| c == '_' || c.is_ascii_alphanumeric();
        match !name.is_empty() && name.chars().all(good) {
            true => Ok(Argument { name, default }),
            false => Err(value("the name of a variable", &name)),
        }
    };
    words::split(whole("ARG", rest)?, escape)?.into_iter().map(argument).collect()
}

/// `name=value …`, or the older `name value`.
fn pairs(instruction: &'static str, rest: &str, escape: char) -> Parsed<Vec<(Word, Word)>> {
    let words = words::split(whole(instruction, rest)?, escape)?;
    let pair = |word: &String| {
        let (name, value) = word
            .split_once('=')
            .filter(|(name, _)| !name.is_empty())
            .ok_or(ProblemKind::Arguments { instruction, wanted: "name=value for each" })?;
        Ok((Word::new(name, escape), Word::new(value, escape)))
    };
    if words.first().is_some_and(|first| first.contains('=')) {
        return words.iter().map(pair).collect();
    }
    let wanted = ProblemKind::Arguments { instruction, wanted: "name=value" };
    let (name, value) = rest.split_once(char::is_whitespace).ok_or(wanted)?;
    Ok(vec![(Word::new(name, escape), Word::new(value.trim_start(), escape))])
}

fn run(line: &Line, escape: char) -> Parsed<Run> {
    let (mut options, rest) = Options::read("RUN", &line.rest, escape)?;
    let network = match options.value("--network")?.as_deref() {
        None => None,
        Some("default") => Some(RunNetwork::Default),
        Some("none") => Some(RunNetwork::None),
        Some("host") => Some(RunNetwork::Host),
        Some(other) => return Err(value("the network of RUN", other)),
    };
    let mounts = options.values("--mount")?;
    let mounts = mounts.iter().map(|text| parse_mount::mount(text, escape));
    let mounts = mounts.collect::<Parsed<Vec<_>>>()?;
    options.unsupported("--security")?;
    options.unsupported("--device")?;
    options.end()?;
    whole("RUN", rest)?;
    let command = match line.documents.as_slice() {
        // A here-document and nothing else is the script.
        [here] if Marker::read(rest).is_some() => {
            RunCommand::Script(here.document.as_written().to_owned())
        }
        [] => RunCommand::Invocation(invocation(rest)?),
        documents => {
            let mut text = rest.to_owned();
            for here in documents {
                text.extend(["\n", here.document.as_written(), &here.name]);
            }
            RunCommand::Invocation(Invocation::Shell(text + "\n"))
        }
    };
    Ok(Run { command, network, mounts })
}

fn health(rest: &str, escape: char) -> Parsed<Instruction> {
    let (mut options, rest) = Options::read("HEALTHCHECK", rest, escape)?;
    let times = parse_health::times(&mut options)?;
    options.end()?;
    let (kind, command) = rest.split_once(char::is_whitespace).unwrap_or((rest, ""));
    let wanted = "NONE, or CMD with a command";
    let wrong = ProblemKind::Arguments { instruction: "HEALTHCHECK", wanted };
    match (kind.to_ascii_uppercase().as_str(), command.trim()) {
        ("NONE", "") => Ok(Instruction::Healthcheck(Healthcheck::None)),
        ("CMD", command) if !command.is_empty() => {
            let command = invocation(command)?;
            Ok(Instruction::Healthcheck(Healthcheck::Command { command, times }))
        }
        _ => Err(wrong),
    }
}

/// An instruction that is kept as text; it must parse all the same.
fn trigger(line: &Line, escape: char) -> Parsed<String> {
    let (name, rest) = line.rest.split_once(char::is_whitespace).unwrap_or((&line.rest, ""));
    match name.to_ascii_uppercase().as_str() {
        "" => {
            return Err(ProblemKind::Arguments {
                instruction: "ONBUILD",
                wanted: "an instruction",
            });
        }
        "ONBUILD" => return Err(ProblemKind::OnBuild("ONBUILD")),
        "FROM" => return Err(ProblemKind::OnBuild("FROM")),
        "MAINTAINER" => return Err(ProblemKind::OnBuild("MAINTAINER")),
        _ => {}
    }
    let (name, rest) = (name.to_owned(), rest.trim().to_owned());
    let documents = line.documents.clone();
    let inner = Line { number: line.number, name, rest, documents };
    instruction(&inner, escape)?;
    let mut text = line.rest.clone();
    for here in &line.documents {
        text.extend(["\n", here.document.as_written(), &here.name]);
    }
    Ok(text)
}
