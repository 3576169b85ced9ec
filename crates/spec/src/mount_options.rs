//! Mount options as `mounts[].options` has them: flags, recursive flags, propagation, and data of the file system.
//!
//! Kernel objects: flags of mount(2) and mount_setattr(2). Invariant: every option of the specification's table has its
//! typed form; everything else is data of the file system, in the order in which it was.
//!
//! An option counts more than an earlier one that says the opposite.

use bitflags::bitflags;

bitflags! {
    /// Flags of a mount, with the values of mount(2).
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
    pub struct MountFlags: u64 {
        /// `ro`: nothing can be written.
        const RDONLY = 1;
        /// `nosuid`: set-user-id bits and file capabilities do not count.
        const NOSUID = 1 << 1;
        /// `nodev`: device nodes cannot be opened.
        const NODEV = 1 << 2;
        /// `noexec`: programs cannot be executed.
        const NOEXEC = 1 << 3;
        /// `sync`: writes wait for the device.
        const SYNCHRONOUS = 1 << 4;
        /// `mand`: mandatory locks; without effect since Linux 5.15.
        const MANDLOCK = 1 << 6;
        /// `dirsync`: changes of directories wait for the device.
        const DIRSYNC = 1 << 7;
        /// `nosymfollow`: symbolic links are not followed; Linux 5.10.
        const NOSYMFOLLOW = 1 << 8;
        /// `noatime`: times of access are not written.
        const NOATIME = 1 << 10;
        /// `nodiratime`: times of access of directories are not written.
        const NODIRATIME = 1 << 11;
        /// `silent`: the kernel does not log some failures.
        const SILENT = 1 << 15;
        /// `relatime`: times of access are written when they are old.
        const RELATIME = 1 << 21;
        /// `iversion`: the version of a file counts its changes.
        const I_VERSION = 1 << 23;
        /// `strictatime`: times of access are always written.
        const STRICTATIME = 1 << 24;
        /// `lazytime`: times are written to memory first.
        const LAZYTIME = 1 << 25;
    }
}

/// One mount alone, or with all below it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reach {
    /// The mount alone.
    One,
    /// The mount and all mounts below it.
    Recursive,
}

/// How mounts and unmounts spread between mount namespaces (mount_namespaces(7)).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Propagation {
    /// In both directions.
    Shared,
    /// From the host into the container.
    Slave,
    /// In neither direction.
    Private,
    /// In neither direction, and it cannot be bound elsewhere.
    Unbindable,
}

const PROPAGATIONS: [(&str, Propagation); 4] = [
    ("shared", Propagation::Shared),
    ("slave", Propagation::Slave),
    ("private", Propagation::Private),
    ("unbindable", Propagation::Unbindable),
];

impl Propagation {
    /// The one with this name, and how far it reaches: `slave` or `rslave`.
    #[must_use]
    pub fn named(name: &str) -> Option<(Self, Reach)> {
        PROPAGATIONS.into_iter().find_map(|(known, propagation)| match name {
            _ if name == known => Some((propagation, Reach::One)),
            _ if name.strip_prefix('r') == Some(known) => Some((propagation, Reach::Recursive)),
            _ => None,
        })
    }

    /// Its name, without reach.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Shared => "shared",
            Self::Slave => "slave",
            Self::Private => "private",
            Self::Unbindable => "unbindable",
        }
    }
}

/// That what is at the target shows in a new tmpfs (`tmpcopyup`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct CopyUp;

/// That an existing mount is changed (`remount`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Remount;

/// The options of a mount, in types.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct MountOptions {
    /// `bind` or `rbind`: the source is a file or directory.
    pub bind: Option<Reach>,
    /// Flags that were asked for.
    pub set: MountFlags,
    /// Flags that were asked to be off, which tells from those that nothing was said about.
    pub clear: MountFlags,
    /// Flags for the mount and all below it (`rro` and its like; mount_setattr(2), Linux 5.12).
    pub recursive_set: MountFlags,
    /// Flags to be off in the mount and all below it (`rrw` and its like).
    pub recursive_clear: MountFlags,
    /// `private`, `rslave` …
    pub propagation: Option<(Propagation, Reach)>,
    /// `idmap` or `ridmap`: owners are mapped (mount_setattr(2), Linux 5.12).
    pub idmap: Option<Reach>,
    /// `tmpcopyup`.
    pub copy_up: Option<CopyUp>,
    /// `remount`.
    pub remount: Option<Remount>,
    /// Everything else: options of the file system.
    pub data: Vec<String>,
}

/// What an option does to a flag.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Change {
    Set,
    Clear,
}

use Change::{Clear, Set};

/// Options with a flag: the name, whether it exists with `r` before it, and what it does.
#[rustfmt::skip]
const FLAGS: &[(&str, bool, Change, MountFlags)] = &[
    ("ro", true, Set, MountFlags::RDONLY),
    ("rw", true, Clear, MountFlags::RDONLY),
    ("nosuid", true, Set, MountFlags::NOSUID),
    ("suid", true, Clear, MountFlags::NOSUID),
    ("nodev", true, Set, MountFlags::NODEV),
    ("dev", true, Clear, MountFlags::NODEV),
    ("noexec", true, Set, MountFlags::NOEXEC),
    ("exec", true, Clear, MountFlags::NOEXEC),
    ("nosymfollow", true, Set, MountFlags::NOSYMFOLLOW),
    ("symfollow", true, Clear, MountFlags::NOSYMFOLLOW),
    ("noatime", true, Set, MountFlags::NOATIME),
    ("atime", true, Clear, MountFlags::NOATIME),
    ("nodiratime", true, Set, MountFlags::NODIRATIME),
    ("diratime", true, Clear, MountFlags::NODIRATIME),
    ("relatime", true, Set, MountFlags::RELATIME),
    ("norelatime", true, Clear, MountFlags::RELATIME),
    ("strictatime", true, Set, MountFlags::STRICTATIME),
    ("nostrictatime", true, Clear, MountFlags::STRICTATIME),
    ("sync", false, Set, MountFlags::SYNCHRONOUS),
    ("async", false, Clear, MountFlags::SYNCHRONOUS),
    ("dirsync", false, Set, MountFlags::DIRSYNC),
    ("mand", false, Set, MountFlags::MANDLOCK),
    ("nomand", false, Clear, MountFlags::MANDLOCK),
    ("lazytime", false, Set, MountFlags::LAZYTIME),
    ("nolazytime", false, Clear, MountFlags::LAZYTIME),
    ("iversion", false, Set, MountFlags::I_VERSION),
    ("noiversion", false, Clear, MountFlags::I_VERSION),
    ("silent", false, Set, MountFlags::SILENT),
    ("loud", false, Clear, MountFlags::SILENT),
];

