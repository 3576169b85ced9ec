//! The byte layouts that the host and the embedded program share.
//!
//! This file is compiled twice, with `message.rs`: into the host's crate, which writes programs and launch records and reads
//! control records, and into the `no_std` program, which does the opposite. It makes no system call and cannot
//! panic. Invariant: every read is checked against the length of the buffer, so that both decoders can be
//! fuzzed and neither can leave its image.

/// First word of a program image (`AMPP`).
pub const PROGRAM_MAGIC: u32 = 0x5050_4d41;
/// First word of a launch image (`AMPL`).
pub const LAUNCH_MAGIC: u32 = 0x4c50_4d41;
/// Layout version; both sides are built together, so that it only guards against a stale image.
pub const VERSION: u32 = 1;
/// Length of a program header in bytes.
pub const PROGRAM_HEADER_LEN: usize = 40;
/// Length of a launch header in bytes.
pub const LAUNCH_HEADER_LEN: usize = 72;
/// Length of one operation in bytes.
pub const OP_LEN: usize = 72;
/// Length of one control record in bytes.
pub const RECORD_LEN: usize = 128;
/// How many values a running program can keep.
pub const SLOTS: usize = 1024;
/// How many arguments a system call takes.
pub const ARGS: usize = 6;
/// «No slot», «no descriptor», «no operation».
pub const NONE: u32 = u32::MAX;

/// Descriptors of the program itself, counted from the first number past the payload's.
pub mod internal_fd {
    /// Reports of the launch; closed by the payload's exec. Until the launcher has made it, its first socket.
    pub const SETUP: u32 = 0;
    /// Requests to and reports of the reaper; as above.
    pub const CONTROL: u32 = 1;
    /// The program image.
    pub const PROGRAM: u32 = 2;
    /// The launch image.
    pub const LAUNCH: u32 = 3;
    /// How many there are; the plan's descriptors follow.
    pub const COUNT: u32 = 4;
}

/// What an operation is.
pub mod code {
    /// One system call.
    pub const CALL: u16 = 0;
    /// Clone the first process of the container (`clone3` with `CLONE_PARENT`).
    pub const FIRST: u16 = 1;
    /// Write a file of the first process's directory in procfs.
    pub const CHILD_FILE: u16 = 2;
    /// Run `newuidmap` or `newgidmap` and wait for it.
    pub const HELPER: u16 = 3;
    /// Let the first process go on.
    pub const RELEASE: u16 = 4;
    /// Wait for `RELEASE`.
    pub const AWAIT: u16 = 5;
    /// Find or make a mount target below a root.
    pub const TARGET: u16 = 6;
    /// Compare a descriptor's device and inode.
    pub const VERIFY: u16 = 7;
    /// Compare a descriptor's device number; it must be a character device.
    pub const VERIFY_DEVICE: u16 = 8;
    /// Open a file, write all bytes, close it.
    pub const WRITE: u16 = 9;
    /// Fork the payload; the parent stays as the reaper.
    pub const REAPER: u16 = 10;
    /// Execute the payload.
    pub const EXEC: u16 = 11;
    /// Note the time of a stage.
    pub const MARK: u16 = 12;
    /// Send a descriptor to the host.
    pub const SEND_FD: u16 = 13;
    /// Reset every signal disposition and the mask.
    pub const SIGNALS: u16 = 14;
    /// Change the working directory and make sure that it is inside the root.
    pub const CHDIR: u16 = 15;
    /// Change the attributes of a mount and map its ids by a user namespace.
    pub const ID_MAP: u16 = 16;
    /// Allow rights beneath a file or directory in a Landlock ruleset.
    pub const LANDLOCK_PATH: u16 = 17;
    /// Write a label of this process to procfs and compare what the kernel then has.
    pub const LABEL: u16 = 20;
    /// Go on as another process, born in a control group (`clone3` with `CLONE_PARENT`).
    pub const RELAY: u16 = 18;
    /// Tell the host that everything up to here is done, and wait for its answer.
    pub const GATE: u16 = 21;
    /// Where a launch that is held makes sure that its program is there, and waits.
    pub const HOLD: u16 = 22;
}

/// Where an argument's value comes from.
pub mod kind {
    /// The value itself.
    pub const IMMEDIATE: u32 = 0;
    /// Address of an offset in the program image.
    pub const DATA: u32 = 1;
    /// A value saved by an earlier operation.
    pub const SLOT: u32 = 2;
    /// A descriptor of the plan.
    pub const PLAN_FD: u32 = 3;
    /// A descriptor of the launch.
    pub const LAUNCH_FD: u32 = 4;
    /// A parameter of the launch.
    pub const PARAM: u32 = 5;
    /// A descriptor of the program itself ([`super::internal_fd`]).
    pub const INTERNAL_FD: u32 = 6;
}

/// Flags of an operation.
pub mod op_flag {
    /// The result must equal the third argument (reads and writes of a whole buffer).
    pub const WHOLE: u16 = 1;
}

