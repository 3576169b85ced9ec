//! A real image without the internet: made of a root directory, pushed to a registry on the loopback, pulled, looked at,
//! mounted, run, changed, committed and run again.
//!
//! Kernel objects: files below `target/demo`, a process of Debian's registry, a port. Invariant: what was started has ended
//! when [`run_all`] returns.

use std::fs;
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::Failures;
use crate::error::Error;
use crate::packages;
use crate::process::{self, Watched};
use crate::vm::{self, Suite};
use crate::workspace::{self, Artifact};

/// How long one command may take.
const LIMIT: Duration = Duration::from_secs(120);
/// How long the root may take to be made.
const MAKE: Duration = Duration::from_secs(600);
/// How many lines of a command are shown.
const SHOWN: usize = 24;

/// One command line of the demo, in the words of a shell.
struct Act {
    title: &'static str,
    line: &'static str,
}

/// Where `$AT` is the registry's address and `$ROOT` the files of the image.
#[rustfmt::skip]
const ACTS: &[Act] = &[
    Act { title: "A tar file of a root directory becomes an image", line: "image load --store made tar:$ROOT debian:demo" },
    Act { title: "It is pushed to a registry", line: "image push --store made debian:demo $AT/team/debian:demo" },
    Act { title: "Another store pulls it: progress of each layer", line: "image pull --store S $AT/team/debian:demo" },
    Act { title: "What it says about itself, and its layers", line: "image inspect --store S $AT/team/debian:demo" },
    Act { title: "Its layers as one tree, mounted nowhere; a program of the host looks at it", line: "image mount --store S $AT/team/debian:demo -- ls -l" },
    Act { title: "A command runs in it", line: "sandbox --store S --image $AT/team/debian:demo -- sh -c 'cat /etc/os-release | head -2; id; ls /'" },
    Act { title: "A command writes a file, and removes one", line: "sandbox --store S --image $AT/team/debian:demo --root $PWD/upper --commit changed:1 -- sh -c 'echo written inside > /greeting; rm /etc/os-release; ls /greeting'" },
    Act { title: "Both landed in the upper layer: the file, and a device 0:0 for the removed one", line: "ls -l upper/greeting upper/etc/os-release" },
    Act { title: "What it changes", line: "image diff --store S --userxattr $AT/team/debian:demo upper" },
    Act { title: "--commit made an image of it: only one layer is new", line: "image inspect --store S changed:1" },
    Act { title: "The committed image runs", line: "sandbox --store S --image changed:1 -- sh -c 'cat /greeting; ls /etc/os-release 2>&1 || true'" },
    Act { title: "An image is built on it, each RUN in a container", line: "image build --store S -t built:1 context" },
    Act { title: "And once more: from the cache", line: "image build --store S -t built:2 context" },
    Act { title: "The built image's own command", line: "sandbox --store S --image built:1" },
    Act { title: "It goes back to the registry: layers that are there are not sent", line: "image push --store S built:1 $AT/team/debian:built" },
    Act { title: "From the registry into a container in one go", line: "pull-and-run --store fresh $AT/team/debian:built" },
    Act { title: "What there is", line: "image ls --store S --usage" },
    Act { title: "A name less, and what no name leads to", line: "image rm --store S changed:1 && image gc --store S" },
    Act { title: "All is whole", line: "image verify --store S" },
];

