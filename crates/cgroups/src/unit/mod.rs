//! The units of limits: sizes, processors, weights, times, lists of numbers.

mod bytes;
mod cpus;
mod decimal;
mod list;
mod max;
mod micros;
mod percent;
mod serial;
mod weight;

pub use bytes::Bytes;
pub use cpus::Cpus;
pub use list::NumberList;
pub use max::Max;
pub use micros::Micros;
pub use percent::Percent;
pub use weight::{Shares, Weight};
