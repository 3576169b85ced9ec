//! Variables of a build: what `$name` means at an instruction.
//!
//! Kernel objects: none; the caller's environment is never read. Invariant: the environment of the image comes before the
//! arguments of the build.

use std::collections::BTreeMap;

use crate::containerfile::{Argument, ProblemKind, Word};
use crate::platform::Platform;

/// Arguments that a build knows without their being declared: proxies, which are not part of the result.
const PREDEFINED: [&str; 8] = [
    "HTTP_PROXY",
    "http_proxy",
    "HTTPS_PROXY",
    "https_proxy",
    "FTP_PROXY",
    "ftp_proxy",
    "NO_PROXY",
    "no_proxy",
];

/// The arguments that are known at one place.
#[derive(Clone, Debug, Default)]
pub(super) struct Arguments {
    given: BTreeMap<String, String>,
    /// What stands before the first FROM, and what is said of platforms.
    global: BTreeMap<String, String>,
    declared: BTreeMap<String, Option<String>>,
}

impl Arguments {
    /// At the beginning of a file.
    pub(super) fn new(given: &BTreeMap<String, String>, target: &Platform) -> Self {
        let build = Platform::host();
        let mut global = BTreeMap::new();
        for (prefix, platform) in [("BUILD", &build), ("TARGET", target)] {
            let variant = platform.variant.clone().unwrap_or_default();
            global.insert(format!("{prefix}PLATFORM"), platform.to_string());
            global.insert(format!("{prefix}OS"), platform.os.clone());
            global.insert(format!("{prefix}ARCH"), platform.architecture.clone());
            global.insert(format!("{prefix}VARIANT"), variant);
        }
        Self { given: given.clone(), global, declared: BTreeMap::new() }
    }

    /// An ARG before the first FROM.
    pub(super) fn declare_global(&mut self, argument: &Argument) -> Result<(), ProblemKind> {
        let default = self.default(argument, &|name| self.global.get(name).cloned())?;
        if let Some(value) = self.given.get(&argument.name).cloned().or(default) {
            self.global.insert(argument.name.clone(), value);
        }
        Ok(())
    }

    /// The value of a word in a FROM.
    pub(super) fn expand_global(&self, word: &Word) -> Result<String, ProblemKind> {
        word.expand(&|name| self.global.get(name).cloned())
    }

    /// An ARG of a stage.
    pub(super) fn declare(
        &mut self,
        argument: &Argument,
        env: &[String],
    ) -> Result<(), ProblemKind> {
        let default = self.default(argument, &|name| self.value(name, env))?;
        let name = &argument.name;
        let value = self.given.get(name).cloned().or(default);
        let value = value.or_else(|| self.global.get(name).cloned());
        self.declared.insert(name.clone(), value);
        Ok(())
    }

    /// A new stage begins: what was declared in another one is not known.
    pub(super) fn begin_stage(&mut self) {
        self.declared.clear();
    }

    /// What a variable is worth, where the image has this environment.
    pub(super) fn value(&self, name: &str, env: &[String]) -> Option<String> {
        let of_env = env.iter().rev().find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='));
        of_env.map(str::to_owned).or_else(|| self.argument(name))
    }

    fn argument(&self, name: &str) -> Option<String> {
        match self.declared.get(name) {
            Some(value) => value.clone(),
            None if PREDEFINED.contains(&name) => self.given.get(name).cloned(),
            None => None,
        }
    }

    /// What RUN's programs get besides the image's environment.
    pub(super) fn for_run(&self) -> BTreeMap<String, String> {
        let declared = self.declared.iter();
        let declared = declared.filter_map(|(name, value)| Some((name.clone(), value.clone()?)));
        let proxies = PREDEFINED.iter().filter_map(|name| {
            let value = self.given.get(*name)?;
            Some(((*name).to_owned(), value.clone()))
        });
        proxies.chain(declared).collect()
    }

    /// The same without proxies: what the result depends on.
    pub(super) fn for_cache(&self) -> BTreeMap<String, String> {
        let mut all = self.for_run();
        all.retain(|name, _| !PREDEFINED.contains(&name.as_str()));
        all
    }

    fn default(
        &self,
        argument: &Argument,
        lookup: &dyn Fn(&str) -> Option<String>,
    ) -> Result<Option<String>, ProblemKind> {
        argument.default.as_ref().map(|word| word.expand(lookup)).transpose()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::containerfile::Containerfile;

    fn argument(text: &str) -> Argument {
        let file = Containerfile::parse(&format!("ARG {text}\nFROM scratch")).unwrap();
        file.arguments.into_iter().next().unwrap()
    }

    #[test]
    fn the_environment_comes_first_and_globals_are_declared_again() {
        let given = [("A", "given"), ("NO_PROXY", "x")];
        let given = given.map(|(k, v)| (k.to_owned(), v.to_owned())).into();
        let mut arguments = Arguments::new(&given, &Platform::new("linux", "arm64"));
        arguments.declare_global(&argument("V=1.${TARGETARCH}")).unwrap();
        let env = ["E=env".to_owned(), "B=env".to_owned()];
        assert_eq!(arguments.value("V", &env), None);
        arguments.declare(&argument("V"), &env).unwrap();
        arguments.declare(&argument("A=default$E"), &env).unwrap();
        arguments.declare(&argument("B=argument"), &env).unwrap();
        arguments.declare(&argument("C=$E"), &env).unwrap();
        let value = |name| arguments.value(name, &env);
        assert_eq!(value("V").as_deref(), Some("1.arm64"));
        assert_eq!(value("A").as_deref(), Some("given"));
        assert_eq!(value("B").as_deref(), Some("env"));
        assert_eq!(value("C").as_deref(), Some("env"));
        assert_eq!(value("NO_PROXY").as_deref(), Some("x"));
        assert!(arguments.for_run().contains_key("NO_PROXY"));
        assert!(!arguments.for_cache().contains_key("NO_PROXY"));
        arguments.begin_stage();
        assert_eq!(arguments.value("A", &env), None);
    }
}
