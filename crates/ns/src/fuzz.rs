//! The pure parsers of this crate behind one shape, for the fuzz targets. Not a public interface.
//!
//! Kernel objects: none. Invariant: no input makes any of these panic, and memory stays
//! proportional to the input.

use std::str::FromStr;

use crate::{
    auto_range, capability, cpu_set, hostname, interface, namespace, passwd, process, rlimit,
    sub_id, sysctl, user,
};

/// A user with a `passwd` and a `group` file, the three parts separated by `0xff`.
pub fn resolve_user(data: &[u8]) {
    let mut parts = data.splitn(3, |byte| *byte == 0xff);
    let mut next = || parts.next().unwrap_or_default();
    let (user, passwd, group) = (next(), next(), next());
    let content = user::PasswdContent { passwd, group };
    if let Ok(user) = String::from_utf8_lossy(user).parse::<user::User>() {
        drop(user.resolve(&content));
    }
    passwd::groups(group).for_each(|entry| assert!(!entry.has_member("a:b")));
}

/// `/etc/subuid`.
pub fn sub_ids(data: &[u8]) {
    drop(sub_id::SubIds::parse(data));
}

/// `/proc/PID/uid_map`, `stat` and `cmdline`.
pub fn proc_files(data: &[u8]) {
    drop(auto_range::parse_map(data));
    drop(process::ProcStat::parse(data));
    drop(process::parse_cmdline(data));
}

/// `/proc/PID/net/dev`: no interface without a line, and sums never less than their parts.
pub fn interfaces(data: &[u8]) {
    let interfaces = interface::Interfaces::parse(data);
    assert!(interfaces.iter().count() <= data.split(|&byte| byte == b'\n').count());
    let total = interfaces.total();
    for (_, one) in interfaces.iter().filter(|(name, _)| *name != "lo") {
        assert!(one.received.bytes <= total.received.bytes && one.sent.bytes <= total.sent.bytes);
    }
}

/// Every setting that is read from a short text: what is accepted must be read back the same.
pub fn settings(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    round_trip::<user::User>(&text);
    round_trip::<cpu_set::CpuSet>(&text);
    round_trip::<capability::Capability>(&text);
    round_trip::<rlimit::ResourceLimit>(&text);
    round_trip::<sysctl::Sysctl>(&text);
    round_trip::<hostname::Hostname>(&text);
    round_trip::<namespace::Namespace>(&text);
}

fn round_trip<T: FromStr + ToString + PartialEq>(text: &str) {
    if let Ok(value) = text.parse::<T>() {
        let again = value.to_string().parse::<T>().ok();
        assert!(again.is_some_and(|again| again == value), "{text:?}");
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn any_bytes_are_read(data: Vec<u8>) {
            super::resolve_user(&data);
            super::sub_ids(&data);
            super::proc_files(&data);
            super::interfaces(&data);
            super::settings(&data);
        }

        #[test]
        fn likely_interfaces_are_read(text in "((lo|eth0|):( ?[0-9]{1,21}){14,17}\n){0,4}") {
            super::interfaces(text.as_bytes());
        }

        #[test]
        fn likely_texts_come_back(text in "(net|user|RLIMIT_AS|nofile|CAP_)?[./=:0-9a-z,-]{0,16}") {
            super::settings(text.as_bytes());
        }
    }
}
