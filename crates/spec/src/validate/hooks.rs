//! `hooks`.

use super::report::Report;
use super::text;
use crate::oci::{Hook, Hooks};
use crate::path::JsonPath;

pub(super) fn check(report: &mut Report, at: &JsonPath, hooks: &Hooks) {
    let kinds = [
        ("prestart", hooks.prestart()),
        ("createRuntime", hooks.create_runtime()),
        ("createContainer", hooks.create_container()),
        ("startContainer", hooks.start_container()),
        ("poststart", hooks.poststart()),
        ("poststop", hooks.poststop()),
    ];
    for (key, hooks) in kinds {
        for (index, hook) in hooks.iter().flatten().enumerate() {
            self::hook(report, &at.key(key).index(index), hook);
        }
    }
}

fn hook(report: &mut Report, at: &JsonPath, hook: &Hook) {
    text::absolute(report, at.key("path"), hook.path());
    text::strings(report, &at.key("args"), hook.args().as_deref().unwrap_or_default());
    text::variables(report, &at.key("env"), hook.env().as_ref());
    if let Some(timeout) = hook.timeout() {
        report.within(at.key("timeout"), timeout, (1, i64::MAX.into()));
    }
}
