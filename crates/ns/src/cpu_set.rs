//! A set of processors.
//!
//! Kernel objects: none, this is data; [`CpuSet::to_mask`] is what sched_setaffinity(2) takes.
//! Manual: cpuset(7), "List format". Invariant: not empty, and no number above 8191.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::decimal::parse_u32;
use crate::error::{Error, ErrorKind, Reason, Result};

/// No kernel is built for more processors (`CONFIG_NR_CPUS`).
const CPU_MAX: u16 = 8191;

/// A set of processors, written like `0-3,7`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct CpuSet(BTreeSet<u16>);

impl CpuSet {
    /// A set of these numbers.
    ///
    /// # Errors
    /// [`InvalidCpuSet`](ErrorKind::InvalidCpuSet) when there is none, or one is above 8191.
    pub fn new(cpus: impl IntoIterator<Item = u16>) -> Result<Self> {
        let cpus: BTreeSet<u16> = cpus.into_iter().collect();
        match cpus.last() {
            None => Err(refused("", Reason::Empty)),
            Some(last) if *last > CPU_MAX => Err(refused(&last.to_string(), OUT_OF_RANGE)),
            Some(_) => Ok(Self(cpus)),
        }
    }

    /// The numbers in rising order.
    pub fn iter(&self) -> impl Iterator<Item = u16> {
        self.0.iter().copied()
    }

    /// The mask for sched_setaffinity(2): whole words of 64 bits in the byte order of the machine.
    #[must_use]
    pub fn to_mask(&self) -> Vec<u8> {
        let words = self.0.last().map_or(0, |last| usize::from(*last) / 64 + 1);
        let mut mask = vec![0u64; words];
        for cpu in &self.0 {
            if let Some(word) = mask.get_mut(usize::from(*cpu) / 64) {
                *word |= 1 << (cpu % 64);
            }
        }
        mask.into_iter().flat_map(u64::to_ne_bytes).collect()
    }
}

const OUT_OF_RANGE: Reason = Reason::OutOfRange(0, 8191);

fn refused(text: &str, reason: Reason) -> Error {
    Error::text(ErrorKind::InvalidCpuSet, text, reason)
}

fn parse_cpu(text: &str) -> Result<u16, Reason> {
    let number = parse_u32(text.as_bytes())?;
    u16::try_from(number).ok().filter(|cpu| *cpu <= CPU_MAX).ok_or(OUT_OF_RANGE)
}

fn parse_part(part: &str) -> Result<std::ops::RangeInclusive<u16>, Reason> {
    let (first, last) = part.split_once('-').unwrap_or((part, part));
    let (first, last) = (parse_cpu(first)?, parse_cpu(last)?);
    if first <= last { Ok(first..=last) } else { Err(Reason::Malformed("0-3,7")) }
}

impl FromStr for CpuSet {
    type Err = Error;

    /// Reads numbers and rising ranges with commas between them.
    fn from_str(text: &str) -> Result<Self> {
        // No list without repetitions is longer, so longer ones are not worth reading.
        if text.len() > usize::from(CPU_MAX) * 5 {
            return Err(refused(text, Reason::TooLong(usize::from(CPU_MAX) * 5)));
        }
        let mut cpus = BTreeSet::new();
        for part in text.split(',') {
            cpus.extend(parse_part(part).map_err(|reason| refused(text, reason))?);
        }
        Self::new(cpus)
    }
}

impl fmt::Display for CpuSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut cpus = self.iter().peekable();
        let mut separator = "";
        while let Some(first) = cpus.next() {
            let mut last = first;
            while let Some(next) = cpus.next_if(|next| *next == last + 1) {
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

impl TryFrom<String> for CpuSet {
    type Error = Error;

    fn try_from(text: String) -> Result<Self> {
        text.parse()
    }
}

impl From<CpuSet> for String {
    fn from(set: CpuSet) -> Self {
        set.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn lists_are_read_and_written_shortest() {
        for (text, expected) in
            [("0-3,7", "0-3,7"), ("7,0,1,2,3", "0-3,7"), ("5", "5"), ("1-1", "1")]
        {
            assert_eq!(text.parse::<CpuSet>().unwrap().to_string(), expected);
        }
        for text in ["", ",", "0,", "3-0", "-1", "0-", "8192", "0-8192", "a", " 0", "0-1-2", "00"] {
            let error = text.parse::<CpuSet>().unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidCpuSet, "{text}");
        }
        "0,".repeat(70_000).parse::<CpuSet>().unwrap_err();
        CpuSet::new([]).unwrap_err();
        CpuSet::new([8192]).unwrap_err();
    }

    #[test]
    fn masks_are_whole_words() {
        let mask = |text: &str| text.parse::<CpuSet>().unwrap().to_mask();
        assert_eq!(mask("0,2"), 5u64.to_ne_bytes());
        assert_eq!(mask("64"), [0u64.to_ne_bytes(), 1u64.to_ne_bytes()].concat());
        assert_eq!(mask("0-8191"), [0xff; 1024]);
    }

    proptest! {
        #[test]
        fn sets_come_back(cpus in prop::collection::btree_set(0..=CPU_MAX, 1..50)) {
            let set = CpuSet::new(cpus.iter().copied()).unwrap();
            prop_assert_eq!(set.to_string().parse::<CpuSet>().unwrap(), set.clone());
            let mask = set.to_mask();
            let bit = |cpu: &u16| {
                let word = usize::from(cpu / 64) * 8;
                let word = mask.get(word..word + 8)?;
                Some(u64::from_ne_bytes(word.try_into().unwrap()) >> (cpu % 64) & 1 == 1)
            };
            for cpu in 0..=CPU_MAX {
                prop_assert_eq!(bit(&cpu).unwrap_or(false), cpus.contains(&cpu));
            }
        }

        #[test]
        fn any_text_is_read(text in "[0-9,-]{0,20}") {
            if let Ok(set) = text.parse::<CpuSet>() {
                prop_assert!(set.iter().count() > 0);
            }
        }
    }
}
