//! Security contexts.
//!
//! Kernel objects: none; pure data. Invariant: every context could be one of some policy: no part is empty or holds
//! what separates parts. Whether the loaded policy has it is [`SelinuxFs::validate`](crate::SelinuxFs::validate)'s
//! to say.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::level::{Level, Range};
use crate::pair::Pair;
use crate::problem::{Part, Problem};

/// A context `user:role:type[:range]`, such as `system_u:system_r:container_t:s0:c1,c2`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Context {
    user: String,
    role: String,
    kind: String,
    range: Option<Range>,
}

/// The longest context that is taken: the kernel takes a page, with a NUL.
const LIMIT: usize = 4095;

impl Context {
    /// A context of these parts; a policy without levels has no range.
    ///
    /// # Errors
    /// The [`Problem`] of a part.
    pub fn new(user: &str, role: &str, kind: &str, range: Option<Range>) -> Result<Self, Problem> {
        for (part, name) in [(Part::User, user), (Part::Role, role), (Part::Type, kind)] {
            check(part, name)?;
        }
        Ok(Self { user: user.into(), role: role.into(), kind: kind.into(), range })
    }

    /// A context of names that are known to be good.
    pub(crate) fn trusted(user: &str, role: &str, kind: &str, range: Option<Range>) -> Self {
        Self { user: user.into(), role: role.into(), kind: kind.into(), range }
    }

    /// The SELinux user.
    #[must_use]
    pub fn user(&self) -> &str {
        &self.user
    }

    /// The role: `object_r` for files.
    #[must_use]
    pub fn role(&self) -> &str {
        &self.role
    }

    /// The type, or the domain of a process.
    #[must_use]
    pub fn kind(&self) -> &str {
        &self.kind
    }

    /// The range of levels, where the policy has them.
    #[must_use]
    pub fn range(&self) -> Option<&Range> {
        self.range.as_ref()
    }

    /// The same context with another SELinux user.
    ///
    /// # Errors
    /// The [`Problem`] of the name.
    pub fn with_user(self, user: &str) -> Result<Self, Problem> {
        Self::new(user, &self.role, &self.kind, self.range)
    }

    /// The same context with another role.
    ///
    /// # Errors
    /// The [`Problem`] of the name.
    pub fn with_role(self, role: &str) -> Result<Self, Problem> {
        Self::new(&self.user, role, &self.kind, self.range)
    }

    /// The same context with another type.
    ///
    /// # Errors
    /// The [`Problem`] of the name.
    pub fn with_kind(self, kind: &str) -> Result<Self, Problem> {
        Self::new(&self.user, &self.role, kind, self.range)
    }

    /// The same context with another range.
    #[must_use]
    pub fn with_range(self, range: impl Into<Range>) -> Self {
        Self { range: Some(range.into()), ..self }
    }

    /// The same context at one level with this pair; its sensitivity stays. One without a range stays without.
    #[must_use]
    pub fn with_pair(self, pair: Pair) -> Self {
        self.at(|low| Level { categories: pair.categories(), ..*low })
    }

    /// The same context at its low level without categories: what every container may read.
    #[must_use]
    pub fn without_categories(self) -> Self {
        self.at(|low| Level { categories: crate::Categories::empty(), ..*low })
    }

    fn at(self, level: impl FnOnce(&Level) -> Level) -> Self {
        let range = self.range.map(|range| Range::one(level(range.low())));
        Self { range, ..self }
    }

    /// The pair of a context at one level with two categories.
    #[must_use]
    pub fn pair(&self) -> Option<Pair> {
        let range = self.range.as_ref().filter(|range| range.low() == range.high())?;
        Pair::of(range.low())
    }
}

impl fmt::Display for Context {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}:{}:{}", self.user, self.role, self.kind)?;
        self.range.as_ref().map_or(Ok(()), |range| write!(out, ":{range}"))
    }
}

impl FromStr for Context {
    type Err = Problem;

    fn from_str(text: &str) -> Result<Self, Problem> {
        if text.len() > LIMIT {
            return Err(Problem::TooLong { bytes: text.len() });
        }
        let mut parts = text.splitn(4, ':');
        let mut part = || parts.next().ok_or_else(|| Problem::parts(text));
        let (user, role, kind) = (part()?, part()?, part()?);
        let range = parts.next().map(str::parse).transpose()?;
        Self::new(user, role, kind, range)
    }
}

impl TryFrom<String> for Context {
    type Error = Problem;

    fn try_from(text: String) -> Result<Self, Problem> {
        text.parse()
    }
}

impl From<Context> for String {
    fn from(context: Context) -> Self {
        context.to_string()
    }
}

/// Names of policies are letters, digits and a few signs.
fn check(part: Part, name: &str) -> Result<(), Problem> {
    let fits = |c: char| c.is_ascii_alphanumeric() || "_.-@$+".contains(c);
    if name.is_empty() || name.len() > LIMIT || !name.chars().all(fits) {
        return Err(Problem::name(part, name));
    }
    Ok(())
}
