//! The parser of this crate and its interpreter, for the fuzz targets. Not a public interface.
//!
//! Kernel objects: none. Invariant: no input makes this panic, and time and memory stay bounded.

use crate::arch::Arch;
use crate::bpf::{Data, Instruction, Program, code};
use crate::host::{Granted, Host, Kernel};
use crate::profile::Profile;
use crate::syscall;

/// A profile: what is read resolves or tells why not; what compiles answers as the filter does; what is written reads
/// back the same.
pub fn profile(data: &[u8]) {
    let Ok(profile) = Profile::from_json(data) else { return };
    for (arch, bits) in [(Arch::X86_64, 0), (Arch::Aarch64, u64::MAX)] {
        let host = Host::this().arch(arch).kernel(Kernel { major: 5, minor: 14 });
        let Ok(resolved) = profile.resolve(&host.granted(Granted::from_bits(bits))) else {
            continue;
        };
        let filter = resolved.filter;
        if let Ok(text) = filter.to_oci_json() {
            let again = Profile::from_json(text.as_bytes()).and_then(|again| again.resolve(&host));
            assert!(again.is_ok_and(|again| again.filter == filter), "{text}");
        }
        let Ok(compiled) = filter.compile() else { continue };
        let numbers = filter.rules.iter().flat_map(|rule| &rule.calls);
        for number in
            numbers.filter_map(|name| syscall::number(arch, name)).take(16).chain([0, 9999])
        {
            let value = filter
                .rules
                .first()
                .and_then(|rule| rule.conditions.first())
                .map_or(0, |it| it.value);
            for args in [[0; 6], [value; 6], [value.wrapping_add(1); 6]] {
                let call = Data { number, arch: arch.audit(), args, ..Data::default() };
                assert_eq!(compiled.program().run(&call).action, filter.decide(&call), "{call:?}");
            }
        }
        assert!(!filter.explain().to_string().is_empty());
    }
}

/// A program and a call: what the kernel would take runs to a return, in no more steps than it has instructions.
pub fn program(data: &[u8]) {
    let Some((call, rest)) = data.split_first_chunk::<64>() else { return };
    let word = |at: usize| {
        let bytes = call.get(at..).and_then(|bytes| bytes.first_chunk()).copied();
        u64::from_le_bytes(bytes.unwrap_or_default())
    };
    let half = |at: usize| u32::try_from(word(at) & 0xffff_ffff).unwrap_or_default();
    let args = [16, 24, 32, 40, 48, 56].map(word);
    let call = Data { number: half(0), arch: half(4), instruction_pointer: word(8), args };
    let (chunks, _) = rest.as_chunks::<8>();
    let instructions: Vec<_> = chunks.iter().map(|one| instruction(*one)).collect();
    let Ok(program) = Program::check(instructions.clone()) else { return };
    let run = program.run(&call);
    assert!((1..=instructions.len()).contains(&run.instructions), "{run:?}");
    assert_eq!(program.instructions(), instructions);
    assert_eq!(program.words().len(), instructions.len());
}

/// The code is one of those that there are more often than 16 random bits would be.
fn instruction([kind, scale, jt, jf, k @ ..]: [u8; 8]) -> Instruction {
    const CODES: [u16; 9] = [
        code::LOAD,
        code::AND,
        code::JUMP,
        code::IF_EQ,
        code::IF_GT,
        code::IF_GE,
        code::IF_SET,
        code::RETURN,
        0x80,
    ];
    let code = CODES.get(usize::from(kind)).copied().unwrap_or(code::RETURN);
    let k = u32::from_le_bytes(k);
    // Small numbers are jumps and offsets that can be taken.
    let k = if scale == 0 { k % 64 } else { k };
    Instruction { code, jt, jf, k }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn any_program_ends(call in any::<[u8; 32]>(), more in any::<[u8; 32]>(), code in prop::collection::vec((0..10_u8, 0..2_u8, 0..4_u8, 0..4_u8, any::<[u8; 4]>()), 0..40)) {
            let code = code.into_iter().flat_map(|(a, b, c, d, k)| [a, b, c, d, k[0], k[1], k[2], k[3]]);
            let data: Vec<u8> = call.into_iter().chain(more).chain(code).chain([7, 0, 0, 0, 0, 0, 0, 0]).collect();
            super::program(&data);
        }

        #[test]
        fn any_bytes_are_read(data: Vec<u8>) {
            super::profile(&data);
        }

        #[test]
        fn likely_profiles_are_read(
            default in "SCMP_ACT_(ALLOW|ERRNO|LOG|NOTIFY|KILL)",
            name in "(read|socket|clone|socketcall|ioctl|new)",
            (index, value, two, op) in (0..8_u8, any::<u64>(), any::<u64>(), "SCMP_CMP_(EQ|NE|LT|LE|GT|GE|MASKED_EQ)"),
        ) {
            let argument = format!(r#"{{"index":{index},"value":{value},"valueTwo":{two},"op":"{op}"}}"#);
            let text = format!(
                r#"{{"defaultAction":"{default}","syscalls":[{{"names":["{name}"],"action":"SCMP_ACT_TRAP",
                "args":[{argument}]}},{{"name":"{name}","action":"SCMP_ACT_ALLOW"}}]}}"#
            );
            super::profile(text.as_bytes());
        }
    }
}
