//! Chains of CNI plugins whose process is killed. Needs root, unshare(1), ip(8) and Debian's containernetworking-plugins
//! with iptables.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod host;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use ampoule_net::cni::{Conflist, Plugins, Request};
use ampoule_net::{ErrorKind, Netns, Reconciled};
use host::{inside, ip};

/// Names what the killed process adds.
const KILLED: &str = "AMPOULE_TEST_KILLED";

/// A list in a file, which the killed process reads.
const CONF: &str = "/run/test.conflist";

/// Where plugins that are scripts are.
const SCRIPTS: &str = "/run/test-plugins";

fn plugins() -> Plugins {
    Plugins::in_directory(SCRIPTS).directory("/usr/lib/cni")
}

/// What the killed process does: it adds a container, says so, and goes on.
fn add() {
    let conf = Conflist::read(CONF.as_ref()).unwrap();
    let netns = Netns::create().unwrap();
    let request = Request::new(&std::env::var(KILLED).unwrap(), "eth0").unwrap();
    let request = request.publish("8080:80".parse().unwrap());
    let _added = plugins().add(&conf, &request, &netns).unwrap();
    fs::write("/run/added", "").unwrap();
    std::thread::sleep(Duration::from_secs(60));
}

fn start(test: &str, container: &str) -> Child {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", test, "--nocapture"]).env(KILLED, container);
    command.stdout(Stdio::null()).spawn().unwrap()
}

fn kill(mut child: Child) {
    child.kill().unwrap();
    child.wait().unwrap();
}

fn wait_for(path: &str) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !Path::new(path).exists() {
        assert!(Instant::now() < deadline, "no {path}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn reconcile() -> ampoule_net::Result<Reconciled> {
    host::host().reconcile()
}

/// A plugin that writes down what it reads, and does `body`.
fn script(body: &str) {
    fs::create_dir_all(SCRIPTS).unwrap();
    let path = Path::new(SCRIPTS).join("fake");
    let text = format!("#!/bin/sh\ncat >/run/$CNI_COMMAND.json\n{body}\n");
    fs::write(&path, text).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    fs::write(CONF, r#"{"cniVersion":"1.0.0","name":"n","type":"fake"}"#).unwrap();
}

const ANSWER: &str = r#"[ $CNI_COMMAND != ADD ] || echo '{"cniVersion":"1.0.0","mine":7}'"#;

/// The rules that name an address of the network, or the published port.
fn rules() -> Vec<String> {
    let output = Command::new("iptables-save").output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let text = String::from_utf8(output.stdout).unwrap();
    let of_it = |line: &&str| line.contains("10.66.0.") || line.contains("8080");
    text.lines().filter(of_it).map(str::to_owned).collect()
}

fn leases() -> usize {
    let leases = fs::read_dir("/run/leases/web").into_iter().flatten();
    let names = leases.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names.filter(|name| name.starts_with("10.66.0.")).count()
}

#[test]
fn root_what_a_killed_process_added_is_deleted() {
    if std::env::var_os(KILLED).is_some() {
        return add();
    }
    inside("root_what_a_killed_process_added_is_deleted", || {
        let conf = serde_json::json!({"cniVersion": "1.0.0", "name": "web", "plugins": [
            {"type": "bridge", "bridge": "cni9", "isGateway": true, "ipMasq": true, "ipam": {
                "type": "host-local", "dataDir": "/run/leases",
                "ranges": [[{"subnet": "10.66.0.0/24"}]], "routes": [{"dst": "0.0.0.0/0"}]}},
            {"type": "portmap", "capabilities": {"portMappings": true}},
            {"type": "firewall", "backend": "iptables"},
        ]});
        fs::write(CONF, conf.to_string()).unwrap();
        let child = start("root_what_a_killed_process_added_is_deleted", "one");
        wait_for("/run/added");
        assert_eq!((leases(), reconcile().unwrap()), (1, Reconciled::default()));
        assert!(rules().len() >= 3, "{:?}", rules());
        kill(child);
        assert_eq!(leases(), 1);
        assert_eq!(reconcile().unwrap().deleted, ["one"]);
        assert_eq!((leases(), rules()), (0, Vec::new()));
        assert_eq!(reconcile().unwrap(), Reconciled::default());
        ip(&["link", "del", "cni9"]);
        fs::write("/proc/sys/net/ipv4/ip_forward", "0").unwrap();
    });
}

#[test]
fn root_a_plugin_that_outlives_its_process_is_let_end() {
    if std::env::var_os(KILLED).is_some() {
        return add();
    }
    inside("root_a_plugin_that_outlives_its_process_is_let_end", || {
        script(&format!(
            "case $CNI_COMMAND in ADD) touch /run/runs; sleep 1; touch /run/made;; DEL) rm /run/made;; esac\n{ANSWER}"
        ));
        let child = start("root_a_plugin_that_outlives_its_process_is_let_end", "one");
        wait_for("/run/runs");
        kill(child);
        assert_eq!(reconcile().unwrap(), Reconciled::default());
        wait_for("/run/made");
        let deadline = Instant::now() + Duration::from_secs(10);
        while reconcile().unwrap().deleted != ["one"] {
            assert!(Instant::now() < deadline, "it is not deleted");
            std::thread::sleep(Duration::from_millis(10));
        }
        assert!(!Path::new("/run/made").exists());
        // It had not answered.
        assert!(!fs::read_to_string("/run/DEL.json").unwrap().contains("prevResult"));
    });
}

#[test]
fn root_what_cannot_be_deleted_is_tried_again() {
    if std::env::var_os(KILLED).is_some() {
        return add();
    }
    inside("root_what_cannot_be_deleted_is_tried_again", || {
        script(ANSWER);
        let child = start("root_what_cannot_be_deleted_is_tried_again", "one");
        wait_for("/run/added");
        kill(child);
        script("exit 3");
        for _ in 0..2 {
            assert_eq!(reconcile().unwrap_err().kind(), ErrorKind::PluginFailed);
        }
        // Bridge networks are not kept from it.
        assert_eq!(host::host().reconcile_bridges().unwrap(), Reconciled::default());
        script(ANSWER);
        assert_eq!(reconcile().unwrap().deleted, ["one"]);
        let told = fs::read_to_string("/run/DEL.json").unwrap();
        assert!(told.contains(r#""prevResult":{"cniVersion":"1.0.0","mine":7}"#), "{told}");
    });
}

#[test]
fn root_a_damaged_file_is_said() {
    if std::env::var_os(KILLED).is_some() {
        return add();
    }
    inside("root_a_damaged_file_is_said", || {
        script(ANSWER);
        let child = start("root_a_damaged_file_is_said", "one");
        wait_for("/run/added");
        kill(child);
        let directory = format!("{}-cni", host::host().directory().display());
        let files = fs::read_dir(&directory).unwrap().map(|entry| entry.unwrap().path());
        let chain = files.into_iter().find(|path| path.extension().is_some_and(|it| it == "chain"));
        let chain = chain.unwrap();
        let whole = fs::read_to_string(&chain).unwrap();
        for damaged in [&whole[..9], &whole.replacen("\"format\":1", "\"format\":2", 1)] {
            fs::write(&chain, damaged).unwrap();
            assert_eq!(reconcile().unwrap_err().kind(), ErrorKind::DamagedState, "{damaged}");
        }
        fs::write(&chain, &whole).unwrap();
        assert_eq!(reconcile().unwrap().deleted, ["one"]);
        assert!(!Path::new(&directory).exists());
    });
}
