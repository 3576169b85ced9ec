//! `hooks`.

use std::time::Duration;

use ampoule_spec::oci;

use crate::oci::hooks::{Hook, Hooks};

/// The hooks; what is wrong with one has been told by the validation.
pub(super) fn hooks(hooks: &oci::Hooks) -> Hooks {
    Hooks {
        prestart: list(hooks.prestart()),
        create_runtime: list(hooks.create_runtime()),
        create_container: list(hooks.create_container()),
        start_container: list(hooks.start_container()),
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
