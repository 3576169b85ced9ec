//! A running emulator with its sockets.
//!
//! Invariant: no emulator outlives its value, nor our process (it dies with its parent).

use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::guest::Guest;
use super::qemu::{Access, Qemu, Share, escaped};
use super::scratch::Scratch;
use crate::error::Error;

/// How many shares a guest may have. All slots are always there, because the devices have to be
/// the same as in the saved state.
pub(crate) const SLOTS: usize = 8;
const SOCKETS: [&str; 4] = ["out", "err", "control", "qmp"];
/// How long the emulator may take to open its sockets.
const START: Duration = Duration::from_secs(60);

/// The files that a machine boots from.
pub(super) struct Firmware<'a> {
    pub(super) qemu: &'a Qemu,
    pub(super) vmlinux: &'a Path,
    pub(super) initrd: &'a Path,
}

/// How a machine begins.
#[derive(Clone, Copy)]
pub(super) enum Begin<'a> {
    /// At power on, and what it writes to the disk is kept.
    Boot { disk: &'a Path },
    /// Where its state was saved; what it writes to the disk is forgotten.
    Resume { disk: &'a Path, memory: &'a Path },
}

/// The running emulator.
pub(super) struct Machine {
    child: Child,
    pub(super) scratch: Scratch,
    pub(super) out: UnixStream,
    pub(super) err: UnixStream,
    pub(super) control: UnixStream,
    pub(super) qmp: UnixStream,
}

impl Drop for Machine {
    fn drop(&mut self) {
        if let Err(error) = self.end() {
            eprintln!("xtask: end the virtual machine: {error}");
        }
    }
}

impl Machine {
    /// Starts the emulator and waits until it has opened its sockets.
    pub(super) fn start(
        firmware: &Firmware<'_>,
        guest: &Guest,
        begin: Begin<'_>,
        shares: &[Share],
        scratch: Scratch,
    ) -> Result<Self, Error> {
        let mut listeners = Vec::new();
        for name in SOCKETS {
            let path = scratch.path(name);
            let listener = UnixListener::bind(&path).map_err(|e| Error::io("bind", &path, e))?;
            listener.set_nonblocking(true).map_err(|e| Error::io("set up", &path, e))?;
            listeners.push(listener);
        }
        let mut command = firmware.qemu.system();
        add_hardware(&mut command, firmware, guest, begin);
        add_channels(&mut command, &scratch);
        add_shares(&mut command, shares, &scratch);
        add_swap(&mut command, guest, &scratch)?;
        let log = scratch.path("qemu.log");
        let log_file = File::create(&log).map_err(|e| Error::io("make", &log, e))?;
        let log_too = log_file.try_clone().map_err(|e| Error::io("open", &log, e))?;
        command.stdin(Stdio::null()).stdout(log_file).stderr(log_too);
        let mut child = command.spawn().map_err(|source| Error::start(&command, source))?;
        match accept_all(&listeners, &mut child, &scratch) {
            Ok([out, err, control, qmp]) => Ok(Self { child, scratch, out, err, control, qmp }),
            Err(error) => {
                let killed = child.kill().and_then(|()| child.wait());
                killed.map_err(|source| Error::start(&command, source))?;
                Err(error)
            }
        }
    }

    /// Waits for a line of the guest's; `None` if the machine ended or took too long.
    pub(super) fn wait_for(&self, word: &str, limit: Duration) -> Result<bool, Error> {
        let failed = |e| Error::io("read", Path::new("control"), e);
        let control = self.control.try_clone().map_err(failed)?;
        control.set_read_timeout(Some(limit)).map_err(failed)?;
        let mut line = String::new();
        let read = BufReader::new(control).read_line(&mut line);
        Ok(read.is_ok() && line.trim() == word)
    }

    /// Says a line to the guest.
    pub(super) fn say(&mut self, word: &str) -> Result<(), Error> {
        let failed = |e| Error::io("write", Path::new("control"), e);
        self.control.write_all(format!("{word}\n").as_bytes()).map_err(failed)
    }

    /// Ends the emulator, if it has not ended.
    pub(super) fn end(&mut self) -> std::io::Result<()> {
        if self.child.try_wait()?.is_none() {
            self.child.kill()?;
            self.child.wait()?;
        }
        Ok(())
    }
}