/// Flags of a launch.
pub mod launch_flag {
    /// Report the time of every stage.
    pub const TIMINGS: u32 = 1;
    /// The kernel ends what this process leaves behind: its pid namespace is a container's.
    pub const PID_NAMESPACE: u32 = 2;
    /// There is no payload: stay as the reaper until told to stop.
    pub const IDLE: u32 = 4;
    /// Wait at `HOLD` until somebody says `GO`.
    pub const HELD: u32 = 8;
}

/// What an injected fault does in place of an operation.
pub mod fault {
    /// End the process as if it had been killed.
    pub const EXIT: u32 = 0x1_0000;
    /// Stop until the host has closed the setup socket, so that a test can kill one of the processes there.
    pub const HANG: u32 = 0x1_0001;
}

#[path = "wire/message.rs"]
mod message;

pub use message::{Record, record};

/// What the reaper can open for the host: an undumpable process's own files are closed to a host without privilege.
pub mod open {
    /// The root directory.
    pub const ROOT: u32 = 0;
    /// Names of its namespaces below `/proc/self/ns`, the first is 1.
    pub const NAMESPACES: [&core::ffi::CStr; 8] = [
        c"self/ns/cgroup",
        c"self/ns/ipc",
        c"self/ns/mnt",
        c"self/ns/net",
        c"self/ns/pid",
        c"self/ns/time",
        c"self/ns/user",
        c"self/ns/uts",
    ];
}

/// Why the payload ended.
pub mod cause {
    /// By itself or by somebody's signal.
    pub const ENDED: u32 = 0;
    /// The time limit passed.
    pub const TIMED_OUT: u32 = 1;
    /// The host's process ended.
    pub const HOST_DIED: u32 = 2;
}

/// Reads a little-endian word of 16 bits.
#[must_use]
pub fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    bytes.get(at..at.checked_add(2)?)?.try_into().ok().map(u16::from_le_bytes)
}

/// Reads a little-endian word of 32 bits.
#[must_use]
pub fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    let part = bytes.get(at..at.checked_add(4)?)?;
    Some(u32::from_le_bytes(part.try_into().ok()?))
}

/// Reads a little-endian word of 64 bits.
#[must_use]
pub fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    let part = bytes.get(at..at.checked_add(8)?)?;
    Some(u64::from_le_bytes(part.try_into().ok()?))
}

/// The start of a program image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProgramHeader {
    /// Length of the whole image in bytes.
    pub len: u32,
    /// How many operations there are; they follow the header.
    pub ops: u32,
    /// Index of the first operation of the container's first process.
    pub child: u32,
    /// Offset of the relocation table (offsets of words to which the image's address is added).
    pub relocs: u32,
    /// Entries of the relocation table.
    pub reloc_count: u32,
    /// How many descriptors of the plan come before those of the launch.
    pub plan_fds: u32,
}

impl ProgramHeader {
    /// The header's bytes.
    #[must_use]
    pub fn encode(&self) -> [u8; PROGRAM_HEADER_LEN] {
        let words = [
            PROGRAM_MAGIC,
            VERSION,
            self.len,
            self.ops,
            self.child,
            self.relocs,
            self.reloc_count,
            self.plan_fds,
        ];
        let mut out = [0; PROGRAM_HEADER_LEN];
        for (to, word) in out.chunks_exact_mut(4).zip(words) {
            to.copy_from_slice(&word.to_le_bytes());
        }
        out
    }

    /// Reads and checks a header against the image that it starts.
    #[must_use]
    pub fn decode(image: &[u8]) -> Option<Self> {
        if u32_at(image, 0)? != PROGRAM_MAGIC || u32_at(image, 4)? != VERSION {
            return None;
        }
        let header = Self {
            len: u32_at(image, 8)?,
            ops: u32_at(image, 12)?,
            child: u32_at(image, 16)?,
            relocs: u32_at(image, 20)?,
            reloc_count: u32_at(image, 24)?,
            plan_fds: u32_at(image, 28)?,
        };
        let ops_end = (header.ops as usize).checked_mul(OP_LEN)?.checked_add(PROGRAM_HEADER_LEN)?;
        let relocs_end =
            (header.reloc_count as usize).checked_mul(4)?.checked_add(header.relocs as usize)?;
        let fits = header.len as usize == image.len()
            && ops_end <= image.len()
            && relocs_end <= image.len();
        (fits && header.child <= header.ops).then_some(header)
    }
}

/// One operation of a program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Op {
    /// What it is ([`code`]).
    pub code: u16,
    /// The step that it belongs to, for reports.
    pub step: u16,
    /// [`op_flag`]s.
    pub flags: u16,
    /// Slot for the result, or [`NONE`].
    pub save: u32,
    /// Number of the system call.
    pub nr: u32,
    /// An error that counts as success, or 0.
    pub tolerate: u32,
    /// Four bits of [`kind`] per argument.
    pub kinds: u32,
    /// The arguments.
    pub args: [u64; ARGS],
}

