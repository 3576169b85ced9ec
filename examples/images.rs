//! What the examples with images share: where images come from and go to, the store, progress bars.

mod access;
mod bars;
mod open;
mod place;
mod size;
mod store;
mod time;
mod transfer;

pub use access::{Access, HELP as ACCESS_HELP};
pub use bars::Bars;
pub use open::open_image;
pub use place::Place;
pub use size::size;
pub use store::{lower_dirs, open_store, open_store_of, overlay, owners, unpacked};
pub use time::{now, source_date_epoch};
pub use transfer::{fetch, send};
