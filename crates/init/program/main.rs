//! The embedded program: started by the host from a sealed memfd, it runs the steps of a program image.
//!
//! It has no allocator, no library and no configuration of its own: what it does stands in the image. The first
//! part of an image is run by the *launcher* in the host's namespaces, the second by the first process of the
//! container, which ends by executing the payload or stays as its reaper. Invariant: a failed operation is
//! reported to the host and ends the process; nothing is retried differently and nothing is skipped.
#![no_std]
#![no_main]

#[cfg(target_arch = "aarch64")]
#[path = "arch_aarch64.rs"]
mod arch;
#[cfg(target_arch = "x86_64")]
#[path = "arch_x86_64.rs"]
mod arch;
mod compose;
mod first;
mod hold;
mod kernel;
mod machine;
mod reaper;
mod relay;
mod share;
mod sockets;
#[allow(dead_code, reason = "shared with the host, each side uses its half")]
#[path = "../src/wire.rs"]
mod wire;

use machine::Machine;

/// Called by `_start` with the initial stack: argc, argv.
extern "C" fn entry(stack: *const u64) -> ! {
    // SAFETY: the kernel puts argc and the argv pointers there (execve(2)); argv[1] is checked by `first_fd`.
    let argument = unsafe { if stack.read() < 2 { core::ptr::null() } else { stack.add(2).read() as *const u8 } };
    let Some(base) = first_fd(argument) else { kernel::exit(kernel::BAD_IMAGE) };
    match Machine::load(base) {
        Some(mut machine) => {
            machine.open_sockets();
            machine.run()
        }
        None => kernel::exit(kernel::BAD_IMAGE),
    }
}

/// The number of the first internal descriptor, from the first argument.
fn first_fd(argument: *const u8) -> Option<u32> {
    if argument.is_null() {
        return None;
    }
    let mut value: u32 = 0;
    let mut at = argument;
    loop {
        // SAFETY: the kernel ends arguments with a NUL, and the loop stops at the first byte that is no digit.
        let byte = unsafe { at.read() };
        match byte {
            b'0'..=b'9' => value = value.checked_mul(10)?.checked_add(u32::from(byte.wrapping_sub(b'0')))?,
            0 => return Some(value),
            _ => return None,
        }
        at = at.wrapping_add(1);
    }
}

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    kernel::exit(kernel::BAD_IMAGE)
}

/// What the compiler calls for block copies.
///
/// # Safety
/// As `memcpy(3)`.
#[unsafe(no_mangle)]
unsafe extern "C" fn memcpy(to: *mut u8, from: *const u8, len: usize) -> *mut u8 {
    // SAFETY: the caller's contract is the same.
    unsafe { arch::copy(to, from, len) };
    to
}

/// What the compiler calls for block fills.
///
/// # Safety
/// As `memset(3)`.
#[unsafe(no_mangle)]
unsafe extern "C" fn memset(to: *mut u8, byte: i32, len: usize) -> *mut u8 {
    // SAFETY: the caller's contract is the same.
    unsafe { arch::fill(to, byte as u8, len) };
    to
}

/// What the compiler calls for comparisons.
///
/// # Safety
/// As `memcmp(3)`.
#[unsafe(no_mangle)]
unsafe extern "C" fn memcmp(a: *const u8, b: *const u8, len: usize) -> i32 {
    let mut i = 0;
    while i < len {
        // SAFETY: i < len, within both of the caller's regions.
        let (x, y) = unsafe { (core::ptr::read_volatile(a.wrapping_add(i)), core::ptr::read_volatile(b.wrapping_add(i))) };
        if x != y {
            return i32::from(x).wrapping_sub(i32::from(y));
        }
        i = i.wrapping_add(1);
    }
    0
}