impl Op {
    /// The operation's bytes.
    #[must_use]
    pub fn encode(&self) -> [u8; OP_LEN] {
        let mut out = [0; OP_LEN];
        out[0..2].copy_from_slice(&self.code.to_le_bytes());
        out[2..4].copy_from_slice(&self.step.to_le_bytes());
        out[4..6].copy_from_slice(&self.flags.to_le_bytes());
        out[8..12].copy_from_slice(&self.save.to_le_bytes());
        out[12..16].copy_from_slice(&self.nr.to_le_bytes());
        out[16..20].copy_from_slice(&self.tolerate.to_le_bytes());
        out[20..24].copy_from_slice(&self.kinds.to_le_bytes());
        for (to, arg) in out[24..].chunks_exact_mut(8).zip(self.args) {
            to.copy_from_slice(&arg.to_le_bytes());
        }
        out
    }

    /// Reads operation `index` of a checked image.
    #[must_use]
    pub fn decode(image: &[u8], index: u32) -> Option<Self> {
        let at = (index as usize).checked_mul(OP_LEN)?.checked_add(PROGRAM_HEADER_LEN)?;
        let bytes = image.get(at..at.checked_add(OP_LEN)?)?;
        let mut args = [0; ARGS];
        for (i, arg) in args.iter_mut().enumerate() {
            *arg = u64_at(bytes, 24 + 8 * i)?;
        }
        Some(Self {
            code: u16_at(bytes, 0)?,
            step: u16_at(bytes, 2)?,
            flags: u16_at(bytes, 4)?,
            save: u32_at(bytes, 8)?,
            nr: u32_at(bytes, 12)?,
            tolerate: u32_at(bytes, 16)?,
            kinds: u32_at(bytes, 20)?,
            args,
        })
    }

    /// The kind of argument `index`.
    #[must_use]
    pub fn kind(&self, index: usize) -> u32 {
        (self.kinds >> (4 * (index % 8))) & 0xf
    }
}

/// The start of a launch image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LaunchHeader {
    /// Length of the whole image in bytes.
    pub len: u32,
    /// [`launch_flag`]s.
    pub flags: u32,
    /// Offset of the relocation table.
    pub relocs: u32,
    /// Entries of the relocation table.
    pub reloc_count: u32,
    /// Offset of the parameters, words of 64 bits.
    pub params: u32,
    /// How many parameters there are.
    pub param_count: u32,
    /// Offset of the payload's argument vector.
    pub argv: u32,
    /// Offset of the payload's environment.
    pub envp: u32,
    /// Offset of the paths to try, a vector that ends with a null.
    pub paths: u32,
    /// Launch descriptor that becomes readable when the host ends, or [`NONE`].
    pub host: u32,
    /// Launch descriptor that gets the exit status as text, or [`NONE`].
    pub status: u32,
    /// Launch descriptor that the reaper keeps until it ends, or [`NONE`].
    pub kept: u32,
    /// Operation at which a fault is injected, or [`NONE`].
    pub fault_op: u32,
    /// What happens there: an errno or a [`fault`].
    pub fault: u32,
    /// Time limit of the payload in nanoseconds, or 0.
    pub timeout: u64,
}

impl LaunchHeader {
    /// The header's bytes.
    #[must_use]
    pub fn encode(&self) -> [u8; LAUNCH_HEADER_LEN] {
        let words = [
            LAUNCH_MAGIC,
            VERSION,
            self.len,
            self.flags,
            self.relocs,
            self.reloc_count,
            self.params,
            self.param_count,
            self.argv,
            self.envp,
            self.paths,
            self.host,
            self.status,
            self.fault_op,
            self.fault,
            self.kept,
        ];
        let mut out = [0; LAUNCH_HEADER_LEN];
        for (to, word) in out.chunks_exact_mut(4).zip(words) {
            to.copy_from_slice(&word.to_le_bytes());
        }
        out[64..72].copy_from_slice(&self.timeout.to_le_bytes());
        out
    }

    /// Reads and checks a header against the image that it starts.
    #[must_use]
    pub fn decode(image: &[u8]) -> Option<Self> {
        if u32_at(image, 0)? != LAUNCH_MAGIC || u32_at(image, 4)? != VERSION {
            return None;
        }
        let word = |index: usize| u32_at(image, 4 * index);
        let header = Self {
            len: word(2)?,
            flags: word(3)?,
            relocs: word(4)?,
            reloc_count: word(5)?,
            params: word(6)?,
            param_count: word(7)?,
            argv: word(8)?,
            envp: word(9)?,
            paths: word(10)?,
            host: word(11)?,
            status: word(12)?,
            fault_op: word(13)?,
            fault: word(14)?,
            kept: word(15)?,
            timeout: u64_at(image, 64)?,
        };
        let relocs_end =
            (header.reloc_count as usize).checked_mul(4)?.checked_add(header.relocs as usize)?;
        let params_end =
            (header.param_count as usize).checked_mul(8)?.checked_add(header.params as usize)?;
        let fits = header.len as usize == image.len()
            && relocs_end <= image.len()
            && params_end <= image.len();
        fits.then_some(header)
    }
}
