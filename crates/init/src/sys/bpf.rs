//! Device programs of cgroup v2: loading, attaching, replacing, listing.
//!
//! Kernel objects: programs of type `BPF_PROG_TYPE_CGROUP_DEVICE` (Linux 4.15), attached to directories of
//! the v2 hierarchy. Manual: bpf(2). Invariant: each descriptor that the kernel returns is close-on-exec
//! and owned; no map and no helper function is used.
#![expect(unsafe_code, reason = "bpf(2) has no safe wrapper")]

use std::ffi::{c_int, c_uint};
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

const BPF_PROG_LOAD: c_int = 5;
const BPF_PROG_ATTACH: c_int = 8;
const BPF_PROG_DETACH: c_int = 9;
const BPF_PROG_GET_FD_BY_ID: c_int = 13;
const BPF_OBJ_GET_INFO_BY_FD: c_int = 15;
const BPF_PROG_QUERY: c_int = 16;

const BPF_PROG_TYPE_CGROUP_DEVICE: u32 = 15;
const BPF_CGROUP_DEVICE: u32 = 6;
const BPF_F_ALLOW_MULTI: u32 = 1 << 1;
const BPF_F_REPLACE: u32 = 1 << 2;

/// The length of a program's name, the final zero included.
pub const NAME_LEN: usize = 16;
/// No group can have more programs.
const PROGRAMS_MAX: usize = 64;

#[repr(C)]
#[derive(Default)]
struct Load {
    prog_type: u32,
    insn_cnt: u32,
    insns: u64,
    license: u64,
    log_level: u32,
    log_size: u32,
    log_buf: u64,
    kern_version: u32,
    prog_flags: u32,
    prog_name: [u8; NAME_LEN],
    prog_ifindex: u32,
    expected_attach_type: u32,
}

#[repr(C)]
#[derive(Default)]
struct Attach {
    target_fd: u32,
    attach_bpf_fd: u32,
    attach_type: u32,
    attach_flags: u32,
    replace_bpf_fd: u32,
}

#[repr(C)]
#[derive(Default)]
struct Query {
    target_fd: u32,
    attach_type: u32,
    query_flags: u32,
    attach_flags: u32,
    prog_ids: u64,
    prog_cnt: u32,
}

#[repr(C)]
#[derive(Default)]
struct ById {
    prog_id: u32,
    next_id: u32,
    open_flags: u32,
}

#[repr(C)]
#[derive(Default)]
struct InfoQuery {
    bpf_fd: u32,
    info_len: u32,
    info: u64,
}

/// `struct bpf_prog_info` up to the name.
#[repr(C)]
#[derive(Default)]
struct Info {
    kind: u32,
    id: u32,
    tag: [u8; 8],
    lengths: [u32; 2],
    pointers: [u64; 2],
    load_time: u64,
    created_by_uid: u32,
    nr_map_ids: u32,
    map_ids: u64,
    name: [u8; NAME_LEN],
}

/// Loads a device program of these instructions, each one `struct bpf_insn` in native byte order.
///
/// The kernel's verifier checks it; a program that it does not like is `EINVAL` or `EACCES`.
///
/// # Errors
/// `EPERM` without `CAP_BPF` (before Linux 5.8 `CAP_SYS_ADMIN`) or with a too small `RLIMIT_MEMLOCK`
/// before Linux 5.11, `E2BIG` for too many instructions, `EINVAL` for a kernel without
/// `CONFIG_CGROUP_BPF`.
pub fn load(instructions: &[u64], name: &[u8; NAME_LEN]) -> io::Result<OwnedFd> {
    let insn_cnt = u32::try_from(instructions.len());
    let mut attributes = Load {
        prog_type: BPF_PROG_TYPE_CGROUP_DEVICE,
        insn_cnt: insn_cnt.map_err(|_| io::Error::from_raw_os_error(libc::E2BIG))?,
        insns: instructions.as_ptr() as u64,
        license: c"Dual MIT/GPL".as_ptr() as u64,
        prog_name: *name,
        expected_attach_type: BPF_CGROUP_DEVICE,
        ..Load::default()
    };
    // SAFETY: `insns` and `license` point to the slice of `insn_cnt` instructions and to a string with
    // a final zero, which both outlive the call; the kernel only reads them.
    let answer = unsafe { bpf(BPF_PROG_LOAD, &mut attributes) }?;
    descriptor(answer)
}

/// Attaches `program` to a v2 group beside the programs of others, or in the place of `replaced`.
///
/// A device may be used when every program of the group and of the groups above allows it.
///
/// # Errors
/// `EBADF` when `group` is no directory of the v2 hierarchy, `EPERM` without `CAP_BPF` and
/// `CAP_NET_ADMIN` or where a group above holds a program alone, `ENOENT` when `replaced` is not
/// attached, `E2BIG` when the group has 64 programs.
pub fn attach(
    group: BorrowedFd<'_>,
    program: BorrowedFd<'_>,
    replaced: Option<BorrowedFd<'_>>,
) -> io::Result<()> {
    let mut attributes = Attach {
        attach_flags: BPF_F_ALLOW_MULTI | replaced.map_or(0, |_| BPF_F_REPLACE),
        replace_bpf_fd: replaced.map_or(0, number),
        ..target(group, program)
    };
    // SAFETY: the structure holds numbers only.
    unsafe { bpf(BPF_PROG_ATTACH, &mut attributes) }.map(drop)
}

