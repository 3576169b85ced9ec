//! Whose the files of images are: for an ordinary user, with ranges of `/etc/subuid`, those whom the images say.
//!
//! Kernel objects: a user namespace, kept by the value that is returned. Invariant: the choice is made once, for a store;
//! containers from its images have the same id maps.

use std::path::Path;

use ampoule_image::diff::OwnerRange;
use ampoule_image::{MappedIds, Store};
use ampoule_ns::prepared::id_maps::{Writer, writer};
use ampoule_ns::{IdMap, IdRange, user_namespace};
use rustix::process::{getegid, geteuid};

use crate::error::{Error, ErrorKind, Stage};
use crate::host::{self, Privilege};
use crate::layers;
use crate::settings::Settings;

/// Who owns the files of images in a store. As root it is always who the image says.
///
/// ```no_run
/// use ampoule::{Container, Owners};
/// use ampoule::image::{Pull, Reference, source::Layout};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let store = Owners::Automatic.open("/home/ann/.local/share/app/images")?;
/// match store.ids() {
///     Some(ids) => println!("owners as in the images: {ids}"),
///     None => println!("one owner"),
/// }
/// let (name, unpack): (Reference, _) = ("localhost/web:1".parse()?, store.suited());
/// let source = Layout::archive("web.tar", None)?;
/// let image = store.pull(&source, &name, &Pull::new().unpack(&unpack))?;
/// println!("{}", Container::from_image(&image).default_command().status()?);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Owners {
    /// As [`Owners::SubIds`] where the caller has ranges and `newuidmap` and `newgidmap` are installed, else as
    /// [`Owners::Single`]; [`Store::ids`] says which.
    #[default]
    Automatic,
    /// Who the image says: root is the caller, the others are ids of the caller's ranges in `/etc/subuid` and
    /// `/etc/subgid`.
    SubIds,
    /// The caller owns everything; what the image says is kept in an attribute
    /// ([`Ownership::Single`](ampoule_image::unpack::Ownership::Single)).
    Single,
}

impl Owners {
    /// The ids whose files a store can have beside the caller's; `None` as root, who needs none.
    ///
    /// # Errors
    /// With [`Owners::SubIds`] [`ErrorKind::IdMap`] if the caller has no ranges, or `newuidmap` and `newgidmap` are not
    /// installed. With [`Owners::Automatic`], too, [`ErrorKind::IdMap`] if the ranges overlap, and what the kernel says when
    /// the user namespace is made.
    pub fn ids(self) -> Result<Option<MappedIds>, Error> {
        if self == Self::Single || host::privilege() == Privilege::Full {
            return Ok(None);
        }
        match (caller_ids(), self) {
            (Err(error), Self::Automatic) if is_absent(&error) => Ok(None),
            (Err(error), _) => Err(Error::from_ns(Stage::Plan, error)),
            (Ok((namespace, map)), _) => {
                let ids = MappedIds::new(namespace, owner_ranges(&map.uid), owner_ranges(&map.gid));
                ids.map(Some).map_err(image_error)
            }
        }
    }

    /// Opens a store ([`Store::open`]) whose files belong to these.
    ///
    /// # Errors
    /// As [`Owners::ids`]; [`ErrorKind::Image`] with the error of [`Store::open`].
    pub fn open(self, directory: impl AsRef<Path>) -> Result<Store, Error> {
        let store = Store::open(directory).map_err(image_error)?;
        Ok(match self.ids()? {
            Some(ids) => store.with_ids(&ids),
            None => store,
        })
    }
}

/// The caller's ranges in a user namespace.
fn caller_ids() -> ampoule_ns::Result<(std::os::fd::OwnedFd, IdMap)> {
    let map = ampoule_ns::sub_id::caller_map()?;
    let who = writer(&map, Writer::OwnId, geteuid().as_raw(), getegid().as_raw());
    Ok((user_namespace::create(&map, who)?, map))
}

/// Whether there is nothing that could be used.
fn is_absent(error: &ampoule_ns::Error) -> bool {
    matches!(error.kind(), ampoule_ns::ErrorKind::NoSubIds | ampoule_ns::ErrorKind::HelperMissing)
}

/// The ids of a container, where they are more than the caller's own and the caller is root there.
pub(crate) fn ids_of(settings: &Settings) -> Result<Option<MappedIds>, Error> {
    let Some((map, _)) = &settings.identity.maps else { return Ok(None) };
    let Some(namespace) = layers::mapped(settings)? else { return Ok(None) };
    // With another root the caller reads what the caller may read.
    Ok(MappedIds::new(namespace, owner_ranges(&map.uid), owner_ranges(&map.gid)).ok())
}

/// An error of the image crate, as it is.
fn image_error(error: ampoule_image::Error) -> Error {
    Error::new(ErrorKind::Image, Stage::Plan).about(error.to_string()).caused_by(error)
}

/// A map as the image crate has it.
pub(crate) fn owner_ranges(map: &[IdRange]) -> Vec<OwnerRange> {
    let range = |range: &IdRange| OwnerRange {
        inside: range.inside,
        outside: range.outside,
        count: range.count,
    };
    map.iter().map(range).collect()
}

/// The maps of containers that see the files of these ids as the images have them.
pub(crate) fn id_map(ids: &MappedIds) -> IdMap {
    let ranges = |map: &[OwnerRange]| {
        map.iter().map(|range| IdRange::new(range.inside, range.outside, range.count)).collect()
    };
    IdMap { uid: ranges(ids.uid_map()), gid: ranges(ids.gid_map()) }
}
