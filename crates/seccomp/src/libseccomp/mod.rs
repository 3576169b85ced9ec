//! The second back end: libseccomp makes the program (feature `libseccomp`).
//!
//! Kernel objects: none; libseccomp only writes a program. Invariant: the program answers every call as
//! [`Filter::decide`] does, or there is an error that says what libseccomp cannot express.

mod disjoint;
mod newer;

use std::io::Read;

use libseccomp::{
    ScmpAction, ScmpArch, ScmpArgCompare, ScmpCompareOp, ScmpFilterContext, ScmpSyscall,
};
use rustix::fs::{MemfdFlags, SeekFrom, memfd_create, seek};

use crate::action::Action;
use crate::arch::Arch;
use crate::bpf::{INSTRUCTIONS_MAX, Instruction, Program};
use crate::compiled::Compiled;
use crate::condition::{Condition, Operator};
use crate::error::{Error, Result};
use crate::filter::{Filter, Rule};
use crate::problem::{Inexpressible, Problem};
use crate::syscall;

/// Binary search over system-call numbers.
const BINARY_TREE: u32 = 2;

/// Calls of 32-bit x86 for which libseccomp opens the older, multiplexed form, too.
const SOCKETCALL: [&str; 20] = [
    "socket",
    "bind",
    "connect",
    "listen",
    "accept",
    "getsockname",
    "getpeername",
    "socketpair",
    "send",
    "recv",
    "sendto",
    "recvfrom",
    "shutdown",
    "setsockopt",
    "getsockopt",
    "sendmsg",
    "recvmsg",
    "accept4",
    "recvmmsg",
    "sendmmsg",
];
const IPC: [&str; 12] = [
    "semop",
    "semget",
    "semctl",
    "semtimedop",
    "msgsnd",
    "msgrcv",
    "msgget",
    "msgctl",
    "shmat",
    "shmdt",
    "shmget",
    "shmctl",
];

impl Filter {
    /// As [`compile`](Self::compile), by libseccomp, with its binary tree.
    ///
    /// # Errors
    /// As [`compile`](Self::compile); [`InvalidFilter`](crate::ErrorKind::InvalidFilter) with what libseccomp cannot
    /// express: rules of one call that overlap with different actions, multiplexed calls without an answer of their own,
    /// arguments of x32 and of 32 bits that it compares otherwise, names that it does not know;
    /// [`Unsupported`](crate::ErrorKind::Unsupported) when libseccomp fails.
    pub fn compile_with_libseccomp(&self) -> Result<Compiled> {
        self.validate()?;
        let mut problems = Vec::new();
        let entries: Vec<_> =
            self.archs.iter().map(|arch| (*arch, plan(self, *arch, &mut problems))).collect();
        if !problems.is_empty() {
            return Err(Error::problems_of(problems));
        }
        let mut all: Option<ScmpFilterContext> = None;
        for (arch, entries) in entries {
            let context = context(self, arch, &entries)?;
            match &mut all {
                None => all = Some(context),
                Some(all) => drop(all.merge(context).map_err(failed)?),
            }
        }
        let mut all = all.ok_or_else(|| Error::problems_of(vec![Problem::NoArchitecture]))?;
        all.set_ctl_optimize(BINARY_TREE).map_err(failed)?;
        let mut instructions = newer::prefix(self);
        instructions.extend(exported(&all)?);
        let length = instructions.len();
        let program = Program::check(instructions);
        Ok(Compiled::new(
            self,
            program.map_err(|_| Error::too_large(length.max(INSTRUCTIONS_MAX + 1)))?,
        ))
    }
}

/// What happens to one call: actions and the conditions under which they count, in no order.
struct Planned {
    number: u32,
    name: &'static str,
    choices: Vec<(Action, Vec<Condition>)>,
}

/// Everything that one entry's rules say, by call, as libseccomp can express it.
fn plan(filter: &Filter, arch: Arch, problems: &mut Vec<Problem>) -> Vec<Planned> {
    let mut planned = Vec::new();
    for (number, rules) in filter.by_number(arch) {
        let (Some(name), [first, ..]) = (syscall::name(arch, number), rules.as_slice()) else {
            continue;
        };
        let inexpressible = |what| Problem::Inexpressible { rule: position(filter, first), what };
        if rules
            .iter()
            .flat_map(|rule| &rule.conditions)
            .any(|condition| !same_width(arch, condition))
        {
            problems.push(inexpressible(Inexpressible::Width));
            continue;
        }
        match disjoint::choices(&rules, filter.default, absent(arch)) {
            Ok(choices) => planned.push(Planned { number, name, choices }),
            Err(what) => problems.push(inexpressible(what)),
        }
    }
    check_names(arch, &planned, problems);
    if arch == Arch::X86 {
        check_multiplexed(&planned, problems);
    }
    planned
}

/// The bits that no argument of this entry has.
fn absent(arch: Arch) -> u64 {
    if arch.is_32_bit() { !0xffff_ffff } else { 0 }
}

fn position(filter: &Filter, rule: &Rule) -> Option<usize> {
    filter.rules.iter().position(|other| std::ptr::eq(other, rule))
}

/// Whether libseccomp compares the same bits: it takes x32 for an entry with arguments of 32 bits.
fn same_width(arch: Arch, condition: &Condition) -> bool {
    const LOW: u64 = 0xffff_ffff;
    match (arch, condition.operator) {
        (Arch::X32, Operator::MaskedEq(mask)) => mask <= LOW,
        (Arch::X32, _) => false,
        _ => !arch.is_32_bit() || condition.value <= LOW,
    }
}

