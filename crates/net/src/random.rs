//! Random numbers of the kernel.
//!
//! Kernel objects: none. Invariant: no name or subnet that is made of them can be foretold.

use crate::error::{Error, Result};

/// Random bytes (getrandom(2)).
pub(crate) fn random<const N: usize>() -> Result<[u8; N]> {
    let mut bytes = [0; N];
    // So few bytes come whole.
    rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty())
        .map_err(|errno| Error::system("getrandom", "", errno))?;
    Ok(bytes)
}

/// Two digits for each byte.
pub(crate) fn hexadecimal(bytes: [u8; 6]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
