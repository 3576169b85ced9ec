//! Chains of CNI plugins. Needs root, unshare(1), ip(8) and Debian's containernetworking-plugins with iptables.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod host;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::{Duration, Instant};

use ampoule_net::cni::{Conflist, Plugins, Request};
use ampoule_net::{Error, ErrorKind, Netns};
use host::{Server, ask, ask_from, inside, ip};

fn debian() -> Plugins {
    Plugins::in_directory("/usr/lib/cni")
}

/// A bridge with addresses in 10.66.0.0/24, published ports, and a setting.
fn bridge(version: &str, state: &Path) -> Conflist {
    let list = serde_json::json!({
        "cniVersion": version,
        "name": "web",
        "plugins": [
            {
                "type": "bridge", "bridge": "cni9", "isGateway": true,
                "ipam": {
                    "type": "host-local", "dataDir": state.join("leases"),
                    "ranges": [[{"subnet": "10.66.0.0/24"}]],
                    "routes": [{"dst": "0.0.0.0/0"}],
                },
            },
            {"type": "portmap", "capabilities": {"portMappings": true}},
            {"type": "tuning", "sysctl": {"net.ipv4.conf.eth0.arp_notify": "1"}, "dataDir": state.join("tuning")},
        ],
    });
    Conflist::parse(list.to_string().as_bytes()).unwrap()
}

fn request(container: &str) -> Request {
    Request::new(container, "eth0").unwrap()
}

/// What the plugins do not take away.
fn undo() {
    ip(&["link", "del", "cni9"]);
    fs::write("/proc/sys/net/ipv4/ip_forward", "0").unwrap();
}

#[test]
fn root_a_chain_of_debians_plugins() {
    inside("root_a_chain_of_debians_plugins", || {
        for version in ["0.4.0", "1.0.0"] {
            let state = tempfile::tempdir_in("/run").unwrap();
            let conf = bridge(version, state.path());
            let (mut one, mut two) = (Netns::create().unwrap(), Netns::create().unwrap());
            let published = request("one").publish("8080:80".parse().unwrap());
            let left = debian().add(&conf, &published, &one).unwrap();
            let wanted = request("two").arg("IP", "10.66.0.77").unwrap();
            let right =
                debian().add(&conf, &wanted.arg("IgnoreUnknown", "1").unwrap(), &two).unwrap();
            let (first, second) = (left.answer().addresses()[0], right.answer().addresses()[0]);
            assert_eq!(second.address.to_string(), "10.66.0.77/24");
            let link = &left.answer().interfaces()[first.interface.unwrap()];
            assert_eq!((link.name.as_str(), link.sandbox.is_some()), ("eth0", true));
            assert_eq!(one.links().unwrap(), ["lo", "eth0"]);
            let _server = Server::tcp(&one, "0.0.0.0:80");
            let seen = ask_from(&two, &format!("{}:80", first.address.address())).unwrap();
            assert_eq!(seen, second.address.address());
            // Through the published port.
            ask("10.66.0.1:8080").unwrap();
            // The portmap plugin of this version looks for IPv6 ports in vain.
            right.check().unwrap();
            host::within(&two, || ip(&["address", "flush", "dev", "eth0"]));
            assert_eq!(right.check().unwrap_err().kind(), ErrorKind::PluginFailed);
            left.delete().unwrap();
            drop(right);
            assert_eq!(
                (one.links().unwrap(), two.links().unwrap()),
                (vec!["lo".into()], vec!["lo".into()])
            );
            assert!(ask("10.66.0.1:8080").is_err());
            let left_over = fs::read_dir(state.path().join("leases/web")).unwrap();
            let names = left_over.map(|entry| entry.unwrap().file_name().into_string().unwrap());
            assert!(names.into_iter().all(|name| !name.starts_with("10.66")));
            undo();
        }
    });
}