/// Of these, one holds: the kernel has one setting for times of access.
const ATIMES: MountFlags =
    MountFlags::NOATIME.union(MountFlags::RELATIME).union(MountFlags::STRICTATIME);

/// Options without a flag.
const OTHERS: [&str; 7] = ["bind", "rbind", "remount", "idmap", "ridmap", "tmpcopyup", "defaults"];

impl MountOptions {
    /// Reads options. Every text is one: what is not known is data.
    #[must_use]
    pub fn parse<Text: AsRef<str>>(options: impl IntoIterator<Item = Text>) -> Self {
        let mut parsed = Self::default();
        for option in options {
            parsed.take(option.as_ref());
        }
        parsed
    }

    /// The names of all options that are no data, as the `features` document lists them.
    #[must_use]
    pub fn names() -> Vec<String> {
        let flags = FLAGS.iter().map(|(name, ..)| (*name).to_owned());
        let recursive = FLAGS.iter().filter(|(_, recursive, ..)| *recursive);
        let recursive = recursive.map(|(name, ..)| format!("r{name}"));
        let propagations =
            PROPAGATIONS.iter().flat_map(|(name, _)| [(*name).to_owned(), format!("r{name}")]);
        let others = OTHERS.iter().map(|name| (*name).to_owned());
        let mut names: Vec<_> = flags.chain(recursive).chain(propagations).chain(others).collect();
        names.sort();
        names
    }

    /// The options as texts: what [`parse`](Self::parse) makes the same of.
    #[must_use]
    pub fn to_options(&self) -> Vec<String> {
        let mut options = Vec::new();
        options.extend(self.bind.map(|reach| reaching("bind", reach)));
        options.extend(self.remount.map(|Remount| "remount".to_owned()));
        let own = flag_names(self.set, self.clear, Reach::One);
        let recursive = flag_names(self.recursive_set, self.recursive_clear, Reach::Recursive);
        options.extend(own.chain(recursive));
        options.extend(self.propagation.map(|(it, reach)| reaching(it.name(), reach)));
        options.extend(self.idmap.map(|reach| reaching("idmap", reach)));
        options.extend(self.copy_up.map(|CopyUp| "tmpcopyup".to_owned()));
        options.extend(self.data.iter().cloned());
        options
    }

    fn take(&mut self, option: &str) {
        match option {
            "bind" => self.bind = Some(Reach::One),
            "rbind" => self.bind = Some(Reach::Recursive),
            "remount" => self.remount = Some(Remount),
            "idmap" => self.idmap = Some(Reach::One),
            "ridmap" => self.idmap = Some(Reach::Recursive),
            "tmpcopyup" => self.copy_up = Some(CopyUp),
            // What it stands for in fstab(5) is what holds without it.
            "defaults" => {}
            _ if Propagation::named(option).is_some() => {
                self.propagation = Propagation::named(option);
            }
            _ if self.take_flag(option) => {}
            _ => self.data.push(option.to_owned()),
        }
    }

    fn take_flag(&mut self, option: &str) -> bool {
        let exactly = FLAGS.iter().find(|(name, ..)| *name == option);
        let recursive = || {
            let option = option.strip_prefix('r')?;
            FLAGS.iter().find(|(name, recursive, ..)| *recursive && *name == option)
        };
        let (set, clear, (_, _, change, flag)) =
            match (exactly, exactly.map_or_else(recursive, |_| None)) {
                (Some(entry), _) => (&mut self.set, &mut self.clear, entry),
                (None, Some(entry)) => (&mut self.recursive_set, &mut self.recursive_clear, entry),
                (None, None) => return false,
            };
        match change {
            Set if ATIMES.contains(*flag) => {
                set.remove(ATIMES);
                clear.remove(*flag);
                set.insert(*flag);
            }
            Set => {
                clear.remove(*flag);
                set.insert(*flag);
            }
            Clear => {
                set.remove(*flag);
                clear.insert(*flag);
            }
        }
        true
    }
}

fn reaching(name: &str, reach: Reach) -> String {
    match reach {
        Reach::One => name.to_owned(),
        Reach::Recursive => format!("r{name}"),
    }
}

/// The names of flags; `dirsync` has none to clear it, and needs none.
fn flag_names(set: MountFlags, clear: MountFlags, reach: Reach) -> impl Iterator<Item = String> {
    let is_said = move |change: Change, flag: MountFlags| match change {
        Set => set.contains(flag),
        Clear => clear.contains(flag),
    };
    let fits = move |recursive: bool| recursive || reach == Reach::One;
    FLAGS
        .iter()
        .filter(move |(_, recursive, change, flag)| fits(*recursive) && is_said(*change, *flag))
        .map(move |(name, ..)| reaching(name, reach))
}
