//! A value, or no limit.
//!
//! Kernel objects: none. Invariant: `max` is the one word for "no limit", as in the v2 files.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A limit, or `max`: none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Max<T> {
    /// No limit.
    Max,
    /// This limit.
    Limit(T),
}

impl<T> Max<T> {
    /// The limit, if there is one.
    pub fn limit(self) -> Option<T> {
        match self {
            Self::Max => None,
            Self::Limit(value) => Some(value),
        }
    }

    /// The same with another type of limit.
    pub fn map<U>(self, change: impl FnOnce(T) -> U) -> Max<U> {
        match self {
            Self::Max => Max::Max,
            Self::Limit(value) => Max::Limit(change(value)),
        }
    }

    /// Whether `self` is a smaller limit than `other`.
    pub(crate) fn is_below(&self, other: &Self) -> bool
    where
        T: PartialOrd,
    {
        match (self, other) {
            (Self::Limit(left), Self::Limit(right)) => left < right,
            (Self::Limit(_), Self::Max) => true,
            (Self::Max, _) => false,
        }
    }
}

impl<T> From<T> for Max<T> {
    fn from(value: T) -> Self {
        Self::Limit(value)
    }
}

impl<T: FromStr> FromStr for Max<T> {
    type Err = T::Err;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text == "max" { Ok(Self::Max) } else { text.parse().map(Self::Limit) }
    }
}

impl<T: fmt::Display> fmt::Display for Max<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Max => f.write_str("max"),
            Self::Limit(value) => value.fmt(f),
        }
    }
}

#[derive(Serialize, Deserialize)]
enum Word {
    #[serde(rename = "max")]
    Max,
}

#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum Written<T> {
    Word(Word),
    Limit(T),
}

impl<T: Serialize> Serialize for Max<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Max => Word::Max.serialize(serializer),
            Self::Limit(value) => value.serialize(serializer),
        }
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Max<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(match Written::deserialize(deserializer)? {
            Written::Word(Word::Max) => Self::Max,
            Written::Limit(value) => Self::Limit(value),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::unit::Bytes;

    #[test]
    fn the_word_max_is_no_limit() {
        type Limit = Max<Bytes>;
        assert_eq!("max".parse::<Limit>().unwrap(), Max::Max);
        assert_eq!("1k".parse::<Limit>().unwrap(), Bytes::kib(1).into());
        "MAX".parse::<Limit>().unwrap_err();
        for (json, limit) in
            [("\"max\"", Max::Max), ("\"1k\"", Bytes::kib(1).into()), ("7", Bytes::new(7).into())]
        {
            assert_eq!(serde_json::from_str::<Limit>(json).unwrap(), limit);
        }
        assert_eq!(serde_json::to_string(&Limit::Max).unwrap(), "\"max\"");
        serde_json::from_str::<Limit>("-1").unwrap_err();
        assert!(Max::Limit(1).is_below(&Max::Max) && !Max::Max.is_below(&Max::Limit(1)));
    }
}
