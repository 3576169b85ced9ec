//! Control groups: limits, live statistics, pressure, events, freezing and killing, on cgroup v2, on
//! v1 and on hybrid machines. See cgroups(7).

mod error;
pub mod limits;

pub use error::{Error, ErrorKind, Result};
pub use limits::devices::{DeviceAccess, DeviceAction, DeviceKind, DeviceRule};
