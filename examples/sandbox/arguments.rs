//! The command line of `sandbox`, read into a builder.
//!
//! Touches nothing. Invariant: every option is one setter of the library; nothing is decided here.

use std::ffi::{OsStr, OsString};
use std::path::PathBuf;
use std::time::Duration;

use ampoule::image::{Image, Reference};
use ampoule::seccomp::Recording;
use ampoule::{
    Builder, Capabilities, Capability, Command, Container, IdMapping, Landlock, Namespace,
    OwnGroup, Owners, Pid1, Relabel, Root, Seccomp, Selinux, Setting, User,
};
use ampoule_examples::arguments::Failure;
use ampoule_examples::images::{open_image, open_store_of, owners};
use ampoule_examples::landlock;

use crate::network::Networks;
use crate::{image, value};

/// What `--help` prints.
pub(crate) const HELP: &str = "\
Runs a command isolated: its own processes, network, mounts, host name and ids.

Usage: sandbox [OPTIONS] -- COMMAND [ARGUMENTS]
       sandbox [OPTIONS] --image IMAGE [-- ARGUMENTS]

Files
  --rootfs DIR          this directory as root, instead of a read-only view of the host's programs
  --image IMAGE         an image as root: a name in the store, or a path of an OCI layout or an archive (one that
                        begins with / ./ ../ oci: oci-archive: docker-archive:), which is loaded into it; its
                        command, environment, user, directory and volumes, where nothing else is said
  --store DIR           where images are (see the example `image`)
  --owners WHO          whose the image's files are for an ordinary user (see the example `image`)
  --commit NAME         make an image of it and of what the command wrote
  --root HOW            ro, ephemeral (writes go to memory), inplace, or a directory that keeps the writes
  --bind SRC:DST[:HOW]  show a file or directory of the host, read-only without rw; HOW is ro or rw, and where SELinux is
                        on z (its files get a label for all containers) or Z (for this one alone): such as rw,Z
  --tmpfs DIR[:SIZE]    an empty writable directory in memory, 64M unless said otherwise
Namespaces
  --share NS            use the host's: cgroup, ipc, mnt, net, pid, time, user, uts
  --join PID:NS[,NS]    use those of a process
  --map MAP             ids: auto, subids, identity, or INSIDE:OUTSIDE:COUNT[,the same for groups]
  --hostname NAME
Network
  --net WHICH           none (only lo, the default), host, bridge[:NAME], join:PID or join:FILE, veth:NAME (the host's
                        end), device:NAME (moved there and back), user (pasta or slirp4netns carries it),
                        cni:FILE (plugins of /opt/cni/bin, /usr/lib/cni); can be given several times
  -p, --publish PORT    [ADDRESS:]PORT[-LAST]:PORT[-LAST][/udp], the host's and the container's, such as 8080:80
  --egress RULE         refuse what goes out: none, or all but allow=CIDR[:PORT[-LAST]][/tcp|/udp|/icmp]; can be given
                        several times
  --id NAME             its name, which is part of the name of its control group
Process
  --uid N, --gid N      who it runs as; --gid is the same number unless it is given
  --user USER[:GROUP]   the same by names of the root's own files
  --entrypoint PROGRAM  instead of the image's; ARGUMENTS follow it
  --cap-add C           one more capability; --cap-drop C: one less, or ALL
  --seccomp PROFILE     system calls: default, unconfined, or a profile of OCI, Docker or Podman (a file)
  --record FILE         note which system calls it makes, and write the smallest profile: OCI, or Rust to FILE.rs
  --apparmor PROFILE    the AppArmor profile that it runs under, which must be loaded
  --selinux LABEL       the SELinux context that it has, or disable: the caller's
  --landlock RULE       what files and ports it may use, beside all else; can be given several times: read:PATH,
                        exec:PATH (and read), rw:PATH (not exec); connect:PORT, bind:PORT, no-tcp; signals, sockets
                        (end at its own processes). The paths are those inside
  --env NAME=VALUE      set a variable, or take NAME over from here
  --cwd DIR             the working directory inside
  --rlimit NAME=SOFT[:HARD]
  --memory BYTES        the most memory, such as 128m; above it everything is killed
  --cpus NUMBER         CPU time, such as 0.5
  --pids NUMBER         the most processes
  --cpuset LIST         which CPUs, such as 0-3,7
  --io DEVICE:LIMITS    limits of a block device, a path or MAJ:MIN, such as /dev/vda:rbps=10m,wiops=100; they are
                        rbps, wbps (bytes per second), riops, wiops (per second), weight, latency (such as 10ms)
  --timeout SECONDS     end everything after this long, such as 0.5; the exit code is 124
  --payload-is-pid1     without init: the command is process 1
  --tty                 a terminal of its own
