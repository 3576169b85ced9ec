//! Steps that give the payload a terminal of its own.
//!
//! Kernel objects: a pty of the container's devpts (pty(7)). Invariant: the master is a device of the right number
//! before it is used, the peer is opened through it (`TIOCGPTPEER`, Linux 4.13), and the host gets the master.

use ampoule_init::steps::{file, launch, mount, process as p};
use ampoule_init::{Arg, Draft, Slot, Step};

use crate::pty::WindowSize;

/// What the master is called among a launch's descriptors.
pub(crate) const MASTER: u32 = 1;

const O_RDWR_NOCTTY: u64 = 0o402;
const RESOLVE_NO_SYMLINKS: u64 = 4;
const TIOCSPTLCK: u64 = 0x4004_5431;
const TIOCGPTPEER: u64 = 0x5441;
const TIOCSWINSZ: u64 = 0x5414;
const TIOCSCTTY: u64 = 0x540e;

/// Opens the pair and sends the master; the peer belongs to this user.
pub(crate) fn open(size: WindowSize, uid: u32, draft: &mut Draft) -> (Vec<Step>, Slot) {
    let (master, peer) = (draft.slots.take(), draft.slots.take());
    let window: Vec<u8> =
        [size.rows, size.columns, 0, 0].iter().flat_map(|word| word.to_le_bytes()).collect();
    let shown = format!("{}x{}", size.columns, size.rows);
    let unlock = Arg::Bytes(vec![0; 4], "0".to_owned());
    let peer_flags = Arg::Named(O_RDWR_NOCTTY, "O_RDWR|O_NOCTTY".to_owned());
    let steps = vec![
        file::open(
            ampoule_init::Fd::Cwd,
            c"/dev/pts/ptmx",
            O_RDWR_NOCTTY,
            RESOLVE_NO_SYMLINKS,
            master,
        ),
        file::verify_device(master.into(), 5, 2),
        p::ioctl(master.into(), TIOCSPTLCK, "TIOCSPTLCK", unlock),
        p::ioctl(master.into(), TIOCGPTPEER, "TIOCGPTPEER", peer_flags).save(peer),
        p::ioctl(peer.into(), TIOCSWINSZ, "TIOCSWINSZ", Arg::Bytes(window, shown)),
        file::chown(peer.into(), c"", uid, u32::MAX),
        launch::send_fd(MASTER, master),
        file::close(master),
    ];
    (steps, peer)
}

/// Mounts the peer on what was made for it, `/dev/console` by its descriptor: `/dev` may be read-only by now.
pub(crate) fn mount(peer: Slot, target: Slot, draft: &mut Draft) -> Vec<Step> {
    let tree = draft.slots.take();
    vec![
        mount::open_tree(peer.into(), c"", mount::Depth::One, tree),
        mount::attach(tree.into(), target.into()),
        file::close(tree),
        file::close(target),
    ]
}

/// Makes the peer the controlling terminal and the three streams.
pub(crate) fn take(peer: Slot) -> Vec<Step> {
    let mut steps = Vec::from([0, 1, 2].map(|number| p::dup(peer.into(), number)));
    steps.push(p::ioctl(peer.into(), TIOCSCTTY, "TIOCSCTTY", Arg::Number(0)));
    // Its number may be below those that are closed at the end.
    steps.push(file::close(peer));
    steps
}
