//! Sets of categories.
//!
//! Kernel objects: none; pure data. Invariant: it prints as the kernel does, so that equal sets have one text.

use std::fmt;
use std::str::FromStr;

use crate::problem::Problem;

/// A set of categories `c0` … `c1023`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Categories([u64; WORDS]);

const WORDS: usize = 16;
const BITS: u16 = 64;

impl Categories {
    /// The highest category that policies have.
    pub const MAX: u16 = 1023;

    /// No category.
    #[must_use]
    pub const fn empty() -> Self {
        Self([0; WORDS])
    }

    /// Every category: `c0.c1023`.
    #[must_use]
    pub const fn all() -> Self {
        Self([u64::MAX; WORDS])
    }

    /// The set with this category, too; one above [`Self::MAX`] is not in any set.
    #[must_use]
    pub fn with(mut self, category: u16) -> Self {
        if let Some(word) = self.0.get_mut(usize::from(category / BITS)) {
            *word |= 1 << (category % BITS);
        }
        self
    }

    /// Whether a category is in the set.
    #[must_use]
    pub fn contains(&self, category: u16) -> bool {
        let word = self.0.get(usize::from(category / BITS)).copied().unwrap_or(0);
        word & 1 << (category % BITS) != 0
    }

    /// Whether all categories of another set are in this one.
    #[must_use]
    pub fn includes(&self, other: &Self) -> bool {
        self.0.iter().zip(&other.0).all(|(own, other)| own & other == *other)
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.iter().count()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::empty()
    }

    /// The categories in ascending order.
    pub fn iter(&self) -> impl Iterator<Item = u16> + '_ {
        (0..=Self::MAX).filter(|category| self.contains(*category))
    }
}

impl FromIterator<u16> for Categories {
    fn from_iter<I: IntoIterator<Item = u16>>(categories: I) -> Self {
        categories.into_iter().fold(Self::empty(), Self::with)
    }
}

/// `c1,c2` or `c1.c5,c9`: with a dot from three neighbours on.
impl fmt::Display for Categories {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut separator = "";
        let mut run: Option<(u16, u16)> = None;
        for category in self.iter() {
            run = match run {
                Some((first, last)) if last + 1 == category => Some((first, category)),
                other => {
                    show_run(out, &mut separator, other)?;
                    Some((category, category))
                }
            };
        }
        show_run(out, &mut separator, run)
    }
}

fn show_run(
    out: &mut fmt::Formatter<'_>,
    separator: &mut &'static str,
    run: Option<(u16, u16)>,
) -> fmt::Result {
    let Some((first, last)) = run else { return Ok(()) };
    write!(out, "{separator}c{first}")?;
    *separator = ",";
    match last - first {
        0 => Ok(()),
        1 => write!(out, ",c{last}"),
        _ => write!(out, ".c{last}"),
    }
}

impl FromStr for Categories {
    type Err = Problem;

    fn from_str(text: &str) -> Result<Self, Problem> {
        let mut set = Self::empty();
        for part in text.split(',') {
            let (first, last) = part.split_once('.').unwrap_or((part, part));
            let (first, last) = (category(first)?, category(last)?);
            if first > last {
                return Err(Problem::Descending { first, last });
            }
            set = (first..=last).fold(set, Self::with);
        }
        Ok(set)
    }
}

fn category(text: &str) -> Result<u16, Problem> {
    let number = numbered(text, 'c').filter(|number| *number <= Categories::MAX);
    number.ok_or_else(|| Problem::category(text))
}

/// The number after a letter, written without sign or leading zeros.
pub(crate) fn numbered(text: &str, letter: char) -> Option<u16> {
    let digits = text.strip_prefix(letter)?;
    let plain = digits.bytes().all(|byte| byte.is_ascii_digit());
    let number = digits.parse().ok().filter(|_| plain)?;
    (digits == "0" || !digits.starts_with('0')).then_some(number)
}
