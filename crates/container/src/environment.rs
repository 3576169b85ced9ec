//! The payload's argument vector, environment and the paths to try, as the kernel takes them.
//!
//! Invariant: the host's environment is consulted for the variables that were named, and for nothing else.

use std::ffi::{CStr, CString, OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::Path;

use crate::error::{Error, Problem};

/// `PATH` where nothing else is set.
const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// Longest path that the kernel takes, its NUL included.
const PATH_MAX: usize = 4096;

/// Variables in order, each name once.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Environment(Vec<(OsString, OsString)>);

impl Environment {
    /// `PATH`, `HOME` and `LANG`.
    pub(crate) fn defaults(home: &Path) -> Self {
        let mut environment = Self::default();
        environment.set("PATH".into(), DEFAULT_PATH.into());
        environment.set("HOME".into(), home.into());
        environment.set("LANG".into(), "C.UTF-8".into());
        environment
    }

    /// `HOME` alone: `/` for a user without one, as other runtimes set it.
    #[cfg(feature = "oci")]
    pub(crate) fn only_home(user: &ampoule_ns::ResolvedUser) -> Self {
        let mut environment = Self::default();
        let home = user.home.as_deref().unwrap_or(Path::new("/"));
        environment.set("HOME".into(), home.into());
        environment
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &(OsString, OsString)> {
        self.0.iter()
    }

    pub(crate) fn set(&mut self, name: OsString, value: OsString) {
        self.remove(&name);
        self.0.push((name, value));
    }

    pub(crate) fn remove(&mut self, name: &OsStr) {
        self.0.retain(|(known, _)| known != name);
    }

    pub(crate) fn inherit(&mut self, names: &[OsString]) {
        for name in names {
            if let Some(value) = std::env::var_os(name) {
                self.set(name.clone(), value);
            }
        }
    }

    fn get(&self, name: &str) -> Option<&OsStr> {
        self.0.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_os_str())
    }

    /// `NAME=value` as the kernel takes it.
    pub(crate) fn encode(&self, problems: &mut Vec<Problem>) -> Vec<CString> {
        let mut lines = Vec::new();
        for (name, value) in &self.0 {
            if name.is_empty() || name.as_bytes().contains(&b'=') {
                problems.push(Problem::new("env", format!("{name:?} is no name of a variable")));
            }
            let mut line = name.clone();
            line.push("=");
            line.push(value);
            lines.extend(text("env", &line, problems));
        }
        lines
    }

    /// The paths under which a program is looked for, as execvp(3) does.
    pub(crate) fn candidates(&self, program: &OsStr, problems: &mut Vec<Problem>) -> Vec<CString> {
        if program.is_empty() {
            problems.push(Problem::new("command", "the program's name is empty"));
            return Vec::new();
        }
        if program.as_bytes().contains(&b'/') {
            return Vec::from_iter(path("command", Path::new(program), problems));
        }
        let search = self.get("PATH").unwrap_or(OsStr::new(DEFAULT_PATH)).as_bytes();
        // An empty entry would mean the working directory: never what a sandbox wants.
        let directories =
            search.split(|&byte| byte == b':').filter(|directory| !directory.is_empty());
        directories
            .filter_map(|directory| {
                path("command", &Path::new(OsStr::from_bytes(directory)).join(program), problems)
            })
            .collect()
    }
}

/// A text for the kernel; a NUL is a problem.
pub(crate) fn text(
    setting: &'static str,
    value: &OsStr,
    problems: &mut Vec<Problem>,
) -> Option<CString> {
    match CString::new(value.to_owned().into_vec()) {
        Ok(text) => Some(text),
        Err(_) => {
            problems.push(Problem::new(setting, format!("{value:?} holds a NUL byte")));
            None
        }
    }
}

/// A path for the kernel; one that is too long is a problem.
pub(crate) fn path(
    setting: &'static str,
    value: &Path,
    problems: &mut Vec<Problem>,
) -> Option<CString> {
    let length = value.as_os_str().len();
    if length >= PATH_MAX {
        problems.push(Problem::new(
            setting,
            format!("the path is {length} bytes long, {} at most", PATH_MAX - 1),
        ));
        return None;
    }
    text(setting, value.as_os_str(), problems)
}

/// The texts of a launch, with what is wrong with them.
#[derive(Debug, Default)]
pub(crate) struct Texts {
    pub(crate) argv: Vec<CString>,
    pub(crate) env: Vec<CString>,
    pub(crate) paths: Vec<CString>,
    pub(crate) current_dir: CString,
    environment: Environment,
    problems: Vec<Problem>,
}

impl Texts {
    /// With what is wrong besides.
    pub(crate) fn new(problems: Vec<Problem>) -> Self {
        Self { problems, ..Self::default() }
    }

    /// Before the program, which is looked for in its `PATH`.
    pub(crate) fn environment(&mut self, environment: &Environment) {
        self.env = environment.encode(&mut self.problems);
        self.environment = environment.clone();
    }

    pub(crate) fn program(&mut self, program: &OsString, args: &[OsString]) {
        let problems = &mut self.problems;
        let words = std::iter::once(program).chain(args);
        self.argv = words.filter_map(|word| text("args", word, problems)).collect();
        self.paths = self.environment.candidates(program, problems);
    }

    /// Another name of the program than its path, for itself.
    pub(crate) fn arg0(&mut self, name: Option<&OsString>) {
        let name = name.and_then(|name| text("args", name, &mut self.problems));
        if let (Some(name), Some(first)) = (name, self.argv.first_mut()) {
            *first = name;
        }
    }

    /// A path that was chosen, or the plan's.
    pub(crate) fn current_dir(&mut self, chosen: Option<&Path>, plan: &CStr) {
        let chosen = chosen.map(|chosen| path("current_dir", chosen, &mut self.problems));
        self.current_dir = match chosen {
            Some(path) => path.unwrap_or_default(),
            None => plan.to_owned(),
        };
    }

    /// The texts, if nothing is wrong.
    pub(crate) fn checked(self) -> Result<Self, Error> {
        if self.problems.is_empty() { Ok(self) } else { Err(Error::invalid(self.problems)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_value_counts_and_bad_names_are_problems() {
        let mut environment = Environment::defaults(Path::new("/root"));
        environment.set("A".into(), "1".into());
        environment.set("A".into(), "2".into());
        environment.remove(OsStr::new("LANG"));
        let mut problems = Vec::new();
        let lines = environment.encode(&mut problems);
        assert_eq!(lines.last().unwrap().to_str().unwrap(), "A=2");
        assert_eq!(lines.len(), 3);
        assert!(problems.is_empty());
        environment.set("B=C".into(), "x".into());
        environment.set(OsString::new(), "x".into());
        environment.set("D".into(), "x\0y".into());
        environment.encode(&mut problems);
        assert_eq!(problems.len(), 3);
    }

    #[test]
    fn a_plain_name_is_looked_for_in_path() {
        let mut environment = Environment::default();
        environment.set("PATH".into(), "/a::/b".into());
        let mut problems = Vec::new();
        let found = environment.candidates(OsStr::new("x"), &mut problems);
        assert_eq!(found, [c"/a/x".to_owned(), c"/b/x".to_owned()]);
        assert_eq!(environment.candidates(OsStr::new("./x"), &mut problems), [c"./x".to_owned()]);
        assert!(problems.is_empty());
        assert!(environment.candidates(OsStr::new(""), &mut problems).is_empty());
        assert!(environment.candidates(OsStr::new(&"/x".repeat(32768)), &mut problems).is_empty());
        assert_eq!(problems.len(), 2);
    }
}
