//! The agent of a document's filter: it decides the calls of the container's program, and of each one that joins.
//!
//! Kernel objects: containers, the listeners of their filters, a Unix socket. Invariant: the host is unchanged.

mod oracle;
mod scene;

use std::io::Read as _;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use ampoule::oci::Inherited;
use ampoule::seccomp::notify::{Listener, Received};
use ampoule::{ErrorKind, Force, Kept, Process, StateDirectory, Stdio};
use oracle::{fixture, tier, unchanged};
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};
use scene::kept::states;
use scene::oci::{Bundled, bundle};
use scene::refused;
use serde_json::{Value, json};

/// A container that makes a directory and waits; somebody else decides about its directories.
fn asking(socket: &Path) -> Bundled {
    let filter = json!({
        "defaultAction": "SCMP_ACT_ALLOW",
        "listenerPath": socket,
        "listenerMetadata": "text",
        "syscalls": [{"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_NOTIFY"}],
    });
    bundle("mkdir /nowhere/first && echo made >/out; exec sleep 1000")
        .with("/root/readonly", json!(false))
        .with("/linux/seccomp", filter)
}

fn create(states: &StateDirectory, bundled: &Bundled) -> Kept {
    let config = bundled.config().unwrap_or_else(|error| panic!("{error}"));
    let made = states.create_config("a", config, bundled.root.path(), Inherited::default());
    made.unwrap_or_else(|error| panic!("{error}"))
}

/// One message to the agent, with the listener that came with it.
fn received(agent: &UnixListener) -> (Value, Listener) {
    let (mut stream, _) = agent.accept().expect("a connection");
    let mut bytes = [0; 65536];
    let mut space = [std::mem::MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let mut parts = [std::io::IoSliceMut::new(&mut bytes)];
    let read = recvmsg(&stream, &mut parts, &mut control, RecvFlags::CMSG_CLOEXEC);
    let read = read.expect("a message").bytes;
    let mut fds: Vec<OwnedFd> = Vec::new();
    for message in control.drain() {
        if let RecvAncillaryMessage::ScmRights(passed) = message {
            fds.extend(passed);
        }
    }
    let mut text = bytes[..read].to_vec();
    stream.read_to_end(&mut text).expect("the rest");
    assert_eq!(fds.len(), 1);
    let message = serde_json::from_slice(&text).expect("JSON");
    (message, Listener::from(fds.remove(0)))
}

/// What the agent does with one listener: all directories seem to be made; their paths.
fn serve(listener: &Listener) -> Vec<String> {
    let mut paths = Vec::new();
    loop {
        match listener.receive(Some(Duration::from_secs(20))).expect("a listener") {
            Received::Request(request) => {
                let at = usize::from(request.name() == Some("mkdirat"));
                let path = listener.read_text(&request, request.call.args[at], 4096);
                paths.push(path.expect("a path").into_string().expect("UTF-8"));
                listener.answer(&request, 0).expect("an answer");
            }
            Received::NobodyLeft => return paths,
            other => panic!("{other:?}"),
        }
    }
}

/// One that is started by its record, and joined by another handle, as an engine does in two runs.
#[test]
fn it_decides_for_the_program_and_for_what_joins() {
    tier::root();
    unchanged(|| {
        let (_place, states) = states();
        let dir = fixture::directory("agent");
        let socket = dir.path().join("socket");
        let agent = UnixListener::bind(&socket).expect("a socket");
        let bundled = asking(&socket);
        drop(create(&states, &bundled));
        let mut starter = states.get("a").expect("its record");
        starter.start_with_hooks().expect("a start");
        let (message, first) = received(&agent);
        assert_eq!(message["pid"], json!(starter.pid().expect("it runs")));
        let first = thread::spawn(move || serve(&first));

        let kept = states.get("a").expect("its record");
        let mut process = joined(&kept, "mkdir /nowhere/second && mkdir /nowhere/third");
        kept.send_listener(&mut process).expect("the agent listens");
        assert!(process.listener.is_none(), "the agent has it");
        let (message, second) = received(&agent);
        assert_eq!(message["fds"], json!(["seccompFd"]));
        assert_eq!(message["metadata"], "text");
        assert_eq!(message["pid"], json!(process.pid()));
        let state = &message["state"];
        assert_eq!((&state["id"], &state["status"]), (&json!("a"), &json!("running")));
        assert_eq!(state["bundle"], json!(bundled.root.path()));
        assert_eq!(serve(&second), ["/nowhere/second", "/nowhere/third"]);
        assert!(process.wait().expect("a status").success());
        // Once it is sent there is nothing more to send.
        kept.send_listener(&mut process).expect("nothing to do");

        states.delete("a", Force::Yes).expect("a deletion");
        assert_eq!(first.join().expect("the agent"), ["/nowhere/first"]);
        assert_eq!(bundled.root.read("out").as_deref(), Some("made\n"));
    });
}

/// Without an agent nothing of it runs on; the calls of what joins fail, and it does not hang.
#[test]
fn an_agent_that_does_not_listen() {
    tier::root();
    unchanged(|| {
        let (_place, states) = states();
        let dir = fixture::directory("agent");
        let socket = dir.path().join("socket");
        let agent = UnixListener::bind(&socket).expect("a socket");
        let bundled = asking(&socket);
        let mut kept = create(&states, &bundled);
        kept.start_with_hooks().expect("a start");
        let (_, listener) = received(&agent);
        let first = thread::spawn(move || serve(&listener));
        drop(agent);
        for absent in [false, true] {
            if absent {
                std::fs::remove_file(&socket).expect("the socket");
            }
            let mut process = joined(&kept, "mkdir /x || exit 7");
            let error = refused(kept.send_listener(&mut process));
            assert_eq!(error.kind(), ErrorKind::System, "{error}");
            assert_eq!(error.errno(), Some(if absent { 2 } else { 111 }), "{error}");
            assert!(process.listener.is_none(), "nobody has it");
            assert_eq!(process.wait().expect("a status").code(), Some(7));
        }
        states.delete("a", Force::Yes).expect("a deletion");
        first.join().expect("the agent");
        // The program itself ends: nobody would answer it.
        let mut kept = create(&states, &bundled);
        let error = refused(kept.start_with_hooks());
        assert_eq!((error.kind(), error.errno()), (ErrorKind::System, Some(2)), "{error}");
        assert!(scene::soon(|| kept.state() == ampoule::RunState::Stopped));
        states.delete("a", Force::No).expect("it has ended");
    });
}

/// Without an agent in the document, or with a filter that asks nobody, there is nothing to send.
#[test]
fn without_an_agent_nothing_is_sent() {
    tier::root();
    unchanged(|| {
        let (_place, states) = states();
        let path = PathBuf::from("/no/such/agent");
        let silent = asking(&path).with("/linux/seccomp/syscalls", json!([]));
        for bundled in [bundle("exec sleep 1000"), silent] {
            let mut kept = create(&states, &bundled);
            kept.start_with_hooks().expect("a start");
            let mut process = joined(&kept, "true");
            kept.send_listener(&mut process).expect("nothing to do");
            assert!(process.wait().expect("a status").success());
            states.delete("a", Force::Yes).expect("a deletion");
        }
    });
}

fn joined(kept: &Kept, script: &str) -> Process {
    let exec = kept.container().expect("it runs").exec("/bin/sh").args(["-c", script]);
    let exec = exec.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    exec.spawn().unwrap_or_else(|error| panic!("{error}"))
}
