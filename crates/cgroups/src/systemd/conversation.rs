//! What is said to systemd (org.freedesktop.systemd1(5)).
//!
//! Kernel objects: a thread that ends before the function returns. Invariant: a scope was made, or an error says what
//! systemd answered; nothing takes longer than the deadline.

use std::time::Instant;

use ampoule_init::sys::signal_mask::with_signals_blocked;
use zbus::export::futures_core::Stream;
use zbus::message::{Message, Type};
use zbus::zvariant::{DynamicType, OwnedObjectPath, OwnedValue, Value};
use zbus::{Connection, MatchRule, MessageStream};

use super::bus::Bus;
use crate::error::{Error, NoSystemd, Result};
use crate::placement::Scope;

const SYSTEMD: &str = "org.freedesktop.systemd1";
const PATH: &str = "/org/freedesktop/systemd1";
const MANAGER: &str = "org.freedesktop.systemd1.Manager";

/// What systemd is to make.
#[derive(Clone, Copy, Debug)]
pub(super) struct Order<'a> {
    /// The scope's name.
    pub(super) unit: &'a str,
    pub(super) scope: &'a Scope,
    /// Its first process.
    pub(super) pid: u32,
}

/// Has the scope made, and gives its group, as a path from the root of the tree.
///
/// The host may be a program of tokio, in which no second runtime can be entered: so it is done in another thread.
pub(super) fn converse(bus: Bus, order: &Order<'_>, deadline: Instant) -> Result<String> {
    let body = || {
        let mut runtime = tokio::runtime::Builder::new_current_thread();
        let runtime = runtime.enable_time().build().map_err(|error| failed("runtime", &error))?;
        let limit = tokio::time::Instant::from_std(deadline);
        runtime.block_on(async {
            let made = tokio::time::timeout_at(limit, make(bus, order)).await;
            made.unwrap_or_else(|_| Err(Error::timeout("systemd", order.unit.into())))
        })
    };
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().name("ampoule-systemd".to_owned());
        let thread = with_signals_blocked(|| thread.spawn_scoped(scope, body));
        let thread = thread.map_err(|error| failed("start a thread", &error))?;
        thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

fn failed(operation: &'static str, error: &std::io::Error) -> Error {
    let errno = rustix::io::Errno::from_io_error(error).unwrap_or(rustix::io::Errno::AGAIN);
    Error::system(operation, errno)
}

async fn make(bus: Bus, order: &Order<'_>) -> Result<String> {
    // A bus that knows its clients by the socket wants to hear the same.
    let connection =
        zbus::connection::Builder::socket(bus).user_id(super::bus::user()).build().await;
    let connection = connection.map_err(|error| answered("Hello", error))?;
    same_pids(&connection).await?;
    let mut ended = jobs(&connection).await?;
    ask(&connection, "Subscribe", &()).await?;
    let none: Vec<(&str, Vec<(&str, Value<'_>)>)> = Vec::new();
    let body = (order.unit, "fail", properties(order), none);
    let job = ask(&connection, "StartTransientUnit", &body).await?;
    let job: OwnedObjectPath = read("StartTransientUnit", &job)?;
    wait_for(&mut ended, &job).await?;
    let unit = ask(&connection, "GetUnit", &order.unit).await?;
    let unit: OwnedObjectPath = read("GetUnit", &unit)?;
    group(&connection, &unit).await
}

/// Refuses a bus for which this process has another id: systemd would take a stranger into the scope.
async fn same_pids(connection: &Connection) -> Result<()> {
    let call = "GetConnectionUnixProcessID";
    let (bus, path) = ("org.freedesktop.DBus", "/org/freedesktop/DBus");
    let own = connection.unique_name().map(ToString::to_string).unwrap_or_default();
    let answer = connection.call_method(Some(bus), path, Some(bus), call, &own).await;
    let seen: u32 = read(call, &answer.map_err(|error| answered(call, error))?)?;
    if seen == std::process::id() { Ok(()) } else { Err(Error::no_systemd(NoSystemd::OtherPids)) }
}

/// Ends of jobs, from now on.
async fn jobs(connection: &Connection) -> Result<MessageStream> {
    let refused = |error| answered("AddMatch", error);
    let rule = MatchRule::builder().msg_type(Type::Signal).member("JobRemoved");
    let rule = rule.and_then(|rule| rule.interface(MANAGER)).and_then(|rule| rule.path(PATH));
    let rule = rule.and_then(|rule| rule.sender(SYSTEMD)).map_err(refused)?.build();
    MessageStream::for_match_rule(rule, connection, None).await.map_err(refused)
}

async fn wait_for(ended: &mut MessageStream, job: &OwnedObjectPath) -> Result<()> {
    let call = "JobRemoved";
    loop {
        let next =
            std::future::poll_fn(|context| std::pin::Pin::new(&mut *ended).poll_next(context));
        let Some(message) = next.await else {
            return Err(Error::no_systemd(NoSystemd::NotThere));
        };
        let message = message.map_err(|error| answered(call, error))?;
        let (_, path, _, result): (u32, OwnedObjectPath, String, String) = read(call, &message)?;
        if path == *job {
            return match result.as_str() {
                "done" => Ok(()),
                other => Err(Error::refused("StartTransientUnit", &format!("its job {other}"))),
            };
        }
    }
}

/// What the scope is like (systemd.scope(5), systemd.resource-control(5)).
fn properties<'a>(order: &Order<'a>) -> Vec<(&'a str, Value<'a>)> {
    let default = || format!("Containers of process {}", std::process::id());
    let description = order.scope.description.clone().unwrap_or_else(default);
    let mut properties = vec![
        ("Description", Value::from(description)),
        ("PIDs", Value::from(vec![order.pid])),
        ("Delegate", Value::from(true)),
        // Nothing is left of it when it has ended, however it did.
        ("CollectMode", Value::from("inactive-or-failed")),
        ("CPUAccounting", Value::from(true)),
        ("IOAccounting", Value::from(true)),
        ("MemoryAccounting", Value::from(true)),
        ("TasksAccounting", Value::from(true)),
    ];
    let slice = order.scope.slice.as_ref();
    properties.extend(slice.map(|slice| ("Slice", Value::from(slice.as_str()))));
    properties
}

async fn group(connection: &Connection, unit: &OwnedObjectPath) -> Result<String> {
    let call = "Get(ControlGroup)";
    let properties = Some("org.freedesktop.DBus.Properties");
    let body = ("org.freedesktop.systemd1.Scope", "ControlGroup");
    let answer = connection.call_method(Some(SYSTEMD), unit, properties, "Get", &body).await;
    let answer = answer.map_err(|error| answered(call, error))?;
    let value: OwnedValue = read(call, &answer)?;
    String::try_from(value).map_err(|error| answered(call, error.into()))
}

/// Calls a method of the manager.
async fn ask<B>(connection: &Connection, method: &'static str, body: &B) -> Result<Message>
where
    B: serde::Serialize + DynamicType,
{
    let answer = connection.call_method(Some(SYSTEMD), PATH, Some(MANAGER), method, body).await;
    answer.map_err(|error| answered(method, error))
}

fn read<T>(call: &'static str, message: &Message) -> Result<T>
where
    T: serde::de::DeserializeOwned + zbus::zvariant::Type,
{
    message.body().deserialize().map_err(|error| answered(call, error))
}

/// An error of the bus or of systemd.
fn answered(call: &'static str, error: zbus::Error) -> Error {
    match error {
        zbus::Error::MethodError(name, text, _) => match name.as_str() {
            "org.freedesktop.DBus.Error.ServiceUnknown"
            | "org.freedesktop.DBus.Error.NameHasNoOwner" => Error::no_systemd(NoSystemd::NotThere),
            name => Error::refused(call, &format!("{} ({name})", text.unwrap_or_default())),
        },
        zbus::Error::InputOutput(error) => failed(call, &error),
        other => Error::refused(call, &other.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::os::unix::net::UnixStream;
    use std::time::Duration;

    use super::*;
    use crate::ErrorKind;

    /// A conversation with one who does what `other` says, within 50 ms; and what was said to it.
    fn refused(other: impl FnOnce(&UnixStream) + Send) -> (Error, String) {
        let (mine, theirs) = UnixStream::pair().unwrap();
        mine.set_nonblocking(true).unwrap();
        let scope = Scope::default();
        let order = Order { unit: "x.scope", scope: &scope, pid: 1 };
        let deadline = Instant::now() + Duration::from_millis(50);
        std::thread::scope(|threads| {
            let bus = Bus::of(mine.into());
            let error = threads.spawn(move || converse(bus, &order, deadline).unwrap_err());
            other(&theirs);
            let error = error.join().unwrap();
            let mut said = String::new();
            // Ends when nobody holds the socket any more.
            { &theirs }.read_to_string(&mut said).unwrap();
            (error, said)
        })
    }

    #[test]
    fn a_silent_bus_is_a_timeout_and_the_socket_is_closed() {
        let (error, said) = refused(|_| ());
        assert_eq!(error.kind(), ErrorKind::Timeout, "{error}");
        assert!(said.starts_with("\0AUTH EXTERNAL"), "{said:?}");
    }

    #[test]
    fn a_bus_that_hangs_up_or_says_nonsense_is_an_error() {
        let (error, _) = refused(|bus| bus.shutdown(std::net::Shutdown::Write).unwrap());
        assert_ne!(error.kind(), ErrorKind::Timeout, "{error}");
        let (error, _) = refused(|mut bus| {
            std::io::Write::write_all(&mut bus, b"REJECTED ANONYMOUS\r\n").unwrap();
        });
        assert_eq!(error.kind(), ErrorKind::Systemd, "{error}");
    }

    #[test]
    fn inside_a_runtime_of_the_hosts() {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let (error, _) = runtime.block_on(async { refused(|_| ()) });
        assert_eq!(error.kind(), ErrorKind::Timeout, "{error}");
    }
}
