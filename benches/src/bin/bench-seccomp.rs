//! What does the default profile cost: to compile, in instructions per call, in time per call, beside libseccomp?
//!
//! Touches one file, `target/bench/seccomp.json`; the filters are loaded into threads that end. Invariant: both back ends
//! are given the same filter, without the few calls that the installed libseccomp does not know.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a command line program")]

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::hint::black_box;
use std::os::fd::OwnedFd;
use std::process::ExitCode;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Instant;

use ampoule_benches::machine::Machine;
use ampoule_benches::statistics::Summary;
use ampoule_seccomp::bpf::Data;
use ampoule_seccomp::{Arch, Cache, Compiled, Error, Filter, Problem, Rule, syscall};

/// Calls that programs make most, with a first and a second argument.
const COMMON: [(&str, u64, u64); 24] = [
    ("read", 0, 0),
    ("write", 1, 0),
    ("close", 3, 0),
    ("fstat", 3, 0),
    ("newfstatat", 3, 0),
    ("openat", 3, 0),
    ("lseek", 3, 0),
    ("mmap", 0, 0),
    ("mprotect", 0, 0),
    ("munmap", 0, 0),
    ("brk", 0, 0),
    ("futex", 0, 0),
    ("clock_gettime", 0, 0),
    ("clock_nanosleep", 0, 0),
    ("epoll_wait", 3, 0),
    ("epoll_pwait", 3, 0),
    ("recvmsg", 3, 0),
    ("sendmsg", 3, 0),
    ("recvfrom", 3, 0),
    ("sendto", 3, 0),
    ("getpid", 0, 0),
    ("clone", 0x3d_0f00, 0),
    ("socket", 2, 1),
    ("ioctl", 1, 0x5413),
];

const BATCHES: usize = 41;
const CALLS: u32 = 20_000;

type Failure = Box<dyn std::error::Error + Send + Sync>;

fn main() -> ExitCode {
    match measure() {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("bench-seccomp: {failure}");
            ExitCode::FAILURE
        }
    }
}

fn measure() -> Result<(), Failure> {
    let machine = Machine::here();
    println!(
        "kernel {} ({}), {} CPUs, load {}\n",
        machine.kernel, machine.architecture, machine.cpus, machine.load
    );
    let cold = Instant::now();
    let first = Filter::default_profile().compile()?;
    let cold = micros(cold);
    let (filter, left_out) = comparable();
    let mut json = format!("{{\"kernel\": {:?}, \"compile_first_us\": {cold:.1}", machine.kernel);
    println!("default profile, compiled: p50 / p95 of {BATCHES}, in us");
    println!("  first in the program, with the tables   {cold:>8.0}");
    compile_times(&mut json)?;
    let ours = filter.compile()?;
    let mut columns = vec![("ampoule", ours)];
    columns.extend(theirs(&filter).transpose()?.map(|theirs| ("libseccomp", theirs)));
    println!("\ninstructions of the program: {}", first.program().instructions().len());
    println!(
        "in the comparison, without {left_out} calls that libseccomp does not know, and without two details that it"
    );
    println!("can say only in a hundred rules each:");
    for (name, compiled) in &columns {
        println!("  {name:<12}{:>6}", compiled.program().instructions().len());
    }
    instructions(&columns, &mut json)?;
    per_call(&columns, &mut json)?;
    json.push_str("}\n");
    std::fs::create_dir_all("target/bench")?;
    Ok(std::fs::write("target/bench/seccomp.json", json)?)
}

fn micros(since: Instant) -> f64 {
    since.elapsed().as_secs_f64() * 1e6
}

fn summary(samples: Vec<f64>) -> Result<Summary, Failure> {
    Summary::of(samples).ok_or_else(|| "no samples".into())
}

/// What is timed, and its name.
type Row<'a> = (&'static str, Box<dyn Fn() -> Result<(), Error> + 'a>);

/// A row that throws away what it makes.
fn row<'a, T>(name: &'static str, run: impl Fn() -> Result<T, Error> + 'a) -> Row<'a> {
    (name, Box::new(move || black_box(run()).map(drop)))
}

