//! RUN --mount.

use super::*;

fn mounts(text: &str) -> Vec<RunMount> {
    let file = Containerfile::parse(&format!("FROM a\n{text}")).unwrap();
    match &file.stages[0].instructions[0].instruction {
        Instruction::Run(run) => run.mounts.clone(),
        other => panic!("{other:?}"),
    }
}

fn problem(options: &str) -> String {
    let text = format!("FROM a\n\nRUN --mount={options} x");
    let problems = Containerfile::parse(&text).unwrap_err();
    assert_eq!((problems.len(), problems[0].line()), (1, 3), "{options}");
    problems[0].kind().to_string()
}

#[test]
fn a_mount_has_a_type_and_a_target() {
    let found = mounts(
        "RUN --mount=target=/src --mount=type=bind,from=tools,source=/o,dst=/t,rw \\\n \
         --mount=type=tmpfs,destination=/tmp,size=64m make",
    );
    let word = |text: &str| Some(Word::new(text, '\\'));
    let access = MountAccess::ReadOnly;
    let whole = RunMountKind::Bind { from: None, source: None, access };
    assert_eq!(found[0], RunMount::new(word("/src"), whole));
    let access = MountAccess::ReadWrite;
    let part = RunMountKind::Bind { from: word("tools"), source: word("/o"), access };
    assert_eq!(found[1], RunMount::new(word("/t"), part));
    let memory = RunMountKind::Tmpfs { size: Some(64 << 20) };
    assert_eq!(found[2], RunMount::new(word("/tmp"), memory));
}

#[test]
fn caches_and_secrets_have_ids() {
    let found = mounts(
        "RUN --mount=type=cache,id=$ID,target=\"/a,b\",sharing=locked,mode=0700,ro \
         --mount=type=cache,target=/c --mount=type=secret,id=key,required \
         --mount=type=secret,target=/k,mode=444 x",
    );
    let word = |text: &str| Some(Word::new(text, '\\'));
    let (sharing, access, mode) = (Sharing::Locked, MountAccess::ReadOnly, 0o700);
    let own = RunMountKind::Cache { id: word("$ID"), sharing, access, mode };
    assert_eq!(found[0], RunMount::new(word("\"/a,b\""), own));
    let (sharing, access, mode) = (Sharing::Shared, MountAccess::ReadWrite, 0o755);
    let usual = RunMountKind::Cache { id: None, sharing, access, mode };
    assert_eq!(found[1], RunMount::new(word("/c"), usual));
    let required = RunMountKind::Secret { id: word("key"), need: Need::Required, mode: 0o400 };
    assert_eq!(found[2], RunMount::new(None, required));
    let readable = RunMountKind::Secret { id: None, need: Need::Optional, mode: 0o444 };
    assert_eq!(found[3], RunMount::new(word("/k"), readable));
}

#[test]
fn what_a_mount_does_not_take_is_told_with_its_line() {
    for (options, said) in [
        ("type=bind", "RUN wants a target for each mount"),
        ("type=nfs,target=/x", "the type of a mount cannot be \"nfs\""),
        ("type=tmpfs,target=/x,source=/y", "a mount of type tmpfs has no option \"source\""),
        ("type=bind,target=/x,size=1", "a mount of type bind has no option \"size\""),
        ("type=tmpfs,target=/x,size=1q", "a size in bytes cannot be \"1q\""),
        ("type=tmpfs,target=/x,size=0", "a size in bytes cannot be \"0\""),
        ("type=tmpfs,target=/x,size=18446744073709551615k", "a size in bytes cannot be"),
        ("type=cache,target=/x,mode=9", "a mode in octal cannot be \"9\""),
        ("type=cache,target=/x,sharing=some", "the sharing of a cache cannot be \"some\""),
        ("type=cache,target=/x,sharing=private", "sharing=private is not supported"),
        ("type=cache,target=/x,uid=5", "RUN with --mount=type=cache,uid is not supported"),
        ("type=secret", "RUN wants a secret with an id"),
        ("type=secret,id=a,env=A", "RUN with --mount=type=secret,env is not supported"),
        ("type=bind,target=/x,ro,rw", "the option \"readonly\" is wanted once"),
        ("type=bind,target=/x,dst=/y", "the option \"target\" is wanted once"),
        ("type=bind,target=", "the option \"target\" is wanted once"),
        ("type=bind,,target=/x", "an option of a mount cannot be \"\""),
        ("type=bind,target=/x,rw=perhaps", "the option \"rw\" is wanted once"),
    ] {
        let found = problem(options);
        assert!(found.contains(said), "{options}: {found}");
    }
}

/// What is shown of a mount is read as the same mount.
#[test]
fn a_mount_is_shown_as_it_is_written() {
    use RunMountKind::{Bind, Cache, Secret, Tmpfs};
    let word = |text: &str| Some(Word::literal(text));
    let (sharing, access) = (Sharing::Locked, MountAccess::ReadOnly);
    let (need, writes) = (Need::Optional, MountAccess::ReadWrite);
    let shown = [
        RunMount::bind(".", "/src"),
        RunMount::bind_from("localhost/tools:1", "/out", "/t"),
        RunMount::new(word("/t"), Bind { from: None, source: None, access: writes }),
        RunMount::cache("/root/.cache"),
        RunMount::new(word("/c"), Cache { id: word("id"), sharing, access, mode: 0o1777 }),
        RunMount::tmpfs("/tmp"),
        RunMount::new(word("/tmp"), Tmpfs { size: Some(65536) }),
        RunMount::secret("key"),
        RunMount::new(word("/k"), Secret { id: None, need, mode: 0o444 }),
    ]
    .map(|mount| mount.to_string());
    for one in &shown {
        let read = mounts(&format!("RUN {one} make"));
        assert_eq!(read.len(), 1, "{one}");
        assert_eq!(read[0].to_string(), *one);
    }
    assert_eq!(shown[4], "--mount=type=cache,id=id,sharing=locked,ro,mode=1777,target=/c");
    assert_eq!(shown[7], "--mount=type=secret,id=key,required,mode=400");
}
