//! How long does it take to unpack a layer, verified, beside tar and the peers?
//!
//! Touches `target/bench` and a directory on a tmpfs. Invariant: all contenders are measured in turn in one run, and a
//! row without figures says why.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a command line program")]

use std::env;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use ampoule_benches::failure::Failure;
use ampoule_benches::machine::Machine;
use ampoule_benches::unpacking::contender::{CONTENDERS, Contender};
use ampoule_benches::unpacking::layer::{self, Layer};
use ampoule_benches::unpacking::report::{Report, Row};
use ampoule_benches::unpacking::sample::{self, Sample};

const HELP: &str = "\
How long does it take to unpack a layer, verified, beside tar and the peers?

bench-image [--quick] [--samples N] [--layer FILE] [--only NAME,...] [--json FILE]

  --quick         3 samples
  --samples N     samples per contender (20)
  --layer FILE    a gzip layer; without, one is made of this machine's files
  --only NAME,... ours, tar, umoci, c/storage
  --json FILE     every sample (target/bench/image.json)
";

struct Options {
    samples: usize,
    layer: Option<PathBuf>,
    only: Vec<String>,
    json: Option<PathBuf>,
    help: bool,
}

fn main() -> ExitCode {
    match run() {
        Ok(code) => code,
        Err(failure) => {
            eprintln!("bench-image: {failure}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<ExitCode, Failure> {
    let words: Vec<OsString> = env::args_os().skip(1).collect();
    match words.split_first() {
        Some((verb, words)) if verb == "sample" => {
            println!("{}", serde_json::to_string(&sample::measure(words)?)?);
            return Ok(ExitCode::SUCCESS);
        }
        Some((verb, [file, target])) if verb == "unpack" => {
            layer::unpack(Path::new(file), Path::new(target))?;
            return Ok(ExitCode::SUCCESS);
        }
        _ => {}
    }
    let options = options(lexopt::Parser::from_env())?;
    if options.help {
        print!("{HELP}");
        return Ok(ExitCode::SUCCESS);
    }
    bench(&options)
}

fn options(mut parser: lexopt::Parser) -> Result<Options, Failure> {
    use lexopt::{Arg::Long, ValueExt};
    let mut options =
        Options { samples: 20, layer: None, only: Vec::new(), json: None, help: false };
    while let Some(argument) = parser.next()? {
        match argument {
            Long("quick") => options.samples = 3,
            Long("samples") => options.samples = parser.value()?.parse()?,
            Long("layer") => options.layer = Some(parser.value()?.into()),
            Long("only") => {
                let names = parser.value()?.string()?;
                options.only.extend(names.split(',').map(str::to_owned));
            }
            Long("json") => options.json = Some(parser.value()?.into()),
            Long("help") => options.help = true,
            other => return Err(other.unexpected().into()),
        }
    }
    Ok(options)
}

/// Measures, prints, writes; a failure of ours makes the exit status 1.
fn bench(options: &Options) -> Result<ExitCode, Failure> {
    let own = env::current_exe().map_err(Failure::call("readlink /proc/self/exe"))?;
    let target = own.parent().and_then(Path::parent).unwrap_or(Path::new("target")).join("bench");
    let stage = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir());
    let stage = stage.map_err(Failure::call("mkdir"))?;
    let machine = Machine::here();
    eprintln!("making the layer in {}", stage.path().display());
    let layer = layer::prepare(stage.path(), options.layer.as_deref())?;
    let wanted = |contender: &&Contender| {
        options.only.is_empty() || options.only.iter().any(|name| name == contender.name)
    };
    let mut all: Vec<_> =
        CONTENDERS.iter().filter(wanted).map(|it| (it, Vec::new(), None)).collect();
    for round in 0..options.samples {
        eprintln!("round {} of {}", round + 1, options.samples);
        let count = all.len();
        for turn in 0..count {
            let Some((contender, samples, failure)) = all.get_mut((round + turn) % count) else {
                continue;
            };
            if failure.is_none() {
                match once(contender, &own, &layer, stage.path()) {
                    Ok(sample) => samples.push(sample),
                    Err(error) => *failure = Some(error.to_string()),
                }
            }
        }
    }
    let rows =
        all.into_iter().map(|(contender, samples, failure)| Row::of(contender, samples, failure));
    let report = Report::new(machine, layer, rows.collect());
    print!("{report}");
    let json = options.json.clone().unwrap_or_else(|| target.join("image.json"));
    report.write(&json)?;
    println!("{}", json.display());
    let broken = report.rows.iter().any(|row| row.contender == "ours" && row.failure.is_some());
    Ok(if broken { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

fn once(contender: &Contender, own: &Path, layer: &Layer, stage: &Path) -> Result<Sample, Failure> {
    let target = stage.join("target");
    fs::create_dir(&target).map_err(Failure::file("create", &target))?;
    let sample = sample::elsewhere(own, &contender.command(own, layer, &target));
    fs::remove_dir_all(&target).map_err(Failure::file("remove", &target))?;
    sample
}
