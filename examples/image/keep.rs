//! `tag`, `rm`, `gc`, `verify`: names, room on the disk, and whether all is whole.
//!
//! Kernel objects: the store's files.

use ampoule::image::store::Patience;
use ampoule_examples::arguments::print;
use ampoule_examples::images::size;

use crate::arguments::{Done, given, none};

const TAG: &str = "\
Gives an image another name.

Usage: image tag [--store DIR] IMAGE NAME
";

const REMOVE: &str = "\
Removes names of images; what they stood for stays until `image gc`.

Usage: image rm [--store DIR] IMAGE…
";

const GC: &str = "\
Removes what no name leads to and nobody uses, and what was never finished.

Usage: image gc [--store DIR] [--steps] [--caches] [--no-wait]

  --steps      and what builds keep of their steps
  --caches     and the directories of RUN --mount=type=cache that no build uses now
  --no-wait    fail while somebody adds something, instead of waiting
";

const VERIFY: &str = "\
Reads everything, compares digests, and follows every name. The exit code is 1 if something is wrong.

Usage: image verify [--store DIR]
";

/// `tag`.
pub(crate) fn tag(from: lexopt::Parser) -> Done {
    let Some(mut given) = given(from, TAG, &mut none)? else { return Ok(None) };
    let image = given.image()?;
    let name = given.reference("the new name")?;
    given.end()?;
    image.store().tag(image.descriptor(), &name)?;
    Ok(Some(0))
}

/// `rm`.
pub(crate) fn remove(from: lexopt::Parser) -> Done {
    let Some(mut given) = given(from, REMOVE, &mut none)? else { return Ok(None) };
    let store = given.store()?;
    let mut next = Some(given.reference("the image")?);
    while let Some(name) = next {
        store.remove(&name)?;
        next = given.name()?;
    }
    Ok(Some(0))
}

/// `gc`.
pub(crate) fn gc(from: lexopt::Parser) -> Done {
    let (mut patience, mut steps, mut caches) = (Patience::Wait, false, false);
    let given = given(from, GC, &mut |name, _| {
        match name {
            "no-wait" => patience = Patience::Refuse,
            "steps" => steps = true,
            "caches" => caches = true,
            _ => return Ok(false),
        }
        Ok(true)
    })?;
    let Some(given) = given else { return Ok(None) };
    given.end()?;
    let store = given.store()?;
    if steps {
        store.prune_build_cache()?;
    }
    if caches {
        print(&format!("removed: {} caches of RUN\n", store.prune_run_caches()?))?;
    }
    let gone = store.gc(patience)?;
    let (blobs, layers, in_use) = (gone.blobs, gone.layers, gone.in_use);
    let bytes = size(gone.bytes);
    print(&format!("removed: {blobs} blobs ({bytes}), {layers} unpacked layers\n"))?;
    if in_use > 0 {
        print(&format!("in use, and left: {in_use}\n"))?;
    }
    Ok(Some(0))
}

/// `verify`.
pub(crate) fn verify(from: lexopt::Parser) -> Done {
    let Some(given) = given(from, VERIFY, &mut none)? else { return Ok(None) };
    given.end()?;
    let found = given.store()?.verify()?;
    for problem in &found.problems {
        print(&format!("wrong: {problem}\n"))?;
    }
    print(&format!(
        "read: {} blobs ({}); followed: {} names; there: {} unpacked layers; wrong: {}\n",
        found.blobs,
        size(found.bytes),
        found.references,
        found.layers,
        found.problems.len()
    ))?;
    Ok(Some(u8::from(!found.problems.is_empty())))
}