#[test]
fn root_a_chain_that_fails_is_deleted() {
    inside("root_a_chain_that_fails_is_deleted", || {
        let state = tempfile::tempdir_in("/run").unwrap();
        let mut netns = Netns::create().unwrap();
        let list = serde_json::json!({
            "cniVersion": "1.0.0",
            "name": "web",
            "plugins": [
                {"type": "ptp", "ipam": {"type": "host-local", "dataDir": state.path(), "subnet": "10.66.0.0/24"}},
                {"type": "tuning", "sysctl": {"net.ipv4.no_such_setting": "1"}, "dataDir": state.path()},
            ],
        });
        let conf = Conflist::parse(list.to_string().as_bytes()).unwrap();
        let error = debian().add(&conf, &request("one"), &netns).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::PluginFailed, "{error}");
        assert!(error.to_string().starts_with("tuning refused (code "), "{error}");
        assert_eq!(netns.links().unwrap(), ["lo"]);
        fs::write("/proc/sys/net/ipv4/ip_forward", "0").unwrap();
    });
}

/// A plugin that is a script, and the error of a chain of it.
fn script(body: &str, timeout: Duration) -> Error {
    let directory = tempfile::tempdir_in("/run").unwrap();
    let path = directory.path().join("fake");
    fs::write(&path, format!("#!/bin/sh\n[ $CNI_COMMAND = ADD ] || exit 0\n{body}\n")).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    let conf = Conflist::parse(br#"{"cniVersion":"1.0.0","name":"n","type":"fake"}"#).unwrap();
    let plugins = Plugins::in_directory(directory.path()).timeout(timeout);
    let added = plugins.add(&conf, &request("one"), &Netns::create().unwrap());
    added.unwrap_err()
}

#[test]
fn root_what_a_plugin_does_wrong_is_said() {
    inside("root_what_a_plugin_does_wrong_is_said", || {
        let long = Duration::from_secs(20);
        for (body, kind, text) in [
            ("exit 3", ErrorKind::PluginFailed, "fake failed (exit status 3): \"\""),
            ("echo no >&2; kill -9 $$", ErrorKind::PluginFailed, "fake failed (signal 9): \"no\""),
            (
                r#"echo '{"cniVersion":"1.0.0","code":11,"msg":"full","details":"really"}'; exit 1"#,
                ErrorKind::PluginFailed,
                "fake refused (code 11): \"full; really\"",
            ),
            ("echo '{'", ErrorKind::PluginOutput, "fake answered what cannot be read"),
            ("true", ErrorKind::PluginOutput, "fake answered what cannot be read"),
            (
                r#"echo '{"cniVersion":"0.4.0"}'"#,
                ErrorKind::PluginOutput,
                "fake answered in version",
            ),
            ("yes", ErrorKind::PluginOutput, "fake wrote more than 1048576 bytes"),
            ("yes >&2", ErrorKind::PluginOutput, "fake wrote more than 1048576 bytes"),
        ] {
            let error = script(body, long);
            assert_eq!(error.kind(), kind, "{body}: {error}");
            assert!(error.to_string().starts_with(text), "{body}: {error}");
        }
        let conf = Conflist::parse(br#"{"cniVersion":"1.0.0","name":"n","type":"none"}"#).unwrap();
        let missing = debian().add(&conf, &request("one"), &Netns::create().unwrap()).unwrap_err();
        assert_eq!(missing.kind(), ErrorKind::PluginMissing, "{missing}");
    });
}

#[test]
fn root_a_plugin_that_hangs_is_killed() {
    inside("root_a_plugin_that_hangs_is_killed", || {
        let start = Instant::now();
        for body in ["sleep 600", "sleep 600 & wait", "exec 1>&- 2>&-; sleep 600"] {
            let error = script(body, Duration::from_millis(300));
            assert_eq!(error.kind(), ErrorKind::PluginTimedOut, "{body}: {error}");
        }
        // One that ends does not wait for what it left behind.
        let error = script("sleep 600 & exit 1", Duration::from_secs(60));
        assert_eq!(error.kind(), ErrorKind::PluginFailed, "{error}");
        assert!(start.elapsed() < Duration::from_secs(20));
        let deadline = Instant::now() + Duration::from_secs(2);
        while sleepers() > 0 && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(10));
        }
        assert_eq!(sleepers(), 0);
    });
}

/// Processes of this network namespace that sleep so long.
fn sleepers() -> usize {
    let own = fs::read_link("/proc/self/ns/net").unwrap();
    let processes = fs::read_dir("/proc").unwrap().filter_map(|entry| Some(entry.ok()?.path()));
    processes
        .filter(|path| fs::read_link(path.join("ns/net")).is_ok_and(|net| net == own))
        .filter(|path| fs::read(path.join("cmdline")).is_ok_and(|line| line == b"sleep\x00600\x00"))
        .count()
}