const CONTAINERFILE: &str = "\
FROM changed:1
ARG WHO=somebody
ENV GREETING=hello
COPY message /srv/
RUN echo \"$GREETING, $WHO, from process $$\" >> /srv/message
WORKDIR /srv
CMD [\"cat\", \"message\"]
";

/// Debian's registry.
struct Registry {
    child: Child,
    address: String,
}

/// Shows every act; one fails if its command does.
pub(super) fn run_all(examples: &[Artifact]) -> Result<Failures, Error> {
    let missing = packages::ensure(&["demo"])?;
    if process::find("docker-registry").is_none() {
        println!("NOT RUN  images  no registry  {}", packages::install_command(&missing));
        return Ok(Failures(0));
    }
    let demo = workspace::target_dir()?.join("demo");
    let root = root_tar(&demo)?;
    let dir = tempfile::tempdir_in(&demo)
        .map_err(|source| Error::io("make a directory in", &demo, source))?;
    let context = dir.path().join("context");
    make_dir(&context)?;
    write(&context.join("Containerfile"), CONTAINERFILE)?;
    write(&context.join("message"), "copied from the context\n")?;
    let registry = Registry::start(dir.path())?;
    let mut failed = Vec::new();
    for act in ACTS {
        println!("\n--- {}", act.title);
        if !play(act, (dir.path(), &root), &registry, examples)? {
            failed.push(act.title);
        }
    }
    println!("\n{} acts with images, {} failed", ACTS.len(), failed.len());
    failed.iter().for_each(|title| println!("FAILED: {title}"));
    Ok(Failures(failed.len()))
}

fn play(
    act: &Act,
    (dir, root): (&Path, &Path),
    registry: &Registry,
    examples: &[Artifact],
) -> Result<bool, Error> {
    println!("$ {}", act.line);
    let image = examples.iter().find(|each| each.target.name == "image");
    let image = image.ok_or(Error::absent("example image"))?;
    let mut path = image.executable.parent().unwrap_or(Path::new("/")).as_os_str().to_owned();
    path.push(":/usr/bin:/bin");
    let mut command = Command::new("sh");
    command.args(["-ec", act.line]).current_dir(dir);
    command.env("PATH", path).env("AT", &registry.address).env("ROOT", root);
    show(&mut command, LIMIT)
}

/// Runs a command and shows the beginning of what it says; whether it succeeded.
fn show(command: &mut Command, limit: Duration) -> Result<bool, Error> {
    let mut lines = 0;
    let end = Watched::run(command, limit, &mut |line| {
        lines += 1;
        if lines <= SHOWN {
            println!("{line}");
        }
    })?;
    if lines > SHOWN {
        println!("… {} lines more", lines - SHOWN);
    }
    if !end.is_clean() {
        println!("FAILED: {end:?}");
    }
    Ok(end.is_clean())
}

/// A tar file of a root directory, kept for the next time: Debian's where its archive can be reached, else a shell with its
/// programs in one file.
fn root_tar(demo: &Path) -> Result<PathBuf, Error> {
    make_dir(demo)?;
    let debian = demo.join("debian.tar");
    if debian.is_file() {
        return Ok(debian);
    }
    if process::find("mmdebstrap").is_some() {
        println!("\n--- A Debian root, made by mmdebstrap");
        let new = demo.join("debian.tar.new");
        let mut command = Command::new("mmdebstrap");
        command.args(["--quiet", "--variant=essential", "--format=tar", Suite::Trixie.name()]);
        command.arg(&new).arg(Suite::Trixie.source(&vm::mirror()?)).env("TMPDIR", "/tmp");
        if show(&mut command, MAKE)? {
            let renamed = fs::rename(&new, &debian);
            renamed.map_err(|source| Error::io("rename", &new, source))?;
            return Ok(debian);
        }
        println!("without Debian's archive: a root of one program");
    }
    busybox_tar(demo)
}

fn busybox_tar(demo: &Path) -> Result<PathBuf, Error> {
    const SCRIPT: &str = "\
        rm -rf root; mkdir -p root/bin root/etc root/tmp root/srv; cp \"$0\" root/bin/busybox
        for name in sh cat ls id head echo rm mkdir; do ln -s busybox root/bin/$name; done
        echo 'PRETTY_NAME=\"One program\"' > root/etc/os-release
        echo root:x:0:0::/:/bin/sh > root/etc/passwd; echo root:x:0: > root/etc/group
        tar -cf busybox.tar -C root .; rm -rf root";
    let busybox = process::find("busybox").ok_or(Error::absent("busybox"))?;
    let mut command = Command::new("sh");
    command.args(["-ec", SCRIPT]).arg(busybox).current_dir(demo);
    process::stdout(&mut command)?;
    Ok(demo.join("busybox.tar"))
}

fn make_dir(dir: &Path) -> Result<(), Error> {
    fs::create_dir_all(dir).map_err(|source| Error::io("make", dir, source))
}

fn write(path: &Path, text: &str) -> Result<(), Error> {
    fs::write(path, text).map_err(|source| Error::io("write", path, source))
}

impl Registry {
    fn start(dir: &Path) -> Result<Self, Error> {
        /// How long it may take to listen.
        const PATIENCE: Duration = Duration::from_secs(20);
        // Free a moment ago; nothing else on this machine asks for it by number.
        let free = TcpListener::bind("127.0.0.1:0").and_then(|socket| socket.local_addr());
        let address = free.map_err(|source| Error::io("find a port for", dir, source))?.to_string();
        let file = dir.join("registry.yml");
        let text = format!(
            "version: 0.1\nlog: {{level: error}}\nstorage: {{filesystem: {{rootdirectory: {}}}}}\n\
             http: {{addr: '{address}'}}\n",
            dir.join("registry").display()
        );
        write(&file, &text)?;
        let mut command = process::dying_with_us("docker-registry");
        command.arg("serve").arg(&file);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let child = command.spawn().map_err(|source| Error::start(&command, source))?;
        let registry = Self { child, address };
        let begin = Instant::now();
        while TcpStream::connect(&registry.address).is_err() {
            if begin.elapsed() > PATIENCE {
                return Err(Error::absent("registry that listens"));
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(registry)
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        // It has ended already if it cannot be killed.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
