//! COPY and ADD from their lines.
//!
//! Kernel objects: none. Invariant: there is a destination and at least one source.

use super::expand::Word;
use super::instruction::{Copy, CopySource};
use super::lines::{HereDocument, Line, Marker};
use super::options::Options;
use super::problem::ProblemKind;
use super::words;

/// COPY.
pub(super) fn copy(line: &Line, escape: char) -> Result<Copy, ProblemKind> {
    let (mut options, rest) = Options::read("COPY", &line.rest, escape)?;
    let from = options.value("--from")?.map(|text| Word::new(text, escape));
    options.unsupported("--parents")?;
    Ok(Copy { from, ..shared("COPY", line, options, rest, escape)? })
}

/// ADD.
pub(super) fn add(line: &Line, escape: char) -> Result<Copy, ProblemKind> {
    let (mut options, rest) = Options::read("ADD", &line.rest, escape)?;
    let checksum = options.value("--checksum")?.map(|text| Word::new(text, escape));
    options.unsupported("--keep-git-dir")?;
    options.unsupported("--unpack")?;
    Ok(Copy { checksum, ..shared("ADD", line, options, rest, escape)? })
}

/// What both have.
fn shared(
    instruction: &'static str,
    line: &Line,
    mut options: Options,
    rest: &str,
    escape: char,
) -> Result<Copy, ProblemKind> {
    let word = |text: String| Word::new(text, escape);
    let owner = options.value("--chown")?.map(word);
    let mode = options.value("--chmod")?.map(word);
    let exclude = options.values("--exclude")?.into_iter().map(word).collect();
    // Says how layers are made, not what is in them.
    options.flag("--link")?;
    options.end()?;
    let mut paths = match words::json(rest)? {
        Some(paths) => paths,
        None => words::split(rest, escape)?,
    };
    let destination = paths.pop().filter(|_| !paths.is_empty()).map(word);
    let destination = destination.ok_or(ProblemKind::Arguments {
        instruction,
        wanted: "at least one source and a destination",
    })?;
    let mut documents = line.documents.iter();
    let sources = paths.into_iter().map(|path| source(path, &mut documents, escape)).collect();
    Ok(Copy { sources, destination, from: None, owner, mode, checksum: None, exclude })
}

/// A path, or the next here-document.
fn source<'a>(
    path: String,
    documents: &mut impl Iterator<Item = &'a HereDocument>,
    escape: char,
) -> CopySource {
    match Marker::read(&path).and_then(|_| documents.next()) {
        Some(HereDocument { name, document }) => {
            CopySource::Inline { name: name.clone(), document: document.clone() }
        }
        None => CopySource::Path(Word::new(path, escape)),
    }
}
