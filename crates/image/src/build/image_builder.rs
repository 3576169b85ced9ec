//! What is built, said in Rust.
//!
//! Kernel objects: none. Invariant: texts mean themselves: nothing in them is a variable or a quotation mark.

use crate::containerfile::{
    Argument, Containerfile, Copy, CopySource, Instruction, Invocation, Located, Run, RunCommand,
    RunMount, RunNetwork, Stage, Word,
};

/// The instructions of an image, one after the other.
///
/// ```no_run
/// use ampoule_image::build::{Build, ImageBuilder, Workshop};
/// use ampoule_image::{Reference, Store};
///
/// # fn build(workshop: &dyn Workshop) -> ampoule_image::Result<()> {
/// let recipe = ImageBuilder::from("localhost/debian:13")
///     .env("LANG", "C.UTF-8")
///     .run(["apt-get", "install", "-y", "python3"])
///     .copy(["app.py"], "/srv/")
///     .workdir("/srv")
///     .user("nobody")
///     .entrypoint(["python3", "app.py"]);
/// let store = Store::open("/var/lib/app/images")?;
/// let name: Reference = "localhost/app:1".parse()?;
/// let image = Build::new(&store, workshop).context(".").run(&recipe.finish(), &name)?;
/// println!("{}", image.descriptor().digest);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImageBuilder {
    stage: Stage,
}

impl ImageBuilder {
    /// Begins with an image, or with `scratch`.
    #[must_use]
    pub fn from(image: &str) -> Self {
        let image = Word::literal(image);
        let stage = Stage { line: 0, image, platform: None, name: None, instructions: Vec::new() };
        Self { stage }
    }

    /// ENV.
    #[must_use]
    pub fn env(self, name: &str, value: &str) -> Self {
        let text = format!("ENV {name}={value}");
        self.with(text, Instruction::Env(vec![(Word::literal(name), Word::literal(value))]))
    }

    /// RUN of a program with its arguments.
    #[must_use]
    pub fn run<S: Into<String>>(self, argv: impl IntoIterator<Item = S>) -> Self {
        self.run_with(Invocation::Exec(owned(argv)), None)
    }

    /// RUN of a line for the shell.
    #[must_use]
    pub fn run_shell(self, line: &str) -> Self {
        self.run_with(Invocation::Shell(line.to_owned()), None)
    }

    /// As [`ImageBuilder::run`], with a network of its own.
    #[must_use]
    pub fn run_in<S: Into<String>>(
        self,
        network: RunNetwork,
        argv: impl IntoIterator<Item = S>,
    ) -> Self {
        self.run_with(Invocation::Exec(owned(argv)), Some(network))
    }

    /// As [`ImageBuilder::run`], with mounts that only this program sees, and no layer.
    ///
    /// ```
    /// use ampoule_image::build::ImageBuilder;
    /// use ampoule_image::containerfile::RunMount;
    ///
    /// let mounts = [RunMount::cache("/root/.cache"), RunMount::secret("token")];
    /// let recipe = ImageBuilder::from("localhost/python:3").run_mounted(mounts, ["pip", "install", "app"]);
    /// # assert_eq!(recipe.finish().stages.len(), 1);
    /// ```
    #[must_use]
    pub fn run_mounted<S: Into<String>>(
        self,
        mounts: impl IntoIterator<Item = RunMount>,
        argv: impl IntoIterator<Item = S>,
    ) -> Self {
        self.run_as(Invocation::Exec(owned(argv)), (None, mounts.into_iter().collect()))
    }

    /// As [`ImageBuilder::run_shell`], with mounts that only this line sees, and no layer.
    #[must_use]
    pub fn run_shell_mounted(self, mounts: impl IntoIterator<Item = RunMount>, line: &str) -> Self {
        self.run_as(Invocation::Shell(line.to_owned()), (None, mounts.into_iter().collect()))
    }

    fn run_with(self, invocation: Invocation, network: Option<RunNetwork>) -> Self {
        self.run_as(invocation, (network, Vec::new()))
    }

    fn run_as(
        self,
        invocation: Invocation,
        (network, mounts): (Option<RunNetwork>, Vec<RunMount>),
    ) -> Self {
        let shown_mounts: String = mounts.iter().map(|mount| format!("{mount} ")).collect();
        let text = format!("RUN {shown_mounts}{}", shown(&invocation));
        let command = RunCommand::Invocation(invocation);
        self.with(text, Instruction::Run(Run { command, network, mounts }))
    }

    /// COPY from the build's directory.
    #[must_use]
    pub fn copy<S: AsRef<str>>(
        self,
        sources: impl IntoIterator<Item = S>,
        destination: &str,
    ) -> Self {
        self.copy_with(sources, destination, |copy| copy)
    }

    /// COPY from another image.
    #[must_use]
    pub fn copy_from<S: AsRef<str>>(
        self,
        image: &str,
        sources: impl IntoIterator<Item = S>,
        destination: &str,
    ) -> Self {
        let from = Some(Word::literal(image));
        self.copy_with(sources, destination, |copy| Copy { from, ..copy })
    }

