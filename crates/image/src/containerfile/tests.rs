//! Whole build files.

use super::*;

fn parse(text: &str) -> Containerfile {
    Containerfile::parse(text).unwrap_or_else(|problems| panic!("{text}: {problems:?}"))
}

fn problems(text: &str) -> Vec<String> {
    Containerfile::parse(text).unwrap_err().iter().map(ToString::to_string).collect()
}

fn written(words: &[Word]) -> Vec<&str> {
    words.iter().map(Word::as_written).collect()
}

fn only(text: &str) -> Instruction {
    let file = parse(&format!("FROM scratch\n{text}"));
    let mut instructions = file.stages.into_iter().next().unwrap().instructions;
    assert_eq!(instructions.len(), 1, "{text}");
    instructions.remove(0).instruction
}

#[test]
fn stages_have_images_names_and_platforms() {
    let text = "ARG V=1\nFROM --platform=$BUILDPLATFORM a:$V AS Build\nRUN x\nfrom build\nUSER 5";
    let file = parse(text);
    assert_eq!(file.arguments[0].name, "V");
    let [build, last] = &file.stages[..] else { panic!("two stages") };
    assert_eq!(build.image.as_written(), "a:$V");
    assert_eq!(build.name.as_deref(), Some("build"));
    assert_eq!(build.platform.as_ref().map(Word::as_written), Some("$BUILDPLATFORM"));
    assert_eq!((last.line, last.name.as_deref()), (4, None));
}

#[test]
fn env_takes_both_forms() {
    let Instruction::Env(pairs) = only(r#"ENV a=1 b="x y" c=d\ e"#) else { panic!("ENV") };
    let pairs: Vec<_> = pairs.iter().map(|(k, v)| (k.as_written(), v.as_written())).collect();
    assert_eq!(pairs, [("a", "1"), ("b", "\"x y\""), ("c", r"d\ e")]);
    let Instruction::Env(pairs) = only("ENV name  several words = one") else { panic!("ENV") };
    assert_eq!(pairs[0].1.as_written(), "several words = one");
}

#[test]
fn run_takes_lines_arrays_and_scripts() {
    let run = |text| match only(text) {
        Instruction::Run(run) => run,
        other => panic!("{other:?}"),
    };
    let line = RunCommand::Invocation(Invocation::Shell("a && b".to_owned()));
    assert_eq!(run("RUN a && b").command, line);
    let array = RunCommand::Invocation(Invocation::Exec(vec!["a".to_owned(), "b c".to_owned()]));
    assert_eq!(run("RUN --network=none [\"a\", \"b c\"]").command, array);
    assert_eq!(run("RUN --network=none x").network, Some(RunNetwork::None));
    let script = RunCommand::Script("a\nb\n".to_owned());
    assert_eq!(run("RUN <<EOF\na\nb\nEOF").command, script);
    let fed = RunCommand::Invocation(Invocation::Shell("sh <<-E\na\nE\n".to_owned()));
    assert_eq!(run("RUN sh <<-E\n\ta\n\tE").command, fed);
}

#[test]
fn copy_takes_options_and_inline_files() {
    let text = "COPY --from=build --chown=1:2 --chmod=755 --link a 'b c' /d/";
    let Instruction::Copy(copy) = only(text) else { panic!("COPY") };
    assert_eq!(copy.from.unwrap().as_written(), "build");
    assert_eq!(copy.owner.unwrap().as_written(), "1:2");
    assert_eq!(copy.mode.unwrap().as_written(), "755");
    assert_eq!(copy.destination.as_written(), "/d/");
    assert_eq!(copy.sources.len(), 2);
    let Instruction::Copy(copy) = only("COPY x <<'f' /d/\n$a\nf") else { panic!("COPY") };
    let CopySource::Inline { name, document } = &copy.sources[1] else { panic!("inline") };
    assert_eq!((name.as_str(), document.as_written()), ("f", "$a\n"));
    assert_eq!(document.expand(&|_| Some("no".to_owned())).unwrap(), "$a\n");
    let Instruction::Add(add) = only("ADD --checksum=sha256:x [\"u r l\", \"/\"]") else {
        panic!("ADD")
    };
    assert!(add.checksum.is_some());
    assert_eq!(add.destination.as_written(), "/");
}

#[test]
fn the_other_instructions() {
    assert_eq!(only("CMD"), Instruction::Cmd(Invocation::Exec(Vec::new())));
    let Instruction::Expose(ports) = only("EXPOSE 80/tcp $P 90-95") else { panic!("EXPOSE") };
    assert_eq!(written(&ports), ["80/tcp", "$P", "90-95"]);
    let Instruction::Volume(paths) = only("VOLUME [\"/a b\", \"/c\"]") else { panic!("VOLUME") };
    assert_eq!(written(&paths), ["/a b", "/c"]);
    let Instruction::Workdir(path) = only("WORKDIR a b") else { panic!("WORKDIR") };
    assert_eq!(path.as_written(), "a b");
    assert_eq!(only("SHELL [\"/bin/sh\"]"), Instruction::Shell(vec!["/bin/sh".to_owned()]));
    assert_eq!(only("HEALTHCHECK NONE"), Instruction::Healthcheck(Healthcheck::None));
    let Instruction::Healthcheck(Healthcheck::Command { times, .. }) =
        only("HEALTHCHECK --interval=1m --retries=3 CMD curl x")
    else {
        panic!("HEALTHCHECK")
    };
    assert_eq!(times.interval, Some(std::time::Duration::from_secs(60)));
    assert_eq!(times.retries, Some(3));
    let Instruction::OnBuild(text) = only("ONBUILD RUN <<EOF\na\nEOF") else { panic!("ONBUILD") };
    let again = Containerfile::parse_trigger(&text).unwrap();
    let Instruction::Run(run) = again.instruction else { panic!("RUN") };
    assert_eq!(run.command, RunCommand::Script("a\n".to_owned()));
}

#[test]
fn every_problem_is_found_with_its_line() {
    let text = "RUN x\nFROM a AS 1\nFROM a AS b\nFROM c AS b\nNONE\nCOPY x\nADD --x a b\nENV\n\
                ENV a\nSHELL x\nONBUILD FROM x\nHEALTHCHECK x\nRUN --mount=type=ssh x\nLABEL 'a";
    let found = problems(text);
    let expected = [
        "line 1: RUN stands before the first FROM",
        "line 2: the name of a stage cannot be \"1\"",
        "line 4: there is a stage \"b\" already",
        "line 5: unknown instruction \"NONE\"",
        "line 6: COPY wants at least one source and a destination",
        "line 7: ADD has no option \"--x\"",
        "line 8: ENV wants an argument",
        "line 9: ENV wants name=value",
        "line 10: SHELL wants an array of strings",
        "line 11: ONBUILD cannot hold FROM",
        "line 12: HEALTHCHECK wants NONE, or CMD with a command",
        "line 13: RUN with --mount=type=ssh is not supported",
        "line 14: a quotation mark ' has no end",
    ];
    assert_eq!(found, expected);
    assert_eq!(problems("# nothing\n"), ["there is no FROM"]);
    assert_eq!(Containerfile::from_bytes(b"FROM a\nRUN \xff").unwrap_err()[0].line(), 2);
}
