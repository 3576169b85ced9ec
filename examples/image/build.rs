//! `build`: an image from a Containerfile.
//!
//! Kernel objects: containers, one after the other, for the programs of RUN. Invariant: what a build says goes to standard
//! error, the image's name and digest to standard output.
#![expect(clippy::print_stderr, reason = "a command line program talks to its user")]

use std::io::Write as _;
use std::path::{Path, PathBuf};

use ampoule::ContainerWorkshop;
use ampoule::image::build::{Build, BuildEvent, Cache, Outcome};
use ampoule::image::containerfile::{Containerfile, Ignore, Problem, RunNetwork};
use ampoule::image::{Reference, Store};
use ampoule_examples::arguments::{Failure, print};
use ampoule_examples::images::{ACCESS_HELP, source_date_epoch, unpacked};
use lexopt::ValueExt as _;

use crate::arguments::{Done, Given, given};

const HELP: &str = "\
Builds an image from a Containerfile, each RUN in a container.

Usage: image build [OPTIONS] -t NAME [CONTEXT]

  -t, --tag NAME         what the image is called
  -f, --file FILE        otherwise Containerfile or Dockerfile in CONTEXT
  --build-arg NAME=VALUE a value for an ARG
  --secret id=ID,src=FILE  a file for RUN --mount=type=secret,id=ID; it is in no layer
  --target STAGE         build this stage, not the last one
  --no-cache             do every step again
  --network HOW          host (the default) or none, for RUN
  --platform P           os/architecture[/variant]; otherwise this machine's
  --store DIR            where the images are

CONTEXT is where COPY and ADD copy from, the current directory unless it is given; its .containerignore or
.dockerignore says what is not part of it. Images that the store does not have are pulled. With
SOURCE_DATE_EPOCH (seconds since 1970) in the environment, the same files give the same image.
";

/// The command line, but for the words.
#[derive(Default)]
struct Options {
    tag: Option<Reference>,
    file: Option<PathBuf>,
    arguments: Vec<(String, String)>,
    secrets: Vec<(String, PathBuf)>,
    target: Option<String>,
    cache: Cache,
    network: Option<RunNetwork>,
}

impl Options {
    fn take(&mut self, name: &str, from: &mut lexopt::Parser) -> Result<bool, Failure> {
        match name {
            "t" | "tag" => self.tag = Some(from.value()?.string()?.parse()?),
            "f" | "file" => self.file = Some(from.value()?.into()),
            "build-arg" => {
                let text = from.value()?.string()?;
                let (name, value) = text.split_once('=').ok_or("--build-arg takes NAME=VALUE")?;
                self.arguments.push((name.to_owned(), value.to_owned()));
            }
            "secret" => self.secrets.push(secret(&from.value()?.string()?)?),
            "target" => self.target = Some(from.value()?.string()?),
            "no-cache" => self.cache = Cache::Passed,
            "network" => {
                self.network = Some(match from.value()?.string()?.as_str() {
                    "host" => RunNetwork::Host,
                    "none" => RunNetwork::None,
                    other => return Err(format!("--network {other}: host or none").into()),
                });
            }
            _ => return Ok(false),
        }
        Ok(true)
    }
}

/// What `--secret` says: a name and a file, by its name if it has no other.
fn secret(text: &str) -> Result<(String, PathBuf), Failure> {
    let (mut id, mut source) = (None, None);
    for field in text.split(',') {
        let into = match field.split_once('=') {
            Some(("id", value)) => (&mut id, value),
            Some(("src" | "source", value)) => (&mut source, value),
            Some(("type", "file")) => continue,
            _ => return Err(format!("--secret {text}: it takes id=ID,src=FILE").into()),
        };
        if into.0.replace(into.1.to_owned()).is_some() {
            return Err(format!("--secret {text}: {field} is said twice").into());
        }
    }
    let source =
        PathBuf::from(source.ok_or_else(|| format!("--secret {text}: src=FILE is missing"))?);
    let named = || source.file_name().map(|name| name.to_string_lossy().into_owned());
    let id = id.or_else(named).filter(|id| !id.is_empty());
    let id = id.ok_or_else(|| format!("--secret {text}: id=ID is missing"))?;
    Ok((id, source))
}

