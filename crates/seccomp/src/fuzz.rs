//! The parser of this crate, for the fuzz target. Not a public interface.
//!
//! Kernel objects: none. Invariant: no input makes this panic, and time and memory stay bounded.

use crate::arch::Arch;
use crate::bpf::Data;
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    proptest! {
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
