//! The I/O scheduling class of a process.
//!
//! Kernel objects: none, this is data. Manual: ioprio_set(2). Invariant: a priority that passes
//! [`validate`](IoPriority::validate) is encoded as the kernel expects it.

use serde::{Deserialize, Serialize};

use crate::error::{Error, ErrorKind, Reason, Result};

/// A class of I/O scheduling, ioprio_set(2).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum IoClass {
    /// `IOPRIO_CLASS_NONE`: follows the nice value.
    #[default]
    None,
    /// `IOPRIO_CLASS_RT`: first; needs `CAP_SYS_ADMIN` or `CAP_SYS_NICE`.
    RealTime,
    /// `IOPRIO_CLASS_BE`: the usual one.
    BestEffort,
    /// `IOPRIO_CLASS_IDLE`: only when nobody else wants the disk.
    Idle,
}

/// A class with a level: 0 (most) to 7 (least) for real time and best effort, 0 for the others.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IoPriority {
    /// The class.
    pub class: IoClass,
    /// The level.
    #[serde(default)]
    pub level: u8,
}

impl IoPriority {
    /// A class with a level.
    #[must_use]
    pub const fn new(class: IoClass, level: u8) -> Self {
        Self { class, level }
    }

    /// Checks the level.
    ///
    /// # Errors
    /// [`InvalidScheduler`](ErrorKind::InvalidScheduler) when the class does not have this level.
    pub fn validate(&self) -> Result<()> {
        let max = match self.class {
            IoClass::RealTime | IoClass::BestEffort => 7,
            IoClass::None | IoClass::Idle => 0,
        };
        if self.level <= max {
            return Ok(());
        }
        let text = format!("{:?} level {}", self.class, self.level);
        Err(Error::text(ErrorKind::InvalidScheduler, &text, Reason::OutOfRange(0, i64::from(max))))
    }

    /// The number that ioprio_set(2) takes: the class from bit 13 on, the level below.
    #[must_use]
    pub const fn number(self) -> u16 {
        let class = match self.class {
            IoClass::None => 0u8,
            IoClass::RealTime => 1,
            IoClass::BestEffort => 2,
            IoClass::Idle => 3,
        };
        u16::from_be_bytes([class << 5, self.level])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_those_of_the_kernel() {
        assert_eq!(IoPriority::default().number(), 0);
        assert_eq!(IoPriority::new(IoClass::RealTime, 0).number(), 0x2000);
        assert_eq!(IoPriority::new(IoClass::BestEffort, 7).number(), 0x4007);
        assert_eq!(IoPriority::new(IoClass::Idle, 0).number(), 0x6000);
    }

    #[test]
    fn levels_are_checked() {
        for class in [IoClass::RealTime, IoClass::BestEffort] {
            IoPriority::new(class, 7).validate().unwrap();
            IoPriority::new(class, 8).validate().unwrap_err();
        }
        for class in [IoClass::None, IoClass::Idle] {
            IoPriority::new(class, 0).validate().unwrap();
            let error = IoPriority::new(class, 1).validate().unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidScheduler);
        }
    }
}