/// `build`.
pub(crate) fn build(from: lexopt::Parser) -> Done {
    let mut options = Options::default();
    let help = format!("{HELP}{ACCESS_HELP}");
    let given = given(from, &help, &mut |name, from| options.take(name, from))?;
    let Some(mut given) = given else { return Ok(None) };
    let context = PathBuf::from(given.next_raw().unwrap_or_else(|| ".".into()));
    given.end()?;
    let tag = options.tag.take().ok_or("-t NAME is missing (see --help)")?;
    let path = options.file.take().unwrap_or_else(|| {
        let usual = context.join("Containerfile");
        if usual.exists() { usual } else { context.join("Dockerfile") }
    });
    let bytes = std::fs::read(&path).map_err(|error| format!("{}: {error}", path.display()))?;
    let file = Containerfile::from_bytes(&bytes).map_err(|problems| wrong(&path, &problems))?;
    let store = given.store()?;
    let workshop = ContainerWorkshop::new();
    let mut build = Build::new(&store, &workshop)
        .ignore(ignore(&context)?)
        .context(context)
        .cache(options.cache)
        .events(&|event| show(event));
    build = with_registry(build, &store, &given);
    for (name, value) in options.arguments {
        build = build.argument(name, value);
    }
    for (id, path) in options.secrets {
        let bytes = std::fs::read(&path).map_err(|error| format!("{}: {error}", path.display()))?;
        build = build.secret(id, bytes);
    }
    if let Some(stage) = options.target {
        build = build.target(stage);
    }
    if let Some(network) = options.network {
        build = build.network(network);
    }
    if let Some(platform) = given.choice.platform() {
        build = build.platform(platform);
    }
    if let Some(seconds) = source_date_epoch()? {
        build = build.source_date_epoch(seconds);
    }
    let image = build.run(&file, &tag).map_err(|error| {
        let hint = error.hint().map(|hint| format!("\nhint: {hint}")).unwrap_or_default();
        format!("{}: {error}{hint}", path.display())
    })?;
    unpacked(&image, &())?;
    print(&format!("{} {}\n", tag.familiar(), image.descriptor().digest))?;
    Ok(Some(0))
}

/// Every problem of a file, each on a line of its own.
fn wrong(path: &Path, problems: &[Problem]) -> Failure {
    let lines = problems.iter().map(|problem| format!("{}: {problem}", path.display()));
    lines.collect::<Vec<_>>().join("\n").into()
}

/// What is not part of the context.
fn ignore(context: &Path) -> Result<Ignore, Failure> {
    for name in [".containerignore", ".dockerignore"] {
        let path = context.join(name);
        match std::fs::read_to_string(&path) {
            Ok(text) => return Ignore::parse(&text).map_err(|problems| wrong(&path, &problems)),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => return Err(format!("{}: {error}", path.display()).into()),
        }
    }
    Ok(Ignore::default())
}

/// Pulls what the store does not have.
#[cfg(feature = "registry")]
fn with_registry<'a>(build: Build<'a>, store: &'a Store, given: &'a Given) -> Build<'a> {
    use ampoule::image::{Choice, ErrorKind, Pull};
    use ampoule_examples::images::Bars;
    build.find(|reference, platform| match store.image(reference) {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            let (choice, unpack) = (Choice::Platform(platform.clone()), store.suited());
            let bars = Bars::new();
            let how = Pull::new().choice(&choice).unpack(&unpack).progress(&bars);
            given.access.pull(store, reference, reference, &how)
        }
        found => found,
    })
}

#[cfg(not(feature = "registry"))]
fn with_registry<'a>(build: Build<'a>, _: &'a Store, _: &'a Given) -> Build<'a> {
    build
}

fn show(event: &BuildEvent<'_>) {
    match event {
        BuildEvent::Step { line, number, count, text } => {
            eprintln!("step {number}/{count}, line {line}: {text}");
        }
        // Nobody is there to read: the build goes on.
        BuildEvent::Output(bytes) => std::io::stderr().write_all(bytes).unwrap_or_default(),
        BuildEvent::Done(Outcome::FromCache) => eprintln!("  from the cache"),
        BuildEvent::UnusedArgument(name) => eprintln!("no ARG takes {name}"),
        _ => {}
    }
}