Shown
  --explain             print the steps, one a line, and run nothing
  --report              print what is in force, then run
  --timings             print how long the stages of the start took
  --stats               print at the end what was used: peak memory, CPU time, throttled time, processes, block devices,
                        network
  --doctor              print what this machine can do
  -h, --help            this text

The exit code is the command's, 128 + N when signal N ended it, 124 at the time limit, and 125 when it could not
be started. SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGUSR1 and SIGUSR2 are handed to the command.
";

/// What the command line asks for.
pub(crate) enum Asked {
    Help,
    Doctor,
    Run(Box<Options>),
}

/// What is shown besides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shown {
    Plan,
    Report,
    Timings,
    Stats,
}

/// A terminal is wanted.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Tty;

/// A container and its command.
#[derive(Debug, Default)]
pub(crate) struct Options {
    rootfs: Option<PathBuf>,
    image: Option<String>,
    store: Option<PathBuf>,
    owners: Option<Owners>,
    pub(crate) commit: Option<Reference>,
    pub(crate) record: Option<PathBuf>,
    entrypoint: Option<OsString>,
    user: Option<String>,
    /// Setters, in the order of the command line.
    settings: Vec<Setter>,
    uid: Option<u32>,
    gid: Option<u32>,
    capabilities: Vec<Change>,
    landlock: Option<Landlock>,
    network: Networks,
    words: Vec<OsString>,
    cwd: Option<PathBuf>,
    pub(crate) timeout: Option<Duration>,
    pub(crate) tty: Option<Tty>,
    pub(crate) shown: Vec<Shown>,
}

/// One setting, as a setter of the builder takes it.
#[derive(Clone, Debug, PartialEq)]
enum Setter {
    Root(Root),
    Mount(ampoule::Mount),
    Namespace(Namespace, Setting),
    Map(IdMapping),
    Hostname(String),
    Env(OsString, Option<OsString>),
    Rlimit(ampoule::ResourceLimit),
    Pid1,
    Memory(ampoule::Bytes),
    Cpus(ampoule::Cpus),
    Pids(u64),
    Cpuset(ampoule::NumberList),
    Io(ampoule::IoDevice),
    Seccomp(Seccomp),
    Id(String),
    Counted,
    Apparmor(String),
    Selinux(Selinux),
    Relabel(PathBuf, Relabel),
}

/// A change of the capabilities.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Change {
    Add(Capability),
    Drop(Capability),
    DropAll,
}

/// Reads the command line.
pub(crate) fn parse(mut from: lexopt::Parser) -> Result<Asked, Failure> {
    use lexopt::prelude::*;
    let mut options = Options::default();
    while let Some(argument) = from.next()? {
        match argument {
            Short('h') | Long("help") => return Ok(Asked::Help),
            Long("doctor") => return Ok(Asked::Doctor),
            Value(word) => {
                options.words = std::iter::once(word).chain(from.raw_args()?).collect();
            }
            Short('p') => drop(options.network.option("publish", &mut from)?),
            Long(name) => {
                let name = name.to_owned();
                if !(options.flag(&name)
                    || options.process(&name, &mut from)?
                    || options.network.option(&name, &mut from)?)
                {
                    let setters = setters(&name, &mut from)?;
                    options.settings.extend(setters);
                }
            }
            Short(_) => return Err(argument.unexpected().into()),
        }
    }
    match (&options.image, &options.rootfs) {
        (Some(_), Some(_)) => return Err("--image and --rootfs: there is one root".into()),
        (None, _) if options.entrypoint.is_some() || options.commit.is_some() => {
            return Err("--entrypoint and --commit need --image".into());
        }
        (None, _) if options.words.is_empty() => return Err("no command given (see --help)".into()),
        _ => {}
    }
    Ok(Asked::Run(Box::new(options)))
}

/// The option that sets something of the builder.
fn setters(name: &str, from: &mut lexopt::Parser) -> Result<Vec<Setter>, Failure> {
    use lexopt::ValueExt as _;
    let one = match name {
        "root" => Setter::Root(value::root(from.value()?)),
        "bind" => return bind(&from.value()?),
        "tmpfs" => Setter::Mount(value::tmpfs(&from.value()?.string()?)?),
        "share" => Setter::Namespace(from.value()?.string()?.parse()?, Setting::Host),
        "join" => return join(&from.value()?.string()?),
        "map" => Setter::Map(value::id_mapping(&from.value()?.string()?)?),
        "hostname" => Setter::Hostname(from.value()?.string()?),
        "env" => value::variable(&from.value()?, Setter::Env),
        "memory" => Setter::Memory(from.value()?.string()?.parse()?),
        "cpus" => Setter::Cpus(from.value()?.string()?.parse()?),
        "pids" => Setter::Pids(from.value()?.parse()?),
        "cpuset" => Setter::Cpuset(from.value()?.string()?.parse()?),
        "seccomp" => Setter::Seccomp(value::seccomp(from.value()?)?),
        "selinux" => Setter::Selinux(value::selinux(&from.value()?.string()?)?),
        "apparmor" => Setter::Apparmor(from.value()?.string()?),
        "id" => Setter::Id(from.value()?.string()?),
        "io" => Setter::Io(value::io(&from.value()?.string()?)?),
        "rlimit" => Setter::Rlimit(from.value()?.string()?.parse()?),
        _ => return Err(format!("there is no option --{name} (see --help)").into()),
    };
    Ok(vec![one])
}

