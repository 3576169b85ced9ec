//! The sockets between this program and the host.
//!
//! Kernel objects: two `SOCK_SEQPACKET` pairs (unix(7)). Invariant: init's ends are never descriptors of the host's
//! process. So a fork of the host by somebody else cannot hold a copy of them, and end-of-file means what it says.

use crate::arch::nr;
use crate::kernel;
use crate::machine::Machine;
use crate::wire::{NONE, RECORD_LEN, Record, internal_fd, record};

const AF_UNIX: u64 = 1;
/// `SOCK_SEQPACKET | SOCK_CLOEXEC`.
const SEQPACKET: u64 = 5 | kernel::O_CLOEXEC;

impl Machine {
    /// Makes both pairs, sends the host its ends over the socket that the launcher was born with, and takes the other
    /// ends in its place.
    pub fn open_sockets(&self) {
        if let Err(errno) = self.replace_sockets() {
            let _host_gone = self.report(&Record::new(record::ERROR, NONE, errno, 0), None);
            kernel::exit(kernel::REPORTED)
        }
    }

    fn replace_sockets(&self) -> Result<(), i32> {
        let [setup, own_setup] = pair()?;
        let [control, own_control] = pair()?;
        let born_with = self.fd(internal_fd::SETUP);
        let hello = Record::new(record::SOCKETS, NONE, 0, 0);
        kernel::send(born_with, &hello.encode(), &[setup, control])?;
        kernel::call3(nr::DUP3, own_setup, born_with, kernel::O_CLOEXEC)?;
        kernel::call3(nr::DUP3, own_control, self.fd(internal_fd::CONTROL), kernel::O_CLOEXEC)?;
        [setup, own_setup, control, own_control].into_iter().for_each(kernel::close);
        Ok(())
    }
}

impl Machine {
    /// Tells the host that everything up to here is done, and waits until it says the same; ends with the host.
    pub fn await_host(&self) -> Result<(), i32> {
        const POLLIN: u32 = 1;
        let setup = self.fd(internal_fd::SETUP);
        self.report(&Record::new(record::GATE, self.step(), 0, 0), None)?;
        let host = if self.order.host == NONE { NONE } else { self.launch_fd(self.order.host) as u32 };
        // A fork of the host by somebody else can hold its end of the socket, so that its own end is watched, too.
        // Two `struct pollfd`; one with the descriptor -1 is left out.
        let mut polls = [setup as u32, POLLIN, host, POLLIN];
        while kernel::call(nr::PPOLL, [&raw mut polls as u64, 2, 0, 0, 8, 0]).is_err() {}
        let mut answer = [0_u8; RECORD_LEN];
        let answered = polls[1] != POLLIN && {
            let read = kernel::call3(nr::READ, setup, &raw mut answer as u64, RECORD_LEN as u64);
            read == Ok(RECORD_LEN as u64)
        };
        if answered { Ok(()) } else { kernel::exit(kernel::ABANDONED) }
    }
}

/// A pair of connected sockets.
fn pair() -> Result<[u64; 2], i32> {
    let mut ends = [0_u32; 2];
    kernel::call(nr::SOCKETPAIR, [AF_UNIX, SEQPACKET, 0, &raw mut ends as u64, 0, 0])?;
    Ok(ends.map(u64::from))
}

/// Waits until the other side of a socket is closed.
pub fn wait_for_hangup(socket: u64) {
    // `struct pollfd` without events: hang-up is always reported.
    let mut poll = [socket as u32, 0];
    while poll[1] == 0 {
        let _interrupted = kernel::call(nr::PPOLL, [&raw mut poll as u64, 1, 0, 0, 8, 0]);
    }
}
