//! The parsers of this crate, for the fuzz targets. Not a public interface.
//!
//! Kernel objects: none. Invariant: no input makes these panic, and time and memory stay bounded.

use crate::context::Context;
use crate::policy::{ContainerContexts, policy_of};

/// A context on each line, and all of them as a policy's file: what is read is written, and reads back the same.
pub fn contexts(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    for line in text.lines() {
        if let Ok(context) = line.parse::<Context>() {
            assert_eq!(context.to_string().parse(), Ok(context.clone()));
            if let Some(pair) = context.pair() {
                assert_eq!(context.clone().without_categories().with_pair(pair).pair(), Some(pair));
            }
        }
    }
    if let Ok(contexts) = ContainerContexts::parse(&text) {
        for context in [&contexts.process, &contexts.file, &contexts.read_only_file] {
            assert_eq!(context.to_string().parse().as_ref(), Ok(context));
        }
    }
    if let Some(policy) = policy_of(&text) {
        assert!(!policy.contains('/') && policy != "..", "{policy:?}");
    }
}