fn accept_all(
    listeners: &[UnixListener],
    child: &mut Child,
    scratch: &Scratch,
) -> Result<[UnixStream; 4], Error> {
    let begin = Instant::now();
    let mut streams = Vec::new();
    for listener in listeners {
        loop {
            if let Ok((stream, _)) = listener.accept() {
                let blocking = stream.set_nonblocking(false);
                blocking.map_err(|e| Error::io("set up", &scratch.path("control"), e))?;
                streams.push(stream);
                break;
            }
            let ended = child.try_wait().is_ok_and(|status| status.is_some());
            if ended || begin.elapsed() > START {
                return Err(Error::machine("did not start", scratch.last_words()));
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }
    streams.try_into().map_err(|_| Error::machine("did not start", scratch.last_words()))
}

/// Everything but channels and shares. A machine boots with one thread for all processors: with
/// more, an assertion of QEMU 10 can fail while firmware and kernel lay out memory.
fn add_hardware(command: &mut Command, firmware: &Firmware<'_>, guest: &Guest, begin: Begin<'_>) {
    let (disk, threads) = match begin {
        Begin::Boot { disk } => (escaped(disk), "single"),
        Begin::Resume { disk, .. } => (escaped(disk) + ",snapshot=on", "multi"),
    };
    command.args(["-nodefaults", "-no-user-config", "-no-reboot", "-display", "none"]);
    command.args(["-machine", "pc,usb=off,vmport=off,hpet=off,graphics=off"]);
    command.arg("-accel").arg(format!("tcg,thread={threads},tb-size=256"));
    command.args(["-cpu", "max,-la57"]);
    command.arg("-smp").arg(guest.cpus.to_string());
    command.arg("-m").arg(guest.memory_mib.to_string());
    command.arg("-kernel").arg(firmware.vmlinux).arg("-initrd").arg(firmware.initrd);
    command.arg("-append").arg(guest.command_line());
    command.arg("-drive");
    command.arg(format!("if=none,id=root,format=qcow2,cache=unsafe,file={disk}"));
    command.args(["-device", "virtio-blk-pci,drive=root", "-device", "virtio-rng-pci"]);
    if let Begin::Resume { memory, .. } = begin {
        command.arg("-incoming").arg(format!("file:{}", memory.display()));
    }
}

fn add_channels(command: &mut Command, scratch: &Scratch) {
    command.args(["-device", "virtio-serial-pci"]);
    for name in SOCKETS {
        let path = escaped(&scratch.path(name));
        command.arg("-chardev").arg(format!("socket,id={name},path={path}"));
        if name == "qmp" {
            command.args(["-mon", "chardev=qmp,mode=control"]);
        } else {
            let port = format!("virtserialport,chardev={name},name=ampoule.{name}");
            command.arg("-device").arg(port);
        }
    }
    let console = escaped(&scratch.path("console"));
    command.arg("-chardev").arg(format!("file,id=console,path={console}"));
    command.args(["-serial", "chardev:console"]);
}

fn add_shares(command: &mut Command, shares: &[Share], scratch: &Scratch) {
    let mut add = |tag: &str, host: &Path, access: Access| {
        let read_only = if access == Access::ReadOnly { ",readonly=on" } else { "" };
        let path = escaped(host);
        command.arg("-fsdev").arg(format!(
            "local,id={tag},path={path},security_model=none,multidevs=remap{read_only}"
        ));
        command.arg("-device").arg(format!("virtio-9p-pci,fsdev={tag},mount_tag={tag}"));
    };
    add("job", &scratch.path("job"), Access::ReadOnly);
    let empty = scratch.path("empty");
    for slot in 0..SLOTS {
        let share = shares.get(slot);
        let host = share.map_or(empty.as_path(), |share| share.host.as_path());
        let access = share.map_or(Access::ReadOnly, |share| share.access);
        add(&format!("share{slot}"), host, access);
    }
}

/// A swap area with its header, as mkswap(8) writes it.
fn add_swap(command: &mut Command, guest: &Guest, scratch: &Scratch) -> Result<(), Error> {
    if guest.swap_mib == 0 {
        return Ok(());
    }
    let path = scratch.path("swap");
    let file = File::create(&path).map_err(|e| Error::io("make", &path, e))?;
    let size = u64::from(guest.swap_mib) << 20;
    file.set_len(size).map_err(|e| Error::io("truncate", &path, e))?;
    let mut mkswap =
        Command::new(crate::process::find("mkswap").unwrap_or_else(|| "mkswap".into()));
    super::archive::succeed(mkswap.arg("-q").arg(&path).stderr(Stdio::null()))?;
    let path = escaped(&path);
    command.arg("-drive").arg(format!("if=none,id=swap,format=raw,cache=unsafe,file={path}"));
    command.args(["-device", "virtio-blk-pci,drive=swap"]);
    Ok(())
}