/// Detaches `program` from a v2 group.
///
/// # Errors
/// `ENOENT` when it is not attached, `EPERM` as for [`attach`].
pub fn detach(group: BorrowedFd<'_>, program: BorrowedFd<'_>) -> io::Result<()> {
    // SAFETY: the structure holds numbers only.
    unsafe { bpf(BPF_PROG_DETACH, &mut target(group, program)) }.map(drop)
}

/// The ids of the device programs attached to a v2 group itself.
///
/// # Errors
/// `EPERM` without `CAP_NET_ADMIN`.
pub fn attached(group: BorrowedFd<'_>) -> io::Result<Vec<u32>> {
    let mut ids = vec![0; PROGRAMS_MAX];
    let mut attributes = Query {
        target_fd: number(group),
        attach_type: BPF_CGROUP_DEVICE,
        prog_ids: ids.as_mut_ptr() as u64,
        prog_cnt: u32::try_from(ids.len()).unwrap_or(0),
        ..Query::default()
    };
    // SAFETY: `prog_ids` points to `prog_cnt` numbers, to which the kernel writes at most so many.
    unsafe { bpf(BPF_PROG_QUERY, &mut attributes) }?;
    ids.truncate(usize::try_from(attributes.prog_cnt).unwrap_or(0));
    Ok(ids)
}

/// Opens the program with this id.
///
/// # Errors
/// `ENOENT` when it has gone, `EPERM` without `CAP_SYS_ADMIN`.
pub fn open(id: u32) -> io::Result<OwnedFd> {
    let mut attributes = ById { prog_id: id, ..ById::default() };
    // SAFETY: the structure holds numbers only.
    descriptor(unsafe { bpf(BPF_PROG_GET_FD_BY_ID, &mut attributes) }?)
}

/// The name of a program, filled up with zeros.
///
/// # Errors
/// `EBADF` or `EINVAL` when the descriptor is no program.
pub fn name(program: BorrowedFd<'_>) -> io::Result<[u8; NAME_LEN]> {
    let mut info = Info::default();
    let mut attributes = InfoQuery {
        bpf_fd: number(program),
        info_len: u32::try_from(size_of::<Info>()).unwrap_or(0),
        info: &raw mut info as u64,
    };
    // SAFETY: `info` points to a structure of `info_len` bytes that are valid for writes. All of it is
    // zero, so that the kernel follows no pointer in it.
    unsafe { bpf(BPF_OBJ_GET_INFO_BY_FD, &mut attributes) }?;
    Ok(info.name)
}

fn target(group: BorrowedFd<'_>, program: BorrowedFd<'_>) -> Attach {
    Attach {
        target_fd: number(group),
        attach_bpf_fd: number(program),
        attach_type: BPF_CGROUP_DEVICE,
        ..Attach::default()
    }
}

fn number(fd: BorrowedFd<'_>) -> u32 {
    fd.as_raw_fd().unsigned_abs()
}

fn descriptor(answer: c_int) -> io::Result<OwnedFd> {
    if answer < 0 {
        return Err(io::Error::from_raw_os_error(libc::EBADF));
    }
    // SAFETY: the answer of a command that makes a descriptor is a new one (the kernel sets O_CLOEXEC)
    // that nobody else owns.
    Ok(unsafe { OwnedFd::from_raw_fd(answer) })
}

/// Runs one command; `EINTR` and, for a load that a signal interrupted, `EAGAIN` are tried again.
///
/// # Safety
/// `T` is laid out as the command's part of `union bpf_attr`, and what its pointers point to is valid for
/// what the command does with it.
unsafe fn bpf<T>(command: c_int, attributes: &mut T) -> io::Result<c_int> {
    let size = c_uint::try_from(size_of::<T>()).unwrap_or(0);
    for _ in 0..ATTEMPTS {
        // SAFETY: the structure is valid for reads and writes of `size` bytes; the rest is the
        // caller's promise.
        let answer =
            unsafe { libc::syscall(libc::SYS_bpf, command, std::ptr::from_mut(attributes), size) };
        if answer >= 0 {
            return Ok(c_int::try_from(answer).unwrap_or(c_int::MAX));
        }
        let error = io::Error::last_os_error();
        if !matches!(error.raw_os_error(), Some(libc::EAGAIN | libc::EINTR)) {
            return Err(error);
        }
    }
    Err(io::Error::from_raw_os_error(libc::EAGAIN))
}

/// How often an interrupted command is tried.
const ATTEMPTS: u32 = 5;

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::File;
    use std::os::fd::AsFd;

    #[test]
    fn layouts_are_the_kernels() {
        assert_eq!((size_of::<Load>(), size_of::<Attach>()), (72, 20));
        assert_eq!(std::mem::offset_of!(Query, prog_ids), 16);
        assert_eq!((std::mem::offset_of!(Info, name), size_of::<Info>()), (64, 80));
    }

    #[test]
    fn refuses_what_is_no_program() {
        let file = File::open("/dev/null").unwrap();
        name(file.as_fd()).unwrap_err();
        attach(file.as_fd(), file.as_fd(), None).unwrap_err();
        attached(file.as_fd()).unwrap_err();
    }
}
