//! A launch that is held: everything is done but the program's start.
//!
//! Kernel objects: the setup socket, later a listening socket and a connection to it. Invariant: who is held ends with the
//! host's end of the setup socket until the host hands a listening socket over; from then on it waits for whoever
//! connects, and reports there as it would have on the setup socket.

use crate::arch::nr;
use crate::kernel::{self, EACCES, ECONNRESET, EINVAL, ENOENT, ENOTDIR, S_IFDIR, S_IFMT};
use crate::machine::{Image, Machine};
use crate::wire::{self, LaunchHeader, RECORD_LEN, Record, internal_fd, launch_flag, record};

impl Machine {
    /// Waits, if the launch is to be held; `directory` is the parameter that the step before changed to.
    pub fn hold(&mut self, directory: u32) -> Result<(), i32> {
        if !self.has(launch_flag::HELD) {
            return Ok(());
        }
        self.find_program();
        self.report(&Record::new(record::HELD, self.step(), 0, 0), None)?;
        let setup = self.fd(internal_fd::SETUP);
        let mut is_claimed = false;
        loop {
            let Some((asked, fd)) = request(setup)? else { kernel::exit(kernel::ABANDONED) };
            if matches!(asked.kind, record::PUT | record::LAUNCH) && !is_claimed {
                self.close_further()?;
                is_claimed = true;
            }
            match (asked.kind, fd) {
                (record::GO, _) => return Ok(()),
                (record::KEEP, Some(listener)) => return self.wait_for_connection(listener),
                (record::PUT, Some(fd)) => self.put(fd, asked.aux)?,
                (record::LAUNCH, Some(fd)) => self.take_launch(fd, directory)?,
                _ => {}
            }
        }
    }

    /// Lets the exec close the further descriptors of the present launch: another one gets its own in their place.
    fn close_further(&self) -> Result<(), i32> {
        const CLOSE_RANGE_CLOEXEC: u64 = 4;
        const FURTHER: u32 = 3;
        if self.base <= FURTHER {
            return Ok(());
        }
        let last = u64::from(self.base.wrapping_sub(1));
        kernel::call3(nr::CLOSE_RANGE, u64::from(FURTHER), last, CLOSE_RANGE_CLOEXEC).map(drop)
    }

    /// Gives the payload a descriptor; the numbers from `base` on are not its own.
    fn put(&self, fd: u64, number: u32) -> Result<(), i32> {
        if number >= self.base {
            return Err(EINVAL);
        }
        kernel::call3(nr::DUP3, fd, u64::from(number), 0)?;
        kernel::close(fd);
        Ok(())
    }

    /// Takes another launch in place of the present one: what it runs, and where.
    fn take_launch(&mut self, fd: u64, directory: u32) -> Result<(), i32> {
        let image = Image::map(fd).ok_or(EINVAL)?;
        let order = LaunchHeader::decode(image.bytes()).ok_or(EINVAL)?;
        image.relocate(order.relocs, order.reloc_count).ok_or(EINVAL)?;
        kernel::close(fd);
        (self.launch, self.order) = (image, order);
        let changed = self.parameter(directory).and_then(crate::compose::change_directory);
        if let Err(errno) = changed {
            // The step before is the one that changes the directory.
            let failed = Record::new(record::ERROR, self.step().wrapping_sub(1), errno, 0);
            let _host_gone = self.report(&failed, None);
            kernel::exit(kernel::REPORTED)
        }
        self.find_program();
        Ok(())
    }

    /// Waits for somebody who connects and says `GO`; the connection then is the setup socket.
    fn wait_for_connection(&self, listener: u64) -> Result<(), i32> {
        let setup = self.fd(internal_fd::SETUP);
        loop {
            let connection = kernel::call(nr::ACCEPT4, [listener, 0, 0, kernel::O_CLOEXEC, 0, 0])?;
            let goes = matches!(request(connection), Ok(Some((asked, _))) if asked.kind == record::GO);
            if goes {
                kernel::call3(nr::DUP3, connection, setup, kernel::O_CLOEXEC)?;
                kernel::close(listener);
            }
            kernel::close(connection);
            if goes {
                return Ok(());
            }
        }
    }

    /// Fails as the exec would where no path can be executed, as far as that can be seen before.
    fn find_program(&self) {
        const X_OK: u64 = 1;
        const AT_EACCESS: u64 = 0x200;
        let mut worst = (ENOENT, 0);
        let mut at = self.order.paths as usize;
        loop {
            let path = wire::u64_at(self.launch.bytes(), at).unwrap_or(0);
            if path == 0 {
                self.fail(worst.0, worst.1)
            }
            let may = kernel::call(nr::FACCESSAT2, [kernel::AT_FDCWD, path, X_OK, AT_EACCESS, 0, 0]);
            let mode = kernel::identity(kernel::AT_FDCWD, path, 0).map_or(0, |found| found.mode);
            match may {
                Ok(_) if mode & S_IFMT == S_IFDIR => worst = (EACCES, mode),
                Ok(_) => return,
                Err(ENOENT | ENOTDIR) if mode == 0 => {}
                Err(EACCES) => worst = (EACCES, mode),
                Err(errno) => self.fail(errno, mode),
            }
            at = at.wrapping_add(8);
        }
    }
}

/// The next request of a socket with the descriptor that came along; none when the other side has closed.
fn request(socket: u64) -> Result<Option<(Record, Option<u64>)>, i32> {
    let mut bytes = [0_u8; RECORD_LEN];
    let (len, fd) = match kernel::receive(socket, &mut bytes) {
        // Said once when the other side closed without having read everything.
        Err(ECONNRESET) => kernel::receive(socket, &mut bytes).unwrap_or((0, None)),
        other => other?,
    };
    if len == 0 {
        return Ok(None);
    }
    let asked = bytes.get(..len).and_then(Record::decode).ok_or(EINVAL)?;
    Ok(Some((asked, fd)))
}