/// Each row in its turn, so that what the machine does meanwhile shows in all of them.
fn in_turn(rows: &[Row<'_>]) -> Result<Vec<(&'static str, Summary)>, Failure> {
    let mut samples = vec![Vec::with_capacity(BATCHES); rows.len()];
    for _ in 0..BATCHES {
        for ((_, run), samples) in rows.iter().zip(&mut samples) {
            let begin = Instant::now();
            run()?;
            samples.push(micros(begin));
        }
    }
    rows.iter().zip(samples).map(|((name, _), samples)| Ok((*name, summary(samples)?))).collect()
}

fn compile_times(json: &mut String) -> Result<(), Failure> {
    let cache = Cache::new(4);
    cache.compile(&Filter::default_profile())?;
    let ready = Filter::default_profile();
    let (known, _) = comparable();
    let mut rows = vec![
        row("built and compiled", || Filter::default_profile().compile()),
        row("built and taken from the cache", || cache.compile(&Filter::default_profile())),
        row("taken from the cache", || cache.compile(&ready)),
    ];
    if theirs(&known).is_some() {
        rows.push(row("the comparison's, by ampoule", || known.compile()));
        rows.push(row("the comparison's, by libseccomp", || theirs(&known).transpose()));
    }
    for (name, Summary { p50, p95, .. }) in in_turn(&rows)? {
        println!("  {name:<40}{p50:>8.1} /{p95:>8.1}");
        write!(json, ", \"compile {name}\": [{p50:.1}, {p95:.1}]")?;
    }
    Ok(())
}

/// libseccomp's program, if this bench was built with it.
fn theirs(filter: &Filter) -> Option<Result<Compiled, Error>> {
    #[cfg(feature = "libseccomp")]
    return Some(filter.compile_with_libseccomp());
    #[cfg(not(feature = "libseccomp"))]
    return {
        let _unused = filter;
        None
    };
}

/// The default profile as both can say it: without «allow ioctl but …», which libseccomp has to be given in a hundred
/// masked rules, and an error number of its own for sockets; without the calls that it does not know, and how many.
fn comparable() -> (Filter, usize) {
    let mut filter = Filter::default_profile();
    let ioctl = |rule: &Rule| rule.calls.iter().any(|call| call == "ioctl");
    let error =
        |rule: &Rule| rule.calls.iter().any(|call| call == "socket") && !rule.action.permits();
    filter.rules.retain(|rule| !(error(rule) || ioctl(rule) && !rule.conditions.is_empty()));
    let Some(Err(error)) = theirs(&filter) else { return (filter, 0) };
    let unknown: BTreeSet<_> = error
        .problems()
        .iter()
        .filter_map(|problem| match problem {
            Problem::UnknownToLibseccomp { name, .. } => Some(*name),
            _ => None,
        })
        .collect();
    filter.rules.iter_mut().for_each(|rule| rule.calls.retain(|call| !unknown.contains(&**call)));
    filter.rules.retain(|rule| !rule.calls.is_empty());
    (filter, unknown.len())
}

fn count(compiled: &Compiled, number: u32, args: [u64; 6]) -> usize {
    let arch = Arch::native().audit();
    compiled.program().run(&Data { number, arch, args, ..Data::default() }).instructions
}

/// Instructions that the kernel would execute, were it not for its table of calls that are always allowed.
fn instructions(columns: &[(&'static str, Compiled)], json: &mut String) -> Result<(), Failure> {
    print!("\n{:<18}", "instructions for");
    columns.iter().for_each(|(name, _)| print!("{name:>12}"));
    println!();
    let mut sums = vec![0; columns.len()];
    for (name, first, second) in COMMON {
        let Some(number) = syscall::number(Arch::native(), name) else { continue };
        print!("{name:<18}");
        for ((_, compiled), sum) in columns.iter().zip(&mut sums) {
            let instructions = count(compiled, number, [first, second, 0, 0, 0, 0]);
            *sum += instructions;
            print!("{instructions:>12}");
        }
        println!();
    }
    print!("{:<18}", "sum of these");
    sums.iter().for_each(|sum| print!("{sum:>12}"));
    print!("\n{:<18}", "mean of all calls");
    for ((name, compiled), sum) in columns.iter().zip(sums) {
        let calls = syscall::calls(Arch::native());
        let all = calls.len();
        let total: usize = calls.map(|(number, _)| count(compiled, number, [0; 6])).sum();
        let tenths = 10 * total / all;
        print!("{:>10}.{}", tenths / 10, tenths % 10);
        write!(
            json,
            ", \"instructions {name}\": {{\"common\": {sum}, \"mean\": {}.{}}}",
            tenths / 10,
            tenths % 10
        )?;
    }
    println!();
    Ok(())
}

/// A call that the kernel knows to be always allowed, one whose arguments count, and a refused one.
const REAL: [&str; 3] = ["getppid", "ioctl(FIONREAD)", "chroot, a bad path"];

/// Nanoseconds of one of these.
fn real_call(call: usize, pipe: &OwnedFd) -> f64 {
    let batch = |call: &dyn Fn() -> bool| {
        let begin = Instant::now();
        black_box((0..CALLS).filter(|_| call()).count());
        micros(begin) * 1000.0 / f64::from(CALLS)
    };
    match call {
        0 => batch(&|| black_box(rustix::process::getppid().is_some())),
        1 => batch(&|| black_box(rustix::io::ioctl_fionread(pipe).is_ok())),
        _ => batch(&|| black_box(rustix::process::chroot("").is_ok())),
    }
}

/// A thread under a filter, which times a batch of a call whenever it is told to.
struct Caller {
    name: &'static str,
    call: Sender<usize>,
    took: Receiver<f64>,
}

impl Caller {
    fn start(name: &'static str, compiled: Option<Compiled>) -> Result<Self, Failure> {
        let (call, calls) = channel();
        let (times, took) = channel();
        let (read, write) = rustix::pipe::pipe()?;
        std::thread::spawn(move || {
            let _write = write;
            let loaded = compiled.map_or(Ok(()), |compiled| compiled.apply_to_this_thread());
            // Without its filter it ends, and whoever asks is told.
            for call in calls.iter().take_while(|_| loaded.is_ok()) {
                if times.send(real_call(call, &read)).is_err() {
                    break;
                }
            }
        });
        Ok(Self { name, call, took })
    }

    fn time(&self, call: usize) -> Result<f64, Failure> {
        let gone = || format!("the filter of {} cannot be loaded", self.name);
        self.call.send(call).map_err(|_| gone())?;
        Ok(self.took.recv().map_err(|_| gone())?)
    }
}

fn per_call(columns: &[(&'static str, Compiled)], json: &mut String) -> Result<(), Failure> {
    println!(
        "\nns per call, least / p50 of {BATCHES} times {CALLS}, in turn; chroot is refused with a filter"
    );
    let filters = columns.iter().map(|(name, compiled)| (*name, Some(compiled.clone())));
    let callers = [("no filter", None)].into_iter().chain(filters);
    let callers = callers.map(|(name, compiled)| Caller::start(name, compiled));
    let callers = callers.collect::<Result<Vec<_>, _>>()?;
    let mut samples = vec![vec![Vec::with_capacity(BATCHES); REAL.len()]; callers.len()];
    for _ in 0..BATCHES {
        for call in 0..REAL.len() {
            for (caller, samples) in callers.iter().zip(&mut samples) {
                samples[call].push(caller.time(call)?);
            }
        }
    }
    for (caller, samples) in callers.iter().zip(samples) {
        let name = caller.name;
        print!("  {name:<12}");
        for (call, samples) in REAL.iter().zip(samples) {
            let Summary { min, p50, .. } = summary(samples)?;
            print!("  {call} {min:.0} / {p50:.0}");
            write!(json, ", \"{name} {call} ns\": [{min:.1}, {p50:.1}]")?;
        }
        println!();
    }
    Ok(())
}
