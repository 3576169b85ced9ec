//! Lists of processor or memory node numbers.
//!
//! Kernel objects: none. Manual: cpuset(7), "List format". Invariant: not empty, no number above 8191.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::decimal::parse_u64;
use crate::error::{Error, Reason, Result};

/// No kernel is built for more processors (`CONFIG_NR_CPUS`).
const NUMBER_MAX: u16 = 8191;
/// No list without repetitions is longer.
const LENGTH_MAX: usize = 8192 * 5;
const OUT_OF_RANGE: Reason = Reason::OutOfRange(0, 8191);

/// Numbers of processors or memory nodes, written like `0-3,7`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct NumberList(BTreeSet<u16>);

impl NumberList {
    /// A list of these numbers.
    ///
    /// # Errors
    /// [`InvalidValue`](crate::ErrorKind::InvalidValue) when there is none, or one is above 8191.
    pub fn new(numbers: impl IntoIterator<Item = u16>) -> Result<Self> {
        let numbers: BTreeSet<u16> = numbers.into_iter().collect();
        match numbers.last() {
            None => Err(refused("", Reason::Empty)),
            Some(last) if *last > NUMBER_MAX => Err(refused(&last.to_string(), OUT_OF_RANGE)),
            Some(_) => Ok(Self(numbers)),
        }
    }

    /// The numbers in rising order.
    pub fn iter(&self) -> impl Iterator<Item = u16> {
        self.0.iter().copied()
    }

    /// Whether every number is in `other`.
    #[must_use]
    pub fn is_within(&self, other: &Self) -> bool {
        self.0.is_subset(&other.0)
    }
}

fn refused(text: &str, reason: Reason) -> Error {
    Error::text("list of numbers", text, reason)
}

fn parse_number(text: &str) -> Result<u16, Reason> {
    let number = parse_u64(text)?;
    u16::try_from(number).ok().filter(|number| *number <= NUMBER_MAX).ok_or(OUT_OF_RANGE)
}

fn parse_part(part: &str) -> Result<std::ops::RangeInclusive<u16>, Reason> {
    let (first, last) = part.split_once('-').unwrap_or((part, part));
    let (first, last) = (parse_number(first)?, parse_number(last)?);
    if first <= last { Ok(first..=last) } else { Err(Reason::Malformed("0-3,7")) }
}

impl FromStr for NumberList {
    type Err = Error;

    /// Reads numbers and rising ranges with commas between them.
    fn from_str(text: &str) -> Result<Self> {
        if text.len() > LENGTH_MAX {
            return Err(refused(text, Reason::TooLong(LENGTH_MAX)));
        }
        let mut numbers = BTreeSet::new();
        for part in text.split(',') {
            numbers.extend(parse_part(part).map_err(|reason| refused(text, reason))?);
        }
        Self::new(numbers)
    }
}

impl fmt::Display for NumberList {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut numbers = self.iter().peekable();
        let mut separator = "";
        while let Some(first) = numbers.next() {
            let mut last = first;
            while let Some(next) = numbers.next_if(|next| *next == last + 1) {
                last = next;
            }
            write!(f, "{separator}{first}")?;
            if last > first {
                write!(f, "-{last}")?;
            }
            separator = ",";
        }
        Ok(())
    }
}

impl TryFrom<String> for NumberList {
    type Error = Error;

    fn try_from(text: String) -> Result<Self> {
        text.parse()
    }
}

impl From<NumberList> for String {
    fn from(list: NumberList) -> Self {
        list.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn lists_are_read_and_written_shortest() {
        for (text, expected) in [("0-3,7", "0-3,7"), ("7,0,1,2,3", "0-3,7"), ("5", "5")] {
            assert_eq!(text.parse::<NumberList>().unwrap().to_string(), expected);
        }
        for text in ["", ",", "0,", "3-0", "-1", "0-", "8192", "a", " 0", "0-1-2", "0\n"] {
            text.parse::<NumberList>().unwrap_err();
        }
        "0,".repeat(70_000).parse::<NumberList>().unwrap_err();
    }

    proptest! {
        #[test]
        fn lists_come_back(numbers in prop::collection::btree_set(0..=NUMBER_MAX, 1..50)) {
            let list = NumberList::new(numbers).unwrap();
            prop_assert_eq!(list.to_string().parse::<NumberList>().unwrap(), list);
        }

        #[test]
        fn any_text_is_read(text in "[0-9,-]{0,20}") {
            if let Ok(list) = text.parse::<NumberList>() {
                prop_assert!(list.iter().count() > 0);
            }
        }
    }
}
