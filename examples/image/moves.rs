//! `pull`, `load`, `push`, `save`: an image from one place to another.
//!
//! Kernel objects: files and connections while it lasts.

use ampoule::image::{Pull, Reference};
use ampoule_examples::arguments::{Failure, print};
use ampoule_examples::images::{ACCESS_HELP, Bars, Place, fetch, send};

use crate::arguments::{Done, Given, given, none};

const PULL: &str = "\
Takes an image over into the store, and unpacks it.

Usage: image pull [OPTIONS] SOURCE [NAME]
       image load [OPTIONS] PATH [NAME]

  --store DIR           where the images are
  --platform P          os/architecture[/variant], or any; otherwise this machine's
  --no-unpack           take it over only
";

const PUSH: &str = "\
Hands an image on.

Usage: image push [OPTIONS] IMAGE [PLACE]      PLACE is the registry of its name unless it is given
       image save [OPTIONS] IMAGE PLACE        PLACE is an OCI archive where it has no prefix

  --store DIR           where the images are
";

/// `pull`.
pub(crate) fn pull(from: lexopt::Parser) -> Done {
    take_over(from, Place::or_reference)
}

/// `load`.
pub(crate) fn load(from: lexopt::Parser) -> Done {
    take_over(from, Place::or_path)
}

fn take_over(from: lexopt::Parser, place: fn(&str) -> Result<Place, Failure>) -> Done {
    let mut unpacks = true;
    let help = format!("{PULL}{ACCESS_HELP}");
    let given = given(from, &help, &mut |name, _| {
        let is_own = name == "no-unpack";
        unpacks &= !is_own;
        Ok(is_own)
    })?;
    let Some(mut given) = given else { return Ok(None) };
    let source = place(&given.word("the source")?)?;
    let name = given.name()?;
    given.end()?;
    let bars = Bars::new();
    let store = given.store()?;
    let unpack = store.suited();
    let mut how = Pull::new().choice(&given.choice).progress(&bars);
    if unpacks {
        how = how.unpack(&unpack);
    }
    let image = fetch(&store, &source, name.as_ref(), &how, &given.access)?;
    if unpacks {
        // Files that were taken over as they are have not been unpacked yet.
        image.store().unpack(&image, &unpack, &())?;
    }
    told(image.reference(), &image.descriptor().digest.to_string())
}

/// `push`.
pub(crate) fn push(from: lexopt::Parser) -> Done {
    let own = |given: &mut Given, name: &Reference| match given.next_raw() {
        Some(word) => Place::or_reference(&word.to_string_lossy()),
        None => Ok(Place::Registry(name.clone())),
    };
    hand_on(from, own)
}

/// `save`.
pub(crate) fn save(from: lexopt::Parser) -> Done {
    hand_on(from, |given, _| Place::or_path(&given.word("the place")?))
}

fn hand_on(
    from: lexopt::Parser,
    place: fn(&mut Given, &Reference) -> Result<Place, Failure>,
) -> Done {
    let help = format!("{PUSH}{ACCESS_HELP}");
    let Some(mut given) = given(from, &help, &mut none)? else { return Ok(None) };
    let image = given.image()?;
    let place = place(&mut given, image.reference())?;
    given.end()?;
    send(&image, &place, &given.choice, &Bars::new(), &given.access)?;
    told(image.reference(), &image.descriptor().digest.to_string())
}

/// Says which image it was.
fn told(name: &Reference, digest: &str) -> Done {
    print(&format!("{} {digest}\n", name.familiar()))?;
    Ok(Some(0))
}