fn bind(text: &OsStr) -> Result<Vec<Setter>, Failure> {
    let (mount, relabel) = value::bind(text)?;
    let relabel = relabel.map(|relabel| Setter::Relabel(mount.target.clone(), relabel));
    Ok(std::iter::once(Setter::Mount(mount)).chain(relabel).collect())
}

fn join(text: &str) -> Result<Vec<Setter>, Failure> {
    let joined = value::join(text)?;
    Ok(joined.into_iter().map(|(kind, setting)| Setter::Namespace(kind, setting)).collect())
}

impl Options {
    /// Takes an option without a value.
    fn flag(&mut self, name: &str) -> bool {
        match name {
            "payload-is-pid1" => self.settings.push(Setter::Pid1),
            "tty" => self.tty = Some(Tty),
            "explain" => self.shown.push(Shown::Plan),
            "report" => self.shown.push(Shown::Report),
            "timings" => self.shown.push(Shown::Timings),
            "stats" => {
                self.shown.push(Shown::Stats);
                self.settings.push(Setter::Counted);
            }
            _ => return false,
        }
        true
    }

    /// Takes an option that is more than one setter.
    fn process(&mut self, name: &str, from: &mut lexopt::Parser) -> Result<bool, Failure> {
        use lexopt::ValueExt as _;
        match name {
            "rootfs" => self.rootfs = Some(from.value()?.into()),
            "image" => self.image = Some(from.value()?.string()?),
            "commit" => self.commit = Some(from.value()?.string()?.parse()?),
            "record" => self.record = Some(from.value()?.into()),
            "store" => self.store = Some(from.value()?.into()),
            "owners" => self.owners = Some(owners(&from.value()?.string()?)?),
            "entrypoint" => self.entrypoint = Some(from.value()?),
            "user" => self.user = Some(from.value()?.string()?),
            "uid" => self.uid = Some(from.value()?.parse()?),
            "gid" => self.gid = Some(from.value()?.parse()?),
            "cwd" => self.cwd = Some(from.value()?.into()),
            "timeout" => self.timeout = Some(value::seconds(&from.value()?.string()?)?),
            "landlock" => {
                let rules = self.landlock.take().unwrap_or_default();
                self.landlock = Some(landlock::add(rules, &from.value()?.string()?)?);
            }
            "cap-add" => {
                self.capabilities.push(Change::Add(from.value()?.string()?.parse()?));
            }
            "cap-drop" => self.capabilities.push(match from.value()?.string()?.as_str() {
                "ALL" | "all" => Change::DropAll,
                one => Change::Drop(one.parse()?),
            }),
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// The image, if there is one.
    pub(crate) fn image(&self) -> Result<Option<Image>, Failure> {
        let owners = self.owners.unwrap_or(Owners::Single);
        let store = || open_store_of(owners, self.store.as_deref());
        let open = |name: &String| open_image(&store()?, name);
        self.image.as_ref().map(open).transpose()
    }

    /// The command, ready to be planned.
    pub(crate) fn command(self, image: Option<&Image>) -> Result<Command, Failure> {
        let mut builder = match (&self.rootfs, image) {
            (_, Some(image)) => Container::from_image(image),
            (Some(directory), None) => Container::from_rootfs(directory),
            (None, None) => Container::host_view(),
        };
        let images_user = image.and_then(|image| image.config().config.user.as_deref());
        if let Some(capabilities) = self.capabilities(images_user) {
            builder = builder.capabilities(capabilities);
        }
        if let Some(user) = &self.user {
            builder = builder.user(user.parse()?);
        }
        if let Some(uid) = self.uid.or(self.gid.map(|_| 0)) {
            builder = builder.user(User::ids(uid, self.gid.unwrap_or(uid)));
        }
        let builder = self.landlock.into_iter().fold(builder, Builder::landlock);
        let records = self.record.map(|_| Setter::Seccomp(Recording::filter().into()));
        let setters = self.settings.into_iter().chain(records);
        let builder = setters.fold(builder, |builder, setter| setter.on(builder));
        let builder = self.network.on(builder);
        let command = match image {
            Some(image) => {
                let config = &image.config().config;
                image::command(builder, config, self.entrypoint, self.words)?
            }
            None => {
                let mut words = self.words.into_iter();
                builder.command(words.next().unwrap_or_default()).args(words)
            }
        };
        Ok(match self.cwd {
            Some(directory) => command.current_dir(directory),
            None => command,
        })
    }

    /// The capabilities if they are not the default; a user other than 0 keeps ambient ones only.
    fn capabilities(&self, images_user: Option<&str>) -> Option<Capabilities> {
        let has_root = self.rootfs.is_some() || self.image.is_some();
        let named = image::is_root(self.user.as_deref().or(images_user));
        let is_root = self.uid.map_or(has_root && named, |uid| uid == 0);
        let default = if is_root { Capabilities::default() } else { Capabilities::drop_all() };
        let change = |set: Capabilities, change: &Change| match change {
            Change::Add(one) if is_root => set.add(*one),
            Change::Add(one) => set.add_ambient(*one),
            Change::Drop(one) => set.drop(*one),
            Change::DropAll => Capabilities::drop_all(),
        };
        let any = !self.capabilities.is_empty();
        any.then(|| self.capabilities.iter().fold(default, change))
    }
}

impl Setter {
    fn on(self, builder: Builder) -> Builder {
        match self {
            Self::Root(root) => builder.root(root),
            Self::Mount(mount) => builder.mount(mount),
            Self::Namespace(kind, setting) => builder.namespace(kind, setting),
            Self::Map(mapping) => builder.id_mapping(mapping),
            Self::Hostname(name) => builder.hostname(name),
            Self::Env(name, Some(value)) => builder.env(name, value),
            Self::Env(name, None) => builder.env_inherit([name]),
            Self::Rlimit(limit) => builder.rlimit(limit),
            Self::Pid1 => builder.pid1(Pid1::Payload),
            Self::Memory(max) => builder.memory_max(max),
            Self::Cpus(cpus) => builder.cpus(cpus),
            Self::Pids(max) => builder.pids_max(max),
            Self::Cpuset(cpus) => builder.cpuset(cpus),
            Self::Seccomp(seccomp) => builder.seccomp(seccomp),
            Self::Id(id) => builder.id(id),
            Self::Io(device) => builder.io(device),
            Self::Apparmor(profile) => builder.apparmor_profile(profile),
            Self::Selinux(selinux) => builder.selinux(selinux),
            Self::Relabel(target, relabel) => builder.relabel(target, relabel),
            Self::Counted => builder.own_group(OwnGroup::Counted),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(words: &[&str]) -> Result<Options, Failure> {
        match parse(lexopt::Parser::from_args(words))? {
            Asked::Run(options) => Ok(*options),
            Asked::Help | Asked::Doctor => Err("no command".into()),
        }
    }

    #[test]
    fn a_command_needs_no_separator() {
        let options = options(&["--tty", "ls", "--color", "-l"]).unwrap();
        assert_eq!(options.words, ["ls", "--color", "-l"]);
        assert!(options.tty.is_some());
    }

    #[test]
    fn settings_keep_their_order() {
        let words = "--share net --join 7:net,ipc --map identity --payload-is-pid1 -- true";
        let options = options(&words.split(' ').collect::<Vec<_>>()).unwrap();
        assert_eq!(options.settings.len(), 5);
        assert_eq!(options.settings[0], Setter::Namespace(Namespace::Net, Setting::Host));
        assert_eq!(options.settings[4], Setter::Pid1);
    }

    #[test]
    fn capabilities_follow_the_user() {
        let of = |words: &str| {
            options(&words.split(' ').collect::<Vec<_>>()).unwrap().capabilities(None).unwrap()
        };
        let chown = Capability::Chown;
        assert!(of("--cap-add chown -- true").ambient.contains(chown));
        assert!(of("--uid 0 --cap-add chown -- true").ambient.is_empty());
        assert!(!of("--uid 0 --cap-drop chown -- true").bounding.contains(chown));
        let one = of("--rootfs / --cap-drop ALL --cap-add chown -- true");
        assert_eq!(one, Capabilities::drop_all().add(chown));
    }

    #[test]
    fn what_cannot_be_is_refused() {
        for wrong in [
            "",
            "--image x --rootfs / -- true",
            "--entrypoint sh -- true",
            "--commit x -- true",
            "--nothing -- true",
            "-x true",
            "--tty=1 true",
            "--uid x -- true",
            "--timeout -1 -- true",
            "--cap-add CAP_X -- true",
            "--bind /a -- true",
            "--selinux container_t -- true",
            "--share nets -- true",
            "--join net -- true",
            "--rlimit nofile -- true",
            "--map 0:1 -- true",
            "--tmpfs /t:x -- true",
            "--io 7:0 -- true",
            "--hostname",
        ] {
            let words: Vec<_> = wrong.split(' ').filter(|word| !word.is_empty()).collect();
            assert!(options(&words).is_err(), "{wrong}");
        }
    }
}
