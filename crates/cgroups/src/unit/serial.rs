//! Units in serde's formats: written as a number or a text, read from either.
//!
//! Kernel objects: none. Invariant: what is read passes the same checks as what is parsed.

use serde::Deserialize;

/// A number, or a text that people write.
#[derive(Deserialize)]
#[serde(untagged)]
pub(crate) enum NumberOrText {
    Number(u64),
    Text(String),
}

/// Gives a unit serde's traits by `NumberOrText`.
macro_rules! number_or_text {
    ($unit:ty, $from_number:expr, $write:ident, $written:expr) => {
        impl serde::Serialize for $unit {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.$write($written(self))
            }
        }

        impl<'de> serde::Deserialize<'de> for $unit {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                use crate::unit::serial::NumberOrText;
                match NumberOrText::deserialize(deserializer)? {
                    NumberOrText::Number(number) => $from_number(number),
                    NumberOrText::Text(text) => text.parse(),
                }
                .map_err(serde::de::Error::custom)
            }
        }
    };
}

pub(crate) use number_or_text;
