//! The three shapes of text in which the kernel shows numbers: one value, flat keys, nested keys.
//!
//! Kernel objects: none. Invariant: nothing is refused. What is not a number is left out, and no
//! text makes these functions panic.

use std::time::Duration;

use crate::unit::Max;

/// Reads an unsigned decimal number; `None` for anything else and for what does not fit.
pub(crate) fn number(text: &str) -> Option<u64> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if digits { text.parse().ok() } else { None }
}

/// A file that holds one number.
pub(crate) fn single(text: &str) -> Option<u64> {
    number(text.trim_ascii())
}

/// A file that holds one limit: a number or `max`.
pub(crate) fn limit(text: &str) -> Option<Max<u64>> {
    match text.trim_ascii() {
        "max" => Some(Max::Max),
        text => number(text).map(Max::Limit),
    }
}

/// The lines `key number` of a flat-keyed file.
pub(crate) fn flat(text: &str) -> impl Iterator<Item = (&str, u64)> {
    text.lines().filter_map(|line| {
        let mut words = line.split_ascii_whitespace();
        let (key, value) = (words.next()?, words.next()?);
        if words.next().is_some() { None } else { Some((key, number(value)?)) }
    })
}

/// The lines `key a=1 b=2` of a nested-keyed file: the key and the rest.
pub(crate) fn nested(text: &str) -> impl Iterator<Item = (&str, &str)> {
    text.lines().filter_map(|line| line.trim_ascii().split_once(' '))
}

/// The `name=value` words of a nested-keyed line.
pub(crate) fn assignments(rest: &str) -> impl Iterator<Item = (&str, &str)> {
    rest.split_ascii_whitespace().filter_map(|word| word.split_once('='))
}

/// Microseconds as the kernel counts them.
pub(crate) fn micros(value: u64) -> Duration {
    Duration::from_micros(value)
}

/// A struct of counters read from a flat-keyed file: one optional field per key, named after it, and
/// a map for the keys that are not known.
macro_rules! counters {
    ($(#[$doc:meta])* $name:ident { $($(#[$field_doc:meta])* $field:ident,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
        #[non_exhaustive]
        pub struct $name {
            $($(#[$field_doc])* pub $field: Option<u64>,)*
            /// Keys of the file that have no field here, for instance those of a later kernel.
            pub other: std::collections::BTreeMap<String, u64>,
        }

        impl $name {
            /// Keeps one number under its key.
            pub(crate) fn set(&mut self, key: &str, value: u64) {
                match key {
                    $(stringify!($field) => self.$field = Some(value),)*
                    _ => {
                        self.other.insert(key.to_owned(), value);
                    }
                }
            }

            /// Reads the text of the file as cgroup v2 writes it.
            #[must_use]
            pub fn parse(text: &str) -> Self {
                let mut counters = Self::default();
                for (key, value) in $crate::stat::keyed::flat(text) {
                    counters.set(key, value);
                }
                counters
            }
        }
    };
}
pub(crate) use counters;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn numbers_are_digits_only() {
        assert_eq!(number("18446744073709551615"), Some(u64::MAX));
        for wrong in ["", "+1", "-1", "1.0", "18446744073709551616", "0x1", "max", " 1"] {
            assert_eq!(number(wrong), None, "{wrong:?}");
        }
        assert_eq!(single("7\n"), Some(7));
    }

    #[test]
    fn max_is_no_number() {
        assert_eq!(limit("max\n"), Some(Max::Max));
        assert_eq!(limit("0\n"), Some(Max::Limit(0)));
        assert_eq!(limit("maximum"), None);
    }

    #[test]
    fn broken_lines_are_left_out() {
        let text = "a 1\nb\n\nc 2 3\nd x\n e  4 \ng 99999999999999999999";
        assert_eq!(flat(text).collect::<Vec<_>>(), [("a", 1), ("e", 4)]);
        let lines: Vec<_> = nested("8:0 a=1 b=\nx\n 8:1 c").collect();
        assert_eq!(lines, [("8:0", "a=1 b="), ("8:1", "c")]);
        assert_eq!(
            assignments("a=1 b= c =d").collect::<Vec<_>>(),
            [("a", "1"), ("b", ""), ("", "d")]
        );
    }

    proptest! {
        #[test]
        fn any_text_is_taken(text: String) {
            flat(&text).for_each(drop);
            nested(&text).flat_map(|(_, rest)| assignments(rest)).for_each(drop);
            let _: (Option<u64>, Option<Max<u64>>) = (single(&text), limit(&text));
        }
    }
}