    /// COPY with an owner (`user[:group]`).
    #[must_use]
    pub fn copy_owned<S: AsRef<str>>(
        self,
        owner: &str,
        sources: impl IntoIterator<Item = S>,
        destination: &str,
    ) -> Self {
        let owner = Some(Word::literal(owner));
        self.copy_with(sources, destination, |copy| Copy { owner, ..copy })
    }

    fn copy_with<S: AsRef<str>>(
        self,
        sources: impl IntoIterator<Item = S>,
        destination: &str,
        change: impl FnOnce(Copy) -> Copy,
    ) -> Self {
        let copy = change(copy(sources, destination));
        self.with(shown_copy("COPY", &copy), Instruction::Copy(copy))
    }

    /// ADD from the build's directory: as COPY, and archives are unpacked.
    #[must_use]
    pub fn add<S: AsRef<str>>(
        self,
        sources: impl IntoIterator<Item = S>,
        destination: &str,
    ) -> Self {
        let copy = copy(sources, destination);
        self.with(shown_copy("ADD", &copy), Instruction::Add(copy))
    }

    /// ENTRYPOINT.
    #[must_use]
    pub fn entrypoint<S: Into<String>>(self, argv: impl IntoIterator<Item = S>) -> Self {
        let invocation = Invocation::Exec(owned(argv));
        self.with(format!("ENTRYPOINT {}", shown(&invocation)), Instruction::Entrypoint(invocation))
    }

    /// CMD.
    #[must_use]
    pub fn cmd<S: Into<String>>(self, argv: impl IntoIterator<Item = S>) -> Self {
        let invocation = Invocation::Exec(owned(argv));
        self.with(format!("CMD {}", shown(&invocation)), Instruction::Cmd(invocation))
    }

    /// WORKDIR.
    #[must_use]
    pub fn workdir(self, path: &str) -> Self {
        self.with(format!("WORKDIR {path}"), Instruction::Workdir(Word::literal(path)))
    }

    /// USER.
    #[must_use]
    pub fn user(self, user: &str) -> Self {
        self.with(format!("USER {user}"), Instruction::User(Word::literal(user)))
    }

    /// LABEL.
    #[must_use]
    pub fn label(self, name: &str, value: &str) -> Self {
        let text = format!("LABEL {name}={value}");
        self.with(text, Instruction::Label(vec![(Word::literal(name), Word::literal(value))]))
    }

    /// EXPOSE, such as `80/tcp`.
    #[must_use]
    pub fn expose(self, port: &str) -> Self {
        self.with(format!("EXPOSE {port}"), Instruction::Expose(vec![Word::literal(port)]))
    }

    /// VOLUME.
    #[must_use]
    pub fn volume(self, path: &str) -> Self {
        self.with(format!("VOLUME {path}"), Instruction::Volume(vec![Word::literal(path)]))
    }

    /// ARG.
    #[must_use]
    pub fn arg(self, name: &str, default: Option<&str>) -> Self {
        let default = default.map(Word::literal);
        let argument = Argument { name: name.to_owned(), default };
        self.with(format!("ARG {name}"), Instruction::Arg(vec![argument]))
    }

    /// SHELL.
    #[must_use]
    pub fn shell<S: Into<String>>(self, argv: impl IntoIterator<Item = S>) -> Self {
        let shell = owned(argv);
        self.with(format!("SHELL {shell:?}"), Instruction::Shell(shell))
    }

    /// STOPSIGNAL, by name or number.
    #[must_use]
    pub fn stop_signal(self, signal: &str) -> Self {
        self.with(format!("STOPSIGNAL {signal}"), Instruction::StopSignal(Word::literal(signal)))
    }

    /// What [`Build::run`](super::Build::run) takes.
    #[must_use]
    pub fn finish(self) -> Containerfile {
        Containerfile { arguments: Vec::new(), stages: vec![self.stage] }
    }

    fn with(mut self, text: String, instruction: Instruction) -> Self {
        // A number for errors; a file has lines there.
        let line = self.stage.instructions.len() + 1;
        self.stage.instructions.push(Located { line, instruction, text });
        self
    }
}

fn owned<S: Into<String>>(argv: impl IntoIterator<Item = S>) -> Vec<String> {
    argv.into_iter().map(Into::into).collect()
}

fn shown(invocation: &Invocation) -> String {
    match invocation {
        Invocation::Exec(argv) => format!("{argv:?}"),
        Invocation::Shell(line) => line.clone(),
    }
}

fn copy<S: AsRef<str>>(sources: impl IntoIterator<Item = S>, destination: &str) -> Copy {
    let path = |source: S| CopySource::Path(Word::literal(source.as_ref()));
    Copy {
        sources: sources.into_iter().map(path).collect(),
        destination: Word::literal(destination),
        from: None,
        owner: None,
        mode: None,
        checksum: None,
        exclude: Vec::new(),
    }
}

fn shown_copy(name: &str, copy: &Copy) -> String {
    let sources = copy.sources.iter().filter_map(|source| match source {
        CopySource::Path(word) => Some(word.as_written()),
        CopySource::Inline { .. } => None,
    });
    let words: Vec<&str> = sources.chain([copy.destination.as_written()]).collect();
    format!("{name} {}", words.join(" "))
}
