//! `hooks`.

use std::time::Duration;

use ampoule_spec::JsonPath;
use ampoule_spec::oci;

use super::reading::Reading;
use crate::oci::hooks::{Hook, Hooks};

/// The hooks; those that would run in the container's namespaces are refused.
pub(super) fn hooks(hooks: &oci::Hooks, at: &JsonPath, reading: &mut Reading) -> Hooks {
    let inside = [
        ("createContainer", hooks.create_container()),
        ("startContainer", hooks.start_container()),
    ];
    for (key, list) in inside {
        if list.as_ref().is_some_and(|list| !list.is_empty()) {
            reading.refuse(&at.key(key), "is not honoured: it runs in the container's namespaces");
        }
    }
    Hooks {
        prestart: list(hooks.prestart()),
        create_runtime: list(hooks.create_runtime()),
        poststart: list(hooks.poststart()),
        poststop: list(hooks.poststop()),
    }
}

fn list(hooks: &Option<Vec<oci::Hook>>) -> Vec<Hook> {
    hooks.iter().flatten().map(hook).collect()
}

fn hook(hook: &oci::Hook) -> Hook {
    let variables = hook.env().iter().flatten().filter_map(|variable| variable.split_once('='));
    // Not above 0 has been refused.
    let seconds = hook.timeout().and_then(|seconds| u64::try_from(seconds).ok());
    Hook {
        path: hook.path().clone(),
        args: hook.args().iter().flatten().map(Into::into).collect(),
        env: variables.map(|(name, value)| (name.into(), value.into())).collect(),
        timeout: seconds.map(Duration::from_secs),
    }
}