fn check_names(arch: Arch, planned: &[Planned], problems: &mut Vec<Problem>) {
    let known =
        |call: &&Planned| arch == Arch::native() || resolved(arch, call.name) == Some(call.number);
    let unknown = planned.iter().filter(|call| !known(call));
    problems.extend(unknown.map(|call| Problem::UnknownToLibseccomp { arch, name: call.name }));
}

/// libseccomp's number of a call.
fn resolved(arch: Arch, name: &str) -> Option<u32> {
    let call = ScmpSyscall::from_name_by_arch(name, scmp_arch(arch)).ok()?;
    u32::try_from(call.as_raw_syscall()).ok().or_else(|| {
        // A direct call that has a multiplexed form, too, has a number of libseccomp's own.
        let direct = SOCKETCALL.contains(&name) || IPC.contains(&name);
        syscall::number(arch, name).filter(|_| direct)
    })
}

/// A multiplexed call must have an answer of its own, or libseccomp makes one from the calls that it stands for.
fn check_multiplexed(planned: &[Planned], problems: &mut Vec<Problem>) {
    for (multiplexer, calls) in [("socketcall", &SOCKETCALL[..]), ("ipc", &IPC[..])] {
        let used =
            planned.iter().any(|call| calls.contains(&call.name) && !call.choices.is_empty());
        let plain = |call: &Planned| matches!(&call.choices[..], [(_, conditions)] if conditions.is_empty());
        let answered = planned.iter().any(|call| call.name == multiplexer && plain(call));
        if used && !answered {
            problems.push(Problem::Inexpressible { rule: None, what: Inexpressible::Multiplexed });
        }
    }
}

fn failed(_: libseccomp::error::SeccompError) -> Error {
    Error::libseccomp()
}

fn context(filter: &Filter, arch: Arch, planned: &[Planned]) -> Result<ScmpFilterContext> {
    let mut context = ScmpFilterContext::new(scmp_action(filter.default)).map_err(failed)?;
    context.set_act_badarch(scmp_action(filter.foreign)).map_err(failed)?;
    if arch != Arch::native() {
        context.add_arch(scmp_arch(arch)).map_err(failed)?;
        context.remove_arch(scmp_arch(Arch::native())).map_err(failed)?;
    }
    // Answers without conditions first: an older, multiplexed form then keeps its own.
    let mut choices: Vec<_> = planned
        .iter()
        .flat_map(|call| call.choices.iter().map(move |choice| (call, choice)))
        .collect();
    choices.sort_by_key(|(_, (_, conditions))| !conditions.is_empty());
    for (call, (action, conditions)) in choices {
        let number = match i32::try_from(call.number) {
            Ok(number) if arch == Arch::native() => ScmpSyscall::from_raw_syscall(number),
            _ => ScmpSyscall::from_name(call.name).map_err(failed)?,
        };
        let compared: Vec<_> = conditions.iter().map(compared).collect();
        match compared.as_slice() {
            [] => context.add_rule(scmp_action(*action), number),
            some => context.add_rule_conditional(scmp_action(*action), number, some),
        }
        .map_err(failed)?;
    }
    Ok(context)
}

fn exported(context: &ScmpFilterContext) -> Result<Vec<Instruction>> {
    let host = |errno: rustix::io::Errno| Error::system("memfd_create", &errno.into());
    let file = memfd_create("ampoule-libseccomp", MemfdFlags::CLOEXEC).map_err(host)?;
    context.export_bpf(&file).map_err(failed)?;
    seek(&file, SeekFrom::Start(0)).map_err(host)?;
    let mut bytes = Vec::new();
    let read = std::fs::File::from(file).read_to_end(&mut bytes);
    read.map_err(|error| Error::system("read", &error))?;
    Ok(bytes.chunks_exact(8).map(instruction).collect())
}

fn instruction(bytes: &[u8]) -> Instruction {
    let [a, b, jt, jf, c, d, e, f] = *bytes else { return Instruction::default() };
    Instruction { code: u16::from_ne_bytes([a, b]), jt, jf, k: u32::from_ne_bytes([c, d, e, f]) }
}

fn compared(condition: &Condition) -> ScmpArgCompare {
    let operator = match condition.operator {
        Operator::Eq => ScmpCompareOp::Equal,
        Operator::Ne => ScmpCompareOp::NotEqual,
        Operator::Lt => ScmpCompareOp::Less,
        Operator::Le => ScmpCompareOp::LessOrEqual,
        Operator::Gt => ScmpCompareOp::Greater,
        Operator::Ge => ScmpCompareOp::GreaterEqual,
        Operator::MaskedEq(mask) => ScmpCompareOp::MaskedEqual(mask),
    };
    ScmpArgCompare::new(u32::from(condition.arg), operator, condition.value)
}

fn scmp_arch(arch: Arch) -> ScmpArch {
    match arch {
        Arch::X86_64 => ScmpArch::X8664,
        Arch::X32 => ScmpArch::X32,
        Arch::X86 => ScmpArch::X86,
        Arch::Aarch64 => ScmpArch::Aarch64,
        Arch::Arm => ScmpArch::Arm,
    }
}

fn scmp_action(action: Action) -> ScmpAction {
    match action {
        Action::KillProcess => ScmpAction::KillProcess,
        Action::KillThread => ScmpAction::KillThread,
        Action::Trap => ScmpAction::Trap,
        Action::Errno(number) => ScmpAction::Errno(i32::from(number)),
        Action::Notify => ScmpAction::Notify,
        Action::Trace(number) => ScmpAction::Trace(number),
        Action::Log => ScmpAction::Log,
        Action::Allow => ScmpAction::Allow,
    }
}
