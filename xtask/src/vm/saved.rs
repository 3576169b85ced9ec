//! The saved state of a booted guest, which later runs resume: a disk with what the boot wrote,
//! and the memory.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::cache::{Cache, Entry, Recipe};
use super::guest::Guest;
use super::machine::{Begin, Firmware, Machine};
use super::scratch::Scratch;
use crate::error::Error;

/// How long a guest may take to boot, on a slow and busy machine.
const BOOT: Duration = Duration::from_secs(300);
const SAVE: Duration = Duration::from_secs(120);
/// The disk that belongs to the memory.
pub(super) const DISK: &str = "root.qcow2";
/// What was in memory, and the state of the devices.
pub(super) const MEMORY: &str = "memory";

/// The state of a guest; boots it if it is not there. `made_of` are the keys of what it boots.
pub(super) fn get(
    cache: &Cache,
    firmware: &Firmware<'_>,
    guest: &Guest,
    image: &Path,
    made_of: &[&str],
) -> Result<Entry, Error> {
    let recipe = Recipe::of("state", guest.about())
        .and(guest.command_line())
        .and(include_str!("machine.rs"))
        .and(made_of);
    cache.entry(&recipe, |new| {
        let disk = new.join(DISK);
        firmware.qemu.make_overlay(image, &disk)?;
        let begin = Begin::Boot { disk: &disk };
        let machine = Machine::start(firmware, guest, begin, &[], Scratch::make()?)?;
        if !machine.wait_for("ready", BOOT)? {
            return Err(Error::machine("did not become ready", machine.scratch.last_words()));
        }
        save(&machine, &new.join(MEMORY))
    })
}

fn save(machine: &Machine, memory: &Path) -> Result<(), Error> {
    let mut monitor = Monitor::of(machine)?;
    let unlimited = json!({"max-bandwidth": 1_u64 << 40});
    monitor.call("migrate-set-parameters", unlimited)?;
    monitor.call("migrate", json!({"uri": format!("file:{}", memory.display())}))?;
    let begin = Instant::now();
    while begin.elapsed() < SAVE {
        let state = monitor.call("query-migrate", json!({}))?;
        match state.get("status").and_then(Value::as_str) {
            Some("completed") => {
                monitor.call("quit", json!({}))?;
                return Ok(());
            }
            Some("failed" | "cancelled") => break,
            _ => std::thread::sleep(Duration::from_millis(50)),
        }
    }
    Err(Error::machine("could not be saved", machine.scratch.last_words()))
}

/// QEMU's machine protocol (QMP): one JSON object per line.
struct Monitor {
    lines: BufReader<UnixStream>,
    last_words: String,
}

impl Monitor {
    fn of(machine: &Machine) -> Result<Self, Error> {
        let stream = machine.qmp.try_clone();
        let stream = stream.map_err(|e| Error::io("open", &machine.scratch.path("qmp"), e))?;
        let limit = stream.set_read_timeout(Some(SAVE));
        limit.map_err(|e| Error::io("set up", &machine.scratch.path("qmp"), e))?;
        let last_words = machine.scratch.last_words();
        let mut monitor = Self { lines: BufReader::new(stream), last_words };
        monitor.call("qmp_capabilities", json!({}))?;
        Ok(monitor)
    }

    /// Calls a command and returns what it returns; greetings and events are passed over.
    fn call(&mut self, name: &'static str, arguments: Value) -> Result<Value, Error> {
        let failed = |e| Error::io("speak to", Path::new("qmp"), e);
        let call = json!({"execute": name, "arguments": arguments});
        self.lines.get_mut().write_all(format!("{call}\n").as_bytes()).map_err(failed)?;
        loop {
            let mut line = String::new();
            if self.lines.read_line(&mut line).map_err(failed)? == 0 {
                return Err(Error::machine("ended while it was saved", self.last_words.clone()));
            }
            let mut answer: Value =
                serde_json::from_str(&line).map_err(|e| Error::json("QEMU", e))?;
            if let Some(value) = answer.get_mut("return") {
                return Ok(value.take());
            }
            if let Some(error) = answer.get("error") {
                return Err(Error::machine("could not be saved", format!("  {name}: {error}\n")));
            }
        }
    }
}
