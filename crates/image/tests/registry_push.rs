//! Uploads that break, and what is sent again.
//!
//! Kernel objects: sockets on the loopback. Invariant: each test ends within its own deadlines.

mod fake;

use std::time::Duration;

use ampoule_image::registry::{Login, Options, Push, Registry};
use ampoule_image::{Digest, Error, ErrorKind};
use fake::{Fake, Heard, Reply};

/// Bytes of the first request's body that arrive.
const ARRIVED: usize = 3_000_001;

/// More than one request's worth, and bytes that tell where they stand.
fn content() -> Vec<u8> {
    (0..2_500_000_u32).flat_map(u32::to_le_bytes).collect()
}

fn push(fake: &Fake) -> Result<(), Error> {
    let mut options = Options::default();
    options.credentials = Login::Anonymous;
    options.back_off = Duration::from_millis(5);
    options.stall = Duration::from_secs(5);
    options.attempts = 3;
    let registry = Registry::new(&fake.address, &options)?;
    let content = content();
    let Push::Send(mut upload) = registry.push_blob("team/app", &Digest::of(&content), None)?
    else {
        panic!("it has to be sent")
    };
    for part in content.chunks(700_000) {
        upload.send(part)?;
    }
    upload.commit()
}

fn accepted(headers: Vec<(&'static str, String)>) -> Reply {
    Reply::Answer("202 Accepted", headers, Vec::new())
}

/// A registry that says `has` for the bytes that it has of an upload, and whose connection breaks where `hangs_up` says.
fn registry(has: &'static str, hangs_up: impl Fn(usize) -> bool + Send + Sync + 'static) -> Fake {
    let place = || ("Location", "/v2/team/app/blobs/uploads/1?state=x".to_owned());
    Fake::new(move |heard, before| match heard.line.split(' ').next() {
        Some("HEAD") => Reply::Answer("404 Not Found", Vec::new(), Vec::new()),
        Some("POST") => accepted(vec![place()]),
        Some("PATCH") if hangs_up(before) => Reply::Hangup(ARRIVED as u64),
        Some("PATCH") => accepted(vec![place()]),
        Some("GET") => {
            let range = ("Range", has.to_owned());
            Reply::Answer("204 No Content", vec![place(), range], Vec::new())
        }
        _ => Reply::Answer("201 Created", Vec::new(), Vec::new()),
    })
}

/// The ranges of the parts, as the client names them.
fn ranges(heard: &[Heard]) -> Vec<&str> {
    heard.iter().filter_map(|one| one.header("content-range")).collect()
}

#[test]
fn a_broken_upload_goes_on_where_it_broke() {
    // HEAD, POST, and then the first part.
    let fake = registry("0-3000000", |before| before == 2);
    push(&fake).expect("it is pushed");
    let heard = fake.heard();
    assert_eq!(ranges(&heard), ["0-8388607", "3000001-8388607", "8388608-9999999"]);
    let bodies = heard.iter().filter(|one| one.header("content-range").is_some());
    let sent: Vec<u8> = bodies.flat_map(|one| one.body.iter().copied()).collect();
    assert!(sent == content(), "each byte that arrived was sent once");
    let last = heard.last().expect("a request");
    let digest = Digest::of(&content());
    assert_eq!(last.line, format!("PUT /v2/team/app/blobs/uploads/1?state=x&digest={digest}"));
    assert!(last.body.is_empty());
}

#[test]
fn an_upload_of_which_nothing_arrived_begins_again() {
    let fake = registry("0-0", |before| before == 2);
    push(&fake).expect("it is pushed");
    assert_eq!(ranges(&fake.heard()), ["0-8388607", "0-8388607", "8388608-9999999"]);
}

#[test]
fn an_upload_that_breaks_each_time_is_an_error() {
    let fake = registry("0-0", |_| true);
    let error = push(&fake).expect_err("it never arrives");
    assert_eq!(error.kind(), ErrorKind::Network, "{error}");
    assert_eq!(ranges(&fake.heard()).len(), 3, "as many attempts as were asked for");
}

#[test]
fn a_registry_that_has_more_than_was_sent_is_not_believed() {
    let fake = registry("0-99999999", |before| before == 2);
    let error = push(&fake).expect_err("that cannot be");
    assert_eq!(error.kind(), ErrorKind::Registry, "{error}");
    assert!(error.to_string().contains("Range"), "{error}");
}
