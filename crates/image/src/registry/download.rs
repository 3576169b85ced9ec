//! One file of any web server: for builds that add a URL.
//!
//! Kernel objects: one connection at a time. Invariant: no more is written than was allowed, and no credentials are sent.

use std::fs::File;
use std::io::{Read, Seek, Write};
use std::time::SystemTime;

use ureq::http::Uri;

use super::error;
use super::http::{self, Answer};
use super::options::Options;
use super::trouble::Trouble;
use crate::digest::{Algorithm, Digest, Digester};
use crate::error::{Error, Result};
use crate::source::CHUNK;

/// What was downloaded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Downloaded {
    pub(crate) digest: Digest,
    /// When the server says that it was changed last.
    pub(crate) modified: Option<SystemTime>,
}

/// Writes a file of a web server to `file`, from its beginning; at most `max` bytes.
pub(crate) fn download(
    url: &str,
    options: &Options,
    (algorithm, max): (Algorithm, u64),
    file: &mut File,
) -> Result<Downloaded> {
    let failed = |trouble| error(url, trouble);
    let uri: Uri = url.parse().map_err(|_| failed(Trouble::NoUrl))?;
    let agent = http::agent(options, uri.scheme_str() == Some("https")).map_err(failed)?;
    let mut done = 1;
    loop {
        let answered = ask(&agent, &uri);
        let outcome = match answered {
            Ok(answer) => take(answer, (algorithm, max), file)?,
            Err(trouble) => Err(trouble),
        };
        match outcome {
            Err(trouble) if trouble.is_passing() && done < options.attempts => {
                std::thread::sleep(http::back_off(options, &trouble, done));
                done += 1;
            }
            outcome => return outcome.map_err(failed),
        }
    }
}

fn ask(agent: &ureq::Agent, uri: &Uri) -> Result<Answer, Trouble> {
    // Compressed on its way, it would not be the file that the digest is of.
    let request = agent.get(uri).header("accept-encoding", "identity");
    http::checked(request.call().map_err(|error| http::trouble(&error, uri))?)
}

/// Reads an answer. The outer error is one of the disk, which no further attempt helps.
fn take(
    answer: Answer,
    (algorithm, max): (Algorithm, u64),
    file: &mut File,
) -> Result<Result<Downloaded, Trouble>> {
    let text = answer.headers().get("last-modified").and_then(|value| value.to_str().ok());
    let modified = text.and_then(|text| httpdate::parse_http_date(text).ok());
    let call = |operation| {
        move |error: std::io::Error| Error::call(operation, crate::error::errno_of(&error))
    };
    file.set_len(0).and_then(|()| file.rewind()).map_err(call("ftruncate"))?;
    let mut body = answer.into_body().into_with_config().limit(max.saturating_add(1)).reader();
    let (mut digester, mut buffer) = (Digester::new(algorithm), vec![0; CHUNK]);
    loop {
        let bytes = match body.read(&mut buffer) {
            Ok(0) => break,
            Ok(read) => buffer.get(..read).unwrap_or_default(),
            Err(error) => return Ok(Err(http::from_io(&error))),
        };
        digester.update(bytes);
        if digester.len() > max {
            return Ok(Err(Trouble::TooLarge(max)));
        }
        file.write_all(bytes).map_err(call("write"))?;
    }
    file.rewind().map_err(call("lseek"))?;
    Ok(Ok(Downloaded { digest: digester.finish(), modified }))
}
